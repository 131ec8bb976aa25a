"""A module outside the package adds and removes extensions without changing the package."""

from typing import NamedTuple

import keras
import numpy as np
from helpers import numpy, outputs, random_images, randomize

import keras_vit
from keras_vit import ablations, families
from keras_vit.ablations import positions
from keras_vit.variants import NAMED

SHAPE = {"image_size": (8, 12), "patch_size": 4, "num_layers": 1, "hidden_dim": 6}
SHAPE |= {"mlp_dim": 5, "num_heads": 3, "num_classes": 2}


class RowPositions(positions.PositionEmbedding):
    """A learned vector for each row, and one for each prefix token."""

    def build(self, input_shape):
        super().build(input_shape)
        self.embedding = self._learned(self.prefix_tokens + self.grid[0], self.hidden_dim, "rows")

    def table(self):
        first, rows = (
            self.embedding[:, : self.prefix_tokens],
            self.embedding[:, self.prefix_tokens :],
        )
        return keras.ops.concatenate([first, keras.ops.repeat(rows, self.grid[1], 1)], axis=1)


def test_a_kind_of_positions(monkeypatch):
    monkeypatch.setitem(positions.KINDS, "rows", RowPositions)
    model = randomize(ablations.PositionViT(**SHAPE, position_embedding="rows"), scale=0.3)
    layer = model.get_layer("positions")
    rows = numpy(layer.embedding)[0]
    table = rows[[0, 1, 1, 1, 2, 2, 2]]  # the class token, then 2 rows of 3 patches
    tokens = np.zeros((1, 7, 6), "float32")
    np.testing.assert_allclose(numpy(layer(tokens))[0], table, atol=1e-6)
    again = type(model).from_config(model.get_config())
    again.set_weights(model.get_weights())
    images = random_images(2, 8, 12, 3)
    np.testing.assert_array_equal(outputs(again, images), outputs(model, images))


class Shallow(NamedTuple):
    """A row of a new family."""

    hidden_dim: int
    num_registers: int


class ShallowViT(keras_vit.ViT):
    """One block, and other prefix tokens in addition to the class token."""

    def __init__(self, *args, num_registers: keras_vit.arguments.natural_number = 2, **kwargs):
        self.keep(locals())
        super().__init__(*args, **{**SHAPE, **kwargs})

    @property
    def prefix_tokens(self):
        return super().prefix_tokens + self.num_registers


def test_a_family_with_names_of_its_own(monkeypatch):
    monkeypatch.setitem(NAMED, "Shallow-6", Shallow(6, 3))
    monkeypatch.setitem(families.FAMILIES, Shallow, ShallowViT)
    assert keras_vit.list_variants()["Shallow-6"] == Shallow(6, 3)
    model = keras_vit.create("Shallow-6", num_classes=3)
    assert type(model) is ShallowViT and model.name == "shallow_6"
    assert model.get_layer("patch_encoder").output.shape == (None, 1 + 3 + 6, 6)
    scores = keras_vit.explain.attention_scores(model, random_images(2, 8, 12, 3))
    assert (scores.prefix_tokens, scores.grid) == (4, (2, 3))
    assert type(model).from_config(model.get_config()).get_config() == model.get_config()


def test_nothing_is_left_behind():
    assert "rows" not in positions.KINDS and "Shallow-6" not in keras_vit.list_variants()
