"""The dataset doctor finds every fault of a corpus, and nothing in good images."""

import itertools
import os
import pathlib
import shutil
import tarfile
import tempfile

import faults
import pytest
from doctor_helpers import found, run, severe
from PIL import Image

from keras_vit import doctor
from keras_vit.data import images
from keras_vit.doctor import examine, file_tree

pytestmark = pytest.mark.backend_free


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
        "no-classes", "one-class", "missing-file", "group-leak", "mild-imbalance", "shortcut",
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


def test_folders_next_to_splits_and_splits_that_exist_twice(splits):
    faults.make_good(splits / "Valid", first_seed=70_000)
    (splits / "extra").mkdir()
    report = doctor.check(splits)
    assert {("split-twice", "val"), ("extra-folder", "extra")} <= found(report)


def test_a_class_may_be_called_train(tmp_path):
    report = doctor.check(faults.make_good(tmp_path / "toys", ("car", "train")))
    assert report.problems == () and set(report.classes) == {"car", "train"}


def test_no_classes_and_one_class(tmp_path):
    (tmp_path / "none").mkdir()
    assert found(doctor.check(tmp_path / "none")) == {("no-classes", ".")}
    faults.write(tmp_path / "flat" / "1.jpg", faults.jpeg(1))
    kinds = {kind for kind, _ in found(doctor.check(tmp_path / "flat"))}
    assert kinds == {"no-classes", "outside-class"}
    faults.make_good(tmp_path / "one", ("cat",))
    assert found(doctor.check(tmp_path / "one")) == {("one-class", ".")}


@pytest.mark.parametrize("each, kind", [(23, None), (24, "mild-imbalance"), (80, "imbalance")])
def test_imbalance(tmp_path, each, kind):
    faults.make_good(tmp_path / "set", ("few",), 8)
    faults.make_good(tmp_path / "set", ("many",), each, 100)
    report = doctor.check(tmp_path / "set", small_class=5)
    assert found(report) == ({(kind, ".")} if kind else set())


def test_a_class_with_its_own_file_format_is_a_shortcut(tmp_path):
    faults.make_good(tmp_path / "set", ("cat", "dog"), 20)
    for number in range(20):
        path = tmp_path / "set" / "owl" / f"{number}.png"
        faults.save(path, faults.scene(500 + number, (44 + number, 40)))
    report = doctor.check(tmp_path / "set")
    assert found(report) == {("shortcut", "owl/0.png")}
    assert "20 of its images are PNG files, 0 of all others" in str(report)


def test_without_permission_to_read():
    """Root may read everything, so the test switches to another user."""
    root = os.geteuid() == 0
    base = pathlib.Path(tempfile.mkdtemp())  # pytest's own folders are closed to others
    folder = faults.make_good(base / "set")
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
    # A missing permission is not a reason to move a file.
    assert not any(doctor.KINDS[kind].movable for kind in ("unreadable-file", "unreadable-folder"))


def _shared(*parts):
    path = pathlib.Path(os.environ.get("KERAS_VIT_TEST_DATA") or "nowhere", *parts)
    if not path.exists():
        pytest.skip("real images are in KERAS_VIT_TEST_DATA")
    return path


@pytest.mark.slow
def test_photographs_give_no_false_alarm():
    report = doctor.check(_shared("photos", "pets370"))
    assert report.images == 370 and severe(report) == []


# Inspected one by one: each pair shows the same scene, in other colors or slightly shifted.
CIFAR_NEAR = 14


@pytest.mark.slow
@pytest.mark.parametrize("count", [2_000, pytest.param(10_000, marks=pytest.mark.weekly)])
def test_cifar_gives_no_false_alarm(count, tmp_path):
    with tarfile.open(_shared("cifar10", "cifar10-images.tar.xz")) as archive:
        for member in itertools.takewhile(lambda m: "train" not in m.name, archive):
            if "test/" in member.name and member.name[-8:-4] < f"{count // 10:04}":  # 0123.jpg
                archive.extract(member, tmp_path, filter="data")
    (folder,) = tmp_path.rglob("test")
    report = doctor.check(folder)
    assert report.images == count and severe(report) == []
    assert report.counts.get("near-duplicate", 0) <= CIFAR_NEAR + 3
    assert set(report.counts) <= {"near-duplicate", "mixed-color"}


def test_placeholders_are_found_among_photographs(good):
    """Text on a background of one color is found in any format, a logo only in a rare format."""
    logo = faults.banner((90, 70), "white").quantize(16)
    logo.paste(logo.getpixel((45, 35)), (5, 5, 55, 30))
    faults.save(good / "cat" / "logo.gif", logo)
    for quality in (30, 90):
        image = faults.banner((120, 90 + quality), (quality, 120, 130))
        faults.save(good / "dog" / f"{quality}.jpg", image, quality=quality)
    faults.make_good(good, ("fox", "yak"), 30, 500)
    for name in ("fox", "yak"):
        shutil.copy(good / "dog" / "30.jpg", good / name / "again.jpg")
    report = doctor.check(good)
    reasons = {p.path: p.reason for p in report.problems if p.kind == "placeholder"}
    paths = {"cat/logo.gif", "dog/30.jpg", "dog/90.jpg", "fox/again.jpg", "yak/again.jpg"}
    assert reasons.keys() == paths and reasons["fox/again.jpg"].endswith(", in 3 classes")
    assert reasons["cat/logo.gif"].endswith(", GIF as 1 of 101 images")
    assert "label-clash" in report.counts


def test_drawings_are_not_placeholders(tmp_path):
    for number, name in enumerate(("a", "b", "c")):
        for i in range(20):
            image = faults.banner((60 + i, 60), text=f"{name}{number * i}")
            faults.save(tmp_path / name / f"{i}.png", image)
    assert "placeholder" not in doctor.check(tmp_path).counts


def test_the_images_of_a_table_are_examined(splits, capsys):
    (splits / "train" / "cat" / "00.jpg").write_bytes(b"")
    shutil.copy(splits / "train" / "dog" / "01.jpg", splits / "test" / "dog" / "00.jpg")
    faults.save(splits.parent / "out.jpg", faults.scene(77))
    rows = ["photo;kind;split;owner", "../out.jpg;cat;train;out", "train/cat/none.jpg;cat;train;x"]
    for split in ("train", "test"):
        for name, i in itertools.product(("cat", "dog"), range(12)):
            owner = "both" if (name, i) == ("cat", 5) else f"{split}{i}"
            rows.append(f"{split}/{name}/{i:02}.jpg;{name};{split};{owner}")
    table = splits / "table.csv"
    table.write_text("\n".join(rows))
    columns = {"image": "photo", "label": "kind", "group": "owner"}
    report = doctor.check(table, columns=columns)
    assert found(report) == {
        ("empty-file", "train/cat/00.jpg"), ("missing-file", "train/cat/none.jpg"),
        ("link-outside", "../out.jpg"), ("leak", "train/dog/01.jpg"),
        ("group-leak", "test/cat/05.jpg"),
    }  # fmt: skip
    assert report.classes == {"cat": {"train": 12, "test": 12}, "dog": {"train": 12, "test": 12}}
    words = [f"--{role}-column={name}" for role, name in columns.items()]
    assert run(table, *words) == 1 and "group both, also in train" in capsys.readouterr().out
    with pytest.raises(ValueError, match="--image-column photo --label-column kind"):
        doctor.check(table)
    with pytest.raises(ValueError, match="only files of a folder|Only files of a folder"):
        run(table, *words, "--fix", "quarantine")
