"""Reads the claims of the documentation for a test to check: names, commands, paths."""

import ast
import contextlib
import functools
import io
import re
import shlex
from typing import NamedTuple

import keras
from helpers import ROOT


class Text(NamedTuple):
    """A text of the documentation as Markdown, and its path from the root."""

    where: str
    text: str


@functools.cache
def texts():
    """Returns every text that a reader may see, except what `make docs` generates."""
    pages = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    pages += [p for p in (ROOT / "docs").rglob("*.md") if "tutorials" not in p.parts]
    found = [Text(_where(path), path.read_text(encoding="utf-8")) for path in pages]
    found += [Text(_where(p), tutorial(p)) for p in sorted((ROOT / "tutorials").glob("**/*.py"))]
    found += [Text(_where(p), comments(p)) for p in sorted((ROOT / "keras_vit").rglob("*.py"))]
    return found


def _where(path):
    return path.relative_to(ROOT).as_posix()


def tutorial(path):
    """Returns a tutorial in the percent format with its text as Markdown."""
    return re.sub(r"^# ?", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)


REMARK = re.compile(r"^(?:.*  | *)# ?(.*)$", re.MULTILINE)


def comments(path):
    """Returns the docstrings and comments of a module."""
    source = path.read_text(encoding="utf-8")
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, documented)]
    docstrings = [ast.get_docstring(node) or "" for node in nodes]
    return "\n\n".join([*docstrings, *REMARK.findall(source)])


# ------------------------------------------------------------------------------------- code

FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)


def blocks(text):
    """Returns the code blocks as (language, code)."""
    return [(match[2], match[3]) for match in FENCE.finditer(text)]


def spans(text):
    """Returns the code spans, each on one line."""
    return [" ".join(match[2].split()) for match in SPAN.finditer(FENCE.sub("", text))]


def lines(text):
    """Returns all that a reader may type: code spans and lines of blocks other than Python."""
    code = [block for language, block in blocks(text) if language != "python"]
    return spans(text) + "\n".join(code).replace("\\\n", " ").splitlines()


# ------------------------------------------------------------------------------------- names

MODULE = re.compile(r"-m (keras_vit[\w.]*)|^ *(?:from|import) (keras_vit\.[\w.]+)", re.MULTILINE)
NAME = re.compile(r"(?<![\w./~-])keras_vit(?:\.[A-Za-z_]\w*)+")
SHORT = re.compile(r"([a-z_]+)(?:\.[A-Za-z_]\w*)+")


def modules(text):
    """Returns the modules that a text imports or runs with `python -m`."""
    return {name for match in MODULE.findall(text) for name in match if name}


def names(text):
    """Returns the dotted names of the package that a text mentions."""
    return set(NAME.findall(MODULE.sub("", text)))


def short_names(text, packages):
    """Returns names that leave out `keras_vit.`, in full: `layers.MLP`.

    `data` is left out, because texts use that name for the result of `keras_vit.data.load`.
    """
    found = filter(None, map(SHORT.match, spans(text)))
    files = (".py", ".md", ".js", ".csv", ".keras", ".png", ".npz")
    return {
        f"keras_vit.{match[0]}"
        for match in found
        if match[1] in packages and match[1] != "data" and not match[0].endswith(files)
    }


# ------------------------------------------------------------------------------------- commands

ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")


def commands(text):
    """Returns the arguments of every `keras-vit` command, placeholders filled in.

    A span with one word, `keras-vit predict`, is the name of a command: its help must exist.
    """
    named = re.sub(r"`keras-vit ([a-z-]+)`", r"`keras-vit \1 --help`", text)
    return [words for words in map(_arguments, lines(named)) if words is not None]


def _arguments(line):
    line = re.sub(r"[][]", "", re.sub(r"<[^<>]*>", "x", line))
    line = re.split(r"\s#\s|\s*[|>;]|&&", line)[0]
    try:
        words = shlex.split(line)
    except ValueError:  # an apostrophe: prose
        return None
    while words and ASSIGNMENT.fullmatch(words[0]):
        words.pop(0)
    if words[:1] and words[0].rpartition("/")[2] == "keras-vit":
        return _filled(words[1:])
    if words[1:3] == ["-m", "keras_vit"]:
        return _filled(words[3:])
    return None


PLACEHOLDER = "1"  # a name, a file and a number


def _filled(words):
    filled = [PLACEHOLDER if re.fullmatch("[A-Z_]+", word) else word for word in words]
    command = ["train" if word == PLACEHOLDER else word for word in filled[:1]]
    return [word for word in command + filled[1:] if word.rstrip(".")]


def refusal(words):
    """Returns the reason why the command line does not accept these words, or None."""
    with _quiet() as printed:
        try:
            options = _parser().parse_args(words)
        except SystemExit as end:
            return printed.getvalue().splitlines()[-1] if end.code else None
    return _unknown(options)


@functools.cache
def _parser():
    from keras_vit import cli

    return cli.parser()


@functools.cache
def _known():
    """Returns the values that an option may have although its parser takes any."""
    import keras_vit.studies

    return {
        ("explain", "name"): re.findall(r"^  (\S+)", output(["explain", "--list"]), re.MULTILINE),
        ("study", "name"): keras_vit.studies.names(),
        ("train", "recipe"): keras_vit.training.recipes.recipe_tables.names(),
    }


def _unknown(options):
    """Returns what is wrong with a view, study or recipe that an option names, or None."""
    for (command, option), values in _known().items():
        value = getattr(options, option, None) if options.command == command else None
        if value not in (None, PLACEHOLDER, *values):
            return f"{command}: {value!r} is none of {', '.join(values)}"
    return None


def is_quick(words):
    """Whether a command needs no model, no data and no network: it only prints."""
    prints = {"--help", "--version", "--list"} & {*words}
    return bool(prints) or words in (["variants"], ["weights"])


def output(words):
    """Runs a command in this process and returns what it prints; raises if it fails."""
    from keras_vit import cli

    with _quiet() as printed:
        try:
            code = cli.main(words)
        except SystemExit as end:
            code = end.code
    assert not code, f"keras-vit {' '.join(words)} exits with {code}: {printed.getvalue()}"
    return printed.getvalue()


@contextlib.contextmanager
def _quiet():
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        yield printed


# ------------------------------------------------------------------------------------- paths

PATH = re.compile(r"(?<![\w/.~-])(?:tests|keras_vit|docs|tutorials)/(?:[\w./*-]*[\w*/])?")
LINK = re.compile(r"\]\(([^)\s]+)\)")
TEST = re.compile(r"([\w/]*test_\w+\.py)?(?:::)?(test_\w+)?")


def lost_paths(page):
    """Returns the paths and tests that a text mentions but that do not exist."""
    text = LINK.sub("]", page.text) if page.where.startswith("docs/") else page.text
    paths = {path for path in PATH.findall(text) if not _exists(path)}
    return sorted(paths | lost_tests(text))


def _exists(path):
    """Whether a path exists or is generated: `*`, `NN` and `name` stand for any part of a name."""
    made = [line.lstrip("/") for line in (ROOT / ".gitignore").read_text().split()]
    pattern = re.sub(r"NN|\bname\b|(?<=_)name\b", "*", path)
    return path.startswith(tuple(made)) or any(ROOT.glob(pattern.rstrip("/")))


def lost_tests(text):
    """Returns the tests that code spans mention, `test_vit.py::test_x` or `::test_x`, if lost."""
    lost, file = set(), ""
    for span in spans(text):
        match = TEST.fullmatch(span)
        if not match or not (match[1] or match[2]) or hasattr(keras.Model, span):
            continue
        file = (match[1] or (file if span.startswith("::") else "")).removeprefix("tests/")
        sources = [path.read_text() for path in ROOT.glob(f"tests/**/{file or 'test_*.py'}")]
        if not any(f"def {match[2] or ''}" in source for source in sources):
            lost.add(span)
    return lost


def make_targets(text):
    """Returns the targets of every `make` command."""
    found = [re.match(r"make ([a-z][\w-]*)", line) for line in lines(text)]
    return {match[1] for match in found if match}


# ------------------------------------------------------------------------------------- install


def wrong_installs(text, extras):
    """Returns commands that install another project's package, or extras that do not exist."""
    installs = [line for line in lines(text) if re.search(r"\bpip install ", line)]
    foreign = [x for x in installs if re.search(r"keras-vi(t|sion-transformers)\b(?!.*git\+)", x)]
    asked = {line: re.findall(r"\.\[([\w,]+)\]", line) for line in installs}
    unknown = [x for x, found in asked.items() if {*",".join(found).split(",")} - {*extras, ""}]
    return foreign + unknown


IMPORT = re.compile(r"^ *(?:import|from) (?:[\w, ]+?, )??(keras_vit|keras)\b", re.MULTILINE)


def early_keras(text):
    """Returns the code blocks that import keras before keras_vit has chosen its backend."""
    firsts = [(block, IMPORT.search(block)) for _, block in blocks(text)]
    return [block for block, first in firsts if first and first[1] == "keras"]
