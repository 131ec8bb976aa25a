"""Every kind of problem that the doctor finds, in one table."""

from typing import NamedTuple

SEVERITIES = ("error", "warning", "note")


class Kind(NamedTuple):
    """A row of the table.

    An error stops training or invalidates its result, a warning may cost accuracy and should be
    checked, a note is for information. `--fix quarantine` may move `movable` files, which are
    useless for training.
    """

    severity: str
    meaning: str
    advice: str
    movable: bool = False


_DOWNLOAD_AGAIN = "Download the file again, or remove it."
_CONVERT = "Save it as JPEG or PNG, for example with `magick in.heic out.jpg`."
_RENAME = "Rename it with plain letters, digits, - and _."
_SAME_SPLIT = "Keep all copies of an image in one split."

# {kind: (meaning, advice)}
# fmt: off
_ERRORS = {
    "unreadable-file": ("reading the file is not permitted", "Change its permissions."),
    "unreadable-folder": ("listing the folder is not permitted", "Change its permissions."),
    "empty-file": ("the file is empty", _DOWNLOAD_AGAIN),
    "truncated": ("the file ends before the image does", _DOWNLOAD_AGAIN),
    "damaged": ("the image data are damaged", _DOWNLOAD_AGAIN),
    "web-page": ("the file is a web page, often the result of a failed download",
        "Download the image again, or remove the file."),
    "text": ("the file is text instead of an image", "Remove it."),
    "not-an-image": ("the file is not an image that can be read, despite its name", _CONVERT),
    "float-pixels": ("the pixels are fractions or 32-bit integers, which have no fixed range",
        "Save it as an 8-bit PNG."),
    "bomb": ("the image is too large to decode: it is larger than Pillow accepts",
        "Remove it, or save it at a smaller size."),
    "slow": ("reading the image exceeds the time limit", _DOWNLOAD_AGAIN),
    "crash": ("reading the image crashes the process", _DOWNLOAD_AGAIN),
    "dangling-link": ("the link points to a file that does not exist", "Remove or repair it."),
    "link-loop": ("a link to itself or to a folder that contains it", "Remove it."),
    "special-file": ("a pipe, socket or device instead of a file", "Remove it."),
    "extra-folder": ("a folder next to train, validation and test: is it a class or a split?",
        "Move it elsewhere, or into a split."),
    "split-twice": ("two folders are the same split", "Merge them."),
    "system-folder": ("a folder of the system, which would be read as a class", "Remove it."),
    "no-classes": ("there are no class folders",
        "Put the images of each class into a folder named after the class."),
    "one-class": ("there is only one class", "Add a folder for another class."),
    "empty-class": ("no image of the class can be read", "Add images, or remove the folder."),
    "single-image": ("the class has only one image to train on",
        "Add images, or remove the class."),
    "class-untrained": ("a class of a validation or test split is missing from the training split",
        "Add training images of it, or remove it."),
    "label-clash": ("the same image is in two classes", "Keep the copy in the right class."),
    "missing-file": ("the table lists a file that does not exist",
        "Correct the row. Paths are relative to the folder of the table."),
    "group-leak": ("images of a group are in two splits, so the test measures memorization",
        "Keep all images of a group in one split."),
    "leak": ("an image is in two splits, so the test measures memorization", _SAME_SPLIT),
}
_WARNINGS = {
    "suspect-data": ("the image can be read, but its file violates its format: pixels may be wrong",
        "Inspect it. Download it again if a part of the image is broken."),
    "wrong-suffix": (
        "the suffix does not match the format; the image is read, other programs may refuse it",
        "Rename it with the suffix of its format."),
    "unread-format": ("the format of the image is not supported; it is not read", _CONVERT),
    "giant": (
        "the image is very large and was not checked; training would decode it in every epoch",
        "Save it at a smaller size."),
    "one-pixel": ("a side of the image is a single pixel", "Remove it: it contains nothing."),
    "tiny": ("a side of the image has fewer than 8 pixels", "Inspect it."),
    "extreme-aspect": ("one side is more than 8 times the other; resizing to a square distorts it",
        "Crop it, or remove it."),
    "blank": ("all pixels have one color", "Inspect it; remove it if empty."),
    "placeholder": (
        "the image looks like what a website sends instead of a missing image",
        "Inspect it, and remove it if it shows nothing of its class."),
    "name-bytes": ("the name is not valid UTF-8", _RENAME),
    "name-control": ("the name has control or invisible characters", _RENAME),
    "name-spaces": ("the name begins or ends with a space", _RENAME),
    "linked-folder": ("a link to a folder, which is not followed", "Replace the link with a copy."),
    "outside-class": ("an image outside the class folders, which is not read",
        "Move it into the folder of its class."),
    "small-class": ("the class has very few images", "Add images."),
    "imbalance": ("the largest class has at least 10 times the images of the smallest",
        "Add images to the small classes, and look at the accuracy of each class."),
    "classes-alike": (
        "names of classes differ only by case, spaces, - and _, or encoding of accents",
        "Merge the folders if they are the same class."),
    "class-missing": ("a training class is missing from another split and so not evaluated there",
        "Move some of its images there."),
    "shortcut": ("a model can recognize the class by how its files were saved",
        "Save the images of all classes in the same way."),
    "near-clash": ("nearly the same image is in two classes", "Inspect both and decide."),
    "near-leak": ("nearly the same image is in two splits", _SAME_SPLIT),
    "duplicate": ("the same image is in a class twice", "Remove one copy."),
}
_NOTES = {
    "odd-size": ("the image is far larger or smaller than the others", "Inspect it."),
    "animated": ("the file has several frames; only the first is read", "Nothing to do."),
    "rotated": ("the file has an EXIF orientation; this package applies it, some programs do not",
        "Nothing to do here."),
    "cmyk": ("CMYK colors, converted to RGB when read", "Nothing to do."),
    "sixteen-bit": ("16 bits per channel, converted to 8 when read", "Nothing to do."),
    "palette": ("palette colors, converted to RGB when read", "Nothing to do."),
    "transparent": ("transparent pixels, which become white when read", "Nothing to do."),
    "names-alike": (
        "names differ only by case or encoding of accents; some systems cannot tell them apart",
        _RENAME),
    "link-outside": ("a file outside the dataset, such as one behind a link",
        "Copy the file if you move the dataset."),
    "nested-folder": ("a folder in a class folder; its images belong to the class",
        "Nothing to do."),
    "system-file": ("a file of the system, which is not read", "Nothing to do."),
    "hidden": ("a hidden file or folder (its name begins with a dot), not read", "Nothing to do."),
    "other-file": ("a file that is not an image, not read", "Nothing to do."),
    "mild-imbalance": ("the largest class has at least 3 times the images of the smallest",
        "Look at the accuracy of each class."),
    "mixed-color": ("some images are grayscale, others in color", "Nothing to do; all become RGB."),
    "near-duplicate": ("nearly the same image is in a class twice", "Inspect both."),
}
# fmt: on
_MOVABLE = {
    "empty-file",
    "truncated",
    "damaged",
    "web-page",
    "text",
    "not-an-image",
    "float-pixels",
    "bomb",
    "slow",
    "crash",
    "dangling-link",
    "link-loop",
    "special-file",
    "system-folder",
    "leak",
}  # fmt: skip

KINDS = {
    kind: Kind(severity, *texts, kind in _MOVABLE)
    for severity, rows in zip(SEVERITIES, (_ERRORS, _WARNINGS, _NOTES), strict=True)
    for kind, texts in rows.items()
}


class Problem(NamedTuple):
    """A problem of a file, a folder or a class.

    Attributes:
        kind: a key of `KINDS`, which explains the problem and says what to do.
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
        """What to do about the problem."""
        return KINDS[self.kind].advice
