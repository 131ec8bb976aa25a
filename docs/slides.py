"""Makes the lecture: docs/slides/lecture.md becomes one HTML file that loads nothing.

In lecture.md, a line `---` ends a slide, and text after `Notes:` is for the speaker. A line with
one image is a figure: a file of docs/, or of the tutorials' pages if they have been made. Formulas
are written between dollar signs, in the subset of TeX that Matplotlib supports. `{{ Eq. 1 }}` is
the equation with its line of the trunk, `{{ sizes }}` the table of sizes, and any other name in
such braces the code of that function of keras_vit.
"""

import base64
import functools
import html
import inspect
import operator
import pathlib
import re
import textwrap

import markdown
import reference
from matplotlib import font_manager, path, textpath
from PIL import Image

FOLDER = pathlib.Path(__file__).parent / "slides"
SIZES = ("Ti/16", "S/16", "B/16", "L/16", "H/14")
KINDS = {".png": "png", ".jpg": "jpeg", ".webp": "webp"}
SLIDE = re.compile(r"^---\n", re.MULTILINE)
FIGURE = re.compile(r"^!\[(.+)\]\((\S+)\)$", re.MULTILINE)
LOOKED_UP = re.compile(r"\{\{ (.+?) \}\}")
FORMULA = re.compile(r"(\$\$?)(?=\S)(.+?)(?<=\S)\1", re.DOTALL)
LETTERS = {path.Path.MOVETO: "M", path.Path.LINETO: "L", path.Path.CURVE3: "Q"}
LETTERS |= {path.Path.CURVE4: "C", path.Path.CLOSEPOLY: "Z"}
UNITS = 1000  # units per em in the paths of formulas

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
{style}</style>
<main>
{slides}
</main>
<nav aria-label="Slides"><button id="back" aria-label="Previous slide">←</button>
<output id="place"></output>
<button id="on" aria-label="Next slide">→</button>
<button id="speak">Notes</button></nav>
<script>
{script}</script>
</html>
"""


def write(file, tutorials):
    """Writes the lecture to `file`, with figures of the tutorials' pages in a folder."""
    text = (FOLDER / "lecture.md").read_text(encoding="utf-8")
    slides = [_slide(i, part, tutorials) for i, part in enumerate(SLIDE.split(text), start=1)]
    style, script = ((FOLDER / name).read_text("utf-8") for name in ("deck.css", "deck.js"))
    title = re.search(r"^# (.+)", text, re.MULTILINE)[1]
    page = PAGE.format(title=title, style=style, slides="\n".join(slides), script=script)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(page, encoding="utf-8")


def _slide(number, text, tutorials):
    text, _, notes = LOOKED_UP.sub(_look_up, text).partition("\nNotes:")
    heading, _, text = text.strip().partition("\n")
    figures = "".join(_figure(*found, tutorials) for found in FIGURE.findall(text))
    kind = "title" if heading.startswith("# ") else "slide"
    names, text = [name for _, name in FIGURE.findall(text)], FIGURE.sub("", text).strip()
    if text and any(_is_wide(_file(name, tutorials)) for name in names):
        kind += " wide"
    return (
        f'<section id="{number}" class="{kind}" aria-label="Slide {number}">\n{_html(heading)}\n'
        f'<div class="body"><div class="text">{_html(text)}</div>{figures}</div>\n'
        f'<aside aria-label="Notes">{_html(notes)}</aside>\n</section>'
    )


def _html(text):
    """Returns Markdown as HTML; formulas become drawings, which are hidden from Markdown."""
    drawn = []

    def keep(match):
        drawn.append(_formula(match[2].strip(), display=len(match[1]) == 2))
        return f"\ue000{len(drawn) - 1}\ue001"

    text = re.sub(r"```.*?```|`[^`]*`|" + FORMULA.pattern, _only(keep), text, flags=re.DOTALL)
    page = markdown.markdown(text, extensions=["tables", "fenced_code"])
    return re.sub("\ue000(\\d+)\ue001", lambda match: drawn[int(match[1])], page)


def _only(keep):
    """Leaves code unchanged, in which a dollar sign has no special meaning."""
    return lambda match: keep(match) if match[1] else match[0]


@functools.cache
def _formula(tex, display=False):
    """Draws a formula as SVG in the color of the text, on its baseline."""
    font = font_manager.FontProperties(math_fontfamily="stix")
    shown = re.sub(r"'_(\w)", r"_\1^{\\prime}", tex)  # matplotlib puts z' before its index
    outline = textpath.TextPath((0, 0), f"${shown}$", size=UNITS, prop=font)
    box = outline.get_extents().padded(20)
    parts = [
        LETTERS[code] + " ".join(f"{round(x)},{round(-y)}" for x, y in points.reshape(-1, 2))
        if LETTERS[code] != "Z"
        else "Z"
        for points, code in outline.iter_segments(simplify=False)
    ]
    kind = "display" if display else "inline"
    return (
        f'<svg class="{kind}" role="img" aria-label="{html.escape(tex)}"'
        f' viewBox="{box.x0:.0f} {-box.y1:.0f} {box.width:.0f} {box.height:.0f}"'
        f' style="width:{box.width / UNITS:.3f}em;vertical-align:{box.y0 / UNITS:.3f}em">'
        f'<path d="{"".join(parts)}"/></svg>'
    )


def _look_up(match):
    """Returns the Markdown that replaces a pair of braces."""
    import keras_vit

    name = match[1]
    if name.startswith("Eq. "):
        number = int(name[4:])
        place, code = reference.find_equations()[number]
        formula = reference.FORMULAS[number].partition("$")[2].rstrip("$")
        return f"$${formula}$$\n\n`{code}`  \n*Eq. {number}, keras_vit/{place}*"
    if name == "sizes":
        rows = [_size(size, keras_vit.list_variants()[f"ViT-{size}"]) for size in SIZES]
        head = "| | layers | width | MLP | heads | parameters |\n|---|--:|--:|--:|--:|--:|\n"
        return head + "".join(rows)
    source = textwrap.dedent(inspect.getsource(operator.attrgetter(name)(keras_vit)))
    source = re.sub(r'\n *""".*?"""', "", source, count=1, flags=re.DOTALL)
    return f"```\n{source.strip()}\n```"


def _size(name, row):
    numbers = (row.num_layers, row.hidden_dim, row.mlp_dim, row.num_heads)
    cells = [f"{number:,}" for number in numbers] + [f"{row.parameters / 1e6:,.0f} M"]
    return f"| ViT-{name} | {' | '.join(cells)} |\n"


def _file(name, tutorials):
    """Returns the file of a figure: of docs/, or of the tutorials' pages."""
    made = name.removeprefix("../tutorials/")
    return FOLDER / name if made == name else tutorials / made


def _is_wide(file):
    """Returns whether an image is too wide to be placed beside text."""
    if file.suffix == ".svg" or not file.exists():
        return False
    with Image.open(file) as image:
        return image.width >= 2 * image.height


def _figure(alt, name, tutorials):
    """Returns a figure with its bytes embedded; without its file, its description."""
    file, alt = _file(name, tutorials), html.escape(alt)
    if not file.exists():
        return f'<figure><p class="absent">{alt}</p></figure>'
    if file.suffix == ".svg":
        return f"<figure>{file.read_text(encoding='utf-8')}</figure>"
    data = base64.b64encode(file.read_bytes()).decode()
    kind = "plain" if file.suffix == ".webp" else "white"  # a tutorial's figure has no background
    source = f"data:image/{KINDS[file.suffix]};base64,{data}"
    return f'<figure><img class="{kind}" alt="{alt}" src="{source}"></figure>'
