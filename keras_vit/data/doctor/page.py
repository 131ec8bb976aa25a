"""A check's report as one HTML page: no script, no other file, readable on a phone."""

import html
import os

from keras_vit.data.doctor import workers
from keras_vit.data.doctor.kinds import KINDS, SEVERITIES
from keras_vit.data.doctor.walking import printable
from keras_vit.io.webpage import HEAD

CARDS = 12  # problems of each kind that are shown with thumbnails
THUMBNAILS = 240  # of a page: some 2 to 4 kB each
LINES = 2000  # further problems of each kind, as lines

_STYLE = """
:root { color-scheme: light dark; --ground: #f6f7f9; --card: #fff; --ink: #1b1f24; --soft: #5d6672;
  --line: #dfe3e8; --error: #c0262d; --warning: #9a5b00; --note: #2563a8; --bar: #8fb3dc; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171b; --card: #1d2126; --ink: #e7eaee;
  --soft: #9aa4b0; --line: #333a42; --error: #ff7b7b; --warning: #f0b452; --note: #7fb4f0;
  --bar: #3d6491; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 64rem; background: var(--ground);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .75rem; }
p { margin: .25rem 0; }
.soft { color: var(--soft); }
.totals { display: flex; flex-wrap: wrap; gap: .6rem; margin: 1.25rem 0; }
.totals a { flex: 1 1 6rem; padding: .6rem 1rem; border: 1px solid var(--line);
  border-radius: .6rem; background: var(--card); color: inherit; text-decoration: none; }
.totals b { display: block; font-size: 1.7rem; line-height: 1.2;
  font-variant-numeric: tabular-nums; }
.totals .error b, .error > summary .kind { color: var(--error); }
.totals .warning b, .warning > summary .kind { color: var(--warning); }
.totals .note b, .note > summary .kind { color: var(--note); }
details { margin: .6rem 0; border: 1px solid var(--line); border-radius: .6rem;
  background: var(--card); }
summary { padding: .7rem 1rem; cursor: pointer; }
.kind { font-weight: 650; }
.count { float: right; color: var(--soft); font-variant-numeric: tabular-nums; }
.inside { padding: 0 1rem 1rem; }
.advice { padding: .5rem .75rem; border-radius: .4rem; background: var(--ground); }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: .75rem;
  margin: .75rem 0; padding: 0; list-style: none; }
.cards li { display: flex; gap: .65rem; padding: .6rem; border: 1px solid var(--line);
  border-radius: .5rem; font-size: .875rem; }
.cards img, .cards .none { width: 72px; height: 72px; flex: none; object-fit: contain;
  border-radius: .3rem; background: var(--ground); }
.pair { display: grid; gap: .3rem; align-content: start; }
.cards .none { display: grid; place-items: center; color: var(--soft); font-size: 1.5rem; }
.path { font-family: ui-monospace, monospace; font-size: .8125rem; }
.more { margin: 0; padding-left: 1.25rem; font-size: .875rem; }
.scroll { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-size: .875rem; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: left; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.bar { width: 40%; min-width: 5rem; }
td.bar span { display: block; height: .7rem; border-radius: .2rem; background: var(--bar); }
"""
_PAGE = (
    HEAD
    + """<title>Data check: {name}</title>
<style>{style}</style>
</head>
<body>
<h1>Data check: {name}</h1>
<p class="soft path">{folder}</p>
<p>{summary}. The check took {seconds:.1f} s.</p>
<nav class="totals">{totals}</nav>
{sections}
<h2 id="classes">Classes</h2>
{classes}
</body>
</html>
"""
)


def page(report):
    """Returns the page; images are opened again for their thumbnails, by `workers`."""
    groups = report.by_kind()
    thumbnails = _thumbnails(report.folder, groups)
    sections = "".join(_section(severity, groups, thumbnails) for severity in SEVERITIES)
    return _PAGE.format(
        name=_text(os.path.basename(report.folder) or report.folder),
        folder=_text(report.folder),
        style=_STYLE,
        summary=report.summary(),
        seconds=report.seconds,
        totals="".join(_total(severity, len(report.of(severity))) for severity in SEVERITIES),
        sections=sections or "<h2>Nothing was found</h2>",
        classes=_classes(report.classes),
    )


def _thumbnails(folder, groups):
    """{path: JPEG as base64} of the images on cards."""
    cards = (problem for group in groups.values() for problem in group[:CARDS])
    wanted = dict.fromkeys(path for card in cards for path in (card.path, *card.others[:1]))
    paths = [path for path in wanted if os.path.isfile(os.path.join(folder, path))][:THUMBNAILS]
    full = [os.path.join(folder, path) for path in paths]
    found = {paths[index]: data for index, data in workers.run("thumbnail", full)}
    return {path: data for path, data in found.items() if isinstance(data, str)}


def _total(severity, number):
    name = severity if number == 1 else severity + "s"
    return f'<a href="#{severity}" class="{severity}"><b>{number:,}</b>{name}</a>'


def _section(severity, groups, thumbnails):
    kinds = [kind for kind in groups if KINDS[kind].severity == severity]
    if not kinds:
        return ""
    shown = "" if severity == "note" else " open"
    parts = [f'<h2 id="{severity}">{severity.capitalize()}s</h2>']
    for kind in kinds:
        problems = groups[kind]
        parts.append(
            f'<details class="{severity}"{shown}><summary><span class="kind">{kind}</span> '
            f'<span class="count">{len(problems):,}</span><br>{_text(KINDS[kind].meaning)}'
            f'</summary><div class="inside"><p class="advice"><b>What to do:</b> '
            f"{_text(KINDS[kind].advice)}</p>{_cards(problems[:CARDS], thumbnails)}"
            f"{_lines(problems[CARDS:])}</div></details>"
        )
    return "\n".join(parts)


def _cards(problems, thumbnails):
    return f'<ul class="cards">{"".join(_card(p, thumbnails) for p in problems)}</ul>'


def _card(problem, thumbnails):
    paths = [problem.path, *problem.others[:1]]
    images = "".join(_image(thumbnails.get(path)) for path in paths)
    others = "".join(f'<p class="path">{_text(path)}</p>' for path in problem.others[:5])
    return (
        f'<li><div class="pair">{images}</div><div><p class="path">{_text(problem.path)}</p>'
        f"<p>{_text(problem.reason)}</p>{others}{_place(problem)}</div></li>"
    )


def _image(data):
    if data is None:
        return '<span class="none" aria-hidden="true">&#8709;</span>'
    return f'<img alt="" width="72" height="72" src="data:image/jpeg;base64,{data}">'


def _place(problem):
    place = " / ".join(part for part in (problem.split, problem.class_name) if part)
    return f'<p class="soft">{_text(place)}</p>' if place else ""


def _lines(problems):
    if not problems:
        return ""
    lines = [
        f'<li><span class="path">{_text(" = ".join((p.path, *p.others[:5])))}</span> '
        f'<span class="soft">{_text(p.reason)}</span></li>'
        for p in problems[:LINES]
    ]
    if len(problems) > LINES:
        lines.append(f"<li>and {len(problems) - LINES:,} more, all of them in the JSON report</li>")
    return (
        f"<details><summary>{len(problems):,} more</summary>"
        f'<ol class="more inside">{"".join(lines)}</ol></details>'
    )


def _classes(classes):
    splits = [
        s for s in ("", "train", "validation", "test") if any(s in c for c in classes.values())
    ]
    totals = {name: sum(counts.values()) for name, counts in classes.items()}
    most = max([1, *totals.values()])
    heads = "".join(f'<th class="number">{split or "images"}</th>' for split in splits)
    rows = []
    for name, counts in list(classes.items())[:LINES]:
        cells = "".join(f'<td class="number">{counts.get(split, 0):,}</td>' for split in splits)
        bar = f'<td class="bar"><span style="width:{100 * totals[name] / most:.1f}%"></span></td>'
        rows.append(f"<tr><td>{_text(name)}</td>{cells}{bar}</tr>")
    return (
        f'<div class="scroll"><table><tr><th>class</th>{heads}<th></th></tr>'
        f"{''.join(rows)}</table></div>"
    )


def _text(text):
    return html.escape(printable(text))
