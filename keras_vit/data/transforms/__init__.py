"""What happens to an image between its file and the model.

augmentation.py         `Augmentation`: the settings, by name as in the papers
image_transforms.py     `augment_image` and `resize_image`: crop and resize one image
batch_transforms.py     `augment`: all that follows, for a batch of images at once
randaugment.py          RandAugment, called by `augment`
operations.py           the operations of RandAugment and color jitter
mixing.py               mixup and CutMix of a batch and its labels
"""

from keras_vit.data.transforms import mixing, randaugment
from keras_vit.data.transforms.augmentation import (
    AUGMENTATIONS,
    Augmentation,
    get_augmentation,
)
from keras_vit.data.transforms.batch_transforms import augment
from keras_vit.data.transforms.image_transforms import augment_image, resize_image

__all__ = [
    "AUGMENTATIONS",
    "Augmentation",
    "augment",
    "augment_image",
    "get_augmentation",
    "mixing",
    "randaugment",
    "resize_image",
]
