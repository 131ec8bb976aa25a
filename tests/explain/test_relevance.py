"""Relevance of patches to a class, against finite differences of the paper's equations in NumPy."""

import functools
import math
import os
import pathlib

import keras
import numpy as np
import paper
import pytest
from helpers import quick, random_images, randomize, weights

import keras_vit
from keras_vit.descendants import RegisterViT
from keras_vit.explain.gradients import relevance
from keras_vit.explain.masking import deletion_curve

WEIGHTS = pathlib.Path(
    os.environ.get("KERAS_VIT_TEST_DATA", "not set"),
    "weights/ViT-Ti_16.augreg.imagenet2012.224.npz",
)
PHOTOS = WEIGHTS.parents[1] / "photos/nips17"
NUM_LAYERS, NUM_HEADS, GRID = 2, 3, (2, 3)
ONES = np.ones((NUM_LAYERS, NUM_HEADS, 1, 1))
CLASS_TOKENS = {"token": 1, "distilled": 2, "gap": 0, "map": 0}


pytestmark = pytest.mark.usefixtures("blank")
numpy = keras.ops.convert_to_numpy


@functools.cache
def small(pooling="token", model=keras_vit.ViT, **options):
    sizes = {"image_size": (4, 9), "patch_size": (2, 3), "num_layers": NUM_LAYERS, "hidden_dim": 6}
    sizes |= {"mlp_dim": 7, "num_heads": NUM_HEADS, "num_classes": 5, "pooling": pooling}
    return randomize(model(**sizes | options), scale=0.4)


def logit(image, w, factors, pooling, label):
    """The paper's equations with a factor on every attention score, (layers, heads, T, T)."""
    z = paper.embed(paper.patches(image / 127.5 - 1, 2, 3), paper.under(w, "patch_encoder"))
    for i in range(NUM_LAYERS):
        block = paper.under(w, f"block_{i}")
        x = paper.norm(z, block, "norm_1")
        z = z + attention(x, paper.under(block, "attention"), factors[i])[0]
        z = z + paper.mlp(paper.norm(z, block, "norm_2"), paper.under(block, "mlp"), False)
    z = paper.norm(z, w, "encoder_norm")
    if pooling == "map":
        y = paper.attention_pooling(z, paper.under(w, "pooling"), False)
    else:
        y = {"token": z[0], "distilled": z[:2].reshape(-1), "gap": z.mean(0)}[pooling]
    return (y @ w["head/kernel"] + w["head/bias"])[label]


def attention(x, w, factors):
    """Eq. 5-8, each score times its factor."""
    query, key, value = np.split(x @ w["query_key_value/kernel"] + w["query_key_value/bias"], 3, -1)
    heads, scores = [], []
    for h, part in enumerate(np.split(np.arange(x.shape[-1]), NUM_HEADS)):
        scores.append(paper.softmax(query[:, part] @ key[:, part].T / math.sqrt(len(part))))
        heads.append(scores[-1] * factors[h] @ value[:, part])
    return np.concatenate(heads, -1) @ w["projection/kernel"] + w["projection/bias"], scores


def expected(image, w, pooling, label, step=1e-5, registers=0):
    """Chefer et al., Eq. 5 and 6, as printed: score times slope of the logit, layer by layer."""
    prefix = CLASS_TOKENS[pooling] + registers
    tokens = prefix + math.prod(GRID)
    factors = np.ones((NUM_LAYERS, NUM_HEADS, tokens, tokens))
    slopes = np.zeros_like(factors)
    for place in np.ndindex(factors.shape):
        for sign in (1, -1):
            factors[place] = 1 + sign * step
            slopes[place] += sign * logit(image, w, factors, pooling, label) / (2 * step)
        factors[place] = 1
    total = np.eye(tokens)
    for layer in slopes:  # the slope in a factor of 1 is the score times the score's gradient
        total = total + np.maximum(layer, 0).mean(0) @ total
    readers = CLASS_TOKENS[pooling] or tokens
    row = (total - np.eye(tokens))[:readers].mean(0)[prefix:]
    return row.reshape(GRID) / row.sum()


@pytest.mark.parametrize("pooling", quick(CLASS_TOKENS, "token", "gap"))
def test_relevance_is_that_of_finite_differences(pooling):
    model = small(pooling)
    images, classes = random_images(3, 4, 9, 3), [3, 0, 3]
    found = relevance(model, images, classes, batch_size=2)
    w = weights(model)
    truth = [expected(images[i], w, pooling, classes[i]) for i in range(3)]
    assert found.dtype == "float32" and np.ptp(truth[0]) > 0.05
    np.testing.assert_allclose(found, truth, atol=1e-4)


def test_the_head_reads_no_register():
    model, images = small("token", RegisterViT, num_registers=2), random_images(1, 4, 9, 3)
    truth = expected(images[0], weights(model), "token", 3, registers=2)
    np.testing.assert_allclose(relevance(model, images, 3)[0], truth, atol=1e-4)


@pytest.mark.slow
@pytest.mark.both
@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX computes in float32 by default")
def test_a_model_in_float64_has_the_same_relevance():
    model, double = small(), small(dtype="float64")
    images = random_images(2, 4, 9, 3)
    expected = relevance(model, images, 1)
    np.testing.assert_allclose(relevance(double, images, 1), expected, atol=1e-5)


def test_factors_on_scores_are_where_they_should_be():
    """The transcription with factors of 1 is the paper's, score by score."""
    w = paper.under(weights(small()), "block_0/attention")
    x = np.random.default_rng(0).normal(size=(7, 6))
    (y, scores), (again, same) = attention(x, w, np.ones((3, 7, 7))), paper.msa(x, w, NUM_HEADS)
    np.testing.assert_allclose(y, again)
    np.testing.assert_allclose(scores, same)


@pytest.mark.filterwarnings("ignore:Pixels from:UserWarning")  # far apart, so that classes differ
def test_none_is_the_most_probable_class_of_each_image():
    model, images = small(), np.random.default_rng(1).normal(0, 1000, (4, 4, 9, 3))
    w = weights(model)
    predicted = [np.argmax([logit(x, w, ONES, "token", c) for c in range(5)]) for x in images]
    assert len(set(predicted)) > 1
    maps = relevance(model, images, batch_size=2)
    np.testing.assert_array_equal(maps, relevance(model, images, predicted, batch_size=2))
    other = int(predicted[0] + 1) % 5
    for_other = relevance(model, images, other, batch_size=2)
    np.testing.assert_array_equal(for_other, relevance(model, images, [other] * 4, batch_size=2))
    assert np.abs(for_other[0] - maps[0]).max() > 1e-3
    np.testing.assert_allclose(maps.sum((1, 2)), 1, rtol=1e-5)
    assert (maps >= 0).all()


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (5, "The model has 5 classes, 0 to 4. Received: classes=5"),
        ([0, -1], "The model has 5 classes"),
        ([0, 1, 2], "one number for every image. Received: classes=.*, images=2"),
        (1.5, "must be None, the number of a class"),
        (True, "must be None, the number of a class"),
        ("cat", "must be None, the number of a class"),
        ([[0], [1]], "must be None, the number of a class"),
    ],
)
def test_classes_that_do_not_exist_are_refused(classes, message):
    with pytest.raises(ValueError, match=message):
        relevance(small(), np.zeros((2, 4, 9, 3)), classes)


def test_models_that_cannot_be_explained_are_refused():
    vit = small()
    with pytest.raises(ValueError, match="expects images of shape"):
        relevance(vit, np.zeros((2, 9, 4, 3)))
    tokens = keras.Model(vit.input, vit.get_layer("encoder_norm").output)
    with pytest.raises(
        ValueError, match=r"one output, \(batch, classes\). Received: output=\(2, 7"
    ):
        relevance(tokens, np.zeros((2, 4, 9, 3)))
    with pytest.raises(ValueError, match="one Transformer encoder"):
        relevance(keras_vit.create("R50x1", image_size=32, units=(1,)), np.zeros((1, 32, 32, 3)))


class Subclassed(keras.Model):
    """Calls a model from its own `call`."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, x, training=None):
        return self.inner(x, training=training)


def sequential(model):
    layers = keras.layers
    return keras.Sequential([keras.Input((4, 9, 3)), layers.RandomFlip(), model])


def functional(model):
    images = keras.Input((4, 9, 3))
    return keras.Model(images, model(keras.layers.RandomContrast(0.5)(images)))


@pytest.mark.parametrize(
    "wrap",
    [
        sequential,
        pytest.param(functional, marks=pytest.mark.slow),
        pytest.param(Subclassed, marks=pytest.mark.slow),
    ],
)
def test_nested_models_have_the_maps_of_the_one_inside(wrap):
    model, images = small(), random_images(2, 4, 9, 3)
    outer = wrap(model)
    outer.built or outer(images)
    np.testing.assert_allclose(relevance(outer, images, 3), relevance(model, images, 3), atol=1e-6)


def test_nothing_of_the_model_changes():
    model, images = small(), random_images(2, 4, 9, 3)
    before, nodes = weights(model), [len(layer._inbound_nodes) for layer in model.layers]
    relevance(model, images)
    assert all((value == before[path]).all() for path, value in weights(model).items())
    assert nodes == [len(layer._inbound_nodes) for layer in model.layers]
    assert not any(
        "call" in vars(block.attention) for block in model.layers if "block" in block.name
    )


def test_new_weights_are_seen_and_a_head_of_zeros_has_no_relevant_patches():
    model, images = small.__wrapped__(), random_images(1, 4, 9, 3)
    before = relevance(model, images, 1)
    found = relevance(randomize(model, seed=5, scale=0.4), images, 1)
    truth = expected(images[0], weights(model), "token", 1)
    np.testing.assert_allclose(found[0], truth, atol=1e-4)
    assert np.abs(found - before).max() > 1e-2
    model.get_layer("head").kernel.assign(np.zeros((6, 5)))
    np.testing.assert_array_equal(relevance(model, images, 1), 0)


@pytest.mark.slow
def test_mixed_precision_gives_the_same_map_up_to_its_rounding():
    model, mixed = small(hidden_dim=48), small(hidden_dim=48, dtype="mixed_bfloat16")
    images = random_images(2, 4, 9, 3)
    found, exact = relevance(mixed, images, 2), relevance(model, images, 2)
    assert found.dtype == "float32" and np.ptp(exact) > 0.05
    np.testing.assert_allclose(found, exact, atol=0.03)


@pytest.mark.slow
def test_hybrids_have_a_map_over_their_patches():
    model = small(model=keras_vit.HybridViT, image_size=(16, 24), patch_size=8, resnet_units=(1, 1))
    maps = relevance(model, random_images(1, 16, 24, 3), 1)
    assert maps.shape == (1, 2, 3)
    np.testing.assert_allclose(maps.sum(), 1, rtol=1e-5)


@pytest.mark.slow
def test_maps_of_a_saved_model_are_the_same(tmp_path):
    model, images = small(), random_images(1, 4, 9, 3)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    found = relevance(loaded, images)
    np.testing.assert_allclose(found, relevance(model, images), atol=1e-6)


# --- Real weights -----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not WEIGHTS.exists(), reason="KERAS_VIT_TEST_DATA names no folder with weights")
def test_what_is_relevant_to_a_trained_model_is_what_it_needs():
    model = keras_vit.load_pretrained(WEIGHTS, verbose=False)
    files = sorted(PHOTOS.glob("*.png"))[:8]
    images = np.stack([keras_vit.data.read(file, 224) for file in files])
    maps = relevance(model, images, batch_size=4)
    noise = np.random.default_rng(0).random(maps.shape)
    curves = [deletion_curve(model, images, m, steps=4, batch_size=8) for m in (maps, noise)]
    relevant, random = (curve.mean() for curve in curves)
    assert relevant < 0.75 * random
