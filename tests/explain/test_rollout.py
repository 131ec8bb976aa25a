"""Attention rollout against sums by hand and the matrix product written out."""

import weakref

import keras
import numpy as np
import pytest
from helpers import quick, random_images, random_tokens, randomize

import keras_vit
from keras_vit import descendants
from keras_vit.explain import attention
from keras_vit.explain.inside import find_encoder
from keras_vit.explain.rollout import attention_rollout, token_attention

pytestmark = pytest.mark.usefixtures("blank")


def random_scores(*shape, seed=0):
    powers = np.exp(2 * random_tokens(*shape, seed=seed))
    return powers / powers.sum(-1, keepdims=True)


def written_out(array, residual=True, fuse=np.mean):
    """The whole product A_L ... A_2 A_1, in float64, image by image."""
    images = []
    for b in range(array.shape[1]):
        product = np.eye(array.shape[-1])
        for layer in array.astype("float64"):
            matrix = fuse(layer[b], axis=0)
            if residual:
                matrix = 0.5 * matrix + 0.5 * np.eye(len(matrix))
            product = matrix / matrix.sum(-1, keepdims=True) @ product
        images.append(product)
    return np.stack(images)


def maps(rows, grid):
    rows = rows / rows.sum(-1, keepdims=True)
    return rows.reshape(-1, *grid)


@pytest.mark.backend_free
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("heads", ["mean", "max", "min"])
def test_it_is_the_product_of_all_layers(heads, residual):
    array = random_scores(4, 3, 5, 13, 13)  # 1 + 3 x 4 tokens
    product = written_out(array, residual, {"mean": np.mean, "max": np.max, "min": np.min}[heads])
    found = attention_rollout(array, grid=(3, 4), heads=heads, residual=residual)
    assert found.shape == (3, 3, 4) and found.dtype == "float32"
    np.testing.assert_allclose(found, maps(product[:, 0, 1:], (3, 4)), atol=1e-6)
    found = attention_rollout(array, grid=(3, 4), heads=heads, residual=residual, token=(2, 1))
    np.testing.assert_allclose(found, maps(product[:, 1 + 9, 1:], (3, 4)), atol=1e-6)


@pytest.mark.backend_free
def test_the_view_without_a_class_token_is_the_mean_of_all_patches():
    array = random_scores(3, 2, 2, 6, 6)
    product = written_out(array)
    found = attention_rollout(array, grid=(2, 3))
    np.testing.assert_allclose(found, maps(product.mean(1), (2, 3)), atol=1e-6)


@pytest.mark.backend_free
def test_the_first_of_two_prefix_tokens_is_taken():
    array = random_scores(3, 2, 2, 8, 8)
    product = written_out(array)
    found = attention_rollout(array, grid=(2, 3))
    np.testing.assert_allclose(found, maps(product[:, 0, 2:], (2, 3)), atol=1e-6)
    found = attention_rollout(array, grid=(2, 3), token=(1, 2))
    np.testing.assert_allclose(found, maps(product[:, 7, 2:], (2, 3)), atol=1e-6)


@pytest.mark.backend_free
def test_uniform_attention_gives_a_uniform_map():
    for residual in (True, False):
        found = attention_rollout(np.full((7, 2, 3, 10, 10), 0.1), residual=residual)
        np.testing.assert_allclose(found, np.full((2, 3, 3), 1 / 9), rtol=1e-6)


def two_layers():
    """1 + 2 x 2 tokens; in the last layer the class token attends to patch 3; before, all to 0.

    In both layers, every other token attends to itself.
    """
    first, last = np.eye(5), np.eye(5)
    first[4] = [0, 1, 0, 0, 0]
    last[0] = [0, 0, 0, 0, 1]
    return np.stack([first, last])[:, None, None]


@pytest.mark.backend_free
def test_two_layers_by_hand():
    array = two_layers()
    found = attention_rollout(array, residual=False)  # class token, patch 3, patch 0
    np.testing.assert_array_equal(found, [[[1, 0], [0, 0]]])
    # With the residual, half of the class token comes from patch 3: of this, half from patch 0.
    found = attention_rollout(array)
    np.testing.assert_allclose(found, [[[0.5, 0], [0, 0.5]]])
    # The layers do not commute: in the other order, nothing of patch 0 reaches the class token.
    np.testing.assert_allclose(attention_rollout(array[::-1]), [[[0, 0], [0, 1]]])


def two_heads():
    """The class token's rows are these two, all others uniform."""
    heads = np.full((2, 5, 5), 0.2)
    heads[0, 0] = [0, 0.4, 0.6, 0, 0]
    heads[1, 0] = [0.2, 0.4, 0, 0.3, 0.1]
    return heads[None, None]


@pytest.mark.backend_free
@pytest.mark.parametrize(
    "heads, expected",
    [
        ("mean", [0.4, 0.3, 0.15, 0.05]),
        ("max", [0.4, 0.6, 0.3, 0.1]),
        ("min", [0.4, 0, 0, 0]),
    ],
)
def test_heads_become_one_by_hand(heads, expected):
    expected = np.reshape(expected, (1, 2, 2)) / np.sum(expected)
    for residual in (True, False):  # the share of the class token itself is not part of the map
        found = attention_rollout(two_heads(), heads=heads, residual=residual)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.backend_free
@pytest.mark.parametrize(
    "discard, expected",
    [
        (0.2, [0.4, 0.3, 0.15, 0.05]),  # less than one of four patches
        (0.25, [0.4, 0.3, 0.15, 0]),
        (0.5, [0.4, 0.3, 0, 0]),
        (0.99, [0.4, 0, 0, 0]),  # the largest always stays
    ],
)
def test_the_smallest_scores_of_patches_are_forgotten(discard, expected):
    expected = np.reshape(expected, (1, 2, 2)) / np.sum(expected)
    found = attention_rollout(two_heads(), discard=discard)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.backend_free
def test_the_class_token_is_never_forgotten():
    """Patch 3 reaches patch 0 only through the class token, to which patch 0 attends least."""
    last, first = np.eye(5), np.eye(5)
    last[1] = [0.1, 0.2, 0.3, 0.4, 0]
    first[0] = [0, 0, 0, 0, 1]
    found = attention_rollout(
        np.stack([first, last])[:, None, None], residual=False, discard=0.75, token=(0, 0)
    )
    np.testing.assert_allclose(found, [[[0, 0], [0.8, 0.2]]], rtol=1e-6)


@pytest.mark.backend_free
def test_the_given_scores_stay_as_they_are():
    array = two_heads().astype("float32")[:, :, :1]
    before = array.copy()
    attention_rollout(array, discard=0.5)
    np.testing.assert_array_equal(array, before)


@pytest.mark.backend_free
def test_a_token_that_hears_of_no_patch_has_an_empty_map():
    array = np.eye(5)[None, None, None]
    np.testing.assert_array_equal(attention_rollout(array), np.zeros((1, 2, 2)))
    np.testing.assert_array_equal(attention_rollout(array, token=(1, 0)), [[[0, 0], [1, 0]]])
    apart = np.stack([np.eye(5), np.eye(5)[::-1]])[None, None]  # no head has what the other has
    found = attention_rollout(apart, heads="min", residual=False)
    np.testing.assert_array_equal(found, np.zeros((1, 2, 2)))


@pytest.mark.backend_free
def test_token_attention_lays_a_row_of_the_scores_on_the_grid():
    array = random_scores(3, 2, 4, 8, 8).astype("float32")  # 2 + 2 x 3 tokens
    found = token_attention(array, grid=(2, 3))
    assert found.shape == (3, 2, 4, 2, 3) and found.dtype == "float32"
    np.testing.assert_array_equal(found.reshape(3, 2, 4, 6), array[..., 0, 2:])
    found = token_attention(array, grid=(2, 3), token=(1, 0))
    np.testing.assert_array_equal(found.reshape(3, 2, 4, 6), array[..., 5, 2:])
    bare = array[..., :6, :6]
    found = token_attention(bare, grid=(2, 3))
    np.testing.assert_allclose(found.reshape(3, 2, 4, 6), bare.mean(-2), rtol=1e-5)


@pytest.mark.backend_free
@pytest.mark.parametrize("view", [attention_rollout, token_attention])
@pytest.mark.parametrize("token", [(2, 0), (0, 3), (-1, 0), (0,), 5, "class", (0.5, 1), (True, 0)])
def test_a_token_that_is_not_there_is_refused(view, token):
    with pytest.raises(ValueError, match=r"\(row, column\) of a patch.*grid=\(2, 3\)"):
        view(random_scores(1, 1, 1, 7, 7), grid=(2, 3), token=token)


def test_other_arguments_that_are_refused():
    array = random_scores(1, 1, 1, 5, 5)
    for options, words in {
        (
            "heads",
            "median",
        ): "`heads` must be one of 'mean', 'max', 'min'. Received: heads='med",
        ("discard", 1): "`discard` must be a number of at least 0 and less than 1",
        ("discard", -0.1): "`discard` must be a number of at least 0",
        ("residual", 1): "`residual` must be True or False",
        ("grid", (3, 3)): "no more patches than tokens",
    }.items():
        with pytest.raises(ValueError, match=words):
            attention_rollout(array, **dict([options]))
    with pytest.raises(ValueError, match="A model needs images"):
        attention_rollout(keras_vit.create("ViT-Mini/8", image_size=16, num_classes=2))


def vit(**options):
    shape = dict(image_size=(8, 12), patch_size=4, num_layers=2, hidden_dim=6, mlp_dim=5)
    model = keras_vit.ViT(**shape, num_heads=3, num_classes=2, **options)
    return randomize(model, scale=0.7)


@pytest.mark.parametrize("pooling", quick(["token", "map"], "map"))
def test_of_a_model_it_is_that_of_its_scores(pooling):
    model, x = vit(pooling=pooling), random_images(5, 8, 12, 3)
    scores = attention.attention_scores(model, x)
    assert scores.prefix_tokens == {"token": 1, "map": 0}[pooling]
    outer = keras.Sequential([model])
    for options in ({}, dict(heads="max", discard=0.5, token=(1, 2)), dict(residual=False)):
        found = attention_rollout(outer, x, batch_size=2, **options)
        assert found.shape == (5, 2, 3)
        np.testing.assert_allclose(found.sum((1, 2)), 1, rtol=1e-5)
        np.testing.assert_allclose(found, attention_rollout(scores, **options), atol=1e-5)
        expected = attention_rollout(scores.stack(), grid=(2, 3), **options)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(token_attention(outer, x), token_attention(scores), atol=1e-5)


POOLS = {"token": False, "gap": True, "map": True, "patch mean": True, "token and mean": False}


@pytest.mark.parametrize("pooling", POOLS)
def test_a_part_of_a_model_pools_as_the_model(pooling, blank):
    """A zero-shot classifier, like a part, has the layers of a ViT but no argument `pooling`."""
    model = vit(pooling=pooling)
    part = keras.Model(model.input, model.get_layer("pooling").output)
    for one in (model, part, keras.Sequential([model])):
        assert find_encoder.find(one).pools_patches is POOLS[pooling]


def test_the_perception_encoder_pools_patches_in_a_zero_shot_classifier(blank):
    shape = {"image_size": (8, 12), "num_layers": 1, "num_classes": None, "pooling": "map"}
    encoder = keras_vit.create("ViT-Mini/4", descendants.PEViT, **shape)
    model = keras_vit.zero_shot_head(encoder, random_tokens(3, 64))
    assert find_encoder.find(encoder).prefix_tokens == 1
    assert find_encoder.find(model).pools_patches


REGISTERS = {"token": 1, "gap": 0, "map": 0, "patch mean": 1, None: 1, "distilled": 2}


@pytest.mark.parametrize("pooling", REGISTERS)
def test_registers_are_no_class_tokens(pooling, blank):
    options = {"num_classes": None} if pooling is None else {"num_classes": 2}
    shape = {"image_size": (8, 12), "num_layers": 1, "pooling": pooling, "num_registers": 2}
    model = keras_vit.create("ViT-Mini/4", descendants.RegisterViT, **shape, **options)
    encoder = find_encoder.find(model)
    assert encoder.class_tokens == REGISTERS[pooling]
    assert encoder.prefix_tokens == REGISTERS[pooling] + 2


def test_only_a_few_images_are_in_memory_at_once(monkeypatch):
    """The scores of a batch are released before those two batches later are computed."""
    alive, most, made = weakref.WeakSet(), [], attention._in_order

    class Watched(attention.Scores):
        __hash__ = object.__hash__

    def watch(*arguments):
        scores = made(*arguments)
        watched = Watched(scores, scores.grid, scores.prefix_tokens, scores.patch_size)
        alive.add(watched)
        most.append(len(alive))
        return watched

    monkeypatch.setattr(attention, "_in_order", watch)
    found = attention_rollout(vit(), random_images(8, 8, 12, 3), batch_size=1)
    assert found.shape == (8, 2, 3)
    assert len(most) == 8 and max(most) <= 2
