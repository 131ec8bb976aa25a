"""The table of finished runs: one CSV row each, written at once."""

import csv
import io
import pathlib

from keras_vit import arguments
from keras_vit.io import writing

# The last columns of every row; studies cannot use these names.
PROVENANCE = ("seconds", "backend", "backend_version", "keras", "processor", "date")


class Ledger:
    """A CSV file whose columns are settings, then results, then `PROVENANCE`.

    A run is done if a row has its settings. They are compared as text, as in the file.

    Args:
        path: path of the file, which need not exist.
        settings: names of the settings, in the order of the columns.

    Raises:
        ValueError: the file cannot be read, or belongs to another study.
    """

    def __init__(self, path, settings):
        self.path, self.settings = pathlib.Path(path), tuple(settings)
        self.read()

    def read(self):
        """Returns the rows of the file as dicts of text; an empty list if there is no file.

        Raises:
            ValueError: the file cannot be read, or its columns are wrong.
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
        """Returns the row of a run, with results as numbers; None if the run is not done."""
        key = self._key(settings)
        for row in self.read():
            if self._key(row) == key:
                results = {name: plain(row[name]) for name in row if name not in PROVENANCE[1:]}
                return {**row, **results, **settings}
        return None

    def append(self, row):
        """Appends a row: settings, results and provenance.

        The file is read again first, so that rows of other processes are kept.

        Raises:
            ValueError: the names of the results differ from those in the file; the message
                contains the row.
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
    """Converts a text to a number, if it is one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
