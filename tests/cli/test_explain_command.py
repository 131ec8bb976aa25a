"""`keras-vit explain` as a user types it: files, numbers, messages, exit codes."""

import json
import os

import keras
import numpy as np
import pytest
from helpers import arrays, quick, random_images, randomize
from PIL import Image

import keras_vit
from keras_vit import cli, explain
from keras_vit.cli import common
from keras_vit.cli.commands import explain_command as command
from keras_vit.data import images as reading
from keras_vit.data import read_digit
from keras_vit.data.images import RESIZING
from keras_vit.explain.views import VIEWS
from keras_vit.training.runs import saved_run

NAMES = ("ape", "bat", "cat")


def small(**options):
    sizes = {"num_layers": 2, "hidden_dim": 12, "mlp_dim": 16, "num_heads": 2, "num_classes": 3}
    return randomize(keras_vit.ViT((16, 24), 8, **{**sizes, **options}), scale=0.3)


@pytest.fixture(scope="module")
def model():
    return small()


@pytest.fixture
def folder(tmp_path):
    """Four images whose sizes differ from the model's."""
    folder = tmp_path / "images"
    folder.mkdir()
    for i, pixels in enumerate(random_images(4, 40, 50, 3).astype("uint8")):
        Image.fromarray(pixels).save(folder / f"{i}.png")
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture
def explained(model, monkeypatch, tmp_path, folder, capsys):
    """Runs the command with the model; returns (exit code, npz, what it printed)."""

    def run(name, *words, images=True, metrics=None, other=None):
        models = iter([(model, metrics or {}), (other, {})])
        monkeypatch.setattr(command, "load_model", lambda *_: next(models))
        out = tmp_path / "out"
        given = ["explain", name, "ViT-Mini/4", *([str(folder)] if images else [])]
        code = cli.main([*given, *map(str, words), "--out", str(out)])
        printed = capsys.readouterr()
        path = out / f"{name.replace('_', '-')}.npz"
        found = arrays(path) if path.exists() else {}
        return code, found, printed.out + printed.err

    return run


def pixels_of(folder, count=4):
    files = [folder / f"{i}.png" for i in range(count)]
    return np.stack([reading.read(file, (16, 24)) for file in files])


# The content of each view's file, computed with the functions themselves.
ARRAYS = {
    "patch_grid": lambda m, x: {"patch_grid": explain.patch_grid(m, x)},
    "attention_scores": lambda m, x: dict(explain.attention_scores(m, x)),
    "attention_rollout": lambda m, x: {"attention_rollout": explain.attention_rollout(m, x)},
    "relevance": lambda m, x: {"relevance": explain.relevance(m, x)},
    "grad_cam": lambda m, x: {"grad_cam": explain.grad_cam(m, x)},
    "occlusion": lambda m, x: {"occlusion": explain.occlusion(m, x)},
    "deletion_curve": lambda m, x: {
        "grad_cam": explain.deletion_curve(m, x, explain.grad_cam(m, x)),
        "rollout": explain.deletion_curve(m, x, explain.attention_rollout(m, x)),
    },
    "token_similarity": lambda m, x: {"token_similarity": explain.token_similarity(m, x)},
    "token_colors": lambda m, x: {"token_colors": explain.token_colors(m, x)},
    "logit_lens": lambda m, x: {"logit_lens": explain.logit_lens(m, x)},
    "embedding_filters": lambda m, x: {"embedding_filters": explain.embedding_filters(m)},
    "position_similarity": lambda m, x: {"position_similarity": explain.position_similarity(m)},
    "mean_attention_distance": lambda m, x: {
        "mean_attention_distance": explain.mean_attention_distance(m, x)
    },
    "attention_entropy": lambda m, x: {"attention_entropy": explain.attention_entropy(m, x)},
    "token_norms": lambda m, x: {"token_norms": explain.token_norms(m, x)},
    "cka": lambda m, x: {"values": explain.cka(m, m, x).values},
}
QUICK = ("patch_grid", "attention_rollout", "embedding_filters", "position_similarity")


@pytest.mark.parametrize("name", quick(ARRAYS, *QUICK))
def test_a_view_writes_its_figure_and_its_numbers(name, explained, model, folder, tmp_path):
    images = VIEWS[name].needs_images
    code, found, text = explained(name.replace("_", "-"), images=images)
    assert code == 0, text
    for key, want in ARRAYS[name](model, pixels_of(folder)).items():
        np.testing.assert_allclose(found[key], want, rtol=1e-4, atol=1e-5, err_msg=key)
    files = [str(folder / f"{i}.png") for i in range(4)] if images else []
    assert found["files"].tolist() == files
    png = tmp_path / "out" / f"{name.replace('_', '-')}.png"
    with Image.open(png) as figure:
        assert figure.width == 840
    assert text.count("Written: ") == 2 and str(png) in text


def test_every_view_has_a_function_words_and_a_line(capsys):
    assert set(command.SHOWS) == {*ARRAYS, "nearest", "report"}
    assert all(hasattr(explain.plots, name) for name in VIEWS)
    assert cli.main(["explain"]) == cli.main(["explain", "--list"]) == 0
    first, second = capsys.readouterr().out.split("keras-vit explain NAME")[1:]
    assert first == second and first.count("\n") == len(command.SHOWS) + 1
    assert "attention-rollout " in first and "which patches the output comes from" in first


def test_options_reach_their_functions(explained, model, folder):
    x = pixels_of(folder)
    words = ("--heads", "max", "--discard", "0.5", "--token", 1, 2)
    _, found, text = explained("attention-rollout", *words)
    want = explain.attention_rollout(model, x, heads="max", discard=0.5, token=(1, 2))
    np.testing.assert_allclose(found["attention_rollout"], want, rtol=1e-4, atol=1e-6)
    row, column = np.unravel_index(want[2].argmax(), (2, 3))
    low, high = 6 * want[2].min(), 6 * want[2].max()
    line = f"2.png: {low:.1f} to {high:.1f} × uniform, highest at row {row}, column {column}"
    assert line in text.splitlines()
    _, found, _ = explained("position-similarity", "--grid", 4, 5, images=False)
    assert found["position_similarity"].shape == (4, 5, 4, 5)


@pytest.mark.slow
def test_classes_are_given_by_name_or_number(explained, model, folder):
    metrics = {"class_names": NAMES, "data": "x", "num_channels": 3, "image_size": (16, 24)}
    metrics["resize"] = "squash"
    words = ("--classes", "cat", "0", "1", "bat")
    code, found, text = explained("grad-cam", *words, metrics=metrics)
    assert code == 0 and found["classes"].tolist() == [2, 0, 1, 1]
    want = explain.grad_cam(model, pixels_of(folder), [2, 0, 1, 1])
    np.testing.assert_allclose(found["grad_cam"], want, rtol=1e-4, atol=1e-6)
    assert "0.png: cat," in text and "3.png: bat," in text


@pytest.mark.backend_free
def test_a_single_name_is_that_of_class_1():
    """Of a model with one logit: class 0 is not that."""
    assert command._find_classes(["cat"], ["cat"]) == 1
    assert command._find_classes(["cat"], ["ape", "bat", "cat"]) == 2


@pytest.mark.slow
def test_a_block_is_looked_at(explained, model, folder):
    _, found, _ = explained("token-similarity", "--block", 0, "--token", 1, 1)
    want = explain.token_similarity(model, pixels_of(folder), (1, 1), layer="block_0")
    np.testing.assert_allclose(found["token_similarity"], want, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_the_nearest_are_those_of_the_gallery(explained, model, folder):
    code, found, text = explained("nearest", "--gallery", folder)
    x = pixels_of(folder)
    want = explain.nearest(model, x, x, k=4)
    np.testing.assert_array_equal(found["indices"], want.indices)
    assert found["gallery"].tolist() == found["files"].tolist()
    assert code == 0 and "0.png: 0.png 1.00, " in text


@pytest.mark.slow
def test_two_models_are_compared_each_with_images_of_its_size(explained):
    other = randomize(keras_vit.ResNet(image_size=32, units=(1, 1), num_classes=3, name="other"))
    code, found, text = explained("cka", "--other", "ViT-Mini/4", other=other)
    assert code == 0 and found["layers_b"].tolist()[0] == "root"
    assert found["values"].shape == (4, 3) and "hundreds are better" in text


# --- Files ---------------------------------------------------------------------------------------


def test_several_views_share_a_folder_and_nothing_is_replaced(explained, tmp_path):
    assert explained("patch-grid")[0] == 0
    assert explained("embedding-filters", images=False)[0] == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert len(before) == 4
    code, _, text = explained("patch-grid")
    assert code == 2 and "nothing is replaced" in text and "patch-grid.png" in text
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_without_out_a_new_folder_in_runs_is_made(model, monkeypatch, tmp_path, folder, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "load_model", lambda *_: (model, {}))
    assert cli.main(["explain", "patch_grid", "ViT-Mini/4", str(folder / "0.png")]) == 0
    (made,) = (tmp_path / "runs").iterdir()
    assert made.name.endswith("-explain-patch-grid")
    assert sorted(path.name for path in made.iterdir()) == ["patch-grid.npz", "patch-grid.png"]


def test_the_report_is_a_page_in_the_folder_or_a_file(explained, tmp_path, monkeypatch):
    show = lambda *words: f"<p>{words[2]} {words[-1]}</p>"  # noqa: E731
    monkeypatch.setattr(keras_vit.explain, "report", show)
    code, _, text = explained("report")
    page = tmp_path / "out" / "report.html"
    assert (
        code == 0 and page.read_text() == "<p>['0.png', '1.png', '2.png', '3.png'] ViT-Mini/4</p>"
    )
    assert str(page) in text
    assert command._paths("report", "a/b.html")[0].name == "b.html"


def test_the_report_names_each_view_while_it_runs(explained, monkeypatch):
    def report(*words):
        words[4]("grad_cam")
        words[4]("cka")
        return ""

    monkeypatch.setattr(keras_vit.explain, "report", report)
    assert explained("report")[2].endswith("grad-cam ...\ncka ...\n")


# --- Images and models -------------------------------------------------------------------------


def test_images_of_published_weights_are_upright_and_of_the_models_size(tmp_path, model):
    left_dark = np.zeros((40, 20, 3), "uint8")
    left_dark[:, 10:] = 255
    exif = Image.Exif()
    exif[reading.ORIENTATION] = 8  # a quarter turn to the left: the right side comes to the top
    Image.fromarray(left_dark).save(tmp_path / "turned.png", exif=exif)
    (shown,) = command.read_images([tmp_path / "turned.png"], model)
    assert shown.shape == (16, 24, 3) and shown.dtype == "uint8"
    assert (shown[:7] == 255).all() and (shown[9:] == 0).all()
    (inverted,) = command.read_images([tmp_path / "turned.png"], model, invert=True)
    np.testing.assert_array_equal(inverted, 255 - shown)
    (cut,) = command.read_images([tmp_path / "turned.png"], model, resize="crop")
    assert cut.shape == (16, 24, 3) and (cut[:7] == 255).all()


def test_images_of_a_run_are_read_as_predict_reads_them(tmp_path):
    Image.fromarray(np.eye(30, dtype="uint8") * 200).save(tmp_path / "one.png")
    metrics = {"data": "digits", "num_channels": 1, "image_size": [8, 8], "resize": "squash"}
    (shown,) = command.read_images([tmp_path / "one.png"], None, metrics)
    np.testing.assert_array_equal(shown, read_digit(tmp_path / "one.png"))


def test_folders_are_searched_at_any_depth_without_hidden_files(tmp_path):
    for name in ("b/2.JPG", "b/.hidden.png", "a.png", "b/c/3.webp", "b/x.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = command.find_images([tmp_path, tmp_path / "b" / "x.txt"])
    names = [os.path.relpath(path, tmp_path) for path in found]
    assert names == ["a.png", "b/2.JPG", "b/c/3.webp", "b/x.txt"]


def test_images_with_equal_names_are_shown_with_their_folders(tmp_path):
    files = [str(tmp_path / "a" / "1.png"), str(tmp_path / "b" / "1.png")]
    assert command.name_images(files) == files
    assert command.name_images(files[:1]) == ["1.png"]


def test_a_saved_model_without_a_run_is_loaded(tmp_path):
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, keras.layers.Flatten()(inputs))
    model.save(tmp_path / "any.keras")
    found, metrics = common.load_model(str(tmp_path / "any.keras"))
    assert found.input_shape == (None, 8, 8, 1) and metrics == RESIZING
    with pytest.raises(ValueError, match="own resolution.*image_size=16.*Leave --image-size out"):
        common.load_model(str(tmp_path / "any.keras"), 16)
    (tmp_path / "broken.keras").write_bytes(b"PK nothing")
    with pytest.raises(ValueError, match="broken.keras', which is damaged or truncated"):
        common.load_model(str(tmp_path / "broken.keras"))
    with pytest.raises(FileNotFoundError, match="gone.keras"):
        common.load_model(str(tmp_path / "gone.keras"))


def test_the_model_of_a_run_comes_with_its_class_names(tmp_path):
    inputs = keras.Input((8, 8, 1))
    keras.Model(inputs, keras.layers.Flatten()(inputs)).save(tmp_path / "model.keras")
    saved = dict.fromkeys(saved_run.NEEDED) | {"class_names": NAMES}
    (tmp_path / "metrics.json").write_text(json.dumps(saved))
    for name in (tmp_path, tmp_path / "model.keras"):
        _, metrics = common.load_model(str(name))
        assert metrics["class_names"] == list(NAMES)


# --- Errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["attention-rolout", "m", "x.png"], "Did you mean 'attention-rollout'"),
        (["zzz", "m"], "--list shows all"),
        (["relevance"], "needs a model"),
        (["relevance", "m"], "needs images"),
        (["nearest", "m", "x.png"], "--gallery"),
        (["cka", "m", "x.png", "--token", "1", "2"], "--token is not an option of cka"),
        (["relevance", "m", "x.png", "--other", "n"], "It belongs to cka"),
        (["relevance", "m", "gone.png"], "gone.png"),
        (["relevance", "m", "."], "must contain images"),
        (["relevance", "m", "x.png", "--image-size", "8", "8", "8"], "--image-size"),
    ],
)
def test_errors_before_any_work_are_one_line(words, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if "x.png" in words:
        (tmp_path / "x.png").touch()
        (tmp_path / "empty").mkdir()
    assert cli.main(["explain", *words]) == 2
    text = capsys.readouterr().err
    assert expected in text and text.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_a_file_that_is_not_an_image_is_reported(explained, folder):
    (folder / "broken.png").write_bytes(b"not an image")
    code, _, text = explained("patch-grid")
    assert code == 2 and "broken.png' cannot be read as an image" in text


def test_unknown_classes_and_blocks_are_refused(explained):
    metrics = {"class_names": NAMES, "data": "x", "num_channels": 3, "image_size": (16, 24)}
    metrics["resize"] = "squash"
    code, _, text = explained("relevance", "--classes", "caat", metrics=metrics)
    assert code == 2 and "Did you mean 'cat'" in text
    code, _, text = explained("relevance", "--classes", "caat")
    assert code == 2 and "Pass its number" in text
    code, _, text = explained("token-colors", "--block", "5")
    assert code == 2 and "blocks 0 to 1. Received: block=5" in text
    code, _, text = explained("token-colors", "--block", "0", "1")
    assert code == 2 and "one block" in text


def test_a_resnet_has_no_attention_to_draw(monkeypatch, folder, tmp_path, capsys, blank):
    resnet = keras_vit.ResNet(image_size=32, units=(1,), num_classes=3)
    monkeypatch.setattr(command, "load_model", lambda *_: (resnet, {}))
    words = ["explain", "attention-rollout", "ViT-Mini/4", str(folder)]
    words += ["--out", str(tmp_path / "o")]
    assert cli.main(words) == 2
    assert "cka, grad_cam, occlusion, nearest" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
