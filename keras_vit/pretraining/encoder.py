"""The parts of a `ViT` that pre-training works on, in the order in which images pass them.

Pre-training changes tokens between Eq. 1's projection and the first block. It uses the encoder's
own layers, so their weights are trained where they are.
"""

from keras import ops

from keras_vit import arguments
from keras_vit.axial import AxialBlock
from keras_vit.positions import PositionEmbedding
from keras_vit.relative import RelativeViT
from keras_vit.vit import ViT

TRAINED = ("patch_encoder", "encoder_norm")  # and the blocks; not pooling and head


def checked(encoder):
    """Returns the encoder, or raises `ValueError` unless it is a `ViT` with patches of pixels."""
    if not isinstance(encoder, ViT):
        want = "`encoder` must be a ViT, whose patches can be hidden"
        advice = 'Make one with keras_vit.create("ViT-B/16").'
        arguments.refuse(want, {"encoder": type(encoder).__name__}, advice)
    received = {"encoder": type(encoder).__name__}
    if type(encoder).stem is not ViT.stem:
        want = "`encoder` must cut its patches from the image; a hybrid's patches have seen "
        want += "their neighbours, so nothing would be hidden"
        arguments.refuse(want, received, "Use a ViT.")
    placement = getattr(encoder, "position_placement", "stem")
    if placement != "stem" or isinstance(encoder, RelativeViT):
        want = "`encoder` must add positions once, before the first block: patches that are left "
        want += "out there would lose their places in later blocks"
        received["position_placement"] = placement
        arguments.refuse(want, received, "Use a ViT, or a PositionViT with placement 'stem'.")
    if count(encoder) < 2:
        advice = "Use larger images or smaller patches."
        arguments.refuse("there must be 2 patches or more", {"patches": count(encoder)}, advice)
    return encoder


def check_attention(encoder, why):
    """Raises `ValueError` where tokens attend in rows and columns; `why` says what that lacks."""
    if any(isinstance(block, AxialBlock) for block in blocks(encoder)):
        advice = "Use a ViT, or SimMIM or MaskedPatchPrediction."
        arguments.refuse(why, {"encoder": type(encoder).__name__}, advice)


def grid(encoder):
    """Returns (rows, columns) of an encoder's patches."""
    return tuple(encoder.get_layer("patches").grid)


def count(encoder):
    """Returns N, the number of patches."""
    rows, columns = grid(encoder)
    return rows * columns


def patch_length(encoder):
    """Returns P * P * channels."""
    height, width = encoder.patch_size
    return height * width * encoder.num_channels


def patches(encoder, images):
    """Cuts images, pixels 0 to 255, into patches of pixels: (B, N, PPC), float32."""
    return encoder.get_layer("patches")(ops.cast(images, "float32"))


def normalized_patches(encoder, images):
    """Cuts images into patches of normalised pixels, x_p of Eq. 1: (B, N, PPC), float32."""
    return ops.cast(patches(encoder, encoder.get_layer("normalization")(images)), "float32")


def first_tokens(encoder, images):
    """Returns z_0 of images, Eq. 1: (B, N + prefix tokens, D)."""
    return placed(encoder, embedded(encoder, images))


def embedded(encoder, images):
    """Returns x_p E, the patches' embeddings before positions are added: (B, N, D)."""
    return encoder.get_layer("patch_encoder").projection(normalized_patches(encoder, images))


def placed(encoder, embeddings):
    """Returns z_0 of embeddings (B, N, D): class token before them, positions added, Eq. 1."""
    x = ops.cast(embeddings, "float32")  # as the weights, which no layer of its own casts here
    x = encoder.get_layer("patch_encoder").assemble(x)  # (B, N + 1, D)
    added = [layer for layer in encoder.layers if isinstance(layer, PositionEmbedding)]
    return added[0](x) if added else x  # Appendix D.4


def blocks(encoder):
    """Returns the encoder's `TransformerBlock`s, or `AxialBlock`s, in order."""
    return [encoder.get_layer(f"block_{i}") for i in range(encoder.num_layers)]


def encoded(encoder, tokens):
    """Returns LN(z_L) of tokens z_0, Eq. 2-4: (B, tokens, D).

    Of any number where they attend to all; `AxialBlock`s need all patches in their order.
    """
    x = tokens
    for block in blocks(encoder):
        x = block(x)
    return encoder.get_layer("encoder_norm")(x)


def unused(encoder):
    """Returns the weights that stand behind the tokens: of pooling and head."""
    trained = [encoder.get_layer(name) for name in TRAINED] + blocks(encoder)
    kept = {id(weight) for layer in trained for weight in layer.weights}
    return [weight for weight in encoder.weights if id(weight) not in kept]
