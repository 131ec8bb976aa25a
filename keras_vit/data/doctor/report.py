"""What a check found, as text, JSON or a page."""

import json
from collections import Counter
from typing import NamedTuple

from keras_vit.data.doctor import page
from keras_vit.data.doctor.kinds import KINDS, SEVERITIES, Problem
from keras_vit.data.doctor.walking import printable
from keras_vit.io.writing import replacing

FORMAT = "keras-vit check-data 1"
SHOWN = 5  # paths of each kind in the text


class Report(NamedTuple):
    """What `keras_vit.data.check` found.

    Attributes:
        folder: absolute path.
        images: number of image files that were examined.
        classes: {class: {split: images that can be read}}; the split is "" where there is none.
        problems: tuple of `Problem`, errors first.
        seconds: that the check took.
    """

    folder: str
    images: int
    classes: dict
    problems: tuple
    seconds: float

    @property
    def ok(self):
        """Whether there are no errors; warnings and notes may be there."""
        return not self.of("error")

    @property
    def counts(self):
        """{kind: number of problems}, errors first."""
        return dict(Counter(problem.kind for problem in self.problems))

    def of(self, severity):
        """Problems of a severity, "error", "warning" or "note"."""
        return [problem for problem in self.problems if problem.severity == severity]

    def summary(self):
        """The result in a line."""
        errors, warnings, notes = (len(self.of(severity)) for severity in SEVERITIES)
        return (
            f"{_plural(self.images, 'image')} in {_plural(len(self.classes), 'class')}: "
            f"{_plural(errors, 'error')}, {_plural(warnings, 'warning')}, {_plural(notes, 'note')}"
        )

    def __str__(self):
        parts = [f"{printable(self.folder)}: {self.summary()}"]
        for kind, found in self.by_kind().items():
            parts.append(_kind_as_text(kind, found))
        if not self.problems:
            parts.append("Nothing was found.")
        return "\n\n".join(parts)

    def by_kind(self):
        """{kind: list of its problems}, errors first."""
        groups = {}
        for problem in self.problems:
            groups.setdefault(problem.kind, []).append(problem)
        return groups

    def to_json(self):
        """Returns all as JSON. Bytes of names that are no UTF-8 stand as \\udc80 to \\udcff."""
        errors, warnings, notes = (len(self.of(severity)) for severity in SEVERITIES)
        return json.dumps(
            {
                "format": FORMAT,
                "folder": self.folder,
                "ok": self.ok,
                "images": self.images,
                "seconds": round(self.seconds, 3),
                "severities": {"error": errors, "warning": warnings, "note": notes},
                "counts": self.counts,
                "classes": self.classes,
                "problems": [_problem_as_json(problem) for problem in self.problems],
            },
            indent=1,
        )

    @classmethod
    def from_json(cls, text):
        """Reads what `to_json` wrote.

        Raises:
            ValueError: it is something else.
        """
        found = json.loads(text)
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise ValueError(f"A report of the format {FORMAT!r} was expected.")
        problems = tuple(
            Problem(p["kind"], p["path"], p["reason"], p["class"], p["split"], tuple(p["others"]))
            for p in found["problems"]
        )
        rest = (found[name] for name in ("folder", "images", "classes"))
        return cls(*rest, problems, found["seconds"])

    def write_json(self, path):
        """Writes `to_json` to a file, in one step."""
        _write(path, self.to_json())

    def to_html(self, path):
        """Writes a page with thumbnails to a file, in one step; it needs no other file."""
        _write(path, page.page(self))


def _write(path, text):
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(text)


def _kind_as_text(kind, problems):
    row = KINDS[kind]
    lines = [f"{row.severity.upper()} {kind} ({len(problems):,}): {row.meaning}"]
    for problem in problems[:SHOWN]:
        where = f" ({printable(problem.class_name)})" if problem.class_name else ""
        others = ", ".join(map(printable, problem.others[:2]))
        more = f": {others}" if others else ""
        lines.append(f"  {printable(problem.path)}{where}: {problem.reason}{more}")
    if len(problems) > SHOWN:
        lines.append(f"  ... and {len(problems) - SHOWN:,} more")
    lines.append(f"  What to do: {row.advice}")
    return "\n".join(lines)


def _problem_as_json(problem):
    return {
        "kind": problem.kind,
        "severity": problem.severity,
        "path": problem.path,
        "class": problem.class_name,
        "split": problem.split,
        "reason": problem.reason,
        "advice": problem.advice,
        "others": list(problem.others),
    }


def _plural(number, thing):
    ending = "" if number == 1 else "es" if thing.endswith("s") else "s"
    return f"{number:,} {thing}{ending}"
