"""Hooks around layers, and computing batch by batch."""

import keras
import numpy as np
import pytest
from helpers import numpy, random_images, random_tokens, randomize
from keras import layers, ops

from keras_vit import hooks
from keras_vit.explain.inside import batched


def two_layers():
    inputs = keras.Input((3,))
    first, second = layers.Dense(4, name="first"), layers.Dropout(0.5, name="second")
    return randomize(keras.Model(inputs, second(first(inputs)))), first, second


def test_inputs_and_outputs_are_recorded():
    model, first, second = two_layers()
    x = random_tokens(2, 3)
    expected = numpy(first(x))
    with hooks.record([first, second], "input") as inputs:
        assert inputs == {}
        with hooks.record([first, second]) as outputs:  # one in the other
            y = numpy(model(x))
    np.testing.assert_array_equal(numpy(inputs["first"]), x)
    np.testing.assert_array_equal(numpy(inputs["second"]), expected)
    np.testing.assert_array_equal(numpy(outputs["first"]), expected)
    np.testing.assert_array_equal(numpy(outputs["second"]), y)
    assert not {"call"} & {*vars(first), *vars(second)}


def test_a_quantized_layer_is_watched_and_replaced():
    model, first, _ = two_layers()
    x = random_tokens(2, 3)
    expected = numpy(first(x))
    first.quantize("int8")
    with hooks.record([first]) as outputs:
        model(x)
    np.testing.assert_allclose(numpy(outputs["first"]), expected, atol=0.01)
    with hooks.replace({first: lambda call, x: 2 * call(x)}):
        np.testing.assert_allclose(numpy(first(x)), 2 * numpy(outputs["first"]), atol=1e-6)
    np.testing.assert_array_equal(numpy(first(x)), numpy(outputs["first"]))


def test_a_layer_that_is_called_twice_keeps_its_last_tensor():
    layer = layers.Rescaling(2.0, name="twice")
    with hooks.record([layer]) as outputs:
        layer(layer(3.0))
    assert float(outputs["twice"]) == 12


class Trained(layers.Layer):
    """Adds 1 in training, 2 otherwise, and a second argument."""

    def call(self, x, more=0, training=None):
        return x + more + (1 if training else 2)


@pytest.mark.parametrize("training, expected", [(True, 1), (False, 2)])
def test_a_replacement_gets_the_call_with_its_other_arguments(training, expected):
    layer = Trained()
    zero, five, seven = map(ops.convert_to_tensor, (0.0, 5.0, 7.0))
    with hooks.replace({layer: lambda call, x: call(x * 10) * 100}):
        assert float(layer(zero, training=training)) == expected * 100
        assert float(layer(five, seven, training=training)) == (50 + 7 + expected) * 100
        assert float(layer(five, more=seven, training=training)) == (50 + 7 + expected) * 100


def test_replacements_around_the_same_layer_come_off_one_by_one():
    layer = layers.Rescaling(2.0)
    with hooks.replace({layer: lambda call, x: call(x) + 1}):
        with hooks.replace({layer: lambda call, x: call(x) * 10}):
            assert float(layer(3.0)) == 70
        assert float(layer(3.0)) == 7
    assert float(layer(3.0)) == 6 and "call" not in vars(layer)


def test_an_error_takes_every_replacement_off():
    model, first, second = two_layers()
    x = random_tokens(2, 3)
    expected = numpy(model(x))

    def fail(call, x):
        raise RuntimeError("in the middle")

    with (
        pytest.raises(RuntimeError, match="in the middle"),
        hooks.replace({first: lambda call, x: call(x), second: fail}),
    ):
        model(x)
    assert not {"call"} & {*vars(first), *vars(second)}
    np.testing.assert_array_equal(numpy(model(x)), expected)


def test_a_model_saved_while_it_is_watched_is_an_ordinary_model(tmp_path):
    model, first, _ = two_layers()
    with hooks.record([first]):
        model.save(tmp_path / "model.keras")
    x = random_tokens(2, 3)
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numpy(again(x)), numpy(model(x)))


# --- Computing ------------------------------------------------------------------------------------


def image_model():
    inputs = keras.Input((4, 4, 3))
    x = layers.Dense(2, name="top")(layers.Flatten(name="flat")(inputs))
    return randomize(keras.Model(inputs, x))


TRACED = []


def several(model, images, shift, power=1):
    """A possible result of a view: a tree of tensors, batch first."""
    TRACED.append(power)
    with hooks.record([model.get_layer("flat")]) as outputs:
        y = model(images, training=False)
    shift = ops.cast(shift, "float32")
    half = ops.cast(outputs["flat"], "bfloat16")
    return {"y": y**power + shift[:, None], "flat": [half, ops.cast(shift, "int32")]}


def test_a_tree_of_tensors_comes_back_over_all_images():
    model, x, shift = image_model(), random_images(5, 4, 4, 3), np.arange(5)
    y = numpy(model(x))
    for batch_size in (2, 5, 64):
        found = batched.run(several, model, x, shift, batch_size=batch_size, power=2)
        np.testing.assert_allclose(found["y"], y**2 + shift[:, None], rtol=1e-4)
        half, integers = found["flat"]
        assert half.dtype == "float32" and integers.dtype == "int32"
        np.testing.assert_allclose(half, x.reshape(5, -1), rtol=1e-2)
        np.testing.assert_array_equal(integers, shift)


def test_batches_come_one_by_one_without_what_filled_up_the_last():
    model, x, shift = image_model(), random_images(5, 4, 4, 3), np.arange(5)
    parts = list(batched.batches(several, model, x, shift, batch_size=3))
    assert [len(part["y"]) for part in parts] == [3, 2]
    np.testing.assert_array_equal(np.concatenate([part["flat"][1] for part in parts]), shift)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch compiles nothing here")
def test_it_is_compiled_once_for_each_model_and_settings():
    model, x = image_model(), random_images(7, 4, 4, 3)
    TRACED.clear()
    for _ in range(3):
        batched.run(several, model, x, np.zeros(7), batch_size=3)
    assert TRACED == [1]
    batched.run(several, model, x, np.zeros(7), batch_size=3, power=2)
    assert TRACED == [1, 2]
    model.get_layer("top").kernel.assign(np.zeros((48, 2)))
    found = batched.run(several, model, x, np.zeros(7), batch_size=3)
    assert TRACED == [1, 2]
    np.testing.assert_allclose(found["y"], np.tile(numpy(model.get_layer("top").bias), (7, 1)))


def gradient_of_squares(model, images):
    """d/dx of the sum of y^2, y = x W + b: 2 y W^T, and of a tensor that y does not need: 0."""
    flat = ops.reshape(ops.cast(images, "float32"), (-1, 48))

    def total(tensors):
        return ops.sum(model.get_layer("top")(tensors[0]) ** 2)

    return batched.gradients(total, [flat, ops.ones_like(flat)])


def test_gradients_are_those_of_mathematics():
    model, x = image_model(), random_tokens(3, 4, 4, 3)
    found, unused = batched.run(gradient_of_squares, model, x, batch_size=2)
    kernel = numpy(model.get_layer("top").kernel)
    np.testing.assert_allclose(found, 2 * numpy(model(x)) @ kernel.T, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(unused, np.zeros((3, 48)))
    if keras.backend.backend() == "torch":  # no gradient of a weight is left to be trained on
        assert all(weight.value.grad is None for weight in model.weights)


def test_nothing_is_trained():
    """A batch normalization and the seed of a dropout do not change."""
    inputs = keras.Input((4, 4, 3))
    x = layers.Dropout(0.5)(layers.BatchNormalization()(inputs))
    model = keras.Model(inputs, layers.Flatten(name="flat")(x))
    before = [numpy(v).copy() for v in model.variables]
    batched.run(several, model, random_images(3, 4, 4, 3), np.zeros(3))
    assert all(np.array_equal(numpy(v), b) for v, b in zip(model.variables, before, strict=True))
    if keras.backend.backend() == "torch":
        assert not batched.program(several, model)(np.zeros((1, 4, 4, 3)), [0])["y"].grad_fn


def test_images_are_those_of_the_model():
    model = image_model()
    with pytest.raises(ValueError, match=r"\(batch, 4, 4, 3\)"):
        batched.check_images(model, np.zeros((2, 4, 5, 3)))
    with pytest.raises(ValueError, match="At least one image"):
        batched.check_images(model, np.zeros((0, 4, 4, 3)))
    assert batched.check_images(model, np.zeros((2, 4, 4, 3)).tolist()).shape == (2, 4, 4, 3)
    any_size = keras.Sequential([keras.Input((None, None, 3)), layers.GlobalAveragePooling2D()])
    assert batched.check_images(any_size, np.zeros((2, 4, 5, 3))).shape == (2, 4, 5, 3)
