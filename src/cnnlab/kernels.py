"""How the report's kernels are talked to."""

import os

from jupyter_client.manager import AsyncKernelManager


class KernelManager(AsyncKernelManager):  # type: ignore[misc]
    """Talks to a kernel through sockets in the file system.

    With TCP, kernels that start at the same moment in several processes may be given the same port, and one dies.
    """

    def __init__(self, **settings: object) -> None:
        if os.name != "nt":
            settings["transport"] = "ipc"
        super().__init__(**settings)
