"""Makes the site's pages of the tutorials: runs tutorials/**/*.py and writes their outputs.

    python docs/pages.py                 # all of them
    python docs/pages.py 03 deeper/hyb   # some, by name or its beginning
    python docs/pages.py 0 1             # the chapters, as in CI: the deep dives take longer

Chapters are tutorials/NN_name.py; deep dives, outside the count, are in tutorials/deeper/. For each
docs/tutorials/ gets a page (NN_name.md, its figures in figures/), a notebook without outputs
(NN_name.ipynb) and the script (NN_name.py); all of them get index.md. That folder is rebuilt each
time, from runs that are kept in build/tutorials/<backend>/. A tutorial runs again only if its code,
a module of keras_vit that it depends on, or the version of a library that it uses has changed; its
text may change freely. Without a run, a page shows the code and no outputs, and says so. Parts of
other pages are also made, in build/: see zoo.py, studies.py and reference.py;
docs/explorer/explorer.html, which docs/explorer/index.md embeds; and docs/slides/slides.html, see
slides.py.

Requirements for a tutorial:

- The first cell has a title, `# 1. An image is a sentence`, and in its box the paragraphs
  `> **You will be able to** ...`, for the index, and `> **Time** {time}`, for the measured time.
- `> **Downloads** ...` is in that box if the tutorial needs published weights or data; files in
  $KERAS_VIT_TEST_DATA are used instead of downloads.
- A cell that draws describes its figure: `# %% alt="A cat"`; for two figures `alt=["A", "B"]`.
- A solution is tagged, `# %% tags=["solution"]`: it is folded on the page and in the notebook.
- `from check import check` imports tutorials/check.py; a notebook begins with cells that write
  it and the checks of its chapter.
- A blank line comes before a list and before a displayed formula.
- Links are valid in the repository: `03_attention.py`, `../docs/weights.md`.

Anything that a cell writes to stderr goes to the terminal, not to the page.
"""

import argparse
import base64
import html
import io
import os
import pathlib
import re
import shutil
import sys
import textwrap
from concurrent import futures

import contents
import nbformat
import reference
import running
import slides
import studies
import yaml
import zoo
from PIL import Image
from running import PageError

ROOT = pathlib.Path(__file__).resolve().parents[1]
TUTORIALS = ROOT / "tutorials"
FOLDED = {"jupyter": {"source_hidden": True}, "cellView": "form"}  # in JupyterLab, in Colab
LONGEST, HEAD, TAIL = 60, 45, 10  # lines of output
PNG = "image/png"
NOT_RUN = "This page shows the code without its outputs: it was not run"

UNCHECKED = """
try:
    from check import check  # tutorials/check.py of the repository
except ImportError:

    def check(chapter, answer):
        print(f"{answer.__name__}: not checked, check.py is not here.")


"""

GITHUB = "https://github.com/"
COLAB = "https://colab.research.google.com/github/{path}/blob/gh-pages/tutorials/{name}.ipynb"
INSTALL = '%pip install --quiet "keras-vision-transformers[jax,tutorials] @ git+{repository}"'


def main(arguments=None):
    """Runs the tutorials that have changed and writes all pages. Returns the exit status."""
    options = _options(arguments)
    os.environ.setdefault("KERAS_BACKEND", "jax")
    cache = options.cache / os.environ["KERAS_BACKEND"]
    try:
        tutorials = [running.read(path) for path in running.paths(options.source)]
        names = [tutorial.name for tutorial in chosen(tutorials, options.names)]
        with futures.ThreadPoolExecutor(options.at_once) as pool:
            runs = list(pool.map(lambda t: run_of(t, cache, t.name in names), tutorials))
        write_all(zip(tutorials, runs, strict=True), options.pages, repo_url(ROOT / "mkdocs.yml"))
        write_parts(options.parts or options.cache.parent)
        write_explorer(options.pages.parent / "explorer")
        slides.write(options.pages.parent / "slides" / "slides.html", options.pages)
    except PageError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _options(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "names", nargs="*", help="tutorials, by name or its beginning; default: all"
    )
    parser.add_argument(
        "--at-once", type=int, default=1, metavar="N",
        help="tutorials to run at the same time; the times on the pages are then longer",
    )  # fmt: skip
    for name, default in (
        ("source", "tutorials"),
        ("pages", "docs/tutorials"),
        ("cache", "build/tutorials"),
    ):
        parser.add_argument(f"--{name}", type=pathlib.Path, default=ROOT / default)
    parser.add_argument("--parts", type=pathlib.Path, help="default: the folder of the cache")
    return parser.parse_args(arguments)


def repo_url(settings):
    """Returns the address of the repository from the site's settings, or None."""
    url = yaml.safe_load(settings.read_text(encoding="utf-8")).get("repo_url")
    return url and url.rstrip("/")


def chosen(tutorials, names):
    """Returns the tutorials whose names begin with one of `names`; all of them without names."""
    for name in names:
        if not any(tutorial.name.startswith(name) for tutorial in tutorials):
            known = ", ".join(tutorial.name for tutorial in tutorials)
            raise PageError(f"No tutorial's name begins with {name!r}. There are: {known}.")
    return [t for t in tutorials if not names or t.name.startswith(tuple(names))]


def run_of(tutorial, cache, may_run):
    """Returns the outputs of a tutorial: a kept run, otherwise a new one, or None."""
    if kept := running.recall(tutorial, cache):
        print(f"{tutorial.name}: unchanged")
        return kept
    if not may_run:
        return None
    print(f"{tutorial.name}: runs", flush=True)
    came = running.run_and_keep(tutorial, cache)
    print(f"{tutorial.name}: {_time(came)}", flush=True)
    return came


def write_all(made, folder, repository):
    """Writes the pages of all (tutorial, run or None), and the index: all or nothing."""
    files, shown = {}, []
    for tutorial, run in made:
        files |= files_of(tutorial, run, repository)
        shown.append((tutorial, _time(run)))
    files |= contents.files(shown, files)
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        content = content if isinstance(content, bytes) else content.encode()
        (folder / name).write_bytes(content)


def write_parts(folder):
    """Writes the parts that pages include from build/: zoo, studies, tables of the API."""
    parts = {"zoo": zoo.text(), "studies": studies.text()}
    parts |= {f"api/{name}": table for name, table in reference.parts().items()}
    parts["equations"] = reference.equations()
    (folder / "api").mkdir(parents=True, exist_ok=True)
    for name, text in parts.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")


def write_explorer(folder):
    """Writes the page that docs/explorer/index.md embeds, with images that may be published."""
    import keras_vit

    folder.mkdir(parents=True, exist_ok=True)
    keras_vit.browser.write_explorer(folder / "explorer.html", "drawings")


def files_of(tutorial, run, repository=None):
    """Returns page, figures, notebook and script of one tutorial, {name: str or bytes}."""
    text, figures = page(tutorial, run, repository)
    folder, slash, _ = tutorial.name.rpartition("/")
    figures = {f"{folder}{slash}{name}": figure for name, figure in figures.items()}
    return figures | {
        f"{tutorial.name}.md": text,
        f"{tutorial.name}.ipynb": notebook(tutorial, run, repository),
        f"{tutorial.name}.py": _script(tutorial, run),
    }


def page(tutorial, run, repository=None):
    """Returns the Markdown of a page and its figures, {file name: bytes}."""
    blocks, figures, outputs = [], {}, iter(run["outputs"] if run else [])
    for cell in tutorial.notebook.cells:
        if cell.cell_type == "markdown":
            blocks.append(_prose(cell.source, ".md"))
        else:
            blocks.append(_code(tutorial, cell, next(outputs, None), figures))
    title, _, rest = blocks[0].replace("{time}", _measured(run)).partition("\n")
    blocks[0] = f"{title}\n\n{_downloads(tutorial.name, repository)}\n{rest}"
    made = f"Made on {run['date']} with {run['description']}" if run else NOT_RUN
    blocks.append(f"*{made}.*\n")
    return "\n\n".join(blocks), figures


def notebook(tutorial, run, repository=None):
    """Returns the notebook to download, without outputs and with folded solutions."""
    copy = nbformat.from_dict(tutorial.notebook)
    copy.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    for cell in copy.cells:
        if cell.cell_type == "markdown":
            cell.source = _prose(cell.source, ".ipynb")
        elif _is_solution(cell):
            cell.metadata |= FOLDED
    copy.cells[0].source = copy.cells[0].source.replace("{time}", _measured(run))
    if any("from check import" in cell.source for cell in copy.cells):
        copy.cells[1:1] = _checks(tutorial)
    if repository:
        install = INSTALL.format(repository=repository)
        copy.cells.insert(1, nbformat.v4.new_code_cell(install, id="install"))
    return nbformat.writes(copy) + "\n"


def _script(tutorial, run):
    """Returns the script to download, which runs without check.py."""
    text = tutorial.text.replace("{time}", _measured(run), 1)
    return text.replace("from check import check\n", UNCHECKED)


def _checks(tutorial):
    """Returns cells that write the files that `from check import check` needs."""
    chapter = f"checks/chapter_{tutorial.name[:2]}.py"
    files = [file for name in ("check.py", chapter) if (file := TUTORIALS / name).exists()]
    return [
        nbformat.v4.new_code_cell(
            f"%%writefile {file.name}\n{file.read_text(encoding='utf-8')}",
            id=file.stem.replace("_", "-"),
            metadata=FOLDED,
        )
        for file in files
    ]


def _measured(run):
    if not run:
        return _time(run)
    cores = f"{run['cores']} CPU core{'s' if run['cores'] > 1 else ''} ({run['processor']})"
    hardware = " and ".join([*run["accelerators"], cores])
    return f"{_time(run)} on {hardware}, {run['backend']}, when this page was made"


def _time(run):
    if not run:
        return "not measured"
    seconds = run["seconds"]
    return f"{max(seconds, 1):.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def _downloads(name, repository):
    folder, _, file = name.rpartition("/")
    links = [
        f'[{label}]({file}.{ending}){{ .md-button download="{file}.{ending}" }}'
        for label, ending in (("Notebook", "ipynb"), ("Python script", "py"))
    ]
    if repository:
        colab = COLAB.format(path=repository.removeprefix(GITHUB), name=name)
        badge = "../../figures/colab.svg" if folder else "../figures/colab.svg"
        links.append(f"[![Open in Colab]({badge})]({colab})")
    return "\n".join([*links, "{ .downloads }", ""])


def _prose(text, ending):
    """Returns a text cell with its links adapted to the format of the file and to the site."""
    text = re.sub(r"\]\(((?:\w+/|\.\./)?\w+)\.py(?=[#)])", rf"](\1{ending}", text)
    return re.sub(r"\]\(((?:\.\./)+)docs/", r"](\1", text)


def _is_solution(cell):
    return "solution" in cell.metadata.get("tags", [])


def _code(tutorial, cell, outputs, figures):
    """Returns a code cell and its outputs as Markdown; adds its figures to `figures`."""
    shown = [] if outputs is None else _shown(tutorial, cell, outputs, figures)
    text = "\n\n".join([_fenced(cell.source, "python"), *shown])
    if _is_solution(cell):
        return '??? success "Solution"\n\n' + textwrap.indent(text, "    ")
    return text


def _shown(tutorial, cell, outputs, figures):
    alts = _alts(tutorial, cell, sum(_is_figure(output) for output in outputs))
    blocks = []
    for output in outputs:
        if _is_figure(output):
            blocks.append(_figure(tutorial, output, next(alts), figures))
        elif text := _printed(tutorial, cell, output):
            blocks.append(_fenced(_trimmed(text), " { .text .output .no-copy }"))
    return blocks


def _is_figure(output):
    return PNG in output.get("data", {})


def _alts(tutorial, cell, drawn):
    alts = cell.metadata.get("alt", [])
    alts = [alts] if isinstance(alts, str) else alts
    if len(alts) != drawn:
        raise PageError(
            f"{tutorial.where(cell)}: every figure needs a text that describes it. "
            f'Received: {drawn} figures, {len(alts)} texts. Write # %% alt="..." above the cell, '
            'or alt=["...", "..."] for several figures.'
        )
    return iter(alts)


def _figure(tutorial, output, alt, figures):
    name = f"figures/{tutorial.name.rpartition('/')[2]}-{len(figures) + 1}.webp"
    figures[name] = _smaller(base64.b64decode(output["data"][PNG]))
    width = output["metadata"].get(PNG, {}).get("width")  # the file may have twice that many pixels
    size = f'width="{width}" ' if width else ""
    caption = f'<span class="caption" aria-hidden="true">{html.escape(alt)}</span>'
    alt = re.sub(r"([][])", r"\\\1", alt)
    return f'![{alt}]({name}){{ {size}loading="lazy" }}\n{caption}'


def _smaller(png):
    """Returns a figure as WebP, which takes a tenth of the bytes if it contains photographs."""
    with Image.open(io.BytesIO(png)) as figure, io.BytesIO() as file:
        figure.save(file, "webp", quality=90)
        return file.getvalue()


def _printed(tutorial, cell, output):
    text = running.plain(output.get("text") or output.get("data", {}).get("text/plain", ""))
    if text and output.get("name") == "stderr":
        print(f"{tutorial.where(cell)}, stderr:\n{text}", file=sys.stderr)
        return ""
    return text


def _trimmed(text):
    lines = text.split("\n")
    if len(lines) <= LONGEST:
        return text
    note = f"[{len(lines) - HEAD - TAIL} lines are left out here]"
    return "\n".join([*lines[:HEAD], note, *lines[-TAIL:]])


def _fenced(text, kind):
    marks = "```"
    while marks in text:
        marks += "`"
    return f"{marks}{kind}\n{text}\n{marks}"


if __name__ == "__main__":
    sys.exit(main())
