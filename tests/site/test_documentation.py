"""The documentation is correct: its names, commands, paths and measured tables are checked."""

import json
import operator
import re
import subprocess
import sys
import tomllib
import types

import documentation
import measured
import pytest
from documentation import Text, texts
from helpers import ROOT

import keras_vit.studies

pytestmark = pytest.mark.backend_free
TARGETS = set(re.findall(r"^([a-z][\w-]*):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
PACKAGES = {n for n in keras_vit.__all__ if isinstance(getattr(keras_vit, n), types.ModuleType)}

# Reads names and modules; prints those that cannot be reached after the imports of the API page.
RESOLVE = """
import functools, importlib.util, json, sys
import keras_vit.studies
names, modules = json.load(sys.stdin)
lost = []
for name in names:
    try:
        functools.reduce(getattr, name.split(".")[1:], keras_vit)
    except AttributeError:
        lost.append(name)
lost += [name for name in modules if importlib.util.find_spec(name) is None]
print(json.dumps(lost))
"""


LIES = Text(
    "lies.md",
    """`keras_vit.nothing`, keras_vit.data.nowhere.x, `explain.nobody(x)`, not keras_vit.create or
    `layers.py`. `python -m keras_vit.nowhere` and ::: keras_vit.lost
```python
from keras_vit.gone import x
```""",
)


@pytest.fixture(scope="module")
def lost():
    """Returns {name: texts} of the names that cannot be reached, those of `LIES` among them."""
    return lost_names([*texts(), LIES])  # one process for both


def lost_names(pages):
    names = {page.where: documentation.names(page.text) for page in pages}
    for page in pages:
        if page.where.endswith(".md"):
            names[page.where] |= documentation.short_names(page.text, PACKAGES)
    modules = {page.where: documentation.modules(page.text) for page in pages}
    asked = json.dumps([sorted(set().union(*each.values())) for each in (names, modules)])
    command = [sys.executable, "-c", RESOLVE]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)
    return {
        name: [page for page in names if name in names[page] | modules[page]]
        for name in json.loads(done.stdout)
    }


def markdown():
    return [page for page in texts() if page.where.endswith(".md")]


def faults(find, pages=None):
    """Returns a line for each fault that `find` sees in one of `pages`, or of all texts."""
    return [f"{page.where}: {fault}" for page in pages or texts() for fault in find(page)]


def test_every_name_can_be_reached(lost):
    assert len(set().union(*(documentation.names(page.text) for page in texts()))) > 100
    assert not [(name, pages) for name, pages in lost.items() if pages != [LIES.where]]


def test_api_pages_show_what_python_has():
    """A function that hides a module of its name is shown as a function."""
    griffe = pytest.importorskip("griffe", reason="needs: pip install mkdocstrings[python]")
    style = griffe.load_extensions(str(ROOT / "docs" / "docstrings.py"))
    package = griffe.load("keras_vit", search_paths=[ROOT], extensions=style)
    api = "".join(path.read_text() for path in (ROOT / "docs" / "api").glob("*.md"))
    listed = re.findall(r"^::: keras_vit\.(\S+)", api, re.MULTILINE)
    shown = {name: package[name].is_module for name in listed}
    found = {name: operator.attrgetter(name)(keras_vit) for name in listed}
    assert len(listed) == len({*listed}) > 130
    assert shown == {name: isinstance(it, types.ModuleType) for name, it in found.items()}


def test_every_command_is_accepted():
    used = {words[0] for page in texts() for words in documentation.commands(page.text) if words}
    assert {"train", "predict", "evaluate", "explain", "convert", "study", "cost"} <= used
    refused = faults(lambda page: filter(None, map(refusal, documentation.commands(page.text))))
    assert not refused, "\n".join(refused)


def refusal(words):
    said = documentation.refusal(words)
    return said and f"keras-vit {' '.join(words)}: {said}"


def test_commands_that_only_print_run():
    used = [words for page in texts() for words in documentation.commands(page.text)]
    quick = {tuple(words) for words in used if documentation.is_quick(words)}
    assert {("variants",), ("weights",), ("study", "--list")} <= quick
    for words in sorted(quick | {("--help",), ("--version",)}):
        assert documentation.output(list(words))


def test_every_path_and_test_is_there():
    lost = faults(documentation.lost_paths)
    assert not lost, "\n".join(lost)


def test_links_outside_the_site_lead_somewhere():
    """MkDocs checks those of docs/."""
    pages = [page for page in markdown() if not page.where.startswith("docs/")]
    targets = {t.partition("#")[0] for p in pages for t in documentation.LINK.findall(p.text)}
    lost = [t for t in targets if "://" not in t and not (ROOT / t).exists()]
    assert targets and not lost


def test_every_make_target_exists():
    lost = faults(lambda page: documentation.make_targets(page.text) - TARGETS)
    assert {"test", "docs", "demo"} <= TARGETS and not lost, "\n".join(lost)


def test_install_commands_install_this_package():
    wrong = faults(lambda page: documentation.wrong_installs(page.text, EXTRAS))
    assert not wrong, "\n".join(wrong)


def test_examples_import_keras_vit_before_keras():
    wrong = faults(lambda page: documentation.early_keras(page.text), markdown())
    assert not wrong, "\n".join(wrong)


def test_tables_of_measured_numbers_say_how_they_were_made():
    silent = measured.silent(dict(markdown()))
    assert not silent, "\n".join(map(str, silent))


# ------------------------------------------------------------------------ the checker, checked


def test_checker_finds_lost_names(lost):
    lies = ["nothing", "data.nowhere.x", "explain.nobody", "nowhere", "lost", "gone"]
    assert {f"keras_vit.{name}" for name in lies} <= {*lost}


def test_checker_finds_names_in_docstrings_and_comments(tmp_path):
    path = tmp_path / "module.py"
    code = '"""See `keras_vit.a`."""\n\nx = 1  # keras_vit.b\nkeras_vit.c = "keras_vit.d"\n'
    path.write_text(code)
    assert documentation.names(documentation.comments(path)) == {"keras_vit.a", "keras_vit.b"}


@pytest.mark.parametrize(
    "command",
    [
        "keras-vit dance",
        "keras-vit train --speed 3",
        "keras-vit train --seed one",
        "keras-vit convert only-one",
        "keras-vit explain filters ViT-Ti/16",
        "keras-vit study figure-77",
        "keras-vit train pets/ --recipe nothing",
        ".venv/bin/keras-vit dance",
        "KERAS_BACKEND=jax python -m keras_vit dance",
    ],
)
def test_checker_refuses_commands(command):
    for text in (f"See `{command}`.", f"```\n{command}   # a comment\n```"):
        [words] = documentation.commands(text)
        assert documentation.refusal(words)


@pytest.mark.parametrize(
    "command",
    [
        "keras-vit",
        "keras-vit train --seed N --resume runs/<time>-digits",
        "keras-vit explain attention-rollout MODEL cat.jpg > out.txt",
        "keras-vit explain VIEW MODEL IMAGE...",
        "keras-vit COMMAND --help",
        "keras-vit variants | head",
    ],
)
def test_checker_accepts_commands_with_placeholders(command):
    [words] = documentation.commands(f"`{command}`")
    assert documentation.refusal(words) is None


def test_checker_leaves_other_code_alone():
    text = "`pip uninstall keras-vit`, `keras-vit-like`\n```python\nkeras_vit.create('x')\n```"
    assert documentation.commands(text) == []


def test_checker_runs_a_command_and_sees_that_it_fails():
    with pytest.raises(AssertionError, match="exits with 2"):
        documentation.output(["explain", "nothing", "model", "image"])


def test_checker_finds_lost_paths_and_tests():
    text = """`docs/speed.md`, `tutorials/NN_name.py`, docs/tutorials/, ~/.keras/keras_vit/x and
    https://a.b/docs/c are there or elsewhere; `docs/lost.md`, `keras_vit/no/where.py`, tests/lost/
    and [this](tutorials/lost.py) are not. `test_documentation.py::test_nothing`, `::test_never`
    and `lost/test_documentation.py`, but `test_checker_finds_lost_paths_and_tests`."""
    files = ["docs/lost.md", "keras_vit/no/where.py", "tests/lost/", "tutorials/lost.py"]
    tests = ["test_documentation.py::test_nothing", "::test_never", "lost/test_documentation.py"]
    assert documentation.lost_paths(Text("page.md", text)) == sorted(files + tests)


def test_checker_finds_make_targets():
    assert documentation.make_targets("`make x`, make y\n```\nmake z A=b\n```") == {"x", "z"}


def test_checker_finds_wrong_installs():
    wrong = [
        'pip install "keras-vit[jax]"',
        "%pip install keras-vit",
        "pip install -U keras-vision-transformers",
        'pip install ".[jax,nothing]"',
    ]
    right = ['pip install -e ".[jax]"', "pip uninstall keras-vit", "pip install jax"]
    right += ['pip install "keras-vision-transformers[jax] @ git+https://a.b/c"']
    text = "```\n" + "\n".join(wrong + right) + "\n```"
    assert {*documentation.wrong_installs(text, ["jax"])} == {*wrong}


@pytest.mark.parametrize("code", ["import keras", "from keras import ops", "import jax, keras"])
def test_checker_finds_keras_before_keras_vit(code):
    assert documentation.early_keras(f"```python\n{code}\nimport keras_vit\n```")
    assert not documentation.early_keras(f"```python\nimport keras_vit\n{code}\n```")


TABLE = "# A\n\n`keras-vit train`, keras 3.15.1, jax 0.10.2, AMD EPYC, 2026-11-21, seed 0\n\n{}"
ACCURACY = "| | accuracy |\n|---|---|\n| ViT | 97.8 % |\n"


@pytest.mark.parametrize(
    "fact, words",
    [
        ("command", "`keras-vit train`, "),
        ("versions", "jax 0.10.2, "),
        ("versions", "keras 3.15.1, "),
        ("hardware", "AMD EPYC, "),
        ("date", "2026-11-21, "),
        ("seed", "seed 0"),
    ],
)
def test_checker_misses_each_fact_of_a_measured_table(fact, words):
    page = TABLE.format(ACCURACY)
    assert measured.silent({"a.md": page}) == []
    page = page.replace(words, "")
    assert measured.silent({"a.md": page}) == [("a.md", "# A", fact)]
    assert measured.silent({"a.md": f"{page}\n\nThe {fact} was not recorded."}) == []


def test_checker_looks_for_facts_in_the_section_and_where_it_links():
    page = f"# A\n\n{ACCURACY}\n" + TABLE.format("").replace("# A", "# The machine: one")
    assert len(measured.silent({"docs/a.md": page})) == 5
    linked = page.replace("# A\n", "# A\n\n[how](../docs/a.md#the-machine-one)\n")
    assert measured.silent({"docs/a.md": linked}) == []


@pytest.mark.parametrize(
    "table, expected",
    [
        (ACCURACY, True),
        ("| | create, s |\n|---|---|\n| ViT | 4.07 |\n", True),
        ("| | faster |\n|---|---|\n| ViT | 1.51 x (1.4-1.6) |\n", True),
        ("| | images/s |\n|---|---|\n| ViT | 42 |\n", True),
        ("| Table 2 | share |\n|---|---|\n| ViT | 32 % |\n", False),
        ("| | parameters |\n|---|---|\n| ViT | 86,567,656 |\n", False),
        ("| | masked |\n|---|---|\n| MAE | 75 % of the patches |\n", False),
    ],
)
def test_checker_knows_tables_of_measured_numbers(table, expected):
    [found] = measured.tables(table)
    assert measured.is_measured(*found) is expected
