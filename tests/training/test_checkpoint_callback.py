"""An interrupted run ends bit for bit like an uninterrupted one."""

import contextlib
import errno
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading

import keras
import numpy as np
import pytest

from keras_vit.data import Augmentation, Batches, load
from keras_vit.io import files, writing
from keras_vit.training.resuming import run_state, state_files
from keras_vit.training.resuming.checkpoint import Checkpoint

EPOCHS, STEPS, COUNT = 3, 6, 22
rng = np.random.default_rng(0)
IMAGES = rng.integers(0, 255, (COUNT, 8, 8, 1)).astype("uint8")
LABELS = rng.integers(0, 3, COUNT)
VALIDATION = IMAGES[:8].astype("float32"), np.eye(3, dtype="float32")[LABELS[:8]]


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


class Mixed(Batches):
    """Augmented images, each mixed with another one of its batch."""

    def __getitem__(self, index):
        images, labels = super().__getitem__(index)
        labels = np.eye(3, dtype="float32")[labels]
        return 0.7 * images + 0.3 * images[::-1], 0.7 * labels + 0.3 * labels[::-1]


class Interrupt(keras.callbacks.Callback):
    """Calls a function at a place, such as ("batch", 3), the third batch."""

    def __init__(self, place=None, act=None):
        super().__init__()
        self.place, self.act = place, act
        self._count = itertools.count(1)  # not a plain value: begins anew in each run

    def at(self, kind):
        if self.place is not None and kind == self.place[0]:
            if next(self._count) == self.place[1]:
                self.act(self)

    def on_epoch_begin(self, epoch, logs=None):
        self.at("begin")

    def on_train_batch_end(self, batch, logs=None):
        self.at("batch")

    def on_test_batch_end(self, batch, logs=None):
        self.at("validation")

    def on_epoch_end(self, epoch, logs=None):
        self.at("end")


class Power(Exception):
    pass


def cut(callback):
    raise Power


def send(number):
    return lambda callback: os.kill(os.getpid(), number)


def batches(**changes):
    given = {"images": IMAGES, "labels": LABELS, "batch_size": 4, "seed": 5}
    held_out = {name: changes.pop(name, "a") for name in ("validation", "test")}  # digests
    made = Mixed(**{**given, "augmentation": Augmentation(10, 0.1, 0.1), **changes})
    made.sampler.settings["held_out"] = held_out
    return made


def build(units=8, optimizer=None, loss="categorical_crossentropy", **compiled):
    x = inputs = keras.Input((8, 8, 1))
    x = keras.layers.Dense(units, "gelu")(keras.layers.Flatten()(keras.layers.Rescaling(0.01)(x)))
    x = keras.layers.Dropout(0.3)(x)
    x = x + keras.layers.Dropout(0.3, noise_shape=(None, 1))(keras.layers.Dense(units)(x))
    model = keras.Model(inputs, keras.layers.Dense(3, "softmax")(x))
    if optimizer is None:
        optimizer = keras.optimizers.AdamW(0.02, use_ema=True, ema_momentum=0.9)
    model.compile(optimizer, loss, metrics=["accuracy"], **compiled)
    model.optimizer.build(model.trainable_variables)
    return model


def everything(model):
    return run_state.copy_arrays(model)


def begun(**arguments):
    """Returns a model that Keras has fully built, and the state from which it trains."""
    model = build(**arguments)
    first = everything(model)
    fit(model, None, epochs=1)
    run_state.restore(model, first)
    run_state.restore(model, {n: v * 0 for n, v in everything(model).items() if n not in first})
    return model, everything(model)


def scramble(model):
    """Gives every variable another value, as a new process may have."""
    for variable in run_state.collect_variables(model).values():
        variable.assign(np.asarray(variable) * 0 + 3)


def fit(model, folder, place=None, act=cut, every=1, data=None, epochs=EPOCHS, **arguments):
    """Trains with settings that change over time; returns all that must be equal at the end."""
    data = data if data is not None else batches()
    stop = keras.callbacks.EarlyStopping("accuracy", patience=2, restore_best_weights=True)
    slower = keras.callbacks.ReduceLROnPlateau("val_accuracy", patience=1, factor=0.7)
    callbacks = [
        *([Checkpoint(folder, data, every=every, verbose=0)] if folder else []),
        *[slower, stop, keras.callbacks.SwapEMAWeights(), Interrupt(place, act)],
    ]
    history = model.fit(
        *(data,),
        **{"validation_data": VALIDATION, "validation_batch_size": 4, **arguments},
        **{"callbacks": callbacks, "epochs": epochs, "shuffle": False, "verbose": 0},
    )
    attributes = [
        {n: v for n, v in vars(c).items() if n in ("wait", "best", "best_epoch", "stopped_epoch")}
        for c in (stop, slower)
    ]
    return everything(model), history.history, history.epoch, attributes


def assert_same(one, two):
    for (name, a), (other, b) in zip(one[0].items(), two[0].items(), strict=True):
        assert np.array_equal(a, b), (name, other)
    assert one[1:] == two[1:]


@pytest.fixture(scope="module")
def trained():
    """A model, compiled once, its first state, and the result of an unbroken run without saves."""
    keras.utils.set_random_seed(7)
    model, first = begun()
    end = fit(model, None)
    assert len(end[1]["loss"]) == EPOCHS and end[1]["learning_rate"][-1] < 0.02
    return model, first, end


@pytest.fixture
def model(trained):
    """The model as it was before its training."""
    model, first, _ = trained
    run_state.restore(model, first)
    return model


def newest(folder):
    found = state_files.read_newest(folder)
    return found.epoch, found.step


PLACES = [("batch", 1), ("batch", STEPS), ("validation", 1)]
MORE = [
    ("end", 2),
    *[("batch", step) for step in (2, STEPS - 1, STEPS + 1, 2 * STEPS, 3 * STEPS)],
    *[("validation", 4), ("begin", 2), ("end", 1), ("end", EPOCHS)],
]


@pytest.mark.parametrize(
    ("every", "places"),
    [
        (1, PLACES),
        pytest.param(1, MORE, marks=[pytest.mark.slow, pytest.mark.both]),
        slow(4, PLACES + MORE),
        slow(None, PLACES + MORE),
    ],
)
def test_resume_is_exact_wherever_it_was_cut(trained, model, tmp_path, every, places):
    for place in places:
        folder = tmp_path / f"{place}"
        run_state.restore(model, trained[1])
        with pytest.raises(Power):
            fit(model, folder, place, every=every)
        scramble(model)
        assert_same(fit(model, folder, every=every), trained[2])


@pytest.mark.slow
@pytest.mark.both
def test_a_new_model_resumes_exactly(trained, model, tmp_path):
    with pytest.raises(Power):
        fit(model, tmp_path, ("batch", 9))
    keras.utils.set_random_seed(99)
    assert_same(fit(build(), tmp_path), trained[2])


@pytest.mark.slow
def test_many_cuts_of_one_run(trained, model, tmp_path):
    for place in [("batch", 1), ("batch", 2), ("batch", 3), ("end", 1), ("batch", 4)]:
        with contextlib.suppress(Power):
            fit(model, tmp_path, place, every=1)
        scramble(model)
    assert_same(fit(model, tmp_path), trained[2])


@pytest.mark.slow
@pytest.mark.both
@pytest.mark.parametrize("cuts", [2, pytest.param(50, marks=pytest.mark.weekly)])
def test_mixed_balanced_accumulated_batches_resume_exactly(cuts, tmp_path):
    """Cuts at random places; with four batches for each update, updates reach over epochs."""
    shares = {"validation_share": 0, "test_share": 0}
    augmentation = Augmentation(10, 0.1, 0.1, mixup=0.4, cutmix=0.4)
    images = IMAGES, np.repeat([0, 1, 2], [15, 5, 2])
    sizes = {"num_channels": 1, "sampling": "balanced", "pipeline": "keras", **shares}
    loaded = load(images, 8, 4, augmentation, 5, **sizes)
    optimizer = keras.optimizers.AdamW(
        0.02, use_ema=True, ema_momentum=0.9, gradient_accumulation_steps=4
    )
    model, first = begun(optimizer=optimizer)
    loaded.sampler.go_to(0)
    end = fit(model, None, data=loaded.train)
    numbers = random.Random(cuts)
    for cut_number in range(cuts):
        kind = numbers.choice(["batch", "batch", "batch", "validation", "end"])
        place = kind, numbers.randint(1, {"batch": STEPS, "validation": 2, "end": 1}[kind] * 3)
        run_state.restore(model, first)
        loaded.sampler.go_to(0)
        with pytest.raises(Power):
            fit(model, tmp_path / str(cut_number), place, data=loaded.train)
        scramble(model)
        assert_same(fit(model, tmp_path / str(cut_number), data=loaded.train), end)


def test_saving_changes_nothing_and_keeps_two_states(trained, model, tmp_path):
    assert_same(fit(model, tmp_path), trained[2])
    assert [p.name for p in state_files.paths(tmp_path)] == [
        "epoch-0003-step-000005.npz",
        "epoch-0004-step-000000.npz",
    ]


def test_a_complete_run_is_loaded_at_once(trained, model, tmp_path, capsys):
    fit(model, tmp_path)
    files = {p: p.read_bytes() for p in state_files.paths(tmp_path)}
    scramble(model)
    assert_same(fit(model, tmp_path, ("batch", 1)), trained[2])
    assert files == {p: p.read_bytes() for p in state_files.paths(tmp_path)}
    with pytest.warns(UserWarning, match="EarlyStopping, Interrupt, ReduceLROnPlateau"):
        model.fit(batches(), epochs=2, callbacks=[Checkpoint(tmp_path, batches())], verbose=0)
    assert "the run is complete" in capsys.readouterr().out


@pytest.mark.slow
def test_more_epochs_resume_from_the_end(model, tmp_path):
    fit(model, tmp_path / "two", epochs=2)
    resumed = fit(model, tmp_path / "two", epochs=3)
    assert resumed[2] == [0, 1, 2]


def test_a_run_that_stopped_early_stays_stopped(model, tmp_path):
    stop = keras.callbacks.EarlyStopping("loss", patience=1, min_delta=9.0)
    arguments = {"epochs": 9, "verbose": 0}
    for expected in ([0, 1], [0, 1]):
        data = batches()
        callbacks = [Checkpoint(tmp_path, data, verbose=0), stop]
        assert model.fit(data, callbacks=callbacks, **arguments).epoch == expected


def test_without_data_whole_epochs_are_saved(trained, model, tmp_path):
    data = batches()
    for place in (("batch", 9), None):
        interrupt = Interrupt(place, cut)
        data.sampler.go_to(0 if place else 1)
        callbacks = [Checkpoint(tmp_path, every=1, verbose=0), interrupt]
        with contextlib.suppress(Power):
            history = model.fit(data, epochs=2, verbose=0, callbacks=callbacks, shuffle=False)
        assert newest(tmp_path) == ((1, 0) if place else (2, 0))
    assert history.epoch == [0, 1]


@pytest.mark.both
@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras has no such steps on PyTorch")
def test_more_steps_at_once(tmp_path):
    model, first = begun(steps_per_execution=4)
    end = fit(model, None)
    for place in (("batch", 1), ("batch", 2), ("batch", 3), ("validation", 1)):
        run_state.restore(model, first)
        with pytest.raises(Power):
            fit(model, tmp_path / str(place), place)
        scramble(model)
        assert_same(fit(model, tmp_path / str(place)), end)


def test_a_table_of_results_has_each_epoch_once(trained, model, tmp_path):
    for append in (False, True):
        folder = tmp_path / str(append)
        run_state.restore(model, trained[1])
        for place in (("end", 2), ("batch", 1), None):
            data, table = batches(), keras.callbacks.CSVLogger(tmp_path / "t.csv", append=append)
            callbacks = [Checkpoint(folder, data, verbose=0), table, Interrupt(place, cut)]
            with contextlib.suppress(Power):
                model.fit(data, epochs=3, verbose=0, callbacks=callbacks, shuffle=False)
            table.csv_file.close()
        rows = (tmp_path / "t.csv").read_text().split()
        assert [row.split(",")[0] for row in rows] == ["epoch", "0", "1", "2"]
        (tmp_path / "t.csv").unlink()


def test_arguments_of_callbacks_are_not_restored(model, tmp_path):
    class Counter(keras.callbacks.Callback):
        def __init__(self, limit):
            super().__init__()
            self.limit, self.seen, self.table = limit, 0, {"a": (1, [np.arange(3)]), 2: None}

        def on_train_batch_end(self, batch, logs=None):
            self.seen += 1

    counters = Counter(1), Counter(2)
    for counter, place in zip(counters, (("batch", 4), None), strict=True):
        data = batches()
        callbacks = [counter, Checkpoint(tmp_path, data, 1, verbose=0), Interrupt(place, cut)]
        with contextlib.suppress(Power):
            model.fit(data, epochs=1, verbose=0, callbacks=callbacks, shuffle=False)
        counter.table = {"a": (1, [np.arange(3)]), 2: None} if place else counter.table
    assert [(c.limit, c.seen) for c in counters] == [(1, 4), (2, STEPS)]
    assert counters[1].table["a"][1][0].tolist() == [0, 1, 2] and counters[1].table[2] is None


@pytest.mark.parametrize(
    ("number", "error", "place", "left"),
    [
        (signal.SIGINT, KeyboardInterrupt, ("batch", 2), (0, 2)),
        (signal.SIGTERM, SystemExit, ("validation", 1), (0, STEPS - 1)),
        slow(signal.SIGTERM, SystemExit, ("batch", 2), (0, 2)),
        slow(signal.SIGTERM, SystemExit, ("batch", STEPS), (0, STEPS - 1)),
        slow(signal.SIGTERM, SystemExit, ("end", 1), (1, 0)),
        slow(signal.SIGINT, KeyboardInterrupt, ("begin", 2), (1, 1)),
    ],
)
def test_a_signal_saves_within_one_step(trained, model, tmp_path, number, error, place, left):
    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(error) as ended:
        fit(model, tmp_path, place, send(number), every=None)
    assert error is KeyboardInterrupt or ended.value.code == 143
    assert before == [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    assert newest(tmp_path) == left
    scramble(model)
    assert_same(fit(model, tmp_path), trained[2])


def test_a_second_signal_acts_at_once(model, tmp_path):
    def twice(callback):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)

    def handler(number, frame):
        raise Power

    before = signal.signal(signal.SIGTERM, handler)
    try:
        with pytest.raises(Power):
            fit(model, tmp_path, ("batch", 2), twice, every=None)
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)
    assert newest(tmp_path) == (0, 0)


def test_a_signal_after_an_error_elsewhere_is_not_swallowed(model, tmp_path):
    # A shell starts background processes with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(Power):
            fit(model, tmp_path, ("batch", 2))
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.slow
def test_another_thread_trains_without_signals(trained, model, tmp_path):
    ends = []
    thread = threading.Thread(target=lambda: ends.append(fit(model, tmp_path)))
    thread.start()
    thread.join()
    assert_same(ends[0], trained[2])


def test_nan_ends_the_run_at_its_step(trained, model, tmp_path):
    class Broken(Mixed):
        def __getitem__(self, index):
            images, labels = super().__getitem__(index)
            bad = (self.epoch, index) == (1, 2)
            return images * (np.float32("nan") if bad else np.float32(1)), labels

    data = Broken(IMAGES, LABELS, 4, 5, Augmentation(10, 0.1, 0.1))
    with pytest.raises(ArithmeticError, match="epoch 2, step 3") as error:
        fit(model, tmp_path, data=data)
    assert ", ".join(data.sampler.names(1, 2)[:3]) in str(error.value)
    assert "epoch-0002-step-000002.npz" in str(error.value) and "lower" in str(error.value)
    assert newest(tmp_path) == (1, 2)
    assert not run_state.find_nonfinite(state_files.read_newest(tmp_path).arrays)
    scramble(model)
    assert_same(fit(model, tmp_path), trained[2])


def test_weights_that_are_not_finite_are_never_saved(model, tmp_path):
    def spoil(callback):
        weight = callback.model.weights[0]
        weight.assign(np.asarray(weight) * np.float32("inf"))

    with pytest.raises(ArithmeticError, match="kernel.*not finite, after the end of epoch 1"):
        fit(model, tmp_path, ("end", 1), spoil)
    assert newest(tmp_path) == (0, STEPS - 1)


@pytest.mark.parametrize("number", [errno.ENOSPC, slow(errno.EIO), slow(errno.EROFS)])
def test_a_write_that_fails_leaves_the_state_before(trained, model, tmp_path, monkeypatch, number):
    flush, calls = writing.flush, []

    def failing(path):
        calls.append(path)
        if len(calls) == 4:
            raise OSError(number, os.strerror(number), path)
        flush(path)

    monkeypatch.setattr(writing, "flush", failing)
    with pytest.raises(OSError, match="then resume the run") as error:
        fit(model, tmp_path)
    assert error.value.errno == number and os.strerror(number) in str(error.value)
    assert newest(tmp_path) == (0, 2) and not list(tmp_path.glob(state_files.UNFINISHED))
    assert_same(fit(model, tmp_path), trained[2])


def test_a_full_disk_leaves_the_state_before(trained, model, tmp_path):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(callback):
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))

    try:
        with pytest.raises(OSError, match="step 3 was not written; that of epoch 1, step 2"):
            fit(model, tmp_path, ("batch", 3), limit)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.glob(state_files.UNFINISHED))
    assert_same(fit(model, tmp_path), trained[2])


@pytest.mark.slow
def test_a_small_disk_that_fills_up(trained, model, tmp_path):
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        filler = tmp_path / "filler"

        def fill(callback):
            with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))

        with pytest.raises(OSError, match="Free space") as error:
            fit(model, tmp_path, ("batch", 8), fill)
        assert error.value.errno == errno.ENOSPC
        filler.unlink()
        assert_same(fit(model, tmp_path), trained[2])
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_folder_that_cannot_be_written_is_refused_before_training(model, tmp_path):
    (tmp_path / "file").write_text("")
    before = everything(model)
    for folder in (tmp_path / "file" / "run", tmp_path / "file"):
        with pytest.raises(OSError, match="choose another"):
            fit(model, folder)
    assert_same([before], [everything(model)])


CHANGES = {
    "weight": lambda: build(units=9),
    "optimizer.class": lambda: build(optimizer=keras.optimizers.SGD(0.02)),
    "optimizer.learning_rate": lambda: build(
        optimizer=keras.optimizers.AdamW(0.01, use_ema=True, ema_momentum=0.9)
    ),
    "loss": lambda: build(loss="mse"),
    "data.batch_size: 4 in the checkpoint, 5 here": {"batch_size": 5},
    "data.seed": {"seed": 6},
    "data.images: 22 in": {"images": IMAGES[1:], "labels": LABELS[1:]},
    "data.names_and_labels": {"labels": LABELS[::-1]},
    "data.augmentation": {"augmentation": Augmentation(20, 0.1, 0.1)},
    "data.held_out.test: the files or the labels": {"test": "b"},
    "data.held_out.validation: the files or the labels": {"validation": "b"},
}


def test_another_run_is_refused_and_nothing_is_changed(model, tmp_path):
    with pytest.raises(Power):
        fit(model, tmp_path, ("batch", 3))
    files = {p: p.read_bytes() for p in state_files.paths(tmp_path)}
    for words, change in CHANGES.items():
        other = change() if callable(change) else model
        data = batches() if callable(change) else batches(**change)
        before = everything(other)
        with pytest.raises(ValueError, match="contains another run") as error:
            fit(other, tmp_path, data=data)
        assert words in str(error.value) and "Nothing was changed" in str(error.value)
        after = everything(other)  # on PyTorch, Keras makes metrics and draws before it calls back
        told = [name for name in before if not name.startswith("generator/")]
        assert all(np.array_equal(before[name], after[name]) for name in told)
    assert files == {p: p.read_bytes() for p in state_files.paths(tmp_path)}


def test_a_state_of_an_earlier_version_does_not_know_the_held_out_images(model, tmp_path):
    fit(model, tmp_path, epochs=1)
    found = state_files.read_newest(tmp_path)
    known = found.facts["settings"]
    for name in [name for name in known if name.startswith("data.held_out")]:
        del known[name]
    state_files.write(tmp_path, found)
    assert fit(model, tmp_path, epochs=1)[2] == [0]


def test_another_backend_is_refused(model, tmp_path):
    fit(model, tmp_path, epochs=1)
    found = state_files.read_newest(tmp_path)
    found.facts["settings"]["backend"] = "numpy"
    state_files.write(tmp_path, found)
    with pytest.raises(ValueError, match="backend: 'numpy' in the checkpoint"):
        fit(model, tmp_path)


def test_weights_alone_go_into_another_run(trained, model, tmp_path):
    with pytest.raises(ValueError, match="A folder with states"):
        Checkpoint(tmp_path).load_weights(model)
    with pytest.raises(Power):
        fit(model, tmp_path, ("batch", 3))
    other = build(optimizer="sgd")
    Checkpoint(tmp_path).load_weights(other)
    saved = state_files.read_newest(tmp_path).arrays
    for weight, name in zip(other.weights, [n for n in saved if "weight/" == n[:7]], strict=True):
        assert np.array_equal(weight, saved[name])
    with pytest.raises(ValueError, match="another model"):
        Checkpoint(tmp_path).load_weights(build(units=9))


def test_generators_are_resumed(model):
    keras.random.normal((1,))  # creates the generator of functions that have none
    taken = everything(model)
    drawn = [np.asarray(keras.random.normal((3,))) for _ in range(2)]
    run_state.restore(model, taken)
    assert run_state.SHARED in taken and not np.array_equal(*drawn)
    for numbers in drawn:
        assert np.array_equal(keras.ops.convert_to_numpy(keras.random.normal((3,))), numbers)


def damage(path, how):
    data = bytearray(path.read_bytes())
    if how == "flipped":
        data[data.index(b'"settings"') + 20] ^= 1
    path.write_bytes({"flipped": data, "cut": data[: len(data) // 3], "empty": b""}[how])


@pytest.mark.parametrize("how", ["flipped", slow("cut"), slow("empty")])
def test_a_damaged_file_falls_back_to_the_state_before(trained, model, tmp_path, how):
    with pytest.raises(Power):
        fit(model, tmp_path, ("batch", 4))
    damage(state_files.paths(tmp_path)[-1], how)
    scramble(model)
    with pytest.warns(
        UserWarning, match="step-000003.npz', which is damaged.*step-000002.npz is used"
    ):
        assert_same(fit(model, tmp_path), trained[2])
    assert [p.name for p in tmp_path.glob("*.damaged")] == ["epoch-0001-step-000003.npz.damaged"]


def test_only_damaged_files_are_an_error(model, tmp_path):
    with pytest.raises(Power):
        fit(model, tmp_path, ("batch", 4))
    for path in state_files.paths(tmp_path):
        damage(path, "cut")
    with pytest.raises(
        ValueError, match="which is damaged.*no earlier one. Remove the folder"
    ) as info:
        fit(model, tmp_path)
    assert "download" not in str(info.value)


@pytest.mark.backend_free
def test_every_flipped_byte_is_found(tmp_path):
    state = state_files.State(0, 1, {"a": 1}, {"x": np.arange(40, dtype="float32")})
    path = state_files.write(tmp_path, state)
    whole = path.read_bytes()
    wanted = state_files.read(path)
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with contextlib.suppress(ValueError):
            found = state_files.read(path)
            assert found.facts == wanted.facts and list(found.arrays) == ["x"], place
            assert np.array_equal(found.arrays["x"], wanted.arrays["x"]), place


@pytest.mark.slow
@pytest.mark.backend_free
def test_a_state_has_more_arrays_than_a_file_of_weights(tmp_path):
    names = [f"optimizer/{i}/vit_block_59_attention_query_kernel_momentum" for i in range(5_001)]
    arrays = {name: np.full(1, i) for i, name in enumerate(names)}
    found = state_files.read(state_files.write(tmp_path, state_files.State(0, 1, {}, arrays)))
    assert [*found.arrays] == names and all(found.arrays[n] == arrays[n] for n in names)


@pytest.mark.backend_free
@pytest.mark.parametrize("count, length", [(10_001, 5), (50, 30_000)])
def test_a_state_that_could_not_be_read_is_not_written(count, length, tmp_path):
    arrays = {f"{i:0{length}}": np.zeros(1) for i in range(count)}
    with pytest.raises(ValueError, match=r"at most 10,000 tensors.*Received: tensors="):
        state_files.write(tmp_path, state_files.State(0, 1, {}, arrays))
    with pytest.raises(ValueError, match=r"at most 5,000 tensors"):
        files.write_safetensors(tmp_path / "a.safetensors", arrays)
    assert not list(tmp_path.iterdir())


def test_files_of_killed_writers_are_removed(model, tmp_path):
    (tmp_path / ".epoch-0001-step-000002.npz.0123abcd.partial").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("mine")
    fit(model, tmp_path, epochs=1)
    left = {p.name for p in tmp_path.iterdir()} - {p.name for p in state_files.paths(tmp_path)}
    assert left == {"notes.txt", state_files.LOCK}


def test_two_processes_do_not_train_into_one_folder(model, tmp_path):
    pytest.importorskip("fcntl")
    hold = "import fcntl, sys; f = open(sys.argv[1], 'wb'); fcntl.lockf(f, 6); print(flush=True)"
    command = [sys.executable, "-c", hold + "; input()", str(tmp_path / state_files.LOCK)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(OSError, match="Another process"):
            fit(model, tmp_path)
        other.stdin.close()
    fit(model, tmp_path, epochs=1)


def test_a_folder_is_held_before_and_after_training(model, tmp_path):
    pytest.importorskip("fcntl")
    attempt = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'wb'), 6)"
    command = [sys.executable, "-c", attempt, str(tmp_path / state_files.LOCK)]
    with state_files.holding(tmp_path):
        fit(model, tmp_path, epochs=1)
        assert subprocess.run(command, capture_output=True).returncode
    assert not subprocess.run(command, capture_output=True).returncode


@pytest.mark.backend_free
def test_auto_saves_once_a_minute_or_less_often_if_writing_is_slow(monkeypatch, tmp_path):
    checkpoint = Checkpoint(tmp_path)
    checkpoint._saved_at, checkpoint._cost = 0.0, 0.1
    for now, cost, due in ((59, 0.1, False), (60, 0.1, True), (200, 3, False), (300, 3, True)):
        checkpoint._cost = cost
        monkeypatch.setattr("time.monotonic", lambda now=now: now)
        assert checkpoint._is_due(1) is due


@pytest.mark.backend_free
@pytest.mark.parametrize("every", [0, -1, 1.5, "epoch", True])
def test_wrong_arguments_are_refused(every):
    with pytest.raises(ValueError, match="every"):
        Checkpoint("runs/a", every=every)
    with pytest.raises(ValueError, match="`data` must have a sampler"):
        Checkpoint("runs/a", np.zeros(3))


def test_epochs_that_are_not_those_of_the_data_are_refused(model, tmp_path):
    with pytest.raises(ValueError, match="Leave steps_per_epoch out"):
        fit(model, tmp_path, steps_per_epoch=3)
    assert not list(tmp_path.iterdir())


@pytest.mark.backend_free
def test_facts_are_json(tmp_path):
    path = state_files.write(tmp_path, state_files.State(2, 3, {"loss": 0.1 + 0.2}, {}))
    with np.load(path) as file:
        facts = json.loads(file["facts"].tobytes())
    assert facts == {"loss": 0.1 + 0.2, "format": 1, "epoch": 2, "step": 3, "arrays": []}
