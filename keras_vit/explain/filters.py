"""Filters and positions that the first layer has learned: Figures 7 (left, center) and 10."""

import math

import keras
import numpy as np

from keras_vit import arguments
from keras_vit.ablations import positions
from keras_vit.convolutions import BiTRoot, HybridRoot
from keras_vit.explain.inside import find_encoder, vectors
from keras_vit.guards import changes


def embedding_filters(model, components=28):
    """Computes the principal components of the filters that see the pixels: Figure 7, left.

    The projection E of Eq. 1 holds D filters of P x P x C. The components are the patch patterns
    that E amplifies most, its left singular vectors. They are not centered: the mean over the D
    filters would depend on the arbitrary axes of the token space, whereas rotating E leaves these
    components unchanged. (The paper does not say how its figure was made.)

    E of a hybrid sees a feature map. For hybrids and ResNets, the filters are those of the ResNet's
    first convolution, standardized as in its forward pass.

    Args:
        model: a model that contains a Transformer encoder, or a `ResNet`.
        components: the maximum number of components; there are at most as many as filters, and as
            weights in a filter.

    Returns:
        float32 array (components, height, width, channels), the strongest first, orthonormal if
        flattened. The largest entry of each is positive, because the sign is arbitrary.

    Raises:
        ValueError: no filters see the pixels, for example after a stem of other layers, or they
            are quantized.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=16)
    >>> keras_vit.explain.embedding_filters(model).shape
    (28, 8, 8, 3)

    Reference: section 4.5, Figure 7 (left).
    """
    components = arguments.positive_integer("components", components)
    filters = _filters(model)
    directions = vectors.find_principal(filters.reshape(len(filters), -1), components)
    return directions.reshape(-1, *filters.shape[1:]).astype("float32")


def position_similarity(model, grid=None):
    """Computes the similarity of the position embeddings of all patches: Figure 7, center.

    Args:
        model: a model that contains a Transformer encoder.
        grid: (rows, columns) to which the embeddings are resized first, as in section 3.2; None for
            the model's own grid.

    Returns:
        float32 array (rows, columns, rows, columns): entry (r, c) is the map of cosine similarities
        between the embedding of the patch in row r and column c and those of all patches, -1 to 1.
        Prefix tokens are left out.

    Raises:
        ValueError: the model does not have one Transformer encoder with one position table.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=(16, 24))
    >>> keras_vit.explain.position_similarity(model).shape
    (2, 3, 2, 3)
    >>> keras_vit.explain.position_similarity(model, grid=(4, 4)).shape
    (4, 4, 4, 4)

    Reference: section 4.5, Figure 7 (center); Appendix D.4, Figure 10.
    """
    encoder = find_encoder.find(model)
    table = _positions(model, encoder.patch_encoder)
    rows, columns = encoder.grid
    if grid is not None:
        rows, columns = arguments.height_width("grid", grid)
        table = positions.resize(table, encoder.grid, (rows, columns))
    patches = table[0, encoder.prefix_tokens :]
    return positions.similarity(patches, (rows, columns)).astype("float32")


def _positions(model, patch_encoder):
    """Returns the positions that a model adds to its tokens: (1, tokens, D)."""
    if hasattr(patch_encoder, "position_embedding"):
        return _numpy(patch_encoder.position_embedding)
    added = [
        layer
        for layer, _ in find_encoder.walk(model)
        if isinstance(layer, positions.PositionEmbedding)
    ]
    if len(added) != 1:
        want = "this view needs a model that adds one position table to its tokens"
        received = {"model": model.name, "layers that add positions": len(added)}
        advice = "Relative positions, and positions of each block, have no single table."
        arguments.refuse(want, received, advice)
    return _numpy(added[0].table())


def _filters(model):
    """Returns the filters that see the pixels: (filters, height, width, channels)."""
    for layer, _ in find_encoder.walk(model):
        if isinstance(layer, (HybridRoot, BiTRoot)):
            return _standardize(np.moveaxis(_numpy(layer.conv.kernel), -1, 0))
    encoder = find_encoder.find(model)
    advice = "Look at its filters before you quantize it."
    changes.check_not_quantized(encoder.patch_encoder, {"model": model.name}, advice)
    kernel = _numpy(encoder.patch_encoder.projection.kernel)  # (P P C, D)
    patch = encoder.patches.patch_size
    shape = (*patch, len(kernel) // math.prod(patch))
    in_pixels = (*encoder.patch_size, _channels(model, encoder.patches) or shape[-1])
    if shape != in_pixels:
        want = "the filters of the embedding must see the pixels, not the feature map of a stem"
        received = {"patch in pixels": in_pixels, "shape of a filter": shape}
        arguments.refuse(want, received, "Look at the filters of the stem's first layer.")
    return kernel.T.reshape(-1, *shape)


def _channels(model, patches):
    """Returns the number of channels; None if it is unknown, as in a subclassed model."""
    owner = next(owner for layer, owner in find_encoder.walk(model) if layer is patches)
    shape = getattr(owner, "input_shape", None)
    return shape[-1] if isinstance(shape, tuple) else None


def _standardize(filters):
    """Subtracts the means and scales to equal lengths, as `HybridConv` and `BiTConv` do."""
    centered = filters - filters.mean(axis=(1, 2, 3), keepdims=True)
    return vectors.normalize(centered.reshape(len(filters), -1)).reshape(filters.shape)


def _numpy(variable):
    return keras.ops.convert_to_numpy(variable).astype("float64")
