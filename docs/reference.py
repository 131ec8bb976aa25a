"""Makes tables that come from the code: names with their first sentences, lines of equations."""

import functools
import pathlib
import re

import docstrings
import griffe

PAGES = pathlib.Path(__file__).parent / "api"
ENTRY = re.compile(r"^::: (\S+)", re.MULTILINE)
# A line of code whose comment ends with the number of its equation.
EQUATION = re.compile(r"^ +(\S.*?)  # .*?Eq\. (\d)(?:, (\d))?$")
TRUNK = ("layers.py", "vit.py")
FORMULAS = {
    1: r"1: $z_0 = [x_{\mathrm{class}};\, x_p^1 E; \ldots; x_p^N E] + E_{\mathrm{pos}}$",
    2: r"2: $z'_l = \mathrm{MSA}(\mathrm{LN}(z_{l-1})) + z_{l-1}$",
    3: r"3: $z_l = \mathrm{MLP}(\mathrm{LN}(z'_l)) + z'_l$",
    4: r"4: $y = \mathrm{LN}(z_L^0)$",
    5: r"5: $[q, k, v] = z\, U_{\mathrm{qkv}}$",
    6: r"6: $A = \mathrm{softmax}(q k^\top / \sqrt{D_h})$",
    7: r"7: $\mathrm{SA}(z) = A v$",
    8: r"8: $\mathrm{MSA}(z) = [\mathrm{SA}_1(z); \ldots; \mathrm{SA}_k(z)]\, U_{\mathrm{msa}}$",
}
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


def find_equations():
    """Returns {number of the equation: (file and line of the trunk, the code there)}."""
    found = {}
    for name in TRUNK:
        text = (PAGES.parents[1] / "keras_vit" / name).read_text(encoding="utf-8")
        for number, line in enumerate(text.splitlines(), start=1):
            if match := EQUATION.match(line):
                for equation in filter(None, match.groups()[1:]):
                    found.setdefault(int(equation), (f"{name}:{number}", match[1]))
    return found


def equations():
    """Returns the table of Eq. 1-8: the line of the trunk that computes each, and its code."""
    found = find_equations()
    rows = [f"| {FORMULAS[i]} | `{found[i][0]}` | `{found[i][1]}` |\n" for i in sorted(FORMULAS)]
    return "".join(["| Eq. | line | code |\n|---|---|---|\n", *rows])
