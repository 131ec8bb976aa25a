"""Runs in a process with four devices, whose results must agree with those of one.

22 images cannot be shared equally: neither in batches of 8 or 5, nor as a whole.
"""

import keras_vit  # isort: skip
import warnings

import helpers
import keras
import numpy as np

IMAGES, LABELS = helpers.random_images(22, 8, 8, 3), np.arange(22) % 3
WEIGHTS = np.linspace(0.5, 1, 22).astype("float32")
SPARSE = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def small():
    sizes = {"image_size": 8, "patch_size": 4, "num_layers": 1, "hidden_dim": 6}
    model = keras_vit.ViT(**sizes, mlp_dim=5, num_heads=3, num_classes=3)
    helpers.randomize(model, scale=0.3)
    weighted = keras.metrics.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", SPARSE, metrics=["accuracy"], weighted_metrics=[weighted])
    return model


class Batches(keras.utils.PyDataset):
    num_batches = 3

    def __getitem__(self, i):
        return IMAGES[i * 10 : i * 10 + 10], LABELS[i * 10 : i * 10 + 10]


def generator(size=5):
    for i in range(0, 22, size):
        yield IMAGES[i : i + size], LABELS[i : i + size]


def results(model):
    """Returns {call: result}; `fit` is the last."""
    quiet = {"verbose": 0}
    part = {"x": IMAGES[:16], "y": LABELS[:16], "batch_size": 8, "shuffle": False, **quiet}
    held = (IMAGES[:3], LABELS[:3])
    return {
        "predict": model.predict(IMAGES, batch_size=5, **quiet),
        "predict one": model.predict(IMAGES[:1], **quiet),
        "predict batches": model.predict(Batches(), **quiet),
        "evaluate": model.evaluate(IMAGES, LABELS, sample_weight=WEIGHTS, batch_size=8, **quiet),
        "evaluate three": model.evaluate(*held, return_dict=True, **quiet),
        "evaluate batches": model.evaluate(generator(), steps=5, **quiet),
        "fit": model.fit(validation_data=held, epochs=2, **part).history,
        "after": model.predict(IMAGES, **quiet),
    }


def refusal(**arguments):
    """Returns the error of `fit`, which leaves the weights unchanged."""
    model = small()
    before = model.get_weights()
    try:
        model.fit(verbose=0, **arguments)
    except ValueError as error:
        np.testing.assert_array_equal(before[0], model.get_weights()[0])
        return str(error)
    raise AssertionError(f"{list(arguments)} were not refused")


def warnings_around():
    """Returns how often a model around a ViT warns of scaled pixels."""
    model = keras.Sequential([keras.Input((8, 8, 3)), small(), keras.layers.Softmax()])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.predict(IMAGES[:16] / 255, batch_size=8, verbose=0)
    return sum("scaled already" in str(w.message) for w in caught)


if __name__ == "__main__":
    expected = results(small())
    keras.distribution.set_distribution(keras.distribution.DataParallel())
    assert keras.distribution.distribution().device_mesh.shape == (4,)
    for name, found in results(small()).items():
        pairs = zip(*map(keras.tree.flatten, (found, expected[name])), strict=True)
        for one, other in pairs:
            np.testing.assert_allclose(one, other, atol=1e-5, err_msg=name)
    assert "Use a batch size of 8 or 12" in refusal(x=IMAGES, y=LABELS, batch_size=10)
    assert "Leave out 2 of the 22" in refusal(x=IMAGES, y=LABELS, batch_size=8)
    assert "Leave out 3 of the 15" in refusal(
        x=IMAGES, y=LABELS, batch_size=4, validation_split=0.3
    )
    assert "devices=4. Drop the rest" in refusal(x=generator(10), steps_per_epoch=3)
    assert warnings_around() == 1
