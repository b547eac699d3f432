"""What surrounds a command: the project's folder, and the environment of its processes.

Settings that a user has made for other programs must not change a score, a table or a picture.
"""

import locale
import os
import re
import shutil
import socket
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cnnlab.errors import ConfigError

ADDRESS = "DASK_SCHEDULER_ADDRESS"
"""Environment variable with the address of the scheduler to join."""
FOLDER = "CNNLAB_FOLDER"
"""Environment variable with the folder that a command's processes use instead of the user's home."""
NO_FOLDER = f"{os.devnull}/keras"
"""Keras's folder. It cannot exist, so no keras.json has an effect; Keras keeps downloads in /tmp/.keras then."""
_REMOVED = re.compile(
    # Other programs and libraries: their settings, plugins and search paths.
    "(?:JUPYTER|JPY|PAPERMILL|NBCONVERT|KERAS|TF|XLA|JAX|TORCH|PYTORCH|DASK|PANDAS|XDG|GIT)_.*"
    # Libraries that compute, and their threads.
    "|(?:OMP|KMP|GOMP|MKL|OPENBLAS|BLIS|VECLIB|NUMEXPR|NVIDIA_TF32)_.*"
    "|(?:MPL|MATPLOTLIB|IPYTHON|PYTHON)[A-Z]*|LC_.*|LANG|LANGUAGE"
)
_KEPT = {
    ADDRESS,
    "KERAS_BACKEND",
    # They select the device, as CUDA_VISIBLE_DEVICES does for other libraries.
    "JAX_PLATFORMS",
    "JAX_PLATFORM_NAME",
    # Where Python finds its modules.
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONUSERBASE",
    "PYTHONNOUSERSITE",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONPYCACHEPREFIX",
    "XDG_RUNTIME_DIR",
}
STAGE_NOTEBOOK = "03-stage.ipynb"
"""The notebook that is executed once for each stage: the folder `notebooks` of a project contains it."""
_SOCKET_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - a new folder with a random name is made in one
"""Folders with short names: the path of a socket may have about 100 characters, and `TMPDIR` may be longer."""


def project_folder() -> Path:
    """Return the absolute path of the project: the folder that contains `notebooks`.

    It is the project that cnnlab is imported from; if cnnlab is installed without it, the project that the working
    directory belongs to; else the working directory.
    """
    installed = Path(__file__).parents[2]
    if (installed / "notebooks" / STAGE_NOTEBOOK).is_file():
        return installed
    here = Path.cwd()
    return here.parent if (here.parent / "notebooks" / STAGE_NOTEBOOK).is_file() else here


def project_path(path: str | Path) -> Path:
    """Return a path as an absolute one. A relative path starts in the project's folder, and `~` is the user's."""
    return project_folder() / expanded(path)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def expanded(path: str | Path) -> Path:
    """Return a path with the user's folder instead of a `~` at its start, as a shell gives it."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # of an unknown user: a file may have that name
        return Path(path)


def relative_path(path: str | Path) -> str:
    """Return a path as `project_path` reads it: relative if it is in the project's folder, else absolute."""
    absolute, project = project_path(path), project_folder()
    return absolute.relative_to(project).as_posix() if absolute.is_relative_to(project) else str(absolute)


def remove_settings(*, keep_dask: bool = False) -> None:
    """Remove the user's settings for other programs from the environment of this process.

    Args:
        keep_dask: Keep those for Dask: a remote scheduler may need them, for example to encrypt.
    """
    for name in list(os.environ):
        if _REMOVED.fullmatch(name) and name not in _KEPT and not (keep_dask and name.startswith("DASK_")):
            del os.environ[name]
    os.environ["KERAS_HOME"] = NO_FOLDER


@contextmanager
def closed(*, keep_dask: bool = False) -> Iterator[None]:
    """Keep the user's settings for other programs out of this process and of those that it starts.

    Child processes get a temporary folder as their home. Inside another `closed`, this does nothing.

    Args:
        keep_dask: Keep the settings for Dask.

    Raises:
        ConfigError: There is no folder for temporary files.
    """
    if os.environ.get(FOLDER):
        yield
        return
    before, options = dict(os.environ), sys.warnoptions[:]
    folder = short_folder()
    try:
        with warnings.catch_warnings():
            if options:  # Python's default filters instead
                sys.warnoptions.clear()
                warnings.resetwarnings()
                warnings.simplefilter("ignore")
            _close(folder, keep_dask=keep_dask)
            yield
    finally:
        sys.warnoptions[:] = options
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(folder, ignore_errors=True)


def _close(folder: Path, *, keep_dask: bool) -> None:
    """Replace the user's settings and home by a folder."""
    home, cache = _home(), os.environ.get("XDG_CACHE_HOME")
    remove_settings(keep_dask=keep_dask)
    names = ["JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME"]
    if not (keep_dask and home):  # settings for Dask are in the home too
        names += ["HOME", "USERPROFILE"]
    own = dict.fromkeys(names, str(folder)) | {
        FOLDER: str(folder),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTER_NO_CONFIG": "1",
        "JUPYTER_PREFER_ENV_PATH": "1",
        "IPYTHONDIR": str(folder / "ipython"),
        "MPLBACKEND": "agg",
        "LC_ALL": "C.UTF-8",
        "PYTHONUTF8": "1",
        "PYTHONSAFEPATH": "1",  # no module from the working directory
    }
    # Making a list of all fonts takes seconds: Matplotlib keeps it in the user's cache.
    fonts = Path(cache, "matplotlib") if cache else home / ".cache" / "matplotlib" if home else folder
    own["XDG_CACHE_HOME"] = str(fonts.parent if os.access(fonts, os.W_OK | os.X_OK) else folder)
    if sys.platform not in ("linux", "freebsd"):  # there Matplotlib has one folder for settings and cache
        own["MPLCONFIGDIR"] = str(folder / "matplotlib")
    if not keep_dask:
        own |= {"DASK_CONFIG": str(folder / "dask"), "DASK_ROOT_CONFIG": str(folder / "dask")}
    if sys.getfilesystemencoding() != "utf-8":  # child processes must decode the names of files alike
        own |= {"LC_ALL": locale.setlocale(locale.LC_CTYPE), "PYTHONUTF8": "0"}
    (folder / "ipython").mkdir()
    os.environ.update(own)


def _home() -> Path | None:
    """Return the user's home; None if there is none."""
    try:
        return Path.home()
    except RuntimeError:  # HOME is not set, and the user has no entry in the system's list
        return None


def short_folder() -> Path:
    """Make a new folder for the files and the sockets of a command, with a short path if possible.

    It stays until the caller removes it. `takes_sockets` says whether it can hold sockets.

    Raises:
        ConfigError: There is no folder for temporary files.
    """
    for parent in _SOCKET_FOLDERS:
        with suppress(OSError):
            folder = Path(tempfile.mkdtemp(prefix="cnnlab-", dir=parent))
            if takes_sockets(folder):
                return folder
            folder.rmdir()
    try:
        return Path(tempfile.mkdtemp(prefix="cnnlab-"))
    except OSError as error:
        raise ConfigError(
            f"Expected a folder for temporary files. Received: {error.strerror}. Name one that can be written "
            "(TMPDIR=...)."
        ) from error


def takes_sockets(folder: Path) -> bool:
    """Return whether sockets can be made in a folder, under names like those of a kernel."""
    path = folder / "kernel-0123456789"
    try:
        with socket.socket(socket.AF_UNIX) as test:
            test.bind(str(path))
        path.unlink()
    except (AttributeError, OSError):  # Windows; a path that is too long, or a file system without sockets
        return False
    return True


@contextmanager
def quiet() -> Iterator[None]:
    """Discard what libraries write to stderr whatever their log level. Errors come as exceptions."""
    stderr, devnull = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 2)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(devnull)
