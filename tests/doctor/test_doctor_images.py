"""Examining one image and comparing many: copies, formats, and files that crash a reader."""

import base64
import io
import os
import pathlib
import sys
import tempfile
import threading
import time

import faults
import numpy as np
import pytest
from doctor_helpers import found
from PIL import Image

from keras_vit import doctor
from keras_vit.data import images
from keras_vit.doctor import checking, examine, formats, near_duplicates, workers

pytestmark = pytest.mark.backend_free

CHANGES = {
    "saved again at quality 30": lambda image: _saved(image, quality=30),
    "halved": lambda image: image.resize((image.width // 2, image.height // 2), 2),
    "brighter": lambda image: image.point(lambda value: min(255, int(1.2 * value))),
    "less contrast": lambda image: image.point(lambda value: int(0.8 * value + 25)),
    "cropped by 1 %": lambda image: image.crop((3, 2, image.width - 3, image.height - 2)),
    "turned on its side by EXIF": lambda image: _on_its_side(image),
}


def _saved(image, **options):
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return Image.open(file)


def _on_its_side(image):
    exif = Image.Exif()
    exif[0x0112] = 6
    return _saved(image.transpose(Image.Transpose.ROTATE_90), exif=exif, quality=95)


def thumbs(images):
    encoded = [examine._make_thumb(image)[0] for image in images]
    return np.stack([np.frombuffer(base64.b64decode(text), "uint8") for text in encoded])


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_found_and_different_images_are_not(change):
    images = [faults.scene(seed, (300, 200)) for seed in range(40)]
    changed = [CHANGES[change](image) for image in images]
    pairs = near_duplicates.find_near(thumbs(images + changed))
    assert {tuple(pair) for pair in pairs.tolist()} == {(i, i + 40) for i in range(40)}


def test_near_finds_what_comparing_all_pairs_finds():
    """The index skips pairs; all pairs are compared here, with noise of many strengths."""
    rng = np.random.default_rng(0)
    base = thumbs([faults.scene(seed, (64, 64)) for seed in range(60)])
    noise = rng.normal(0, np.linspace(1, 12, 60)[:, None], base.shape)
    both = np.concatenate([base, np.clip(base + noise, 0, 255).astype("uint8")])
    a, b = np.triu_indices(len(both), 1)
    kept = near_duplicates._confirm(both, np.stack([a, b], axis=1))
    bits, _ = near_duplicates._hash(both)
    near = kept[(bits[kept[:, 0]] != bits[kept[:, 1]]).sum(axis=1) <= near_duplicates.MOST_BITS]
    expected = {tuple(pair) for pair in near.tolist()}
    got = {tuple(pair) for pair in near_duplicates.find_near(both).tolist()}
    assert got <= expected and len(got) >= 0.97 * len(expected) > 35


def test_flat_images_are_not_copies():
    flat = [Image.new("RGB", (64, 64), (200 + i, 200, 200)) for i in range(5)]
    assert len(near_duplicates.find_near(thumbs(flat))) == 0
    none = np.zeros((0, examine.THUMB_BYTES), "uint8")
    assert len(near_duplicates.find_near(none)) == 0


@pytest.mark.slow
def test_many_equal_thumbnails_take_linear_time():
    many = np.repeat(thumbs([faults.scene(1, (64, 64))]), 10_000, axis=0)
    start = time.perf_counter()
    assert len(near_duplicates.find_near(many)) >= 9_999
    assert time.perf_counter() - start < 20


def test_unread_suffixes_are_not_read():
    suffixes = ".jpg .jpeg .jfif .png .gif .bmp .webp .tif .tiff .ppm .pgm .pbm .pnm"
    assert list(images.SUFFIXES) == suffixes.split()
    assert not set(formats.UNREAD) & set(images.SUFFIXES)


JPEGS = [
    {}, {"progressive": True}, {"optimize": True}, {"subsampling": 0}, {"restart_marker_rows": 1},
]  # fmt: skip


@pytest.mark.parametrize("options", JPEGS, ids=str)
def test_whole_jpegs_have_no_fault_and_shortened_ones_have(options):
    data = faults.jpeg(3, (120, 90), **options)
    assert formats.find_fault(data) is None
    image, _ = examine.decode(data)
    assert not examine._loses_its_place(data, image)
    for end in range(2, len(data), 97):
        assert formats.find_fault(data[:end])[0] == "truncated", end
    assert formats.find_fault(data + b"bytes after the end") is None


def test_every_flipped_byte_of_a_png_is_found():
    data = faults.png(3, (20, 20))
    for at in range(8, len(data)):
        assert formats.find_fault(faults.flipped(data, at)), at


def test_bytes_of_every_kind_never_raise():
    """Files that are truncated and filled with noise always give a record."""
    rng = np.random.default_rng(0)
    kinds = {"JPEG": {}, "PNG": {}, "GIF": {}, "BMP": {}, "WEBP": {}, "TIFF": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name in kinds:
            good = faults.save(pathlib.Path(folder, "x"), faults.scene(1), format=name).read_bytes()
            for _ in range(60):
                data = bytearray(good[: rng.integers(1, len(good) + 1)])
                for _ in range(rng.integers(0, 8)):
                    data[rng.integers(len(data))] = rng.integers(256)
                path = os.path.join(folder, "x.jpg")
                pathlib.Path(path).write_bytes(bytes(data))
                for kind, reason in examine.examine(path)["problems"]:
                    assert kind in doctor.KINDS and reason


def test_big_endian_pixels_of_16_bits_are_examined_like_little_endian_ones(tmp_path):
    values = np.arange(64, dtype="uint16").reshape(8, 8) * 1000
    for name, mode, kind in (("a.tif", "I;16", "<u2"), ("b.tif", "I;16B", ">u2")):
        Image.frombytes(mode, (8, 8), values.astype(kind).tobytes()).save(tmp_path / name)
    little, big = (examine.examine(tmp_path / name) for name in ("a.tif", "b.tif"))
    assert big["problems"] == little["problems"] == [("sixteen-bit", "values 0 to 63000 of 65535")]
    assert big["thumb"] == little["thumb"]


def _in_a_worker(path):
    """Returns the record of a file, the seconds it took and the peak memory in MB."""
    worker = workers._Worker(60)
    try:
        assert worker.receive() == "ready"
        start = time.perf_counter()
        worker.send([["examine", str(path)]])
        record, seconds = worker.receive(), time.perf_counter() - start
        status = pathlib.Path(f"/proc/{worker.process.pid}/status")
        if not status.exists():
            pytest.skip("no /proc here")
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return record, seconds, int(line.split()[1]) / 1024
    finally:
        worker.close()


@pytest.mark.parametrize("side, kind", [(20_000, "bomb"), (9_000, "giant")])
def test_a_bomb_is_refused_at_once_and_in_little_memory(tmp_path, side, kind):
    path = tmp_path / "bomb.png"
    path.write_bytes(faults.png_of(side, side))
    record, seconds, megabytes = _in_a_worker(path)
    assert record["problems"][0][0] == kind and seconds < 1 and megabytes < 150


def test_a_worker_takes_little_memory(good):
    """It imports neither Keras nor NumPy."""
    record, _, megabytes = _in_a_worker(good / "cat" / "00.jpg")
    assert record["problems"] == [] and megabytes < 80


def _waits(monkeypatch, tmp_path, body):
    """Makes workers run `body` before they examine a file."""
    patch = tmp_path / "patch"
    patch.mkdir()
    code = f"""
import keras_vit.doctor.examine as examine
original = examine.examine
def examine_or_not(path):
    {body}
    return original(path)
examine.examine = examine_or_not
"""
    monkeypatch.setattr(workers, "_START", workers._START.replace(
        'importlib.import_module("keras_vit.doctor.workers")',
        f'exec({code!r})\nimportlib.import_module("keras_vit.doctor.workers")',
    ))  # fmt: skip


def test_an_image_that_crashes_the_process_is_reported_and_the_others_are_read(
    good, tmp_path, monkeypatch
):
    _waits(monkeypatch, tmp_path, "if path.endswith('03.jpg'): import os; os._exit(1)")
    report = doctor.check(good, processes=1)
    assert found(report) == {("crash", f"{name}/03.jpg") for name in ("cat", "dog", "owl")}
    assert report.classes["cat"] == {"": 11}


@pytest.mark.slow
def test_an_image_that_never_ends_is_reported(good, tmp_path, monkeypatch):
    _waits(monkeypatch, tmp_path, "if path.endswith('cat/03.jpg'): import time; time.sleep(99)")
    start = time.perf_counter()
    report = doctor.check(good, seconds=2)
    assert found(report) == {("slow", "cat/03.jpg")}
    assert time.perf_counter() - start < 20


def test_the_time_limit_of_an_image_is_not_one_for_the_start(good, monkeypatch):
    monkeypatch.setattr(workers, "_START", f"import time; time.sleep(1)\n{workers._START}")
    assert list(workers.run("examine", [str(good / "cat" / "00.jpg")], seconds=0.7))[0][1]["size"]


def test_a_worker_killed_by_the_system_costs_nothing(good, tmp_path, monkeypatch):
    mark = tmp_path / "ended"
    body = f"if path.endswith('dog/03.jpg') and not __import__('os').path.exists({str(mark)!r}): "
    body += f"open({str(mark)!r}, 'w').close(); import os; os.kill(os.getpid(), 9)"
    _waits(monkeypatch, tmp_path, body)
    assert doctor.check(good).problems == () and mark.exists()


def waiting_threads():
    """Counts the threads of workers; a backend has other threads."""
    return sum(thread.name == workers._THREAD for thread in threading.enumerate())


def test_workers_that_cannot_start_raise_one_clear_error(good, monkeypatch):
    monkeypatch.setattr(workers, "_START", "raise SystemExit(3)  # {packages}")
    with pytest.raises(RuntimeError, match="must be a Python with Pillow"):
        doctor.check(good)
    assert waiting_threads() == 0


def test_stopping_early_ends_the_workers(good):
    paths = [str(path) for path in good.rglob("*.jpg")]
    results = workers.run("examine", paths, processes=2)
    next(results)
    results.close()
    assert waiting_threads() == 0
    assert len(list(workers.run("examine", paths, processes=2))) == 36


def test_memory_does_not_grow_with_the_pixels():
    """A record has no pixels except a thumbnail of 288 values."""
    image = checking.CheckedImage("x" * 40, "c", "", (1, 1), "JPEG", False, bytes(16), bytes(16))
    assert sum(map(sys.getsizeof, image)) + sys.getsizeof(image) < 700
    assert examine.THUMB_BYTES == 288


@pytest.mark.parametrize("arguments", [{"processes": 0}, {"small_class": 0}, {"seconds": -1}])
def test_bad_arguments(good, arguments):
    with pytest.raises(ValueError, match=f"`{next(iter(arguments))}` must be"):
        doctor.check(good, **arguments)


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(FileNotFoundError, match="class folders was expected"):
        doctor.check(tmp_path / "nowhere")
