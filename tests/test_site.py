"""The site as a reader meets it: built strictly, served, and opened in a browser."""

import contextlib
import functools
import http.server
import os
import pathlib
import shutil
import subprocess
import sys
import threading

import pytest

for package in ("mkdocs", "jupytext", "nbclient", "sklearn"):
    pytest.importorskip(package, reason='needs: pip install "keras-vit[docs]"')
playwright = pytest.importorskip("playwright.sync_api", reason="needs: pip install playwright")

ROOT = pathlib.Path(__file__).parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}

# What is wrong with the page that is open, as texts.
FAULTS = """() => {
    const all = (selector) => [...document.querySelectorAll(selector)];
    const wide = document.documentElement.scrollWidth - window.innerWidth;
    return [
        ...(wide > 0 ? [`${wide} px wider than the window`] : []),
        ...all("img").filter((i) => !i.naturalWidth).map((i) => `no picture: ${i.src}`),
        ...all("img").filter((i) => !i.alt).map((i) => `picture without a text: ${i.src}`),
        ...all(".arithmatex").filter((f) => !f.querySelector(".katex"))
            .map((f) => `not drawn: ${f.textContent}`),
        ...all(".katex-error").map((f) => `no formula: ${f.textContent}`),
        ...all(".md-content p, .md-content li").filter((p) => p.innerText.includes("$$"))
            .map((p) => `formula as text: ${p.innerText}`),
    ];
}"""


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files and keeps quiet about it."""

    def log_message(self, *arguments):
        pass


def build(folder):
    """Builds the site below `folder`, as `make docs` does, from a copy of its sources."""
    ignored = shutil.ignore_patterns("tutorials")
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=ignored)
    for name in ("mkdocs.yml", "CHANGELOG.md"):
        shutil.copy(ROOT / name, folder)
    script = [ROOT / "docs" / "pages.py", "--pages", folder / "docs" / "tutorials"]
    for command in (script, ["-m", "mkdocs", "build", "--strict"]):
        made = subprocess.run(
            [sys.executable, *command],
            cwd=folder,
            capture_output=True,
            text=True,
            env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        )
        assert made.returncode == 0, made.stdout + made.stderr
    return folder / "site"


@contextlib.contextmanager
def served(folder):
    """Serves a folder on this machine; gives its address."""
    handler = functools.partial(Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@contextlib.contextmanager
def browsing(home, faults):
    """Opens a browser's tab; what its pages complain of or fetch elsewhere goes into `faults`."""
    with playwright.sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=CHROMIUM)
        tab = browser.new_page()
        tab.on("pageerror", lambda error: faults.append(f"{tab.url}: {error}"))
        tab.on("console", lambda said: said.type == "error" and faults.append(said.text))
        tab.on("request", lambda request: check_address(request.url, home, faults))
        tab.on("response", lambda r: r.status >= 400 and faults.append(f"{r.status}: {r.url}"))
        yield tab
        browser.close()


def check_address(url, home, faults):
    if not url.startswith((home, "data:", "blob:")):
        faults.append(f"left this machine: {url}")


@pytest.mark.slow  # it also runs all tutorials
@pytest.mark.skipif(not CHROMIUM, reason="needs the browser Chromium")
def test_site_in_a_browser(tmp_path):
    site, faults, formulas = build(tmp_path), [], 0
    pages = sorted(str(p.parent.relative_to(site)) for p in site.rglob("index.html"))
    assert {".", "api", "changelog", "tutorials"} <= set(pages)
    with served(site) as home, browsing(home, faults) as tab:
        for size in (DESKTOP, PHONE):
            tab.set_viewport_size(size)
            for page in pages:
                tab.goto(f"{home}{page}/", wait_until="networkidle")
                faults += [f"{page}, {size['width']} px: {fault}" for fault in tab.evaluate(FAULTS)]
                formulas += tab.locator(".katex-display").count()
        check_search(tab, home)
        check_dark(tab, home)
    assert not faults, "\n".join(faults)
    assert formulas > 0


def check_search(tab, home):
    """What one searches for is found, and leads there."""
    tab.set_viewport_size(DESKTOP)
    tab.goto(home)
    tab.locator(".md-search__input").fill("position embedding")
    found = tab.locator(".md-search-result__link")
    found.first.wait_for()
    found.first.click()
    tab.wait_for_url("**/?h=*")
    assert "position embedding" in tab.locator(".md-content").inner_text().lower()


def check_dark(tab, home):
    """The site is dark where the system is, and light again at a click."""
    body = tab.locator("body")
    tab.emulate_media(color_scheme="dark")
    tab.goto(home)
    assert body.get_attribute("data-md-color-scheme") == "slate"
    tab.locator("label[title='Light mode']").click()
    assert body.get_attribute("data-md-color-scheme") == "default"
