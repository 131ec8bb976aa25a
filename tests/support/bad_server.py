"""A local server that interrupts, sends wrong data, and redirects."""

import hashlib
import http.server
import io
import re

import numpy as np

CONTENT = io.BytesIO()
np.savez(CONTENT, **{"block/kernel": np.arange(50_000, dtype="float32"), "cls": np.ones(3)})
CONTENT = CONTENT.getvalue()
LENGTH = len(CONTENT)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PAGE = b"<!doctype html><title>Sign in</title>"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers according to the first part of the path; `server.asked` records the requests."""

    def do_GET(self):
        self.server.asked.append(self.headers.get("Range"))
        getattr(self, "answer_" + self.path.split("/")[1])()

    def head(self, length=LENGTH, status=200, **headers):
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def answer_whole(self):
        self.head()
        self.wfile.write(CONTENT)

    def answer_unmeasured(self):
        self.head(length=None)
        self.wfile.write(CONTENT)

    def answer_cut(self):
        self.head()
        self.wfile.write(CONTENT[:123_456])

    def answer_unmeasured_cut(self):
        self.head(length=None)
        self.wfile.write(CONTENT[:123_456])

    def answer_wrong(self):
        self.head()
        self.wfile.write(CONTENT[:1000] + b"\1" + CONTENT[1001:])

    def answer_page(self):
        self.head(len(PAGE), Content_Type="text/html")
        self.wfile.write(PAGE)

    def answer_hidden_page(self):
        self.head(len(PAGE), Content_Type="application/octet-stream")
        self.wfile.write(PAGE)

    def answer_missing(self):
        self.send_error(404)

    def answer_broken(self):
        self.send_error(503)

    def answer_slow(self):
        self.head()
        self.wfile.write(CONTENT[:70_000])
        self.wfile.flush()
        self.server.stop.wait(5)

    def answer_redirect(self):
        self.head(0, 302, Location="/whole/a.npz")

    def answer_to_file(self):
        self.head(0, 302, Location="file:///etc/passwd")

    def answer_to_ftp(self):
        self.head(0, 302, Location="ftp://127.0.0.1/a.npz")

    def answer_circle(self):
        self.head(0, 302, Location="/circle/a.npz")

    def answer_compressed(self):
        self.head(Content_Encoding="gzip")
        self.wfile.write(CONTENT)

    def answer_huge(self):
        self.head(2**62)

    def answer_endless(self):
        self.head(length=None)
        while not self.server.stop.is_set():
            self.wfile.write(bytes(2**16))

    def answer_resume(self):
        """The first answer is cut; a later one resumes where the client asks for."""
        if not self.headers["Range"]:
            return self.answer_cut()
        start = int(re.fullmatch(r"bytes=(\d+)-", self.headers["Range"])[1])
        if start >= LENGTH:
            return self.head(0, 416)
        range_ = f"bytes {start}-{LENGTH - 1}/{LENGTH}"
        self.head(LENGTH - start, 206, Content_Range=range_)
        self.wfile.write(CONTENT[start:])

    def answer_stubborn(self):
        """Cut at first; then the whole file, although only a part is requested."""
        self.answer_whole() if self.headers["Range"] else self.answer_cut()

    def answer_other_part(self):
        """Cut at first; then a part that was not requested; then the whole file."""
        if len(self.server.asked) == 1:
            self.answer_cut()
        elif self.headers["Range"]:
            self.head(10, 206, Content_Range=f"bytes 0-9/{LENGTH}")
            self.wfile.write(CONTENT[:10])
        else:
            self.answer_whole()

    def answer_changed(self):
        """The first response is cut; the next is the end of another file of the same length."""
        if not self.headers["Range"]:
            return self.answer_cut()
        start = int(self.headers["Range"][6:-1])
        range_ = f"bytes {start}-{LENGTH - 1}/{LENGTH}"
        self.head(LENGTH - start, 206, Content_Range=range_)
        self.wfile.write(bytes(1000) + CONTENT[start + 1000 :])

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, address):
        """Clients that hang up are what is tested here."""
