"""Reads a table of images, a CSV file with one row per image: its columns and its rows."""

import contextlib
import csv
import os
import shlex
from typing import NamedTuple

from keras_vit import arguments
from keras_vit.doctor import formats
from keras_vit.doctor.file_tree import SPLIT_NAMES, ImageFile, Tree, printable
from keras_vit.doctor.problems import Problem

SUFFIXES = (".csv", ".tsv")
# {role: usual names of its column}; columns with other names must be given.
NAMES = {
    "image": ("file", "image", "filename", "file_name", "filepath", "file_path", "path",
        "image_path", "image_name", "image_file", "img", "img_path"),
    "label": ("label", "class", "class_name", "category"),
    "split": ("split", "subset"),
    "group": ("group",),
}  # fmt: skip
ADVICE = 'Tables have a first line such as "file,label" or "file,label,split".'


class Row(NamedTuple):
    """An image in a table: its line number, file as written, class, split and group, or ""."""

    line: int
    file: str
    label: str
    split: str
    group: str


class ImageTable(NamedTuple):
    """The rows of a table, and the {role: column} in use."""

    rows: list
    columns: dict


def read(path, columns=None):
    """Reads a CSV file in UTF-8, separated by commas, semicolons or tabs.

    Args:
        path: the file. Images are relative to its folder.
        columns: {role: name of its column}; the roles are those of `NAMES`. A column with a usual
            name need not be given. In a table that has only images, splits and groups, the label
            is the folder of the image.

    Returns:
        An `ImageTable`, with cells stripped and canonical names of splits.

    Raises:
        FileNotFoundError: the CSV file does not exist.
        ValueError: it is not a table, a column is missing, or a row is incomplete; the message
            contains the line number.
    """
    with _reading(path) as reader:
        chosen = _find_columns(path, columns, reader)
        rows = [_make_row(path, reader.line_num, row, chosen) for row in reader]
    _refuse_copies(path, rows)
    return ImageTable(rows, chosen)


def is_table(path):
    """Returns whether a path is the path of a table."""
    named = isinstance(path, (str, os.PathLike)) and not os.path.isdir(path)
    return named and os.fspath(path).lower().endswith(SUFFIXES)


def list_files(path, columns=None):
    """Lists the images of a table as a `Tree`, with the problems in their paths."""
    rows, _ = read(path, columns)
    folder, name = os.path.split(path)
    inside, homes = os.path.join(os.path.realpath(folder), ""), {}
    tree = Tree([], {(row.split, row.label): name for row in rows}, [])
    for row in rows:
        image, full = ImageFile(row.file, row.label, row.split), os.path.join(folder, row.file)
        if not os.path.lexists(full):
            tree.problems.append(Problem("missing-file", row.file, f"line {row.line}", *image[1:]))
            continue
        tree.files.append(image)
        if not os.path.realpath(full).startswith(inside):
            reason = "outside the folder of the table"
            tree.problems.append(Problem("link-outside", row.file, reason, *image[1:]))
        first = homes.setdefault(row.group, image) if row.group else image
        if first.split != row.split:
            reason = f"group {printable(row.group)}, also in {first.split}"
            tree.problems.append(Problem("group-leak", *image[:1], reason, *image[1:], first[:1]))
    return tree


def check_header(source, columns=None):
    """Raises the errors of `read` for the first line of a table, or for columns without one."""
    check_columns(source, columns)
    if is_table(source):
        with _reading(source) as reader:
            _find_columns(source, columns, reader)


def check_columns(source, columns):
    """Raises `ValueError` unless `columns` is None, or names by role and the source a table."""
    valid = isinstance(columns, dict) and all(isinstance(name, str) for name in columns.values())
    if columns is not None and not (valid and columns.keys() <= NAMES.keys()):
        expected = f"`columns` must be a dictionary with some of {', '.join(NAMES)}"
        advice = 'Pass the names of columns: {"image": "filename", "label": "breed"}.'
        arguments.refuse(expected, {"columns": columns}, advice)
    if columns and not is_table(source):
        received = {"columns": columns, "source": str(source)[:100]}
        arguments.refuse("only a .csv table has columns", received, "Leave them out.")


@contextlib.contextmanager
def _reading(path):
    """Opens a table as a `csv.DictReader`."""
    with open(path, "rb") as file:
        delimiter = max(",;\t", key=file.readline().decode("latin-1").count)
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, delimiter=delimiter, strict=True)
        try:
            yield reader
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(
                f"{str(path)!r} cannot be read as a table, line {reader.line_num}: {error}. "
                f"Save it as CSV in UTF-8. {ADVICE}"
            ) from error


def _find_columns(path, columns, reader):
    """Returns {role: column}, or raises an error that suggests options."""
    check_columns(path, columns)
    names = [*(reader.fieldnames or ())]
    received, chosen = {"path": str(path), "columns": names}, dict(columns or {})
    for role, name in chosen.items():
        if name not in names:
            advice = f"{arguments.suggest(name, names)}Use one of the columns."
            expected = f"the table must have the column {name!r} ({role})"
            arguments.refuse(expected, received, advice)
    for role, usual in NAMES.items():
        found = [name for name in names if name.strip().lower() in usual]
        free = [name for name in found if name not in chosen.values()]
        if role not in chosen and len(free) == 1:
            chosen[role] = free[0]
    others = [name for name in names if name not in chosen.values()]
    is_list = "label" not in chosen and not others and {"split", "group"} & chosen.keys()
    if "image" not in chosen or not ("label" in chosen or is_list):
        expected = "a table of images must have a column of files and a column of labels"
        arguments.refuse(expected, received, _suggest(chosen, others, next(reader, {})))
    return {role: chosen[role] for role in NAMES if role in chosen}


def _suggest(chosen, others, row):
    """Returns the options for the columns that look like files and labels."""
    files = [name for name in others if _suffix(row.get(name)) in formats.IMAGE_SUFFIXES]
    guess = dict(chosen)
    if "image" not in guess and others:
        guess["image"] = (files or others)[0]
        others = [name for name in others if name != guess["image"]]
    if "label" not in guess and others:
        guess["label"] = others[0]
    if not {"image", "label"} <= guess.keys():
        return ADVICE
    pair = {role: guess[role] for role in ("image", "label")}
    options = " ".join(f"--{role}-column {shlex.quote(name)}" for role, name in pair.items())
    return f"For example, pass {options}, in Python columns={pair}."


def _make_row(path, line, row, columns):
    received = {"path": str(path), "line": line}
    cells = {role: row[name] for role, name in columns.items()}
    cells = {role: (cell or "").strip() for role, cell in cells.items()}
    if None in row or not all(cells.values()):
        advice = "Fill in its empty cells, or remove the row."
        if None in row:
            advice = 'Put names that contain a comma in double quotes: "a,b.jpg",cat'
        arguments.refuse("every row must have one value for each column", received, advice)
    split = cells.get("split", "")
    if split and split.lower() not in SPLIT_NAMES:
        expected = f"a split must be one of {', '.join(SPLIT_NAMES)}"
        arguments.refuse(expected, received | {columns["split"]: split}, "Correct the row.")
    label = cells.get("label") or os.path.basename(os.path.dirname(cells["image"]))
    if not label:
        advice = "Write cat/1.jpg, or add a column of labels."
        expected = "without a column of labels, every image must be in the folder of its class"
        arguments.refuse(expected, received | {"image": cells["image"]}, advice)
    split = SPLIT_NAMES.get(split.lower(), "")
    return Row(line, cells["image"], label, split, cells.get("group", ""))


def _refuse_copies(path, rows):
    """Refuses a file that is listed twice, since it could leak between splits."""
    first = {}
    for row in rows:
        file = os.path.normpath(os.path.join(os.path.dirname(path), row.file))
        earlier = first.setdefault(file, row.line)
        if earlier != row.line:
            received = {"path": str(path), "file": row.file, "lines": (earlier, row.line)}
            arguments.refuse("a file must be listed once", received, "Remove one of the rows.")


def _suffix(name):
    return os.path.splitext((name or "").strip())[1].lower()
