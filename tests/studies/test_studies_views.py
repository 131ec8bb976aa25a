"""Figures 2, 10 and 11, Table 9: small tasks are as described, and conclusions follow from rows."""

import functools

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit import studies
from keras_vit.data.tfds import paper_datasets
from keras_vit.studies import attended_area, few_labels, position_kinds
from keras_vit.studies.lab import seeds, tasks, trials
from keras_vit.studies.lab.paper_numbers import TABLE_9, TABLE_9_TASKS

pytest.importorskip("sklearn")

figure_10 = studies.load("figure-10")
figure_2 = studies.load("figure-2")
table_9 = studies.load("table-9")
figure_11 = studies.load("figure-11")


# --- Figure 10: positions -------------------------------------------------------------------------


def maps_of(embeddings):
    """Similarity maps of embeddings (rows, columns, D), each scaled to length 1."""
    unit = embeddings / np.linalg.norm(embeddings, axis=-1, keepdims=True)
    return np.einsum("rcd,pqd->rcpq", unit, unit)


@pytest.mark.backend_free
def test_row_and_column_share_is_that_of_an_analysis_of_variance():
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(4, 6, 5))
    unit = embeddings / np.linalg.norm(embeddings, axis=-1, keepdims=True)
    centered = unit - unit.mean((0, 1))
    fitted = centered.mean(1, keepdims=True) + centered.mean(0, keepdims=True)
    share = (fitted**2).sum() / (centered**2).sum()
    assert position_kinds.row_column(maps_of(embeddings)) == pytest.approx(share)
    # Row parts and column parts in different coordinates, each of length 1: nothing else is there.
    parts = [rng.normal(size=(n, 5)) for n in (4, 6)]
    rows, columns = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in parts)
    both = np.concatenate(np.broadcast_arrays(rows[:, None], columns[None]), axis=-1)
    assert position_kinds.row_column(maps_of(both)) == pytest.approx(1)
    # No two alike: 7 + 7 of 63 degrees of freedom
    assert position_kinds.row_column(np.eye(64).reshape(8, 8, 8, 8)) == pytest.approx(14 / 63)


@pytest.mark.backend_free
def test_nearness_is_the_rank_correlation_with_distance():
    stats = pytest.importorskip("scipy.stats")
    maps = maps_of(np.random.default_rng(1).normal(size=(3, 4, 5)))
    similar, apart = [], []
    for a in range(12):
        for b in range(a + 1, 12):
            (r, c), (p, q) = divmod(a, 4), divmod(b, 4)
            similar.append(maps[r, c, p, q])
            apart.append((r - p) ** 2 + (c - q) ** 2)
    expected = -stats.spearmanr(similar, apart).statistic
    assert position_kinds.nearness(maps) == pytest.approx(expected, abs=1e-5)
    rows, columns = np.indices((5, 5)).reshape(2, -1)
    near = -np.hypot(rows[:, None] - rows, columns[:, None] - columns).reshape(5, 5, 5, 5)
    assert position_kinds.nearness(near) == 1 and position_kinds.nearness(-near) == -1


@pytest.mark.backend_free
def test_maps_are_kept_as_text():
    maps = maps_of(np.random.default_rng(2).normal(size=(8, 8, 3)))
    found = position_kinds.decode(position_kinds.encode(maps))
    expected = maps[[0, 2, 5, 7]][:, [0, 2, 5, 7]].reshape(16, 64)
    np.testing.assert_allclose(found, expected, atol=0.5 / 49.5 + 1e-6)
    assert position_kinds.decode(position_kinds.encode(maps * 0 + 1.0000001)).max() == 1


RECIPES = [recipe["recipe"] for recipe in figure_10.variants("tiny")]


def recipe_rows(nearness, noise=0.01):
    """Made-up rows: a nearness for each recipe, two seeds."""
    text = position_kinds.encode(maps_of(np.random.default_rng(0).normal(size=(8, 8, 4))))
    return [
        {"recipe": name, "seed": seed, "accuracy": 0.5, "nearness": value + noise * seed}
        | {"row_column": 0.3, "nearness_before": 0.0, "row_column_before": 0.22, "maps": text}
        for seed in (1, 2)
        for name, value in zip(RECIPES, nearness, strict=True)
    ]


@pytest.mark.backend_free
def test_figure_10_says_whether_recipes_differ():
    said = figure_10.conclusion(recipe_rows((0.1, 0.2, 0.3)))
    assert "Nearness, rank correlation: untrained 0.00" in said and "0.12 (0.11 to 0.12)" in said
    assert "clearly more with long, high rate than with short, low rate" in said
    said = figure_10.conclusion(recipe_rows((0.3, 0.2, 0.1)))
    assert "clearly more with short, low rate than with long, high rate" in said
    said = figure_10.conclusion(recipe_rows((0.3, 0.301, 0.302)))
    assert said.count("the recipes do not differ clearly") == 2
    assert "must be run" in figure_10.conclusion(recipe_rows((0.3, 0.2, 0.1))[:1])


@pytest.mark.backend_free
@pytest.mark.parametrize("count", [6, 2, 1])
def test_figure_10_draws_what_there_is(count):
    figure = figure_10.plot(recipe_rows((0.1, 0.2, 0.3))[:count])
    images = [axes for axes in figure.axes if axes.images]
    assert len(images) == min(count, 3)
    assert images[0].images[0].get_array().shape == (35, 35)
    labels = [t.get_text() for t in figure.axes[-1].get_yticklabels()]
    assert labels == ["untrained", *RECIPES[: min(count, 3)]]


@pytest.mark.backend_free
def test_recipes_have_the_papers_ratios():
    for scale in studies.SCALES:
        first, second, third = figure_10.variants(scale)
        assert third["steps"] == 2 * second["steps"] == 2 * first["steps"]
        assert third["rate"] == second["rate"] == 2 * first["rate"]
        decays = [recipe["weight_decay"] for recipe in (first, second, third)]
        assert decays == [0.01, 0.1, 0.1]


@pytest.mark.slow
def test_figure_10_runs():
    small = {"steps": 2, "images": 20, "num_layers": 1, "batch_size": 8}
    found = figure_10.run(**{**figure_10.runs("tiny")[0], **small})
    assert abs(found["nearness_before"]) < 0.15 and abs(found["row_column_before"] - 14 / 63) < 0.05
    assert position_kinds.decode(found["maps"]).shape == (16, 64)


# --- Figure 11: attended area ---------------------------------------------------------------------


def attention_rows(vit, hybrid, noise=0.0):
    """Made-up rows: shares by layer, the same for all heads, of a ViT and a hybrid."""
    rows = []
    for seed in (1, 2):
        for name, layers in (("ViT", vit), ("hybrid", hybrid)):
            heads = np.array([[value, value + noise * seed] for value in layers])
            row = {"model": name, "seed": seed, "heads": attended_area.encode(heads)}
            rows.append({**row, "untrained_heads": attended_area.encode(heads * 0 + 1)})
    return rows


@pytest.mark.backend_free
def test_figure_11_says_what_depth_does_and_who_is_local():
    said = figure_11.conclusion(attention_rows((0.2, 0.4, 0.8, 1.0), (0.7, 0.6, 0.5, 0.4)))
    assert (
        "heads of the first layer reach 20 to 20 %" in said and "(untrained 100 to 100 %)" in said
    )
    assert "the mean, 20 % in the first layer and 100 % in the last, grows with depth" in said
    assert "the mean, 70 % in the first layer and 40 % in the last, falls with depth" in said
    assert "100 % in ViT and 0 % in hybrid; the hybrid has fewer" in said
    said = figure_11.conclusion(attention_rows((0.7, 0.6, 0.8, 1.0), (0.3, 0.2, 0.5, 0.4)))
    assert "0 % in ViT and 100 % in hybrid; the hybrid has more" in said
    said = figure_11.conclusion(attention_rows((0.7, 0.6, 0.8, 1.0), (0.7, 0.6, 0.8, 1.0)))
    assert "no clear difference" in said
    rows = attention_rows((0.2, 0.4), (0.5, 0.5))
    assert said.count("changes no more with depth than untrained") == 0
    assert figure_11.conclusion(rows).count("changes no more with depth than untrained") == 1
    rows[2]["heads"] = "60 60 / 30 30"  # the ViT's other seed changes in the other direction
    assert figure_11.conclusion(rows).count("changes no more with depth than untrained") == 2
    assert "A ViT and a hybrid are needed" in figure_11.conclusion(rows[:1])


@pytest.mark.backend_free
@pytest.mark.parametrize("count", [4, 1])
def test_figure_11_draws_what_there_is(count):
    axes = figure_11.plot(attention_rows((0.2, 0.4), (0.7, 0.6), 0.1)[:count]).axes
    assert [one.get_title() for one in axes] == ["ViT", "hybrid"][: (count + 1) // 2]
    dots = [line for line in axes[0].lines if line.get_marker() == "o"]
    assert len(dots) == max(count, 2)  # two heads a seed
    np.testing.assert_allclose(dots[1].get_ydata(), [30, 50])


def test_reach_is_relative_to_attention_to_all_alike():
    """Without query and key, all scores are equal, even in an image that is not square."""
    model = keras_vit.ViT((8, 12), 4, 2, 8, 8, 2, num_classes=2, num_channels=1, pooling="gap")
    for layer in ("block_0", "block_1"):
        dense = model.get_layer(layer).attention.query_key_value
        dense.set_weights([np.zeros_like(weight) for weight in dense.get_weights()])
    images = np.random.default_rng(0).integers(0, 255, (3, 8, 12, 1))
    np.testing.assert_allclose(
        attended_area.measure_reach(model, images), np.ones((2, 2)), atol=1e-5
    )


@pytest.mark.weekly
@pytest.mark.parametrize("number", [0, 1])
def test_figure_11_runs(number):
    small = {"steps": 2, "images": 20, "num_layers": 2, "batch_size": 8}
    found = figure_11.run(**{**figure_11.runs("tiny")[number], **small})
    for text in found.values():
        assert attended_area.decode(text).shape == (2, 4)
    assert abs(attended_area.decode(found["untrained_heads"]) - 1).max() < 0.2


@pytest.mark.slow
def test_figure_11_takes_published_weights(tmp_path, monkeypatch):
    from PIL import Image

    for part in ("train", "test"):
        for label in ("a", "b"):
            (tmp_path / part / label).mkdir(parents=True)
            for number in range(3):
                pixels = np.random.default_rng(number).integers(0, 255, (32, 32, 3), "uint8")
                Image.fromarray(pixels).save(tmp_path / part / label / f"{number}.png")
    monkeypatch.setenv(tasks.FOLDER, str(tmp_path))
    settings = figure_11.runs("small")[0]
    assert settings["model"] == "ViT-Mini/4"  # included in the package
    found = figure_11.run(**settings)
    heads, fresh = (attended_area.decode(found[key]) for key in ("heads", "untrained_heads"))
    model = keras_vit.load_pretrained("ViT-Mini/4", verbose=False)
    rows, columns = np.indices((8, 8)).reshape(2, -1)
    whole = 4 * np.hypot(rows[:, None] - rows, columns[:, None] - columns).mean()
    seen = keras_vit.explain.mean_attention_distance(model, attended_area.load_images((32, 32), 1))
    np.testing.assert_allclose(heads, seen / whole, atol=0.006)
    assert heads.shape == fresh.shape and abs(heads - fresh).max() > 0.1


@pytest.mark.backend_free
def test_pieces_are_of_both_photographs_and_of_the_seed():
    found = attended_area.cut_photographs((16, 24), 1)
    assert found.shape == (128, 16, 24, 3) and found.dtype == np.uint8
    assert np.array_equal(found, attended_area.cut_photographs((16, 24), 1))
    assert not np.array_equal(found, attended_area.cut_photographs((16, 24), 2))
    means = found.mean((1, 2))  # china has a bright sky, the flower a dark background
    assert means[::2, 2].mean() > means[1::2, 2].mean() + 20


# --- The little tasks -----------------------------------------------------------------------------


@functools.cache
def real_digits(part):
    digits = keras_vit.data.digits()
    images, labels = getattr(digits, f"{part}_images"), getattr(digits, f"{part}_labels")
    return {digit.tobytes(): label for digit, label in zip(images[..., 0], labels, strict=True)}


def places(image, part="train"):
    """Returns [(row, column, label)] of the real digits on a canvas (16, 16)."""
    real = real_digits(part)
    windows = np.lib.stride_tricks.sliding_window_view(image, (8, 8))
    return [
        (r, c, real[windows[r, c].tobytes()])
        for r in range(9)
        for c in range(9)
        if windows[r, c].tobytes() in real
    ]


@pytest.mark.backend_free
@pytest.mark.parametrize("part", ["train", "test"])
def test_natural_tasks_ask_for_the_digit(part):
    images, labels = tasks.load_little("digit", 40, 1, part)
    for image, label in zip(images[..., 0], labels, strict=True):
        assert label + 5 in {found for _, _, found in places(image, part)}
    assert set(labels) == set(range(5))
    images, labels = tasks.load_little("negative", 40, 1, part)
    for image, label in zip(255 - images[..., 0], labels, strict=True):
        assert label + 5 in {found for _, _, found in places(image, part)}


@pytest.mark.backend_free
def test_noise_is_added_and_outlines_are_differences():
    plain, _ = tasks._digit(np.random.default_rng(3), 200, "train")
    noisy, _ = tasks._noisy(np.random.default_rng(3), 200, "train")
    assert abs((noisy - plain).std() - tasks.NOISE) < 1
    outlines, _ = tasks._outlines(np.random.default_rng(3), 200, "train")
    image = plain[7]
    below, right = np.zeros((2, 16, 16), int)
    below[:-1], right[:, :-1] = image[1:], image[:, 1:]
    np.testing.assert_array_equal(outlines[7], abs(below - image) + abs(right - image))


@pytest.mark.backend_free
def test_structured_tasks_ask_for_geometry():
    images, labels = tasks.load_little("region", 40, 1)
    for image, label in zip(images[..., 0], labels, strict=True):
        assert label in {r // 3 * 3 + c // 3 for r, c, _ in places(image)}

    images, labels = tasks.load_little("count", 200, 1)
    quarters = images[..., 0].reshape(200, 2, 8, 2, 8).any((2, 4)).sum((1, 2))
    np.testing.assert_array_equal(quarters, labels + 1)
    one = images[labels == 0][..., 0].reshape(-1, 2, 8, 2, 8).any((2, 4))
    assert one.any(0).all()  # a single digit is not always in the same quarter

    images, labels = tasks.load_little("turn", 40, 1)
    for image, label in zip(images[..., 0], labels, strict=True):
        assert places(np.rot90(image, -label))

    images, labels = tasks.load_little("higher", 40, 1)
    for image, label in zip(images[..., 0], labels, strict=True):
        left, right = ({r for r, c, _ in places(image) if c == at} for at in (0, 8))
        assert left and right
        assert any((b < a) == bool(label) and a != b for a in left for b in right)


@pytest.mark.backend_free
def test_little_tasks_repeat_and_differ_by_seed_and_part():
    for task in tasks.LITTLE_TASKS:
        images, labels = tasks.load_little(task, 300, 5)
        again, same = tasks.load_little(task, 300, 5)
        assert images.shape == (300, 16, 16, 1) and images.dtype == np.uint8
        assert np.array_equal(images, again) and np.array_equal(labels, same)
        assert not np.array_equal(images, tasks.load_little(task, 300, 6)[0])
        assert not np.array_equal(images, tasks.load_little(task, 300, 5, "test")[0])
        assert len(set(labels)) == labels.max() + 1 == tasks.LITTLE_TASKS[task][1]
    assert max(classes for _, classes, _ in tasks.LITTLE_TASKS.values()) == tasks.OUTPUTS
    for task in tasks.LITTLE_TASKS:
        labels = tasks.load_little(task, 300, 5)[1]
        assert np.bincount(labels).max() < 1.5 * len(labels) / len(set(labels))
    with pytest.raises(ValueError, match="`task` must be one of 'digit'"):
        tasks.load_little("letters", 5)


# --- Table 9 and Figure 2 -------------------------------------------------------------------------


@pytest.mark.backend_free
def test_means_of_the_papers_table_are_those_it_prints():
    means = [round(float(np.mean(values)), 1) for values in TABLE_9.values()]
    assert means == [77.6, 76.3, 72.7]
    assert {len(values) for values in TABLE_9.values()} == {len(TABLE_9_TASKS)} == {19}
    assert [f"vtab/{name}" for _, name in TABLE_9_TASKS] == list(paper_datasets.TASKS)


@pytest.mark.backend_free
def test_small_tasks_are_real_ones_of_every_group():
    assert len(few_labels.TASKS["small"]) == len(few_labels.SMALL)
    for scale in studies.SCALES:
        assert {group for group, _ in few_labels.TASKS[scale]} == set(few_labels.GROUPS)


@pytest.mark.slow
def test_a_model_that_was_compiled_trains_as_a_fresh_one():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (40, 4, 4, 1)).astype("uint8")
    labels = (np.arange(40) % 2).astype("int32")
    shape = {"image_size": 4, "patch_size": 4, "num_layers": 1, "hidden_dim": 8, "mlp_dim": 8}
    shape |= {"num_heads": 1, "num_classes": 2, "num_channels": 1}
    model = trials.build(3, lambda: keras_vit.ViT(**shape))
    before = model.get_weights()
    found = []
    for seed in (1, 2, 1):
        trials.refit(model, before, images, labels, 10, 8, 0.01, seed)
        found.append(np.concatenate([weight.ravel() for weight in model.get_weights()]))
        keras.utils.clear_session()  # as between two runs
    assert int(model.optimizer.iterations) == 10
    np.testing.assert_array_equal(found[0], found[2])
    assert abs(found[0] - found[1]).max() > 1e-3


@pytest.mark.backend_free
def test_a_real_task_has_train_and_validation_and_few_test_images(monkeypatch):
    rng = np.random.default_rng(0)
    parts = {
        part: (rng.integers(0, 255, (n, 8, 8, 3)).astype("uint8"), np.arange(n) % 3)
        for part, n in (("train", 8), ("validation", 4), ("test", 9))
    }
    load = keras_vit.data.load
    asked = []

    def fake(name, size):
        asked.append((name, size))
        return load(parts, size)

    monkeypatch.setattr(tasks.data, "load", fake)
    train, test, classes = tasks.load_vtab("pets", 8, 5)
    assert asked == [("vtab/pets", 8)] and classes == 3
    np.testing.assert_array_equal(train[0][:8], parts["train"][0])
    np.testing.assert_array_equal(train[1], [*parts["train"][1], *parts["validation"][1]])
    np.testing.assert_array_equal(test[0], parts["test"][0][::2])
    np.testing.assert_array_equal(test[1], parts["test"][1][::2])


MODELS = (("ViT", "pre-trained"), ("ResNet", "pre-trained"), ("ViT", "from scratch"))


def task_rows(accuracies, noise=0.01):
    """Made-up rows of {task: (accuracy of each model)}, two seeds."""
    groups = {name: group for group, name in few_labels.TASKS["tiny"]}
    return [
        {"group": groups[task], "task": task, "model": model, "start": start, "seed": seed}
        | {"accuracy": values[place] + noise * seed}
        for seed in (1, 2)
        for place, (model, start) in enumerate(MODELS)
        for task, values in accuracies.items()
    ]


@pytest.mark.backend_free
def test_table_9_says_where_models_differ():
    rows = task_rows({"digit": (0.7, 0.5, 0.3), "negative": (0.5, 0.5, 0.5), "turn": (0.2, 0.4, 0)})
    said = table_9.conclusion(rows)
    assert "Mean of 3 tasks: ViT, pre-trained 48.2 (47.7 to 48.7) %" in said
    assert "against ResNet, pre-trained: better in digit (+20), worse in turn (-20)" in said
    assert "against ViT, from scratch: better in digit (+40), turn (+20), worse in none" in said
    assert "must be fine-tuned" in table_9.conclusion(rows[:3])
    assert "Mean of 1 tasks" in table_9.conclusion([r for r in rows if r["task"] == "turn"])


@pytest.mark.backend_free
def test_figure_2_says_which_group_gains():
    rows = task_rows({"digit": (0.7, 0.5, 0.3), "noise": (0.5, 0.5, 0.3), "turn": (0.2, 0.4, 0.1)})
    said = figure_2.conclusion(rows)
    assert "Natural: ViT, pre-trained 61.5 (61.0 to 62.0) %, ResNet, pre-trained 51.5" in said
    assert "Structured: ResNet, pre-trained 41.5" in said and "Specialized" not in said
    assert "natural +30.0 (+30.0 to +30.0), structured +10.0" in said and "most in natural" in said
    rows = task_rows({"digit": (0.3, 0.3, 0.3), "turn": (0.6, 0.4, 0.1)})
    said = figure_2.conclusion(rows)
    assert "most in structured" in said and "(the order of the first two is unclear)" in said
    assert "must be fine-tuned" in figure_2.conclusion(rows[:1])
    # A seed that lacks a task of the group does not count.
    assert few_labels.group_means(rows[1:], "ViT, pre-trained")["natural"] == [0.32]


@pytest.mark.backend_free
def test_figure_2_takes_the_rows_of_table_9(tmp_path):
    assert figure_2.rows_of == "table-9"
    for scale in studies.SCALES:
        assert figure_2.runs(scale) == table_9.runs(scale)
    found = studies.run("figure-2", folder=tmp_path, plot_only=True)
    assert found.table.name == "table-9-tiny.csv" and found.image.name == "figure-2-tiny.png"


@pytest.mark.backend_free
@pytest.mark.parametrize("count", [18, 4, 1])
def test_groups_and_tasks_are_drawn_as_far_as_they_go(count):
    rows = task_rows(
        {"digit": (0.7, 0.5, 0.3), "negative": (0.5, 0.5, 0.3), "turn": (0.2, 0.4, 0.1)}
    )
    ours, papers = table_9.plot(rows[:count]).axes
    names = {few_labels.name_of(row) for row in rows[:count]}
    assert {text.get_text() for text in ours.get_legend().get_texts()} == {*names, "chance"}
    assert len(papers.get_xticks()) == 19
    np.testing.assert_allclose(papers.lines[0].get_ydata(), TABLE_9["H/14, JFT"])
    ours, papers = figure_2.plot(rows[:count]).axes
    assert len(papers.patches) == 9
    if count == 18:
        heights = [bar.get_height() for bar in ours.patches]
        assert heights[:3] == pytest.approx([71.5, 51.5, 21.5])


@pytest.mark.weekly
def test_table_9_runs_and_pre_trains_once():
    few_labels._little_model.cache_clear()
    small = {"steps": 2, "images": 20, "batch_size": 8, "tuning_steps": 2, "test": 20}
    chosen = [row for row in table_9.runs("tiny") if row["task"] in ("digit", "region")]
    for settings in (chosen[0], chosen[1], chosen[2]):
        found = table_9.run(**{**settings, **small})
        assert 0 <= found["accuracy"] <= 1
    assert few_labels._little_model.cache_info()[:2] == (1, 2)  # hits, misses
    few_labels._little_model.cache_clear()
    assert seeds.group(chosen[:4], "model", "task") == {
        "ViT 4 x 48": ["digit", "region"],
        "ResNet 1": ["digit", "region"],
    }
