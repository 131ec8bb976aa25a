"""A whole run that ends early, in another precision, and is interrupted."""

import csv

import keras
import numpy as np
import pytest
from PIL import Image

from keras_vit import training


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


def interrupt(stop, batch, logs=None):
    """Ctrl-C in the epoch that decides whether the training ends."""
    if (stop.wait, batch) == (2, 1):
        raise KeyboardInterrupt


@pytest.mark.both
@pytest.mark.slow
@pytest.mark.parametrize(
    "precision", ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.weekly)]
)
def test_a_run_stops_early_in_mixed_precision_and_resumes(
    precision, noise, tmp_path, monkeypatch, capsys
):
    policy = keras.config.dtype_policy().name
    given = {"early_stopping": 3, "precision": precision, "validation_share": 0.4}
    given |= {"image_size": 16, "batch_size": 4, "learning_rate": 0.01, "out": tmp_path / "run"}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(keras.callbacks.EarlyStopping, "on_train_batch_end", interrupt)
        training.train(noise, **given)
    run = training.resume(tmp_path / "run")
    assert keras.config.dtype_policy().name == policy
    with (run.folder / "history.csv").open(newline="") as file:
        losses = [float(row["validation_loss"]) for row in csv.DictReader(file)]
    best = int(np.argmin(losses))
    assert len(losses) == best + 4 < 40  # three epochs after the best one
    assert (run.metrics["best_epoch"], run.metrics["trained_epochs"]) == (best + 1, best + 4)
    end = f"for 3 epochs: stopped; the result has the weights of epoch {best + 1}"
    assert end in capsys.readouterr().out

    model = training.load(run.folder).model
    images, labels = training.load_data(run).fixed_batches("validation").batch(0, 0)
    logits = model.predict(images, verbose=0)
    shifted = logits - logits.max(axis=1, keepdims=True)
    shares = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -shares[np.arange(len(labels)), labels].mean()
    assert loss == pytest.approx(losses[best], rel=1e-3)
    assert logits.dtype == "float32"
    assert model.get_layer("block_0").compute_dtype == precision.removeprefix("mixed_")
    scaled = isinstance(run.model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (precision == "mixed_float16")
