"""The objectives as models: their numbers against NumPy, and the behavior of every Keras model."""

import keras
import numpy as np
import paper
import pytest
from helpers import numpy, quick, random_images, randomize, weights
from helpers import wide_vit as two_blocks

import keras_vit
from keras_vit import descendants, pretraining
from keras_vit.ablations.positions import sincos
from keras_vit.data import Batches
from keras_vit.pretraining import masked_patches as mpp
from keras_vit.pretraining import vit_stages as stages
from keras_vit.training.resuming.checkpoint import Checkpoint

IMAGES = random_images(6, 8, 15, 3).round()  # 2 x 3 patches of 4 x 5 pixels


def wide_vit(model=keras_vit.ViT, **options):
    return two_blocks(model, **{"num_layers": 1, **options})


def pixel_vit(model=keras_vit.ViT, **options):
    sizes = {"image_size": (3, 4), "patch_size": 1, "num_layers": 1, "hidden_dim": 8}
    return randomize(model(**{**sizes, "mlp_dim": 8, "num_heads": 2, **options}), scale=0.3)


class UniformAttention(keras_vit.SelfAttention):
    """Every token attends to all others equally."""

    def scores(self, query, key):
        scores = super().scores(query, key)
        return keras.ops.ones_like(scores) / scores.shape[-1]


class UniformBlock(keras_vit.TransformerBlock):
    attention_layer = UniformAttention


class UniformViT(keras_vit.ViT):
    block = UniformBlock


class ParallelBlock(keras_vit.TransformerBlock):
    """Attention and MLP side by side."""

    def call(self, x, training=None):
        return x + self.attention(self.norm_1(x)) + self.mlp(self.norm_2(x))


class ParallelViT(keras_vit.ViT):
    block = ParallelBlock


def mae(encoder=None, **options):
    small = {"decoder_layers": 1, "decoder_dim": 12, "decoder_heads": 3, "mask": 0.5}
    return pretraining.MAE(encoder or wide_vit(), **{**small, **options})


def of_pixels(order="next", **options):
    palette = pretraining.find_palette(IMAGES, colors=7)
    return pretraining.PixelPrediction(pixel_vit(**options), palette, order)


OBJECTIVES = {
    "mean-color": lambda: pretraining.MaskedPatchPrediction(wide_vit()),
    "pixels": lambda: pretraining.MaskedPatchPrediction(wide_vit(pooling="map"), "pixels"),
    "downsized": lambda: pretraining.MaskedPatchPrediction(
        wide_vit(image_size=(8, 12), patch_size=4), "downsized"
    ),
    "mae": mae,
    "simmim": lambda: pretraining.SimMIM(wide_vit(pooling="gap"), mask_unit=1),
    "next pixel": of_pixels,
    "masked pixels": lambda: of_pixels("masked"),
}


def images_of(model, number=6):
    return random_images(number, *model.input_shape[1:]).round()


def compiled(model, optimizer=None):
    on_jax = keras.backend.backend() == "jax"  # otherwise many small operations are compiled
    model.compile(optimizer or keras.optimizers.SGD(0.1), jit_compile=on_jax)
    return model


def pieces(model):
    """Weights and NumPy's halves of the encoder: up to the embeddings, and from z_0 on."""
    w = weights(model.encoder)
    projection = paper.under(w, "patch_encoder/projection")

    def embed(image):
        patches = paper.patches(image.astype("float64") / 127.5 - 1, *model.encoder.patch_size)
        return patches @ projection["kernel"] + projection["bias"]

    def encode(z):
        for i in range(model.encoder.num_layers):
            z = paper.block(z, paper.under(w, f"block_{i}"), model.encoder.num_heads, False)
        return paper.norm(z, w, "encoder_norm")

    return paper.under(w, "patch_encoder"), embed, encode


def solved(model, images=IMAGES):
    """Returns what `solve` hides and predicts with the seed 3, computed as in `predict`."""
    with model.fix_seed(3):
        return model.predict_on_batch(images)


def generator():
    return keras.random.SeedGenerator(3)


def cross_entropy(logits, classes):
    shares = paper.softmax(logits.astype("float64"))
    return -np.log(np.take_along_axis(shares, classes[..., None], axis=-1)[..., 0])


# --- Numbers -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_masked_patch_prediction_equals_a_transcription():
    model = randomize(pretraining.MaskedPatchPrediction(wide_vit()), scale=0.3)
    found = solved(model)
    fate, others = (numpy(x) for x in mpp.draw_corruption(generator(), 6, 6, 3))
    w, embed, encode = pieces(model)
    token, head = numpy(model.mask_token)[0, 0], weights(model.head)
    for i, image in enumerate(IMAGES):
        clean = embed(image)
        x = clean.copy()
        for patch in range(6):
            if fate[i, patch] == mpp.MASK_TOKEN:
                x[patch] = token
            elif fate[i, patch] == mpp.OTHER_PATCH:
                x[patch] = clean[others[i, patch]]
        z = np.concatenate([w["class_token"][0], x]) + w["position_embedding"][0]
        expected = encode(z)[1:] @ head["kernel"] + head["bias"]
        np.testing.assert_allclose(numpy(found["prediction"])[i, :, 0], expected, atol=1e-4)
    np.testing.assert_array_equal(numpy(found["mask"]), fate != mpp.LEFT)


def test_loss_of_masked_patch_prediction_is_of_the_corrupted_patches():
    model = pretraining.MaskedPatchPrediction(wide_vit())
    logits = np.random.default_rng(0).normal(size=(6, 6, 1, 512)).astype("float32")
    mask = np.random.default_rng(1).random((6, 6)) < 0.5
    loss = float(model.compute_loss(IMAGES, y_pred={"prediction": logits, "mask": mask}))
    classes = numpy(model.truth(IMAGES))
    assert loss == pytest.approx(cross_entropy(logits, classes)[mask].mean(), rel=1e-5)


def test_loss_of_16_predictions_is_their_mean():
    model = OBJECTIVES["downsized"]()
    images = images_of(model)
    logits = np.random.default_rng(0).normal(size=(6, 6, 16, 512)).astype("float32")
    mask = np.random.default_rng(1).random((6, 6)) < 0.5
    loss = float(model.compute_loss(images, y_pred={"prediction": logits, "mask": mask}))
    expected = cross_entropy(logits, numpy(model.truth(images)))[mask].mean()
    assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("pooling", "normalize_targets"),
    [("token", True), pytest.param("gap", False, marks=pytest.mark.slow)],
)
def test_mae_equals_a_transcription(pooling, normalize_targets):
    """Order, decoder and loss, patch by patch."""
    model = mae(wide_vit(pooling=pooling), normalize_targets=normalize_targets)
    randomize(model, scale=0.3)
    found = solved(model)
    order = numpy(stages.shuffle(generator(), 6, 6)[0])
    w, embed, encode = pieces(model)
    before = 1 if pooling == "token" else 0
    positions, fixed = w["position_embedding"][0], sincos((2, 3), 12, before)[0]
    errors = []
    for i, image in enumerate(IMAGES):
        x, seen = embed(image), order[i, :3]
        z = [w["class_token"][0, 0] + positions[0]] if before else []
        z = encode(np.stack(z + [x[patch] + positions[before + patch] for patch in seen]))
        z = z @ weights(model.decoder_embed)["kernel"] + weights(model.decoder_embed)["bias"]
        y = list(z[:before]) + [numpy(model.mask_token)[0, 0]] * 6
        for place, patch in enumerate(seen):
            y[before + patch] = z[before + place]
        y = np.stack(y) + fixed
        y = paper.block(y, weights(model.decoder_blocks[0]), 3, False)
        norm, head = weights(model.decoder_norm), weights(model.head)
        y = paper.layer_norm(y, norm["gamma"], norm["beta"])[before:]
        expected = y @ head["kernel"] + head["bias"]
        np.testing.assert_allclose(numpy(found["prediction"])[i], expected, atol=1e-4)
        target = paper.patches(image.astype("float64") / 127.5 - 1, 4, 5)
        if normalize_targets:
            mean, variance = target.mean(1), target.var(1, ddof=1)
            target = (target - mean[:, None]) / np.sqrt(variance + 1e-6)[:, None]
        hidden = [patch for patch in range(6) if patch not in seen]
        assert np.flatnonzero(numpy(found["mask"])[i]).tolist() == hidden
        errors += [((expected - target)[hidden] ** 2).mean()]
    assert float(model.compute_loss(IMAGES, y_pred=found)) == pytest.approx(
        np.mean(errors), rel=1e-4
    )


def test_mae_never_sees_what_it_hides():
    model = randomize(mae(), scale=0.3)
    found = solved(model)
    mask = numpy(found["mask"])
    patches = np.where(mask[..., None], 0, numpy(stages.cut_patches(model.encoder, IMAGES)))
    blanked = pretraining.patch_targets.to_images(patches, (2, 3), (4, 5))
    again = solved(model, blanked)
    np.testing.assert_array_equal(numpy(again["prediction"]), numpy(found["prediction"]))


def test_simmim_equals_a_transcription():
    model = randomize(pretraining.SimMIM(wide_vit(), mask_unit=1), scale=0.3)
    found = solved(model)
    mask = numpy(found["mask"])
    w, embed, encode = pieces(model)
    errors = []
    for i, image in enumerate(IMAGES):
        x = np.where(mask[i][:, None], numpy(model.mask_token)[0], embed(image))
        z = encode(np.concatenate([w["class_token"][0], x]) + w["position_embedding"][0])
        expected = z[1:] @ weights(model.head)["kernel"] + weights(model.head)["bias"]
        np.testing.assert_allclose(numpy(found["prediction"])[i], expected, atol=1e-4)
        target = paper.patches(image.astype("float64") / 127.5 - 1, 4, 5)
        errors.append(np.abs(expected - target)[mask[i]].mean())
    assert mask.sum(axis=1).tolist() == [4] * 6
    assert float(model.compute_loss(IMAGES, y_pred=found)) == pytest.approx(
        np.mean(errors), rel=1e-4
    )


@pytest.mark.parametrize("pooling", quick(["token", "gap"], "token"))
def test_next_pixels_are_predicted_from_those_before(pooling):
    model = randomize(of_pixels(pooling=pooling), scale=0.3)
    images = images_of(model, 2)
    clean = model.predict_on_batch(images)["prediction"]
    for pixel in (0, 5, 11):
        changed = images.reshape(2, 12, 3).copy()
        changed[:, pixel] = 255 - changed[:, pixel]
        moved = model.predict_on_batch(changed.reshape(images.shape))["prediction"]
        difference = np.abs(moved - clean).max(axis=(0, 2))
        first = max(pixel + 1, 0) if pooling == "token" or pixel else 0
        assert (difference[:first] == 0).all()
        assert (difference[max(first, 1) :] > 0).all()


def test_causal_attention_equals_numpy():
    attention = keras_vit.SelfAttention(3)
    x = np.random.default_rng(0).normal(size=(1, 7, 15)).astype("float32")
    attention.build(x.shape)
    w = weights(randomize(attention, scale=0.5))
    found = numpy(pretraining.pixels.attend_causally(attention, x))[0]
    for last in range(7):  # a token is the same as if it were the last one
        expected = paper.msa(x[0, : last + 1].astype("float64"), w, 3)[0][-1]
        np.testing.assert_allclose(found[last], expected, atol=1e-5)


# --- Keras models --------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", quick(OBJECTIVES, "mae", rest=pytest.mark.weekly))
def test_an_objective_trains_saves_and_reconstructs(name, tmp_path):
    model = compiled(OBJECTIVES[name](), keras.optimizers.AdamW(0.01, weight_decay=0.1))
    images = images_of(model)
    before = weights(model)
    unused = {w.path for w in stages.find_unused_weights(model.encoder)}
    seen = []
    see = lambda batch, logs: seen.append(model.reconstruct(images))  # noqa: E731
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=see)
    history = model.fit(images, batch_size=3, verbose=0, callbacks=[callback]).history
    assert list(history) == ["loss"] and np.isfinite(history["loss"]).all()
    after = weights(model)
    assert all(np.any(before[path] != after[path]) for path in before if path not in unused)
    assert all((before[path] == after[path]).all() for path in unused)
    assert np.isfinite(model.evaluate(images, batch_size=3, verbose=0))
    found = model.reconstruct(images)
    assert len(seen) == 2 and found.masked.shape == found.predicted.shape == images.shape
    assert np.array_equal(seen[0].mask, found.mask) and np.any(seen[0].predicted != found.predicted)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again) is type(model) and again.get_config() == model.get_config()
    same = again.reconstruct(images)
    assert all(np.array_equal(x, y) for x, y in zip(found, same, strict=True))
    hidden = found.mask.repeat(model.encoder.patch_size[0], 1).repeat(
        model.encoder.patch_size[1], 2
    )
    assert (found.masked[hidden] == 128).all() and (found.masked != 128)[~hidden].any()
    figure = pretraining.plot_reconstruction(images, found, names=list("abcdef"))
    assert len(figure.axes) == 18


@pytest.mark.parametrize("name", quick(["mean-color", "mae"], "mae"))
def test_what_was_not_hidden_is_the_image(name):
    model = OBJECTIVES[name]()
    found = model.reconstruct(IMAGES, seed=5)
    seen = ~found.mask.repeat(4, 1).repeat(5, 2)
    np.testing.assert_array_equal(found.predicted[seen], IMAGES[seen])
    assert (found.mask != model.reconstruct(IMAGES, seed=6).mask).any()
    np.testing.assert_array_equal(found.mask, model.reconstruct(IMAGES, seed=5).mask)


def test_a_perfect_prediction_is_the_image():
    """The conversion of predictions to pixels is the inverse of that of pixels to targets."""
    for model in (mae(), mae(normalize_targets=False), OBJECTIVES["simmim"]()):
        shown = model.render(numpy(model.truth(IMAGES)), IMAGES)
        whole = numpy(stages.cut_patches(model.encoder, IMAGES))
        np.testing.assert_allclose(numpy(shown), whole, atol=1e-2)
    model = OBJECTIVES["downsized"]()
    images = images_of(model) // 32 * 32 + 16
    logits = np.eye(512)[numpy(model.truth(images))]
    colors = model.render(logits.astype("float32"), images)
    np.testing.assert_array_equal(colors, numpy(stages.cut_patches(model.encoder, images)))


@pytest.mark.slow
def test_labels_are_ignored():
    model, losses, labels = compiled(mae()), [], np.array([7.5, -1, 0, 0, 0, 900])
    head = numpy(model.encoder.get_layer("head").kernel)
    first = model.get_weights()
    for data in (
        {"x": IMAGES},
        {"x": IMAGES, "y": labels},
        {"x": ((IMAGES, labels) for _ in range(1)), "steps_per_epoch": 1},
    ):
        model.set_weights(first)
        with model.fix_seed(3):
            losses += model.fit(**data, shuffle=False, verbose=0).history["loss"]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-6)
    assert any(np.any(a != b) for a, b in zip(first, model.get_weights(), strict=True))
    np.testing.assert_array_equal(numpy(model.encoder.get_layer("head").kernel), head)


@pytest.mark.slow
@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective_comes_back_from_a_file(name, tmp_path, blank):
    model = randomize(OBJECTIVES[name]())
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again) is type(model) and again.get_config() == model.get_config()
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.data is TensorFlow's")
def test_datasets_of_images_and_of_pairs():
    import tensorflow as tf

    model = compiled(mae())
    alone = tf.data.Dataset.from_tensor_slices(IMAGES).batch(4)
    pairs = tf.data.Dataset.from_tensor_slices((IMAGES, np.zeros(6, int))).batch(4)
    for data in (alone, pairs):
        assert np.isfinite(
            model.fit(data, validation_data=data, verbose=0).history["val_loss"]
        ).all()


@pytest.mark.slow
def test_masks_differ_from_batch_to_batch_and_follow_the_seed():
    model, same, other = mae(seed=1), mae(seed=1), mae(seed=2)
    first, second = (numpy(model(IMAGES)["mask"]) for _ in range(2))
    assert (first != second).any()
    np.testing.assert_array_equal(numpy(same(IMAGES)["mask"]), first)
    assert (numpy(other(IMAGES)["mask"]) != first).any()
    state = numpy(model.random.state)
    model.reconstruct(IMAGES)
    np.testing.assert_array_equal(numpy(model.random.state), state)


@pytest.mark.slow
def test_a_run_that_was_interrupted_goes_on_exactly(tmp_path):
    def train(epochs, folder):
        keras.utils.set_random_seed(0)
        model = compiled(OBJECTIVES["mean-color"]())
        data = Batches(IMAGES, np.zeros(6, int), 4, seed=5)
        callbacks = [Checkpoint(folder, data, verbose=0)]
        model.fit(data, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks)
        return [numpy(w) for w in model.weights], numpy(model.random.state)

    whole = train(3, tmp_path / "a")
    train(1, tmp_path / "b")
    parted = train(3, tmp_path / "b")
    assert all((a == b).all() for a, b in zip(whole[0], parted[0], strict=True))
    np.testing.assert_array_equal(whole[1], parted[1])


@pytest.mark.slow
def test_the_encoder_is_trained_in_place_and_makes_a_classifier():
    encoder = wide_vit()
    before = weights(encoder)
    compiled(mae(encoder)).fit(IMAGES, verbose=0)
    after = weights(encoder)
    assert (before["block_0/mlp/expand/kernel"] != after["block_0/mlp/expand/kernel"]).any()
    model = pretraining.build_classifier(encoder, num_classes=2)
    counts = keras_vit.training.freeze(model, "linear")
    assert counts.trainable == 8 * 2 + 2
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(IMAGES, np.array([0, 1, 0, 1, 0, 1]), verbose=0)


@pytest.mark.weekly
def test_targets_are_not_rounded_to_half_precision():
    """Pixels between whole numbers, as after augmentation, and what is predicted of them."""
    images = random_images(2, 8, 15, 3) * 0.999
    models = [
        pretraining.SimMIM(two_blocks(dtype=d), mask_unit=1) for d in ("mixed_bfloat16", None)
    ]
    np.testing.assert_array_equal(*(numpy(model.truth(images)) for model in models))
    found = models[0].reconstruct(images)
    shown = ~np.repeat(np.repeat(found.mask, 4, axis=1), 5, axis=2)
    np.testing.assert_array_equal(found.masked[shown], images[shown].astype("float32"))


def test_mixed_precision():
    for make in (mae, pretraining.MaskedPatchPrediction):
        model = make(wide_vit(dtype="mixed_bfloat16"))
        found = model(IMAGES)
        assert keras.backend.standardize_dtype(found["prediction"].dtype) == "float32"
        assert np.isfinite(compiled(model).fit(IMAGES, verbose=0).history["loss"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", quick(OBJECTIVES, "mae", rest=pytest.mark.weekly))
def test_the_loss_falls(name):
    """It learns 6 images, compiled as Keras does by default."""
    model = OBJECTIVES[name]()
    images = images_of(model)
    model.compile(keras.optimizers.Adam(0.01))
    losses = model.fit(images, epochs=120, verbose=0).history["loss"]
    assert np.mean(losses[-20:]) < 0.9 * np.mean(losses[:20])


# --- Mistakes ------------------------------------------------------------------------------------

FLOATS = IMAGES / 255
MISTAKES = {
    "no ViT": (
        lambda: mae(keras.Sequential()),
        "`encoder` must be a ViT",
        "encoder='Sequential'",
    ),
    "hybrid": (
        lambda: mae(
            keras_vit.HybridViT(
                image_size=32,
                patch_size=16,
                num_layers=1,
                hidden_dim=8,
                mlp_dim=8,
                num_heads=2,
                resnet_units=(1,),
            )
        ),
        "must cut its patches from the image",
        "encoder='HybridViT'",
    ),  # fmt: skip
    "rotary positions": (
        lambda: mae(wide_vit(descendants.DINOv3ViT)),
        "must accept any subset of patches",
        "encoder='DINOv3ViT'",
    ),
    "patches of one number": (
        lambda: mae(pixel_vit(num_channels=1)),
        "A patch must have two numbers or more",
        "num_channels=1",
    ),
    "one patch": (
        lambda: mae(wide_vit(image_size=(4, 5))),
        "There must be at least 2 patches",
        "patches=1",
    ),
    "target": (
        lambda: pretraining.MaskedPatchPrediction(wide_vit(), "color"),
        "`target` must be one of",
        "target='color'",
    ),
    "patch not of 4": (
        lambda: pretraining.MaskedPatchPrediction(wide_vit(), "downsized"),
        "must be divisible by 4",
        "patch_size=(4, 5)",
    ),
    "all hidden": (
        lambda: mae(mask=0.99),
        "leave at least one patch visible",
        "mask=0.99",
    ),
    "no share": (lambda: mae(mask=1), "`mask` must be a fraction below 1", "mask=1"),
    "nothing hidden": (lambda: mae(mask=0), "`mask` must be a finite number above 0", "mask=0"),
    "decoder heads": (
        lambda: mae(decoder_heads=5),
        "must be divisible by `num_heads`",
        "num_heads=5",
    ),
    "decoder positions": (
        lambda: mae(decoder_dim=6, decoder_heads=3),
        "need a length divisible by 4",
        "dim=6",
    ),
    "mask unit": (
        lambda: pretraining.SimMIM(wide_vit()),
        "`mask_unit` must divide the grid",
        "grid=(2, 3)",
    ),
    "patches of pixels": (
        lambda: pretraining.PixelPrediction(wide_vit(), [[0, 0, 0], [1, 1, 1]]),
        "each patch must be one pixel".capitalize(),
        "patch_size=(4, 5)",
    ),
    "palette": (
        lambda: pretraining.PixelPrediction(pixel_vit(), [[0], [1]]),
        "`palette` must be an array",
        "(2, 1)",
    ),
    "attention of another kind": (
        lambda: of_pixels(model=UniformViT),
        "needs the attention of a plain SelfAttention",
        "UniformAttention='overrides scores'",
    ),
    "block of another kind": (
        lambda: of_pixels(model=ParallelViT),
        "needs the attention of a plain TransformerBlock",
        "ParallelBlock='overrides call'",
    ),
    "loss": (
        lambda: compile_with_loss(mae()).fit(IMAGES, verbose=0),
        "objective has its own",
        "loss='mse'",
    ),
    "scaled pixels": (
        lambda: compiled(mae()).fit(FLOATS, verbose=0),
        "must be 0 to 255 for pre-training",
        "highest=1.0",
    ),
    "scaled pixels in a dataset": (
        lambda: compiled(mae()).fit((FLOATS for _ in range(2)), steps_per_epoch=2, verbose=0),
        "must be 0 to 255 for pre-training",
        "highest=1.0",
    ),
    "pixels below 0": (
        lambda: compiled(mae()).evaluate(IMAGES - 128, verbose=0),
        "must be 0 to 255 for pre-training",
        "lowest=-128.0",
    ),
    "size": (
        lambda: compiled(mae()).fit(IMAGES[:, :, :10], verbose=0),
        "images of shape (batch, 8, 15, 3)",
        "(6, 8, 10, 3)",
    ),
    "size of a reconstruction": (
        lambda: mae().reconstruct(IMAGES[0]),
        "images of shape (batch, 8, 15, 3)",
        "(8, 15, 3)",
    ),
    "classifier of another depth": (
        lambda: pretraining.build_classifier(wide_vit(), 2, num_layers=3),
        "must have the layers of the old one",
        "num_layers=3",
    ),
    "reconstruction of others": (
        lambda: pretraining.plot_reconstruction(IMAGES[:2], mae().reconstruct(IMAGES)),
        "There must be a reconstruction for each image",
        "(2, 8, 15, 3)",
    ),
}


def compile_with_loss(model):
    model.compile("adam", loss="mse")
    return model


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_refused(name, blank):
    call, expected, received = MISTAKES[name]
    with pytest.raises(ValueError) as error:
        call()
    assert expected in str(error.value)
    assert received in str(error.value)
    assert "Received: " in str(error.value)
