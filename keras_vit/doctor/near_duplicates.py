"""Finds images that exist more than once, in about linear time.

Exact copies share the decoded pixels. Near copies (saved again, resized, brightened, slightly
cropped) are found with a perceptual hash, the signs of the low frequencies of a small grayscale
thumbnail, and confirmed by the correlation of the thumbnails.
"""

from collections import defaultdict

import numpy as np

from keras_vit.doctor.examine import THUMB
from keras_vit.doctor.file_tree import printable
from keras_vit.doctor.problems import Problem

LATER = {"": 0, "train": 0, "validation": 1, "test": 2}
# Measured: a photograph saved again at JPEG quality 30, halved, rotated by a degree or brightened
# by a fifth changes at most 7 bits and keeps a correlation above 0.97. Of the 1.8 billion pairs of
# CIFAR-10 about 500 are as similar. All 143 of these between training and test were inspected and
# show the same scene; the most similar pair that does not (a ship and an airplane) differs in 10
# bits.
MOST_BITS, LEAST_CORRELATION = 9, 0.95
MOST_TINT = 25.0  # root mean square of color differences above which two images are different
LEAST_CONTRAST = 4.0  # standard deviation below which a thumbnail is too flat to compare
_FREQUENCIES = 8
_SLICE = 8192  # thumbnails to convert to floats at once
_BANDS, _BAND_BITS = 24, 16
# Limits on comparisons within a bucket and on near copies per image, which keep the time linear for
# thousands of nearly equal images, such as the frames of a video.
_NEIGHBORS, _PARTNERS = 24, 8


def find_copies(images, thumbs):
    """Returns the `Problem`s of copies between classes, between splits and within a class.

    Args:
        images: list of `CheckedImage`.
        thumbs: their thumbnails, uint8 (images, `THUMB_BYTES`).
    """
    groups = defaultdict(list)
    for index, image in enumerate(images):
        groups[image.pixels].append(index)
    found = []
    for group in groups.values():
        found += _compare_group(sorted((images[index] for index in group), key=_rank))
    alone = np.array([group[0] for group in groups.values()], "int64")
    for pair in alone[find_near(thumbs[alone])].tolist():
        found.append(_compare_pair(*sorted((images[index] for index in pair), key=_rank)))
    return found


def find_near(thumbs):
    """Returns pairs of nearly equal thumbnails, integers (pairs, 2), the smaller index first.

    Each image is in about 8 pairs at most.
    """
    if len(thumbs) < 2:
        return np.zeros((0, 2), "int64")
    slices = [_hash(thumbs[i : i + _SLICE]) for i in range(0, len(thumbs), _SLICE)]
    hashes, contrast = map(np.concatenate, zip(*slices, strict=True))
    found = np.zeros(0, "int64")  # pairs (a, b) as a * images + b
    partners = np.zeros(len(thumbs), "int64")
    rng = np.random.default_rng(0)
    for _ in range(_BANDS):
        bits = rng.choice(hashes.shape[1], _BAND_BITS, replace=False)
        left = np.flatnonzero((contrast >= LEAST_CONTRAST) & (partners < _PARTNERS))
        pairs = np.sort(left[_find_candidates(hashes[left], bits)], axis=1)
        # np.unique takes a hundred times as long on such numbers.
        new = np.sort(pairs[:, 0] * len(thumbs) + pairs[:, 1])
        new = new[np.diff(new, prepend=-1) > 0]
        new = new[np.isin(new, found, assume_unique=True, invert=True, kind="sort")]
        pairs = _confirm(thumbs, np.stack(np.divmod(new, len(thumbs)), axis=1))
        found = np.concatenate([found, pairs[:, 0] * len(thumbs) + pairs[:, 1]])
        partners += np.bincount(pairs.ravel(), minlength=len(thumbs))
    return np.stack(np.divmod(np.sort(found), len(thumbs)), axis=1)


def _compare_group(copies):
    for class_name in sorted({copy.class_name for copy in copies} - {copies[0].class_name}):
        others = [copy for copy in copies if copy.class_name == class_name]
        others += [copy for copy in copies[1:] if copy.class_name == copies[0].class_name]
        reason = f"also in class {printable(class_name)}"
        yield _make_problem("label-clash", copies[0], reason, *others)
    firsts = {}
    for copy in copies:
        later = [other for other in copies if LATER[other.split] > LATER[copy.split]]
        if later:
            yield _make_problem("leak", copy, f"also in {later[0].split}", *later)
        first = firsts.setdefault((copy.split, copy.class_name), copy)
        if first is not copy:
            how = "identical files" if first.bytes == copy.bytes else "identical pixels"
            yield _make_problem("duplicate", copy, how, first)


def _compare_pair(first, second):
    if first.class_name != second.class_name:
        reason = f"also in class {printable(second.class_name)}"
        return _make_problem("near-clash", first, reason, second)
    if first.split != second.split:
        return _make_problem("near-leak", first, f"also in {second.split}", second)
    return _make_problem("near-duplicate", second, "nearly identical", first)


def _make_problem(kind, image, reason, *others):
    paths = tuple(other.path for other in others)
    return Problem(kind, image.path, reason, image.class_name, image.split, paths)


def _rank(image):
    return LATER[image.split], image.path


def _hash(thumbs):
    """Returns the signs of the low frequencies of a cosine transform, bool (images, 63).

    Also returns the standard deviations of the gray values, (images,).
    """
    k, n = np.arange(_FREQUENCIES)[:, None], np.arange(THUMB)[None]
    cosines = np.cos(np.pi * (2 * n + 1) * k / (2 * THUMB)).astype("float32")
    gray = thumbs[:, : THUMB * THUMB].astype("float32")
    waves = cosines @ gray.reshape(-1, THUMB, THUMB) @ cosines.T  # (images, 8, 8)
    signs = waves.reshape(-1, _FREQUENCIES**2)[:, 1:] > 0  # the first is the mean
    return signs, gray.std(axis=1)


def _find_candidates(hashes, bits):
    """Returns pairs whose hashes agree in `bits` and nearly everywhere else, (pairs, 2).

    Images are sorted by these bits and compared with the few that follow.
    """
    whole = np.packbits(hashes, axis=1)
    band = np.packbits(hashes[:, bits], axis=1).copy().view(">u2").ravel()
    order = np.lexsort((*whole.T, band))
    whole, band = whole[order], band[order]
    pairs = [np.zeros((0, 2), "int64")]
    for step in range(1, min(_NEIGHBORS, len(band) - 1) + 1):
        same = np.flatnonzero(band[step:] == band[:-step])
        different = np.unpackbits(whole[same] ^ whole[same + step], axis=1).sum(axis=1)
        same = same[different <= MOST_BITS]
        pairs.append(np.stack([order[same], order[same + step]], axis=1))
    return np.concatenate(pairs)


def _confirm(thumbs, pairs):
    """Returns the pairs whose thumbnails agree; slices limit the memory."""
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
