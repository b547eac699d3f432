"""Run a whole study: every stage, then the mistakes."""

from collections.abc import Callable, Sequence

from cnnlab.errors import CnnlabError, DataError, RunError
from cnnlab.study import ALL_MISTAKES
from cnnlab.tuning.progress import Bar
from cnnlab.tuning.results import MistakeResult, StageResult, StudyResults, final_stage
from cnnlab.tuning.runner import warning_lines
from cnnlab.tuning.tuning import Tuning


def run_study(
    tuning: Tuning,
    bar: Bar,
    on_result: Callable[[str, Sequence[StageResult | MistakeResult]], None] = lambda *_: None,
    on_failure: Callable[[str, CnnlabError], None] = lambda *_: None,
) -> StudyResults:
    """Run every stage, then the mistakes. One that fails is skipped, and later stages ignore it.

    It raises what `Tuning.result` does, except for errors of runs and images.

    Args:
        tuning: The study.
        bar: Shows the progress.
        on_result: Called with the name of each chapter of a report that can be made now, and the results it needs.
        on_failure: Called with the name of each stage that fails, or "mistakes", and the error.
    """
    results, tuning.callback = StudyResults([], [], {}), bar
    for line in (*(f"study: {note}" for note in tuning.check()), *warning_lines(tuning.images.warnings)):
        bar.write(line)

    def fail(name: str, error: CnnlabError) -> None:
        results.failures[name] = error
        bar.write(f"{name}: {error}")
        on_failure(name, error)

    on_result("data", [])
    for result in tuning.iter_results(lambda stage, error: fail(stage.name, error)):
        results.stages.append(result)
        on_result(result.stage.name, results.stages)
    if final_stage(results.stages):
        on_result("comparison", results.stages)
    if results.stages:
        on_result("noise", results.stages)
    if tuning.scope.mistake_trials():
        try:
            results.mistakes.extend(tuning.mistake_results())
        except (RunError, DataError) as error:
            fail(ALL_MISTAKES, error)
        else:
            on_result(ALL_MISTAKES, [*results.stages, *results.mistakes])
    if tuning.study.is_built_in:
        on_result("published", results.stages)
    return results
