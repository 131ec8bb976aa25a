"""Evaluation: every number against scikit-learn or a hand computation, and every kind of input."""

import json
import re

import keras
import numpy as np
import pytest
from PIL import Image

import keras_vit
from keras_vit import cli
from keras_vit.cli.commands import use as command
from keras_vit.training.evaluation import class_names, evaluation_plots, representation
from keras_vit.training.evaluation import metrics as scores
from keras_vit.training.runs import saved_run

IMAGES, CLASSES = 211, 7


def some_logits(seed=0, images=IMAGES, classes=CLASSES, skill=2.0):
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, images, p=np.arange(1, classes + 1) / sum(range(classes + 1)))
    return rng.normal(size=(images, classes)) + skill * np.eye(classes)[labels], labels


def evaluated(logits, labels, **options):
    names = tuple(f"class {i}" for i in range(logits.shape[1]))
    return scores.summarize(scores.compute_outcomes(logits, labels), names, **options)


def fixed(classes):
    """A functional model whose logits are the pixels of its (1, classes, 1) images."""
    images = keras.Input((1, classes, 1))
    return keras.Model(images, keras.layers.Flatten()(images))


def as_images(logits):
    return logits.astype("float32")[:, None, :, None]


# --- Numbers -------------------------------------------------------------------------------------


@pytest.mark.backend_free
def test_numbers_are_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    logits, labels = some_logits()
    found = evaluated(logits, labels)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    predicted, kinds = logits.argmax(axis=1), np.arange(CLASSES)
    np.testing.assert_array_equal(found.confusion, metrics.confusion_matrix(labels, predicted))
    np.testing.assert_allclose(found.accuracy, metrics.accuracy_score(labels, predicted))
    np.testing.assert_allclose(found.loss, metrics.log_loss(labels, probabilities))
    top = metrics.top_k_accuracy_score(labels, probabilities, k=5, labels=kinds)
    np.testing.assert_allclose(found.top_5, top)
    balanced = metrics.balanced_accuracy_score(labels, predicted)
    np.testing.assert_allclose(found.class_accuracy, balanced)
    brier = ((probabilities - np.eye(CLASSES)[labels]) ** 2).sum(axis=1).mean()
    np.testing.assert_allclose(found.brier, brier)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(labels, predicted)
    for i, row in enumerate(found.classes):
        np.testing.assert_allclose(row.precision, precision[i])
        np.testing.assert_allclose(row.recall, recall[i])
        np.testing.assert_allclose(row.f1, f1[i])
        assert row.support == support[i] and row.name == f"class {i}"


@pytest.mark.backend_free
def test_a_class_without_predictions_or_images_has_nan_scores():
    metrics = pytest.importorskip("sklearn.metrics")
    labels, predicted = np.array([0, 0, 1, 3]), np.array([0, 1, 1, 1])
    found = evaluated(10.0 * np.eye(5)[predicted], labels)
    expected = metrics.precision_recall_fscore_support(
        labels, predicted, labels=range(5), zero_division=np.nan
    )
    rows = [(row.precision, row.recall, row.f1, row.support) for row in found.classes]
    np.testing.assert_array_equal(np.array(rows).T, np.array(expected))
    assert np.isnan(found.classes[2].recall) and np.isnan(found.classes[3].precision)
    np.testing.assert_allclose(found.class_accuracy, (1 / 2 + 1 + 0) / 3)  # of classes that occur
    np.testing.assert_equal(found.classes[2].interval, (np.nan, np.nan))


@pytest.mark.backend_free
def test_no_top_5_of_five_classes():
    assert evaluated(*some_logits(classes=5)).top_5 is None
    assert evaluated(*some_logits(classes=6)).top_5 is not None


@pytest.mark.backend_free
def test_of_equal_logits_the_first_class_ranks_higher():
    logits = np.zeros((7, 7))
    found = scores.compute_outcomes(logits, np.arange(7))
    assert found.rank.tolist() == [0, 1, 2, 3, 4, 5, 6]
    np.testing.assert_array_equal(found.predicted, 0)
    np.testing.assert_array_equal(found.rank == 0, found.predicted == np.arange(7))
    assert evaluated(logits, np.arange(7)).top_5 == 5 / 7
    ties = np.array([[1.0, 3.0, 3.0, 2.0]] * 4)
    assert scores.compute_outcomes(ties, np.arange(4)).rank.tolist() == [3, 0, 1, 2]


@pytest.mark.backend_free
def test_huge_logits_neither_overflow_nor_give_nan():
    found = scores.compute_outcomes(np.array([[1e4, -1e4], [1e4, -1e4]]), np.array([0, 1]))
    np.testing.assert_allclose(found.loss, [0, 2e4])
    np.testing.assert_allclose(found.brier, [0, 2])


@pytest.mark.backend_free
def test_calibration_by_hand():
    """Two bins: 0.3 and 0.5 (the edge belongs below) with one right, 0.8 and 1.0 with both."""
    table = scores.reliability([0.3, 0.5, 0.8, 1.0], [True, False, True, True], bins=2)
    assert table[0] == (0.0, 0.5, 2, 0.4, 0.5) and table[1] == (0.5, 1.0, 2, 0.9, 1.0)
    np.testing.assert_allclose(
        scores.calibration_error(table), 2 / 4 * abs(0.5 - 0.4) + 2 / 4 * abs(1.0 - 0.9)
    )


@pytest.mark.backend_free
def test_calibration_as_defined_bin_by_bin():
    logits, labels = some_logits(skill=1.0)
    found = evaluated(logits, labels)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    confidence, right = probabilities.max(axis=1), logits.argmax(axis=1) == labels
    expected = 0.0
    for m in range(15):  # Guo et al., section 2: the interval ((m - 1) / M, m / M]
        inside = (confidence > m / 15) & (confidence <= (m + 1) / 15)
        assert found.reliability[m].images == inside.sum()
        if inside.any():
            gap = abs(right[inside].mean() - confidence[inside].mean())
            expected += inside.sum() / IMAGES * gap
    np.testing.assert_allclose(found.calibration_error, expected)
    assert expected > 0.01


@pytest.mark.backend_free
def test_confidences_at_both_ends_have_a_bin():
    table = scores.reliability([0.0, 1.0, np.nextafter(1.0, 2.0)], [True] * 3, bins=3)
    assert [row.images for row in table] == [1, 0, 2]


@pytest.mark.backend_free
@pytest.mark.parametrize("right, number", [(0, 5), (5, 5), (9, 10), (870, 1000)])
def test_interval_is_wilsons(right, number):
    stats = pytest.importorskip("scipy.stats")
    expected = stats.binomtest(right, number).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose(scores.wilson(right, number), expected, atol=1e-12)


@pytest.mark.backend_free
def test_surest_mistakes_come_first_with_their_files():
    logits = np.log([[0.6, 0.4], [0.1, 0.9], [0.2, 0.8], [0.3, 0.7]])
    labels = np.array([1, 0, 1, 0])
    found = evaluated(logits, labels, names=iter(["a.png", "b.png", "c.png", "d.png"]), mistakes=2)
    assert [one.image for one in found.mistakes] == ["b.png", "d.png"]
    assert (found.mistakes[0].true, found.mistakes[0].said) == ("class 0", "class 1")
    np.testing.assert_allclose([one.probability for one in found.mistakes], [0.9, 0.7])
    with pytest.raises(ValueError, match="one name for each image. Received: names=3, images=4"):
        evaluated(logits, labels, names=["a.png", "b.png", "c.png"])


@pytest.mark.backend_free
def test_most_confused_pairs_count_errors_only():
    predicted = np.array([0, 0, 2, 2, 2, 0, 0])
    found = evaluated(np.eye(3)[predicted], np.array([0, 0, 0, 1, 1, 2, 0]))
    expected = [("class 1", "class 2", 2), ("class 0", "class 2", 1), ("class 2", "class 0", 1)]
    assert scores.most_confused(found) == expected


# --- What it takes -------------------------------------------------------------------------------


def sources(images, labels):
    """The same labeled images in every form, in batches of 50."""
    pairs = [(images[i : i + 50], labels[i : i + 50]) for i in range(0, len(images), 50)]

    class Images(keras.utils.PyDataset):
        def __len__(self):
            return len(pairs)

        def __getitem__(self, index):
            return pairs[index]

    one_hot = [(x, np.eye(CLASSES, dtype="float32")[y]) for x, y in pairs]
    found = {"arrays": (images, labels), "PyDataset": Images()}
    found |= {"list": pairs, "generator": iter(pairs), "one-hot": one_hot}
    if keras_vit.backend.is_installed("tensorflow"):
        import tensorflow

        found["tf.data"] = tensorflow.data.Dataset.from_tensor_slices((images, labels)).batch(50)
    return found


def test_every_source_of_images_gives_the_same_numbers():
    logits, labels = some_logits()
    logits = logits.astype("float32")
    expected = evaluated(logits, labels)
    model = fixed(CLASSES)
    for name, data in sources(as_images(logits), labels).items():
        found = scores.evaluate(model, data)
        np.testing.assert_array_equal(found.confusion, expected.confusion, err_msg=name)
        np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-6, err_msg=name)
        np.testing.assert_allclose(found.brier, expected.brier, rtol=1e-6, err_msg=name)
        assert found.class_names == tuple("0123456")


def some_data(**options):
    """Grey images of 2 x 2 pixels: class 0, "ant", is darker than 100."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 2, 2, 1), "uint8")
    images[:] = images[:, :1, :1]
    labels = (images[:, 0, 0, 0] >= 100).astype("int32")
    options = {"image_size": 2, "num_channels": 1, "batch_size": 7, **options}
    return keras_vit.data.load((images, labels), validation_share=0.25, **options)


def pixel_model():
    """Predicts class 1 if the first pixel is above 127.5: correct except for pixels 100 to 127."""
    images = keras.Input((2, 2, 1))
    logits = keras.layers.Dense(2)(keras.layers.Flatten()(images))
    model = keras.Model(images, logits)
    kernel = np.zeros((4, 2))
    kernel[0] = (-0.1, 0.1)
    model.layers[-1].set_weights([kernel, np.array([12.75, -12.75])])
    return model


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_each_part_of_a_data_in_its_own_order_and_training_stays_where_it_is(part):
    data, model = some_data(augment=keras_vit.data.Augmentation(flip=True)), pixel_model()
    data.sampler.go_to(3, 2)
    pixels = np.concatenate([x for x, _ in representation.iterate_batches(data, part)])[:, 0, 0, 0]
    labels = data.labels(part)
    np.testing.assert_array_equal(pixels >= 100, labels)
    found = scores.evaluate(model, data, part)
    predicted = (pixels > 127.5).astype(int)
    expected = [[np.sum((labels == i) & (predicted == j)) for j in (0, 1)] for i in (0, 1)]
    assert found.confusion.tolist() == expected and found.images == data.counts[part]
    wrong = np.flatnonzero(labels != predicted)
    assert {one.image for one in found.mistakes} == {data.sources[part].names[i] for i in wrong}
    assert found.class_names == data.class_names
    assert (data.sampler.epoch, data.sampler.step) == (3, 2)


def test_it_agrees_with_kerass_own_evaluation():
    logits, labels = some_logits()
    model = fixed(CLASSES)
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
    )
    loss, accuracy = model.evaluate(as_images(logits), labels, verbose=0)
    found = scores.evaluate(model, (as_images(logits), labels))
    np.testing.assert_allclose(found.loss, loss, rtol=1e-5)
    np.testing.assert_allclose(found.accuracy, accuracy, rtol=1e-6)


def test_the_batches_of_a_training_stay_where_they_are():
    images, labels = np.zeros((10, 1, 2, 1), "float32"), np.arange(10) % 2
    batches = keras_vit.data.Batches(images, labels, batch_size=4)
    scores.evaluate(fixed(2), batches)
    assert (batches.sampler.epoch, batches.sampler.step) == (0, 0)


@pytest.mark.parametrize(
    "data, words",
    [
        ((np.zeros((2, 1, 3, 1)), np.array([0, 3])), "labels must be from 0 to 2.*largest=3"),
        ((np.zeros((2, 1, 3, 1)), np.array([0, -1])), "smallest=-1"),
        ((np.zeros((2, 1, 3, 1)), np.array([0.0, 1.0])), "labels must be integers"),
        ((np.zeros((2, 1, 3, 1)), np.full((2, 3), 1 / 3)), "mixed images have no single class"),
        ((np.zeros((0, 1, 3, 1)), np.zeros(0, "int32")), "images=0"),
        ((np.zeros((2, 1, 3, 1)), np.ones((2, 1), "int32")), "integers \\(images,\\) or one-hot"),
        ((np.zeros((64, 1, 3, 1)), np.zeros(66, "int32")), "images=64, labels=66"),
        ([(np.zeros((2, 1, 3, 1)), np.zeros(2, "int32"), np.ones(2))], "pairs.*='tuple of 3'"),
        ([np.zeros((2, 1, 3, 1))], "pairs .images, labels.*batch='ndarray'"),
        ((np.full((2, 1, 3, 1), np.nan), np.array([0, 1])), "logits must be finite"),
    ],
)
def test_unusable_data_is_refused(data, words):
    with pytest.raises(ValueError, match=f"(?i){words}"):
        scores.evaluate(fixed(3), data)


def test_a_missing_part_and_a_wrong_part_are_refused():
    data = keras_vit.data.load((np.zeros((8, 2, 2, 3), "uint8"), np.arange(8) % 2), 2, test_share=0)
    with pytest.raises(ValueError, match="split='test', images=0"):
        scores.evaluate(fixed(2), data)
    with pytest.raises(ValueError, match="split='trial'"):
        scores.evaluate(fixed(2), data, split="trial")


def test_classes_with_other_numbers_than_in_the_model_are_refused():
    data = keras_vit.data.load((np.zeros((8, 1, 2, 3), "uint8"), np.arange(8) % 2), (1, 2))
    model = fixed(2)
    model.class_names = ("1", "0")
    with pytest.raises(ValueError, match="class='1', in the model=0, in the data=1. .*by their"):
        scores.evaluate(model, data)


def test_names_of_other_classes_are_refused():
    data = np.zeros((2, 1, 3, 1)), np.array([0, 1])
    model = fixed(3)
    model.predict_on_batch = None  # refused before anything is predicted
    with pytest.raises(ValueError, match="class_names=2, logits=3"):
        scores.evaluate(model, data, class_names=("a", "b"))


def test_a_model_without_a_head_is_refused():
    images = keras.Input((2, 2, 1))
    with pytest.raises(ValueError, match="Evaluate a model with a head"):
        scores.evaluate(keras.Model(images, images), (np.zeros((1, 2, 2, 1)), np.array([0])))


@pytest.mark.backend_free
def test_the_last_batch_is_filled_up_and_cut_again():
    seen = []

    class Model:
        def predict_on_batch(self, images):
            seen.append(len(images))
            return images[:, 0, :, 0]

    images = np.arange(7.0).reshape(7, 1, 1, 1)
    found = list(representation.predict_batches(Model(), (images, np.arange(7)), batch_size=3))
    assert seen == [3, 3, 3]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in found])[:, 0], np.arange(7))


# --- Runs and the command ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of grey images, dark, light and middle, as `keras-vit train` would leave it."""
    root = tmp_path_factory.mktemp("evaluation")
    for name, value in (("dark", 40), ("light", 220), ("middle", 128)):
        (root / "data" / name).mkdir(parents=True)
        for i in range(5):
            pixels = np.full((8, 8, 3), value + i, "uint8")
            Image.fromarray(pixels).save(root / "data" / name / f"{i}.png")
    (root / "run").mkdir()
    model = keras_vit.create("ViT-Mini/4", image_size=8, num_classes=3, num_layers=1)
    model.save(root / "run" / "model.keras")
    metrics = {"data": "photos", "class_names": ["light", "dark", "middle"]}
    metrics |= {"image_size": 8, "num_channels": 3, "resize": "squash"}
    (root / "run" / "metrics.json").write_text(json.dumps(metrics))
    return root


def test_a_folder_is_matched_by_the_names_of_its_classes(run):
    """A new head predicts class 0: "light" in the run, although "dark" is first in the folder."""
    found = saved_run.evaluate_run(run / "run", str(run / "data"))
    assert found.class_names == ("light", "dark", "middle")
    assert found.confusion.tolist() == [[5, 0, 0]] * 3
    files = {f"{name}/{i}.png" for name in ("dark", "middle") for i in range(5)}
    assert {one.image for one in found.mistakes} == files


def test_images_of_the_training_are_evaluated_with_a_warning(run):
    trained = saved_run.load(run / "run")
    trained.metrics["data"] = str(run / "data")
    with pytest.warns(UserWarning, match="contains the images that the run was trained on"):
        saved_run.evaluate_run(trained, run / "run" / ".." / "data")


def test_progress_sees_every_batch_and_the_validation_split_stands_in_for_a_test_split(
    run, tmp_path
):
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        for name in ("dark", "light") if split == "val" else ("dark", "light", "middle"):
            (tmp_path / split / name).symlink_to(run / "data" / name)
    seen = []

    def count(batches, total):
        for images, labels in batches:
            seen.append((len(images), total))
            yield images, labels

    assert saved_run.evaluate_run(run / "run", tmp_path, progress=count).images == 10
    assert seen == [(10, 10)]


def test_a_folder_may_lack_classes_but_not_bring_new_ones(run, tmp_path):
    for name in ("dark", "middle"):
        (tmp_path / name).symlink_to(run / "data" / name)
    found = saved_run.evaluate_run(saved_run.load(run / "run"), tmp_path)
    assert found.images == 10 and found.classes[0].support == 0
    (tmp_path / "lihgt").symlink_to(run / "data" / "light")
    with pytest.raises(
        ValueError,
        match=r"unknown=\['lihgt'\]. Rename the folders, .*Known: light, dark, middle",
    ):
        saved_run.evaluate_run(run / "run", tmp_path)


def test_one_logit_is_that_of_class_1_of_two(tmp_path):
    model = keras_vit.create("ViT-Mini/8", image_size=16, num_classes=1)
    model.get_layer("head").bias.assign([-2.0])  # the kernel is zero: the probability is 0.1192
    images, labels = np.zeros((4, 16, 16, 3), "uint8"), np.array([0, 1, 0, 0])
    found = scores.evaluate(model, (images, labels), class_names=("cat",))
    assert found.class_names == ("not cat", "cat")
    assert found.accuracy == 0.75 and found.confusion.tolist() == [[3, 0], [1, 0]]
    expected = (3 * np.log(1 + np.exp(-2)) + np.log(1 + np.exp(2))) / 4
    np.testing.assert_allclose(found.loss, expected, rtol=1e-6)
    assert scores.evaluate(model, (images, labels)).class_names == ("0", "1")
    pair = scores.evaluate(model, (images, labels), class_names=("dog", "cat"))
    assert pair.class_names == ("dog", "cat")
    Image.fromarray(images[0]).save(tmp_path / "x.png")
    for names, first in ((None, "class 0"), (["cat"], "not cat")):
        model.class_names = names
        run = saved_run.Run(None, model, saved_run.default_metrics(model))
        (best, other) = keras_vit.training.predict(run, [tmp_path / "x.png"])[0].classes
        assert best[0] == first and other[0] == first.replace("not ", "").replace("0", "1")
        np.testing.assert_allclose([best[1], other[1]], [0.880797, 0.119203], rtol=1e-4)


@pytest.mark.backend_free
def test_classes_are_found_by_names_numbers_and_ids_of_imagenet():
    known = ["tench, Tinca tinca", "crane", "crane, bird", "T-shirt"]
    assert class_names.match(["tinca_TINCA", "t shirt"], known) == ([0, 3], known)
    assert class_names.match(["crane, bird"], known)[0] == [2]
    assert class_names.match(["bow_tie"], ["cat", "bow tie, bow-tie, bowtie"])[0] == [1]
    with pytest.raises(ValueError, match=r"one class. Received: data='d', name='crane', classes="):
        class_names.match(["crane"], known, "d")
    # ... unless the other class is there under its whole name
    assert class_names.match(["crane, bird", "crane"], known)[0] == [2, 1]
    assert class_names.match(["cat", "Cat"], ["Cat", "cat"])[0] == [1, 0]
    assert class_names.match(["cat", "Cat"], ["dog", "cat"])[0] == [1, 1]
    thousand = class_names.number_classes(1000)
    ids = ["n01440764", "n02123045", "n15075141"]  # tench, tabby, toilet tissue
    numbers, names = class_names.match(ids, thousand)
    assert numbers == [0, 281, 999] and [names[i] for i in numbers] == ids
    assert class_names.match(["7", "class 8"], thousand) == ([7, 8], thousand)
    named = keras_vit.checkpoints.entries()["ViT-S/16-augreg-i21k-ft-224"].class_names
    words = ["Tinca_tinca", "egyptian-cat", "999"]
    assert class_names.match(words, named) == ([0, 285, 999], list(named))
    assert class_names.match(ids, named)[0] == [0, 281, 999]
    with pytest.raises(ValueError, match="classes=.'crane', 'crane'."):  # the bird, the machine
        class_names.match(["crane"], named)
    for wrong in (["n00000000"], ["1000"]):
        with pytest.raises(ValueError, match=f"unknown={re.escape(str(wrong))}"):
            class_names.match(wrong, thousand)
    with pytest.raises(ValueError, match="unknown"):  # names that look like numbers
        class_names.match(["0"], ["3", "7"])


@pytest.mark.backend_free
def test_a_mapping_says_which_class_a_folder_means(tmp_path):
    path = tmp_path / "folders.csv"
    path.write_text('\ufefffolder,class\r\nfish,"tench, Tinca tinca"\r\nbird,2\n', "utf-8")
    mapping = class_names.read_mapping(path)
    assert mapping == {"fish": "tench, Tinca tinca", "bird": "2"}
    known = ["crane", "T-shirt", "crane, bird", "tench, Tinca tinca"]
    assert class_names.match(["bird", "fish", "t shirt"], known, None, mapping)[0] == [2, 3, 1]
    mapping = {"a": "n01443537", "b": "7", "c": 8}  # an id and a number of ImageNet
    assert class_names.match([*"abc"], class_names.number_classes(1000), None, mapping)[0] == [
        1,
        7,
        8,
    ]
    assert class_names.match(["x"], ["9", "1", "0"], None, {"x": "0"})[0] == [2]  # called "0"
    with pytest.raises(ValueError, match=r"unknown=\['bird -> 4'\]"):
        class_names.match(["bird"], known, None, {"bird": "4"})
    for text, expected in (
        ("folder,class\na,1\na,2\n", "a folder must have one class. Received: .*line=3"),
        ("folder,class\na,\n", "line=2"),
        ("a,1\n", "must have a line folder,class"),
        ("a,1\nb,2\n", "below the line folder,class"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=f"(?i){expected}"):
            class_names.read_mapping(path)


@pytest.mark.backend_free
def test_a_file_of_class_names(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("light \r\ndark\n")
    assert class_names.read_names(path) == ["light", "dark"]
    path.write_text("light\n\ndark\n")
    with pytest.raises(ValueError, match="empty line=2. Lines are in the order"):
        class_names.read_names(path)
    path.write_text("")
    with pytest.raises(ValueError, match="a line for each class.*lines=0"):
        class_names.read_names(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="text file in UTF-8"):
        class_names.read_names(path)
    with pytest.raises(FileNotFoundError, match="a line for each class"):
        class_names.read_names(tmp_path / "none")


@pytest.mark.slow
@pytest.mark.both
def test_published_weights_are_evaluated_by_the_names_of_config_json(run, tmp_path, capsys):
    model = keras_vit.create("ViT-Mini/4", image_size=8, num_classes=4, num_layers=1)
    model.get_layer("head").bias.assign([0, 0, 2, 1])
    keras_vit.save_weights(model, tmp_path / "model.safetensors", "huggingface")
    names = {"0": "red", "1": "middle", "2": "Dark, black", "3": "light"}
    config = {"num_attention_heads": model.num_heads, "id2label": names}
    (tmp_path / "config.json").write_text(json.dumps(config))
    keras_vit_evaluate(tmp_path, run / "data", "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["class_names"] == list(names.values()) and found["accuracy"] == 1 / 3
    assert found["confusion"] == [[0] * 4, [0, 0, 5, 0], [0, 0, 5, 0], [0, 0, 5, 0]]

    (tmp_path / "names").write_text("light\nmiddle\nred\ndark\n")
    keras_vit_evaluate(tmp_path, run / "data", "--json", "--classes", tmp_path / "names")
    assert json.loads(capsys.readouterr().out)["accuracy"] == 0
    (tmp_path / "names").write_text("light\nmiddle\ndark\n")
    with pytest.raises(ValueError, match="class_names=3, logits=4"):
        keras_vit_evaluate(tmp_path, run / "data", "--classes", tmp_path / "names")
    (tmp_path / "classes.csv").write_text("folder,class\ndark,1\nlight,red\n")  # not middle
    words = (tmp_path, run / "data", "--json", "--classes", tmp_path / "classes.csv")
    keras_vit_evaluate(*words)
    confusion = json.loads(capsys.readouterr().out)["confusion"]
    assert confusion == [[0, 0, 5, 0], [0, 0, 10, 0], [0] * 4, [0] * 4]
    with pytest.raises(ValueError, match="needs DATA. Received: .* Write: keras-vit evaluate"):
        keras_vit_evaluate(tmp_path)
    keras_vit.save_weights(
        keras_vit.create("ViT-Mini/4", image_size=8, num_classes=None, num_layers=1),
        tmp_path / "model.safetensors",
        "huggingface",
    )
    with pytest.raises(ValueError, match="A classifier was expected.*few-shot"):
        keras_vit_evaluate(tmp_path, run / "data")


def keras_vit_evaluate(*words):
    return cli.carry_out(cli.parser().parse_args(["evaluate", *map(str, words)]))


def test_the_command_prints_a_text_and_writes_numbers_and_figures(run, tmp_path, capsys):
    keras_vit_evaluate(run / "run", run / "data", "--out", tmp_path / "out")
    text = capsys.readouterr().out
    assert "33.3 %  (95 % interval: 15.2 % to 58.3 %)" in text  # Wilson's of 5 in 15
    assert "5  dark predicted as light" in text and f"predicted light, true {'dark'}" in text
    numbers = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert numbers["accuracy"] == 1 / 3 and numbers["confusion"] == [[5, 0, 0]] * 3
    assert numbers["classes"][1]["precision"] is None  # JSON has no NaN
    for name in command.FIGURES:
        with Image.open(tmp_path / "out" / f"{name}.png") as image:
            assert image.width > 500
    with pytest.raises(ValueError, match="new or an empty folder"):
        keras_vit_evaluate(run / "run", run / "data", "--out", tmp_path / "out")


def test_the_command_prints_json_alone(run, capsys):
    keras_vit_evaluate(run / "run", run / "data", "--json")
    assert json.loads(capsys.readouterr().out)["images"] == 15


def test_a_failure_leaves_no_empty_folder(run, tmp_path):
    with pytest.raises(FileNotFoundError):
        keras_vit_evaluate(run / "run", tmp_path / "none", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_own_images_of_a_run_give_the_accuracy_that_it_noted(run, tmp_path):
    pytest.importorskip("sklearn", reason="runs compare with scikit-learn")
    trained = keras_vit.training.train(
        run / "data", image_size=8, epochs=2, batch_size=5, out=tmp_path / "run"
    )
    found = saved_run.evaluate_run(tmp_path / "run")
    np.testing.assert_allclose(found.accuracy, trained.metrics["test_accuracy"])
    assert found.images == trained.metrics["test_images"]


# --- Figures -------------------------------------------------------------------------------------


@pytest.mark.backend_free
def test_a_small_matrix_holds_every_count():
    logits, labels = some_logits()
    found = evaluated(logits, labels)
    axes = evaluation_plots.confusion(found).axes[0]
    support = found.confusion.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(axes.images[0].get_array(), found.confusion / support)
    written = {text.get_position()[::-1]: int(text.get_text()) for text in axes.texts}
    expected = {(i, j): n for (i, j), n in np.ndenumerate(found.confusion) if n}
    assert written == expected
    assert [label.get_text() for label in axes.get_yticklabels()] == list(found.class_names)


@pytest.mark.backend_free
def test_a_large_matrix_has_no_numbers_but_the_most_frequent_mistakes():
    logits, labels = some_logits(images=900, classes=100)
    found = evaluated(logits, labels)
    figure = evaluation_plots.confusion(found)
    assert not figure.axes[0].texts and figure.axes[0].images[0].get_array().shape == (100, 100)
    bars = [bar.get_width() for bar in figure.axes[1].patches]
    assert bars == [count for *_, count in scores.most_confused(found, 20)]


@pytest.mark.backend_free
def test_a_matrix_without_mistakes_says_so():
    figure = evaluation_plots.confusion(evaluated(9 * np.eye(20), np.arange(20)))
    assert [text.get_text() for text in figure.axes[1].texts] == ["no mistakes"]


@pytest.mark.backend_free
def test_reliability_draws_the_bins_that_have_images():
    found = evaluated(*some_logits())
    above, below = evaluation_plots.reliability(found).axes
    rows = [row for row in found.reliability if row.images]
    np.testing.assert_allclose(
        [bar.get_height() for bar in above.patches], [r.accuracy for r in rows]
    )
    assert [bar.get_height() for bar in below.patches] == [row.images for row in rows]


@pytest.mark.backend_free
def test_classes_draws_the_lowest_forty_with_their_intervals():
    found = evaluated(*some_logits(images=900, classes=60))
    axes = evaluation_plots.classes(found).axes[0]
    recalls = sorted(row.recall for row in found.classes if row.support)[:40]
    np.testing.assert_allclose([bar.get_width() for bar in axes.patches], recalls)
    lowest = min((row for row in found.classes if row.support), key=lambda row: row.recall)
    (lines,) = axes.collections
    np.testing.assert_allclose(lines.get_segments()[0][:, 0], lowest.interval, atol=1e-12)


# --- TensorBoard ---------------------------------------------------------------------------------


@pytest.mark.backend_free
def test_tensorboard_says_what_is_missing(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    words = "not installed: tensorflow, tensorboard. Run: pip install tensorflow tensorboard"
    with pytest.raises(ImportError, match=words):
        keras_vit.training.tensorboard("logs")


@pytest.mark.backend_free
def test_names_of_folders_fit_into_the_text():
    logits, labels = np.array([[2.0, 1, 0], [2, 1, 0], [0, 2, 1]]), np.array([0, 1, 2])
    names = ("new\nline", "x" * 200, "🐈 with space")
    text = str(scores.summarize(scores.compute_outcomes(logits, labels), names, list("abc")))
    (row,) = [line for line in text.splitlines() if line.startswith(r"  new\nline ")]
    assert row.split()[1:] == ["1", "100.0", "%", "50.0", "%", "66.7", "%"]
    assert max(map(len, text.splitlines())) < 120
