"""The hybrid: patches of a ResNet's feature map in place of patches of the image (section 3.1).

x_p = patches of units(root(images))     Eq. 1 with a ResNet v1 before it; the rest is the same
"""

import keras

from keras_vit import arguments as check
from keras_vit.convolutions import HybridRoot, HybridUnit, SmallRoot
from keras_vit.layers import Patches
from keras_vit.resnet import stages
from keras_vit.vit import ViT


@keras.saving.register_keras_serializable(package="keras_vit")
class HybridViT(ViT):
    """A `ViT` with a ResNet before its patches.

    Args:
        *args: arguments of `ViT`. `patch_size` is in pixels of the image. A patch must cover whole
            positions of the feature map, which are 4 pixels apart; each stage after the first
            doubles the distance.
        resnet_units: number of residual units in each stage: (3, 4, 9), or () for only the root.
        **kwargs: arguments of `ViT`.

    Raises:
        ValueError: an argument is invalid, or a patch does not cover whole positions.

    Example:
    >>> model = keras_vit.hybrid.HybridViT(
    ...     64, 16, num_layers=1, hidden_dim=32, mlp_dim=64, num_heads=2, resnet_units=(1, 1))
    >>> model.get_layer("stage_2_unit_1").output.shape, model.get_layer("patches").patch_size
    ((None, 8, 8, 512), (2, 2))

    Reference: section 3.1, "Hybrid Architecture", and 4.1
    """

    root, unit, filters = HybridRoot, HybridUnit, 64

    def __init__(self, *args, resnet_units: check.units = (3, 4, 9), **kwargs):
        self.keep(locals())
        super().__init__(*args, **kwargs)

    def stem(self, x):
        check.divisible_patch(self.patch_size, self.resnet_units, self.step)
        x = self.part(self.root, self.filters, name="root")(x)  # (B, height / 4, width / 4, 64)
        for unit in stages(self.unit, self.resnet_units, self.filters):
            x = self.part(unit)(x)
        return x

    def patches(self):
        on_map = tuple(side // self.step for side in self.patch_size)
        return self.part(Patches, on_map, name="patches")

    @property
    def step(self):
        """Pixels of the image between two positions of the last stage's map."""
        return step(self.resnet_units, self.root)


@keras.saving.register_keras_serializable(package="keras_vit")
class SmallHybridViT(HybridViT):
    """A `HybridViT` for images of 32 pixels, such as CIFAR's: its root halves the size once.

    The root of an ImageNet ResNet leaves 8 x 8 positions of such an image before the first unit;
    3 x 3 filters at every pixel, as in the ResNets for CIFAR, leave 16 x 16. The ResNet has half as
    many channels throughout.

    Args:
        *args: arguments of `HybridViT`. Positions of the map of the first stage are 2 pixels apart.
        **kwargs: arguments of `HybridViT`.

    Raises:
        ValueError: an argument is invalid, or a patch does not cover whole positions.

    Example:
    >>> model = keras_vit.hybrid.SmallHybridViT(
    ...     32, 8, num_layers=1, hidden_dim=32, mlp_dim=64, num_heads=2, resnet_units=(1, 1))
    >>> model.get_layer("stage_2_unit_1").output.shape, model.get_layer("patches").patch_size
    ((None, 8, 8, 256), (2, 2))

    Reference: the root is that of "Deep Residual Learning", https://arxiv.org/abs/1512.03385,
    section 4.2, before a max-pool
    """

    root, filters = SmallRoot, 32


def step(units, root=HybridRoot):
    """Returns how many pixels of the image lie between two positions of the last stage's map.

    The step of the root is 4 (of `SmallRoot` 2), and every stage after the first doubles it.

    Example:
    >>> keras_vit.hybrid.step(()), keras_vit.hybrid.step((3, 4, 9))
    (4, 16)
    """
    return 2 * root.strides * 2 ** max(len(units) - 1, 0)
