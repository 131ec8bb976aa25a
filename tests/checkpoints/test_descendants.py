"""Files of later families, against what timm's and Hugging Face's own code computes."""

import json

import keras
import numpy as np
import pytest
from golden import seeded
from helpers import GOLDEN, outputs, quick

import keras_vit
from keras_vit import descendants, explain
from keras_vit.io import files

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGENET = tuple(tuple(255 * value for value in values) for values in (MEAN, DEVIATION))
RECORDED = np.load(GOLDEN / "descendants.npz")
CASES = [name.removesuffix("/file") for name in RECORDED if name.endswith("/file")]


@pytest.fixture
def publish(tmp_path):
    """A function that writes the folder of a recorded model and returns it."""

    def write(case, **config):
        facts = json.loads(str(RECORDED[f"{case}/file"]))
        shapes = facts["shapes"].items()
        weight = seeded.torch_weight
        tensors = {name: np.asarray(weight(name, tuple(shape))) for name, shape in shapes}
        files.write_safetensors(tmp_path / "model.safetensors", tensors)
        (tmp_path / "config.json").write_text(json.dumps(facts["config"] | config))
        return tmp_path

    return write


@pytest.mark.parametrize("case", quick(CASES, *CASES))
def test_a_folder_as_it_is_published_gives_the_outputs_of_its_source(case, publish):
    expected = RECORDED[f"{case}/output"]
    options = {"pooling": None} if expected.ndim == 3 else {}
    options["normalize"] = IMAGENET  # as it was recorded
    model = keras_vit.load_pretrained(publish(case), verbose=False, **options)
    found = outputs(model, seeded.make_images(*model.image_size))
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("source, size", [("huggingface", (42, 70)), ("timm", (48, 80))])
def test_rotary_positions_follow_an_image_that_is_not_square(source, size, publish):
    folder, options = publish(f"{source} dinov3"), {"pooling": None, "normalize": IMAGENET}
    model = keras_vit.load_pretrained(folder, image_size=size, verbose=False, **options)
    expected = RECORDED["{} dinov3/{} x {}".format(source, *size)]
    np.testing.assert_allclose(outputs(model, seeded.make_images(*size)), expected, atol=2e-5)


@pytest.mark.parametrize(
    "kind, options",
    [
        (descendants.RegisterViT, {"num_registers": 2}),
        (descendants.DINOv3ViT, {"gated": True, "theta": 50.0}),
        (descendants.CLIPViT, {"projection_dim": 6}),
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


def test_a_source_that_would_need_its_layer_scale_back_is_refused(tmp_path):
    model = keras_vit.create("ViT-Mini/4", descendants.RegisterViT, image_size=8)
    for source in ("timm", "huggingface"):
        with pytest.raises(ValueError, match="names for a RegisterViT.*Keras's model.save_weights"):
            keras_vit.save_weights(model, tmp_path / "a.safetensors", source)


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
    path = folder / "model.safetensors"
    with files.open_tensors(path) as file:
        tensors = {name: file.read(name) for name in file.specs}
    tensors["blocks.0.ls1.gamma"] = np.ones(7, "float32")
    tensors["blocks.1.ls1.gamma"] = np.full(24, np.nan, "float32")
    files.write_safetensors(path, tensors)
    with pytest.raises(ValueError, match=r"(?s)misshapen: 'blocks.0.ls1.gamma'.*not finite") as e:
        keras_vit.load_pretrained(folder, verbose=False)
    assert "blocks.1.ls1.gamma" in str(e.value)


def test_a_file_that_lost_one_layer_scale_is_refused(publish):
    folder = publish("timm deit3")
    path = folder / "model.safetensors"
    with files.open_tensors(path) as file:
        tensors = {name: file.read(name) for name in file.specs if name != "blocks.1.ls2.gamma"}
    files.write_safetensors(path, tensors)
    with pytest.raises(ValueError, match="missing: 'blocks.1.ls2.gamma'"):
        keras_vit.load_pretrained(folder, verbose=False)


def test_registers_need_a_class_token():
    with pytest.raises(ValueError, match="Registers need a `pooling` that has a class token"):
        keras_vit.create("ViT-Mini/8", descendants.RegisterViT, image_size=16, pooling="gap")
