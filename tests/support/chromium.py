"""Chromium by Playwright: opens a page of one file."""

import base64
import contextlib
import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
LOCAL = ("file:", "data:", "blob:")
DROP = """(files) => {
  for (const [data, name] of files) {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const given = new DataTransfer();
    given.items.add(new File([bytes], name));
    document.dispatchEvent(new DragEvent("drop", { dataTransfer: given, cancelable: true }));
  }
}"""


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


def until(tab, condition):
    """Waits; the page's security policy forbids `wait_for_function`."""
    for _ in range(1000):
        if tab.evaluate(condition):
            return
        tab.wait_for_timeout(30)
    raise TimeoutError(condition)


def drop(tab, *files):
    """Drops files on the page, one after the other, at once; each is (bytes, name)."""
    tab.evaluate(DROP, [(base64.b64encode(data).decode(), name) for data, name in files])
