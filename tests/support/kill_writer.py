"""Writers of states that are killed: `kill_writer.py FOLDER KILLS`, run by test_kill.

Forks writers that save one state after another, kills each by SIGKILL at a random moment, and
reads what is left. Prints JSON: the number of writers killed in a write, of unreadable states, and
of states older than the two newest.
"""

import json
import os
import pathlib
import random
import signal
import sys
import time

import numpy as np

from keras_vit.training.resuming import state_files

NAMES = [f"weight/{i}/kernel" for i in range(20)]


def write_for_ever(folder, step, pipe):
    """Saves states filled with the number of their step, and reports the step before and after."""
    while True:
        step += 1
        arrays = {name: np.full((100, 50), step, "float32") for name in NAMES}
        os.write(pipe, b"b%08d" % step)
        state_files.write(folder, state_files.State(0, step, {"settings": {}}, arrays))
        os.write(pipe, b"e%08d" % step)


def kill_one(folder, step, wait):
    """Returns the reports of the writer until it was killed: [(b"b" or b"e", step), ...]."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            write_for_ever(folder, step, writing)
        finally:
            os._exit(1)
    os.close(writing)
    begun = os.read(reading, 9)  # on a busy machine, a writer may start slowly
    time.sleep(wait)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as told:
        text = begun + told.read()
    return [(text[i : i + 1], int(text[i + 1 : i + 9])) for i in range(0, len(text), 9)]


def main(folder, kills):
    folder, rng = pathlib.Path(folder), random.Random(0)
    counts = dict.fromkeys(["kills", "in_write", "unreadable", "older", "mixed", "states"], 0)
    step = 0
    state_files.prepare(folder)
    while counts["in_write"] < kills:
        told = kill_one(folder, step, rng.uniform(0, 0.1))
        whole = [step] + [number for kind, number in told if kind == b"e"]
        counts["kills"] += 1
        counts["states"] += len(whole) - 1
        counts["in_write"] += bool(told) and told[-1][0] == b"b"
        try:
            found = state_files.read_newest(folder)
        except ValueError:
            counts["unreadable"] += 1
            continue
        step_found = found.step if found is not None else 0
        counts["older"] += step_found < whole[-1]
        if found is not None:
            counts["mixed"] += any(np.any(a != step_found) for a in found.arrays.values())
        step = step_found
        for rest in folder.glob(state_files.UNFINISHED):
            rest.unlink()
    counts["damaged"] = len(list(folder.glob("*.damaged")))
    print(json.dumps(counts))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
