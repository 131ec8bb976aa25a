"""The dataset doctor against a corpus of faults, and against good images."""

import collections
import contextlib
import html
import json
import os
import pathlib
import shutil
import sys
import tarfile
import tempfile
import threading
import time

import faults
import numpy as np
import pytest
from PIL import Image

from keras_vit import cli, doctor
from keras_vit.data import images
from keras_vit.doctor import (
    checking,
    examine,
    file_tree,
    formats,
    near_duplicates,
    quarantine_files,
    workers,
)
from keras_vit.doctor import report as report_module

pytestmark = pytest.mark.backend_free

DATA = os.environ.get("KERAS_VIT_TEST_DATA")


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """A folder with every fault of `faults.FILES`, and its report."""
    folder = faults.good(tmp_path_factory.mktemp("faulty") / "set")
    faults.make(folder, faults.FILES)
    return folder, doctor.check(folder)


@pytest.fixture
def good(tmp_path):
    return faults.good(tmp_path / "set")


@pytest.fixture
def splits(tmp_path):
    return faults.good_splits(tmp_path / "set")


def found(report):
    return {(problem.kind, problem.path) for problem in report.problems}


def severe(report):
    return [problem for problem in report.problems if problem.severity != "note"]


def run(*words):
    """Calls the command; returns its exit code."""
    return cli.carry_out(cli.parser().parse_args(["check-data", *map(str, words)]))


def tree(folder):
    """{path: (kind, bytes or target, time of change)} of all that is not a folder."""
    listed = {}
    for path, _, files in os.walk(folder):
        for name in files:
            full = os.path.join(path, name)
            status = os.lstat(full)
            what = os.readlink(full) if os.path.islink(full) else None
            if what is None and os.path.isfile(full):
                what = pathlib.Path(full).read_bytes()
            listed[os.path.relpath(full, folder)] = status.st_mode, what, status.st_mtime_ns
    return listed


# --- the corpus of faults


@pytest.mark.parametrize("row", faults.FILES, ids=lambda row: ascii(f"{row[0]}:{row[1]}"))
def test_every_fault_is_found_with_its_path_class_reason_and_advice(faulty, row):
    kind, path, _ = row
    (problem,) = [p for p in faulty[1].problems if (p.kind, p.path) == (kind, path)]
    if (faulty[0] / path).is_file() and path != ".":
        assert problem.class_name == faults.class_of(path)
    assert problem.reason and problem.advice and problem.severity in ("error", "warning", "note")


def test_nothing_else_is_found(faulty):
    expected = {(kind, path) for kind, path, _ in faults.FILES}
    assert found(faulty[1]) - expected == faults.BESIDES


def test_the_corpus_has_every_kind(faulty):
    elsewhere = {
        "unreadable-file", "unreadable-folder", "slow", "crash", "extra-folder", "split-twice",
        "no-classes", "one-class", "mild-imbalance", "shortcut",
    }  # fmt: skip
    kinds = {kind for kind, _, _ in faults.FILES + faults.SPLITS} | {"imbalance"}
    assert kinds | elsewhere == set(doctor.KINDS) and not kinds & elsewhere
    assert len(doctor.KINDS) >= 30


def test_what_the_doctor_calls_an_error_the_reader_refuses_and_nothing_else(faulty):
    folder, report = faulty
    wrong = {p.path for p in report.of("error") if doctor.KINDS[p.kind].movable}
    for entry in file_tree.walk(folder).files:
        if (folder / entry.path).stat().st_size > 1e6 or entry.path == "dog/giant.png":
            continue
        if entry.path in wrong:
            with pytest.raises((ValueError, FileNotFoundError)):
                images.read(folder / entry.path, 8)
        else:
            assert images.read(folder / entry.path, 8).shape == (8, 8, 3)


def test_copies_name_the_other_copy(faulty):
    others = {(p.kind, p.path): p.others for p in faulty[1].problems if p.others}
    assert others["label-clash", "cat/00.jpg"] == ("dog/c.jpg",)
    assert others["label-clash", "cat/01.jpg"] == ("dog/p.png",)
    assert others["duplicate", "cat/copy.jpg"] == ("cat/02.jpg",)
    assert others["near-clash", "cat/04.jpg"] == ("owl/near.jpg",)
    assert others["near-duplicate", "dog/near.jpg"] == ("dog/05.jpg",)


def test_a_good_folder_has_no_problems(good):
    report = doctor.check(good)
    assert report.problems == () and report.ok and report.counts == {}
    assert report.images == 36
    assert report.classes == {name: {"": 12} for name in ("cat", "dog", "owl")}
    assert "0 errors, 0 warnings, 0 notes" in str(report) and "No problems were found" in str(
        report
    )


def test_good_splits_have_no_problems(splits):
    report = doctor.check(splits)
    assert report.problems == ()
    assert report.classes["cat"] == {"train": 12, "validation": 12, "test": 12}


def test_faults_between_splits(splits):
    with Image.open(splits / "train/dog/00.jpg") as image:
        image.resize((90, 80)).save(splits / "test/dog/near.png")
    faults.make(splits, [row for row in faults.SPLITS if row[0] != "near-leak"])
    report = doctor.check(splits)
    assert {p.kind for p in severe(report)} == {kind for kind, _, _ in faults.SPLITS}
    assert {(kind, path) for kind, path, _ in faults.SPLITS} <= found(report)
    by_path = {(p.kind, p.path): p for p in report.problems}
    assert by_path["leak", "train/cat/00.jpg"].others == ("test/cat/x.jpg",)
    assert by_path["near-leak", "train/dog/00.jpg"].others == ("test/dog/near.png",)
    assert by_path["class-untrained", "test/yak"].class_name == "yak"
    assert {p.split for p in report.problems if p.kind == "class-missing"} == {"validation", "test"}


def test_folders_beside_splits_and_splits_that_are_there_twice(splits):
    faults.good(splits / "Valid", first_seed=70_000)
    (splits / "extra").mkdir()
    report = doctor.check(splits)
    assert {("split-twice", "val"), ("extra-folder", "extra")} <= found(report)


def test_a_class_may_be_called_train(tmp_path):
    report = doctor.check(faults.good(tmp_path / "toys", ("car", "train")))
    assert report.problems == () and set(report.classes) == {"car", "train"}


def test_no_classes_and_one_class(tmp_path):
    (tmp_path / "none").mkdir()
    assert found(doctor.check(tmp_path / "none")) == {("no-classes", ".")}
    faults.write(tmp_path / "flat" / "1.jpg", faults.jpeg(1))
    kinds = {kind for kind, _ in found(doctor.check(tmp_path / "flat"))}
    assert kinds == {"no-classes", "outside-class"}
    faults.good(tmp_path / "one", ("cat",))
    assert found(doctor.check(tmp_path / "one")) == {("one-class", ".")}


@pytest.mark.parametrize("each, kind", [(23, None), (24, "mild-imbalance"), (80, "imbalance")])
def test_imbalance(tmp_path, each, kind):
    faults.good(tmp_path / "set", ("few",), 8)
    faults.good(tmp_path / "set", ("many",), each, 100)
    report = doctor.check(tmp_path / "set", small_class=5)
    assert found(report) == ({(kind, ".")} if kind else set())


def test_a_class_that_its_format_gives_away(tmp_path):
    faults.good(tmp_path / "set", ("cat", "dog"), 20)
    for number in range(20):
        path = tmp_path / "set" / "owl" / f"{number}.png"
        faults.save(path, faults.scene(500 + number, (44 + number, 40)))
    report = doctor.check(tmp_path / "set")
    assert found(report) == {("shortcut", "owl/0.png")}
    assert "20 of its images are PNG files, 0 of all others" in str(report)


def test_without_the_right_to_read():
    """Root may read everything: then another user's rights are taken on."""
    root = os.geteuid() == 0
    base = pathlib.Path(tempfile.mkdtemp())  # pytest's own folders are closed to others
    folder = faults.good(base / "set")
    (folder / "dog" / "00.jpg").chmod(0)
    (folder / "owl").chmod(0)
    base.chmod(0o755)
    try:
        if root:
            os.seteuid(65534)
        (problem,) = file_tree.walk(folder).problems
        record = examine.examine(folder / "dog" / "00.jpg")
    finally:
        if root:
            os.seteuid(0)
        (folder / "owl").chmod(0o755)
        shutil.rmtree(base)
    assert problem == doctor.Problem("unreadable-folder", "owl", "Permission denied", "owl")
    ((kind, reason),) = record["problems"]
    assert kind == "unreadable-file" and "Permission denied" in reason
    # A right that is missing is no reason to move a file.
    assert not any(doctor.KINDS[kind].movable for kind in ("unreadable-file", "unreadable-folder"))


# --- near copies

CHANGES = {
    "saved again at quality 30": lambda image: _saved(image, quality=30),
    "halved": lambda image: image.resize((image.width // 2, image.height // 2), 2),
    "brighter": lambda image: image.point(lambda value: min(255, int(1.2 * value))),
    "less contrast": lambda image: image.point(lambda value: int(0.8 * value + 25)),
    "cropped by 1 %": lambda image: image.crop((3, 2, image.width - 3, image.height - 2)),
    "turned on its side by EXIF": lambda image: _on_its_side(image),
}


def _saved(image, **options):
    import io

    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return Image.open(file)


def _on_its_side(image):
    exif = Image.Exif()
    exif[0x0112] = 6
    return _saved(image.transpose(Image.Transpose.ROTATE_90), exif=exif, quality=95)


def thumbs(images):
    found = [np.frombuffer(_decoded(examine._make_thumb(p)[0]), "uint8") for p in images]
    return np.stack(found)


def _decoded(text):
    import base64

    return base64.b64decode(text)


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_found_and_different_images_are_not(change):
    images = [faults.scene(seed, (300, 200)) for seed in range(40)]
    changed = [CHANGES[change](image) for image in images]
    pairs = near_duplicates.find_near(thumbs(images + changed))
    assert {tuple(pair) for pair in pairs.tolist()} == {(i, i + 40) for i in range(40)}


def test_near_finds_what_comparing_all_pairs_finds():
    """The index skips pairs; here against all pairs, on thumbnails with noise of many strengths."""
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


def test_flat_images_are_not_called_alike():
    flat = [Image.new("RGB", (64, 64), (200 + i, 200, 200)) for i in range(5)]
    assert len(near_duplicates.find_near(thumbs(flat))) == 0
    none = np.zeros((0, near_duplicates.thumb_length()), "uint8")
    assert len(near_duplicates.find_near(none)) == 0


def test_many_equal_thumbnails_take_linear_time():
    many = np.repeat(thumbs([faults.scene(1, (64, 64))]), 10_000, axis=0)
    start = time.perf_counter()
    assert len(near_duplicates.find_near(many)) >= 9_999
    assert time.perf_counter() - start < 20


# --- formats


def test_suffixes_are_the_readers():
    assert sorted(sum(formats.SUFFIXES.values(), ())) == sorted(images.SUFFIXES)
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
    """Files cut, filled with noise and exchanged: a record always comes back."""
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


# --- robustness


def _in_a_worker(path):
    """The record of a file, the seconds that it took and the worker's peak of memory in MB."""
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
    """It loads neither Keras nor NumPy."""
    record, _, megabytes = _in_a_worker(good / "cat" / "00.jpg")
    assert record["problems"] == [] and megabytes < 80


def _waits(monkeypatch, tmp_path, body):
    """Makes workers run `body` for files that are called so."""
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


def test_a_image_that_ends_the_process_is_named_and_the_others_are_read(
    good, tmp_path, monkeypatch
):
    _waits(monkeypatch, tmp_path, "if path.endswith('03.jpg'): import os; os._exit(1)")
    report = doctor.check(good, processes=1)
    assert found(report) == {("crash", f"{name}/03.jpg") for name in ("cat", "dog", "owl")}
    assert report.classes["cat"] == {"": 11}


def test_a_image_that_never_ends_is_named(good, tmp_path, monkeypatch):
    _waits(monkeypatch, tmp_path, "if path.endswith('cat/03.jpg'): import time; time.sleep(99)")
    start = time.perf_counter()
    report = doctor.check(good, seconds=2)
    assert found(report) == {("slow", "cat/03.jpg")}
    assert time.perf_counter() - start < 20


def test_a_worker_that_something_else_ends_costs_nothing(good, tmp_path, monkeypatch):
    mark = tmp_path / "ended"
    body = f"if path.endswith('dog/03.jpg') and not __import__('os').path.exists({str(mark)!r}): "
    body += f"open({str(mark)!r}, 'w').close(); import os; os.kill(os.getpid(), 9)"
    _waits(monkeypatch, tmp_path, body)
    assert doctor.check(good).problems == () and mark.exists()


def waiting_threads():
    """How many threads wait for workers (a backend has threads of its own, some for each core)."""
    return sum(thread.name == workers._THREAD for thread in threading.enumerate())


def test_workers_that_cannot_start_are_one_clear_error(good, monkeypatch):
    monkeypatch.setattr(workers, "_START", "raise SystemExit(3)  # {packages}")
    with pytest.raises(RuntimeError, match="must be a Python with Pillow"):
        doctor.check(good)
    assert waiting_threads() == 0


def test_stopping_in_the_middle_ends_the_workers(good):
    paths = [str(path) for path in good.rglob("*.jpg")]
    results = workers.run("examine", paths, processes=2)
    next(results)
    results.close()
    assert waiting_threads() == 0
    assert len(list(workers.run("examine", paths, processes=2))) == 36


def test_memory_does_not_grow_with_the_images_pixels():
    """A record holds no pixels but a thumbnail of 288 values."""
    image = checking.CheckedImage("x" * 40, "c", "", (1, 1), "JPEG", False, bytes(16), bytes(16))
    assert sum(map(sys.getsizeof, image)) + sys.getsizeof(image) < 700
    assert near_duplicates.thumb_length() == 288


@pytest.mark.parametrize("arguments", [{"processes": 0}, {"small_class": 0}, {"seconds": -1}])
def test_bad_arguments(good, arguments):
    with pytest.raises(ValueError, match=f"`{next(iter(arguments))}` must be"):
        doctor.check(good, **arguments)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="class folders was expected"):
        doctor.check(tmp_path / "nowhere")


# --- reports


def test_json_comes_back_as_it_was(faulty):
    report = faulty[1]
    text = report.to_json()
    again = doctor.DatasetReport.from_json(text)
    assert again == report._replace(seconds=again.seconds)
    raw = json.loads(text)
    assert raw["format"] == "keras-vit check-data 1" and raw["ok"] is False
    assert sum(raw["severities"].values()) == len(raw["problems"]) == sum(raw["counts"].values())
    keys = {"kind", "severity", "path", "class", "split", "reason", "advice", "others"}
    assert all(set(problem) == keys for problem in raw["problems"])
    assert raw["counts"] == dict(collections.Counter(p["kind"] for p in raw["problems"]))
    with pytest.raises(ValueError, match="was expected"):
        doctor.DatasetReport.from_json("{}")


def test_the_page_names_every_path_and_needs_nothing_else(faulty, tmp_path):
    report = faulty[1]
    report.to_html(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    for problem in report.problems:
        assert html.escape(file_tree.printable(problem.path)) in text
        assert html.escape(problem.reason) in text
    assert text.count("data:image/jpeg;base64,") > 30
    for word in ("http://", "https://", "<script", "<link", "url("):
        assert word not in text
    assert len(text) < 500_000


def test_names_cannot_write_into_the_page(good, tmp_path):
    evil = "<script>alert(1)<&\"'.jpg"
    shutil.copy(good / "cat" / "01.jpg", good / "cat" / evil)
    (good / "<i>").mkdir()
    report = doctor.check(good)
    report.to_html(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "<script" not in text and "<i>" not in text and html.escape(evil) in text


def test_a_page_has_few_thumbnails_and_lines(good, monkeypatch):
    monkeypatch.setattr(report_module, "CARDS", 2)
    monkeypatch.setattr(report_module, "LINES", 3)
    for number in range(8):
        shutil.copy(good / "cat" / "01.jpg", good / "cat" / f"copy{number}.jpg")
    text = report_module._render(doctor.check(good))
    assert text.count("<img") == 4 and "and 3 more" in text


def test_the_text_is_grouped_and_short(faulty):
    text = str(faulty[1])
    assert "ERROR truncated (5): the file ends before the image does\n  cat/cut.jpg (cat): " in text
    assert text.index("ERROR leak" if "ERROR leak" in text else "ERROR label") < text.index(
        "WARNING"
    )
    assert text.rindex("ERROR") < text.index("WARNING") < text.index("NOTE")
    assert "caf\\xe9.jpg" in text and "line\\nbreak" in text
    text.encode()


def test_progress_is_a_line_where_there_is_no_terminal(capsys):
    with checking._ProgressBar(2, True) as bar:
        bar.step()
        bar.step()
    assert capsys.readouterr().err.startswith("2 images examined in ")


def test_progress_is_a_bar_at_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with checking._ProgressBar(4, True) as bar:
        bar.step()
    written = capsys.readouterr().err
    assert "1 of 4 images" in written and "#######..." in written


# --- the command


def test_exit_codes(good, tmp_path, capsys):
    assert run(good) == 0
    shutil.copy(good / "cat" / "01.jpg", good / "cat" / "copy.jpg")  # a warning
    assert run(good) == 0 and run(good, "--strict") == 1
    (good / "dog" / "empty.jpg").touch()
    assert run(good) == 1
    assert "ERROR empty-file (1)" in capsys.readouterr().out
    with pytest.raises(FileNotFoundError):
        run(tmp_path / "nowhere")
    with pytest.raises(SystemExit) as caught:
        run(good, "--format", "xml")
    assert caught.value.code == 2


def test_reports_to_files(good, tmp_path, capsys):
    out = tmp_path / "r.json"
    assert run(good, "--format", "json", "--json", out, "--html", tmp_path / "r.html") == 0
    assert json.loads(capsys.readouterr().out) == json.loads(out.read_text())
    assert "No problems were found" in (tmp_path / "r.html").read_text()
    with pytest.raises(FileNotFoundError, match="folder that exists"):
        run(good, "--json", tmp_path / "no" / "r.json")


# --- quarantine


@pytest.fixture
def bad(splits):
    """Splits with files that cannot be read, copies and a clash."""
    faults.make(splits, [("leak", "train/cat/00.jpg", lambda p: faults._to(p, "test/cat/x.jpg"))])
    shutil.copy(splits / "train/owl/01.jpg", splits / "test/dog/clash.jpg")
    (splits / "train/dog/empty.jpg").touch()
    (splits / "val/dog/more").mkdir()
    faults.write(splits / "val/dog/more/page.jpg", b"<html>")
    faults.link(splits / "val/dog/gone.jpg", "nowhere.jpg")
    os.utime(splits / "train/dog/empty.jpg", ns=(1_111_111_111, 1_111_111_111))
    return splits


MOVED = [
    "train/cat/00.jpg", "train/dog/empty.jpg", "val/dog/gone.jpg", "val/dog/more/page.jpg",
]  # fmt: skip


def test_quarantine_and_undo_are_exact(bad, capsys):
    before = tree(bad)
    assert run(bad, "--fix", "quarantine") == 1  # the clash is left: nobody knows the right class
    assert "--fix undo" in capsys.readouterr().err
    aside = bad.with_name("set-quarantine")
    moved = [p for p in tree(aside) if p != "manifest.jsonl"]
    assert sorted(moved) == [f"files/{path}" for path in MOVED]
    left = tree(bad)
    assert left == {path: what for path, what in before.items() if path not in MOVED}
    again = doctor.check(bad)
    assert {p.kind for p in again.of("error")} == {"label-clash", "leak"}  # the clash, only
    assert doctor.quarantine(again) == []
    assert run(bad, "--fix", "undo") == 0
    assert tree(bad) == before and not aside.exists()
    with pytest.raises(FileNotFoundError, match="quarantine was expected"):
        doctor.undo(bad)


def test_undo_makes_folders_that_have_gone(bad):
    before = tree(bad)
    doctor.quarantine(doctor.check(bad))
    (bad / "val/dog/more").rmdir()
    assert sorted(doctor.undo(bad)) == MOVED
    assert tree(bad) == before


@pytest.mark.slow
@pytest.mark.parametrize("crash", range(9))
def test_a_crash_at_any_point_can_be_undone(bad, monkeypatch, crash):
    """The program ends before or after a move, or within the writing of a line."""
    before, report = tree(bad), doctor.check(bad)
    rename, moves = os.rename, []

    class Crash(BaseException):
        pass

    def crashing(source, target):
        moves.append(source)
        if len(moves) - 1 == crash // 2 and crash % 2 == 0:
            raise Crash
        rename(source, target)
        if len(moves) - 1 == crash // 2:
            raise Crash

    monkeypatch.setattr(quarantine_files.os, "rename", crashing)
    with contextlib.suppress(Crash):
        doctor.quarantine(report)
    monkeypatch.setattr(quarantine_files.os, "rename", rename)
    with open(bad.with_name("set-quarantine") / "manifest.jsonl", "ab") as manifest:
        manifest.write(b'{"from": "train/cat/01.j')  # the line of the next move, cut off
    doctor.undo(bad)
    assert tree(bad) == before


def test_a_quarantine_goes_on_after_a_crash(bad):
    before, report = tree(bad), doctor.check(bad)
    aside = bad.with_name("set-quarantine")
    aside.mkdir()
    (aside / "manifest.jsonl").write_bytes(b'{"from": "train/cat')
    assert len(doctor.quarantine(report)) == 4
    doctor.undo(bad)
    assert tree(bad) == before


def test_an_interrupted_undo_can_be_called_again(bad, monkeypatch):
    before = tree(bad)
    doctor.quarantine(doctor.check(bad))
    rename, moves = os.rename, []

    def failing(source, target):
        if len(moves) == 2:
            raise OSError(28, "No space left on device")
        moves.append(source)
        rename(source, target)

    monkeypatch.setattr(quarantine_files.os, "rename", failing)
    with pytest.raises(OSError, match="No space left on device; the file was not moved"):
        doctor.undo(bad)
    monkeypatch.setattr(quarantine_files.os, "rename", rename)
    assert len(doctor.undo(bad)) == 2
    assert tree(bad) == before


def test_undo_overwrites_nothing(bad):
    doctor.quarantine(doctor.check(bad))
    (bad / "train/dog/empty.jpg").write_text("new")
    before = tree(bad.parent)
    with pytest.raises(FileExistsError, match="nothing was moved back"):
        doctor.undo(bad)
    assert tree(bad.parent) == before


def test_a_second_quarantine_overwrites_nothing(bad):
    doctor.quarantine(doctor.check(bad))
    (bad / "train/dog/empty.jpg").write_text("bad again")
    doctor.quarantine(doctor.check(bad))
    aside = bad.with_name("set-quarantine") / "files" / "train" / "dog"
    assert (aside / "empty.jpg").read_text() == ""
    assert (aside / "empty.jpg.2").read_text() == "bad again"


def test_a_disk_that_takes_no_more_loses_nothing(bad, monkeypatch):
    before, report = tree(bad), doctor.check(bad)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(quarantine_files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        doctor.quarantine(report)
    monkeypatch.undo()
    assert tree(bad) == before
    doctor.undo(bad)
    assert tree(bad) == before


def test_another_disk_is_refused_in_words(bad, monkeypatch):
    before, report = tree(bad), doctor.check(bad)

    def other_disk(source, target):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(quarantine_files.os, "rename", other_disk)
    with pytest.raises(OSError, match="must be on the same disk"):
        doctor.quarantine(report)
    assert tree(bad) == before


@pytest.mark.parametrize("path", ["../outside.jpg", "/etc/passwd", "a/../../b.jpg"])
def test_a_manifest_cannot_lead_out_of_the_folder(bad, path):
    doctor.quarantine(doctor.check(bad))
    manifest = bad.with_name("set-quarantine") / "manifest.jsonl"
    with manifest.open("a") as file:
        file.write(json.dumps({"from": path, "to": "files/train/cat/00.jpg"}) + "\n")
    with pytest.raises(ValueError, match="points outside the folder"):
        doctor.undo(bad)


def test_the_quarantine_must_be_outside(bad):
    with pytest.raises(ValueError, match="must be outside the dataset"):
        doctor.quarantine(doctor.check(bad), bad / "train" / "aside")


# --- real images


def _shared(*parts):
    path = pathlib.Path(DATA or "nowhere", *parts)
    if not path.exists():
        pytest.skip("real images are in KERAS_VIT_TEST_DATA")
    return path


@pytest.mark.slow
def test_photographs_give_no_false_alarm():
    report = doctor.check(_shared("photos", "pets370"))
    assert report.images == 370 and severe(report) == []


# Looked at one by one: each pair shows one scene, in other colours or a little moved.
CIFAR_NEAR = 14


@pytest.mark.slow
def test_ten_thousand_images_give_no_false_alarm(tmp_path):
    with tarfile.open(_shared("cifar10", "cifar10-images.tar.xz")) as archive:
        for member in archive:
            if "test/" in member.name:
                archive.extract(member, tmp_path, filter="data")
    (folder,) = tmp_path.rglob("test")
    report = doctor.check(folder)
    assert report.images == 10_000 and severe(report) == []
    assert report.counts.get("near-duplicate", 0) <= CIFAR_NEAR + 3
    assert set(report.counts) <= {"near-duplicate", "mixed-colour"}
