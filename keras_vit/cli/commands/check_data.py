"""`keras-vit check-data`."""

import os
import sys
from collections import Counter

from keras_vit import arguments, doctor
from keras_vit.cli.common import DEFAULT, add_columns, adder, command
from keras_vit.doctor import image_table
from keras_vit.doctor.file_tree import printable
from keras_vit.doctor.quarantine_files import quarantine_folder
from keras_vit.io import writing
from keras_vit.training.runs.run_folder import command_line, fine_tuning

DESCRIPTION = """Finds what is wrong with a folder of images: files that cannot be read, the same
image in two classes or in both training and test, missing classes, and many other problems.
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
        "quarantine: move aside files that cannot be read, copies in two classes, training "
        "copies of test images, and class folders without images; undo: move them back, without a "
        "check",
        choices=["quarantine", "undo"],
    )
    add("--skip-empty", "do not count empty classes as errors, for `train --skip-empty`")
    target = "folder on the same disk to move files to; default: FOLDER-quarantine"
    add("--quarantine DIR", target)
    small = f"warn about classes with fewer training images; {DEFAULT}"
    add("--small-class N", small, int, default=10)
    add("--processes N", "number of processes; default: one per core", int)


def _check_data(options):
    _check_options(options)
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
    if options.fix:
        _report_moved(doctor.quarantine(report, options.quarantine), options)
    left = _count_left(report, options)
    if options.fix and left:
        kinds = ", ".join(f"{kind} ({number:,})" for kind, number in left.items())
        print(f"Left for you to decide: {kinds}", file=sys.stderr)
    if not left:
        given = {"columns": options.columns, "skip_empty": options.skip_empty}
        print(f"To train on it: {fine_tuning(options.folder, **given)}", file=sys.stderr)
    return int(bool(left))


def _count_left(report, options):
    """Counts the problems of each kind that make the exit code 1; files may have been moved."""
    severities = ("error", "warning") if options.strict else ("error",)
    filled = sum(any(images.values()) for images in report.classes.values())
    skipped = ("empty-class",) if options.skip_empty and filled > 1 else ()

    def exists(path):
        return os.path.lexists(os.path.join(report.folder, path))

    return Counter(
        problem.kind
        for problem in report.problems
        if problem.severity in severities
        and problem.kind not in skipped
        and exists(problem.path)
        and (not problem.others or any(map(exists, problem.others)))
    )


def _check_options(options):
    """Raises if an option would have no effect."""
    if options.fix is None and options.quarantine is not None:
        received = {"--quarantine": options.quarantine, "--fix": None}
        arguments.refuse(
            "--quarantine is for --fix", received, "Add --fix quarantine or --fix undo."
        )
    if options.skip_empty and image_table.is_table(options.folder):
        received = {"FOLDER": options.folder, "--skip-empty": True}
        arguments.refuse("--skip-empty is about class folders", received, "Leave it out.")
    of_the_check = ("json", "html", "columns", "strict", "skip_empty", "processes")
    given = {name: getattr(options, name) for name in of_the_check if getattr(options, name)}
    if options.fix == "undo" and given:
        want = "--fix undo moves files back without a check, so it has no report"
        arguments.refuse(want, given, "Leave them out.")


def _check_writable(options):
    """Raises before any work if the result cannot be written."""
    if options.fix and image_table.is_table(options.folder):
        received = {"FOLDER": options.folder, "--fix": options.fix}
        advice = "Remove the rows of the table whose files have errors."
        arguments.refuse("only files of a folder can be moved", received, advice)
    for path, suffix in ((options.json, ".json"), (options.html, ".html")):
        if path is not None:
            writing.check_file(path, "Choose another FILE.", suffix)
    if options.json is not None and options.json == options.html:
        want = "the report as JSON and the page need two files"
        arguments.refuse(want, {"--json": options.json, "--html": options.html})
    if options.fix and os.path.isdir(options.folder):
        target = quarantine_folder(options.folder, options.quarantine)
        writing.check_folder(target, "Choose another one: --quarantine DIR.")
        writing.check_folder(options.folder, "Its files cannot be moved: make it writable.")


def _report_moved(moved, options):
    # On stderr, because another program may read the report on stdout.
    if not moved:
        print("Nothing to move.", file=sys.stderr)
        return
    again = ["check-data", options.folder, "--fix", "undo"]
    if options.quarantine:
        again += ["--quarantine", options.quarantine]
    back = command_line(*again)
    folders = [problem.path for problem in moved if problem.kind == "empty-class"]
    what = f"{len(moved) - len(folders):,} files"
    if folders:
        what += f", and class folders with too few images ({', '.join(map(printable, folders))})"
    print(f"Moved aside: {what}. To move them back: {back}", file=sys.stderr)
