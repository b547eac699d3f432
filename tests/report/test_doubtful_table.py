"""The report's table of doubtful labels is written with the first report, and again only when it would differ."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cnnlab.data import DataFolder
from cnnlab.report import outputs
from cnnlab.tuning import Tuning
from cnnlab.tuning.doubtful import COLUMNS
from conftest import predicting_runs


@pytest.fixture
def study(gray, tmp_path):
    """A study of images of which some test images have wrong labels, and models that know the true ones."""
    labels = gray.test_labels.copy()
    labels[:10] = (labels[:10] + 1 + np.arange(10) % 9) % 10
    tuning = Tuning("unused", tmp_path / "runs", budget={"stages": "base", "train": 160, "val": 40, "test": 100})
    tuning.images.folder = DataFolder(replace(gray, test_labels=labels), None, derived_gray=False)
    tuning.engine.call = lambda function, *arguments: function(*arguments)
    predicting_runs(tuning, gray)
    return tuning


def write(study, out):
    """Write the table and the manifest, as a report does; return whether the table was written."""
    out.mkdir(exist_ok=True)
    before = (out / outputs.DOUBTFUL).stat().st_mtime_ns if (out / outputs.DOUBTFUL).exists() else 0
    origin = outputs._write_doubtful(study, study.results(), out)
    (out / "manifest.json").write_text(json.dumps({"doubtful_labels": origin}))
    return (out / outputs.DOUBTFUL).stat().st_mtime_ns != before


def test_the_table_is_written_once_and_again_when_files_have_other_names(study, tmp_path):
    out = tmp_path / "out"
    assert write(study, out)
    table = pd.read_csv(out / outputs.DOUBTFUL, keep_default_na=False)
    assert tuple(table.columns) == COLUMNS
    assert set(table["part"]) == {"test"}
    assert set(table["index"]) <= set(range(10))
    assert set(table["file"]) == {""}
    assert not write(study, out)
    gray = study.images.folder.gray
    files = tuple(f"test/k\udce4fer=cmd,{index}.png" for index in range(100))  # a byte that is no UTF-8
    study.images.folder = DataFolder(replace(gray, test_files=files), None, derived_gray=False)
    assert write(study, out)
    again = pd.read_csv(out / outputs.DOUBTFUL)
    assert again["file"].tolist() == [files[index].replace("\udce4", "\\udce4") for index in table["index"]]
    (out / outputs.DOUBTFUL).unlink()
    assert write(study, out)
    (out / outputs.DOUBTFUL).write_text("of a command that was stopped")
    assert write(study, out)


def test_without_runs_the_table_has_no_rows(study, tmp_path):
    study.scope.skip.add("base")
    assert write(study, tmp_path / "out")
    assert (tmp_path / "out" / outputs.DOUBTFUL).read_text() == ",".join(COLUMNS) + "\n"
