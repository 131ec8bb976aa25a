"""Recipes, baselines, figures and whole runs."""

import csv
import importlib.util
import inspect
import itertools
import json
import os
import shlex
import signal
import subprocess
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from helpers import numpy
from PIL import Image

import keras_vit
from keras_vit import backend, data, training
from keras_vit.cli import common
from keras_vit.data import dataset
from keras_vit.training.evaluation import classifiers, evaluation_plots, metrics
from keras_vit.training.evaluation.classifiers import read_pixels
from keras_vit.training.evaluation.representation import predict_all
from keras_vit.training.resuming import run_state
from keras_vit.training.runs import execution, messages, prediction, run_folder, saved_run

pytest.importorskip("sklearn", reason="runs compare with scikit-learn")


@pytest.fixture(scope="module")
def colors(tmp_path_factory):
    """Six dark red and six dark blue images, easy to distinguish."""
    path = tmp_path_factory.mktemp("colors")
    rng = np.random.default_rng(0)
    for name, channel in (("blue", 2), ("red", 0)):
        (path / name).mkdir()
        for i in range(6):
            image = rng.integers(0, 30, (9, 7, 3), "uint8")
            image[:, :, channel] += 200
            Image.fromarray(image).save(path / name / f"{i}.png")
    return path


@pytest.fixture(scope="module")
def run(colors, tmp_path_factory):
    """A run of two epochs on 16 x 16 pixels."""
    out = tmp_path_factory.mktemp("runs") / "colors"
    return training.train(colors, image_size=16, epochs=2, batch_size=5, out=out)


@pytest.mark.backend_free
def test_recipe_replaces_only_what_is_given():
    settings = training.recipe("digits", epochs=3, batch_size=None)
    assert settings == training.RECIPES["digits"]._replace(epochs=3)


@pytest.mark.backend_free
@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"epochs": 1.5},
        {"batch_size": -1},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"image_size": 9},
        {"model": "ViT-Huge/2"},
    ],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="Received"):
        training.recipe("digits", **wrong)


def test_schedule_warms_up_and_falls_to_zero():
    recipe = training.recipe("digits", epochs=10, learning_rate=0.5)
    rate = recipe.scale(95, batch_size=10, steps_per_epoch=10).schedule()  # 10 steps of warm-up
    values = [float(rate(step)) for step in (0, 5, 10, 55, 100)]
    np.testing.assert_allclose(values, [0.0, 0.25, 0.5, 0.25, 0.0], atol=1e-6)


@pytest.mark.backend_free
def test_predictions_put_the_surest_mistake_first_and_mark_it_in_words():
    images = np.zeros((4, 2, 2, 1), "uint8")
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.8, 0.2], [0.3, 0.7]])
    figure = evaluation_plots.predictions(
        images.__getitem__, np.array([0, 0, 1, 1]), probabilities, ("no", "yes")
    )
    titles = [axes.get_title() for axes in figure.axes[:4]]
    assert titles[:2] == ["\u2717 no (80 %)\ntrue: yes", "\u2717 yes (60 %)\ntrue: no"]
    assert titles[2:] == ["\u2713 no (90 %)", "\u2713 yes (70 %)"]
    assert "4 images, 2 mistakes" in figure.get_suptitle()


@pytest.mark.backend_free
def test_names_above_images_do_not_overlap():
    images, names = np.zeros((16, 8, 8, 3), "uint8"), ("american_bulldog_x", "staffordshire_terr")
    shares = np.tile([0.99, 0.01], (16, 1))
    labels = np.ones(16, int)
    for figure in (
        evaluation_plots.predictions(images.__getitem__, labels, shares, names),
        dataset._draw_grid(images, labels, names),
    ):
        figure.draw_without_rendering()
        boxes = [axes.title.get_window_extent() for axes in figure.axes if axes.get_title()]
        assert len(boxes) == 16 and boxes[0].x0 >= 0
        assert not any(a.overlaps(b) for a, b in itertools.pairwise(boxes))


@pytest.mark.backend_free
def test_dollar_signs_in_names_are_not_formulas(monkeypatch):
    def refuse(*_):
        raise AssertionError("a formula")

    monkeypatch.setattr("matplotlib.mathtext.MathTextParser.parse", refuse)
    images, names = np.zeros((2, 8, 8, 3), "uint8"), ("$1_$", r"\$5 and $10")
    labels, logits = np.array([0, 1]), np.array([[0.0, 1.0], [0.0, 1.0]])
    outcomes = metrics.compute_outcomes(logits, labels)
    evaluation = metrics.summarize(outcomes, names)
    for figure in (
        evaluation_plots.predictions(images.__getitem__, labels, logits, names),
        evaluation_plots.confusion(evaluation),
        evaluation_plots.classes(evaluation),
        dataset._draw_grid(images, labels, names),
    ):
        figure.draw_without_rendering()
    assert "$1_$" in str(evaluation) and "\\$1" not in str(evaluation)


@pytest.mark.backend_free
def test_curves_draw_the_history():
    history = {"loss": [3, 2], "accuracy": [0.1, 0.5], "test_loss": [2, 1]}
    figure = evaluation_plots.curves({**history, "test_accuracy": [0.2, 0.6]}, {"RBF SVC": 0.9})
    loss, accuracy = figure.axes
    assert [list(line.get_ydata()) for line in loss.lines] == [[3, 2], [2, 1]]
    assert [list(line.get_ydata()) for line in accuracy.lines] == [
        [0.1, 0.5],
        [0.2, 0.6],
        [0.9] * 2,
    ]


@pytest.mark.backend_free
def test_baselines_learn_what_can_be_learned_and_shrink_large_images():
    labels = np.arange(40) % 2
    images = np.repeat(labels * 200, 64 * 48 * 3).astype("uint8").reshape(40, 64, 48, 3)
    dataset = data.load((images, labels), image_size=(64, 48), pipeline="keras")
    assert training.baselines(dataset) == {"logistic regression": 1.0, "RBF SVC": 1.0}
    rows, classes = read_pixels(dataset, "test")
    assert rows.shape == (8, 32 * 24 * 3) and np.array_equal(rows[:, 0], classes * (200 / 255))
    small = data.load((images, labels), image_size=8, num_channels=1, pipeline="keras")
    assert read_pixels(small, "test")[0].shape == (8, 64)


@pytest.mark.backend_free
def test_baselines_are_skipped_if_they_would_take_minutes(monkeypatch):
    images, labels = np.zeros((20, 8, 8, 1), "uint8"), np.arange(20) % 2
    dataset = data.load((images, labels), image_size=8, num_channels=1, pipeline="keras")
    monkeypatch.setattr(classifiers, "MOST", 13)
    assert dataset.counts["train"] > 13 and training.baselines(dataset) == {}


def test_a_run_writes_all_its_files(run):
    written = {path.name for path in run.folder.iterdir()}
    assert written == set(messages.FILES) - {run_folder.UNAVERAGED}
    for name in filter(lambda name: name.endswith(".png"), messages.FILES):
        with Image.open(run.folder / name) as image:
            image.verify()


def test_history_has_a_row_for_each_epoch(run):
    with (run.folder / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert set(rows[0]) == {"epoch", "loss", "accuracy", "validation_loss", "validation_accuracy"}
    assert float(rows[1]["accuracy"]) == pytest.approx(run.metrics["train_accuracy"], abs=1e-6)


def test_metrics_record_data_settings_and_versions(run, colors):
    metrics = json.loads((run.folder / "metrics.json").read_text())
    assert metrics == json.loads(json.dumps(run.metrics))
    assert metrics["data"] == str(colors.resolve())
    assert metrics["class_names"] == list(run.model.class_names) == ["blue", "red"]
    assert (metrics["resize"], metrics["interpolation"]) == ("squash", "bilinear")
    parts = ("train", "validation", "test")
    assert [metrics[f"{part}_images"] for part in parts] == [8, 2, 2]
    assert metrics["options"]["batch_size"] == 5 and metrics["seed"] == 0
    assert metrics["backend"] == keras.backend.backend()
    assert metrics["versions"]["keras"] == keras.version()
    assert metrics["hardware"]["cores"] >= 1 and metrics["seconds"] > 0
    assert metrics["baselines"] == {"logistic regression": 1.0, "RBF SVC": 1.0}


def test_the_reported_accuracy_is_that_of_the_saved_model(run):
    dataset = saved_run.load_data(run)
    images, labels = dataset.fixed_batches("test").batch(0, 0)
    logits = training.load(run.folder).model.predict(images, verbose=0)
    assert (logits.argmax(axis=1) == labels).mean() == run.metrics["test_accuracy"]
    assert training.evaluate_run(run.folder).accuracy == run.metrics["test_accuracy"]


def test_own_images_are_resized_as_asked(run, colors):
    loaded = saved_run.load_data(run)
    files = [Image.open(colors / name) for name in loaded.sources["test"].names]
    images = np.stack([data.transforms.resize_image(file, 16, "crop") for file in files])
    logits = run.model.predict(images, verbose=0)
    loss = metrics.compute_outcomes(logits, loaded.labels("test")).loss.mean()
    cropped = run._replace(metrics={**run.metrics, "resize": "crop"})
    assert training.evaluate_run(cropped).loss == pytest.approx(loss, rel=1e-5)
    assert training.evaluate_run(run).loss != pytest.approx(loss, rel=1e-5)


@pytest.mark.backend_free
def test_files_are_resized_like_the_images_of_the_run(colors):
    loaded = data.load(colors, 16, 4, augment="deit3", pipeline="keras")
    metrics = {"data": "colors", "image_size": (16, 16), "num_channels": 3, "resize": "squash"}
    metrics["interpolation"] = loaded.augmentation.interpolation
    batches = loaded.fixed_batches("test")
    found = prediction.read_pixels(colors / batches.source.names[0], metrics)
    assert np.array_equal(found, batches.image(0))
    assert not np.array_equal(found, data.read(colors / batches.source.names[0], 16))


def test_predict_gives_the_models_softmax_in_descending_order(run, colors):
    file = colors / "red" / "0.png"
    (found,) = training.predict(run.folder / "model.keras", [file])
    logits = run.model.predict(data.read(file, 16)[None], verbose=0)[0].astype("float64")
    expected = dict(zip(("blue", "red"), np.exp(logits) / np.exp(logits).sum(), strict=True))
    assert [name for name, _ in found.classes] == sorted(expected, key=expected.get)[::-1]
    assert dict(found.classes) == pytest.approx(expected, abs=1e-5)
    assert found.file == str(file) and found.hint == ""


def test_a_digits_run_reads_digits_and_hints_at_bright_images(run, tmp_path):
    class Sum:
        jit_compile = False

        def predict_on_batch(self, pixels):
            assert pixels.shape == (1, 8, 8, 1)
            return np.array([[0.0, float(pixels.sum()) - 6000]])

    digits = run._replace(model=Sum(), metrics={**run.metrics, "data": "digits"})
    path = tmp_path / "paper.png"
    paper = np.full((20, 20), 240, "uint8")
    paper[5:15, 5:9] = 10
    Image.fromarray(paper).save(path)
    bright, dark = (training.predict(digits, [path], invert)[0] for invert in (False, True))
    assert "--invert" in bright.hint and bright.classes[0][0] == "red"
    assert not dark.hint and dark.classes[0][0] == "red"


@pytest.mark.backend_free
def test_digits_are_evaluated_as_they_are_predicted(tmp_path):
    """Cropped to their ink if they are files; arrays are digits already."""
    for i in range(4):
        ink = np.zeros((20, 30, 1), "uint8")
        ink[4 + i : 16, 9 : 12 + 2 * i] = 200
        path = tmp_path / str(i % 2) / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(ink[..., 0]).save(path)
    metrics = {"data": "digits", "class_names": ["0", "1"]}
    run = saved_run.Run(None, SimpleNamespace(input_shape=(None, 8, 8, 1)), metrics)
    batches, _ = saved_run._read_batches(run, tmp_path, ["0", "1"], None, None)
    for image, name in zip(batches.batch(0, 0)[0], batches.source.names, strict=True):
        np.testing.assert_array_equal(image, data.read_digit(tmp_path / name))
    arrays = np.full((4, 8, 8, 1), 7, "uint8"), np.array([0, 1, 0, 1])
    batches, _ = saved_run._read_batches(run, {"train": arrays}, ["0", "1"], None, None)
    np.testing.assert_array_equal(batches.batch(0, 0)[0], arrays[0])


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("train", "test", "reason"),
    [
        (2001, 9, "they take minutes with more than 2,000 training images."),
        (2000, 0, "they need a test split"),
        (2000, 9, "they need scikit-learn: pip install scikit-learn"),
    ],
)
def test_missing_baselines_have_a_reason(train, test, reason, monkeypatch):
    monkeypatch.setattr(backend, "is_installed", {"sklearn": False}.__getitem__)
    data = SimpleNamespace(counts={"train": train, "test": test}, image_size=(32, 32))
    assert messages.references(training.baselines(data), data) == f"Baselines: none; {reason}"


@pytest.mark.backend_free
@pytest.mark.parametrize("live", [False, True])
def test_progress_is_a_line_per_epoch_and_live_on_a_terminal(live, capsys):
    progress = messages.ProgressLine("test", live)
    progress.set_params({"epochs": 12, "steps": 3})
    progress.on_epoch_begin(0)
    progress.on_train_batch_end(1, {"accuracy": 0.25, "loss": 2.0})
    progress.on_epoch_end(0, {"accuracy": 0.5, "loss": 1.5, "val_accuracy": 0.75, "val_loss": 1})
    printed = capsys.readouterr().out
    assert (
        "epoch  1/12  accuracy 0.500  loss 1.500  test accuracy 0.750  test loss 1.000" in printed
    )
    assert ("epoch  1/12  accuracy 0.250  loss 2.000  step 2/3" in printed) == live
    assert printed.count("\n") == 1 and printed.count("\r") == live


def interrupt(progress, batch, logs=None):
    """Ctrl-C in the first step of the second epoch."""
    if progress.epoch == 1:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.both
@pytest.mark.slow
def test_an_interrupted_run_resumes_exactly_and_equal_seeds_give_equal_weights(
    run, colors, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "my run"
    given = {"image_size": 16, "epochs": 2, "batch_size": 5, "out": out}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(messages.ProgressLine, "on_train_batch_end", interrupt)
        training.train(colors, **given)
    assert f"keras-vit train --resume '{out}'" in capsys.readouterr().out
    with pytest.raises(FileNotFoundError, match="interrupted.*--resume"):
        training.load(out)
    with pytest.raises(ValueError, match="Resume it with keras-vit train --resume '"):
        training.train(colors, **given)
    resumed = training.resume(out)
    for ours, theirs in zip(resumed.model.weights, run.model.weights, strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (ours, theirs)))
    assert (out / "history.csv").read_text() == (run.folder / "history.csv").read_text()
    assert not (out / "states").exists()
    assert training.resume(out).metrics == resumed.metrics
    assert "complete" in capsys.readouterr().out


@pytest.mark.backend_free
def test_seconds_are_those_of_the_work_in_all_sittings(monkeypatch):
    progress, states = {name: messages.ProgressLine() for name in ("", "resumed")}, {}
    # After the fourth reading the machine is started again, and its clock with it.
    readings = iter([100.0, 102.0, 105.0, 3.0, 4.0])
    monkeypatch.setattr(messages.time, "perf_counter", lambda: next(readings))
    for name, callback in progress.items():
        callback.on_train_begin()
        callback.on_epoch_begin(0)
        if name == "resumed":
            run_state.restore_attributes({"": callback}, *states)
        callback.on_train_batch_end(0)
        if name == "":
            callback.on_train_batch_end(1)
            states = run_state.copy_attributes({"": callback})
    assert (callback.seconds, callback.epoch_seconds) == (6.0, 6.0)


@pytest.mark.backend_free
def test_an_accuracy_on_the_images_that_chose_the_epoch_is_reported_as_such():
    metrics = {"model": "ViT", "baselines": {}, "test_accuracy": 0.5, "test_interval": (0.4, 0.6)}
    metrics |= {"test_images": 0, "validation_images": 10, "seconds": 1.0}
    stopped = {**metrics, "best_epoch": 3}
    reports = [messages._result(x) for x in (metrics, stopped, {**stopped, "test_images": 5})]
    assert ["chose the epoch" in report for report in reports] == [False, True, False]


@pytest.mark.backend_free
def test_skipped_images_are_those_of_the_whole_run():
    """A run that is resumed in its last epoch reads only some images again."""
    states = {}, {}
    for unreadable in (["cat/1.png", "owl/2.png"], ["cat/1.png", "bee/3.png"]):
        progress = messages.ProgressLine(data=SimpleNamespace(skipped={}))
        progress.on_train_begin()
        progress.on_epoch_begin(0)
        run_state.restore_attributes({"": progress}, *states)
        progress.data.skipped.update(dict.fromkeys(unreadable, "cannot be read"))
        progress._count()
        states = run_state.copy_attributes({"": progress})
    assert progress.skipped == ["bee/3.png", "cat/1.png", "owl/2.png"]


@pytest.mark.slow
def test_a_run_with_a_moving_average_keeps_and_tests_both(colors, tmp_path, monkeypatch, capsys):
    averaged = training.RECIPES["folder"]._replace(moving_average=0.5)
    monkeypatch.setitem(training.RECIPES, "folder", averaged)
    out = tmp_path / "run"
    run = training.train(colors, image_size=16, epochs=2, batch_size=5, out=out)
    assert "without averaging" in capsys.readouterr().out
    data = training.load_data(run)
    model = keras.models.clone_model(run.model)
    model.load_weights(out / "unaveraged.weights.h5")
    logits, labels = predict_all(model, data)
    assert run.metrics["unaveraged_accuracy"] == (logits.argmax(axis=1) == labels).mean()
    heads = [numpy(m.get_layer("head").kernel) for m in (model, run.model)]
    assert (heads[0] != heads[1]).any()


@pytest.mark.backend_free
def test_the_options_of_a_run_are_the_arguments_of_train():
    parameters = dict(inspect.signature(training.train).parameters)
    assert parameters.pop("out").default is None
    assert {name: one.default for name, one in parameters.items()} == run_folder.OPTIONS


@pytest.mark.backend_free
def test_a_run_without_the_fields_of_its_metrics_is_reported(tmp_path):
    (tmp_path / "model.keras").touch()
    (tmp_path / "metrics.json").write_text('{"data": "digits"}')
    words = "cannot be read: metrics.json has no class_names, image_size, num_channels, resize. "
    with pytest.raises(ValueError, match=words + "Train again"):
        training.load(tmp_path)


@pytest.mark.backend_free
def test_another_model_in_the_folder_of_a_run_is_not_taken_for_the_run(tmp_path):
    for name in ("model.keras", "metrics.json", "other.keras"):
        (tmp_path / name).touch()
    assert run_folder.find(tmp_path / "model.keras") == tmp_path
    assert common.is_run(tmp_path / "model.keras") and not common.is_run(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="or model.keras in it, was expected.*other.keras"):
        training.load(tmp_path / "other.keras")


@pytest.mark.backend_free
def test_resume_reports_a_folder_that_is_not_a_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="settings.json.*does not exist"):
        training.resume(tmp_path / "nowhere")
    (tmp_path / "settings.json").write_text('{"color": 1}')
    with pytest.raises(ValueError, match="settings.json.*cannot be read.* Train again.$"):
        training.resume(tmp_path)
    (tmp_path / "settings.json").write_text("")
    with pytest.raises(ValueError, match="settings.json.*cannot be read") as error:
        training.resume(tmp_path)
    assert "download" not in str(error.value)


@pytest.mark.slow
def test_a_run_from_published_weights_takes_their_resolution(colors, tmp_path, capsys):
    model = keras_vit.create("ViT-Mini/8", image_size=24, num_classes=5, normalize=(100.0, 50.0))
    keras_vit.save_weights(model, tmp_path / "published.safetensors")
    weights = str(tmp_path / "published.safetensors")
    run = training.train(
        colors,
        weights=weights,
        adapt="lora",
        epochs=1,
        batch_size=4,
        patch_size=6,
        out=tmp_path / "run",
    )
    assert run.model.grid == (4, 4)
    assert run.metrics["image_size"] == [24, 24] and run.model.num_classes == 2
    assert run.metrics["options"]["recipe"] == "finetune"
    printed = capsys.readouterr().out
    assert "new and starts at zero" in printed
    assert f"Evaluating the {run.metrics['test_images']} test images." in printed
    # Merged: no matrices of LoRA remain, and the saved model predicts as in the test.
    assert len(run.model.weights) == len(model.weights)
    assert training.evaluate_run(run).accuracy == run.metrics["test_accuracy"]


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is not None, reason="it is there")
def test_missing_tensorboard_is_reported_before_any_work(colors, tmp_path):
    with pytest.raises(ImportError, match="pip install.*tensorboard"):
        training.train(colors, tensorboard=True, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.backend_free
def test_of_two_runs_that_begin_in_one_folder_the_first_keeps_it(tmp_path):
    run_folder.write_settings(tmp_path, run_folder.OPTIONS | {"epochs": 7})
    with pytest.raises(ValueError, match="Another run has begun there"):
        run_folder.write_settings(tmp_path, run_folder.OPTIONS)
    assert run_folder.read_settings(tmp_path)[1]["epochs"] == 7


@pytest.mark.backend_free
def test_a_full_disk_at_the_begin_leaves_no_folder(tmp_path, monkeypatch):
    def fill(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(execution, "_build_within_memory", lambda options: (options,))
    monkeypatch.setattr(run_folder.writing, "write_json", fill)
    monkeypatch.chdir(tmp_path)
    for out in ("new", "new/run", None):
        with pytest.raises(OSError, match="No space left"):
            training.train(out=out)
        assert not list(tmp_path.iterdir())
    for mine in ("empty", "runs"):  # folders that were there stay
        (tmp_path / mine).mkdir()
    for out in ("empty", "empty/new/run", None):
        with pytest.raises(OSError, match="No space left"):
            training.train(out=out)
        assert sorted(path.name for path in tmp_path.rglob("*")) == ["empty", "runs"]


@pytest.mark.backend_free
def test_a_full_disk_later_says_how_to_resume(tmp_path, monkeypatch, capsys):
    def fill(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(execution, "_train_and_test", fill)
    with pytest.raises(OSError, match="No space left"):
        execution._run(tmp_path, {}, "", None, None, None)
    assert f"keras-vit train --resume {tmp_path}" in capsys.readouterr().out


@pytest.mark.backend_free
def test_a_run_that_is_running_is_not_resumed(tmp_path, monkeypatch):
    pytest.importorskip("fcntl")
    run_folder.write_settings(tmp_path, run_folder.OPTIONS)
    (tmp_path / "states").mkdir()
    monkeypatch.setattr(execution, "build", None)  # not reached
    hold = "import fcntl, sys; f = open(sys.argv[1], 'wb'); fcntl.lockf(f, 6); print(flush=True)"
    command = [sys.executable, "-c", hold + "; input()", str(tmp_path / "states" / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(OSError, match="Another process trains in this folder. Wait"):
            training.resume(tmp_path)
        other.stdin.close()


@pytest.mark.backend_free
def test_missing_scikit_learn_is_reported_before_any_work(monkeypatch):
    monkeypatch.setattr(backend, "is_installed", lambda package: package != "sklearn")
    with pytest.raises(ImportError, match="Run: pip install scikit-learn"):
        run_folder.check(run_folder.OPTIONS)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"weights": "x.npz", "model": "ViT-S/16"}, "Weights determine the model"),
        ({"patch_size": 4}, "`patch_size` changes the patches of weights"),
        ({"recipe": "finetune"}, "starts from weights"),
        ({"recipe": "finetun"}, "finetune"),
        ({"augment": "inceptio"}, "inception"),
        ({"data": (np.zeros((4, 8, 8, 3), "uint8"), [0] * 4)}, "path or the name.*numpy.savez"),
    ],
)
def test_options_that_do_not_go_together_are_refused(wrong, message, colors, tmp_path):
    with pytest.raises(ValueError, match=message):
        training.train(**{"data": colors, "out": tmp_path / "run", **wrong})
    assert not (tmp_path / "run").exists()


@pytest.mark.backend_free
def test_a_run_has_the_options_that_resuming_reads(colors):
    """Augmentations and numbers of NumPy are written to settings.json, too."""
    augment = data.Augmentation(flip=True, crop=(0.5, 1.0), randaugment=(2, 9))
    numbers = {
        "seed": np.int64(3),
        "epochs": np.int64(3),
        "learning_rate": np.float32(0.5),
        "image_size": (16, 24),
    }
    given = {**run_folder.OPTIONS, "data": colors, "augment": augment, **numbers}
    options = run_folder.complete(given)
    assert json.loads(json.dumps(options)) == options
    assert [options[name] for name in numbers] == [3, 3, 0.5, [16, 24]]
    loaded = run_folder.load_images(options)
    assert loaded.augmentation == augment and loaded.image_size == (16, 24)


@pytest.mark.backend_free
def test_the_suggested_command_reads_the_same_images():
    options = {"columns": {"label": "a b"}, "group_pattern": r"(p\d+)_", "skip_empty": True}
    expected = ["keras-vit", "train", "x.csv", "--label-column", "a b", "--group-pattern"]
    expected += [r"(p\d+)_", "--skip-empty", "--on-error", "skip", "--weights", "ViT-Ti/16"]
    assert shlex.split(run_folder.fine_tuning("x.csv", **options, on_error="skip")) == expected


def test_a_run_without_test_images_is_evaluated_on_validation_images(run, tmp_path):
    settings = json.loads((run.folder / "settings.json").read_text())
    (tmp_path / "settings.json").write_text(json.dumps({**settings, "test_share": 0}))
    assert training.evaluate_run(run).images == 2
    alone = run._replace(folder=tmp_path)
    found = training.evaluate_run(alone)
    assert found.images == training.load_data(alone).counts["validation"] > 0
    assert found.loss == training.evaluate_run(alone, split="validation").loss


def test_out_must_be_new_or_empty(colors, tmp_path):
    (tmp_path / "old.txt").write_text("x")
    with pytest.raises(ValueError, match="new or an empty folder"):
        training.train(colors, out=tmp_path)
    with pytest.raises(ValueError, match="can be written"):
        training.train(colors, out=tmp_path / "old.txt" / "below")
    assert [path.name for path in tmp_path.iterdir()] == ["old.txt"]


@pytest.mark.backend_free
@pytest.mark.parametrize(
    "wrong", [{"seed": -1}, {"seed": 1.5}, {"seed": 2**32}, {"image_size": 16}, {"epochs": 0}]
)
def test_wrong_arguments_leave_no_folder(wrong, tmp_path):
    with pytest.raises(ValueError, match="Received"):
        training.train(out=tmp_path / "run", **wrong)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_the_run(colors, tmp_path):
    with pytest.raises(ArithmeticError, match="lower learning rate"):
        training.train(colors, image_size=16, learning_rate=1e30, out=tmp_path / "run")


@pytest.mark.slow
def test_a_failing_figure_loses_neither_model_nor_numbers(colors, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("no fonts")

    monkeypatch.setattr(evaluation_plots, "curves", fail)
    with pytest.raises(RuntimeError, match="no fonts"):
        training.train(colors, image_size=16, epochs=1, out=tmp_path / "run")
    assert training.load(tmp_path / "run").metrics["image_size"] == [16, 16]
    assert (tmp_path / "run" / "history.csv").exists()


def test_load_reports_what_is_missing(run, tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        training.load(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="without model.keras"):
        training.load(tmp_path)
    (tmp_path / "model.keras").write_bytes(b"no zip")
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(ValueError, match="cannot be read"):
        training.load(tmp_path)


@pytest.mark.backend_free
def test_a_folder_of_runs_is_refused_with_the_newest(tmp_path):
    for name, seconds in (("first", 3), ("last", 5), ("old", 4)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "settings.json").touch()
        os.utime(tmp_path / name / "settings.json", (seconds, seconds))
    for function, path in ((training.resume, tmp_path), (training.load, tmp_path / "typo")):
        with pytest.raises(FileNotFoundError, match=r"The newest run in '.*' is '.*last'\.$"):
            function(path)


@pytest.mark.backend_free
def test_a_run_without_images_to_evaluate_is_refused_before_training(colors, tmp_path):
    shares = {"validation_share": 0, "test_share": 0}
    with pytest.raises(ValueError, match="does not train on.*test=0. Leave test_share out"):
        training.train(colors, image_size=16, out=tmp_path / "run", **shares)
    assert not (tmp_path / "run").exists()


@pytest.mark.backend_free
def test_a_share_of_a_split_that_the_data_have_is_refused_before_training(tmp_path):
    with pytest.raises(ValueError, match="without a test split.*test_share=0.5, test images.*=359"):
        training.train(test_share=0.5, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.backend_free
@pytest.mark.parametrize("share, counts", [(None, (1438, 0, 359)), (0.1, (1295, 143, 359))])
def test_digits_are_validated_on_only_if_asked(share, counts):
    asked = run_folder.complete({**run_folder.OPTIONS, "validation_share": share})
    found = run_folder.load_images(asked).counts
    assert tuple(found[part] for part in ("train", "validation", "test")) == counts


@pytest.mark.first
@pytest.mark.parametrize(
    "seeds",
    [
        pytest.param([2], marks=pytest.mark.slow),
        pytest.param([0, 1, 2], marks=[pytest.mark.slow, pytest.mark.weekly]),
    ],
    ids=str,
)
def test_digits_reach_97_5_percent(seeds, tmp_path):
    """The result of a seed differs by almost a point between processors; seed 2 has that margin.

    Seed 0, whose split is the hardest for every model, has it only in the mean of the three.
    """
    runs = [training.train(seed=seed, out=tmp_path / str(seed)).metrics for seed in seeds]
    assert np.mean([metrics["test_accuracy"] for metrics in runs]) >= 0.975
    assert all(metrics["test_images"] == 359 for metrics in runs)
