"""What the tests of the dataset doctor share."""

import os
import pathlib

from keras_vit import cli


def found(report):
    """{(kind, path)} of the problems of a report."""
    return {(problem.kind, problem.path) for problem in report.problems}


def severe(report):
    """The errors and warnings of a report."""
    return [problem for problem in report.problems if problem.severity != "note"]


def run(*words):
    """Runs `keras-vit check-data`; returns its exit code."""
    return cli.carry_out(cli.parser().parse_args(["check-data", *map(str, words)]))


def read_tree(folder):
    """{path: (mode, bytes or target, time of change)} of all files and links."""
    listed = {}
    for path, _, files in os.walk(folder):
        for name in files:
            full = os.path.join(path, name)
            status = os.lstat(full)
            content = os.readlink(full) if os.path.islink(full) else None
            if content is None and os.path.isfile(full):
                content = pathlib.Path(full).read_bytes()
            listed[os.path.relpath(full, folder)] = status.st_mode, content, status.st_mtime_ns
    return listed
