"""Says how far a long task is."""

import sys
import time


class Progress:
    """A bar on stderr at a terminal; elsewhere a line when it is done.

    Args:
        total: number of steps.
        things: what is counted, as "images".
        shown: whether to write anything.
        stream: file to write to; None for stderr.
    """

    def __init__(self, total, things, shown=True, stream=None):
        self.total, self.things, self.shown = total, things, shown
        self.stream = stream or sys.stderr
        self.done, self.start, self.drawn = 0, time.perf_counter(), 0.0

    def __enter__(self):
        return self

    def step(self):
        """Counts one; draws the bar ten times a second."""
        self.done += 1
        now = time.perf_counter()
        if self.shown and self.stream.isatty() and now - self.drawn > 0.1:
            self.drawn = now
            self._draw(now - self.start)

    def __exit__(self, *error):
        if not self.shown:
            return
        seconds = time.perf_counter() - self.start
        start = "\r\x1b[K" if self.stream.isatty() else ""
        rate = self.done / max(seconds, 1e-9)
        line = f"{self.done:,} {self.things} examined in {seconds:.1f} s, {rate:,.0f} a second"
        print(start + line, file=self.stream, flush=True)

    def _draw(self, seconds):
        share = self.done / max(self.total, 1)
        left = seconds / max(self.done, 1) * (self.total - self.done)
        bar = ("#" * round(30 * share)).ljust(30, ".")
        line = f"[{bar}] {self.done:,} of {self.total:,} {self.things}, {left:.0f} s left"
        print(f"\r{line}\x1b[K", end="", file=self.stream, flush=True)
