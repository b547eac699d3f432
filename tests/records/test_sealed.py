"""Sealed archives are read only as they were written."""

import hashlib
import io
import zipfile

import numpy as np
import pytest

from cnnlab.records.sealed import BrokenSealError, pack, unpack

ARRAYS = {"a": np.arange(3), "b": np.eye(2, dtype=np.float32)}


def test_the_arrays_that_are_asked_for_are_read():
    content = pack({"seed": 1}, ARRAYS)
    record, arrays = unpack(content)
    assert (record, arrays) == ({"seed": 1}, {})
    assert unpack(content, "a")[1].keys() == {"a"}
    record, arrays = unpack(content, "*")
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype
    with pytest.raises(BrokenSealError):
        unpack(content, "c")


def deep_json():
    """A zip whose record is nested more deeply than Python reads."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("record.json", "[" * 100_000)
    return stream.getvalue()


def empty_zip():
    stream = io.BytesIO()
    zipfile.ZipFile(stream, "w").close()
    return stream.getvalue()


@pytest.mark.parametrize("blob", [b"", b"no zip", b"PK\x03\x04", empty_zip(), deep_json()], ids=range(5))
def test_content_that_is_no_archive_is_refused_even_with_a_seal(blob):
    with pytest.raises(BrokenSealError):
        unpack(hashlib.sha256(blob).digest() + blob)


def test_an_archive_whose_record_is_no_object_is_refused():
    with pytest.raises(BrokenSealError):
        unpack(pack([1], {}))


def test_arrays_of_python_objects_are_not_written():
    with pytest.raises(ValueError, match="allow_pickle"):
        pack({}, {"a": np.array([object()])})
