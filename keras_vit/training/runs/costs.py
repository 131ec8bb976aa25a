"""The cost of a training run before its first step: memory, and whether images should be enlarged.

The time is measured in the first steps of the run itself (`timing`).
"""

import math
from typing import NamedTuple

import numpy as np

from keras_vit import arguments, environment
from keras_vit.accounting.counting import BYTES
from keras_vit.accounting.layer_costs import count_layers
from keras_vit.training.recipes.recipe import SLOTS
from keras_vit.variants import parse

# Backends keep activations more than once: JAX on a CPU takes 1.2 to 2.1 times the count.
LEAST, MOST = 1.0, 2.1
LOOKED_AT = 8  # number of training images whose size is read
SMALLEST_GRID = 4  # patches per side of a smaller image that is proposed
RESNET_STRIDE = 32  # used instead of a patch for a ResNet


class Memory(NamedTuple):
    """The memory of a training step, in bytes."""

    fixed: int  # weights, gradients, their sum over batches, and the optimizer's state
    image: int  # memory that the backward pass needs for an image, counted once
    free: int | None  # available to the run, including its weights; None if unknown

    def least(self, batch_size):
        """Returns the least memory that a step may take."""
        return self.fixed + LEAST * self.image * batch_size

    def most(self, batch_size):
        """Returns the most memory that a step may take."""
        return self.fixed + MOST * self.image * batch_size

    @property
    def largest_batch(self):
        """The largest batch that certainly fits, at least one image."""
        return max(1, int((self.free - self.fixed) / (MOST * self.image)))


def measure_memory(model, recipe):
    """Returns the `Memory` that training a built model with a recipe takes.

    The sum of gradients over several batches is included, so that the numbers stay valid if a batch
    is divided.
    """
    kept = count_layers(model).kept
    if recipe.adapt == "linear":  # frozen blocks keep nothing
        kept //= max(1, sum(layer.name.startswith("block_") for layer in model.layers))
    weights = _bytes(model.weights)
    averages = recipe.moving_average is not None
    copies = 2 + SLOTS[recipe.optimizer] + averages
    free = environment.free_memory()
    return Memory(
        fixed=weights + copies * _bytes(model.trainable_weights),
        image=BYTES.get(model.compute_dtype, 4) * kept,
        free=None if free is None else free + weights,
    )


def divide_batch(memory, recipe, given):
    """Returns {"batch_size": ..., "accumulate": ...} with which a step fits, or {} if it does.

    Args:
        memory: a `Memory`.
        recipe: a `Recipe`, scaled to its data.
        given: whether the user chose the batch size, which is then not changed.

    Raises:
        ValueError: a step certainly does not fit.
    """
    batch = recipe.batch_size
    if memory.free is None or memory.most(batch) <= memory.free:
        return {}
    if memory.least(1) > memory.free:
        advice = "Use a smaller --model or --image-size, or --adapt lora."
        _refuse("a step on one image must fit into memory", memory, 1, advice)
    size = min(batch, memory.largest_batch)
    divided = _divide(batch, size, recipe.accumulate)
    if not given:
        return divided
    if memory.least(batch) > memory.free:
        advice = f"Use --batch-size {divided['batch_size']} --accumulate {divided['accumulate']}"
        advice += ", or a smaller --model or --image-size."
        _refuse("a training step must fit into memory", memory, batch, advice)
    return {}


def describe_memory(memory, batch_size):
    """Returns a line such as "Memory: 1.2 to 2.0 GiB for a step of 64 images, 13.1 GiB are free".

    It has a second line if the step may not fit.
    """
    low, high = (format_size(count(batch_size)) for count in (memory.least, memory.most))
    free = "unknown" if memory.free is None else format_size(memory.free)
    line = (
        f"Memory: {low} to {high} for a step of {batch_size:,} images, of which "
        f"{format_size(memory.fixed)} for weights, gradients and optimizer; free: {free}."
    )
    if memory.free is not None and memory.most(batch_size) > memory.free:
        fits = memory.most(memory.largest_batch) <= memory.free
        line += "\nThis may not fit" + f"; --batch-size {memory.largest_batch} does." * fits
    return line


def describe_division(recipe, published):
    """Returns a line about a batch of `published` images that was divided."""
    return (
        f"Batches: {published:,} images do not fit into memory, so {recipe.accumulate} batches "
        f"of {recipe.batch_size} make an update."
    )


def describe_enlargement(data, recipe):
    """Returns a list with a line if images are resized to a much larger size, otherwise empty."""
    source = data.sources["train"]
    chosen = np.unique(np.linspace(0, len(source) - 1, LOOKED_AT, dtype=int))
    own = int(np.median([min(source.image(index).size) for index in chosen]))
    variant = parse(recipe.model)
    size, patch = min(data.image_size), getattr(variant, "patch_size", RESNET_STRIDE)
    smaller = patch * max(SMALLEST_GRID, math.ceil(own / patch))
    if size < 2 * own or smaller >= size:
        return []
    return [
        f"Images: about {own} x {own} pixels, enlarged {size / own:.0f}-fold to {size} x {size}; "
        f"--image-size {smaller} takes about 1/{(size / smaller) ** 2:.0f} of the time."
    ]


def _divide(batch, size, accumulate):
    """Divides a batch into equal ones of at most `size` images, if not too many are needed."""
    number = math.ceil(batch / size)
    equal = (n for n in range(number, 2 * number + 1) if batch % n == 0)
    number = next(equal, number)
    return {"batch_size": max(1, batch // number), "accumulate": number * accumulate}


def _refuse(want, memory, batch_size, advice):
    received = {
        "batch_size": batch_size,
        "needed": f"at least {format_size(memory.least(batch_size))}",
        "free": format_size(memory.free),
    }
    arguments.refuse(want, received, advice)


def _bytes(weights):
    return sum(math.prod(weight.shape) * BYTES.get(weight.dtype, 4) for weight in weights)


def format_size(number):
    """Returns a number of bytes in the unit that suits it.

    Example:
    >>> size = keras_vit.training.runs.costs.format_size
    >>> size(5e6), size(6e9), size(6e11)
    ('5 MiB', '5.6 GiB', '559 GiB')
    """
    if number < 2**30:
        return f"{number / 2**20:.0f} MiB"
    return f"{number / 2**30:,.{int(number < 100 * 2**30)}f} GiB"
