"""What happens to an image between its file and the model.

augmentation.py         `Augmentation`: the settings, by name as in the papers; `augment` for arrays
image_transforms.py     `augment_image` and `resize_image`: one image
randaugment.py          RandAugment, called by `augment_image`
mixing.py               mixup and CutMix: one batch
"""

from keras_vit.data.transforms import mixing, randaugment
from keras_vit.data.transforms.augmentation import (
    AUGMENTATIONS,
    Augmentation,
    augment,
    get_augmentation,
)
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
