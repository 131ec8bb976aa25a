"""Shows progress on standard error: one updated line on a terminal, otherwise a line a minute."""

import sys
import time

CLEAR = "\r\x1b[K"  # clears a terminal's line
SECONDS = {True: 0.2, False: 60.0}  # between two lines, on a terminal and elsewhere


def over(batches, total):
    """Yields batches (images, labels), and shows how many of `total` images have been yielded."""
    with Progress(total) as progress:
        for images, labels in batches:
            yield images, labels
            progress.advance(len(labels))


class Progress:
    """Shows the number of images, their rate and the time left; for use in a `with` statement.

    Args:
        total: number of images, None if it is unknown.
        done: number of images that are done already.
    """

    def __init__(self, total, done=0):
        self.total, self.done, self.first = total, done, done
        self.stream = sys.stderr
        self.is_live = self.stream.isatty()

    def __enter__(self):
        self.start = self.shown = time.monotonic()
        return self

    def advance(self, count=1):
        """Counts images, and updates the line if it is due."""
        self.done += count
        now = time.monotonic()
        if now - self.shown >= SECONDS[self.is_live]:
            self.shown = now
            begin, end = (CLEAR, "") if self.is_live else ("", "\n")
            print(f"{begin}{self.line()}", end=end, file=self.stream, flush=True)

    def line(self):
        """Returns the displayed line: "640 of 2,000 images, 33.1 images/s, 0:41 left"."""
        seconds, made = time.monotonic() - self.start, self.done - self.first
        rate = made / seconds if seconds else 0.0
        text = f"{self.done:,}" + (f" of {self.total:,}" if self.total else "")
        text += f" images, {rate:.1f} images/s"
        if self.total and made and self.done < self.total:
            minutes, rest = divmod(round((self.total - self.done) * seconds / made), 60)
            text += f", {minutes}:{rest:02} left"
        return text

    def __exit__(self, kind, error, trace):
        if self.is_live:
            print(CLEAR, end="", file=self.stream, flush=True)
