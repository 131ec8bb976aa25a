"""The cost of a model: the sum over its layers, found by running it on shapes."""

import math
from typing import NamedTuple

import keras
from keras import layers

from keras_vit import hooks
from keras_vit import layers as ours
from keras_vit.ablations.relative import RelativeSelfAttention
from keras_vit.convolutions import BiTRoot, HybridRoot
from keras_vit.descendants.eva import NormDense
from keras_vit.descendants.pooling import AttentionPooling


class Cost(NamedTuple):
    """The cost of a model: its parameters, and the work of one forward pass.

    A multiply-add is a product that is added to a sum. Many authors count it as one FLOP (timm,
    fvcore, the papers of ResNet, EfficientNet and CoAtNet), others as two (this paper, XLA):
    `multiply_adds` are the former, `flops` the latter. Products of dense layers, convolutions and
    attention are counted. Biases, normalization, softmax, GELU and pooling are not, as is common:
    XLA's count, which includes them, is 1 to 3 % higher.
    """

    parameters: int = 0  # those that can be learned; without statistics of images or batches
    dense: int = 0  # multiply-adds, like the next two
    convolutions: int = 0
    attention: int = 0  # q k^T and A v, Eq. 6 and 7
    activations: int = 0  # outputs of these products, as timm counts them
    kept: int = 0  # numbers that a training step keeps for the backward pass

    @property
    def multiply_adds(self):
        """Products of dense layers, convolutions and attention."""
        return self.dense + self.convolutions + self.attention

    @property
    def flops(self):
        """Two for each multiply-add, the product and the sum."""
        return 2 * self.multiply_adds

    def multiply(self, batch_size):
        """Returns the cost of a batch of images, with the same parameters."""
        return Cost(self.parameters, *(batch_size * number for number in self[1:]))


def count_layers(model, padding=True):
    """Returns the `Cost` of a Keras model for one image.

    The model runs symbolically, on shapes only. Products are counted in the layers of `CLASSES`;
    those of other layers are missed.

    Args:
        model: a model with one input of known shape.
        padding: whether the padding around the maps of convolutions is counted, as is common.
    """
    counter = _Counter(padding)
    calls = {layer: counter.watch(layer) for layer in model._flatten_layers()}
    with hooks.replace({layer: call for layer, call in calls.items() if call}):
        image = keras.KerasTensor((1, *model.input_shape[1:]), dtype="float32")
        _Run(model, counter).compute_output_spec(image)
    return add([Cost(count_parameters(model)), *counter.costs])


def count_parameters(model):
    """Returns the number of parameters that can be learned, also if their layer is frozen.

    Statistics are not counted: moving averages, and the mean and variance of a `Normalization`.
    """
    constant = [x for x in model._flatten_layers() if isinstance(x, layers.Normalization)]
    left_out = {id(weight) for layer in constant for weight in layer.weights}
    left_out |= {id(weight) for weight in model.weights if weight.name.startswith("moving_")}
    return sum(math.prod(weight.shape) for weight in model.weights if id(weight) not in left_out)


def add(costs):
    """Returns the sum of costs.

    Example:
    >>> layer_costs = keras_vit.accounting.layer_costs
    >>> layer_costs.add([layer_costs.store(40), layer_costs.attend(5, 5, 8, num_heads=2)])
    Cost(parameters=0, dense=0, convolutions=0, attention=400, activations=90, kept=210)
    """
    return Cost(*map(sum, zip(*costs, strict=True)))


def attend(queries, keys, hidden_dim, num_heads):
    """Counts the two products of Eq. 6 and 7; the backward pass needs q, k, v and the scores A."""
    products, scores = queries * keys * hidden_dim, num_heads * queries * keys
    return Cost(
        attention=2 * products,
        activations=scores + queries * hidden_dim,
        kept=(queries + 2 * keys) * hidden_dim + scores,
    )


def attend_relatively(tokens, hidden_dim, num_heads):
    """Counts attention whose queries also multiply a key for each of 2 `tokens` - 1 offsets."""
    offsets = 2 * tokens - 1
    extra = Cost(attention=tokens * offsets * hidden_dim, activations=num_heads * tokens * offsets)
    return add([attend(tokens, tokens, hidden_dim, num_heads), extra])


def store(numbers):
    """Counts the input of GELU or of a pool, which the backward pass needs."""
    return Cost(kept=numbers)


def count_taps(side, new_side, kernel, padding=True):
    """Counts the rows (or columns) that a kernel reads at all its positions.

    Args:
        side: side of the input map.
        new_side: side of the output map.
        kernel: side of the kernel.
        padding: whether rows of padding are counted.

    Example:
    >>> count_taps = keras_vit.accounting.layer_costs.count_taps
    >>> count_taps(7, 7, 3), count_taps(7, 7, 3, padding=False)
    (21, 19)
    """
    if padding:
        return kernel * new_side
    stride = -(-side // new_side)
    starts = [stride * position - kernel // 2 for position in range(new_side)]
    return sum(0 <= start + tap < side for start in starts for tap in range(kernel))


class _Run(keras.Operation):
    """Runs all layers, including those that can infer their output shape without running."""

    def __init__(self, model, counter):
        super().__init__()
        self.model, self.counter = model, counter

    def call(self, x):
        # PyTorch starts again on the CPU if an operation does not run symbolically.
        self.counter.clear()
        return self.model(x)


class _Counter:
    """Collects the costs of layers, and the tensors that the backward pass keeps."""

    def __init__(self, padding):
        self.costs, self.tensors, self.padding = [], {}, padding

    def clear(self):
        """Clears all costs and tensors."""
        self.costs.clear()
        self.tensors.clear()

    def watch(self, layer):
        """Returns the replacement of a layer's `call`; None for a layer without a cost."""
        count = next((f for kinds, f in CLASSES.items() if isinstance(layer, kinds)), None)
        return count and (lambda call, x: self._count(layer, count, call, x))

    def _count(self, layer, count, call, x):
        y = call(x)
        cost = count(layer, x, y, self._keep)
        if not self.padding and isinstance(layer, layers.Conv2D):
            cost = cost._replace(convolutions=_count_inside(layer, x, y))
        self.costs.append(cost)
        return y

    def _keep(self, x):
        """Returns the size of a tensor; 0 if another layer keeps it already."""
        known = id(x) in self.tensors
        self.tensors[id(x)] = x  # referenced, so that no other tensor gets its id
        return 0 if known else _numbers(x)


def _kernel(layer, x, y, keep):
    """Counts a kernel that is applied at every token or at every position of a map."""
    depthwise = isinstance(layer, layers.DepthwiseConv2D)
    filters = math.prod(layer.kernel.shape[-2:] if depthwise else layer.kernel.shape[-1:])
    products = _numbers(y) // filters * math.prod(layer.kernel.shape)
    kind = "dense" if isinstance(layer, layers.Dense) else "convolutions"
    return Cost(activations=_numbers(y), kept=keep(x), **{kind: products})


def _count_inside(layer, x, y):
    """Counts the multiply-adds of a convolution without the padding."""
    sides = zip(x.shape[1:3], y.shape[1:3], layer.kernel_size, strict=True)
    return math.prod(count_taps(*side, padding=False) for side in sides) * math.prod(
        layer.kernel.shape[2:]
    )


def _norm_dense(layer, x, y, keep):
    """Counts a dense layer whose input is normalized first: both inputs are kept."""
    return add([_kernel(layer, x, y, keep), store(_numbers(x))])


def _einsum(layer, x, y, keep):
    """Counts the dense layers of Keras's own attention, with one kernel for all heads."""
    _, axes, made = layer.equation.replace("->", ",").split(",")
    sizes = zip(axes, layer.kernel.shape, strict=True)
    products = _numbers(y) * math.prod(size for axis, size in sizes if axis not in made)
    return Cost(dense=products, activations=_numbers(y), kept=keep(x))


def _self_attention(layer, x, y, keep):
    sequences, tokens, dim = x.shape  # one sequence per image, or one per row or column
    return attend(tokens, tokens, dim, layer.num_heads).multiply(sequences)


def _relative_self_attention(layer, x, y, keep):
    sequences, tokens, dim = x.shape
    return attend_relatively(tokens, dim, layer.num_heads).multiply(sequences)


def _probe(layer, x, y, keep):
    _, tokens, dim = x.shape
    return attend(1, tokens, dim, layer.num_heads)


def _gelu(layer, x, y, keep):
    return store(math.prod(x.shape[:-1]) * layer.expand.units)  # with gates, twice `mlp_dim`


def _pool(layer, x, y, keep):
    return store(math.prod(layer.conv.compute_output_shape(tuple(x.shape))))


def _input(layer, x, y, keep):
    return store(keep(x))


def _activation(layer, x, y, keep):
    # The gradient of ReLU follows from its output, which the next layer keeps.
    return store(0 if layer.activation is keras.activations.relu else keep(x))


def _factors(layer, x, y, keep):
    return store(sum(map(keep, x)))


def _numbers(x):
    return math.prod(x.shape)


NORMS = (layers.LayerNormalization, layers.GroupNormalization, layers.BatchNormalization)
# The cost of each kind of layer, without its sublayers. The first kind that matches is used.
CLASSES = {
    (layers.EinsumDense,): _einsum,
    (NormDense,): _norm_dense,
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
