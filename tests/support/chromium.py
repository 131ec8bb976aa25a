"""Chromium by Playwright: opens a page of one file."""

import contextlib
import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
LOCAL = ("file:", "data:", "blob:")


@contextlib.contextmanager
def browsing(path):
    """Opens a file in a tab; fails at its end if the page complained or left the machine."""
    if CHROMIUM is None:
        pytest.skip("needs the browser Chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs: pip install playwright")
    faults = []
    with playwright.sync_playwright() as tools:
        chromium = tools.chromium.launch(executable_path=CHROMIUM)
        tab = chromium.new_page()
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.on("console", lambda said: faults.append(said.text))
        tab.on("request", lambda r: r.url.startswith(LOCAL) or faults.append(r.url[:80]))
        tab.goto(path.as_uri())
        yield tab
        chromium.close()
    assert not faults
