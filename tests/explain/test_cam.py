"""Grad-CAM against gradients that are known by hand, and finite differences of the paper's ViT."""

import functools

import keras
import numpy as np
import paper
import pytest
from helpers import quick, random_images, randomize, weights

import keras_vit
from keras_vit.explain.gradients import grad_cam
from keras_vit.explain.inside import class_logits

numpy = keras.ops.convert_to_numpy
pytestmark = pytest.mark.usefixtures("blank")


@functools.cache
def convnet(activation=None, classes=4):
    """Two convolutions, the mean of the map, a linear head."""
    layers = keras.layers
    images = keras.Input((6, 8, 3))
    x = layers.Rescaling(1 / 255)(images)
    x = layers.Conv2D(5, 3, padding="same", name="first")(x)
    x = layers.Conv2D(7, 2, strides=2, activation="relu", name="second")(x)
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Dense(classes, activation, name="head")(layers.Flatten()(x))
    return randomize(keras.Model(images, x), scale=0.5)


def shares(maps):
    """Returns positive parts over their sum; a map without any is 0."""
    maps = np.maximum(maps, 0)
    total = maps.sum((1, 2), keepdims=True)
    assert total.any()
    return np.divide(maps, total, out=np.zeros_like(maps), where=total > 0)


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_with_a_mean_and_a_linear_head_it_is_the_heads_view_of_each_position(activation):
    """dy / dF is the head's column over the number of positions: CAM of Zhou et al. 2016."""
    model, images, classes = convnet(activation), random_images(3, 6, 8, 3), [2, 0, 2]
    features = numpy(keras.Model(model.input, model.get_layer("second").output)(images))
    kernel = weights(model)["head/kernel"]
    if activation:  # the logit less the mean of all
        kernel = kernel - kernel.mean(1, keepdims=True)
    truth = shares(np.einsum("bijk,kb->bij", features, kernel[:, classes]))
    found = grad_cam(model, images, classes, batch_size=2)
    assert (
        found.shape == (3, 3, 4)
        and found.dtype == "float32"
        and np.ptp(truth, axis=(1, 2)).max() > 0.05
    )
    np.testing.assert_allclose(found, truth, atol=1e-5)


def test_any_layer_can_be_named():
    model, images = convnet(), random_images(2, 6, 8, 3)
    last = grad_cam(model, images, 1)
    np.testing.assert_allclose(grad_cam(model, images, 1, layer="second"), last, atol=1e-6)
    assert grad_cam(model, images, 1, layer="first").shape == (2, 6, 8)
    with pytest.raises(ValueError, match="name of one layer .* layer='third', layers of this nam"):
        grad_cam(model, images, layer="third")
    with pytest.raises(
        ValueError, match=r"^This view needs .*layer='head', output shape=\(None, 4\)"
    ):
        grad_cam(model, images, layer="head")


@pytest.mark.slow
def test_the_last_map_is_found_in_models_within_models():
    model, images = convnet(), random_images(2, 6, 8, 3)
    outer = keras.Sequential([keras.Input((6, 8, 3)), keras.layers.RandomFlip(), model])
    np.testing.assert_allclose(grad_cam(outer, images, 1), grad_cam(model, images, 1), atol=1e-6)
    head = keras.layers.Dense(2)(model.output)
    features = keras.Model(model.input, head)
    assert grad_cam(features, images, 1, layer="second").shape == (2, 3, 4)


class Plain(keras.Model):
    """A network without a graph."""

    def __init__(self):
        super().__init__()
        self.conv = keras.layers.Conv2D(3, 2, name="conv")
        self.head = keras.layers.Dense(2)

    def call(self, x):
        return self.head(keras.ops.mean(self.conv(x), axis=(1, 2)))


def test_in_a_model_without_a_graph_the_layer_must_be_named():
    model, images = Plain(), random_images(2, 5, 5, 3)
    model(images)
    randomize(model)
    with pytest.raises(ValueError, match="Choose a layer by name, with layer=."):
        grad_cam(model, images)
    truth = np.einsum("bijk,k->bij", numpy(model.conv(images)), numpy(model.head.kernel)[:, 1])
    np.testing.assert_allclose(grad_cam(model, images, 1, "conv"), shares(truth), atol=1e-5)


@pytest.mark.slow
def test_our_resnets_are_seen_at_their_last_map():
    model = keras_vit.ResNet(image_size=(32, 64), units=(1, 1), num_classes=3)
    randomize(model)
    images = random_images(3, 32, 64, 3)
    features = numpy(keras.Model(model.input, model.get_layer("relu").output)(images))
    truth = shares(features @ weights(model)["head/kernel"][:, 2])
    np.testing.assert_allclose(grad_cam(model, images, 2), truth, atol=1e-5)


# --- Outputs that are not logits of many classes ------------------------------------------


def features_and_kernel(model, images):
    features = keras.Model(model.input, model.get_layer("second").output)(images)
    return numpy(features), weights(model)["head/kernel"]


def test_a_probability_of_one_keeps_its_gradient():
    """Logits of about 30 and -30: the softmax is 1 and 0 in float32, and flat."""
    model, images = convnet.__wrapped__("softmax", 2), random_images(2, 6, 8, 3)
    model.get_layer("head").bias.assign([30.0, -30.0])
    assert (numpy(model(images))[:, 0] == 1).all()
    features, kernel = features_and_kernel(model, images)
    truth = shares(features @ (kernel[:, 0] - kernel[:, 1]))
    np.testing.assert_allclose(grad_cam(model, images, 0), truth, atol=1e-5)


@pytest.mark.parametrize("activation", [None, "sigmoid"])
def test_one_output_stands_for_two_classes(activation):
    model, images = convnet(activation, 1), random_images(3, 6, 8, 3)
    features, kernel = features_and_kernel(model, images)
    evidence = features @ kernel[:, 0]
    labels = np.array([0, 1, int(evidence[2].mean() > 0)])
    truth = shares(evidence * np.where(labels, 1, -1)[:, None, None])
    np.testing.assert_allclose(grad_cam(model, images, labels), truth, atol=1e-5)
    logit = numpy(convnet(None, 1)(images))[:, 0]
    found = numpy(class_logits.probabilities(model, images))
    np.testing.assert_allclose(found[:, 1], 1 / (1 + np.exp(-logit)), rtol=1e-4)
    np.testing.assert_allclose(found[:, 0], 1 / (1 + np.exp(logit)), rtol=1e-4)
    predicted = grad_cam(model, images, (logit > 0).astype(int))
    np.testing.assert_array_equal(grad_cam(model, images), predicted)
    with pytest.raises(ValueError, match="The model has 2 classes, 0 to 1"):
        grad_cam(model, images, 2)


def test_each_of_several_sigmoids_is_its_own_probability():
    model, images = convnet("sigmoid", 3), random_images(3, 6, 8, 3)
    features, kernel = features_and_kernel(model, images)
    np.testing.assert_allclose(
        grad_cam(model, images, 1), shares(features @ kernel[:, 1]), atol=1e-5
    )
    found = numpy(class_logits.probabilities(model, images))
    np.testing.assert_allclose(found, numpy(model(images)), rtol=1e-5)


def test_softmax_outputs_are_not_taken_for_logits():
    images = random_images(3, 6, 8, 3)
    found, truth = (
        numpy(class_logits.probabilities(convnet(a), images)) for a in ("softmax", None)
    )
    np.testing.assert_allclose(found, truth, rtol=1e-4)


# --- Vision Transformers ----------------------------------------------------------------


@functools.cache
def small(pooling="token", model=keras_vit.ViT, **options):
    sizes = {"image_size": (4, 9), "patch_size": (2, 3), "num_layers": 2, "hidden_dim": 6}
    sizes |= {"mlp_dim": 7, "num_heads": 3, "num_classes": 5, "pooling": pooling}
    return randomize(model(**sizes | options), scale=0.4)


def expected(image, w, pooling, label, step=1e-5):
    """Weights by finite differences: a step of one channel in all patches before the last block."""
    z = paper.embed(paper.patches(image / 127.5 - 1, 2, 3), paper.under(w, "patch_encoder"))
    z = paper.block(z, paper.under(w, "block_0"), 3, False)
    first = {"token": 1, "distilled": 2}.get(pooling, 0)

    def logit(z):
        z = paper.norm(paper.block(z, paper.under(w, "block_1"), 3, False), w, "encoder_norm")
        if pooling == "map":
            y = paper.attention_pooling(z, paper.under(w, "pooling"), False)
        else:
            y = {"token": z[0], "distilled": z[:2].reshape(-1), "gap": z.mean(0)}[pooling]
        return (y @ w["head/kernel"] + w["head/bias"])[label]

    cam = np.zeros(6)
    for channel in range(6):
        change = np.zeros_like(z)
        change[first:, channel] = step
        slope = (logit(z + change) - logit(z - change)) / (2 * step) / 6
        cam += slope * z[first:, channel]
    return cam.reshape(2, 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "pooling", quick(["token", "distilled", "gap", "map"], "token", "map", rest=pytest.mark.weekly)
)
def test_a_vit_is_seen_before_its_last_block(pooling):
    model, images, classes = small(pooling), random_images(3, 4, 9, 3), [1, 3, 0]
    w = weights(model)
    truth = np.stack([expected(images[i], w, pooling, classes[i]) for i in range(3)])
    found = grad_cam(model, images, classes, batch_size=2)
    np.testing.assert_allclose(found, shares(truth), atol=1e-4)
    named = grad_cam(model, images, classes, "block_0", batch_size=2)
    np.testing.assert_allclose(named, found, atol=1e-6)


@pytest.mark.slow
def test_behind_the_last_block_a_class_token_leaves_the_patches_without_gradient():
    images = random_images(1, 4, 9, 3)
    np.testing.assert_array_equal(grad_cam(small(), images, 1, layer="block_1"), 0)
    model, label = small("gap"), 1
    tokens = numpy(keras.Model(model.input, model.get_layer("encoder_norm").output)(images))
    truth = (tokens @ weights(model)["head/kernel"][:, label]).reshape(1, 2, 3)
    found = grad_cam(model, images, label, layer="encoder_norm")
    np.testing.assert_allclose(found, shares(truth), atol=1e-5)


@pytest.mark.slow
def test_a_vit_of_one_block_is_seen_at_its_patches():
    model, images = small(num_layers=1), random_images(2, 4, 9, 3)
    assert grad_cam(model, images, 1).shape == (2, 2, 3)
    same = grad_cam(model, images, 1, layer="patch_encoder")
    np.testing.assert_allclose(grad_cam(model, images, 1), same, atol=1e-6)


@pytest.mark.slow
def test_nested_and_hybrid_vits():
    model, images = small(), random_images(2, 4, 9, 3)
    layers = [keras.Input((4, 9, 3)), keras.layers.RandomFlip(), model, keras.layers.Dense(3)]
    outer = keras.Sequential(layers)
    randomize(outer, scale=0.4)
    assert grad_cam(outer, images, 2).shape == (2, 2, 3)
    hybrid = small(
        model=keras_vit.HybridViT, image_size=(16, 24), patch_size=8, resnet_units=(1, 1)
    )
    images = random_images(1, 16, 24, 3)
    assert grad_cam(hybrid, images, 1).shape == (1, 2, 3)
    assert grad_cam(hybrid, images, 1, layer="stage_1_unit_1").shape == (1, 4, 6)


class Register(keras.layers.Layer):
    """Appends a token to the others."""

    def call(self, x):
        return keras.ops.concatenate([x, x[:, :1]], axis=1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[1] + 1, input_shape[2])


@pytest.mark.slow
def test_a_token_behind_the_patches_is_no_obstacle():
    """The last block's input is the output of the layer before it, which can be named."""
    inputs = keras.Input((8, 8, 3))
    x = keras_vit.PatchEncoder(8)(keras_vit.Patches(4)(inputs))
    x = keras_vit.TransformerBlock(2, 8, name="first")(Register()(x))
    x = keras_vit.TransformerBlock(2, 8, name="last")(x)
    model = randomize(keras.Model(inputs, keras.layers.Dense(3)(x[:, 0])), scale=0.3)
    images = random_images(2, 8, 8, 3)
    maps = grad_cam(model, images, 1)
    assert maps.shape == (2, 2, 2) and maps.any()
    np.testing.assert_allclose(maps, grad_cam(model, images, 1, layer="first"), atol=1e-6)


@pytest.mark.slow
def test_mixed_precision_gives_the_same_map_up_to_its_rounding():
    images = random_images(2, 4, 9, 3)
    exact = grad_cam(small(hidden_dim=48), images, 2)
    found = grad_cam(small(hidden_dim=48, dtype="mixed_bfloat16"), images, 2)
    assert found.dtype == "float32" and np.ptp(exact) > 0.05
    np.testing.assert_allclose(found, exact, atol=0.03)
