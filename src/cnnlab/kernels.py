"""How the report talks to its kernels."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jupyter_client.manager import AsyncKernelManager


class KernelManager(AsyncKernelManager):  # type: ignore[misc]
    """Talks to a kernel through sockets in a folder of its own.

    With TCP, kernels that start at the same moment in several processes may be given the same port, and one dies.
    """

    def __init__(self, **settings: Any) -> None:
        if os.name == "nt":  # no such sockets there
            super().__init__(**settings)
            return
        self._folder = TemporaryDirectory(prefix="cnnlab-")
        super().__init__(**settings, transport="ipc", ip=str(Path(self._folder.name) / "kernel"))

    def cleanup_ipc_files(self) -> None:
        """Remove the sockets with their folder, once the kernel has ended."""
        super().cleanup_ipc_files()
        if os.name != "nt":
            self._folder.cleanup()
