"""Images listed in a CSV file, with a file and a label in each row."""

import csv
import pathlib

from keras_vit import arguments
from keras_vit.data.sources.source import SPLITS, FileSource, Splits
from keras_vit.doctor.file_tree import SPLIT_NAMES

COLUMNS = (["file", "label"], ["file", "label", "split"])
ADVICE = (
    'The first line must be "file,label", or "file,label,split" with train, validation or test.'
)


def read_table(path, num_channels=3):
    """Returns the `Splits` that a CSV file lists.

    Its first line is "file,label" or "file,label,split". Files are relative to its folder. Class
    names are the labels in alphabetical order, or in numerical order if all are integers. Without a
    column `split` all images are training images.

    Raises:
        FileNotFoundError: the CSV file or one of its images does not exist.
        ValueError: the columns are different, or a row is incomplete; the message contains the line
            number.
    """
    path = pathlib.Path(path)
    rows = _read_rows(path)
    _check_files(path, rows)
    labels = {row["label"] for row in rows.values()}
    numeric = all(label.isdecimal() for label in labels)
    class_names = sorted(labels, key=lambda label: (int(label), label) if numeric else label)
    numbers = {name: number for number, name in enumerate(class_names)}
    sources = {}
    for split in SPLITS:
        names = [row["file"] for row in rows.values() if row["split"] == split]
        labels = [numbers[row["label"]] for row in rows.values() if row["split"] == split]
        if names:
            files = [path.parent / name for name in names]
            sources[split] = FileSource(files, labels, num_channels, names)
    if "train" not in sources or len(class_names) < 2:
        received = {"path": str(path), "rows": len(rows), "labels": class_names}
        expected = "the table must have training images of two labels or more"
        arguments.refuse(expected, received, ADVICE)
    return Splits(path.stem, tuple(class_names), **sources)


def _read_rows(path):
    """{line number: row}, with cells stripped and canonical names of the splits."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            if [*(reader.fieldnames or ())] not in COLUMNS:
                received = {"path": str(path), "columns": reader.fieldnames}
                arguments.refuse("a table of images was expected", received, ADVICE)
            numbered = ((reader.line_num, row) for row in reader)
            return {line: _clean(path, line, row) for line, row in numbered}
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(
                f"{str(path)!r} cannot be read as a table, line {reader.line_num}: {error}. "
                f"Save it as CSV in UTF-8. {ADVICE}"
            ) from error


def _clean(path, line, row):
    received = {"path": str(path), "line": line}
    cells = {name: cell.strip() for name, cell in row.items() if isinstance(cell, str)}
    if len(cells) < len(row) or not all(cells.values()):
        advice = 'Put names that contain a comma in double quotes: "a,b.jpg",cat'
        arguments.refuse("every row must have one value for each column", received, advice)
    split = cells.setdefault("split", "train")
    if split.lower() not in SPLIT_NAMES:
        expected = f"`split` must be one of {', '.join(SPLIT_NAMES)}"
        arguments.refuse(expected, received | {"split": split}, "Correct the row.")
    return cells | {"split": SPLIT_NAMES[split.lower()]}


def _check_files(path, rows):
    """Refuses files that do not exist or are listed twice, which would leak between splits."""
    first = {}
    for line, row in rows.items():
        file = path.parent / row["file"]
        if not file.is_file():
            raise FileNotFoundError(
                f"Every file in {str(path)!r} must exist. Received: line {line}, "
                f"{row['file']!r}. Paths are relative to the table's folder: {str(file)!r}."
            )
        earlier = first.setdefault(row["file"], line)
        if earlier != line:
            received = {"path": str(path), "file": row["file"], "lines": (earlier, line)}
            arguments.refuse("a file must be listed once", received, "Remove one of the rows.")
