"""Names, and parameter counts to the last digit."""

import keras
import pytest
from helpers import GOLDEN, arrays

import keras_vit
from keras_vit.ablations.relative import RelativeViT
from keras_vit.variants import (
    BIT_NAMES,
    HYBRIDS,
    PARAMETERS,
    PATCH_SIZES,
    SIZES,
    SmallHybridVariant,
    parse,
)

# Published with the official code, at 1000 classes and 224 px.
PUBLISHED = {
    "ViT-Ti/16": 5_717_416,
    "ViT-S/16": 22_050_664,
    "ViT-S/32": 22_878_952,
    "ViT-B/8": 86_576_872,
    "ViT-B/16": 86_567_656,
    "ViT-B/32": 88_224_232,
    "ViT-L/16": 304_326_632,
    "ViT-L/32": 306_535_400,
    "ViT-H/14": 632_045_800,
    "R+ViT-Ti/16": 6_337_704,
    "R26+ViT-S/32": 36_431_912,
    "R26+ViT-B/32": 101_383_976,
    "R50+ViT-B/16": 98_659_112,
    "R50+ViT-L/32": 328_994_856,
    # timm's
    "R50x1": 25_549_352,
    "R50x3": 217_319_080,
    "R101x1": 44_541_480,
    "R101x3": 387_934_888,
    "R152x2": 236_335_208,
    "R152x4": 936_533_224,
    # Built of parts of the official code: tests/golden/record_hybrids.py, record_bit.py
    "R50+ViT-B/32": 110_945_832,
    "R50+ViT-L/16": 316_483_624,
    "R50x2": 97_988_712,
    "R152x1": 60_185_128,
    "R200x3": 568_633_000,
}
QUICK = ("ViT-Ti/16", "ViT-S/16", "ViT-S/32", "ViT-B/8", "ViT-B/16", "ViT-B/32")
QUICK += ("R+ViT-Ti/16", "R26+ViT-S/32", "R50x1")


@pytest.mark.parametrize("name", PUBLISHED)
def test_listed_parameters_are_the_published_ones(name):
    assert keras_vit.list_variants()[name].parameters == PUBLISHED[name]


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n not in QUICK)) for n in PUBLISHED]
)
def test_built_models_have_the_published_parameters(name, hollow):
    model = keras_vit.create(name)
    assert model.count_params() == PUBLISHED[name]
    assert model.name.startswith(name.lower().replace("-", "_").replace("/", "_").replace("+", "_"))
    family = keras_vit.HybridViT if "+" in name else keras_vit.ViT
    assert type(model) is (family if "ViT" in name else keras_vit.ResNet)


def test_counts_of_the_official_code_as_recorded():
    for file in ("hybrids.npz", "bit.npz"):
        recorded = arrays(GOLDEN / file)
        counts = {key.split()[0]: int(recorded[key]) for key in recorded if "parameters" in key}
        assert len(counts) in (len(HYBRIDS), len(BIT_NAMES))
        for name, count in counts.items():
            assert keras_vit.list_variants()[name].parameters == count == PUBLISHED[name], name


@pytest.mark.parametrize(
    "name, count", {"ViT-B/16": 86_566_120, "ViT-B/32": 88_222_696, "ViT-S/16": 22_049_896}.items()
)
def test_mean_pooling_has_no_class_token(name, count, hollow):
    assert keras_vit.create(name, pooling="gap").count_params() == count


def test_pre_logits_and_21k_classes(hollow):
    """The ImageNet-21k ViT-B/16: 21,843 classes and a hidden layer of 768."""
    model = keras_vit.create("ViT-B/16", num_classes=21_843, representation_size=768)
    assert model.count_params() == 103_186_515


def test_fine_tuned_at_384_pixels(hollow):
    assert keras_vit.create("ViT-B/16", image_size=384).count_params() == 86_859_496


def by_hand(num_layers, hidden_dim, mlp_dim, num_heads, patch_size, units=None, image_size=224,
            num_classes=1000, root=(7, 64, 4)):  # fmt: skip
    """Counts the weights of a ViT or a hybrid on square RGB images, term by term."""
    tokens, stem, patch = (image_size // patch_size) ** 2, 0, 3 * patch_size**2
    if units is not None:
        side, width, step = root
        stem, channels = side * side * 3 * width + 2 * width, width
        for stage, number in enumerate(units):
            filters = width * 2**stage
            stem += (channels + 2) * 4 * filters  # projection of the first unit, and its norm
            for _ in range(number):
                stem += (channels + 9 * filters + 4 * filters) * filters + 2 * 6 * filters
                channels = 4 * filters
        step *= 2 ** max(len(units) - 1, 0)
        patch = (patch_size // step) ** 2 * channels
    embedding = (patch + 1) * hidden_dim + (1 + tokens + 1) * hidden_dim
    msa = 4 * (hidden_dim + 1) * hidden_dim
    mlp = (hidden_dim + 1) * mlp_dim + (mlp_dim + 1) * hidden_dim
    block = msa + mlp + 2 * 2 * hidden_dim
    return stem + embedding + num_layers * block + 2 * hidden_dim + (hidden_dim + 1) * num_classes


VITS = [name for name in PARAMETERS if "ViT" in name and "Axial" not in name]


@pytest.mark.parametrize("name", VITS)
def test_listed_parameters_are_those_counted_by_hand(name):
    row = keras_vit.list_variants()[name]
    small = {"root": (3, 32, 2)} if isinstance(row, SmallHybridVariant) else {}
    assert row.parameters == by_hand(*row, **small)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PARAMETERS.keys() - PUBLISHED.keys()))
def test_built_models_have_the_listed_parameters(name, hollow):
    assert keras_vit.create(name).count_params() == PARAMETERS[name]


def test_every_name_has_listed_parameters_and_no_other_row_has():
    assert list(PARAMETERS) == list(keras_vit.list_variants())
    assert parse("ViT-S/4").parameters is None
    assert parse("R26x1").parameters is None
    assert parse("Axial-R50x2").parameters is None


@pytest.mark.parametrize("size", [s for s in SIZES if s not in ("L", "H", "g", "G")])
def test_built_models_have_the_weights_counted_by_hand(size, hollow):
    layers, dim, mlp, heads = SIZES[size]
    model = keras_vit.create(f"ViT-{size}/7", num_layers=2, image_size=21, num_classes=5)
    assert model.count_params() == by_hand(2, dim, mlp, heads, 7, None, 21, 5)


@pytest.mark.parametrize("units, patch", [((), 8), ((1,), 4), ((2, 1), 8)])
def test_built_hybrids_have_the_weights_counted_by_hand(units, patch, hollow):
    sizes = {"patch_size": patch, "image_size": 16, "num_classes": 5}
    model = keras_vit.create("ViT-Mini/8", keras_vit.HybridViT, resnet_units=units, **sizes)
    assert model.count_params() == by_hand(4, 64, 128, 4, patch, units, 16, 5)


def test_every_size_has_every_patch():
    assert len(keras_vit.list_variants()) == len(SIZES) * len(PATCH_SIZES) + 9 + 9 + 3
    assert keras_vit.list_variants()["ViT-H/14"] == (32, 1280, 5120, 16, 14)
    assert keras_vit.list_variants()["ViT-g/14"].num_layers == 40
    assert keras_vit.list_variants()["ViT-G/14"].num_layers == 48


def test_hybrids_and_resnets_are_the_papers():
    """Section 4.1: for /16 the units of stage 4 are moved into stage 3."""
    table = keras_vit.list_variants()
    assert table["R50+ViT-B/16"] == (12, 768, 3072, 12, 16, (3, 4, 9))
    assert table["R50+ViT-B/32"] == (12, 768, 3072, 12, 32, (3, 4, 6, 3))
    assert table["R50+ViT-L/16"].resnet_units == (3, 4, 9)
    assert table["R+ViT-Ti/16"] == (12, 192, 768, 3, 32, ())  # 32 pixels, whatever its name
    assert table["R152x2"] == ((3, 8, 36, 3), 2)
    assert parse("R26x5") == ((2, 2, 2, 2), 5)


@pytest.mark.parametrize(
    "name, tokens", {"R+ViT-Ti/16": 50, "R26+ViT-S/32": 50, "R50+ViT-B/16": 197}.items()
)
def test_hybrids_have_the_published_number_of_tokens(name, tokens, hollow):
    model = keras_vit.create(name, num_layers=1, num_classes=None)
    assert model.get_layer("patch_encoder").output.shape[1] == tokens


def test_any_patch_may_be_asked_for():
    assert parse("ViT-S/4").patch_size == 4
    model = keras_vit.create("ViT-Mini/4", patch_size=(4, 8), image_size=(16, 24), num_classes=2)
    assert model.get_layer("patches").output.shape == (None, 12, 96)


@pytest.mark.parametrize(
    "wrong, nearest",
    {
        "vit-b/16": "'ViT-B/16'",
        "ViT-B_16": "'ViT-B/16'",
        "ViT_L_32": "'ViT-L/32'",
        "B/16": "'ViT-B/16'",
        "ViT-Tiny/16": "'ViT-Ti/16'",
        "vit-g/14": "'ViT-g/14' or 'ViT-G/14'",
        "vit-h/14": "'ViT-H/14'",
        "R50_ViT-B_16": "'R50+ViT-B/16'",
        "r26+vit-s/32": "'R26+ViT-S/32'",
        "R50+ViT-L_32": "'R50+ViT-L/32'",
        "BiT-R101x3": "'R101x3'",
        "r152X4": "'R152x4'",
        "vit_base_patch16_224": "'ViT-B/16'",
        "vit_small_patch32_384": "'ViT-S/32'",
        "facebook/deit-tiny-patch16-224": "'ViT-Ti/16'",
    }.items(),
)
def test_unknown_names_suggest_the_nearest(wrong, nearest):
    with pytest.raises(ValueError) as error:
        keras_vit.create(wrong)
    assert f"Did you mean {nearest}?" in str(error.value)
    assert repr(wrong) in str(error.value)


def test_another_class_may_be_built_by_a_name():
    model = keras_vit.create("ViT-Mini/8", RelativeViT, image_size=16, num_classes=2)
    assert type(model) is RelativeViT and (model.num_layers, model.hidden_dim) == (4, 64)
    another = keras_vit.create("ViT-Mini/8", image_size=16, num_classes=2)
    assert model.name.startswith("vit_mini_8") and model.name != another.name


def test_an_override_goes_before_the_variant():
    model = keras_vit.create("ViT-Ti/16", num_layers=1, image_size=32, num_classes=2, name="mine")
    assert (model.num_layers, model.hidden_dim, model.name) == (1, 192, "mine")
    assert isinstance(model, keras.Model)
