"""The site as a reader sees it: built strictly, served, and opened in a browser."""

import contextlib
import functools
import html.parser
import http.server
import itertools
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import urllib.parse

import pytest
from helpers import ROOT

import keras_vit

for package in ("mkdocs", "jupytext", "nbclient", "sklearn"):
    pytest.importorskip(package, reason="needs: pip install -e '.[docs]'")
playwright = pytest.importorskip("playwright.sync_api", reason="needs: pip install playwright")

pytestmark = [pytest.mark.slow, pytest.mark.first, pytest.mark.backend_free]  # all tutorials
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}

# Problems of the open page, as texts.
FAULTS = """() => {
    const all = (selector) => [...document.querySelectorAll(selector)];
    const wide = document.documentElement.scrollWidth - window.innerWidth;
    return [
        ...(wide > 0 ? [`${wide} px wider than the window`] : []),
        ...all("img").filter((i) => !i.naturalWidth).map((i) => `no image: ${i.src}`),
        ...all("img").filter((i) => !i.alt).map((i) => `image without a text: ${i.src}`),
        ...all("article svg:not(.katex svg, button svg, [role=img] svg)")
            .filter((i) => !i.getAttribute("aria-labelledby"))
            .map((i) => `drawing without a text: ${i.outerHTML.slice(0, 80)}`),
        ...all(".arithmatex").filter((f) => !f.querySelector(".katex"))
            .map((f) => `not drawn: ${f.textContent}`),
        ...all(".md-nav, .md-footer").filter((nav) => nav.innerText.includes("\\\\("))
            .map((nav) => `formula as text: ${nav.innerText}`),
        ...all(".katex-error").map((f) => `no formula: ${f.textContent}`),
        ...all(".md-content p, .md-content li").filter((p) => p.innerText.includes("$$"))
            .map((p) => `formula as text: ${p.innerText}`),
        ...all(".md-content p").filter((p) => p.innerText.includes("--8<--"))
            .map((p) => `not included: ${p.innerText}`),
    ];
}"""

# Texts with less contrast to their background than WCAG 2.2, 1.4.3 requires.
FAINT = """() => {
    const numbers = (color) => {
        const [r, g, b, a = 1] = color.match(/[\\d.]+/g).map(Number);
        return color.startsWith("color(") ? [255 * r, 255 * g, 255 * b, a] : [r, g, b, a];
    };
    const over = ([r, g, b, a], below) =>
        [r, g, b].map((value, i) => a * value + (1 - a) * below[i]);
    const once = (compute, first, known = new Map([[null, first]])) => (element) => {
        if (!known.has(element)) known.set(element, compute(element));
        return known.get(element);
    };
    const behind = once((element) =>
        over(numbers(getComputedStyle(element).backgroundColor), behind(element.parentElement)),
        [255, 255, 255]);
    const light = (color) => {
        const [r, g, b] = color.map((v) => v / 255)
            .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const opacity = once((element) =>
        getComputedStyle(element).opacity * opacity(element.parentElement), 1);
    const found = new Map();
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        const element = walk.currentNode.parentElement;
        if (!walk.currentNode.textContent.trim() || !element.checkVisibility({
            opacityProperty: true, visibilityProperty: true })) continue;
        if (element.closest("title, script, style, .katex-mathml, .headerlink, .on")) continue;
        const style = getComputedStyle(element), below = behind(element);
        const [r, g, b, a] = numbers(element.closest("svg") ? style.fill : style.color);
        const [high, low] = [light(over([r, g, b, a * opacity(element)], below)), light(below)]
            .sort((x, y) => y - x);
        const size = parseFloat(style.fontSize), bold = style.fontWeight >= 700;
        const needed = size >= 24 || (bold && size >= 18.66) ? 3 : 4.5;
        const ratio = (high + 0.05) / (low + 0.05);
        if (ratio < needed)
            found.set(`${element.tagName}.${element.className}`,
                `contrast ${ratio.toFixed(2)}: ${walk.currentNode.textContent.trim()}`);
    }
    return [...found].map(([where, what]) => `${what} (${where})`);
}"""


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files without logging."""

    def log_message(self, *arguments):
        pass


def build(folder):
    """Builds the site below `folder` as CI does, from a copy of its sources."""
    ignored = shutil.ignore_patterns("tutorials")
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=ignored)
    for name in ("mkdocs.yml", "CHANGELOG.md"):
        shutil.copy(ROOT / name, folder)
    (folder / "keras_vit").symlink_to(ROOT / "keras_vit")  # a page shows a file of it
    script = [ROOT / "docs" / "pages.py", "0", "1", "--pages", folder / "docs" / "tutorials"]
    script += ["--parts", folder / "build"]
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
    """Serves a folder on this machine; yields its address."""
    handler = functools.partial(Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@contextlib.contextmanager
def browsing(home, faults):
    """Opens a browser tab; errors and external requests of its pages are added to `faults`."""
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


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site that `make docs` built if nothing has changed since, otherwise a new build."""
    built = ROOT / "site"
    sources = [ROOT / "mkdocs.yml", ROOT / "CHANGELOG.md"]
    for folder in ("docs", "keras_vit", "tutorials"):
        sources += [
            p for p in (ROOT / folder).rglob("*") if p.suffix in (".py", ".md", ".css", ".js")
        ]
    newest = max(path.stat().st_mtime for path in sources)
    if (built / "index.html").exists() and (built / "index.html").stat().st_mtime > newest:
        return built
    return build(tmp_path_factory.mktemp("site"))


# The bytes of the page and of everything that it loaded, as on the disk.
LOADED = """() => [...performance.getEntriesByType("navigation"),
    ...performance.getEntriesByType("resource")].reduce((sum, e) => sum + e.decodedBodySize, 0)"""
# Every formula has been drawn and every image is there, or none will be.
DRAWN = """() => {
    const images = [...document.images];
    images.forEach((image) => (image.loading = "eager"));
    return images.every((image) => image.complete)
        && [...document.querySelectorAll(".arithmatex")].every((f) => f.querySelector(".katex"));
}"""
# The page has the colors of this scheme, and no transition from another one is under way.
SHOWN = """name => document.body.dataset.mdColorScheme == name
    && document.getAnimations().every(a => a.playState != "running")"""


@pytest.mark.skipif(not CHROMIUM, reason="needs the browser Chromium")
def test_site_in_a_browser(site):
    faults, formulas = [], 0
    pages = sorted(str(p.relative_to(site)) for p in site.rglob("*.html"))
    own = {"explorer/explorer.html", "slides/slides.html"}  # they have tests of their own
    expected = {"index.html", "api/models.html", "faq.html", "tutorials/index.html"}
    assert own | expected <= {*pages}
    pages = [page for page in pages if page not in {"404.html", *own}]
    with served(site) as home, browsing(home, faults) as tab:
        for size, page in itertools.product((DESKTOP, PHONE), pages):
            tab.set_viewport_size(size)
            tab.goto(f"{home}{page}")
            tab.wait_for_function(DRAWN)
            formulas += tab.locator(".katex-display").count()
            if tab.evaluate(LOADED) > 1_000_000:
                faults.append(f"{page}: more than 1 MB")
            said = tab.evaluate(FAULTS)
            said += faint_texts(tab) if size is DESKTOP else []  # equal at any width
            faults += [f"{page}, {size['width']} px: {fault}" for fault in said]
        check_home(tab, home)
        check_table(tab, home)
        check_search(tab, home)
        check_answers(tab, home)
        check_dark(tab, home)
    assert not faults, "\n".join(faults)
    assert formulas > 0


def faint_texts(tab):
    """The texts with too little contrast in the light and in the dark scheme."""
    found = []
    for scheme, name in (("light", "default"), ("dark", "slate")):
        tab.emulate_media(color_scheme=scheme)
        tab.wait_for_function(SHOWN, arg=name)
        found += [f"{scheme}: {text}" for text in tab.evaluate(FAINT)]
    return found


def check_home(tab, home):
    """The introduction, the code and the figure fit on one screen, in at most 600 kB in all."""
    tab.set_viewport_size(DESKTOP)
    tab.goto(home, wait_until="networkidle")
    box = tab.locator(".hero").bounding_box()
    assert box["y"] + box["height"] <= DESKTOP["height"]
    fresh = tab.context.browser.new_page()  # with nothing in its cache
    fresh.goto(home, wait_until="networkidle")
    assert 300_000 < fresh.evaluate(LOADED) <= 600_000
    fresh.close()


def check_table(tab, home):
    """On a phone, the zoo's tables scroll, but the page does not."""
    tab.set_viewport_size(PHONE)
    tab.goto(f"{home}zoo.html")
    scrolls = "box => box.scrollWidth > box.clientWidth && getComputedStyle(box).overflowX"
    assert tab.locator(".md-typeset__scrollwrap").first.evaluate(scrolls) == "auto"


def search(tab, question):
    """The first answer of the site's search."""
    words = tab.locator(".md-search__input")
    words.fill(question)
    words.press("End")  # the search reads its input when a key is released
    found = tab.locator(".md-search-result__link").first
    found.wait_for()
    return found


def check_search(tab, home):
    """A search finds the page and leads there. The index is loaded only for searches."""
    tab.set_viewport_size(DESKTOP)
    tab.goto(home)
    with tab.expect_response("**/search_index.json"):
        found = search(tab, "position embedding")
    found.click()
    tab.wait_for_url("**/*?h=*")
    assert "position embedding" in tab.locator(".md-content").inner_text().lower()


# What people search for, and the page that should be the first answer.
ANSWERS = {
    "freeze layers": "howto/freezing.html",
    "how to freeze layers": "howto/freezing.html",
    "class weight": "training.html",
    "attention map": "explain.html",
    "attention": "explain.html",
    "fine-tune": "tutorials/08_finetuning.html",
    "error label": "faq.html",
    "out of memory": "faq.html",
    "attention_rollout": "api/explain.html",
}


def check_answers(tab, home):
    """The best page comes first."""
    for question, page in ANSWERS.items():
        tab.goto(home)
        assert search(tab, question).get_attribute("href").startswith(f"{home}{page}"), question


def check_dark(tab, home):
    """The site is dark if the system is, and light again after a click."""
    body = tab.locator("body")
    tab.emulate_media(color_scheme="dark")
    tab.goto(home)
    assert body.get_attribute("data-md-color-scheme") == "slate"
    tab.locator("label[title='Light mode']").click()
    assert body.get_attribute("data-md-color-scheme") == "default"


@pytest.mark.skipif(not CHROMIUM, reason="needs the browser Chromium")
def test_site_from_a_disk(site):
    """Links, formulas and the search need no server."""
    faults, home = [], site.as_uri()
    with browsing(home, faults) as tab:
        tab.set_viewport_size(DESKTOP)
        tab.goto(f"{home}/index.html")
        tab.get_by_role("link", name="Course", exact=True).first.click()
        assert tab.url == f"{home}/tutorials/index.html"
        tab.goto(f"{home}/paper.html")
        tab.wait_for_function(DRAWN)
        search(tab, "position embedding")
    assert not faults, "\n".join(faults)


class Page(html.parser.HTMLParser):
    """The anchors, links and code of a page."""

    def __init__(self, file):
        super().__init__()
        self.anchors, self.links, self.code, self._in_code = {""}, [], [], False
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.anchors |= {attributes.get("id", ""), attributes.get("name", "")}
        link = attributes.get("href" if tag in ("a", "link") else "src")
        self.links += [link] if link else []
        self._in_code = tag == "code"

    def handle_data(self, data):
        self.code += [data] if self._in_code else []

    def handle_endtag(self, tag):
        self._in_code = False


def test_every_link_within_the_site_leads_somewhere(site):
    pages = {file: Page(file) for file in site.rglob("*.html") if file.name != "404.html"}
    links = [(file, link) for file, page in pages.items() for link in page.links]
    assert len(links) > 1000
    dead = [(file, link) for file, link in links if not leads(file, link, pages)]
    assert not dead, "\n".join(f"{file.relative_to(site)}: {link}" for file, link in dead)


def leads(file, link, pages):
    """Whether the file and the anchor of a link exist; other sites are not contacted."""
    parts = urllib.parse.urlsplit(link)
    if parts.scheme or parts.netloc:
        return True
    target = file.parent / urllib.parse.unquote(parts.path) if parts.path else file
    target = pathlib.Path(os.path.normpath(target))
    target = target / "index.html" if target.is_dir() else target
    if target in pages:
        return urllib.parse.unquote(parts.fragment) in pages[target].anchors
    return target.is_file()


def test_every_name_of_the_catalogue_stands_in_the_zoo(site):
    names = Page(site / "zoo.html").code
    assert {*keras_vit.checkpoints.entries(), *keras_vit.list_variants()} <= {*names}
