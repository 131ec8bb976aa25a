"""Compiling, saving, copying, threads: mistakes are refused, and changes are kept."""

import copy
import functools
import pickle
import threading
import warnings

import keras
import numpy as np
import pytest
from helpers import numpy, outputs, random_images, randomize

import keras_vit
from keras_vit import pretraining

SPARSE = keras.losses.SparseCategoricalCrossentropy
SHARES = keras.losses.CategoricalCrossentropy
EACH = keras.losses.BinaryCrossentropy
IMAGES, LABELS = random_images(6, 8, 8, 3), np.arange(6) % 3


def small(**options):
    shape = {"image_size": 8, "patch_size": 4, "num_layers": 2, "hidden_dim": 6}
    shape |= {"mlp_dim": 5, "num_heads": 3, "num_classes": 3}
    return randomize(keras_vit.ViT(**{**shape, **options}), scale=0.3)


# --- Compiling -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "loss, right",
    [
        ("sparse_categorical_crossentropy", "SparseCategoricalCrossentropy"),
        (SPARSE(), "SparseCategoricalCrossentropy"),
        (keras.losses.sparse_categorical_crossentropy, "SparseCategoricalCrossentropy"),
        ("categorical_crossentropy", "CategoricalCrossentropy"),
        (EACH(), "BinaryCrossentropy"),
    ],
)
def test_a_loss_of_probabilities_is_refused(loss, right):
    model = small()
    with pytest.raises(ValueError, match="must take logits") as error:
        model.compile("sgd", loss)
    assert f"loss=keras.losses.{right}(from_logits=True)" in str(error.value)
    assert not model.compiled


def test_a_loss_of_probabilities_is_right_behind_a_softmax():
    model = small()
    model.get_layer("head").activation = keras.activations.softmax
    model.compile("sgd", "sparse_categorical_crossentropy")
    before = model.get_weights()
    loss = model.fit(IMAGES, LABELS, verbose=0).history["loss"]
    assert np.isfinite(loss).all() and np.any(before[0] != model.get_weights()[0])


def test_fit_refuses_a_loss_that_became_wrong():
    model = small()
    head = model.get_layer("head")
    head.activation = keras.activations.softmax
    model.compile("sgd", "sparse_categorical_crossentropy")
    head.activation = keras.activations.linear
    before = model.get_weights()
    with pytest.raises(ValueError, match="must take logits"):
        model.fit(IMAGES, LABELS, verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    "loss, metric, right",
    [
        (EACH, "accuracy", "BinaryAccuracy(threshold=0.0)"),
        (EACH, "AUC", "AUC(from_logits=True)"),
        (EACH, keras.metrics.BinaryAccuracy(), "BinaryAccuracy(threshold=0.0)"),
        (EACH, keras.metrics.Precision(), "Precision(thresholds=0.0)"),
        (SPARSE, "sparse_categorical_crossentropy", "SparseCategoricalCrossentropy(from_logits"),
        (SPARSE, "accuracy", None),
        (SPARSE, "categorical_accuracy", "SparseCategoricalAccuracy"),
        (SHARES, "sparse_categorical_accuracy", "CategoricalAccuracy"),
        (SPARSE, keras.metrics.SparseTopKCategoricalAccuracy(2), None),
        (EACH, keras.metrics.BinaryAccuracy(threshold=0.0), None),
        (EACH, keras.metrics.AUC(from_logits=True), None),
    ],
)
def test_the_warning_of_a_metric_that_misreads_logits_names_the_right_one(loss, metric, right):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        small().compile("sgd", loss(from_logits=True), metrics=[metric])
    found = [w for w in caught if "its value is meaningless" in str(w.message)]
    assert len(found) == (right is not None)
    if right:
        assert f"keras.metrics.{right}" in str(found[0].message)
        assert found[0].filename.endswith("test_protection.py")


@pytest.mark.parametrize("kind", [str, keras.metrics.get])
def test_a_metric_of_more_classes_than_there_are_is_refused(kind):
    metric = kind("sparse_top_k_categorical_accuracy")
    with pytest.raises(ValueError, match=r"at least k classes.*k=5, num_classes=3.*\(k=2\)"):
        small().compile("sgd", SPARSE(from_logits=True), metrics=[metric])


def test_the_right_metric_is_right():
    """Every prediction is right: the metric named in the warning returns 1."""
    model = small()
    bias = model.get_layer("head").bias
    bias.assign(numpy(bias) - np.median(outputs(model, IMAGES), axis=0))
    truth = (outputs(model, IMAGES) > 0).astype("float32")
    assert truth.mean() == 0.5
    named = keras.metrics.BinaryAccuracy(threshold=0.0)
    model.compile("sgd", EACH(from_logits=True), metrics=[named])
    assert model.evaluate(IMAGES, truth, verbose=0)[1] == 1.0


# --- Saving and copying --------------------------------------------------------------------------


def changed_model():
    model = small()
    model.get_layer("block_0").trainable = False
    model.get_layer("block_1").mlp.trainable = False
    model.get_layer("head").activation = keras.activations.softmax
    model.get_layer("block_1").mlp.drop_1.rate = 0.25
    return model


def reload(model, tmp_path):
    model.save(tmp_path / "model.keras")
    return keras.saving.load_model(tmp_path / "model.keras")


COPIES = {
    "file": reload,
    "pickle": lambda model, _: pickle.loads(pickle.dumps(model)),
    "deepcopy": lambda model, _: copy.deepcopy(model),
}


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_has_the_changes_of_its_model(kind, tmp_path):
    model = changed_model()
    again = COPIES[kind](model, tmp_path)
    count = len(small().trainable_weights)
    assert len(again.trainable_weights) == count - 12 - 4  # block_0, two dense layers of block_1
    assert [w.path for w in again.trainable_weights] == [w.path for w in model.trainable_weights]
    assert again.get_layer("head").activation is keras.activations.softmax
    assert again.get_layer("block_1").mlp.drop_1.rate == 0.25
    np.testing.assert_array_equal(outputs(again, IMAGES), outputs(model, IMAGES))
    assert again.get_config() == model.get_config()


def test_a_frozen_layer_of_a_clone_is_frozen():
    model = small()
    model.get_layer("block_0").trainable = False
    clone = keras.models.clone_model(model)
    assert len(clone.trainable_weights) == len(model.trainable_weights)


def test_the_config_of_an_unchanged_model_has_no_changes():
    assert not {"frozen", "changed"} & set(small().get_config())
    whole = small()
    whole.trainable = False
    assert type(whole).from_config(whole.get_config()).trainable_weights == []


def test_frozen_layers_must_be_layers_of_the_model():
    config = {**small().get_config(), "frozen": ["block_7"]}
    with pytest.raises(ValueError, match="one of the model's.*block_7"):
        keras_vit.ViT.from_config(config)


def test_a_format_that_could_not_be_loaded_is_refused_before_the_first_step(tmp_path):
    model = small()
    model.compile("sgd", SPARSE(from_logits=True))
    path, before = tmp_path / "best.h5", model.get_weights()
    callbacks = [keras.callbacks.ModelCheckpoint(path)]
    with pytest.raises(ValueError, match="could not be loaded again.*best.keras"):
        model.fit(IMAGES, LABELS, callbacks=callbacks, verbose=0)
    with pytest.raises(ValueError, match="could not be loaded again.*best.keras"):
        model.save(path)
    assert not list(tmp_path.iterdir())
    np.testing.assert_array_equal(before[0], model.get_weights()[0])
    path = tmp_path / "best.weights.h5"
    callbacks = [keras.callbacks.ModelCheckpoint(path, save_weights_only=True)]
    model.fit(IMAGES, LABELS, callbacks=callbacks, verbose=0)
    assert path.exists()


@pytest.mark.parametrize(
    "callback",
    [
        keras.callbacks.ReduceLROnPlateau("loss"),
        keras.callbacks.LearningRateScheduler(lambda epoch: 0.1),
    ],
)
def test_a_callback_that_cannot_set_the_rate_is_refused_before_the_first_step(callback):
    model, name = small(), type(callback).__name__
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    model.compile(keras.optimizers.SGD(schedule), SPARSE(from_logits=True))
    before = model.get_weights()
    with pytest.raises(ValueError, match=f"callback={name!r}, learning_rate='CosineDecay'. Leave"):
        model.fit(IMAGES, LABELS, callbacks=[callback], verbose=0)
    np.testing.assert_array_equal(before[-1], model.get_weights()[-1])
    model.compile(keras.optimizers.SGD(0.1), SPARSE(from_logits=True))
    model.fit(IMAGES, LABELS, callbacks=[callback], verbose=0)


def test_a_saved_model_with_a_wrong_loss_is_loaded_without_it():
    model = small()
    model.get_layer("head").activation = keras.activations.softmax
    model.compile("sgd", "sparse_categorical_crossentropy")
    config = model.get_compile_config()
    other = small()
    with pytest.warns(UserWarning, match="loaded, but not compiled"):
        other.compile_from_config(config)
    assert not other.compiled


# --- Several threads -----------------------------------------------------------------------------


def objective():
    return pretraining.MAE(small(num_classes=None))


@pytest.mark.slow
@pytest.mark.both
@pytest.mark.parametrize("make", [small, pytest.param(objective, marks=pytest.mark.slow)])
def test_calls_from_many_threads_agree_with_one(make):
    model, found = make(), {}
    expected = model.predict(IMAGES, verbose=0)

    def predict(number):
        try:
            found[number] = model.predict(IMAGES, verbose=0)
        except Exception as error:
            found[number] = error

    threads = [threading.Thread(target=predict, args=(n,)) for n in range(48)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 48 and not [x for x in found.values() if isinstance(x, Exception)]
    if not isinstance(expected, dict):  # an objective hides random patches
        for one in found.values():
            np.testing.assert_allclose(one, expected, atol=1e-6)
    assert all(np.isfinite(w).all() for w in model.get_weights())


# --- The first step on TensorFlow -----------------------------------------------------------------


@pytest.mark.parametrize("call", ["fit", "evaluate"])
def test_tensorflow_traces_a_step_once(call, monkeypatch):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("other backends trace otherwise")
    traced, trace = [], keras_vit.MLP.call

    @functools.wraps(trace)
    def counted(layer, *args, **kwargs):
        traced.append(layer)
        return trace(layer, *args, **kwargs)

    monkeypatch.setattr(keras_vit.MLP, "call", counted)
    model = small()
    model.compile("adam", SPARSE(from_logits=True), metrics=["accuracy"])
    traced.clear()
    getattr(model, call)(IMAGES, LABELS, batch_size=3, verbose=0)
    assert len(traced) == len(set(traced)) == 2
    right = (model.predict(IMAGES, verbose=0).argmax(1) == LABELS).mean()
    assert model.evaluate(IMAGES, LABELS, verbose=0)[1] == pytest.approx(right)


# --- Labels and weights of unknown rank -----------------------------------------------------------


@pytest.mark.both
@pytest.mark.parametrize(
    "loss, labels, weighted",
    [
        (SPARSE, LABELS, True),
        pytest.param(EACH, np.eye(3)[LABELS], False, marks=pytest.mark.slow),
    ],
)
def test_labels_of_unknown_rank_train_like_others(loss, labels, weighted):
    tf = pytest.importorskip("tensorflow")
    arrays = (IMAGES, labels.astype("float32"), np.linspace(0.5, 1, 6, dtype="float32"))
    arrays = arrays if weighted else arrays[:2]

    def batches():
        yield from ([a[:3] for a in arrays], [a[3:] for a in arrays])

    unknown = tf.data.Dataset.from_generator(
        lambda: map(tuple, batches()), output_types=("float32",) * len(arrays)
    )
    unknown = unknown.apply(tf.data.experimental.assert_cardinality(2))
    known = tf.data.Dataset.from_tensor_slices(arrays).batch(3)
    assert unknown.element_spec[1].shape.rank is None
    found, model = [], small()
    model.compile("sgd", loss(from_logits=True))
    before = model.get_weights()
    for data in (unknown, known):
        model.set_weights(before)
        model.fit(data, verbose=0, shuffle=False)
        found.append([model.evaluate(data, verbose=0), *model.get_weights()])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


# --- Lists and ragged images ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "images, received",
    [
        (list(IMAGES), "a list of 6"),
        (tuple(IMAGES), "a tuple of 6"),
        ([IMAGES[0].tolist()], "a list of 1"),
    ],
)
def test_a_list_of_images_is_refused_with_advice(images, received):
    model = small()
    model.compile("sgd", SPARSE(from_logits=True))
    calls = (
        lambda: model.predict(images, verbose=0),
        lambda: model.fit(images, LABELS, verbose=0),
        lambda: model.evaluate(images, LABELS, verbose=0),
    )
    for call in calls:
        with pytest.raises(ValueError, match=f"one array of shape.*{received}.*np.stack"):
            call()


def test_ragged_images_are_refused_with_advice():
    tf = pytest.importorskip("tensorflow")
    with pytest.raises(ValueError, match="all of one size.*RaggedTensor.*Resize"):
        small().predict(tf.RaggedTensor.from_tensor(IMAGES), verbose=0)


def test_weights_of_a_model_around_a_vit_are_refused_with_advice(tmp_path):
    around = keras.Sequential([small(), keras.layers.Softmax()])
    for model, kind in ((around, "Sequential"), (keras.models.clone_model(small()), "Functional")):
        with pytest.raises(ValueError, match=f"must be a ViT.*model='{kind}'.*model.get_layer"):
            keras_vit.save_weights(model, tmp_path / "a.safetensors")
        keras_vit.save_weights(small(), tmp_path / "b.safetensors")
        with pytest.raises(ValueError, match=f"a {kind}"):
            keras_vit.load_weights(model, tmp_path / "b.safetensors")
    assert not (tmp_path / "a.safetensors").exists()
