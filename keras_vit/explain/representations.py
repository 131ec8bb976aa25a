"""Similarity of representations: of images, nearest neighbors; of layers, linear CKA."""

from typing import NamedTuple

import numpy as np
from keras import ops

from keras_vit import arguments, hooks
from keras_vit.convolutions import BiTRoot, BiTUnit, HybridRoot, HybridUnit
from keras_vit.explain.inside import batched, find_encoder, vectors
from keras_vit.layers import LayerNorm, PatchEncoder

# The layers of our models that are compared by default.
STAGES = (BiTRoot, BiTUnit, HybridRoot, HybridUnit, PatchEncoder, *find_encoder.BLOCKS, LayerNorm)


class Nearest(NamedTuple):
    """The nearest images of a gallery, the nearest first.

    Attributes:
        indices: (batch, k), indices into the gallery.
        similarity: (batch, k), cosine, -1 to 1, float32.
    """

    indices: np.ndarray
    similarity: np.ndarray


def nearest(model, images, gallery, k=5, layer=None, batch_size=32):
    """Finds the images of a gallery whose representations have the most similar directions.

    Args:
        model: any Keras model of images; None if both are features.
        images: (batch, height, width, channels) as the model takes them, or features (batch, D), as
            returned by `keras_vit.training.features`.
        gallery: the images to search, or their features.
        k: number of images to find for each image.
        layer: name of the layer whose flattened output is the representation, including layers of
            nested models. None for the input of the layer "head", or for the model's output if no
            layer has this name.
        batch_size: number of images computed at once.

    Returns:
        `Nearest`, (batch, k) each. Ties are in the order of the gallery.

    Raises:
        ValueError: the gallery has fewer than `k` images, the layer does not exist, or features
            differ in length.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=16)
    >>> gallery = np.random.uniform(0, 255, (10, 16, 16, 3))
    >>> result = keras_vit.explain.nearest(model, gallery[3:5], gallery, k=2)
    >>> result.indices.shape, result.indices[:, 0]
    ((2, 2), array([3, 4]))
    """
    _check_neighbors(model, k, len(gallery), layer)
    queries, others = (_directions(model, x, layer, batch_size) for x in (images, gallery))
    if queries.shape[1] != others.shape[1]:
        received = {"images": queries.shape[1], "gallery": others.shape[1]}
        arguments.refuse("features must have the same length", received)
    similarity = queries @ others.T  # (batch, gallery)
    indices = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    return Nearest(indices, np.take_along_axis(similarity, indices, 1).astype("float32"))


class CKA(NamedTuple):
    """Similarity of the layers of two models.

    Attributes:
        values: (layers of a, layers of b): 1 for the same representation up to rotation and scale,
            about 0 for unrelated ones, nan if a layer has the same output for all images.
        layers_a: names of the rows.
        layers_b: names of the columns.
    """

    values: np.ndarray
    layers_a: tuple
    layers_b: tuple


def cka(a, b, images=None, layers_a=None, layers_b=None, batch_size=32, normalize_tokens=True):
    """Computes linear CKA, the similarity of two representations of the same images.

    Arrays are compared by ||Y^T X||^2 / (||X^T X|| ||Y^T Y||) of the centered features, following
    Kornblith et al. With few images and many features it is high even for unrelated features.

    Models are compared batch by batch, so that only batch x batch products of images are kept. The
    unbiased estimator HSIC_1 of Nguyen et al., eq. 3, is averaged over the batches, weighted by
    their size. It does not grow with the number of features, can be slightly below 0, and needs 4
    images, so a smaller last batch is left out.

    Args:
        a: array (images, ...), or a Keras model.
        b: array (images, ...), or a Keras model.
        images: for models: images that both take, or a pair (images for a, images for b) of the
            same images in both sizes.
        layers_a: names of the layers of `a` whose outputs are compared, including layers of nested
            models. None for root and residual units, `PatchEncoder`, blocks and `LayerNorm` of our
            models, or for all layers with weights if a model has none of these.
        layers_b: as `layers_a`, for `b`.
        batch_size: number of images computed at once, 4 or more.
        normalize_tokens: whether the outputs of `PatchEncoder` and blocks are compared as the next
            block sees them, after layer normalization (without its learned scale). Otherwise a few
            tokens of great length (arXiv 2309.16588) can dominate: in a published ViT-Ti/16, 73 %
            of the variance after block 7 is in one of 192 channels.

    Returns:
        A float for arrays, `CKA` for models.

    Raises:
        ValueError: the numbers of images differ, there are too few, features do not vary, or a
            layer does not exist.

    Example:
    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> round(keras_vit.explain.cka(x, 2 * x[:, ::-1]), 6)
    1.0
    >>> vit = keras_vit.create("ViT-Mini/8", image_size=16)
    >>> resnet = keras_vit.ResNet(image_size=16, units=(1, 1))
    >>> result = keras_vit.explain.cka(vit, resnet, np.random.uniform(0, 255, (8, 16, 16, 3)))
    >>> result.values.shape, result.layers_b
    ((6, 3), ('root', 'stage_1_unit_1', 'stage_2_unit_1'))

    Reference: Kornblith et al. 2019, https://arxiv.org/abs/1905.00414; Nguyen, Raghu and Kornblith
    2021, https://arxiv.org/abs/2010.15327
    """
    models = [hasattr(source, "layers") for source in (a, b)]
    if not any(models) and images is None:
        return _compare_arrays(np.asarray(a), np.asarray(b))
    if not all(models) or images is None:
        received = {"a": type(a).__name__, "b": type(b).__name__, "images": type(images).__name__}
        arguments.refuse("`cka` compares two arrays, or two models with `images`", received)
    names = _choose_layers(a, layers_a, "layers_a"), _choose_layers(b, layers_b, "layers_b")
    both = _pair(images, batch_size)
    options = {"batch_size": batch_size, "normalize_tokens": bool(normalize_tokens)}
    first = _compute_grams(a, both[0], names[0], **options)
    same = a is b and names[0] == names[1] and both[0] is both[1]
    second = first if same else _compute_grams(b, both[1], names[1], **options)
    return CKA(_align(first, second), *names)


def _check_neighbors(model, k, count, layer):
    if arguments.positive_integer("k", k) > count:
        received = {"k": k, "images in the gallery": count}
        arguments.refuse("`k` must not exceed the number of images in the gallery", received)
    names = [member.name for member, _ in find_encoder.walk(model)]
    if layer is not None and layer not in names:
        advice = f"The layers are {', '.join(names)}."
        arguments.refuse("`layer` must be the name of a layer", {"layer": layer}, advice)


def _directions(model, images, layer, batch_size):
    """Returns the representations, scaled to length 1, (images, D)."""
    images = np.asarray(images)
    if images.ndim != 2 and model is None:
        advice = "Pass the model, or features from keras_vit.training.features."
        arguments.refuse("images need a model", {"model": None, "shape": images.shape}, advice)
    if images.ndim != 2:
        run = batched.run
        images = run(_representation, model, images, batch_size=batch_size, layer=layer)
    return vectors.normalize(images.reshape(len(images), -1))


def _representation(model, images, layer):
    name, what = ("head", "input") if layer is None else (layer, "output")
    watched = [member for member, _ in find_encoder.walk(model) if member.name == name][-1:]
    with hooks.record(watched, what) as tensors:
        output = model(images, training=False)
    x = tensors.get(name, output)
    return ops.reshape(x, (ops.shape(x)[0], -1))


def _compare_arrays(a, b):
    """Returns the CKA of two arrays of the same images."""
    if a.ndim < 2 or b.ndim < 2 or len(a) != len(b) or len(a) < 2:
        want = "features must be two arrays (images, ...) of the same images, at least two"
        arguments.refuse(want, {"a shape": a.shape, "b shape": b.shape})
    x, y = (_center_features(name, array) for name, array in (("a", a), ("b", b)))
    return float(_hsic(x, y) / np.sqrt(_hsic(x, x) * _hsic(y, y)))


def _center_features(name, array):
    x = array.reshape(len(array), -1).astype("float64")
    if (x == x[0]).all():
        arguments.refuse("features must differ between images", {name: "all images alike"})
    return x - x.mean(axis=0)


def _hsic(x, y):
    """Returns ||Y^T X||^2, which equals the sum of X X^T * Y Y^T, from the smaller matrices."""
    if x.shape[1] * y.shape[1] <= len(x) ** 2:
        return np.sum((x.T @ y) ** 2)
    return np.sum((x @ x.T) * (y @ y.T))


def _choose_layers(model, names, argument):
    """Returns the names of the layers to compare; each must belong to exactly one layer."""
    layers = [layer for layer, _ in find_encoder.walk(model)]
    known = [layer.name for layer in layers]
    advice = f"The layers are {', '.join(known)}."
    if names is None:
        stages = [layer for layer in layers if isinstance(layer, STAGES)]
        names = [layer.name for layer in stages or layers if layer.weights]
    names = (names,) if isinstance(names, str) else tuple(names)
    for name in names:
        if known.count(name) != 1:
            received = {argument: name, "layers of this name": known.count(name)}
            arguments.refuse("each name must be the name of one layer", received, advice)
    if not names:
        arguments.refuse("at least one layer was expected", {argument: names}, advice)
    return names


def _pair(images, batch_size):
    """Returns the images for each of two models."""
    pair = images if isinstance(images, (tuple, list)) and len(images) == 2 else (images, images)
    counts = [len(array) for array in pair]
    if counts[0] != counts[1]:
        arguments.refuse("both models need the same images", {"numbers of images": counts})
    if min(counts[0], arguments.positive_integer("batch_size", batch_size)) < 4:
        received = {"images": counts[0], "batch_size": batch_size}
        arguments.refuse("CKA needs 4 images in a batch, preferably many more", received)
    return pair


def _compute_grams(model, images, names, **options):
    """Returns a Gram matrix for each layer of each batch: [(layers, images, images), ...]."""
    grams = batched.run(_grams, model, images, names=names, **options)
    grams = np.stack(grams).astype("float64")  # (layers, all images, batch)
    step = grams.shape[-1]
    batches = (grams[:, start : start + step] for start in range(0, grams.shape[1], step))
    return [batch[..., : batch.shape[1]] for batch in batches]  # without the padding of the last


def _grams(model, images, names, normalize_tokens):
    layers = {layer.name: layer for layer, _ in find_encoder.walk(model) if layer.name in names}
    with hooks.record(layers.values()) as outputs:
        model(images, training=False)
    kinds = (PatchEncoder, *find_encoder.BLOCKS) if normalize_tokens else ()
    return [_gram(outputs[name], isinstance(layers[name], kinds)) for name in names]


def _gram(x, normalize):
    """Returns the dot products of the features of all images, (batch, batch), in float32."""
    x = ops.cast(x, "float32")
    if normalize:
        mean, variance = ops.moments(x, -1, keepdims=True)
        x = (x - mean) / ops.sqrt(variance + 1e-6)
    x = ops.reshape(x, (ops.shape(x)[0], -1))
    # Subtracting one image from all removes what they share, such as the positions. This leaves
    # HSIC_1 unchanged and reduces rounding errors in float32.
    x = x - x[:1]
    return ops.matmul(x, ops.transpose(x))


def _align(first, second):
    """Returns minibatch CKA, eq. 2 of Nguyen et al., from the Gram matrices of two models."""
    across, within_a, within_b = 0, 0, 0
    for a, b in zip(first, second, strict=True):
        count = a.shape[-1]
        if count < 4:
            continue
        a, b = _center(a), _center(b)
        weight = 1 / (count - 3)  # HSIC_1 is the sum / (count (count - 3)), times count
        across = across + weight * np.einsum("iab,jab->ij", a, b)
        within_a = within_a + weight * np.einsum("iab,iab->i", a, a)
        within_b = within_b + weight * np.einsum("jab,jab->j", b, b)
    norms = np.outer(within_a, within_b)
    return across / np.sqrt(np.where(norms > 0, norms, np.nan))


def _center(grams):
    """Centers Gram matrices so that the mean product of two of them is unbiased.

    The sum over K' * L' is the bracket of HSIC_1 (Szekely and Rizzo's U-centring).
    """
    count = grams.shape[-1]
    off = grams * (1 - np.eye(count))
    rows = off.sum(axis=-1, keepdims=True) / (count - 2)
    total = off.sum(axis=(-2, -1), keepdims=True) / ((count - 1) * (count - 2))
    centered = off - rows - np.swapaxes(rows, -1, -2) + total
    return centered * (1 - np.eye(count))
