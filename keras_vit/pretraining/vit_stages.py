"""The stages of a `ViT`, one function each, and random masks that hide patches between them.

Pre-training changes tokens between the projection of Eq. 1 and the first block. It calls the
encoder's own layers, so their weights are trained in place.
"""

import math

import keras
from keras import ops

from keras_vit import arguments
from keras_vit.ablations.axial import AxialBlock
from keras_vit.ablations.relative import RelativeViT
from keras_vit.vit import ViT


def check(encoder):
    """Returns the encoder, or raises `ValueError` unless it is a `ViT` with patches of pixels."""
    received = {"encoder": type(encoder).__name__}
    if not isinstance(encoder, ViT):
        want = "`encoder` must be a ViT, so that patches can be hidden"
        arguments.refuse(want, received, 'Create one with keras_vit.create("ViT-B/16").')
    if type(encoder).stem is not ViT.stem:
        want = "`encoder` must cut its patches from the image; the patches of a hybrid contain "
        want += "information about their neighbors, so nothing would be hidden"
        arguments.refuse(want, received, "Use a ViT.")
    placement = getattr(encoder, "position_placement", "stem")
    if placement != "stem" or isinstance(encoder, RelativeViT):
        want = "`encoder` must add positions once, before the first block: later blocks would not "
        want += "know the positions of the remaining patches"
        received["position_placement"] = placement
        arguments.refuse(want, received, "Use a ViT, or a PositionViT with placement 'stem'.")
    if count_patches(encoder) < 2:
        advice = "Use larger images or smaller patches."
        received = {"patches": count_patches(encoder)}
        arguments.refuse("there must be at least 2 patches", received, advice)
    return encoder


def check_attention(encoder, why, any_subset=False):
    """Raises `ValueError` with the reason `why` if the encoder's attention is axial.

    With `any_subset`, it also does if the attention needs all patches of a grid, in their places.
    """
    needs_grid = any(hasattr(block, "grid") for block in blocks(encoder))
    if any(isinstance(block, AxialBlock) for block in blocks(encoder)) or any_subset and needs_grid:
        advice = "Use a ViT, or SimMIM or MaskedPatchPrediction."
        arguments.refuse(why, {"encoder": type(encoder).__name__}, advice)


def grid(encoder):
    """Returns (rows, columns) of an encoder's patches."""
    return tuple(encoder.get_layer("patches").grid)


def count_patches(encoder):
    """Returns N, the number of patches."""
    rows, columns = grid(encoder)
    return rows * columns


def patch_length(encoder):
    """Returns P * P * channels."""
    height, width = encoder.patch_size
    return height * width * encoder.num_channels


def cut_patches(encoder, images):
    """Cuts images, pixels 0 to 255, into patches of pixels: (B, N, PPC), float32."""
    # `call`, because the layer of a model in half precision would round targets.
    return encoder.get_layer("patches").call(ops.cast(images, "float32"))


def cut_normalized_patches(encoder, images):
    """Cuts images into patches of normalized pixels, x_p of Eq. 1: (B, N, PPC), float32."""
    return cut_patches(encoder, encoder.get_layer("normalization")(images))


def embed(encoder, images):
    """Returns z_0 of images, Eq. 1: (B, N + prefix tokens, D)."""
    return add_positions(encoder, project(encoder, images))


def project(encoder, images):
    """Returns x_p E, the patch embeddings before positions are added: (B, N, D)."""
    return encoder.get_layer("patch_encoder").projection(cut_normalized_patches(encoder, images))


def add_positions(encoder, embeddings):
    """Returns z_0 of embeddings (B, N, D): prepends the class token and adds positions, Eq. 1."""
    x = ops.cast(embeddings, "float32")  # the dtype of the weights; no layer casts them here
    x = encoder.get_layer("patch_encoder").assemble(x)  # (B, N + 1, D)
    for layer in _find_layers_before_blocks(encoder):
        x = layer(x)
    return x


def _find_layers_before_blocks(encoder):
    """Returns the layers between `PatchEncoder` and the blocks: positions of D.4, CLIP's norm."""
    names = [layer.name for layer in encoder.layers]
    return encoder.layers[names.index("patch_encoder") + 1 : names.index("block_0")]


def blocks(encoder):
    """Returns the encoder's `TransformerBlock`s, or `AxialBlock`s, in order."""
    return [encoder.get_layer(f"block_{i}") for i in range(encoder.num_layers)]


def encode(encoder, tokens):
    """Returns LN(z_L) of tokens z_0, Eq. 2-4: (B, tokens, D). `AxialBlock`s need all patches."""
    x = tokens
    for block in blocks(encoder):
        x = block(x)
    return normalize(encoder, x)


def normalize(encoder, x):
    """Returns LN(z_L) of z_L; z_L itself if the encoder has no last normalization."""
    for norm in _find_last_norms(encoder):
        x = norm(x)
    return x


def _find_last_norms(encoder):
    """Returns the last normalization in a list, which is empty for RADIO and the like."""
    return [layer for layer in encoder.layers if layer.name == "encoder_norm"]


def encode_patches(encoder, embeddings):
    """Returns LN(z_L) of the patches only, from their embeddings: (B, N, D)."""
    return encode(encoder, add_positions(encoder, embeddings))[:, encoder.prefix_tokens :]


def find_unused_weights(encoder):
    """Returns the weights that come after the tokens, those of pooling and head."""
    first, last = _find_layers_before_blocks(encoder), _find_last_norms(encoder)
    trained = [encoder.get_layer("patch_encoder"), *first, *blocks(encoder), *last]
    used = {id(weight) for layer in trained for weight in layer.weights}
    return [weight for weight in encoder.weights if id(weight) not in used]


# --- Masks that hide the same number of patches in every image -----------------------------------


def share(name, value):
    """Returns `value` as a `float`, or raises `ValueError` unless 0 < value < 1."""
    value = arguments.positive_number(name, value)
    if value >= 1:
        advice = f"{name}=0.75 hides three out of four patches."
        arguments.refuse(f"`{name}` must be a fraction below 1", {name: value}, advice)
    return value


def count_hidden(name, value, patches):
    """Returns the number of hidden patches, rounded up as in MAE and SimMIM.

    Raises:
        ValueError: all patches would be hidden.

    Example:
    >>> keras_vit.pretraining.vit_stages.count_hidden("mask", 0.75, patches=196)
    147
    """
    number = math.ceil(patches * value - 1e-9)  # 0.7 * 10 is a little above 7
    if number >= patches:
        received = {name: value, "patches": patches}
        arguments.refuse(f"`{name}` must leave at least one patch visible", received, "Lower it.")
    return number


def shuffle(random, batch, patches):
    """Returns a random order of each image's patches, and the position of each patch in it.

    Both are integers (batch, N), with order[b, places[b, i]] = i; `random` is a
    `keras.random.SeedGenerator`.
    """
    noise = keras.random.uniform((batch, patches), seed=random)
    order = ops.argsort(noise, axis=1)
    return order, ops.argsort(order, axis=1)


def draw_mask(random, batch, patches, number):
    """Returns bool (batch, N), True for `number` patches of each image."""
    _, places = shuffle(random, batch, patches)
    return places < number


def cover(x, mask, token):
    """Replaces x (batch, N, D) with a learned `token` (1, 1, D) where `mask` (batch, N) is True."""
    return ops.where(mask[..., None], ops.convert_to_tensor(token), x)


def take(x, indices):
    """Returns the tokens x[b, indices[b, i]]: (batch, indices, D) of x (batch, tokens, D)."""
    return ops.take_along_axis(x, ops.expand_dims(indices, -1), axis=1)
