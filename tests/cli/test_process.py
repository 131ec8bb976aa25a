"""The process of the command before Keras is imported: its variables, and its quiet imports."""

import io
import os
import pathlib
import signal
import sys

import pytest

from keras_vit import cli, environment
from keras_vit.cli import process
from keras_vit.io import writing

pytestmark = pytest.mark.backend_free


@pytest.fixture(autouse=True)
def linux(monkeypatch):
    monkeypatch.setattr(process, "_has_huge_pages", lambda: True)
    monkeypatch.setattr(process.backend, "is_installed", lambda name: name == "jax")


@pytest.mark.parametrize(
    ("given", "tunables"),
    [
        ({}, "glibc.malloc.hugetlb=1"),
        ({"GLIBC_TUNABLES": ""}, "glibc.malloc.hugetlb=1"),
        ({"GLIBC_TUNABLES": "glibc.rtld.nns=8"}, "glibc.rtld.nns=8:glibc.malloc.hugetlb=1"),
        ({"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}, None),
        ({"KERAS_VIT_HUGEPAGES": "0"}, None),
    ],
)
def test_huge_pages_are_added_to_what_the_user_set(given, tunables, monkeypatch):
    changed = process.add_huge_pages({"HOME": "/", **given})
    assert (changed and changed["GLIBC_TUNABLES"]) == tunables
    assert not changed or (changed["HOME"] == "/" and process.add_huge_pages(changed) is None)
    monkeypatch.setattr(process.backend, "is_installed", lambda name: True)  # a GPU's packages
    assert process.add_huge_pages(given) is None
    assert bool(process.add_huge_pages({**given, "JAX_PLATFORMS": "cpu"})) == bool(tunables)


def test_only_a_training_on_jax_starts_again_and_says_so(monkeypatch, capsys, tmp_path):
    calls = []
    monkeypatch.setattr(os, "execve", lambda *call: calls.append(call))
    monkeypatch.setattr(sys, "meta_path", [])
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "keras_vit", "train"])
    monkeypatch.setattr(os, "environ", {"KERAS_HOME": str(tmp_path)})
    for name, trains in (("torch", True), ("tensorflow", True), ("jax", False), ("jax", True)):
        monkeypatch.setattr(process.backend, "find_name", lambda name=name: name)
        assert not calls and capsys.readouterr().out == ""
        process.prepare(trains)
    ((path, words, environ),) = calls
    assert (path, words) == (sys.executable, [sys.executable, "-m", "keras_vit", "train"])
    assert environ["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=1"
    assert "KERAS_VIT_HUGEPAGES=0 turns them off" in capsys.readouterr().out


def test_programs_are_kept_in_a_folder_of_the_processor_unless_the_user_chose(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    found = {}
    for flags in ("avx2", "avx2 avx512f"):
        monkeypatch.setattr(environment, "instructions", lambda flags=flags: flags)
        process.keep_programs(found.setdefault(flags, {}))
    folders = {environ[process.CACHE] for environ in found.values()}
    assert len(folders) == 2 and all(map(os.path.isdir, folders))
    assert all(folder.startswith(str(tmp_path)) for folder in folders)
    mine = {process.CACHE: ""}
    process.keep_programs(mine)
    assert mine == {process.CACHE: ""}
    monkeypatch.setattr(environment, "SHARED", str(tmp_path.parent))
    process.keep_programs(own := {})
    assert own
    monkeypatch.setattr(os, "geteuid", lambda: os.stat(tmp_path).st_uid + 1)
    process.keep_programs(of_another_user := {})
    monkeypatch.undo()
    monkeypatch.setenv("KERAS_HOME", "/dev/null")
    process.keep_programs(nowhere := {})
    assert of_another_user == nowhere == {}


@pytest.mark.skipif(os.name != "posix", reason="/tmp is of Unix")
def test_without_a_home_keras_files_are_in_tmp(monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_HOME", raising=False)
    for home, expected in ((tmp_path, tmp_path), ("/dev/null/home", "/tmp")):
        monkeypatch.setenv("HOME", str(home))
        assert environment.keras_home() == pathlib.Path(expected, ".keras")


def test_the_programs_that_were_used_longest_ago_are_removed(tmp_path):
    for age, name in enumerate("abcd"):
        (tmp_path / name).write_bytes(bytes(100))
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    process.remove_oldest(tmp_path, 400)
    assert len(os.listdir(tmp_path)) == 4
    process.remove_oldest(tmp_path, 250)
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


@pytest.mark.parametrize("fails", [False, True])
def test_the_import_of_tensorflow_hides_noise_and_nothing_else(fails, tmp_path, monkeypatch, capfd):
    noise = "I0000 00:00:1795.7 4 port.cc:153] oneDNN custom operations are on.\n"
    package = tmp_path / "tensorflow"
    package.mkdir()
    code = f"import os\nos.write(2, {(noise + 'E0000 broken' + chr(10)).encode()!r})\n"
    package.joinpath("__init__.py").write_text(code + "1 / 0\n" * fails)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    spec = process.QuietFinder().find_spec("tensorflow")
    if fails:
        with pytest.raises(ZeroDivisionError):
            spec.loader.exec_module(type(sys)("tensorflow"))
    else:
        spec.loader.exec_module(type(sys)("tensorflow"))
    assert capfd.readouterr().err == noise * fails + "E0000 broken\n"
    assert process.QuietFinder().find_spec("json") is None


def test_without_a_place_for_temporary_files_nothing_is_held_back(monkeypatch, capfd):
    def fail():
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(process.tempfile, "TemporaryFile", fail)
    with process.quiet():
        os.write(2, b"I0000 noise\n")
    assert capfd.readouterr().err == "I0000 noise\n"


def test_sigterm_ends_the_command_without_an_unfinished_file(tmp_path):
    earlier = signal.getsignal(signal.SIGTERM)
    try:
        process.end_on_sigterm()
        with pytest.raises(SystemExit) as end, writing.replacing(tmp_path / "a.npz"):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, earlier)
    assert end.value.code == 143 and not list(tmp_path.iterdir())


def test_names_are_escaped_where_the_output_has_no_such_characters(monkeypatch):
    output = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr(sys, "stderr", None)  # closed
    process.escape_output()
    print("n\u00f6pe", flush=True)
    assert output.buffer.getvalue() == b"n\\xf6pe\n"


@pytest.mark.parametrize(("number", "words"), [(28, "keras-vit: No space"), (32, "")])
def test_output_that_cannot_be_written_ends_the_command(number, words, monkeypatch, capsys):
    """A full disk, and a pipe that its reader has closed, behind the last lines."""

    def fail():
        raise OSError(number, "No space")  # 32 makes a BrokenPipeError

    output = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(output, "flush", fail, raising=False)
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr(os, "dup2", lambda *_: None)
    monkeypatch.setattr(output, "fileno", lambda: 1, raising=False)
    assert cli.main(["variants"]) == 1
    assert capsys.readouterr().err.startswith(words)
