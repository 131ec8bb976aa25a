"""The result of a check as text, as JSON and as an HTML page without scripts or other files."""

import json
import os
from collections import Counter
from typing import NamedTuple

from keras_vit.doctor import workers
from keras_vit.doctor.file_tree import printable
from keras_vit.doctor.near_duplicates import LATER
from keras_vit.doctor.problems import KINDS, SEVERITIES
from keras_vit.io import html_page
from keras_vit.io.writing import write_text

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

    def write_json(self, path):
        """Writes `to_json` to a file, atomically."""
        write_text(path, self.to_json())

    def to_html(self, path):
        """Writes a self-contained page with thumbnails to a file, atomically."""
        write_text(path, _render(self))


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
    totals, sections = [], []
    for severity in SEVERITIES:
        number = len(report.of(severity))
        name = severity if number == 1 else severity + "s"
        totals.append(_fill("total", severity=severity, number=f"{number:,}", name=name))
        if number:
            sections.append(_fill("severity", severity=severity, title=f"{severity.title()}s"))
        kinds = [kind for kind in groups if KINDS[kind].severity == severity]
        sections += [_fill_kind(kind, groups[kind], thumbnails) for kind in kinds]
    name = os.path.basename(report.folder) or report.folder
    heads, classes = _fill_classes(report.classes)
    body = _fill(
        "body",
        name=name,
        folder=report.folder,
        summary=report.summary(),
        seconds=f"{report.seconds:.1f}",
        totals=totals,
        sections=sections or _fill("no_problems"),
        heads=heads,
        classes=classes,
    )
    return html_page.page(f"Data check: {printable(name)}", _fill("style"), body)


def _make_thumbnails(folder, groups):
    """Returns {path: JPEG as base64} of the images on cards, but not of links that lead outside."""
    outside = {problem.path for problem in groups.get("link-outside", ())}
    cards = (problem for group in groups.values() for problem in group[:CARDS])
    wanted = dict.fromkeys(path for card in cards for path in (card.path, *card.others[:1]))
    full = {path: os.path.join(folder, path) for path in wanted}
    paths = [path for path in wanted if os.path.isfile(full[path]) and path not in outside]
    paths = paths[:THUMBNAILS]
    results = workers.run("thumbnail", [full[path] for path in paths])
    return {paths[index]: data for index, data in results if isinstance(data, str)}


def _fill_kind(kind, problems, thumbnails):
    """Returns all problems of a kind: the first ones on cards, the others in a list."""
    severity, meaning, advice, _ = KINDS[kind]
    return _fill(
        "kind",
        severity=severity,
        open="" if severity == "note" else " open",
        kind=kind,
        count=f"{len(problems):,}",
        meaning=meaning,
        advice=advice,
        cards=[_fill_card(problem, thumbnails) for problem in problems[:CARDS]],
        more=_fill_more(problems[CARDS:]),
    )


def _fill_card(problem, thumbnails):
    paths = problem.path, *problem.others[:1]
    images = [
        _fill("image", data=thumbnails[path]) if path in thumbnails else _fill("no_image")
        for path in paths
    ]
    place = " / ".join(name for name in (problem.split, problem.class_name) if name)
    return _fill(
        "card",
        images=images,
        path=problem.path,
        reason=problem.reason,
        others=[_fill("other", path=path) for path in problem.others[:5]],
        place=_fill("place", place=place) if place else "",
    )


def _fill_more(problems):
    if not problems:
        return ""
    lines = [
        _fill("line", paths=" = ".join((p.path, *p.others[:5])), reason=p.reason)
        for p in problems[:LINES]
    ]
    if len(problems) > LINES:
        lines.append(_fill("omitted", count=f"{len(problems) - LINES:,}"))
    return _fill("more", count=f"{len(problems):,}", lines=lines)


def _fill_classes(classes):
    """Returns the heads and rows of a table: images in each split, and a bar for their sum."""
    splits = [s for s in LATER if any(s in counts for counts in classes.values())]
    most = max([1, *(sum(counts.values()) for counts in classes.values())])
    rows = []
    for name, counts in list(classes.items())[:LINES]:
        cells = [_fill("cell", count=f"{counts.get(split, 0):,}") for split in splits]
        percent = f"{100 * sum(counts.values()) / most:.1f}"
        rows.append(_fill("class", name=name, cells=cells, percent=percent))
    return [_fill("head", text=split or "images") for split in splits], rows


def _fill(fragment, **values):
    texts = {k: printable(v) if type(v) is str else v for k, v in values.items()}
    return html_page.fill(html_page.fragments(__package__, "report.html")[fragment], **texts)
