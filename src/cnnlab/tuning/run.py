"""Run a whole study: every stage, then the learning curve and the mistakes."""

from collections.abc import Callable, Sequence

from cnnlab.errors import CnnlabError, DataError, RunError
from cnnlab.study import ALL_MISTAKES, LEARNING_CURVE
from cnnlab.tuning.images import warning_lines
from cnnlab.tuning.progress import Bar
from cnnlab.tuning.results import MistakeResult, Result, StageResult, StudyResults, final_stage
from cnnlab.tuning.tuning import Tuning


def run_study(
    tuning: Tuning,
    bar: Bar,
    on_result: Callable[[str, Sequence[Result]], None] = lambda *_: None,
    on_failure: Callable[[str, CnnlabError], None] = lambda *_: None,
) -> StudyResults:
    """Run every stage, then the learning curve and the mistakes. One that fails is skipped, and later stages ignore it.

    It raises what `Tuning.result` does, except for errors of runs and images.

    Args:
        tuning: The study.
        bar: Shows the progress.
        on_result: Called with the name of each chapter of a report that can be made now, and the results it needs.
        on_failure: Called with the name of each stage that fails, "learning-curve" or "mistakes", and the error.
    """
    stages, failures, tuning.callback = list[StageResult](), dict[str, CnnlabError](), bar
    mistakes = list[MistakeResult]()
    for line in (*(f"study: {note}" for note in tuning.check()), *warning_lines(tuning.images.warnings)):
        bar.write(line)

    def fail(name: str, error: CnnlabError) -> None:
        failures[name] = error
        bar.write(f"{name}: {error}")
        on_failure(name, error)

    tuning.expect_mistakes()
    on_result("data", [])
    for result in tuning.iter_results(lambda stage, error: fail(stage.name, error)):
        stages.append(result)
        on_result(result.stage.name, stages)
    curve = None
    if final_stage(stages):
        try:
            curve = tuning.learning_curve()
        except (RunError, DataError) as error:
            tuning.scope.skip.add(LEARNING_CURVE)  # so that the notebook does not run it
            fail(LEARNING_CURVE, error)
        on_result("comparison", [*stages, curve] if curve else stages)
    if stages:
        on_result("noise", stages)
    if tuning.scope.mistake_trials():
        try:
            mistakes = tuning.mistake_results()
        except (RunError, DataError) as error:
            fail(ALL_MISTAKES, error)
        else:
            on_result(ALL_MISTAKES, [*stages, *mistakes])
    if tuning.study.is_built_in:
        on_result("published", stages)
    return StudyResults(stages, mistakes, failures, curve)
