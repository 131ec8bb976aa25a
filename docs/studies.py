"""Makes the page of the studies from their modules and the tables of their runs."""

import inspect
import pathlib
import textwrap

TABLES = pathlib.Path(__file__).parent / "studies"
SCALE = "tiny"


def text():
    """Returns a section for each study: question, caution, command, figure, conclusion."""
    from keras_vit import studies

    return "\n".join(_section(studies.load(name)) for name in studies.names())


def _section(study):
    from keras_vit.studies.lab import runner

    runs, ledger = study.runs(SCALE), runner.open_ledger(study, SCALE, TABLES)
    rows = ledger.done(runs)
    title = study.name.replace("-", " ").capitalize()
    alt = f"{title} at the scale {SCALE}: {study.title}"
    _, _, about = inspect.getdoc(study).partition("\n\n")
    about = textwrap.indent(about, "    ")
    parts = [
        f"## {title}: {study.title} {{ #{study.name} }}",
        f"**{study.question}**",
        study.caution
        and f'!!! warning "Do not read this as evidence against the paper"\n\n    {study.caution}',
        f"```\nkeras-vit study {study.name}\n```",
        rows and f'![{alt}](studies/{study.name}-{SCALE}.png){{ loading="lazy" }}',
        f"*Here:* {study.conclusion(rows) if rows else 'not run yet.'}",
        f"*Paper:* {study.paper}",
        f'??? note "What the paper did, and what is done here"\n\n{about}',
        rows and _origin(rows, len(runs), ledger.path.name),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _origin(rows, count, table):
    minutes = max(1, round(sum(row["seconds"] for row in rows) / 60))
    row, seeds = rows[-1], sorted({row["seed"] for row in rows if "seed" in row})
    listed = f", seeds {', '.join(map(str, seeds))}" if seeds else ""
    return (
        f"{len(rows)} of {count} runs{listed}: [{table}](studies/{table}); {minutes} min with "
        f"Keras {row['keras']} and {row['backend']} {row['backend_version']} on {row['processor']}"
        f", {row['date']}."
    )
