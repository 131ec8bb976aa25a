"""Pictures and their labels, as arrays that `model.fit` takes.

`digits` is inside scikit-learn and needs no network; `folder` reads your own pictures.
Both return a `Dataset`: a training part, a test part and the names of the classes.
"""

from keras_vit.data.augmentation import Augmentation, augment
from keras_vit.data.digits import digits, read_digit
from keras_vit.data.folders import folder, scan
from keras_vit.data.images import read
from keras_vit.data.position import Position
from keras_vit.data.splits import Batches, Dataset, split

__all__ = [
    "Augmentation",
    "Batches",
    "Dataset",
    "Position",
    "augment",
    "digits",
    "folder",
    "read",
    "read_digit",
    "scan",
    "split",
]
