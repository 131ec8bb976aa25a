"""Axial attention: against full attention under a mask, and against loops over rows and columns."""

import keras
import numpy as np
import paper
import paper_resnet as reference
import pytest
from helpers import (
    call,
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
from keras_vit import accounting, explain, pretraining
from keras_vit.ablations.axial import (
    AxialAttention,
    AxialBlock,
    AxialResNet,
    AxialUnit,
    AxialViT,
)
from keras_vit.explain.inside import find_encoder
from keras_vit.training import adaptation
from keras_vit.training.recipes import optimizers
from keras_vit.variants import AxialBiT, AxialVariant, parse

pytestmark = pytest.mark.usefixtures("blank")
# Keras warns if a row or column has one token, which attends only to itself.
one_token = pytest.mark.filterwarnings("ignore:.*You are using a softmax")
KINDS = {
    "block": (
        lambda **k: AxialBlock((2, 3), 3, 17, approximate=True, epsilon=1e-5, **k),
        (2, 6, 15),
        (2, 6, 15),
        24,
    ),
    "attention": (lambda **k: AxialAttention(3, **k), (2, 5, 3, 15), (2, 5, 3, 15), 10),
    "attention, half": (lambda **k: AxialAttention(3, 2, **k), (2, 5, 4, 15), (2, 3, 2, 15), 10),
    "unit": (lambda **k: AxialUnit(32, **k), (2, 5, 3, 128), (2, 5, 3, 128), 18),
    "unit, half": (lambda **k: AxialUnit(32, 2, **k), (2, 5, 4, 64), (2, 3, 2, 128), 19),
}
GRID = (2, 3)


def vit(model=AxialViT, **options):
    """A small Axial-ViT with a grid of 2 x 3 patches and random weights."""
    return wide_vit(model, **{"mlp_dim": 12, **options})


def resnet(model=AxialResNet, **options):
    """A small AxialResNet: a map of 5 x 8 positions, then one of 3 x 4."""
    small = {"image_size": (17, 30), "units": (1, 2), "num_classes": 3}
    return randomize(model(**{**small, **options}))


@pytest.mark.slow
@pytest.mark.parametrize("kind", quick(KINDS, "block", rest=pytest.mark.weekly))
def test_layer_keeps_its_promises(kind, tmp_path):
    check_layer(*KINDS[kind], tmp_path)


# --- Against NumPy ------------------------------------------------------------------------------


def masked_block(z, w, num_heads, approximate, mask):
    """`paper.block` among all N tokens, where token i may attend to token j only if mask[i, j]."""
    x = paper.norm(z, w, "norm_1") @ w["attention/query_key_value/kernel"]
    x = x + w["attention/query_key_value/bias"]
    dim = z.shape[-1]
    d, heads = dim // num_heads, []
    for h in range(num_heads):
        q, k, v = (x[:, i * dim + h * d : i * dim + (h + 1) * d] for i in range(3))
        heads.append(paper.softmax(np.where(mask, q @ k.T / np.sqrt(d), -np.inf)) @ v)
    attended = np.concatenate(heads, -1) @ w["attention/projection/kernel"]
    z = attended + w["attention/projection/bias"] + z
    return paper.mlp(paper.norm(z, w, "norm_2"), paper.under(w, "mlp"), approximate) + z


def axial_block(z, w, grid, num_heads, approximate=False):
    row, column = np.divmod(np.arange(len(z)), grid[1])
    for name, line in (("row", row), ("column", column)):
        mask = line[:, None] == line
        z = masked_block(z, paper.under(w, name), num_heads, approximate, mask)
    return z


@one_token
@pytest.mark.parametrize(
    "grid, approximate",
    [
        (GRID, False),
        *(pytest.param(grid, True, marks=pytest.mark.slow) for grid in ((4, 1), (1, 5), 3)),
    ],
)
def test_block_is_full_attention_under_a_mask(grid, approximate):
    layer = AxialBlock(grid, num_heads=2, mlp_dim=12, approximate=approximate)
    x = random_tokens(1, layer.grid[0] * layer.grid[1], 8)
    layer.build(x.shape)
    w = weights(randomize(layer, scale=0.5))
    expected = [axial_block(z.astype("float64"), w, layer.grid, 2, approximate) for z in x]
    np.testing.assert_allclose(outputs(layer, x), expected, atol=1e-5 * np.abs(expected).max())


def test_model_equals_the_equations():
    """Eq. 1, two axial blocks, Eq. 4 with mean pooling, for one image."""
    model = vit()
    w, image = weights(model), random_images(1, 8, 15, 3)
    patches = paper.patches(image[0].astype("float64") / 127.5 - 1, 4, 5)
    z = paper.embed(patches, paper.under(w, "patch_encoder"))
    for i in range(2):
        z = axial_block(z, paper.under(w, f"block_{i}"), GRID, 2)
    expected = paper.norm(z, w, "encoder_norm").mean(0) @ w["head/kernel"] + w["head/bias"]
    np.testing.assert_allclose(outputs(model, image)[0], expected, atol=1e-4)


def test_a_patch_reaches_its_row_then_all():
    layer, x = AxialBlock(GRID, 2, 12), random_tokens(1, 6, 8)
    layer.build(x.shape)
    randomize(layer, scale=0.5)
    other = x.copy()
    other[0, 1, 0] += 1  # row 0, column 1
    moved = np.abs(outputs(layer, other) - outputs(layer, x)).max(-1)[0] > 1e-6
    assert moved.all()
    layer.row.attention.projection.kernel.assign(np.zeros((8, 8)))  # rows no longer mix
    moved = np.abs(outputs(layer, other) - outputs(layer, x)).max(-1)[0] > 1e-6
    np.testing.assert_array_equal(moved, [False, True, False, False, True, False])


def relative_attention(z, w, num_heads):
    """softmax((q_i k_j + q_i r_(i - j)) / sqrt(d)) v of one sequence, number by number."""
    x = z @ w["query_key_value/kernel"] + w["query_key_value/bias"]
    tokens, dim = z.shape
    d = dim // num_heads
    heads = np.empty((tokens, dim))
    for h in range(num_heads):
        part = slice(h * d, (h + 1) * d)
        q, k, v = (x[:, i * dim : (i + 1) * dim][:, part] for i in range(3))
        r = w["offset_embedding"][:, part]  # of i - j = T - 1 ... 1 - T
        for i in range(tokens):
            scores = np.array([q[i] @ (k[j] + r[tokens - 1 - i + j]) for j in range(tokens)])
            heads[i, part] = paper.softmax(scores / np.sqrt(d)) @ v
    return heads @ w["projection/kernel"] + w["projection/bias"]


def axial_attention(x, w, num_heads, strides=1):
    """Rows, then columns, then means of squares, of one map."""
    x = np.stack([relative_attention(row, paper.under(w, "row"), num_heads) for row in x])
    columns = [relative_attention(x[:, c], paper.under(w, "column"), num_heads)
               for c in range(x.shape[1])]  # fmt: skip
    x = np.stack(columns, 1)
    sides = [range(0, side, strides) for side in x.shape[:2]]
    squares = [[x[i : i + strides, j : j + strides] for j in sides[1]] for i in sides[0]]
    return np.array([[square.mean((0, 1)) for square in line] for line in squares])


@pytest.mark.slow  # the unit has one in it
@one_token
@pytest.mark.parametrize("sides", [(3, 5), (4, 1), (1, 2), (4, 4)])
@pytest.mark.parametrize("strides", [1, 2])
def test_attention_equals_numpy(sides, strides):
    x = random_tokens(2, *sides, 15)
    layer = AxialAttention(num_heads=3, strides=strides)
    layer.build(x.shape)
    w = weights(randomize(layer, scale=0.5))
    expected = np.array([axial_attention(one.astype("float64"), w, 3, strides) for one in x])
    assert expected.shape == layer.compute_output_shape(x.shape)
    np.testing.assert_allclose(outputs(layer, x), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    "channels, strides",
    [pytest.param(128, 1, marks=pytest.mark.slow), pytest.param(64, 1, marks=pytest.mark.slow),
     (64, 2)],
)  # fmt: skip
def test_unit_equals_numpy(channels, strides):
    x = random_tokens(2, 5, 4, channels)
    layer = AxialUnit(32, strides)
    layer.build(x.shape)
    w = weights(randomize(layer, scale=0.3))

    def conv(x, name, strides=1):
        kernel = reference.bit_kernel(w[f"{name}/kernel"])
        return reference.convolve(x, kernel, strides, reference.even)

    first = reference.relu(reference.group_norm(x.astype("float64"), w, "norm_1", 1e-5))
    y = reference.relu(reference.group_norm(conv(first, "conv_1"), w, "norm_2", 1e-5))
    y = np.stack([axial_attention(one, paper.under(w, "attention"), 8, strides) for one in y])
    y = conv(reference.relu(reference.group_norm(y, w, "norm_3", 1e-5)), "conv_3")
    assert ("projection/kernel" in w) == (channels != 128 or strides != 1)
    expected = y + (conv(first, "projection", strides) if "projection/kernel" in w else x)
    assert expected.shape == layer.compute_output_shape(x.shape)
    np.testing.assert_allclose(outputs(layer, x), expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.slow
def test_a_row_of_an_image_skips_its_branch_as_a_whole():
    layer, x = AxialBlock((5, 3), 2, 10, stochastic_depth=0.5), random_tokens(8, 15, 6)
    layer.build(x.shape)
    randomize(layer, scale=0.5)
    for part in (layer.row.mlp.contract, layer.column.mlp.contract, layer.column.attention):
        for weight in part.trainable_variables:
            weight.assign(np.zeros(weight.shape))
    branch = (outputs(layer, x) - x).reshape(40, -1)  # the attention of rows only
    kept = (numpy(layer(x, training=True)) - x).reshape(40, -1) / branch
    np.testing.assert_allclose(kept, np.round(kept[:, :1]).repeat(18, 1), atol=1e-3)
    assert set(np.round(kept[:, 0])) == {0, 2}


# --- Names and costs ----------------------------------------------------------------------------


def test_names_of_figure_13():
    table = keras_vit.list_variants()
    assert table["Axial-ViT-B/32"] == (12, 768, 3072, 12, 32)
    assert table["Axial-ViT-B/16"] == (12, 768, 3072, 12, 16)
    assert table["Axial-R50x1"] == ((3, 4, 6, 3), 1)
    assert parse("Axial-ViT-S/7") == (*keras_vit.list_variants()["ViT-S/16"][:4], 7)
    assert isinstance(parse("Axial-ViT-S/7"), AxialVariant)
    assert parse("Axial-R101x2") == AxialBiT((3, 4, 23, 3), 2)
    assert isinstance(parse("Axial-R101x2"), AxialBiT)
    assert repr(table["R50x1"]) == "BiT(units=(3, 4, 6, 3), width=1)"
    assert "attention" not in repr(table["ViT-B/16"])


@pytest.mark.parametrize(
    "wrong, nearest",
    {
        "axial-vit-b/16": "'Axial-ViT-B/16'",
        "Axial_ViT_B_16": "'Axial-ViT-B/16'",
        "AxialResNet50": "'Axial-R50x1'",
        "Axial-R50+ViT-B/16": "'Axial-ViT-B/16'",
    }.items(),
)
def test_unknown_names_suggest_the_nearest(wrong, nearest):
    with pytest.raises(ValueError, match="Did you mean") as error:
        keras_vit.create(wrong)
    assert f"Did you mean {nearest}?" in str(error.value)


@pytest.mark.slow
def test_create_makes_them():
    model = keras_vit.create("Axial-ViT-Mini/8", image_size=(16, 24), num_classes=5)
    assert type(model) is AxialViT and model.name == "axial_vit_mini_8"
    assert model.pooling == "gap"
    assert model.get_layer("block_3").grid == (2, 3)
    model = keras_vit.create("Axial-R26x1", image_size=17, units=(1, 1), num_classes=5)
    assert type(model) is AxialResNet
    assert type(model.get_layer("stage_2_unit_1")) is AxialUnit
    assert keras_vit.create("Axial-ViT-Mini/8", image_size=16, pooling="map").pooling == "map"


def test_parameters_of_axial_vit_b_32_by_hand():
    """49 patches of 3072 numbers, 12 blocks that are two each, no class token."""
    one = 768 * 2304 + 2304 + 768 * 768 + 768 + 768 * 3072 + 3072 + 3072 * 768 + 768 + 4 * 768
    count = 3072 * 768 + 768 + 49 * 768 + 24 * one + 2 * 768 + 768 * 1000 + 1000
    assert keras_vit.list_variants()["Axial-ViT-B/32"].parameters == count == 173_277_160
    assert accounting.count("Axial-ViT-B/32").parameters == count


def test_parameters_of_axial_r50x1_by_hand():
    """Each unit: 1 x 1 filters, U_qkv and U_msa twice, keys of offsets, norms, projection."""
    count = 7 * 7 * 3 * 64 + 2 * 2048 + 2048 * 1000 + 1000  # root, last norm, head
    for first, rest, channels, f, units in [
        (56, 56, 64, 64, 3),
        (56, 28, 256, 128, 4),
        (28, 14, 512, 256, 6),
        (14, 7, 1024, 512, 3),
    ]:
        for number in range(units):
            side = rest if number else first
            inputs = 4 * f if number else channels
            count += inputs * f + f * 4 * f + 2 * (inputs + f + f)
            count += 2 * (f * 3 * f + 3 * f + f * f + f + (2 * side - 1) * f)
            count += 0 if number else channels * 4 * f
    assert keras_vit.list_variants()["Axial-R50x1"].parameters == count == 24_586_920
    assert accounting.count("Axial-R50x1").parameters == count


def test_multiply_adds_of_axial_vit_b_32_by_hand():
    cost = accounting.count("Axial-ViT-B/32")
    one = 49 * (768 * 2304 + 768 * 768 + 2 * 768 * 3072)
    assert cost.dense == 49 * 3072 * 768 + 24 * one + 768 * 1000
    assert cost.attention == 24 * 2 * 49 * 7 * 768  # each of 49 tokens attends to 7
    assert cost.activations == 49 * 768 + 24 * (49 * 7 * 12 + 49 * 10 * 768) + 1000
    assert cost.kept == 49 * 3072 + 24 * (49 * (8 * 768 + 2 * 3072) + 12 * 49 * 7) + 50 * 768


def test_axial_resnet_costs_what_a_unit_by_hand_does():
    """One unit of 32 filters on a map of 3 x 5 positions."""
    inputs = keras.Input((3, 5, 128))
    cost = accounting.count(keras.Model(inputs, AxialUnit(32)(inputs)))
    assert cost.convolutions == 15 * 2 * 128 * 32
    assert cost.dense == 15 * 2 * 4 * 32 * 32
    rows, columns = 3 * (2 * 25 + 5 * 9) * 32, 5 * (2 * 9 + 3 * 5) * 32
    assert cost.attention == rows + columns


@pytest.mark.slow
@pytest.mark.parametrize("make", [vit, resnet])
def test_a_built_model_costs_what_its_weights_and_images_say(make, hollow):
    model = make()
    if make is vit:  # named models have square patches
        model = keras_vit.create("Axial-ViT-Mini/8", image_size=(16, 24))
        assert accounting.count(model) == accounting.count("Axial-ViT-Mini/8", (16, 24))
    assert accounting.count(model).parameters == model.count_params()
    assert accounting.count(model, batch_size=3).flops == 3 * accounting.count(model).flops


def test_patches_of_a_name_must_divide_the_image():
    with pytest.raises(ValueError, match="divisible by the patch"):
        accounting.count("Axial-ViT-B/16", 225)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Axial-ViT-B/32", "Axial-R50x1"])
def test_whole_models_cost_what_their_names_say(name):
    model = keras_vit.create(name)
    cost = accounting.count(name)
    assert accounting.count(model) == cost
    assert model.count_params() == cost.parameters == keras_vit.list_variants()[name].parameters


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="PyTorch's own count")
@pytest.mark.parametrize("make", [vit, resnet])
def test_torch_counts_the_same(make):
    from torch.nn import attention
    from torch.utils.flop_counter import FlopCounterMode

    model = make()
    with (
        FlopCounterMode(display=False) as counter,
        attention.sdpa_kernel([attention.SDPBackend.MATH]),
    ):
        model(np.zeros((2, *model.input_shape[1:]), "float32"))
    assert counter.get_total_flops() == accounting.count(model, batch_size=2).flops


# --- Models -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("make", [vit, resnet])
def test_saving_gives_back_the_model_and_its_weights(make, tmp_path):
    model = make()
    images = random_images(2, *model.input_shape[1:])
    loaded = check_saving(model, images, tmp_path)
    assert loaded.get_config() == model.get_config()
    model.save_weights(tmp_path / "model.weights.h5")
    other = type(model).from_config(model.get_config())
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(outputs(other, images), outputs(model, images))


@pytest.mark.slow
def test_a_resnet_without_attention_has_filters_there_and_is_the_same_elsewhere():
    plain = resnet(keras_vit.ResNet)
    axial = {w.path for w in resnet().weights if "/attention/" in w.path}
    paths = {w.path for w in plain.weights}
    assert paths - {w.path for w in resnet().weights} == {
        f"stage_{unit}/conv_2/kernel" for unit in ("1_unit_1", "2_unit_1", "2_unit_2")
    }
    assert len(axial) == 3 * 10


@pytest.mark.slow
@pytest.mark.parametrize("make", [vit, resnet])
def test_every_weight_gets_a_finite_gradient(make):
    model = make()
    images, targets = random_images(3, *model.input_shape[1:]), random_tokens(3, 3)
    found = gradients(model, images, targets)
    assert len(found) == len(model.trainable_variables)
    for path, gradient in found.items():
        assert np.isfinite(gradient).all(), path
        assert np.abs(gradient).max() > 1e-8, path


@pytest.mark.slow
@pytest.mark.parametrize("make", quick((vit, resnet), vit, rest=pytest.mark.weekly))
def test_mixed_precision_is_near_the_full(make):
    model, full = make(dtype="mixed_bfloat16"), make()
    full.set_weights(model.get_weights())
    images = random_images(4, *model.input_shape[1:])
    logits, expected = call(model, images), outputs(full, images)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    assert {keras.backend.standardize_dtype(w.dtype) for w in model.weights} == {"float32"}
    np.testing.assert_allclose(numpy(logits), expected, atol=0.05 * np.abs(expected).max())


@pytest.mark.weekly
@pytest.mark.parametrize("make, smaller", [(vit, {"num_layers": 1}), (resnet, {"units": (1,)})])
def test_fit_learns(make, smaller):
    labels = np.arange(16) % 2
    model = make(num_classes=2, **smaller)
    images = random_images(16, *model.input_shape[1:]) / 4 + 190 * labels[:, None, None, None]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    model.fit(images, labels, batch_size=8, epochs=8, verbose=0)
    assert model.evaluate(images, labels, verbose=0)[1] == 1.0


def test_the_global_image_format_changes_nothing():
    layer, x = AxialAttention(3, strides=2), random_tokens(2, 5, 4, 15)
    layer.build(x.shape)
    expected = outputs(layer, x)
    keras.config.set_image_data_format("channels_first")
    try:
        np.testing.assert_array_equal(outputs(layer, x), expected)
    finally:
        keras.config.set_image_data_format("channels_last")


# --- Everything that looks into blocks ----------------------------------------------------------


@pytest.mark.parametrize(
    "view", ["attention_scores", "attention_rollout", "relevance", "mean_attention_distance",
             "attention_entropy"]
)  # fmt: skip
def test_views_of_attention_say_what_can_be_seen_instead(view):
    model = vit()
    words = "needs attention among all tokens.*AxialBlock layers in it=2.*grad_cam, occlusion"
    with pytest.raises(ValueError, match=words):
        getattr(explain, view)(model, random_images(1, 8, 15, 3))


@pytest.mark.slow
def test_other_views_see_axial_blocks():
    model, images = vit(), random_images(4, 8, 15, 3)
    found = find_encoder.find(model)
    assert [block.name for block in found.blocks] == ["block_0", "block_1"]
    assert (found.grid, found.prefix_tokens, found.patch_size) == (GRID, 0, (4, 5))
    assert find_encoder.has_blocks(model) and not find_encoder.has_attention(model)
    lens = explain.logit_lens(model, images)
    np.testing.assert_allclose(lens[-1], outputs(model, images), atol=1e-5)
    shortened = vit(num_layers=1)
    kept = {w.path: w for w in model.weights}
    for weight in shortened.weights:
        weight.assign(kept[weight.path])
    np.testing.assert_allclose(lens[1], outputs(shortened, images), atol=1e-5)
    assert explain.token_norms(model, images).shape == (3, 4, 6)
    assert explain.token_similarity(model, images).shape == (4, *GRID)
    assert explain.position_similarity(model).shape == (*GRID, *GRID)
    for view in (explain.grad_cam, explain.occlusion):
        assert view(model, images, 1).shape == (4, *GRID)
    names = explain.cka(model, model, images).layers_a
    assert names == ("patch_encoder", "block_0", "block_1", "encoder_norm")
    names = explain.cka(resnet(), resnet(), random_images(4, 17, 30, 3)).layers_a
    assert names == ("root", "stage_1_unit_1", "stage_2_unit_1", "stage_2_unit_2")


@pytest.mark.slow
def test_a_report_tells_which_views_do_not_apply():
    page = explain.report(vit(), random_images(4, 8, 15, 3))
    assert "This view needs attention among all tokens" in page


def test_pre_training_that_needs_all_patches_in_place():
    encoder = vit(num_classes=None)
    with pytest.raises(ValueError, match="any subset of patches.*encoder='AxialViT'.*SimMIM"):
        pretraining.MAE(encoder, decoder_dim=8, decoder_heads=2, decoder_layers=1)
    pixels = vit(image_size=(2, 3), patch_size=1, num_classes=None)
    palette = pretraining.find_palette(random_images(4, 2, 3, 3), colors=2)
    with pytest.raises(ValueError, match="order='next'.*encoder='AxialViT'"):
        pretraining.PixelPrediction(pixels, palette)


@pytest.mark.slow
def test_masks_that_leave_patches_in_place_train_all_of_the_encoder():
    encoder = vit(num_classes=None)
    model = randomize(pretraining.SimMIM(encoder, mask_unit=1), scale=0.3)
    model.compile("adam")
    before = weights(encoder)
    model.fit(random_images(4, 8, 15, 3), verbose=0)
    after = weights(encoder)
    moved = {path.split("/")[0] for path in before if np.any(before[path] != after[path])}
    assert moved == {"patch_encoder", "block_0", "block_1", "encoder_norm"}


@pytest.mark.slow
def test_lora_changes_both_halves_of_a_block():
    model = vit(dropout=0.5, stochastic_depth=0.5)
    total, head = model.count_params(), 9 * 3
    assert adaptation.freeze(model, "linear") == (head, total - head)
    block = model.get_layer("block_1")
    assert {block.row.mlp.drop_1.rate, block.column.skip_1.rate} == {0.0}
    pairs = [(8, 24), (8, 8), (8, 12), (12, 8)]
    lora = 2 * 2 * 3 * sum(n + m for n, m in pairs)
    assert adaptation.freeze(model, "lora", rank=3) == (head + lora, total - head)
    assert (block.row.mlp.drop_1.rate, block.column.skip_1.rate) == (0.5, 0.5)
    randomize(model, seed=3, scale=0.3)
    images = random_images(2, 8, 15, 3)
    merged = adaptation.merge_lora(model)
    assert merged.count_params() == total
    np.testing.assert_allclose(outputs(merged, images), outputs(model, images), atol=1e-4)


def test_layer_decay_counts_axial_blocks():
    paths = [w.path for w in vit().trainable_variables]
    shares = dict(zip(paths, optimizers.layer_rates(paths, 0.5), strict=True))
    assert shares["block_0/row/norm_1/gamma"] == shares["block_0/column/norm_1/gamma"] == 0.25
    assert shares["patch_encoder/projection/kernel"] == 0.125


@pytest.mark.parametrize("make", [vit, resnet])
def test_published_files_have_no_names_for_them(make, tmp_path):
    kind = "AxialViT" if make is vit else "AxialResNet"
    with pytest.raises(ValueError, match=f"names for an {kind}.*model.save_weights"):
        keras_vit.save_weights(make(), tmp_path / "model.npz")
    plain = wide_vit(pooling="gap") if make is vit else resnet(keras_vit.ResNet)
    keras_vit.save_weights(plain, tmp_path / "model.npz")
    with pytest.raises(ValueError, match=f"an {kind}"):
        keras_vit.load_weights(make(), tmp_path / "model.npz")


# --- Errors -------------------------------------------------------------------------------------

ERRORS = {
    "tokens": (
        lambda: AxialBlock((2, 3), 2, 8)(np.zeros((1, 7, 4))),
        "expects 6 tokens, 2 rows of 3",
        "tokens=7, grid=(2, 3)",
        "without a class token",
    ),
    "twice as many tokens": (
        lambda: built(AxialBlock((2, 3), 2, 8), (1, 6, 4))(np.zeros((1, 12, 4))),
        "expects 6 tokens",
        "tokens=12",
    ),
    "twice as many symbolic tokens": (
        lambda: built(AxialBlock((2, 3), 2, 8), (1, 6, 4))(keras.Input((12, 4))),
        "tokens=12",
    ),
    "longer symbolic tokens": (
        lambda: built(AxialBlock((2, 3), 2, 8), (1, 6, 4))(keras.Input((6, 5))),
        "tokens of shape (batch, tokens, 4)",
    ),
    "unknown tokens": (lambda: AxialBlock(2, 2, 8).build((None, None, 4)), "tokens=None"),
    "map for tokens": (
        lambda: AxialBlock((2, 3), 2, 8)(np.zeros((1, 2, 3, 4))),
        "`AxialBlock` expects tokens of shape (batch, tokens, hidden_dim)",
    ),
    "grid": (lambda: AxialBlock((2, 3, 4), 2, 8), "`grid` must be one integer or two"),
    "grid of nothing": (lambda: AxialBlock((0, 3), 2, 8), "`grid` must be a positive integer"),
    "heads": (lambda: AxialBlock(2, 0, 8), "`num_heads` must be a positive integer"),
    "rate": (lambda: AxialBlock(2, 1, 8, dropout=1.0), "`dropout` must be a number of at least 0"),
    "heads of a block": (
        lambda: AxialBlock(2, 3, 8).build((None, 4, 8)),
        "divisible by `num_heads`",
    ),
    "heads of a map": (
        lambda: AxialAttention(3).build((None, 2, 2, 8)),
        "divisible by `num_heads`",
    ),
    "attention heads": (lambda: AxialAttention(1.5), "`num_heads` must be a positive integer"),
    "strides": (lambda: AxialAttention(2, strides=0), "`strides` must be a positive integer"),
    "tokens for a map": (
        lambda: AxialAttention(2)(np.zeros((1, 6, 4))),
        "`AxialAttention` expects a map",
    ),
    "unknown map": (
        lambda: AxialAttention(2).build((None, None, 5, 4)),
        "map of known height and width",
        "fixed image_size",
    ),
    "another map": (
        lambda: built(AxialAttention(2), (1, 2, 3, 4))(np.zeros((1, 2, 5, 4))),
        "tokens=5",
    ),
    "filters": (lambda: AxialUnit(48), "`AxialUnit` normalizes in 32 groups", "channels=48"),
    "channels": (
        lambda: AxialUnit(32).build((None, 2, 2, 40)),
        "`AxialUnit` normalizes in 32 groups",
        "channels=40",
    ),
    "class token": (lambda: vit(pooling="token"), "pooling='token'", "pooling='gap'"),
}


def built(layer, shape):
    layer.build(shape)
    return layer


@pytest.mark.parametrize("case", ERRORS)
def test_errors_say_what_was_expected(case):
    call, *words = ERRORS[case]
    with pytest.raises(ValueError) as error:
        call()
    assert all(word in str(error.value) for word in words), error.value
