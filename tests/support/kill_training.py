"""Training runs that kill themselves, run by test_kill.

Every line of the input, FOLDER RESULT PLACE NUMBER, is a training in a process of its own, forked
from one that has imported everything and done nothing; its exit code is printed. PLACE is `batch`,
`validation`, `end` (of an epoch), `write` (in the middle of saving) or `never`; the process ends at
its NUMBER-th one, by SIGKILL, which cannot be caught. A training that ends normally writes
everything that must be equal to RESULT.
"""

import json
import os
import pathlib
import signal
import sys
import traceback

import keras
import numpy as np

import keras_vit
from keras_vit.data import Augmentation
from keras_vit.training.resuming import run_state
from keras_vit.training.resuming.checkpoint import Checkpoint

EPOCHS = 24  # of 6 steps, so that there is room for 50 kills
keras.utils.set_random_seed(0)  # imports TensorFlow, on JAX too: here, not in every process
rng = np.random.default_rng(0)
IMAGES = rng.integers(0, 255, (22, 8, 8, 1)).astype("uint8")
LABELS = np.repeat([0, 1, 2], [15, 5, 2])


class Kill(keras.callbacks.Callback):
    def __init__(self, place, number):
        super().__init__()
        self.place, self.left = place, iter(range(1, number))
        if place == "write":
            write = np.lib.format.write_array
            np.lib.format.write_array = lambda *a, **k: (self.at("write"), write(*a, **k))

    def at(self, place):
        if place == self.place and next(self.left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_train_batch_end(self, batch, logs=None):
        self.at("batch")

    def on_test_batch_end(self, batch, logs=None):
        self.at("validation")

    def on_epoch_end(self, epoch, logs=None):
        self.at("end")


def build():
    """Returns a compiled model with dropout, stochastic depth, accumulation and an average."""
    model = keras_vit.ViT(
        **{"image_size": 8, "patch_size": 4, "num_channels": 1, "num_classes": 3, "num_layers": 1},
        **{"hidden_dim": 8, "mlp_dim": 16, "num_heads": 2, "dropout": 0.2, "stochastic_depth": 0.2},
    )
    rate = keras.optimizers.schedules.CosineDecay(0.0, 40, warmup_target=0.01, warmup_steps=8)
    model.compile(
        keras.optimizers.AdamW(rate, use_ema=True, ema_momentum=0.9, gradient_accumulation_steps=4),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def main(folder, result, place, number):
    keras.utils.set_random_seed(os.getpid())  # the first state is saved, so seeds may differ
    augmentation = Augmentation(10, 0.1, 0.1, flip=True, mixup=0.4)
    shares = {"validation_share": 0, "test_share": 0}
    sizes = {"num_channels": 1, "sampling": "balanced", **shares}
    data = keras_vit.data.load((IMAGES, LABELS), 8, 4, augmentation, 5, **sizes)
    model = build()
    stop = keras.callbacks.EarlyStopping("val_loss", patience=99, restore_best_weights=True)
    callbacks = [Kill(place, int(number)), stop, keras.callbacks.SwapEMAWeights()]
    history = model.fit(
        data.train,
        epochs=EPOCHS,
        validation_data=(IMAGES[:8].astype("float32"), np.eye(3, dtype="float32")[LABELS[:8]]),
        validation_batch_size=4,
        callbacks=[*callbacks, Checkpoint(folder, data, every=1, verbose=0)],
        shuffle=False,
        verbose=0,
    )
    facts = {"history": history.history, "epochs": history.epoch, "best": [stop.best, stop.wait]}
    text = np.frombuffer(json.dumps(facts).encode(), "uint8")
    np.savez(pathlib.Path(result), facts=text, **run_state.copy_arrays(model))


def fork(line):
    """Returns the exit code of a training in a new process, negative for a signal."""
    child = os.fork()
    if child == 0:
        try:
            main(*line.split())
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    for line in sys.stdin:
        print(fork(line), flush=True)
