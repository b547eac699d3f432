"""A real JupyterLab in a real browser, for tests of notebooks as their readers use them."""

import json
import math
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import psutil

from browsers import opened
from conftest import ROOT, seconds_to_end

WIDTH, HEIGHT = 1280, 900
_SETTINGS = {
    # No question about news, and no request for them.
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
_IS_IN_SIGHT = """element => {
    const box = element.getBoundingClientRect();
    const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    return box.width > 0 && box.height > 0 && (element.contains(top) || (top !== null && top.contains(element)));
}"""

_WHOLE_HEIGHT = """() => {
    const frame = document.querySelector('.jp-WindowedPanel-outer');
    const cells = document.querySelectorAll('.jp-Notebook .jp-Cell');
    const bottom = cells[cells.length - 1].getBoundingClientRect().bottom;
    const height = bottom - cells[0].getBoundingClientRect().top;
    frame.scrollTop = 0;
    return innerHeight - frame.clientHeight + height + 60;
}"""


def make_project(folder: Path, sample: Path | None = None) -> Path:
    """Copy the code and the notebooks into a folder, with a folder of images as data/sample; return the folder."""
    for part in ("src", "notebooks"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    if sample:
        shutil.copytree(sample, folder / "data" / "sample")
    return folder


def write_notebook(path: Path, *sources: str) -> None:
    """Write a notebook with some cells: Markdown if the text starts with a heading ("## "), else code."""
    make = {True: nbformat.v4.new_markdown_cell, False: nbformat.v4.new_code_cell}
    cells = [make[source.startswith("## ")](source) for source in sources]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)


class Notebook:
    """A notebook that is open in JupyterLab. Cells are counted from 0; -1 is the last one."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.cells = page.locator(".jp-Notebook .jp-Cell")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=300_000)
        self.wait_until_idle()

    def choose(self, menu: str, item: str) -> None:
        """Choose an item of a menu."""
        self.page.locator(".lm-MenuBar-itemLabel", has_text=re.compile(f"^{menu}$")).click()
        self.page.locator(".lm-Menu-itemLabel", has_text=re.compile(f"^{re.escape(item)}$")).click()

    def run_all(self) -> None:
        """Start all cells; return at once."""
        self.choose("Run", "Run All Cells")

    def run(self, cell: int) -> None:
        """Start one cell; return at once."""
        self.cells.nth(cell).locator(".jp-Cell-inputWrapper").click()
        self.page.keyboard.press("Control+Enter")

    def edit(self, cell: int, source: str) -> None:
        """Replace the text of a code cell, as a reader who pastes it."""
        self.cells.nth(cell).locator(".cm-content").click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(source)

    def change(self, old: str, new: str) -> None:
        """Replace a text that occurs in one code cell by another one."""
        [(cell, source)] = [(place, text) for place, text in enumerate(self.sources()) if old in text]
        self.edit(cell, source.replace(old, new))

    def interrupt(self) -> None:
        """Interrupt the kernel; return at once."""
        self.choose("Kernel", "Interrupt Kernel")

    def wait_until_idle(self, seconds: float = 300) -> None:
        """Wait until no cell runs or waits, and the kernel is idle."""
        self.page.wait_for_function(
            """() => jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'
                && ![...document.querySelectorAll('.jp-InputPrompt')].some(e => e.textContent.includes('*'))""",
            timeout=seconds * 1000,
        )

    def wait_for_text(self, text: str | re.Pattern[str], cell: int = -1, seconds: float = 300) -> None:
        """Wait until the output of a cell contains a text, or a match of a pattern."""
        found = self.cells.nth(cell).locator(".jp-Cell-outputArea", has_text=text)
        found.wait_for(state="attached", timeout=seconds * 1000)

    def content(self) -> list[dict[str, Any]]:
        """Return the cells as the notebook's file would hold them."""
        return list(self.page.evaluate("jupyterapp.shell.currentWidget.content.model.toJSON().cells"))

    def sources(self) -> list[str]:
        """Return the text of each cell."""
        return [cell["source"] for cell in self.content()]

    def errors(self) -> list[str]:
        """Return the errors of all cells, as "KeyError: 'name'"."""
        outputs = [output for cell in self.content() for output in cell.get("outputs", [])]
        return [f"{o['ename']}: {o['evalue']}" for o in outputs if o["output_type"] == "error"]

    def prompts(self) -> list[str]:
        """Return what stands beside each cell: "[1]:", "[*]:" if it runs or waits, "[ ]:", "" for Markdown."""
        return [text.strip() for text in self.cells.locator(".jp-InputPrompt").all_text_contents()]

    def outputs(self) -> list[str]:
        """Return the visible text of each cell's output; of Markdown, its rendered text."""
        parts = "[...c.querySelectorAll('.jp-OutputArea-output, .jp-MarkdownOutput')].map(e => e.innerText)"
        return self.cells.evaluate_all(f"cells => cells.map(c => {parts}.join('\\n').trim())")

    def kinds(self, cell: int) -> list[str]:
        """Return the MIME types of what the output of a cell shows."""
        shown = self.cells.nth(cell).locator(".jp-OutputArea-output")
        return shown.evaluate_all("all => all.map(e => e.dataset.mimeType)")

    def is_in_sight(self, selector: str, cell: int = -1) -> bool:
        """Return whether an element of a cell's output is in the visible part of the window."""
        found = self.cells.nth(cell).locator(".jp-Cell-outputArea").locator(selector)
        return found.count() > 0 and found.first.evaluate(_IS_IN_SIGHT)

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Save a picture of the whole notebook, or of the visible part of the window."""
        for _ in range(3 * whole):  # the height of cells out of sight is a guess at first
            height = self.page.evaluate(_WHOLE_HEIGHT)
            self.page.set_viewport_size({"width": WIDTH, "height": max(HEIGHT, math.ceil(height))})
            self.page.wait_for_timeout(300)
        self.page.screenshot(path=path)
        self.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})

    def close(self) -> None:
        """Shut the kernel down, with its workers, and close the page."""
        self.choose("Kernel", "Shut Down Kernel")
        self.page.wait_for_function("() => !jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel")
        self.page.close()


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab, and the browser that shows it."""

    browser: Any
    url: str
    token: str

    def open(self, path: str) -> Notebook:
        """Open a notebook of the project, named as "notebooks/00-start.ipynb", and wait for its kernel."""
        page = self.browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.set_default_timeout(30_000)
        page.goto(f"{self.url}lab/tree/{path}?reset&token={self.token}")
        return Notebook(page)


@contextmanager
def running(chromium: str, project: Path, home: Path) -> Iterator[Lab]:
    """JupyterLab in a project's folder, as `make lab` starts it, without the user's settings and without a network.

    Args:
        chromium: Path of the browser.
        project: The project's folder, see `make_project`.
        home: An empty folder that is the home of JupyterLab and its kernels.
    """
    for name, settings in _SETTINGS.items():
        path = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(settings))
    with (home / "log.txt").open("w") as log:
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={_free_port()}"]
        command += [f"--notebook-dir={project}", "--allow-root"]
        command += ["--LabApp.extension_manager=readonly", "--expose-app-in-browser"]
        server = subprocess.Popen(command, cwd=project, env=_environment(project, home), stdout=log, stderr=log)
    try:
        about = _wait_for_server(server, home)
        with opened(chromium, "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1") as browser:
            yield Lab(browser, about["url"], about["token"])
    finally:
        left = _stop(server)
    assert not left, f"processes that JupyterLab left behind: {left}"


def _environment(project: Path, home: Path) -> dict[str, str]:
    other = re.compile("(JUPYTER|JPY|XDG|MPL|IPYTHON|CNNLAB).*")
    kept = {name: value for name, value in os.environ.items() if not other.fullmatch(name)}
    folders = {f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    own = {
        "HOME": str(home),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "JUPYTER_PREFER_ENV_PATH": "1",
        "PYTHONPATH": str(project / "src"),
        # Matplotlib's list of fonts is there. Making a new one takes seconds.
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
    }
    return kept | folders | own


def _free_port() -> int:
    with socket.socket() as test:
        test.bind(("127.0.0.1", 0))
        return int(test.getsockname()[1])


def _wait_for_server(server: subprocess.Popen[bytes], home: Path) -> dict[str, Any]:
    """Return what a server writes about itself when it is ready."""
    about, end = home / "runtime" / f"jpserver-{server.pid}.json", time.monotonic() + 300
    while not about.exists():
        assert server.poll() is None and time.monotonic() < end, (home / "log.txt").read_text()
        time.sleep(0.1)
    return dict(json.loads(about.read_text()))


def _stop(server: subprocess.Popen[bytes]) -> list[str]:
    """Stop a server with its kernels; return the processes that had to be killed."""
    try:
        started = psutil.Process(server.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        started = []
    server.terminate()  # it ends its kernels first
    try:
        server.wait(60)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    _, left = psutil.wait_procs(started, seconds_to_end())
    names = []
    for process in left:
        try:
            names.append(" ".join(process.cmdline()))
            process.kill()
        except psutil.NoSuchProcess:
            continue
    return names
