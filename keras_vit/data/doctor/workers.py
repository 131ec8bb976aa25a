"""Processes that open images: an image may end or stop one of them, never the program.

A worker imports the modules here without the package around them, so it loads neither Keras nor a
backend, starts in a tenth of a second and takes 30 MB. It is asked in lines of JSON and answers so.
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

SECONDS = 60  # that an image may take
MEMORY = 2 << 30  # bytes of address space of a worker, where the system can limit it
_AHEAD = 8  # images that a worker is given at once, so that it does not wait for the next
_THREAD = "keras_vit images"
_PACKAGE = pathlib.Path(__file__).parents[2]
# Empty packages stand in for the real ones, whose __init__ would import Keras.
_START = """
import importlib, sys, types
for name, path in {packages!r}.items():
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [path]
importlib.import_module("keras_vit.data.doctor.workers").serve()
"""


def count():
    """Returns how many workers this process may use: its cores."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def run(job, paths, processes=None, seconds=SECONDS):
    """Does a job of `examine` for each path, in parallel.

    Args:
        job: "examine" or "thumbnail".
        paths: list of files.
        processes: number of workers; None for one on each core.
        seconds: that a file may take before its worker is ended.

    Yields:
        (index into `paths`, result), in the order in which they are done. Where a worker ended or
        took too long the result is {"problems": [[kind, reason]]}.

    Raises:
        RuntimeError: a worker cannot start at all.
    """
    pool = _Pool(job, paths, seconds)
    workers = min(processes or count(), -(-len(paths) // _AHEAD))
    threads = [
        threading.Thread(target=pool.work, name=_THREAD, daemon=True) for _ in range(workers)
    ]
    try:
        for thread in threads:
            thread.start()
        yield from pool.results(len(paths))
    finally:
        pool.stop()
        for thread in threads:
            thread.join()
        for worker in list(pool.running):
            worker.close()


def serve():
    """What a worker does: reads [job, path], writes the result, a line each."""
    from keras_vit.data.doctor import examine

    jobs = {"examine": examine.examine, "thumbnail": examine.thumbnail}
    _limit()
    answers = os.fdopen(os.dup(1), "w", encoding="ascii", buffering=1)
    os.dup2(2, 1)  # a library that prints must not disturb the answers
    print(json.dumps("ready"), file=answers)
    for line in sys.stdin:
        job, path = json.loads(line)
        print(json.dumps(jobs[job](path)), file=answers)


def _limit():
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    with contextlib.suppress(ImportError, OSError, ValueError):  # no such limit on Windows
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class _Pool:
    """The work that is left, the workers that do it and the queue of what they found."""

    def __init__(self, job, paths, seconds):
        self.job, self.paths, self.seconds = job, paths, seconds
        self.todo = iter(range(len(paths)))
        self.lock = threading.Lock()
        self.found = queue.Queue()
        self.running = set()
        self.ended_once = set()
        self.stopped = False

    def work(self):
        """One thread: keeps one worker busy until nothing is left."""
        worker = None
        try:
            while chunk := self._next():
                while chunk and not self.stopped:
                    worker = worker or self._started()
                    chunk = self._ask(worker, chunk)
                    if worker.ended:
                        self._end(worker)
                        worker = None
        except Exception as error:
            self.found.put(error)
        finally:
            if worker:
                self._end(worker)

    def results(self, number):
        """Yields what the threads find, and ends workers that take too long."""
        while number:
            for worker in self._overdue():
                worker.kill()
            try:
                found = self.found.get(timeout=0.1)
            except queue.Empty:
                continue
            if isinstance(found, Exception):
                raise found
            yield found
            number -= 1

    def stop(self):
        """Ends all workers at once."""
        with self.lock:
            self.stopped = True
            for worker in self.running:
                worker.kill()

    def _next(self):
        with self.lock:
            return [] if self.stopped else list(itertools.islice(self.todo, _AHEAD))

    def _overdue(self):
        with self.lock:
            return [worker for worker in self.running if time.monotonic() > worker.deadline]

    def _started(self):
        worker = _Worker(self.seconds)
        with self.lock:
            self.running.add(worker)
            if self.stopped:
                worker.kill()
        if worker.answer() != "ready" and not self.stopped:
            raise RuntimeError(
                f"The process that opens images did not start: {sys.executable} must be a Python "
                "with Pillow."
            )
        return worker

    def _end(self, worker):
        with self.lock:
            self.running.discard(worker)
        worker.close()

    def _ask(self, worker, chunk):
        """Returns the part of `chunk` that is still to do, as the worker may end before it."""
        worker.send([[self.job, self.paths[index]] for index in chunk])
        for done, index in enumerate(chunk):
            answer = worker.answer()
            if worker.ended:
                return chunk[done:] if self._once_more(worker, index) else chunk[done + 1 :]
            self.found.put((index, answer))
        worker.deadline = math.inf
        return []

    def _once_more(self, worker, index):
        """Whether to try again an image that a worker ended at: the system may have ended it."""
        if not worker.late and index not in self.ended_once:
            self.ended_once.add(index)
            return True
        kind, reason = "crash", "the process that read it ended twice"
        if worker.late:
            kind, reason = "slow", f"more than {self.seconds:g} s"
        self.found.put((index, {"problems": [[kind, reason]]}))
        return False


class _Worker:
    """A process with pipes to it."""

    def __init__(self, seconds):
        names = ("keras_vit", "keras_vit.data", "keras_vit.data.doctor")
        folders = (_PACKAGE, _PACKAGE / "data", _PACKAGE / "data" / "doctor")
        packages = dict(zip(names, map(str, folders), strict=True))
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START.format(packages=packages)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        self.seconds, self.deadline = seconds, math.inf
        self.ended = self.late = False

    def send(self, requests):
        """Sends lines; where the process has ended, `answer` will tell."""
        lines = "".join(json.dumps(request) + "\n" for request in requests)
        with contextlib.suppress(OSError):
            self.process.stdin.write(lines.encode("ascii"))
            self.process.stdin.flush()

    def answer(self):
        """Returns the next answer; None where the process has ended."""
        self.deadline = time.monotonic() + self.seconds
        line = self.process.stdout.readline()
        self.ended = not line.endswith(b"\n")
        return None if self.ended else json.loads(line)

    def kill(self):
        """Ends the process, as one that is late if its time is over."""
        self.late = time.monotonic() > self.deadline
        self.process.kill()

    def close(self):
        """Ends the process and frees what it held."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        with contextlib.suppress(OSError):
            self.process.stdin.close()
