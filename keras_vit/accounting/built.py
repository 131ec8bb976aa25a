"""The cost of a built model: what its layers multiply while an image runs through them."""

import math

import keras
from keras import layers

from keras_vit import hooks
from keras_vit import layers as ours
from keras_vit.accounting.cost import Cost, attention, kept, relative_attention, taps, total
from keras_vit.convolutions import BiTRoot, HybridRoot
from keras_vit.pooling import AttentionPooling
from keras_vit.relative import RelativeSelfAttention


def of(model, padding=True):
    """Returns the `Cost` of a Keras model for one image.

    The model runs on shapes alone, without numbers. So every model can be counted whose products
    stand in layers of `CLASSES`; the products of other layers are not seen.

    Args:
        model: a model with one input of known shape.
        padding: whether convolutions multiply the zeros around their maps, as the field counts.
    """
    seen = _Seen(padding)
    watched = {layer: seen.watch(layer) for layer in model._flatten_layers()}
    with hooks.replace({layer: watch for layer, watch in watched.items() if watch}):
        image = keras.KerasTensor((1, *model.input_shape[1:]), dtype="float32")
        _Run(model, seen).compute_output_spec(image)
    return total([Cost(parameters(model)), *seen.costs])


def parameters(model):
    """Returns the number of learned weights; running means and variances are none."""
    learned = [weight for weight in model.weights if not weight.name.startswith("moving_")]
    return sum(math.prod(weight.shape) for weight in learned)


class _Run(keras.Operation):
    """Runs all layers, also those that could tell their output's shape without running."""

    def __init__(self, model, seen):
        super().__init__()
        self.model, self.seen = model, seen

    def call(self, x):
        # PyTorch begins again on the CPU where an operation does not run on shapes alone.
        self.seen.clear()
        return self.model(x)


class _Seen:
    """The costs that were seen, and the tensors whose numbers are kept."""

    def __init__(self, padding):
        self.costs, self.tensors, self.padding = [], {}, padding

    def clear(self):
        """Forgets all that was seen."""
        self.costs.clear()
        self.tensors.clear()

    def watch(self, layer):
        """Returns what stands in for the layer's `call`, None for a layer without a cost."""
        count = next((f for kinds, f in CLASSES.items() if isinstance(layer, kinds)), None)
        return count and (lambda call, x: self._counted(layer, count, call, x))

    def _counted(self, layer, count, call, x):
        y = call(x)
        cost = count(layer, x, y, self._keep)
        if not self.padding and isinstance(layer, layers.Conv2D):
            cost = cost._replace(convolutions=_inside(layer, x, y))
        self.costs.append(cost)
        return y

    def _keep(self, x):
        """Returns how many numbers it takes to keep a tensor: none, if another layer has it."""
        known = id(x) in self.tensors
        self.tensors[id(x)] = x  # held, so that no other tensor gets its id
        return 0 if known else _numbers(x)


def _kernel(layer, x, y, keep):
    """Every kernel is applied at every position: of the tokens, or of the map."""
    depthwise = isinstance(layer, layers.DepthwiseConv2D)
    filters = math.prod(layer.kernel.shape[-2:] if depthwise else layer.kernel.shape[-1:])
    products = _numbers(y) // filters * math.prod(layer.kernel.shape)
    kind = "dense" if isinstance(layer, layers.Dense) else "convolutions"
    return Cost(activations=_numbers(y), kept=keep(x), **{kind: products})


def _inside(layer, x, y):
    """The multiply-adds of a convolution without the zeros around its map."""
    sides = zip(x.shape[1:3], y.shape[1:3], layer.kernel_size, strict=True)
    return math.prod(taps(*side, padding=False) for side in sides) * math.prod(
        layer.kernel.shape[2:]
    )


def _einsum(layer, x, y, keep):
    """The dense layers of Keras's own attention: one kernel for all heads."""
    _, axes, made = layer.equation.replace("->", ",").split(",")
    sizes = zip(axes, layer.kernel.shape, strict=True)
    products = _numbers(y) * math.prod(size for axis, size in sizes if axis not in made)
    return Cost(dense=products, activations=_numbers(y), kept=keep(x))


def _self_attention(layer, x, y, keep):
    sequences, tokens, dim = x.shape  # one, or the rows or columns of an image
    return attention(tokens, tokens, dim, layer.num_heads).of_batch(sequences)


def _relative_self_attention(layer, x, y, keep):
    sequences, tokens, dim = x.shape
    return relative_attention(tokens, dim, layer.num_heads).of_batch(sequences)


def _probe(layer, x, y, keep):
    _, tokens, dim = x.shape
    return attention(1, tokens, dim, layer.num_heads)


def _gelu(layer, x, y, keep):
    return kept(math.prod(x.shape[:-1]) * layer.mlp_dim)


def _pool(layer, x, y, keep):
    return kept(math.prod(layer.conv.compute_output_shape(tuple(x.shape))))


def _input(layer, x, y, keep):
    return kept(keep(x))


def _activation(layer, x, y, keep):
    # A ReLU's gradient is known from its output, which the next layer keeps.
    return kept(0 if layer.activation is keras.activations.relu else keep(x))


def _factors(layer, x, y, keep):
    return kept(sum(map(keep, x)))


def _numbers(x):
    return math.prod(x.shape)


NORMS = (layers.LayerNormalization, layers.GroupNormalization, layers.BatchNormalization)
# Which layers cost what; a layer is of the first kind that fits, and its sublayers count besides.
CLASSES = {
    (layers.EinsumDense,): _einsum,
    (layers.Dense, layers.Conv2D, layers.DepthwiseConv2D): _kernel,
    (*NORMS, layers.MaxPooling2D): _input,
    (RelativeSelfAttention,): _relative_self_attention,
    (ours.SelfAttention,): _self_attention,
    (AttentionPooling,): _probe,
    (ours.MLP,): _gelu,
    (BiTRoot, HybridRoot): _pool,
    (layers.Activation,): _activation,
    (layers.Multiply,): _factors,
}
