"""The hybrid: patches of a ResNet's feature map in place of patches of the image (section 3.1).

x_p = patches of units(root(images))     Eq. 1 with a ResNet v1 before it; everything else stays
"""

import keras

from keras_vit import arguments as check
from keras_vit.convolutions import HybridRoot, HybridUnit
from keras_vit.layers import Patches
from keras_vit.resnet import stages
from keras_vit.vit import ViT


@keras.saving.register_keras_serializable(package="keras_vit")
class HybridViT(ViT):
    """A `ViT` with a ResNet before its patches.

    Args:
        *args: arguments of `ViT`. `patch_size` is in pixels of the image. A patch must be whole
            positions of the feature map, which are 4 pixels apart, and twice as far with each
            stage after the first.
        resnet_units: number of residual units in each stage: (3, 4, 9), or () for the root alone.
        **kwargs: arguments of `ViT`.

    Raises:
        ValueError: an argument cannot be used, or a patch is not whole positions of the map.

    Example:
    >>> model = keras_vit.hybrid.HybridViT(
    ...     64, 16, num_layers=1, hidden_dim=32, mlp_dim=64, num_heads=2, resnet_units=(1, 1))
    >>> model.get_layer("stage_2_unit_1").output.shape, model.get_layer("patches").patch_size
    ((None, 8, 8, 512), (2, 2))

    Reference: section 3.1, "Hybrid Architecture", and 4.1
    """

    root, unit = HybridRoot, HybridUnit

    def __init__(self, *args, resnet_units: check.units = (3, 4, 9), **kwargs):
        self.keep(locals())
        super().__init__(*args, **kwargs)

    def stem(self, x):
        check.divisible_patch(self.patch_size, self.resnet_units, step(self.resnet_units))
        x = self.part(self.root, 64, name="root")(x)  # (B, height / 4, width / 4, 64)
        for unit in stages(self.unit, self.resnet_units):
            x = self.part(unit)(x)
        return x

    def patches(self):
        on_map = tuple(side // step(self.resnet_units) for side in self.patch_size)
        return self.part(Patches, on_map, name="patches")


def step(units):
    """Returns how many pixels of the image lie between two positions of the last stage's map.

    The root makes 4 of 1, and every stage after the first doubles it.

    Example:
    >>> keras_vit.hybrid.step(()), keras_vit.hybrid.step((3, 4, 9))
    (4, 16)
    """
    return 4 * 2 ** max(len(units) - 1, 0)
