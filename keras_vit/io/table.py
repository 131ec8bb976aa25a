"""Tables written row by row, and continued after an interruption: CSV, JSON lines and Parquet.

Beside a table is a JSON file with the settings that it was written with. A Parquet file cannot be
continued, so its rows are collected in a file of JSON lines until all are complete.
"""

import contextlib
import csv
import errno
import io
import itertools
import json
import os
import pathlib

from keras_vit import arguments
from keras_vit.io import files, writing

FORMATS = (".csv", ".jsonl", ".parquet")
SETTINGS, PARTIAL = ".settings.json", ".partial.jsonl"
FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet evaluates cells that begin with these
ROWS = 10_000  # rows of a Parquet file in memory at a time
OTHER = "Choose another file."


def check_path(path):
    """Raises unless a table can be written to `path`; avoids slow imports.

    Raises:
        FileNotFoundError: its folder does not exist.
        ImportError: pyarrow is needed and not installed.
        ValueError: the path ends in another suffix, or cannot be written.
    """
    kind = os.path.splitext(path)[1].lower()
    if kind not in FORMATS:
        expected = f"the name of a table must end in {', '.join(FORMATS)}"
        arguments.refuse(expected, {"path": str(path)}, OTHER)
    if kind == ".parquet" and not _has_pyarrow():
        raise ImportError(
            "Parquet files need pyarrow, which is not installed. Run: pip install pyarrow, or "
            "choose a .csv or .jsonl file."
        )
    writing.check_file(path, OTHER)


class Table:
    """A table that is open for appending, for use in a `with` statement.

    Args:
        path: .csv, .jsonl or .parquet file. If it exists, it must be a table of these settings.
        columns: {name of a column: str or float}.
        settings: JSON content that determines the rows.
        keys: the first cells of all rows, in order.
        remarks: JSON content that is written beside the settings but not compared.

    Attributes:
        rows: number of rows; an incomplete row at the end of the file is removed.

    Raises:
        ValueError: the file is something else, or has other settings or rows of other keys.
    """

    def __init__(self, path, columns, settings, keys, remarks=None):
        self.path, self.columns, self.keys = pathlib.Path(path), columns, keys
        self.kind = self.path.suffix.lower()
        self.is_whole = self.kind == ".parquet" and self.path.exists()
        self._target = self.path
        if self.kind == ".parquet" and not self.is_whole:
            self._target = self.path.with_name(self.path.name + PARTIAL)
        beside = self.path.with_name(self.path.name + SETTINGS)
        settings = json.loads(json.dumps({"columns": [*columns], **settings}))
        if self._target.exists():
            _compare(self._target, beside, settings)
        else:
            writing.write_json(beside, {**settings, **(remarks or {})})
        self._file, self._end, self._size = None, 0, 0
        self.rows = sum(1 for _ in self.read())

    def read(self):
        """Yields the complete rows as lists, each compared with its key."""
        self._end = 0
        self._size = self._target.stat().st_size if self._target.exists() else 0
        number = -1
        for number, row in enumerate(self._read()):
            if number >= len(self.keys) or row[0] != _text(self.keys[number]):
                received = {"path": str(self.path), "row": number + 1, "image": row[0]}
                advice = f"Nothing is replaced. {OTHER}"
                arguments.refuse("the table must list the same images", received, advice)
            yield row
        if self.is_whole and number + 1 < len(self.keys):
            expected = "no rows can be appended to a finished Parquet file"
            received = {"path": str(self.path), "rows": number + 1, "images": len(self.keys)}
            arguments.refuse(expected, received, OTHER)

    def _read(self):
        if self.is_whole:
            import pyarrow.parquet

            with pyarrow.parquet.ParquetFile(self.path) as file:
                for batch in file.iter_batches(ROWS):
                    yield from ([*row.values()] for row in batch.to_pylist())
        elif self._target.exists():
            with open(self._target, "rb") as file:
                yield from (self._read_csv if self.kind == ".csv" else self._read_json)(file)

    def _read_json(self, file):
        for line in file:
            if not line.endswith(b"\n"):
                return
            try:
                row = json.loads(line)
                cells = [row[name] for name in self.columns]
            except (ValueError, TypeError, KeyError):
                self._refuse_changed()
            self._end += len(line)
            yield cells

    def _read_csv(self, file):
        position, line = 0, b""

        def lines():  # a cell may contain line breaks
            nonlocal position, line
            for line in file:
                position += len(line)
                yield line.decode("utf-8", "replace")  # the last line may end within a character

        for number, row in enumerate(self._parse_csv(lines())):
            is_whole = line.endswith(b"\n")
            if not is_whole or len(row) != len(self.columns):
                if next(file, None) is not None or (is_whole and not number):
                    self._refuse_changed()
                return
            self._end = position
            if number:  # the first row contains the column names
                yield [_unescape(cell) if cell else None for cell in row]

    def _parse_csv(self, lines):
        try:
            yield from csv.reader(lines)
        except csv.Error:  # a line break outside of quotes, as of an old spreadsheet
            self._refuse_changed()

    def _refuse_changed(self):
        """Refuses a changed table: only its last row may be incomplete, after an interruption."""
        expected = "the table must be unchanged since it was written"
        advice = f"It was changed since, perhaps by a spreadsheet. Nothing is replaced. {OTHER}"
        arguments.refuse(expected, {"path": str(self.path)}, advice)

    def __enter__(self):
        if not self.is_whole:
            self._file = open(self._target, "ab", buffering=0)
            self._hold()
            self._file.truncate(self._end)
            if self.kind == ".csv" and not self._end:
                self._write(_csv_line(self.columns))
        return self

    def _hold(self):
        """Raises `OSError` if another process writes the table, on systems that have locks."""
        is_held = False
        with contextlib.suppress(ImportError):
            import fcntl

            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                is_held = True
            except OSError:  # some network file systems
                pass
        if is_held or os.fstat(self._file.fileno()).st_size != self._size:
            self._file.close()
            what = "Another process writes this table. Wait until it ends, or choose another file"
            raise BlockingIOError(errno.EAGAIN, what, str(self.path))

    def append(self, row):
        """Appends a row, a list of cells; None for an empty one."""
        row = [_text(cell) for cell in row]
        if self.kind == ".csv":
            self._write(_csv_line("" if cell is None else cell for cell in row))
        else:
            self._write(json.dumps(dict(zip(self.columns, row, strict=True))).encode() + b"\n")
        self.rows += 1

    def _write(self, line):
        """Writes a complete line, or raises and leaves the file as it was."""
        try:
            written = self._file.write(line)
            if written < len(line):  # the disk is full; the next call reports it
                self._file.write(line[written:])
        except OSError as error:
            self._file.truncate(self._end)
            reason = f"{error.strerror}; the rows before are complete"
            raise OSError(error.errno, reason, str(self._target)) from error
        self._end += len(line)

    def __exit__(self, kind, error, trace):
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()

    def finish(self):
        """Writes the Parquet file if all rows are complete; other tables need no last step."""
        if self.kind != ".parquet" or self.is_whole:
            return
        import pyarrow
        import pyarrow.parquet

        types = {str: pyarrow.string(), float: pyarrow.float64()}
        schema = pyarrow.schema([(name, types[kind]) for name, kind in self.columns.items()])
        with writing.replacing(self.path) as partial:
            with (
                pyarrow.parquet.ParquetWriter(partial, schema) as writer,
                open(self._target, encoding="utf-8") as file,
            ):
                while lines := list(itertools.islice(file, ROWS)):
                    rows = [json.loads(line) for line in lines]
                    writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))
        self._target.unlink()


def _has_pyarrow():
    from importlib.util import find_spec

    return find_spec("pyarrow") is not None


def _compare(path, beside, settings):
    """Raises `ValueError` unless a table was written with the same settings."""
    if not beside.exists():
        expected = f"the file must not exist yet, or have its settings beside it, {beside.name}"
        arguments.refuse(expected, {"path": str(path)}, f"Nothing is replaced. {OTHER}")
    found = files.read_json(beside)
    other = [name for name in settings if name not in found or found[name] != settings[name]]
    if other:
        expected = "the file must have been written with the same model and options"
        received = {"path": str(path), "other": other}
        arguments.refuse(expected, received, f"Nothing is replaced. {OTHER}")


def _csv_line(cells):
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(  # quotes cells that contain one of these
        [_escape(cell) if isinstance(cell, str) else cell for cell in cells]
    )
    return text.getvalue().removesuffix("\r\n").encode() + b"\n"


def _escape(cell):
    return f"'{cell}" if cell.lstrip("'").startswith(FORMULAS) else cell


def _unescape(cell):
    return cell[1:] if cell.startswith("'") and cell.lstrip("'").startswith(FORMULAS) else cell


def _text(cell):
    """Returns a cell without invalid characters: the name of a file may contain any bytes."""
    return cell.encode("utf-8", "backslashreplace").decode() if isinstance(cell, str) else cell
