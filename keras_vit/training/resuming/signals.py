"""SIGTERM and Ctrl-C end a training after its current step."""

import inspect
import os
import signal
import threading

WATCHED = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """Records the first signal while `model.fit` runs; a second one acts at once.

    Only the main thread can handle signals; in other threads this class does nothing.

    Attributes:
        received: the signal, or None if none was received.
    """

    def __init__(self):
        self.received, self._earlier, self._fit = None, {}, None

    def watch(self, model):
        """Installs the handlers until `stop`."""
        self.stop()
        self.received = None
        self._fit = inspect.unwrap(type(model).fit).__code__
        if threading.current_thread() is threading.main_thread():
            for number in WATCHED:
                self._earlier[number] = signal.signal(number, self._record)

    def stop(self):
        """Restores the earlier handlers."""
        for number, handler in self._earlier.items():
            if signal.getsignal(number) == self._record:
                # None: the handler was not set from Python and cannot be restored.
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._earlier = {}

    def _record(self, number, frame):
        # An error elsewhere in `fit` ends it without a call of its callbacks.
        if self.received is not None or not self._is_running(frame):
            self.stop()
            signal.raise_signal(number)
            return
        self.received = signal.Signals(number)
        text = f"\n{self.received.name}: stopping after this step. Send it again to stop at once.\n"
        os.write(2, text.encode())  # unlike `print`, safe inside of a signal handler

    def _is_running(self, frame):
        while frame is not None and frame.f_code is not self._fit:
            frame = frame.f_back
        return frame is not None


def make_exception(received):
    """Returns the exception that ends a run as the signal would have, with its exit code."""
    if received == signal.SIGINT:
        return KeyboardInterrupt()
    return SystemExit(128 + received)
