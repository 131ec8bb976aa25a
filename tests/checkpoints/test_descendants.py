"""Files of later families, against the outputs of their publishers' code."""

import json
import re

import keras
import numpy as np
import pytest
from golden import seeded
from helpers import DESCENDANTS as RECORDED
from helpers import outputs, quick, slow

import keras_vit
from keras_vit import descendants, explain
from keras_vit.ablations import positions
from keras_vit.io import files

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGENET = tuple(tuple(255 * value for value in values) for values in (MEAN, DEVIATION))
CASES = [name.removesuffix("/file") for name in RECORDED if name.endswith("/file")]
LATER = ("beit", "dinov2 g", "tips", "mae class", "sbb", "150m", "gap", "qkvb", "radio", "intern")
LATER += (" G", "tanh layer", "one head")
FIRST = [case for case in CASES if not any(word in case for word in (*LATER, "hybrid"))]
FIRST += ["huggingface beit", "huggingface dinov2 g", "timm sbb", "timm root hybrid"]
OTHER_SIZES = [tuple(name.rsplit("/", 1)) for name in RECORDED if re.search(r"/\d+ x ", name)]
# Each way of resizing in the quick suite; in the slow one a size of each table of names.
QUICKLY = [("huggingface dinov2", "42 x 70"), ("timm flexivit", "48 x 96 by 12")]
QUICKLY += [("timm eva02 clip", "48 x 80"), ("timm pe core", "48 x 80"), ("timm beit", "48 x 80")]
AGAIN = ("classifier", "with", "gated", "GELU", "84 x 84", "96 x 96", "150m", "G", "qkvb", "intern")
AGAIN += ("tips", "dinov2 g", "not square", "mae class")


def other_sizes():
    for case in OTHER_SIZES:
        rest = pytest.mark.weekly if any(word in str(case) for word in AGAIN) else pytest.mark.slow
        yield pytest.param(*case, marks=[] if case in QUICKLY else rest)


def model_args(case, **changes):
    """Returns timm's model_args of a recorded model, changed."""
    config = json.loads(str(RECORDED[f"{case}/file"]))["config"]
    return {"model_args": config["model_args"] | changes}


def change_tensors(folder, change):
    """Rewrites the tensors of a folder, as `change` returns them."""
    with files.open_tensors(folder / "model.safetensors") as file:
        tensors = {name: file.read(name) for name in file.specs}
    files.write_safetensors(folder / "model.safetensors", change(tensors))


def arguments_of(folder):
    return keras_vit.checkpoints.describe(folder).arguments


@pytest.mark.parametrize("case", quick(CASES, *FIRST))
def test_a_folder_as_it_is_published_gives_the_outputs_of_its_source(case, publish):
    expected = RECORDED[f"{case}/output"]
    options = {"pooling": None} if expected.ndim == 3 else {}
    options["normalize"] = IMAGENET  # as it was recorded
    model = keras_vit.load_pretrained(publish(case), verbose=False, **options)
    found = outputs(model, seeded.make_images(*model.image_size))
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("case, size", list(other_sizes()))
def test_another_size_gives_the_outputs_of_its_source(case, size, publish):
    """Positions and FlexiViT's patches are resized in the same way as in each library."""
    expected = RECORDED[f"{case}/{size}"]
    options = {"pooling": None} if expected.ndim == 3 else {}
    size, _, patch = size.partition(" by ")
    options |= {"patch_size": int(patch)} if patch else {}
    size = tuple(map(int, size.split(" x ")))
    model = keras_vit.load_pretrained(
        publish(case), image_size=size, normalize=IMAGENET, verbose=False, **options
    )
    found = outputs(model, seeded.make_images(*size))
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_a_method_that_is_given_is_obeyed(publish):
    folder, name = publish("huggingface dinov2"), "patch_encoder"
    options = {"pooling": None, "verbose": False}
    native = keras_vit.load_pretrained(folder, **options).get_layer(name).position_embedding
    native = keras.ops.convert_to_numpy(native)
    found = {None: positions.resize(native, (4, 4), (3, 5), "torch-bicubic")}
    found |= {way: positions.resize(native, (4, 4), (3, 5), way) for way in positions.MATRICES}
    assert len({table.tobytes() for table in found.values()}) == len(positions.MATRICES)
    for method, expected in found.items():
        model = keras_vit.load_pretrained(folder, image_size=(42, 70), method=method, **options)
        table = keras.ops.convert_to_numpy(model.get_layer(name).position_embedding)
        np.testing.assert_allclose(table, expected, atol=1e-6)


def test_a_pooler_of_deit_is_a_tanh_layer_on_the_class_token(publish):
    """`DeiTModel` with its pooler: the distillation token is not pooled."""
    folder = publish("huggingface deit with one head")
    plain = keras_vit.load_pretrained(folder, num_classes=None, verbose=False)
    pooler = {"weight": seeded.torch_weight("a", (24, 24)), "bias": seeded.torch_weight("b", (24,))}

    def change(tensors):
        own = {k.removeprefix("deit."): x for k, x in tensors.items() if "classifier" not in k}
        return own | {f"pooler.dense.{name}": np.asarray(x) for name, x in pooler.items()}

    change_tensors(folder, change)
    model = keras_vit.load_pretrained(folder, verbose=False)
    assert type(model) is descendants.RegisterViT and model.representation_size == 24
    images = seeded.make_images(*model.image_size)
    expected = np.tanh(outputs(plain, images) @ np.transpose(pooler["weight"]) + pooler["bias"])
    np.testing.assert_allclose(outputs(model, images), expected, atol=1e-5)


@pytest.mark.parametrize("case", ["timm eva02", "timm pe core"])
def test_tokens_of_a_model_that_pools_them_otherwise(case, publish):
    """Weights of layers after the tokens are left out."""
    folder = publish(case)
    model = keras_vit.load_pretrained(folder, pooling=None, verbose=False)
    whole = keras_vit.load_pretrained(folder, num_classes=None, verbose=False)
    images = seeded.make_images(*model.image_size)
    tokens, pooled = outputs(model, images), outputs(whole, images)
    for layer in ["pooling", "encoder_norm"] if case == "timm eva02" else ["pooling"]:
        tokens = outputs(whole.get_layer(layer), tokens)
    np.testing.assert_allclose(tokens, pooled, atol=1e-5)


def test_the_grid_of_pretraining_is_that_of_the_architecture_or_the_file(publish):
    args = model_args("timm pe core", ref_feat_shape=[5, 7])
    assert arguments_of(publish("timm pe core"))["reference"] == (14, 14)
    assert arguments_of(publish("timm pe spatial"))["reference"] == (32, 32)
    assert arguments_of(publish("timm pe core", **args))["reference"] == (5, 7)
    assert arguments_of(publish("timm pe core", architecture=None))["reference"] == (4, 4)
    assert arguments_of(publish("timm eva02", architecture=None))["reference"] == (16, 16)


@pytest.mark.parametrize(
    "kind, options",
    [
        (descendants.RegisterViT, {"num_registers": 2}),
        (descendants.DINOv3ViT, {"gated": True, "theta": 50.0}),
        (descendants.CLIPViT, {"projection_dim": 6}),
        (descendants.BEiTViT, {"pooling": "patch mean"}),
        slow(descendants.PooledNormViT, {"pooling": "gap", "num_registers": 2, "gated": True}),
        slow(descendants.EVAViT, {"attention_norm": True, "mlp_norm": True, "reference": 3}),
        slow(descendants.EVAMeanViT, {"pooling": "patch mean"}),
        slow(descendants.PEViT, {"pooling": "map"}),
        slow(descendants.PESpatialViT, {"pooling": "gap"}),
    ],
)
def test_a_descendant_trains_saves_and_can_be_seen(kind, options, tmp_path):
    shape = {"image_size": (8, 12), "num_layers": 1, "num_classes": 2}
    model = keras_vit.create("ViT-Mini/4", kind, **shape, **options)
    images, labels = seeded.make_images(8, 12), np.arange(2)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = [keras.ops.convert_to_numpy(w) for w in model.trainable_weights]
    for _ in range(2):  # the head begins at zero, so the first step moves it alone
        model.train_on_batch(images, labels)
    after = [keras.ops.convert_to_numpy(w) for w in model.trainable_weights]
    assert all((x != y).any() for x, y in zip(before, after, strict=True))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again) is kind and again.get_config() == model.get_config()
    np.testing.assert_array_equal(outputs(again, images), outputs(model, images))
    assert explain.attention_rollout(model, images).shape == (2, 2, 3)


@pytest.mark.parametrize("name", ["relu", "quick_gelu"])
def test_an_activation_that_no_layer_has_is_refused_by_name(name, publish):
    folder = publish("huggingface dinov2", hidden_act=name)
    with pytest.raises(ValueError, match=f"activation must be one of gelu.*hidden_act='{name}'"):
        keras_vit.load_pretrained(folder, verbose=False)


@pytest.mark.parametrize(
    "case, field, value",
    [
        ("huggingface dinov2", "num_attention_heads", 5),
        ("huggingface dinov2", "num_attention_heads", "3"),
        ("huggingface dinov2", "layer_norm_eps", 0),
        ("huggingface dinov2", "image_size", 70),
        ("huggingface dinov2", "image_size", [56, 42]),
        ("huggingface dinov2", "patch_size", 7),
        ("huggingface dinov2", "hidden_size", 48),
        ("huggingface dinov2", "num_hidden_layers", 3),
        ("huggingface dinov2", "num_channels", 1),
        ("huggingface dinov2", "qkv_bias", False),
        ("huggingface dinov2", "use_swiglu_ffn", True),
        ("huggingface dinov2", "model_type", "yolos"),
        ("huggingface dinov2", "auto_map", {"AutoModel": "modeling.Other"}),
        ("huggingface dinov2", "hidden_act", ["gelu"]),
        ("huggingface dinov2 registers", "num_register_tokens", 2),
        ("huggingface dinov3", "use_gated_mlp", True),
        ("huggingface dinov3", "intermediate_size", 96),
        ("huggingface dinov3", "rope_theta", -1),
        ("huggingface dinov3", "rope_scaling", {"rope_type": "linear"}),
        ("huggingface siglip, with text", "vision_config", None),
        ("timm dinov2", "architecture", "vit_base_patch16_rpn_224"),
        ("timm dinov3", "architecture", "vit_base_patch16_rope_224"),
        ("timm dinov2", "architecture", 7),
        ("timm dinov2", "global_pool", "max"),
        ("timm deit3", "global_pool", ""),
        ("timm eva02", "architecture", "eva02_enormous_patch14_clip_224"),
        ("timm eva02", "global_pool", ""),
        ("timm pe core", "architecture", "vit_base_patch16_clip_224"),
        ("timm pe core", "global_pool", "avg"),
        ("timm pe spatial", "architecture", "vit_base_patch16_clip_224"),
    ],
)
def test_a_field_that_no_model_here_obeys_is_refused_by_name(case, field, value, publish):
    folder = publish(case, **{field: value})
    with pytest.raises(ValueError, match=f"{field}") as error:
        keras_vit.load_pretrained(folder, verbose=False)
    assert "Received: " in str(error.value)


@pytest.mark.parametrize(
    "case, field, value",
    [
        ("timm dinov2", "num_heads", 5),
        ("timm dinov2", "img_size", [56, 70]),
        ("timm dinov2", "depth", 3),
        ("timm dinov2", "act_layer", "quick_gelu"),
        ("timm dinov2", "norm_layer", "rmsnorm"),
        ("timm dinov2", "pool_include_prefix", True),
        ("timm dinov2", "block_fn", "ParallelScalingBlock"),
        ("timm dinov3", "rope_rotate_half", False),
        ("timm dinov3", "rope_grid_indexing", "xy"),
        ("timm dinov3", "use_rot_pos_emb", False),
        ("timm eva02", "rope_temperature", 100),
        ("timm eva02", "rope_grid_offset", 1),
        ("timm eva02", "ref_feat_shape", None),
        ("timm eva02", "ref_feat_shape", [4, 0]),
        ("timm eva02 clip", "use_post_norm", True),
        ("timm pe core", "rope_grid_offset", 0),
        ("timm pe core G", "rope_grid_offset", 1),
        ("timm pe core", "rope_grid_indexing", "ij"),
        ("timm pe core", "attn_pool_num_heads", 3),
    ],
)
def test_an_argument_of_timm_that_no_model_here_obeys_is_refused_by_name(
    case, field, value, publish
):
    folder = publish(case, **model_args(case, **{field: value}))
    with pytest.raises(ValueError, match=field):
        keras_vit.load_pretrained(folder, verbose=False)


@pytest.mark.parametrize(
    "architecture, changes, name, value",
    [
        ("vit_small_patch14_dinov2", {"act_layer": "gelu_tanh"}, "approximate", True),
        ("vit_so400m_patch16_siglip_256", {}, "approximate", True),
        ("vit_so400m_patch16_siglip_256", {"act_layer": "gelu"}, "approximate", False),
        ("vit_small_patch14_dinov2", {"global_pool": "avg"}, "pooling", "patch mean"),
        ("vit_small_patch14_dinov2", {"global_pool": ""}, "pooling", None),
        ("vit_small_patch14_dinov2", {"num_heads": 4}, "num_heads", 4),
        ("vit_little_patch16_reg4_gap_256", {"num_heads": None}, "num_heads", 5),
        ("vit_huge_plus_patch16_dinov3", {"num_heads": None}, "num_heads", 20),
        ("vit_giant_patch14_reg4_dinov2", {"num_heads": None}, "num_heads", 24),
        ("vit_small_patch14_dinov2", {}, "epsilon", 1e-6),
    ],
)
def test_what_timm_says_of_a_model_is_obeyed(architecture, changes, name, value, publish):
    changed = model_args("timm dinov2", **changes)
    folder = publish("timm dinov2", architecture=architecture, **changed)
    assert arguments_of(folder)[name] == value


def test_an_architecture_of_timm_has_its_own_epsilon_and_gelu(publish):
    plain = arguments_of(publish("timm clip", architecture="vit_base_patch16_224"))
    assert plain["epsilon"] == 1e-6 and not plain["quick_gelu"]
    changed = model_args("timm clip", act_layer="gelu", norm_layer="layernorm")
    named = "vit_base_patch16_clip_quickgelu_224"
    changed = arguments_of(publish("timm clip", architecture=named, **changed))
    assert changed["epsilon"] == 1e-6 and not changed["quick_gelu"]
    quick = arguments_of(publish("timm clip", architecture=named))
    assert quick["epsilon"] == 1e-5 and quick["quick_gelu"]


def test_the_mean_of_the_patches_is_that_of_their_tokens(publish):
    folder = publish("timm dinov3", global_pool="avg")
    tokens = keras_vit.load_pretrained(folder, pooling=None, verbose=False)
    pooled = keras_vit.load_pretrained(folder, verbose=False)
    assert pooled.pooling == "patch mean" and pooled.prefix_tokens == 5
    images = seeded.make_images(*pooled.image_size)
    mean = outputs(tokens, images)[:, 5:].mean(1)
    np.testing.assert_allclose(outputs(pooled, images), mean, atol=1e-5)


def test_what_transformers_adds_to_a_config_is_added(publish):
    """A nested configuration may leave out what is the default there."""
    case = "huggingface siglip, with text"
    vision = json.loads(str(RECORDED[f"{case}/file"]))["config"]["vision_config"]
    del vision["num_attention_heads"]
    assert arguments_of(publish(case, vision_config=vision))["num_heads"] == 12


@pytest.mark.parametrize(
    "images, expected",
    [
        ({"do_rescale": False}, (0.5, 0.25)),
        ({"rescale_factor": 1 / 127.5}, (63.75, 31.875)),
        ({"do_normalize": False}, (0.0, 255.0)),
        ({"do_normalize": False, "do_rescale": False}, None),
    ],
)
def test_pixels_are_prepared_as_the_file_says(images, expected, publish):
    images = {"image_mean": 0.5, "image_std": [0.25] * 3} | images
    assert arguments_of(publish("huggingface dinov2", images))["normalize"] == expected


@pytest.mark.parametrize(
    "field, value", [("rescale_offset", True), ("image_mean", [0.5] * 4), ("image_std", ["a"])]
)
def test_pixels_that_cannot_be_prepared_so_are_refused_by_name(field, value, publish):
    images = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, field: value}
    with pytest.raises(ValueError, match=field):
        keras_vit.checkpoints.describe(publish("huggingface dinov2", images))


def test_older_files_of_torchvision_have_other_names(publish):
    folder = publish("torchvision as it is")
    old = {".mlp.0.": ".mlp.linear_1.", ".mlp.3.": ".mlp.linear_2."}

    def rename(tensors):
        for new, name in old.items():
            tensors = {key.replace(new, name): tensor for key, tensor in tensors.items()}
        return tensors

    change_tensors(folder, rename)
    model = keras_vit.load_pretrained(folder, verbose=False)
    np.testing.assert_allclose(
        outputs(model, seeded.make_images(32, 32)),
        RECORDED["torchvision as it is/output"],
        atol=2e-5,
    )


def test_a_convolutional_stem_of_torchvision_is_refused_by_name(publish):
    folder = publish("torchvision as it is")
    stem = {"conv_proj.weight": "conv_proj.conv_last.weight"}
    change_tensors(folder, lambda tensors: {stem.get(k, k): v for k, v in tensors.items()})
    with pytest.raises(ValueError, match="conv_proj.weight.*a stem of several convolutions"):
        keras_vit.load_pretrained(folder, verbose=False)


def test_naflex_is_refused_by_name(publish):
    folder, name = publish("huggingface siglip"), "embeddings.patch_embedding.weight"

    def flatten(tensors):
        key = next(key for key in tensors if key.endswith(name))
        return tensors | {key: tensors[key].reshape(len(tensors[key]), -1)}

    change_tensors(folder, flatten)
    with pytest.raises(ValueError, match="NaFlex"):
        keras_vit.load_pretrained(folder, verbose=False)


@pytest.mark.parametrize("case", ["huggingface siglip", "huggingface clip"])
def test_a_classifier_of_the_mean_of_all_tokens_is_refused_by_name(case, publish):
    folder = publish(case)
    head = {"classifier.weight": np.ones((5, 24), "float32"), "classifier.bias": np.ones(5)}
    change_tensors(folder, lambda tensors: tensors | head)
    with pytest.raises(ValueError, match="classifier of the mean.*(?s:.*)'classifier.weight'"):
        keras_vit.load_pretrained(folder, verbose=False)


@pytest.mark.parametrize("case", ["timm dinov2", "timm sbb", "huggingface beit"])
def test_a_missing_normalization_is_named_as_in_the_file(case, publish):
    folder = publish(case)
    lost = r"(fc_|pooler\.layer)?norm\.(weight|bias)"
    change_tensors(folder, lambda old: {k: v for k, v in old.items() if not re.fullmatch(lost, k)})
    with pytest.raises(ValueError, match=r"missing(=|: )'\w*.?\w*norm.weight'"):
        keras_vit.load_pretrained(folder, verbose=False)


@pytest.mark.parametrize("prefix", [0, 5])
def test_positions_may_be_for_registers_too_or_for_patches_alone(prefix, publish):
    """With 2 x 5 patches: 10 is also 3 x 3 and a class token."""
    args = model_args("timm dinov2 registers", img_size=[28, 70])
    folder = publish("timm dinov2 registers", **args)
    table = np.random.default_rng(0).normal(size=(1, prefix + 10, 24)).astype("float32")
    change_tensors(folder, lambda tensors: tensors | {"pos_embed": table})
    model = keras_vit.load_pretrained(folder, verbose=False)
    assert model.image_size == (28, 70)
    found = keras.ops.convert_to_numpy(model.get_layer("patch_encoder").position_embedding)
    np.testing.assert_allclose(found[:, 5:], table[:, prefix:], rtol=1e-6)
    np.testing.assert_allclose(found[:, :5], table[:, :prefix] if prefix else 0 * found[:, :5])


def test_registers_belong_to_no_map_and_survive_saving(publish, tmp_path):
    folder = publish("huggingface dinov2 registers")
    model = keras_vit.load_pretrained(folder, num_classes=2, image_size=(28, 42), verbose=False)
    assert type(model) is descendants.RegisterViT and model.prefix_tokens == 5
    images = seeded.make_images(28, 42)
    assert explain.attention_rollout(model, images).shape == (2, 2, 3)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(outputs(again, images), outputs(model, images))


@pytest.mark.parametrize("grid", [(2, 3), (5, 5)])
def test_registers_have_no_position_at_any_size(grid, publish):
    folder = publish("huggingface dinov2 registers")
    size = tuple(14 * side for side in grid)
    model = keras_vit.load_pretrained(folder, image_size=size, pooling=None, verbose=False)
    table = keras.ops.convert_to_numpy(model.get_layer("patch_encoder").position_embedding)
    assert table.shape[1] == 5 + grid[0] * grid[1]
    assert not table[:, 1:5].any() and table[:, 0].any() and table[:, 5:].any(-1).all()


def test_layer_scale_is_multiplied_into_the_layer_before_it(publish):
    """By hand, from the file's own tensors."""
    folder = publish("timm deit3")
    model = keras_vit.load_pretrained(folder, verbose=False)
    with files.open_tensors(folder / "model.safetensors") as file:
        weight, bias, gamma = map(
            file.read, ("blocks.1.mlp.fc2.weight", "blocks.1.mlp.fc2.bias", "blocks.1.ls2.gamma")
        )
    layer = model.get_layer("block_1").mlp.contract
    np.testing.assert_allclose(layer.kernel, weight.T * gamma, rtol=1e-6)
    np.testing.assert_allclose(layer.bias, bias * gamma, rtol=1e-6)


def test_a_layer_scale_that_does_not_fit_is_listed(publish):
    folder = publish("timm deit3")
    new = {"blocks.0.ls1.gamma": np.ones(7, "float32")}
    new["blocks.1.ls1.gamma"] = np.full(24, np.nan, "float32")
    change_tensors(folder, lambda tensors: tensors | new)
    with pytest.raises(ValueError, match=r"(?s)misshapen: 'blocks.0.ls1.gamma'.*not finite") as e:
        keras_vit.load_pretrained(folder, verbose=False)
    assert "blocks.1.ls1.gamma" in str(e.value)


def test_a_file_that_lost_one_layer_scale_is_refused(publish):
    folder = publish("timm deit3")
    lost = "blocks.1.ls2.gamma"
    change_tensors(folder, lambda tensors: {k: v for k, v in tensors.items() if k != lost})
    with pytest.raises(ValueError, match=f"missing: '{lost}'"):
        keras_vit.load_pretrained(folder, verbose=False)


@pytest.mark.parametrize("pooling", ["patch mean", slow("gap")])
def test_a_map_is_that_of_the_tokens_that_are_pooled(pooling):
    options = {"num_registers": 2} if pooling == "gap" else {}
    kind = descendants.PooledNormViT if pooling == "gap" else descendants.BEiTViT
    shape = {"image_size": (8, 12), "num_layers": 1, "num_classes": 2, "pooling": pooling}
    model = keras_vit.create("ViT-Mini/4", kind, **shape, **options)
    images, first = seeded.make_images(8, 12), model.prefix_tokens
    scores = explain.attention_scores(model, images)["block_0"]
    found = explain.token_attention(model, images)[0]
    expected = scores[:, :, first:, first:].mean(2).reshape(2, -1, 2, 3)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_biases_need_their_own_number_of_tokens():
    layer = descendants.beit.BiasedSelfAttention(num_heads=2, grid=(1, 2))
    with pytest.raises(ValueError, match="class token and the patches of `grid`.*tokens=4"):
        layer(np.zeros((1, 4, 8)))
    with pytest.raises(ValueError, match="must be one with a class token.*pooling='gap'"):
        keras_vit.create("ViT-Mini/4", descendants.BEiTViT, image_size=8, pooling="gap")


def test_only_timm_computes_what_its_hybrids_do(tmp_path, recwarn):
    options = {"image_size": 32, "num_layers": 1, "hidden_dim": 192, "mlp_dim": 8, "num_heads": 3}
    model = descendants.TimmHybridViT(patch_size=16, resnet_units=(), **options)
    keras_vit.save_weights(model, tmp_path / "a.safetensors", "timm")
    assert not any("has its own" in str(warning.message) for warning in recwarn)
    with pytest.warns(UserWarning, match="TimmHybridViT has its own stem"):
        keras_vit.save_weights(model, tmp_path / "a.npz", "google")


def test_each_pair_of_tokens_has_its_row_of_the_table():
    """By hand, for 1 x 2 patches: offsets -1, 0, 1 of columns, then the class token's three."""
    rows = descendants.beit.rows_of_pairs((1, 2))
    np.testing.assert_array_equal(rows, [[5, 3, 3], [4, 1, 0], [4, 2, 1]])


def test_near_offsets_keep_their_biases():
    """A table of column distances: a wider grid keeps 0, 1, ..., a narrower one cuts the ends."""
    table = np.array([3.0, 2, 1, 0, 1, 2, 3, 7, 8, 9])[:, None]
    wide = descendants.beit.resize_table(table, (1, 4), (1, 6))[:, 0]
    assert wide[5] == 0 and wide[4] == wide[6] == 1 and wide[0] == wide[10] == pytest.approx(3)
    np.testing.assert_array_equal(wide[-3:], [7, 8, 9])
    narrow = descendants.beit.resize_table(table, (1, 4), (1, 2))[:, 0]
    np.testing.assert_array_equal(narrow, [1, 0, 1, 7, 8, 9])


def test_the_mean_of_the_tokens_is_normalized_after_pooling(publish):
    """By hand, from the tokens and the file's own norm."""
    folder, images = publish("timm mae classifier"), seeded.make_images(64, 64)
    tokens = keras_vit.load_pretrained(folder, pooling=None, verbose=False)
    mean = outputs(tokens, images)[:, 1:].mean(1)
    expected = (mean - mean.mean(-1, keepdims=True)) / np.sqrt(mean.var(-1, keepdims=True) + 1e-6)
    with files.open_tensors(folder / "model.safetensors") as file:
        expected = expected * file.read("fc_norm.weight") + file.read("fc_norm.bias")
    model = keras_vit.load_pretrained(folder, num_classes=None, verbose=False)
    assert model.pooling == "patch mean"
    np.testing.assert_allclose(outputs(model, images), expected, atol=1e-5)


@pytest.mark.parametrize(
    "family, files_of, config",
    [
        ("SAM", "blocks.0.attn.rel_pos_h", {"architecture": "samvit_base_patch16"}),
        ("Swin", "layers.1.downsample.reduction.weight", {"model_type": "swin"}),
        ("Hiera", "blocks.2.proj.weight", {"model_type": "hiera"}),
        ("AIMv2", "encoder.layers.0.rms_norm1.weight", {"architecture": "aimv2_large_patch14_224"}),
        ("NaFlex", "embeds.proj.weight", {"model_type": "siglip2"}),
    ],
)
def test_another_family_is_refused_by_name(family, files_of, config, tmp_path):
    weight = {"patch_embed.proj.weight": np.zeros((4, 3, 2, 2), "float32")}
    for name, facts, words in (
        (files_of, {}, f"tensor='{files_of}'"),
        ("norm.weight", config, "{}='{}'".format(*next(iter(config.items())))),
    ):
        tensors = weight | {name: np.zeros(4, "float32")}
        files.write_safetensors(tmp_path / "model.safetensors", tensors)
        (tmp_path / "config.json").write_text(json.dumps(facts))
        with pytest.raises(ValueError, match=f"{words}.*{family} has .* not supported"):
            keras_vit.load_pretrained(tmp_path, verbose=False)


def test_a_tensor_without_a_register_is_refused_by_name(publish):
    folder = publish("huggingface dinov2 registers")
    name = "embeddings.register_tokens"
    change_tensors(folder, lambda tensors: tensors | {name: tensors[name][:, :0]})
    with pytest.raises(ValueError, match=f"at least one. Received: .*{name}=\\(1, 0, 24\\)"):
        keras_vit.load_pretrained(folder, verbose=False)
