"""Checks that every layer and model must pass."""

import pathlib

import keras
import numpy as np
import pytest

import keras_vit

ROOT = pathlib.Path(__file__).parents[2]
SUPPORT, GOLDEN = ROOT / "tests" / "support", ROOT / "tests" / "golden"
DESCENDANTS = np.load(GOLDEN / "descendants.npz")  # from `record_descendants.py`
numpy = keras.ops.convert_to_numpy


def random_images(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, shape).astype("float32")


def random_tokens(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def randomize(layer, seed=1, scale=0.1):
    """Gives every weight random values, so that no zero hides a mistake. Returns the layer."""
    rng = np.random.default_rng(seed)
    for weight in layer.weights:
        if "seed_generator" not in weight.path:
            noise = rng.normal(size=weight.shape) * scale
            weight.assign(noise + 1 if weight.name == "gamma" else noise)
    return layer


def wide_vit(model=keras_vit.ViT, **options):
    """A small ViT, or a relative of it, with 2 x 3 patches of 4 x 5 pixels and random weights."""
    sizes = {"image_size": (8, 15), "patch_size": (4, 5), "num_layers": 2, "hidden_dim": 8}
    heads = {"mlp_dim": 8, "num_heads": 2, "num_classes": 3}
    return randomize(model(**{**sizes, **heads, **options}), scale=0.3)


def round_weights(model, precision="float16"):
    """Rounds the weights of a model as a web page does; written from the description alone."""
    for weight in model.weights:
        if "seed_generator" in weight.path:
            continue
        value = numpy(weight)
        if precision == "int8" and weight.path.endswith("kernel"):
            is_split = value.ndim == 3 and "attention_output" not in weight.path
            axes = 0 if is_split else tuple(range(value.ndim - 1))
            scale = np.abs(value).max(axes, keepdims=True) / 127
            weight.assign(np.round(value / scale) * scale)
        else:
            weight.assign(value.astype("float16"))
    return model


def outputs(layer, x):
    """Returns the output of a built layer or model as an array; on JAX from one program."""
    return numpy(call(layer, x))


def call(layer, x):
    """Returns the output of a built layer or model as a tensor.

    On JAX it is compiled as a whole: an eager call compiles each operation separately, which takes
    several times as long.
    """
    if keras.backend.backend() != "jax":
        return layer(x)
    import jax

    @jax.jit  # a new function for each call, because settings may have changed
    def program(trainable, non_trainable, x):
        return layer.stateless_call(trainable, non_trainable, x)[0]

    parts = (layer.trainable_variables, layer.non_trainable_variables)
    return program(*([w.value for w in part] for part in parts), x)


def arrays(path):
    """Returns {name: array} of an .npz file, and closes it."""
    with np.load(path) as file:
        return dict(file)


def slow(*values):
    """A parameter of a test, or several, that the quick suite leaves out."""
    return pytest.param(*values, marks=pytest.mark.slow)


def quick(names, *some, rest=pytest.mark.slow):
    """Returns `names` as parameters of a test; all except `some` have the marks `rest`."""
    return [pytest.param(n, marks=[] if n in some else rest) for n in names]


def pairs(first, second, quick):
    """Returns all pairs of two lists as parameters of a test; most of them run weekly.

    Every value is in a pair that CI runs: the two lists are paired in order, and the shorter one
    repeats. The first `quick` of these pairs are in the quick suite.
    """
    longer = max(len(first), len(second))
    chosen = [(i % len(first), i % len(second)) for i in range(longer)]
    marks = {pair: [] if n < quick else [pytest.mark.slow] for n, pair in enumerate(chosen)}
    return [
        pytest.param(a, b, marks=marks.get((i, j), [pytest.mark.weekly]))
        for i, a in enumerate(first)
        for j, b in enumerate(second)
    ]


def weights(layer):
    """{path below `layer`: float64 array} of a layer; a model's paths as they are."""
    prefix = "" if isinstance(layer, keras.Model) else layer.path + "/"
    return {w.path.removeprefix(prefix): numpy(w).astype("float64") for w in layer.weights}


def gradients(model, x, y):
    """{path: gradient} of the mean squared distance between `model(x)` and `y`."""
    return value_and_gradients(model, x, y)[1] if model.trainable_variables else {}


def value_and_gradients(model, x, y=0.0):
    """(outputs, {path: gradient}) of a model; the loss is the mean square of outputs less `y`."""
    names = [w.path for w in model.trainable_variables]
    y = keras.ops.convert_to_tensor(y)

    def loss(out):
        out = (
            out
            if keras.backend.standardize_dtype(out.dtype) == "float64"
            else keras.ops.cast(out, "float32")
        )
        return keras.ops.mean(keras.ops.square(out - keras.ops.cast(y, out.dtype)))

    out, found = _differentiated(model, x, loss)
    return numpy(out), dict(zip(names, map(numpy, found), strict=True))


def _differentiated(model, x, loss):
    backend = keras.backend.backend()
    values = [w.value for w in model.trainable_variables]
    if backend == "jax":
        import jax

        def program(trainable, x):
            out, _ = model.stateless_call(trainable, model.non_trainable_variables, x)
            return loss(out), out

        (_, out), found = jax.jit(jax.value_and_grad(program, has_aux=True))(values, x)
        return out, found
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            out = model(x)
            result = loss(out)
        return out, tape.gradient(result, values)
    model.zero_grad()
    out = model(x)
    loss(out).backward()
    return out, [w.value.grad for w in model.trainable_variables]


def check_layer(make, shape, output_shape, num_weights, tmp_path):
    """Checks a layer's contract; `make(**kwargs)` builds it, and `shape` includes the batch.

    from_config(get_config()), build from a shape, symbolic and eager shapes, `.keras` round trip
    with equal outputs, one step of fit, a finite gradient for every weight, mixed precision.
    """
    x = random_tokens(*shape)
    layer = make()
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()

    again.build(shape)
    assert len(again.weights) == num_weights
    assert outputs(_model(again, shape), x).shape == output_shape

    model = _model(layer, shape)
    assert model.output_shape == (None, *output_shape[1:])
    randomize(model)
    check_saving(model, x, tmp_path)
    check_training(model, x)
    check_mixed_precision(make(dtype="mixed_bfloat16"), x)


def _model(layer, shape):
    inputs = keras.Input(shape[1:])
    return keras.Model(inputs, layer(inputs))


def check_saving(model, x, tmp_path):
    """A saved model is loaded as the same class, with identical outputs."""
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(model)
    assert loaded.layers[-1].get_config() == model.layers[-1].get_config()
    np.testing.assert_array_equal(outputs(loaded, x), outputs(model, x))
    return loaded


def check_training(model, x):
    """One step of `fit` changes every weight, and every weight has a finite, nonzero gradient."""
    y = random_tokens(len(x), *model.output_shape[1:], seed=2)
    for path, gradient in gradients(model, x, y).items():
        assert np.isfinite(gradient).all(), path
        # Softmax ignores a constant added to all its inputs, so the keys' bias has no gradient.
        assert np.abs(gradient).max() > 1e-6 or "key/bias" in path, path
    if model.weights:
        before = weights(model)
        model.compile("sgd", "mse")
        model.fit(x, y, verbose=0)
        after = weights(model)
        assert all(np.any(before[path] != after[path]) for path in before if "key/b" not in path)


def check_mixed_precision(layer, x):
    """Weights stay float32 and every sublayer computes in bfloat16."""
    out = call(_model(layer, x.shape), x)
    assert keras.backend.standardize_dtype(out.dtype) == "bfloat16"
    assert {keras.backend.standardize_dtype(w.dtype) for w in layer.weights} <= {"float32"}
    for sublayer in layer._flatten_layers():
        assert sublayer.compute_dtype == "bfloat16", sublayer.path
    assert np.isfinite(numpy(keras.ops.cast(out, "float32"))).all()
