"""The lecture: one file with all its slides, equations that are lines of the code, and its keys."""

import html.parser
import importlib
import re
import shutil
import sys

import pytest
from helpers import ROOT

pytest.importorskip("markdown", reason="needs: pip install -e '.[docs]'")

pytestmark = pytest.mark.backend_free
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
SOURCE = (ROOT / "docs" / "slides" / "lecture.md").read_text(encoding="utf-8")
SLIDES = SOURCE.split("\n---\n")

# Parts of the current slide that are outside it or do not fit their box.
OUTSIDE = """() => {
    const slide = document.querySelector("section.now"), box = slide.getBoundingClientRect();
    const heading = slide.querySelector("h1, h2").getBoundingClientRect();
    const parts = "h1, h2, .text:not(:empty), .text > *, li, figure, figure img";
    return [...slide.querySelectorAll(parts)]
        .filter((e) => {
            const { left, right, top, bottom } = e.getBoundingClientRect();
            return left < box.left || right > box.right + 1 || bottom > box.bottom - 16
                || !e.matches("h1, h2") && top < heading.bottom - 1
                || e.scrollWidth > e.clientWidth + 2 && e.matches("pre, table");
        })
        .map((e) => `slide ${slide.id}: ${e.tagName} ${e.textContent.slice(0, 40)}`);
}"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The lecture as `docs/pages.py` writes it, where no tutorial's page has been made."""
    folder = tmp_path_factory.mktemp("slides")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "docs")
        importlib.import_module("slides").write(folder / "slides.html", folder / "tutorials")
        for name in ("slides", "reference", "docstrings"):
            sys.modules.pop(name, None)
    return folder / "slides.html"


class Page(html.parser.HTMLParser):
    """The headings and slides of a page, and the addresses that it loads or links."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.loaded, self.links = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags += [tag] if tag in ("h1", "h2", "h3", "section", "aside") else []
        if tag == "a":
            self.links.append(attributes["href"])
        else:
            self.loaded += [v for k, v in attributes.items() if k in ("src", "href", "srcset")]


def test_it_is_one_file_with_a_heading_and_notes_on_each_slide(made):
    text = made.read_text(encoding="utf-8")
    page = Page(text)
    first, rest = ["section", "h1", "aside"], ["section", "h2", "aside"]
    assert page.tags == first + rest * (len(SLIDES) - 1)
    assert 28 <= len(SLIDES) <= 35
    assert len(page.loaded) > 5
    assert all(address.startswith(("data:", "#scene")) for address in page.loaded)
    assert not re.search(r"@import|url\(", text)
    assert "{{" not in text and "$" not in re.sub(r"<script>.*", "", text, flags=re.DOTALL)
    minutes = [int(re.search(r"\nNotes:\nMinute (\d+)\. ", slide)[1]) for slide in SLIDES]
    assert minutes == sorted(minutes) and minutes[-1] < 45


def test_its_equations_are_lines_of_the_trunk(made):
    shown = re.findall(
        r"<code>([^<]+)</code><br />\n<em>Eq\. (\d), (\S+):(\d+)</em>", made.read_text("utf-8")
    )
    assert sorted(number for _, number, _, _ in shown) == list("12345678")
    for code, number, file, line in shown:
        truth = (ROOT / file).read_text("utf-8").splitlines()[int(line) - 1]
        assert truth.strip().startswith(html.unescape(code))
        assert re.search(rf"Eq\. (\d, )?{number}\b", truth)


def test_its_figures_are_there_or_drawn_by_a_tutorial():
    names = re.findall(r"^!\[.+\]\((\S+)\)$", SOURCE, re.MULTILINE)
    drawn = [name for name in names if name.startswith("../tutorials/")]
    assert drawn and len(names) > len(drawn)
    for name in {*names} - {*drawn}:
        assert (ROOT / "docs" / "slides" / name).is_file(), name
    for name in drawn:
        folder, stem, number = re.fullmatch(r"\.\./(.+)figures/(.+)-(\d+)\.webp", name).groups()
        cells = (ROOT / folder / f"{stem}.py").read_text(encoding="utf-8")
        assert 1 <= int(number) <= len(re.findall(r"^# %% alt=", cells, re.MULTILINE)), name


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="needs the browser Chromium")
def test_its_keys_and_that_each_slide_fits(made):
    tools = pytest.importorskip("playwright.sync_api", reason="needs: pip install playwright")
    faults = []
    with tools.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM)
        tab = chromium.new_page(viewport={"width": 1280, "height": 720})
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.on("request", lambda r: r.url.startswith(("file:", "data:")) or faults.append(r.url))
        tab.goto(f"{made.as_uri()}#3")
        shown = tab.locator("section:visible")
        assert shown.get_attribute("id") == "3"
        for key, slide in (
            ("ArrowRight", 4), ("Space", 5), ("ArrowLeft", 4), ("PageUp", 3), ("Home", 1),
            ("ArrowLeft", 1), ("End", len(SLIDES)), ("ArrowRight", len(SLIDES)),
        ):  # fmt: skip
            tab.keyboard.press(key)
            assert shown.get_attribute("id") == str(slide), key
        assert tab.url.endswith(f"#{len(SLIDES)}")
        assert tab.locator("aside:visible").count() == 0
        tab.keyboard.press("n")
        assert tab.locator("aside:visible").count() == 1
        tab.keyboard.press("n")
        for index in range(len(SLIDES)):
            faults += tab.evaluate(f"show({index}), ({OUTSIDE})()")
        pages = tab.pdf(prefer_css_page_size=True)
        assert len(re.findall(rb"/Type\s*/Page\b", pages)) == len(SLIDES)
        tab.set_viewport_size({"width": 390, "height": 844})
        assert tab.locator("section:visible").count() == len(SLIDES)
        assert tab.evaluate("document.documentElement.scrollWidth") == 390
        chromium.close()
    assert not faults, "\n".join(faults)
