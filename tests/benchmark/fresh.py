"""The first training step and the memory: `python tests/benchmark/fresh.py ours`.

A model compiles at its first step, once per process. Each contender therefore gets its own process,
and `measure` starts these processes in turns.
"""

import importlib
import json
import resource
import subprocess
import sys
import time

import peers

STEPS = 3  # the first one compiles, the memory's peak is reached by the third


def measure(names, setup, repeats):
    """Runs every contender `repeats` times in new processes, in turns and in alternating order.

    Returns:
        `{name: [{"create_s": ..., "first_step_s": ..., "second_step_s": ..., "peak_mib": ...}]}`
    """
    results = {name: [] for name in names}
    for repeat in range(repeats):
        for name in names if repeat % 2 == 0 else reversed(names):
            results[name].append(_in_new_process(name, setup))
    return results


def _in_new_process(name, setup):
    command = [sys.executable, __file__, name, json.dumps(setup)]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{run.stderr}")
    return json.loads(run.stdout.splitlines()[-1])


def run(name, setup):
    """Builds one contender in this process and takes its first steps; imports are not timed."""
    for module in peers.NEEDS[name]:
        importlib.import_module(module)
    batch = setup.batch()
    times = [time.perf_counter()]
    contender = peers.build(name, setup)
    times.append(time.perf_counter())
    for _ in range(STEPS):
        contender.train(*batch)
        times.append(time.perf_counter())
    create, first, second, *_ = (b - a for a, b in zip(times, times[1:], strict=False))
    return {
        "create_s": create,
        "first_step_s": first,
        "second_step_s": second,
        "peak_mib": peak_mib(),
    }


def peak_mib():
    """Returns the most memory that this process has held, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], peers.Setup(*json.loads(sys.argv[2])))))
