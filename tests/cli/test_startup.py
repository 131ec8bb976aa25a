"""`keras-vit` reports mistakes and lists without Keras; `import keras_vit` imports everything."""

import json
import os
import re
import subprocess
import sys

import pytest
from helpers import ROOT

pytestmark = pytest.mark.backend_free

HEAVY = {"keras", "jax", "tensorflow", "torch", "matplotlib", "sklearn", "scipy", "pandas"}
LIGHT = [
    "",
    "--help",
    "--version",
    "train --help",
    "predict --help",
    "evaluate --help",
    "explain --help",
    "few-shot --help",
    "check-data --help",
    "convert --help",
    "cost --help",
    "study --help",
    "variants",
    "weights",
    "explain",
    "explain --list",
    "study",
    "check-data images --processes 1",
]
REFUSED = {
    "fly": "invalid choice: 'fly'",
    "--fly": "unrecognized arguments: --fly",
    "predict": "the following arguments are required",
    "train --epochs many": "invalid int value",
    "train --adapt none": "invalid choice: 'none'",
    "train --recipe cifra": "Did you mean 'cifar'?",
    "train --model vit-b/16": "Did you mean 'ViT-B/16'?",
    "train --weights ViT-Ti/15": "Did you mean 'ViT-Ti/16'",
    "train --weights gone.npz": "'gone.npz', which does not exist",
    "train --weights ViT-Ti/16 --model ViT-Ti/16": "Leave one of them out",
    "train --recipe finetune": "Pass --weights",
    "train --recipe deit": "enlarges them 28-fold",
    "train --augment strong3": "Valid names: none, flip",
    "train --epochs 0": "epochs=0",
    "train --learning-rate nan": "learning_rate=nan",
    "train --test-share 1": "test_share=1.0",
    "train --skip-empty": "the data must be a folder. Received: data='digits'",
    "train images/1.png --skip-empty": "the data must be a folder",
    "train --on-error skip": "these images are arrays. Received: data='digits'",
    "train --class-weights cat=0": "must be a finite number above 0",
    "train --class-weights heavy": "pairs of a class name and a number",
    "train --class-weights balanced --sampling balanced": "Leave one of them out",
    "train --early-stopping 0": "early_stopping=0",
    "train --early-stopping 3 --validation-share 0": "needs validation images",
    "train --time 2hours": "must be hours, minutes and seconds",
    "train --time 2h --epochs 3": "Leave one of them out",
    "train --resume gone --find-learning-rate": "takes no other argument",
    "train --find-learning-rate --time 2h": "--time='2h'. Leave out --time.",
    "train --find-learning-rate --epochs 3 --tensorboard": "Leave out --epochs and --tensorboard.",
    "train --find-learning-rate --early-stopping 2": "--early-stopping=2",
    "train --layer-decay 1.5": "`layer_decay` must be at most 1",
    "train --accumulate 0": "accumulate=0",
    "train --precision float16": "invalid choice: 'float16'",
    "train --split-seed -1": "split_seed=-1",
    "train --image-size 28": "8 x 8 pixels",
    "train gone/": "'gone/', which does not exist",
    "train --resume gone": "'gone', which does not exist",
    "train --resume gone --epochs 3": "takes no other argument",
    "train --out images": "a new or an empty folder",
    "train --out /dev/null/run": "'/dev/null/run' (Not a directory)",
    "train --out ''": "argument --out: expected a value, received an empty string: ''",
    f"train --out {'x' * 300}": "keras-vit: File name too long: 'xxx",
    "predict '' images": "argument MODEL: expected a value, received an empty string",
    f"predict {'x' * 300} images": "keras-vit: File name too long: 'xxx",
    f"predict ViT-Mini/4 images --out {'x' * 300}.csv": "(File name too long)",
    "predict ViT-Mini/4 @images": "'images', which is a folder",
    "predict ViT-Mini/4 images --out images/1.png/x.csv": "images/1.png' (Not a directory)",
    "predict ViT-Mini/4 images --classes images": "'images', which is a folder",
    "predict ViT-Mini/4 /dev/null --on-error stop": "'/dev/null', which is not an ordinary file",
    "evaluate ViT-Mini/4 images --part validation": "--part chooses among the run's own images",
    "predict gone images/1.png": "'gone', which does not exist",
    "predict images images/1.png": "without model.keras",
    "predict ViT-Mini/4 gone.png": "'gone.png', which does not exist",
    "predict ViT-Mini/4 gone/*.png": "pattern='gone/*.png'. Their names end in",
    "predict ViT-Mini/4 @gone.txt": "'gone.txt', which does not exist",
    "predict ViT-Mini/4 images --top 0": "top=0",
    "predict ViT-Mini/4 images --threshold 1.5": "threshold=1.5",
    "predict ViT-Mini/4 images --batch-size 0": "batch_size=0",
    "predict ViT-Mini/4 images --out x.txt": ".csv, .jsonl, .parquet",
    "predict ViT-Mini/4 images --out gone/x.csv": "first",
    "evaluate gone": "'gone', which does not exist",
    "few-shot ViT-Mini/4 gone/": "'gone/', which does not exist",
    "few-shot ViT-Mini/4 digits --shots 0": "shots=0",
    "explain attention-rolout": "Did you mean 'attention-rollout'",
    "explain cka": "needs a model",
    "explain report ViT-Mini/4 images --batch-size 4": "--batch-size is an option of single views",
    "explain cka ViT-Mini/4": "needs images",
    "explain embedding-filters ViT-Mini/4 images --invert": "Leave out IMAGE and --invert.",
    "explain position-similarity ViT-Mini/4 --resize crop": "--resize='crop'",
    "explain position-similarity ViT-Mini/4 --batch-size 2": "a view of the model alone",
    "explain cka ViT-Mini/4 gone.png": "'gone.png', which does not exist",
    "explain cka ViT-Mini/4 images --other gone": "'gone', which does not exist",
    "explain nearest ViT-Mini/4 images --gallery gone": "'gone', which does not exist",
    "explain cka ViT-Mini/4 images --out /dev/null/x": "'/dev/null/x' (Not a directory)",
    "check-data gone": "Received: 'gone'",
    "check-data images --json gone/x.json": "first",
    "check-data images --html images": "the folder 'images'",
    "check-data images --html images/1.png": "one to replace that ends in .html, was expected",
    "check-data images --json images/1.png": "one to replace that ends in .json, was expected",
    "check-data images --json x --html x": "need two files",
    "check-data x.csv --skip-empty": "--skip-empty is about class folders",
    "check-data images --quarantine x": "--quarantine is for --fix",
    "check-data images --fix undo --json x.json": "without a check",
    "check-data images --fix undo --strict": "strict=True",
    "check-data images/1.png": "'images/1.png', which is a file",
    "page ViT-Mini/4 --out images/1.png": "one to replace that ends in .html, was expected",
    "explorer --out images/1.png": "one to replace that ends in .html, was expected",
    "convert gone.npz new.npz": "'gone.npz', which does not exist",
    "convert ViT-Mini/4 images": "must not exist yet",
    "convert ViT-Mini/4 gone/new.npz": "first",
    "convert ViT-Mini/4 new.npz --to flax": "invalid choice: 'flax'",
    "convert ViT-Mini/4 new.txt": "must have a known suffix",
    "convert ViT-Mini/4 new.npz --to timm": "must end in .safetensors",
    "cost ViT-X/16": "Did you mean",
    "cost --batch-size 0": "batch_size=0",
    "cost ViT-B/16 --paper": "Leave out the names, or --paper",
    "cost --paper --training 1000 2": "--training=[1000, 2]",
    "study figure-88": "Did you mean 'figure-8'",
    "study figure-8 --folder /dev/null/x": "'/dev/null/x' (Not a directory)",
}


# The command in one process: each call in turn, and which heavy modules there are after it.
CALLS = """
import contextlib, io, json, pathlib, shlex, sys
sys.argv = ["keras-vit"]
from keras_vit import cli

def call(words):
    before, out, messages = files(), io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(messages):
        try:
            code = cli.main(shlex.split(words))
        except SystemExit as end:
            code = end.code
    heavy = sorted(HEAVY & set(sys.modules))
    return code, out.getvalue(), messages.getvalue(), heavy, files() == before

def files():
    return sorted(pathlib.Path().rglob("*"))

if __name__ == "__main__":
    print(json.dumps({words: call(words) for words in CALLED}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder with two images in it."""
    image, folder = pytest.importorskip("PIL.Image"), tmp_path_factory.mktemp("startup")
    (folder / "images").mkdir()
    for number in (1, 2):
        image.new("L", (8, 8), 100 * number).save(folder / "images" / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def answers(folder):
    """{call: [exit code, stdout, messages, heavy modules, whether all files are as before]}."""
    code = CALLS.replace("HEAVY", repr(HEAVY)).replace("CALLED", repr([*LIGHT, *REFUSED]))
    return python(code, folder)


@pytest.mark.parametrize("words", LIGHT)
def test_help_and_lists_import_neither_keras_nor_a_backend(words, answers):
    code, printed, messages, heavy, _ = answers[words]
    assert code in (0, 1) if words.startswith("check-data") else code == 0, messages
    assert printed and not heavy


@pytest.mark.parametrize("words", REFUSED)
def test_invalid_arguments_are_reported_before_keras_is_imported(words, answers):
    code, printed, messages, heavy, unchanged = answers[words]
    assert (code, printed) == (2, "")
    assert REFUSED[words] in messages
    assert not heavy and unchanged


def run(words, folder, **environment):
    """Runs the command; returns (exit code, stdout, messages, all modules that it imported)."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "keras_vit", *words.split()],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )
    lines = done.stderr.splitlines()
    messages = [line for line in lines if not line.startswith("import time:")]
    imported = {line.split("|")[-1].strip() for line in lines if line.startswith("import time:")}
    return done.returncode, done.stdout, "\n".join(messages), imported


def test_a_process_of_its_own_imports_nothing_heavy_either(folder):
    for words, expected in (("--version", 0), ("fly", 2), ("check-data images", 1)):
        code, _, messages, imported = run(words, folder)
        assert code == expected, messages
        assert "keras_vit.cli" in imported and not imported & HEAVY


def test_help_needs_no_backend(folder):
    for chosen in ("torch", "nothing"):
        assert run("--help", folder, KERAS_BACKEND=chosen)[0] == 0
    code, _, message, _ = run("cost", folder, KERAS_BACKEND="nothing")
    assert code == 2 and "one of jax, tensorflow, torch. Received: 'nothing'" in message


# --- The package in the process of the command ---------------------------------------------------

PACKAGES = ("", ".checkpoints", ".data", ".explain", ".training")
NAMES = """
import importlib, json, sys
sys.argv = [PROGRAM]
import keras_vit
before = "keras" in sys.modules
found = {}
for package in PACKAGES:
    module = importlib.import_module("keras_vit" + package)
    names = {name: getattr(module, name) for name in module.__all__}
    kinds = {name: (type(value).__name__, getattr(value, "__module__", None))
             for name, value in names.items()}
    found[package] = kinds, dir(module)
import keras
registered = sorted(name for name in keras.saving.get_custom_objects() if "keras_vit" in name)
print(json.dumps([before, found, registered]))
"""


def names_for(program):
    """[whether Keras is imported at once, {package: (names, dir)}, registered classes]."""
    return python(NAMES.replace("PROGRAM", repr(program)).replace("PACKAGES", repr(PACKAGES)))


def python(code, folder=None):
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.weekly
def test_the_command_sees_the_same_names_and_registers_the_same_classes():
    eager, names, registered = names_for("script.py")
    postponed, same_names, same_registered = names_for("/usr/bin/keras-vit")
    assert (eager, postponed) == (True, False)
    assert same_names == names and same_registered == registered
    assert names[""][0]["list_variants"][0] == names[".training"][0]["features"][0] == "function"


@pytest.mark.slow
def test_every_serializable_class_is_registered_by_the_import_alone():
    found = set()
    for path in (ROOT / "keras_vit").rglob("*.py"):
        pattern = r"@(?:keras\.saving\.)?register\w*(?:\(.*\))?\n(?:@.*\n)*class (\w+)"
        found |= set(re.findall(pattern, path.read_text()))
    assert {"ViT", "HybridViT", "MAE", "LinearDecay"} <= found
    code = "import keras_vit, keras, json\nprint(json.dumps([*keras.saving.get_custom_objects()]))"
    assert {f"keras_vit>{name}" for name in found} <= set(python(code))


@pytest.mark.parametrize(
    ("program", "words", "expected"),
    [
        ("/usr/local/bin/keras-vit", [], True),
        ("keras-vit.exe", [], True),
        ("-m", ["python", "-m", "keras_vit", "train"], True),
        ("-m", ["python", "-m", "keras_vit.studies.lab.paired"], False),
        ("-m", ["python", "-m", "pytest"], False),
        ("pytest", ["python", "-m", "pytest", "keras_vit"], False),
        ("-m", ["python", "-m", "other", "keras_vit"], False),
        ("keras_vit.py", [], False),
        ("keras-vit.py", [], False),
        ("-c", [], False),
        ("", [], False),
    ],
)
def test_the_process_of_the_command_is_recognized(program, words, expected, monkeypatch):
    from keras_vit import startup

    monkeypatch.setattr(sys, "argv", [program])
    monkeypatch.setattr(sys, "orig_argv", words)
    assert startup.is_command() is expected


def test_an_unknown_name_is_an_attribute_error_that_imports_nothing():
    code = """
import json, sys
sys.argv = ["keras-vit"]
import keras_vit.data
said = []
for module in (keras_vit, keras_vit.data):
    try:
        module.nothing
    except AttributeError as error:
        said.append(str(error))
print(json.dumps([said, "keras" in sys.modules]))
"""
    said, imported = python(code)
    assert said == [
        f"module 'keras_vit{package}' has no attribute 'nothing'" for package in ("", ".data")
    ]
    assert not imported


def test_the_installed_command_is_the_one_that_is_recognized():
    """The name in pyproject.toml is the name that `startup` looks for."""
    project = (ROOT / "pyproject.toml").read_text()
    assert 'keras-vit = "keras_vit.__main__:main"' in project
