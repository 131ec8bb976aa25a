"""What Keras keeps to itself and an exact resume needs: all of it, in one place.

`fit` tells a callback its model and its parameters. Which callbacks there are, how many batches
the running epoch has and the shared random generator it does not tell; they are found here, on the
stack of the call and in the module of a public class.
"""

import inspect

import keras


def callback_list(callback):
    """Returns the `CallbackList` that is calling a callback, None outside of `fit`."""
    for values in _frames():
        found = values.get("self")
        if isinstance(found, keras.callbacks.CallbackList) and callback in found.callbacks:
            return found
    return None


def set_batches(number):
    """Lets the epoch that begins end after a number of batches; called in `on_epoch_begin`.

    Keras counts the batches before the first epoch. Where one runs out of them early, it warns, and
    on TensorFlow the step that finds none still advances the random generators.
    """
    for values in _frames():
        iterator = values.get("epoch_iterator")
        if hasattr(iterator, "_num_batches"):
            iterator._num_batches = number
            return
    raise RuntimeError(
        "Keras's `fit` was expected to count its batches as Keras 3.15 does. Received: none that "
        f"does, in Keras {keras.__version__}. Train with every=None, which resumes whole epochs."
    )


def begin_at(model, epoch):
    """Lets `fit` begin at an epoch; None for what its argument says."""
    model._initial_epoch = epoch


def shared_generator():
    """Returns the generator of functions that are given none, if it is in use."""
    module = _generators()
    return module.global_state.get_global_attribute(module.GLOBAL_SEED_GENERATOR)


def make_shared_generator():
    """Makes that generator, as its first use would."""
    _generators().global_seed_generator()


def _generators():
    return inspect.getmodule(keras.random.SeedGenerator)


def _frames():
    frame = inspect.currentframe()
    while frame is not None:
        yield frame.f_locals
        frame = frame.f_back
