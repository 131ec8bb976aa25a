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


def epoch_iterator():
    """Returns what counts the batches of the `fit` that is running.

    Its `_num_batches` is counted before the first epoch. Where an epoch runs out of batches early,
    Keras warns, and on TensorFlow the step that finds none still moves the random generators on.
    So an epoch that begins in its middle must be told its number.
    """
    for values in _frames():
        found = values.get("epoch_iterator")
        if hasattr(found, "_num_batches") and hasattr(found, "steps_per_epoch"):
            return found
    raise RuntimeError(
        "Keras's `fit` was expected to count its batches as Keras 3.15 does. Received: none that "
        f"does, in Keras {keras.__version__}. Save without `data`: that resumes whole epochs."
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
