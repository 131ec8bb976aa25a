"""A file that does not fit a model changes nothing, and the error lists every tensor."""

import numpy as np
import pytest
from damage import read_all
from helpers import quick
from test_checkpoints import randomized, tensors_of, tiny

import keras_vit
from keras_vit.checkpoints.maps import google, pytorch
from keras_vit.io import files


def whole_file(model=None):
    model = model or randomized(tiny())
    table = google.VIT
    return tensors_of(table, model, lambda name, shape: np.ones(shape, "float32"))


def refused(tensors, tmp_path, model=None):
    """Returns the error message, and checks that the model is unchanged."""
    model = model or randomized(tiny())
    before = model.get_weights()
    files.write_npz(tmp_path / "bad.npz", tensors)
    with pytest.raises(ValueError) as error:
        keras_vit.load_weights(model, tmp_path / "bad.npz")
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    return str(error.value)


DAMAGES = {
    "dropped": lambda a: {},
    "renamed": lambda a: {"renamed": a},
    "transposed": lambda a: a.reshape(a.shape + (1,)) if a.ndim == 1 else a.T,
    "not finite": lambda a: np.where(np.arange(a.size).reshape(a.shape) == 0, np.nan, a),
    "infinite": lambda a: np.full_like(a, np.inf),
    "wrongly typed": lambda a: a.astype("int32"),
    "double": lambda a: a.astype("float64"),
    "boolean": lambda a: a.astype("bool"),
}


@pytest.mark.parametrize("damage", quick(DAMAGES, "dropped", "transposed", "not finite"))
def test_each_tensor_in_turn_damaged(damage, tmp_path):
    model, good = randomized(tiny(num_layers=1)), whole_file(tiny(num_layers=1))
    for name, array in good.items():
        bad = DAMAGES[damage](array)
        symmetric = isinstance(bad, np.ndarray) and bad.shape == array.shape
        if damage == "transposed" and symmetric:
            continue  # the transposition of a square cannot be detected
        changed = {key: value for key, value in good.items() if key != name}
        changed |= bad if isinstance(bad, dict) else {name: bad}
        message = refused(changed, tmp_path, model)
        if name != "Transformer/encoder_norm/scale" or damage not in ("dropped", "renamed"):
            assert repr(name) in message, message


def test_one_message_lists_every_problem(tmp_path):
    tensors = whole_file()
    del tensors["cls"], tensors["head/bias"]
    tensors["extra"] = np.ones(3, "float32")
    tensors["embedding/bias"] = np.ones(7, "float32")
    tensors["embedding/kernel"] = np.full((16, 16, 3, 192), np.nan, "float32")
    tensors["head/kernel"] = tensors["head/kernel"].astype("int64")
    message = refused(tensors, tmp_path)
    assert "1 misshapen, 2 missing, 1 not finite, 1 unexpected, 1 wrongly typed" in message
    for words in (
        "missing: 'cls' (1, 1, 192), for patch_encoder/class_token",
        "missing: 'head/bias' (5,), for head/bias",
        "unexpected: 'extra' (3,)",
        "misshapen: 'embedding/bias' (7,); (192,) was expected, patch_encoder/projection/bias",
        "not finite: 'embedding/kernel' 147456 of 147456 values, patch_encoder/projection/kernel",
        "wrongly typed: 'head/kernel' int64; float32 was expected, head/kernel",
        "Nothing was loaded",
    ):
        assert words in message, message


def test_half_precision_is_converted(tmp_path):
    tensors = {name: array.astype("float16") for name, array in whole_file().items()}
    files.write_npz(tmp_path / "half.npz", tensors)
    model = tiny()
    keras_vit.load_weights(model, tmp_path / "half.npz")
    assert all(np.array_equal(w, np.ones_like(w)) for w in model.get_weights())


@pytest.mark.parametrize(
    "name, words",
    [
        ("blocks.0.attn.q_norm.weight", "normalized queries and keys"),
        ("blocks.0.mlp.norm.weight", "a normalization inside the attention or the MLP"),
    ],
)
def test_tensors_without_a_layer_are_reported(name, words, tmp_path):
    tensors = tensors_of(pytorch.TIMM, tiny(), lambda _, shape: np.ones(shape, "float32"))
    files.write_safetensors(tmp_path / "a.safetensors", {**tensors, name: np.ones(192, "float32")})
    with pytest.raises(ValueError, match=f"The file has {words}, which is not supported"):
        keras_vit.load_weights(tiny(), tmp_path / "a.safetensors")


@pytest.mark.parametrize("lost", ["blocks.1.attn.qkv.bias", "attn.qkv.bias"])
def test_a_bias_is_zero_if_no_block_has_one(lost, tmp_path):
    tensors = tensors_of(pytorch.TIMM, tiny(), lambda _, shape: np.ones(shape, "float32"))
    tensors = {name: array for name, array in tensors.items() if lost not in name}
    files.write_safetensors(tmp_path / "a.safetensors", tensors)
    if lost.startswith("blocks"):
        with pytest.raises(ValueError, match=r"missing: 'blocks.1.attn.qkv.bias' \(576,\)"):
            keras_vit.load_weights(tiny(), tmp_path / "a.safetensors")
    else:
        model = keras_vit.load_pretrained(tmp_path / "a.safetensors", verbose=False)
        assert not np.any(model.get_layer("block_1").attention.query_key_value.bias)


def test_mistakes_of_the_caller(tmp_path):
    model = tiny()
    keras_vit.save_weights(model, tmp_path / "a.npz")
    bit = keras_vit.ResNet(image_size=32, units=(1,), num_classes=5)
    cases = {
        r"or small hybrid. Received: the model 'resnet\w*', a ResNet": lambda: (
            keras_vit.load_weights(bit, tmp_path / "a.npz")
        ),
        "`skip` must name layers": lambda: keras_vit.load_weights(
            model, tmp_path / "a.npz", skip=("hed",)
        ),
        "`method` must be one of None, 'bilinear', 'bicubic'": lambda: keras_vit.load_weights(
            model, tmp_path / "a.npz", method="area"
        ),
        "`source` must be one of": lambda: keras_vit.load_weights(
            model, tmp_path / "a.npz", source="meta"
        ),
        "must hold the names of timm": lambda: keras_vit.load_weights(
            model, tmp_path / "a.npz", source="timm"
        ),
        "5 tokens are not grid=\\(3, 3\\)": lambda: keras_vit.load_weights(
            model, tmp_path / "a.npz", grid=(3, 3)
        ),
        "must have a known suffix": lambda: keras_vit.save_weights(model, tmp_path / "a.bin"),
    }
    for words, call in cases.items():
        with pytest.raises(ValueError, match=words):
            call()
    with pytest.raises(FileNotFoundError):
        keras_vit.load_weights(model, tmp_path / "none.npz")
    with pytest.raises(FileNotFoundError):
        keras_vit.load_pretrained(tmp_path / "none.npz")


def test_a_distilled_file_needs_a_distilled_model(tmp_path):
    keras_vit.save_weights(tiny(pooling="distilled"), tmp_path / "a.safetensors", "timm")
    words = r"weights of a distilled ViT. Received: the model 'vit\w*', a ViT"
    with pytest.raises(ValueError, match=words):
        keras_vit.load_weights(tiny(), tmp_path / "a.safetensors")
    keras_vit.save_weights(tiny(), tmp_path / "b.safetensors", "timm")
    with pytest.raises(ValueError, match="weights of a ViT or .*Received.*a distilled ViT"):
        keras_vit.load_weights(tiny(pooling="distilled"), tmp_path / "b.safetensors")


def test_axes_of_length_1_may_be_missing(tmp_path):
    model, again = (randomized(tiny(num_classes=1), seed) for seed in range(2))
    keras_vit.save_weights(model, tmp_path / "a.safetensors", "timm")
    tensors = read_all(tmp_path / "a.safetensors")
    tensors["head.weight"] = tensors["head.weight"][0]
    files.write_safetensors(tmp_path / "b.safetensors", tensors)
    keras_vit.load_weights(again, tmp_path / "b.safetensors")
    for ours, theirs in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    tensors["pos_embed"] = tensors["pos_embed"][0, 0]
    files.write_safetensors(tmp_path / "b.safetensors", tensors)
    with pytest.raises(ValueError, match=r"'pos_embed' \(192,\); \(1, 5, 192\) or another number"):
        keras_vit.load_weights(again, tmp_path / "b.safetensors")
