"""The report as text, JSON and a page, and the command `keras-vit check-data`."""

import collections
import html
import json
import shlex
import shutil
import sys

import faults
import pytest
from doctor_helpers import run

from keras_vit import doctor
from keras_vit.doctor import checking, file_tree
from keras_vit.doctor import report as report_module

pytestmark = pytest.mark.backend_free


def test_json_has_every_problem(faulty):
    report = faulty[1]
    raw = json.loads(report.to_json())
    assert raw["format"] == "keras-vit check-data 1" and raw["ok"] is False
    assert sum(raw["severities"].values()) == len(raw["problems"]) == sum(raw["counts"].values())
    keys = {"kind", "severity", "path", "class", "split", "reason", "advice", "others"}
    assert all(set(problem) == keys for problem in raw["problems"])
    assert raw["counts"] == dict(collections.Counter(p["kind"] for p in raw["problems"]))
    paths = [problem.path for problem in report.problems]
    assert [problem["path"] for problem in raw["problems"]] == paths
    assert [tuple(problem["others"]) for problem in raw["problems"]] == [
        tuple(problem.others) for problem in report.problems
    ]


def test_the_page_lists_every_path_and_is_self_contained(faulty, tmp_path):
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


def test_names_are_escaped_in_the_page(good, tmp_path):
    evil = "<script>alert(1)<&\"'.jpg"
    shutil.copy(good / "cat" / "01.jpg", good / "cat" / evil)
    (good / "<i>").mkdir()
    report = doctor.check(good)
    report.to_html(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "<script" not in text and "<i>" not in text and html.escape(evil) in text


def test_names_are_printed_in_utf_8_where_the_system_has_ascii_only(monkeypatch):
    def fail(path):
        raise UnicodeEncodeError("ascii", path, 0, 1, "ordinal not in range(128)")

    monkeypatch.setattr(file_tree.os, "fsencode", fail)  # as in Python where LANG is C
    for name, expected in (("c\udcc3\udca4t", "c\u00e4t"), ("a\udcff\n", "a\\xff\\n")):
        assert file_tree.printable(name) == file_tree.printable(expected) == expected


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


def test_progress_is_a_line_without_a_terminal(capsys):
    assert list(checking._show_progress(iter("ab"), 2)) == ["a", "b"]
    assert capsys.readouterr().err.startswith("2 images examined in ")


def test_progress_is_a_bar_at_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    list(checking._show_progress(iter("a"), 4))
    written = capsys.readouterr().err
    assert "1 of 4 images" in written and "#######..." in written


def test_exit_codes(good, tmp_path, capsys):
    assert run(good) == 0
    train = f"keras-vit train {shlex.quote(str(good))} --weights ViT-Ti/16"
    assert capsys.readouterr().err.endswith(f"To train on it: {train}\n")
    shutil.copy(good / "cat" / "01.jpg", good / "cat" / "copy.jpg")  # a warning
    assert run(good) == 0 and run(good, "--strict") == 1
    (good / "dog" / "empty.jpg").touch()
    assert run(good) == 1
    printed = capsys.readouterr()
    assert "ERROR empty-file (1)" in printed.out and printed.err.count("To train on it") == 1
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


def test_nothing_of_a_file_outside_is_quoted(good, tmp_path):
    """Not in the text, in JSON or in the page, whose thumbnails are images too."""
    secrets = {"secret.txt": b"root:x:0:0:s3cret\n", "ppm.txt": b"P6 s3cret s3cret", "raw": b"s3\0"}
    for name, data in secrets.items():
        faults.write(tmp_path / name, data)
        faults.link(good / "cat" / f"{name}.jpg", tmp_path / name)
    faults.save(tmp_path / "private.png", faults.scene(99))
    faults.link(good / "cat" / "private.jpg", tmp_path / "private.png")
    shutil.copy(tmp_path / "secret.txt", good / "cat" / "own.jpg")
    report = doctor.check(good)
    report.to_html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    for text in (str(report), report.to_json(), page):
        assert text.count("root:x") == text.count("s3cret") == 1  # of the file that is inside
        assert b"s3\0".hex(" ") not in text
    reasons = {p.path: p.reason for p in report.problems if p.kind in ("text", "wrong-suffix")}
    assert reasons["cat/secret.txt.jpg"] == reasons["cat/private.jpg"] == "what the link points to"
    assert "base64" not in page  # the only images with problems are links
