"""Pictures and their labels, as `model.fit` takes them.

`load` prepares pictures of any number, your own or a published set, in batches: a `Data`.
`digits` and `folder` read small sets into arrays: a `Dataset`.

augmentation.py, prepare.py, randaugment.py, erasing.py, mixing.py   how pictures are varied
sources.py, folders.py, tables.py, arrays.py, named.py               where pictures come from
position.py, batches.py, pipelines.py                                in which order, how they flow
loading.py, loaded.py, grid.py                                       `load` and what it returns
images.py, splits.py, digits.py                                      files, parts, a set at hand
"""

from keras_vit.data.augmentation import Augmentation, augment
from keras_vit.data.digits import digits, read_digit
from keras_vit.data.folders import folder, scan
from keras_vit.data.images import read
from keras_vit.data.loaded import Data
from keras_vit.data.loading import load
from keras_vit.data.pipelines import Batches
from keras_vit.data.position import Position
from keras_vit.data.splits import Dataset, split

__all__ = [
    "Augmentation",
    "Batches",
    "Data",
    "Dataset",
    "Position",
    "augment",
    "digits",
    "folder",
    "load",
    "read",
    "read_digit",
    "scan",
    "split",
]
