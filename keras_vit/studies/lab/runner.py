"""A study: its runs, each one a row of a CSV file, then a figure and a conclusion."""

import contextlib
import csv
import datetime
import gc
import io
import pathlib
import re
import tempfile
import time
from typing import NamedTuple

import keras

from keras_vit import arguments, environment, studies
from keras_vit.io import writing

# The last columns of every row; studies cannot use these names.
PROVENANCE = ("seconds", "backend", "backend_version", "keras", "processor", "date")


def need_images(small, gpu):
    """Returns `needs` for a study of images: a dataset, and the duration at each scale."""
    images = "CIFAR-10, or images in the folder $KERAS_VIT_DATA"
    return {"small": f"{images}; {small}", "gpu": f"{images}; {gpu}"}


class Study:
    """A table or figure of the paper as a small experiment; a subclass is named `Figure8`.

    The docstring of a subclass states what the paper did and what is done here, in Markdown. Its
    methods are `run`, which takes the settings of one run and returns a dict of results, and `plot`
    and `conclusion`, which draw and describe rows, dicts of settings and results.
    """

    paper = ""  # the paper's result, in one line
    caution = ""  # why results at "tiny" may mislead, and what a better study needs
    rows_of = ""  # name of another study that has the same runs
    needs = need_images("a day on a CPU", "hours on one large GPU")
    num_seeds = {"tiny": 2, "small": 3, "gpu": 2}  # None if runs have no seed
    training = {}  # {scale: settings that all runs share}

    @property
    def name(self):
        """The name in `studies.STUDIES`."""
        return re.sub(r"(\d+)", r"-\1", type(self).__name__).lower()

    title = property(lambda self: studies.summary(self.name)[0])
    question = property(lambda self: studies.summary(self.name)[1])

    def variants(self, scale):
        """Returns the settings that vary, a list of dicts."""
        raise NotImplementedError

    def runs(self, scale):
        """Returns the settings of all runs: every variant with seed 1, then with seed 2, ..."""
        shared, seeds = self.training.get(scale, {}), [{}]
        if self.num_seeds:
            seeds = [{"seed": seed} for seed in range(1, self.num_seeds[scale] + 1)]
        return [{**v, **shared, **seed} for seed in seeds for v in self.variants(scale)]


def by_scale(names, **values):
    """Returns {scale: {name: value}}.

    Example:
    >>> keras_vit.studies.lab.runner.by_scale("steps rate", tiny=(400, 1e-3), small=(8000, 1e-4))
    {'tiny': {'steps': 400, 'rate': 0.001}, 'small': {'steps': 8000, 'rate': 0.0001}}
    """
    return {scale: dict(zip(names.split(), row, strict=True)) for scale, row in values.items()}


class Outcome(NamedTuple):
    """The outcome of a study: rows of settings and results, two paths, and the conclusion."""

    rows: list
    table: pathlib.Path
    image: pathlib.Path
    conclusion: str


def carry_out(study, scale, folder="studies", plot_only=False):
    """Performs the runs that are missing from the table of a study, then plots and concludes.

    The arguments are those of `keras_vit.studies.run`, with a `Study` instead of its name.
    """
    if not plot_only:
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    runs, ledger = study.runs(scale), open_ledger(study, scale, folder)
    print(f"{study.name}: {study.title}\n{study.question}", flush=True)
    if not plot_only:
        with cache_programs():
            _do(study.run, runs, ledger)
    rows = ledger.done(runs)
    print(f"\n{len(rows)} of {len(runs)} runs are done.")
    image = pathlib.Path(folder) / f"{study.name}-{scale}.png"
    if rows:
        study.plot(rows).savefig(image)
    conclusion = study.conclusion(rows) if rows else "No run is done yet."
    print(f"Here:  {conclusion}\nPaper: {study.paper}")
    if study.caution and scale == "tiny":
        print(f"Note:  {study.caution}")
    for origin in sorted({_origin(row) for row in rows}):
        print(f"Made on {origin}")
    print(f"Table: {ledger.path}\nFigure: {image}" if rows else f"Table: {ledger.path}", flush=True)
    return Outcome(rows, ledger.path, image, conclusion)


def open_ledger(study, scale, folder):
    """Returns the `Ledger` of a study, or of the study whose runs it shares."""
    path = pathlib.Path(folder) / f"{study.rows_of or study.name}-{scale}.csv"
    return Ledger(path, study.runs(scale)[0])


def _do(run, runs, ledger):
    """Does the missing runs; each row is on disk before the next run starts."""
    varied = [name for name in runs[0] if len({str(settings[name]) for settings in runs}) > 1]
    fixed = ", ".join(f"{name} {value}" for name, value in runs[0].items() if name not in varied)
    count = f"{len(runs)} run{'s' * (len(runs) > 1)}"
    print(f"{count}, each saved in {ledger.path} at once. Shared settings: {fixed or '-'}")
    done = ledger.done(runs)
    for number, settings in enumerate(runs, start=1):
        words = ", ".join(f"{name} {settings[name]}" for name in varied)
        print(f"{number:>4}/{len(runs)}  {words}: ", end="", flush=True)
        if earlier := ledger.row(settings):
            print(f"{_results(earlier, settings)} (done before)", flush=True)
            continue
        start = time.perf_counter()
        results = run(**settings)
        seconds = round(time.perf_counter() - start, 2)
        ledger.append({**settings, **results, **_provenance(seconds)})
        done.append(ledger.row(settings))
        left = _duration(_seconds_left(runs[number:], done, varied))
        print(f"{_results(done[-1], settings)}, {seconds:.1f} s; {left} left", flush=True)
        keras.utils.clear_session()  # frees the memory of the model
        gc.collect()


class Ledger:
    """The table of finished runs, a CSV file with columns for settings, results, `PROVENANCE`.

    A run is done if a row has its settings, compared as text. `path` need not exist; `settings` are
    the names of settings in the order of the columns.

    Raises:
        ValueError: the file cannot be read, or belongs to another study.
    """

    def __init__(self, path, settings):
        self.path, self.settings = pathlib.Path(path), tuple(settings)
        self.read()

    def read(self):
        """Returns the rows of the file as dicts of text; an empty list if there is no file."""
        if not self.path.exists():
            return []
        try:
            text = self.path.read_text(encoding="utf-8")
            table = list(csv.reader(io.StringIO(text, newline=""), strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            self._refuse(f"it cannot be read as CSV: {error}")
        if not table:
            self._refuse("it is empty")
        columns, *rows = table
        count = len(self.settings)
        if tuple(columns[:count]) != self.settings or tuple(columns[-6:]) != PROVENANCE:
            wanted = ", ".join((*self.settings, "results ...", *PROVENANCE))
            self._refuse(f"its columns are not those of this study: {wanted}", columns)
        for number, row in enumerate(rows, start=2):
            if len(row) != len(columns):
                self._refuse(f"row {number} has {len(row)} of {len(columns)} values", row)
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def row(self, settings):
        """Returns the row of a run, with results as numbers; None if the run is not done."""
        for row in self.read():
            if all(row[name] == str(settings[name]) for name in self.settings):
                results = {n: _number(v) for n, v in row.items() if n not in PROVENANCE[1:]}
                return {**row, **results, **settings}
        return None

    def done(self, runs):
        """Returns the rows of the finished runs among `runs`."""
        return [row for row in map(self.row, runs) if row]

    def append(self, row):
        """Appends a row: settings, results and provenance.

        The file is read again first, so that rows of other processes are kept.

        Raises:
            ValueError: the names of the results differ from those in the file; the message
                contains the row.
        """
        rows = self.read()
        if rows and list(rows[0]) != list(row):
            self._refuse(f"its results are not those of the row {row}", list(rows[0]))
        file = io.StringIO(newline="")
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        writer.writeheader()
        writer.writerows([*rows, {name: str(value) for name, value in row.items()}])
        with writing.replacing(self.path) as temporary:
            pathlib.Path(temporary).write_text(file.getvalue(), encoding="utf-8", newline="")

    def _refuse(self, reason, found=None):
        arguments.refuse(
            f"{str(self.path)!r} must be the table of this study, but {reason}",
            {} if found is None else {"found": found},
            "Nothing was changed. Move the file away, or choose another folder.",
        )


def _number(text):
    """Converts text to a number if possible."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


@contextlib.contextmanager
def cache_programs():
    """Caches compiled programs of JAX, which all seeds of a setting share.

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


def _duration(seconds):
    minutes = round(seconds / 60)
    if minutes >= 90:
        return f"about {minutes / 60:.1f} hours"
    return f"about {minutes} min" if minutes > 1 else f"about {seconds:.0f} s"


def _results(row, settings):
    """Returns results in words: numbers with four digits, long strings (encoded arrays) cut."""
    results = {name: v for name, v in row.items() if name not in (*settings, *PROVENANCE)}
    for name, value in results.items():
        if isinstance(value, float):
            results[name] = f"{value:.4g}"
        elif len(str(value)) > 24:
            results[name] = f"{str(value)[:20]} ..."
    return ", ".join(f"{name} {value}" for name, value in results.items())


def _provenance(seconds):
    backend = keras.backend.backend()
    hardware, versions = environment.hardware(), environment.versions()
    processor = ", ".join(hardware["accelerators"]) or hardware["processor"]
    values = (seconds, backend, versions[backend], versions["keras"])
    values += (f"{processor}, {hardware['cores']} cores", datetime.date.today().isoformat())
    return dict(zip(PROVENANCE, values, strict=True))


def _origin(row):
    backend = environment.TITLES.get(row["backend"], row["backend"])
    versions = f"{backend} {row['backend_version']}, Keras {row['keras']}"
    return f"{versions}, {row['processor']}, {row['date']}"
