"""Makes the page of the studies from their modules and the tables of their runs."""

import inspect
import pathlib

TABLES = pathlib.Path(__file__).parent / "studies"
SCALE = "tiny"


def text():
    """Returns a section for each study: question, command, figure, what our rows say."""
    import keras_vit.studies

    return "\n".join(_section(name, keras_vit.studies.load(name)) for name in _names())


def _names():
    import keras_vit.studies

    return keras_vit.studies.names()


def _section(name, module):
    rows = _rows(name, module)
    parts = [
        f"## {_title(name)}: {module.TITLE} {{ #{name} }}",
        f"**{module.QUESTION}**",
        f"```\nkeras-vit study {name}\n```",
    ]
    if rows:
        parts.append(f"![{_alt(name, module)}](studies/{name}-{SCALE}.png)")
    parts.append(f"*Here:* {module.conclusion(rows) if rows else 'not run yet.'}")
    parts.append(f"*Paper:* {module.PAPER}")
    parts.append(_about(module))
    if rows:
        parts.append(_made_on(name, module, rows))
    return "\n\n".join(parts) + "\n"


def _rows(name, module):
    """Rows of the runs that are done; a study may have the table of another one."""
    from keras_vit.studies.ledger import Ledger

    runs = module.runs(SCALE)
    ledger = Ledger(TABLES / _table(name, module), runs[0])
    return [row for row in map(ledger.row, runs) if row]


def _table(name, module):
    """The file of the runs: that of another study, where the module says so."""
    return f"{getattr(module, 'ROWS_OF', name)}-{SCALE}.csv"


def _about(module):
    """What the module says of itself, without its first line: folded, for those who ask."""
    _, _, told = inspect.cleandoc(module.__doc__).partition("\n\n")
    indented = "\n".join(f"    {line}" if line else "" for line in told.splitlines())
    return f'??? note "What the paper did, and what is done here"\n\n{indented}'


def _made_on(name, module, rows):
    minutes = max(1, round(sum(row["seconds"] for row in rows) / 60))
    row = rows[-1]
    table = _table(name, module)
    seeds = sorted({row["seed"] for row in rows if "seed" in row})
    told = f", seeds {', '.join(map(str, seeds))}" if seeds else ""
    return (
        f"{len(rows)} of {len(module.runs(SCALE))} runs{told}: "
        f"[{table}](studies/{table}); {minutes} min with Keras "
        f"{row['keras']} and {row['backend']} {row['backend_version']} on {row['processor']}, "
        f"{row['date']}."
    )


def _alt(name, module):
    return f"{_title(name)} at the scale {SCALE}: {module.TITLE}"


def _title(name):
    return name.replace("-", " ").capitalize()
