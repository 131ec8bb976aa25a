"""What the first layer has learned: Figure 7, left and centre, and Figure 10."""

import math

import keras
import numpy as np

from keras_vit import arguments, positions
from keras_vit.convolutions import BiTRoot, HybridRoot
from keras_vit.explain import encoder, vectors


def embedding_filters(model, components=28):
    """Computes the principal components of the filters that see the pixels: Figure 7, left.

    The projection E of Eq. 1 holds D filters of P x P x C. The components are the directions of
    patches that it keeps most of: its left singular vectors. They are not centred. A mean over the
    D filters depends on the axes of the token space, which mean nothing; without it, a turned E
    gives the same components. (The paper does not say how its figure was made.)

    A hybrid's E sees a feature map. There the filters are those of the ResNet's first convolution,
    standardised as it applies them, and so they are for a ResNet.

    Args:
        model: a model with a Transformer encoder in it, see `encoder.find`, or a `ResNet`.
        components: most components to return; there are no more than filters, or than numbers in
            a filter.

    Returns:
        float32 array (components, height, width, channels), the strongest first. Flattened, they
        are orthonormal. The largest entry of each is positive: a component has no sign.

    Raises:
        ValueError: no filters see the pixels, as after a stem of other layers.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=16)
    >>> keras_vit.explain.embedding_filters(model).shape
    (28, 8, 8, 3)

    Reference: section 4.5, Figure 7 (left).
    """
    components = arguments.positive_integer("components", components)
    filters = _filters(model)
    found = vectors.principal(filters.reshape(len(filters), -1), components)
    return found.reshape(-1, *filters.shape[1:]).astype("float32")


def position_similarity(model, grid=None):
    """Computes how similar the position embeddings of all patches are: Figure 7, centre.

    Args:
        model: a model with a Transformer encoder in it, see `encoder.find`.
        grid: (rows, columns) to which the embeddings are resized before, as in section 3.2; None
            for the model's own.

    Returns:
        float32 array (rows, columns, rows, columns): at (r, c) the map of cosine similarities of
        the embedding of the patch in row r and column c with those of all patches, -1 to 1. Class
        tokens are left out.

    Raises:
        ValueError: the model has no Transformer encoder, or no positions that are added to it.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=(16, 24))
    >>> keras_vit.explain.position_similarity(model).shape
    (2, 3, 2, 3)
    >>> keras_vit.explain.position_similarity(model, grid=(4, 4)).shape
    (4, 4, 4, 4)

    Reference: section 4.5, Figure 7 (centre); Appendix D.4, Figure 10.
    """
    found = encoder.find(model)
    table = _positions(model, found.patch_encoder)
    rows, columns = found.grid
    if grid is not None:
        rows, columns = arguments.height_width("grid", grid)
        table = positions.resize(table, found.grid, (rows, columns))
    return positions.similarity(table[0, found.prefix_tokens :], (rows, columns)).astype("float32")


def _positions(model, patch_encoder):
    """The positions that a model adds to its tokens: (1, tokens, D)."""
    if hasattr(patch_encoder, "position_embedding"):
        return _numpy(patch_encoder.position_embedding)
    added = [
        layer
        for layer, _ in encoder.members(model)
        if isinstance(layer, positions.PositionEmbedding)
    ]
    if len(added) != 1:
        want = "this view needs a model that adds the same positions to its tokens once or always"
        received = {"model": model.name, "layers that add positions": len(added)}
        advice = "Relative positions and those of every block have no one table."
        arguments.refuse(want, received, advice)
    return _numpy(added[0].table())


def _filters(model):
    """The filters that see the pixels: (filters, height, width, channels)."""
    for layer, _ in encoder.members(model):
        if isinstance(layer, (HybridRoot, BiTRoot)):
            return _standardised(np.moveaxis(_numpy(layer.conv.kernel), -1, 0))
    found = encoder.find(model)
    kernel = _numpy(found.patch_encoder.projection.kernel)  # (P P C, D)
    patch = found.patches.patch_size
    shape = (*patch, len(kernel) // math.prod(patch))
    seen = (*found.patch_size, _channels(model, found.patches) or shape[-1])
    if shape != seen:
        want = "the embedding's filters must see the pixels, not the feature map of a stem"
        received = {"patch in pixels": seen, "what a filter sees": shape}
        arguments.refuse(want, received, "Look at the filters of the stem's first layer.")
    return kernel.T.reshape(-1, *shape)


def _channels(model, patches):
    """Channels of the images; None in a model with its own `call`, which does not say."""
    owner = next(owner for layer, owner in encoder.members(model) if layer is patches)
    shape = getattr(owner, "input_shape", None)
    return shape[-1] if isinstance(shape, tuple) else None


def _standardised(filters):
    """Filters less their means and of equal lengths, as `HybridConv` and `BiTConv` apply them."""
    centred = filters - filters.mean(axis=(1, 2, 3), keepdims=True)
    return vectors.unit(centred.reshape(len(filters), -1)).reshape(filters.shape)


def _numpy(variable):
    return keras.ops.convert_to_numpy(variable).astype("float64")
