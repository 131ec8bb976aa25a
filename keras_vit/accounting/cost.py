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
        """Returns the cost of as many images; the parameters stay."""
        return Cost(self.parameters, *(batch_size * number for number in self[1:]))


def total(costs):
    """Returns the sum of costs.

    Example:
    >>> from keras_vit.accounting import cost
    >>> cost.total([cost.kept(40), cost.attention(5, 5, 8, num_heads=2)])
    Cost(parameters=0, dense=0, convolutions=0, attention=400, activations=90, kept=210)
    """
    return Cost(*map(sum, zip(*costs, strict=True)))


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


def taps(side, new_side, kernel, padding=True):
    """Returns how many rows (or columns) all positions of a kernel read, with zeros or without.

    Args:
        side: of the map that is read.
        new_side: of the map that is made.
        kernel: side of the kernel.
        padding: whether the zeros around the map are counted.

    Example:
    >>> from keras_vit.accounting import cost
    >>> cost.taps(7, 7, 3), cost.taps(7, 7, 3, padding=False)
    (21, 19)
    """
    if padding:
        return kernel * new_side
    stride = -(-side // new_side)
    starts = [stride * position - kernel // 2 for position in range(new_side)]
    return sum(0 <= start + tap < side for start in starts for tap in range(kernel))
