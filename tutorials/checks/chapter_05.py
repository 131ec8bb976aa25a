"""Checks of chapter 5, Training from scratch."""

import keras
import numpy as np
from check import call, close, expect
from keras.optimizers.schedules import LearningRateSchedule


def WarmupCosine(answer):
    hint = "From the peak at the end of the warm-up to zero at the last step along half a cosine."
    _rates(answer, {40: 0.8535534, 60: 0.5, 80: 0.1464466, 100: 0}, hint)
    hint = "Without a warm-up, step 0 has the peak: do not divide by zero."
    with np.errstate(all="ignore"):
        close(_rate(call(answer, 3.0, 50, 0), 0), 3.0, hint)


def WarmupLinear(answer):
    hint = "From the peak at the end of the warm-up to zero at the last step along a straight line."
    _rates(answer, {40: 0.75, 60: 0.5, 80: 0.25, 100: 0}, hint)


def _rates(answer, falling, hint):
    for peak in (1.0, 4.0):
        schedule = call(answer, peak, 100, 20)
        expect(isinstance(schedule, LearningRateSchedule), "A subclass of Keras's schedule.")
        for step, share in {0: 0, 5: 0.25, 10: 0.5, 20: 1}.items():
            rise = f"Step {step} of a warm-up of 20 has the share {share} of the peak {peak}."
            close(_rate(schedule, step), share * peak, rise)
        for step, share in falling.items():
            close(_rate(schedule, step), share * peak, f"Step {step} of 100, warm-up 20. {hint}")
    _without_value(schedule)


def _rate(schedule, step):
    return float(call(schedule, keras.ops.convert_to_tensor(step)))


def _without_value(schedule):
    try:
        keras.ops.vectorized_map(schedule, keras.ops.convert_to_tensor([5, 60]))
    except Exception as error:
        hint = "The rates are right, but Keras compiles this method, when `step` has no value yet. "
        hint += "Use keras.ops, and on `step` neither `if`, min, max, float nor NumPy."
        expect(False, f"{hint} It stops with {type(error).__name__}.")


def smallest_loss(answer):
    hint = "The loss is smallest if the model predicts the targets themselves. The true class has "
    hint += "1 - smoothing, and all classes share the smoothing equally, the true one included."
    for classes, smoothing in ((10, 0.1), (4, 0.2)):
        other = smoothing / classes
        true = 1 - smoothing + other
        least = -true * np.log(true) - (classes - 1) * other * np.log(other)
        close(call(answer, classes, smoothing), least, hint)


def images_needed(answer):
    hint = "The smallest n at which the upper end of the lower interval is below the lower end of "
    for p, q in ((0.88, 0.89), (0.5, 0.6)):
        n = 1
        while _wilson(p, n)[1] >= _wilson(q, n)[0]:
            n += 1
        close(call(answer, p, q), n, f"{hint}the upper one, for {p:.0%} and {q:.0%}.", 0.01)


def _wilson(p, n, z=1.96):
    half = z * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    middle, scale = p + z**2 / (2 * n), 1 + z**2 / n
    return (middle - half) / scale, (middle + half) / scale
