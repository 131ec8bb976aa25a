"""AdamW, SGD and LAMB with a rate for each layer; saving keeps which weights do not decay."""

import re

import keras
from keras import ops

from keras_vit import arguments

register = keras.saving.register_keras_serializable(package="keras_vit")

BLOCK = re.compile(r"(?:^|/)block_(\d+)/")
# Layers after the last block have the full learning rate, layers before the first block the lowest:
# the patch encoder, the norm of CLIP's embedding and the ResNet of a hybrid.
AFTER_THE_BLOCKS = re.compile(
    r"(?:^|/)(encoder_norm|pooling|pre_logits|(?<!patch_encoder/)projection|head)/"
)


class ByLayer:
    """An optimizer whose learning rate and weight decay depend on the weight's path."""

    def __init__(self, learning_rate, *, layer_decay=1.0, decayed="kernel", **kwargs):
        arguments.at_most_one("layer_decay", layer_decay)
        super().__init__(learning_rate, **kwargs)
        self.layer_decay, self.decayed = float(layer_decay), decayed

    def build(self, variables):
        """Determines each weight's factor of the learning rate, and whether it decays."""
        if self.built:
            return
        super().build(variables)
        self.rates = layer_rates([v.path for v in variables], self.layer_decay)
        self.decays = tuple(
            bool(re.search(self.decayed, v.name)) and self._use_weight_decay(v) for v in variables
        )

    def _apply_weight_decay(self, variables):
        """Does nothing: `update_step` applies weight decay, at the rate of each weight."""

    def update_step(self, gradient, variable, learning_rate):
        """Applies weight decay and gradient to a weight, both at its own rate."""
        index = self._get_variable_index(variable)
        rate = ops.cast(learning_rate, variable.dtype) * self.rates[index]
        if self.weight_decay and self.decays[index]:
            self.assign_sub(variable, ops.multiply(variable, rate * self.weight_decay))
        super().update_step(gradient, variable, rate)

    def _update_model_variables_moving_average(self, trainable_variables):
        """Averages the weights, over no more than about the last tenth of the updates.

            average = m average + (1 - m) w,  m = min(ema_momentum, t / (t + 9))

        after t earlier updates. Keras's own average uses `ema_momentum` from the first update on,
        so after a short training it still consists mostly of the initial weights.
        """
        if not self.use_ema:
            return
        earlier = ops.cast(self._iterations, "float32")  # batches, even if they accumulate
        momentum = ops.minimum(self.ema_momentum, earlier / (earlier + 9))
        averages = self._model_variables_moving_average
        for variable, average in zip(trainable_variables, averages, strict=True):
            m = ops.cast(momentum, variable.dtype)
            average.assign(average * m + variable * (1 - m))

    def finalize_variable_values(self, var_list):
        """Assigns the moving average, if there is one, to the weights at the end of `fit`."""
        super().finalize_variable_values(var_list)
        if self.use_ema:
            # On JAX, weight and average would share an array, which `evaluate` deletes.
            for variable in var_list:
                variable.assign(ops.copy(variable))

    def get_config(self):
        """Returns the arguments, for saving."""
        own = {"layer_decay": self.layer_decay, "decayed": self.decayed}
        return {**super().get_config(), **own}


@register
class AdamW(ByLayer, keras.optimizers.AdamW):
    """Adam with decoupled weight decay on chosen weights, and a learning rate for each layer.

        w = w - r (m / (sqrt(v) + epsilon) + weight_decay w),  r = learning_rate layer_decay^k

    with m and v corrected for bias. k is 0 after the last block, 1 in the last block, L in the
    first, and L + 1 before it. Without `layer_decay`, r is the learning rate.

    Weight decay is relative to the learning rate, as in the paper's tables. Big Vision's
    configurations give the product of both at the peak: its 1e-4 at a rate of 1e-3 is 0.1 here.

    Args:
        learning_rate: a number or a schedule.
        weight_decay: relative to the learning rate.
        layer_decay: factor of the learning rate from each block to the one before it, 0.65 to 0.9
            for fine-tuning in BEiT and MAE; 1.0 for one rate everywhere.
        decayed: regular expression; weight decay applies to weights whose name matches. The
            default excludes biases, normalizations, class tokens and positions, as in DeiT and Big
            Vision; "" decays all.
        **kwargs: arguments of `keras.optimizers.AdamW`: `global_clipnorm`, `use_ema`, `beta_2`,
            `ema_momentum`, `gradient_accumulation_steps`, ...

    Raises:
        ValueError: an argument is invalid, or, at the first step, there are no blocks.

    Example:
    >>> optimizer = keras_vit.training.optimizers.AdamW(1e-3, weight_decay=0.05, layer_decay=0.75)
    >>> optimizer.layer_decay
    0.75

    Reference: https://arxiv.org/abs/1711.05101 (decay), https://arxiv.org/abs/2106.08254 (layers)
    """

    def __init__(
        self, learning_rate=1e-3, weight_decay=0.05, *, layer_decay=1.0, decayed="kernel", **kwargs
    ):
        own = {"layer_decay": layer_decay, "decayed": decayed, "weight_decay": weight_decay}
        super().__init__(learning_rate, **own, **kwargs)


@register
class SGD(ByLayer, keras.optimizers.SGD):
    """SGD with momentum 0.9, as the paper fine-tunes, and a learning rate for each layer.

        m = momentum m - r g,  w = w + m,  r = learning_rate layer_decay^k

    with k as in `AdamW`.

    Args:
        learning_rate: a number or a schedule.
        momentum: momentum factor.
        **kwargs: `layer_decay` and `decayed` as in `AdamW`; arguments of `keras.optimizers.SGD`:
            `weight_decay`, `global_clipnorm`, ...

    Example:
    >>> keras_vit.training.optimizers.SGD(0.03).momentum
    0.9

    Reference: section 4.1 and Table 4, https://arxiv.org/abs/2010.11929
    """

    def __init__(self, learning_rate=0.01, momentum=0.9, **kwargs):
        super().__init__(learning_rate, momentum=momentum, **kwargs)


@register
class Lamb(ByLayer, keras.optimizers.Lamb):
    """Adam for large batches: a step is as long as the weight times the learning rate.

        u = m / (sqrt(v) + epsilon) + weight_decay w,  w = w - r |w| / |u| u

    with m, v and r as in `AdamW`. |w| is the norm of a weight, such as one kernel; if a weight or u
    has norm 0, the factor is 1. It is also 1 for weights without decay, as in NVIDIA's FusedLAMB,
    which DeiT-III used; the paper scales these too.

    Args:
        learning_rate: a number or a schedule.
        weight_decay: relative to the learning rate.
        **kwargs: `layer_decay` and `decayed` as in `AdamW`; arguments of `keras.optimizers.Lamb`:
            `global_clipnorm`, `beta_2`, ...

    Example:
    >>> keras_vit.training.optimizers.Lamb(4e-3).weight_decay
    0.05

    Reference: Algorithm 2, https://arxiv.org/abs/1904.00962
    """

    def __init__(self, learning_rate=4e-3, weight_decay=0.05, **kwargs):
        super().__init__(learning_rate, weight_decay=weight_decay, **kwargs)

    def update_step(self, gradient, variable, learning_rate):
        """Applies a gradient to a weight at its own rate; decay is part of the step."""
        index = self._get_variable_index(variable)
        m, v = self._momentums[index], self._velocities[index]
        rate = ops.cast(learning_rate, variable.dtype) * self.rates[index]
        step = ops.cast(self.iterations + 1, variable.dtype)
        gradient = ops.cast(gradient, variable.dtype)
        self.assign_add(m, (gradient - m) * (1 - self.beta_1))
        self.assign_add(v, (ops.square(gradient) - v) * (1 - self.beta_2))
        deviation = ops.sqrt(v / (1 - self.beta_2**step))
        u = m / (1 - self.beta_1**step) / (deviation + self.epsilon)
        if self.weight_decay and self.decays[index]:
            u = u + self.weight_decay * variable
            lengths = ops.norm(variable), ops.norm(u)
            known = ops.logical_and(lengths[0] > 0, lengths[1] > 0)
            rate = rate * ops.where(known, lengths[0] / ops.where(known, lengths[1], 1.0), 1.0)
        self.assign_sub(variable, rate * u)


OPTIMIZERS = {"adamw": AdamW, "sgd": SGD, "lamb": Lamb}


def layer_rates(paths, layer_decay):
    """Returns each weight's factor of the learning rate; the highest block counts as the last.

    Raises:
        ValueError: no weight is in a block.

    Example:
    >>> paths = ["patch_encoder/class_token", "block_0/norm_1/gamma", "block_1/mlp/expand/kernel",
    ...          "head/kernel"]
    >>> keras_vit.training.optimizers.layer_rates(paths, 0.5)
    (0.125, 0.25, 0.5, 1.0)
    """
    if layer_decay == 1.0:
        return (1.0,) * len(paths)
    blocks = [int(match[1]) for path in paths if (match := BLOCK.search(path))]
    if not blocks:
        want = "`layer_decay` needs a Transformer's blocks, block_0, block_1, ..."
        advice = "Use layer_decay=1.0 if the trained weights are not in blocks."
        arguments.refuse(want, {"layer_decay": layer_decay}, advice)
    number = max(blocks) + 1

    def distance(path):
        """Returns k of `AdamW`: 0 after the last block, L in the first, L + 1 before it."""
        if match := BLOCK.search(path):
            return number - int(match[1])
        return 0 if AFTER_THE_BLOCKS.search(path) else number + 1

    return tuple(layer_decay ** distance(path) for path in paths)
