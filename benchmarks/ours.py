"""Fits as `make report` makes them: `python -m benchmarks.ours FITS OUT`."""

import json
import sys
import tempfile
from pathlib import Path

from benchmarks.fits import Fits
from cnnlab.engine import Engine
from cnnlab.records import RunStore

if __name__ == "__main__":
    fits, out = Fits.read(sys.argv[1]), Path(sys.argv[2])
    work = fits.work()
    with Engine() as engine, tempfile.TemporaryDirectory() as folder:
        found = engine.run_all(work, RunStore(folder))
    records = [found[item[0].digest] for item in work]
    out.write_text(json.dumps([[record.epochs, record.scores["test_f1"]] for record in records]))
