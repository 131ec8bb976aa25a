"""Names, and parameter counts to the last digit."""

import keras
import pytest

import keras_vit
from keras_vit.variants import PATCH_SIZES, SIZES, count_parameters, parse

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
}
LARGE = ("ViT-L/16", "ViT-L/32", "ViT-H/14")


@pytest.mark.parametrize("name", PUBLISHED)
def test_listed_parameters_are_the_published_ones(name):
    assert keras_vit.variants()[name].parameters == PUBLISHED[name]


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in LARGE)) for n in PUBLISHED]
)
def test_built_models_have_the_published_parameters(name):
    model = keras_vit.create(name)
    assert model.count_params() == PUBLISHED[name]
    assert model.name == name.lower().replace("-", "_").replace("/", "_")


@pytest.mark.parametrize(
    "name, count", {"ViT-B/16": 86_566_120, "ViT-B/32": 88_222_696, "ViT-S/16": 22_049_896}.items()
)
def test_mean_pooling_has_no_class_token(name, count):
    assert keras_vit.create(name, pooling="gap").count_params() == count


def test_pre_logits_and_21k_classes():
    """The ImageNet-21k ViT-B/16: 21,843 classes and a hidden layer of 768."""
    model = keras_vit.create("ViT-B/16", num_classes=21_843, representation_size=768)
    assert model.count_params() == 103_186_515


def test_fine_tuned_at_384_pixels():
    assert keras_vit.create("ViT-B/16", image_size=384).count_params() == 86_859_496


@pytest.mark.parametrize("size", [s for s in SIZES if s not in ("L", "H", "g", "G")])
def test_the_formula_counts_what_is_built(size):
    layers, dim, mlp, heads = SIZES[size]
    model = keras_vit.create(f"ViT-{size}/7", num_layers=2, image_size=21, num_classes=5)
    assert model.count_params() == count_parameters(2, dim, mlp, heads, 7, 21, 5)


def test_every_size_has_every_patch():
    assert len(keras_vit.variants()) == len(SIZES) * len(PATCH_SIZES)
    assert keras_vit.variants()["ViT-H/14"] == (32, 1280, 5120, 16, 14)
    assert keras_vit.variants()["ViT-g/14"].num_layers == 40
    assert keras_vit.variants()["ViT-G/14"].num_layers == 48


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
    }.items(),
)
def test_unknown_names_suggest_the_nearest(wrong, nearest):
    with pytest.raises(ValueError) as error:
        keras_vit.create(wrong)
    assert f"Did you mean {nearest}?" in str(error.value)
    assert repr(wrong) in str(error.value)


def test_an_override_goes_before_the_variant():
    model = keras_vit.create("ViT-Ti/16", num_layers=1, image_size=32, num_classes=2, name="mine")
    assert (model.num_layers, model.hidden_dim, model.name) == (1, 192, "mine")
    assert isinstance(model, keras.Model)
