"""The distance of attention, in pixels, by hand."""

import numpy as np
import pytest
from helpers import random_images, random_tokens, randomize

import keras_vit
from keras_vit.explain import attention
from keras_vit.explain.attention import mean_attention_distance


def one_hot(targets, prefix_tokens=0):
    """(1, 1, 1, tokens, tokens): token i attends only to targets[i]."""
    return np.eye(len(targets) + prefix_tokens)[[*range(prefix_tokens), *targets]][None, None, None]


@pytest.mark.backend_free
def test_identity_has_distance_zero():
    assert mean_attention_distance(one_hot(range(9)), patch_size=16) == [[0]]


def there(places, step):
    """Groups of `step` places point ahead and back in alternation."""
    return np.where(places // max(step, 1) % 2 == 0, places + step, places - step)


@pytest.mark.backend_free
@pytest.mark.parametrize(
    "rows, columns, distance",
    [
        (0, 1, 7),
        (0, 2, 14),
        (1, 0, 5),
        (2, 0, 10),
        (1, 1, np.hypot(5, 7)),
        (2, 3, np.hypot(10, 21)),
    ],
)
def test_a_shift_has_its_length_in_pixels(rows, columns, distance):
    """Patches of 5 x 7 pixels on a grid of 4 x 12: half of them attend so far ahead, half back."""
    y, x = np.indices((4, 12))
    places = np.arange(48).reshape(4, 12)[there(y, rows), there(x, columns)]
    found = mean_attention_distance(one_hot(places.ravel()), patch_size=(5, 7), grid=(4, 12))
    np.testing.assert_allclose(found, [[distance]], rtol=1e-6)


@pytest.mark.backend_free
def test_uniform_attention_on_a_small_grid():
    """2 x 2 patches of 16 pixels: 0, 16, 16 and 16 root 2 from each."""
    found = mean_attention_distance(np.full((1, 2, 3, 4, 4), 0.25), patch_size=16)
    np.testing.assert_allclose(found, np.full((1, 3), (32 + 16 * 2**0.5) / 4), rtol=1e-6)


@pytest.mark.backend_free
def test_attention_to_the_class_token_has_no_distance():
    """A quarter goes to each of 2 patches and half to the class token: 0 and 8 pixels away."""
    array = np.tile([0.5, 0.25, 0.25], (1, 1, 1, 3, 1))
    found = mean_attention_distance(array, patch_size=8, grid=(1, 2))
    np.testing.assert_allclose(found, [[4]])
    found = mean_attention_distance(array, patch_size=8, grid=(1, 2), renormalize=False)
    np.testing.assert_allclose(found, [[2]])


@pytest.mark.backend_free
def test_the_prefix_tokens_own_row_is_left_out():
    array = np.eye(6)[None, None, None]
    array[..., 0, :] = array[..., 1, :] = [0, 0, 0, 0, 0, 1]  # two of them, both attend to the last
    assert mean_attention_distance(array, patch_size=16, grid=2) == [[0]]


@pytest.mark.backend_free
def test_a_patch_that_looks_at_prefix_tokens_alone_counts_as_zero():
    array = np.zeros((1, 1, 1, 3, 3))
    array[..., 0] = [1, 1, 0]
    array[..., 2, 1] = 1  # only the second patch attends to a patch, 8 pixels away
    for renormalize in (True, False):
        found = mean_attention_distance(array, patch_size=8, grid=(1, 2), renormalize=renormalize)
        np.testing.assert_allclose(found, [[4]])


@pytest.mark.backend_free
def test_layers_heads_and_images():
    """Each layer and head separately, averaged over images; a loop over pairs of patches."""
    array = np.exp(random_tokens(2, 3, 4, 7, 7))
    array /= array.sum(-1, keepdims=True)
    expected = np.zeros((2, 4))
    for place in np.ndindex(2, 3, 4):
        for i in range(6):
            row = array[place][1 + i, 1:]
            for j in range(6):
                apart = np.hypot((i // 3 - j // 3) * 4, (i % 3 - j % 3) * 10)
                expected[place[0], place[2]] += row[j] / row.sum() * apart / 6 / 3
    found = mean_attention_distance(array, patch_size=(4, 10), grid=(2, 3))
    assert found.dtype == "float32"
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "options, patch_size",
    [
        pytest.param(dict(patch_size=(4, 6)), (4, 6), id="patches"),
        pytest.param(
            dict(patch_size=(8, 4), resnet_units=(1,)), (8, 4), id="hybrid", marks=pytest.mark.slow
        ),
    ],
)
def test_a_model_knows_its_patches_in_pixels(blank, options, patch_size):
    shape = dict(image_size=(16, 24), num_layers=2, hidden_dim=6, mlp_dim=5, num_heads=3)
    kind = keras_vit.HybridViT if "resnet_units" in options else keras_vit.ViT
    model = randomize(kind(**shape, num_classes=2, **options), scale=0.7)
    x = random_images(10, 16, 24, 3)  # more than are computed at once
    scores = attention.attention_scores(model, x)
    found = mean_attention_distance(model, x)
    grid = (16 // patch_size[0], 24 // patch_size[1])
    expected = mean_attention_distance(scores.stack(), patch_size=patch_size, grid=grid)
    assert found.shape == (2, 3) and expected.min() > 1
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    np.testing.assert_allclose(mean_attention_distance(scores), expected, rtol=1e-5)
    twice = mean_attention_distance(scores, patch_size=(2 * patch_size[0], 2 * patch_size[1]))
    np.testing.assert_allclose(twice, 2 * expected, rtol=1e-5)


@pytest.mark.backend_free
def test_what_is_refused():
    array = np.full((1, 1, 1, 5, 5), 0.2)
    with pytest.raises(ValueError, match="Received: patch_size=None. Write patch_size=16, or"):
        mean_attention_distance(array)
    with pytest.raises(ValueError, match="`patch_size` must be a positive integer"):
        mean_attention_distance(array, patch_size=0)
    with pytest.raises(ValueError, match="`renormalize` must be True or False"):
        mean_attention_distance(array, patch_size=16, renormalize="yes")
