"""`keras-vit check-data`."""

import pathlib
import sys

from keras_vit.commands.parts import command
from keras_vit.data import doctor

DESCRIPTION = """Finds what is wrong with a folder of pictures: files that cannot be read, the same
picture in two classes or in training and test, classes that are missing, and some fifty kinds more.
Exit code: 0 without errors (with --strict: without warnings, too), 1 with some, 2 where the
arguments cannot be used. A report changes no file."""


def add(commands):
    """Adds the command."""
    parser = command(
        commands, "check-data", _check_data, "find what is wrong with a folder", DESCRIPTION
    )
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        help="class folders with pictures, perhaps within train, validation and test",
    )
    parser.add_argument("--format", choices=["text", "json"], default="text", help="of the output")
    parser.add_argument("--json", metavar="FILE", help="write the report as JSON")
    parser.add_argument("--html", metavar="FILE", help="write it as a page with thumbnails")
    parser.add_argument("--strict", action="store_true", help="exit code 1 for warnings, too")
    parser.add_argument(
        "--fix",
        choices=["quarantine", "undo"],
        help="quarantine: move files that cannot be read, and training copies of test pictures, "
        "aside; undo: move them back, without a check",
    )
    parser.add_argument(
        "--quarantine",
        metavar="DIR",
        help="where to move files to, on the same disk; default: FOLDER-quarantine",
    )
    parser.add_argument(
        "--small-class",
        type=int,
        default=10,
        metavar="N",
        help="warn of classes with fewer pictures to train on; default: 10",
    )
    parser.add_argument(
        "--processes", type=int, metavar="N", help="how many work at once; default: one a core"
    )


def _check_data(options):
    if options.fix == "undo":
        back = doctor.undo(options.folder, options.quarantine)
        print(f"Moved back: {len(back):,} files.")
        return 0
    for path in filter(None, (options.json, options.html)):
        _check_writable(path)
    report = doctor.check(options.folder, options.processes, options.small_class, progress=True)
    print(report.to_json() if options.format == "json" else report)
    _write(report, options)
    moved = []
    if options.fix:
        moved = doctor.quarantine(report, options.quarantine)
        _say_moved(moved, options)
    return int(_fails(report, {problem.path for problem in moved}, options.strict))


def _check_writable(path):
    """Raises before the work that a report cannot be written after it."""
    folder = pathlib.Path(path).absolute().parent
    if not folder.is_dir():
        raise FileNotFoundError(
            f"A file in a folder that exists was expected. Received: {path!r}. "
            f"Make {str(folder)!r} first."
        )


def _write(report, options):
    if options.json:
        report.write_json(options.json)
        print(f"Written: {options.json}", file=sys.stderr)
    if options.html:
        report.to_html(options.html)
        print(f"Written: {options.html}", file=sys.stderr)


def _say_moved(moved, options):
    # Not to stdout: that is the report's, which another program may read.
    if not moved:
        print("Nothing to move.", file=sys.stderr)
        return
    again = f"keras-vit check-data {options.folder} --fix undo"
    if options.quarantine:
        again += f" --quarantine {options.quarantine}"
    print(f"Moved aside: {len(moved):,} files. To move them back: {again}", file=sys.stderr)


def _fails(report, moved, strict):
    """Whether there are problems left that count; those of moved files do not."""
    counting = ("error", "warning") if strict else ("error",)
    left = (p for p in report.problems if p.path not in moved)
    return any(problem.severity in counting for problem in left)
