"""The studies: tables lose nothing, runs are as stated, and conclusions follow from rows."""

import csv
import inspect
import math
import re
import statistics
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers import ROOT

import keras_vit
from keras_vit import cli, studies
from keras_vit.studies import architecture, speed
from keras_vit.studies.lab import runner, seeds, tasks, trials
from keras_vit.studies.lab.runner import PROVENANCE, Ledger
from keras_vit.variants import parse

pytest.importorskip("sklearn")

figure_8 = studies.load("figure-8")
figure_12 = studies.load("figure-12")


def study(runs, run):
    """A made-up study."""

    class Table8(runner.Study):
        paper, num_seeds = "the paper found 7", None

        def variants(self, scale):
            return runs

        def plot(self, rows):
            return keras_vit.figures.figure(1, 1)

        def conclusion(self, rows):
            return f"the sum is {sum(row['result'] for row in rows)}"

    found = Table8()
    found.run = run
    return found


RUNS = [{"depth": depth, "rate": 0.1, "seed": seed} for seed in (1, 2) for depth in (4, 8)]


@pytest.mark.slow
@pytest.mark.backend_free
def test_a_run_that_is_done_is_not_run_again(tmp_path, capsys):
    ran = []

    def run(depth, rate, seed):
        ran.append((depth, seed))
        return {"result": depth * seed}

    outcome = runner.carry_out(study(RUNS[:3], run), "tiny", tmp_path / "new" / "folder")
    assert ran == [(4, 1), (8, 1), (4, 2)] and outcome.conclusion == "the sum is 20"
    printed = capsys.readouterr().out
    assert "rate 0.1" in printed.splitlines()[2]  # settings that all runs share are printed once
    assert "1/3  depth 4, seed 1: result 4, " in printed and "left" in printed
    assert "the paper found 7" in printed and str(outcome.table) in printed

    outcome = runner.carry_out(study(RUNS, run), "tiny", tmp_path / "new" / "folder")
    assert ran[3:] == [(8, 2)] and outcome.conclusion == "the sum is 36"
    assert [row["result"] for row in outcome.rows] == [4, 8, 8, 16]
    assert capsys.readouterr().out.count("(done before)") == 3
    assert outcome.table.name == "table-8-tiny.csv"
    assert outcome.image.read_bytes()[1:4] == b"PNG"
    with open(outcome.table, newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["depth", "rate", "seed", "result", *PROVENANCE]
    assert rows[3]["depth"] == "8" and rows[3]["backend"] == keras.backend.backend()
    assert float(rows[3]["seconds"]) >= 0


@pytest.mark.slow
@pytest.mark.backend_free
@pytest.mark.parametrize("error", [KeyboardInterrupt, ArithmeticError])
def test_an_interruption_keeps_the_rows_before(tmp_path, error):
    def run(depth, rate, seed):
        if (depth, seed) == (4, 2):
            raise error
        return {"result": 1.5}

    with pytest.raises(error):
        runner.carry_out(study(RUNS, run), "tiny", tmp_path)
    left = runner.carry_out(study(RUNS, run), "tiny", tmp_path, plot_only=True)
    assert [row["seed"] for row in left.rows] == [1, 1] and left.rows[0]["result"] == 1.5


@pytest.mark.backend_free
def test_a_full_disk_leaves_the_table_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    ledger = Ledger(path, ["a"])
    ledger.append({"a": 1, "b": 2, **dict.fromkeys(PROVENANCE, "x")})
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="nothing was changed"):
        ledger.append({"a": 2, "b": 2, **dict.fromkeys(PROVENANCE, "x")})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.backend_free
def test_rows_of_other_settings_and_of_another_process_stay(tmp_path):
    one, other = (Ledger(tmp_path / "t.csv", ["a", "name"]) for _ in range(2))
    text = 'a, "quoted"\nsecond line'
    for ledger, a in ((one, 1), (other, 2), (one, 3)):
        ledger.append({"a": a, "name": text, "b": a / 3, **dict.fromkeys(PROVENANCE, "x")})
    assert [float(row["b"]) for row in one.read()] == [1 / 3, 2 / 3, 1.0]
    assert one.row({"a": 2, "name": text})["b"] == 2 / 3
    assert one.row({"a": 2, "name": "another"}) is None


@pytest.mark.backend_free
def test_settings_are_compared_as_the_file_holds_them(tmp_path):
    ledger = Ledger(tmp_path / "t.csv", ["rate", "kind", "n"])
    row = {"rate": np.float64(1e-4), "kind": "04", "n": np.int64(3), "share": np.float32(0.5)}
    ledger.append({**row, **dict.fromkeys(PROVENANCE, "2.20")})
    found = ledger.row({"rate": 0.0001, "kind": "04", "n": 3})
    assert found["kind"] == "04" and found["share"] == 0.5  # the setting as given, not 4
    assert found["seconds"] == 2.2 and found["backend_version"] == "2.20"  # a version stays text


TABLES = {
    "columns": "x,y\n1,2\n",
    "short": f"a,b,{','.join(PROVENANCE)}\n1,2\n",
    "empty": "",
    "quotes": f'a,b,{",".join(PROVENANCE)}\n"1,2\n',
    "binary": b"\xff\xfe\x00",
}


@pytest.mark.backend_free
@pytest.mark.parametrize("kind", TABLES)
def test_a_foreign_table_is_refused_before_any_run(tmp_path, kind):
    path = tmp_path / "table-8-tiny.csv"
    text = TABLES[kind]
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    before = path.read_bytes()
    module = study([{"a": 1}], lambda a: pytest.fail("it ran"))
    with pytest.raises(ValueError, match="table-8-tiny.csv.*Move the file away"):
        runner.carry_out(module, "tiny", tmp_path)
    assert path.read_bytes() == before


@pytest.mark.backend_free
def test_results_of_another_name_are_refused(tmp_path):
    runner.carry_out(study(RUNS[:1], lambda **_: {"result": 1}), "tiny", tmp_path)
    with pytest.raises(ValueError, match="'other': 5"):  # the row is in the message
        runner.carry_out(study(RUNS, lambda **_: {"other": 5}), "tiny", tmp_path)
    assert len(Ledger(tmp_path / "table-8-tiny.csv", RUNS[0]).read()) == 1


@pytest.mark.backend_free
def test_time_left_is_that_of_the_runs_most_alike():
    done = [{**RUNS[0], "seconds": 10.0}, {**RUNS[1], "seconds": 30.0}]
    assert runner._seconds_left(RUNS[2:], done, ["depth", "seed"]) == 40.0
    assert runner._seconds_left(RUNS, done, ["depth", "seed"]) == 40.0  # finished runs take no time


@pytest.mark.backend_free
@pytest.mark.skipif(keras.backend.backend() != "jax", reason="JAX alone keeps programs")
@pytest.mark.parametrize("configured", [False, True])
def test_programs_are_kept_for_the_study_alone(configured, tmp_path):
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    before = jax.config.jax_compilation_cache_dir
    given = str(tmp_path) if configured else None
    jax.config.update("jax_compilation_cache_dir", given)
    try:
        with runner.cache_programs():
            folder = Path(jax.config.jax_compilation_cache_dir)
            assert (folder == tmp_path) is configured
            if not configured:
                jax.jit(lambda x: x * 3 + 1)(np.ones(7)).block_until_ready()
                assert list(folder.iterdir())
        assert jax.config.jax_compilation_cache_dir == given
        assert folder.exists() is configured
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
        compilation_cache.reset_cache()  # otherwise JAX keeps using the folder of this test


# --- Names and the command ------------------------------------------------------------------------


@pytest.mark.backend_free
def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(ValueError, match="Did you mean .*'figure-8'.*figure-12"):
        studies.load("figure 88")
    with pytest.raises(ValueError, match="Valid names: figure-2, .*figure-8"):
        studies.load("x")
    with pytest.raises(ValueError, match="`scale` must be one of"):
        studies.run("figure-8", "large")
    assert type(studies.load("Figure_8")) is type(figure_8)


@pytest.mark.slow
def test_command_lists_runs_and_refuses(tmp_path, capsys, monkeypatch):
    assert cli.main(["study", "--list"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert last.endswith("keras-vit study table-8")
    assert [line.split()[0] for line in lines[::2]] == list(studies.names())
    assert lines[2 * studies.names().index("figure-8") + 1].strip() == figure_8.question
    assert cli.main(["study", "figure-88"]) == 2
    assert "Did you mean " in (error := capsys.readouterr().err) and "'figure-8'" in error

    monkeypatch.setitem(architecture.SHAPES, "small", {"base": [(1, 8, 8, 8)]})
    monkeypatch.setitem(figure_8.training, "small", miniature("tiny"))
    words = ["study", "figure-8", "--scale", "small", "--folder", str(tmp_path)]
    assert cli.main([*words, "--plot-only"]) == 0
    printed = capsys.readouterr().out
    assert "0 of 3 runs" in printed and "needs" not in printed
    monkeypatch.setitem(figure_8.num_seeds, "small", 1)
    assert cli.main(words) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("The scale small needs: CIFAR-10") and "1 of 1 runs" in printed
    assert {path.name for path in tmp_path.iterdir()} == {
        "figure-8-small.csv",
        "figure-8-small.png",
    }


# --- Every study ----------------------------------------------------------------------------------


@pytest.mark.backend_free
@pytest.mark.parametrize("scale", studies.SCALES)
@pytest.mark.parametrize("name", studies.names())
def test_settings_are_plain_unique_and_those_that_run_takes(name, scale):
    study = studies.load(name)
    runs = study.runs(scale)
    assert len({tuple(map(str, settings.values())) for settings in runs}) == len(runs) >= 2
    for settings in runs:
        assert list(settings) == list(runs[0])
        assert {type(value) for value in settings.values()} <= {str, int, float}
        assert not set(settings) & set(PROVENANCE)
        inspect.signature(study.run).bind(**settings)
    if name != "figure-12":  # all runs of a seed, then those of the next
        seeds = [settings["seed"] for settings in runs]
        assert seeds == sorted(seeds) and len(set(seeds)) >= 2
    assert study.name == name and "\n\n" in inspect.getdoc(study)
    for text in (study.title, study.question, study.paper, study.caution or "-"):
        assert text and "\n" not in text  # one line of the command each


# What docs/studies.md and the cautions quote from the rows in docs/studies/
QUOTED = {
    "figure-2": ["natural +4.7", "structured -7.2"],
    "figure-5": ["+6.5 (+5.6 to +7.5) at 0.0189", "+9.8 (+7.4 to +12.2) at 0.0378"],
    "figure-8": ["width +9.1", "width gains most"],
    "figure-13": ["AxialResNet (1, 1) against ResNet: -1.3 points,"],
    "table-8": [
        "+17.7 points.",
        "91.8 to 95.0 %; clearly different from 1-D: 2-D, 1-D shared, 2-D",
    ],
    "table-9": ["pre-trained 45.0", "scratch 46.7", "better in count (+41)"],
}


def documented_rows(study):
    return runner.open_ledger(study, "tiny", ROOT / "docs" / "studies").done(study.runs("tiny"))


@pytest.mark.slow
@pytest.mark.backend_free
@pytest.mark.parametrize("name", studies.names())
def test_few_rows_are_drawn_and_one_is_not_concluded_from(name):
    study = studies.load(name)
    rows = documented_rows(study)
    for some in (rows[:1], rows[-1:], rows[: len(rows) // 2]):
        assert study.plot(some).axes and study.conclusion(some)
    for row in rows:
        assert re.search("must be|needed", study.conclusion([row]))


@pytest.mark.backend_free
@pytest.mark.parametrize("name", studies.names())
def test_the_documentation_quotes_what_its_rows_say(name):
    study = studies.load(name)
    rows = documented_rows(study)
    assert len(rows) == len(study.runs("tiny"))
    said = study.conclusion(rows)
    assert all(quoted in said for quoted in QUOTED.get(name, []))
    misleading = ("figure-2", "figure-5", "figure-8", "table-5", "table-6", "table-9")
    assert bool(study.caution) is (name in misleading)
    if name == "figure-5":
        short = [row for row in rows if row["steps"] == 120 and row["family"] != "ViT"]
        known = [round(100 * row["known_accuracy"]) for row in short]
        assert (min(known), max(known)) == (93, 98)
    if name == "figure-8":
        means = seeds.group(rows, ("varied", "num_layers"), "accuracy")
        base, large = (100 * statistics.fmean(means[key]) for key in (("base", 4), ("all", 8)))
        assert f"({large:.1f} against {base:.1f} %)" in study.caution


# --- Images and training ------------------------------------------------------------------------


@pytest.mark.backend_free
def test_wandering_digits_are_digits_in_all_places():
    images, labels = tasks.wandering_digits(3000)
    digits = keras_vit.data.digits()
    assert images.dtype == np.uint8 and images.shape == (3000, 16, 16, 1)
    real = {digit.tobytes(): y for digit, y in zip(*digits[2:4], strict=True)}
    places = set()
    for image, label in zip(images[:300, ..., 0], labels, strict=False):
        windows = np.lib.stride_tricks.sliding_window_view(image, (8, 8))
        found = [
            (r, c)
            for r in range(9)
            for c in range(9)
            if windows[r, c].sum() == image.sum() and real.get(windows[r, c].tobytes()) == label
        ]
        assert found
        places.update(found)
    assert len({image.tobytes() for image in images}) == 3000
    assert {r for r, _ in places} == {c for _, c in places} == set(range(9))


@pytest.mark.backend_free
def test_wandering_digits_are_nested_and_split():
    images, labels = tasks.wandering_digits(500, seed=3)
    fewer, fewer_labels = tasks.wandering_digits(200, seed=3)
    assert np.array_equal(images[:200], fewer) and np.array_equal(labels[:200], fewer_labels)
    assert not np.array_equal(tasks.wandering_digits(200, seed=4)[0], fewer)
    everything, _ = tasks.wandering_digits(None, part="test")
    assert len(everything) == 81 * len(keras_vit.data.digits().test_labels)
    with pytest.raises(ValueError, match="`count` must be 1 to "):
        tasks.wandering_digits(10**6)
    with pytest.raises(ValueError, match="`name` must be one of 'wandering digits', 'digits'"):
        tasks.load("mnist", 5)


@pytest.mark.backend_free
def test_cifar10_can_be_a_folder(tmp_path, monkeypatch):
    from PIL import Image

    for part, count in (("train", 3), ("test", 2)):
        for label, value in (("a", 10), ("b", 200)):
            (tmp_path / part / label).mkdir(parents=True)
            for i in range(count):
                pixels = np.full((32, 32, 3), value + i, "uint8")
                Image.fromarray(pixels).save(tmp_path / part / label / f"{i}.png")
    monkeypatch.setenv("KERAS_VIT_DATA", str(tmp_path))
    images, labels = tasks.load("cifar10", None)
    assert images.shape == (6, 32, 32, 3) and sorted(images[labels == 1][:, 0, 0, 0]) == [
        200,
        201,
        202,
    ]
    assert len(tasks.test("cifar10")[0]) == 4
    assert tasks.model_arguments("cifar10")["num_classes"] == 2


@pytest.mark.backend_free
def test_every_image_is_seen_before_any_again():
    order = trials.shuffle(7, 17, seed=1)
    assert sorted(order[:7]) == sorted(order[7:14]) == list(range(7)) and len(order) == 17
    assert len(set(order[14:])) == 3
    assert list(order[:7]) != list(order[7:14])
    assert list(trials.shuffle(7, 5, seed=1)) == list(order[:5])


def tiny_vit():
    return keras_vit.ViT(4, 4, 1, 8, 8, 1, num_classes=2, num_channels=1, normalize=(127.5, 127.5))


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", trials.OPTIMIZERS)
def test_fit_learns_and_repeats(optimizer):
    labels = np.arange(40) % 2
    images = np.zeros((40, 4, 4, 1), "uint8")
    images[:, :2] = (labels * 255)[:, None, None, None].astype("uint8")
    rate = 0.3 if optimizer == "sgd" else 0.03
    losses = []
    for _ in range(2):
        model = trials.build(5, tiny_vit)
        losses.append(trials.fit(model, images, labels, 31, 8, rate, 5, optimizer))
    assert int(model.optimizer.iterations) == 31
    assert losses[0] == losses[1] < math.log(2)
    assert trials.accuracy(model, images, labels) == 1.0
    assert trials.few_shot_accuracy(model, (images, labels), (images, labels), shots=3) == 1.0
    with pytest.raises(ValueError, match="`optimizer` must be one of 'adamw'"):
        trials.fit(model, images, labels, 2, 8, optimizer="lamb")


@pytest.mark.slow
def test_a_loss_that_is_not_finite_is_an_error():
    images = np.full((8, 4, 4, 1), 255)
    with pytest.raises(ArithmeticError, match=r"rate 1e\+30"):
        trials.fit(tiny_vit(), images, np.zeros(8), steps=3, batch_size=4, rate=1e30)


# --- Statements about numbers
# ---------------------------------------------------------------------------------


@pytest.mark.backend_free
def test_seeds_differ_only_without_overlap():
    assert seeds.differ([0.1, 0.2], [0.3, 0.4]) and seeds.differ([3, 4, 5], [1, 2, 2.5])
    assert not seeds.differ([0.1, 0.3], [0.2, 0.4])
    assert not seeds.differ([0.1], [0.9])
    assert seeds.spell([0.123]) == "12.3" and seeds.spell([0.1, 0.2]) == "15.0 (10.0 to 20.0)"


@pytest.mark.backend_free
def test_rank_correlation_equals_scipys():
    scipy = pytest.importorskip("scipy.stats")
    first, second = [3, 1, 4, 1, 5, 9, 2], [2, 7, 1, 8, 2, 8, 1]
    expected = scipy.spearmanr(first, second).statistic
    assert seeds.rank_correlation(first, second) == pytest.approx(expected, abs=1e-6)
    assert math.isnan(seeds.rank_correlation([1, 1], [1, 2]))


def miniature(scale):
    return {**figure_8.training[scale], "steps": 2, "images": 50, "num_heads": 1}


def shapes_8(gain_by_depth, gain_by_width, seed_noise=0.001):
    """Made-up rows of Figure 8: accuracies that grow by a given amount with each doubling."""
    rows = []
    for seed in (1, 2, 3):
        for varied, gain in (("base", 0), ("depth", gain_by_depth), ("width", gain_by_width)):
            for doublings in (0,) if varied == "base" else (-1, 1):
                shape = {"num_layers": 4, "hidden_dim": 32, "mlp_dim": 64, "patch_size": 4}
                key = {"depth": "num_layers", "width": "hidden_dim"}.get(varied, "mlp_dim")
                shape[key] = int(shape[key] * 2**doublings)
                accuracy = 0.5 + gain * doublings * (1 + seed_noise * seed)
                more = {"accuracy": accuracy, "multiply_adds": 1000 * 2**doublings}
                rows.append({"varied": varied, **shape, **more, "parameters": 5, "seed": seed})
    return rows


@pytest.mark.backend_free
def test_figure_8_says_which_dimension_gives_most():
    said = figure_8.conclusion(shapes_8(0.05, 0.02))
    assert "depth +5.0" in said and "width +2.0" in said and "depth gains most" in said
    assert "width gains most" in figure_8.conclusion(shapes_8(0.02, 0.05))
    said = figure_8.conclusion(shapes_8(0.020, 0.021, seed_noise=0.3))
    assert "whether width or depth gains more is unclear" in said
    assert "must be trained" in figure_8.conclusion(shapes_8(0.05, 0.02)[:1])


@pytest.mark.backend_free
def test_figure_8_compares_compute_with_parameters():
    rows = shapes_8(0.05, 0.05)
    for row in rows:
        row["parameters"] = 10**6 - row["multiply_adds"]
    assert "1.00 with compute and -1.00 with parameters" in figure_8.conclusion(rows)
    for row in rows:
        row["multiply_adds"], row["parameters"] = row["parameters"], row["multiply_adds"]
    assert "-1.00 with compute and 1.00 with parameters" in figure_8.conclusion(rows)


@pytest.mark.backend_free
@pytest.mark.parametrize("count", [15, 4, 1])
def test_figure_8_draws_what_there_is(count):
    rows = shapes_8(0.05, 0.02)[-count:]
    (axes,) = figure_8.plot(rows).axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == [d for d in ("depth", "width") if any(row["varied"] == d for row in rows)]
    if count == 15:
        line = axes.containers[0].lines[0]
        np.testing.assert_allclose(line.get_xdata(orig=False), [0.5, 1, 2])
        np.testing.assert_allclose(line.get_ydata(orig=False), [44.99, 50, 55.01], atol=1e-9)


@pytest.mark.backend_free
def test_figure_8_draws_the_base_alone():
    (axes,) = figure_8.plot(shapes_8(0.05, 0.02)[:1]).axes
    assert list(axes.containers[0].lines[0].get_ydata(orig=False)) == [50.0]
    assert "layers 4, D 32" in axes.get_title()


@pytest.mark.slow
def test_figure_8_runs():
    settings = {**figure_8.runs("tiny")[0], **miniature("tiny"), "num_layers": 1}
    found = figure_8.run(**settings)
    model = keras_vit.ViT(16, 4, 1, 32, 64, 1, num_classes=10, num_channels=1)
    assert found["parameters"] == model.count_params() and 0 <= found["accuracy"] <= 1
    assert found["multiply_adds"] == keras_vit.accounting.count(model).multiply_adds


def speeds(vit, resnet, vit_memory=100, resnet_memory=50, power=1.0):
    """Made-up rows of Figure 12: shares of the product's speed, work in proportion to pixels."""
    rows = []
    for size in (64, 128):
        for model, share, largest in (
            ("ViT-S/16", vit, vit_memory),
            ("R50x1", resnet, resnet_memory),
        ):
            work = 10**6 * size**2
            share *= (size / 64) ** (2 - 2 * power)
            rate = share / work
            row = {"model": model, "image_size": size, "memory_gib": 16, "share_of_product": share}
            row |= {"multiply_adds": work, "largest_batch": largest, "images_per_second": rate}
            row |= {"lower_quartile": 0.9 * rate, "upper_quartile": 1.1 * rate}
            rows.append(row)
    return rows


@pytest.mark.backend_free
def test_figure_12_says_who_is_faster_and_what_grows():
    said = figure_12.conclusion(speeds(0.6, 0.4))
    assert "1.50 to 1.50 times" in said and "more at every size" in said
    assert "ViT-S/16 1.00 (1.00), R50x1 1.00 (1.00)" in said and "ViTs need less memory" in said
    said = figure_12.conclusion(speeds(0.2, 0.4, 50, 100, power=2.0))
    assert "fewer at every size" in said and "ViT-S/16 2.00 (1.00)" in said
    assert "ViTs need more memory" in said
    assert "must be measured" in figure_12.conclusion(speeds(1, 1)[::2])
    assert "must be measured" in figure_12.conclusion(speeds(0, 1))  # no batch fitted


@pytest.mark.backend_free
@pytest.mark.parametrize("count", [4, 1])
def test_figure_12_draws_what_there_is(count):
    left, right = figure_12.plot(speeds(0.6, 0.4)[:count]).axes
    assert len(left.lines) == len(right.lines) == min(count, 2)
    assert list(right.lines[0].get_ydata()) == [100] * max(1, count // 2)
    assert "estimated" in right.get_title()


@pytest.mark.slow
def test_figure_12_runs():
    settings = {**figure_12.runs("tiny")[0], "model": "ViT-Ti/32", "rounds": 2, "matrix": 32}
    found = figure_12.run(**{**settings, "batch_sizes": "1 2"})
    assert found["lower_quartile"] <= found["images_per_second"] <= found["upper_quartile"]
    assert found["best_batch"] in (1, 2) and found["share_of_product"] > 0
    cost = keras_vit.accounting.count("ViT-Ti/32", 64)
    assert found["multiply_adds"] == cost.multiply_adds
    one = keras_vit.accounting.activation_memory("ViT-Ti/32", 1, 64)
    kept = 16 * cost.parameters + found["largest_batch"] * one
    assert kept <= 16 * 2**30 < kept + one


@pytest.mark.backend_free
def test_sizes_are_whole_patches_at_every_scale():
    for scale in studies.SCALES:
        for settings in figure_12.runs(scale):
            variant = parse(settings["model"])
            assert settings["image_size"] % getattr(variant, "patch_size", 1) == 0


def test_a_batch_that_the_device_refuses_ends_the_search(monkeypatch):
    """Refused above 37 images: the largest power of two below is found, other errors pass."""
    tried = []

    def step(model, batch):
        tried.append(batch)
        if batch > 37:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 123 bytes")
        return True

    monkeypatch.setattr(speed, "_step", step)
    assert speed.find_batch(tiny_vit()) == 32 and tried == [1, 2, 4, 8, 16, 32, 64]
    monkeypatch.setattr(speed, "MOST", 8)
    assert speed.find_batch(tiny_vit()) == 8

    def broken(model, batch):
        raise RuntimeError("wrong shape")

    monkeypatch.setattr(speed, "_step", broken)
    with pytest.raises(RuntimeError, match="wrong shape"):
        speed.find_batch(tiny_vit())


@pytest.mark.slow
def test_a_real_step_is_taken_and_batches_that_do_not_fit_are_left_out(monkeypatch):
    monkeypatch.setattr(speed, "MOST", 2)
    model = tiny_vit()
    assert speed.find_batch(model) == 2 and int(model.optimizer.iterations) == 2

    def refuse(*_):
        raise MemoryError

    found = speed.measure_speed(tiny_vit(), [1, 3], rounds=3, matrix=16)
    assert found["best_batch"] in (1, 3) and found["images_per_product"] > 0
    monkeypatch.setattr("keras_vit.studies.lab.paired.measure", refuse)
    assert speed.measure_speed(tiny_vit(), [1, 3], 3, 16)["images_per_second"] == 0
