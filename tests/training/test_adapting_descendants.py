"""Fine-tuning of later families: frozen weights, the reach of LoRA, the rate of each layer."""

import keras
import numpy as np
import pytest
from helpers import outputs, random_images, weights, wide_vit

import keras_vit
from keras_vit import backend, descendants, explain, training
from keras_vit.training.recipes import optimizers

KINDS = {
    "registers": (descendants.RegisterViT, {"pooling": "token and mean"}),
    "rotary": (descendants.DINOv3ViT, {"gated": True}),
    "clip": (descendants.CLIPViT, {"projection_dim": 6}),
    "attention pooling": (keras_vit.ViT, {"pooling": "map"}),
}


@pytest.mark.parametrize("name", KINDS)
def test_rates_fall_from_the_head_to_the_tokens(name, blank):
    kind, options = KINDS[name]
    paths = [weight.path for weight in wide_vit(kind, **options).weights]
    rates = dict(zip(paths, optimizers.layer_rates(paths, 0.5), strict=True))
    by_layer = {path.split("/")[0]: rate for path, rate in rates.items()}
    expected = {"patch_encoder": 0.125, "block_0": 0.25, "block_1": 0.5}
    expected |= {"encoder_norm": 1.0, "head": 1.0}
    expected |= {"embedding_norm": 0.125, "projection": 1.0} if name == "clip" else {}
    expected |= {"pooling": 1.0} if name == "attention pooling" else {}
    assert by_layer == expected
    assert rates["patch_encoder/projection/kernel"] == 0.125
    assert rates["block_1/attention/projection/kernel"] == rates["block_1/norm_1/gamma"] == 0.5
    nested = optimizers.layer_rates([f"model/{path}" for path in paths], 0.5)
    assert nested == tuple(rates.values())


@pytest.mark.parametrize("name", ["rotary", "clip"])
def test_lora_reaches_attention_and_mlp(name, blank):
    kind, options = KINDS[name]
    model = wide_vit(kind, **options)
    training.freeze(model, "lora", rank=2)
    shapes = {w.path: tuple(w.shape) for w in model.trainable_weights}
    wide = 16 if name == "rotary" else 8  # gate and value
    for block in ("block_0", "block_1"):
        assert shapes.pop(f"{block}/attention/query_key_value/lora_kernel_b") == (2, 24)
        assert shapes.pop(f"{block}/attention/projection/lora_kernel_b") == (2, 8)
        assert shapes.pop(f"{block}/mlp/expand/lora_kernel_b") == (2, wide)
        assert shapes.pop(f"{block}/mlp/contract/lora_kernel_b") == (2, 8)
    rest = {path for path in shapes if not path.endswith("lora_kernel_a")}
    assert rest == {"head/kernel", "head/bias"} and len(shapes) == 2 + 8


@pytest.mark.slow
@pytest.mark.parametrize("name", ["registers", "rotary"])
def test_a_model_is_tuned_in_every_way_and_used(name, tmp_path):
    kind, options = KINDS[name]
    model = wide_vit(kind, num_layers=1, **options)
    images, labels = random_images(4, 8, 15, 3), np.arange(4) % 3
    for mode in ("linear", "lora", "full"):
        if mode == "full":
            logits = outputs(model, images)
            model = training.merge_lora(model)
            np.testing.assert_allclose(outputs(model, images), logits, atol=1e-4)
        training.freeze(model, mode, rank=2)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizers.SGD(0.1, layer_decay=0.8 if mode == "full" else 1.0), loss)
        before = weights(model)
        for _ in range(2):
            model.train_on_batch(images, labels)
        moved = {path for path, value in weights(model).items() if np.any(value != before[path])}
        assert moved == {weight.path for weight in model.trainable_weights}, mode
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    logits = outputs(model, images)
    np.testing.assert_array_equal(outputs(again, images), logits)
    assert explain.attention_rollout(again, images).shape == (4, 2, 3)
    if keras.backend.backend() == "jax" and all(map(backend.is_installed, ONNX)):
        import onnxruntime

        again(images)
        again.export(tmp_path / "model.onnx", format="onnx", verbose=False)
        session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
        [pixels] = session.get_inputs()
        np.testing.assert_allclose(session.run(None, {pixels.name: images})[0], logits, atol=1e-4)


ONNX = ("jax2onnx", "onnxruntime")
