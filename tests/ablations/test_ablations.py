"""Appendix D's positions and attention as relatives of the model: numbers, counts, refusals."""

import math

import keras
import numpy as np
import paper
import pytest
from helpers import (
    check_layer,
    check_saving,
    gradients,
    numpy,
    outputs,
    quick,
    random_images,
    random_tokens,
    randomize,
    weights,
    wide_vit,
)

import keras_vit
from keras_vit.ablations import PositionViT, UnplacedPatchEncoder, positions
from keras_vit.ablations.axial import AxialViT
from keras_vit.ablations.relative import (
    RelativeSelfAttention,
    RelativeTransformerBlock,
    RelativeViT,
    by_pairs,
)

ADDED = [(kind, place) for kind in ("1d", "2d", "sincos") for place in ("stem", "every", "shared")]
CHOICES = [*ADDED, ("relative", "stem"), (None, "stem")]


def vit(kind="1d", placement="stem", **options):
    """`wide_vit` with any positions; relative ones have only one placement."""
    if kind == "relative":
        return wide_vit(RelativeViT, **options)
    return wide_vit(PositionViT, position_embedding=kind, position_placement=placement, **options)


LAYERS = {
    "Positions1D": (lambda **k: positions.Positions1D((2, 3), 1, **k), 1),
    "Positions2D": (lambda **k: positions.Positions2D((2, 3), 1, **k), 3),
    "Positions2D of patches alone": (lambda **k: positions.Positions2D((1, 7), 0, **k), 2),
    "SinCosPositions": (lambda **k: positions.SinCosPositions((2, 3), 1, **k), 0),
    "UnplacedPatchEncoder": (lambda **k: UnplacedPatchEncoder(12, prefix_tokens=0, **k), 2),
    "RelativeSelfAttention": (lambda **k: RelativeSelfAttention(3, **k), 5),
    "RelativeTransformerBlock": (lambda **k: RelativeTransformerBlock(3, 17, **k), 13),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", quick(LAYERS, "Positions2D", "RelativeSelfAttention", rest=pytest.mark.weekly)
)
def test_layer_keeps_its_promises(name, tmp_path):
    make, number = LAYERS[name]
    check_layer(make, (2, 7, 12), (2, 7, 12), number, tmp_path)


# --- Positions against transcriptions ------------------------------------------------------------


def two_dimensional(w, rows, columns):
    """X and Y tables side by side, patch by patch, after the class tokens' own vectors."""
    patches = [
        np.concatenate([w["x_embedding"][0, column], w["y_embedding"][0, row]])
        for row in range(rows)
        for column in range(columns)
    ]
    return np.stack([*w.get("class_embedding", [[]])[0], *patches])


@pytest.mark.parametrize("prefix_tokens", [0, 1, 2])
def test_two_dimensional_positions_are_two_tables_side_by_side(prefix_tokens):
    x = random_tokens(2, prefix_tokens + 15, 6)
    layer = positions.Positions2D((3, 5), prefix_tokens)
    layer.build(x.shape)
    w = weights(randomize(layer))
    np.testing.assert_allclose(outputs(layer, x), x + two_dimensional(w, 3, 5), atol=1e-6)
    assert layer.count_params() == (3 + 5) * 3 + prefix_tokens * 6


def test_fixed_positions_are_sines_and_cosines_of_column_and_row():
    x = random_tokens(2, 16, 12)
    added = numpy(positions.SinCosPositions((3, 5), 1)(x)) - x
    assert np.abs(added[:, 0]).max() == 0  # the class token has no position
    row, column = 2, 4
    angles = [place / 10_000 ** (k / 3) for place in (column, row) for k in range(3)]
    waves = [[math.sin(a) for a in part] + [math.cos(a) for a in part]
             for part in (angles[:3], angles[3:])]  # fmt: skip
    np.testing.assert_allclose(added[0, 1 + row * 5 + column], sum(waves, []), atol=1e-6)


def relative_msa(z, w, num_heads):
    """Appendix D.4, pair by pair: the offset p_q - p_k has an embedding that is one more key."""
    tokens, dim = z.shape
    d = dim // num_heads
    q, k, v = np.split(z @ w["query_key_value/kernel"] + w["query_key_value/bias"], 3, axis=1)
    heads = []
    for h in range(num_heads):
        part = slice(h * d, (h + 1) * d)
        logits = np.zeros((tokens, tokens))
        for i in range(tokens):
            for j in range(tokens):
                offset = w["offset_embedding"][tokens - 1 - (i - j), part]
                logits[i, j] = q[i, part] @ (k[j, part] + offset) / math.sqrt(d)
        heads.append(paper.softmax(logits) @ v[:, part])
    return np.concatenate(heads, -1) @ w["projection/kernel"] + w["projection/bias"]


def test_relative_attention_equals_a_transcription():
    x = random_tokens(2, 7, 15)
    layer = RelativeSelfAttention(3)
    layer.build(x.shape)
    w = weights(randomize(layer, scale=0.5))
    expected = [relative_msa(z.astype("float64"), w, 3) for z in x]
    np.testing.assert_allclose(outputs(layer, x), expected, atol=1e-5)
    assert layer.count_params() == 4 * 15 * 16 + (2 * 7 - 1) * 15


def test_relative_attention_without_embeddings_is_attention():
    x = random_tokens(2, 7, 15)
    layer, plain = RelativeSelfAttention(3), keras_vit.SelfAttention(3)
    layer.build(x.shape)
    plain.build(x.shape)
    randomize(layer, scale=0.5)
    layer.offset_embedding.assign(np.zeros((13, 15)))
    for path, weight in ((w.path.partition("/")[2], w) for w in plain.weights):
        weight.assign(next(w for w in layer.weights if w.path.endswith(path)))
    np.testing.assert_allclose(outputs(layer, x), outputs(plain, x), atol=1e-5)


def test_offsets_of_three_tokens_by_hand():
    x = np.arange(15, dtype="float32").reshape(1, 1, 3, 5)  # offsets 2 1 0 -1 -2
    expected = [[2, 3, 4], [6, 7, 8], [10, 11, 12]]
    np.testing.assert_array_equal(numpy(by_pairs(x))[0, 0], expected)


# --- The model -----------------------------------------------------------------------------------


def expected_logits(image, model, kind, placement):
    """The model with any positions, token by token."""
    w = weights(model)
    z = paper.patches(image / 127.5 - 1, 4, 5)
    z = z @ w["patch_encoder/projection/kernel"] + w["patch_encoder/projection/bias"]
    z = np.concatenate([w["patch_encoder/class_token"][0], z])
    for i in range(2):
        block = paper.under(w, f"block_{i}")
        name = "positions"
        if placement == "every":
            name = f"positions_{i}"
        if kind in ("1d", "2d", "sincos"):
            if placement != "stem" or i == 0:
                z = z + table(paper.under(w, name), w, kind)
        attend = relative_msa if kind == "relative" else msa
        z = attend(paper.norm(z, block, "norm_1"), paper.under(block, "attention"), 2) + z
        z = paper.mlp(paper.norm(z, block, "norm_2"), paper.under(block, "mlp"), False) + z
    return paper.norm(z, w, "encoder_norm")[0] @ w["head/kernel"] + w["head/bias"]


def msa(z, w, num_heads):
    return paper.msa(z, w, num_heads)[0]


def table(own, w, kind):
    if kind == "2d":
        return two_dimensional(own, 2, 3)
    if kind == "sincos":
        return positions.sincos((2, 3), 8, before=1)[0]
    return own["embedding"][0] if own else w["patch_encoder/position_embedding"][0]


@pytest.mark.parametrize(("kind", "placement"), CHOICES)
def test_model_equals_a_transcription(kind, placement):
    model = vit(kind, placement)
    images = random_images(2, 8, 15, 3)
    expected = [
        expected_logits(image.astype("float64"), model, kind, placement) for image in images
    ]
    np.testing.assert_allclose(outputs(model, images), expected, atol=1e-5)


@pytest.mark.slow
def test_every_choice_computes_something_else():
    """Equal weights where names are equal: only the positions differ."""
    images, found = random_images(1, 8, 15, 3), set()
    for kind, placement in CHOICES:
        model = vit(kind, placement)
        for weight in model.weights:
            scale = sum(map(ord, weight.path)) % 97
            rng = np.random.default_rng(scale)
            weight.assign(rng.normal(size=weight.shape) * 0.3)
        found.add(tuple(outputs(model, images)[0].round(4)))
    assert len(found) == len(CHOICES) - 1  # fixed positions of every block are the same ones


# Learned parameters of each choice for 1 + 2 x 3 tokens of 8 numbers and 2 blocks
TABLES = {
    ("1d", "stem"): 7 * 8,
    ("1d", "every"): 2 * 7 * 8,
    ("1d", "shared"): 7 * 8,
    ("2d", "stem"): (2 + 3) * 4 + 8,
    ("2d", "every"): 2 * ((2 + 3) * 4 + 8),
    ("2d", "shared"): (2 + 3) * 4 + 8,
    ("sincos", "every"): 0,
    ("relative", "stem"): 2 * 13 * 8,
}


@pytest.mark.parametrize("choice", TABLES)
def test_learned_numbers_counted_by_hand(choice):
    kind, placement = choice
    without = vit(None).count_params()
    model = vit(kind, placement)
    assert model.count_params() - without == TABLES[choice]


@pytest.mark.slow
@pytest.mark.parametrize(
    "choice", quick(CHOICES, ("2d", "shared"), ("relative", "stem"), rest=pytest.mark.weekly)
)
def test_model_saves_and_every_weight_learns(choice, tmp_path):
    kind, placement = choice
    model = vit(kind, placement)
    images = random_images(4, 8, 15, 3)
    loaded = check_saving(model, images, tmp_path)
    if kind != "relative":
        assert (loaded.position_embedding, loaded.position_placement) == (kind, placement)
    for path, gradient in gradients(model, images, random_tokens(4, 3)).items():
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 1e-7, path


def test_the_default_is_the_papers_model():
    model, plain = vit(), wide_vit()
    assert model.get_config()["position_embedding"] == "1d"
    assert [layer.name for layer in model.layers] == [layer.name for layer in plain.layers]
    assert list(weights(model)) == list(weights(plain))
    assert "patch_encoder/position_embedding" in weights(model)
    images = random_images(2, 8, 15, 3)
    np.testing.assert_array_equal(outputs(model, images), outputs(plain, images))


class RelativeHybrid(keras_vit.HybridViT, RelativeViT):
    """Applies both at once."""


@pytest.mark.slow
@pytest.mark.both
def test_two_relatives_of_the_model_make_a_third():
    options = {"image_size": (8, 16), "patch_size": 4, "resnet_units": ()}
    model = wide_vit(RelativeHybrid, **options)
    assert type(model.get_layer("block_1")) is RelativeTransformerBlock
    assert "patch_encoder/position_embedding" not in weights(model)
    assert weights(model)["patch_encoder/projection/kernel"].shape == (64, 8)
    plain = wide_vit(keras_vit.HybridViT, **options)
    offsets = 2 * (2 * 9 - 1) * 8
    assert model.count_params() - plain.count_params() == offsets - 9 * 8
    assert model(random_images(2, 8, 16, 3)).shape == (2, 3)


OLD = {"position_embedding": "1d", "position_placement": "stem", "attention": "full"}
OLD |= {"resnet_units": None, "head_bias": -10.0}


def test_a_configuration_of_version_0_1_is_the_papers_model():
    config = wide_vit().get_config()
    assert keras_vit.ViT.from_config({**config, **OLD}).get_config() == config


@pytest.mark.parametrize(
    "name, value",
    [("resnet_units", [1]), ("position_embedding", "2d"), ("attention", "axial")]
    + [("position_placement", "every"), ("head_bias", None)],
)
def test_a_configuration_of_version_0_1_of_another_model_is_refused(name, value):
    config = {**wide_vit().get_config(), **OLD, name: value}
    with pytest.raises(ValueError, match=f"no argument `{name}` since version 0.2.*load_weights"):
        keras_vit.ViT.from_config(config)


@pytest.mark.slow
def test_without_positions_patches_may_change_places():
    """The encoder sees a set: only position embeddings encode where a patch was."""
    images = random_images(1, 8, 15, 3)
    halves = np.concatenate([images[:, 4:], images[:, :4]], axis=1)
    for kind, same in ((None, True), ("1d", False), ("2d", False), ("relative", False)):
        model = vit(kind)
        difference = np.abs(outputs(model, images) - outputs(model, halves)).max()
        assert bool(difference < 1e-5) is same, kind


# --- What is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"position_embedding": "3d"}, "one of None, '1d', '2d', 'sincos'"),
        ({"position_placement": "end"}, "one of 'stem', 'every', 'shared'"),
        ({"position_embedding": None, "position_placement": "every"}, "can be placed"),
        ({"position_embedding": "2d", "hidden_dim": 9, "num_heads": 3}, "divisible by 2"),
        ({"position_embedding": "sincos", "hidden_dim": 10}, "divisible by 4"),
        ({"model": AxialViT, "pooling": "token"}, "no row"),
        ({"model": AxialViT, "pooling": None}, "no row"),
    ],
)
def test_what_cannot_be_is_told(options, words):
    with pytest.raises(ValueError, match=words):
        wide_vit(**{"model": PositionViT, **options})


def test_positions_of_another_number_of_tokens_are_refused():
    with pytest.raises(ValueError, match=r"one position for each token.*tokens=7, grid=\(3, 5\)"):
        positions.Positions1D((3, 5), 1)(random_tokens(2, 7, 12))
    layer = RelativeSelfAttention(3)
    layer(random_tokens(2, 7, 12))
    with pytest.raises(ValueError, match="built for 7 tokens.*tokens=8"):
        layer(random_tokens(2, 8, 12))


# --- Views and pre-training ----------------------------------------------------------------------


def test_similarity_of_two_dimensional_positions():
    model = vit("2d")
    own = paper.under(weights(model), "positions")
    found = keras_vit.explain.position_similarity(model)
    expected = positions.similarity(two_dimensional(own, 2, 3)[1:], (2, 3))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(("kind", "placement"), [("1d", "every"), ("relative", "stem")])
def test_positions_without_one_table_have_no_similarity(kind, placement):
    model = vit(kind, placement)
    with pytest.raises(ValueError, match="layers that add positions"):
        keras_vit.explain.position_similarity(model)


@pytest.mark.slow
def test_scores_of_relative_attention_are_those_that_it_computes():
    model = vit("relative", num_layers=1)
    images = random_images(2, 8, 15, 3)
    scores = keras_vit.explain.attention_scores(model, images)["block_0"]
    block = model.get_layer("block_0")
    x = block.norm_1(keras.Model(model.input, model.get_layer("patch_encoder").output)(images))
    _, _, value = block.attention.heads(x)
    by_hand = np.einsum("bhij,bjhd->bihd", scores, numpy(value)).reshape(2, 7, 8)
    expected = numpy(block.attention.projection(by_hand.astype("float32")))
    np.testing.assert_allclose(numpy(block.attention(x)), expected, atol=1e-5)
    assert np.isfinite(keras_vit.explain.relevance(model, images)).all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [None, "2d", "sincos"])
def test_objectives_use_the_encoders_own_positions(kind):
    from keras_vit.pretraining import vit_stages as stages

    model = vit(kind, num_classes=None)
    images = random_images(2, 8, 15, 3)
    tokens = stages.add_positions(model, stages.project(model, images))
    expected = keras.Model(model.input, model.get_layer("block_0").input)(images)
    np.testing.assert_allclose(numpy(tokens), numpy(expected), atol=1e-5)
    tuned = keras_vit.pretraining.build_classifier(model, num_classes=3)
    encoded = keras.Model(tuned.input, tuned.get_layer("encoder_norm").output)(images)
    own = keras.Model(model.input, model.get_layer("encoder_norm").output)(images)
    np.testing.assert_allclose(numpy(encoded), numpy(own), atol=1e-5)


def test_objectives_refuse_positions_in_every_block():
    for encoder in (vit(placement="every"), vit("relative")):
        with pytest.raises(ValueError, match="must add positions once"):
            keras_vit.pretraining.MAE(encoder, 1, 8, 2)
