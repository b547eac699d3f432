"""Kernels that start at the same moment do not get in each other's way."""

import os
from pathlib import Path

import pytest

from cnnlab.report.notebooks import KernelManager


@pytest.mark.skipif(os.name == "nt", reason="Windows has no sockets in the file system")
def test_every_manager_has_sockets_of_its_own_and_leaves_none_behind():
    one, other = KernelManager(), KernelManager()
    assert one.transport == other.transport == "ipc"
    assert one.ip != other.ip
    for manager in (one, other):
        folder = Path(manager.ip).parent
        assert folder.is_dir()
        manager.cleanup_ipc_files()
        assert not folder.exists()
