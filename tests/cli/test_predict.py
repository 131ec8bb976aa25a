"""`keras-vit predict`: tables that are continued, files that are skipped, output streams."""

import csv
import errno
import json
import os
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from PIL import Image

from keras_vit import cli, training
from keras_vit.cli import progress
from keras_vit.cli.commands import predict
from keras_vit.data import pipelines
from keras_vit.data.sources import folders
from keras_vit.io import table
from keras_vit.training.runs import prediction, saved_run

COLUMNS = {"file": str, "class": str, "probability": float, "error": str}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Seven images in two folders, of which the third is damaged."""
    root = tmp_path_factory.mktemp("images")
    for i in range(7):
        file = root / "ab"[i > 3] / f"{i}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), 30 * i, "uint8")).save(file)
    (root / "a" / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model whose classes depend on the brightness of an image."""
    x = inputs = keras.Input((8, 8, 3))
    dense = keras.layers.Dense(3)
    model = keras.Model(inputs, dense(keras.layers.GlobalAveragePooling2D()(x)))
    dense.kernel.assign(np.random.default_rng(1).normal(size=(3, 3)) / 50)
    path = tmp_path_factory.mktemp("model") / "model.keras"
    model.save(path)
    return path


def call(*words):
    return cli.main(["predict", *map(str, words)])


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_table_has_a_row_for_each_file_and_the_softmax_of_its_logits(
    images, model, tmp_path, capsys
):
    assert call(model, images, "--out", tmp_path / "x.csv", "--batch-size", "3") == 1
    out, messages = capsys.readouterr()
    assert out == "" and "1 file was skipped:" in messages and "a/2.png' cannot be" in messages
    files = [str(file) for file in sorted(images.rglob("*.png"))]
    rows = read(tmp_path / "x.csv")
    assert [row["file"] for row in rows] == files
    assert [i for i, row in enumerate(rows) if row["error"]] == [2] and rows[2]["class"] == ""
    loaded = keras.saving.load_model(model)
    for i in (0, 1, 3, 4, 5, 6):
        logits = loaded.predict(np.full((1, 8, 8, 3), 30.0 * i), verbose=0)[0].astype("float64")
        expected = np.exp(logits) / np.exp(logits).sum()
        order = np.argsort(-expected)
        found = [(rows[i][f"class{x}"], rows[i][f"probability{x}"]) for x in ("", "_2", "_3")]
        assert [name for name, _ in found] == [f"class {c}" for c in order]
        np.testing.assert_allclose([float(x) for _, x in found], expected[order], atol=2e-5)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_an_interrupted_table_is_continued_to_the_same_bytes(kind, images, model, tmp_path, capsys):
    words = (model, images, "--top", "2", "--batch-size", "2", "--out")
    assert call(*words, tmp_path / f"whole.{kind}") == 1
    whole = (tmp_path / f"whole.{kind}").read_bytes()
    settings = (tmp_path / f"whole.{kind}.settings.json").read_bytes()
    for cut in (0, 9, len(whole) // 2, len(whole) - 3, len(whole)):
        path = tmp_path / f"cut.{kind}"
        path.write_bytes(whole[:cut])
        (tmp_path / f"cut.{kind}.settings.json").write_bytes(settings)
        assert call(*words, path) == 1  # also the file that was skipped in the first sitting
        assert path.read_bytes() == whole, cut
    said = capsys.readouterr().err
    assert "has 7 of 7 images" in said and "Nothing was left to do." in said


def test_a_table_of_another_model_other_options_or_other_images_is_refused(
    images, model, tmp_path, capsys
):
    out = tmp_path / "x.csv"
    call(model, images / "b", "--out", out)
    before = out.read_bytes()
    other = tmp_path / "other.keras"
    changed = keras.saving.load_model(model)
    changed.layers[-1].bias.assign([0, 0, 1e-3])
    changed.save(other)
    for words, expected in (
        ((model, images / "b", "--top", "2"), "other=['columns', 'top']"),
        ((model, images / "b", "--invert"), "other=['invert']"),
        ((other, images / "b"), "other=['weights']"),
        ((model, images / "a"), "the same images"),
        ((model, images / "b" / "4.png"), "the same images"),
    ):
        capsys.readouterr()
        assert call(*words, "--out", out) == 2
        assert expected in capsys.readouterr().err and out.read_bytes() == before
    (tmp_path / "own.csv").write_text("mine\n")
    assert call(model, images / "b", "--out", tmp_path / "own.csv") == 2
    assert (tmp_path / "own.csv").read_text() == "mine\n"
    assert call(model, images, "--out", out) == 2  # its rows are not the first of these


def test_results_alone_are_on_standard_output(images, model, capsys):
    assert call(model, images / "b", "--top", "1") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [str(images / f"b/{i}.png") for i in (4, 5, 6)]
    assert call(model, images / "b", "--threshold", "1") == 0
    assert all(line.endswith(": ") for line in capsys.readouterr().out.splitlines())


def test_stop_ends_at_the_file_after_the_rows_before_it(images, model, tmp_path, capsys):
    out = tmp_path / "x.csv"
    assert call(model, images, "--on-error", "stop", "--out", out, "--batch-size", "5") == 2
    assert len(read(out)) == 2
    message = capsys.readouterr().err
    assert "2 of 7 images are in" in message and "a/2.png' cannot be read" in message
    assert call(model, images, "--out", out) == 1 and len(read(out)) == 7


def test_the_generator_reads_a_few_batches_ahead_and_pads_the_last(images, model, monkeypatch):
    loaded, read, sizes = keras.saving.load_model(model), [], []
    run = training.Run(None, loaded, saved_run.default_metrics(loaded))
    real_read, real_predict = prediction.read_pixels, loaded.predict_on_batch

    def count_reads(file, *rest):
        read.append(file)
        return real_read(file, *rest)

    def count_images(batch):
        sizes.append(len(batch))
        return real_predict(batch)

    monkeypatch.setattr(pipelines, "cores", lambda: 2)
    monkeypatch.setattr(prediction, "read_pixels", count_reads)
    monkeypatch.setattr(loaded, "predict_on_batch", count_images)
    files = [str(file) for file in sorted((images / "b").iterdir())] * 30
    stream = training.predict_files(run, files, batch_size=4)
    first = next(stream)
    stream.close()
    assert first.file == files[0] and len(first.classes) == 3
    assert 4 <= len(read) <= 4 * (2 + pipelines.AHEAD + 1)
    whole = list(training.predict_files(run, files[:7], batch_size=4))
    assert [one.file for one in whole] == files[:7] and sizes == [4, 4, 4]
    for start in (0, 2, 4, 6, 7):
        assert (
            list(training.predict_files(run, files[:7], batch_size=4, start=start)) == whole[start:]
        )


@pytest.mark.backend_free
def test_words_of_the_command_line_name_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b/2.JPG", "b/c/1.png", "b/.hidden.png", "b/x.txt", "a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    text = "b/c\n\na.png\ngone\x0c\u2028.png\n"
    (tmp_path / "list").write_text(text, encoding="utf-8")
    (tmp_path / "of_windows").write_text(text.replace("\n", "\r\n"), encoding="utf-8-sig")
    for words, expected in (
        (["b"], ["b/2.JPG", "b/c/1.png"]),
        (["a.png", "b/x.txt"], ["a.png", "b/x.txt"]),
        (["b/*"], ["b/2.JPG", "b/c/1.png"]),
        (["**/*.png"], ["a.png", "b/c/1.png"]),
        (["@list"], ["b/c/1.png", "a.png", "gone\x0c\u2028.png"]),
        (["@of_windows"], ["b/c/1.png", "a.png", "gone\x0c\u2028.png"]),
    ):
        assert folders.find_images(words) == expected


@pytest.mark.backend_free
@pytest.mark.parametrize("kind", table.FORMATS)
def test_every_cell_comes_back_and_no_cell_is_a_formula(kind, tmp_path):
    if kind == ".parquet":
        pytest.importorskip("pyarrow")
    keys = ["=1+1", "'=1", "a,b", 'say "x"', "two\nlines", "-x", "@y", "\tz", "ü", "'", "w"]
    keys += ["a\rb", "\r", "a\r\nb"]
    rows = [[key, "+cat", 0.25, None] for key in keys[:-1]] + [[keys[-1], None, None, "bad"]]
    with table.Table(tmp_path / f"x{kind}", COLUMNS, {}, keys) as written:
        for row in rows:
            written.append(row)
        written.finish()
    again = table.Table(tmp_path / f"x{kind}", COLUMNS, {}, keys)
    expected = [[str(cell) for cell in row] for row in rows]
    found = [[str(cell) for cell in row] for row in again.read()]
    assert found == expected and again.rows == len(keys)
    if kind == ".csv":
        with open(tmp_path / "x.csv", newline="", encoding="utf-8") as file:
            raw = [cell for row in csv.reader(file) for cell in row]
        assert not any(cell.startswith(table.FORMULAS) for cell in raw) and "'=1+1" in raw
    if kind == ".jsonl":
        lines = (tmp_path / "x.jsonl").read_text().splitlines()
        assert json.loads(lines[0]) == dict(zip(COLUMNS, rows[0], strict=True))


@pytest.mark.backend_free
def test_a_table_is_not_continued_with_another_interpolation():
    metrics = {"image_size": [8, 8], "num_channels": 3, "class_names": ["a"], "resize": "crop"}
    run = SimpleNamespace(model=SimpleNamespace(weights=[]), metrics=metrics)
    options = SimpleNamespace(invert=False, top=1, threshold=0.0)
    before = predict._settings(options, run)
    metrics["interpolation"] = "bicubic"
    after = predict._settings(options, run)
    changed = [name for name in before if before[name] != after[name]]
    assert changed == ["interpolation"] and before["interpolation"] == "bilinear"


@pytest.mark.backend_free
def test_a_table_cut_at_any_byte_keeps_its_whole_rows(tmp_path):
    keys = ["a\nb", "c", "d"]
    with table.Table(tmp_path / "x.csv", COLUMNS, {}, keys) as written:
        ends = [written._end]
        for key in keys:
            written.append([key, "ü", 0.5, None])
            ends.append(written._end)
    whole = (tmp_path / "x.csv").read_bytes()
    for cut in range(len(whole) + 1):
        (tmp_path / "x.csv").write_bytes(whole[:cut])
        again = table.Table(tmp_path / "x.csv", COLUMNS, {}, keys)
        assert again.rows == max(sum(end <= cut for end in ends) - 1, 0), cut
        with again:
            pass
        assert (tmp_path / "x.csv").read_bytes() == whole[
            : max(e for e in ends if e <= cut or e == ends[0])
        ]


@pytest.mark.backend_free
@pytest.mark.parametrize(
    "kind, change",
    [
        (".csv", lambda text: text.replace(",", ";")),
        (".csv", lambda text: text.replace("a,", "a,b,", 1)),
        (".csv", lambda text: text.replace("\n", "\r")),
        (".jsonl", lambda text: text.replace("{", "[", 1)),
        (".jsonl", lambda text: text.replace('"file"', '"path"', 1)),
    ],
)
def test_a_table_that_was_changed_is_refused_and_left_alone(kind, change, tmp_path):
    path = tmp_path / f"x{kind}"
    with table.Table(path, COLUMNS, {}, ["a", "b"]) as written:
        for key in written.keys:
            written.append([key, "cat", 0.5, None])
    changed = change(path.read_text()).encode()
    assert changed != path.read_bytes()
    path.write_bytes(changed)
    with pytest.raises(ValueError, match="unchanged since it was written.* Nothing is replaced"):
        table.Table(path, COLUMNS, {}, ["a", "b"])
    assert path.read_bytes() == changed


@pytest.mark.backend_free
def test_a_full_disk_leaves_whole_rows(tmp_path):
    """The disk becomes full after the first bytes of a row."""

    class Full:
        def __init__(self, file):
            self.file, self.truncate = file, file.truncate

        def write(self, line):
            if os.fstat(self.file.fileno()).st_size > whole:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return self.file.write(line[:5])

    with table.Table(tmp_path / "x.csv", COLUMNS, {}, ["a", "b"]) as written:
        written.append(["a", "cat", 0.5, None])
        real, whole = written._file, written._end
        written._file = Full(real)
        with pytest.raises(OSError, match="No space left on device; the rows before are complete"):
            written.append(["b", "cat", 0.5, None])
        written._file = real
    assert (tmp_path / "x.csv").stat().st_size == whole
    assert table.Table(tmp_path / "x.csv", COLUMNS, {}, ["a", "b"]).rows == 1


@pytest.mark.backend_free
def test_two_processes_do_not_write_one_table(tmp_path):
    path, keys = tmp_path / "x.csv", ["a", "b"]
    first, second = (table.Table(path, COLUMNS, {}, keys) for _ in range(2))
    with first:
        first.append(["a", "cat", 0.5, None])
        with pytest.raises(BlockingIOError, match="Another process writes this table. Wait"):
            second.__enter__()
        third = table.Table(path, COLUMNS, {}, keys)  # knows the row, but the lock is held
        with pytest.raises(BlockingIOError, match="Another process"):
            third.__enter__()
        first.append(["b", "cat", 0.5, None])
    assert table.Table(path, COLUMNS, {}, keys).rows == 2


@pytest.mark.backend_free
def test_a_parquet_file_appears_when_all_rows_are_there(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    path, keys = tmp_path / "x.parquet", ["a", "b"]
    for key in keys:
        assert not path.exists()
        with table.Table(path, COLUMNS, {}, keys) as written:
            written.append([key, "cat", 0.5, None])
            if written.rows == 2:
                written.finish()
    assert parquet.read_table(path).to_pydict()["file"] == keys
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.parquet", "x.parquet.settings.json"]
    with pytest.raises(ValueError, match="finished Parquet file. Received: .*rows=2, images=3"):
        table.Table(path, COLUMNS, {}, ["a", "b", "c"])


@pytest.mark.backend_free
def test_progress_is_a_line_a_minute_without_a_terminal(monkeypatch, capsys):
    clock = iter([0.0, 30.0, 60.0, 60.0, 90.0, 200.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.Progress(300, 100) as shown:
        for _ in range(3):
            shown.advance(20)
        shown.done = 300
        assert shown.line() == "300 of 300 images, 1.0 images/s"
    assert capsys.readouterr().err == "140 of 300 images, 0.7 images/s, 4:00 left\n"


@pytest.mark.backend_free
def test_a_long_list_of_skipped_files_is_cut():
    skipped = predict._Skipped()
    for i in range(60):
        skipped.add(f"{i} is bad")
    lines = skipped.lines()
    assert lines[0] == "60 files were skipped:" and lines[-1] == "  and 10 more"
    assert len(lines) == predict.MOST_SHOWN + 2
