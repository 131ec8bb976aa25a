"""Asks whether the network is there, and never waits for long."""

import http.client
import queue
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

SECONDS = 5
# What a proxy answers where it does not let through, or reaches nobody.
BLOCKED = (407, 502, 503, 504)


def trouble(addresses, seconds):
    """Returns why none of the servers of `addresses` answers, or None where one does.

    It goes the way that a download would, through a proxy where the environment names one, and
    takes any answer of a server as good. It returns after `seconds` at the latest: a look-up of a
    name or a silent server may take minutes by itself.

    Args:
        addresses: of the web, "https://..."; one of each server is asked.
        seconds: time to wait for the first answer.

    Example:
    >>> keras_vit.data.network.trouble(["https://www.cs.toronto.edu/"], 5)  # doctest: +SKIP
    'www.cs.toronto.edu: [Errno -3] Temporary failure in name resolution'
    """
    servers = {urllib.parse.urlsplit(address).netloc: address for address in addresses}
    answers, reasons = queue.SimpleQueue(), {}
    for server, address in servers.items():
        work = (server, address, seconds, answers)
        threading.Thread(target=_ask, args=work, daemon=True).start()
    end = time.monotonic() + seconds
    try:
        while len(reasons) < len(servers):
            server, reason = answers.get(timeout=max(end - time.monotonic(), 0.01))
            if reason is None:
                return None
            reasons[server] = reason
    except queue.Empty:
        silence = f"no answer within {seconds} seconds"
        reasons = dict.fromkeys(servers, silence) | reasons
    return "; ".join(f"{server}: {reason}" for server, reason in reasons.items()) or None


def _ask(server, address, seconds, answers):
    """Puts (server, None) into `answers` where it is there, else (server, the reason)."""
    request = urllib.request.Request(address, method="HEAD")
    try:
        # Nobody waits for this thread any more when its own time is up.
        urllib.request.build_opener().open(request, timeout=2 * seconds).close()
        answers.put((server, None))
    except urllib.error.HTTPError as error:
        error.close()
        answers.put((server, str(error) if error.code in BLOCKED else None))
    except (OSError, http.client.HTTPException, ValueError) as error:
        answers.put((server, str(getattr(error, "reason", error))))
