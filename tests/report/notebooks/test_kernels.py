"""Kernels do not get in each other's way, and no setting of the user changes them."""

import os
import sys
import tempfile
from pathlib import Path

import pytest

from cnnlab import surroundings
from cnnlab.report.notebooks.kernels import KernelManager


@pytest.mark.skipif(os.name == "nt", reason="Windows has no sockets in the file system")
def test_every_kernel_has_its_own_sockets_and_leaves_none_behind():
    first, second = KernelManager(), KernelManager()
    assert first.transport == second.transport == "ipc"
    assert first.ip != second.ip
    for manager in (first, second):
        folder = Path(manager.ip).parent
        assert folder.is_dir()
        manager.cleanup_ipc_files()
        assert not folder.exists()


def test_a_kernel_has_sockets_whatever_the_length_of_tmpdir(tmp_path, monkeypatch):
    long = tmp_path / ("x" * 93)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    manager = KernelManager()
    assert manager.transport == "ipc"
    assert not list(long.iterdir())
    manager.cleanup_ipc_files()


def test_a_kernel_uses_tcp_where_no_folder_takes_sockets(tmp_path, monkeypatch):
    long = tmp_path / ("x" * 93)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    monkeypatch.setattr(surroundings, "_SOCKET_FOLDERS", (str(tmp_path / "missing"), str(long)))
    manager = KernelManager()
    assert manager.transport == "tcp"
    manager.cleanup_ipc_files()
    assert not list(long.iterdir())


def test_a_kernel_is_of_this_interpreter_whatever_kernels_the_user_has(tmp_path, monkeypatch):
    spec = tmp_path / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text('{"argv": ["false"], "display_name": "mine", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    manager = KernelManager(kernel_name="python3")
    assert manager.kernel_spec.argv[0] == sys.executable
    manager.cleanup_ipc_files()
