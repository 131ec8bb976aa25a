"""Images per second of this package and of its peers, in one process, in turns.

    KERAS_BACKEND=jax python tests/benchmark/speed.py --peers kerashub flax keras

The tables made by this command are in docs/speed.md, with explanations.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import statistics
import sys

import fresh
import keras
import peers

from keras_vit.studies.lab import paired

MODES = ("train", "predict")
PACKAGES = (
    *("keras-vit", "keras", "jax", "jaxlib", "tensorflow", "torch"),
    *("numpy", "keras-hub", "flax", "optax", "timm"),
)


def main(arguments=None):
    """Measures, prints tables in Markdown, and returns all results as a dictionary."""
    options = parser().parse_args(arguments)
    setup = peers.Setup(**{name: getattr(options, name) for name in peers.Setup._fields})
    names = ["ours", *options.peers]
    try:
        for name in names:
            peers.check(name, setup)
    except (ImportError, ValueError) as error:
        raise SystemExit(str(error)) from None
    results = {"environment": environment(arguments), "setup": setup._asdict()}
    print(*(f"{key}: {value}" for key, value in results["environment"].items()), sep="\n")
    if options.fresh:
        results["fresh"] = fresh.measure(names, setup, options.fresh)
        print("\n" + fresh_table(results["fresh"]), flush=True)
    if options.rounds:
        results |= in_turns(names, setup, options.mode, options.rounds, options.steps)
        for mode in options.mode:
            print("\n" + speed_table(mode, results, setup.batch_size * options.steps), flush=True)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
    return results


def parser():
    """Returns the parser of the command line."""
    defaults = peers.Setup()
    parser = argparse.ArgumentParser(
        "python tests/benchmark/speed.py", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--peers", nargs="*", default=["kerashub"], help=", ".join(peers.PEERS))
    parser.add_argument("--mode", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--model", default=defaults.model)
    parser.add_argument("--image-size", type=int, default=defaults.image_size)
    parser.add_argument("--batch-size", type=int, default=defaults.batch_size)
    parser.add_argument("--num-classes", type=int, default=defaults.num_classes)
    parser.add_argument("--num-layers", type=int, help="instead of the model's own")
    parser.add_argument("--dtype", default=defaults.dtype, help="float32, mixed_bfloat16, ...")
    parser.add_argument("--optimizer", choices=peers.OPTIMIZERS, default=defaults.optimizer)
    parser.add_argument("--rounds", type=int, default=20, help="timed turns of each contender")
    parser.add_argument("--steps", type=int, default=1, help="batches in one turn")
    parser.add_argument(
        "--fresh", type=int, default=3, help="new processes each for the first step; 0 for none"
    )
    parser.add_argument("--json", metavar="FILE", help="where to write every single time")
    return parser


def in_turns(names, setup, modes, rounds, steps):
    """Builds all contenders and measures every mode, in turns."""
    images, labels = setup.batch()
    contenders = {name: peers.build(name, setup) for name in names}
    results = {"parameters": {name: c.parameters for name, c in contenders.items()}}
    for mode in modes:
        batch = (images, labels) if mode == "train" else (images,)
        turns = {name: _turn(getattr(c, mode), batch, steps) for name, c in contenders.items()}
        results[mode] = paired.measure(turns, rounds)
    return results


def _turn(method, batch, steps):
    def turn():
        for _ in range(steps):
            method(*batch)

    return turn


def speed_table(mode, results, images):
    """Returns the rates of one mode, and how many times as fast as each contender `ours` is."""
    seconds = results[mode]
    lines = [
        f"| {mode} | parameters | images/s | ours is faster by | quartiles |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, times in seconds.items():
        median, lower, upper = paired.speedup(seconds["ours"], times)
        lines.append(
            f"| {name} | {results['parameters'][name]:,} | {paired.rate(times, images):.1f} "
            f"| {median:.2f} x | {lower:.2f}-{upper:.2f} |"
        )
    return "\n".join(lines)


def fresh_table(results):
    """Returns the medians over the new processes."""
    lines = [
        "| new process | create, s | first training step, s | second step, s | peak memory, MiB |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, runs in results.items():
        median = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        lines.append(
            f"| {name} | {median['create_s']:.2f} | {median['first_step_s']:.2f} "
            f"| {median['second_step_s']:.2f} | {median['peak_mib']:.0f} |"
        )
    return "\n".join(lines)


def environment(arguments=None):
    """Returns everything that the numbers depend on: command, date, processor, versions."""
    given = sys.argv[1:] if arguments is None else arguments
    variables = ("KERAS_BACKEND", "GLIBC_TUNABLES", "OMP_WAIT_POLICY", "XLA_FLAGS")
    settings = [f"{name}={os.environ[name]}" for name in variables if name in os.environ]
    command = ["python", "tests/benchmark/speed.py", *given]
    return {
        "command": " ".join([*settings, shlex.join(command)]),
        "date": datetime.date.today().isoformat(),
        "backend": keras.backend.backend(),
        "processor": f"{processor()}, {os.cpu_count()} cores",
        "device": str(keras.ops.zeros(1).device),
        "python": platform.python_version(),
        "versions": ", ".join(f"{p} {v}" for p in PACKAGES if (v := _version(p))),
    }


def processor():
    """Returns the processor's model, if the system reports it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            facts = dict(line.split(":", 1) for line in file if ":" in line)
        facts = {key.strip(): value.strip() for key, value in facts.items()}
        return f"{facts['model name']} (family {facts['cpu family']}, model {facts['model']})"
    except (OSError, KeyError):
        return platform.processor() or platform.machine()


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
