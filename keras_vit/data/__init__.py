"""Images and their labels, as `model.fit` takes them.

`load` prepares images of any number, your own or a published set, in batches: a `Data`.
`digits` reads a small set into arrays: a `Dataset`.

augmentation.py, prepare.py, randaugment.py, erasing.py, mixing.py   how images are varied
sources.py, folders.py, tables.py, arrays.py                         where images come from
named.py, sets.py, vtab.py, builders.py, records.py, network.py      sets of TensorFlow Datasets
real_labels.py                                                       ImageNet's reassessed labels
doctor/                                                              what is wrong with a folder
position.py, batches.py, pipelines.py                                in which order, how they flow
loading.py, loaded.py, grid.py                                       `load` and what it returns
images.py, splits.py, digits.py                                      files, parts, a set at hand
"""

from keras_vit import startup

if not startup.postpone(__name__):
    from keras_vit.data import named, real_labels
    from keras_vit.data.augmentation import AUGMENTATIONS, Augmentation, augment, augmentation_of
    from keras_vit.data.digits import digits, read_digit
    from keras_vit.data.doctor import Problem, Report, check, quarantine, undo
    from keras_vit.data.folders import scan
    from keras_vit.data.images import read
    from keras_vit.data.loaded import Data
    from keras_vit.data.loading import load
    from keras_vit.data.pipelines import Batches
    from keras_vit.data.position import Position
    from keras_vit.data.splits import Dataset, split

__all__ = [
    "AUGMENTATIONS",
    "Augmentation",
    "Batches",
    "Data",
    "Dataset",
    "Position",
    "Problem",
    "Report",
    "augment",
    "augmentation_of",
    "check",
    "digits",
    "load",
    "named",
    "quarantine",
    "read",
    "read_digit",
    "real_labels",
    "scan",
    "split",
    "undo",
]
