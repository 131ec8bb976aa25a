"""Measurements before training: the number of epochs for a given time, and the learning rate."""

import types

import numpy as np
import pytest

import keras_vit
from keras_vit import data, training
from keras_vit.training.runs import execution, learning_rates, run_folder, timing


@pytest.mark.backend_free
@pytest.mark.parametrize(
    "text, seconds",
    [("2h", 7200), ("90m", 5400), ("1h30m", 5400), ("3600s", 3600), ("1h1m1s", 3661), (0.5, 0.5)],
)
def test_times_are_hours_minutes_and_seconds(text, seconds):
    assert run_folder.seconds("time", text) == seconds


@pytest.mark.backend_free
@pytest.mark.parametrize("text", ["", "2", "h", "2 hours", "30m1h", "-1h", "0s", 0, -3])
def test_other_times_are_refused(text):
    with pytest.raises(ValueError, match="`time` must be"):
        run_folder.seconds("time", text)


class Clock:
    """A model whose steps take 2 s, the first one 30 s, and whose evaluation takes 1 s a batch."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)

    def fit(self, batches, epochs, callbacks, **_):
        self.run(callbacks[0], "on_train_batch_end", epochs * len(batches), "stop_training", 2)

    def evaluate(self, batches, callbacks=(), **_):
        if callbacks:
            count = len(batches)
            self.run(callbacks[0], "on_test_batch_end", count, "stop_evaluating", 1)

    def run(self, callback, call, count, stopping, seconds):
        callback.set_model(self)
        setattr(self, stopping, False)
        for batch in range(count):
            self.now += 28 if call == "on_train_batch_end" and batch == 0 else 0
            self.now += seconds
            getattr(callback, call)(batch, {"loss": 1.0})
            if getattr(self, stopping):
                return


@pytest.mark.backend_free
def test_as_many_epochs_are_planned_as_fit_into_the_time(monkeypatch, capsys):
    places, model = [], Clock(monkeypatch)
    images = types.SimpleNamespace(
        steps_per_epoch=10,
        train=range(10),
        validation=range(40),
        counts={"validation": 400, "test": 100},
        sampler=types.SimpleNamespace(go_to=places.append),
    )
    # An epoch takes 10 * 2 + 40 s. Compiling, 34 s, happens twice; then 20 steps and 20 batches are
    # timed, and the test in the end takes 10 s. 900 s are left of 95 % of the time.
    seconds = (34 + 40 + 20 + 34 + 10 + 900) / 0.95
    assert timing.plan_epochs(seconds, 1000.0, images, model) == 15
    assert places == [0] and "over 15 epochs" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"one epoch and.*=60.0, .*=138.0. Allow at least 209s"):
        timing.plan_epochs(150, model.now, images, model)


def test_the_plan_is_stored_and_the_schedule_ends_with_it(tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "plan_epochs", lambda seconds, *_: int(seconds / 1000))
    given = {**run_folder.OPTIONS, "time": "1h", "seed": 3}
    with execution.starting(given, tmp_path / "run") as (_, options, (*_, model, recipe)):
        pass
    assert options["epochs"] == recipe.epochs == 3
    assert recipe.updates == 3 * 23 and float(model.optimizer.learning_rate) == 0.0
    assert float(recipe.schedule()(3 * 23)) == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="Either the time or the number of epochs"):
        run_folder.check({**given, "epochs": 3})


@pytest.mark.backend_free
def test_the_suggestion_is_where_the_loss_falls_most_steeply():
    """A loss that falls like a sigmoid around step 80 and diverges at 125."""
    steps, rng = np.arange(135), np.random.default_rng(0)
    losses = 3 - 2 / (1 + np.exp((80 - steps) / 8)) + np.exp((steps - 125) / 3)
    found = learning_rates.evaluate_sweep(losses + 0.05 * rng.normal(size=135))
    assert found.rates[0] == 1e-6 and found.rates[120] == pytest.approx(1.0)
    nearest = np.argmin(abs(np.log(found.rates / found.suggestion)))
    assert abs(nearest - 80) <= 4
    assert f"{found.suggestion:.1e}, where the smoothed loss falls" in str(found)
    axes = found.plot().axes[0]
    assert axes.get_xscale() == "log" and len(axes.lines) == 4
    rising = learning_rates.evaluate_sweep(3 + 0.1 * rng.normal(size=100) + steps[:100] / 100)
    assert rising.suggestion is None and "lowers the loss" in str(rising)
    # Two steps for each update: their mean.
    pairs = learning_rates.evaluate_sweep(np.repeat(losses, 2) + np.tile([0.1, -0.1], 135), 2)
    np.testing.assert_allclose(pairs.losses, losses)
    with pytest.raises(ArithmeticError, match="first step, at the learning rate 1e-06. Check"):
        learning_rates.evaluate_sweep(np.array([]))


@pytest.mark.backend_free
def test_the_loss_of_a_batch_is_recovered_and_divergence_ends_the_sweep(monkeypatch, capsys):
    monkeypatch.setattr(learning_rates.messages, "SILENCE", 0)
    record = learning_rates.Record(steps=30, verbose=True)
    record.set_model(types.SimpleNamespace())
    losses = [2.0, 1.0, 3.0, 0.5, *[1.0] * 10, 90.0, 90.0]
    for i in range(len(losses)):  # epochs of four steps
        mean = np.mean(losses[i - i % 4 : i + 1])
        record.on_train_batch_end(i % 4, {"loss": mean})
        assert record.model.stop_training == (i == 14 or i == 15)
    np.testing.assert_allclose(record.losses, losses)
    assert capsys.readouterr().out.splitlines()[14] == "step 15/30  loss 90.000"
    record.on_train_batch_end(0, {"loss": float("nan")})
    assert record.model.stop_training and len(record.losses) == 16


@pytest.mark.slow
@pytest.mark.both
def test_the_sweep_changes_nothing(monkeypatch):
    monkeypatch.setattr(learning_rates, "UPDATES", 6)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 255, (12, 8, 8, 1)).astype("uint8"), np.arange(12) % 3
    loaded = data.load((images, labels), 8, 4, num_channels=1, pipeline="keras", test_share=0)
    recipe = training.recipe("digits", loaded, moving_average=0.9, accumulate=2)
    model = keras_vit.ViT(8, 4, 1, 8, 8, 2, 3, num_channels=1, dropout=0.2)
    before = [np.array(weight) for weight in model.get_weights()]
    loaded.sampler.go_to(4, 1)
    next(iter(loaded.train))  # only a look
    found = training.find_learning_rate(model, loaded, recipe)
    assert len(found.losses) == 6 and found.losses[0] == pytest.approx(np.log(3), rel=1e-3)
    assert all(map(np.array_equal, before, model.get_weights()))
    assert loaded.sampler.begin() == (4, 1)
    assert model.optimizer.use_ema and not model.optimizer.built
    with pytest.raises(ValueError, match="must be scaled to data"):
        training.find_learning_rate(model, loaded, training.recipe("digits"))
