"""VTAB-1k: 19 tasks with 1,000 labelled images each (arXiv 1910.04867; Table 9 of the paper).

Of every set, 800 fixed images are trained on, 200 serve for validation, and all of the test
split for the test. Numbers in the splits are those of the benchmark's own code: where a set has
no validation split, it begins behind nine tenths of the training split (four fifths of the pets,
three fifths of the satellite images).
"""

import numpy as np

from keras_vit.data.sets import NamedSet

VEHICLES = 3  # Car, Van, Truck are the first types of KITTI
CLEVR_DISTANCES = (0.0, 8.0, 8.5, 9.0, 9.5, 10.0, 100.0)
KITTI_DISTANCES = (-100.0, 8.0, 20.0, 999.0)  # metres
NO_VEHICLE = 1000.0


def clevr_count(objects):
    """Class of a CLEVR image: how many objects are in it, 3 to 10."""
    return len(objects["size"]) - 3


def clevr_distance(objects):
    """Class of a CLEVR image: how far the closest object is, in 6 intervals."""
    nearest = min(np.asarray(coordinates)[2] for coordinates in objects["pixel_coords"])
    return _interval(CLEVR_DISTANCES, nearest)


def kitti_distance(objects):
    """Class of a KITTI image: how far the closest car, van or truck is; 3 for none.

    The distance is the third coordinate of its place before the camera, in metres.
    """
    pairs = zip(objects["type"], objects["location"], strict=True)
    distances = [np.asarray(place)[2] for kind, place in pairs if kind < VEHICLES]
    return _interval(KITTI_DISTANCES, min(distances, default=NO_VEHICLE))


def dsprites_location(column):
    """Class of a dSprites image: its x position, 32 columns, in 16 pairs."""
    return int(column) * 16 // 32


def dsprites_orientation(angle):
    """Class of a dSprites image: its orientation, 40 steps of a full turn, in 16 groups."""
    return int(angle) * 16 // 40


def _interval(edges, value):
    """The number of the interval that holds `value`, open at its lower edge."""
    return int(np.searchsorted(edges, value, side="left")) - 1


def _groups(what, steps):
    """Names of 16 groups of neighbouring steps, as the two functions above make them."""
    edges = [-(-group * steps // 16) for group in range(17)]
    return tuple(f"{what} {edges[group]} to {edges[group + 1] - 1}" for group in range(16))


def _own(tfds, **more):
    """A set that has a validation split of its own."""
    return NamedSet(tfds, "train[:800]", "validation[:200]", "test", **more)


def _cut(tfds, start, test="test", **more):
    """A set whose validation images are taken from the training split, from `start` on."""
    return NamedSet(tfds, "train[:800]", f"train[{start}:{start + 200}]", test, **more)


def _smallnorb(label):
    return NamedSet("smallnorb", "train[:800]", "test[:200]", "test[12150:]", label=label)


def _clevr(to_class, class_names):
    more = {"label": "objects", "to_class": to_class, "class_names": class_names}
    return _cut("clevr", 63_000, "validation", **more)


def _dsprites(label, to_class, class_names):
    more = {"label": label, "to_class": to_class, "class_names": class_names}
    return _cut("dsprites", 589_824, "train[663552:]", white=1, **more)


COUNTS = tuple(f"{count} objects" for count in range(3, 11))
CLEVR_NAMES = ("to 8", "8 to 8.5", "8.5 to 9", "9 to 9.5", "9.5 to 10", "above 10")
KITTI_NAMES = ("to 8 m", "8 to 20 m", "above 20 m", "no vehicle")

# In the order of Table 9: natural, specialized, structured.
TASKS = {
    "vtab/caltech101": _cut("caltech101", 2754),
    "vtab/cifar100": _cut("cifar100", 45_000),
    "vtab/dtd": _own("dtd"),
    "vtab/flowers102": _own("oxford_flowers102"),
    "vtab/pets": _cut("oxford_iiit_pet", 2944),
    "vtab/sun397": _own("sun397/tfds"),
    "vtab/svhn": _cut("svhn_cropped", 65_931),
    "vtab/camelyon": _own("patch_camelyon"),
    "vtab/eurosat": _cut("eurosat/rgb", 16_200, "train[21600:]"),
    "vtab/resisc45": _cut("resisc45", 18_900, "train[25200:]"),
    "vtab/retinopathy": _own("diabetic_retinopathy_detection/btgraham-300"),
    "vtab/clevr-count": _clevr(clevr_count, COUNTS),
    "vtab/clevr-distance": _clevr(clevr_distance, CLEVR_NAMES),
    "vtab/dmlab": _own("dmlab"),
    "vtab/dsprites-location": _dsprites(
        "label_x_position", dsprites_location, _groups("column", 32)
    ),
    "vtab/dsprites-orientation": _dsprites(
        "label_orientation", dsprites_orientation, _groups("step", 40)
    ),
    "vtab/kitti-distance": _own(
        "kitti", label="objects", to_class=kitti_distance, class_names=KITTI_NAMES
    ),
    "vtab/smallnorb-azimuth": _smallnorb("label_azimuth"),
    "vtab/smallnorb-elevation": _smallnorb("label_elevation"),
}
