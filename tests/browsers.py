"""A real browser for tests, where the machine has one."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent
AXE = ROOT / "browser" / "node_modules" / "axe-core" / "axe.min.js"


def chromium(shown: str) -> str:
    """The path of Chromium; skips the test, and says what has not been shown, where there is none."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not found:
        pytest.skip(f"there is no Chromium: {shown} has not been shown here")
    return found


def axe() -> str:
    """The source of axe-core; skips the test where it is not installed."""
    if not AXE.exists():
        missing = "there is no axe-core (npm ci --prefix tests/browser)"
        pytest.skip(f"{missing}: that everybody can read the page has not been shown here")
    return AXE.read_text(encoding="utf-8")


@contextmanager
def opened(path: str, *more: str) -> Iterator[Any]:
    """Chromium, driven by Playwright, with most of its own requests, its updates and the user's proxy switched off."""
    from playwright.sync_api import sync_playwright

    quiet = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-proxy-server",
        *more,
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=quiet, timeout=120_000)
        yield browser
        browser.close()
