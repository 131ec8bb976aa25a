"""Figures 3 and 4, Table 5: known and new classes stay separate, conclusions follow from rows."""

import keras
import numpy as np
import pytest
from helpers import quick

import keras_vit
from keras_vit import studies
from keras_vit.studies import dataset_size
from keras_vit.studies.lab import tasks, trials
from keras_vit.studies.lab.paper_numbers import TABLE_5, TABLE_5_TASKS

pytest.importorskip("sklearn")

figure_3 = studies.load("figure-3")
table_5 = studies.load("table-5")
figure_4 = studies.load("figure-4")

STUDIES = (figure_3, figure_4, table_5)
COSTS = {"ViT 4 x 24": 10**5, "ViT 4 x 48": 10**6, "ResNet 1": 10**6}


def rows_of(accuracies, value, noise=0.0, **more):
    """Made-up rows of {model: {images: accuracy}}, two seeds `noise` apart."""
    return [
        {"model": model, "images": size, "seed": seed, value: accuracy + noise * (seed - 1.5)}
        | {"multiply_adds": COSTS[model], **more}
        for seed in (1, 2)
        for model, sizes in accuracies.items()
        for size, accuracy in sizes.items()
    ]


# --- The two halves -------------------------------------------------------------------------------


@pytest.mark.backend_free
@pytest.mark.parametrize("part", ["train", "test"])
def test_halves_are_the_digits_below_and_from_5(part):
    """The ink of a digit does not depend on its place; it must match a digit of the right half."""
    digits = keras_vit.data.digits()
    images, labels = getattr(digits, f"{part}_images"), getattr(digits, f"{part}_labels")
    ink = images.astype(int).sum(axis=(1, 2, 3))
    pairs = {half: set(zip(ink[m], labels[m], strict=True)) for half, m in (
        ("known", labels < 5),
        ("new", labels >= 5),
    )}  # fmt: skip
    for half, border in (("known", 0), ("new", 5)):
        found, classes = tasks.load_half("wandering digits", half, 300, 4, part)
        assert found.shape == (300, 16, 16, 1) and set(classes) == set(range(5))
        sums = found.astype(int).sum(axis=(1, 2, 3))
        assert set(zip(sums, classes + border, strict=True)) <= pairs[half]


@pytest.mark.backend_free
def test_smaller_sets_lie_within_larger():
    few, many = (tasks.load_half("wandering digits", "known", n, 3) for n in (50, 200))
    np.testing.assert_array_equal(many[0][:50], few[0])
    np.testing.assert_array_equal(many[1][:50], few[1])
    other = tasks.load_half("wandering digits", "known", 50, 4)
    assert not np.array_equal(few[0], other[0])
    with pytest.raises(ValueError, match="half"):
        tasks.load_half("wandering digits", "old", 5)


# --- Models and fine-tuning -----------------------------------------------------------------------


@pytest.mark.backend_free
@pytest.mark.parametrize("scale", studies.SCALES)
def test_every_model_is_built_as_its_name_says(scale):
    """Also the models of CIFAR-10, whose images are not needed for it."""
    for name, (_, patch_size, num_heads) in dataset_size.MODELS[scale].items():
        kind, _, numbers = name.partition(" ")
        if kind == "ResNet":
            assert sum(map(int, numbers.split("+"))) in (1, 3, 16) and patch_size == 0
        else:
            layers, length = map(int, numbers.split("x"))
            assert layers >= 4 and length % num_heads == 0


def test_build_reads_the_name_of_a_vit():
    made = trials.build_named("ViT 2 x 8", "wandering digits", 5, 1, 8, 2, "float32")
    same = keras_vit.ViT(16, 8, 2, 8, 16, 2, num_classes=5, num_channels=1)
    assert made.count_params() == same.count_params() and made.num_layers == 2


@pytest.mark.slow
def test_build_reads_the_name_of_a_resnet():
    made = trials.build_named("ResNet 1 + 1", "wandering digits", 5, 1, 0, 0, "float32")
    assert tuple(made.units) == (1, 1) and made.output_shape == (None, 5)


@pytest.mark.slow
def test_vit_of_tiny_costs_what_the_resnet_costs():
    vit = trials.build_named("ViT 4 x 48", "wandering digits", 5, 1, 4, 2, "float32")
    resnet = trials.build_named("ResNet 1", "wandering digits", 5, 1, 0, 0, "float32")
    costs = [keras_vit.accounting.count(model).multiply_adds for model in (vit, resnet)]
    assert max(costs) < 1.05 * min(costs)


@pytest.mark.slow
def test_a_new_head_is_zero_and_the_rest_is_shared():
    model = trials.build_named("ViT 1 x 8", "wandering digits", 5, 1, 8, 2, "float32")
    tuned = trials.replace_head(model, 3)
    images, _ = tasks.load_half("wandering digits", "new", 4)
    np.testing.assert_array_equal(tuned.predict(images, verbose=0), np.zeros((4, 3)))
    assert tuned.weights[0] is model.weights[0]


@pytest.mark.slow
def test_fine_tuning_learns_and_leaves_the_model_as_it_was():
    model = trials.build_named("ResNet 1", "wandering digits", 5, 1, 0, 0, "float32")
    before = [np.array(value) for value in model.get_weights()]
    images, labels = tasks.load_half("wandering digits", "new", 20)
    found = trials.fine_tune(
        model, (images, labels), (images, labels), steps=30, rate=3e-3, batch_size=20, seed=1
    )
    assert found > 0.9  # memorizes 20 images
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.slow
@pytest.mark.parametrize("study", quick(STUDIES, STUDIES[0], rest=pytest.mark.weekly))
def test_a_miniature_runs(study):
    settings = next(s for s in study.runs("tiny") if s["model"].startswith("ViT"))
    settings |= {"model": "ViT 1 x 8", "images": 30, "steps": 2, "batch_size": 8}
    if "labels" in settings:
        settings |= {"labels": 20, "tuning_steps": 2}
    found = study.run(**settings)
    cost = found.pop("multiply_adds")
    assert all(0 <= value <= 1 for value in found.values())
    model = keras_vit.ViT(16, 4, 1, 8, 16, 2, num_classes=5, num_channels=1)
    assert cost == keras_vit.accounting.count(model).multiply_adds
    keras.utils.clear_session()


@pytest.mark.backend_free
def test_tasks_of_table_5():
    images = np.arange(4 * 6, dtype="uint8").reshape(6, 2, 2, 1)
    labels = np.array([4, 3, 2, 1, 0, 0])
    turned, turns = dataset_size.make_task("turned", images, labels)
    assert turns.tolist() == [0, 1, 2, 3, 0, 1]
    assert turned[1].ravel().tolist() == [5, 7, 4, 6]  # 4 5 / 6 7, a quarter against the clock
    negative, same = dataset_size.make_task("negative", images, labels)
    assert negative[0].ravel().tolist() == [255, 254, 253, 252] and same is labels


# --- Conclusions ----------------------------------------------------------------------------------


def few_shot_rows(vit, resnet, noise=0.0):
    sizes = (100, 600, 4000)
    models = {"ViT 4 x 48": vit, "ResNet 1": resnet}
    found = {model: dict(zip(sizes, v, strict=True)) for model, v in models.items()}
    return rows_of(found, "few_shot", noise, pixels=0.25, known_accuracy=0.9)


@pytest.mark.backend_free
def test_figure_4_says_who_leads_and_who_overtakes():
    said = figure_4.conclusion(few_shot_rows((0.3, 0.5, 0.7), (0.4, 0.45, 0.5)))
    assert "after 100 images ResNet 1 leads with 40.0" in said
    assert "after 4,000 images ViT 4 x 48 leads with 70.0" in said
    assert "ViT 4 x 48 +40.0 (+40.0 to +40.0), ResNet 1 +10.0 (+10.0 to +10.0); inst" in said
    assert "instead of 600: ViT 4 x 48 +20.0, ResNet 1 +5.0 points" in said
    assert "ahead of the ResNet from 600 images on" in said and "pixels give 25.0" in said
    assert "unclear" not in said
    said = figure_4.conclusion(few_shot_rows((0.3, 0.5, 0.45), (0.4, 0.45, 0.5)))
    assert "No ViT is ahead of the ResNet after the largest set" in said
    said = figure_4.conclusion(few_shot_rows((0.5, 0.5, 0.6), (0.4, 0.45, 0.5)))
    assert "at all sizes" in said
    said = figure_4.conclusion(few_shot_rows((0.3, 0.5, 0.6), (0.4, 0.45, 0.5), noise=0.3))
    assert said.count("% (unclear)") == 2
    rows = few_shot_rows((0.3, 0.5, 0.4), (0.4, 0.45, 0.6))
    rows[2]["few_shot"] += 0.2  # this seed gains 30 points, the other 10, the ResNet 20
    said = figure_4.conclusion(rows)
    assert "(which gains most is unclear)" in said


def tuned_rows(small, large, noise=0.0):
    sizes = (250, 25_000)
    models = {"ViT 4 x 24": small, "ViT 4 x 48": large, "ResNet 1": (0.6, 0.6)}
    found = {model: dict(zip(sizes, v, strict=True)) for model, v in models.items()}
    return rows_of(found, "accuracy", noise)


@pytest.mark.backend_free
def test_figure_3_says_when_the_larger_wins():
    said = figure_3.conclusion(tuned_rows((0.5, 0.6), (0.4, 0.8)))
    assert "-10.0 points after 250 images; +20.0 points after 25,000 images. " in said
    assert "Its lead grows" in said and "best ViT reaches 80.0 (80.0 to 80.0) %" in said
    assert "Its lead shrinks" in figure_3.conclusion(tuned_rows((0.5, 0.6), (0.9, 0.5)))
    said = figure_3.conclusion(tuned_rows((0.5, 0.6), (0.51, 0.61), noise=0.1))
    assert said.count("points (unclear)") == 2 and "grows with the set is unclear" in said


def task_rows(start, end, noise=0.0):
    rows = rows_of({"ViT 4 x 24": {0: 0.2, 250: start, 2500: 0.5, 25_000: end}}, "new", noise)
    return [{**row, "negative": row["new"], "turned": 0.3} for row in rows]


@pytest.mark.backend_free
def test_table_5_says_what_each_task_gains():
    said = table_5.conclusion(task_rows(0.4, 0.6))
    assert "from scratch to 25,000 images" in said and "In 2 of 3 tasks" in said
    assert "new classes 20.0 (20.0 to 20.0) to 60.0 (60.0 to 60.0) %;" in said
    assert "quarter turns 30.0 (30.0 to 30.0) to 30.0 (30.0 to 30.0) % (unclear)" in said
    said = table_5.conclusion(task_rows(0.6, 0.4))
    assert "In 0 of 3 tasks" in said and "behind scratch in 0 of 3" in said
    assert "behind scratch in 2 of 3" in table_5.conclusion(task_rows(0.1, 0.4))


@pytest.mark.backend_free
def test_figure_4_draws_means_and_the_floor():
    panels = figure_4.plot(few_shot_rows((0.3, 0.5, 0.7), (0.4, 0.45, 0.5), noise=0.1)).axes
    line = panels[0].containers[0].lines[0]
    np.testing.assert_allclose(line.get_xdata(orig=False), [100, 600, 4000])
    np.testing.assert_allclose(line.get_ydata(orig=False), [30, 50, 70])
    labels = [text.get_text() for text in panels[1].get_legend().get_texts()]
    assert labels == ["pixels", "ViT 4 x 48 (1.0M)", "ResNet 1 (1.0M)"]


@pytest.mark.backend_free
def test_papers_table_5_is_whole():
    assert len(TABLE_5) == 14 and all(len(row) == len(TABLE_5_TASKS) for row in TABLE_5.values())
    assert TABLE_5["JFT-300M", "H/14"] == (99.50, 94.55, 88.04, 90.33, 99.68, 97.56)
