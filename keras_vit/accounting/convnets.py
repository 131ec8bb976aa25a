"""The cost of the models that ViT is compared with, from their row of the table alone."""

from keras_vit.accounting.cost import attention, convolution, dense, halve, kept, norm, total
from keras_vit.comparison import coatnet, efficientnet


def of_efficientnet(shape, sides, num_classes, channels, padding):
    """Returns the `Cost` of an `EfficientNetShape`; the arguments are those of `named.of`."""
    stem = efficientnet.channels(efficientnet.STEM, shape.width)
    top = efficientnet.channels(efficientnet.TOP, shape.width)
    sides, before = halve(sides), sides
    costs = [convolution(before, sides, channels, stem, 3, padding=padding), _active(sides, stem)]
    width = stem
    for block in efficientnet.blocks(shape.width, shape.depth):
        new_sides = halve(sides) if block.strides == 2 else sides
        expansion = block.expansion
        middle = width if expansion is None else expansion
        if expansion is not None:
            costs += [convolution(sides, sides, width, middle), _active(sides, middle)]
        costs += _depthwise(sides, new_sides, middle, block.kernel, block.squeezed, padding)
        costs += [convolution(new_sides, new_sides, middle, block.filters)]
        costs += [norm(_positions(new_sides), block.filters)]
        sides, width = new_sides, block.filters
    costs += [convolution(sides, sides, width, top), _active(sides, top)]
    return total([*costs, dense(1, top, num_classes)])


def of_coatnet(shape, sides, num_classes, channels, padding):
    """Returns the `Cost` of a `CoAtNetShape`; the arguments are those of `named.of`."""
    (stem, *depths), (width, *widths) = shape.depths, shape.widths
    sides, before = halve(sides), sides
    costs = [convolution(before, sides, channels, width, 3, padding=padding)]
    for _ in range(stem - 1):
        costs += [_active(sides, width)]
        costs += [convolution(sides, sides, width, width, 3, padding=padding)]
    for stage, (depth, new_width) in enumerate(zip(depths, widths, strict=True)):
        block = _bottleneck if stage < 2 else _transformer
        for number in range(depth):
            new_sides = sides if number else halve(sides)
            costs += block(sides, new_sides, width, new_width, padding)
            sides, width = new_sides, new_width
    costs += [norm(_positions(sides), width), dense(1, width, width)]
    return total([*costs, dense(1, width, num_classes)])


def _bottleneck(sides, new_sides, width, new_width, padding):
    middle = coatnet.EXPANSION * new_width
    yield norm(_positions(sides), width)
    yield convolution(sides, new_sides, width, middle)
    yield _active(new_sides, middle)
    yield from _depthwise(new_sides, new_sides, middle, 3, new_width // 4, padding)
    yield convolution(new_sides, new_sides, middle, new_width, bias=True)
    if sides != new_sides:
        yield from _shortcut(sides, new_sides, width, new_width, pooled=0)


def _transformer(sides, new_sides, width, new_width, padding):
    tokens, heads = _positions(new_sides), new_width // coatnet.HEAD_DIM
    yield norm(_positions(sides), width)
    if sides != new_sides:
        yield from _shortcut(sides, new_sides, width, new_width, pooled=_positions(sides) * width)
    rows, columns = new_sides
    yield total([dense(tokens, width, 3 * new_width), dense(tokens, new_width, new_width)])
    offsets = (2 * rows - 1) * (2 * columns - 1)
    yield attention(tokens, tokens, new_width, heads)._replace(parameters=heads * offsets)
    yield norm(tokens, new_width)
    middle = coatnet.EXPANSION * new_width
    yield total([dense(tokens, new_width, middle), kept(tokens * middle)])
    yield dense(tokens, middle, new_width)


def _shortcut(sides, new_sides, width, new_width, pooled):
    """Proj(Pool(x)), x being kept already; `pooled` numbers of the branch are pooled too."""
    yield kept(pooled)
    if width != new_width:
        yield convolution(new_sides, new_sides, width, new_width, bias=True)


def _depthwise(sides, new_sides, channels, kernel, squeezed, padding):
    """Depthwise convolution, normalisation, squeeze-and-excitation."""
    yield convolution(sides, new_sides, 1, channels, kernel, padding=padding)
    yield _active(new_sides, channels)
    yield total([dense(1, channels, squeezed), kept(squeezed), dense(1, squeezed, channels)])
    yield kept(_positions(new_sides) * channels + channels)  # the map and what scales it


def _active(sides, channels):
    """A normalisation and a function after it; backward needs the input of each."""
    numbers = _positions(sides) * channels
    return total([norm(_positions(sides), channels), kept(numbers)])


def _positions(sides):
    rows, columns = sides
    return rows * columns
