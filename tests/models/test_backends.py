"""The same code on JAX, with no TensorFlow to be had."""

import os
import subprocess
import sys

import pytest

from cnnlab.records import RunStore
from conftest import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture
def on_jax(tmp_path):
    """Runs Python in an environment where Keras takes JAX, and TensorFlow cannot be imported."""
    place = tmp_path / "path" / "tensorflow"
    place.mkdir(parents=True)
    (place / "__init__.py").write_text("raise ImportError('not here')")

    def go(*words):
        path = os.pathsep.join(filter(None, [str(place.parent), os.environ.get("PYTHONPATH")]))
        return subprocess.run(
            [sys.executable, *map(str, words)],
            env={**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": path},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    return go


@pytest.mark.timeout(1800)
def test_fits_on_jax_can_be_repeated_resumed_and_share_a_compiled_model_as_on_tensorflow(on_jax):
    """The tests of training themselves, those of them that make no more than a few models."""
    some = "leaves_scores or twice or nadam or (checkpoint and whole) or runs_out or moving_averages"
    done = on_jax(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "tests/models/test_fit.py", "-k", some
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert " passed" in done.stdout


STUDY = """
import sys
from cnnlab.tuning import Tuning
if __name__ == "__main__":
    with Tuning(sys.argv[1], sys.argv[2], "smoke", budget={"stages": "base,augmentation,colour"}) as tuning:
        print([result.decision.stage for result in tuning.iter_results(lambda *lost: print(lost))])
"""


def test_a_study_on_jax_leaves_records_that_say_so(on_jax, folder, tmp_path):
    (tmp_path / "study.py").write_text(STUDY)
    done = on_jax(tmp_path / "study.py", folder, tmp_path / "runs")
    assert "['base', 'augmentation', 'colour']" in done.stdout, done.stdout + done.stderr[-2000:]
    made_by = {record.provenance["backend"] for record in RunStore(tmp_path / "runs").records()}
    assert made_by == {"jax"}
