"""A call that fails leaves a usable model; mistakes in data are reported before step 1."""

import contextlib
import functools
import itertools
import warnings

import keras
import numpy as np
import pytest
from helpers import pairs, quick, random_images, randomize, slow

import keras_vit
from keras_vit import guards

BACKEND = keras.backend.backend()
SPARSE = keras.losses.SparseCategoricalCrossentropy
NAN = float("nan")


def small(loss="sparse", num_classes=2, optimizer="adam", **overrides):
    shape = dict(image_size=8, patch_size=4, num_layers=1, hidden_dim=6, mlp_dim=5, num_heads=3)
    rate = 0.0 if BACKEND == "torch" else 0.1  # Keras draws it from torch's generator, not its seed
    model = keras_vit.ViT(**{**shape, "num_classes": num_classes, "dropout": rate, **overrides})
    model.compile(optimizer, SPARSE(from_logits=True) if loss == "sparse" else loss)
    return model


def labelled(number, channels=3, side=8, classes=2):
    return random_images(number, side, side, channels), np.arange(number) % classes


# --- Weights survive -----------------------------------------------------------------------------


class Broken(Exception):
    pass


class Batches(keras.utils.PyDataset):
    """Four batches of two images. From `spoil` on, batch `bad` fails or has another shape."""

    def __init__(self, bad=None, shape=None, late=False):
        super().__init__()
        self.bad, self.shape, self.spoilt = bad, shape, not late
        self.images, self.labels = labelled(8)

    def __len__(self):
        return 4

    def __getitem__(self, index):
        images = self.images[2 * index : 2 * index + 2]
        if index == self.bad and self.spoilt:
            if self.shape is None:
                raise Broken("a bad file")
            images = random_images(2, *self.shape)
        return images, self.labels[2 * index : 2 * index + 2]


class Spoil(keras.callbacks.Callback):
    """Spoils data during a call: at the beginning of an epoch, a test or a prediction.

    By then, Keras has read the first batches to learn their shapes.
    """

    def __init__(self, data, epoch=0):
        super().__init__()
        self.data, self.epoch = data, epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.data.spoilt = epoch >= self.epoch

    def on_test_begin(self, logs=None):
        self.data.spoilt = True

    def on_predict_begin(self, logs=None):
        self.data.spoilt = True


def raising(hook, number=0, error=Broken):
    """A callback that raises in `hook` after `number` calls."""
    calls = []

    def strike(self, *args, **kwargs):
        calls.append(hook)
        if len(calls) > number:
            raise error("by a callback")

    return type("Raising", (keras.callbacks.Callback,), {hook: strike})()


LARGER, GRAY, VECTORS = (12, 12, 3), (8, 8, 1), (192,)


def spoilt(call, epoch=0, validation=False, **fault):
    """Arguments of a call whose data go bad while it runs."""
    data = Batches(late=True, **fault)
    callbacks = [Spoil(data, epoch)]
    if validation:
        return call, Batches(), {"validation_data": data, "callbacks": callbacks}
    return call, data, {"callbacks": callbacks}


def failing(call, hook, number, error=Broken):
    return call, Batches(), {"callbacks": [raising(hook, number, error)]}


def epochs(failure, number, **more):
    call, data, kwargs = failure
    return call, data, {**kwargs, "epochs": number, **more}


# What fails, and how many steps of training are finished by then (4 in an epoch).
FAILURES = {
    "fit, first batch at once": (lambda: ("fit", Batches(bad=0), {}), 0),
    "fit, first batch": (lambda: spoilt("fit", bad=0), 0),
    "fit, third batch": (lambda: spoilt("fit", bad=2), 2),
    "fit, second epoch": (lambda: epochs(spoilt("fit", epoch=1, bad=0), 2), 4),
    "fit, after validation": (
        lambda: epochs(spoilt("fit", epoch=1, bad=0), 2, validation_data=Batches()), 4,
    ),
    "fit, first of validation": (lambda: spoilt("fit", validation=True, bad=0), 4),
    "fit, third of validation": (lambda: spoilt("fit", validation=True, bad=2), 4),
    "fit, size": (lambda: ("fit", Batches(bad=0, shape=LARGER), {}), 0),
    "fit, later size": (lambda: spoilt("fit", bad=2, shape=LARGER), 2),
    "fit, channels": (lambda: ("fit", Batches(bad=0, shape=GRAY), {}), 0),
    "fit, callback": (lambda: failing("fit", "on_train_batch_end", 1), 2),
    "fit, callback at first": (lambda: failing("fit", "on_train_begin", 0), 0),
    "fit, callback before": (lambda: failing("fit", "on_train_batch_begin", 3), 3),
    "fit, Ctrl-C": (lambda: failing("fit", "on_train_batch_end", 2, KeyboardInterrupt), 3),
    "evaluate, first batch": (lambda: spoilt("evaluate", bad=0), 0),
    "evaluate, third batch": (lambda: spoilt("evaluate", bad=2), 0),
    "evaluate, size": (lambda: ("evaluate", Batches(bad=0, shape=LARGER), {}), 0),
    "evaluate, later channels": (lambda: spoilt("evaluate", bad=1, shape=GRAY), 0),
    "evaluate, exit": (lambda: failing("evaluate", "on_test_batch_end", 1, SystemExit), 0),
    "predict, first batch": (lambda: spoilt("predict", bad=0), 0),
    "predict, third batch": (lambda: spoilt("predict", bad=2), 0),
    "predict, size": (lambda: ("predict", Batches(bad=0, shape=LARGER), {}), 0),
    "predict, channels": (lambda: ("predict", Batches(bad=0, shape=GRAY), {}), 0),
    "predict, later rank": (lambda: spoilt("predict", bad=3, shape=VECTORS), 0),
    "predict, Ctrl-C": (
        lambda: failing("predict", "on_predict_batch_end", 1, KeyboardInterrupt), 0,
    ),
}  # fmt: skip


def run(model, call, data, kwargs):
    """Calls Keras quietly; a model that does not guard itself is guarded from outside."""
    quiet = {"verbose": 0, **({"shuffle": False} if call == "fit" else {}), **kwargs}
    outside = not isinstance(model, keras_vit.ViT)
    with guards.keeping_weights(model) if outside else contextlib.nullcontext():
        return getattr(model, call)(data, **quiet)


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "jax", reason="other backends copy")
def test_weights_that_another_model_shared_and_used_up_are_reported():
    model, other = small(), small()
    for ours, theirs in zip(other.weights, model.weights, strict=True):
        ours.assign(theirs)
    other.train_on_batch(*labelled(8))
    with pytest.raises(ValueError, match="lost=.*model.set_weights"):
        model.predict(images(), verbose=0)


class Trained:
    """A model that has been trained, with its state after each of the next steps.

    Steps are compiled once for all cases: each begins with the same state.
    """

    def __init__(self, nested, epochs=2):
        self.model = randomize(small())
        if nested:
            self.model = keras.Sequential([self.model, keras.layers.Rescaling(1.0)])
            self.model.compile("adam", SPARSE(from_logits=True))
        run(self.model, "fit", Batches(), {"epochs": epochs})
        run(self.model, "evaluate", Batches(), {})
        run(self.model, "predict", Batches(), {})
        self.begin = self.state()
        self.after = {0: self.begin}
        for step in range(4):
            images, labels = Batches()[step]
            run(self.model, "fit", images, {"y": labels})
            self.after[step + 1] = self.state()

    def variables(self):
        """Weights, the optimizer's state, and last the counters of steps and dropouts."""
        count = self.model.optimizer.iterations
        kept = [v for v in self.model.optimizer.variables if v is not count]
        return [*self.model.weights, *kept, count, *self.model.non_trainable_variables]

    def check(self, step):
        """The state is that after `step` steps.

        TensorFlow runs a step as one graph: it may have counted the step before it finds that the
        data of that step are bad.
        """
        unsure = 1 + len(self.model.non_trainable_variables) if BACKEND == "tensorflow" else 0
        pairs = list(zip(self.state(), self.after[step], strict=True))
        for ours, theirs in pairs[: len(pairs) - unsure]:
            np.testing.assert_array_equal(ours, theirs)

    def state(self):
        return [keras.ops.convert_to_numpy(v.value).copy() for v in self.variables()]

    def restart(self):
        for variable, value in zip(self.variables(), self.begin, strict=True):
            variable.assign(value)
        return self.model


AROUND = pytest.param(True, marks=pytest.mark.slow)


@functools.cache  # a fixture of the module would train again for every indirect parameter
def trained_model(nested):
    keras.utils.set_random_seed(3)
    return Trained(nested)


@pytest.fixture(params=[False, AROUND], ids=["ViT", "around"])
def trained(request):
    return trained_model(request.param)


# Weights are lost only on JAX.
SOME = ("fit, third batch", "predict, size")
SOME = list(FAILURES)[::2] + list(SOME) if BACKEND == "jax" else SOME
# A trained model is tested with every failure; a model around it and a new one with half each.
AROUND_MEETS, FRESH_MEETS = list(FAILURES)[::2], list(FAILURES)[1::2]


def marked(nested, chosen, mark, rest):
    """A parameter for each failure: `mark` if it is chosen, else `rest`."""
    marks = {case: mark if case in chosen else rest for case in FAILURES}
    return [pytest.param(nested, case, marks=marks[case]) for case in FAILURES]


@pytest.mark.parametrize(
    "trained, case",
    [
        *marked(False, SOME, [], pytest.mark.slow),
        *marked(True, AROUND_MEETS, pytest.mark.slow, pytest.mark.weekly),
    ],
    indirect=["trained"],
)
def test_a_failed_call_leaves_the_last_finished_step(case, trained):
    make, steps = FAILURES[case]
    model = trained.restart()
    fail(model, make())
    trained.check(steps)
    assert_usable(model)


def fail(model, failure):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX reports a later batch with a different shape
        with pytest.raises((Exception, KeyboardInterrupt, SystemExit)) as error:
            run(model, *failure)
    assert "is not callable" not in str(error.value)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param("fit, first batch"),
        *(
            slow(case) if case in FRESH_MEETS else pytest.param(case, marks=pytest.mark.weekly)
            for case in FAILURES
            if case != "fit, first batch"
        ),
    ],
)
def test_a_failed_call_leaves_a_fresh_model(case, tmp_path):
    make, steps = FAILURES[case]
    model = randomize(small())
    weights = model.get_weights()
    fail(model, make())
    if steps == 0:
        for ours, theirs in zip(model.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    model.save_weights(tmp_path / "model.weights.h5")
    assert_usable(model)


def test_a_model_around_ours_is_kept_too():
    model = keras.Sequential([randomize(small()), keras.layers.Rescaling(1.0)])
    weights = model.get_weights()
    for bad in (0, 2):
        fail(model, spoilt("predict", bad=bad))
    for ours, theirs in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    run(model, "predict", Batches(), {})


def test_a_failed_call_inside_another_does_not_disturb_it(trained):
    """A callback predicts and fails, and training continues as it would have without it."""

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                fail(self.model, ("predict", Batches(bad=2), {}))
                fail(self.model, ("evaluate", Batches(bad=0), {}))

    run(trained.restart(), "fit", Batches(), {"callbacks": [Look()]})
    trained.check(4)


def assert_usable(model):
    """Everything that Keras does with a model works as if nothing had failed."""
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert np.isfinite(run(model, "predict", Batches(), {})).all()
    assert np.isfinite(run(model, "evaluate", Batches(), {}))
    history = run(model, "fit", Batches(), {"epochs": 2}).history
    assert np.isfinite(history["loss"]).all()


# --- Data are checked ----------------------------------------------------------------------------

ONE_HOT = "keras.losses.CategoricalCrossentropy(from_logits=True)"


def dense(**overrides):
    return small(keras.losses.CategoricalCrossentropy(from_logits=True), **overrides)


def each(**overrides):
    return small(keras.losses.BinaryCrossentropy(from_logits=True), **overrides)


def one_hot(*numbers, classes=2):
    return np.eye(classes, dtype="float32")[list(numbers)]


def images(*shape):
    return random_images(*(shape or (4, 8, 8, 3)))


def nan_at(image, value=NAN):
    pixels = images()
    pixels[image, 3, 2, 1] = value
    return pixels


OUT_OF_RANGE = "Labels must be from 0 to 1, as the head has 2 classes"
SHARES = "one value for each class, shape (batch, 2)"

# A model, images, labels, and words of the error: the same for every kind of data.
MISTAKES = {
    "three classes": (
        small, images(), [0, 1, 2, 0], OUT_OF_RANGE, "highest label=2", "num_classes=3",
    ),
    "label 1000": (small, images(), [0, 1, 1000, 0], OUT_OF_RANGE, "num_classes=1001"),
    "label -1": (small, images(), [0, 1, -1, 0], OUT_OF_RANGE, "ignore_class=-1"),
    "1-based": (small, images(), [1, 2, 1, 2], OUT_OF_RANGE, "begin at 1? Subtract 1"),
    "fraction": (
        small, images(), [0, 1, 0.5, 0], "Labels must be whole numbers", "label=0.5",
    ),
    "label NaN": (small, images(), [0, 1, NAN, 0], "Labels must be finite numbers", "label=nan"),
    "one-hot, numbers expected": (
        small, images(), one_hot(0, 1, 0, 1), "one class number for each image", ONE_HOT,
    ),
    "numbers, one-hot expected": (
        dense, images(), [0, 1, 0, 1], SHARES, "SparseCategoricalCrossentropy(from_logits=True)",
    ),
    "one-hot too long": (
        dense, images(), one_hot(0, 1, 0, 1, classes=3), SHARES, "(4, 3)", "num_classes=3",
    ),
    "one-hot of nothing": (
        dense, images(), 0 * one_hot(0, 1, 0, 1), "must sum to 1", "sum=0.0", "BinaryCrossentropy",
    ),
    "one-hot of 255": (dense, images(), 255 * one_hot(0, 1, 0, 1), "from 0 to 1", "highest=255.0"),
    "one-hot NaN": (dense, images(), NAN * one_hot(0, 1, 0, 1), "finite numbers"),
    "each, numbers": (each, images(), [0, 1, 0, 1], SHARES, "to_categorical(labels, 2)"),
    "each, 2": (each, images(), 2 * one_hot(0, 1, 0, 1), "from 0 to 1", "highest=2.0"),
    "size": (
        small, images(4, 12, 12, 3), [0, 1, 0, 1], "expects images of shape (batch, 8, 8, 3)",
        "Resize the images to 8 x 8",
    ),
    "gray": (small, images(4, 8, 8, 1), [0, 1, 0, 1], "Convert the images to 3 channels"),
    "channels first": (
        small, images(4, 3, 8, 8), [0, 1, 0, 1], "Channels come last", "np.moveaxis(images, 1, -1)",
    ),
    "no channels": (small, images(4, 8, 8), [0, 1, 0, 1], "expects images of shape"),
    "pixel NaN": (small, nan_at(2), [0, 1, 0, 1], "Pixels must be finite", "image=2, pixel=nan"),
    "pixel infinite": (
        small, nan_at(2, float("inf")), [0, 1, 0, 1], "Pixels must be finite", "pixel=inf",
    ),
}  # fmt: skip


# Arguments of `fit`, and words of the error.
MISUSES = {
    "no images": ({"x": None}, "an array or a dataset", "images=None"),
    "a path": ({"x": "cat.jpg"}, "an array or a dataset", "keras_vit.data.read"),
    "objects": ({"x": images().astype(object)}, "must be numbers", "images='object'"),
    "complex pixels": ({"x": images().astype("complex64")}, "must be numbers", "'complex64'"),
    "a list of labels": ({"y": [0, 1, 0, 1]}, "a list of 4", "np.array(labels)"),
    "a list of weights": ({"sample_weight": [1, 1, 1, 1]}, "a list of 4"),
    "three weights": ({"sample_weight": np.ones(3)}, "one weight for each image", "(3,)"),
    "weight NaN": ({"sample_weight": np.array([1, 1, NAN, 1])}, "finite numbers", "weight=nan"),
    "weight NaN in validation": (
        {"validation_data": (images(), np.zeros(4), np.full(4, NAN))}, "`sample_weight` must be",
    ),
    "validation of four": (
        {"validation_data": (images(), np.zeros(4), np.ones(4), 0)}, "a tuple of 4",
    ),
    "class by name": ({"class_weight": {"cat": 2}}, "from 0 to 1 as keys", "keys=['cat']"),
    "class weight below 0": ({"class_weight": {1: -2}}, "must be 0 or more", "weight=-2.0"),
    "class weight NaN": ({"class_weight": {1: NAN}}, "`class_weight` must be finite"),
    "a class of callbacks": (
        {"callbacks": [keras.callbacks.EarlyStopping]}, "must be instances", "'EarlyStopping'",
        "with parentheses",
    ),
    "a callback by name": ({"callbacks": "early"}, "must be instances", "callback='early'"),
    "images alone": (
        {"x": (images() for _ in range(2)), "y": None}, "Labels are needed", "(images, labels)",
    ),
    "validation as text": ({"validation_split": "0.2"}, "less than 1", "validation_split='0.2'"),
    "validation 1.5": ({"validation_split": 1.5}, "less than 1", "validation_split=1.5"),
}  # fmt: skip


def as_arrays(x, y):
    return {"x": x, "y": y}


def as_tensors(x, y):
    return {"x": keras.ops.convert_to_tensor(x), "y": keras.ops.convert_to_tensor(y)}


def as_tf(x, y):
    tf = pytest.importorskip("tensorflow")
    return {"x": tf.data.Dataset.from_tensor_slices((x, y)).batch(2)}


def as_unshaped_tf(x, y):
    """A dataset whose shapes TensorFlow does not know before a batch is read."""
    tf = pytest.importorskip("tensorflow")
    flat = tf.data.Dataset.from_tensor_slices((x, y)).batch(2)

    def load(a, b):
        shapeless = tf.numpy_function(lambda a, b: (a, b), [a, b], [a.dtype, b.dtype])
        shapeless[0].set_shape([None] * len(x.shape))
        shapeless[1].set_shape([None] * len(y.shape))
        return tuple(shapeless)

    return {"x": flat.map(load)}


class Pairs(keras.utils.PyDataset):
    def __init__(self, x, y, **kwargs):
        super().__init__(**kwargs)
        self.pairs = x, y

    def __len__(self):
        return -(-len(self.pairs[0]) // 2)

    def __getitem__(self, index):
        return tuple(part[2 * index : 2 * index + 2] for part in self.pairs)


def as_pydataset(x, y):
    return {"x": Pairs(x, y)}


def as_threads(x, y):
    return {"x": Pairs(x, y, workers=2)}


def as_generator(x, y):
    return {"x": (batch for batch in list(Pairs(x, y)))}


def as_torch(x, y):
    torch = pytest.importorskip("torch")
    pairs = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    return {"x": torch.utils.data.DataLoader(pairs, batch_size=2)}


def as_grain(x, y):
    grain = pytest.importorskip("grain")
    return {"x": grain.MapDataset.source(list(zip(x, y, strict=True))).batch(2)}


FLOWS = [
    as_tf, as_unshaped_tf, as_pydataset, as_threads, as_generator, as_torch, as_grain,
]  # fmt: skip
shared = functools.cache(lambda make: make())  # a refused call changes nothing
SPARSE_OF_TWO = guards.labels.Labels("number", 2)
SPEC = guards.image_checks.ImageSpec((None, 8, 8, 3), None)


def check_error(case, call):
    """Makes a mistake and checks the words of the error, and that nothing has changed."""
    make, x, y, *words = MISTAKES[case]
    model = shared(make)
    weights = model.get_weights()
    with pytest.raises(ValueError) as error:
        call(model, x, np.asarray(y))
    for word in words:
        assert word in str(error.value)
    assert str(error.value).count("\n") == 0 and "Received: " in str(error.value)
    for kept, value in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, value)


@pytest.mark.parametrize("case", MISUSES)
def test_arguments_of_fit_that_keras_misreads_are_refused(case):
    given, *words = MISUSES[case]
    model = shared(small)
    with pytest.raises(ValueError) as error:
        model.fit(**{"x": images(), "y": np.array([0, 1, 0, 1]), "verbose": 0, **given})
    for word in (*words, "Received: "):
        assert word in str(error.value)


def test_class_weights_for_batches_are_checked():
    batches = keras_vit.data.Batches(images(), np.arange(len(images())) % 2, batch_size=2)
    for weights, words in (({0: NAN, 1: 1.0}, "finite"), ({7: 5.0}, r"from 0 to 1 as keys.*\[7\]")):
        with pytest.raises(ValueError, match=words):
            shared(small).fit(batches, class_weight=weights, verbose=0)


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_in_arrays_is_reported_by_fit_and_evaluate(case):
    check_error(case, lambda model, x, y: model.fit(x, y, verbose=0))
    check_error(case, lambda model, x, y: model.evaluate(x, y, verbose=0))
    check_error(case, lambda model, x, y: model.fit(**as_tensors(x, y), verbose=0))


@pytest.mark.parametrize("case", ["label 1000", "size", "pixel NaN", "three classes"])
def test_a_mistake_in_a_single_batch_is_reported(case):
    check_error(case, lambda model, x, y: model.train_on_batch(x, y))
    check_error(case, lambda model, x, y: model.test_on_batch(x, y))
    if "label" not in case and "classes" not in case:
        check_error(case, lambda model, x, y: model.predict_on_batch(x))


def test_what_is_not_compiled_is_reported():
    model = keras_vit.ViT(8, 4, 1, 6, 5, 3, 2)
    for call in (model.fit, model.evaluate, model.train_on_batch):
        with pytest.raises(ValueError, match="must be compiled. Received: compiled=False. Call"):
            call(*labelled(4))
    with pytest.raises(ValueError, match=r"loss='SparseCategoricalCrossentropy'.*with parentheses"):
        model.compile("sgd", SPARSE)


def test_a_generator_of_images_alone_is_predicted():
    batches = (images(2, 8, 8, 3) for _ in range(3))
    assert shared(small).predict(batches, steps=2, verbose=0).shape == (4, 2)


# A batch of two has too few labels to show that they begin at 1.
FLOWING = [case for case in MISTAKES if case != "1-based"]


@pytest.mark.parametrize("flow, case", pairs(FLOWS, FLOWING, quick=len(FLOWS)))
@pytest.mark.both
def test_a_mistake_in_other_data_is_reported_before_the_first_step(flow, case):
    make, x, y, *words = MISTAKES[case]
    first = [2, 3, 0, 1]  # wrong ones first
    words = [word.replace("(4, 3)", "3)").replace("image=2", "image=0") for word in words]
    model = shared(make)
    weights = model.get_weights()
    with pytest.raises(ValueError) as error:
        model.fit(**flow(x[first], np.asarray(y)[first]), shuffle=False, verbose=0)
    for word in words:
        assert word in str(error.value)
    assert str(error.value).count("\n") == 0
    for kept, value in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, value)


@pytest.mark.parametrize("flow", quick([f for f in FLOWS if f is not as_threads], as_tf))
@pytest.mark.both
def test_labels_of_later_batches_are_checked_too(flow):
    """The third batch is the first with a label that the head does not have."""
    model = shared(small)
    x, y = labelled(8)
    y[5] = 2
    with pytest.raises(ValueError) as error:
        model.fit(**flow(x, y), shuffle=False, verbose=0)
    assert OUT_OF_RANGE in str(error.value) and "highest label=2" in str(error.value)


ENDLESS = "ignore:Your input ran out of data"  # Keras warns of this for generators and Grain


@pytest.mark.filterwarnings(ENDLESS)
@pytest.mark.parametrize("flow", FLOWS)
def test_good_data_are_not_changed(flow):
    """The model gets all data once, in order."""
    x, y = labelled(8)
    plain = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    watch = guards.streams.Watch(SPEC, SPARSE_OF_TWO)
    data = guards.streams.attach(flow(x, y)["x"], watch)
    np.testing.assert_array_equal(plain.predict(data, verbose=0), x.reshape(8, -1))
    assert not watch.is_first and watch.failure is None


def test_labels_of_any_integer_type_are_compared_with_many_classes():
    expects = guards.labels.Labels("number", 1000)
    watch = guards.streams.Watch(SPEC, expects)
    x, y = labelled(8)
    for kind in ("uint8", "int8", "int64", "float32"):
        data = guards.streams.attach(as_tf(x, y.astype(kind))["x"], watch)
        np.testing.assert_array_equal(np.concatenate([labels for _, labels in data]), y)


def test_validation_data_are_checked_before_the_first_step():
    model = shared(small)
    x, y = labelled(4)
    before = [np.array(weight) for weight in model.get_weights()]
    wrong = [(x, y + 1), (x[:, :6], y), (x, y[:3]), Pairs(x, y + 1)]
    if keras_vit.backend.is_installed("tensorflow"):
        wrong.append(as_tf(x, y + 1)["x"])
    for data in wrong:
        with pytest.raises(ValueError, match="Received: "):
            model.fit(x, y, validation_data=data, verbose=0)
    for kept, value in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, value)


@pytest.mark.parametrize("nothing", [lambda: (x for x in ()), lambda: Pairs(*labelled(0))])
def test_validation_data_without_a_batch_are_refused(nothing):
    with pytest.raises(ValueError, match="At least one image is needed"):
        shared(small).fit(*labelled(4), validation_data=nothing(), verbose=0)


def test_a_generator_loses_no_batch_to_the_check_of_validation():
    first, data = guards.streams.first_batch(as_generator(*labelled(6))["x"])
    batches = list(data)
    assert len(batches) == 3
    np.testing.assert_array_equal(batches[0][0], first[0])


def test_labels_that_the_loss_ignores_are_accepted():
    model = small(SPARSE(from_logits=True, ignore_class=-1))
    assert guards.labels.expected(model).check([0, -1, 1]).tolist() == [0, -1, 1]
    with pytest.raises(ValueError, match="lowest label=-2"):
        guards.labels.expected(model).check([0, -2, 1])


@pytest.mark.parametrize(
    "labels", [[0, 1], [[0], [1]], [0.0, 1.0], [True, False], np.uint8([1, 0])]
)
def test_labels_that_keras_accepts_are_accepted(labels):
    SPARSE_OF_TWO.check(labels)
    guards.labels.Labels("shares", 2).check(one_hot(0, 1))
    guards.labels.Labels("shares", 2).check([[0.3, 0.7]])  # of mixed images
    guards.labels.Labels("each", 2).check([[0.0, 0.0], [1.0, 1.0]])
    guards.labels.Labels(None, 2).check(["anything"])


@pytest.mark.parametrize("name", keras_vit.training.losses.LOSSES)
def test_labels_of_the_losses_of_recipes_are_checked(name):
    expects = guards.labels.expected(small(keras_vit.training.losses.LOSSES[name]()))
    for labels in ([0, 1], [[0], [1]], one_hot(0, 1), [[0.3, 0.7]]):
        expects.check(labels)
    for labels in ([0, 2], [[2], [0]], [-1, 0], [0.5, 1], [[0.5, 1.5]], np.eye(3)):
        with pytest.raises(ValueError, match="Received: "):
            expects.check(labels)
    x, y = labelled(8)
    flows = [as_pydataset, *([as_tf] if keras_vit.backend.is_installed("tensorflow") else [])]
    for flow, form in itertools.product(flows, (list, lambda y: one_hot(*y))):
        data = guards.streams.attach(
            flow(x, np.array(form(y)))["x"], guards.streams.Watch(SPEC, expects)
        )
        passed = [
            labels for _, labels in (data if flow is as_tf else map(data.__getitem__, range(4)))
        ]
        np.testing.assert_array_equal(np.concatenate(passed), form(y))
    y[5] = 2  # in the third batch
    for flow in flows:
        watch = guards.streams.Watch(SPEC, expects)
        data = guards.streams.attach(flow(x, y)["x"], watch)
        with contextlib.suppress(Exception):
            list(data if flow is as_tf else map(data.__getitem__, range(4)))
        assert "highest label=2" in str(watch.failure)


@pytest.mark.parametrize("loss", ["mse", lambda y, p: keras.ops.mean(p, -1), None])
def test_custom_losses_are_not_checked(loss):
    assert guards.labels.expected(small(loss)).kind is None


def test_a_feature_extractor_and_a_subclass_with_its_own_loss_are_not_checked():
    class Mine(keras_vit.ViT):
        def compute_loss(self, *args, **kwargs):
            return super().compute_loss(*args, **kwargs)

    mine = Mine(8, 4, 1, 6, 5, 3, 2)
    mine.compile("sgd", SPARSE(from_logits=True))
    assert guards.labels.expected(mine).kind is None
    assert guards.labels.expected(small(num_classes=None)).kind is None


COUNTS = {
    "batch_size": 0, "steps_per_epoch": -1, "validation_steps": 0, "validation_batch_size": 2.5,
    "epochs": -3, "initial_epoch": -1,
}  # fmt: skip


@pytest.mark.parametrize("name", COUNTS)
def test_meaningless_counts_are_refused(name):
    value = COUNTS[name]
    with pytest.raises(ValueError, match=f"`{name}` must be .* Received: {name}={value}"):
        shared(small).fit(*labelled(4), **{name: value}, verbose=0)


def test_counts_of_images_and_labels():
    model, (x, y) = shared(small), labelled(4)
    with pytest.raises(ValueError, match="one label for each image. Received: images=4, lab"):
        model.fit(x, y[:3], verbose=0)
    with pytest.raises(ValueError, match="labels are needed with the images|Labels are needed"):
        model.fit(x, verbose=0)
    for call in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match="At least one image is needed"):
            call(x[:0], y[:0], verbose=0)
    with pytest.raises(ValueError, match="At least one image is needed"):
        model.predict(x[:0], verbose=0)


def test_prediction_checks_images():
    model = shared(small)
    for wrong in (images(4, 12, 12, 3), images(4, 3, 8, 8), nan_at(1)):
        with pytest.raises(ValueError, match="Received: "):
            model.predict(wrong, verbose=0)
    with pytest.raises(ValueError, match="`batch_size` must be"):
        model.predict(images(), batch_size=0, verbose=0)


def test_a_learning_rate_that_is_not_a_number_is_refused():
    model = small(optimizer=keras.optimizers.SGD(NAN))
    with pytest.raises(ValueError, match="learning_rate=nan"):
        model.fit(*labelled(4), verbose=0)


# --- Warnings ------------------------------------------------------------------------------------


def warnings_of(make, x, y):
    """Returns the warnings of a check of arrays, at the line that called it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        given = {"x": x, "y": np.asarray(y)}
        guards.calls.checked_training(make(), given, [], training=True)
    caught = [w for w in caught if w.category is UserWarning]
    assert all(w.filename.endswith("test_guards.py") for w in caught)
    return [str(w.message) for w in caught]


def test_a_single_class_is_warned_of():
    (message,) = warnings_of(small, images(), [1, 1, 1, 1])
    assert "All 4 training labels are class 1" in message
    assert not warnings_of(small, images(), [1, 1, 0, 1])


@pytest.mark.parametrize("scale, offset", [(255, 0), (127.5, -1), (50, -2.5)])
def test_scaled_pixels_are_warned_of(scale, offset):
    scaled = images() / scale + offset
    (message,) = warnings_of(small, scaled, [0, 1, 0, 1])
    assert "look scaled already" in message and "(pixels - 127.5) / 127.5" in message
    assert "Pass pixels 0 to 255, or build it with normalize=None" in message
    raw = functools.partial(small, normalize=None)
    own = functools.partial(small, normalize=(0.5, 0.5))
    assert not warnings_of(raw, scaled, [0, 1, 0, 1]) and not warnings_of(own, scaled, [0, 1, 0, 1])


@pytest.mark.parametrize("pixels", [images(), np.zeros((4, 8, 8, 3), "uint8"), 0 * images()])
def test_pixels_that_may_be_right_are_not_warned_of(pixels):
    assert not warnings_of(small, pixels, [0, 1, 0, 1])


@pytest.mark.filterwarnings(ENDLESS)
@pytest.mark.parametrize("flow", quick(FLOWS, as_tf, as_pydataset))
@pytest.mark.both
def test_fit_does_not_warn_of_shuffling(flow):
    """Warnings are errors: Keras reports that `shuffle=True` was passed, although it was not."""
    if BACKEND == "jax" and flow is as_torch:
        pytest.skip("Keras warns of torch's read-only arrays")
    history = shared(small).fit(**flow(*labelled(8)), verbose=0)
    assert np.isfinite(history.history["loss"]).all()


# --- Pipelines of keras_vit.data -----------------------------------------------------------------


def test_data_with_known_labels_are_checked_first_and_not_advanced():
    x, y = labelled(6)
    batches = keras_vit.data.Batches(x, y, batch_size=2)
    model = shared(small)
    given = {"x": batches}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches.sampler, "begin", None)  # a check must not start an epoch
        patch.setattr(type(batches), "__getitem__", None)  # nor take a batch
        guards.calls.checked_training(model, given, [], training=True)
    assert given == {"x": batches, "shuffle": False}
    assert (batches.sampler.epoch, batches.sampler.step) == (0, 0)
    with pytest.raises(ValueError, match="highest label=2"):
        model.fit(keras_vit.data.Batches(x, y + (np.arange(6) == 5), batch_size=2), verbose=0)
    with pytest.raises(ValueError, match="expects images of shape"):
        model.fit(keras_vit.data.Batches(x[:, :6], y, batch_size=2), verbose=0)


@pytest.mark.parametrize("pipeline", ["keras", "tf.data"])
def test_a_loaded_dataset_keeps_its_order_and_names_the_classes(pipeline):
    if pipeline == "tf.data":
        pytest.importorskip("tensorflow")
    options = {"batch_size": 2, "validation_share": 0, "test_share": 0, "pipeline": pipeline}
    images, labels = labelled(8)
    loaded = keras_vit.data.load((images.astype("uint8"), labels), 8, **options)
    model, given = small(), {"x": loaded.train}
    model.class_names = ["another", "dataset"]
    guards.calls.checked_training(model, given, [], training=False)
    assert "shuffle" not in given and model.class_names == ("another", "dataset")
    guards.calls.checked_training(model, given, [], training=True)
    assert given == {"x": loaded.train, "shuffle": False}
    assert model.class_names == loaded.class_names


def test_the_error_of_a_reader_inside_tf_data_is_plain(tmp_path):
    tf = pytest.importorskip("tensorflow")
    path = tmp_path / "cat.jpg"
    path.write_text("no image")

    def load(name):
        pixels = tf.numpy_function(
            lambda name: keras_vit.data.read(name.decode(), 8), [name], tf.uint8
        )
        return tf.ensure_shape(pixels, (8, 8, 3)), 0

    data = tf.data.Dataset.from_tensor_slices([str(path)]).map(load).batch(1)
    with pytest.raises(ValueError) as error:
        shared(small).predict(data, verbose=0)
    assert str(error.value).startswith(f"{str(path)!r} cannot be read as an image (")
    assert str(error.value).endswith("or remove it.") and "Traceback" not in str(error.value)
    with pytest.raises(ValueError, match="cannot be read as an image"):
        shared(small).fit(data, verbose=0)


def test_other_errors_pass_unchanged():
    data = Batches(bad=0)
    with pytest.raises(Exception, match="a bad file"):
        shared(small).predict(data, verbose=0)
    error = RuntimeError("ValueError: x\nTraceback /keras_vit/")
    with pytest.raises(RuntimeError) as raised, guards.failures.plain_errors():
        raise error
    assert raised.value is error
