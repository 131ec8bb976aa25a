"""The result of a check as text, as JSON and as an HTML page without scripts or other files."""

import html
import importlib.resources
import json
import os
import string
from collections import Counter
from typing import NamedTuple

from keras_vit.doctor import workers
from keras_vit.doctor.file_tree import printable
from keras_vit.doctor.near_duplicates import LATER
from keras_vit.doctor.problems import KINDS, SEVERITIES, Problem
from keras_vit.io.writing import replacing

FORMAT = "keras-vit check-data 1"
SHOWN = 5  # problems of each kind in the text
CARDS = 12  # problems of each kind with thumbnails in the page
THUMBNAILS = 240  # in a page: 2 to 4 kB each
LINES = 2000  # further problems of each kind, one line each


class DatasetReport(NamedTuple):
    """The result of `keras_vit.data.check`; `print` it.

    Attributes:
        folder: absolute path.
        images: number of image files that were examined.
        classes: {class: {split: readable images}}; the split is "" if there are no splits.
        problems: tuple of `Problem`, errors first.
        seconds: duration of the check.
    """

    folder: str
    images: int
    classes: dict
    problems: tuple
    seconds: float

    @property
    def ok(self):
        """Whether there are no errors; there may be warnings and notes."""
        return not self.of("error")

    @property
    def counts(self):
        """{kind: number of problems}, errors first."""
        return dict(Counter(problem.kind for problem in self.problems))

    def of(self, severity):
        """Returns the problems of a severity, "error", "warning" or "note"."""
        return [problem for problem in self.problems if problem.severity == severity]

    def summary(self):
        """Returns the result in one line."""
        counts = [_plural(len(self.of(severity)), severity) for severity in SEVERITIES]
        images, classes = _plural(self.images, "image"), _plural(len(self.classes), "class")
        return f"{images} in {classes}: {', '.join(counts)}"

    def __str__(self):
        parts = [f"{printable(self.folder)}: {self.summary()}"]
        parts += [_format_kind(kind, found) for kind, found in self.by_kind().items()]
        return "\n\n".join(parts if self.problems else [*parts, "No problems were found."])

    def by_kind(self):
        """Returns {kind: list of its problems}, errors first."""
        groups = {}
        for problem in self.problems:
            groups.setdefault(problem.kind, []).append(problem)
        return groups

    def to_json(self):
        """Returns the report as JSON; bytes that are not UTF-8 become \\udc80 to \\udcff."""
        fields = ("kind", "severity", "path", "class_name", "split", "reason", "advice", "others")
        problems = [
            {field.removesuffix("_name"): getattr(problem, field) for field in fields}
            for problem in self.problems
        ]
        return json.dumps(
            {
                "format": FORMAT,
                "folder": self.folder,
                "ok": self.ok,
                "images": self.images,
                "seconds": round(self.seconds, 3),
                "severities": {severity: len(self.of(severity)) for severity in SEVERITIES},
                "counts": self.counts,
                "classes": self.classes,
                "problems": problems,
            },
            indent=1,
        )

    @classmethod
    def from_json(cls, text):
        """Reads the text that `to_json` wrote; raises `ValueError` for any other."""
        found = json.loads(text)
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            received = found.get("format") if isinstance(found, dict) else type(found).__name__
            raise ValueError(
                f"A report of the format {FORMAT!r} was expected. Received: {received!r}. Give the "
                "text that `to_json` returned."
            )
        problems = [
            Problem(*(each[field.removesuffix("_name")] for field in Problem._fields))
            for each in found["problems"]
        ]
        problems = tuple(each._replace(others=tuple(each.others)) for each in problems)
        rest = (found[name] for name in ("folder", "images", "classes"))
        return cls(*rest, problems, found["seconds"])

    def write_json(self, path):
        """Writes `to_json` to a file, atomically."""
        _write(path, self.to_json())

    def to_html(self, path):
        """Writes a self-contained page with thumbnails to a file, atomically."""
        _write(path, _render(self))


def _write(path, text):
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(text)


def _format_kind(kind, problems):
    row = KINDS[kind]
    lines = [f"{row.severity.upper()} {kind} ({len(problems):,}): {row.meaning}"]
    for problem in problems[:SHOWN]:
        name = f" ({printable(problem.class_name)})" if problem.class_name else ""
        others = ", ".join(map(printable, problem.others[:2]))
        more = f": {others}" if others else ""
        lines.append(f"  {printable(problem.path)}{name}: {problem.reason}{more}")
    if len(problems) > SHOWN:
        lines.append(f"  ... and {len(problems) - SHOWN:,} more")
    lines.append(f"  What to do: {row.advice}")
    return "\n".join(lines)


def _plural(number, thing):
    ending = "" if number == 1 else "es" if thing.endswith("s") else "s"
    return f"{number:,} {thing}{ending}"


def _render(report):
    """Fills `report.html`; `workers` open images again for their thumbnails."""
    groups = report.by_kind()
    thumbnails = _make_thumbnails(report.folder, groups)
    counts = {severity: len(report.of(severity)) for severity in SEVERITIES}
    sections = []
    for severity in SEVERITIES:
        if counts[severity]:
            sections.append(f'<h2 id="{severity}">{severity.capitalize()}s</h2>')
        kinds = [kind for kind in groups if KINDS[kind].severity == severity]
        sections += [_section(kind, groups[kind], thumbnails) for kind in kinds]
    totals = [
        f'<a href="#{severity}" class="{severity}"><b>{number:,}</b>'
        f"{severity if number == 1 else severity + 's'}</a>"
        for severity, number in counts.items()
    ]
    template = importlib.resources.files(__package__).joinpath("report.html")
    return string.Template(template.read_text(encoding="utf-8")).substitute(
        name=_text(os.path.basename(report.folder) or report.folder),
        folder=_text(report.folder),
        summary=report.summary(),
        seconds=f"{report.seconds:.1f}",
        totals="".join(totals),
        sections="\n".join(sections) or "<h2>No problems were found</h2>",
        classes=_classes(report.classes),
    )


def _make_thumbnails(folder, groups):
    """Returns {path: JPEG as base64} of the images on cards."""
    cards = (problem for group in groups.values() for problem in group[:CARDS])
    wanted = dict.fromkeys(path for card in cards for path in (card.path, *card.others[:1]))
    full = {path: os.path.join(folder, path) for path in wanted}
    paths = [path for path in wanted if os.path.isfile(full[path])][:THUMBNAILS]
    results = workers.run("thumbnail", [full[path] for path in paths])
    return {paths[index]: data for index, data in results if isinstance(data, str)}


def _section(kind, problems, thumbnails):
    """All problems of a kind: the first ones on cards, the others in a list."""
    severity, meaning, advice, _ = KINDS[kind]
    shown = "" if severity == "note" else " open"
    cards = "".join(_card(problem, thumbnails) for problem in problems[:CARDS])
    return (
        f'<details class="{severity}"{shown}><summary>'
        f'<span class="kind">{kind}</span> <span class="count">{len(problems):,}</span><br>'
        f'{_text(meaning)}</summary><div class="inside"><p class="advice"><b>What to do:</b> '
        f'{_text(advice)}</p><ul class="cards">{cards}</ul>{_lines(problems[CARDS:])}</div>'
        "</details>"
    )


def _card(problem, thumbnails):
    images = "".join(_image(thumbnails.get(p)) for p in (problem.path, *problem.others[:1]))
    others = "".join(f'<p class="path">{_text(path)}</p>' for path in problem.others[:5])
    place = " / ".join(name for name in (problem.split, problem.class_name) if name)
    place = f'<p class="soft">{_text(place)}</p>' if place else ""
    return (
        f'<li><div class="pair">{images}</div><div><p class="path">{_text(problem.path)}</p>'
        f"<p>{_text(problem.reason)}</p>{others}{place}</div></li>"
    )


def _image(data):
    if data is None:
        return '<span class="none" aria-hidden="true">&#8709;</span>'
    return f'<img alt="" width="72" height="72" src="data:image/jpeg;base64,{data}">'


def _lines(problems):
    if not problems:
        return ""
    lines = [
        f'<li><span class="path">{_text(" = ".join((p.path, *p.others[:5])))}</span> '
        f'<span class="soft">{_text(p.reason)}</span></li>'
        for p in problems[:LINES]
    ]
    if len(problems) > LINES:
        lines.append(f"<li>and {len(problems) - LINES:,} more; the JSON report lists all</li>")
    return (
        f"<details><summary>{len(problems):,} more</summary>"
        f'<ol class="more inside">{"".join(lines)}</ol></details>'
    )


def _classes(classes):
    """A table of the classes: images in each split, and a bar for their sum."""
    splits = [s for s in LATER if any(s in counts for counts in classes.values())]
    most = max([1, *(sum(counts.values()) for counts in classes.values())])
    heads = "".join(f'<th class="number">{split or "images"}</th>' for split in splits)
    rows = []
    for name, counts in list(classes.items())[:LINES]:
        cells = "".join(f'<td class="number">{counts.get(split, 0):,}</td>' for split in splits)
        share = f"{100 * sum(counts.values()) / most:.1f}"
        bar = f'<td class="bar"><span style="width:{share}%"></span></td>'
        rows.append(f"<tr><td>{_text(name)}</td>{cells}{bar}</tr>")
    return (
        f'<div class="scroll"><table><tr><th>class</th>{heads}<th></th></tr>'
        f"{''.join(rows)}</table></div>"
    )


def _text(text):
    return html.escape(printable(text))
