"""Results that cannot be written are refused before any work, in every command and function."""

import ctypes
import os
import pathlib
import sys

import pytest

from keras_vit import cli, doctor, figures, training
from keras_vit.io import writing
from keras_vit.training.runs import run_folder

pytestmark = pytest.mark.backend_free


@pytest.fixture
def read_only(tmp_path):
    """A folder on a read-only disk: not even root may write there."""
    folder = tmp_path / "disk"
    folder.mkdir()
    (folder / "settings.json").write_text("{}")
    if not sys.platform.startswith("linux"):
        pytest.skip("mounts are Linux's")
    libc, path = ctypes.CDLL(None, use_errno=True), os.fsencode(folder)
    bind, remount_read_only = 4096, 4096 | 32 | 1
    for flags in (bind, remount_read_only):
        if libc.mount(path, path, None, flags, None):
            pytest.skip(f"needs the right to mount: {os.strerror(ctypes.get_errno())}")
    yield folder
    libc.umount2(path, 2)


def test_a_new_folder_is_allowed_and_nothing_is_left_behind(tmp_path):
    writing.check_folder(tmp_path / "a" / "b")
    writing.check_file(tmp_path / "report.json", "Choose another.")
    assert not list(tmp_path.iterdir())
    writing.make_folder(tmp_path / "a" / "b")
    writing.make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir() and not list((tmp_path / "a" / "b").iterdir())


def test_what_is_there_is_never_touched(tmp_path):
    (tmp_path / "report.json").write_text("mine")
    writing.check_file(tmp_path / "report.json", "Choose another.")
    assert (tmp_path / "report.json").read_text() == "mine"
    with pytest.raises(ValueError, match="report.json/x' .*Not a directory.*--out DIR"):
        writing.make_folder(tmp_path / "report.json" / "x")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(ValueError, match="can be written"):
        writing.check_folder(tmp_path / "link")


def test_a_file_may_have_the_longest_name(tmp_path):
    path = tmp_path / ("x" + "\u732b" * 84 + "x")  # 254 bytes in UTF-8; systems allow 255
    writing.write_text(path, "text")
    assert path.read_text() == "text" and len(list(tmp_path.iterdir())) == 1


def test_runs_that_begin_in_the_same_second_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = {run_folder.make(None, "digits") for _ in range(5)}
    assert len(made) == 5 and all(folder.is_dir() for folder in made)


def test_one_process_at_a_time_writes_what_must_be_new(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    other = os.open(tmp_path, os.O_RDONLY)
    with writing.excluding_others(tmp_path), pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)
    assert not list(tmp_path.iterdir())


def test_what_killed_processes_left_is_removed(tmp_path):
    for name in (".a.keras.0123abcd.partial.keras", ".b.csv.0123abcd.partial", "c.partial", ".d"):
        (tmp_path / name).write_text("half")
    writing.remove_partial(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".d", "c.partial"]


def test_a_figure_that_cannot_be_written_keeps_the_file_that_is_there(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_text("old")

    def fill(self, path, **_):
        pathlib.Path(path).write_text("half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("matplotlib.figure.Figure.savefig", fill)
        with pytest.raises(OSError, match="No space left on device; nothing was changed: .*a.png"):
            figures.figure(1, 1).savefig(path)
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1
    figures.figure(1, 1).savefig(path)
    assert path.read_bytes()[1:4] == b"PNG" and len(list(tmp_path.iterdir())) == 1


def test_a_file_needs_a_folder_and_is_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone' first"):
        writing.check_file(tmp_path / "gone" / "x.json", "Choose another.")
    with pytest.raises(ValueError, match="Received: the folder .* Choose another."):
        writing.check_file(tmp_path, "Choose another.")


def test_folders_without_permission_are_refused(tmp_path, monkeypatch):
    """Folders as a user other than root sees them."""

    def denied(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(writing.tempfile, "TemporaryFile", denied)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training, "train", None)  # not reached
    assert cli.main(["train"]) == 2
    with pytest.raises(ValueError, match=r"'runs' \(Permission denied\)\. .*--out DIR"):
        run_folder.make(None, "digits")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        "train --out {}/run",
        "train --resume {}",
        "explain cka ViT-Mini/4 {images} --out {}/new",
        "explain report ViT-Mini/4 {images} --out {}/page.html",
        "check-data {images} --json {}/report.json",
        "check-data {images} --html {}/report.html",
        "check-data {images} --fix quarantine --quarantine {}/bad",
        "check-data {} --fix quarantine --quarantine {images}/bad",
        "convert ViT-Mini/4 {}/new.npz",
        "study figure-8 --folder {}",
    ],
)
def test_commands_refuse_a_read_only_disk(words, read_only, tmp_path, monkeypatch, capsys):
    from PIL import Image

    (tmp_path / "images").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "images" / "1.png")
    monkeypatch.setattr(doctor, "check", None)  # not reached
    monkeypatch.setattr(cli.startup, "load", None)
    assert cli.main(words.format(read_only, images=tmp_path / "images").split()) == 2
    message = capsys.readouterr().err
    assert "(Read-only file system)" in message and str(read_only) in message
    assert message.count("\n") == 1
    assert [path.name for path in read_only.iterdir()] == ["settings.json"]


def test_python_refuses_a_read_only_disk(read_only):
    with pytest.raises(ValueError, match="Read-only file system"):
        training.resume(read_only)
    with pytest.raises(ValueError, match="Read-only file system"):
        training.train(out=read_only / "run")
