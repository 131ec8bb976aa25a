"""Which batches reach the model, and in which order, on tf.data and without TensorFlow."""

import concurrent.futures
import hashlib
import itertools
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image

from keras_vit import backend, data
from keras_vit.data import dataset, pipelines
from keras_vit.data.transforms import augment_image, resize_image

TENSORFLOW = pytest.mark.skipif(
    not backend.is_installed("tensorflow"), reason="tf.data needs TensorFlow"
)
PIPELINES = [pytest.param("tf.data", marks=TENSORFLOW), "keras"]
every_pipeline = pytest.mark.parametrize("pipeline", PIPELINES)
CHANGES = data.Augmentation(crop=(0.3, 1.0), flip=True, pad=0.1)


def numbered(count):
    """Images of one pixel, whose value is also their label."""
    return np.arange(count, dtype="uint8").reshape(-1, 1, 1, 1), np.arange(count)


def load_numbered(count=20, batch_size=4, pipeline="keras", **options):
    options = {"image_size": 1, "num_channels": 1, "validation_share": 0, "test_share": 0} | options
    return data.load(numbered(count), batch_size=batch_size, pipeline=pipeline, **options)


def drawn(count, size=(12, 9, 3), seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (count, *size), "uint8")
    return pixels, np.arange(count) % 3


def arrays_of(pipeline):
    return [tuple(map(keras.ops.convert_to_numpy, batch)) for batch in pipeline]


def equal(first, second):
    return len(first) == len(second) and all(
        np.array_equal(a, b)
        for one, other in zip(first, second, strict=True)
        for a, b in zip(one, other, strict=True)
    )


class Counts(keras.callbacks.Callback):
    """Counts from the weights of `counter` how often each image was used in each epoch."""

    def __init__(self):
        super().__init__()
        self.epochs, self.before = {}, 0

    def on_epoch_end(self, epoch, logs=None):
        weights = -keras.ops.convert_to_numpy(self.model.weights[0])[:, 0]
        self.epochs[epoch] = np.rint(weights - self.before).astype(int).tolist()
        self.before = weights


def counter(count, batch_size):
    """A model with one weight per image, which decreases by one each time the image is used."""
    model = keras.Sequential([keras.Input((1, 1, 1)), keras.layers.Flatten()])
    model.add(keras.layers.Embedding(count, 1, embeddings_initializer="zeros"))
    model.add(keras.layers.Flatten())
    model.compile(keras.optimizers.SGD(float(batch_size)), loss=lambda _, output: output)
    return model


def expected_counts(sampler, epoch, first=0):
    steps = range(first, sampler.steps_per_epoch)
    numbers = np.concatenate([sampler.indices(epoch, step) for step in steps])
    return np.bincount(numbers, minlength=len(sampler.labels)).tolist()


@every_pipeline
def test_fit_receives_the_epochs_in_order(pipeline):
    loaded = load_numbered(18, 4, pipeline)  # 5 batches; two images of the first are repeated
    left, counts = record(loaded), Counts()
    counter(18, 4).fit(loaded.train, epochs=3, shuffle=False, verbose=0, callbacks=[counts])
    order = loaded.sampler.order
    for epoch in range(3):
        assert counts.epochs[epoch] == np.bincount(order(epoch), minlength=18).tolist()
    assert [place for place, _ in itertools.groupby(left)][-15:] == whole_epochs(0, 1, 2)
    assert len({tuple(order(epoch)) for epoch in range(3)}) == 3


@every_pipeline
@pytest.mark.filterwarnings("ignore:.*ran out of data")
def test_fit_resumes_in_the_middle_of_an_epoch(pipeline):
    loaded = load_numbered(20, 4, pipeline)
    left, counts = record(loaded), Counts()
    loaded.sampler.go_to(1, 2)
    options = {"epochs": 4, "initial_epoch": 1, "shuffle": False, "verbose": 0}
    counter(20, 4).fit(loaded.train, callbacks=[counts], **options)
    assert counts.epochs[1] == expected_counts(loaded.sampler, 1, first=2)
    assert counts.epochs[2] == counts.epochs[3] == [1] * 20
    assert left[-13:] == [(1, 2), (1, 3), (1, 4)] + whole_epochs(2, 3)
    assert (loaded.sampler.epoch, loaded.sampler.step) == (4, 0)


def record(loaded):
    """Lists the (epoch, step) of every batch that leaves the pipeline."""
    left, taken = [], loaded.training_batches.mark_delivered

    def noted(epoch, step):
        left.append((epoch, step))
        taken(epoch, step)

    loaded.training_batches.mark_delivered = noted
    return left


def whole_epochs(*epochs):
    return [(epoch, step) for epoch in epochs for step in range(5)]


@every_pipeline
def test_taking_one_batch_does_not_move_the_sampler(pipeline):
    loaded = load_numbered(20, 4, pipeline)
    order = [labels.tolist() for labels in loaded.sampler.order(0).reshape(5, 4)]
    for _ in range(2):
        assert keras.ops.convert_to_numpy(next(iter(loaded.train))[1]).tolist() == order[0]
    assert [labels.tolist() for _, labels in arrays_of(loaded.train)] == order
    other = [labels.tolist() for _, labels in arrays_of(loaded.train)]
    assert other == loaded.sampler.order(1).reshape(5, 4).tolist() != order
    loaded.sampler.go_to(0, 3)
    iter(loaded.train)  # an iterator that yields nothing
    assert [labels.tolist() for _, labels in arrays_of(loaded.train)] == order[3:]


@pytest.mark.backend_free
def test_a_sampler_counts_only_whole_iterations():
    sampler = data.Sampler(np.zeros(6), batch_size=2)
    assert sampler.begin() == (0, 0) and (sampler.epoch, sampler.step) == (1, 0)
    sampler.mark_delivered(0, 0)
    assert sampler.place == sampler.begin() == (0, 0)  # it was only a look
    sampler.mark_delivered(0, 2)
    assert sampler.begin() == (1, 0)
    sampler.go_to(2)  # abandons the epoch that was begun
    assert sampler.begin() == (2, 0)
    sampler.mark_delivered(1, 2)  # a late batch of another epoch
    assert sampler.begin() == (2, 0)
    sampler.go_to(4, 3)  # after the last of three batches
    assert sampler.begin() == (5, 0)
    # A state is JSON, in which a number of NumPy would be a text.
    assert type(data.Sampler(np.zeros(6), 2, seed=np.int64(3)).fingerprint()["seed"]) is int


@pytest.mark.backend_free
def test_threads_share_the_numbers_of_an_epoch_which_are_read_only(monkeypatch):
    made, maker = [], np.random.Philox
    monkeypatch.setattr(np.random, "Philox", lambda *seed: made.append(seed) or maker(*seed))
    sampler = data.Sampler(np.zeros(100_000), 64)
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        tables = list(threads.map(lambda step: sampler.draws(0, step, 20), range(8)))
    assert len(made) == 1 and not np.array_equal(tables[0], tables[1])
    for kept in (sampler.order(0), sampler.draw(0, 20)):
        with pytest.raises(ValueError, match="read-only"):
            kept[0] = 0


@pytest.mark.backend_free
def test_batches_in_any_order_are_not_read_ahead():
    """Keras shuffles them for a model around ours, unless `shuffle=False` is given."""
    images = np.arange(40, dtype="uint8").reshape(40, 1, 1, 1)
    batches = data.Batches(images, np.arange(40), 2, augmentation="flip")
    ordered = [labels.tolist() for _, labels in batches]
    batches.sampler.go_to(0)
    batches.on_epoch_begin()
    for index in reversed(range(20)):
        assert batches[index][1].tolist() == ordered[index]
        assert not batches._iteration[2]  # no batch is kept


class Row:
    """A generator of the random numbers of one image."""

    def __init__(self, seed, epoch, index):
        self.place = seed, epoch, index

    def random(self, shape, dtype):
        seed, epoch, index = self.place
        table = np.random.Generator(np.random.Philox([seed, epoch])).random((50, shape[1]), dtype)
        return table[index : index + 1]


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("augment", [None, CHANGES, CHANGES._replace(mixup=0.5)])
def test_batches_depend_only_on_seed_epoch_and_index(pipeline, augment):
    """Every batch again, from `augment_image` and the row of each image in the table."""
    pixels, labels = drawn(11)
    options = {"image_size": (6, 8), "batch_size": 4, "seed": 5, "augment": augment}
    loaded = data.load(
        (pixels, labels), validation_share=0, test_share=0, pipeline=pipeline, **options
    )
    changes = augment or data.Augmentation()
    for epoch in range(2):
        shown = arrays_of(loaded.train)
        assert len(shown) == loaded.steps_per_epoch == 3
        for step, (images, classes) in enumerate(shown):
            numbers = loaded.sampler.indices(epoch, step)
            plain = np.stack(
                [
                    augment_image(
                        Image.fromarray(pixels[i]),
                        (6, 8),
                        changes,
                        Row(5, epoch, i),
                    )
                    for i in numbers
                ]
            )
            if changes.mixes:
                assert images.dtype == "uint8" and classes.dtype == "float32"
                assert classes.shape == (4, 3)
                share = classes.max(axis=1, keepdims=True)[..., None, None]
                other = np.roll(plain, 1, axis=0).astype(float)
                mixed = share * plain + (1 - share) * other
                whole = classes.max(axis=1) < 1  # neighbors of one class keep a label of 1
                np.testing.assert_allclose(images[whole], mixed[whole], atol=0.5)  # rounded
                assert whole.any()
            else:
                assert images.dtype == "uint8" and classes.dtype == "int32"
                assert np.array_equal(images, plain) and np.array_equal(classes, labels[numbers])


SETTINGS = [
    {}, {"flip": True}, {"pad": 0.3}, {"flip": True, "pad": 0.3, "mixup": 0.2}, {"rotation": 20},
    {"randaugment": (2, 9), "jitter": 0.2}, {"flip": True, "erasing": 0.9},
]  # fmt: skip


@pytest.mark.backend_free
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_pixels_in_memory_are_augmented_like_images(channels, settings, monkeypatch):
    """Without a crop there is nothing to resize, so the source makes no Pillow image."""
    pixels, labels = drawn(20, (11, 7, channels))
    before, changes = pixels.copy(), data.Augmentation(**settings)
    options = {"num_channels": channels, "augment": changes, "pipeline": "keras", "seed": 3}
    loaded = data.load((pixels, labels), (11, 7), test_share=0, validation_share=0, **options)
    monkeypatch.setattr(type(loaded.sources["train"]), "image", None)
    batch = loaded.training_batches.images(4, 0)
    for index, augmented in zip(loaded.sampler.indices(4, 0), batch, strict=True):
        image = Image.fromarray(before[index, ..., 0] if channels == 1 else before[index])
        expected = augment_image(image, (11, 7), changes, Row(3, 4, index))
        assert np.array_equal(augmented, expected)
    assert np.array_equal(pixels, before)


@pytest.mark.backend_free
def test_no_random_generator_is_made_for_an_image(monkeypatch):
    """A generator costs more than all other work on a small image; an epoch has only a few."""
    made = []

    def counted(maker):
        return lambda *args, **options: made.append(maker) or maker(*args, **options)

    for name in ("default_rng", "Generator", "Philox", "PCG64", "SeedSequence"):
        monkeypatch.setattr(np.random, name, counted(getattr(np.random, name)))
    changes = CHANGES._replace(randaugment=(2, 9), jitter=0.2, erasing=0.5, rotation=9, mixup=0.2)
    for augment in (changes, changes._replace(crop=None)):
        loaded = data.load(drawn(400), (12, 9), 400, augment, pipeline="keras", test_share=0)
        made.clear()
        arrays_of(loaded.train)
        arrays_of(loaded.train)
        assert 0 < len(made) < 20


HEAVY = data.Augmentation(
    rotation=9, zoom=0.1, shift=0.1, flip=True, pad=0.2, randaugment=(2, 9),
    randaugment_style="increasing", jitter=0.2, erasing=0.5, mixup=0.8, cutmix=1.0,
)  # fmt: skip


@every_pipeline
def test_any_number_of_threads_gives_the_same_batches(pipeline, monkeypatch):
    loaded = data.load(drawn(150), (12, 9), 10, HEAVY, test_share=0, pipeline=pipeline)
    made = loaded.training_batches
    expected = [made.batch(epoch, step) for epoch in range(2) for step in range(made.steps)]
    for threads in (1, 4, 8):
        monkeypatch.setattr(pipelines, "count_threads", lambda batches, threads=threads: threads)
        again = data.load(drawn(150), (12, 9), 10, HEAVY, test_share=0, pipeline=pipeline)
        assert equal(arrays_of(again.train) + arrays_of(again.train), expected)


PROCESS = """
import hashlib, sys
import numpy as np
sys.argv[0] = "keras-vit"  # imports no Keras
from keras_vit.data.dataset import load
from keras_vit.data.transforms.augmentation import Augmentation
settings, rank = Augmentation(*eval(sys.argv[1])), int(sys.argv[2])
pixels = np.random.default_rng(0).integers(0, 256, (60, 12, 9, 3), "uint8")
batches = load((pixels, np.arange(60) % 3), (12, 9), 10, settings, 3).training_batches
for step in range(rank, batches.steps, 2):
    images, labels = batches.batch(2, step)
    print(hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest())
"""


@pytest.mark.backend_free
def test_two_processes_make_the_batches_of_one():
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, repr(tuple(HEAVY)), str(rank)],
            stdout=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    printed = [process.communicate()[0].split() for process in running]
    made = data.load(drawn(60), (12, 9), 10, HEAVY, 3).training_batches
    for step in range(made.steps):
        content = b"".join(array.tobytes() for array in made.batch(2, step))
        assert printed[step % 2][step // 2] == hashlib.sha256(content).hexdigest()


@every_pipeline
def test_an_epoch_resumes_at_any_batch(pipeline):
    loaded = data.load(drawn(60), (12, 9), 4, HEAVY, test_share=0, pipeline=pipeline)
    steps, cuts = loaded.steps_per_epoch, 50 if pipeline == "keras" else 10
    whole = [[loaded.training_batches.batch(epoch, i) for i in range(steps)] for epoch in range(3)]
    rng = np.random.default_rng(0)
    for epoch, step in rng.integers((0, 0), (3, steps), (cuts, 2)).tolist():
        loaded.sampler.go_to(epoch, step)
        assert equal(arrays_of(loaded.train), whole[epoch][step:])


@TENSORFLOW
def test_both_pipelines_yield_the_same():
    both = [
        data.load(
            drawn(30), 8, batch_size=7, augment=CHANGES._replace(cutmix=1.0), pipeline=pipeline
        )
        for pipeline in dataset.PIPELINES
    ]
    for part in ("train", "validation", "test", "train"):
        assert equal(*(arrays_of(getattr(loaded, part)) for loaded in both))


@TENSORFLOW
def test_tf_data_knows_its_shapes_and_its_length():
    loaded = data.load(drawn(40), (8, 6), batch_size=16, pipeline="tf.data")
    images, labels = loaded.train.element_spec
    assert images.shape == (16, 8, 6, 3) and labels.shape == (16,) and images.dtype == "uint8"
    assert len(loaded.train) == loaded.steps_per_epoch == 2 and len(loaded.test) == 1
    assert loaded.train.options().autotune.enabled is False
    loaded.sampler.go_to(0, 1)
    assert len(loaded.train) == 2 and len(arrays_of(loaded.train)) == 1
    mixed = data.load(drawn(40), 8, augment="deit", batch_size=64, pipeline="tf.data")
    images, labels = mixed.train.element_spec
    assert images.shape == (28, 8, 8, 3) and labels.shape == (28, 3) and labels.dtype == "float32"


@every_pipeline
def test_pipelines_raise_the_name_of_an_unreadable_image(tmp_path, pipeline):
    for number, name in itertools.product(range(3), ("cat", "dog")):
        (tmp_path / name).mkdir(exist_ok=True)
        Image.new("RGB", (70, 70)).save(tmp_path / name / f"{number}.jpg")
    path = tmp_path / "dog" / "1.jpg"
    path.write_bytes(path.read_bytes()[:300])
    loaded = data.load(tmp_path, 8, test_share=0, validation_share=0, pipeline=pipeline)
    with pytest.raises(Exception, match="dog.1.jpg.*cannot be read as an image"):
        arrays_of(loaded.train)


@pytest.mark.backend_free
def test_memory_limits_the_number_of_threads(monkeypatch):
    monkeypatch.setattr(pipelines, "cores", lambda: 8)
    made = load_numbered(1000, 10).training_batches
    assert pipelines.count_threads(made) == 8
    assert pipelines.count_threads(load_numbered(20, 10).training_batches) == 2  # batches in all
    large = data.load(drawn(120), 1024, batch_size=72, pipeline="keras", test_share=0)
    assert pipelines.count_threads(large.training_batches) == 2 - 0  # of 216 MiB each, in 1 GiB
    monkeypatch.setattr(pipelines, "MEMORY", 1)
    assert pipelines.count_threads(made) == 1


@pytest.mark.slow
@every_pipeline
def test_a_model_is_trained_and_evaluated(pipeline):
    pixels = np.zeros((60, 8, 8, 3), "uint8")
    labels = np.arange(60) % 3
    pixels[np.arange(60), ..., labels] = 255
    loaded = data.load((pixels, labels), 8, batch_size=16, augment="cifar", pipeline=pipeline)
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(3)(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1.0), loss, metrics=["accuracy"])
    options = {"validation_data": loaded.validation, "shuffle": False, "verbose": 0}
    history = model.fit(loaded.train, epochs=4, **options).history
    assert history["val_accuracy"][-1] == 1.0
    assert model.evaluate(loaded.test, verbose=0, return_dict=True)["accuracy"] == 1.0


@pytest.mark.slow
@TENSORFLOW
def test_the_pipelines_benchmark_lists_every_contender(tmp_path, monkeypatch, capsys):
    import pipeline

    for number, name in itertools.product(range(15), ("cat", "dog")):
        (tmp_path / name).mkdir(exist_ok=True)
        Image.new("RGB", (70, 70)).save(tmp_path / name / f"{number}.jpg")
    monkeypatch.setattr(pipeline, "COUNT", 64)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path.parent / "home"))
    pipeline.main([str(tmp_path), "--rounds", "1", "--image-size", "8"])
    printed = capsys.readouterr().out
    assert "30 photographs at 8 px" in printed and "64 images of 32 x 32" in printed
    contenders = re.findall(r"^  (\S.*?) +[\d,]+ images/s; ours is \d+\.\d\d", printed, re.M)
    ours = ["ours", "ours, Keras", "ours, deit", "ours, deit, Keras"]
    photographs = [*ours, "ours, cache on disk", "tf.data", "tf.data, antialiased"]
    assert contenders == [*photographs, *ours, "tf.data"]


@every_pipeline
def test_validation_and_test_are_complete_and_not_augmented(pipeline):
    pixels, labels = drawn(40)
    options = {"validation_share": 0.2, "augment": "inception", "pipeline": pipeline}
    loaded = data.load((pixels, labels), 5, batch_size=4, **options)
    loaded._evaluation_size = 4  # else all go into one batch
    assert loaded.counts == {"train": 25, "validation": 6, "test": 9}
    for part, sizes in (("validation", [4, 2]), ("test", [4, 4, 1])):
        first, again = (arrays_of(getattr(loaded, part)) for _ in range(2))
        assert equal(first, again) and [len(classes) for _, classes in first] == sizes
        numbers = [int(name) for name in loaded.sources[part].names]
        assert numbers == sorted(numbers)
        expected = [resize_image(Image.fromarray(pixels[i]), 5) for i in numbers]
        assert np.array_equal(np.concatenate([images for images, _ in first]), expected)
        assert np.array_equal(np.concatenate([c for _, c in first]), labels[numbers])
        assert np.array_equal(loaded.labels(part), labels[numbers])
        assert first[0][0].dtype == "uint8" and first[0][1].dtype == "int32"
