"""Every kind of problem that the doctor finds, in one table."""

from typing import NamedTuple

SEVERITIES = ("error", "warning", "note")


class Kind(NamedTuple):
    """A row of the table.

    `severity`: an error stops training or invalidates its result, a warning may cost accuracy and
    should be checked, a note is for information. `movable`: `--fix quarantine` may move the file,
    since it is useless.
    """

    severity: str
    meaning: str
    advice: str
    movable: bool = False


_DOWNLOAD_AGAIN = "Download the file again, or remove it."
_CONVERT = "Save it as JPEG or PNG, for example with `magick in.heic out.jpg`."
_RENAME = "Rename it with plain letters, digits, - and _."
_SAME_SPLIT = "Keep all copies of an image in one split."

KINDS = {
    # Files that cannot be read
    "unreadable-file": Kind(
        "error", "there is no permission to read the file", "Change its permissions."
    ),
    "unreadable-folder": Kind(
        "error", "there is no permission to list the folder", "Change its permissions."
    ),
    "empty-file": Kind("error", "the file is empty", _DOWNLOAD_AGAIN, True),
    "truncated": Kind("error", "the file ends before the image does", _DOWNLOAD_AGAIN, True),
    "damaged": Kind("error", "the image data are damaged", _DOWNLOAD_AGAIN, True),
    "web-page": Kind(
        "error",
        "the file is a web page, often the result of a failed download",
        "Download the image again, or remove the file.",
        True,
    ),
    "text": Kind("error", "the file is text instead of an image", "Remove it.", True),
    "not-an-image": Kind(
        "error", "the file is not an image that can be read, despite its name", _CONVERT, True
    ),
    "float-pixels": Kind(
        "error",
        "the pixels are floating-point numbers, which have no fixed range",
        "Save it as an 8-bit PNG.",
        True,
    ),
    "bomb": Kind(
        "error",
        "the image is too large to decode: it is larger than Pillow accepts",
        "Remove it, or save it at a smaller size.",
        True,
    ),
    "slow": Kind("error", "reading the image exceeds the time limit", _DOWNLOAD_AGAIN, True),
    "crash": Kind("error", "reading the image crashes the process", _DOWNLOAD_AGAIN, True),
    "dangling-link": Kind(
        "error", "the link points to a file that does not exist", "Remove or repair it.", True
    ),
    "link-loop": Kind(
        "error", "a link to itself or to a folder that contains it", "Remove it.", True
    ),
    "special-file": Kind("error", "a pipe, socket or device instead of a file", "Remove it.", True),
    # Files that can be read
    "suspect-data": Kind(
        "warning",
        "the image can be read, but its file violates its format: pixels may be wrong",
        "Inspect it. Download it again if a part of the image is broken.",
    ),
    "wrong-suffix": Kind(
        "warning",
        "the suffix does not match the format; the image is read, other programs may refuse it",
        "Rename it with the suffix of its format.",
    ),
    "unread-format": Kind(
        "warning", "the format of the image is not supported; it is not read", _CONVERT
    ),
    "giant": Kind(
        "warning",
        "the image is very large and was not checked; training would decode it in every epoch",
        "Save it at a smaller size.",
    ),
    "one-pixel": Kind(
        "warning", "a side of the image is a single pixel", "Remove it: it contains nothing."
    ),
    "tiny": Kind("warning", "a side of the image has fewer than 8 pixels", "Inspect it."),
    "extreme-aspect": Kind(
        "warning",
        "one side is more than 8 times the other; resizing to a square distorts it",
        "Crop it, or remove it.",
    ),
    "blank": Kind("warning", "all pixels have one color", "Inspect it; remove it if empty."),
    "odd-size": Kind("note", "the image is far larger or smaller than the others", "Inspect it."),
    "animated": Kind("note", "the file has several frames; only the first is read", "None needed."),
    "rotated": Kind(
        "note",
        "the file has an EXIF orientation; this package applies it, some programs do not",
        "None needed here.",
    ),
    "cmyk": Kind("note", "CMYK colors, converted to RGB when read", "None needed."),
    "sixteen-bit": Kind("note", "16 bits per channel, converted to 8 when read", "None needed."),
    "palette": Kind("note", "palette colors, converted to RGB when read", "None needed."),
    "transparent": Kind("note", "transparent pixels, which become white when read", "None needed."),
    # Names and places
    "name-bytes": Kind("warning", "the name is not valid UTF-8", _RENAME),
    "name-control": Kind("warning", "the name has control or invisible characters", _RENAME),
    "name-spaces": Kind("warning", "the name begins or ends with a space", _RENAME),
    "names-alike": Kind(
        "note",
        "names differ only by case or encoding of accents; some systems cannot tell them apart",
        _RENAME,
    ),
    "link-outside": Kind(
        "note", "a link to a file outside the dataset", "Copy the file if you move the dataset."
    ),
    "linked-folder": Kind(
        "warning", "a link to a folder, which is not followed", "Replace the link by a copy."
    ),
    "outside-class": Kind(
        "warning",
        "an image outside the class folders, which is not read",
        "Move it into the folder of its class.",
    ),
    "extra-folder": Kind(
        "error",
        "a folder next to train, validation and test: is it a class or a split?",
        "Move it elsewhere, or into a split.",
    ),
    "split-twice": Kind("error", "two folders are the same split", "Merge them."),
    "nested-folder": Kind(
        "note", "a folder in a class folder; its images belong to the class", "None needed."
    ),
    "system-folder": Kind(
        "error", "a folder of the system, which would be read as a class", "Remove it."
    ),
    "system-file": Kind("note", "a file of the system, which is not read", "None needed."),
    "hidden": Kind(
        "note", "a hidden file or folder (its name begins with a dot), not read", "None needed."
    ),
    "other-file": Kind("note", "a file that is not an image, not read", "None needed."),
    # Classes
    "no-classes": Kind(
        "error",
        "there are no class folders",
        "Put the images of each class into a folder named after the class.",
    ),
    "one-class": Kind("error", "there is only one class", "Add a folder for another class."),
    "empty-class": Kind(
        "error", "no image of the class can be read", "Add images, or remove the folder."
    ),
    "single-image": Kind(
        "error", "the class has only one image to train on", "Add images, or remove the class."
    ),
    "small-class": Kind("warning", "the class has very few images", "Add images."),
    "imbalance": Kind(
        "warning",
        "the largest class has at least 10 times the images of the smallest",
        "Add images to the small classes, and look at the accuracy of each class.",
    ),
    "mild-imbalance": Kind(
        "note",
        "the largest class has at least 3 times the images of the smallest",
        "Look at the accuracy of each class.",
    ),
    "classes-alike": Kind(
        "warning",
        "names of classes differ only by case, spaces, - and _, or encoding of accents",
        "Merge the folders if they are the same class.",
    ),
    "class-missing": Kind(
        "warning",
        "a training class is missing in another split, so it is not evaluated there",
        "Move some of its images there.",
    ),
    "class-untrained": Kind(
        "error",
        "a class of the validation or test split is missing in the training split",
        "Add training images of it, or remove it.",
    ),
    "shortcut": Kind(
        "warning",
        "a model can recognize the class by how its files were saved",
        "Save the images of all classes in the same way.",
    ),
    "mixed-colour": Kind(
        "note", "some images are grayscale, others in color", "None needed; all become RGB."
    ),
    # The same image more than once
    "label-clash": Kind(
        "error", "the same image is in two classes", "Keep the copy in the right class."
    ),
    "leak": Kind(
        "error", "an image is in two splits, so the test measures memorization", _SAME_SPLIT, True
    ),
    "near-clash": Kind(
        "warning", "nearly the same image is in two classes", "Inspect both and decide."
    ),
    "near-leak": Kind("warning", "nearly the same image is in two splits", _SAME_SPLIT),
    "duplicate": Kind("warning", "the same image is in a class twice", "Remove one copy."),
    "near-duplicate": Kind("note", "nearly the same image is in a class twice", "Inspect both."),
}


class Problem(NamedTuple):
    """A problem of a file, a folder or a class.

    Attributes:
        kind: a key of `KINDS`, which explains it and says what to do.
        path: path of the file or folder, relative to the dataset, with forward slashes.
        reason: what is wrong with this file or folder.
        class_name: its class, or "".
        split: "train", "validation" or "test"; "" if the dataset has no splits.
        others: paths of the other files concerned, such as the copies of an image.
    """

    kind: str
    path: str
    reason: str
    class_name: str = ""
    split: str = ""
    others: tuple = ()

    @property
    def severity(self):
        """`"error"`, `"warning"` or `"note"`."""
        return KINDS[self.kind].severity

    @property
    def advice(self):
        """What to do about it."""
        return KINDS[self.kind].advice
