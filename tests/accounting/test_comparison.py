"""The models that ViT is compared with: their parameters, and their numbers beside others'."""

import math

import keras
import numpy as np
import pytest
from helpers import check_layer, check_saving, random_images, randomize
from paper import softmax

from keras_vit import accounting, comparison
from keras_vit.comparison import CoAtNet, EfficientNet, RelativeAttention

numpy = keras.ops.convert_to_numpy
# Millions, arXiv 2106.04803, Table 4; and GFLOPs at 224 pixels, which are multiply-adds there.
COATNET = {
    "CoAtNet-0": (25, 4.2),
    "CoAtNet-1": (42, 8.4),
    "CoAtNet-2": (75, 15.7),
    "CoAtNet-3": (168, 34.7),
    "CoAtNet-4": (275, None),
}
# Millions and GFLOPs (multiply-adds), arXiv 1905.11946, Table 2; L2: arXiv 1911.04252
EFFICIENTNET = {
    "EfficientNet-B0": (5.3, 0.39),
    "EfficientNet-B1": (7.8, 0.70),
    "EfficientNet-B2": (9.2, 1.0),
    "EfficientNet-B3": (12, 1.8),
    "EfficientNet-B4": (19, 4.2),
    "EfficientNet-B5": (30, 9.9),
    "EfficientNet-B6": (43, 19),
    "EfficientNet-B7": (66, 37),
    "EfficientNet-L2": (480, None),
}
SMALL = {
    "EfficientNet": lambda **options: EfficientNet(
        image_size=(33, 40), width=0.25, depth=0.5, num_classes=3, **options
    ),
    "CoAtNet": lambda **options: CoAtNet(
        (40, 64), depths=(1, 1, 1, 1, 1), widths=(8, 8, 8, 32, 64), num_classes=3, **options
    ),
}


@pytest.mark.backend_free
@pytest.mark.parametrize("name", EFFICIENTNET)
def test_efficientnets_have_the_published_parameters_and_multiply_adds(name):
    cost, (millions, giga) = accounting.count(name), EFFICIENTNET[name]
    assert cost.parameters / 1e6 == pytest.approx(millions, rel=0.02)
    assert giga is None or cost.multiply_adds / 1e9 == pytest.approx(giga, rel=0.05)


@pytest.mark.backend_free
@pytest.mark.parametrize("name", COATNET)
def test_coatnets_have_the_published_parameters_and_multiply_adds(name):
    cost, (millions, giga) = accounting.count(name), COATNET[name]
    assert cost.parameters / 1e6 == pytest.approx(millions, rel=0.007)
    assert giga is None or cost.multiply_adds / 1e9 == pytest.approx(giga, rel=0.02)


def test_bit_l_is_r152x4(blank):
    assert accounting.count("BiT-L") == accounting.count("R152x4")
    model = comparison.create("BiT-L", units=(1, 1), width=1, image_size=32, num_classes=2)
    assert type(model).__name__ == "ResNet"


def learned(model):
    weights = [w for layer in model._flatten_layers() for w in layer._trainable_variables]
    return sum(math.prod(w.shape) for w in weights)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(8))
def test_efficientnets_equal_those_of_keras(number, hollow):
    """Parameters to the last digit, and the products of another implementation's layers."""
    theirs = getattr(keras.applications, f"EfficientNetB{number}")(weights=None)
    ours = accounting.count(f"EfficientNet-B{number}")
    assert learned(theirs) == ours.parameters
    counted = accounting.count(theirs)
    assert (counted.multiply_adds, counted.activations) == (ours.multiply_adds, ours.activations)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in comparison.SHAPES if n.endswith(("B0", "B7", "L2"))])
def test_built_efficientnets_cost_what_their_names_say(name, hollow):
    model = comparison.create(name)
    published = {"EfficientNet-B0": 5_288_548, "EfficientNet-B7": 66_347_960}
    assert learned(model) == published.get(name, 480_309_308)
    assert accounting.count(model) == accounting.count(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", COATNET)
def test_built_coatnets_cost_what_their_names_say(name, hollow):
    model = comparison.create(name)
    assert accounting.count(model) == accounting.count(name)
    without = comparison.create(name, representation=False)
    width = comparison.SHAPES[name].widths[-1]
    assert learned(model) - learned(without) == (width + 1) * width


@pytest.mark.slow
@pytest.mark.parametrize("kind", SMALL)
def test_small_models_cost_what_their_shapes_say(kind, blank):
    model = SMALL[kind]()
    cost = accounting.count(model)
    if kind == "EfficientNet":
        shape = comparison.EfficientNetShape(0.25, 0.5, 32)
    else:
        shape = comparison.CoAtNetShape((1, 1, 1, 1, 1), (8, 8, 8, 32, 64))
    assert cost == accounting.named.of(shape, model.input_shape[1:3], num_classes=3)
    assert cost.parameters == learned(model)


@pytest.mark.slow
def test_efficientnet_equals_that_of_keras(blank):
    """The same weights give the same logits as keras.applications' B0."""
    theirs = keras.applications.EfficientNetB0(
        weights=None, input_shape=(64, 64, 3), classifier_activation=None
    )
    ours = comparison.create("EfficientNet-B0", image_size=64, normalize=(0.0, 255.0))
    randomize(ours, scale=0.05)
    source = [w for w in theirs.weights if not w.path.startswith("normalization")]
    for target, weight in zip(source, in_their_order(ours, source), strict=True):
        if "variance" in target.path:
            weight.assign(np.abs(numpy(weight)) + 0.5)
        target.assign(np.reshape(numpy(weight), target.shape))
    x = random_images(2, 64, 64, 3)
    logits = numpy(theirs(x, training=False))
    assert np.ptp(logits) > 1e-3
    np.testing.assert_allclose(numpy(ours(x, training=False)), logits, rtol=1e-3, atol=1e-5)


def in_their_order(ours, source):
    """Our weights in the order of Keras's: both list a block's layers as they run."""
    found = list(ours.weights)
    for weight in source:
        place = next(
            i for i, w in enumerate(found) if math.prod(w.shape) == math.prod(weight.shape)
        )
        yield found.pop(place)


@pytest.mark.slow
def test_relative_attention_is_a_layer(tmp_path):
    check_layer(
        lambda **options: RelativeAttention(hidden_dim=8, num_heads=2, **options),
        shape=(2, 3, 5, 7),
        output_shape=(2, 3, 5, 8),
        num_weights=5,
        tmp_path=tmp_path,
    )


def test_relative_attention_equals_its_equation():
    """Position by position: softmax(q k / sqrt(d) + w of the offset)."""
    rows, columns, dim, heads = 2, 3, 8, 2
    layer = RelativeAttention(hidden_dim=dim, num_heads=heads)
    x = np.random.default_rng(0).normal(size=(1, rows, columns, 5))
    layer.build(x.shape)
    randomize(layer, scale=0.5)
    qkv = [numpy(w).astype("float64") for w in layer.query_key_value.weights]
    out = [numpy(w).astype("float64") for w in layer.projection.weights]
    table = numpy(layer.bias).reshape(heads, 2 * rows - 1, 2 * columns - 1)
    z = x.reshape(-1, 5) @ qkv[0] + qkv[1]
    made = []
    for h in range(heads):
        q, k, v = (z[:, i * dim + 4 * h : i * dim + 4 * h + 4] for i in range(3))
        logits = q @ k.T / 2.0
        for i, j in np.ndindex(logits.shape):
            down, right = i // columns - j // columns, i % columns - j % columns
            logits[i, j] += table[h, down + rows - 1, right + columns - 1]
        made.append(softmax(logits) @ v)
    expected = np.concatenate(made, -1) @ out[0] + out[1]
    result = numpy(layer(x.astype("float32")))[0].reshape(-1, dim)
    np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SMALL)
def test_models_save_and_train(kind, tmp_path):
    model = randomize(SMALL[kind](), scale=0.2)
    for weight in model.weights:
        if "variance" in weight.path:
            weight.assign(np.abs(numpy(weight)) + 0.5)
    x = random_images(4, *model.input_shape[1:])
    check_saving(model, x, tmp_path)
    before = numpy(model.trainable_weights[0]).copy()
    labels = np.array([0, 1, 2, 0])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01), loss)
    history = model.fit(x, labels, epochs=2, verbose=0).history["loss"]
    assert np.isfinite(history).all()
    assert np.any(numpy(model.trainable_weights[0]) != before)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: comparison.create("EfficientNet-B8"), "`name` must be one of"),
        (lambda: EfficientNet(width=0), "`width` must be a finite number above 0"),
        (lambda: CoAtNet(depths=(2, 2)), "must name five stages"),
        (lambda: CoAtNet(widths=(64, 96, 192, 384, 100)), "must be multiples of 32"),
        (lambda: RelativeAttention(8, num_heads=3), "`hidden_dim` must be divisible"),
        (
            lambda: RelativeAttention(8, 2)(keras.Input((None, 4, 3))),
            "expects a map of known height and width",
        ),
    ],
)
def test_bad_arguments(call, words):
    with pytest.raises(ValueError) as error:
        call()
    assert words in str(error.value)
    assert "Received: " in str(error.value)
