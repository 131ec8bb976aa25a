"""Breaks the package at one place after another and shows that the quick tests detect it.

    python tests/mutants.py            # all of them, on the backend of KERAS_BACKEND
    python tests/mutants.py attention  # those whose name contains a word

Each mutant is a copy of the package with one change, tested by the quick tests of the folders in
its name, which stop at their first failure. Prints the test that caught it, or SURVIVED; the exit
code is the number of survivors.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import typing

ROOT = pathlib.Path(__file__).parents[1]
QUICK = "not slow and not weekly"


class Mutant(typing.NamedTuple):
    """A change of one line: `old`, which occurs once in the file, becomes `new`."""

    name: str
    file: str
    old: str
    new: str
    rooms: str


MUTANTS = (
    Mutant(
        "attention has the wrong sign",
        "layers.py", ") / query.shape[-1] ** 0.5", ") / -(query.shape[-1] ** 0.5)", "core",
    ),
    Mutant(
        "layer norm has Keras's epsilon",
        "layers.py", "def __init__(self, epsilon=1e-6, **kwargs)",
        "def __init__(self, epsilon=1e-3, **kwargs)", "core",
    ),
    Mutant(
        "patches are read column by column",
        "layers.py", "ops.transpose(x, (0, 1, 3, 2, 4, 5))", "ops.transpose(x, (0, 3, 1, 2, 4, 5))",
        "core",
    ),
    Mutant(
        "a block forgets its residual",
        "layers.py", "x = x + self.skip_2(", "x = self.skip_2(", "core",
    ),
    Mutant(
        "the cosine ends at the length of the warm-up",
        "training/recipes/schedules.py", "decay_steps=total_steps - warmup_steps",
        "decay_steps=total_steps", "training",
    ),
    Mutant(
        "the key's tensors are skipped in Google's map",
        "checkpoints/maps/google.py", 'ATTENTION + "key", ATTENTION + "value"',
        'ATTENTION + "query", ATTENTION + "value"', "checkpoints",
    ),
    Mutant(
        "a label one above the head passes",
        "guards/labels.py", "highest < classes:", "highest <= classes:", "guards",
    ),
    Mutant(
        "every epoch has the same order",
        "data/sampler.py", "default_rng([self.seed, epoch])", "default_rng([self.seed, 0])",
        "data",
    ),
    Mutant(
        "rollout ignores the residual",
        "explain/rollout.py", "0.5 * scores + 0.5 * np.eye(", "1.0 * scores + 0.0 * np.eye(",
        "explain",
    ),
    Mutant(
        "half of the flips are left out",
        "data/transforms/batch_transforms.py", "draws[:, 0] < 0.5", "draws[:, 0] < 0.25",
        "data",
    ),
    Mutant(
        "positions are resized without their class token",
        "ablations/positions.py", "positions[0, :before], table", "positions[0, :0], table",
        "core ablations checkpoints",
    ),
    Mutant(
        "the small hybrid is as wide as the large one",
        "hybrid.py", "root, filters = SmallRoot, 32", "root, filters = SmallRoot, 64",
        "core/test_resnet.py",
    ),
    Mutant(
        "a saved model forgets the names of its classes",
        "model.py", "model.class_names = class_names", "model.class_names = None",
        "core/test_zero_shot.py checkpoints/test_saving.py",
    ),
    Mutant(
        "a folder for timm norms the tokens in the wrong place",
        "checkpoints/export/for_timm.py", '"fc_norm": kind == "PooledNormViT"',
        '"fc_norm": kind != "PooledNormViT"', "checkpoints/test_saving.py",
    ),
)  # fmt: skip


def change(package, mutant):
    """Applies a mutant to a copy of the package."""
    path = package / mutant.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        raise SystemExit(
            f"{mutant.name}: {mutant.file} has {mutant.old!r} {text.count(mutant.old)} times."
        )
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")


def catch(mutant):
    """Returns the first quick test that fails on a mutant, None if all pass."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name in ("keras_vit", "tests", "docs"):  # a test reads a page
            shutil.copytree(ROOT / name, folder / name)
        for name in ("conftest.py", "pyproject.toml"):
            shutil.copy(ROOT / name, folder)
        change(folder / "keras_vit", mutant)
        rooms = [f"tests/{room}" for room in mutant.rooms.split()]
        command = [sys.executable, "-m", "pytest", "-x", "-m", QUICK, *rooms]
        environment = {"KERAS_BACKEND": "jax", **os.environ, "PYTHONPATH": str(folder)}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{mutant.name}: the tests cannot be run.\n{done.stdout[-2000:]}")
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return failed[0].split(" - ")[0] if failed else None


def main(words):
    """Returns the number of mutants that no test caught."""
    survivors = 0
    for mutant in MUTANTS:
        if all(word in mutant.name for word in words):
            caught = catch(mutant)
            survivors += caught is None
            print(f"{mutant.name}: {caught or 'SURVIVED'}", flush=True)
    return survivors


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
