"""Makes the tables of the API's pages: every name that they document, with its first sentence."""

import functools
import pathlib
import re

import docstrings
import griffe

PAGES = pathlib.Path(__file__).parent / "api"
ENTRY = re.compile(r"^::: (\S+)", re.MULTILINE)
TITLE = re.compile(r"^# (.+)", re.MULTILINE)


def parts():
    """Returns the tables of all pages and of the index, {name of the page: Markdown}."""
    pages = {path.stem: path.read_text(encoding="utf-8") for path in sorted(PAGES.glob("*.md"))}
    tables = {name: _table(ENTRY.findall(text)) for name, text in pages.items()}
    order = re.findall(r"api/(\w+)\.md", (PAGES.parents[1] / "mkdocs.yml").read_text("utf-8"))
    titles = {name: TITLE.search(text)[1] for name, text in pages.items()}
    shown = [name for name in order if name != "index"]
    tables["index"] = "\n".join(f"## [{titles[n]}]({n}.md)\n\n{tables[n]}" for n in shown)
    return tables


def _table(names):
    short = {name: name.removeprefix("keras_vit.") for name in names}
    rows = [f"| [`{short[name]}`][{name}] | {_sentence(name)} |\n" for name in names]
    return "".join(["| Name | What it is |\n|---|---|\n", *rows])


def _sentence(name):
    """Returns the first sentence of a docstring, on one line."""
    found = _package()[name.partition(".")[2]]
    text = found.docstring.value.partition("\n\n")[0] if found.docstring else ""
    return " ".join(text.split()).replace("|", "\\|")


@functools.cache
def _package():
    extensions = griffe.Extensions(docstrings.HouseStyle())
    search = [PAGES.parents[1]]
    return griffe.load("keras_vit", search_paths=search, extensions=extensions)
