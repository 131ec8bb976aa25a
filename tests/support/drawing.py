"""Initial weights from NumPy in quick tests on JAX, which compiles a generator for every shape.

Only Keras's three samplers are replaced, and only for a seed that is a number, as in initializers;
and zeros and ones. Keras still determines the sampler of an initializer and its limits.
"""

import functools

import keras
import numpy as np

active = False


def _normal(rng, shape, mean=0.0, stddev=1.0):
    return rng.normal(mean, stddev, shape)


def _uniform(rng, shape, minval=0.0, maxval=1.0):
    return rng.uniform(minval, maxval, shape)


def _truncated_normal(rng, shape, mean=0.0, stddev=1.0):
    sample = rng.normal(size=shape)
    while (outside := np.abs(sample) > 2).any():
        sample[outside] = rng.normal(size=outside.sum())
    return mean + stddev * sample


SAMPLERS = {"normal": _normal, "uniform": _uniform, "truncated_normal": _truncated_normal}


def replace_samplers():
    """Replaces the samplers of Keras's JAX backend, for as long as `active` is true."""
    from keras.src.backend.jax import random

    for name, sampler in SAMPLERS.items():
        setattr(random, name, _replaced(getattr(random, name), sampler))
    for initializer, fill in (
        (keras.initializers.Zeros, np.zeros),
        (keras.initializers.Ones, np.ones),
    ):
        initializer.__call__ = _filled(initializer.__call__, fill)


def _replaced(original, sampler):
    import jax.numpy as jnp

    @functools.wraps(original)
    def draw(shape, *args, dtype=None, seed=None, **kwargs):
        if not (active and isinstance(seed, int)):
            return original(shape, *args, dtype=dtype, seed=seed, **kwargs)
        sample = sampler(np.random.default_rng(seed), shape, *args, **kwargs)
        return jnp.asarray(sample, dtype or "float32")

    return draw


def _filled(original, fill):
    import jax.numpy as jnp

    @functools.wraps(original)
    def draw(initializer, shape, dtype=None, **kwargs):
        if not active:
            return original(initializer, shape, dtype=dtype, **kwargs)
        return jnp.asarray(fill(shape, keras.backend.standardize_dtype(dtype)))

    return draw
