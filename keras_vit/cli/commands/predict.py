"""`keras-vit predict`: classifies any number of images, into a table or to standard output."""

import contextlib
import hashlib
import shlex
import sys

from keras_vit import arguments
from keras_vit.cli.common import (
    DEFAULT,
    INVERT,
    MODEL,
    RESIZE,
    adder,
    check_model,
    command,
    load_run,
)
from keras_vit.cli.progress import Progress
from keras_vit.data.images import check_file
from keras_vit.data.sources.folders import find_images
from keras_vit.doctor.file_tree import printable
from keras_vit.io import table
from keras_vit.training.evaluation.class_names import check_threshold, read_names

MOST_SHOWN = 50  # skipped files that are listed


def add(commands):
    """Adds the command."""
    parser = command(
        commands,
        "predict",
        _check,
        _predict,
        "classify images with a trained model",
        "Prints the most probable classes of each image, or writes them to a table. Images are "
        "read while the model computes, in memory that does not grow with their number. Exit code "
        "1 if files were skipped.",
    )
    add = adder(parser)
    add("model MODEL", MODEL)
    paths = "image file in any format; folder, searched at any depth; pattern in quotes, such as "
    paths += '"images/*.jpg"; @FILE, a text file with one path per line'
    add("files IMAGE", paths, nargs="+")
    out = "table to write, .csv, .jsonl or .parquet; an interrupted one is continued by the same "
    add("--out FILE", out + "command")
    add("--top N", f"number of classes for each image; {DEFAULT}", int, default=3)
    least = f"probability from 0 to 1; less probable classes are left out; {DEFAULT}"
    add("--threshold SHARE", least, float, default=0.0)
    add("--batch-size N", f"images per batch; {DEFAULT}", int, default=32)
    failure = f"what to do if a file cannot be read; {DEFAULT}"
    add("--on-error", failure, default="skip", choices=("skip", "stop"))
    names = "text file with the class names, one per line, in the order of the logits"
    add("--classes FILE", names)
    add("--resize", RESIZE, choices=("squash", "crop"))
    add("--invert", INVERT)


def _check(options):
    arguments.positive_integer("top", options.top)
    arguments.positive_integer("batch_size", options.batch_size)
    check_threshold(options.threshold)
    check_model(options.model)
    if options.out is not None:
        table.check_path(options.out)
    if options.classes is not None:
        read_names(options.classes)
    options.files = find_images(options.files)
    if options.on_error == "stop":
        for file in options.files:
            check_file(file)


def _predict(options):
    from keras_vit import environment, training
    from keras_vit.training.evaluation.metrics import check_names

    with contextlib.redirect_stdout(sys.stderr):  # standard output is for results only
        names = options.classes and read_names(options.classes)
        run = load_run(options.model, resize=options.resize, class_names=names)
        print(environment.description())
    check_names(run.metrics["class_names"], run.model)

    def stream(start):
        chosen = {name: getattr(options, name) for name in ("invert", "top", "threshold")}
        chosen |= {name: getattr(options, name) for name in ("batch_size", "on_error")}
        return training.predict_files(run, options.files, start=start, **chosen)

    write = _print if options.out is None else _write
    skipped = write(options, run, stream)
    for line in skipped.lines():
        print(line, file=sys.stderr)
    return int(skipped.count > 0)


class _Skipped:
    """The files that could not be read: how many, and the first ones."""

    def __init__(self):
        self.count, self.shown = 0, []

    def add(self, error):
        self.count += 1
        if len(self.shown) < MOST_SHOWN:
            self.shown.append(error)

    def lines(self):
        """Returns the lines of the final report."""
        if not self.count:
            return []
        files = "file was" if self.count == 1 else "files were"
        lines = [f"{self.count:,} {files} skipped:", *(f"  {error}" for error in self.shown)]
        more = self.count - len(self.shown)
        return lines + [f"  and {more:,} more"] * (more > 0)


def _print(options, run, stream):
    """Prints a line for each image; on a terminal, these lines replace the progress bar."""
    from keras_vit.training.evaluation.metrics import percent

    skipped = _Skipped()
    with Progress(len(options.files)) as progress:
        for prediction in stream(0):
            if prediction.error:
                skipped.add(prediction.error)
            else:
                listed = [f"{name} ({percent(share)})" for name, share in prediction.classes]
                line = f"{printable(prediction.file)}: {', '.join(listed)}"
                print(line, flush=sys.stdout.isatty())
            if prediction.hint:
                print(f"{printable(prediction.file)}: {prediction.hint}", file=sys.stderr)
            if not sys.stdout.isatty():
                progress.advance()
    return skipped


def _write(options, run, stream):
    """Writes a row for each image to a table."""
    files, skipped = options.files, _Skipped()
    columns = {"file": str, "class": str, "probability": float}
    for number in range(2, options.top + 1):
        columns |= {f"class_{number}": str, f"probability_{number}": float}
    columns["error"] = str
    remarks = {"model": options.model}
    rows = table.Table(options.out, columns, _settings(options, run), files, remarks)
    for row in rows.read() if rows.rows else ():
        if row[-1]:
            skipped.add(row[-1])
    if rows.rows:
        print(f"{options.out} has {rows.rows:,} of {len(files):,} images.", file=sys.stderr)
    try:
        with rows, Progress(len(files), rows.rows) as progress:
            for prediction in stream(rows.rows):
                cells = [x for name, share in prediction.classes for x in (name, _round(share))]
                cells += [None] * (len(columns) - 2 - len(cells))
                rows.append([prediction.file, *cells, prediction.error or None])
                if prediction.error:
                    skipped.add(prediction.error)
                if prediction.hint:
                    print(f"{printable(prediction.file)}: {prediction.hint}", file=sys.stderr)
                progress.advance()
            rows.finish()
    except BaseException:
        done = f"{rows.rows:,} of {len(files):,} images are in {shlex.quote(options.out)}"
        print(f"{done}; the same command continues.", file=sys.stderr)
        raise
    if progress.done > progress.first:
        print(f"{progress.line()}, written to {options.out}", file=sys.stderr)
    else:
        print("Nothing was left to do.", file=sys.stderr)
    return skipped


def _settings(options, run):
    """Returns everything that a row depends on: weights, class names and options."""
    import keras

    from keras_vit.data.transforms.image_transforms import find_resizing

    digest = hashlib.sha256()
    for weight in run.model.weights:
        digest.update(keras.ops.convert_to_numpy(weight).tobytes())
    read = {name: run.metrics[name] for name in ("image_size", "num_channels")}
    read |= find_resizing(run.metrics)
    asked = {name: getattr(options, name) for name in ("invert", "top", "threshold")}
    names = [*run.metrics["class_names"]]
    return {"weights": digest.hexdigest(), "class_names": names, **read, **asked}


def _round(share):
    return float(f"{share:.6g}")
