"""One number for each head, or for each token."""

import numpy as np

from keras_vit.explain import attention, computing, encoder, forward


def attention_entropy(source, images=None):
    """Computes how widely each head spreads its attention.

    Args:
        source: a model with a Transformer encoder, `Scores`, or an array (layers, batch, heads,
            tokens, tokens).
        images: (batch, height, width, channels) as the model takes them, pixels 0 to 255.

    Returns:
        (layers, heads) in nats, float32: the entropy of a row of attention, averaged over the
        images and all tokens. 0 where each token attends to one; at most log(tokens), where each
        attends to all alike: 5.28 of 197 tokens.

    Raises:
        ValueError: the model has no attention.

    Example:
    >>> uniform, pointed = np.full((5, 5), 1 / 5), np.eye(5)
    >>> scores = np.stack([uniform, pointed])[None, None]  # 1 layer, 1 image, 2 heads
    >>> bool(np.allclose(keras_vit.explain.attention_entropy(scores), [[np.log(5), 0]]))
    True
    """
    total = count = 0
    for scores in attention.by_batch(source, images, grid=(1, 1)):  # no place matters here
        layers = [_entropy(layer).mean(-1) for layer in scores.values()]  # (B, heads) each
        total = total + np.sum(layers, axis=1, dtype="float64")
        count += len(layers[0])
    return (total / count).astype("float32")


def token_norms(model, images, batch_size=8):
    """Computes the length of every token before the first block and after each block.

    A few tokens that are much longer than the others, in uniform regions of the image, hold global
    information: "registers" (Darcet et al. 2023).

    Args:
        model: a model with a Transformer encoder.
        images: (batch, height, width, channels) as the model takes them, pixels 0 to 255.
        batch_size: images computed at once.

    Returns:
        (layers + 1, batch, tokens), float32: the L2 norms of z_0 ... z_L, class tokens first.

    Raises:
        ValueError: the model has no Transformer encoder, or takes other images.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=16, num_classes=2)
    >>> keras_vit.explain.token_norms(model, np.zeros((2, 16, 16, 3))).shape
    (5, 2, 5)

    Reference: Eq. 1-3; https://arxiv.org/abs/2309.16588
    """
    encoder.find(model)
    parts = computing.batches(_tokens, model, images, batch_size=batch_size, compiled=False)
    return np.concatenate([np.linalg.norm(np.stack(z), axis=-1) for z in parts], axis=1)


def _entropy(scores):
    logarithms = np.log(scores, out=np.zeros_like(scores), where=scores > 0)  # 0 log 0 = 0
    return -(scores * logarithms).sum(-1)


def _tokens(model, images):
    """The tokens z_0 ... z_L."""
    seen, blocks = forward.seen(model, images), encoder.find(model).blocks
    return [seen["inputs"][0], *(seen["outputs"][block.name] for block in blocks)]
