"""Recipes: the published tables, their scaling, and the arguments of `compile` and `fit`."""

import itertools
import types

import keras
import numpy as np
import pytest
from helpers import numpy, random_images

import keras_vit
from keras_vit.training.recipes import losses, optimizers, paper_tables, recipe_tables
from keras_vit.training.recipes.recipe_tables import recipe

# Table 3 of arXiv 2010.11929, read from the paper: models, set, epochs, rate, decay, weight decay,
# dropout
TABLE_3 = """
ViT-B/{16,32}      | JFT-300M     | 7      | 8e-4 | linear | 0.1  | 0.0
ViT-L/32           | JFT-300M     | 7      | 6e-4 | linear | 0.1  | 0.0
ViT-L/16           | JFT-300M     | 7/14   | 4e-4 | linear | 0.1  | 0.0
ViT-H/14           | JFT-300M     | 14     | 3e-4 | linear | 0.1  | 0.0
R50x{1,2}          | JFT-300M     | 7      | 1e-3 | linear | 0.1  | 0.0
R101x1             | JFT-300M     | 7      | 8e-4 | linear | 0.1  | 0.0
R152x{1,2}         | JFT-300M     | 7      | 6e-4 | linear | 0.1  | 0.0
R50+ViT-B/{16,32}  | JFT-300M     | 7      | 8e-4 | linear | 0.1  | 0.0
R50+ViT-L/32       | JFT-300M     | 7      | 2e-4 | linear | 0.1  | 0.0
R50+ViT-L/16       | JFT-300M     | 7/14   | 4e-4 | linear | 0.1  | 0.0
ViT-B/{16,32}      | ImageNet-21k | 90     | 1e-3 | linear | 0.03 | 0.1
ViT-L/{16,32}      | ImageNet-21k | 30/90  | 1e-3 | linear | 0.03 | 0.1
ViT-*              | ImageNet     | 300    | 3e-3 | cosine | 0.3  | 0.1
"""
# Table 4: set, steps, rates
TABLE_4 = """
ImageNet           | 20000 | 0.003 0.01 0.03 0.06
CIFAR-100          | 10000 | 0.001 0.003 0.01 0.03
CIFAR-10           | 10000 | 0.001 0.003 0.01 0.03
Oxford-IIIT Pets   | 500   | 0.001 0.003 0.01 0.03
Oxford Flowers-102 | 500   | 0.001 0.003 0.01 0.03
VTAB               | 2500  | 0.01
"""
# The rate that the official code's README gives for fine-tuning each of AugReg's models
AUGREG = {
    "ViT-L/16": "strong1 0.1 0.0 0.0 0.01",
    "ViT-B/16": "medium1 0.1 0.0 0.0 0.03",
    "ViT-S/16": "light1 0.03 0.0 0.0 0.03",
    "R50+ViT-L/32": "medium1 0.1 0.1 0.1 0.01",
    "R26+ViT-S/32": "light1 0.1 0.0 0.0 0.01",
    "ViT-Ti/16": "none 0.03 0.0 0.0 0.03",
    "ViT-B/32": "light1 0.1 0.0 0.0 0.01",
    "ViT-S/32": "none 0.1 0.0 0.0 0.01",
    "R+ViT-Ti/16": "none 0.03 0.0 0.0 0.03",
}


def describe_data(images, num_classes, batch_size=64):
    batch_size = min(batch_size, images)
    steps = -(-images // batch_size)
    counts = {"train": images}
    return types.SimpleNamespace(counts=counts, batch_size=batch_size, steps_per_epoch=steps)


PETS = describe_data(images=259, num_classes=37, batch_size=32)
IMAGENET = describe_data(images=1_281_167, num_classes=1000, batch_size=4096)


def plan(made):
    return made.epochs, made.updates, made.warmup, made.batch, made.learning_rate


def lines(table):
    return [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]


def models(text):
    """ViT-B/{16,32} becomes ("ViT-B/16", "ViT-B/32")."""
    if "{" not in text:
        return (text,)
    stem, ends = text.rstrip("}").split("{")
    return tuple(stem + end for end in ends.split(","))


@pytest.mark.backend_free
def test_table_3_is_complete():
    expected = [
        (models(row[0]), row[1], tuple(map(int, row[2].split("/"))), float(row[3]), row[4])
        + (float(row[5]), float(row[6]))
        for row in lines(TABLE_3)
    ]
    assert [tuple(row) for row in paper_tables.PRE_TRAINING] == expected
    assert (paper_tables.PRE_TRAINING_BATCH, paper_tables.PRE_TRAINING_WARMUP) == (4096, 10_000)
    assert paper_tables.ADAM == {"beta_1": 0.9, "beta_2": 0.999}
    assert (paper_tables.CLIP_ON_IMAGENET, paper_tables.PRE_TRAINING_SIZE) == (1.0, 224)


@pytest.mark.backend_free
def test_table_4_is_complete():
    expected = [(row[0], int(row[1]), tuple(map(float, row[2].split()))) for row in lines(TABLE_4)]
    assert [tuple(row) for row in paper_tables.FINE_TUNING] == expected
    assert (paper_tables.FINE_TUNING_BATCH, paper_tables.FINE_TUNING_SIZE) == (512, 384)
    assert (paper_tables.MOMENTUM, paper_tables.CLIP, paper_tables.POLYAK) == (0.9, 1.0, 0.9999)


@pytest.mark.backend_free
def test_augreg_is_complete():
    found = {name: " ".join(map(str, row)) for name, row in paper_tables.AUGREG_RECOMMENDED.items()}
    assert found == AUGREG


def test_deit_and_the_plain_vit_are_as_published():
    deit = recipe("deit", describe_data(1_281_167, 1000, batch_size=1024))
    assert deit.learning_rate == pytest.approx(5e-4 * 1024 / 512)
    assert (deit.epochs, deit.weight_decay, deit.label_smoothing) == (300, 0.05, 0.1)
    assert (deit.stochastic_depth, deit.moving_average) == (0.1, 0.99996)
    assert deit.warmup == 5 * -(-1_281_167 // 1024)
    rate = deit.schedule()
    assert float(rate(0)) == pytest.approx(1e-6) and float(rate(10**7)) == pytest.approx(1e-5)
    assert deit.augmentation == "deit"

    revenge = recipe("deit3", describe_data(1_281_167, 1000, batch_size=2048))
    assert plan(revenge) == (800, 800 * 626, 5 * 626, 2048, 4e-3)
    optimizer = revenge.make_optimizer()
    assert isinstance(optimizer, optimizers.Lamb) and optimizer.weight_decay == 0.05
    assert isinstance(revenge.compile_arguments["loss"], losses.BinaryCrossEntropy)
    assert (revenge.stochastic_depth, revenge.augmentation) == (0.05, "deit3")

    plain = recipe("vit-s16", describe_data(1_281_167, 1000, batch_size=1024))
    assert plan(plain)[1:] == (90 * 1252, 10_000, 1024, 1e-3)
    assert (plain.weight_decay, plain.clip) == (0.1, 1.0)
    assert plain.model_arguments == {"pooling": "gap", "representation_size": 384}
    assert plain.augmentation == "light2"


def test_beit_and_mae_are_fine_tuned_as_published():
    data = describe_data(1_281_167, 1000, batch_size=1024)
    for name, warmup, rate in (("beit-finetune", 20, 4e-3), ("mae-finetune", 5, 2e-3)):
        made = recipe(name, data)
        assert plan(made) == (100, 100 * 1252, warmup * 1252, 1024, rate)
        assert (made.layer_decay, made.label_smoothing, made.stochastic_depth) == (0.65, 0.1, 0.1)
        optimizer = made.make_optimizer()
        assert isinstance(optimizer, optimizers.AdamW) and optimizer.weight_decay == 0.05
        assert (optimizer.beta_1, optimizer.beta_2, optimizer.global_clipnorm) == (0.9, 0.999, None)
        augmentation = keras_vit.data.AUGMENTATIONS[made.augmentation]
        found = augmentation.randaugment, augmentation.mixup, augmentation.cutmix
        assert (*found, augmentation.erasing) == ((2, 9), 0.8, 1.0, 0.25)
    quarter = recipe("mae-finetune", describe_data(1_281_167, 1000, batch_size=256))
    assert quarter.learning_rate == pytest.approx(5e-4)  # 5e-4 batch / 256


def test_the_linear_probe_of_dinov2_sees_as_many_images():
    published = recipe("dinov2-linear", describe_data(1_281_167, 1000, batch_size=1024))
    assert plan(published)[1:] == (10 * 1252, 0, 1024, 0.04)  # 10 epochs of 1,250 batches
    small = recipe("dinov2-linear", describe_data(1_281_167, 1000, batch_size=128))
    assert (small.epochs, small.learning_rate, small.adapt) == (10, 0.01 * 128 / 256, "linear")


def test_pre_training_on_imagenet_is_table_3():
    made = recipe("paper-imagenet", IMAGENET)
    steps = 300 * 313  # 313 batches of 4096 are an epoch
    assert plan(made) == (300, steps, 10_000, 4096, 3e-3)
    rate = made.schedule()
    found = [float(rate(step)) for step in (5_000, 10_000, (10_000 + steps) // 2, steps)]
    np.testing.assert_allclose(found, [1.5e-3, 3e-3, 1.5e-3, 0.0], rtol=1e-4, atol=1e-8)
    optimizer = made.compile_arguments["optimizer"]
    assert (optimizer.beta_1, optimizer.beta_2, optimizer.weight_decay) == (0.9, 0.999, 0.3)
    assert optimizer.global_clipnorm == 1.0
    assert made.model_arguments == {"dropout": 0.1, "representation_size": 768}


def test_pre_training_on_larger_sets_is_table_3():
    made = recipe("paper-imagenet21k", IMAGENET, model="ViT-L/16")
    assert (made.epochs, made.weight_decay) == (90, 0.03)
    assert float(made.schedule()(10**7)) == pytest.approx(1e-5)
    loss = made.compile_arguments["loss"]
    assert isinstance(loss, losses.SigmoidCrossEntropy)
    assert "head_bias" not in made.model_arguments and made.head_bias == -10.0
    assert made.compile_arguments["optimizer"].global_clipnorm is None
    resnet = recipe("paper-jft", IMAGENET, model="R152x2")
    assert resnet.learning_rate == 6e-4
    assert resnet.model_arguments == {}  # a ResNet has no dropout and no tokens
    assert resnet.head_bias == -10.0


@pytest.mark.parametrize("make", [keras_vit.ViT, keras_vit.ResNet])
def test_a_recipe_sets_the_first_bias_of_the_head(make):
    sizes = {"num_layers": 1, "hidden_dim": 6, "mlp_dim": 5, "num_heads": 3, "patch_size": 4}
    sizes = sizes if make is keras_vit.ViT else {"units": (1,)}
    images = np.zeros((2, 8, 8, 3), "float32")
    for name, bias in (("paper-jft", -10.0), ("paper-finetune-pets", 0.0)):
        model = make(image_size=8, num_classes=3, **sizes)
        recipe(name, IMAGENET).initialize(model)
        logits = keras.ops.convert_to_numpy(model(images))
        np.testing.assert_array_equal(logits, np.full((2, 3), bias))


def test_fine_tuning_as_published_is_table_4():
    data = describe_data(images=3312, num_classes=37, batch_size=512)
    made = recipe("paper-finetune-pets", data)
    assert made.epochs == 78  # 500 steps of 512 are 77.3 times 3312 images
    assert made.learning_rate == 0.01
    assert made.warmup == 78 * 7 // 5  # the official 500 would be the whole training
    optimizer = made.make_optimizer()
    assert (optimizer.momentum, optimizer.weight_decay, optimizer.global_clipnorm) == (0.9, 0, 1)
    assert made.image_size == 384


@pytest.mark.backend_free
@pytest.mark.parametrize(
    "overrides, batch, expected",
    [
        ({}, 512, 0.03),
        ({}, 32, 0.03 / 4),  # by the root of 512 / 32 = 16
        ({"scaling": "linear"}, 32, 0.03 / 16),
        ({"accumulate": 4}, 32, 0.03 / 2),
        ({"learning_rate": 0.02}, 32, 0.02),  # as it is given
        ({"learning_rate": 0.02, "reference_batch": 128}, 32, 0.01),
    ],
)
def test_the_learning_rate_follows_the_batch(overrides, batch, expected):
    data = describe_data(images=5000, num_classes=37, batch_size=batch)
    made = recipe("finetune", data, **overrides)
    assert made.learning_rate == pytest.approx(expected)


@pytest.mark.backend_free
def test_small_datasets_get_just_enough_epochs():
    def epochs(images, **overrides):
        data = describe_data(images, 2, batch_size=32)
        return recipe("finetune", data, **overrides).epochs

    assert epochs(10_000) == 10
    assert epochs(259) == 12  # 9 updates in each: 108 in all
    assert epochs(20) == 100  # one update in each
    assert epochs(259, accumulate=9) == 100  # one update in each again
    assert epochs(20, epochs=7) == 7  # as it is given


@pytest.mark.backend_free
def test_a_training_without_an_update_is_refused():
    data = describe_data(images=20, num_classes=2, batch_size=10)
    assert recipe("cifar", data, epochs=3, accumulate=6).updates == 1
    with pytest.raises(ValueError, match="accumulate=7, epochs=3, batches=6. Use accumulate=2"):
        recipe("cifar", data, epochs=3, accumulate=7)


@pytest.mark.backend_free
@pytest.mark.parametrize("name", recipe_tables.names())
def test_every_recipe_fits_every_size(name):
    sizes = [(1, 1), (5, 4), (64, 64), (1000, 8)]
    for (images, batch), accumulate in itertools.product(sizes, (1, 7)):
        data = describe_data(images, num_classes=2, batch_size=batch)
        made = recipe(name, data, accumulate=accumulate)
        assert made.updates >= 1 and 0 <= made.warmup < made.updates
        assert made.updates == made.epochs * data.steps_per_epoch // accumulate
        assert 0 < made.learning_rate < 1


def test_the_small_recipes_stay_what_was_measured():
    for name, epochs, rate in (("digits", 50, 2e-3), ("folder", 40, 1e-3)):
        made = recipe(name, describe_data(1437, 10))
        optimizer = made.compile_arguments["optimizer"]
        assert isinstance(optimizer, optimizers.AdamW)
        assert (optimizer.weight_decay, optimizer.decayed) == (0.05, "")
        assert plan(made) == (epochs, epochs * 23, round(0.1 * epochs * 23), 64, rate)
        assert made.model_arguments["normalize"] == (75.0, 4000.0)


def test_what_fit_gets():
    plain = recipe("finetune", PETS).fit_arguments
    assert plain == {"epochs": 12, "shuffle": False, "callbacks": []}
    averaged = recipe("finetune", PETS, moving_average=0.9999, accumulate=2)
    assert [type(c).__name__ for c in averaged.fit_arguments["callbacks"]] == ["SwapEMAWeights"]
    optimizer = averaged.make_optimizer()
    assert optimizer.use_ema and optimizer.ema_momentum**2 == pytest.approx(0.9999)
    assert optimizer.gradient_accumulation_steps == 2
    # Keras counts batches: batch 5 belongs to update 2
    assert float(averaged.schedule()(5)) == float(averaged.schedule()(4))


@pytest.mark.backend_free
def test_a_recipe_prints_its_settings():
    text = str(recipe("finetune", PETS, layer_decay=0.75))
    assert "Table 4" in text and "259 in batches of 32" in text
    assert "12 epochs, 108 updates, warm-up 11" in text
    assert "0.0075 (0.03 for batches of 512, scaled by the square root to 32); cosine decay" in text
    assert "SGD, momentum 0.9, gradients clipped to norm 1, learning rate times 0.75" in text
    assert "low-rank" in str(recipe("lora", PETS))
    assert "Load the data with resize='crop', augment='gentle'." in text


@pytest.mark.backend_free
def test_other_names_are_the_same_recipes():
    for alias, name in recipe_tables.ALIASES.items():
        assert recipe(alias) == recipe(name)


@pytest.mark.backend_free
def test_augmentations_are_known_to_the_data():
    names = keras_vit.data.AUGMENTATIONS
    for name in recipe_tables.names():
        augment = recipe(name).augmentation
        assert augment in names or isinstance(augment, keras_vit.data.Augmentation)


@pytest.mark.backend_free
def test_augmentations_are_the_published_levels():
    """RandAugment's layers and magnitude, and Mixup's alpha; DeiT's and light2's as published."""
    presets = keras_vit.data.AUGMENTATIONS
    names = "inception light1 light2 medium1 medium2 strong1 strong2".split()
    magnitudes = [None, (2, 0), (2, 10), (2, 15), (2, 15), (2, 20), (2, 20)]
    assert [presets[name].randaugment for name in names] == magnitudes
    assert [presets[name].mixup for name in names] == [0.0, 0.0, 0.2, 0.2, 0.5, 0.5, 0.8]
    deit = presets["deit"]
    assert (deit.randaugment, deit.mixup, deit.cutmix, deit.erasing) == ((2, 9), 0.8, 1.0, 0.25)


@pytest.mark.backend_free
@pytest.mark.parametrize(
    "name, overrides, words",
    [
        ("fintune", {}, "Did you mean 'finetune'?"),
        ("finetune", {"learning_rat": 1.0}, "Did you mean 'learning_rate'?"),
        ("finetune", {"learning_rate": -1}, "`learning_rate` must be a finite number above 0"),
        ("finetune", {"decay": "step"}, "`decay` must be one of"),
        ("finetune", {"weight_decay": -0.1}, "`weight_decay` must be at least 0"),
        ("finetune", {"layer_decay": 2.0}, "`layer_decay` must be at most 1"),
        ("finetune", {"moving_average": 1.5}, "`moving_average` must be"),
        ("lora", {"scaling": "linear"}, "`reference_batch` is needed to scale"),
        ("paper-jft", {"model": "ViT-S/16"}, "`model` must be one of Table 3 on JFT-300M"),
        ("augreg", {"model": "ViT-H/14"}, "The name of a model was expected"),
        ("cifar", {"model": "R50x1"}, "must be a Vision Transformer"),
    ],
)
def test_what_cannot_be_used_is_refused(name, overrides, words):
    with pytest.raises(ValueError, match=words):
        recipe(name, **overrides)


def log_softmax(logits):
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def test_losses_are_those_of_numpy_for_both_kinds_of_labels():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4, 3)) * 3
    classes, mixed = np.array([2, 0, 1, 1]), rng.dirichlet(np.ones(3), 4)
    for labels, shares in ((classes, np.eye(3)[classes]), (mixed, mixed)):
        smooth = shares * 0.9 + 0.1 / 3
        softmax = -(smooth * log_softmax(logits)).sum(axis=1).mean()
        p = 1 / (1 + np.exp(-logits))
        sigmoid = -(shares * np.log(p) + (1 - shares) * np.log(1 - p)).sum(axis=1).mean()
        given = labels.astype("float32"), logits.astype("float32")
        assert float(losses.SoftmaxCrossEntropy(0.1)(*given)) == pytest.approx(softmax, rel=1e-5)
        assert float(losses.SigmoidCrossEntropy()(*given)) == pytest.approx(sigmoid, rel=1e-5)
        present = shares > 0
        binary = -np.where(present, np.log(p), np.log(1 - p)).mean()
        assert float(losses.BinaryCrossEntropy()(*given)) == pytest.approx(binary, rel=1e-5)
        hits = numpy(losses.accuracy(*given))
        np.testing.assert_array_equal(hits, shares.argmax(axis=1) == logits.argmax(axis=1))
    column = classes[:, None], logits.astype("float32")  # as in `keras.datasets.cifar10`
    expected = -log_softmax(logits)[np.arange(4), classes].mean()
    assert float(losses.SoftmaxCrossEntropy()(*column)) == pytest.approx(expected, rel=1e-5)
    hits = numpy(losses.accuracy(*column))
    np.testing.assert_array_equal(hits, classes == logits.argmax(axis=1))


class Mixed(keras.utils.PyDataset):
    """Eight images of two colors, mixed: labels are shares."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        images = random_images(4, 8, 8, 3, seed=index)
        return images, np.array([[1, 0], [0.75, 0.25], [0, 1], [0.5, 0.5]], "float32")


@pytest.mark.slow
def test_a_recipe_trains_on_shares_and_validates_on_classes(tmp_path):
    """Trains with `recipe` and `fit` with everything enabled; the result can be saved."""
    data = describe_data(images=8, num_classes=2, batch_size=4)
    made = recipe(
        "finetune", data, epochs=2, moving_average=0.5, accumulate=2, layer_decay=0.7,
        label_smoothing=0.1, weight_decay=0.01,
    )  # fmt: skip
    model = keras_vit.ViT(8, 4, 1, 4, 6, 2, num_classes=2, **made.model_arguments)
    model.compile(**made.compile_arguments)
    validation = random_images(3, 8, 8, 3), np.array([0, 1, 1])
    history = model.fit(Mixed(), validation_data=validation, verbose=0, **made.fit_arguments)
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert np.isfinite(history.history["loss"]).all()
    expected = (numpy(model(validation[0])).argmax(axis=1) == validation[1]).mean()
    loss, hits = model.evaluate(*validation, verbose=0)
    assert hits == pytest.approx(expected)
    # `fit` ends with the averages in the model; the last validation was of them already.
    assert loss == pytest.approx(history.history["val_loss"][-1], rel=1e-5)
    model.save(tmp_path / "model.keras")  # the optimizer's own arrays are still there


@pytest.mark.backend_free
def test_the_plan_counts_updates_of_several_batches():
    data = describe_data(images=320, num_classes=2, batch_size=32)
    found = recipe("finetune", data, epochs=10, accumulate=4)
    assert (found.updates, found.batch, found.warmup) == (25, 128, 2)
