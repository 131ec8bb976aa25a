"""A ViT inside another model: it checks pixels, `check_batch` also checks labels."""

import functools
import warnings

import keras
import numpy as np
import pytest
from helpers import random_images, randomize
from keras import layers

import keras_vit
from keras_vit import training

SPARSE = keras.losses.SparseCategoricalCrossentropy
IMAGES, LABELS = random_images(6, 8, 8, 3), np.arange(6) % 3


def small(**options):
    shape = {"image_size": 8, "patch_size": 4, "num_layers": 1, "hidden_dim": 6}
    shape |= {"mlp_dim": 5, "num_heads": 3, "num_classes": 3}
    return randomize(keras_vit.ViT(**{**shape, **options}), scale=0.3)


def around(*before, loss=None, head=None, **options):
    vit = small(num_classes=None, **options)
    head = head or keras.layers.Dense(3)
    model = keras.Sequential([keras.Input((8, 8, 3)), *before, vit, head])
    model.compile("sgd", loss or SPARSE(from_logits=True))
    return model


def clone():
    model = keras.models.clone_model(small())
    model.compile("sgd", SPARSE(from_logits=True))
    return model


def functional():
    images = keras.Input((8, 8, 3))
    model = keras.Model(images, keras.layers.Softmax()(small()(images)))
    model.compile("sgd", SPARSE())
    return model


def pixel_warnings(call):
    """Returns all warnings of pixels in a call."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
        if keras.backend.backend() == "jax":
            import jax

            jax.effects_barrier()
    return [str(w.message) for w in caught if str(w.message).startswith(("Pixels", "The layer"))]


# --- Pixels --------------------------------------------------------------------------------------

ODD = {
    "scaled": (lambda x: x / 255, "scaled already"),
    "16 bits": (lambda x: (x * 257).astype("uint16"), "like 16-bit values"),
    "without a mean": (lambda x: x - [123.68, 116.78, 103.94], "a mean had been subtracted"),
    "cut": (lambda x: (x / 255).round().astype("uint8"), "divided by 255 and truncated"),
    "booleans": (lambda x: x > 128, "like a mask"),
}
KINDS = [kind for kind in ODD if kind != "booleans"]  # as floats they look like truncated ones


@pytest.mark.parametrize("name", ODD)
def test_pixels_that_are_not_0_to_255_are_warned_of(name):
    change, words = ODD[name]
    own, outer = compiled_models()
    odd = change(IMAGES)
    odd = odd.astype("float32") if odd.dtype == "float64" else odd
    for call in (
        lambda: keras_vit.check_batch(outer, odd, LABELS),
        lambda: own.fit(odd, LABELS, verbose=0),
        lambda: own.predict(odd, verbose=0),
        lambda: small()(odd),
        lambda: training.evaluate(own, (odd, LABELS)),
    ):
        found = pixel_warnings(call)
        assert len(found) == 1 and words in found[0]


@functools.cache
def compiled_models():
    model = small()
    model.compile("sgd", SPARSE(from_logits=True))
    return model, around()


CALLS = {
    "fit": lambda model, x: model.fit(x, LABELS, batch_size=2, epochs=2, verbose=0),
    "evaluate": lambda model, x: model.evaluate(x, LABELS, batch_size=2, verbose=0),
    "predict": lambda model, x: model.predict(x, batch_size=2, verbose=0),
}


@pytest.mark.parametrize(
    "make, name", [(around, "fit"), (functional, "evaluate"), (clone, "predict")]
)
def test_a_model_around_a_vit_warns_of_each_kind_of_odd_pixels_once(make, name):
    model, call = make(), CALLS[name]
    assert pixel_warnings(lambda: call(model, IMAGES)) == []
    for kind in KINDS:
        change, words = ODD[kind]
        odd = change(IMAGES).astype("float32")
        found = pixel_warnings(lambda odd=odd: call(model, odd))
        assert len(found) == 1 and words in found[0]
        assert pixel_warnings(lambda odd=odd: call(model, odd)) == []


def test_a_loaded_model_around_a_vit_warns_of_odd_pixels(tmp_path):
    around().save(tmp_path / "model.keras")
    model = keras.saving.load_model(tmp_path / "model.keras")
    assert len(pixel_warnings(lambda: CALLS["predict"](model, IMAGES / 255))) == 1


def trained(mean, images):
    """Returns the warnings and the weights of one step with pixels less `mean`."""
    keras.utils.set_random_seed(3)
    model = around(normalize=(mean, 127.5))
    return pixel_warnings(lambda: model.fit(images, LABELS, verbose=0)), model.get_weights()


def test_the_check_changes_no_result_and_no_gradient():
    seen, first = trained(127.5, IMAGES / 255)
    unseen, second = trained(500.0, IMAGES / 255 + 372.5)  # not pixels 0 to 255: no check
    assert (len(seen), len(unseen)) == (1, 0)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_compiled_programs_have_no_callback():
    """Export, vmap and sharding work as without the check."""
    if keras.backend.backend() != "jax":
        pytest.skip("programs of JAX are printed")
    import jax

    model = around()
    values = [[w.value for w in part] for part in (model.trainable_variables, [])]
    run = lambda x: model.stateless_call(*values, x)[0]  # noqa: E731
    assert "callback" not in str(jax.make_jaxpr(run)(IMAGES))
    vit = small()
    vit.compile("sgd", SPARSE(from_logits=True))
    vit.make_predict_function()
    state = [[w.value for w in part] for part in (vit.trainable_variables, [])]
    step = lambda x: vit.predict_step(state, (x,))[0]  # noqa: E731
    assert "callback" not in str(jax.make_jaxpr(step)(IMAGES))
    outer = lambda x: model.predict_step(values, (x,))[0]  # noqa: E731
    assert "callback" in str(jax.make_jaxpr(outer)(IMAGES))


@pytest.mark.both
@pytest.mark.slow
def test_a_step_that_xla_compiles_for_tensorflow_is_not_checked():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("elsewhere compiled programs can report")
    model = around()
    expected = model.predict(IMAGES, verbose=0)
    model.compile("sgd", SPARSE(from_logits=True), jit_compile=True)
    np.testing.assert_allclose(model.predict(IMAGES, verbose=0), expected, atol=1e-5)
    assert pixel_warnings(lambda: model.predict(IMAGES / 255, verbose=0)) == []
    assert len(pixel_warnings(lambda: keras_vit.check_batch(model, IMAGES / 255))) == 1


BEFORE = {
    "0 to 1": lambda: [layers.Rescaling(1 / 255)],
    "-1 to 1": lambda: [layers.Rescaling(1 / 127.5, -1)],
    "a mean less": lambda: [layers.Rescaling([1, 1, 1], [-104, -117, -124])],
    "standardized": lambda: [layers.Normalization(mean=[1, 2, 3], variance=[1, 1, 1])],
    "flipped": lambda: [layers.Rescaling(1 / 255), layers.RandomFlip()],
    "model": lambda: [keras.Sequential([layers.RandomFlip(), layers.Rescaling(1 / 255)])],
    "before a model": lambda: [layers.Rescaling(1 / 255), keras.Sequential([layers.RandomFlip()])],
}
RIGHT = {
    "nothing": lambda: [],
    "from 16 bits": lambda: [layers.Rescaling(1 / 257)],
    "from 0 to 1": lambda: [layers.Rescaling(255)],
    "from -1 to 1": lambda: [layers.Rescaling(127.5, 127.5)],
    "from 12 bits": lambda: [layers.Rescaling(255 / 4095)],
    "undone": lambda: [layers.Rescaling(1 / 255), layers.Rescaling(255.0)],
    "learned": lambda: [layers.Rescaling(1 / 255), layers.Conv2D(3, 1)],
    "inverse": lambda: [layers.Normalization(mean=[1] * 3, variance=[1] * 3, invert=True)],
}


@pytest.mark.parametrize("name", BEFORE)
def test_a_layer_that_normalizes_before_a_vit_is_warned_of_when_the_graph_is_built(name):
    before = BEFORE[name]()
    (found,) = pixel_warnings(lambda: around(*before))
    inner = [layer for one in before for layer in getattr(one, "layers", [one])]
    scaling = [x for x in inner if isinstance(x, (layers.Rescaling, layers.Normalization))]
    assert f"The layer {scaling[0].name!r} normalizes pixels" in found
    assert "Leave out the layer" in found
    assert pixel_warnings(lambda: around(*BEFORE[name](), normalize=None)) == []


@pytest.mark.parametrize("name", RIGHT)
def test_a_layer_that_makes_pixels_0_to_255_is_right(name):
    assert pixel_warnings(lambda: around(*RIGHT[name]())) == []


def test_layers_before_a_nested_model_are_checked():
    (_, pixels) = pixel_warnings(
        lambda: keras_vit.check_batch(around(layers.Rescaling(1 / 255)), IMAGES, LABELS)
    )
    assert "scaled already" in pixels


# --- check_batch ---------------------------------------------------------------------------------


def test_a_good_batch_of_a_nested_model_passes():
    assert keras_vit.check_batch(around(), IMAGES, LABELS) == 1
    assert keras_vit.check_batch(small(), IMAGES) == 1
    assert keras_vit.check_batch(clone(), IMAGES, LABELS) == 1
    softmax = keras.layers.Dense(3, activation="softmax")
    model = around(loss="sparse_categorical_crossentropy", head=softmax)
    assert keras_vit.check_batch(model, IMAGES.astype("uint8"), LABELS) == 1


@pytest.mark.parametrize(
    "make, labels, words",
    [
        (around, [0, 1, 2, 3, 0, 1], "Labels must be from 0 to 2"),
        (around, [0, 1, 2], "one label for each image"),
        (lambda: around(loss="sparse_categorical_crossentropy"), LABELS, "must take logits"),
        (
            lambda: around(head=keras.layers.Dense(3, activation="softmax")),
            LABELS,
            "must take probabilities",
        ),
        (lambda: keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()]), LABELS, "ViT"),
    ],
)
def test_a_bad_batch_of_a_nested_model_is_refused(make, labels, words):
    with pytest.raises(ValueError, match=words):
        keras_vit.check_batch(make(), IMAGES, np.asarray(labels))


def test_a_batch_of_texts_is_refused():
    with pytest.raises(ValueError, match="Pixels must be numbers. Received: images='str1024'"):
        keras_vit.check_batch(around(), IMAGES.astype("U"))
