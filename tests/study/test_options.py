"""What another trial may change: the table and the errors say the same."""

import attrs
import pytest

from cnnlab.errors import ConfigError
from cnnlab.study import Architecture, Input, OwnModel, Training, Trial, options


@pytest.mark.parametrize("option", options(Trial()), ids=lambda option: option.name)
def test_the_error_for_another_value_says_what_the_option_says(option):
    with pytest.raises(ConfigError) as caught:
        Trial().change(**{option.name: object()})
    assert f"Expected {option.name} to be {option.expected}. Received: " in str(caught.value)


def test_every_setting_is_there_once_with_its_value_and_a_sentence():
    trial = Trial().change(dense_units=96, optimizer="sgd", scale=False)
    by_name = {option.name: option for option in options(trial)}
    assert list(by_name) == [field.name for kind in (Architecture, Training, Input) for field in attrs.fields(kind)]
    assert by_name["dense_units"].value == 96
    assert by_name["learning_rate"].value == 0.01
    assert by_name["scale"].value is False
    for option in by_name.values():
        assert option.about[0].isupper()
        assert option.about.endswith(".")
    assert by_name["dropout"].about.endswith("One number is the rate at each of these places."), "all lines are read"


def test_the_parameters_of_an_own_model_are_options_instead_of_its_layers():
    model = OwnModel("build", "0" * 64, {"width": (8, 16)}, parameters=("width", "rate"))
    by_name = {option.name: option for option in options(Trial(model))}
    assert list(by_name)[:3] == ["width", "rate", "optimizer"]
    assert by_name["width"].value == (8, 16)
    assert by_name["rate"].value is None
    assert by_name["rate"].about == "A parameter of build."
    with pytest.raises(ConfigError) as caught:
        Trial(model).change(rate=object())
    assert f"Expected rate to be {by_name['rate'].expected}. Received: " in str(caught.value)
