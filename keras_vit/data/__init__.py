"""Images and their labels, for `model.fit`.

`load` prepares any number of images, your own or a published dataset, in batches and returns an
`ImageDataset`. `digits` loads a small dataset as arrays.

dataset.py                  `load`, and the `ImageDataset` that it returns
sources/                    images in folders, tables, arrays and files, as `Splits`
tfds/                       datasets of TensorFlow Datasets, by name
images.py                   reads one image file; `example_image`
transforms/                 augmentation and resizing
sampler.py                  the order of the images
batching.py, pipelines.py   batches as NumPy arrays, as tf.data, as `keras.utils.PyDataset`
real_labels.py              ImageNet's reassessed labels
"""

from keras_vit import startup

if not startup.postpone(__name__):
    from keras_vit.data import real_labels, tfds, transforms
    from keras_vit.data.dataset import ImageDataset, load
    from keras_vit.data.images import example_image, read
    from keras_vit.data.pipelines import Batches
    from keras_vit.data.sampler import Sampler
    from keras_vit.data.sources.folders import scan
    from keras_vit.data.sources.local import Digits, digits, read_digit
    from keras_vit.data.sources.source import split
    from keras_vit.data.transforms import AUGMENTATIONS, Augmentation, augment, get_augmentation
    from keras_vit.doctor import DatasetReport, Problem, check, quarantine, undo

__all__ = [
    "AUGMENTATIONS",
    "Augmentation",
    "Batches",
    "DatasetReport",
    "Digits",
    "ImageDataset",
    "Problem",
    "Sampler",
    "augment",
    "check",
    "digits",
    "example_image",
    "get_augmentation",
    "load",
    "quarantine",
    "read",
    "read_digit",
    "real_labels",
    "scan",
    "split",
    "tfds",
    "transforms",
    "undo",
]
