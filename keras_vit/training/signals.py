"""SIGTERM and Ctrl-C as a wish that training ends after its step."""

import inspect
import os
import signal
import threading

WATCHED = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """Notes the first signal while `model.fit` runs; a second one acts at once.

    Only the main thread can handle signals; in another one nothing is watched.

    Attributes:
        received: the signal that came, None before.
    """

    def __init__(self):
        self.received, self._earlier, self._fit = None, {}, None

    def watch(self, model):
        """Takes over the handlers until `stop`."""
        self.stop()
        self.received = None
        self._fit = inspect.unwrap(type(model).fit).__code__
        if threading.current_thread() is threading.main_thread():
            for number in WATCHED:
                self._earlier[number] = signal.signal(number, self._note)

    def stop(self):
        """Gives the handlers back to whoever had them."""
        for number, handler in self._earlier.items():
            if signal.getsignal(number) == self._note:
                # None: it was not set from Python and cannot be set again.
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._earlier = {}

    def _note(self, number, frame):
        # An error elsewhere in `fit` ends it without telling its callbacks.
        if self.received is not None or not self._is_running(frame):
            self.stop()
            signal.raise_signal(number)
            return
        self.received = signal.Signals(number)
        text = f"\n{self.received.name}: ends after this step. Once more ends at once.\n"
        os.write(2, text.encode())  # `print` may not be entered twice

    def _is_running(self, frame):
        while frame is not None and frame.f_code is not self._fit:
            frame = frame.f_back
        return frame is not None


def ending(received):
    """Returns the exception that ends a run as the signal would have, with its exit code."""
    if received == signal.SIGINT:
        return KeyboardInterrupt()
    return SystemExit(128 + received)
