"""All private parts of Keras that exact resumption needs, in one place.

`fit` does not give a callback access to the other callbacks, the number of batches in the running
epoch or the shared random generator. They are read from the call stack and the module of a public
class.
"""

import inspect

import keras


def callback_list(callback):
    """Returns the `CallbackList` that is calling a callback, or None outside of `fit`."""
    for values in _frames():
        found = values.get("self")
        if isinstance(found, keras.callbacks.CallbackList) and callback in found.callbacks:
            return found
    return None


def epoch_iterator():
    """Returns the object that counts the batches of the running `fit`.

    Keras counts `_num_batches` before the first epoch. If an epoch runs out of batches early,
    Keras warns, and on TensorFlow the step without a batch still advances the random generators.
    An epoch that is resumed in the middle therefore needs the correct number.
    """
    for values in _frames():
        found = values.get("epoch_iterator")
        if hasattr(found, "_num_batches") and hasattr(found, "steps_per_epoch"):
            return found
    raise RuntimeError(
        "Keras's `fit` was expected to count its batches as Keras 3.15 does. Received: "
        f"Keras {keras.__version__}, which does not. Use Checkpoint without `data`, which resumes "
        "whole epochs."
    )


def set_initial_epoch(model, epoch):
    """Makes `fit` begin at an epoch; None for the epoch in its argument."""
    model._initial_epoch = epoch


def shared_generator():
    """Returns the generator of functions that are given no seed, or None if it is not in use."""
    module = _generators()
    return module.global_state.get_global_attribute(module.GLOBAL_SEED_GENERATOR)


def make_shared_generator():
    """Creates the shared generator, as its first use would."""
    _generators().global_seed_generator()


def _generators():
    return inspect.getmodule(keras.random.SeedGenerator)


def _frames():
    frame = inspect.currentframe()
    while frame is not None:
        yield frame.f_locals
        frame = frame.f_back
