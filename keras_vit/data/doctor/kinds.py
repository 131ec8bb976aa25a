"""Every kind of problem that the doctor knows, in one table."""

from typing import NamedTuple

SEVERITIES = ("error", "warning", "note")


class Kind(NamedTuple):
    """A row of the table.

    `severity`: an error stops a training run or makes its result wrong, a warning may cost
    accuracy and wants a look, a note is only to be known. `movable`: the file itself is of no use,
    so `--fix quarantine` may move it.
    """

    severity: str
    meaning: str
    advice: str
    movable: bool = False


_SAVE_AGAIN = "Fetch the file again from its source, or remove it."
_CONVERT = "Save it as JPEG or PNG, for example with `magick in.heic out.jpg`."
_RENAME = "Rename it with plain letters, digits, - and _."
_SAME_SPLIT = "Keep all copies of an image in one split."

KINDS = {
    # Files that cannot be read
    "unreadable-file": Kind(
        "error", "the system refuses to read the file", "Give yourself the right to read it."
    ),
    "unreadable-folder": Kind(
        "error", "the system refuses to list the folder", "Give yourself the right to read it."
    ),
    "empty-file": Kind("error", "the file has no bytes", _SAVE_AGAIN, True),
    "truncated": Kind("error", "the file ends before the image does", _SAVE_AGAIN, True),
    "damaged": Kind("error", "the image's data are damaged", _SAVE_AGAIN, True),
    "web-page": Kind(
        "error",
        "the file is a web page, often what a failed download left",
        "Download the image again, or remove the file.",
        True,
    ),
    "text": Kind("error", "the file is text, no image", "Remove it.", True),
    "not-an-image": Kind(
        "error", "the file is no image that can be read, whatever its name says", _CONVERT, True
    ),
    "float-pixels": Kind(
        "error",
        "the pixels are floating-point numbers, which have no fixed range",
        "Save it as an 8-bit PNG.",
        True,
    ),
    "bomb": Kind(
        "error",
        "the image is so large that Pillow refuses it; it was not decoded",
        "Remove it, or save it smaller.",
        True,
    ),
    "slow": Kind("error", "reading the image did not come to an end", _SAVE_AGAIN, True),
    "crash": Kind("error", "reading the image ended the process", _SAVE_AGAIN, True),
    "dangling-link": Kind(
        "error", "a link to a file that is not there", "Remove it, or mend its target.", True
    ),
    "link-loop": Kind("error", "a link that leads back to itself", "Remove it.", True),
    "special-file": Kind("error", "a pipe, socket or device, no file", "Remove it.", True),
    # Files that can be read
    "suspect-data": Kind(
        "warning",
        "the image is read, but its file breaks the rules of its format: bits may be wrong",
        "Look at it. Fetch it again if a part looks broken.",
    ),
    "wrong-suffix": Kind(
        "warning",
        "the name says one format, the file is another; it is read, other programs may refuse it",
        "Rename it to the suffix of its format.",
    ),
    "unread-format": Kind(
        "warning", "an image in a format that is passed over, as if it were not there", _CONVERT
    ),
    "giant": Kind(
        "warning",
        "an image so large that it was not decoded here; training would read it at every epoch",
        "Save it smaller.",
    ),
    "one-pixel": Kind(
        "warning", "a side of the image is a single pixel", "Remove it: it shows nothing."
    ),
    "tiny": Kind("warning", "a side of the image has less than 8 pixels", "Look at it."),
    "extreme-aspect": Kind(
        "warning",
        "one side is more than 8 times the other; made square, it is squashed",
        "Crop it, or remove it.",
    ),
    "blank": Kind("warning", "all pixels have one colour", "Look at it, and remove it if empty."),
    "odd-size": Kind("note", "the image is far larger or smaller than the others", "Look at it."),
    "animated": Kind("note", "the file has several frames; only the first is read", "None needed."),
    "rotated": Kind(
        "note",
        "the camera noted a rotation (EXIF); this package applies it, some programs do not",
        "None needed here.",
    ),
    "cmyk": Kind("note", "printer's colours (CMYK), turned to RGB when read", "None needed."),
    "sixteen-bit": Kind("note", "16 bits per pixel, turned to 8 when read", "None needed."),
    "palette": Kind("note", "colours from a palette, turned to RGB when read", "None needed."),
    "transparent": Kind(
        "note", "has transparency; transparent parts become white when read", "None needed."
    ),
    # Names and places
    "name-bytes": Kind("warning", "the name is not valid UTF-8", _RENAME),
    "name-control": Kind("warning", "the name has control characters or marks unseen", _RENAME),
    "name-spaces": Kind("warning", "the name begins or ends with a space", _RENAME),
    "names-alike": Kind(
        "note",
        "names in one folder differ by case or accents' encoding only; some systems mix them up",
        _RENAME,
    ),
    "link-outside": Kind(
        "note", "a link to a file outside the folder", "Copy the file if you move the folder."
    ),
    "linked-folder": Kind(
        "warning", "a link to a folder; it is not followed", "Copy the folder to its place."
    ),
    "outside-class": Kind(
        "warning",
        "an image outside the class folders; it is not read",
        "Move it into the folder of its class.",
    ),
    "extra-folder": Kind(
        "error",
        "a folder beside train, validation and test: is it a class or a split?",
        "Move it elsewhere, or into a split.",
    ),
    "split-twice": Kind("error", "two folders are the same split", "Put them together."),
    "nested-folder": Kind(
        "note", "a folder in a class folder; its images count to the class", "None needed."
    ),
    "system-folder": Kind(
        "error", "a folder that a program left; it would be taken for a class", "Remove it."
    ),
    "system-file": Kind("note", "a file that the system left; it is not read", "None needed."),
    "hidden": Kind(
        "note", "a hidden file or folder (its name begins with a dot); not read", "None needed."
    ),
    "other-file": Kind("note", "a file that is no image; it is not read", "None needed."),
    # Classes
    "no-classes": Kind(
        "error",
        "there are no class folders",
        "Put the images of each class into a folder named as the class.",
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
        "the largest class has 10 times the images of the smallest or more",
        "Add images to the small classes; judge by the accuracy of each class.",
    ),
    "mild-imbalance": Kind(
        "note",
        "the largest class has 3 times the images of the smallest or more",
        "Judge by the accuracy of each class.",
    ),
    "classes-alike": Kind(
        "warning",
        "names of classes differ by case, spaces, - and _, or accents' encoding only",
        "Put them into one folder if they are one class.",
    ),
    "class-missing": Kind(
        "warning",
        "a class to train on is not in another split, so it is never measured",
        "Move some of its images there.",
    ),
    "class-untrained": Kind(
        "error",
        "a class of the validation or test split is not in the training split",
        "Add images of it to train, or remove it.",
    ),
    "shortcut": Kind(
        "warning",
        "the class can be told by how its files were saved instead of what they show",
        "Save all classes in the same way.",
    ),
    "mixed-colour": Kind(
        "note", "some images are grey, others in colour", "None needed; grey becomes RGB."
    ),
    # The same image more than once
    "label-clash": Kind(
        "error", "the same image is in two classes", "Look at it and keep the right copy."
    ),
    "leak": Kind(
        "error", "the same image is in two splits, so the test measures memory", _SAME_SPLIT, True
    ),
    "near-clash": Kind(
        "warning", "nearly the same image is in two classes", "Look at both and decide."
    ),
    "near-leak": Kind("warning", "nearly the same image is in two splits", _SAME_SPLIT),
    "duplicate": Kind("warning", "the same image twice in a class; it counts twice", "Remove one."),
    "near-duplicate": Kind("note", "nearly the same image twice in a class", "Look at both."),
}


class Problem(NamedTuple):
    """Something found.

    Attributes:
        kind: a name in `KINDS`, which has its meaning and what to do.
        path: of the file or folder, relative to the dataset's folder, with forward slashes.
        reason: what was found there.
        class_name: the class that it belongs to, "" where it belongs to none.
        split: "train", "validation" or "test"; "" where the folder has no splits.
        others: paths of the other files concerned, as of an image's copies.
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
