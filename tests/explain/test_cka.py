"""CKA against hand computations and a NumPy transcription of the papers' formulas."""

import os
import pathlib

import keras
import numpy as np
import pytest
from helpers import numpy, random_images, random_tokens, randomize

import keras_vit
from keras_vit.explain.representations import cka

pytestmark = pytest.mark.usefixtures("blank")
DATA = pathlib.Path(os.environ.get("KERAS_VIT_TEST_DATA", "none"))
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="KERAS_VIT_TEST_DATA is not set")


STAGES = ("patch_encoder", "block_0", "block_1", "encoder_norm")


def vit(model=keras_vit.ViT, **options):
    sizes = {"image_size": (8, 15), "patch_size": (4, 5), "num_layers": 2, "hidden_dim": 8}
    heads = {"mlp_dim": 8, "num_heads": 2, "num_classes": 3}
    return randomize(model(**{**sizes, **heads, **options}), scale=0.3)


def dense(*units, image_size=(2, 3), seed=1):
    """Layers of dense units on all pixels, named after their places."""
    images = keras.Input((*image_size, 1))
    x = keras.layers.Flatten()(images)
    for i, count in enumerate(units):
        x = keras.layers.Dense(count, activation="tanh", name=f"dense_{i}")(x)
    return randomize(keras.Model(images, x), seed, 0.01)


def outputs(model, names, images):
    found = keras.Model(model.inputs[0], [model.get_layer(name).output for name in names])(images)
    found = keras.tree.flatten(found)  # a single output is not in a list
    return [numpy(keras.ops.cast(x, "float32")).astype("float64") for x in found]


def hsic_1(x, y):
    """Eq. 3 of Nguyen, Raghu and Kornblith, as printed."""
    x, y = (array.reshape(len(array), -1) for array in (x, y))
    n, one = len(x), np.ones(len(x))
    k, m = (array @ array.T for array in (x, y))
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    first = np.trace(k @ m)
    second = (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
    third = 2 / (n - 2) * (one @ k @ m @ one)
    return (first + second - third) / (n * (n - 3))


def minibatch_cka(xs, ys, weights=None):
    """Eq. 2 of the same, of lists of batches."""
    parts = [[hsic_1(x, y), hsic_1(x, x), hsic_1(y, y)] for x, y in zip(xs, ys, strict=True)]
    xy, xx, yy = np.average(parts, axis=0, weights=weights)
    return xy / np.sqrt(xx * yy)


# --- Arrays -------------------------------------------------------------------------------------


@pytest.mark.backend_free
def test_three_images_by_hand():
    """Centered X = [[1, 0], [-1, 0], [0, 0]], Y = [[1], [1], [-2]], Z = [[1], [0], [-1]]."""
    x = np.array([[6, 2], [4, 2], [5, 2]])
    y, z = np.array([[3], [3], [0]]), np.array([[1], [0], [-1]])
    # |Y^T X|^2 = 0; |Z^T X|^2 = 1, |X^T X| = 2, |Z^T Z| = 2; |Z^T Y|^2 = 9, |Y^T Y| = 6.
    assert cka(x, y) == pytest.approx(0, abs=1e-12)
    assert cka(x, z) == cka(z, x) == pytest.approx(1 / 4)
    assert cka(y, z) == pytest.approx(9 / 12)
    assert isinstance(cka(x, z), float)


@pytest.mark.backend_free
@pytest.mark.parametrize("count", [5, 200])
def test_rotation_scale_and_offset_do_not_matter(count):
    x = random_tokens(count, 3, 4)
    turn = np.linalg.qr(random_tokens(12, 12, seed=1))[0]
    assert cka(x, x) == pytest.approx(1)
    assert cka(x, -3 * x.reshape(count, 12) @ turn + 100) == pytest.approx(1, abs=1e-5)
    assert cka(x, x.reshape(count, 12) * np.arange(12)) < 0.99


@pytest.mark.backend_free
def test_both_ways_to_compute_are_the_same():
    """11 images with 3 and 5 features, then the same in 300 features that are mostly zero."""
    x, y = random_tokens(11, 3), random_tokens(11, 5, seed=1)
    long = np.zeros((11, 300))
    long[:, ::60] = y
    k, m = ((a - a.mean(0)) @ (a - a.mean(0)).T for a in (x, y))
    expected = np.sum(k * m) / np.sqrt(np.sum(k * k) * np.sum(m * m))
    assert cka(x, y) == pytest.approx(expected)
    assert cka(x, long) == pytest.approx(expected)


@pytest.mark.backend_free
def test_unusable_arrays_are_refused():
    x = random_tokens(6, 3)
    for a, b in ((x, x[:5]), (x[:1], x[:1]), (x[:, 0], x)):
        with pytest.raises(ValueError, match="Features must be two arrays .*Received: a shape="):
            cka(a, b)
    with pytest.raises(ValueError, match="Features must differ.*Received: b='all images alike'"):
        cka(x, np.ones((6, 2)))


# --- Models -------------------------------------------------------------------------------------


def test_one_batch_is_the_formula():
    a, b = dense(5, 4, 3), dense(6, 2, seed=2)
    images = random_images(9, 2, 3, 1)
    found = cka(a, b, images)
    assert (found.layers_a, found.layers_b) == (
        ("dense_0", "dense_1", "dense_2"),
        ("dense_0", "dense_1"),
    )
    for i, x in enumerate(outputs(a, found.layers_a, images)):
        for j, y in enumerate(outputs(b, found.layers_b, images)):
            assert found.values[i, j] == pytest.approx(minibatch_cka([x], [y]), abs=1e-4)


@pytest.mark.parametrize(
    "count, used, weights", [(10, 10, [1, 1]), (14, 14, [5, 5, 4]), (13, 10, [1, 1])]
)
def test_batches_count_by_their_images(count, used, weights):
    """Batches of 5; a last one of 4 counts for 4, one of 3 does not count."""
    model, images = dense(5, 4), random_images(count, 2, 3, 1)
    found = cka(model, model, images, ["dense_0"], ["dense_1"], batch_size=5)
    x, y = outputs(model, ("dense_0", "dense_1"), images[:used])
    xs, ys = ([array[i : i + 5] for i in range(0, used, 5)] for array in (x, y))
    assert found.values[0, 0] == pytest.approx(minibatch_cka(xs, ys, weights), abs=1e-4)


@pytest.mark.slow
def test_tokens_are_compared_as_the_next_block_sees_them():
    model, images, names = vit(), random_images(4, 8, 15, 3), ["patch_encoder", "block_1"]
    raw = outputs(model, names, images)
    for normalize in (True, False):
        found = cka(model, model, images, *[names] * 2, normalize_tokens=normalize)
        x, y = map(layer_norm, raw) if normalize else raw
        assert found.values[0, 1] == pytest.approx(minibatch_cka([x], [y]), abs=1e-4)
    found = cka(model, model, images, *[["encoder_norm", "block_1"]] * 2)
    assert found.values[0, 1] > 0.8  # the same except for the learned scale


def layer_norm(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)


@pytest.mark.slow
@pytest.mark.both
def test_a_model_is_like_itself_and_stays_as_it_is():
    model, images = vit(), random_images(4, 8, 15, 3)
    before = numpy(model(images))
    found = cka(model, model, images)
    assert found.layers_a == found.layers_b == STAGES
    np.testing.assert_allclose(np.diag(found.values), 1, atol=1e-9)
    np.testing.assert_allclose(found.values, found.values.T, atol=1e-9)
    assert all("call" not in vars(layer) for layer in model.layers)
    np.testing.assert_array_equal(numpy(model(images)), before)


def test_unlike_noise_however_many_the_features():
    """Independent noise in 256 features: the biased estimate is near 1 with 16 images."""
    model = dense(256, image_size=(16, 16))
    images, other = (random_images(1024, 16, 16, 1, seed=seed) for seed in (0, 1))
    x, y = (outputs(model, ["dense_0"], batch[:16])[0] for batch in (images, other))
    assert cka(x, y) > 0.8
    assert abs(cka(model, model, (images, other), batch_size=16).values[0, 0]) < 0.05


def test_what_all_images_share_does_not_matter():
    """Positions a thousand times as long as the images' own part: float32 products lose that."""
    model, images, name = vit(), random_images(9, 8, 15, 3), ["patch_encoder"]
    position = model.get_layer("patch_encoder").position_embedding
    position.assign(position + 300)
    found = cka(model, model, images, name, ["block_0"], normalize_tokens=False)
    x, y = outputs(model, ["patch_encoder", "block_0"], images)
    assert found.values[0, 0] == pytest.approx(minibatch_cka([x], [y]), abs=1e-4)


def test_a_model_is_computed_once_against_itself(monkeypatch):
    model, images, calls = dense(3), random_images(8, 2, 3, 1), []
    run = keras_vit.explain.inside.batched.run
    spy = lambda *args, **kwargs: calls.append(args[1]) or run(*args, **kwargs)  # noqa: E731
    monkeypatch.setattr(keras_vit.explain.inside.batched, "run", spy)
    cka(model, model, images)
    assert calls == [model]
    other = dense(3, seed=2)
    cka(model, other, images)
    assert calls == [model, model, other]


@pytest.mark.slow
def test_stages_of_every_kind_of_model():
    images = random_images(4, 32, 32, 3)
    hybrid = vit(
        keras_vit.HybridViT, image_size=32, patch_size=16, resnet_units=(1, 1), pooling="gap"
    )
    resnet = randomize(keras_vit.ResNet(32, (1, 1), num_classes=2))
    found = cka(hybrid, resnet, images)
    units = ("root", "stage_1_unit_1", "stage_2_unit_1")
    assert found.layers_a == (*units, "patch_encoder", "block_0", "block_1", "encoder_norm")
    assert found.layers_b == units
    assert found.values.shape == (7, 3) and np.isfinite(found.values).all()


def test_layers_within_models_and_with_several_inputs():
    inner = dense(4, 3, image_size=(2, 3))
    images = keras.Input((2, 3, 1))
    x = keras.layers.Reshape((3, 1))(inner(images))
    x = keras.layers.MultiHeadAttention(2, 4, name="attention")(x, x)
    outer = randomize(keras.Model(images, keras.layers.Dense(2, name="last")(x)))
    batch = random_images(8, 2, 3, 1)
    found = cka(outer, inner, batch)
    assert found.layers_a == ("dense_0", "dense_1", "attention", "last")
    np.testing.assert_allclose(found.values[:2], cka(inner, inner, batch).values, atol=1e-4)
    assert cka(outer, inner, batch, "last", ["dense_1"]).values.shape == (1, 1)


def test_a_layer_that_tells_no_images_apart():
    model, images = dense(5, 4), random_images(9, 2, 3, 1)
    for weight, value in zip(model.layers[-1].weights, (0, 0.3), strict=True):
        weight.assign(np.full(weight.shape, value))
    found = cka(model, model, images).values
    assert found[0, 0] == 1 and np.isnan([found[0, 1], found[1, 0], found[1, 1]]).all()


@pytest.mark.slow
def test_mixed_precision():
    model, images = vit(dtype="mixed_bfloat16"), random_images(4, 8, 15, 3)
    found = cka(model, vit(), images)
    assert found.values.dtype == "float64"
    np.testing.assert_allclose(np.diag(found.values), 1, atol=0.02)


def test_unusable_models_and_images_are_refused():
    model, images = dense(3), random_images(8, 2, 3, 1)
    with pytest.raises(ValueError, match="two arrays, or two models with `images`. Rec.*a='Func"):
        cka(model, model)
    with pytest.raises(ValueError, match="two arrays, or two models.* b='ndarray'"):
        cka(model, images, images)
    with pytest.raises(ValueError, match="CKA needs 4 images in a batch.*Received: images=3"):
        cka(model, model, images[:3])
    with pytest.raises(ValueError, match="CKA needs 4 .*images=8, batch_size=3"):
        cka(model, model, images, batch_size=3)
    with pytest.raises(ValueError, match=r"same images. Received: numbers of images=\[8, 7\]"):
        cka(model, model, (images, images[:7]))
    with pytest.raises(ValueError, match="layers_b='dense', .* name=0.*are .*, dense_0."):
        cka(model, model, images, layers_b=["dense_0", "dense"])
    with pytest.raises(ValueError, match=r"(?i)at least one layer was expected.*layers_a=\(\)"):
        cka(model, model, images, layers_a=[])
    with pytest.raises(ValueError, match="expects images of shape"):
        cka(model, model, images[:, :, :2])


@needs_data
@pytest.mark.weekly
def test_the_published_model_changes_slowly_from_block_to_block():
    """Raghu et al. 2021: ViTs are much alike from low to high layers."""
    file = DATA / "weights" / "ViT-Ti_16.augreg.imagenet2012.224.npz"
    files = sorted((DATA / "photos" / "nips17").glob("*.png"))[:64]
    images = np.stack([keras_vit.data.read(file, 224) for file in files])
    model = keras_vit.load_pretrained(file, verbose=False)
    values = cka(model, model, images).values
    assert values.shape == (14, 14)
    assert (np.diag(values, 1)[1:] > 0.9).all()  # from block to block
    steps = [np.diag(values, distance).mean() for distance in range(14)]
    assert (np.diff(steps) < 0).all()
    names = ["block_6", "block_7"]  # tokens of huge length begin between them
    raw = cka(model, model, images, names, names, normalize_tokens=False)
    assert raw.values[0, 1] < 0.5
