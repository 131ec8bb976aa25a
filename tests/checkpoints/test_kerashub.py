"""Presets of KerasHub, against the outputs of its own code."""

import json

import numpy as np
import pytest
from golden import seeded
from helpers import GOLDEN, numpy, outputs, quick

import keras_vit
from keras_vit import descendants
from keras_vit.ablations import positions
from keras_vit.io import files

RECORDED = np.load(GOLDEN / "kerashub.npz")
CASES = [name.removesuffix("/file") for name in RECORDED if name.endswith("/file")]
# Of the others one is written without its text, and one as the plain ViT that it is.
WRITTEN = [case for case in CASES if case not in ("siglip, with text", "dinov2")]
PRESET, TASK = "model.weights.h5", "task.weights.h5"


@pytest.fixture
def publish(tmp_path):
    """A function that writes the folder of a recorded preset, with changes, and returns it.

    `change` changes the JSON files, a dictionary of their contents; `tensors` those of the preset.
    """

    def write(case, change=lambda texts: None, tensors=lambda tensors: tensors):
        facts = json.loads(str(RECORDED[f"{case}/file"]))
        for name, shapes in facts["shapes"].items():
            values = seeded.kerashub_weights(shapes)
            files.write_h5(tmp_path / name, tensors(values) if name == PRESET else values)
        change(facts["texts"])
        for name, text in facts["texts"].items():
            (tmp_path / name).write_text(json.dumps(text))
        return tmp_path

    return write


def changed(path, value):
    """A function that sets one field, "config.json config num_heads"."""
    name, *fields, last = path.split()

    def change(texts):
        inner = texts[name]
        for field in fields:
            inner = inner[field]
        inner[last] = value

    return change


@pytest.mark.parametrize("case", quick(CASES, "vit classifier", "deit classifier", "dinov3"))
def test_a_preset_gives_the_outputs_of_kerashub(case, publish):
    expected, folder = RECORDED[f"{case}/output"], publish(case)
    options = {"pooling": None} if expected.ndim == 3 else {}
    if not (folder / "image_converter.json").exists():
        options["normalize"] = None  # it was recorded with these pixels
    model = keras_vit.load_pretrained(folder, verbose=False, **options)
    found = outputs(model, seeded.make_images(*model.image_size))
    if case == "vit classifier":  # whose outputs are probabilities
        found = np.exp(found) / np.exp(found).sum(1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_dinov2_is_resized_as_kerashub_does(publish):
    folder, tables = publish("dinov2 registers"), []
    for side in (56, 84):
        model = keras_vit.load_pretrained(folder, image_size=side, pooling=None, verbose=False)
        tables.append(numpy(model.get_layer("patch_encoder").position_embedding))
    expected = positions.resize(tables[0], (4, 4), (6, 6), "keras-bicubic")
    np.testing.assert_allclose(tables[1], expected, atol=1e-6)


@pytest.mark.parametrize("case", quick(WRITTEN, "vit classifier", "dinov2 registers"))
def test_a_preset_is_written_as_kerashub_writes_it(case, publish, tmp_path):
    recorded = json.loads(str(RECORDED[f"{case}/file"]))
    model = keras_vit.load_pretrained(publish(case), verbose=False)
    keras_vit.save_weights(model, tmp_path / "again", "kerashub")
    whole = json.loads((tmp_path / "again" / "config.json").read_text())
    theirs = recorded["texts"]["config.json"]
    assert {key: theirs[key] for key in whole} | {"config": 0} == whole | {"config": 0}
    other = {"use_mask_token", "antialias_in_interpolation"}  # which change no output
    if theirs["config"].get("use_swiglu_ffn"):
        other.add("intermediate_dim")  # of which several give the same width
    fields = whole["config"].keys() - other
    assert {k: theirs["config"][k] for k in fields} == {k: whole["config"][k] for k in fields}
    for name, shapes in recorded["shapes"].items():
        with files.open_tensors(tmp_path / "again" / name) as file:
            specs = {name: spec for name, spec in file.specs.items() if spec.dtype == "float32"}
            found = {name: list(spec.shape) for name, spec in specs.items()}
        if theirs["config"].get("use_mask_token", True):
            assert found == shapes
        else:  # ours always have one, which takes a number
            assert sorted(found.values()) == sorted([*shapes.values(), [1, 24]])
    again = keras_vit.load_pretrained(tmp_path / "again", verbose=False)
    assert {**again.get_config(), "name": 0} == {**model.get_config(), "name": 0}
    for ours, value in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, value)


def test_names_of_classes_are_in_a_preset(publish, tmp_path):
    model = keras_vit.load_pretrained(publish("vit classifier"), verbose=False)
    model.class_names = names = ("a", "b", "c", "d", "e")
    keras_vit.save_weights(model, tmp_path / "again", "kerashub")
    assert keras_vit.load_pretrained(tmp_path / "again", verbose=False).class_names == names


@pytest.mark.parametrize(
    "kind, options, words",
    [
        (keras_vit.ViT, {"approximate": True}, "approximate must be False"),
        (keras_vit.ViT, {"pooling": "map"}, "cover every weight.*pooling/probe"),
        (descendants.RegisterViT, {}, "cover every weight.*head/kernel"),
        (keras_vit.ViT, {"pooling": "map", "num_classes": None, "epsilon": 1e-5}, "must be 1e-06"),
        (
            keras_vit.ViT, {"pooling": "map", "num_classes": None, "image_size": (8, 12)},
            "must be square",
        ),
        (
            descendants.RegisterViT, {"num_classes": None, "gated": True, "mlp_dim": 9},
            "mlp_dim must be 16",
        ),
    ],
)  # fmt: skip
def test_a_model_that_no_backbone_computes_is_refused(kind, options, words, blank, tmp_path):
    sizes = {"image_size": 8, "patch_size": 4, "num_layers": 1, "hidden_dim": 8, "mlp_dim": 8}
    model = kind(**sizes | {"num_heads": 2, "num_classes": 3} | options)
    with pytest.raises(ValueError, match=words):
        keras_vit.save_weights(model, tmp_path / "a", "kerashub")
    assert not (tmp_path / "a").exists()


def test_what_the_files_of_a_preset_say_is_in_the_description(publish):
    folder = publish("vit classifier with a tanh layer")
    description = keras_vit.checkpoints.describe(folder)
    assert description.source == "kerashub" and not description.assumed
    images = {"resize": [56, 56], "crop": [56, 56], "resampling": "bilinear"}
    assert description.preprocessing == images
    known = {"normalize": (100.0, 50.0), "epsilon": 1e-5, "representation_size": 7}
    assert known.items() <= description.arguments.items()


def test_what_no_file_says_is_assumed_aloud(publish, capsys):
    keras_vit.load_pretrained(publish("deit classifier", lambda texts: texts.clear()))
    assert "No JSON file beside it has these, so they were assumed" in capsys.readouterr().out


def test_dinov2_has_the_positions_of_the_images_it_was_saved_for(publish):
    first = np.random.default_rng(0).normal(size=(1, 26, 24)).astype("float32")  # 5 x 5 patches
    name = "layers/dinov2_embedding/vars/3"
    folder = publish("dinov2", tensors=lambda tensors: tensors | {name: first})
    with files.open_tensors(folder) as file:
        trained = file.read("layers/dinov2_embedding/vars/2")
    model = keras_vit.load_pretrained(folder, verbose=False)
    assert type(model) is keras_vit.ViT and model.image_size == (56, 56)
    found = numpy(model.get_layer("patch_encoder").position_embedding)
    np.testing.assert_array_equal(found, trained)


def test_the_second_token_of_deit_is_a_register(publish):
    model = keras_vit.load_pretrained(publish("deit classifier"), num_classes=2, verbose=False)
    assert type(model) is descendants.RegisterViT and model.prefix_tokens == 2


def in_shards(folder, count=2):
    """Writes the backbone of a preset as Keras writes large ones."""
    with files.open_tensors(folder / PRESET) as file:
        tensors = {name: file.read(name) for name in file.specs}
    table = {}
    for i in range(count):
        shard = f"model_{i:05}.weights.h5"
        part = dict(list(tensors.items())[i::count])
        files.write_h5(folder / shard, part)
        for name in part:
            table.setdefault("/" + name.rpartition("/")[0], []).append(shard)
    (folder / PRESET).unlink()
    return table


def test_a_backbone_in_several_files_is_read_as_one(publish):
    folder = publish("deit classifier")
    whole = keras_vit.load_pretrained(folder, verbose=False)
    index = {"metadata": {}, "weight_map": in_shards(folder)}
    (folder / "model.weights.json").write_text(json.dumps(index))
    assert files.is_folder_of_weights(folder)
    parts = keras_vit.load_pretrained(folder, verbose=False)
    for a, b in zip(whole.weights, parts.weights, strict=True):
        np.testing.assert_array_equal(numpy(a), numpy(b))


@pytest.mark.parametrize(
    "index, message",
    [
        ({"weight_map": {"/a": "../model.weights.h5"}}, "not the plain name of a .weights.h5 file"),
        ({"weight_map": {"/a": ["other.npz"]}}, "not the plain name of a .weights.h5 file"),
        ({"weight_map": {"/a": 3}}, 'without a "weight_map" of files'),
        ({"weight_map": {}}, 'without a "weight_map" of files'),
        ([], 'without a "weight_map" of files'),
        ({"weight_map": {"/a": TASK}}, "has tensors of another"),
    ],
)
def test_an_index_that_is_not_one_is_refused(index, message, publish):
    folder = publish("deit classifier")
    (folder / PRESET).unlink()
    (folder / "model.weights.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=message):
        keras_vit.load_pretrained(folder, verbose=False)


CONFIG = "config.json config "
CONVERTER = "image_converter.json config "


@pytest.mark.parametrize(
    "case, path, value",
    [
        ("vit classifier", "config.json class_name", "SwinBackbone"),
        ("vit classifier", CONFIG + "num_heads", 5),
        ("vit classifier", CONFIG + "layer_norm_epsilon", -1),
        ("vit classifier", CONFIG + "num_layers", 3),
        ("vit classifier", CONFIG + "patch_size", 7),
        ("vit classifier", CONFIG + "image_shape", [3, 42, 70]),
        ("vit classifier", CONFIG + "image_shape", [70, 70, 3]),
        ("vit classifier", CONFIG + "window_size", 7),
        ("vit classifier", "task.json config pooling", "gap"),
        ("vit classifier, gap", "task.json config pooling", "token"),
        ("vit classifier", "task.json config activation", "relu"),
        ("vit classifier", "task.json config num_classes", 4),
        ("vit classifier", "task.json class_name", "ObjectDetector"),
        ("vit classifier", CONVERTER + "scale", 0),
        ("vit classifier", CONVERTER + "offset", [1, 2]),
        ("dinov2", CONFIG + "use_swiglu_ffn", True),
        ("dinov2", CONFIG + "num_register_tokens", 4),
        ("dinov3", CONFIG + "rope_theta", 0),
        ("dinov3", CONFIG + "hidden_activation", "relu"),
        ("siglip, vision", CONFIG + "layer_norm_epsilon", 1e-5),
        ("siglip, vision", CONFIG + "intermediate_activation", "quick_gelu"),
    ],
)
def test_a_field_that_no_model_here_obeys_is_refused_by_name(case, path, value, publish):
    with pytest.raises(ValueError, match=path.split()[-1]) as error:
        keras_vit.load_pretrained(publish(case, changed(path, value)), verbose=False)
    assert "Received: " in str(error.value)
