"""The table of finished runs: one CSV row for each, written at once, never lost."""

import csv
import io
import pathlib

from keras_vit import arguments
from keras_vit.io import writing

# What every row has after its settings and results; studies cannot use these names.
PROVENANCE = ("seconds", "backend", "backend_version", "keras", "processor", "date")


class Ledger:
    """A CSV file whose columns are settings, then results, then `PROVENANCE`.

    A run is done when a row has its settings. They are compared as the text that the file holds,
    so it does not matter that 0.10 was typed where 0.1 is read.

    Args:
        path: of the file; it need not be there.
        settings: names of the settings, in the order of the columns.

    Raises:
        ValueError: the file that is there cannot be read, or is of another study.
    """

    def __init__(self, path, settings):
        self.path, self.settings = pathlib.Path(path), tuple(settings)
        self.read()

    def read(self):
        """Returns the rows of the file as dicts of text; none where there is no file.

        Raises:
            ValueError: it cannot be read, or has other columns.
        """
        if not self.path.exists():
            return []
        columns, *rows = self._table()
        count = len(self.settings)
        if tuple(columns[:count]) != self.settings or tuple(columns[-6:]) != PROVENANCE:
            wanted = ", ".join((*self.settings, "results ...", *PROVENANCE))
            self._refuse(f"its columns are not those of this study: {wanted}", columns)
        for number, row in enumerate(rows, start=2):
            if len(row) != len(columns):
                self._refuse(f"row {number} has {len(row)} of {len(columns)} values", row)
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def row(self, settings):
        """Returns the row of a run, its results as numbers again; None where it is not done."""
        key = self._key(settings)
        for row in self.read():
            if self._key(row) == key:
                results = {name: plain(row[name]) for name in row if name not in PROVENANCE[1:]}
                return {**row, **results, **settings}
        return None

    def append(self, row):
        """Writes one more row: settings, results and provenance.

        The rows are read anew, so that those of another process are kept.

        Raises:
            ValueError: results have other names than in the rows before; the row is told.
        """
        rows = self.read()
        if rows and list(rows[0]) != list(row):
            self._refuse(f"its results are not those of the row {row}", list(rows[0]))
        file = io.StringIO(newline="")
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        writer.writeheader()
        writer.writerows([*rows, {name: str(value) for name, value in row.items()}])
        with writing.replacing(self.path) as temporary:
            pathlib.Path(temporary).write_text(file.getvalue(), encoding="utf-8", newline="")

    def _key(self, row):
        return tuple(str(row[name]) for name in self.settings)

    def _table(self):
        try:
            text = self.path.read_text(encoding="utf-8")
            table = list(csv.reader(io.StringIO(text, newline=""), strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            self._refuse(f"it cannot be read as CSV: {error}", None)
        if not table:
            self._refuse("it is empty", None)
        return table

    def _refuse(self, reason, found):
        arguments.refuse(
            f"{str(self.path)!r} must be the table of this study, but {reason}",
            {} if found is None else {"found": found},
            "Nothing was changed. Move the file away, or choose another folder.",
        )


def plain(text):
    """Returns the number that a text spells, else the text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
