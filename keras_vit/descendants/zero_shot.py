"""Zero-shot classification with CLIP and SigLIP: each class is a text.

logits = scale (y / |y|) (t / |t|)^T + bias      y: embedding of the image, t: of each class's text

CLIP takes their softmax, with a scale of 100 and no bias; SigLIP takes the sigmoid of each, with a
learned scale and bias (https://arxiv.org/abs/2103.00020, https://arxiv.org/abs/2303.15343). The
texts and `scale` are the weights of the head.
"""

import keras
import numpy as np
from keras import layers

from keras_vit import arguments as check
from keras_vit.model import ImageModel, unique_name
from keras_vit.vit import Head


@keras.saving.register_keras_serializable(package="keras_vit")
class ZeroShotClassifier(ImageModel):
    """An image model with a head on its embedding, which is normalized to length 1.

    `keras_vit.zero_shot_head` makes one with the weights for your classes.

    Args:
        encoder: a model of this package that returns embeddings, whose layers it shares; or its
            serialized configuration.
        num_classes: length of the logits.
        name: a name for the model; None for a unique one.
        trainable: whether its weights are trainable.
        dtype: as for `ViT`.

    Raises:
        ValueError: the encoder does not return a vector for each image.

    Example:
    >>> encoder = keras_vit.create("ViT-Mini/8", image_size=16, num_classes=None)
    >>> keras_vit.descendants.ZeroShotClassifier(encoder, num_classes=3).output_shape
    (None, 3)
    """

    def __init__(
        self,
        encoder,
        num_classes: check.positive_integer,
        *,
        name=None,
        trainable=True,
        dtype=None,
    ):
        if isinstance(encoder, dict):
            encoder = keras.saving.deserialize_keras_object(encoder)
        _check_encoder(encoder)
        dtype = dtype or encoder.policy
        self.keep(locals())
        self.normalize, self.num_channels = encoder.normalize, encoder.num_channels
        head = self.part(Head, self.num_classes, name="head")
        x = layers.UnitNormalization(name="unit_length", dtype=head.dtype_policy)(encoder.output)
        name = name or unique_name("zero_shot")
        super().__init__(encoder.inputs[0], head(x), name=name, trainable=trainable)
        self.serialized = keras.saving.serialize_keras_object(encoder)

    def get_config(self):
        return {**super().get_config(), "encoder": dict(self.serialized)}


def zero_shot_head(model, text_embeddings, scale=100.0, bias=None):
    """Makes a classifier whose classes are texts, without training.

    Args:
        model: a model that returns embeddings of images, such as a `CLIPViT` with its projection
            or SigLIP's `ViT`, without a head. Its weights are shared, not copied.
        text_embeddings: (classes, D), of one text for each class, or of the mean of several; made
            by the text encoder that belongs to the model. Each is divided by its length.
        scale: factor of the cosines, exp(logit_scale) of CLIP and SigLIP.
        bias: number added to each logit, logit_bias of SigLIP; None for no bias.

    Returns:
        A `descendants.ZeroShotClassifier`: it predicts and can be explained, trained, saved and
        loaded like other models.

    Raises:
        ValueError: the model does not return embeddings, or their length differs from that of
            the texts.

    Example:
    >>> encoder = keras_vit.create("ViT-Mini/8", image_size=16, num_classes=None)
    >>> texts = np.random.default_rng(0).normal(size=(3, 64))
    >>> keras_vit.zero_shot_head(encoder, texts).output_shape
    (None, 3)

    Reference: https://arxiv.org/abs/2103.00020, section 3.1.2
    """
    _check_encoder(model)
    texts, dim = _to_numbers(text_embeddings), model.output_shape[-1]
    if texts.ndim != 2 or texts.shape[-1] != dim or not np.isfinite(texts).all():
        want = f"`text_embeddings` must be finite numbers (classes, {dim})"
        advice = "Take those of the text encoder that was trained with this model."
        check.refuse(want, {"shape": texts.shape}, advice)
    lengths = np.linalg.norm(texts, axis=1, keepdims=True)
    if not lengths.all():
        check.refuse("no text may have an embedding of zeros", {"lengths": lengths[:, 0]})
    scale, bias = check.positive_number("scale", scale), check.number("bias", bias or 0.0)
    classifier = ZeroShotClassifier(model, len(texts))
    head = classifier.get_layer("head")
    head.kernel.assign(scale * (texts / lengths).T)
    head.bias.assign(np.full(len(texts), bias))
    return classifier


def _to_numbers(values):
    """Returns float32, or a single NaN if the values are not numbers, such as the texts."""
    try:
        return np.asarray(values, "float32")
    except (TypeError, ValueError):
        return np.array(np.nan)


def _check_encoder(model):
    """Raises unless a model is one of this package and returns one embedding for each image."""
    received = {"model": type(model).__name__, "output": getattr(model, "output_shape", None)}
    vector = isinstance(model, ImageModel) and len(model.output_shape) == 2
    if not vector or getattr(model, "num_classes", None) is not None:
        want = "the model must be one of this package that returns embeddings of images"
        check.refuse(want, received, "Load it with num_classes=None.")
