"""`keras-vit check-data`."""

import os
import sys

from keras_vit import arguments, doctor
from keras_vit.cli.common import DEFAULT, add_columns, adder, command
from keras_vit.doctor import image_table
from keras_vit.doctor.quarantine_files import quarantine_folder
from keras_vit.io import writing
from keras_vit.training.runs.run_folder import command_line

DESCRIPTION = """Finds what is wrong with a folder of images: files that cannot be read, the same
image in two classes or in both training and test, missing classes, and some fifty other problems.
Exit code: 0 without errors (with --strict: without warnings either), 1 with errors, 2 if an
argument cannot be used. No file is changed unless --fix is given."""


def add(commands):
    """Adds the command."""
    summary = "find what is wrong with a folder"
    add = adder(command(commands, "check-data", _check_data, None, summary, DESCRIPTION))
    folder = "class folders with images, optionally within train, validation and test; or a .csv"
    add("folder FOLDER", folder)
    add_columns(add)
    output = "format of the output; default: text"
    add("--format", output, choices=["text", "json"], default="text")
    add("--json FILE", "write the report as JSON")
    add("--html FILE", "write the report as a page with thumbnails")
    add("--strict", "exit with 1 for warnings, too")
    add(
        "--fix",
        "quarantine: move aside files that cannot be read, and training copies of test "
        "images; undo: move them back, without a check",
        choices=["quarantine", "undo"],
    )
    target = "folder on the same disk to move files to; default: FOLDER-quarantine"
    add("--quarantine DIR", target)
    small = f"warn of classes with fewer training images; {DEFAULT}"
    add("--small-class N", small, int, default=10)
    add("--processes N", "number of processes; default: one per core", int)


def _check_data(options):
    if options.fix == "undo":
        back = doctor.undo(options.folder, options.quarantine)
        print(f"Moved back: {len(back):,} files.")
        return 0
    _check_writable(options)
    report = doctor.check(
        options.folder,
        options.processes,
        options.small_class,
        progress=True,
        columns=options.columns,
    )
    print(report.to_json() if options.format == "json" else report)
    for path, write in ((options.json, report.write_json), (options.html, report.to_html)):
        if path:
            write(path)
            print(f"Written: {path}", file=sys.stderr)
    moved = []
    if options.fix:
        moved = doctor.quarantine(report, options.quarantine)
        _report_moved(moved, options)
    counting = ("error", "warning") if options.strict else ("error",)
    gone = {problem.path for problem in moved}
    return int(any(p.severity in counting for p in report.problems if p.path not in gone))


def _check_writable(options):
    """Raises before the work if its result cannot be written."""
    if options.fix and image_table.is_table(options.folder):
        received = {"FOLDER": options.folder, "--fix": options.fix}
        advice = "Remove the rows of the table whose files have errors."
        arguments.refuse("only files of a folder can be moved", received, advice)
    for path in filter(None, (options.json, options.html)):
        writing.check_file(path, "Choose another FILE.")
    if options.fix and os.path.isdir(options.folder):
        target = quarantine_folder(options.folder, options.quarantine)
        writing.check_folder(target, "Choose another one: --quarantine DIR.")
        writing.check_folder(options.folder, "Its files cannot be moved: make it writable.")


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
