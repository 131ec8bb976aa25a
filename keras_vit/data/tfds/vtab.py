"""VTAB-1k: 19 tasks with 1,000 labelled images each (arXiv 1910.04867; Table 9 of the paper).

In every dataset 800 fixed images are for training, 200 for validation, and the whole test split
for testing. The numbers in the splits are those of the benchmark's own code: without a validation
split, validation images begin after nine tenths of the training split (four fifths of the pets,
three fifths of the satellite images).
"""

import numpy as np

from keras_vit.data.tfds.paper_datasets import NamedDataset

VEHICLES = 3  # the first types of KITTI are Car, Van and Truck
CLEVR_DISTANCES = (0.0, 8.0, 8.5, 9.0, 9.5, 10.0, 100.0)
KITTI_DISTANCES = (-100.0, 8.0, 20.0, 999.0)  # meters
NO_VEHICLE = 1000.0


def clevr_count(objects):
    """Returns the class of a CLEVR image: its number of objects, 3 to 10."""
    return len(objects["size"]) - 3


def clevr_distance(objects):
    """Returns the class of a CLEVR image: the distance of the closest object, in 6 intervals."""
    nearest = min(np.asarray(coordinates)[2] for coordinates in objects["pixel_coords"])
    return _interval(CLEVR_DISTANCES, nearest)


def kitti_distance(objects):
    """Returns the class of a KITTI image: the distance of the closest car, van or truck.

    The distance is the third coordinate of the location, in meters. Class 3 is "no vehicle".
    """
    pairs = zip(objects["type"], objects["location"], strict=True)
    distances = [np.asarray(location)[2] for kind, location in pairs if kind < VEHICLES]
    return _interval(KITTI_DISTANCES, min(distances, default=NO_VEHICLE))


def dsprites_location(column):
    """Returns the class of a dSprites image: its x position, 32 columns in 16 pairs."""
    return int(column) * 16 // 32


def dsprites_orientation(angle):
    """Returns the class of a dSprites image: its orientation, 40 steps in 16 groups."""
    return int(angle) * 16 // 40


def _interval(edges, value):
    """Returns the index of the interval (lower, upper] that contains `value`."""
    return int(np.searchsorted(edges, value, side="left")) - 1


def _group_names(what, steps):
    """Returns the names of the 16 classes of the two functions above."""
    edges = [-(-group * steps // 16) for group in range(17)]
    return tuple(f"{what} {edges[group]} to {edges[group + 1] - 1}" for group in range(16))


def _with_validation(tfds, **more):
    """A dataset with a validation split."""
    return NamedDataset(tfds, "train[:800]", "validation[:200]", "test", **more)


def _without_validation(tfds, start, test="test", **more):
    """A dataset whose validation images are those of the training split from `start` on."""
    return NamedDataset(tfds, "train[:800]", f"train[{start}:{start + 200}]", test, **more)


def _smallnorb(label):
    return NamedDataset("smallnorb", "train[:800]", "test[:200]", "test[12150:]", label=label)


def _clevr(to_class, class_names):
    more = {"label": "objects", "to_class": to_class, "class_names": class_names}
    return _without_validation("clevr", 63_000, "validation", **more)


def _dsprites(label, to_class, class_names):
    more = {"label": label, "to_class": to_class, "class_names": class_names}
    return _without_validation("dsprites", 589_824, "train[663552:]", white=1, **more)


COUNTS = tuple(f"{count} objects" for count in range(3, 11))
CLEVR_NAMES = ("to 8", "8 to 8.5", "8.5 to 9", "9 to 9.5", "9.5 to 10", "above 10")
KITTI_NAMES = ("to 8 m", "8 to 20 m", "above 20 m", "no vehicle")

# In the order of Table 9: natural, specialized, structured.
TASKS = {
    "vtab/caltech101": _without_validation("caltech101", 2754),
    "vtab/cifar100": _without_validation("cifar100", 45_000),
    "vtab/dtd": _with_validation("dtd"),
    "vtab/flowers102": _with_validation("oxford_flowers102"),
    "vtab/pets": _without_validation("oxford_iiit_pet", 2944),
    "vtab/sun397": _with_validation("sun397/tfds"),
    "vtab/svhn": _without_validation("svhn_cropped", 65_931),
    "vtab/camelyon": _with_validation("patch_camelyon"),
    "vtab/eurosat": _without_validation("eurosat/rgb", 16_200, "train[21600:]"),
    "vtab/resisc45": _without_validation("resisc45", 18_900, "train[25200:]"),
    "vtab/retinopathy": _with_validation("diabetic_retinopathy_detection/btgraham-300"),
    "vtab/clevr-count": _clevr(clevr_count, COUNTS),
    "vtab/clevr-distance": _clevr(clevr_distance, CLEVR_NAMES),
    "vtab/dmlab": _with_validation("dmlab"),
    "vtab/dsprites-location": _dsprites(
        "label_x_position", dsprites_location, _group_names("column", 32)
    ),
    "vtab/dsprites-orientation": _dsprites(
        "label_orientation", dsprites_orientation, _group_names("step", 40)
    ),
    "vtab/kitti-distance": _with_validation(
        "kitti", label="objects", to_class=kitti_distance, class_names=KITTI_NAMES
    ),
    "vtab/smallnorb-azimuth": _smallnorb("label_azimuth"),
    "vtab/smallnorb-elevation": _smallnorb("label_elevation"),
}
