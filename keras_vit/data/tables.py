"""A table of images: a CSV file with a file and a label in each row."""

import csv
import pathlib

import numpy as np

from keras_vit import arguments
from keras_vit.data.folders import SPLITS
from keras_vit.data.sources import FileSource, Parts

COLUMNS = (["file", "label"], ["file", "label", "split"])
ADVICE = 'Its first line is "file,label", or "file,label,split" with train, validation or test.'


def parts(path, num_channels=3):
    """Reads a table of images.

    ```
    file,label,split
    photos/1.jpg,cat,train
    photos/2.jpg,dog,test
    ```

    Args:
        path: CSV file with a line of column names: file, label and, if wanted, split. Files are
            relative to the folder of the table.
        num_channels: 1 for grey, 3 for colours.

    Returns:
        A `Parts`; class names are the labels in alphabetical order, or by value where all are
        integers. Without a column `split` all images are in `train`.

    Raises:
        FileNotFoundError: the table or one of its files is not there; the message names it.
        ValueError: the table has other columns or an incomplete row; the message names the line.
    """
    path = pathlib.Path(path)
    rows = _rows(path)
    _check_files(path, rows)
    class_names = _ordered({row["label"] for row in rows.values()})
    number = {name: label for label, name in enumerate(class_names)}
    sources = dict.fromkeys(("train", "validation", "test"))
    for part in sources:
        chosen = [row for row in rows.values() if row["split"] == part]
        if chosen:
            names = [row["file"] for row in chosen]
            labels = np.array([number[row["label"]] for row in chosen])
            files = [path.parent / name for name in names]
            sources[part] = FileSource(files, labels, num_channels, names)
    if sources["train"] is None or len(class_names) < 2:
        received = {"path": str(path), "rows": len(rows), "labels": list(class_names)}
        arguments.refuse("the table must have images of two labels to train on", received, ADVICE)
    return Parts(path.stem, class_names, **sources)


def _rows(path):
    """{line number: row}, every cell stripped and present, splits by their full names."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            if [*(reader.fieldnames or ())] not in COLUMNS:
                received = {"path": str(path), "columns": reader.fieldnames}
                arguments.refuse("a table of images was expected", received, ADVICE)
            return dict(_row(path, reader.line_num, row) for row in reader)
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(
                f"{str(path)!r} cannot be read as a table, line {reader.line_num}: {error}. "
                f"Save it as CSV in UTF-8. {ADVICE}"
            ) from error


def _row(path, line, row):
    """(line, row) of a row as the reader has it."""
    where = {"path": str(path), "line": line}
    cells = {name: cell.strip() for name, cell in row.items() if isinstance(cell, str)}
    if len(cells) < len(row) or not all(cells.values()):
        advice = 'Put names that have a comma in them in double quotes: "a,b.jpg",cat'
        arguments.refuse("every row must have one value for each column", where, advice)
    split = cells.setdefault("split", "train")
    if split.lower() not in SPLITS:
        wanted = f"`split` must be one of {', '.join(SPLITS)}"
        arguments.refuse(wanted, where | {"split": split})
    return line, cells | {"split": SPLITS[split.lower()]}


def _check_files(path, rows):
    """Refuses files that are not there or there twice: one in two parts would be a leak."""
    first = {}
    for line, row in rows.items():
        file = path.parent / row["file"]
        if not file.is_file():
            raise FileNotFoundError(
                f"Every file of {str(path)!r} must be there. Received: line {line}, "
                f"{row['file']!r}. Paths are relative to the table's folder: {str(file)!r}."
            )
        if row["file"] in first:
            lines = {"path": str(path), "file": row["file"], "lines": (first[row["file"]], line)}
            arguments.refuse("a file must be in the table once", lines, "Remove one of them.")
        first[row["file"]] = line


def _ordered(labels):
    integers = all(label.isdecimal() for label in labels)
    return tuple(sorted(labels, key=lambda label: (int(label), label) if integers else label))
