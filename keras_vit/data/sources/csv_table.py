"""Images listed in a CSV file, with a file and a label in each row."""

import pathlib

from keras_vit import arguments
from keras_vit.data.sources.source import SPLITS, FileSource, Splits
from keras_vit.doctor import image_table


def read_table(path, num_channels=3, columns=None):
    """Returns the `Splits` that a CSV file lists.

    Class names are the labels in alphabetical order, or in numerical order if all are integers.
    Without a column of splits all images are training images.

    Args:
        path: CSV file, as in `keras_vit.doctor.image_table.read`.
        num_channels: 1 for grayscale, 3 for RGB.
        columns: {role: name of its column}.

    Raises:
        FileNotFoundError: the CSV file or one of its images does not exist.
        ValueError: the table cannot be used.
    """
    path = pathlib.Path(path)
    rows, chosen = image_table.read(path, columns)
    _check_files(path, rows)
    labels = {row.label for row in rows}
    numeric = all(label.isdecimal() for label in labels)
    class_names = sorted(labels, key=lambda label: (int(label), label) if numeric else label)
    numbers = {name: number for number, name in enumerate(class_names)}
    sources = {}
    for split in SPLITS:
        own = [row for row in rows if (row.split or "train") == split]
        if own:
            files, names = [path.parent / row.file for row in own], [row.file for row in own]
            labels = [numbers[row.label] for row in own]
            sources[split] = FileSource(files, labels, num_channels, names)
            if "group" in chosen:
                sources[split].groups = [row.group for row in own]
    if "train" not in sources or len(class_names) < 2:
        received = {"path": str(path), "rows": len(rows), "labels": class_names}
        expected = "the table must have training images of at least two labels"
        arguments.refuse(expected, received, "Add rows.")
    roles = ", ".join(f"{role} {name!r}" for role, name in chosen.items())
    notes = () if "label" in chosen else (f"labels: the folder of each image of {path.name}",)
    notes = (f"columns of {path.name}: {roles}", *notes)
    return Splits(path.stem, tuple(class_names), **sources, notes=notes)


def _check_files(path, rows):
    for row in rows:
        file = path.parent / row.file
        if not file.is_file():
            raise FileNotFoundError(
                f"Every file in {str(path)!r} must exist. Received: line {row.line}, "
                f"{row.file!r}. Paths are relative to the table's folder: {str(file)!r}."
            )
