"""Processes that open images: an image may crash or block one of them, but never the program.

A worker imports only the modules that it needs, not Keras or a backend, so it starts in a tenth of
a second and uses 30 MB. Requests and results are lines of JSON.
"""

import contextlib
import itertools
import json
import math
import os
import pathlib
import queue
import subprocess
import sys
import threading
import time

from keras_vit.environment import cores

SECONDS = 60  # time limit of an image
MEMORY = 2 << 30  # bytes of address space of a worker, if the system can limit it
_AHEAD = 8  # images to send to a worker at once, so that it never waits
_THREAD = "keras_vit images"
_PACKAGE = pathlib.Path(__file__).parents[1]
# Empty packages replace the real ones, whose __init__ would import Keras.
_START = """
import importlib, sys, types
for name, path in {packages!r}.items():
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [path]
importlib.import_module("keras_vit.doctor.workers").serve()
"""


def run(job, paths, processes=None, seconds=SECONDS):
    """Runs a function of `examine` ("examine" or "thumbnail") on each path, in parallel.

    Yields (index into `paths`, result) in the order of completion. If a worker crashed or exceeded
    the time limit, the result is {"problems": [[kind, reason]]}. `processes` is the number of
    workers; None for one per core. Raises `RuntimeError` if a worker cannot start.
    """
    pool = _Pool(job, paths, seconds)
    workers = min(processes or cores(), -(-len(paths) // _AHEAD))
    threads = [
        threading.Thread(target=pool.work, name=_THREAD, daemon=True) for _ in range(workers)
    ]
    try:
        for thread in threads:
            thread.start()
        yield from pool.results()
    finally:
        pool.stop()
        for thread in threads:
            thread.join()
        for worker in list(pool.running):
            worker.close()


def serve():
    """Runs in a worker: reads lines [job, path] and writes one line per result."""
    import signal

    from PIL import Image

    from keras_vit.doctor import examine

    Image.preinit()  # imports decoders, which would count as time of the first image
    jobs = {"examine": examine.examine, "thumbnail": examine.thumbnail}
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    with contextlib.suppress(ImportError, OSError, ValueError):  # no such limit on Windows
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    results = os.fdopen(os.dup(1), "w", encoding="ascii", buffering=1)
    os.dup2(2, 1)  # a library that prints must not disturb the results
    print(json.dumps("ready"), file=results)
    for line in sys.stdin:
        job, path = json.loads(line)
        print(json.dumps(jobs[job](path)), file=results)


class _Pool:
    """The remaining work, the running workers and the queue of their results."""

    def __init__(self, job, paths, seconds):
        self.job, self.paths, self.seconds = job, paths, seconds
        self.todo = iter(range(len(paths)))
        self.lock = threading.Lock()
        self.done = queue.Queue()
        self.running, self.crashed_once = set(), set()
        self.stopped = False

    def work(self):
        """Runs in a thread: keeps one worker busy until no work is left."""
        worker = None
        try:
            while chunk := self._next():
                while chunk and not self.stopped:
                    worker = worker or self._start()
                    chunk = self._request(worker, chunk)
                    if worker.has_ended:
                        self._end(worker)
                        worker = None
        except Exception as error:
            self.done.put(error)
        finally:
            if worker:
                self._end(worker)

    def results(self):
        """Yields the results of the threads, and ends workers that exceed the time limit."""
        left = len(self.paths)
        while left:
            with self.lock:
                overdue = [w for w in self.running if time.monotonic() > w.deadline]
            for worker in overdue:
                worker.kill()
            try:
                result = self.done.get(timeout=0.1)
            except queue.Empty:
                continue
            if isinstance(result, Exception):
                raise result
            yield result
            left -= 1

    def stop(self):
        """Ends all workers at once."""
        with self.lock:
            self.stopped = True
            for worker in self.running:
                worker.kill()

    def _next(self):
        with self.lock:
            return [] if self.stopped else list(itertools.islice(self.todo, _AHEAD))

    def _start(self):
        worker = _Worker(SECONDS)
        with self.lock:
            self.running.add(worker)
            if self.stopped:
                worker.kill()
        if worker.receive() != "ready" and not self.stopped:
            raise RuntimeError(
                "A process that opens images was expected to start. Received: none from "
                f"{sys.executable}, which must be a Python with Pillow. Run: pip install pillow"
            )
        worker.seconds = self.seconds
        return worker

    def _end(self, worker):
        with self.lock:
            self.running.discard(worker)
        worker.close()

    def _request(self, worker, chunk):
        """Sends a chunk and returns the part of it that is left, since the worker may crash."""
        worker.send([[self.job, self.paths[index]] for index in chunk])
        for number, index in enumerate(chunk):
            result = worker.receive()
            if worker.has_ended and not worker.late and index not in self.crashed_once:
                self.crashed_once.add(index)  # try again: the system may have killed the worker
                return chunk[number:]
            if worker.has_ended:
                slow = "slow", f"more than {self.seconds:g} s"
                problem = slow if worker.late else ("crash", "the process crashed twice")
                self.done.put((index, {"problems": [problem]}))
                return chunk[number + 1 :]
            self.done.put((index, result))
        worker.deadline = math.inf
        return []


class _Worker:
    """A worker process and the pipes to it; it has `seconds` to start or to examine an image."""

    def __init__(self, seconds):
        packages = {"keras_vit": str(_PACKAGE), "keras_vit.doctor": str(_PACKAGE / "doctor")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START.format(packages=packages)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        self.seconds, self.deadline = seconds, math.inf
        self.has_ended = self.late = False

    def send(self, requests):
        """Sends lines; if the process has ended, `receive` will notice."""
        lines = "".join(json.dumps(request) + "\n" for request in requests)
        with contextlib.suppress(OSError):
            self.process.stdin.write(lines.encode("ascii"))
            self.process.stdin.flush()

    def receive(self):
        """Returns the next result, or None if the process has ended."""
        self.deadline = time.monotonic() + self.seconds
        line = self.process.stdout.readline()
        self.has_ended = not line.endswith(b"\n")
        return None if self.has_ended else json.loads(line)

    def kill(self):
        """Ends the process; it is `late` if it exceeded the time limit."""
        self.late = time.monotonic() > self.deadline
        self.process.kill()

    def close(self):
        """Ends the process and closes its pipes."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        with contextlib.suppress(OSError):
            self.process.stdin.close()
