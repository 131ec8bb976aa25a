"""Moves bad files aside and back exactly, even if something fails in between."""

import contextlib
import json
import os
import shutil

import faults
import pytest
from doctor_helpers import read_tree, run

from keras_vit import doctor
from keras_vit.data.sources import folders
from keras_vit.doctor import quarantine_files

pytestmark = pytest.mark.backend_free

MOVED = [
    "test/dog/clash.jpg", "train/cat/00.jpg", "train/dog/empty.jpg", "train/owl/01.jpg",
    "val/dog/gone.jpg", "val/dog/more/page.jpg",
]  # fmt: skip


def test_quarantine_and_undo_are_exact(bad, capsys):
    before = read_tree(bad)
    assert run(bad, "--fix", "quarantine") == 0
    assert "Moved aside: 6 files. To move them back: keras-vit" in capsys.readouterr().err
    aside = bad.with_name("set-quarantine")
    moved = [p for p in read_tree(aside) if p != "manifest.jsonl"]
    assert sorted(moved) == [f"files/{path}" for path in MOVED]
    left = read_tree(bad)
    assert left == {path: what for path, what in before.items() if path not in MOVED}
    again = doctor.check(bad)
    assert again.ok
    assert doctor.quarantine(again) == []
    assert run(bad, "--fix", "undo") == 0
    assert read_tree(bad) == before and not aside.exists()
    with pytest.raises(FileNotFoundError, match="quarantine was expected"):
        doctor.undo(bad)


def test_undo_restores_missing_folders(bad):
    before = read_tree(bad)
    doctor.quarantine(doctor.check(bad))
    (bad / "val/dog/more").rmdir()
    assert sorted(doctor.undo(bad)) == MOVED
    assert read_tree(bad) == before


@pytest.mark.slow
@pytest.mark.parametrize("crash", range(13))
def test_a_crash_at_any_point_can_be_undone(bad, monkeypatch, crash):
    """The program ends before or after a move, or while it writes a line."""
    before, report = read_tree(bad), doctor.check(bad)
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
    assert read_tree(bad) == before


def test_a_quarantine_continues_after_a_crash(bad):
    before, report = read_tree(bad), doctor.check(bad)
    aside = bad.with_name("set-quarantine")
    aside.mkdir()
    (aside / "manifest.jsonl").write_bytes(b'{"from": "train/cat')
    assert len(doctor.quarantine(report)) == 6
    doctor.undo(bad)
    assert read_tree(bad) == before


def test_an_interrupted_undo_can_be_repeated(bad, monkeypatch):
    before = read_tree(bad)
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
    assert len(doctor.undo(bad)) == 4
    assert read_tree(bad) == before


def test_undo_overwrites_nothing(bad):
    doctor.quarantine(doctor.check(bad))
    (bad / "train/dog/empty.jpg").write_text("new")
    before = read_tree(bad.parent)
    with pytest.raises(FileExistsError, match="nothing was moved back"):
        doctor.undo(bad)
    assert read_tree(bad.parent) == before


def test_a_second_quarantine_overwrites_nothing(bad):
    doctor.quarantine(doctor.check(bad))
    (bad / "train/dog/empty.jpg").write_text("bad again")
    doctor.quarantine(doctor.check(bad))
    aside = bad.with_name("set-quarantine") / "files" / "train" / "dog"
    assert (aside / "empty.jpg").read_text() == ""
    assert (aside / "empty.jpg.2").read_text() == "bad again"


def test_a_full_disk_loses_nothing(bad, monkeypatch):
    before, report = read_tree(bad), doctor.check(bad)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(quarantine_files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left.*line is written here: '.*manifest.jsonl'"):
        doctor.quarantine(report)
    monkeypatch.undo()
    assert read_tree(bad) == before
    doctor.undo(bad)
    assert read_tree(bad) == before


def test_another_disk_is_refused(bad, monkeypatch):
    before, report = read_tree(bad), doctor.check(bad)

    def other_disk(source, target):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(quarantine_files.os, "rename", other_disk)
    with pytest.raises(OSError, match="must be on the same disk"):
        doctor.quarantine(report)
    assert read_tree(bad) == before


def test_a_manifest_cannot_point_outside_the_folder(bad):
    doctor.quarantine(doctor.check(bad))
    manifest = bad.with_name("set-quarantine") / "manifest.jsonl"
    lines = manifest.read_text()
    for path in ("../outside.jpg", "/etc/passwd", "a/../../b.jpg"):
        line = json.dumps({"from": path, "to": "files/train/cat/00.jpg"})
        manifest.write_text(f"{lines}{line}\n")
        with pytest.raises(ValueError, match="points outside the folder"):
            doctor.undo(bad)


def test_the_quarantine_must_be_outside(bad):
    report = doctor.DatasetReport(str(bad), 0, {}, (), 0.0)
    with pytest.raises(ValueError, match="must be outside the dataset"):
        doctor.quarantine(report, bad / "train" / "aside")


def test_what_is_left_can_be_trained_on(good, capsys):
    """Classes that lose their images are moved too, and undo restores everything."""
    names = {"fox & hound": ["empty.jpg"], "lynx": [], "yak": ["x.jpg", "y.jpg"]}
    for name, files in names.items():
        (good / name).mkdir()
        for file in files:
            (good / name / file).touch()
    (good / "lynx" / "notes.txt").write_text("later")
    for i in range(2):  # a clash that leaves a single image, another one that leaves none
        shutil.copy(good / "cat" / f"0{i}.jpg", good / "yak" / f"{i}.jpg")
    faults.save(good / "yak" / "own.jpg", faults.scene(7))
    (good / "__MACOSX").mkdir()
    folder = good.rename(good.with_name("my images"))
    before = read_tree(folder)
    with pytest.raises(ValueError, match="at least 2 images"):
        folders.read_folder(folder)
    assert run(folder, "--skip-empty") == 1
    assert run(folder, "--fix", "quarantine") == 0
    said = capsys.readouterr().err
    assert "(fox & hound, lynx, yak). To move them back: keras-vit check-data '" in said
    assert "my images' --fix undo" in said and "Left for you" not in said
    assert folders.read_folder(folder).class_names == ("cat", "dog", "owl")
    assert run(folder) == 0
    assert run(folder, "--fix", "undo") == 0
    assert read_tree(folder) == before and (folder / "lynx").is_dir()
    assert (folder / "__MACOSX").is_dir()


def test_two_classes_are_always_left(tmp_path, capsys):
    faults.make_good(tmp_path, ("cat",))
    (tmp_path / "dog").mkdir()
    assert run(tmp_path, "--fix", "quarantine") == 1 and (tmp_path / "dog").is_dir()
    assert "Left for you to decide: empty-class (1)" in capsys.readouterr().err
    assert run(tmp_path, "--skip-empty") == 1
    faults.make_good(tmp_path, ("owl",), first_seed=50)
    assert [run(tmp_path), run(tmp_path, "--skip-empty")] == [1, 0]
    assert "--skip-empty --weights ViT-Ti/16" in capsys.readouterr().err


def test_all_copies_of_a_clash_are_moved(good):
    for name in ("cat/a.jpg", "cat/b.jpg", "dog/a.jpg", "owl/a.jpg", "owl/b.jpg"):
        shutil.copy(good / "cat" / "00.jpg", good / name)
    moved = {problem.path for problem in doctor.quarantine(doctor.check(good))}
    assert len(moved) == 6 and doctor.check(good).ok
