"""Linear probes and LoRA: what is trained, what stays, and that merging changes nothing."""

import keras
import numpy as np
import pytest
from helpers import numpy, random_images, randomize, weights

import keras_vit
from keras_vit.training import adaptation
from keras_vit.training.recipes import optimizers

DIM, MLP, LAYERS, CLASSES, RANK = 6, 10, 2, 5, 3


def small(**options):
    arguments = {"image_size": 4, "patch_size": 2, "num_layers": LAYERS, "num_heads": 2}
    arguments |= {"hidden_dim": DIM, "mlp_dim": MLP, "num_classes": CLASSES, **options}
    return randomize(keras_vit.ViT(**arguments), scale=0.3)


def images(count=3, seed=0):
    return random_images(count, 4, 4, 3, seed=seed)


def trained(model):
    """Trains with large steps, so that every trainable weight changes."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizers.SGD(0.1), loss)
    for step in range(2):
        model.train_on_batch(images(4, seed=step), np.arange(4) % CLASSES)
    return model


def moved(before, after):
    return {path for path in before if np.any(before[path] != after[path])}


@pytest.fixture(scope="module")
def lora():
    """A model before LoRA's training, the same after, and logits of both: (weights, model, ...)."""
    model = small()
    adaptation_of = weights(model), numpy(model(images()))
    adaptation.freeze(model, "lora", rank=RANK)
    start = numpy(model(images()))
    before = weights(model)
    return *adaptation_of, start, before, trained(model), numpy(model(images()))


def test_counts_of_every_mode(blank):
    model = small()
    total, head = model.count_params(), (DIM + 1) * CLASSES
    assert adaptation.freeze(model, "linear") == (head, total - head)
    assert adaptation.freeze(model, "full") == (total, 0)
    # A and B of a dense layer from n to m have RANK (n + m) values.
    ends = [(DIM, 3 * DIM), (DIM, DIM), (DIM, MLP), (MLP, DIM)]
    lora = LAYERS * RANK * sum(n + m for n, m in ends)
    assert adaptation.freeze(model, "lora", rank=RANK) == (head + lora, total - head)


def test_a_linear_probe_trains_the_head_alone():
    model = small(dropout=0.5, stochastic_depth=0.5)
    adaptation.freeze(model, "linear")
    before = weights(model)
    assert moved(before, weights(trained(model))) == {"head/kernel", "head/bias"}


@pytest.mark.slow
def test_the_frozen_part_drops_nothing_and_drops_again_when_thawed():
    model = small(dropout=0.5, stochastic_depth=0.5)
    logits = numpy(model(images()))
    adaptation.freeze(model, "linear")
    np.testing.assert_array_equal(numpy(model(images(), training=True)), logits)
    adaptation.freeze(model, "full")
    assert np.abs(numpy(model(images(), training=True)) - logits).max() > 1e-3
    block = model.get_layer("block_1")
    assert (block.attention.drop.rate, block.mlp.drop_2.rate, block.skip_1.rate) == (0.5, 0.5, 0.5)
    assert model.get_layer("block_0").skip_2.rate == 0.0  # stochastic depth grows with depth


def test_lora_starts_as_the_model_was(lora):
    _, logits, start, *_ = lora
    np.testing.assert_array_equal(start, logits)


def test_lora_trains_only_its_own_weights_and_the_head(lora):
    *_, before, model, _ = lora
    expected = {path for path in before if "lora_kernel" in path or path.startswith("head/")}
    assert moved(before, weights(model)) == expected and len(expected) == 2 * 4 * LAYERS + 2


def test_merged_lora_gives_the_same_logits_in_a_plain_model(lora):
    original, first, _, _, model, logits = lora
    assert np.abs(logits - first).max() > 0.01
    merged = adaptation.merge_lora(model)
    assert [weight.path for weight in merged.weights] == list(original)
    assert type(merged) is keras_vit.ViT
    assert len(merged.trainable_weights) == len(original)
    np.testing.assert_allclose(numpy(merged(images())), logits, atol=1e-5, rtol=0)
    path, values = "block_1/mlp/expand/kernel", weights(model)
    a, b = (values[path.replace("kernel", f"lora_kernel_{c}")] for c in "ab")
    assert np.abs(a @ b).max() > 1e-6
    np.testing.assert_allclose(weights(merged)[path], original[path] + a @ b, atol=1e-6)
    np.testing.assert_array_equal(numpy(model(images())), logits)  # the original model is unchanged


def test_a_model_with_lora_is_saved_with_its_changes(lora, tmp_path):
    *_, model, logits = lora
    for name, saved in (("lora", model), ("merged", adaptation.merge_lora(model))):
        saved.save(tmp_path / f"{name}.keras")
        loaded = keras.saving.load_model(tmp_path / f"{name}.keras", compile=False)
        np.testing.assert_allclose(numpy(loaded(images())), logits, atol=1e-5, rtol=0)
        assert not any("lora" in weight.path for weight in loaded.weights)


def test_merging_without_lora_is_a_copy(blank):
    model = small()
    merged = adaptation.merge_lora(model)
    assert merged is not model
    np.testing.assert_equal(weights(merged), weights(model))


@pytest.mark.both
@pytest.mark.slow
def test_lora_computes_in_mixed_precision_and_merges_in_float32():
    model = small(dtype="mixed_bfloat16")
    original = weights(model)
    adaptation.freeze(model, "lora", rank=RANK)
    merged = weights(adaptation.merge_lora(trained(model)))
    values = weights(model)
    kernel = "block_0/attention/projection/kernel"
    a, b = (values[kernel.replace("kernel", f"lora_kernel_{c}")] for c in "ab")
    np.testing.assert_allclose(merged[kernel], original[kernel] + a @ b, atol=1e-6)


@pytest.mark.parametrize(
    "make, arguments, words",
    [
        (small, {"mode": "all"}, "`mode` must be one of 'full', 'linear', 'lora'"),
        (small, {"mode": "lora", "rank": 0}, "`rank` must be a positive integer"),
        (lambda: small(num_classes=None), {"mode": "linear"}, "must have a head to train"),
        (
            lambda: keras_vit.ResNet(units=(1,), image_size=16, num_classes=2),
            {"mode": "lora"},
            "LoRA needs Transformer blocks",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_changed(blank, make, arguments, words):
    model = make()
    with pytest.raises(ValueError, match=words):
        adaptation.freeze(model, **arguments)
    assert len(model.trainable_weights) == len(model.weights)


def test_lora_is_not_put_upon_lora(blank):
    model = small()
    adaptation.freeze(model, "lora")
    for mode in ("lora", "linear", "full"):
        with pytest.raises(ValueError, match="must not have LoRA already"):
            adaptation.freeze(model, mode)
    adaptation.freeze(adaptation.merge_lora(model), "lora")
