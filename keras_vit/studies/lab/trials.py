"""Builds small models, trains them for a fixed number of steps, and measures their accuracy."""

import keras
import numpy as np

from keras_vit import ResNet, ViT, arguments
from keras_vit.studies.lab import tasks
from keras_vit.training import few_shot
from keras_vit.training.evaluation.representation import predict_all, submodel
from keras_vit.training.recipes import schedules

# Steps per call, if this divides their number: the overhead between two calls is about 5 ms on JAX,
# as long as a step of a tiny model. On TensorFlow it made no difference.
STEPS_PER_CALL = 10
TEST_BATCH = 500
DRAWS = 10  # draws of few-shot images: with few per class, the choice matters
OPTIMIZERS = {
    "adamw": keras.optimizers.AdamW,
    "adam": keras.optimizers.Adam,
    "sgd": keras.optimizers.SGD,
}


def build(seed, make):
    """Returns the model that `make()` returns, with random weights from a seed."""
    keras.utils.set_random_seed(seed)
    return make()


def build_named(name, data, num_classes, seed, patch_size, num_heads, dtype):
    """Returns a model with random weights from a seed.

    Its name is "ViT LAYERS x LENGTH", with the length of a token, or "ResNet UNITS + UNITS ...";
    a ResNet ignores `patch_size` and `num_heads`.
    """
    kind, _, shape = name.partition(" ")
    fixed = {**tasks.model_arguments(data), "num_classes": num_classes, "dtype": dtype}
    if kind == "ResNet":
        units = [int(number) for number in shape.split("+")]
        return build(seed, lambda: ResNet(units=units, **fixed))
    layers, length = (int(number) for number in shape.split("x"))
    fixed |= {"num_layers": layers, "hidden_dim": length, "mlp_dim": 2 * length}
    fixed |= {"patch_size": patch_size, "num_heads": num_heads}
    return build(seed, lambda: ViT(**fixed))


def fit(
    model,
    images,
    labels,
    steps,
    batch_size=64,
    rate=1e-3,
    seed=0,
    optimizer="adamw",
    weight_decay=0.05,
):
    """Trains a model for `steps` updates: warm-up, cosine decay, gradients clipped to norm 1.

    The warm-up takes a tenth of the steps. Every image is seen once before any is repeated. Their
    order depends only on the seed, not on the backend.

    Args:
        model: a Keras model that returns logits; it is compiled here.
        images: uint8 (images, height, width, channels).
        labels: integers (images,).
        steps: number of updates.
        batch_size: number of images in a step, which may exceed the number of images.
        rate: learning rate after the warm-up.
        seed: seed of the order.
        optimizer: "adamw", "adam" or "sgd" with momentum 0.9.
        weight_decay: weight decay of "adamw".

    Returns:
        The mean training loss.

    Raises:
        ArithmeticError: the loss is not finite.
    """
    arguments.one_of(*OPTIMIZERS)("optimizer", optimizer)
    more = {"adamw": {"weight_decay": weight_decay}, "sgd": {"momentum": 0.9}}.get(optimizer, {})
    schedule = schedules.cosine(rate, steps, round(0.1 * steps))
    model.compile(
        OPTIMIZERS[optimizer](schedule, global_clipnorm=1.0, **more),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        steps_per_execution=STEPS_PER_CALL if steps % STEPS_PER_CALL == 0 else 1,
    )
    batches = TrialBatches(images, labels, steps, batch_size, seed)
    found = model.fit(batches, shuffle=False, verbose=0).history["loss"][0]
    if not np.isfinite(found):
        raise ArithmeticError(f"The loss became {found}. The learning rate {rate} is too high.")
    return found


def refit(model, weights, images, labels, steps, batch_size, rate, seed):
    """Trains a model from `weights`, without weight decay; compiles it the first time only.

    Compiling takes longer than the steps. Settings other than images and seed must be the same.
    """
    model.set_weights(weights)
    if not model.compiled:
        fit(model, images, labels, steps, batch_size, rate, seed, weight_decay=0.0)
        return
    for variable in model.optimizer.variables:  # step count and moments, which begin at 0
        variable.assign(np.zeros(variable.shape))
    batches = TrialBatches(images, labels, steps, batch_size, seed)
    model.fit(batches, shuffle=False, verbose=0)


class TrialBatches(keras.utils.PyDataset):
    """The images of each step, in a random order from a seed, selected when they are needed."""

    def __init__(self, images, labels, steps, batch_size, seed):
        super().__init__()
        self.images, self.labels = images, labels
        self.order = shuffle(len(labels), steps * batch_size, seed).reshape(steps, batch_size)

    def __len__(self):
        return len(self.order)

    def __getitem__(self, step):
        return self.images[self.order[step]], self.labels[self.order[step]]


def shuffle(number, count, seed):
    """Returns `count` positions below `number`: all in random order, then all again in another."""
    rng = np.random.default_rng(seed)
    rounds = [rng.permutation(number) for _ in range(-(-count // number))]
    return np.concatenate(rounds)[:count]


def accuracy(model, images, labels):
    """Returns the accuracy of a model, 0 to 1."""
    outputs = model.predict(images, batch_size=min(TEST_BATCH, len(images)), verbose=0)
    return float(np.mean(outputs.argmax(axis=-1) == labels))


def few_shot_accuracy(model, train, test, shots):
    """Returns the accuracy from `shots` images of each class in `train`, averaged over draws."""
    representation = submodel(model)
    splits = [predict_all(representation, split, batch_size=TEST_BATCH) for split in (train, test)]
    return float(few_shot(*splits[0], *splits[1], shots=shots, seeds=DRAWS).mean(shots))


def pretrain(
    model, rate, patch_size, num_heads, images, data, dtype, steps, batch_size, seed,
    optimizer="adamw",
):  # fmt: skip
    """Returns a model trained on `images` of the known classes; untrained for 0 images.

    All models take the same number of steps for any number of images, and regularization does not
    depend on this number: as in Figure 4 of the paper, but without early stopping.
    """
    known = tasks.known_classes(data)
    made = build_named(model, data, known, seed, patch_size, num_heads, dtype)
    if images:
        few = tasks.load_half(data, "known", images, seed)
        fit(made, *few, steps, batch_size, rate, seed, optimizer)
    return made


def replace_head(model, num_classes):
    """Returns the model with a new head of zeros for other classes; the rest is shared."""
    representation = submodel(model)
    head = keras.layers.Dense(num_classes, kernel_initializer="zeros", dtype="float32", name="head")
    return keras.Model(representation.inputs[0], head(representation.outputs[0]))


def fine_tune(model, train, test, steps, rate, batch_size, seed):
    """Fine-tunes a model with a new head on another task; returns the accuracy on `test`.

    All weights are trained by AdamW without weight decay; the paper uses SGD, and the best of four
    learning rates. Afterwards the model is restored. The other arguments are those of `fit`.
    """
    before = model.get_weights()
    tuned = replace_head(model, int(test[1].max()) + 1)
    fit(tuned, *train, steps, batch_size, rate, seed, weight_decay=0.0)
    found = accuracy(tuned, *test)
    model.set_weights(before)
    return found
