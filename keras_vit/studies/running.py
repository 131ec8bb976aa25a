"""Runs a study: one run after another, then the figure and the conclusion."""

import contextlib
import datetime
import gc
import pathlib
import tempfile
import time
from typing import NamedTuple

import keras

from keras_vit import environment
from keras_vit.studies.ledger import PROVENANCE, Ledger


class Outcome(NamedTuple):
    """The outcome of a study: rows of settings and results, two paths, and the conclusion."""

    rows: list
    table: pathlib.Path
    image: pathlib.Path
    conclusion: str


def carry_out(module, scale, folder="studies", plot_only=False):
    """Runs what is missing in the table of a study, then draws and concludes.

    Args:
        module: a study, see `keras_vit.studies.load`.
        scale: "tiny", "small" or "gpu".
        folder: folder of the table and the figure.
        plot_only: whether to run nothing.

    Returns:
        An `Outcome`.
    """
    runs = module.runs(scale)
    name = module.__name__.rpartition(".")[2].replace("_", "-")
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(folder / f"{rows_of(module, name)}-{scale}.csv", runs[0])
    print(f"{name}: {module.TITLE}\n{module.QUESTION}", flush=True)
    if not plot_only:
        with cache_programs():
            _do(module, runs, ledger)
    rows = [row for row in map(ledger.row, runs) if row]
    return _summary(module, rows, len(runs), ledger.path, folder / f"{name}-{scale}.png")


def rows_of(module, name):
    """Returns the name of the study whose runs are used: its own, or `ROWS_OF`."""
    return getattr(module, "ROWS_OF", name)


def _do(module, runs, ledger):
    """Does the missing runs; each row is on disk before the next run starts."""
    varied = [name for name in runs[0] if len({str(run[name]) for run in runs}) > 1]
    fixed = ", ".join(f"{name} {value}" for name, value in runs[0].items() if name not in varied)
    count = f"{len(runs)} run{'s' * (len(runs) > 1)}"
    print(f"{count}, each saved in {ledger.path} at once. Shared settings: {fixed or '-'}")
    done = [row for row in map(ledger.row, runs) if row]
    for number, settings in enumerate(runs, start=1):
        words = ", ".join(f"{name} {settings[name]}" for name in varied)
        print(f"{number:>4}/{len(runs)}  {words}: ", end="", flush=True)
        if earlier := ledger.row(settings):
            print(f"{_results(earlier, settings)} (done before)", flush=True)
            continue
        start = time.perf_counter()
        results = module.run(**settings)
        seconds = round(time.perf_counter() - start, 2)
        ledger.append({**settings, **results, **_provenance(seconds)})
        done.append(ledger.row(settings))
        left = _seconds_left(runs[number:], done, varied)
        print(f"{_results(done[-1], settings)}, {seconds:.1f} s; {_time(left)}", flush=True)
        keras.utils.clear_session()  # frees the memory of the model
        gc.collect()


@contextlib.contextmanager
def cache_programs():
    """Caches compiled programs of JAX: those of a setting are the same for all seeds.

    Compiling takes longer than a few hundred steps of a tiny model. On other backends, or if a
    cache is configured already, nothing changes.
    """
    if keras.backend.backend() != "jax":
        yield
        return
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = [getattr(jax.config, name) for name in names]
    if before[0]:
        yield
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            for name, value in zip(names, (folder, 0.0), strict=True):
                jax.config.update(name, value)
            compilation_cache.reset_cache()  # makes JAX read the new configuration
            yield
        finally:
            for name, value in zip(names, before, strict=True):
                jax.config.update(name, value)
            compilation_cache.reset_cache()


def _seconds_left(runs, done, varied):
    """Estimates the time of runs: each takes as long as the most similar finished runs."""
    left = 0.0
    for settings in runs:
        alike = [sum(settings[name] == row[name] for name in varied) for row in done]
        if max(alike) == len(varied):
            continue  # done already
        nearest = [row["seconds"] for row, n in zip(done, alike, strict=True) if n == max(alike)]
        left += sum(nearest) / len(nearest)
    return left


def _time(seconds):
    minutes = round(seconds / 60)
    if minutes >= 90:
        return f"about {minutes / 60:.1f} hours left"
    return f"about {minutes} min left" if minutes > 1 else f"about {seconds:.0f} s left"


def _results(row, settings):
    results = {name: v for name, v in row.items() if name not in (*settings, *PROVENANCE)}
    return ", ".join(f"{name} {_short(value)}" for name, value in results.items())


def _short(value):
    """A number with four digits, or the beginning of a text, such as an encoded array."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value) if len(str(value)) <= 24 else f"{str(value)[:20]} ..."


def _provenance(seconds):
    backend = keras.backend.backend()
    hardware, versions = environment.hardware(), environment.versions()
    processor = ", ".join(hardware["accelerators"]) or hardware["processor"]
    values = (seconds, backend, versions[backend], versions["keras"])
    values += (f"{processor}, {hardware['cores']} cores", datetime.date.today().isoformat())
    return dict(zip(PROVENANCE, values, strict=True))


def _summary(module, rows, count, table, image):
    """Draws, concludes, and prints the paths."""
    print(f"\n{len(rows)} of {count} runs are done.")
    if rows:
        module.plot(rows).savefig(image)
    conclusion = module.conclusion(rows) if rows else "No run is done yet."
    print(f"Here:  {conclusion}\nPaper: {module.PAPER}")
    for made_on in sorted({_made_on(row) for row in rows}):
        print(f"Made on {made_on}")
    print(f"Table: {table}\nFigure: {image}" if rows else f"Table: {table}", flush=True)
    return Outcome(rows, table, image, conclusion)


def _made_on(row):
    backend = environment.TITLES.get(row["backend"], row["backend"])
    return (
        f"{backend} {row['backend_version']}, Keras {row['keras']}, {row['processor']}, "
        f"{row['date']}"
    )
