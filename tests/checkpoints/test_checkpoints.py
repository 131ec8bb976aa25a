"""Published weights: read, written and resized."""

import functools
import json
import os
import pathlib

import keras
import numpy as np
import pytest
from damage import read_all
from golden import seeded
from helpers import GOLDEN, arrays, numpy, outputs, quick

import keras_vit
from keras_vit import checkpoints
from keras_vit.checkpoints import saving
from keras_vit.checkpoints.maps import google, hugging_face, kerashub, matching, pytorch
from keras_vit.hybrid import SmallHybridViT
from keras_vit.io import files

SUFFIX = {"google": ".npz", "bit": ".npz", "timm": ".safetensors",
          "huggingface": ".safetensors", "kerashub": ".weights.h5",
          "torchvision": ".safetensors"}  # fmt: skip
SOURCES = ("google", "timm", "huggingface", "kerashub", "torchvision")
EXACT = dict(approximate=False)


def tiny(model=keras_vit.ViT, **options):
    """A ViT of width 192, whose number of heads is known for every source."""
    return model(
        **{
            **dict(image_size=32, patch_size=16, num_layers=2, hidden_dim=192, mlp_dim=768),
            **dict(num_heads=3, num_classes=5),
            **options,
        }
    )


def randomized(model, seed=0):
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape).astype("float32"))
    return model


def tensors_of(table, model, fill):
    """{name: array} of a file that fits the model, each array made from its name and shape."""
    tensors = {}
    for weight, rule, numbers in matching.weights_and_rules(table, model):
        parts = rule.split(numpy(weight), matching.dimensions(model))
        tensors |= zip(rule.names(numbers), (part.shape for part in parts), strict=True)
    return {name: fill(name, shape) for name, shape in tensors.items()}


def linen(name):
    """A name in a block as in Flax Linen and big_vision, which count each class separately."""
    for old, new in (
        ("MultiHeadDotProductAttention_1", "MultiHeadDotProductAttention_0"),
        ("LayerNorm_2", "LayerNorm_1"),
        ("MlpBlock_3", "MlpBlock_0"),
    ):
        name = name.replace(old, new) if "encoderblock" in name else name
    return name


def seeded_like(table):
    """Returns a function that makes the weights with which logits were recorded."""
    if table.source == "google":
        return lambda name, shape: seeded.weight(linen(name), shape)
    return seeded.torch_weight


def equal_weights(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a.get_weights(), b.get_weights(), strict=True))


# --- The references' own logits ------------------------------------------------------------------
@pytest.fixture(scope="module")
def published():
    return arrays(GOLDEN / "published.npz")


def small_variant(name, size=64, **options):
    """A model as recorded by `record_published.py`: a named one with 2 blocks and 7 classes."""
    return keras_vit.create(name, image_size=size, num_layers=2, num_classes=7, **options)


CASES = {
    "timm ViT-S/16": (pytorch.TIMM, "ViT-S/16", EXACT),
    "timm ViT-B/32": (pytorch.TIMM, "ViT-B/32", EXACT),
    "timm R+ViT-Ti/16": (pytorch.TIMM_ROOT, "R+ViT-Ti/16", EXACT),
    "timm R26+ViT-S/32": (pytorch.TIMM, "R26+ViT-S/32", EXACT),
    "timm ViT-Ti/16 distilled": (pytorch.TIMM_DISTILLED, "ViT-Ti/16", dict(pooling="distilled")),
    "huggingface ViT-Ti/16": (
        hugging_face.HUGGING_FACE, "ViT-Ti/16", dict(approximate=True, epsilon=1e-3),
    ),
    "huggingface ViT-Ti/16 distilled": (
        hugging_face.HUGGING_FACE_DISTILLED, "ViT-Ti/16", dict(pooling="distilled", epsilon=1e-12),
    ),
    "google ViT-S/16": (google.VIT, "ViT-S/16", dict(approximate=True)),
}  # fmt: skip


QUICK = ("timm ViT-S/16", "huggingface ViT-Ti/16 distilled", "google ViT-S/16")


@pytest.mark.parametrize("case", quick(CASES, *QUICK))
def test_logits_are_those_of_the_source(case, published, tmp_path):
    table, name, options = CASES[case]
    model = small_variant(name, **options)
    path = tmp_path / f"weights{saving.SOURCES[table.source]}"
    saving.WRITERS[saving.SOURCES[table.source]](path, tensors_of(table, model, seeded_like(table)))
    report = keras_vit.load_weights(model, path)
    assert report.source == table.source and not report.ignored
    logits = outputs(model, seeded.make_images(64, 64))
    np.testing.assert_allclose(logits, published[case], atol=1e-4)


@pytest.mark.parametrize(
    "table, method, options",
    [(google.VIT, "bilinear", dict(approximate=True)), (pytorch.TIMM, "bicubic", EXACT)],
    ids=["google", "timm"],
)
def test_resized_positions_give_the_logits_of_the_source(
    table, method, options, published, tmp_path
):
    model = small_variant("ViT-S/16", **options)
    path = tmp_path / f"weights{saving.SOURCES[table.source]}"
    saving.WRITERS[saving.SOURCES[table.source]](path, tensors_of(table, model, seeded_like(table)))
    larger = small_variant("ViT-S/16", size=96, **options)
    report = keras_vit.load_weights(larger, path, method=method)
    assert report.grids == ((4, 4), (6, 6))
    assert "4 x 4 to 6 x 6" in str(report)
    logits = outputs(larger, seeded.make_images(96, 96))
    np.testing.assert_allclose(logits, published[f"{table.source} ViT-S/16 resized"], atol=1e-4)


# --- Tables, in both directions -------------------------------------------------------------------
MODELS = {
    "token": lambda: tiny(),
    "rectangle": lambda: tiny(image_size=(32, 64), patch_size=(8, 16)),
    "gap": lambda: tiny(pooling="gap"),
    "hybrid": lambda: tiny(keras_vit.HybridViT, resnet_units=(1, 2), image_size=64, num_layers=1),
    "small hybrid": lambda: tiny(SmallHybridViT, resnet_units=(1, 1), num_layers=1),
    "root": lambda: tiny(keras_vit.HybridViT, resnet_units=(), num_layers=1),
    "pre_logits": lambda: tiny(representation_size=192),
    "features": lambda: tiny(num_classes=None),
    "map": lambda: tiny(pooling="map"),
    "distilled": lambda: tiny(pooling="distilled"),
    "resnet": lambda: keras_vit.ResNet(image_size=32, units=(1, 2), num_classes=5),
}
WRITTEN_BY = {
    "token": SOURCES, "rectangle": SOURCES, "gap": SOURCES[:4],
    "features": ("google", "timm", "kerashub", "torchvision"),  # DINOv2's names for Hugging Face
    "hybrid": SOURCES[:3], "root": SOURCES[:3], "pre_logits": (*SOURCES[:3], "torchvision"),
    "small hybrid": ("google",), "map": ("google",),
    "distilled": ("timm", "huggingface"), "resnet": ("bit", "timm"),
}  # fmt: skip

# Names are read and written by NumPy: all kinds of models are tested on JAX, two on the others.
EVERYWHERE = MODELS if keras.backend.backend() == "jax" else ("token", "hybrid")


@functools.cache
def two_models(kind):
    return MODELS[kind](), MODELS[kind]()


@pytest.mark.parametrize(
    "kind, source",
    [
        pytest.param(kind, source, marks=[] if kind in EVERYWHERE else pytest.mark.slow)
        for kind, sources in WRITTEN_BY.items()
        for source in sources
    ],
)
def test_loading_restores_what_was_saved(kind, source, tmp_path):
    model, again = (randomized(m, seed) for seed, m in enumerate(two_models(kind)))
    path = tmp_path / f"weights{SUFFIX[source]}"
    keras_vit.save_weights(model, path, source)
    grid = (4, 4) if kind == "rectangle" else None  # 4 x 4 patches of an image that is not square
    report = keras_vit.load_weights(again, path, grid=grid)
    assert equal_weights(model, again)
    assert report.source == source and not report.fresh and not report.ignored
    assert report.loaded == len(read_all(path))


@pytest.mark.parametrize("kind", [kind for kind in MODELS if kind != "rectangle"])
def test_describe_finds_the_model_of_a_file(kind, tmp_path):
    model = randomized(two_models(kind)[0])
    for source in WRITTEN_BY[kind]:
        path = tmp_path / f"{source}{SUFFIX[source]}"
        keras_vit.save_weights(model, path, source)
        described = checkpoints.describe(path).arguments
        if kind == "resnet":
            described |= {"image_size": (32, 32)}  # a ResNet's weights fit any size
        different = {
            key: (value, getattr(model, key))
            for key, value in described.items()
            if key not in ("normalize", "epsilon", "approximate") and value != getattr(model, key)
        }
        assert not different, source


def test_every_tensor_has_one_name():
    for table in (google.VIT, pytorch.TIMM, hugging_face.HUGGING_FACE, kerashub.KERAS_HUB):
        model = MODELS["token"]()
        found = {}
        for weight, rule, numbers in matching.weights_and_rules(table, model):
            for number, name in enumerate(rule.names(numbers)):
                assert name not in found and table.path_of(name) == (weight.path, number)
                found[name] = weight


def test_a_source_without_names_for_a_weight_is_refused(tmp_path):
    with pytest.raises(ValueError, match="pooling/probe.*Use another source"):
        keras_vit.save_weights(MODELS["map"](), tmp_path / "a.weights.h5")
    with pytest.raises(ValueError, match="names for a ResNet.*Use 'bit', 'timm'"):
        keras_vit.save_weights(MODELS["resnet"](), tmp_path / "a.npz", "google")
    with pytest.raises(ValueError, match=r"must end in .npz.*Call it .*a.npz"):
        keras_vit.save_weights(tiny(), tmp_path / "a.safetensors", "google")
    assert not any(tmp_path.iterdir())


# --- Names in Google's files ----------------------------------------------------------------------
def renamed_linen(tensors):
    return {linen(name): array for name, array in tensors.items()}


def prefixed(tensors):
    return {f"params/{name}": array for name, array in renamed_linen(tensors).items()}


def old_positions(tensors):
    return {name.replace("Transformer/posembed_input/", ""): a for name, a in tensors.items()}


def stacked(tensors):
    """As `lax.scan` stores them: one tensor with a leading axis of blocks."""
    plain = {name: a for name, a in renamed_linen(tensors).items() if "encoderblock" not in name}
    blocks = {name: a for name, a in renamed_linen(tensors).items() if "encoderblock_0" in name}
    both = renamed_linen(tensors)
    for name in blocks:
        layers = [both[name.replace("encoderblock_0", f"encoderblock_{i}")] for i in range(2)]
        plain[name.replace("encoderblock_0", "encoderblock")] = np.stack(layers)
    return plain


def class_token_without_position(tensors):
    """big_vision adds the class token's position to the token itself."""
    name = "Transformer/posembed_input/pos_embedding"
    table = tensors[name]
    changed = {**tensors, "cls": tensors["cls"] + table[:, :1], "pos_embedding": table[:, 1:]}
    del changed[name]
    return changed


@pytest.mark.parametrize(
    "dialect",
    quick(
        [renamed_linen, prefixed, old_positions, stacked, class_token_without_position],
        *(stacked, class_token_without_position),
    ),
)
def test_all_dialects_of_google_load_the_same_weights(dialect, tmp_path):
    model, again = randomized(tiny()), tiny()
    keras_vit.save_weights(model, tmp_path / "first.npz")
    tensors = read_all(tmp_path / "first.npz")
    files.write_npz(tmp_path / "other.npz", dialect(tensors))
    keras_vit.load_weights(again, tmp_path / "other.npz")
    images = seeded.make_images(32, 32)
    np.testing.assert_allclose(outputs(again, images), outputs(model, images), atol=1e-5)
    assert equal_weights(model, again) or dialect is class_token_without_position
    described = checkpoints.describe(tmp_path / "other.npz").arguments
    assert (described["num_layers"], described["image_size"]) == (2, (32, 32))


def test_attention_pooling_at_the_top_level(tmp_path):
    model, again = randomized(tiny(pooling="map")), tiny(pooling="map")
    keras_vit.save_weights(model, tmp_path / "first.npz")
    tensors = read_all(tmp_path / "first.npz")
    tensors = {name.removeprefix("MAPHead_0/"): array for name, array in tensors.items()}
    files.write_npz(tmp_path / "other.npz", tensors)
    keras_vit.load_weights(again, tmp_path / "other.npz")
    assert equal_weights(model, again)


def test_numbered_convolutions_of_bit(tmp_path):
    model, again = randomized(MODELS["resnet"]()), MODELS["resnet"]()
    keras_vit.save_weights(model, tmp_path / "first.npz")
    tensors = read_all(tmp_path / "first.npz")
    numbered = {
        name.replace("standardized_conv2d", f"standardized_conv2d_{i}"): tensors[name]
        for i, name in enumerate(tensors)
    }
    files.write_npz(tmp_path / "other.npz", numbered)
    assert keras_vit.load_weights(again, tmp_path / "other.npz").source == "bit"
    assert equal_weights(model, again)


# --- KerasHub itself ------------------------------------------------------------------------------
def test_files_of_kerashub_are_read(tmp_path):
    """The names of a real KerasHub file, listed by `h5py`: a classifier of two blocks."""
    block = "layers/vi_t_backbone/layers/vi_t_encoder/encoder_layers/vi_t_encoder_block"
    model = tiny()
    names = tensors_of(kerashub.KERAS_HUB, model, lambda name, shape: shape)
    assert names[f"{block}/mha/query_dense/vars/0"] == (192, 3, 64)
    assert names[f"{block}_1/mha/output_dense/vars/0"] == (3, 64, 192)
    embedding = "layers/vi_t_backbone/layers/vi_t_patching_and_embedding"
    assert names[f"{embedding}/position_embedding/vars/0"] == (5, 192)
    assert names["layers/dense/vars/1"] == (5,)
    alone = {
        name.removeprefix("layers/vi_t_backbone/"): np.ones(shape, "float32")
        for name, shape in names.items()
        if not name.startswith("layers/dense")
    }
    files.write_h5(tmp_path / "backbone.weights.h5", alone)
    report = keras_vit.load_weights(tiny(num_classes=None), tmp_path / "backbone.weights.h5")
    assert report.loaded == len(alone)


# --- Other tasks, other sizes ---------------------------------------------------------------------
def test_load_pretrained_for_another_task(tmp_path, capsys):
    model = randomized(tiny(representation_size=192))
    keras_vit.save_weights(model, tmp_path / "weights.npz")
    other = keras_vit.load_pretrained(tmp_path / "weights.npz", num_classes=3, image_size=(32, 64))
    said = capsys.readouterr().out
    assert "2 x 2 to 2 x 4 patches" in said and "3 classes is new and starts at zero" in said
    assert other.representation_size is None and other.output_shape == (None, 3)
    assert not np.any(other.get_layer("head").get_weights()[0])
    before, after = ({w.path: numpy(w) for w in m.weights} for m in (model, other))
    kept = [path for path in after if not path.startswith(("head", matching.POSITIONS))]
    assert len(kept) == len(after) - 3
    assert all(np.array_equal(before[path], after[path]) for path in kept)
    np.testing.assert_array_equal(
        after[matching.POSITIONS],
        keras_vit.ablations.positions.resize(before[matching.POSITIONS], (2, 2), (2, 4)),
    )


def test_load_pretrained_as_it_is_and_without_a_head(tmp_path, capsys):
    model = randomized(tiny(approximate=True, representation_size=192))
    keras_vit.save_weights(model, tmp_path / "weights.npz")
    images = seeded.make_images(32, 32)
    again = keras_vit.load_pretrained(tmp_path / "weights.npz", verbose=False)
    np.testing.assert_array_equal(outputs(again, images), outputs(model, images))
    features = keras_vit.load_pretrained(tmp_path / "weights.npz", num_classes=None, verbose=False)
    assert features.output_shape == (None, 192)
    assert not capsys.readouterr().out


def test_an_unknown_number_of_heads_is_requested(tmp_path):
    model = randomized(tiny(hidden_dim=96, mlp_dim=160, num_heads=4))
    keras_vit.save_weights(model, tmp_path / "a.safetensors", "timm")
    with pytest.raises(ValueError, match="heads must be known.*hidden_dim=96.*pass num_heads="):
        keras_vit.load_pretrained(tmp_path / "a.safetensors")
    again = keras_vit.load_pretrained(tmp_path / "a.safetensors", num_heads=4, verbose=False)
    assert again.num_heads == 4 and equal_weights(model, again)


def test_a_given_image_size_need_not_be_square(tmp_path):
    model = randomized(tiny(image_size=(32, 96)))
    keras_vit.save_weights(model, tmp_path / "model.safetensors", "huggingface")
    with pytest.raises(
        ValueError, match="must be those of a square of patches.*tokens=13"
    ):  # 2 x 6 + 1
        checkpoints.describe(tmp_path)
    again = keras_vit.load_pretrained(tmp_path, image_size=(32, 96), verbose=False)
    assert equal_weights(model, again)
    with pytest.raises(
        ValueError, match="must be those of a square of patches, or of `image_size`"
    ):
        keras_vit.load_pretrained(tmp_path, image_size=(32, 80))
    (tmp_path / "config.json").write_text(json.dumps({"image_size": [32, 96]}))
    assert equal_weights(model, keras_vit.load_pretrained(tmp_path, verbose=False))


def test_a_grid_with_a_class_token_comes_before_a_square_without_one(tmp_path):
    model = randomized(tiny(image_size=(64, 96)))  # 4 x 6 + 1 positions, as many as 5 x 5
    keras_vit.save_weights(model, tmp_path / "wide.npz", "google")
    again = keras_vit.load_pretrained(tmp_path / "wide.npz", image_size=(64, 96), verbose=False)
    assert equal_weights(model, again)


def test_hugging_face_files_beside_the_weights_are_read(tmp_path):
    keras_vit.save_weights(randomized(tiny()), tmp_path / "model.safetensors", "huggingface")
    config = {"num_attention_heads": 6, "layer_norm_eps": 1e-5, "hidden_act": "gelu_new"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    images = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.2], "resample": 2,
                "size": {"height": 32, "width": 32}}  # fmt: skip
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(images))
    described = checkpoints.describe(tmp_path)  # the folder, as it is published
    assert described.arguments["num_heads"] == 6
    assert described.arguments["epsilon"] == 1e-5
    assert described.arguments["approximate"] is True
    np.testing.assert_allclose(described.arguments["normalize"][0], (127.5, 102, 76.5))
    assert described.arguments["normalize"][1] == 51
    assert described.preprocessing == {"resize": images["size"], "resampling": "bilinear"}
    model = keras_vit.load_pretrained(tmp_path, verbose=False)
    assert model.num_heads == 6


# --- Real weights ---------------------------------------------------------------------------------
DATA = pathlib.Path(os.environ.get("KERAS_VIT_TEST_DATA", "not set"))
REAL = {
    "google": DATA / "weights" / "ViT-Ti_16.augreg.imagenet2012.224.npz",
    "timm": DATA / "weights" / "vit_tiny_patch16_224.augreg_in21k_ft_in1k.safetensors",
}
needs_data = pytest.mark.skipif(
    not REAL["google"].exists(), reason="KERAS_VIT_TEST_DATA names no folder with real weights"
)


@needs_data
@pytest.mark.parametrize("source, logits", [("google", "google_flax"), ("timm", "timm")])
def test_real_weights_give_the_official_logits(source, logits):
    golden = arrays(DATA / "weights" / "golden_ViT-Ti_16.npz")
    model = keras_vit.load_pretrained(REAL[source], verbose=False)
    found = outputs(model, golden["x_uint8"])
    np.testing.assert_allclose(found, golden[f"logits_{logits}"], atol=1e-4)


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES)
def test_real_weights_exported_and_loaded_again_are_bit_identical(source, tmp_path):
    model = keras_vit.load_pretrained(REAL["google"], verbose=False)
    path = tmp_path / f"again{SUFFIX[source]}"
    keras_vit.save_weights(model, path, source)
    again = keras_vit.create("ViT-Ti/16")
    keras_vit.load_weights(again, path)
    assert equal_weights(model, again)
    if source in REAL:  # the very tensors of the publisher
        ours, theirs = read_all(path), read_all(REAL[source])
        assert ours.keys() == theirs.keys()
        for name, array in theirs.items():
            assert (ours[name].dtype, ours[name].shape) == (array.dtype, array.shape)
            np.testing.assert_array_equal(ours[name], array)


@pytest.mark.slow
@needs_data
def test_real_weights_classify_photographs():
    from keras_vit import data

    lines = (DATA / "photos" / "nips17" / "labels.csv").read_text().splitlines()[1:]
    names, labels = zip(*(line.split(",")[:2] for line in lines), strict=True)
    images = np.stack([data.read(DATA / "photos" / "nips17" / name, 224) for name in names])
    model = keras_vit.load_pretrained(REAL["google"], verbose=False)
    predicted = model.predict(images, batch_size=20, verbose=0).argmax(axis=1)
    correct = (predicted == np.array(labels, int)).sum()
    assert len(labels) == 100 and correct >= 85
    keras.backend.clear_session()
