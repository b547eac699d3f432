"""The sentence about which settings matter says what was found, or why nothing can be said."""

from dataclasses import replace

from cnnlab.evidence import Importance, SettingImportance
from cnnlab.report.words.importance import importance_summary

MADE = Importance(
    (
        SettingImportance("learning_rate", 0.02, 0.01, 0.03, True),
        SettingImportance("filters", 0.01, 0.005, 0.015, True),
        SettingImportance("dropout", 0.001, -0.001, 0.003, False),
    ),
    floor=0.004,
    r2=0.456,
    n=40,
)
FIT = "(R2 0.46 on configurations that the forest has not seen, n = 40 configurations)."


def with_shown(*names):
    return replace(MADE, settings=tuple(replace(one, is_shown=one.setting in names) for one in MADE.settings))


def test_the_settings_that_matter_are_named_and_the_others_counted():
    names = [one.setting for one in MADE.settings]
    found = {number: importance_summary(with_shown(*names[:number])) for number in range(4)}
    assert found == {
        0: f"Which settings matter: no importance shown for any of 3 settings {FIT}",
        1: f"Which settings matter: learning_rate; no importance shown for 2 others {FIT}",
        2: f"Which settings matter: learning_rate and filters; no importance shown for 1 other {FIT}",
        3: f"Which settings matter: learning_rate, filters and dropout {FIT}",
    }


def test_a_forest_that_predicts_nothing_and_too_few_configurations_are_named_as_the_reason():
    shown = importance_summary(replace(with_shown(), r2=-0.1))
    assert "no importance shown, because the forest predicts val_f1 no better than its mean (R2 -0.10" in shown
    assert importance_summary(None) == "Which settings matter: too few configurations to say; 10 are needed."
