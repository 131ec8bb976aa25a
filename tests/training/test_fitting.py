"""Whole runs that end early, or compute in another precision."""

import csv

import keras
import numpy as np
import pytest
from helpers import numpy
from PIL import Image

from keras_vit import training
from keras_vit.training.runs import messages

GIVEN = {"image_size": 16, "batch_size": 5}


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """Images whose classes cannot be learned: the validation loss soon rises."""
    path = tmp_path_factory.mktemp("noise")
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        (path / name).mkdir()
        for i in range(10):
            image = rng.integers(0, 255, (16, 16, 3), "uint8")
            Image.fromarray(image).save(path / name / f"{i}.png")
    return path


def interrupt_in(epoch, step=0):
    def stop(progress, batch, logs=None):
        if (progress.epoch, batch) == (epoch, step):
            raise KeyboardInterrupt

    return stop


@pytest.mark.slow
def test_early_stopping_keeps_the_best_weights_and_resumes_exactly(
    noise, tmp_path, monkeypatch, capsys
):
    given = {**GIVEN, "early_stopping": 3, "epochs": 40, "learning_rate": 0.01}
    given["validation_share"] = 0.4
    run = training.train(noise, out=tmp_path / "unbroken", **given)
    printed = capsys.readouterr().out
    with (run.folder / "history.csv").open(newline="") as file:
        losses = [float(row["validation_loss"]) for row in csv.DictReader(file)]
    best = int(np.argmin(losses))
    assert len(losses) == best + 4 < 40  # three epochs after the best one
    assert (run.metrics["best_epoch"], run.metrics["trained_epochs"]) == (best + 1, best + 4)
    assert f"for 3 epochs: stopped; the result has the weights of epoch {best + 1}" in printed
    data = training.load_data(run)
    images, labels = data.fixed_batches("validation").batch(0, 0)
    logits = training.load(run.folder).model.predict(images, verbose=0)
    shifted = logits - logits.max(axis=1, keepdims=True)
    shares = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    assert -shares[np.arange(len(labels)), labels].mean() == pytest.approx(losses[best], rel=1e-4)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(messages.ProgressLine, "on_train_batch_end", interrupt_in(best + 2, 1))
        training.train(noise, out=tmp_path / "broken", **given)
    resumed = training.resume(tmp_path / "broken")
    for ours, theirs in zip(resumed.model.weights, run.model.weights, strict=True):
        np.testing.assert_array_equal(numpy(ours), numpy(theirs))
    assert resumed.metrics["best_epoch"] == best + 1


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_a_run_in_mixed_precision_resumes_predicts_and_leaves_the_policy(
    precision, noise, tmp_path, monkeypatch
):
    policy = keras.config.dtype_policy().name
    given = {**GIVEN, "precision": precision, "epochs": 2, "accumulate": 2, "out": tmp_path / "run"}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(messages.ProgressLine, "on_train_batch_end", interrupt_in(1, 1))
        training.train(noise, **given)
    run = training.resume(tmp_path / "run")
    assert keras.config.dtype_policy().name == policy
    model = training.load(run.folder).model
    assert model.get_layer("block_0").compute_dtype == precision.removeprefix("mixed_")
    assert {keras.backend.standardize_dtype(w.dtype) for w in model.weights} == {"float32"}
    scaled = isinstance(run.model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (precision == "mixed_float16")
    logits = model(np.zeros((1, 16, 16, 3)))
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    (found,) = training.predict(run, [run.folder / "example.png"])
    assert sum(share for _, share in found.classes) == pytest.approx(1, abs=1e-6)
