"""Files and folders for timm and transformers meet the requirements of those libraries' loaders."""

import json
import os
import re
import warnings

import keras
import numpy as np
import pytest
from damage import read_all
from helpers import DESCENDANTS, ROOT, numpy, outputs, quick, random_images, randomize
from PIL import Image

import keras_vit
from keras_vit import descendants, training
from keras_vit.checkpoints import loading, saving
from keras_vit.io import files, writing

HUGGING_FACE = [
    "dinov2", "dinov2 classifier", "dinov2 registers", "dinov2 registers classifier", "dinov3",
    "dinov3 gated", "siglip", "clip", "clip, exact GELU", "dinov2 g registers classifier",
    "beit classifier",
]  # fmt: skip
TIMM = ["dinov2 registers", "siglip", "clip", "clip, quick GELU", "dinov3", "dinov3 gated", "sbb"]
TIMM += ["dinov2 g registers", "beit", "eva02 classifier", "eva02 clip", "pe core", "pe core G"]
TIMM += ["pe spatial", "radio"]
CASES = [f"huggingface {name}" for name in HUGGING_FACE] + [f"timm {name}" for name in TIMM]
QUICK = ("huggingface dinov2 registers classifier", "huggingface siglip", "timm dinov3")
QUICK += ("huggingface beit classifier", "timm eva02 classifier", "timm radio")
TINY = {"image_size": 8, "patch_size": 4, "num_layers": 1, "hidden_dim": 16, "mlp_dim": 32}
TINY |= {"num_heads": 2, "num_classes": 3}


def tiny(kind=keras_vit.ViT, **options):
    return randomize(kind(**(TINY | options)))


def json_of(folder, name="config.json"):
    return json.loads((folder / name).read_text())


@pytest.mark.parametrize("case", quick(CASES, *QUICK))
def test_a_folder_has_the_tensors_and_the_fields_of_the_library(case, publish, tmp_path):
    """The libraries' own files, written when the model was recorded."""
    recorded = json.loads(str(DESCENDANTS[f"{case}/file"]))
    model = keras_vit.load_pretrained(publish(case), verbose=False)
    source, folder = case.split()[0], tmp_path / "again"
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        keras_vit.save_weights(model, folder, source)
        keras_vit.save_weights(model, tmp_path / "a.safetensors", source)
    with files.open_tensors(folder) as file:
        assert {n: list(s.shape) for n, s in file.specs.items()} == recorded["shapes"]
        assert {s.dtype for s in file.specs.values()} == {"float32"}
    assert read_all(tmp_path / "a.safetensors").keys() == recorded["shapes"].keys()
    again = keras_vit.load_pretrained(folder, verbose=False)
    assert {**again.get_config(), "name": 0} == {**model.get_config(), "name": 0}
    for ours, theirs in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    if source == "huggingface":
        config = json_of(folder)
        assert {key: recorded["config"].get(key) for key in config} == config


def test_config_json_for_timm(tmp_path):
    model = tiny(image_size=(8, 12), mlp_dim=33, pooling="gap", normalize=((51, 102, 0), 127.5))
    keras_vit.save_weights(model, tmp_path / "a", "timm")
    assert sorted(os.listdir(tmp_path / "a")) == ["config.json", "model.safetensors"]
    config = json_of(tmp_path / "a")
    sizes = {"img_size": [8, 12], "patch_size": 4, "depth": 1, "embed_dim": 16, "num_heads": 2}
    pooling = {"global_pool": "avg", "class_token": False, "fc_norm": False, "pre_norm": False}
    classes = {"in_chans": 3, "num_classes": 3, "act_layer": "gelu"}
    args = config["model_args"]
    assert int(16 * args.pop("mlp_ratio")) == 33 and args == sizes | pooling | classes
    assert config["architecture"] == "vit_base_patch16_224" and config["num_classes"] == 3
    images = config["pretrained_cfg"]
    assert images["input_size"] == [3, 8, 12] and images["crop_pct"] == 1
    assert images["mean"] == [0.2, 0.4, 0.0] and images["std"] == [0.5, 0.5, 0.5]


def test_the_guide_to_moving_has_the_names_of_the_files():
    """The maps, which the libraries' own files confirm, read every name of the table."""
    page = (ROOT / "docs" / "howto" / "moving.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\S+/\S+)` \| `(\S+)` \| (.+) \|$", page.split("## Names of")[1], re.M)
    assert len(rows) == 11
    timm, hugging_face = (saving.find_map(tiny(), name) for name in ("timm", "huggingface"))
    for ours, theirs, others in rows:
        assert timm.path_of(theirs) == (ours, 0)
        for part, name in enumerate(re.findall("`([^`]+[^.])`", others)):
            prefix = "" if name.startswith("classifier") else "vit."
            assert hugging_face.path_of(prefix + name) == (ours, part)


def test_a_quantized_model_is_refused(tmp_path):
    model = tiny()
    model.get_layer("block_0").mlp.expand.quantize("int8")
    with pytest.raises(ValueError, match=r"not be quantized.*model\.save_weights"):
        keras_vit.save_weights(model, tmp_path / "vit.safetensors")


def test_a_folder_has_the_resizing_of_the_training(tmp_path, capsys):
    """A crop keeps 224 of 256 pixels; squashed images have other proportions than in training."""
    model = tiny(image_size=56)
    for source in ("timm", "huggingface", "kerashub"):
        for resize, kernel in (("squash", "bilinear"), ("crop", "bicubic")):
            folder = tmp_path / f"{source} {resize}"
            how = {"resize": resize, "interpolation": kernel}
            keras_vit.save_weights(model, folder, source, **how)
            keras_vit.load_pretrained(folder, num_heads=2)
            assert ('resize="crop"' in capsys.readouterr().out) == (resize == "crop")
            assert loading.find_resizing(folder) == how
    timm = json_of(tmp_path / "timm crop")["pretrained_cfg"]
    assert (timm["crop_mode"], timm["crop_pct"]) == ("center", 224 / 256)
    images = json_of(tmp_path / "huggingface crop", "preprocessor_config.json")
    assert images["size"] == {"shortest_edge": 64} and images["do_center_crop"]
    assert images["crop_size"] == {"height": 56, "width": 56}
    assert images["resample"] == Image.Resampling.BICUBIC
    assert json_of(tmp_path / "kerashub crop", "image_converter.json")["config"][
        "crop_to_aspect_ratio"
    ]
    with pytest.warns(UserWarning, match=r"squashes images to \(8, 12\)"):
        keras_vit.save_weights(tiny(image_size=(8, 12)), tmp_path / "wide", "huggingface", "crop")
    with pytest.raises(ValueError, match="resize"):
        keras_vit.save_weights(model, tmp_path / "other", "timm", "pad")
    with pytest.raises(ValueError, match="interpolation"):
        keras_vit.save_weights(model, tmp_path / "other", "timm", "crop", "box")


def test_json_files_for_transformers(tmp_path):
    model = tiny(image_size=(8, 12), epsilon=1e-5, approximate=True, normalize=None)
    keras_vit.save_weights(model, tmp_path / "a", "huggingface")
    config, images = json_of(tmp_path / "a"), json_of(tmp_path / "a", "preprocessor_config.json")
    assert config["model_type"] == "vit" and config["architectures"] == [
        "ViTForImageClassification"
    ]
    assert config["image_size"] == [8, 12] and config["patch_size"] == 4
    assert config["hidden_act"] == "gelu_pytorch_tanh" and config["layer_norm_eps"] == 1e-5
    assert config["id2label"] == {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}
    assert images["size"] == {"height": 8, "width": 12}
    pixels = np.array([0.0, 1.0, 255.0])
    scaled = (pixels * images["rescale_factor"] - images["image_mean"]) / images["image_std"]
    np.testing.assert_allclose(scaled, pixels, rtol=1e-6)


@pytest.mark.parametrize("source", ["timm", "huggingface"])
def test_names_of_classes_are_kept(source, tmp_path):
    model, names = tiny(), ("rose", "daisy", "tulip, Tulipa")
    model.class_names = names
    model.save(tmp_path / "model.keras")
    saved = keras_vit.load_pretrained(tmp_path / "model.keras", image_size=16, verbose=False)
    assert saved.class_names == names
    keras_vit.save_weights(saved, tmp_path / "a", source)
    assert loading.class_names(tmp_path / "a", 3) == list(names)
    again = keras_vit.load_pretrained(tmp_path / "a", verbose=False)
    assert again.class_names == names and keras_vit.resize(again, patch_size=8).class_names == names
    new = keras_vit.load_pretrained(tmp_path / "a", num_classes=2, verbose=False)
    assert new.class_names is None and keras_vit.resize(again, num_classes=2).class_names is None


def test_there_is_a_name_for_each_class():
    model = tiny()
    for names in (["rose", "daisy"], [1, 2, 3], "abc"):
        with pytest.raises(ValueError, match=f"a name for each of 3 .* names={len(names)}, first="):
            model.class_names = names
    assert model.class_names is None
    model.class_names = np.array(["a", "b", "c"])
    assert repr(model.class_names) == "('a', 'b', 'c')"
    with pytest.raises(ValueError, match="a name for each of 0 classes"):
        tiny(num_classes=None).class_names = ["rose"]


# --- Values, by hand ------------------------------------------------------------------------------
def weight_of(model, path):
    return next(numpy(weight) for weight in model.weights if weight.path == path)


@pytest.mark.parametrize("source, rows", [("timm", 0), ("huggingface", 1)])
def test_positions_without_a_place_are_added_to_their_tokens(source, rows, tmp_path):
    model = tiny(descendants.RegisterViT, num_registers=2, num_classes=None)
    keras_vit.save_weights(model, tmp_path / "a.safetensors", source)
    tensors = read_all(tmp_path / "a.safetensors")
    token, position = (
        weight_of(model, f"patch_encoder/{name}") for name in ("class_token", "position_embedding")
    )
    names = {"timm": ("pos_embed", "reg_token", "cls_token", "blocks.0.ls1.gamma")}
    names["huggingface"] = (
        *(f"embeddings.{end}" for end in ("position_embeddings", "register_tokens", "cls_token")),
        "encoder.layer.0.layer_scale1.lambda1",
    )
    positions, registers, cls, gamma = (tensors[name] for name in names[source])
    np.testing.assert_array_equal(registers, token[:, 1:] + position[:, 1:3])
    first = token[:, :1] if rows else token[:, :1] + position[:, :1]
    np.testing.assert_array_equal(cls, first)
    kept = np.concatenate([position[:, :rows], position[:, 3:]], axis=1)
    np.testing.assert_array_equal(positions, kept)
    np.testing.assert_array_equal(gamma, np.ones(16))


def test_a_head_or_nothing_replaces_the_projection_of_clip(tmp_path, capsys):
    model, images = (
        tiny(descendants.CLIPViT, num_classes=None, projection_dim=5),
        random_images(2, 8, 8, 3),
    )
    keras_vit.save_weights(model, tmp_path / "clip", "huggingface")
    pooled = outputs(keras.Model(model.input, model.get_layer("pooling").output), images)
    for change, length in (({"num_classes": 3}, 3), ({"projection_dim": None}, 16)):
        new = keras_vit.load_pretrained(tmp_path / "clip", num_heads=2, **change)
        found = outputs(keras.Model(new.input, new.get_layer("pooling").output), images)
        np.testing.assert_allclose(found, pooled, atol=1e-5)
        assert new.output_shape == (None, length)
        assert "not used: visual_projection.weight" in capsys.readouterr().out


def test_a_mean_of_patches_keeps_the_class_token_of_the_file(tmp_path):
    keras_vit.save_weights(tiny(), tmp_path / "vit", "timm")
    with pytest.raises(ValueError, match="pooling='patch mean' takes"):
        keras_vit.load_pretrained(tmp_path / "vit", pooling="gap", verbose=False)
    new = keras_vit.load_pretrained(tmp_path / "vit", pooling="patch mean", verbose=False)
    assert new.prefix_tokens == 1


def test_a_bias_of_patches_is_added_to_their_positions(tmp_path):
    model = tiny(descendants.CLIPViT, num_classes=None, projection_dim=5, epsilon=1e-5)
    images = random_images(2, 8, 8, 3)
    expected = outputs(model, images)
    bias = weight_of(model, "patch_encoder/projection/bias")
    position = weight_of(model, "patch_encoder/position_embedding")[0]
    for source in ("timm", "huggingface"):
        keras_vit.save_weights(model, tmp_path / source, source)
        tensors = read_all(tmp_path / source)
        assert not any("patch_embed" in name and "bias" in name for name in tensors)
        name = (
            "pos_embed" if source == "timm" else "vision_model.embeddings.position_embedding.weight"
        )
        moved = tensors[name].reshape(position.shape) - position
        np.testing.assert_allclose(moved, [0 * bias, *4 * [bias]], atol=1e-7)
        again = keras_vit.load_pretrained(tmp_path / source, verbose=False)
        np.testing.assert_allclose(outputs(again, images), expected, atol=1e-5)
    head = read_all(tmp_path / "timm")  # timm's head has a bias, a projection does not
    np.testing.assert_array_equal(head["head.weight"], weight_of(model, "projection/kernel").T)
    np.testing.assert_array_equal(head["head.bias"], np.zeros(5))


def test_biases_of_dinov3_are_written_if_they_were_trained(tmp_path):
    model = tiny(descendants.DINOv3ViT, num_classes=None, epsilon=1e-5)
    bias = model.get_layer("block_0").attention.query_key_value.bias
    values = numpy(bias).copy()
    for trained, parts in (("qkv", slice(0, 0)), ("qv", slice(16, 32)), ("", slice(0, 48))):
        values[parts] = 0
        bias.assign(values)
        keras_vit.save_weights(model, tmp_path / "a", "huggingface")
        config, tensors = json_of(tmp_path / "a"), read_all(tmp_path / "a")
        for name, part in zip(("query", "key", "value"), np.split(values, 3), strict=True):
            assert config[f"{name}_bias"] == (name[0] in trained)
            if name[0] in trained:
                tensor = tensors[f"layer.0.attention.{name[0]}_proj.bias"]
                np.testing.assert_array_equal(tensor, part)
        keras_vit.save_weights(model, tmp_path / "a", "timm")
        args, tensors = json_of(tmp_path / "a")["model_args"], read_all(tmp_path / "a")
        assert args.get("qkv_bias", False) == bool(trained)
        assert args.get("attn_type") == ("rope" if "k" in trained else None)
        names = {"qkv": {"qkv.bias"}, "qv": {"q_bias", "v_bias"}, "": set()}[trained]
        names = {f"blocks.0.attn.{name}" for name in names}
        assert {n for n in tensors if "attn" in n and "bias" in n and "proj" not in n} == names
        again = keras_vit.load_pretrained(tmp_path / "a", verbose=False)
        path = "block_0/attention/query_key_value/bias"
        np.testing.assert_array_equal(weight_of(again, path), values)


@pytest.mark.parametrize("source", ["timm", "huggingface"])
def test_beit_is_written_without_the_bias_of_keys_that_softmax_ignores(source, tmp_path):
    model, images = tiny(descendants.BEiTViT, pooling="patch mean"), random_images(2, 8, 8, 3)
    assert numpy(model.get_layer("block_0").attention.query_key_value.bias)[16:32].any()
    keras_vit.save_weights(model, tmp_path / "a", source)
    assert not [name for name in read_all(tmp_path / "a") if re.search(r"k_bias|key\.bias", name)]
    again = keras_vit.load_pretrained(tmp_path / "a", verbose=False)
    assert not numpy(again.get_layer("block_0").attention.query_key_value.bias)[16:32].any()
    np.testing.assert_allclose(outputs(again, images), outputs(model, images), atol=1e-5)


def test_eva02_keeps_the_bias_of_keys_that_are_rotated(tmp_path):
    model = tiny(descendants.EVAViT)
    bias = model.get_layer("block_0").attention.query_key_value.bias
    for values in (numpy(bias).copy(), numpy(bias) * np.repeat([1, 0, 1], 16)):
        bias.assign(values)
        keras_vit.save_weights(model, tmp_path / "a", "timm")
        trained, tensors = values[16:32].any(), read_all(tmp_path / "a")
        assert ("blocks.0.attn.k_proj.bias" in tensors) == trained
        attention = json_of(tmp_path / "a")["model_args"].get("attn_type")
        assert attention == ("rope" if trained else None)  # timm's other type has no such bias
        again = keras_vit.load_pretrained(tmp_path / "a", verbose=False)
        path = "block_0/attention/query_key_value/bias"
        np.testing.assert_array_equal(weight_of(again, path), values)


def test_updates_of_lora_are_added_to_their_kernels(tmp_path):
    model = tiny()
    training.freeze(model, "lora", rank=2)
    randomize(model)
    layer = model.get_layer("block_0").mlp.expand
    a, b = numpy(layer.lora_kernel_a), numpy(layer.lora_kernel_b)
    path = "block_0/mlp/expand/kernel"
    expected = weight_of(model, path) + a @ b * layer.lora_alpha / layer.lora_rank
    keras_vit.save_weights(model, tmp_path / "a.npz")
    again = tiny()
    keras_vit.load_weights(again, tmp_path / "a.npz")
    np.testing.assert_allclose(weight_of(again, path), expected, rtol=1e-6)
    assert not np.allclose(expected, weight_of(model, path))


# --- What is refused, and what stays --------------------------------------------------------------
class OwnPooling(descendants.RegisterViT):
    """A model that no library has."""

    def pool(self, x):
        return super().pool(-x)


@pytest.mark.parametrize(
    "kind, source, options, words",
    [
        (keras_vit.ViT, "timm", {"pooling": "token and mean"}, "own. Received: pooling='token and"),
        (keras_vit.ViT, "huggingface", {"pooling": "patch mean"}, "own. Received: pooling='patch"),
        (keras_vit.ViT, "timm", {"epsilon": 1e-3}, "epsilon must be 1e-06 or 1e-05"),
        (keras_vit.ViT, "timm", {"representation_size": 4}, "no tanh layer before the head"),
        (keras_vit.ViT, "huggingface", {"representation_size": 4}, "no tanh layer before the head"),
        (
            keras_vit.ViT, "huggingface", {"num_classes": None, "mlp_dim": 33},
            "has a tanh layer after its pooling.*pooling=None for all tokens",
        ),
        (
            keras_vit.ViT, "timm", {"num_classes": None, "pooling": "distilled"},
            "distillation token must have a head",
        ),
        (
            keras_vit.ViT, "huggingface",
            {"num_classes": None, "pooling": "map", "image_size": (8, 12)}, "must be square",
        ),
        (descendants.CLIPViT, "timm", {"projection_dim": 4}, "different for every weight.*head"),
        (descendants.DINOv3ViT, "huggingface", {}, "cover every weight.*head/kernel"),
        (
            descendants.DINOv3ViT, "timm", {"approximate": True, "epsilon": 1e-5},
            "must have the exact GELU",
        ),
        (
            descendants.BEiTViT, "timm", {"approximate": True, "pooling": "patch mean"},
            "must have the exact GELU",
        ),
        (descendants.BEiTViT, "huggingface", {}, "own. Received: pooling='token'"),
        (
            descendants.BEiTViT, "timm", {"pooling": None, "num_classes": None},
            "tokens must be normalized.*Save the model with its pooling",
        ),
        (descendants.EVAViT, "huggingface", {}, "names for an EVAViT.*Use 'timm'"),
        (descendants.PEViT, "timm", {"pooling": "map", "hidden_dim": 32}, "epsilon must be 1e-05"),
        (keras_vit.HybridViT, "huggingface", {"resnet_units": ()}, "a class for the model"),
        (OwnPooling, "timm", {}, r"one of its own. Received: changed=\['pool'\]"),
        (keras_vit.ResNet, "timm", {"units": (1, 1)}, "units, width must be"),
    ],
)  # fmt: skip
def test_a_model_that_no_class_of_the_library_computes_is_refused(
    kind, source, options, words, blank, tmp_path
):
    shape = {"image_size": 32} if kind is keras_vit.ResNet else TINY
    with pytest.raises(ValueError, match=words):
        keras_vit.save_weights(kind(**(shape | options)), tmp_path / "a", source)
    assert not any(tmp_path.iterdir())


def test_timm_has_no_smaller_epsilon(tmp_path):
    with pytest.warns(UserWarning, match="timm computes with epsilon=1e-06.*1e-12"):
        keras_vit.save_weights(tiny(epsilon=1e-12), tmp_path / "a", "timm")
    assert keras_vit.load_pretrained(tmp_path / "a", verbose=False).epsilon == 1e-6


def test_a_file_of_a_model_of_your_own_is_written_with_a_warning(tmp_path):
    with pytest.warns(UserWarning, match="OwnPooling has its own pool. A program"):
        keras_vit.save_weights(OwnPooling(**TINY), tmp_path / "a.safetensors", "timm")


@pytest.mark.backend_free
@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_is_written_as_a_whole_or_not_at_all(exists, tmp_path):
    folder = tmp_path / "a"
    old = {"notes.txt": "mine", "one": "old"} if exists else {}
    if exists:
        folder.mkdir()
    for name, text in old.items():
        (folder / name).write_text(text)

    def fail(path):
        raise OSError(28, "No space left on device", path)

    writers = {"one": lambda path: writing.write_json(path, 1), "two": fail}
    with pytest.raises(OSError, match="No space left"):
        writing.write_folder(folder, writers)
    assert folder.exists() == exists
    assert {path.name: path.read_text() for path in folder.glob("*")} == old
    writers["two"] = writers["one"]
    writing.write_folder(folder, writers)
    found = {path.name: path.read_text() for path in folder.iterdir()}
    assert found == old | {"one": "1\n", "two": "1\n"}
    writers["one"] = lambda path: writing.write_json(path, 2)
    with pytest.raises(FileExistsError, match="Another process has written this file; nothing"):
        writing.write_folder(folder, writers, are_new=True)
    assert {path.name: path.read_text() for path in folder.iterdir()} == found
