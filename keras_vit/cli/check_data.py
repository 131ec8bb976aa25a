"""`keras-vit check-data`."""

import os
import sys

from keras_vit import doctor
from keras_vit.cli.common import command
from keras_vit.doctor.quarantine_files import quarantine_folder
from keras_vit.io import writing
from keras_vit.training.runs.run_folder import command_line

DESCRIPTION = """Finds what is wrong with a folder of images: files that cannot be read, the same
image in two classes or in both training and test, missing classes, and some fifty other problems.
Exit code: 0 without errors (with --strict: without warnings either), 1 with errors, 2 if an
argument cannot be used. No file is changed unless --fix is given."""


def add(commands):
    """Adds the command."""
    parser = command(
        commands, "check-data", _check_data, None, "find what is wrong with a folder", DESCRIPTION
    )
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        help="class folders with images, optionally within train, validation and test",
    )
    parser.add_argument(
        "--format",
        choices=["text", "json"],
        default="text",
        help="format of the output; default: text",
    )
    parser.add_argument("--json", metavar="FILE", help="write the report as JSON")
    parser.add_argument("--html", metavar="FILE", help="write the report as a page with thumbnails")
    parser.add_argument("--strict", action="store_true", help="exit with 1 for warnings, too")
    parser.add_argument(
        "--fix",
        choices=["quarantine", "undo"],
        help="quarantine: move aside files that cannot be read, and training copies of test "
        "images; undo: move them back, without a check",
    )
    parser.add_argument(
        "--quarantine",
        metavar="DIR",
        help="folder on the same disk to move files to; default: FOLDER-quarantine",
    )
    parser.add_argument(
        "--small-class",
        type=int,
        default=10,
        metavar="N",
        help="warn of classes with fewer training images; default: %(default)s",
    )
    parser.add_argument(
        "--processes", type=int, metavar="N", help="number of processes; default: one per core"
    )


def _check_data(options):
    if options.fix == "undo":
        back = doctor.undo(options.folder, options.quarantine)
        print(f"Moved back: {len(back):,} files.")
        return 0
    _check_writable(options)
    report = doctor.check(options.folder, options.processes, options.small_class, progress=True)
    print(report.to_json() if options.format == "json" else report)
    _write(report, options)
    moved = []
    if options.fix:
        moved = doctor.quarantine(report, options.quarantine)
        _report_moved(moved, options)
    return int(_fails(report, {problem.path for problem in moved}, options.strict))


def _check_writable(options):
    """Raises before the work if its result cannot be written."""
    for path in filter(None, (options.json, options.html)):
        writing.check_file(path, "Choose another FILE.")
    if options.fix and os.path.isdir(options.folder):
        target = quarantine_folder(options.folder, options.quarantine)
        writing.check_folder(target, "Choose another one: --quarantine DIR.")
        writing.check_folder(options.folder, "Its files cannot be moved: make it writing.")


def _write(report, options):
    if options.json:
        report.write_json(options.json)
        print(f"Written: {options.json}", file=sys.stderr)
    if options.html:
        report.to_html(options.html)
        print(f"Written: {options.html}", file=sys.stderr)


def _report_moved(moved, options):
    # On stderr: another program may read the report on stdout.
    if not moved:
        print("Nothing to move.", file=sys.stderr)
        return
    again = ["check-data", options.folder, "--fix", "undo"]
    if options.quarantine:
        again += ["--quarantine", options.quarantine]
    back = command_line(*again)
    print(f"Moved aside: {len(moved):,} files. To move them back: {back}", file=sys.stderr)


def _fails(report, moved, strict):
    """Returns whether problems remain that count, apart from those of moved files."""
    counting = ("error", "warning") if strict else ("error",)
    left = (p for p in report.problems if p.path not in moved)
    return any(problem.severity in counting for problem in left)
