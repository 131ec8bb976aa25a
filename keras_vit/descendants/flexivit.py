"""FlexiViT (https://arxiv.org/abs/2212.08013): the same weights for patches of another size.

    x'_p = B x_p                      a patch resized by a linear map B
    x'_p E' = x_p E  for all x_p      the required token, so
    E' = (B^T)^+ E                    the pseudo-inverse; exact if patches grow

B treats rows and columns separately, and the pseudo-inverse of a Kronecker product is the product
of the pseudo-inverses of its factors: one matrix per axis, as for positions. The model itself is a
plain `ViT`.
"""

import numpy as np

from keras_vit import arguments as check
from keras_vit.ablations import positions

# Patches are parts of an image, so their corners are not aligned when it is resized.
MATRICES = positions.MATRICES | {
    "bilinear": positions.MATRICES["torch-bilinear"],
    "aligned-bicubic": positions.MATRICES["torch-bicubic"],
}


def resize_kernel(kernel, patch_size, new_patch_size, method="bilinear"):
    """Resizes the kernel E of the patch embedding, so that resized patches give the same tokens.

    Args:
        kernel: (height * width * channels, D), as `PatchEncoder` has it.
        patch_size: its (height, width) in pixels, or an integer.
        new_patch_size: the new (height, width), or an integer for both.
        method: how patches are resized: "bilinear" as in the paper, where pixels are areas,
            "bicubic" with antialiasing as in timm, or another of `positions.resize`.

    Returns:
        array (new height * new width * channels, D).

    Raises:
        ValueError: the kernel does not have `patch_size`, or `method` is unknown.

    Example:
    >>> kernel = np.ones((8 * 8 * 3, 192))
    >>> keras_vit.descendants.flexivit.resize_kernel(kernel, 8, (16, 12)).shape
    (576, 192)

    Reference: Beyer et al. 2022, https://arxiv.org/abs/2212.08013, section 3.4
    """
    check.one_of(*MATRICES)("method", method)
    old = check.height_width("patch_size", patch_size)
    new = check.height_width("new_patch_size", new_patch_size)
    length, dim = kernel.shape
    if length % (old[0] * old[1]):
        received = {"kernel": kernel.shape, "patch_size": old}
        check.refuse("the kernel must have a row for each pixel of a patch", received)
    if old == new:
        return kernel
    inverses = [np.linalg.pinv(MATRICES[method](*sides).T) for sides in zip(old, new, strict=True)]
    table = positions.transform(np.reshape(kernel, (*old, -1)), *inverses)  # (P', P', C D)
    return table.reshape(-1, dim).astype("float32")
