"""Processes that are killed without warning lose nothing and give the same results."""

import json
import os
import random
import signal
import subprocess
import sys

import numpy as np
import pytest
from helpers import SUPPORT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.first,
    pytest.mark.skipif(os.name != "posix", reason="SIGKILL is of POSIX systems"),
]
# (place, how many in one process); the numbers of one write are its arrays.
PLACES = [("batch", 1), ("batch", 2), ("batch", 3), ("validation", 1), ("validation", 2)]
PLACES += [("end", 1), ("write", 1), ("write", 40), ("write", 160), ("write", 250)]


@pytest.fixture
def train(tmp_path):
    """A function that trains in a new process and returns its exit code."""
    log = tmp_path / "log"
    command = [sys.executable, str(SUPPORT / "kill_training.py")]
    cache = {  # cache of compiled steps, which JAX would otherwise compile in every process
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    pipes["env"] = {**os.environ, **cache}
    with log.open("w") as errors, subprocess.Popen(command, stderr=errors, **pipes) as server:

        def run(folder, place="never", number=1):
            line = f"{tmp_path / folder} {tmp_path / folder}.npz {place} {number}\n"
            server.stdin.write(line)
            server.stdin.flush()
            code = server.stdout.readline().strip()
            assert code in ("0", str(-signal.SIGKILL)), (place, number, log.read_text()[-2000:])
            return int(code)

        yield run
        server.stdin.close()


def read(path):
    with np.load(path) as file:
        arrays = dict(file)
    return json.loads(arrays.pop("facts").tobytes()), arrays


@pytest.mark.parametrize("kills", [pytest.param(50, marks=pytest.mark.weekly)])
def test_a_training_killed_again_and_again_ends_as_one_that_was_not(kills, train, tmp_path):
    """At places drawn at random, with mixup, balanced sampling and accumulation over epochs."""
    rng = random.Random(3)
    places = [place for _ in range(-(-kills // len(PLACES))) for place in PLACES]
    places = rng.sample(places, kills)
    killed = [train("killed", "batch", 1)]
    copy(tmp_path / "killed", tmp_path / "unbroken")
    killed += [train("killed", *place) for place in places[1:]]
    assert killed.count(-signal.SIGKILL) >= kills - 2  # the end may come first
    assert train("killed") == 0 and train("unbroken") == 0

    facts, arrays = read(tmp_path / "killed.npz")
    wanted_facts, wanted = read(tmp_path / "unbroken.npz")
    assert facts == wanted_facts and facts["epochs"] == list(range(24))
    assert list(arrays) == list(wanted) and any(name.startswith("seed/") for name in arrays)
    for name, array in arrays.items():
        assert np.array_equal(array, wanted[name]), name


def copy(run, to):
    """Gives the unbroken run the initial state from which the other one began."""
    to.mkdir()
    (first,) = run.glob("*.npz")
    assert first.name == "epoch-0001-step-000000.npz"
    (to / first.name).write_bytes(first.read_bytes())


@pytest.mark.backend_free
@pytest.mark.parametrize("kills", [10, pytest.param(300, marks=pytest.mark.weekly)])
def test_writers_killed_at_any_moment_leave_a_whole_state(kills, tmp_path):
    command = [sys.executable, SUPPORT / "kill_writer.py", tmp_path, str(kills)]
    env = {**os.environ, "KERAS_BACKEND": "numpy"}  # no threads, which a fork would lose
    ended = subprocess.run([str(part) for part in command], env=env, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-2000:]
    counts = json.loads(ended.stdout.splitlines()[-1])
    assert counts["in_write"] >= kills and counts["states"] >= kills // 3, counts
    bad = {name: counts[name] for name in ("unreadable", "older", "mixed", "damaged")}
    assert not any(bad.values()), counts
