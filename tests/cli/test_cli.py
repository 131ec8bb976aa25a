"""The command as a user types it: output, exit codes, one line for each error."""

import ast
import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import keras_vit
from keras_vit import cli, training
from keras_vit.cli import common
from keras_vit.cli.commands import models


@pytest.fixture
def folder(tmp_path):
    for name, value in (("dark", 40), ("light", 220)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(3):
            pixels = np.full((8, 8), value + i, "uint8")
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{i}.png")
    return tmp_path / "data"


@pytest.mark.slow
def test_train_and_predict_from_end_to_end(folder, tmp_path, capsys):
    pytest.importorskip("sklearn")
    out = tmp_path / "run"
    words = [
        "train",
        str(folder),
        "--model",
        "ViT-Mini/4",
        "--image-size",
        "8",
        "--epochs",
        "2",
    ]
    words += ["--batch-size", "2", "--learning-rate", "0.002", "--seed", "5", "--out", str(out)]
    assert cli.main(words) == 0
    text = capsys.readouterr().out
    assert keras_vit.__version__ in text and "epoch 2/2" in text and "RBF SVC" in text
    assert f"keras-vit predict {out}" in text
    metrics = json.loads((out / "metrics.json").read_text())
    options = metrics["options"]
    assert (metrics["model"], metrics["image_size"], metrics["seed"]) == ("ViT-Mini/4", [8, 8], 5)
    assert (options["epochs"], options["batch_size"], options["learning_rate"]) == (2, 2, 0.002)

    image = str(folder / "dark" / "0.png")
    assert cli.main(["predict", str(out), image, "--invert"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    (found,) = training.predict(out, [image], invert=True)
    name, share = found.classes[0]
    assert line.startswith(f"{image}: {name} ({100 * share:.1f} %), ")


def test_predict_with_what_is_shipped_or_saved(folder, tmp_path, capsys):
    """Weights with class names print them; a model that is not from a run has numbers."""
    image = str(folder / "dark" / "0.png")
    assert cli.main(["predict", "ViT-Mini/4", image]) == 0
    names = keras_vit.checkpoints.entries()["ViT-Mini/4-keras-vit-cifar10"].class_names
    words = re.split(r": |, ", capsys.readouterr().out.splitlines()[-1])
    assert words[0] == image and [word.split()[0] in names for word in words[1:]] == [True] * 3

    model = keras_vit.create("ViT-Mini/4", image_size=8, num_classes=2)
    model.save(tmp_path / "mine.keras")
    assert cli.main(["predict", str(tmp_path / "mine.keras"), image]) == 0
    assert "class 0 (50.0 %)" in capsys.readouterr().out.splitlines()[-1]  # the head starts at zero

    keras_vit.save_weights(model, tmp_path / "model.safetensors")
    assert cli.main(["predict", str(tmp_path), image]) == 0  # a folder as published
    assert "class 0 (50.0 %)" in capsys.readouterr().out.splitlines()[-1]

    model.class_names = ("dark", "light")
    model.save(tmp_path / "named.keras")
    folder = str(tmp_path / "named")
    assert cli.main(["convert", str(tmp_path / "named.keras"), folder, "--to", "huggingface"]) == 0
    assert cli.main(["predict", folder, image]) == 0
    assert "dark (50.0 %), light (50.0 %)" in capsys.readouterr().out.splitlines()[-1]


def test_a_saved_model_is_loaded_in_another_precision(tmp_path):
    model = keras_vit.create("ViT-Mini/4", image_size=8, num_classes=2)
    model.class_names = ["a", "b"]
    model.save(tmp_path / "mine.keras")
    loaded, metrics = common.load_model(tmp_path / "mine.keras", precision="mixed_bfloat16")
    assert loaded.get_layer("block_0").compute_dtype == "bfloat16"
    assert metrics["class_names"] == ["a", "b"]
    for ours, saved in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, saved)


def test_variants_lists_the_table(capsys):
    assert cli.main(["variants"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["ViT-B/16", "12", "768", "3072", "12", "86,567,656"] in rows
    assert len(rows) == 2 + len(keras_vit.list_variants())
    assert keras_vit.create(rows[-1][-1].strip('"'), image_size=8).patch_size == (4, 4)


@pytest.mark.backend_free
def test_a_linear_probe_without_sklearn_is_refused_before_any_work(monkeypatch, capsys):
    monkeypatch.setattr(cli.commands.use.backend, "is_installed", lambda name: name != "sklearn")
    assert cli.main(["few-shot", "gone.npz", "gone", "--linear-probe"]) == 1
    message = "--linear-probe needs scikit-learn, which is not installed. Run: pip install scikit-"
    assert message in capsys.readouterr().err


def test_weights_lists_the_catalogue(capsys):
    assert cli.main(["weights"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in keras_vit.checkpoints.entries())


def test_convert_round_trip(tmp_path, capsys):
    model = keras_vit.create("ViT-Ti/16", image_size=32, num_layers=1, num_classes=3)
    first, second, third = (str(tmp_path / name) for name in ("a.npz", "b.safetensors", "c.npz"))
    keras_vit.save_weights(model, first)
    assert cli.main(["convert", first, second, "--to", "huggingface"]) == 0
    said = capsys.readouterr().out
    assert "names of google" in said and f"Written: {second}" in said
    assert said.endswith(f"{model.count_params():,} parameters with the names of huggingface.\n")
    assert cli.main(["convert", second, third]) == 0
    said = capsys.readouterr().out
    assert "assumed: normalize=(127.5, 127.5), epsilon=1e-12, approximate=False" in said
    assert said.endswith("with the names of google.\n")  # by its suffix
    with np.load(first) as before, np.load(third) as after:
        assert set(before) == set(after)
        assert all(np.array_equal(before[name], after[name]) for name in before)
    folder = str(tmp_path / "folder")
    assert cli.main(["convert", first, folder, "--to", "timm"]) == 0
    assert sorted(os.listdir(folder)) == ["config.json", "model.safetensors"]
    how = {"resize": "crop", "interpolation": "bicubic"}  # are stated and kept
    keras_vit.save_weights(model, folder, "timm", **how)
    assert cli.main(["convert", folder, str(tmp_path / "crop"), "--to", "huggingface"]) == 0
    assert common.load_model(str(tmp_path / "crop"))[1] == how
    assert cli.main(["convert", first, third]) == cli.USAGE_ERROR
    assert "OUT must not exist yet" in capsys.readouterr().err
    assert cli.main(["convert", str(tmp_path / "none.npz"), str(tmp_path / "d.npz")]) == 2
    assert cli.main(["convert", first, str(tmp_path / "d.npz"), "--to", "timm"]) == 2
    assert not (tmp_path / "d.npz").exists()


def test_convert_replaces_nothing_that_another_process_has_written(tmp_path, monkeypatch, capsys):
    target = tmp_path / "new.npz"
    monkeypatch.setattr(models, "load_model", lambda name: (target.write_text("theirs"), {}))
    assert cli.main(["convert", "ViT-Mini/4", str(target)]) == cli.USAGE_ERROR
    assert "OUT must not exist yet" in capsys.readouterr().err and target.read_text() == "theirs"


def test_version_and_help(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"keras-vit {keras_vit.__version__}\n"
    assert cli.main([]) == 0
    assert "train" in capsys.readouterr().out


def test_help_shows_the_defaults_that_the_recipes_have(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "default: ViT-Mini/2, with DATA ViT-Mini/8" in text
    assert "default: 8, with DATA 64" in text
    assert "default: 50, with DATA 40" in text and "default: 0.002, with DATA 0.001" in text


HUB = (["train", "--weights"], ["evaluate"], ["explain", "embedding-filters"])


@pytest.mark.parametrize(
    "words, code, expected",
    [
        (["train", "nowhere/"], 2, "'nowhere/', which does not exist"),
        (["train", "--resume", "nowhere"], 2, "'nowhere', which does not exist"),
        (["train", "--resume", "nowhere", "--epochs", "3"], 2, "takes no other argument"),
        (["train", "--resume", "nowhere", "--weight-decay", "0"], 2, "takes no other argument"),
        (["train", "--find-learning-rate", "--learning-rate", "1"], 2, "tries all rates"),
        (["evaluate", "nowhere"], 2, "'nowhere', which does not exist"),
        (["evaluate", "ViT-Mini/4"], 2, "evaluate needs DATA"),
        *(([*words, "hf://owner"], 2, "must be hf://owner/name") for words in HUB),
        (["check-data", "nowhere"], 2, "nowhere"),
        (["train", "--model", "vit-b/16"], 2, "ViT-B/16"),
        (["train", "--epochs", "0"], 2, "epochs=0"),
        (["train", "--learning-rate", "nan"], 2, "learning_rate=nan"),
        (["train", "--image-size", "28"], 2, "the digits are 8 x 8"),
        (["train", "--seed", "-3"], 2, "seed=-3"),
        (["predict", "nowhere", "x.png"], 2, "'nowhere', which does not exist"),
    ],
)
def test_errors_are_one_line(words, code, expected, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == code
    error = capsys.readouterr().err
    assert (
        error.count("\n") == 1
        and error.startswith("keras-vit: ")
        and expected.lower() in (error.lower())
    )
    assert not list(tmp_path.iterdir())


def test_arguments_that_argparse_refuses_exit_with_2(capsys):
    for words in (["fly"], ["train", "--epochs", "many"], ["predict"]):
        with pytest.raises(SystemExit) as exit_:
            cli.main(words)
        assert exit_.value.code == 2


def test_debug_shows_the_error_itself():
    with pytest.raises(FileNotFoundError):
        cli.main(["train", "nowhere/", "--debug"])


@pytest.mark.parametrize(
    "error, code, text",
    [
        (KeyboardInterrupt(), 130, "stopped"),
        (ImportError("Run: pip install scikit-learn"), 1, "pip install scikit-learn"),
        (RuntimeError("a\nb"), 1, "RuntimeError: a b"),
        (OSError(28, "No space left on device"), 1, "keras-vit: No space left on device\n"),
        (OSError(28, "No space", "a.npz"), 1, "keras-vit: No space: 'a.npz'\n"),
        (PermissionError(13, "Permission denied", "a.npz"), 2, ": Permission denied: 'a.npz'\n"),
    ],
)
def test_failures_have_their_exit_codes(error, code, text, capsys, monkeypatch):
    def fail(**_):
        raise error

    monkeypatch.setattr(training, "train", fail)
    assert cli.main(["train"]) == code
    captured = capsys.readouterr().err
    assert text in captured and captured.count("\n") == 1


def test_plotting_and_baselines_are_imported_lazily():
    # Keras may import these three by itself, so `sys.modules` cannot tell: the source can.
    for path in pathlib.Path(keras_vit.__file__).parent.rglob("*.py"):
        for statement in ast.parse(path.read_text()).body:
            if isinstance(statement, (ast.Import, ast.ImportFrom)):
                module = getattr(statement, "module", None) or statement.names[0].name
                assert module.split(".")[0] not in ("matplotlib", "PIL", "sklearn"), path


@pytest.mark.slow
def test_the_module_runs_as_the_command():
    words = [sys.executable, "-m", "keras_vit", "--version"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == f"keras-vit {keras_vit.__version__}\n"
