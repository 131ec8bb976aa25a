"""Tokens as a map of the image: its patches, their similarity, and colours for what they hold."""

import math

import numpy as np

from keras_vit import arguments
from keras_vit.explain import computing, encoder, forward, vectors


def patch_grid(model, images):
    """Cuts images into the patches that the model makes tokens of: Figure 1, below.

    Args:
        model: a model with a Transformer encoder in it, see `encoder.find`.
        images: (batch, height, width, channels) as the model takes them.

    Returns:
        An array (batch, rows, columns, patch height, patch width, channels), in the images' own
        type.

    Raises:
        ValueError: the model has no Transformer encoder, or takes other images.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=(16, 24))
    >>> keras_vit.explain.patch_grid(model, np.zeros((5, 16, 24, 3))).shape
    (5, 2, 3, 8, 8, 3)

    Reference: section 3.1, Figure 1.
    """
    rows, columns = encoder.find(model).grid
    images = computing.check_images(model, images)
    images = images[..., None] if images.ndim == 3 else images
    count, height, width, channels = images.shape
    arguments.divisible_image((height, width), (height // rows, width // columns))
    shape = (count, rows, height // rows, columns, width // columns, channels)
    return images.reshape(shape).swapaxes(2, 3)  # (B, rows, columns, P, P, C)


def token_similarity(model, images, token=None, layer=None, batch_size=8):
    """Computes the cosine similarity of one token with those of all patches.

    Args:
        model: a model with a Transformer encoder in it, see `encoder.find`.
        images: (batch, height, width, channels) as the model takes them.
        token: (row, column) of a patch. None for the class token; in a model without one for the
            mean of all patches, which is what its pooling sees.
        layer: name of the `PatchEncoder`, of a block, or "encoder_norm", whose output is compared.
            None for "encoder_norm", and for the last block in a model without a layer so named.
        batch_size: images computed at once.

    Returns:
        float32 array (batch, rows, columns), -1 to 1.

    Raises:
        ValueError: the model has no Transformer encoder, no such layer or no such patch.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=(16, 24))
    >>> maps = keras_vit.explain.token_similarity(model, np.zeros((5, 16, 24, 3)), token=(1, 2))
    >>> maps.shape, float(maps[0, 1, 2].round(5))
    ((5, 2, 3), 1.0)
    """
    found = encoder.find(model)
    place = _place(found, token)
    x = _tokens(model, images, layer, batch_size)
    patches = x[:, found.prefix_tokens :]  # (B, N, D)
    chosen = patches.mean(axis=1) if place is None else x[:, place]  # (B, D)
    similarity = np.einsum("bnd,bd->bn", vectors.unit(patches), vectors.unit(chosen))
    return similarity.reshape(-1, *found.grid).astype("float32")


def token_colors(model, images, layer=None, batch_size=8):
    """Colours every patch by what its token holds: patches of the same colour are alike.

    Red, green and blue are the first three principal components of all patches of all images,
    each from its 1st to its 99th percentile.

    Args:
        model: a model with a Transformer encoder in it, see `encoder.find`.
        images: (batch, height, width, channels) as the model takes them. Colours mean the same in
            all images of one call, and in no other.
        layer: as in `token_similarity`.
        batch_size: images computed at once.

    Returns:
        float32 array (batch, rows, columns, 3), 0 to 1.

    Raises:
        ValueError: the model has no Transformer encoder, or no such layer.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=(16, 24))
    >>> keras_vit.explain.token_colors(model, np.zeros((5, 16, 24, 3))).shape
    (5, 2, 3, 3)

    Reference: the colours of DINOv2's figures, https://arxiv.org/abs/2304.07193
    """
    found = encoder.find(model)
    x = _tokens(model, images, layer, batch_size)[:, found.prefix_tokens :]
    x = x.reshape(math.prod(x.shape[:2]), -1).astype("float64")  # (B N, D)
    x = x - x.mean(axis=0)
    parts = x @ vectors.principal(x, 3).T  # (B N, 3), or fewer where there are fewer tokens
    low, high = np.percentile(parts, (1, 99), axis=0)
    middle = np.full((len(x), 3 - parts.shape[1]), 0.5)
    scaled = np.where(high > low, (parts - low) / np.where(high > low, high - low, 1), 0.5)
    colors = np.concatenate([scaled.clip(0, 1), middle], axis=1)  # (B N, 3)
    return colors.reshape(-1, *found.grid, 3).astype("float32")


def _place(found, token):
    """The place of a token among all; None for the mean of the patches."""
    if token is None:
        return 0 if found.prefix_tokens else None
    rows, columns = found.grid
    inside = [(r, c) for r in range(rows) for c in range(columns)]
    if not isinstance(token, (tuple, list)) or tuple(token) not in inside:
        want = f"`token` must be (row, column) of a patch in a grid of {rows} x {columns}"
        arguments.refuse(want, {"token": token}, "Rows and columns count from 0.")
    return found.prefix_tokens + inside.index(tuple(token))


def _tokens(model, images, layer, batch_size):
    """The tokens of all images after a layer, (batch, tokens, D)."""
    names = tuple(encoder.token_layers(model))
    name = names[-1] if layer is None else layer  # the last is the norm, if there is one
    if name not in names:
        want = "`layer` must be the name of a layer that puts out all tokens"
        arguments.refuse(want, {"layer": name}, f"These are {', '.join(names)}.")
    how = {"batch_size": batch_size, "compiled": False}
    return computing.run(_after, model, images, name=name, **how)


def _after(model, images, name):
    return forward.seen(model, images)["outputs"][name]
