"""The stages of a `ViT`, one function each, in the order in which images pass through them.

Pre-training changes tokens between the projection of Eq. 1 and the first block. It calls the
encoder's own layers, so their weights are trained in place.
"""

from keras import ops

from keras_vit import arguments
from keras_vit.ablations.axial import AxialBlock
from keras_vit.ablations.positions import PositionEmbedding
from keras_vit.ablations.relative import RelativeViT
from keras_vit.vit import ViT

TRAINED = ("patch_encoder", "encoder_norm")  # and the blocks, but not pooling and head


def check(encoder):
    """Returns the encoder, or raises `ValueError` unless it is a `ViT` with patches of pixels."""
    if not isinstance(encoder, ViT):
        want = "`encoder` must be a ViT, so that patches can be hidden"
        advice = 'Create one with keras_vit.create("ViT-B/16").'
        arguments.refuse(want, {"encoder": type(encoder).__name__}, advice)
    received = {"encoder": type(encoder).__name__}
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
        arguments.refuse("there must be 2 patches or more", received, advice)
    return encoder


def check_attention(encoder, why):
    """Raises `ValueError` with the reason `why` if the encoder's attention is axial."""
    if any(isinstance(block, AxialBlock) for block in blocks(encoder)):
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
    return encoder.get_layer("patches")(ops.cast(images, "float32"))


def cut_normalized_patches(encoder, images):
    """Cuts images into patches of normalized pixels, x_p of Eq. 1: (B, N, PPC), float32."""
    return ops.cast(cut_patches(encoder, encoder.get_layer("normalization")(images)), "float32")


def embed(encoder, images):
    """Returns z_0 of images, Eq. 1: (B, N + prefix tokens, D)."""
    return add_positions(encoder, project(encoder, images))


def project(encoder, images):
    """Returns x_p E, the patch embeddings before positions are added: (B, N, D)."""
    return encoder.get_layer("patch_encoder").projection(cut_normalized_patches(encoder, images))


def add_positions(encoder, embeddings):
    """Returns z_0 of embeddings (B, N, D): prepends the class token, adds positions, Eq. 1."""
    x = ops.cast(embeddings, "float32")  # as the weights, since no layer casts them here
    x = encoder.get_layer("patch_encoder").assemble(x)  # (B, N + 1, D)
    added = [layer for layer in encoder.layers if isinstance(layer, PositionEmbedding)]
    return added[0](x) if added else x  # Appendix D.4


def blocks(encoder):
    """Returns the encoder's `TransformerBlock`s, or `AxialBlock`s, in order."""
    return [encoder.get_layer(f"block_{i}") for i in range(encoder.num_layers)]


def encode(encoder, tokens):
    """Returns LN(z_L) of tokens z_0, Eq. 2-4: (B, tokens, D).

    The number of tokens is arbitrary, except that `AxialBlock`s need all patches in order.
    """
    x = tokens
    for block in blocks(encoder):
        x = block(x)
    return encoder.get_layer("encoder_norm")(x)


def find_unused_weights(encoder):
    """Returns the weights after the tokens, those of pooling and head."""
    trained = [encoder.get_layer(name) for name in TRAINED] + blocks(encoder)
    used = {id(weight) for layer in trained for weight in layer.weights}
    return [weight for weight in encoder.weights if id(weight) not in used]
