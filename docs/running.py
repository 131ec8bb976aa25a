"""Reads a tutorial, runs it in a fresh kernel, and keeps its outputs until its code changes."""

import contextlib
import dataclasses
import datetime
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import tarfile
import tempfile
import time

import dependencies
import jupytext
import nbclient
import nbformat

CELL_LIMIT = 600  # seconds
ROOT = pathlib.Path(__file__).resolve().parents[1]
STYLE = ROOT / "docs" / "matplotlibrc"

# What affects a run of a tutorial, besides its code and the files of keras_vit that it uses.
SETTINGS = ("KERAS_BACKEND", "KERAS_VIT_FULL", "KERAS_VIT_DATA", "KERAS_VIT_WEIGHTS")
PACKAGES = ("keras", "jax", "tensorflow", "torch", "numpy", "matplotlib", "scikit-learn")

# Downloads of tutorials, and the files of $KERAS_VIT_TEST_DATA that replace them.
DOWNLOADS = {
    "keras/keras_vit/ViT-Ti_16-augreg-i21k-ft-224.npz": (
        "weights/ViT-Ti_16.augreg.imagenet2012.224.npz"
    ),
    "keras/datasets/fashion-mnist": "fashion-mnist",
    "data/pets": "photos/pets370",
    "data/photographs": "photos/nips17",
    "data/camvid": "camvid",
}
CIFAR = "cifar10/cifar10-images.tar.xz"
FEW = "0200"  # all 60,000 files take longer than the tutorial

KERNEL = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "MATPLOTLIBRC": str(STYLE),
    "OPENBLAS_NUM_THREADS": "1",  # more threads slow down small products on a busy machine
}

# TensorFlow's and absl's notes, which appear at every logging level.
NOISE = re.compile(r"^(WARNING: All log messages before absl|[IW]\d{4} [\d.:]+ ).*\n?", re.M)

# The kernel itself reports where it ran, since only it may open the backend and accelerator.
MACHINE = """
import json
from keras_vit import environment as here
import keras
backend = here.TITLES[keras.backend.backend()]
print(json.dumps(here.hardware() | {"backend": backend, "description": here.description()}))
"""


class PageError(Exception):
    """A tutorial that cannot become a page; the message has its name, the line and the reason."""


@dataclasses.dataclass
class Tutorial:
    """A tutorial as read from its file."""

    name: str
    text: str
    notebook: nbformat.NotebookNode
    title: str
    goal: str
    downloads: bool  # whether its box has a paragraph **Downloads**

    def where(self, cell):
        """Returns the file and line of a cell, for messages."""
        line = self.text[: self._start(cell)].count("\n") + 1
        return f"{self.name}.py, line {line}"

    def _start(self, cell):
        lines = cell.source.split("\n")
        if cell.cell_type == "markdown":
            lines = [f"# {line}".rstrip() for line in lines]
        return self.text.find("\n".join(lines))

    def code(self):
        """Returns the cells that run."""
        return [cell for cell in self.notebook.cells if cell.cell_type == "code"]


def paths(folder):
    """Returns the files of all tutorials in order: the chapters, then the deep dives."""
    return [*sorted(folder.glob("[0-9][0-9]_*.py")), *sorted(folder.glob("deeper/*.py"))]


def read(path):
    """Reads a tutorial and checks what can be checked before it runs."""
    text = path.read_text(encoding="utf-8")
    notebook = jupytext.reads(text, fmt="py:percent")
    notebook.cells = [cell for cell in notebook.cells if cell.source.strip()]
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"  # otherwise random, and the notebook would differ each time
    folder = "deeper/" if path.parent.name == "deeper" else ""
    tutorial = Tutorial(f"{folder}{path.stem}", text, notebook, *_title_and_goal(path, notebook))
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            _check_blank_lines(tutorial, cell)
    return tutorial


def _title_and_goal(path, notebook):
    first = notebook.cells[0].source if notebook.cells else ""
    title = re.match(r"# (.+)", first)
    goal = re.search(r"^> \*\*You will be able to\*\* (.+(?:\n> .+)*)", first, re.M)
    if not (title and goal and "{time}" in first):
        raise PageError(
            f"{path.name}: the first cell needs a title, '# 1. ...', and a box with the "
            "paragraphs '> **You will be able to** ...' and '> **Time** {time}'."
        )
    return title[1], goal[1].replace("\n> ", " "), "> **Downloads**" in first


def _check_blank_lines(tutorial, cell):
    """Jupyter needs no blank line there, Python-Markdown does."""
    prose = re.sub(r"```.*?```", "", cell.source, flags=re.DOTALL)
    text, start = r"(?!([-*+>|]|\d+\.) |\s|#).+", r"([-*+] |\d+\. |\$\$)"
    if glued := re.search(rf"^{text}\n{start}.*", prose, re.M):
        raise PageError(
            f"{tutorial.where(cell)}: a list and a formula of its own need a blank line before "
            f"them. Received:\n{glued[0]}"
        )


def key(tutorial):
    """Returns a hash of everything that affects the outputs of a tutorial."""
    cells = [cell.source for cell in tutorial.code()]
    digest = hashlib.sha256(repr(cells).encode())
    digest.update(repr([platform.python_version(), *map(_version, PACKAGES)]).encode())
    digest.update(repr([os.environ.get(name) for name in SETTINGS]).encode() + STYLE.read_bytes())
    for file in sorted(dependencies.files("\n".join(cells))):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def recall(tutorial, folder):
    """Returns the kept run of a tutorial, None if there is none or something has changed."""
    file = folder / f"{tutorial.name}.json"
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return kept if kept.get("key") == key(tutorial) else None


def run_and_keep(tutorial, folder):
    """Runs a tutorial, stores the outputs for `recall`, and returns them."""
    before = key(tutorial)  # if keras_vit is edited during the run, it runs again
    came = {"key": before, **run(tutorial)}
    part = folder / f"{tutorial.name}.part"
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_text(json.dumps(came), encoding="utf-8")
    part.replace(folder / f"{tutorial.name}.json")  # whole or not at all
    return came


def run(tutorial):
    """Runs a tutorial in a fresh kernel and an empty folder.

    Returns:
        A dict: `outputs` (a list for each code cell), `seconds`, `date`, and what `MACHINE` prints.

    Raises:
        PageError: a cell failed; with its line, its code and the traceback.
    """
    cells = nbformat.from_dict([*tutorial.code(), nbformat.v4.new_code_cell(MACHINE)])
    client = nbclient.NotebookClient(
        nbformat.v4.new_notebook(cells=cells),
        timeout=None if os.environ.get("KERAS_VIT_FULL") else CELL_LIMIT,
        kernel_name="python3",
        coalesce_streams=True,
        extra_arguments=["--InlineBackend.figure_formats=retina", "--log-level=ERROR"],
    )
    with tempfile.TemporaryDirectory() as home, _kernel(client, _at_hand(tutorial, home)) as log:
        begin = time.perf_counter()
        for index, cell in enumerate(cells[:-1]):
            _run_cell(client, index, tutorial.where(cell), log)
        seconds = time.perf_counter() - begin
        _run_cell(client, len(cells) - 1, f"{tutorial.name}.py, after its end", log)
    *outputs, [machine] = [cell.outputs for cell in cells]
    date = datetime.date.today().isoformat()
    return {"outputs": outputs, "seconds": seconds, "date": date, **json.loads(machine.text)}


def _at_hand(tutorial, home):
    """Links or unpacks files of $KERAS_VIT_TEST_DATA where downloads go; returns the variables."""
    data = os.environ.get("KERAS_VIT_TEST_DATA")
    code = "\n".join(cell.source for cell in tutorial.code())
    if not data or not tutorial.downloads:
        return {}
    for place, file in DOWNLOADS.items():
        (pathlib.Path(home) / place).parent.mkdir(parents=True, exist_ok=True)
        (pathlib.Path(home) / place).symlink_to(pathlib.Path(data) / file)
    if "cifar10" in code:
        with tarfile.open(pathlib.Path(data) / CIFAR) as archive:
            few = [member for member in archive if member.name[-8:-4] < FEW]  # .../cat/0123.jpg
            archive.extractall(f"{home}/data/cifar10", few, filter="data")
    return {"KERAS_HOME": f"{home}/keras", "KERAS_VIT_DATA": f"{home}/data"}


@contextlib.contextmanager
def _kernel(client, downloads):
    """Starts a kernel in an empty folder; yields the file for its own messages."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as log:
        path = [str(ROOT / "tutorials"), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, **KERNEL, **downloads, "PYTHONPATH": os.pathsep.join(path)}
        environment["IPYTHONDIR"] = f"{folder}/.ipython"
        with client.setup_kernel(cwd=folder, env=environment, stderr=log):
            yield log


def _run_cell(client, index, where, log):
    cell = client.nb.cells[index]
    try:
        client.execute_cell(cell, index)
        return
    except nbclient.exceptions.CellExecutionError as error:
        reason = plain(error.traceback)
    except (nbclient.exceptions.CellTimeoutError, nbclient.exceptions.DeadKernelError) as error:
        log.seek(0)
        reason = f"{error}\n{log.read()[-2000:]}"
    raise PageError(f"{where}: this cell failed.\n{cell.source}\n\n{reason}")


def plain(text):
    """Returns text as a terminal shows it in the end, without colors or old progress bars."""
    text = NOISE.sub("", text)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\b", "")
    lines = [line.rstrip("\r").rpartition("\r")[2].rstrip() for line in text.split("\n")]
    return "\n".join(lines).strip("\n")
