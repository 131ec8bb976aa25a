"""Named sets: TensorFlow Datasets mocked, made on the disk, and out of reach."""

import concurrent.futures
import functools
import hashlib
import http.server
import json
import os
import socket
import sys
import threading
import time

import numpy as np
import pytest

import keras_vit
from keras_vit.data import builders, named, network, real_labels, records, sets, vtab

try:
    import importlib_resources  # noqa: F401
    import tensorflow  # noqa: F401
    import tensorflow_datasets as tfds
except ImportError:
    tfds = None
needs_tfds = pytest.mark.skipif(tfds is None, reason="tensorflow_datasets is not installed")

# Published: classes and pictures of each split.
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
# Tested on in the benchmark, and the share of the training pictures before the validation ones.
TESTED = {"eurosat/rgb": 5400, "resisc45": 6300, "dsprites": 73_728, "smallnorb": 12_150,
          "clevr": 15_000}  # fmt: skip
PERCENT = {"caltech101": 90, "cifar100": 90, "oxford_iiit_pet": 80, "svhn_cropped": 90,
           "eurosat/rgb": 60, "resisc45": 60, "clevr": 90, "dsprites": 80}  # fmt: skip


def png(pixels):
    return records.encoded(np.asarray(pixels, "uint8"))


def some_example(number):
    """An example of Pets, CLEVR or KITTI: the generator of `mock_data` makes none for them."""
    rng = np.random.default_rng(number)
    count = 3 + number % 8
    places = rng.uniform(1, 30, (count, 3)).astype("float32")
    objects = {"size": [0] * count, "type": rng.integers(0, 8, count)}
    objects |= {"pixel_coords": list(places), "location": list(places)}
    picture = png(rng.integers(0, 256, (7, 5, 3)))
    return {"image": picture, "label": number % 37, "objects": objects}


@pytest.fixture
def obtainable(monkeypatch):
    """A network that answers."""
    monkeypatch.setattr(builders, "check_obtainable", lambda found: None)


def opened(name, num_examples=40, **more):
    def some(builder, split, **_):
        return [some_example(number) for number in range(num_examples)]

    own = some if any(word in name for word in ("pet", "clevr", "kitti")) else None
    with tfds.testing.mock_data(num_examples=num_examples, as_data_source_fn=own):
        return named.parts(name, **more)


@needs_tfds
@pytest.mark.parametrize("name", CLASSES)
def test_every_named_set_opens(name, obtainable):
    # Of ImageNet's 1,000 classes some must come twice.
    number = 200 if name == "imagenet2012" else 12 if name.startswith("vtab/") else 40
    parts = opened(name, number)
    assert parts.name == name
    assert len(parts.class_names) == len(set(parts.class_names)) == CLASSES[name]
    assert all(isinstance(each, str) for each in parts.class_names)
    for source in parts[2:]:
        assert source.labels.dtype == np.int32
        assert source.labels.shape == (len(source),) == (len(source.names),)
        assert 0 <= source.labels.min() <= source.labels.max() < CLASSES[name]
        assert source.names[0].startswith(name + "/")
        picture = source.picture(len(source) - 1)
        assert picture.mode == "RGB"
        assert min(picture.size) >= 5
    if name.startswith("vtab/"):  # the mock has as many pictures in whatever is asked for
        assert [len(source) for source in parts[2:]] == [number] * 3
    else:
        assert len(parts.train) + len(parts.validation) == len(parts.test) == number
        assert not set(parts.train.names) & set(parts.validation.names)


@needs_tfds
def test_a_set_in_no_table_opens(tmp_path):
    folder = tmp_path / "mnist" / "3.0.1"
    folder.mkdir(parents=True)
    splits = {"train": "60000", "test": "10000"}
    splits = [{"name": n, "shardLengths": [size], "numBytes": "1"} for n, size in splits.items()]
    info = {"name": "mnist", "version": "3.0.1", "fileFormat": "array_record", "splits": splits}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    with tfds.testing.mock_data(num_examples=40, data_dir=tmp_path):
        parts = named.parts("mnist", data_dir=tmp_path, num_channels=1)
    assert parts.class_names == tuple("0123456789")
    assert len(parts.train) + len(parts.validation) == len(parts.test) == 40
    picture = parts.test.picture(0)
    assert (picture.mode, picture.size) == ("L", (28, 28))


def test_the_tables_name_what_is_tested():
    assert list(CLASSES) == [*sets.SETS, *vtab.TASKS]
    assert len(vtab.TASKS) == 19
    assert set(sets.ALIASES.values()) <= set(sets.SETS)


def interval(split, sizes):
    """(set's own split, numbers) that a split in the words of TFDS stands for."""
    base, _, rest = split.rstrip("]").partition("[")
    start, _, end = rest.partition(":")
    return base, range(int(start or 0), int(end or sizes[base]))


@pytest.mark.parametrize("name", vtab.TASKS)
def test_vtab_splits_are_those_of_the_benchmark(name):
    row = vtab.TASKS[name]
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
def test_vtab_trains_on_all_thousand_pictures(obtainable):
    parts = opened("vtab/cifar100", validation_share=0)
    assert parts.validation is None
    assert parts.train.names[0] == "vtab/cifar100/train[:800]+train[45000:45200]/0"
    with pytest.raises(ValueError, match="800 and 200 pictures of a VTAB task are fixed"):
        named.parts("vtab/cifar100", validation_share=0.1)


def test_clevr_labels():
    def objects(*distances):
        return {"size": [1] * len(distances), "pixel_coords": [(9, 9, d) for d in distances]}

    assert vtab.clevr_count(objects(1, 1, 1)) == 0
    assert vtab.clevr_count(objects(*range(10))) == 7
    # Thresholds 0, 8, 8.5, 9, 9.5, 10, 100: the largest that is below the closest object.
    expected = {7.9: 0, 8.0: 0, 8.01: 1, 8.5: 1, 8.6: 2, 9.2: 3, 9.7: 4, 10.0: 4, 10.1: 5, 14: 5}
    for distance, label in expected.items():
        near = np.float32(distance)
        assert vtab.clevr_distance(objects(20, near, 15)) == label, distance


def test_kitti_labels():
    def objects(*pairs):
        return {"type": [kind for kind, _ in pairs], "location": [(9, 9, z) for _, z in pairs]}

    car, van, truck, pedestrian, tram = 0, 1, 2, 3, 6
    # Thresholds -100, 8, 20, 999 metres; 1000 stands for no vehicle.
    assert vtab.kitti_distance(objects((car, 7.5), (car, 30))) == 0
    assert vtab.kitti_distance(objects((van, 8.0))) == 0
    assert vtab.kitti_distance(objects((van, 8.1), (pedestrian, 2))) == 1
    assert vtab.kitti_distance(objects((truck, 20.0))) == 1
    assert vtab.kitti_distance(objects((truck, 20.5), (tram, 3))) == 2
    assert vtab.kitti_distance(objects((pedestrian, 3), (tram, 3))) == 3
    assert vtab.kitti_distance(objects()) == 3


@needs_tfds
def test_the_types_of_kitti_are_in_the_order_that_is_counted_on():
    kitti = tfds.builder("kitti", data_dir="/nowhere")
    assert kitti.info.features["objects"]["type"].names[:4] == ["Car", "Van", "Truck", "Pedestrian"]


def test_dsprites_labels():
    for step in range(40):  # the official division, in float32
        assert vtab.dsprites_orientation(step) == np.float32(step) // np.float32(2.5)
    for column in range(32):
        assert vtab.dsprites_location(column) == column // 2
    location, orientation = (vtab.TASKS[f"vtab/dsprites-{w}"] for w in ("location", "orientation"))
    assert location.class_names[1] == "column 2 to 3"
    assert orientation.class_names[:3] == ("step 0 to 2", "step 3 to 4", "step 5 to 7")
    assert orientation.class_names[-1] == "step 38 to 39"


# --- Sets on the disk ---------------------------------------------------------------------------


def tiny_pictures():
    """Pixels, class and key of 40 pictures, 5 of class 0, 15 of class 1, 20 of class 2."""
    rng = np.random.default_rng(3)
    for number in range(40):
        label = 0 if number < 5 else 1 if number < 20 else 2
        yield number, rng.integers(0, 256, (6 + number % 3, 5, 3), dtype="uint8"), label


@functools.cache
def tiny_builder():
    """A set of TFDS that is ours; a class can be registered only once."""

    class KerasVitTiny(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")
        splits = ("train", "test")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(None, None, 3)),
                "mask": tfds.features.Image(shape=(None, None, 1)),
                "raw": tfds.features.Tensor(shape=(2, 2, 1), dtype=np.uint8),
                "label": tfds.features.ClassLabel(names=["ant", "bee", "cat"]),
                "key": tfds.features.Text(),
            }
            features = tfds.features.FeaturesDict(features)
            keys = ("image", "label")
            return tfds.core.DatasetInfo(builder=self, features=features, supervised_keys=keys)

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples() for split in self.splits}

        def _generate_examples(self):
            for number, pixels, label in tiny_pictures():
                yield number, {
                    "image": pixels, "mask": pixels[:, :, :1], "label": label, "key": f"{number}.x",
                    "raw": np.full((2, 2, 1), number, "uint8"),
                }  # fmt: skip

    return KerasVitTiny


def make_tiny(folder, file_format="array_record", splits=("train", "test")):
    builder = tiny_builder()(data_dir=folder, file_format=file_format)
    builder.splits = splits
    builder.download_and_prepare()
    return builder


@pytest.fixture(scope="module", params=["array_record", "tfrecord"])
def tiny(request, tmp_path_factory):
    if tfds is None:
        pytest.skip("tensorflow_datasets is not installed")
    folder = tmp_path_factory.mktemp(request.param)
    make_tiny(folder, request.param)
    return folder


def test_a_set_on_the_disk_is_read_to_the_pixel(tiny):
    parts = named.parts("keras_vit_tiny", data_dir=tiny, seed=1)
    assert parts.class_names == ("ant", "bee", "cat")
    assert [len(source) for source in parts[2:]] == [35, 5, 40]
    # A tenth of 5, 15 and 20 pictures, at least one of each class.
    assert np.bincount(parts.validation.labels).tolist() == [1, 2, 2]
    truth = {pixels.tobytes(): label for _, pixels, label in tiny_pictures()}
    seen = []
    for source in (parts.train, parts.validation):
        for number in range(len(source)):
            pixels = np.asarray(source.picture(number)).tobytes()
            assert truth[pixels] == source.labels[number]
            seen.append(pixels)
    assert sorted(seen) == sorted(truth)
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        pictures = list(threads.map(parts.train.picture, range(len(parts.train))))
    assert [np.asarray(picture).tobytes() for picture in pictures] == seen[: len(pictures)]
    again = named.parts("keras_vit_tiny", data_dir=tiny, seed=1)
    assert again.train.names == parts.train.names
    assert named.parts("keras_vit_tiny", data_dir=tiny, seed=2).train.names != parts.train.names
    grey = named.parts("keras_vit_tiny", data_dir=tiny, num_channels=1)
    assert grey.test.picture(0).mode == "L"


def test_labels_are_read_once_and_kept_beside_the_set(tmp_path, monkeypatch):
    pytest.importorskip("tensorflow_datasets")
    builder = make_tiny(tmp_path)
    first = named.parts("keras_vit_tiny", data_dir=tmp_path)
    kept = sorted(builder.data_path.glob("keras_vit-*.npz"))
    assert [path.name.rpartition("-")[2] for path in kept] == ["test.npz", "train.npz"]

    def fail(*_):
        raise AssertionError("the labels were read again")

    with monkeypatch.context() as patch:
        patch.setattr(records, "_labels", fail)
        second = named.parts("keras_vit_tiny", data_dir=tmp_path)
    assert second.train.names == first.train.names
    np.testing.assert_array_equal(second.test.labels, first.test.labels)
    kept[0].write_bytes(kept[0].read_bytes()[:100])
    kept[1].write_bytes(b"")
    third = named.parts("keras_vit_tiny", data_dir=tmp_path)
    np.testing.assert_array_equal(third.test.labels, first.test.labels)


def test_shares_of_validation(tiny):
    parts = named.parts("keras_vit_tiny", data_dir=tiny, validation_share=0.4)
    assert np.bincount(parts.validation.labels).tolist() == [2, 6, 8]
    parts = named.parts("keras_vit_tiny", data_dir=tiny, validation_share=0)
    assert parts.validation is None
    assert parts.train.names[17] == "keras_vit_tiny/train/17"
    for share in (1, -0.1, float("nan"), True, "0.1"):
        with pytest.raises(ValueError, match="`validation_share` must be a number"):
            named.parts("keras_vit_tiny", data_dir=tiny, validation_share=share)


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
def test_parts_follow_the_splits_that_a_set_has(splits, share, sizes, tmp_path):
    pytest.importorskip("tensorflow_datasets")
    make_tiny(tmp_path, splits=splits)
    parts = named.parts("keras_vit_tiny", data_dir=tmp_path, validation_share=share)
    assert [len(source or ()) for source in parts[2:]] == sizes


def test_a_set_without_training_split_is_refused(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    make_tiny(tmp_path, splits=("dev",))
    with pytest.raises(ValueError, match=r"must have the split 'train'.*splits=\['dev'\]"):
        named.parts("keras_vit_tiny", data_dir=tmp_path)


def test_a_set_too_large_for_memory_names_a_command_that_helps(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    make_tiny(tmp_path, "tfrecord")
    with pytest.raises(ValueError, match="must fit into memory") as error:
        named.parts("keras_vit_tiny", data_dir=tmp_path, max_bytes=2000)
    command = str(error.value).partition('python -c "')[2].partition('"')[0]
    exec(command, {})
    parts = named.parts("keras_vit_tiny", data_dir=tmp_path / "array_record", max_bytes=2000)
    assert len(parts.test) == 40


def test_max_bytes_counts_what_was_read(tmp_path, monkeypatch):
    pytest.importorskip("tensorflow_datasets")
    make_tiny(tmp_path, "tfrecord")
    monkeypatch.setattr(records, "_expected_bytes", lambda *_: 0)  # TFDS does not always know
    with pytest.raises(ValueError, match="must fit into memory"):
        named.parts("keras_vit_tiny", data_dir=tmp_path, max_bytes=2000)


def place_of(tiny, **changes):
    row = sets.NamedSet("keras_vit_tiny", "train", 0.1, "test")._replace(**changes)
    return records.Place(builders.prepared(row.tfds, tiny), row, "tiny", ("ant", "bee", "cat"))


def test_pictures_that_are_arrays_are_read(tiny):
    source = records.read(place_of(tiny, image="raw", file_name="key"), "train[3:]", 1)
    name = source.names[5]
    key = name.removeprefix("tiny/train[3:]/").removesuffix(".x")
    assert np.unique(np.asarray(source.picture(5))).tolist() == [int(key)]
    white = records.read(place_of(tiny, image="raw", file_name="key", white=51), "train[3:]", 1)
    dark = next(i for i, name in enumerate(white.names) if name.endswith("/7.x"))
    assert np.unique(np.asarray(white.picture(dark))).tolist() == [35]  # 7 * 255 / 51


def test_white_of_encoded_pictures_is_255():
    import io

    from PIL import Image

    ink = np.array([[0, 1, 1], [1, 0, 1]], "uint8")
    opened = Image.open(io.BytesIO(records.encoded(png(ink[:, :, None]), white=1)))
    np.testing.assert_array_equal(np.asarray(opened), ink * 255)


def test_a_wrong_split_or_label_is_refused(tiny):
    with pytest.raises(ValueError, match=r"must have the split 'dev\[:3\]'.*'train', 'test'"):
        records.read(place_of(tiny), "dev[:3]")
    with pytest.raises(ValueError, match="one of the 3 classes.*label=7"):
        records.read(place_of(tiny, to_class=lambda label: 7), "train")


def test_the_rotation_of_a_camera_is_not_applied():
    import io

    from PIL import Image

    from keras_vit.data import images

    pixels = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype="uint8")
    plain, turned = io.BytesIO(), io.BytesIO()
    Image.fromarray(pixels).save(plain, "JPEG")
    exif = Image.Exif()
    exif[images.ORIENTATION] = 6
    Image.fromarray(pixels).save(turned, "JPEG", exif=exif)
    assert images.decode(io.BytesIO(turned.getvalue()), "turned").size == (16, 24)
    stripped = images.decode(io.BytesIO(records.encoded(turned.getvalue())), "stripped")
    assert stripped.size == (24, 16)
    np.testing.assert_array_equal(np.asarray(stripped), np.asarray(Image.open(plain)))
    assert records.without_exif(plain.getvalue()) == plain.getvalue()
    assert records.without_exif(b"\xff\xd8\xff\xe1\x00") == b"\xff\xd8\xff\xe1\x00"


# --- Archives, networks and names ---------------------------------------------------------------


def make_cifar_archive(path, pixels, labels):
    """Writes `cifar-10-binary.tar.gz`: a byte for the label, then 3,072 of red, green and blue."""
    import io
    import tarfile

    rows = np.concatenate([labels[:, None], pixels.transpose(0, 3, 1, 2).reshape(24, -1)], 1)
    files = {f"data_batch_{n + 1}.bin": rows[n * 4 : n * 4 + 4] for n in range(5)}
    files |= {"test_batch.bin": rows[20:]}
    texts = {name: block.astype("uint8").tobytes() for name, block in files.items()}
    names = "airplane automobile bird cat deer dog frog horse ship truck"
    texts |= {"batches.meta.txt": "\n".join(names.split()).encode()}
    with tarfile.open(path, "w:gz") as archive:
        for name, text in texts.items():
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))


def test_an_archive_put_by_hand_is_prepared_without_network(tmp_path, monkeypatch):
    pytest.importorskip("tensorflow_datasets")
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (24, 32, 32, 3), "uint8"), np.arange(24) % 10
    folder = tmp_path / "downloads" / "manual"
    folder.mkdir(parents=True)
    archive = folder / "cifar-10-binary.tar.gz"
    make_cifar_archive(archive, pixels, labels)
    infos = tfds.builder("cifar10", data_dir=tmp_path).url_infos
    (address, info) = next(iter(infos.items()))
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    changed = type(info)(size=archive.stat().st_size, checksum=digest, filename=info.filename)
    monkeypatch.setitem(infos, address, changed)
    parts = named.parts("cifar10", data_dir=tmp_path, validation_share=0)
    assert parts.class_names[3:5] == ("cat", "deer")
    assert (len(parts.train), len(parts.test)) == (20, 4)
    truth = {pixels[n].tobytes(): labels[n] for n in range(24)}
    for source in (parts.train, parts.test):
        for number in range(len(source)):
            picture = np.asarray(source.picture(number)).tobytes()
            assert truth.pop(picture) == source.labels[number]
    assert not truth


@pytest.fixture
def server():
    """Makes a server on this machine that answers with a status, or never (None)."""
    made = []

    def start(status):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self):
                self.send_response(status)
                self.end_headers()

            log_message = do_CONNECT = lambda self, *_: None

        if status is None:
            made.append(socket.create_server(("127.0.0.1", 0)))
            return f"http://127.0.0.1:{made[-1].getsockname()[1]}/a.zip"
        made.append(http.server.HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=made[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{made[-1].server_port}/a.zip"

    yield start
    for each in made:
        if isinstance(each, http.server.HTTPServer):
            each.shutdown()
            each.server_close()
        else:
            each.close()


@pytest.fixture
def no_proxy(monkeypatch):
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


def refusing():
    """An address of this machine where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}/a.zip"


@pytest.mark.parametrize("status", [200, 301, 403, 404, 405, 500])
def test_any_answer_of_a_server_is_a_network(status, server, no_proxy):
    assert network.trouble([refusing(), server(status)], 3) is None


def test_trouble_tells_of_a_server_that_refuses_and_one_that_is_silent(server, no_proxy):
    start = time.monotonic()
    reason = network.trouble([refusing(), server(None)], 0.5)
    assert time.monotonic() - start < 2
    assert "refused" in reason
    assert "no answer within 0.5 seconds" in reason
    assert network.trouble([], 1) is None


def test_a_look_up_that_hangs_is_not_waited_for(monkeypatch, no_proxy):
    stop, done = threading.Event(), threading.Event()

    def hang(*_, **__):
        stop.wait(5)
        done.set()
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    start = time.monotonic()
    assert "no answer" in network.trouble(["http://example.com/"], 0.3)
    assert time.monotonic() - start < 2
    stop.set()
    assert done.wait(5)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_lets_nothing_through_is_trouble(scheme, server, no_proxy, monkeypatch):
    proxy = server(503) if scheme == "http" else refusing()
    monkeypatch.setenv(f"{scheme}_proxy", proxy.removesuffix("a.zip"))
    assert network.trouble([f"{scheme}://example.com/a.zip"], 3)


@needs_tfds
@pytest.mark.parametrize("kind", ["refuses", "is silent"])
def test_without_network_the_message_helps(kind, tmp_path, server, monkeypatch, no_proxy):
    proxy = refusing() if kind == "refuses" else server(None)
    for scheme in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(scheme, proxy.removesuffix("a.zip"))
    monkeypatch.setattr(network, "SECONDS", 1)
    start = time.monotonic()
    with pytest.raises(ConnectionError) as error:
        named.parts("cifar10", data_dir=tmp_path)
    assert time.monotonic() - start < 5
    for said in (
        f"'cifar10/3.0.2' is not prepared in {tmp_path}",
        "refused" if kind == "refuses" else "no answer within 1 seconds",
        f"tfds.builder('cifar10', data_dir='{tmp_path}', file_format='array_record')",
        f"cifar-10-binary.tar.gz into {tmp_path}/downloads/manual",
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    ):
        assert said in str(error.value)


@needs_tfds
def test_archives_that_must_be_had_by_hand_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="ILSVRC2012_img_train.tar") as error:
        named.parts("imagenet", data_dir=tmp_path)
    assert str(tmp_path / "downloads" / "manual") in str(error.value)


@needs_tfds
@pytest.mark.parametrize(
    "name, said",
    [
        ("cifra10", "Did you mean 'cifar10'"),
        ("imagenet21012", "Did you mean 'imagenet2012'"),
        ("cifar10:9.9.9", "cannot be loaded at version 9.9.9"),
        ("cifar10/none", "BuilderConfig none not found"),
        ("../cifar10", "The builder name string must be"),
        ("vtab/dsprites", "dsprites-location"),
        ("zzqx", "tensorflow.org/datasets/catalog"),
    ],
)
def test_unknown_names_are_refused(name, said, tmp_path):
    with pytest.raises(ValueError, match="Received: name=") as error:
        named.parts(name, data_dir=tmp_path)
    assert said in str(error.value)


@needs_tfds
def test_sets_without_pictures_of_classes_are_refused(tmp_path, obtainable, monkeypatch):
    monkeypatch.setattr(named, "_described", lambda builder: sets.NamedSet("", "train", 0.1, None))
    with tfds.testing.mock_data(num_examples=3):
        for name in ("coco_captions", "imdb_reviews"):
            with pytest.raises(ValueError, match="must have pictures of 8 or 16 bits"):
                named.parts(name, data_dir=tmp_path)


@pytest.mark.parametrize("missing", builders.NEEDED)
def test_what_is_not_installed_is_named_with_the_command(missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    if tfds is None:
        monkeypatch.setattr(builders, "NEEDED", (missing,))
    with pytest.raises(ImportError, match=rf'{missing}.*pip install "keras-vit\[data\]"'):
        named.parts("cifar10")


@needs_tfds
def test_load_takes_a_named_set(tmp_path):
    make_tiny(tmp_path, splits=("train",))
    data = keras_vit.data.load("keras_vit_tiny", data_dir=tmp_path, image_size=4, batch_size=7)
    # Of 5, 15, 20 are 1, 3, 4 a fifth; of the rest, 4, 12, 16, a tenth is 1, 1, 2.
    assert data.counts == {"train": 28, "validation": 4, "test": 8}
    assert data.class_names == ("ant", "bee", "cat")


# --- ReaL ---------------------------------------------------------------------------------------


def test_real_labels(tmp_path):
    lists = [[] for _ in range(50_000)]
    lists[0], lists[1], lists[292] = [65], [795, 970], [7]
    path = tmp_path / "real.json"
    path.write_text(json.dumps(lists))
    labels = real_labels.read(path)
    assert labels[:3] == ((65,), (795, 970), ())
    names = [f"imagenet2012/validation/ILSVRC2012_val_{n:08d}.JPEG" for n in (2, 293, 3, 1)]
    right = real_labels.in_order(labels, names)
    assert right == ((795, 970), (7,), (), (65,))
    assert real_labels.real_accuracy([970, 8, 1, 65], right) == 2 / 3  # the third has no label
    scores = np.eye(1000)[[970, 8, 1, 65]]
    assert real_labels.real_accuracy(scores, right) == 2 / 3


def test_real_labels_refuse_what_they_are_not(tmp_path):
    path = tmp_path / "real.json"
    with pytest.raises(FileNotFoundError, match="reassessed-imagenet/master/real.json"):
        real_labels.read(path)
    for text in ("[", "{}", "[[1]]", json.dumps([[1000]] * 50_000), json.dumps([1] * 50_000)):
        path.write_text(text)
        with pytest.raises(ValueError, match="50,000 lists of classes, 0 to 999"):
            real_labels.read(path)
    for name in ("17", "ILSVRC2012_val_00000000.JPEG", "ILSVRC2012_val_00000003.JPEG"):
        with pytest.raises(ValueError, match="name of a validation|that of a validation picture"):
            real_labels.in_order(((1,), (2,)), [name])
    with pytest.raises(ValueError, match="a list of labels each"):
        real_labels.real_accuracy([1, 2], [(1,)])
    with pytest.raises(ValueError, match="at least one picture must have a label|At least one"):
        real_labels.real_accuracy([1], [()])


@needs_tfds
def test_file_names_of_imagenet_lead_to_real_labels(obtainable):
    def examples(builder, split, decoders=None, **_):
        name = "ILSVRC2012_val_{:08d}.JPEG" if split == "validation" else "n{:08d}_1.JPEG"
        picture = png(np.zeros((3, 3, 3)))
        return [
            {"image": picture, "label": n, "file_name": name.format(4 - n).encode()}
            for n in range(4)
        ]

    with tfds.testing.mock_data(as_data_source_fn=examples):
        test = named.parts("imagenet").test
    assert test.names[0] == "imagenet2012/validation/ILSVRC2012_val_00000004.JPEG"
    labels = ((3,), (0,), (), (0, 9))
    assert real_labels.in_order(labels, test.names) == ((0, 9), (), (0,), (3,))
    right = real_labels.in_order(labels, test.names)
    assert real_labels.real_accuracy(test.labels, right) == 2 / 3
