"""What a forward pass costs, and what each kind of layer adds to it."""

from typing import NamedTuple


class Cost(NamedTuple):
    """What a model costs: all but the parameters are of one forward pass.

    A multiply-add is one product that is added to a sum. It is one FLOP for many authors (timm,
    fvcore, the papers of ResNet, EfficientNet and CoAtNet) and two for others (this paper, XLA):
    here `multiply_adds` are the first, `flops` the second. Products of dense layers, convolutions
    and attention are counted. Biases, normalisations, softmax, GELU and pooling are not, as usual:
    XLA's own count, which has them, is 1 to 3 % higher.
    """

    parameters: int = 0  # learned; the running means of batch normalisation are not
    dense: int = 0  # multiply-adds, like the next two
    convolutions: int = 0
    attention: int = 0  # q k^T and A v, Eq. 6 and 7
    activations: int = 0  # numbers that those products make, as timm counts them
    kept: int = 0  # numbers that a training step keeps for the backward pass

    @property
    def multiply_adds(self):
        """Products of dense layers, convolutions and attention."""
        return self.dense + self.convolutions + self.attention

    @property
    def flops(self):
        """Two for each multiply-add: the product and the sum."""
        return 2 * self.multiply_adds

    def of_batch(self, batch_size):
        """Returns the cost of as many pictures; the parameters stay."""
        return Cost(self.parameters, *(batch_size * number for number in self[1:]))


def total(costs):
    """Returns the sum of costs.

    Example:
    >>> from keras_vit.accounting import cost
    >>> cost.total([cost.norm(5, 8), cost.dense(5, 8, 3)])
    Cost(parameters=43, dense=120, convolutions=0, attention=0, activations=15, kept=80)
    """
    return Cost(*map(sum, zip(*costs, strict=True)))


def dense(positions, inputs, outputs, bias=True):
    """A dense layer at each position: of a token, or of a picture."""
    products = positions * inputs * outputs
    weights = (inputs + bias) * outputs
    return Cost(weights, products, activations=positions * outputs, kept=positions * inputs)


def norm(positions, channels):
    """A normalisation with scale and offset; backward needs its input."""
    return Cost(2 * channels, kept=positions * channels)


def attention(queries, keys, hidden_dim, num_heads):
    """The two products of Eq. 6 and 7; backward needs q, k, v and the scores A."""
    products, scores = queries * keys * hidden_dim, num_heads * queries * keys
    return Cost(
        attention=2 * products,
        activations=scores + queries * hidden_dim,
        kept=(queries + 2 * keys) * hidden_dim + scores,
    )


def relative_attention(tokens, hidden_dim, num_heads):
    """Attention whose queries also multiply a learned key for each of 2 `tokens` - 1 offsets."""
    offsets = 2 * tokens - 1
    extra = Cost(attention=tokens * offsets * hidden_dim, activations=num_heads * tokens * offsets)
    return total([attention(tokens, tokens, hidden_dim, num_heads), extra])


def kept(numbers):
    """What backward needs of a function without weights: GELU's input, a pool's."""
    return Cost(kept=numbers)


def convolution(sides, new_sides, inputs, outputs, kernel=1, *, bias=False, padding=True):
    """A convolution from a map of `sides` to one of `new_sides`.

    Args:
        sides: (height, width) of the map that it reads.
        new_sides: (height, width) of the map that it makes.
        inputs: channels that each of its filters reads: 1 for a depthwise convolution.
        outputs: number of filters.
        kernel: side of its kernel.
        bias: whether it has one.
        padding: whether the products with zeros around the map are counted, as the field does.

    Example:
    >>> from keras_vit.accounting import cost
    >>> cost.convolution((7, 7), (7, 7), 64, 64, kernel=3).convolutions  # 7 * 7 * 3 * 3 * 64 * 64
    1806336
    >>> cost.convolution((7, 7), (7, 7), 64, 64, kernel=3, padding=False).convolutions  # 19 * 19
    1478656
    """
    taps = _product(_taps(*pair, kernel, padding) for pair in zip(sides, new_sides, strict=True))
    channels = outputs if inputs == 1 else inputs  # a depthwise one reads as many as it makes
    return Cost(
        parameters=(kernel**2 * inputs + bias) * outputs,
        convolutions=taps * inputs * outputs,
        activations=_product(new_sides) * outputs,
        kept=_product(sides) * channels,
    )


def halve(sides):
    """Returns the sides of a map at every second position."""
    return tuple(-(-side // 2) for side in sides)


def _taps(side, new_side, kernel, padding):
    """How many rows (or columns) all positions of a kernel read, of the map alone or in all."""
    if padding:
        return kernel * new_side
    stride = -(-side // new_side)
    starts = [stride * position - kernel // 2 for position in range(new_side)]
    return sum(0 <= start + tap < side for start in starts for tap in range(kernel))


def _product(numbers):
    rows, columns = numbers
    return rows * columns
