"""The script that makes the tutorials' pages, on a tutorial that fits on a screen."""

import base64
import importlib
import io
import json
import os
import pathlib
import subprocess
import sys

import pytest
from helpers import ROOT
from PIL import Image

import keras_vit

pytestmark = pytest.mark.backend_free

for package in ("jupytext", "nbclient", "ipykernel", "sklearn"):
    pytest.importorskip(package, reason="needs: pip install -e '.[docs]'")

SCRIPT = ROOT / "docs" / "pages.py"

HEAD = """# %% [markdown]
# # 1. Counting
#
# > **You will be able to** count
# > to three.
# >
# > **Time** {time}
"""

TUTORIAL = (
    HEAD
    + r"""
# %% [markdown]
# See [the next](02_more.py), [its end](02_more.py#end), [weights](../docs/weights.md). This is
#
# $$ 1 + 1 = 2 \tag{1} $$

# %%
import sys

print("\x1b[1mone\x1b[0m\rtwo")
print("noise", file=sys.stderr)
"{time}"

# %% alt=["A line [up]", "A line down"]
import matplotlib.pyplot as plt

plt.figure(figsize=(2, 1))
plt.plot([1, 2])
plt.show()
plt.plot([2, 1])
plt.show()

# %%
for line in range(100):
    print("line", line)

# %% [markdown]
# **Exercise 1.** What is 1 + 2?

# %% tags=["solution"]
print("```", 1 + 2)
"""
)


@pytest.fixture
def modules(monkeypatch):
    """The script's two modules, `pages` and `running`."""
    monkeypatch.syspath_prepend(SCRIPT.parent)
    yield importlib.import_module("pages"), importlib.import_module("running")
    for name in ("pages", "running"):
        del sys.modules[name]


def write(folder, text, name="01_count"):
    path = folder / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    return path


def options(folder):
    places = {"source": folder, "pages": folder / "pages", "cache": folder / "cache"}
    return [f"--{name}={place}" for name, place in places.items()]


def command(folder, *arguments):
    """Runs the script as its users do."""
    return subprocess.run(
        [sys.executable, SCRIPT, *options(folder), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "MPLBACKEND": "agg"},
    )


def shown(*outputs, **more):
    """A stored run whose code cells showed `outputs`."""
    machine = {"cores": 2, "processor": "Abacus", "accelerators": [], "backend": "JAX"}
    machine |= {"seconds": 7.4, "date": "2026-01-02", "description": "keras_vit 1 on a table"}
    return {"outputs": [list(output) for output in outputs], **machine, **more}


def printed(text):
    return {"output_type": "stream", "name": "stdout", "text": text}


def drawn(width=None):
    size = {"image/png": {"width": width}} if width else {}
    file = io.BytesIO()
    Image.new("RGB", (3, 2)).save(file, "png")
    png = base64.b64encode(file.getvalue()).decode()
    return {"output_type": "display_data", "data": {"image/png": png}, "metadata": size}


@pytest.mark.slow
def test_page_of_a_tutorial_that_ran(tmp_path):
    write(tmp_path, TUTORIAL)
    first = command(tmp_path)
    assert first.returncode == 0, first.stderr
    assert "01_count: runs" in first.stdout
    assert "01_count.py, line 15, stderr:\nnoise" in first.stderr

    page = (tmp_path / "pages" / "01_count.md").read_text(encoding="utf-8")
    assert page.startswith("# 1. Counting\n\n[Notebook](01_count.ipynb){ .md-button download=")
    assert "> **Time** " in page and "when this page was made\n" in page
    assert "[the next](02_more.md), [its end](02_more.md#end), [weights](../weights.md)" in page
    assert "``` { .text .output .no-copy }\ntwo\n```" in page
    assert "noise" not in page.replace('print("noise"', "")
    assert "\n'{time}'\n" in page  # only the box has the time
    assert r"![A line \[up\]](figures/01_count-1.webp){ width=" in page
    assert "![A line down](figures/01_count-2.webp){ width=" in page
    assert "line 44\n[45 lines are left out here]\nline 90\n" in page
    solution = page[page.index('??? success "Solution"') :]
    assert "\n    ````python\n    print(" in solution
    assert "\n    ```` { .text .output .no-copy }\n    ``` 3\n    ````\n" in solution
    assert "\n*Made on 20" in page
    for number in (1, 2):
        figure = (tmp_path / "pages" / "figures" / f"01_count-{number}.webp").read_bytes()
        assert figure[8:12] == b"WEBP"

    check_what_is_taken_home(tmp_path / "pages")
    index = (tmp_path / "pages" / "index.md").read_text(encoding="utf-8")
    assert "**[1. Counting](01_count.md)**<br>You will be able to count to three. | " in index
    small = (tmp_path / "pages" / "figures" / "01_count-small.webp").read_bytes()
    assert max(Image.open(io.BytesIO(small)).size) == 320

    write(tmp_path, TUTORIAL.replace("What is 1 + 2?", "What is 2 + 1?"))
    again = command(tmp_path)
    assert again.stdout == "01_count: unchanged\n"
    page = (tmp_path / "pages" / "01_count.md").read_text(encoding="utf-8")
    assert "What is 2 + 1?" in page and "line 44\n" in page


def check_what_is_taken_home(folder):
    notebook = json.loads((folder / "01_count.ipynb").read_text(encoding="utf-8"))
    cells = notebook["cells"]
    assert "{time}" not in "".join(cells[0]["source"])
    assert "[the next](02_more.ipynb)" in "".join(cells[1]["source"])
    assert all(cell.get("outputs", []) == [] for cell in cells)
    folded = {"jupyter": {"source_hidden": True}, "cellView": "form"}
    assert [folded.items() <= cell["metadata"].items() for cell in cells] == [False] * 6 + [True]
    script = (folder / "01_count.py").read_text(encoding="utf-8")
    time = script.split("# > **Time** ")[1].split("\n")[0]
    assert script == TUTORIAL.replace("{time}", time, 1)


@pytest.mark.slow
def test_failing_cell_is_named(tmp_path):
    write(tmp_path, HEAD + '\n# %%\nnumerator = 1\nprint(numerator / 0)\n\n# %%\nprint("after")\n')
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "old.md").touch()
    failed = command(tmp_path)
    assert failed.returncode == 1
    assert "01_count.py, line 10: this cell failed.\nnumerator = 1\n" in failed.stderr
    assert "ZeroDivisionError: division by zero" in failed.stderr
    assert "\x1b" not in failed.stderr
    assert not (tmp_path / "cache").exists()
    assert [file.name for file in (tmp_path / "pages").iterdir()] == ["old.md"]


@pytest.mark.parametrize("alt, drawings", [("", 1), ('alt="A cat"', 0), ('alt=["A", "B"]', 1)])
def test_every_figure_needs_its_text(modules, tmp_path, alt, drawings):
    pages, running = modules
    tutorial = running.read(write(tmp_path, f"{HEAD}\n# %% {alt}\ndraw()\n"))
    with pytest.raises(running.PageError, match="line 10: every figure needs a text"):
        pages.page(tutorial, shown([drawn()] * drawings))


def test_figures_in_a_solution_are_folded(modules, tmp_path):
    pages, running = modules
    cell = '\n# %% alt="A cat" tags=["solution"]\ndraw()\n'
    tutorial = running.read(write(tmp_path, HEAD + cell))
    text, figures = pages.page(tutorial, shown([printed("Look:\n"), drawn(320)]))
    [figure] = figures.items()
    assert figure[0] == "figures/01_count-1.webp"
    assert Image.open(io.BytesIO(figure[1])).size == (3, 2)
    assert '\n\n    ![A cat](figures/01_count-1.webp){ width="320" loading="lazy" }' in text
    assert "> **Time** 7 s on 2 CPU cores (Abacus), JAX, when this page was made" in text
    assert text.endswith("*Made on 2026-01-02 with keras_vit 1 on a table.*\n")


def test_a_tutorial_without_a_run_has_a_page_with_its_code_alone(modules, tmp_path):
    pages, running = modules
    one = running.read(write(tmp_path, TUTORIAL))
    two = running.read(write(tmp_path, f"{HEAD}\n# %%\nprint(2)\n", "02_two"))
    assert pages.run_of(one, tmp_path / "cache", may_run=False) is None
    pages.write_all([(one, None), (two, shown([printed("2\n")]))], tmp_path / "pages", None)
    page, other, index = (
        (tmp_path / "pages" / f"{name}.md").read_text() for name in ("01_count", "02_two", "index")
    )
    assert "> **Time** not measured" in page and 'print("line", line)' in page
    assert ".output" not in page and "![" not in page
    assert page.endswith("\n*This page shows the code without its outputs: it was not run.*\n")
    assert "```python\nprint(2)\n```\n\n``` { .text .output .no-copy }\n2\n```" in other
    assert "| not measured |" in index and "| 7 s |" in index


def test_accelerators_and_minutes_are_said(modules, tmp_path):
    pages, running = modules
    tutorial = running.read(write(tmp_path, HEAD))
    text, _ = pages.page(tutorial, shown(seconds=150, cores=1, accelerators=["gpu:0"]))
    assert "> **Time** 2.5 min on gpu:0 and 1 CPU core (Abacus), JAX, when" in text


def test_colab_is_there_with_a_repository(modules, tmp_path):
    pages, running = modules
    tutorial = running.read(write(tmp_path, HEAD))
    assert "colab" not in pages.page(tutorial, shown())[0]
    link = (
        "](https://colab.research.google.com/github/me/mine/blob/gh-pages/tutorials/01_count.ipynb)"
    )
    url = "https://github.com/me/mine"
    assert link in pages.page(tutorial, shown(), url)[0]
    cells = json.loads(pages.notebook(tutorial, shown(), url))["cells"]
    project = "keras-vision-transformers[jax,tutorials]"
    assert "".join(cells[1]["source"]) == f'%pip install --quiet "{project} @ git+{url}"'
    assert "%pip" not in pages.notebook(tutorial, shown())
    assert (SCRIPT.parent / "figures" / "colab.svg").exists()


def test_a_notebook_brings_the_checks_and_a_script_does_without(modules, tmp_path, capsys):
    pages, running = modules
    text = f"{HEAD}\n# %%\nfrom check import check\ncheck(2, len)\n"
    tutorial = running.read(write(tmp_path, text, "02_count"))
    taken = pages.files_of(tutorial, shown([]))
    written = [pages.TUTORIALS / "check.py", pages.TUTORIALS / "checks" / "chapter_02.py"]
    for cell, file in zip(json.loads(taken["02_count.ipynb"])["cells"][1:3], written, strict=True):
        assert "".join(cell["source"]) == f"%%writefile {file.name}\n{file.read_text()}"
        assert cell["metadata"]["jupyter"] == {"source_hidden": True}
    exec(taken["02_count.py"], {})
    assert capsys.readouterr().out == "len: not checked, check.py is not here.\n"


def test_the_repository_is_that_of_the_sites_settings(modules, tmp_path):
    pages, _ = modules
    settings = tmp_path / "mkdocs.yml"
    for line, found in (
        ("repo_url: https://github.com/me/mine/", "https://github.com/me/mine"),
        ("# repo_url: https://github.com/me/mine", None),
    ):
        settings.write_text(f"site_name: mine\n{line}\n")
        assert pages.repo_url(settings) == found


@pytest.mark.parametrize(
    "before, after",
    [("# # 1. Counting", "# Counting"), ("able to", "able"), ("{time}", "a minute")],
    ids=["title", "goal", "time"],
)
def test_first_cell_must_have_its_parts(modules, tmp_path, before, after):
    _, running = modules
    assert before in HEAD
    path = write(tmp_path, HEAD.replace(before, after))
    with pytest.raises(running.PageError, match="01_count.py: the first cell needs a title"):
        running.read(path)


@pytest.mark.parametrize("start", ["- one", "1. one", "$$ 1 $$"])
def test_lists_and_formulas_need_a_blank_line(modules, tmp_path, start):
    _, running = modules
    cell = f"\n# %% [markdown]\n# - [x](y)\n#   z\n# - w\n#\n# Text:\n#\n# {start}\n"
    running.read(write(tmp_path, HEAD + cell))
    with pytest.raises(running.PageError, match=r"line 10: .* blank line .*:\nText:\n"):
        running.read(write(tmp_path, HEAD + cell.replace("Text:\n#\n", "Text:\n")))


def test_what_changes_a_run_changes_its_key(modules, tmp_path, monkeypatch):
    _, running = modules

    def key(text=TUTORIAL):
        return running.key(running.read(write(tmp_path, text)))

    first = key()
    assert key() == first
    assert key(TUTORIAL.replace("Exercise 1", "Exercise 2").replace("A line", "Line")) == first
    assert key(TUTORIAL.replace("range(100)", "range(99)")) != first
    monkeypatch.setenv("KERAS_VIT_FULL", "1")
    assert key() != first
    monkeypatch.delenv("KERAS_VIT_FULL")
    monkeypatch.setattr(running, "_version", lambda package: "0")
    assert key() != first


def test_modules_that_a_tutorial_uses_are_part_of_its_key(modules, tmp_path, monkeypatch):
    _, running = modules
    source = tmp_path / "used.py"
    monkeypatch.setattr(running.dependencies, "files", lambda code: {source})
    tutorial = running.read(write(tmp_path, TUTORIAL))
    source.write_text("a = 1")
    first = running.key(tutorial)
    source.write_text("a = 2")
    assert running.key(tutorial) != first


@pytest.mark.slow
def test_dependencies_are_the_files_of_what_is_named(modules):
    _, running = modules
    package = pathlib.Path(keras_vit.__file__).parent

    def names(code):
        return {str(f.relative_to(package)) for f in running.dependencies.files(code)}

    trunk = {"__init__.py", "layers.py", "arguments.py", "backend.py", "inner.py"}
    trunk |= {"environment.py"}  # where backend.py finds the settings of Keras
    assert names("import keras_vit\nkeras_vit.Patches(4)(x).shape") == trunk
    assert names("from keras_vit.layers import Patches as P\nP(4)") == trunk
    assert names("import keras_vit as kv\nprint(kv.Patches)") == trunk
    assert names("import keras_vit\nprint(keras_vit.__version__)") == {"__init__.py"}
    weights = "checkpoints/shipped/ViT-Mini_4-cifar10.npz"
    assert weights in names("import keras_vit\nkeras_vit.load_pretrained('ViT-Mini/4')")
    assert weights not in names("import keras_vit\nkeras_vit.Patches(4)")
    everything = names("import keras_vit\nprint(keras_vit)")
    assert weights in everything and "doctor/report.py" in everything


def test_names_choose(modules, tmp_path, capsys):
    pages, running = modules
    tutorials = [running.read(write(tmp_path, HEAD, name)) for name in ("01_a", "02_b", "02_c")]
    assert pages.chosen(tutorials, []) == tutorials
    assert [t.name for t in pages.chosen(tutorials, ["01_a"])] == ["01_a"]
    assert [t.name for t in pages.chosen(tutorials, ["02", "01"])] == ["01_a", "02_b", "02_c"]
    assert pages.main([*options(tmp_path), "03"]) == 1
    assert "No tutorial's name begins with '03'. There are: 01_a, 02_b, 02_c." in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    "text, expected",
    [
        ("a\x1b[32mb\x1b[0m\n", "ab"),
        ("1/3\r2/3\r3/3\r\nend", "3/3\nend"),
        ("1/2\b\b\b\r2/2", "2/2"),
        ("I0000 00:00:1795286197.49   16963 port.cc:153] oneDNN\nkept", "kept"),
        ("Invoice I0000", "Invoice I0000"),
    ],
)
def test_plain_text(modules, text, expected):
    assert modules[1].plain(text) == expected
