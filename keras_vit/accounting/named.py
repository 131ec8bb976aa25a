"""The cost of a model from its row of the table alone: nothing is built."""

from keras_vit import axial, resnet
from keras_vit.accounting.convnets import of_coatnet, of_efficientnet
from keras_vit.accounting.cost import (
    Cost,
    attention,
    convolution,
    dense,
    halve,
    kept,
    norm,
    relative_attention,
    total,
)
from keras_vit.comparison import CoAtNetShape, EfficientNetShape
from keras_vit.variants import AxialBiT, AxialViT, BiT, Variant

ROOT = resnet.ROOT_WIDTH


def of(shape, image_size, num_classes=1000, num_channels=3, padding=True):
    """Returns the `Cost` of a shape for one picture.

    Args:
        shape: a row of `keras_vit.variants`, or one of `comparison.SHAPES`.
        image_size: (height, width).
        num_classes: length of the logits.
        num_channels: channels of the pictures.
        padding: whether convolutions multiply the zeros around their maps.
    """
    return COUNTS[type(shape)](shape, image_size, num_classes, num_channels, padding)


def _vit(variant, image_size, num_classes, channels, padding):
    _, dim, mlp_dim, heads, patch_size, units = variant
    rows, columns = (side // patch_size for side in image_size)
    stem, patch = Cost(), patch_size**2 * channels  # numbers in a patch
    if units is not None:
        stem, sides, width = _resnet(_hybrid_unit, image_size, channels, units, 1, padding)
        patch = (sides[0] // rows) ** 2 * width
    patches = rows * columns
    tokens = patches + 1  # the class token
    learned = Cost(parameters=(tokens + 1) * dim)  # positions and class token
    blocks = variant.num_layers * [_block(tokens, dim, mlp_dim, heads)]
    head = [norm(tokens, dim), dense(1, dim, num_classes)]
    return total([stem, dense(patches, patch, dim), learned, *blocks, *head])


def _axial_vit(variant, image_size, num_classes, channels, padding):
    """No class token, and of each block two: in the rows of patches and in their columns."""
    num_layers, dim, mlp_dim, heads, patch_size, *_ = variant
    rows, columns = (side // patch_size for side in image_size)
    patches = rows * columns
    embedding = [dense(patches, patch_size**2 * channels, dim), Cost(parameters=patches * dim)]
    block = [
        _block(columns, dim, mlp_dim, heads).of_batch(rows),
        _block(rows, dim, mlp_dim, heads).of_batch(columns),
    ]
    head = [norm(patches, dim), dense(1, dim, num_classes)]
    return total([*embedding, *(num_layers * block), *head])


def _block(tokens, dim, mlp_dim, heads):
    """One layer of the encoder, Eq. 2 and 3."""
    msa = [
        norm(tokens, dim),
        dense(tokens, dim, 3 * dim),  # Eq. 5
        attention(tokens, tokens, dim, heads),
        dense(tokens, dim, dim),  # Eq. 8
    ]
    mlp = [
        norm(tokens, dim),
        dense(tokens, dim, mlp_dim),
        kept(tokens * mlp_dim),  # GELU
        dense(tokens, mlp_dim, dim),
    ]
    return total(msa + mlp)


def _bit(variant, image_size, num_classes, channels, padding):
    unit = _axial_unit if isinstance(variant, AxialBiT) else _bit_unit
    body, sides, width = _resnet(unit, image_size, channels, *variant[:2], padding)
    positions = sides[0] * sides[1]
    return total([body, norm(positions, width), dense(1, width, num_classes)])


def _resnet(unit, sides, channels, units, width, padding):
    """Returns (cost, sides of the last map, its channels) of the root and all stages."""
    width *= ROOT
    halved = halve(sides)
    costs = [convolution(sides, halved, channels, width, 7, padding=padding)]
    numbers = halved[0] * halved[1] * width
    costs.append(kept(numbers))  # the pool
    if unit is _hybrid_unit:
        costs.append(norm(halved[0] * halved[1], width))
    sides, channels = halve(halved), width
    for stage, count in enumerate(units):
        filters = width * 2**stage
        for number in range(count):
            new_sides = halve(sides) if stage and not number else sides
            costs.append(unit(sides, new_sides, channels, filters, not number, padding))
            sides, channels = new_sides, 4 * filters
    return total(costs), sides, channels


def _bit_unit(sides, new_sides, channels, filters, projection, padding):
    middle = convolution(sides, new_sides, filters, filters, 3, padding=padding)
    return _normed_before(sides, new_sides, channels, filters, projection, middle)


def _axial_unit(sides, new_sides, channels, filters, projection, padding):
    rows, columns = sides
    middle = [
        _relative(columns, filters).of_batch(rows),
        _relative(rows, filters).of_batch(columns),
    ]
    return _normed_before(sides, new_sides, channels, filters, projection, total(middle))


def _normed_before(sides, new_sides, channels, filters, projection, middle):
    """Each convolution is normalised before it; the projection reads what the first one reads."""
    positions, new_positions = sides[0] * sides[1], new_sides[0] * new_sides[1]
    norms = [norm(positions, channels), norm(positions, filters), norm(new_positions, filters)]
    return total([*norms, *_branch(sides, new_sides, channels, filters, projection, middle)])


def _hybrid_unit(sides, new_sides, channels, filters, projection, padding):
    """Each convolution is normalised after it, that of the projection too."""
    positions, new_positions = sides[0] * sides[1], new_sides[0] * new_sides[1]
    middle = convolution(sides, new_sides, filters, filters, 3, padding=padding)
    norms = [norm(positions, filters), norm(new_positions, filters)]
    norms += (1 + projection) * [norm(new_positions, 4 * filters)]
    return total([*norms, *_branch(sides, new_sides, channels, filters, projection, middle)])


def _branch(sides, new_sides, channels, filters, projection, middle):
    """1 x 1 filters on both sides of the middle, and a projection where the shape changes."""
    yield convolution(sides, sides, channels, filters)
    yield middle
    yield convolution(new_sides, new_sides, filters, 4 * filters)
    if projection:
        cost = convolution(sides, new_sides, channels, 4 * filters)
        yield cost._replace(kept=0)  # its input is kept for the first convolution


def _relative(tokens, channels):
    """The attention of one row or column of a map: U_qkv, scores, U_msa, keys of offsets."""
    parts = [
        dense(tokens, channels, 3 * channels),
        relative_attention(tokens, channels, axial.HEADS),
        dense(tokens, channels, channels),
        Cost(parameters=(2 * tokens - 1) * channels),
    ]
    return total(parts)


COUNTS = {
    Variant: _vit,
    BiT: _bit,
    AxialViT: _axial_vit,
    AxialBiT: _bit,
    EfficientNetShape: of_efficientnet,
    CoAtNetShape: of_coatnet,
}
