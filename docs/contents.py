"""Makes the index of the tutorials: a figure, the goal, the result and the time of each."""

import io
import re

from PIL import Image

INDEX = """# Course

The ten chapters build on each other; the deep dives can be read in any order. Each is a page, a
notebook and a Python script that needs no GPU. The time is that of the run that made its page.
Words that you do not know are in the [glossary](../glossary.md), and the paper is summed up
[on two pages](../summary.md).

"""
TABLE = """<div class="tutorials" markdown>

| | {title} | Time |
|---|---|---|
{rows}
</div>
"""
DEEPER = "deeper/"
LINK = re.compile(r"(?<=\]\()(\w+)\.py(?=[#)])")
RESULT = r"^> \*\*Result\*\* (.+(?:\n> .+)*)"


def files(shown, figures):
    """Returns the index and its small figures, {name: str or bytes}.

    Args:
        shown: pairs (tutorial, the time that it took).
        figures: {name: bytes} of all pages.
    """
    made, rows = {}, {"Chapter": [], "Deep dive": []}
    for tutorial, time in shown:
        made |= _thumbnail(tutorial, figures)
        kind = "Deep dive" if tutorial.name.startswith(DEEPER) else "Chapter"
        rows[kind].append(_row(tutorial, time, made))
    tables = [TABLE.format(title=kind, rows="".join(of)) for kind, of in rows.items() if of]
    return made | {"index.md": INDEX + "\n".join(tables)}


def _thumbnail(tutorial, files):
    """Returns the first figure of a tutorial at the size used in the index, {name: bytes}."""
    folder, _, name = tutorial.name.rpartition("/")
    first = f"{folder}/figures/{name}-1.webp".removeprefix("/")
    if first not in files:
        return {}
    with Image.open(io.BytesIO(files[first])) as figure, io.BytesIO() as file:
        figure.thumbnail((320, 320))
        figure.save(file, "webp", quality=80)
        return {f"figures/{name}-small.webp": file.getvalue()}


def _row(tutorial, time, files):
    """Returns a tutorial's row of the index: figure, title, goal and result, time."""
    figure = f"figures/{tutorial.name.rpartition('/')[2]}-small.webp"
    shown = f'![First figure]({figure}){{ width="160" loading="lazy" }}' if figure in files else ""
    text = f"**[{tutorial.title}]({tutorial.name}.md)**<br>You will be able to {tutorial.goal}"
    result = re.search(RESULT, tutorial.notebook.cells[0].source, re.M)
    if result:
        text += "<br>Result: " + LINK.sub(r"\1.md", result[1]).replace("\n> ", " ")
    return f"| {shown} | {text} | {time} |\n"
