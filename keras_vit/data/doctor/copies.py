"""Finds images that are there more than once, in about linear time.

Exact copies share the bytes of the file or the decoded pixels. Near copies (saved again, resized,
brighter, a hair cropped) are found by the signs of the low frequencies of a small grey thumbnail,
a perceptual hash, and confirmed by the correlation of the thumbnails.
"""

from collections import defaultdict

import numpy as np

from keras_vit.data.doctor.examine import THUMB, TINT
from keras_vit.data.doctor.kinds import Problem
from keras_vit.data.doctor.walking import printable

LATER = {"": 0, "train": 0, "validation": 1, "test": 2}
# Measured: a photograph saved again at JPEG quality 30, halved, turned by a degree or brightened
# by a fifth keeps all but 7 bits and a correlation above 0.97. Of the 1.8 billion pairs of CIFAR-10
# some 500 come as near; the 143 between training and test were looked at, and all show one scene.
# The nearest pair that did not (a ship, an airplane) differed in 10 bits.
MOST_BITS, LEAST_CORRELATION = 9, 0.95
MOST_TINT = 25.0  # root mean square of colour differences beyond which it is another image
LEAST_CONTRAST = 4.0  # standard deviation below which a thumbnail is too flat to compare
_FREQUENCIES = 8
_SLICE = 8192  # thumbnails that are held as floats at once
_BANDS, _BAND_BITS = 24, 16
# So that thousands of nearly equal images, as of a film, cost no more than linear time: what is
# compared in a bucket, and the near copies after which no more are looked for.
_NEIGHBOURS, _PARTNERS = 24, 8


def thumb_length():
    """Bytes of a thumbnail: grey values and two colour differences."""
    return THUMB * THUMB + 2 * TINT * TINT


def exact(images):
    """Groups images with equal bytes or equal decoded pixels.

    Args:
        images: list of `CheckedImage`.

    Returns:
        List of lists of indices, each of two or more.
    """
    parent = list(range(len(images)))
    for attribute in ("bytes", "pixels"):
        first = {}
        for index, image in enumerate(images):
            other = _root(parent, first.setdefault(getattr(image, attribute), index))
            parent[_root(parent, index)] = other
    groups = defaultdict(list)
    for index in range(len(images)):
        groups[_root(parent, index)].append(index)
    return [group for group in groups.values() if len(group) > 1]


def near(thumbs):
    """Finds pairs of thumbnails that show nearly the same.

    Args:
        thumbs: uint8 (images, `thumb_length()`).

    Returns:
        Integer array (pairs, 2), the smaller index first; about the first 8 pairs of each image.
    """
    if len(thumbs) < 2:
        return np.zeros((0, 2), "int64")
    parts = [_hashes(thumbs[i : i + _SLICE]) for i in range(0, len(thumbs), _SLICE)]
    hashes, contrast = map(np.concatenate, zip(*parts, strict=True))
    found = np.zeros(0, "int64")  # pairs (a, b) as a * images + b
    partners = np.zeros(len(thumbs), "int64")
    rng = np.random.default_rng(0)
    for _ in range(_BANDS):
        bits = rng.choice(hashes.shape[1], _BAND_BITS, replace=False)
        left = np.flatnonzero((contrast >= LEAST_CONTRAST) & (partners < _PARTNERS))
        pairs = np.sort(left[_candidates(hashes[left], bits)], axis=1)
        # Sorted by hand: NumPy's own `unique` takes a hundred times as long on such numbers.
        new = np.sort(pairs[:, 0] * len(thumbs) + pairs[:, 1])
        new = new[np.diff(new, prepend=-1) > 0]
        new = new[np.isin(new, found, assume_unique=True, invert=True, kind="sort")]
        pairs = _confirmed(thumbs, np.stack(np.divmod(new, len(thumbs)), axis=1))
        found = np.concatenate([found, pairs[:, 0] * len(thumbs) + pairs[:, 1]])
        partners += np.bincount(pairs.ravel(), minlength=len(thumbs))
    return np.stack(np.divmod(np.sort(found), len(thumbs)), axis=1)


def problems(images, thumbs):
    """Says what is wrong with copies: between classes, between splits, within a class.

    Args:
        images: list of `CheckedImage`.
        thumbs: their thumbnails, as `near` takes them.

    Returns:
        List of `Problem`.
    """
    groups = exact(images)
    found = [problem for group in groups for problem in _group([images[i] for i in group])]
    copied = {index for group in groups for index in group[1:]}
    alone = np.array([i for i in range(len(images)) if i not in copied], "int64")
    for pair in alone[near(thumbs[alone])].tolist():
        found.append(_pair(*sorted((images[index] for index in pair), key=_place)))
    return found


def _group(copies):
    copies = sorted(copies, key=_place)
    for class_name in sorted({copy.class_name for copy in copies} - {copies[0].class_name}):
        other = next(copy for copy in copies if copy.class_name == class_name)
        yield _problem("label-clash", copies[0], [other], f"also in class {printable(class_name)}")
    seen = set()
    for copy in copies:
        later = [other for other in copies if LATER[other.split] > LATER[copy.split]]
        if later:
            yield _problem("leak", copy, later, f"also in {later[0].split}")
        place = copy.split, copy.class_name
        if place in seen:
            first = next(o for o in copies if (o.split, o.class_name) == place)
            how = "byte for byte" if first.bytes == copy.bytes else "the same pixels"
            yield _problem("duplicate", copy, [first], how)
        seen.add(place)


def _pair(first, second):
    if first.class_name != second.class_name:
        reason = f"also in class {printable(second.class_name)}"
        return _problem("near-clash", first, [second], reason)
    if first.split != second.split:
        return _problem("near-leak", first, [second], f"also in {second.split}")
    return _problem("near-duplicate", second, [first], "nearly the same")


def _problem(kind, image, others, reason):
    paths = tuple(other.path for other in others)
    return Problem(kind, image.path, reason, image.class_name, image.split, paths)


def _place(image):
    return LATER[image.split], image.path


def _root(parent, index):
    while parent[index] != index:
        parent[index] = parent[parent[index]]
        index = parent[index]
    return index


def _hashes(thumbs):
    """Signs of the low frequencies of a discrete cosine transform, bool (images, 63).

    Also returns the standard deviations of the grey values, (images,).
    """
    k, n = np.arange(_FREQUENCIES)[:, None], np.arange(THUMB)[None]
    cosines = np.cos(np.pi * (2 * n + 1) * k / (2 * THUMB)).astype("float32")
    grey = thumbs[:, : THUMB * THUMB].astype("float32")
    waves = cosines @ grey.reshape(-1, THUMB, THUMB) @ cosines.T  # (images, 8, 8)
    signs = waves.reshape(-1, _FREQUENCIES**2)[:, 1:] > 0  # the first is the mean
    return signs, grey.std(axis=1)


def _candidates(hashes, bits):
    """Pairs whose hashes agree in some bits and nearly everywhere, (pairs, 2).

    Images are sorted by those bits and compared with the few that follow.
    """
    whole = np.packbits(hashes, axis=1)
    band = np.packbits(hashes[:, bits], axis=1).copy().view(">u2").ravel()
    order = np.lexsort((*whole.T, band))
    whole, band = whole[order], band[order]
    pairs = [np.zeros((0, 2), "int64")]
    for step in range(1, min(_NEIGHBOURS, len(band) - 1) + 1):
        same = np.flatnonzero(band[step:] == band[:-step])
        different = np.unpackbits(whole[same] ^ whole[same + step], axis=1).sum(axis=1)
        same = same[different <= MOST_BITS]
        pairs.append(np.stack([order[same], order[same + step]], axis=1))
    return np.concatenate(pairs)


def _confirmed(thumbs, pairs):
    """The pairs whose thumbnails agree, in slices so that memory stays small."""
    kept = [np.zeros((0, 2), "int64")]
    for start in range(0, len(pairs), _SLICE):
        some = pairs[start : start + _SLICE]
        a, b = (thumbs[some[:, side]].astype("float32") for side in (0, 1))
        light, tint = slice(0, THUMB * THUMB), slice(THUMB * THUMB, None)
        distance = np.sqrt(np.mean((a[:, tint] - b[:, tint]) ** 2, axis=1))
        alike = _correlation(a[:, light], b[:, light]) >= LEAST_CORRELATION
        kept.append(some[alike & (distance <= MOST_TINT)])
    return np.concatenate(kept)


def _correlation(a, b):
    a = a - a.mean(axis=1, keepdims=True)
    b = b - b.mean(axis=1, keepdims=True)
    return (a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
