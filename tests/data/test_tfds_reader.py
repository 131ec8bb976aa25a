"""Named datasets on disk, in both formats."""

import concurrent.futures

import numpy as np
import pytest
from tfds_set import make_tiny, needs_tfds, png, tfds, tiny_images

import keras_vit
from keras_vit.data import images
from keras_vit.data.tfds import builders, load_splits, paper_datasets, tfds_reader


@pytest.fixture(scope="module", params=["array_record", "tfrecord"])
def tiny(request, tmp_path_factory):
    if tfds is None:
        pytest.skip("tensorflow_datasets is not installed")
    folder = tmp_path_factory.mktemp(request.param)
    make_tiny(folder, request.param)
    return folder


def test_a_dataset_on_disk_is_read_exactly(tiny):
    splits = load_splits("keras_vit_tiny", data_dir=tiny, seed=1)
    assert splits.class_names == ("ant", "bee", "cat")
    assert [len(source) for source in splits[2:5]] == [35, 5, 40]
    # A tenth of 5, 15 and 20 images, at least one of each class.
    assert np.bincount(splits.validation.labels).tolist() == [1, 2, 2]
    truth = {pixels.tobytes(): label for _, pixels, label in tiny_images()}
    seen = []
    for source in (splits.train, splits.validation):
        for number in range(len(source)):
            pixels = np.asarray(source.image(number)).tobytes()
            assert truth[pixels] == source.labels[number]
            seen.append(pixels)
    assert sorted(seen) == sorted(truth)
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        images = list(threads.map(splits.train.image, range(len(splits.train))))
    assert [np.asarray(image).tobytes() for image in images] == seen[: len(images)]
    again = load_splits("keras_vit_tiny", data_dir=tiny, seed=1)
    assert again.train.names == splits.train.names
    assert load_splits("keras_vit_tiny", data_dir=tiny, seed=2).train.names != splits.train.names
    grey = load_splits("keras_vit_tiny", data_dir=tiny, num_channels=1)
    assert grey.test.image(0).mode == "L"


def test_labels_are_read_once_and_kept_next_to_the_dataset(tmp_path, monkeypatch):
    pytest.importorskip("tensorflow_datasets")
    builder = make_tiny(tmp_path)
    first = load_splits("keras_vit_tiny", data_dir=tmp_path)
    kept = sorted(builder.data_path.glob("keras_vit-*.npz"))
    assert [path.name.rpartition("-")[2] for path in kept] == ["test.npz", "train.npz"]

    def fail(*_):
        raise AssertionError("the labels were read again")

    with monkeypatch.context() as patch:
        patch.setattr(tfds_reader, "_read_labels", fail)
        second = load_splits("keras_vit_tiny", data_dir=tmp_path)
    assert second.train.names == first.train.names
    np.testing.assert_array_equal(second.test.labels, first.test.labels)
    kept[0].write_bytes(kept[0].read_bytes()[:100])
    kept[1].write_bytes(b"")
    third = load_splits("keras_vit_tiny", data_dir=tmp_path)
    np.testing.assert_array_equal(third.test.labels, first.test.labels)


def test_shares_of_validation(tiny):
    splits = load_splits("keras_vit_tiny", data_dir=tiny, validation_share=0.4)
    assert np.bincount(splits.validation.labels).tolist() == [2, 6, 8]
    splits = load_splits("keras_vit_tiny", data_dir=tiny, validation_share=0)
    assert splits.validation is None
    assert splits.train.names[17] == "keras_vit_tiny/train/17"
    for share in (1, -0.1, float("nan"), True, "0.1"):
        with pytest.raises(ValueError, match="`validation_share` must be a number"):
            load_splits("keras_vit_tiny", data_dir=tiny, validation_share=share)


@pytest.mark.parametrize(
    "splits, share, sizes",
    [
        (("train",), None, [40, 0, 0]),
        (("train", "test"), None, [35, 5, 40]),
        (("train", "validation"), None, [40, 40, 0]),
        (("train", "validation", "test"), None, [40, 40, 40]),
        (("train", "validation", "test"), 0.1, [40, 40, 40]),
    ],
)
def test_splits_follow_those_of_tfds(splits, share, sizes, tmp_path):
    pytest.importorskip("tensorflow_datasets")
    make_tiny(tmp_path, splits=splits)
    splits = load_splits("keras_vit_tiny", data_dir=tmp_path, validation_share=share)
    assert [len(source or ()) for source in splits[2:5]] == sizes


def test_a_dataset_without_training_split_is_refused(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    make_tiny(tmp_path, splits=("dev",))
    with pytest.raises(ValueError, match=r"must have a split named 'train'.*splits=\['dev'\]"):
        load_splits("keras_vit_tiny", data_dir=tmp_path)


def test_a_dataset_too_large_for_memory_reports_a_command_that_helps(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    make_tiny(tmp_path, "tfrecord")
    with pytest.raises(ValueError, match="must fit into memory") as error:
        load_splits("keras_vit_tiny", data_dir=tmp_path, max_bytes=2000)
    command = str(error.value).partition('python -c "')[2].partition('"')[0]
    exec(command, {})
    splits = load_splits("keras_vit_tiny", data_dir=tmp_path / "array_record", max_bytes=2000)
    assert len(splits.test) == 40


def test_max_bytes_limits_what_is_read(tmp_path, monkeypatch):
    pytest.importorskip("tensorflow_datasets")
    make_tiny(tmp_path, "tfrecord")
    monkeypatch.setattr(tfds_reader, "_expected_bytes", lambda *_: 0)  # TFDS does not always know
    with pytest.raises(ValueError, match="must fit into memory"):
        load_splits("keras_vit_tiny", data_dir=tmp_path, max_bytes=2000)


def tiny_dataset(tiny, **changes):
    row = paper_datasets.NamedDataset("keras_vit_tiny", "train", 0.1, "test")._replace(**changes)
    builder = builders.prepare(row.tfds, tiny)
    return tfds_reader.TfdsDataset(builder, row, "tiny", ("ant", "bee", "cat"))


def test_images_that_are_arrays_are_read(tiny):
    source = tfds_reader.read(tiny_dataset(tiny, image="raw", file_name="key"), "train[3:]", 1)
    name = source.names[5]
    key = name.removeprefix("tiny/train[3:]/").removesuffix(".x")
    assert np.unique(np.asarray(source.image(5))).tolist() == [int(key)]
    bright = tiny_dataset(tiny, image="raw", file_name="key", white=51)
    white = tfds_reader.read(bright, "train[3:]", 1)
    dark = next(i for i, name in enumerate(white.names) if name.endswith("/7.x"))
    assert np.unique(np.asarray(white.image(dark))).tolist() == [35]  # 7 * 255 / 51


@pytest.mark.backend_free
def test_white_of_encoded_images_is_255():
    import io

    from PIL import Image

    ink = np.array([[0, 1, 1], [1, 0, 1]], "uint8")
    opened = Image.open(io.BytesIO(tfds_reader.encode(png(ink[:, :, None]), white=1)))
    np.testing.assert_array_equal(np.asarray(opened), ink * 255)


def test_a_wrong_split_or_label_is_refused(tiny):
    with pytest.raises(ValueError, match=r"must have the split 'dev\[:3\]'.*'train', 'test'"):
        tfds_reader.read(tiny_dataset(tiny), "dev[:3]")
    with pytest.raises(ValueError, match="one of the 3 classes.*label=7"):
        tfds_reader.read(tiny_dataset(tiny, to_class=lambda label: 7), "train")


@pytest.mark.backend_free
def test_the_exif_orientation_of_published_images_is_not_applied():
    import io

    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype="uint8")
    plain, turned = io.BytesIO(), io.BytesIO()
    Image.fromarray(pixels).save(plain, "JPEG")
    exif = Image.Exif()
    exif[images.ORIENTATION] = 6
    Image.fromarray(pixels).save(turned, "JPEG", exif=exif)
    assert images.decode(io.BytesIO(turned.getvalue()), "turned").size == (16, 24)
    stripped = images.decode(io.BytesIO(tfds_reader.encode(turned.getvalue())), "stripped")
    assert stripped.size == (24, 16)
    np.testing.assert_array_equal(np.asarray(stripped), np.asarray(Image.open(plain)))
    assert tfds_reader.remove_exif(plain.getvalue()) == plain.getvalue()
    assert tfds_reader.remove_exif(b"\xff\xd8\xff\xe1\x00") == b"\xff\xd8\xff\xe1\x00"


@needs_tfds
def test_load_accepts_a_named_dataset(tmp_path):
    make_tiny(tmp_path, splits=("train",))
    data = keras_vit.data.load("keras_vit_tiny", data_dir=tmp_path, image_size=4, batch_size=7)
    # Of 5, 15, 20 are 1, 3, 4 a fifth; of the rest, 4, 12, 16, a tenth is 1, 1, 2.
    assert data.counts == {"train": 28, "validation": 4, "test": 8}
    assert data.class_names == ("ant", "bee", "cat")
