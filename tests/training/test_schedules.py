"""Learning rates against the official formula, and how Keras asks for them."""

import keras
import numpy as np
import pytest

from keras_vit.training.recipes import schedules

LENGTHS = [(1000, 100), (1000, 0), (37, 5), (2, 1)]  # total, warm-up


def official(step, base, total, warmup, decay, linear_end=1e-5):
    """Returns the learning rate as in the paper's code, in float64."""
    progress = np.clip((step - warmup) / (total - warmup), 0.0, 1.0)
    if decay == "linear":
        rate = linear_end + (base - linear_end) * (1.0 - progress)
    else:
        rate = base * 0.5 * (1.0 + np.cos(np.pi * progress))
    return rate * min(1.0, step / warmup) if warmup else rate


@pytest.mark.parametrize("decay", ["linear", "cosine"])
@pytest.mark.parametrize("total, warmup", LENGTHS)
def test_values_are_those_of_the_official_code(decay, total, warmup):
    end = 1e-5 if decay == "linear" else 0.0
    rate = schedules.schedule(decay, 0.03, total, warmup, end=end)
    steps = sorted({0, 1, warmup // 2, warmup, warmup + 1, total // 2, total - 1, total, 2 * total})
    ours = [float(rate(step)) for step in steps]
    theirs = [official(step, 0.03, total, warmup, decay) for step in steps]
    np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=2e-9)


def test_linear_decay_ends_at_the_official_rate_by_default():
    assert float(schedules.LinearDecay(1e-3, 10)(10)) == pytest.approx(1e-5)
    assert float(schedules.LinearDecay(1e-3, 10, end=2e-4)(10)) == pytest.approx(2e-4)


@pytest.mark.parametrize("decay", ["linear", "cosine"])
def test_warm_up_from_a_start_to_an_end_as_deit(decay):
    rate = schedules.schedule(decay, 1e-3, 100, 10, start=1e-6, end=1e-5)
    found = [float(rate(step)) for step in (0, 5, 10, 100)]
    np.testing.assert_allclose(found, [1e-6, 5.005e-4, 1e-3, 1e-5], rtol=1e-5)


@pytest.mark.backend_free
def test_keras_counts_decay_steps_from_the_end_of_the_warm_up():
    """The official code's total is Keras's `warmup_steps + decay_steps`."""
    config = schedules.cosine(0.5, total_steps=100, warmup_steps=10).get_config()
    assert (config["warmup_steps"], config["decay_steps"]) == (10, 90)


def test_constant_stays_after_the_warm_up():
    rate = schedules.schedule("constant", 0.2, 100, 10)
    assert [round(float(rate(step)), 6) for step in (5, 10, 50, 500)] == [0.1, 0.2, 0.2, 0.2]


@pytest.mark.parametrize(
    "rate",
    [
        schedules.LinearDecay(8e-4, 100, 10, start=1e-6, end=2e-5),
        schedules.Updates(schedules.LinearDecay(8e-4, 100, 10), batches=4),
        schedules.Updates(schedules.cosine(0.03, 100, 10), batches=3),
    ],
)
def test_schedules_come_back_from_their_configuration(rate):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(rate))
    for step in (0, 7, 60, 399):
        assert float(again(step)) == float(rate(step))


def test_keras_asks_by_batches_and_updates_turn_them_into_updates():
    """Three batches per update: the weight falls by the rates of steps 0, 1, 2, 3."""
    rate = schedules.LinearDecay(0.5, total_steps=5, end=0.0)
    weight = keras.Variable(np.zeros(1, "float32"), name="kernel")
    optimizer = keras.optimizers.SGD(schedules.Updates(rate, 3), gradient_accumulation_steps=3)
    optimizer.build([weight])
    for _ in range(12):
        optimizer.apply([keras.ops.ones(1)], [weight])
    assert int(optimizer.iterations) == 4
    expected = -(0.5 + 0.4 + 0.3 + 0.2)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(weight), [expected], rtol=1e-6)


@pytest.mark.backend_free
@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"total_steps": 0}, "`total_steps` must be a positive integer"),
        ({"total_steps": 10, "warmup_steps": 10}, "warm-up must be shorter than the training"),
        ({"total_steps": 10, "warmup_steps": -1}, "`warmup_steps` must be a non-negative integer"),
        ({"total_steps": 10, "learning_rate": 0.0}, "`learning_rate` must be a finite number"),
    ],
)
@pytest.mark.parametrize("decay", ["linear", "cosine"])
def test_lengths_and_rates_that_cannot_be_used_are_refused(decay, wrong, words):
    with pytest.raises(ValueError, match=words):
        schedules.schedule(decay, **{"learning_rate": 0.1, **wrong})


@pytest.mark.backend_free
def test_unknown_decay_is_refused():
    with pytest.raises(ValueError, match="`decay` must be one of 'cosine'"):
        schedules.schedule("step", 0.1, 10)
