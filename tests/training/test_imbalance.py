"""Classes of very different sizes: their weights in the loss, and balanced sampling."""

import keras
import numpy as np
import pytest

from keras_vit import data
from keras_vit.training import recipe
from keras_vit.training.recipes import class_weights, losses

# Sizes of 12, 5 and 3; every image has its own value.
LABELS = np.repeat([0, 1, 2], [12, 5, 3])
IMAGES = np.arange(20, dtype="uint8").reshape(20, 1, 1, 1) * np.ones((1, 8, 8, 1), "uint8")


def load(**options):
    shares = {"validation_share": 0, "test_share": 0}
    settings = {"image_size": 8, "num_channels": 1, "batch_size": 4, "pipeline": "keras"}
    return data.load((IMAGES, LABELS), **{**settings, **shares, **options})


def test_class_weights_are_computed_by_hand():
    """Cross-entropies of the images are ln 2 and ln 4, for both kinds of labels."""
    logits = np.log([[0.5, 0.5], [0.75, 0.25]]).astype("float32")
    loss = losses.SoftmaxCrossEntropy(class_weights=(2.0, 0.5))
    classes = np.array([0, 1])
    expected = (2 * np.log(2) + 0.5 * np.log(4)) / 2
    assert float(loss(classes, logits)) == pytest.approx(expected, rel=1e-6)
    # Mixed: the first image weighs 0.25 * 2 + 0.75 * 0.5 = 0.875, the second one 1.25.
    mixed = np.array([[0.25, 0.75], [0.5, 0.5]], "float32")
    second = -(np.log(0.75) + np.log(0.25)) / 2
    expected = (0.875 * np.log(2) + 1.25 * second) / 2
    assert float(loss(mixed, logits)) == pytest.approx(expected, rel=1e-6)
    # Smoothing by 0.2 changes the second image's label to (0.1, 0.9), but not its weight.
    smooth = losses.SoftmaxCrossEntropy(0.2, (2.0, 0.5))
    expected = (2 * np.log(2) - 0.5 * (0.1 * np.log(0.75) + 0.9 * np.log(0.25))) / 2
    assert float(smooth(classes, logits)) == pytest.approx(expected, rel=1e-6)
    # Sigmoid: each of two logits of 0 costs ln 2.
    sigmoid = losses.SigmoidCrossEntropy(class_weights=[3, 1])
    assert float(sigmoid(classes[:1], np.zeros((1, 2), "float32"))) == pytest.approx(6 * np.log(2))
    copy = keras.losses.deserialize(keras.losses.serialize(loss))
    assert float(copy(mixed, logits)) == float(loss(mixed, logits))
    with pytest.raises(ValueError, match="class_weights=2, classes=3"):
        loss(classes, np.zeros((2, 3), "float32"))


@pytest.mark.backend_free
def test_balanced_weights_give_every_class_the_same_share():
    made = recipe("finetune", load(), class_weights="balanced")
    assert made.class_weights == pytest.approx((20 / 36, 20 / 15, 20 / 9))
    assert "class weights from 0.556 to 2.22" in str(made)
    assert class_weights.resolve("balanced", "abc", [0, 0, 2, 2]) == (1.0, 1.0, 1.0)  # no b
    assert recipe("finetune", load(), class_weights="2=4, 0=0.5").class_weights == (0.5, 1, 4)


@pytest.mark.backend_free
@pytest.mark.parametrize(
    "overrides, words",
    [
        ({"class_weights": {"3": 2}}, "Class weights are given by class name.*Classes are 0, 1, 2"),
        ({"class_weights": {"0": 0}}, "`class_weights of 0` must be a finite number above 0"),
        ({"class_weights": "0=-1"}, "above 0"),
        ({"class_weights": "heavy"}, "pairs of a class name and a number"),
        ({"class_weights": [1, 2, 3]}, "weights by class name"),
        ({"class_weights": "balanced", "sampling": "balanced"}, "the same imbalance"),
        ({"sampling": "even"}, "`sampling` must be one of 'shuffled', 'balanced'"),
        ({"early_stopping": 3}, "needs validation images"),
        ({"early_stopping": 3, "moving_average": 0.9}, "both determine the final weights"),
        ({"precision": "float16"}, "`precision` must be one of None, 'float32'"),
    ],
)
def test_what_cannot_be_used_is_refused(overrides, words):
    with pytest.raises(ValueError, match=words):
        recipe("finetune", load(), **overrides)
    assert recipe("finetune", class_weights="balanced").class_weights == "balanced"


def test_class_weights_without_classes_are_refused():
    with pytest.raises(ValueError, match="need the classes of the data"):
        _ = recipe("finetune", class_weights="balanced").scale(20, 4, 5).compile_arguments


@pytest.mark.backend_free
def test_balanced_epochs_have_every_class_equally_often_and_all_images_in_turn():
    sampler = data.Sampler(LABELS, 4, seed=3, sampling="balanced")
    orders = [sampler.order(epoch) for epoch in range(12)]
    for order in orders:
        counts = np.bincount(LABELS[order])
        assert len(order) == 20 and sorted(counts) == [6, 7, 7]
    assert len({tuple(order) for order in orders}) == 12
    # In 12 epochs, 72 to 84 images of each class: the 12 of class 0 were drawn 6 or 7 times each,
    # except for the one of each epoch that did not fit.
    drawn = np.bincount(np.concatenate(orders), minlength=20)
    for label in range(3):
        times, images = drawn[label == LABELS], np.count_nonzero(label == LABELS)
        assert abs(times - 80 / images).max() <= 80 / images / 4 + 1.5
    # Two epochs of seven show each of the 12 images of class 0, up to one for each epoch.
    first = np.concatenate(orders[:2])
    assert len(set(first[LABELS[first] == 0])) >= 10


@pytest.mark.backend_free
def test_balanced_order_depends_only_on_seed_and_epoch():
    samplers = [data.Sampler(LABELS, 4, seed=seed, sampling="balanced") for seed in (3, 3, 4)]
    later = samplers[0].order(9)
    for epoch in range(9):
        samplers[1].order(epoch)
    assert np.array_equal(later, samplers[1].order(9))
    assert not np.array_equal(later, samplers[2].order(9))
    prints = [s.fingerprint() for s in (samplers[0], data.Sampler(LABELS, 4, seed=3))]
    assert prints[0] == {**prints[1], "sampling": "balanced"}


@pytest.mark.backend_free
def test_repeated_images_are_augmented_anew():
    """Five images of one value, of which one class has a single one, in an epoch of 8."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (8, 16, 16, 1)).astype("uint8")
    labels = np.array([0] * 7 + [1])
    options = {"augment": data.Augmentation(shift=0.4), "sampling": "balanced"}
    shares = {"validation_share": 0, "test_share": 0}
    loaded = data.load(
        (images, labels), 16, 8, num_channels=1, pipeline="keras", **options, **shares
    )
    batch, found = loaded.training_batches.batch(0, 0)
    rare = [image.tobytes() for image in batch[found == 1]]
    assert len(rare) == 4 == len(set(rare))
    again = loaded.training_batches.batch(0, 0)[0]
    assert np.array_equal(batch, again)
