"""Checks of arguments: what was expected, what was received, and what to do.

Every check returns the value in its plain Python form, so that a configuration
written to JSON reads the same as one that was typed.
"""

import difflib
import inspect
import math
import numbers as kinds_of_numbers
import sys
import warnings

INSIDE = ("keras_vit", "keras", "contextlib")  # a warning points to the line that called these


class Checked:
    """An object that keeps its constructor arguments, as attributes and in its configuration.

    Layers and models derive from it. In the signature of their `__init__`, each argument is
    annotated with its check, a function of this module: `dropout: fraction = 0.0`. A subclass with
    additional arguments also has those of its parents.
    """

    checks = {}  # {argument: its check}

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        own = vars(cls).get("__init__")
        if own is not None:
            cls.checks = {**cls.checks, **inspect.get_annotations(own)}

    def keep(self, values):
        """Checks the arguments that are in `values`, and sets them as attributes."""
        for name, check in self.checks.items():
            if name in values:
                setattr(self, name, check(name, values[name]))

    @property
    def argument_names(self):
        """Names of the arguments that are kept."""
        return tuple(self.checks)

    def get_config(self):
        """Returns the configuration from which `from_config` makes the same layer or model."""
        return {**super().get_config(), **{name: getattr(self, name) for name in self.checks}}


def positive_integer(name, value, advice=""):
    """Returns `value` as an `int`, or raises `ValueError` unless it is 1 or more."""
    if isinstance(value, bool) or not isinstance(value, kinds_of_numbers.Integral) or value < 1:
        refuse(f"`{name}` must be a positive integer", {name: value}, advice)
    return int(value)


def natural_number(name, value, advice=""):
    """Returns `value` as an `int`, or raises `ValueError` unless it is 0 or more."""
    if isinstance(value, bool) or not isinstance(value, kinds_of_numbers.Integral) or value < 0:
        refuse(f"`{name}` must be a non-negative integer", {name: value}, advice)
    return int(value)


def fraction(name, value):
    """Returns `value` as a `float`, or raises `ValueError` unless 0 <= value < 1."""
    if not is_real(value) or not 0 <= value < 1:
        advice = f"{name}=0.1 is one in ten, {name}=0.0 turns it off."
        refuse(f"`{name}` must be a number of at least 0 and less than 1", {name: value}, advice)
    return float(value)


def positive_number(name, value, advice=""):
    """Returns `value` as a `float`, or raises `ValueError` unless it is finite and above 0."""
    if not is_real(value) or not 0 < value < math.inf:
        refuse(f"`{name}` must be a finite number above 0", {name: value}, advice)
    return float(value)


def at_most_one(name, value):
    """Returns `value`, or raises `ValueError` unless it is a number above 0 and at most 1."""
    if positive_number(name, value) > 1:
        refuse(f"`{name}` must be at most 1", {name: value}, f"{name}=1.0 turns it off.")
    return value


def number(name, value, advice=""):
    """Returns `value` as a `float`, or raises `ValueError` unless it is finite."""
    if not is_real(value) or not math.isfinite(value):
        refuse(f"`{name}` must be a finite number", {name: value}, advice)
    return float(value)


def numbers(name, value):
    """Returns `value` as `number` does; it may be a tuple of numbers, one per channel."""
    return _each(number, name, value)


def positive_numbers(name, value):
    """Returns `value` as `positive_number` does; it may be a tuple, one number per channel."""
    return _each(positive_number, name, value)


def _each(check, name, value):
    if isinstance(value, (tuple, list)):
        return tuple(check(name, one) for one in value)
    return check(name, value)


def optional(check):
    """Returns a check that accepts None and otherwise behaves like `check`."""

    def check_unless_none(name, value):
        advice = f"Use {name}=None to leave it out."
        return None if value is None else check(name, value, advice)

    return check_unless_none


def boolean(name, value):
    """Returns `value`, or raises `ValueError` unless it is True or False."""
    if not isinstance(value, bool):
        refuse(f"`{name}` must be True or False", {name: value})
    return value


def one_of(*choices):
    """Returns a check that accepts only `choices`."""

    def check_choice(name, value):
        if not any(type(value) is type(choice) and value == choice for choice in choices):
            listed = ", ".join(repr(choice) for choice in choices)
            refuse(f"`{name}` must be one of {listed}", {name: value})
        return value

    return check_choice


def checked(checks, values):
    """Returns `{name: value}` of every name in `checks`, each value checked and in plain form."""
    return {name: check(name, values[name]) for name, check in checks.items()}


def height_width(name, value):
    """Returns `(height, width)` of an integer or of a pair of integers."""
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2:
        advice = f"Write {name}=224 for a square, {name}=(160, 320) for height and width."
        refuse(f"`{name}` must be one integer or two (height, width)", {name: value}, advice)
    return tuple(positive_integer(name, side) for side in pair)


def units(name, value, advice=""):
    """Returns `value` as a tuple of `int`, or raises `ValueError` unless each is 1 or more."""
    if not isinstance(value, (tuple, list)):
        advice = f"A ResNet-50 is {name}=(3, 4, 6, 3). {advice}"
        refuse(f"`{name}` must be a tuple, the units of each stage", {name: value}, advice)
    return tuple(positive_integer(name, count, advice) for count in value)


def some_units(name, value):
    """Returns `units(name, value)`; raises `ValueError` for an empty list, which has no stages."""
    if value in ((), []):
        advice = f"A ResNet-50 is {name}=(3, 4, 6, 3)."
        refuse(f"`{name}` must name at least one stage", {name: value}, advice)
    return units(name, value)


def divisible_patch(patch_size, resnet_units, step):
    """Raises `ValueError` unless a patch covers whole positions of a map, `step` pixels apart.

    `patch_size` is (height, width) in pixels of the image.
    """
    for side, patch in zip(("height", "width"), patch_size, strict=True):
        if patch % step:
            expected = f"the patch {side} must be divisible by {step}, the ResNet's step in pixels"
            received = {"patch_size": patch_size, "resnet_units": resnet_units}
            advice = f"Use a patch {side} of {nearest_multiples(patch, step)}, or fewer stages."
            refuse(expected, received, advice)


def divisible_image(image_size, patch_size):
    """Raises `ValueError` unless whole patches cover the image; both are (height, width).

    Cropping an image to fit would silently lose pixels, so it is refused.
    """
    for side, image, patch in zip(("height", "width"), image_size, patch_size, strict=True):
        if image % patch:
            advice = (
                f"Resize the images to a {side} of {nearest_multiples(image, patch)}, "
                "or choose a patch that divides it."
            )
            expected = f"the image {side} must be divisible by the patch {side}"
            refuse(expected, {"image_size": image_size, "patch_size": patch_size}, advice)


def grid(image_size, patch_size):
    """Returns (rows, columns) of patches in an image, both sizes as (height, width)."""
    return tuple(side // patch for side, patch in zip(image_size, patch_size, strict=True))


def divisible_heads(hidden_dim, num_heads):
    """Raises `ValueError` unless every attention head gets the same share of `hidden_dim`."""
    if hidden_dim % num_heads:
        candidates = range(1, min(hidden_dim, 10_000) + 1)  # a file may contain any number
        divisors = [n for n in candidates if hidden_dim % n == 0]
        below = [n for n in divisors if n < num_heads][-1:]
        closest = below + [n for n in divisors if n > num_heads][:1]
        advice = (
            f"Use num_heads={' or '.join(map(str, closest))}, "
            f"or a hidden_dim of {nearest_multiples(hidden_dim, num_heads)}."
        )
        received = {"hidden_dim": hidden_dim, "num_heads": num_heads}
        refuse("`hidden_dim` must be divisible by `num_heads`", received, advice)


def nearest_multiples(value, step):
    """Returns the multiples of `step` on both sides of `value` as text: '208 or 224'."""
    below = value // step * step
    return " or ".join(str(multiple) for multiple in (below, below + step) if multiple)


def pair(name, value, advice=""):
    """Returns `value` as a tuple, or raises `ValueError` unless it holds two values."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        want = f"`{name}` must be two values, (mean, standard deviation) of the pixels"
        refuse(want, {name: value}, f"The default is {name}=(127.5, 127.5). {advice}")
    return tuple(value)


def no_head(num_classes, representation_size):
    """Raises `ValueError` if a head was requested for a model that returns tokens.

    The default of 1000 classes does not count as a request.
    """
    if num_classes not in (None, 1000) or representation_size is not None:
        want = "a model without pooling returns tokens and has no head"
        received = {"num_classes": num_classes, "representation_size": representation_size}
        refuse(want, {"pooling": None, **received}, "Use num_classes=None, or another pooling.")


def mean_and_deviation(normalize, num_channels):
    """Returns (mean, standard deviation), each one number or a tuple of `num_channels`."""
    found, names = [], ("mean of normalize", "standard deviation of normalize")
    for name, check, value in zip(names, (numbers, positive_numbers), normalize, strict=True):
        if isinstance(value, (tuple, list)) and len(value) != num_channels:
            want = f"the {name} must be one number or {num_channels}, one per channel"
            refuse(want, {name: value})
        found.append(check(name, value))
    return tuple(found)


def images(shape, expected):
    """Raises `ValueError` unless `shape` is that of a batch of images `expected` by a model."""
    shape, wanted = tuple(shape), tuple(expected[1:])
    given = shape + (1,) if len(shape) == 3 and wanted[-1] == 1 else shape  # Keras adds the axis
    pairs = zip(given[1:], wanted, strict=False)
    if len(given) == 4 and all(a is None or a == b for a, b in pairs):
        return
    height, width, channels = wanted
    if len(shape) == 3 and shape[-1] == channels:
        advice = "A single image needs a batch axis: model(image[None])."
    elif len(shape) == 4 and shape[1:] == (channels, height, width):
        advice = "Channels come last here: np.moveaxis(images, 1, -1)."
    elif len(shape) == 4 and shape[-1] != channels:
        advice = f"Convert the images to {channels} channels, or build it with num_channels="
        advice += f"{shape[-1]}."
    else:
        advice = f"Resize the images to {height} x {width}, or build it with another image_size."
    want = f"the model expects images of shape (batch, {height}, {width}, {channels})"
    refuse(want, {"images shape": shape}, advice)


def whole_patches(shape, patch_size):
    """Returns (rows, columns) of patches in images of `shape`, which the patch must divide."""
    if len(shape) != 4 or None in shape[1:]:
        want = "`Patches` expects images of shape (batch, height, width, channels), all but the "
        want += "batch known"
        advice = "Add a batch axis to a single image with image[None], resize images to one size."
        refuse(want, {"input shape": tuple(shape)}, advice)
    divisible_image(tuple(shape[1:3]), patch_size)
    return shape[1] // patch_size[0], shape[2] // patch_size[1]


def patches(shape, num_patches=None):
    """Returns N, or raises `ValueError` unless `shape` is (batch, `num_patches`, patch length)."""
    if len(shape) != 3 or None in shape[1:]:
        want = "`PatchEncoder` expects patches of shape (batch, patches, patch length), all but "
        want += "the batch known"
        refuse(want, {"input shape": tuple(shape)}, "Put `Patches(patch_size)` before it.")
    if num_patches not in (None, shape[1]):
        want = f"this `PatchEncoder` has positions for {num_patches} patches"
        advice = "Resize the images to the size that it was built for, or build a new one."
        refuse(want, {"patches": shape[1]}, advice)
    return shape[1]


def feature_map(layer, shape):
    """Raises `ValueError` unless `shape` is that of a map with known channels."""
    if len(shape) != 4 or shape[-1] is None:
        advice = "Add a batch axis to a single image with image[None]; channels come last."
        want = f"`{layer}` expects a map of shape (batch, height, width, channels)"
        refuse(want, {"input shape": tuple(shape)}, advice)


def tokens(layer, shape, dim=None):
    """Returns D, or raises `ValueError` unless `shape` is (batch, tokens, D); `dim` is its D."""
    if len(shape) != 3 or shape[-1] is None or dim not in (None, shape[-1]):
        advice = "Pass it the output of `PatchEncoder` or of another `TransformerBlock`."
        want = f"`{layer}` expects tokens of shape (batch, tokens, {dim or 'hidden_dim'})"
        refuse(want, {"input shape": tuple(shape)}, advice)
    return shape[-1]


def floats(name, value):
    """Returns `value` as a float32 array, or raises `ValueError` unless it holds numbers."""
    import numpy as np

    try:
        return np.asarray(value, "float32")
    except (TypeError, ValueError):
        return refuse(f"`{name}` must be an array of numbers", {name: value})


def refuse(expected, received, advice=""):
    """Raises `ValueError` with a message in the format that the whole package shares."""
    values = ", ".join(f"{name}={value!r}" for name, value in received.items())
    raise ValueError(f"{expected[0].upper()}{expected[1:]}. Received: {values}. {advice}".rstrip())


def with_article(noun):
    """Returns "a ViT" or "an EVAViT" for the name of a class or of a kind."""
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def suggest(name, names, number=1):
    """Returns "Did you mean 'ViT-B/16'? " for a name that is nearly one of `names`, else ""."""
    near = difflib.get_close_matches(str(name), names, n=number, cutoff=0.5)
    return f"Did you mean {', '.join(map(repr, near))}? " if near else ""


def warn(message):
    """Warns of a probable mistake; the warning points to the caller's line outside the package."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").split(".")[0] in INSIDE:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)


def is_real(value):
    """Returns whether `value` is a real number, which a boolean is not taken for."""
    return isinstance(value, kinds_of_numbers.Real) and not isinstance(value, bool)
