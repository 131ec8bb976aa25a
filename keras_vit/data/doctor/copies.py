"""Finds pictures that are there more than once, in about linear time.

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
# Measured on photographs and on CIFAR-10: a picture saved again at JPEG quality 30, halved, turned
# by a degree or brightened by a fifth keeps all but 7 of its bits and a correlation above 0.97; of
# 50 million pairs of CIFAR-10's test pictures 15 come as near, and all of them show one scene.
MOST_BITS, LEAST_CORRELATION = 10, 0.95
MOST_TINT = (
    25.0  # colour difference, root mean square of 0..255, beyond which it is another picture
)
LEAST_CONTRAST = 4.0  # standard deviation below which a thumbnail is too flat to compare
_FREQUENCIES = 8
_SLICE = 8192  # thumbnails that are held as floats at once
_BANDS, _BAND_BITS = 24, 16
_NEIGHBOURS = 48  # compared in a bucket, so that a large bucket costs no more than linear time


def thumb_length():
    """Bytes of a thumbnail: grey values and two colour differences."""
    return THUMB * THUMB + 2 * TINT * TINT


def exact(pictures):
    """Groups pictures with equal bytes or equal decoded pixels.

    Args:
        pictures: list of `Picture`.

    Returns:
        List of lists of indices, each of two or more.
    """
    parent = list(range(len(pictures)))
    for attribute in ("bytes", "pixels"):
        first = {}
        for index, picture in enumerate(pictures):
            other = _root(parent, first.setdefault(getattr(picture, attribute), index))
            parent[_root(parent, index)] = other
    groups = defaultdict(list)
    for index in range(len(pictures)):
        groups[_root(parent, index)].append(index)
    return [group for group in groups.values() if len(group) > 1]


def near(thumbs):
    """Finds pairs of thumbnails that show nearly the same.

    Args:
        thumbs: uint8 (pictures, `thumb_length()`).

    Returns:
        Integer array (pairs, 2), the smaller index first.
    """
    if len(thumbs) < 2:
        return np.zeros((0, 2), "int64")
    parts = [_hashes(thumbs[i : i + _SLICE]) for i in range(0, len(thumbs), _SLICE)]
    hashes, contrast = map(np.concatenate, zip(*parts, strict=True))
    usable = np.flatnonzero(contrast >= LEAST_CONTRAST)
    hashes = hashes[usable]
    pairs = [_confirmed(thumbs, usable[found]) for found in _candidates(hashes)]
    pairs = np.concatenate([np.zeros((0, 2), "int64"), *pairs])
    return np.unique(np.sort(pairs, axis=1), axis=0)


def problems(pictures, groups, pairs):
    """Says what is wrong with copies: between classes, between splits, within a class.

    Args:
        pictures: list of `Picture`.
        groups: of `exact`.
        pairs: of `near`.

    Returns:
        List of `Problem`.
    """
    found = [problem for group in groups for problem in _group([pictures[i] for i in group])]
    same = {index: number for number, group in enumerate(groups) for index in group}
    for a, b in pairs.tolist():
        if a in same and same.get(b) == same[a]:
            continue
        found.append(_pair(*sorted((pictures[a], pictures[b]), key=_place)))
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


def _problem(kind, picture, others, reason):
    paths = tuple(other.path for other in others)
    return Problem(kind, picture.path, reason, picture.class_name, picture.split, paths)


def _place(picture):
    return LATER[picture.split], picture.path


def _root(parent, index):
    while parent[index] != index:
        parent[index] = parent[parent[index]]
        index = parent[index]
    return index


def _hashes(thumbs):
    """Signs of the low frequencies of a discrete cosine transform, bool (pictures, 63).

    Also returns the standard deviations of the grey values, (pictures,).
    """
    k, n = np.arange(_FREQUENCIES)[:, None], np.arange(THUMB)[None]
    cosines = np.cos(np.pi * (2 * n + 1) * k / (2 * THUMB)).astype("float32")
    grey = thumbs[:, : THUMB * THUMB].astype("float32")
    waves = cosines @ grey.reshape(-1, THUMB, THUMB) @ cosines.T  # (pictures, 8, 8)
    signs = waves.reshape(-1, _FREQUENCIES**2)[:, 1:] > 0  # the first is the mean
    return signs, grey.std(axis=1)


def _candidates(hashes):
    """Yields arrays of pairs whose hashes agree in a band and nearly everywhere.

    A band is a choice of bits; pictures are sorted by them and compared with those that follow.
    """
    whole = np.packbits(hashes, axis=1).copy().view(">u8").ravel().astype("uint64")
    rng = np.random.default_rng(0)
    for _ in range(_BANDS):
        bits = rng.choice(hashes.shape[1], _BAND_BITS, replace=False)
        band = np.packbits(hashes[:, bits], axis=1).copy().view(">u2").ravel()
        order = np.lexsort((whole, band))
        yield from _followers(band[order], whole[order], order)


def _followers(band, whole, order):
    for step in range(1, min(_NEIGHBOURS, len(band) - 1) + 1):
        same = np.flatnonzero(band[step:] == band[:-step])
        if not len(same):
            return
        different = (whole[same] ^ whole[same + step])[:, None].view("uint8")
        same = same[np.unpackbits(different, axis=1).sum(axis=1) <= MOST_BITS]
        yield np.stack([order[same], order[same + step]], axis=1)


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
