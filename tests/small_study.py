"""A study of a few small runs, as a command that fault tests can kill: `small_study.py DATA RUNS REPORT`."""

import sys
from pathlib import Path

from cnnlab import report
from cnnlab.cli import long_work
from cnnlab.errors import CnnlabError
from cnnlab.tuning import Tuning

ROOT = Path(__file__).parents[1]
KEPT = ("base", "dense", "augmentation")

if __name__ == "__main__":
    data, runs, out = map(Path, sys.argv[1:])
    try:
        with long_work(runs), Tuning(data, runs, "smoke", budget={"stages": KEPT}) as tuning:
            made = report.make(tuning, out, ROOT / "notebooks")
    except CnnlabError as error:
        sys.exit(str(error))
    missing = [f"{chapter.name}: {chapter.error}" for chapter in made.chapters if chapter.error]
    sys.exit("\n".join(missing) or 0)
