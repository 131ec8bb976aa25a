"""`load`: what reaches the model, in which order, on tf.data and without TensorFlow."""

import itertools
import re

import keras
import numpy as np
import pytest
from PIL import Image

from keras_vit import backend, data
from keras_vit.data import batches, loading, pipelines, prepare, sources

TENSORFLOW = pytest.mark.skipif(
    not backend.is_installed("tensorflow"), reason="tf.data needs TensorFlow"
)
PIPELINES = [pytest.param("tf.data", marks=TENSORFLOW), "keras"]
every_pipeline = pytest.mark.parametrize("pipeline", PIPELINES)
CHANGES = data.Augmentation(crop=(0.3, 1.0), flip=True, pad=0.1)


def numbered(count):
    """Pictures of one pixel that tells their number, which is their label too."""
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
    """How often each picture was trained on in each epoch, as the weights of `counter` tell."""

    def __init__(self):
        super().__init__()
        self.epochs, self.before = {}, 0

    def on_epoch_end(self, epoch, logs=None):
        weights = -keras.ops.convert_to_numpy(self.model.weights[0])[:, 0]
        self.epochs[epoch] = np.rint(weights - self.before).astype(int).tolist()
        self.before = weights


def counter(count, batch_size):
    """A model with a weight for every picture that falls by one each time it is trained on."""
    model = keras.Sequential([keras.Input((1, 1, 1)), keras.layers.Flatten()])
    model.add(keras.layers.Embedding(count, 1, embeddings_initializer="zeros"))
    model.add(keras.layers.Flatten())
    model.compile(keras.optimizers.SGD(float(batch_size)), loss=lambda _, output: output)
    return model


def expected_counts(position, epoch, first=0):
    steps = range(first, position.steps_per_epoch)
    numbers = np.concatenate([position.indices(epoch, step) for step in steps])
    return np.bincount(numbers, minlength=len(position.labels)).tolist()


@every_pipeline
def test_fit_sees_the_epochs_in_their_order(pipeline):
    loaded = load_numbered(18, 4, pipeline)  # 5 batches, two pictures of the first come again
    left, counts = record(loaded), Counts()
    counter(18, 4).fit(loaded.train, epochs=3, shuffle=False, verbose=0, callbacks=[counts])
    order = loaded.position.order
    for epoch in range(3):
        assert counts.epochs[epoch] == np.bincount(order(epoch), minlength=18).tolist()
    assert [place for place, _ in itertools.groupby(left)][-15:] == whole_epochs(0, 1, 2)
    assert len({tuple(order(epoch)) for epoch in range(3)}) == 3


@every_pipeline
@pytest.mark.filterwarnings("ignore:.*ran out of data")
def test_fit_goes_on_in_the_middle_of_an_epoch(pipeline):
    loaded = load_numbered(20, 4, pipeline)
    left, counts = record(loaded), Counts()
    loaded.position.go_to(1, 2)
    options = {"epochs": 4, "initial_epoch": 1, "shuffle": False, "verbose": 0}
    counter(20, 4).fit(loaded.train, callbacks=[counts], **options)
    assert counts.epochs[1] == expected_counts(loaded.position, 1, first=2)
    assert counts.epochs[2] == counts.epochs[3] == [1] * 20
    assert left[-13:] == [(1, 2), (1, 3), (1, 4)] + whole_epochs(2, 3)
    assert (loaded.position.epoch, loaded.position.step) == (4, 0)


def record(loaded):
    """Lists the (epoch, step) of every batch that leaves the pipeline."""
    left, taken = [], loaded.training_batches.taken

    def noted(epoch, step):
        left.append((epoch, step))
        taken(epoch, step)

    loaded.training_batches.taken = noted
    return left


def whole_epochs(*epochs):
    return [(epoch, step) for epoch in epochs for step in range(5)]


@every_pipeline
def test_a_look_does_not_move_the_position(pipeline):
    loaded = load_numbered(20, 4, pipeline)
    order = [labels.tolist() for labels in loaded.position.order(0).reshape(5, 4)]
    for _ in range(2):
        assert keras.ops.convert_to_numpy(next(iter(loaded.train))[1]).tolist() == order[0]
    assert [labels.tolist() for _, labels in arrays_of(loaded.train)] == order
    other = [labels.tolist() for _, labels in arrays_of(loaded.train)]
    assert other == loaded.position.order(1).reshape(5, 4).tolist() != order
    loaded.position.go_to(0, 3)
    iter(loaded.train)  # an iterator of which nothing is taken
    assert [labels.tolist() for _, labels in arrays_of(loaded.train)] == order[3:]


def test_progress_counts_only_whole_iterations():
    progress = batches.Progress(np.zeros(6), batch_size=2)
    assert progress.begin() == (0, 0) and (progress.epoch, progress.step) == (1, 0)
    progress.taken(0, 0)
    assert progress.begin() == (0, 0)  # that was a look
    progress.taken(0, 2)
    assert progress.begin() == (1, 0)
    progress.go_to(2)  # the epoch that was begun is given up
    assert progress.begin() == (2, 0)
    progress.taken(1, 2)  # a straggler of another epoch
    assert progress.begin() == (2, 0)


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("augment", [None, CHANGES, CHANGES._replace(mixup=0.5)])
def test_batches_are_functions_of_seed_epoch_and_number(pipeline, augment):
    """Every batch again, from `prepare.train` and the generator of each picture."""
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
            numbers = loaded.position.indices(epoch, step)
            plain = np.stack(
                [
                    prepare.train(
                        Image.fromarray(pixels[i]),
                        (6, 8),
                        changes,
                        np.random.default_rng([5, epoch, i]),
                    )
                    for i in numbers
                ]
            )
            if changes.mixes:
                assert images.dtype == classes.dtype == "float32" and classes.shape == (4, 3)
                share = classes.max(axis=1, keepdims=True)[..., None, None]
                other = np.roll(plain, 1, axis=0).astype(float)
                mixed = share * plain + (1 - share) * other
                whole = classes.max(axis=1) < 1  # neighbours of one class keep a label of 1
                np.testing.assert_allclose(images[whole], mixed[whole], atol=1e-3)
                assert whole.any()
            else:
                assert images.dtype == "uint8" and classes.dtype == "int32"
                assert np.array_equal(images, plain) and np.array_equal(classes, labels[numbers])


@TENSORFLOW
def test_both_pipelines_show_the_same():
    both = [
        data.load(
            drawn(30), 8, batch_size=7, augment=CHANGES._replace(cutmix=1.0), pipeline=pipeline
        )
        for pipeline in pipelines_of_load()
    ]
    for part in ("train", "validation", "test", "train"):
        assert equal(*(arrays_of(getattr(loaded, part)) for loaded in both))


def pipelines_of_load():
    return loading.PIPELINES


@every_pipeline
def test_validation_and_test_are_plain_and_complete(pipeline):
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
        expected = [prepare.evaluate(Image.fromarray(pixels[i]), 5) for i in numbers]
        assert np.array_equal(np.concatenate([images for images, _ in first]), expected)
        assert np.array_equal(np.concatenate([c for _, c in first]), labels[numbers])
        assert np.array_equal(loaded.labels(part), labels[numbers])
        assert first[0][0].dtype == "uint8" and first[0][1].dtype == "int32"


def test_small_pictures_are_evaluated_in_larger_batches():
    sizes = {(8, 4): 512, (96, 4): 151, (224, 64): 64, (224, 4): 27}  # 4 MiB of pictures
    for (side, batch_size), size in sizes.items():
        images = np.zeros((600, 1, 1, 3), "uint8")
        parts = {"train": (images[:2], [0, 1]), "test": (images, np.arange(600) % 2)}
        loaded = data.load(parts, side, batch_size, validation_share=0, pipeline="keras")
        assert loaded.fixed_batches("test").batch_size == size


@TENSORFLOW
def test_tf_data_knows_its_shapes_and_its_length():
    loaded = data.load(drawn(40), (8, 6), batch_size=16, pipeline="tf.data")
    images, labels = loaded.train.element_spec
    assert images.shape == (16, 8, 6, 3) and labels.shape == (16,) and images.dtype == "uint8"
    assert len(loaded.train) == loaded.steps_per_epoch == 2 and len(loaded.test) == 1
    loaded.position.go_to(0, 1)
    assert len(loaded.train) == 2 and len(arrays_of(loaded.train)) == 1
    mixed = data.load(drawn(40), 8, augment="deit", batch_size=64, pipeline="tf.data")
    images, labels = mixed.train.element_spec
    assert images.shape == (28, 8, 8, 3) and labels.shape == (28, 3) and images.dtype == "float32"


@every_pipeline
def test_an_unreadable_picture_is_named_where_it_is_read(tmp_path, pipeline):
    for number, name in itertools.product(range(3), ("cat", "dog")):
        (tmp_path / name).mkdir(exist_ok=True)
        Image.new("RGB", (70, 70)).save(tmp_path / name / f"{number}.jpg")
    path = tmp_path / "dog" / "1.jpg"
    path.write_bytes(path.read_bytes()[:300])
    loaded = data.load(tmp_path, 8, test_share=0, validation_share=0, pipeline=pipeline)
    with pytest.raises(Exception, match="dog.1.jpg.*cannot be read as a picture"):
        arrays_of(loaded.train)


def test_missing_parts_are_drawn_each_class_by_itself():
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    source = sources.ArraySource(np.zeros((100, 1, 1, 1), "uint8"), labels)
    parts = sources.Parts("x", ("a", "b", "c"), source, None, None)

    def numbers(**options):
        found = loading.divided(parts, **options)
        return [set(map(int, part.names)) if part else None for part in found[2:]]

    train, validation, test = numbers()
    assert train | validation | test == set(range(100)) and len(train) == 72
    assert np.bincount(labels[sorted(test)]).tolist() == [10, 6, 4]
    assert np.bincount(labels[sorted(validation)]).tolist() == [4, 2, 2]  # a tenth of 40, 24, 16
    assert numbers() == [train, validation, test] != numbers(split_seed=1)
    assert numbers(validation_share=0.5)[2] == test  # the test part depends on nothing else
    assert numbers(validation_share=0, test_share=0) == [set(range(100)), None, None]


def test_parts_that_are_there_stay_and_validation_comes_from_training():
    whole = {"train": drawn(30), "test": drawn(6, seed=1)}
    loaded = data.load(whole, 8, pipeline="keras")
    assert loaded.counts == {"train": 27, "validation": 3, "test": 6}
    assert loaded.sources["test"].names == list("012345")
    both = data.load(whole | {"val": drawn(9, seed=2)}, 8, pipeline="keras")
    assert both.counts == {"train": 30, "validation": 9, "test": 6}


def test_the_seed_changes_the_order_but_not_the_parts():
    first, second = (load_numbered(20, seed=seed, test_share=0) for seed in (0, 1))
    assert first.position.order(0).tolist() != second.position.order(0).tolist()
    pair = drawn(40)
    tests = [data.load(pair, 8, seed=seed, pipeline="keras").sources["test"] for seed in (0, 1)]
    assert tests[0].names == tests[1].names


def test_classes_without_pictures_in_a_part_are_told():
    images = np.zeros((4, 2, 2, 1), "uint8")
    parts = {"train": (images, [0, 1, 2, 2]), "val": (images, [0] * 4), "test": (images, [2] * 4)}
    with pytest.warns(UserWarning) as warned:
        loaded = data.load(parts, 2, pipeline="keras")
    assert [str(warning.message) for warning in warned] == [
        "The validation part of 'arrays' has no picture of class '1', '2'.",
        "The test part of 'arrays' has no picture of class '0', '1'.",
    ]
    assert loaded.num_classes == 3 and warned[0].filename == __file__
    with pytest.warns(UserWarning, match="test.*class '1', '2'"):  # a single picture is trained on
        loaded = data.load((images, [0, 0, 1, 2]), 2, pipeline="keras")
    assert loaded.counts == {"train": 3, "validation": 0, "test": 1}


@pytest.fixture
def pictures(tmp_path):
    """Grey pictures of 70 x 70 in colours files; the shade tells class and number."""
    for label, name in enumerate(("cat", "dog", "eel")):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(10):
            path = tmp_path / "pictures" / name / f"{i}.png"
            Image.new("RGB", (70, 70), (80 * label + i,) * 3).save(path)
    return tmp_path / "pictures"


@pytest.mark.parametrize("cache", [None, True, False])
def test_a_folder_is_loaded(pictures, cache):
    loaded = data.load(pictures, 8, batch_size=5, num_channels=1, cache=cache, pipeline="keras")
    assert loaded.name == "pictures" and loaded.class_names == ("cat", "dog", "eel")
    assert loaded.counts == {"train": 21, "validation": 3, "test": 6}
    assert isinstance(loaded.sources["train"], sources.ArraySource) == (cache is True)
    for part in ("train", "validation", "test"):
        for images, labels in getattr(loaded, part):
            assert images.shape[1:] == (8, 8, 1)
            assert np.array_equal(images[:, 0, 0, 0] // 80, labels)
    names = loaded.position.names(1, 2)
    assert len(names) == 5 and all(re.fullmatch(r"(cat|dog|eel)/\d\.png", name) for name in names)


def test_grey_and_colours_are_converted():
    pixels, labels = drawn(12)
    grey = data.load((pixels, labels), (12, 9), num_channels=1, pipeline="keras")
    images, classes = next(iter(grey.test))
    source = pixels[int(grey.sources["test"].names[0])]
    assert np.array_equal(images[0, ..., 0], Image.fromarray(source).convert("L"))
    colours = data.load((pixels[..., :1], labels), (12, 9), pipeline="keras")
    images, _ = next(iter(colours.train))
    assert images.shape[-1] == 3 and (images == images[..., :1]).all()


def test_fingerprint_tells_what_a_resumed_run_must_share(pictures):
    def fingerprint(**options):
        return data.load(pictures, **{"image_size": 8, "pipeline": "keras"} | options).position

    same = fingerprint().fingerprint()
    assert same == fingerprint(pipeline="keras", resize="crop").fingerprint()
    others = [{"seed": 1}, {"image_size": 9}, {"batch_size": 3}, {"augment": "flip"}]
    others += [{"split_seed": 1}, {"num_channels": 1}, {"validation_share": 0.5}]
    for options in others:
        assert fingerprint(**options).fingerprint() != same, options
    moved = pictures.parent / "elsewhere" / "pictures"
    moved.parent.mkdir()
    pictures.rename(moved)
    assert data.load(moved, 8, pipeline="keras").position.fingerprint() == same


def test_threads_are_bounded_by_memory(monkeypatch):
    monkeypatch.setattr(pipelines, "cores", lambda: 8)
    made = load_numbered(1000, 10).training_batches
    assert pipelines.threads(made) == 8
    assert pipelines.threads(load_numbered(20, 10).training_batches) == 2  # batches in all
    large = data.load(drawn(120), 1024, batch_size=72, pipeline="keras", test_share=0)
    assert pipelines.threads(large.training_batches) == 2 - 0  # of 216 MiB each, in 1 GiB
    monkeypatch.setattr(pipelines, "MEMORY", 1)
    assert pipelines.threads(made) == 1


def test_repr_tells_what_was_loaded(pictures):
    loaded = data.load(pictures, (8, 16), batch_size=5, augment="cifar", pipeline="keras")
    assert repr(loaded) == (
        "<Data 'pictures': 21 train, 3 validation, 6 test\n"
        " 3 classes: cat, dog, eel\n"
        " 8 x 16 pixels, 3 channels, batches of 5, 5 an epoch, seed 0\n"
        " training pictures: flip=True, pad=0.125>"
    )


def test_the_grid_shows_what_the_model_sees(pictures):
    loaded = data.load(pictures, 8, batch_size=10, augment=CHANGES, pipeline="keras")
    images, labels = loaded.training_batches.batch(1, 0)
    figure = loaded.grid(number=9, epoch=1)
    assert len(figure.axes) == 9
    for axes, image, label in zip(figure.axes, images, labels, strict=False):
        assert np.array_equal(axes.images[0].get_array(), image)
        assert axes.get_title() == ("cat", "dog", "eel")[label]
    mixed = data.load(pictures, 8, batch_size=30, augment="deit", pipeline="keras").grid()
    titles = [axes.get_title() for axes in mixed.axes]
    assert len(titles) == 16 and any(re.fullmatch(r"\w+ \d+ %\n\w+ \d+ %", t) for t in titles)
    assert loaded.position.begin() == (0, 0)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"image_size": 0}, "image_size.*1 or more.*image_size=0"),
        ({"batch_size": 0}, "batch_size.*1 or more"),
        ({"seed": -1}, "seed.*seed=-1"),
        ({"seed": True}, "seed"),
        ({"split_seed": 0.5}, "split_seed"),
        ({"test_share": 1}, "test_share.*less than 1.*tenth"),
        ({"validation_share": -0.1}, "validation_share.*at least 0.*tenth"),
        ({"num_channels": 2}, "num_channels.*1, 3"),
        ({"resize": "stretch"}, "resize.*'squash', 'crop'"),
        ({"cache": "yes"}, "cache"),
        ({"pipeline": "torch"}, "pipeline.*'tf.data', 'keras'"),
        ({"augment": "incption"}, "Did you mean 'inception'"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        data.load(drawn(10), **options)


def test_sources_that_cannot_be_used_are_refused(tmp_path):
    for missing in (tmp_path / "none", "pictures/none", "none.csv", "no name", r"C:\none"):
        with pytest.raises(FileNotFoundError, match="not there. Give a folder"):
            data.load(missing)
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(ValueError, match="folder, a .csv or an .npz.*x.txt"):
        data.load(tmp_path / "x.txt")
    with pytest.raises(ValueError, match="source='int'"):
        data.load(3)


def test_names_of_sets_are_told_from_paths(monkeypatch, tmp_path):
    from keras_vit.data import named

    asked = []

    def parts(name, **options):
        asked.append((name, options))
        source = sources.ArraySource(*drawn(10))
        return sources.Parts(name, ("a", "b", "c"), source, source, source)

    monkeypatch.setattr(named, "parts", parts)
    options = {"data_dir": "/sets", "validation_share": 0.3, "split_seed": 4, "num_channels": 1}
    loaded = data.load("cifar10", 8, pipeline="keras", **options)
    assert loaded.name == "cifar10" and loaded.counts["validation"] == 10
    expected = {"data_dir": "/sets", "validation_share": 0.3, "seed": 4, "num_channels": 1}
    assert asked == [("cifar10", expected)]
    assert data.load("vtab/pets", 8, pipeline="keras").name == "vtab/pets"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cifar10").mkdir()
    with pytest.raises(ValueError, match="two class folders"):  # what is there wins
        data.load("cifar10")


def test_without_tensorflow_keras_pipelines_are_made(monkeypatch):
    monkeypatch.setattr(loading, "_has_tensorflow", lambda: False)
    loaded = data.load(drawn(20), 8)
    assert isinstance(loaded.train, keras.utils.PyDataset) and loaded.pipeline == "keras"
    assert data.load(drawn(20), 8, validation_share=0, test_share=0).validation is None


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
    assert model.predict(loaded.test, verbose=0).shape == (12, 3)
