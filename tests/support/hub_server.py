"""A local server that speaks the part of the Hugging Face Hub's protocol that downloads need."""

import hashlib
import http.server
import json
import socket
import urllib.parse

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NOT_FOUND = 404, {"X-Error-Code": "RepoNotFound"}
GATED = 401, {"X-Error-Code": "GatedRepo"}
BIG = 1000  # bytes from which a file is stored by its sha256


class Server(http.server.ThreadingHTTPServer):
    """Repositories are {name: {file: content}}; `faults` changes how a file is served.

    Attributes:
        repositories: {"owner/name": {file: content}}.
        faults: {file: "cut" if the connection breaks half-way once, "broken" if it does so always,
            "wrong" for other bytes, "short" for too few of them, or (status, headers)}.
        refusals: {"owner/name": (status, headers)} for everything in a repository.
        served: {file: bytes sent}.
        requests: number of requests.
        ranges: first bytes of the requested parts.
        tokens: authorization headers of the requests for a repository.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories, self.faults, self.refusals = {}, {}, {}
        self.served, self.ranges, self.tokens, self.requests = {}, [], set(), 0


def blob_of(content):
    """Returns the name of a file's content on the Hub."""
    if len(content) >= BIG:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = urllib.parse.urlsplit(self.path).path.strip("/")
        parts = [urllib.parse.unquote(part) for part in path.split("/")]
        is_api = parts[:2] == ["api", "models"]
        name = "/".join(parts[2:4] if is_api else parts[:2])
        rest = parts[4:] if is_api else parts[2:]
        kind, revision, *file = rest or ("revision", "main")
        files = self.server.repositories.get(name)
        self.server.requests += 1
        if files:
            self.server.tokens.add(self.headers.get("Authorization"))
        if files is None or name in self.server.refusals:
            return self.answer(*self.server.refusals.get(name, NOT_FOUND))
        if revision not in ("main", "v1", "refs/pr/7", COMMIT):
            return self.answer(404, {"X-Error-Code": "RevisionNotFound"})
        if kind == "resolve":
            return self.send_file("/".join(file), files)
        blobs = [{"rfilename": f, "size": len(content)} for f, content in files.items()]
        tree = [self.tree_entry(f, content) for f, content in files.items()]
        body = {"id": name, "sha": COMMIT, "siblings": blobs} if kind == "revision" else tree
        self.answer(200, {"Content-Type": "application/json"}, json.dumps(body).encode())

    def tree_entry(self, file, content):
        entry = {"type": "file", "path": file, "size": len(content), "oid": blob_of(content)}
        if len(content) >= BIG:
            entry["lfs"] = {"oid": blob_of(content), "size": len(content), "pointerSize": 134}
        return entry

    def send_file(self, file, files):
        fault = self.server.faults.get(file)
        if file not in files:
            return self.answer(404, {"X-Error-Code": "EntryNotFound"})
        if isinstance(fault, tuple):
            return self.answer(*fault)
        content = files[file]
        headers = {"ETag": f'"{blob_of(content)}"', "X-Repo-Commit": COMMIT}
        if self.command == "HEAD":
            return self.answer(200, {**headers, "Content-Length": str(len(content))})
        begin = 0
        if "Range" in self.headers:
            begin = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
            self.server.ranges.append(begin)
        if fault == "wrong":
            content = content[:-1] + bytes([content[-1] ^ 1])
        if fault == "short":
            content = content[:-1]
        body = content[begin:]
        if fault == "broken" or (fault == "cut" and begin == 0):
            return self.break_off(file, headers, body)
        self.server.served[file] = self.server.served.get(file, 0) + len(body)
        self.answer(206 if begin else 200, headers, body)

    def break_off(self, file, headers, body):
        """Announces the whole body but sends half of it, or nothing if the download was resumed."""
        half = body[: len(body) // 2] if "Range" not in self.headers else b""
        self.send_response(206 if "Range" in self.headers else 200)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(half)
        self.wfile.flush()
        self.server.served[file] = self.server.served.get(file, 0) + len(half)
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def answer(self, status, headers, body=b""):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
