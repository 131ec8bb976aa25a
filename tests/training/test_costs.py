"""The cost of a run: its memory before the first step, and its time while it runs."""

import types

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit import accounting, data, environment, training
from keras_vit.training.resuming import run_state
from keras_vit.training.runs import costs, execution, messages, run_folder
from keras_vit.training.runs.timing import Pace

MEMORY = costs.Memory(fixed=100, image=10, free=1000)  # 42 images certainly fit: 100 + 21 x 42


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("batch", "accumulate", "divided"),
    [
        (42, 1, {}),
        (43, 1, {"batch_size": 21, "accumulate": 2}),  # 43 is a prime: 42 images see an update
        (64, 1, {"batch_size": 32, "accumulate": 2}),
        (4096, 1, {"batch_size": 32, "accumulate": 128}),
        (4096, 2, {"batch_size": 32, "accumulate": 256}),
        (90, 1, {"batch_size": 30, "accumulate": 3}),
    ],
)
def test_a_recipes_batch_is_divided_until_it_fits(batch, accumulate, divided):
    recipe = training.recipe("folder", batch_size=batch, accumulate=accumulate)
    assert costs.divide_batch(MEMORY, recipe, given=False) == divided
    assert costs.divide_batch(MEMORY._replace(free=None), recipe, given=False) == {}


@pytest.mark.backend_free
def test_a_batch_that_the_user_gave_is_refused_only_if_it_certainly_does_not_fit():
    with pytest.raises(ValueError, match="--batch-size 32 --accumulate 128"):
        costs.divide_batch(MEMORY, training.recipe("folder", batch_size=4096), given=True)
    recipe = training.recipe("folder", batch_size=90)
    assert costs.divide_batch(MEMORY, recipe, given=True) == {}
    assert "may not fit; --batch-size 42 does" in costs.describe_memory(MEMORY, 90)
    assert "may not" not in costs.describe_memory(MEMORY, 42)
    with pytest.raises(ValueError, match="one image.*at least.*smaller --model"):
        costs.divide_batch(MEMORY._replace(fixed=2000), recipe, given=False)


@pytest.fixture
def images():
    return data.load((np.zeros((40, 8, 8, 3), "uint8"), np.arange(40) % 2), 32, pipeline="keras")


def test_memory_is_counted_without_changing_anything(images):
    recipe = training.recipe("folder", images, moving_average=0.9)
    model = keras_vit.create("ViT-Mini/8", image_size=32, num_classes=2, dropout=0.1)
    model.compile(**recipe.compile_arguments)
    before = run_state.copy_arrays(model)
    memory = costs.measure_memory(model, recipe)
    after = run_state.copy_arrays(model)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    # weights, gradients, their sum, Adam's two moments and the average, in 4 bytes each
    assert memory.fixed == 6 * 4 * model.count_params()
    assert memory.image == accounting.activation_memory(model, 1)
    frozen = training.recipe("folder", images, adapt="linear")
    training.freeze(model, "linear")
    linear = costs.measure_memory(model, frozen)
    head = 2 * model.get_layer("head").kernel.shape[0] + 2
    assert linear.fixed == 4 * (model.count_params() + 4 * head)
    assert memory.image / 4 - 4 < linear.image <= memory.image / 4  # of four blocks, one at a time


@pytest.mark.backend_free
def test_images_that_are_much_enlarged_are_reported(images):
    recipe = training.recipe("deit")
    (line,) = costs.describe_enlargement(
        data.load((np.zeros((9, 8, 8, 3), "uint8"), np.arange(9) % 2), 224, pipeline="keras"),
        recipe,
    )
    assert "28-fold" in line and "--image-size 64 takes about 1/12 of the time" in line
    assert costs.describe_enlargement(images, training.recipe("folder", image_size=32)) == []


@pytest.mark.slow
@pytest.mark.both
def test_a_run_divides_its_recipes_batch_and_refuses_that_of_the_user(tmp_path, monkeypatch):
    arrays = {"images": np.zeros((40, 16, 16, 3), "uint8"), "labels": np.arange(40) % 2}
    np.savez(tmp_path / "images.npz", **arrays)
    options = {**run_folder.OPTIONS, "data": str(tmp_path / "images.npz"), "image_size": 16}
    options = run_folder.complete(options | {"epochs": 1})
    monkeypatch.setattr(environment, "free_memory", lambda: 2**40)
    same, _, _, _, whole = execution._build_within_memory(options)
    assert same == options and (whole.batch_size, whole.accumulate) == (28, 1)
    model = keras_vit.create("ViT-Mini/8", image_size=16, num_classes=2)
    image = accounting.activation_memory(model, 1)
    # Adam's moments, gradients, their sum, and ten images; the weights are there already
    free = 4 * 4 * model.count_params() + costs.MOST * image * 10
    monkeypatch.setattr(environment, "free_memory", lambda: free)
    divided, text, *_, recipe = execution._build_within_memory(options)
    assert (recipe.batch_size, recipe.accumulate) == (7, 4)
    assert "28 images do not fit" in text and "4 batches of 7" in text
    assert run_folder.find_recipe(divided).batch == 28 and recipe.updates == whole.updates
    with pytest.raises(ValueError, match="--batch-size 7 --accumulate 4"):
        execution._build_within_memory(options | {"batch_size": 28})


@pytest.mark.backend_free
@pytest.mark.parametrize("version", [1, 2])
def test_the_memory_of_a_container_counts(version, tmp_path):
    groups = {1: "4:memory:/run/job\n3:cpu:/\n0::/\n", 2: "0::/run/job\n"}[version]
    folder = "sys/fs/cgroup" + ("/memory" if version == 1 else "")
    if version == 1:
        names = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
    else:
        names = "memory.max", "memory.current", "inactive_file"
    limit, used, cached = names
    files = {
        "proc/meminfo": "MemTotal: 9 kB\nMemAvailable:    4096 kB\n",
        "proc/self/cgroup": groups,
        f"{folder}/run/job/{limit}": "max\n" if version == 2 else str(2**60),
        f"{folder}/run/job/{used}": "1000000\n",
        f"{folder}/run/job/memory.stat": f"{cached} 0\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert environment.free_host_memory(tmp_path) == 4096 * 1024  # the free memory of the machine
    outer = tmp_path / folder / "run"
    for name, text in ((limit, "3000000"), (used, "2500000"), ("memory.stat", f"{cached} 400000")):
        (outer / name).write_text(text)
    assert environment.free_host_memory(tmp_path) == 900_000  # the limit of the enclosing group
    assert environment.free_host_memory() > 0


@pytest.mark.backend_free
def test_the_time_left_counts_steps_and_what_follows_them():
    loader = types.SimpleNamespace(waited=7.0)
    counts = {"train": 50, "validation": 30, "test": 0}
    images = types.SimpleNamespace(batch_size=5, counts=counts, train=loader)
    pace = Pace(images, {"steps": 10, "epochs": 2}, "validation")
    pace.add_step(60.0)  # compiles
    for _ in range(3):
        assert pace.announce(0, 4) == ""
        pace.add_step(2.0)
    loader.waited = 10.0
    assert pace.announce(1, 10) == ""  # only validation is left
    # 16 steps of 2 s, and twice the validation: a third of 0.6 of 20 s
    assert pace.seconds_left(0, 4) == pytest.approx(40)
    assert pace.describe(0, 4) == "  40 s left, 2.5 images/s, 50 % waiting for data"
    assert pace.announce(0, 4).startswith("Time: about 40 s for 2 epochs of 10 steps, 2 s for")
    assert pace.announce(0, 5) == ""
    pace.end_epoch(70.0)  # validation compiles, too
    assert pace.seconds_left(0, 10) == pytest.approx(20 + 4)
    pace.end_epoch(7.0)
    assert pace.seconds_left(0, 10) == pytest.approx(20 + 7)
    assert pace.seconds_left(1, 10) == 0 and "left" not in pace.describe(1, 10)


@pytest.mark.backend_free
def test_without_a_terminal_a_line_is_printed_every_minute(monkeypatch, capsys):
    readings = iter([0.0, 0.0, 50.0, 70.0, 90.0, 110.0, 131.0])
    monkeypatch.setattr(messages.time, "perf_counter", lambda: next(readings))
    progress = messages.ProgressLine()
    progress.set_params({"epochs": 1, "steps": 9})
    progress.on_train_begin()
    progress.on_epoch_begin(0)
    printed = []
    for batch in range(5):
        progress.on_train_batch_end(batch, {"loss": 2.0})
        printed.append(capsys.readouterr().out.splitlines())
    assert printed[0] == printed[2] == printed[4] == []
    assert printed[1] == ["epoch 1/1  loss 2.000  step 2/9"]
    assert printed[3] == ["Time: about 2 min for 1 epoch of 9 steps, 20 s for a step."]


@pytest.mark.backend_free
def test_a_resumed_epoch_counts_its_earlier_steps_and_its_costs_are_new(images, capsys):
    progress = messages.ProgressLine("test", live=True, data=images)
    progress.set_params({"epochs": 2, "steps": images.steps_per_epoch})
    images.sampler.go_to(1, 0)
    assert images.sampler.begin() == images.sampler.begun == (1, 0)
    images.sampler.begun = (1, 3)
    progress.on_train_begin()
    progress.on_epoch_begin(1)
    progress.on_train_batch_end(0, {"loss": 2.0})
    assert f"step 4/{images.steps_per_epoch}" in capsys.readouterr().out
    assert keras.backend.backend() == "tensorflow" or progress.pace.loader is images.train
    states, _ = run_state.copy_attributes({"progress": progress})
    assert set(states["progress"]) == {"epoch", "epoch_seconds", "seconds", "silence", "skipped"}
