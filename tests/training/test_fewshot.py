"""Features and few-shot accuracy against plain NumPy and scikit-learn, and on real weights."""

import os
import pathlib
import types

import keras
import numpy as np
import pytest
from helpers import quick, random_images, randomize
from PIL import Image

import keras_vit
from keras_vit import cli, training
from keras_vit.cli import common
from keras_vit.cli.commands import use
from keras_vit.training.evaluation import classifiers as linear
from keras_vit.training.evaluation import representation
from keras_vit.training.runs import saved_run

DATA = pathlib.Path(os.environ.get("KERAS_VIT_TEST_DATA", "none"))
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="KERAS_VIT_TEST_DATA is not set")


def clusters(classes=5, each=8, length=11, spread=1.0, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(classes, length))
    labels = rng.permutation(np.repeat(np.arange(classes), each))
    return centers[labels] + spread * rng.normal(size=(len(labels), length)), labels


def augmented(x, like):
    """Whitened by the mean and deviation of `like`, with the constant 100: section 8's recipe."""
    scaled = (x - like.mean(axis=0)) / (like.std(axis=0) + 1e-5)
    return np.concatenate([scaled, np.full((len(x), 1), 100.0)], axis=1)


# --- Least squares -------------------------------------------------------------------------------


@pytest.mark.backend_free
@pytest.mark.parametrize("number", [3, 11, 12, 13, 40])
def test_scores_are_those_of_a_direct_solution(number):
    """Both forms, at and around the boundary between them: 12 columns with the constant."""
    rng = np.random.default_rng(1)
    x, x_test = rng.normal(size=(number, 11)), rng.normal(size=(9, 11))
    targets = np.sign(rng.normal(size=(number, 4)))
    columns = augmented(x, x)
    weights = np.linalg.solve(columns.T @ columns + 77.0 * np.eye(12), columns.T @ targets)
    expected = augmented(x_test, x) @ weights
    np.testing.assert_allclose(linear.regress(x, targets, x_test, 77.0), expected, rtol=1e-9)


@pytest.mark.backend_free
@pytest.mark.parametrize("number", [6, 50])
def test_scores_are_those_of_scikit_learns_ridge(number):
    linear_model = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(2)
    x, x_test = rng.normal(size=(number, 17)), rng.normal(size=(9, 17))
    targets = np.sign(rng.normal(size=(number, 4)))
    ridge = linear_model.Ridge(alpha=2.0**10, fit_intercept=False).fit(augmented(x, x), targets)
    expected = ridge.predict(augmented(x_test, x))
    np.testing.assert_allclose(linear.regress(x, targets, x_test), expected, rtol=1e-7)


@pytest.mark.backend_free
def test_a_feature_that_is_constant_in_training_is_harmless():
    """In float32 its rounding, divided by 1e-5, would be the largest feature of all."""
    x, y = clusters(spread=0.3)
    x_test, y_test = clusters(spread=0.3, seed=0)
    constant, changing = np.full((len(x), 1), 1000.1), np.linspace(0, 2000, len(x))[:, None]
    wide = np.concatenate([x, constant], axis=1).astype("float32")
    wide_test = np.concatenate([x_test, changing], axis=1).astype("float32")
    found = linear.few_shot(wide, y, wide_test, y_test, shots=5)
    assert found == linear.few_shot(x, y, x_test, y_test, shots=5)


@pytest.mark.backend_free
def test_float32_and_float64_features_agree():
    x, y = clusters(spread=1.5)
    x = x.astype("float32")
    found = [linear.few_shot(x.astype(t), y, x.astype(t), y, (1, 5)) for t in ("f4", "f8")]
    assert found[0] == found[1]


# --- Protocol ------------------------------------------------------------------------------------


@pytest.mark.backend_free
def test_accuracy_is_that_of_the_protocol_written_out():
    x, y = clusters(spread=1.5, each=12)
    x_test, y_test = clusters(spread=1.5, each=6)
    found = linear.few_shot(x, y, x_test, y_test, shots=(1, 5), seeds=2)
    for seed in range(2):
        rng = np.random.default_rng(seed)
        drawn = [rng.permutation(np.flatnonzero(y == label)) for label in range(5)]
        for shots in (1, 5):
            chosen = np.concatenate([members[:shots] for members in drawn])
            columns, targets = augmented(x[chosen], x[chosen]), 2 * np.eye(5)[y[chosen]] - 1
            square = columns.T @ columns + 1024 * np.eye(12)
            scores = augmented(x_test, x[chosen]) @ np.linalg.solve(square, columns.T @ targets)
            expected = np.mean(scores.argmax(axis=1) == y_test)
            assert found.accuracies[shots][seed] == expected
            assert 0.2 < expected < 1.0  # neither chance nor certainty: the test can fail
    assert found.refused == {}


@pytest.mark.backend_free
def test_labels_need_not_begin_at_zero_or_be_close():
    x, y = clusters()
    strange = np.array([3, 7, 20, 21, 1000])[y]
    assert linear.few_shot(x, strange, x, strange, 2) == linear.few_shot(x, y, x, y, 2)


@pytest.mark.backend_free
def test_noise_gives_chance():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(100, 20)), np.arange(100) % 4
    x_test, y_test = rng.normal(size=(2000, 20)), np.arange(2000) % 4
    assert abs(linear.few_shot(x, y, x_test, y_test, 10).mean(10) - 0.25) < 0.05


@pytest.mark.backend_free
def test_a_class_with_too_few_images_is_named_and_the_rest_computed():
    x, y = clusters(each=6)
    kept = np.flatnonzero(y != 3).tolist() + np.flatnonzero(y == 3)[:4].tolist()
    found = linear.few_shot(x[kept], y[kept], x, y, shots=(4, 5, 25))
    assert list(found.accuracies) == [4]
    assert found.refused == dict.fromkeys((5, 25), "class 3 has 4 images")
    assert np.isnan(found.mean(25)) and "25          -   class 3 has 4 images" in str(found)
    without = y != 3  # class 3 is tested but not in the training images
    found = linear.few_shot(x[without], y[without], x, y, shots=1)
    assert found == ({}, {1: "class 3 has no images"})
    found = linear.few_shot(x[without], y[without], x, y, shots=1, class_names="abcdefghij")
    assert found.refused == {1: "class d has no images"}


@pytest.mark.backend_free
@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"shots": 0}, "shots=0"),
        ({"shots": ()}, "shots=()"),
        ({"seeds": 1.5}, "seeds=1.5"),
        ({"l2": 0}, "l2=0"),
        ({"features_train": np.zeros((4, 2, 2))}, "features must be"),
        ({"features_train": np.full((4, 3), np.inf)}, "features must be finite"),
        ({"labels_train": np.zeros(4)}, "labels must be integers"),
        ({"labels_train": np.zeros(3, int)}, "labels=(3,)"),
        ({"features_test": np.zeros((4, 2))}, "features of one length"),
    ],
)
def test_unusable_arguments_are_refused(wrong, words):
    x, y = np.zeros((4, 3)), np.arange(4) % 2
    given = {"features_train": x, "labels_train": y, "features_test": x, "labels_test": y}
    with pytest.raises(ValueError) as error:
        linear.few_shot(**{**given, **wrong})
    assert words in str(error.value).lower() and "Received" in str(error.value)


@pytest.mark.backend_free
def test_linear_probe_learns_what_is_linear():
    pytest.importorskip("sklearn")
    x, y = clusters(spread=0.1, each=10)
    assert linear.linear_probe(x[:30], y[:30], x[30:], y[30:]) == 1.0
    shuffled = np.random.default_rng(0).permutation(y)
    assert linear.linear_probe(x[:30], shuffled[:30], x[30:], shuffled[30:]) < 0.7


# --- Features ------------------------------------------------------------------------------------

SMALL = {"image_size": 32, "num_layers": 1, "hidden_dim": 24, "mlp_dim": 48, "num_heads": 2}
MODELS = {
    "ViT": lambda **o: keras_vit.ViT(patch_size=8, **SMALL, **o),
    "gap": lambda **o: keras_vit.ViT(patch_size=8, pooling="gap", **SMALL, **o),
    "pre_logits": lambda **o: keras_vit.ViT(patch_size=8, representation_size=13, **SMALL, **o),
    "hybrid": lambda **o: keras_vit.HybridViT(patch_size=8, resnet_units=(1,), **SMALL, **o),
    "ResNet": lambda **o: keras_vit.ResNet(image_size=32, units=(1,), **o),
}


@pytest.mark.parametrize("kind", quick(MODELS, "pre_logits"))
def test_features_are_what_the_head_sees(kind, blank):
    model = randomize(MODELS[kind](num_classes=3))
    images, labels = random_images(5, 32, 32, 3), np.arange(5) % 3
    found = representation.features(model, (images, labels), batch_size=3)
    kernel, bias = (keras.ops.convert_to_numpy(w) for w in model.get_layer("head").weights)
    logits = model.predict_on_batch(images)
    np.testing.assert_allclose(found.features @ kernel + bias, logits, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found.labels, labels)
    assert found.features.shape[1] == {"pre_logits": 13, "ResNet": 256}.get(kind, 24)


def test_a_model_without_a_head_gives_its_output(blank):
    model = MODELS["ViT"](num_classes=None)
    assert representation.submodel(model).output is model.output
    model = keras.Sequential([keras.Input((3, 2, 1)), keras.layers.Flatten()])
    found = representation.features(model, (np.ones((2, 3, 2, 1)), np.arange(2)))
    np.testing.assert_array_equal(found.features, np.ones((2, 6)))


def test_any_layer_can_be_taken_and_weights_are_shared(blank):
    model = randomize(MODELS["ViT"](num_classes=3))
    images = random_images(2, 32, 32, 3)
    found = representation.features(model, (images, np.arange(2)), layer="block_0")
    assert found.features.shape == (2, 17, 24)
    part = representation.submodel(model, "block_0")
    theirs = {id(weight) for weight in model.weights}
    assert part.weights and all(id(weight) in theirs for weight in part.weights)
    with pytest.raises(ValueError, match="layer='block_7'. Its layers: .*block_0"):
        representation.features(model, (images, np.arange(2)), layer="block_7")


def test_half_precision_gives_float32():
    images = keras.Input((2, 2, 1))
    model = keras.Model(images, keras.layers.Flatten(dtype="bfloat16")(images))
    found = representation.features(model, (np.ones((3, 2, 2, 1)), np.arange(3)))
    assert found.features.dtype == "float32" and found.features.sum() == 12


@pytest.mark.backend_free
def test_image_files_come_in_the_order_of_the_list(tmp_path):
    for i in range(5):
        Image.fromarray(np.full((4, 6, 3), 10 * i, "uint8")).save(tmp_path / f"{i}.png")
    files = [tmp_path / f"{i}.png" for i in (3, 1, 4, 0, 2)]
    dataset = representation.ImageFiles(files, [3, 1, 4, 0, 2], image_size=(2, 4), batch_size=2)
    found = list(representation.iterate_batches(dataset))
    assert [images.shape for images, _ in found] == [(2, 2, 4, 3), (2, 2, 4, 3), (1, 2, 4, 3)]
    for images, labels in found:
        np.testing.assert_array_equal(images[:, 0, 0, 0], 10 * labels)
    assert dataset.names == [str(file) for file in files]


def test_the_training_images_of_a_data_come_unvaried_and_in_order():
    images = np.repeat(np.arange(30, dtype="uint8"), 12).reshape(30, 2, 2, 3)
    changes = keras_vit.data.Augmentation(rotation=90, zoom=0.5)
    data = keras_vit.data.load((images, np.arange(30) % 3), 2, batch_size=4, augment=changes)
    flat = keras.Input((2, 2, 3))
    model = keras.Model(flat, keras.layers.Flatten()(flat))
    found = representation.features(model, data, split="train")
    np.testing.assert_array_equal(found.features[:, 0] % 3, data.labels("train"))
    assert np.all(np.diff(found.features[:, 0]) > 0) and len(found.labels) == data.counts["train"]
    assert (data.sampler.epoch, data.sampler.step) == (0, 0)


# --- The callback --------------------------------------------------------------------------------


def small():
    """Dropout and a head: quick to compile."""
    images = keras.Input((4, 4, 1))
    x = keras.layers.Rescaling(1 / 255)(keras.layers.Flatten()(images))
    x = keras.layers.Dropout(0.5)(keras.layers.Dense(5, activation="tanh", name="neck")(x))
    return keras.Model(images, keras.layers.Dense(2, name="head")(x))


def vit():
    return keras_vit.ViT(
        image_size=4, patch_size=2, num_layers=1, hidden_dim=8, mlp_dim=16, num_heads=2,
        num_classes=2, num_channels=1, dropout=0.2, stochastic_depth=0.2,
    )  # fmt: skip


def train(make, callbacks):
    """Three epochs with dropout, shuffling and Adam; returns model, history and all state."""
    keras.utils.set_random_seed(3)
    model = make()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images, labels = random_images(12, 4, 4, 1), np.arange(12) % 2
    history = model.fit(
        images, labels, batch_size=4, epochs=3, verbose=0, callbacks=callbacks,
        validation_data=(images, labels),
    )  # fmt: skip
    state = [*model.weights, *model.non_trainable_variables, *model.optimizer.variables]
    return model, history.history, [keras.ops.convert_to_numpy(weight) for weight in state]


def probes():
    """Twenty images in two classes that are hard to distinguish."""
    labels = np.arange(20) % 2
    return 0.9 * random_images(20, 4, 4, 1) + 25 * labels[:, None, None, None], labels


def test_the_epoch_after_which_another_callback_stops_is_evaluated():
    """When the first of them is called, the training has not been stopped yet."""
    stop = keras.callbacks.EarlyStopping("loss", min_delta=1e9, patience=1)
    few, more = (linear.FewShot(probes(), probes(), shots=n, every=9) for n in (1, 5))
    model, history, _ = train(small, [few, stop, more])
    x, y = representation.features(model, probes())
    expected = linear.few_shot(x, y, x, y, (1, 5))
    for number in (1, 5):
        first, last = history[f"few_shot_{number}"]
        assert np.isnan(first) and last == expected.mean(number)


@pytest.mark.slow
@pytest.mark.parametrize("make", [small, pytest.param(vit, marks=pytest.mark.slow)])
def test_the_callback_logs_the_accuracy_and_touches_nothing(tmp_path, make):
    log = keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))
    probe = linear.FewShot(probes(), probes(), shots=(1, 5), every=2)
    with_callback, without = train(make, [probe, log]), train(make, [])
    for ours, theirs in zip(with_callback[2], without[2], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    history = with_callback[1]
    assert {name: history[name] for name in without[1]} == without[1]
    x, y = representation.features(with_callback[0], probes())
    expected = linear.few_shot(x, y, x, y, (1, 5))
    assert history["few_shot_5"][2] == expected.mean(5)
    assert history["few_shot_1"][2] == expected.mean(1)
    measured = [not np.isnan(value) for value in history["few_shot_5"]]
    assert measured == [False, True, True]  # every second epoch, and the last
    assert "few_shot_5" in (tmp_path / "log.csv").read_text().splitlines()[0]


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"shots": 11}, r"class 0 has 10 images"),
        ({"layer": "nose"}, "layer='nose'. Its layers: .*neck"),
    ],
)
def test_the_callback_refuses_before_the_first_step(wrong, words):
    seen = []
    spy = keras.callbacks.LambdaCallback(on_train_batch_begin=lambda *_: seen.append(1))
    with pytest.raises(ValueError, match=words):
        train(small, [linear.FewShot(probes(), probes(), **wrong), spy])
    assert not seen
    with pytest.raises(ValueError, match="every=0"):
        linear.FewShot(probes(), probes(), every=0)
    with pytest.raises(ValueError, match="seeds=0"):
        linear.FewShot(probes(), probes(), seeds=0)
    with pytest.raises(ValueError, match="l2=-1"):
        linear.FewShot(probes(), probes(), l2=-1)
    with pytest.raises(ValueError, match="only an ImageDataset contains both"):
        linear.FewShot(probes())


def test_a_data_gives_images_to_draw_from_and_to_test_on():
    images, labels = probes()
    arrays = np.clip(images, 0, 255).astype("uint8"), labels
    data = keras_vit.data.load(arrays, 4, num_channels=1, validation_share=0.4, test_share=0)
    model, history, _ = train(small, [linear.FewShot(data, shots=2, every=3)])
    parts = [representation.features(model, data, split=part) for part in ("train", "validation")]
    expected = linear.few_shot(*parts[0], *parts[1], shots=2)
    assert history["few_shot_2"][2] == expected.mean(2)
    np.testing.assert_array_equal(history["few_shot_2"][:2], np.nan)
    assert data.sampler.epoch == 0


# --- The command and real weights ----------------------------------------------------------------


def keras_vit_few_shot(*words):
    return cli.carry_out(cli.parser().parse_args(["few-shot", *map(str, words)]))


@pytest.fixture
def image_folder(tmp_path):
    rng = np.random.default_rng(0)
    for name, value in (("dark", 40), ("light", 200)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(6):
            pixels = (value + rng.integers(0, 30, (40, 40, 3))).astype("uint8")
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{i}.png")
    return tmp_path / "data"


@pytest.mark.slow
def test_the_command_measures_a_file_of_weights(image_folder, tmp_path, capsys, blank):
    model = randomize(keras_vit.create("ViT-Ti/16", image_size=32, num_layers=1, num_classes=3))
    keras_vit.save_weights(model, tmp_path / "weights.npz")
    words = (tmp_path / "weights.npz", image_folder, "--test-share", "0.34")
    keras_vit_few_shot(*words, "--shots", 1, 4, 9, "--seeds", 2, "--linear-probe")
    text = capsys.readouterr().out
    assert "8 train, 0 validation, 4 test" in text and "32 x 32 pixels" in text
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}
    assert rows["4"][1:3] == ["100.0", "%"] and len(rows["1"]) == 7
    assert rows["9"][1:] == "- class dark has 4 images".split()
    assert "all 8: 100.0 % (95 % interval 51.0 to 100.0 %)" in text  # 4 / (4 + 1.96 ** 2)
    assert common.load_model(str(tmp_path / "weights.npz"), 48)[0].image_size == (48, 48)
    with pytest.raises(ValueError, match="images to test on.*test-share=0.0"):
        keras_vit_few_shot(*words[:2], "--test-share", "0")


@pytest.mark.backend_free
def test_a_run_is_measured_at_its_own_resolution(tmp_path, monkeypatch):
    model = types.SimpleNamespace(input_shape=(None, 16, 16, 3))
    monkeypatch.setattr(saved_run, "load", lambda name: saved_run.Run(tmp_path, model, {}))
    for size in (None, 16, (16, 16)):
        assert common.load_model(str(tmp_path), size) == (model, {})
    with pytest.raises(ValueError, match="image_size=32. Leave --image-size out"):
        common.load_model(str(tmp_path), 32)


def test_images_are_resized_as_those_of_the_run(image_folder, monkeypatch, capsys):
    """Truth: Pillow's bicubic pixels, which are the features here."""
    x = keras.Input((7, 9, 3))
    model = keras.Model(x, keras.layers.Dense(2, name="head")(keras.layers.Flatten()(x)))
    facts, seen = {"resize": "squash", "interpolation": "bicubic"}, []
    monkeypatch.setattr(use, "load_model", lambda *_: (model, facts))
    monkeypatch.setattr(training, "few_shot", lambda *splits, **_: seen.extend(splits))
    keras_vit_few_shot("ViT-Mini/4", image_folder)  # its name is checked first
    files = [Image.open(file) for file in image_folder.rglob("*.png")]
    pixels = [np.array(x.resize((9, 7), Image.Resampling.BICUBIC), "float32") for x in files]
    found = np.concatenate([seen[0], seen[2]])
    expected = np.stack(pixels).reshape(12, -1)
    np.testing.assert_array_equal(found[np.lexsort(found.T)], expected[np.lexsort(expected.T)])


def test_digits_are_read_as_they_are_predicted(tmp_path, monkeypatch, capsys):
    files = []
    for i in range(12):
        ink = np.zeros((20, 30), "uint8")
        ink[4 + i % 4 : 16, 9 : 12 + i] = 200
        files.append(tmp_path / ("train", "test")[i % 2] / str(i % 4 // 2) / f"{i}.png")
        files[-1].parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(ink).save(files[-1])
    x = keras.Input((8, 8, 1))
    model = keras.Model(x, keras.layers.Dense(2, name="head")(keras.layers.Flatten()(x)))
    seen = []
    monkeypatch.setattr(use, "load_model", lambda *_: (model, {"data": "digits"}))
    monkeypatch.setattr(training, "few_shot", lambda *splits, **_: seen.extend(splits))
    keras_vit_few_shot("ViT-Mini/4", tmp_path)
    found = np.concatenate([seen[0], seen[2]])
    expected = np.stack([keras_vit.data.read_digit(file).ravel() for file in files])
    np.testing.assert_array_equal(found[np.lexsort(found.T)], expected[np.lexsort(expected.T)])
    with pytest.raises(ValueError, match="without a test split.*test_share=0.3"):
        keras_vit_few_shot("ViT-Mini/4", tmp_path, "--test-share", "0.3")


@needs_data
@pytest.mark.weekly
def test_real_weights_tell_37_breeds_apart_from_five_images_each():
    """Chance is 2.7 %; the paper's larger models reach far more with all images (Table 2)."""
    pytest.importorskip("sklearn")
    path = DATA / "weights" / "ViT-Ti_16.augreg.imagenet2012.224.npz"
    model = keras_vit.load_pretrained(path, verbose=False)
    data = keras_vit.data.load(DATA / "photos" / "pets370", validation_share=0, test_share=0.3)
    part = representation.submodel(model)
    parts = [
        *representation.predict_all(part, data, "train"),
        *representation.predict_all(part, data),
    ]
    found = linear.few_shot(*parts, shots=(1, 5, 10))
    assert found.mean(1) > 0.5 and found.mean(5) > 0.7 and 10 in found.refused
    assert linear.linear_probe(*parts) > 0.75
