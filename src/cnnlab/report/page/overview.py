"""What a page shows before its chapters."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cnnlab import models, surroundings
from cnnlab.report.page.chapters import Chapter, guarded
from cnnlab.tuning import ClaimResult, NextStep, StageResult, Tuning, final_stage
from cnnlab.tuning.advice.next_steps import NOTHING
from cnnlab.tuning.search import SearchResult

SHOWN_STEPS = 3
"""Next steps on the first screen; all are in the chapter about the final model."""


def make_overview(
    tuning: Tuning,
    results: Sequence[StageResult],
    claim_results: Sequence[ClaimResult],
    steps: Sequence[NextStep] | None,
    chapters: list[Chapter],
) -> dict[str, Any]:
    """Return what the page shows before its chapters, without parts that have nothing to show.

    Each part is made separately, because a library or a figure may fail. Those that fail are added to `chapters`.
    """
    final = final_stage(results)
    parts: dict[str, tuple[str, Callable[[], Any]]] = {
        "image_warnings": ("The checks of the images", lambda: tuning.images.warnings),
        "images": ("What the images are", lambda: _words().images_summary(tuning, results)),
        "thumbnails": ("Some images", lambda: _words().thumbnails(tuning, results)),
        "summary": ("The summary of the verdicts", lambda: _words().evidence_summary(tuning, results)),
    }
    if final:
        parts |= {
            "model": ("The model to use", lambda: _words().model_settings(final)),
            "params": ("The size of the model", lambda: final.decision.selected_params),
            "keras_code": ("The code of the model", lambda: _code(tuning, final)),
            "scores": ("The scores of the model", lambda: _words().score_rows(tuning, results)),
            "headline": ("The gain of the study", lambda: _words().headline(tuning, results)),
        }
    if results:
        parts |= {
            "choices": ("The choices", lambda: _words().choice_table(tuning, results)),
            "stages": ("The table of the stages", lambda: _words().stages_table(tuning, results).data),
            "runs": ("The table of all runs", lambda: _words().runs_table(results).data),
            "settings": ("The settings of all trials", lambda: _words().settings_table(results).data),
        }
    if claim_results:
        parts["claims"] = ("Claims", lambda: _words().claim_table(claim_results).data)
    has_search = any(isinstance(result, SearchResult) for result in results)
    shown: dict[str, Any] = {"no_steps": NOTHING, "has_search": has_search}
    if results and steps is not None:
        shown["steps"] = steps[:SHOWN_STEPS]
    for name, (title, make) in parts.items():
        with guarded(chapters, f"missing-{name}", title):
            shown[name] = make()
    return shown


def _code(tuning: Tuning, final: StageResult) -> str:
    """Return the Keras code of the final model as HTML."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    trial = final.selected.settings.for_images(final.selected_records[0].split["train"])
    images = tuning.images.dataset(trial.input.colour)
    code = models.keras_code(trial, images.image_shape, len(images.class_names))
    return str(highlight(code, PythonLexer(), HtmlFormatter(nobackground=True)))


def model_command(out: Path) -> str:
    """Return the command that classifies an image with a report's model."""
    return f".venv/bin/cnnlab predict IMAGE --model {shlex.quote(surroundings.relative_path(out / 'model.keras'))}"


def _words() -> Any:
    from cnnlab.report import words  # imports Matplotlib, which takes seconds; a page that is kept needs none

    return words
