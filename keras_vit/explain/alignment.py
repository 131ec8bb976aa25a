"""How alike the representations of two models are, layer by layer: centred kernel alignment."""

from typing import NamedTuple

import numpy as np
from keras import ops

from keras_vit import arguments
from keras_vit.convolutions import BiTRoot, BiTUnit, HybridRoot, HybridUnit
from keras_vit.explain import computing, encoder, hooks
from keras_vit.layers import LayerNorm, PatchEncoder

# The stages of our models. They are compared unless layers are named.
STAGES = (BiTRoot, BiTUnit, HybridRoot, HybridUnit, PatchEncoder, *encoder.BLOCKS, LayerNorm)


class CKA(NamedTuple):
    """Similarity of the layers of two models.

    Attributes:
        values: (layers of a, layers of b), 1 for the same representation up to rotation and scale,
            about 0 for unrelated ones; nan where a layer tells no two images apart.
        layers_a: names of the rows.
        layers_b: names of the columns.
    """

    values: np.ndarray
    layers_a: tuple
    layers_b: tuple


def cka(a, b, images=None, layers_a=None, layers_b=None, batch_size=32, normalize_tokens=True):
    """Computes linear CKA, how alike two representations of the same images are.

    Two arrays are compared as they stand: ||Y^T X||^2 / (||X^T X|| ||Y^T Y||) of the centred
    features, which Kornblith et al. define. With few images and many features this is high even
    for unrelated ones.

    Two models are compared in batches, of which only the batch x batch products of the images
    are kept. The unbiased estimator HSIC_1 of Nguyen et al., eq. 3, is averaged over the batches,
    which count by their images. It does not grow with the number of features, may lie a little
    below 0, and needs 4 images: a last batch with fewer is left out.

    Args:
        a: array (images, ...), or a Keras model.
        b: the same.
        images: for models: images as both take them, or a pair (images for a, images for b) of
            the same images in the sizes of both.
        layers_a: names of layers of `a` whose outputs are compared, also of layers in models
            within it. None for the stages: root and residual units, `PatchEncoder`, blocks and
            `LayerNorm` of our models; all layers with weights in a model that has none of these.
        layers_b: the same for `b`.
        batch_size: images computed at once, 4 or more.
        normalize_tokens: whether the tokens that `PatchEncoder` and blocks put out are compared as
            the next block sees them, after a layer normalisation (without its learned scale). As
            they are, a few tokens of huge length (arXiv 2309.16588) can decide alone: in a
            published ViT-Ti/16, 73 % of all variance after block 7 is in one of 192 channels.

    Returns:
        A float for arrays, `CKA` for models.

    Raises:
        ValueError: the numbers of images differ, there are too few, features do not vary, or a
            model has no such layer.

    Example:
    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> round(keras_vit.explain.cka(x, 2 * x[:, ::-1]), 6)
    1.0
    >>> vit = keras_vit.create("ViT-Mini/8", image_size=16)
    >>> resnet = keras_vit.ResNet(image_size=16, units=(1, 1))
    >>> found = keras_vit.explain.cka(vit, resnet, np.random.uniform(0, 255, (8, 16, 16, 3)))
    >>> found.values.shape, found.layers_b
    ((6, 3), ('root', 'stage_1_unit_1', 'stage_2_unit_1'))

    Reference: Kornblith et al. 2019, https://arxiv.org/abs/1905.00414; Nguyen, Raghu and Kornblith
    2021, https://arxiv.org/abs/2010.15327
    """
    models = [hasattr(source, "layers") for source in (a, b)]
    if not any(models) and images is None:
        return _of_arrays(np.asarray(a), np.asarray(b))
    if not all(models) or images is None:
        received = {"a": type(a).__name__, "b": type(b).__name__, "images": type(images).__name__}
        arguments.refuse("`cka` compares two arrays, or two models with `images`", received)
    names = _names(a, layers_a, "layers_a"), _names(b, layers_b, "layers_b")
    both = _pair(images, batch_size)
    how = {"batch_size": batch_size, "normalize_tokens": bool(normalize_tokens)}
    first = _products(a, both[0], names[0], **how)
    same = a is b and names[0] == names[1] and both[0] is both[1]
    second = first if same else _products(b, both[1], names[1], **how)
    return CKA(_alignment(first, second), *names)


def _of_arrays(a, b):
    """CKA of two arrays with as many images each."""
    if a.ndim < 2 or b.ndim < 2 or len(a) != len(b) or len(a) < 2:
        want = "features are two arrays (images, ...) of the same images, two or more"
        arguments.refuse(want, {"a shape": a.shape, "b shape": b.shape})
    x, y = (_centred_features(name, array) for name, array in (("a", a), ("b", b)))
    return float(_hsic(x, y) / np.sqrt(_hsic(x, x) * _hsic(y, y)))


def _centred_features(name, array):
    x = array.reshape(len(array), -1).astype("float64")
    if (x == x[0]).all():
        arguments.refuse("features must differ between images", {name: "all images alike"})
    return x - x.mean(axis=0)


def _hsic(x, y):
    """||Y^T X||^2, which is the sum of X X^T * Y Y^T: by the smaller of these matrices."""
    if x.shape[1] * y.shape[1] <= len(x) ** 2:
        return np.sum((x.T @ y) ** 2)
    return np.sum((x @ x.T) * (y @ y.T))


def _names(model, wanted, argument):
    """Names of the layers to compare, all of which the model has, each once."""
    members = [layer for layer, _ in encoder.members(model)]
    names = [layer.name for layer in members]
    if wanted is None:
        stages = [layer for layer in members if isinstance(layer, STAGES)]
        wanted = [layer.name for layer in stages or members if layer.weights]
    wanted = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    for name in wanted:
        if names.count(name) != 1:
            received = {argument: name, "layers so named": names.count(name)}
            arguments.refuse("a name must be that of one layer", received, _advice(names))
    if not wanted:
        arguments.refuse("at least one layer was expected", {argument: wanted}, _advice(names))
    return wanted


def _advice(names):
    return f"The layers are {', '.join(names)}."


def _pair(images, batch_size):
    """Images for each of two models."""
    pair = images if isinstance(images, (tuple, list)) and len(images) == 2 else (images, images)
    counts = [len(array) for array in pair]
    if counts[0] != counts[1]:
        arguments.refuse("both models need the same images", {"numbers of images": counts})
    if min(counts[0], arguments.positive_integer("batch_size", batch_size)) < 4:
        received = {"images": counts[0], "batch_size": batch_size}
        arguments.refuse("CKA needs 4 images in a batch, better many more", received)
    return pair


def _products(model, images, names, **how):
    """The Gram matrices of all batches: [for each batch, (layers, images, images)]."""
    grams = computing.run(_grams, model, images, names=names, **how)
    grams = np.stack(grams).astype("float64")  # (layers, all images, batch)
    step = grams.shape[-1]
    batches = (grams[:, start : start + step] for start in range(0, grams.shape[1], step))
    return [batch[..., : batch.shape[1]] for batch in batches]  # a last one was filled up


def _grams(model, images, names, normalize_tokens):
    layers = {layer.name: layer for layer, _ in encoder.members(model) if layer.name in names}
    with hooks.recorded(layers.values()) as outputs:
        model(images, training=False)
    kinds = (PatchEncoder, *encoder.BLOCKS) if normalize_tokens else ()
    return [_gram(outputs[name], isinstance(layers[name], kinds)) for name in names]


def _gram(x, normalize):
    """The products of all images' features, (batch, batch), in float32."""
    x = ops.cast(x, "float32")
    if normalize:
        mean, variance = ops.moments(x, -1, keepdims=True)
        x = (x - mean) / ops.sqrt(variance + 1e-6)
    x = ops.reshape(x, (ops.shape(x)[0], -1))
    # HSIC_1 does not see what all images share, such as the positions; float32 would round it.
    x = x - x[:1]
    return ops.matmul(x, ops.transpose(x))


def _alignment(first, second):
    """Minibatch CKA, eq. 2 of Nguyen et al., of what `_products` returns for two models."""
    across, within_a, within_b = 0, 0, 0
    for a, b in zip(first, second, strict=True):
        count = a.shape[-1]
        if count < 4:
            continue
        a, b = _centred(a), _centred(b)
        weight = 1 / (count - 3)  # HSIC_1 is the sum / (count (count - 3)); times its images
        across = across + weight * np.einsum("iab,jab->ij", a, b)
        within_a = within_a + weight * np.einsum("iab,iab->i", a, a)
        within_b = within_b + weight * np.einsum("jab,jab->j", b, b)
    norms = np.outer(within_a, within_b)
    return across / np.sqrt(np.where(norms > 0, norms, np.nan))


def _centred(grams):
    """Gram matrices so centred that the mean product of two of them is unbiased.

    The sum over K' * L' is what the brackets of HSIC_1 hold (Szekely and Rizzo's U-centring).
    """
    count = grams.shape[-1]
    off = grams * (1 - np.eye(count))
    rows = off.sum(axis=-1, keepdims=True) / (count - 2)
    total = off.sum(axis=(-2, -1), keepdims=True) / ((count - 1) * (count - 2))
    centred = off - rows - np.swapaxes(rows, -1, -2) + total
    return centred * (1 - np.eye(count))
