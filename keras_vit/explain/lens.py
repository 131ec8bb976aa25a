"""The logit lens: what a model would predict if it stopped after fewer blocks."""

import numpy as np

from keras_vit.explain import computing, encoder, forward, hooks


def logit_lens(model, images, batch_size=8):
    """Computes the logits of every depth, as if the blocks after it were left out.

    The tokens z_l after l blocks go through all that follows the last block: the final norm, the
    pooling, the head, and whatever a model around it adds.

    Args:
        model: a model with a Transformer encoder in it, see `encoder.find`.
        images: (batch, height, width, channels) as the model takes them.
        batch_size: images computed at once.

    Returns:
        An array (layers + 1, batch, classes): the logits of z_0 ... z_L. The last are the model's
        own. A model without a head gives the representation of each depth instead.

    Raises:
        ValueError: the model has no Transformer encoder, or takes other images.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=16, num_classes=10)
    >>> keras_vit.explain.logit_lens(model, np.zeros((5, 16, 16, 3))).shape
    (5, 5, 10)

    Reference: "interpreting GPT: the logit lens", nostalgebraist 2020; in ViTs Vilas et al. 2023,
    https://arxiv.org/abs/2310.18969
    """
    encoder.find(model)
    return np.stack(computing.run(_lens, model, images, batch_size=batch_size, compiled=False))


def _lens(model, images):
    """Logits of all depths, a list of (batch, classes)."""
    seen, rest = forward.seen(model, images), computing.program(_rest, model)
    return [*(rest(images, z) for z in seen["inputs"]), seen["output"]]  # of z_0 ... z_L


def _rest(model, images, z):
    """What follows the last block, if the blocks give the tokens z."""
    blocks = encoder.find(model).blocks
    with hooks.replaced(dict.fromkeys(blocks, lambda call, x: z)):
        return model(images, training=False)
