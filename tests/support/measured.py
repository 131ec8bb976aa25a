"""Finds tables of measured numbers in Markdown, and the facts that their sections omit.

A table holds measured numbers if a cell below its head is a number with a unit, such as `97.8 %`,
`1.51 x` or `4.07 s`, or a number below a head that names the unit, such as `create, s`.
Counts (parameters, multiply-adds), and shares within a sentence, are not. Neither is a table whose
head cites a publication, such as `Table 2`: its numbers are that table's or follow from them.

The section of such a table, or a section that it links to, states the command, the versions, the
hardware, the date and, for percentages, the seed. Unknown facts may be stated as such: "The date
was not recorded."
"""

import re
from typing import NamedTuple

UNIT = r"(?:%|x|s|ms|min|images/s|images/s|MiB|points)"
NUMBER = r"[+−-]? ?\d[\d.,]*"
MEASURED = re.compile(rf"\W*{NUMBER}\W*{UNIT}(?: \(.*\))?\W*")
UNIT_ABOVE = re.compile(rf".*(?:, {UNIT}|/s|accuracy)\W*", re.IGNORECASE)
CITED = re.compile(r"\bTable \d|\bFigure \d|arXiv", re.IGNORECASE)

CODE = r"`[^`]*|^"
FACTS = {
    "command": rf"(?m)(?:{CODE})(?:\S+ )*(?:keras-vit \w|python |pytest )|^print\(",
    "versions": r"(?is)(?=.*\bkeras 3\.\d).*\b(?:jax|tensorflow|torch) \d+\.\d",
    "hardware": r"EPYC|Xeon|Ryzen|Apple M\d|\b[AH][12]00\b|\bTPU v\d",
    "date": r"\b20\d\d-\d\d-\d\d\b",
    "seed": r"(?i)\bseeds?\b",
}


class Section(NamedTuple):
    """A part of a page from one heading to the next."""

    page: str
    anchor: str
    text: str


def sections(where, text):
    """Returns the sections of a page. A `#` within a code block begins none."""
    parts, fenced = [[]], False
    for line in text.splitlines():
        fenced ^= line.lstrip().startswith("```")
        if line.startswith("#") and not fenced:
            parts.append([])
        parts[-1].append(line)
    return [Section(where, _anchor(part[0]), "\n".join(part)) for part in parts if part]


def _anchor(heading):
    """Returns the anchor of a heading, as MkDocs makes it."""
    chosen = re.search(r"\{ *#(\S+) *\}", heading)
    title = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading.lower())
    return chosen[1] if chosen else re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", title).strip())


def silent(pages):
    """Returns (page, heading, fact) of each table of measured numbers whose section omits the fact.

    Args:
        pages: {path: Markdown}; a link leads from one to another, `(speed.md#the-machine)`.
    """
    every = [part for where, text in pages.items() for part in sections(where, text)]
    by_address = {(part.page, part.anchor): part.text for part in every}
    return [
        (part.page, part.text.splitlines()[0], fact)
        for part in every
        for fact in _missing(part, by_address)
    ]


def _missing(part, by_address):
    found = [table for table in tables(part.text) if is_measured(*table)]
    text = "\n".join([part.text, *_linked(part, by_address)])
    shares = any("%" in cell for _, rows in found for row in rows for cell in row)
    needed = [fact for fact in FACTS if found and (shares or fact != "seed")]
    confessed = re.compile(r"(?i)the (\w+) (?:was|were) not recorded").findall(text)
    return [f for f in needed if not re.search(FACTS[f], text) and f not in confessed]


def _linked(part, by_address):
    """Returns the sections that a section links to."""
    for target, anchor in re.findall(r"\]\(([^)\s#]*)#([^)\s]+)\)", part.text):
        folder = part.page.rpartition("/")[0]
        page = _joined(folder, target) if target else part.page
        yield by_address.get((page, anchor), "")


def _joined(folder, target):
    parts = folder.split("/") if folder else []
    for step in target.split("/"):
        parts = parts[:-1] if step == ".." else [*parts, step]
    return "/".join(parts)


def tables(text):
    """Returns the tables of a text as (cells of the head, rows of cells)."""
    found = re.findall(r"(?:^\|.*\n?){3,}", text, re.MULTILINE)
    split = [[_cells(line) for line in table.splitlines()] for table in found]
    return [(head, rows) for head, _, *rows in split]


def _cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def is_measured(head, rows):
    """Whether a table is one of measured numbers."""
    if CITED.search(" ".join(head)):
        return False
    above = [bool(UNIT_ABOVE.fullmatch(name)) for name in head]
    return any(_measures(row, above) for row in rows)


def _measures(row, above):
    numbers = [re.fullmatch(rf"\W*{NUMBER}\W*", cell) for cell in row]
    headed = any(number and unit for number, unit in zip(numbers, above, strict=False))
    return headed or any(map(MEASURED.fullmatch, row))
