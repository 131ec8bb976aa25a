"""Views of tokens: patches, similarities, colors, lengths, and the logits at every depth."""

import math

import numpy as np

from keras_vit import arguments, hooks
from keras_vit.explain.inside import batched, find_encoder, forward, vectors


def patch_grid(model, images):
    """Cuts images into the patches that the model turns into tokens: Figure 1, bottom.

    Args:
        model: a model that contains a Transformer encoder.
        images: (batch, height, width, channels) as the model takes them.

    Returns:
        An array (batch, rows, columns, patch height, patch width, channels), of the images' dtype.

    Raises:
        ValueError: the model has no Transformer encoder, or does not take these images.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=(16, 24))
    >>> keras_vit.explain.patch_grid(model, np.zeros((5, 16, 24, 3))).shape
    (5, 2, 3, 8, 8, 3)

    Reference: section 3.1, Figure 1.
    """
    rows, columns = find_encoder.find(model).grid
    images = batched.check_images(model, images)
    images = images[..., None] if images.ndim == 3 else images
    count, height, width, channels = images.shape
    arguments.divisible_image((height, width), (height // rows, width // columns))
    shape = (count, rows, height // rows, columns, width // columns, channels)
    return images.reshape(shape).swapaxes(2, 3)  # (B, rows, columns, P, P, C)


def token_similarity(model, images, token=None, layer=None, batch_size=8):
    """Computes the cosine similarity of one token with all patch tokens.

    Args:
        model: a model that contains a Transformer encoder.
        images: (batch, height, width, channels) as the model takes them.
        token: (row, column) of a patch. None for the class token, or for the mean of the patches in
            a model that pools patches.
        layer: name of the `PatchEncoder`, of a block, or "encoder_norm", whose output is compared.
            None for "encoder_norm", or for the last block if no layer has that name.
        batch_size: number of images computed at once.

    Returns:
        float32 array (batch, rows, columns), -1 to 1.

    Raises:
        ValueError: the model has no Transformer encoder, or the layer or the patch does not exist.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=(16, 24))
    >>> maps = keras_vit.explain.token_similarity(model, np.zeros((5, 16, 24, 3)), token=(1, 2))
    >>> maps.shape, float(maps[0, 1, 2].round(5))
    ((5, 2, 3), 1.0)
    """
    encoder = find_encoder.find(model)
    position = _position(encoder, token)
    x = _compute_tokens(model, images, layer, batch_size)
    patches = x[:, encoder.prefix_tokens :]  # (B, N, D)
    chosen = patches.mean(axis=1) if position is None else x[:, position]  # (B, D)
    similarity = np.einsum("bnd,bd->bn", vectors.normalize(patches), vectors.normalize(chosen))
    return similarity.reshape(-1, *encoder.grid).astype("float32")


def token_colors(model, images, layer=None, batch_size=8):
    """Colors every patch by its token, so that similar tokens have similar colors.

    Red, green and blue are the first three principal components of all patches of all images,
    each from its 1st to its 99th percentile.

    Args:
        model: a model that contains a Transformer encoder.
        images: (batch, height, width, channels) as the model takes them. Colors are comparable
            among the images of one call, not between calls.
        layer: as in `token_similarity`.
        batch_size: number of images computed at once.

    Returns:
        float32 array (batch, rows, columns, 3), 0 to 1.

    Raises:
        ValueError: the model has no Transformer encoder, or the layer does not exist.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=(16, 24))
    >>> keras_vit.explain.token_colors(model, np.zeros((5, 16, 24, 3))).shape
    (5, 2, 3, 3)

    Reference: the colors of DINOv2's figures, https://arxiv.org/abs/2304.07193
    """
    encoder = find_encoder.find(model)
    x = _compute_tokens(model, images, layer, batch_size)[:, encoder.prefix_tokens :]
    x = x.reshape(math.prod(x.shape[:2]), -1).astype("float64")  # (B N, D)
    x = x - x.mean(axis=0)
    parts = x @ vectors.find_principal(x, 3).T  # (B N, 3), or fewer columns with fewer tokens
    low, high = np.percentile(parts, (1, 99), axis=0)
    middle = np.full((len(x), 3 - parts.shape[1]), 0.5)
    scaled = np.where(high > low, (parts - low) / np.where(high > low, high - low, 1), 0.5)
    colors = np.concatenate([scaled.clip(0, 1), middle], axis=1)  # (B N, 3)
    return colors.reshape(-1, *encoder.grid, 3).astype("float32")


def token_norms(model, images, batch_size=8):
    """Computes the length of every token before the first block and after each block.

    In uniform regions of the image, a few tokens that are much longer than the others can hold
    global information; Darcet et al. 2023 replace them by "registers".

    Args:
        model: a model that contains a Transformer encoder.
        images: (batch, height, width, channels) as the model takes them, pixels 0 to 255.
        batch_size: number of images computed at once.

    Returns:
        (layers + 1, batch, tokens), float32: the L2 norms of z_0 ... z_L, prefix tokens first.

    Raises:
        ValueError: the model has no Transformer encoder, or does not take these images.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=16, num_classes=2)
    >>> keras_vit.explain.token_norms(model, np.zeros((2, 16, 16, 3))).shape
    (5, 2, 5)

    Reference: Eq. 1-3; https://arxiv.org/abs/2309.16588
    """
    find_encoder.find(model)
    depths = batched.batches(_all_depths, model, images, batch_size=batch_size, compiled=False)
    return np.concatenate([np.linalg.norm(np.stack(z), axis=-1) for z in depths], axis=1)


def logit_lens(model, images, batch_size=8):
    """Computes the logits at every depth, as if the later blocks were left out.

    The tokens z_l after l blocks go through everything that follows the last block: the final norm,
    the pooling, the head, and whatever an outer model adds.

    Args:
        model: a model that contains a Transformer encoder.
        images: (batch, height, width, channels) as the model takes them.
        batch_size: number of images computed at once.

    Returns:
        An array (layers + 1, batch, classes): the logits of z_0 ... z_L. The last are the model's
        own. Without a head it is the representation of each depth instead.

    Raises:
        ValueError: the model has no Transformer encoder, or does not take these images.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=16, num_classes=10)
    >>> keras_vit.explain.logit_lens(model, np.zeros((5, 16, 16, 3))).shape
    (5, 5, 10)

    Reference: "interpreting GPT: the logit lens", nostalgebraist 2020; in ViTs Vilas et al. 2023,
    https://arxiv.org/abs/2310.18969
    """
    find_encoder.find(model)
    return np.stack(batched.run(_lens, model, images, batch_size=batch_size, compiled=False))


def _position(encoder, token):
    """Returns the position of a token in the sequence; None for the mean of the patches."""
    if token is None:
        return 0 if encoder.reads_class_token else None
    rows, columns = encoder.grid
    patches = [(r, c) for r in range(rows) for c in range(columns)]
    if not isinstance(token, (tuple, list)) or tuple(token) not in patches:
        want = f"`token` must be (row, column) of a patch in a grid of {rows} x {columns}"
        arguments.refuse(want, {"token": token}, "Rows and columns count from 0.")
    return encoder.prefix_tokens + patches.index(tuple(token))


def _compute_tokens(model, images, layer, batch_size):
    """Returns the tokens of all images after a layer, (batch, tokens, D)."""
    names = tuple(find_encoder.find_token_layers(model))
    name = names[-1] if layer is None else layer  # the last one is the norm, if there is one
    if name not in names:
        want = "`layer` must be the name of a layer that outputs all tokens"
        arguments.refuse(want, {"layer": name}, f"These layers are {', '.join(names)}.")
    options = {"batch_size": batch_size, "compiled": False}
    return batched.run(_after, model, images, name=name, **options)


def _after(model, images, name):
    return forward.run(model, images)["outputs"][name]


def _all_depths(model, images):
    """Returns the tokens z_0 ... z_L."""
    results, blocks = forward.run(model, images), find_encoder.find(model).blocks
    return [results["inputs"][0], *(results["outputs"][block.name] for block in blocks)]


def _lens(model, images):
    """Returns the logits of all depths, a list of (batch, classes)."""
    results, rest = forward.run(model, images), batched.program(_rest, model)
    return [*(rest(images, z) for z in results["inputs"]), results["output"]]  # of z_0 ... z_L


def _rest(model, images, z):
    """Returns the model's output if the blocks return the tokens z."""
    blocks = find_encoder.find(model).blocks
    with hooks.replace(dict.fromkeys(blocks, lambda call, x: z)):
        return model(images, training=False)
