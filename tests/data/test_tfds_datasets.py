"""Named datasets: the tables, VTAB, ReaL, and every dataset, mocked."""

import json

import numpy as np
import pytest
from tfds_set import needs_tfds, png, tfds

from keras_vit.data import real_labels
from keras_vit.data.tfds import builders, load_splits, paper_datasets

# Published: classes and images of each split.
CLASSES = {
    "cifar10": 10, "cifar100": 100, "oxford_flowers102": 102, "oxford_iiit_pet": 37,
    "imagenet2012": 1000,
    "vtab/caltech101": 102, "vtab/cifar100": 100, "vtab/dtd": 47, "vtab/flowers102": 102,
    "vtab/pets": 37, "vtab/sun397": 397, "vtab/svhn": 10, "vtab/camelyon": 2,
    "vtab/eurosat": 10, "vtab/resisc45": 45, "vtab/retinopathy": 5, "vtab/clevr-count": 8,
    "vtab/clevr-distance": 6, "vtab/dmlab": 6, "vtab/dsprites-location": 16,
    "vtab/dsprites-orientation": 16, "vtab/kitti-distance": 4, "vtab/smallnorb-azimuth": 18,
    "vtab/smallnorb-elevation": 9,
}  # fmt: skip
PUBLISHED_SIZES = {
    "caltech101": {"train": 3060, "test": 6084},
    "cifar100": {"train": 50_000, "test": 10_000},
    "dtd": {"train": 1880, "validation": 1880, "test": 1880},
    "oxford_flowers102": {"train": 1020, "validation": 1020, "test": 6149},
    "oxford_iiit_pet": {"train": 3680, "test": 3669},
    "sun397/tfds": {"train": 76_128, "validation": 10_875, "test": 21_750},
    "svhn_cropped": {"train": 73_257, "test": 26_032},
    "patch_camelyon": {"train": 262_144, "validation": 32_768, "test": 32_768},
    "eurosat/rgb": {"train": 27_000},
    "resisc45": {"train": 31_500},
    "diabetic_retinopathy_detection/btgraham-300":
        {"train": 35_126, "validation": 10_906, "test": 42_670},
    "clevr": {"train": 70_000, "validation": 15_000},
    "dmlab": {"train": 65_550, "validation": 22_628, "test": 22_735},
    "dsprites": {"train": 737_280},
    "kitti": {"train": 6347, "validation": 423, "test": 711},
    "smallnorb": {"train": 24_300, "test": 24_300},
}  # fmt: skip
# Tested on in the benchmark, and the share of the training images before the validation ones.
TESTED = {"eurosat/rgb": 5400, "resisc45": 6300, "dsprites": 73_728, "smallnorb": 12_150,
          "clevr": 15_000}  # fmt: skip
PERCENT = {"caltech101": 90, "cifar100": 90, "oxford_iiit_pet": 80, "svhn_cropped": 90,
           "eurosat/rgb": 60, "resisc45": 60, "clevr": 90, "dsprites": 80}  # fmt: skip


@pytest.fixture
def obtainable(monkeypatch):
    """A network connection."""
    monkeypatch.setattr(builders, "check_obtainable", lambda found: None)


def some_example(number):
    """An example of Pets, CLEVR or KITTI: the generator of `mock_data` makes none for them."""
    rng = np.random.default_rng(number)
    count = 3 + number % 8
    places = rng.uniform(1, 30, (count, 3)).astype("float32")
    objects = {"size": [0] * count, "type": rng.integers(0, 8, count)}
    objects |= {"pixel_coords": list(places), "location": list(places)}
    image = png(rng.integers(0, 256, (7, 5, 3)))
    return {"image": image, "label": number % 37, "objects": objects}


def opened(name, num_examples=40, **more):
    def some(builder, split, **_):
        return [some_example(number) for number in range(num_examples)]

    own = some if any(word in name for word in ("pet", "clevr", "kitti")) else None
    with tfds.testing.mock_data(num_examples=num_examples, as_data_source_fn=own):
        return load_splits(name, **more)


@pytest.mark.slow
@needs_tfds
@pytest.mark.parametrize("name", CLASSES)
def test_every_named_dataset_opens(name, obtainable):
    # Of ImageNet's 1,000 classes some must come twice.
    number = 200 if name == "imagenet2012" else 12 if name.startswith("vtab/") else 40
    splits = opened(name, number)
    assert splits.name == name
    assert len(splits.class_names) == len(set(splits.class_names)) == CLASSES[name]
    assert all(isinstance(each, str) for each in splits.class_names)
    for source in splits[2:5]:
        assert source.labels.dtype == np.int32
        assert source.labels.shape == (len(source),) == (len(source.names),)
        assert 0 <= source.labels.min() <= source.labels.max() < CLASSES[name]
        assert source.names[0].startswith(name + "/")
        image = source.image(len(source) - 1)
        assert image.mode == "RGB"
        assert min(image.size) >= 5
    if name.startswith("vtab/"):  # the mock has as many images in whatever is asked for
        assert [len(source) for source in splits[2:5]] == [number] * 3
    else:
        assert len(splits.train) + len(splits.validation) == len(splits.test) == number
        assert not set(splits.train.names) & set(splits.validation.names)


@needs_tfds
def test_a_dataset_in_no_table_opens(tmp_path):
    folder = tmp_path / "mnist" / "3.0.1"
    folder.mkdir(parents=True)
    splits = {"train": "60000", "test": "10000"}
    splits = [{"name": n, "shardLengths": [size], "numBytes": "1"} for n, size in splits.items()]
    info = {"name": "mnist", "version": "3.0.1", "fileFormat": "array_record", "splits": splits}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    with tfds.testing.mock_data(num_examples=40, data_dir=tmp_path):
        splits = load_splits("mnist", data_dir=tmp_path, num_channels=1)
    assert splits.class_names == tuple("0123456789")
    assert len(splits.train) + len(splits.validation) == len(splits.test) == 40
    image = splits.test.image(0)
    assert (image.mode, image.size) == ("L", (28, 28))


@pytest.mark.backend_free
def test_the_tables_list_the_tested_datasets():
    assert list(CLASSES) == [*paper_datasets.DATASETS, *paper_datasets.TASKS]
    assert len(paper_datasets.TASKS) == 19
    assert set(paper_datasets.ALIASES.values()) <= set(paper_datasets.DATASETS)


def interval(split, sizes):
    """(split, indices) of a split in TFDS's notation."""
    base, _, rest = split.rstrip("]").partition("[")
    start, _, end = rest.partition(":")
    return base, range(int(start or 0), int(end or sizes[base]))


@pytest.mark.backend_free
@pytest.mark.parametrize("name", paper_datasets.TASKS)
def test_vtab_splits_are_those_of_the_benchmark(name):
    row = paper_datasets.TASKS[name]
    sizes = PUBLISHED_SIZES[row.tfds]
    train = interval(row.train, sizes)
    validation = interval(row.validation, sizes)
    test = interval(row.test, sizes)
    assert train == ("train", range(800))
    assert len(validation[1]) == 200
    assert validation[1].stop <= sizes[validation[0]]
    if row.tfds in PERCENT:
        start = PERCENT[row.tfds] * sizes["train"] // 100
        assert validation == ("train", range(start, start + 200))
    else:
        assert validation[1].start == 0
    assert len(test[1]) == TESTED.get(row.tfds, sizes.get("test"))
    for part in (train, validation):
        assert part[0] != test[0] or not set(part[1]) & set(test[1])


@needs_tfds
def test_vtab_can_train_on_all_1000_images(obtainable):
    splits = opened("vtab/cifar100", validation_share=0)
    assert splits.validation is None
    assert splits.train.names[0] == "vtab/cifar100/train[:800]+train[45000:45200]/0"
    with pytest.raises(ValueError, match="800 and 200 images of a VTAB task are fixed"):
        load_splits("vtab/cifar100", validation_share=0.1)


@pytest.mark.backend_free
def test_clevr_labels():
    count, nearest = (
        paper_datasets.TASKS[f"vtab/clevr-{w}"].to_class for w in ("count", "distance")
    )

    def objects(*distances):
        return {"size": [1] * len(distances), "pixel_coords": [(9, 9, d) for d in distances]}

    assert count(objects(1, 1, 1)) == 0
    assert count(objects(*range(10))) == 7
    # Thresholds 0, 8, 8.5, 9, 9.5, 10, 100: the largest that is below the closest object.
    expected = {7.9: 0, 8.0: 0, 8.01: 1, 8.5: 1, 8.6: 2, 9.2: 3, 9.7: 4, 10.0: 4, 10.1: 5, 14: 5}
    for distance, label in expected.items():
        near = np.float32(distance)
        assert nearest(objects(20, near, 15)) == label, distance


@pytest.mark.backend_free
def test_kitti_labels():
    nearest = paper_datasets.TASKS["vtab/kitti-distance"].to_class

    def objects(*pairs):
        return {"type": [kind for kind, _ in pairs], "location": [(9, 9, z) for _, z in pairs]}

    car, van, truck, pedestrian, tram = 0, 1, 2, 3, 6
    # Thresholds -100, 8, 20, 999 metres; 1000 stands for no vehicle.
    assert nearest(objects((car, 7.5), (car, 30))) == 0
    assert nearest(objects((van, 8.0))) == 0
    assert nearest(objects((van, 8.1), (pedestrian, 2))) == 1
    assert nearest(objects((truck, 20.0))) == 1
    assert nearest(objects((truck, 20.5), (tram, 3))) == 2
    assert nearest(objects((pedestrian, 3), (tram, 3))) == 3
    assert nearest(objects()) == 3


@pytest.mark.backend_free
@needs_tfds
def test_the_types_of_kitti_are_in_the_expected_order():
    kitti = tfds.builder("kitti", data_dir="/nowhere")
    assert kitti.info.features["objects"]["type"].names[:4] == ["Car", "Van", "Truck", "Pedestrian"]


@pytest.mark.backend_free
def test_dsprites_labels():
    tasks = paper_datasets.TASKS
    location, orientation = (tasks[f"vtab/dsprites-{w}"] for w in ("location", "orientation"))
    for step in range(40):  # the official division, in float32
        assert orientation.to_class(step) == np.float32(step) // np.float32(2.5)
    for column in range(32):
        assert location.to_class(column) == column // 2
    assert location.class_names[1] == "column 2 to 3"
    assert orientation.class_names[:3] == ("step 0 to 2", "step 3 to 4", "step 5 to 7")
    assert orientation.class_names[-1] == "step 38 to 39"


@pytest.mark.backend_free
def test_real_labels(tmp_path):
    lists = [[] for _ in range(50_000)]
    lists[0], lists[1], lists[292] = [65], [795, 970], [7]
    path = tmp_path / "real.json"
    path.write_text(json.dumps(lists))
    labels = real_labels.read(path)
    assert labels[:3] == ((65,), (795, 970), ())
    names = [f"imagenet2012/validation/ILSVRC2012_val_{n:08d}.JPEG" for n in (2, 293, 3, 1)]
    right = real_labels.look_up(labels, names)
    assert right == ((795, 970), (7,), (), (65,))
    assert real_labels.real_accuracy([970, 8, 1, 65], right) == 2 / 3  # the third has no label
    scores = np.eye(1000)[[970, 8, 1, 65]]
    assert real_labels.real_accuracy(scores, right) == 2 / 3


@pytest.mark.backend_free
def test_invalid_real_labels_are_refused(tmp_path):
    path = tmp_path / "real.json"
    with pytest.raises(FileNotFoundError, match="reassessed-imagenet/master/real.json"):
        real_labels.read(path)
    for text in ("[", "{}", "[[1]]", json.dumps([[1000]] * 50_000), json.dumps([1] * 50_000)):
        path.write_text(text)
        with pytest.raises(ValueError, match="50,000 lists of classes, 0 to 999"):
            real_labels.read(path)
    for name in ("17", "ILSVRC2012_val_00000000.JPEG", "ILSVRC2012_val_00000003.JPEG"):
        with pytest.raises(ValueError, match="that of a validation image"):
            real_labels.look_up(((1,), (2,)), [name])
    with pytest.raises(ValueError, match="with a list of labels each"):
        real_labels.real_accuracy([1, 2], [(1,)])
    with pytest.raises(ValueError, match="At least one image must have a label"):
        real_labels.real_accuracy([1], [()])


@needs_tfds
def test_file_names_of_imagenet_identify_real_labels(obtainable):
    def examples(builder, split, decoders=None, **_):
        name = "ILSVRC2012_val_{:08d}.JPEG" if split == "validation" else "n{:08d}_1.JPEG"
        image = png(np.zeros((3, 3, 3)))
        return [
            {"image": image, "label": n, "file_name": name.format(4 - n).encode()} for n in range(4)
        ]

    with tfds.testing.mock_data(as_data_source_fn=examples):
        test = load_splits("imagenet").test
    assert test.names[0] == "imagenet2012/validation/ILSVRC2012_val_00000004.JPEG"
    labels = ((3,), (0,), (), (0, 9))
    assert real_labels.look_up(labels, test.names) == ((0, 9), (), (0,), (3,))
    right = real_labels.look_up(labels, test.names)
    assert real_labels.real_accuracy(test.labels, right) == 2 / 3
