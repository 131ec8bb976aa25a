"""The engine of the page, run by Node, against Keras with the same rounded weights."""

import itertools
import json
import shutil
import subprocess

import numpy as np
import pytest
from helpers import numpy, outputs, quick, random_images, round_weights, slow, wide_vit

import keras_vit
from keras_vit import explain
from keras_vit.browser import page_file, records
from keras_vit.data.transforms import resize_image
from keras_vit.hybrid import HybridViT, SmallHybridViT

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(
    NODE is None, reason="needs node (Node.js), which runs the page's code"
)
DRIVER = """
const { jobs, models, images } = JSON.parse(require("fs").readFileSync(0));
const ways = ({ without, heads, blocks, ...others }) => ({
  ...others, without: new Set(without), heads: new Set(heads), blocks: new Set(blocks),
});
const numbers = (list) => [...list].map(Number);
const build = async ({ layers, tensors, text }) => {
  return new ViT(layers, await readTensors(tensors, text));
};
Promise.all(models.map(build)).then((vits) => {
"""


def run_node(code, **values):
    """Runs the page's scripts and then `code` in Node; returns the JSON that it prints."""
    script = page_file.read(*page_file.ENGINE) + DRIVER + code + "});"
    given = json.dumps({"jobs": [], "models": [], "images": [], **values})
    done = subprocess.run([NODE, "-e", script], input=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def packed(model, precision="float16"):
    """Returns a model as a page stores it."""
    tensors, text = page_file.pack_weights(model, precision)
    return {"layers": records.describe(model)[0], "tensors": tensors, "text": text}


def to_image(pixels):
    height, width, channels = pixels.shape
    data = np.asarray(pixels).ravel().tolist()
    return {"data": data, "height": height, "width": width, "channels": channels}


def zero_shot(num_classes, **options):
    return D.ZeroShotClassifier(keras_vit.ViT(num_classes=None, **options), num_classes)


D = keras_vit.descendants
MAP = {"image_size": (16, 48), "patch_size": (8, 16)}  # of a ResNet
MODELS = {
    "token": {},
    "tanh form": {"approximate": True, "representation_size": 6, "num_channels": 1},
    "gap": {"pooling": "gap", "normalize": ((10, 20, 30), (90, 100, 110))},
    "map": {"pooling": "map", "normalize": None},
    "distilled": {"pooling": "distilled", "epsilon": 1e-3},
    "token and mean": {"pooling": "token and mean"},
    "registers": {"model": D.RegisterViT, "gated": True},
    "registers, gap": {"model": D.RegisterViT, "pooling": "gap", "num_registers": 2},
    "mean, then norm": {"model": D.PooledNormViT, "pooling": "patch mean"},
    "no norm": {"model": D.UnnormalizedViT},
    "clip": {"model": D.CLIPViT, "projection_dim": 5},
    "beit": {"model": D.BEiTViT, "pooling": "patch mean"},
    "beit, placed": {"model": D.BiasedViT, "positions": True},
    "dinov3": {"model": D.DINOv3ViT, "gated": True},
    "dinov3, gap": {"model": D.DINOv3ViT, "pooling": "gap", "theta": 50.0},
    "eva": {"model": D.EVAMeanViT, "pooling": "patch mean", "mlp_norm": True},
    "eva, clip": {"model": D.EVAViT, "attention_norm": True},
    "pe": {"model": D.PEViT, "pooling": "map", "num_heads": 2, "hidden_dim": 16},
    "pe, spatial": {"model": D.PESpatialViT},
    "zero shot": {"model": zero_shot},
    "hybrid": {"model": HybridViT, **MAP, "resnet_units": (2, 1)},
    "small hybrid": {"model": SmallHybridViT, **MAP, "resnet_units": (1, 1)},
    "root alone": {"model": HybridViT, **MAP, "resnet_units": ()},
    "timm hybrid": {"model": D.TimmHybridViT, **MAP, "resnet_units": (1, 1)},
}
SOME = {
    "float16": ("token", "tanh form", "clip", "beit", "pe"),
    "int8": ("token", "map", "small hybrid"),
}
QUICK = {name for names in SOME.values() for name in names}


def check_models(names, precision="float16"):
    """Compares logits, tokens and attention of models with those of Keras."""
    models, images = [], []
    for seed, name in enumerate(names):
        models.append(round_weights(wide_vit(**MODELS[name]), precision))
        images.append(random_images(1, *models[-1].input_shape[1:], seed=seed).round())
    code = """
    console.log(JSON.stringify(vits.map((vit, i) => {
      const trace = { tokens: [], attention: [] };
      const logits = vit.call(images[i], { trace });
      const attention = trace.attention.map((maps) => maps.map((a) => numbers(a.data)));
      return { logits: numbers(logits), tokens: trace.tokens.map(numbers), attention };
    })));
    """
    pages = [packed(model, precision) for model in models]
    results = run_node(code, models=pages, images=[to_image(x[0]) for x in images])
    for model, x, result in zip(models, images, results, strict=True):
        np.testing.assert_allclose(result["logits"], outputs(model, x)[0], atol=1e-4)
        scores = explain.attention_scores(model, x)
        expected = np.stack([numpy(layer)[0] for layer in scores.values()])
        got = np.reshape(result["attention"], expected.shape)
        np.testing.assert_allclose(got, expected, atol=1e-4)
        assert len(result["tokens"]) == len(scores) + 1  # z_0 to z_L


@pytest.mark.parametrize("precision", quick(SOME, "float16"))
def test_logits_and_attention_equal_keras(precision):
    check_models(SOME[precision], precision)


@pytest.mark.slow
def test_logits_and_attention_of_every_kind_of_model_equal_keras():
    check_models([name for name in MODELS if name not in QUICK])


def test_the_probability_of_one_logit_is_its_sigmoid():
    model = round_weights(wide_vit(num_classes=1))
    images = random_images(1, *model.input_shape[1:]).round()
    code = "console.log(JSON.stringify(numbers(probabilities(vits[0].call(images[0])))));"
    shares = run_node(code, models=[packed(model)], images=[to_image(images[0])])
    expected = 1 / (1 + np.exp(-outputs(model, images)[0, 0]))
    np.testing.assert_allclose(shares, [1 - expected, expected], atol=1e-5)


def test_its_ways_to_change_a_call_do_what_changed_weights_or_images_do():
    """Truth: Keras with weights set to zero or divided, with moved patches, with fewer tokens."""
    model = round_weights(wide_vit(num_layers=2))
    (page, images) = packed(model), random_images(1, 8, 15, 3).round()
    order, hidden = [3, 0, 5, 1, 2, 4], [1, 4]
    jobs = [{"permutation": order}, {"without": hidden}, {"heads": ["0 1"]}, {"blocks": [1]}]
    jobs += [{"temperature": 2}, {"positions": False}]
    code = """
    const calls = jobs.map((job) => numbers(vits[0].call(images[0], ways(job))));
    console.log(JSON.stringify(calls));
    """
    results = run_node(code, models=[page], images=[to_image(images[0])], jobs=jobs)

    patches = images.reshape(2, 4, 3, 5, 3).transpose(0, 2, 1, 3, 4).reshape(6, 4, 5, 3)
    moved = patches[order].reshape(2, 3, 4, 5, 3).transpose(0, 2, 1, 3, 4).reshape(images.shape)
    tokens = numpy(model.get_layer("patch_encoder")(model.get_layer("patches")(
        model.get_layer("normalization")(images))))  # fmt: skip
    fewer = np.delete(tokens, 1 + np.array(hidden), axis=1)
    for layer in ("block_0", "block_1", "encoder_norm", "pooling", "head"):
        fewer = model.get_layer(layer)(fewer)
    expected = [outputs(model, moved), numpy(fewer)]

    first, second = (model.get_layer(f"block_{i}") for i in range(2))
    columns = np.arange(24)  # of queries, keys and values
    silent = [*second.attention.projection.weights, *second.mlp.contract.weights]
    queries = [w for x in (first, second) for w in x.attention.query_key_value.weights]
    changes = [
        [(first.attention.projection.kernel, lambda k: np.where(columns[:8, None] < 4, k, 0))],
        [(weight, lambda k: 0 * k) for weight in silent],
        [(weight, lambda k: np.where(columns < 8, k / 2, k)) for weight in queries],
        [(model.get_layer("patch_encoder").position_embedding, np.zeros_like)],
    ]
    expected += [with_weights(model, images, pairs) for pairs in changes]
    for job, got, truth in zip(jobs, results, expected, strict=True):
        np.testing.assert_allclose(got, truth[0], atol=1e-4, err_msg=str(job))
    whole = outputs(model, images)
    assert all(np.abs(truth - whole).max() > 1e-3 for truth in expected)  # each changes something


@pytest.mark.slow
@pytest.mark.parametrize("kind", [D.BiasedViT, D.EVAViT])
def test_patches_that_are_left_out_leave_the_places_of_others_as_they_are(kind):
    """Truth: a model of two columns of patches, for an image without its third column."""
    more = {"reference": (2, 3)} if kind is D.EVAViT else {"positions": True}
    model = round_weights(wide_vit(kind, **more))
    less = {"reference": (2, 2)} if kind is D.EVAViT else {"positions": True}
    small = wide_vit(kind, image_size=(8, 10), **less)
    for weight, given in zip(small.weights, model.weights, strict=True):
        value = numpy(given)
        if weight.name == "position_embedding":
            value = np.delete(value, [3, 6], axis=1)
        if weight.name == "bias_table":  # five offsets of columns, of which three remain
            offsets = value[:-3].reshape(3, 5, -1)[:, 1:4]
            value = np.concatenate([offsets.reshape(9, -1), value[-3:]])
        weight.assign(value)
    images = random_images(1, 8, 15, 3).round()
    code = "console.log(JSON.stringify(numbers(vits[0].call(images[0], ways(jobs[0])))));"
    given = {"models": [packed(model)], "images": [to_image(images[0])]}
    found = run_node(code, jobs=[{"without": [2, 5]}], **given)
    np.testing.assert_allclose(found, outputs(small, images[:, :, :10])[0], atol=1e-4)


def with_weights(model, images, changes):
    """Returns the outputs of a model while some of its weights are replaced."""
    before = model.get_weights()
    for weight, change in changes:
        weight.assign(change(numpy(weight)))
    result = outputs(model, images)
    model.set_weights(before)
    return result


RATIO = 256 / 224


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_resized_as_in_python(channels, tmp_path):
    from PIL import Image

    rng, jobs, expected = np.random.default_rng(0), [], []
    for height, width, rows, columns in ((50, 70, 16, 24), (9, 200, 32, 32), (33, 21, 40, 28)):
        photo = rng.integers(0, 256, (height, width, 3), dtype="uint8")
        data = np.dstack([photo, np.full((height, width, 1), 255)]).ravel().tolist()
        image = Image.fromarray(photo).convert("RGB" if channels == 3 else "L")
        for how in itertools.product(("squash", "crop"), ("bilinear", "bicubic")):
            sizes = {"image_size": [rows, columns], "channels": channels, "ratio": RATIO}
            sizes |= dict(zip(("resize", "interpolation"), how, strict=True))
            jobs.append([{"data": data, "height": height, "width": width}, sizes])
            expected.append(resize_image(image, (rows, columns), *how).ravel())
    code = """
    const prepared = jobs.map(([image, sizes]) => {
      return numbers(prepare({ ...image, data: Uint8Array.from(image.data) }, sizes, false).data);
    });
    console.log(JSON.stringify(prepared));
    """
    for got, truth in zip(run_node(code, jobs=jobs), expected, strict=True):
        np.testing.assert_array_equal(got, truth)


@pytest.mark.parametrize("invert", [False, True])
def test_digits_are_cropped_to_their_ink_as_in_python(invert, tmp_path):
    from PIL import Image

    paper = np.random.default_rng(1).integers(200, 256, (60, 90), dtype="uint8")
    paper[12:50, 30:41] = 20
    photo = paper if invert else 255 - paper
    Image.fromarray(photo).save(tmp_path / "one.png")
    truth = keras_vit.data.read_digit(tmp_path / "one.png", invert)
    data = np.repeat(photo[:, :, None], 4, axis=2).ravel().tolist()
    job = [
        {"data": data, "height": 60, "width": 90},
        {"image_size": [8, 8], "channels": 1, "resize": "digits"},
    ]
    code = f"""
    const [[image, sizes]] = jobs;
    image.data = Uint8Array.from(image.data);
    console.log(JSON.stringify(numbers(prepare(image, sizes, {json.dumps(invert)}).data)));
    """
    np.testing.assert_array_equal(run_node(code, jobs=[job]), truth.ravel())


def test_an_occlusion_goes_on_while_the_worker_compares():
    """A screen of the Explorer that asks for a comparison leaves the map of another one whole."""
    model, images = wide_vit(num_layers=1), random_images(1, 8, 15, 3).round()
    code = """
    const cells = [], self = { postMessage: ({ cell }) => cells.push(cell) };
    """
    code += page_file.read("engine/worker.js")
    code += """
    TASKS.compare = () => {};
    [model, [vit]] = [{ sizes: jobs[0] }, vits];
    const [image] = images;
    image.data = Uint8Array.from(image.data);
    const done = self.onmessage({ data: { task: "occlude", image, label: 0 } });
    self.onmessage({ data: { task: "compare" } });
    done.then(() => console.log(JSON.stringify(cells)));
    """
    sizes = records.describe(model)[1]
    values = {"models": [packed(model)], "images": [to_image(images[0])], "jobs": [sizes]}
    assert run_node(code, **values) == list(range(6))


@pytest.mark.parametrize("pooling", ["token", slow("gap")])
def test_maps_equal_those_of_explain(pooling):
    model, images = round_weights(wide_vit(pooling=pooling)), random_images(1, 8, 15, 3).round()
    sizes = records.describe(model)[1]
    code = """
    const [image] = images, [vit] = vits, trace = { tokens: [], attention: [] }, falls = [];
    image.data = Uint8Array.from(image.data);
    const shares = probabilities(vit.call(image, { trace }));
    const label = shares.indexOf(Math.max(...shares));
    const seen = tokenAttention(trace.attention[1], jobs[0]).map(numbers);
    const rolled = numbers(rollout(trace.attention, jobs[0]));
    occlude(vit, image, label, jobs[0].grid, (cell, fall) => falls.push(fall)).then(() => {
      console.log(JSON.stringify({ seen, rolled, falls, cells: coarsen([14, 14]) }));
    });
    """
    result = run_node(code, models=[packed(model)], images=[to_image(images[0])], jobs=[sizes])
    seen = explain.token_attention(model, images)[1, 0].reshape(2, -1)
    np.testing.assert_allclose(result["seen"], seen, atol=1e-5)
    np.testing.assert_allclose(
        result["rolled"], explain.attention_rollout(model, images).ravel(), atol=1e-5
    )
    np.testing.assert_allclose(result["falls"], explain.occlusion(model, images).ravel(), atol=1e-5)
    assert result["cells"] == [7, 7]
