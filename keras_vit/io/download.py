"""Downloads a weight file once, into Keras's cache folder.

`keras.utils.get_file` is not used: it writes to the final name from the start, so an interrupted
download counts as complete the next time; it accepts file://, and may use a folder that all users
share.
"""

import contextlib
import errno
import hashlib
import http.client
import os
import pathlib
import re
import secrets
import shutil
import urllib.error
import urllib.parse
import urllib.request

import keras

from keras_vit import arguments, environment
from keras_vit.io import files, writing
from keras_vit.io.tensor_file import MEGABYTE

TIMEOUT = 30  # seconds without a byte
PIECE = 2**16
MAX_BYTES = 16 * 2**30  # the largest file of the catalog, BiT's R152x4, has less than 4 GiB


def fetch(entry, cache_dir=None):
    """Downloads the file of an `Entry`, unless it exists or is shipped with the package.

    A file gets its name only when it is complete: it must have the sha256 of the catalog. If no
    sha256 is published, the file must open as a file of tensors, and all checksums of an npz are
    compared. An interrupted download is resumed if the server supports it and the result can be
    checked, by its sha256 or because it is an npz.

    Args:
        entry: a `keras_vit.checkpoints.Entry`.
        cache_dir: folder for the file; None for keras_vit/ in $KERAS_HOME or in ~/.keras.

    Returns:
        Path of the file.

    Raises:
        OSError: the file cannot be downloaded or written; the message has its address and where to
            save it manually.
    """
    if entry.shipped:
        return entry.shipped
    if not entry.address.startswith(("https://", "http://")):
        advice = "Pass the path of a local file instead."
        arguments.refuse("the address must begin with https://", {"address": entry.address}, advice)
    path = target_path(entry, cache_dir)
    if path.is_file() and _is_good(path, entry):
        return path
    try:
        writing.make_folder(
            path.parent, "Choose another with cache_dir= or the variable KERAS_HOME."
        )
    except ValueError as error:
        raise OSError(str(error)) from error
    print(f"Downloading {entry.address} to {path}", flush=True)
    with _partial(path, resumable=bool(entry.sha256) or path.suffix == ".npz") as file:
        try:
            _download(entry, file)
            _check(file, entry)
        except (_Failure, OSError, http.client.HTTPException, ValueError) as error:
            # The message has the reason; the traceback of urllib is 50 lines long.
            raise OSError(_explain(error, entry, path, file)) from None
        if os.name == "nt":  # Windows cannot rename an open file
            file.close()
        os.replace(file.name, path)
        writing.flush_folder(path.parent)
    return path


def target_path(entry, cache_dir=None):
    """Returns the path where `fetch` saves the file of an entry."""
    folder = environment.keras_home() / "keras_vit" if cache_dir is None else cache_dir
    suffix = pathlib.PurePosixPath(urllib.parse.urlsplit(entry.address).path).suffix
    name = re.sub(r"[^\w.+-]", "_", entry.name) + suffix
    return pathlib.Path(folder).expanduser() / name


class _Failure(Exception):
    """A download that failed, with the reason."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https, but not from https to http."""

    def redirect_request(self, request, file, code, message, headers, address):
        schemes = [urllib.parse.urlsplit(url).scheme for url in (request.full_url, address)]
        if schemes[1] not in ("http", "https") or schemes == ["https", "http"]:
            file.close()
            raise _Failure(f"the server redirects to {address!r}, which is not safe")
        return super().redirect_request(request, file, code, message, headers, address)


def _explain(error, entry, path, file):
    """Returns one message that says what happened and what to do."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    reason = " ".join(str(cause).split()) or type(cause).__name__
    kept = os.fstat(file.fileno()).st_size if file.name == f"{path}.partial" else 0
    resume = f"Run it again to resume after the {kept:,} bytes received so far." if kept else ""
    return (
        f"{entry.address} could not be downloaded: {reason}. "
        f"{resume or 'Check the network and the disk, and run it again.'} Or download the "
        f"file yourself and save it as {path}"
    )


@contextlib.contextmanager
def _partial(path, resumable):
    """Opens the file of a partial download; it is kept only if a later call can resume it."""
    file = _open_locked(f"{path}.partial") if resumable else None
    if file:
        with file:
            try:
                yield file
            finally:
                # Remove it while it is locked; afterwards another process may use the name.
                if os.fstat(file.fileno()).st_size == 0:
                    os.unlink(file.name)
        return
    try:
        # Unbuffered, because on a full disk a buffer would be written again when the file is
        # closed.
        with open(f"{path}.{secrets.token_hex(4)}.partial", "xb", buffering=0) as file:
            yield file
    finally:
        with contextlib.suppress(FileNotFoundError):  # it was renamed to its final name
            os.unlink(file.name)


def _open_locked(path):
    """Opens a partial download, or returns None if another process uses it."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    file = open(path, "ab", buffering=0)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
            return file
    except OSError:  # it is locked, or was renamed after it was opened
        pass
    file.close()
    return None


def _download(entry, file):
    """Downloads the rest of a partial file."""
    response, start, total = _request(entry.address, file.tell())
    with response:
        _check_response(response, start, total, os.path.dirname(file.name))
        file.truncate(start)
        file.seek(start)
        bar = keras.utils.Progbar(total and total // MEGABYTE + 1, unit_name="MiB")
        try:
            for piece in iter(lambda: response.read(PIECE), b""):
                while piece:
                    piece = piece[file.write(piece) :]
                if file.tell() > (total or MAX_BYTES):
                    raise _Failure("the server sends more than it announced")
                bar.update(file.tell() // MEGABYTE)
            bar.update(bar.target or file.tell() // MEGABYTE, finalize=True)
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                file.truncate(0)  # free the disk space
            raise
    if total and file.tell() < total:
        raise _Failure(f"the connection was interrupted after {file.tell():,} of {total:,} bytes")


def _request(address, start):
    """Returns (response, the position of its first byte, length of the whole file or None)."""
    headers = {"User-Agent": f"keras-vit/{environment.__version__}", "Accept-Encoding": "identity"}
    wanted = {"Range": f"bytes={start}-"} if start else {}
    request = urllib.request.Request(address, headers={**headers, **wanted})
    try:
        response = _opener().open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if start and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return _request(address, 0)
        raise _Failure(f"the server answers {error.code} {error.reason}") from error
    if response.status != http.client.PARTIAL_CONTENT:
        length = response.headers.get("Content-Length", "")
        return response, 0, int(length) if re.fullmatch(r"[0-9]{1,20}", length) else None
    place = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
    if place and int(place[1]) == start:
        return response, start, int(place[2])
    response.close()
    return _request(address, 0)


def _opener():
    """Returns an opener for http and https: the default one accepts file:, ftp: and data:."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler, urllib.request.HTTPHandler, urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler, urllib.request.HTTPErrorProcessor, _Redirects,
    ):  # fmt: skip
        opener.add_handler(handler())
    return opener


def _check_response(response, start, total, folder):
    """Raises `_Failure` if the headers show that the response is not the file."""
    headers = response.headers
    if headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        raise _Failure("the server answers with a web page")
    if headers.get("Content-Encoding", "identity") != "identity":
        raise _Failure(f"the server compresses it as {headers['Content-Encoding']!r}")
    if total and total > MAX_BYTES:
        raise _Failure(f"the server has {total:,} bytes, more than any known model")
    free = shutil.disk_usage(folder).free
    if total and total - start > free:
        raise _Failure(f"it needs {total - start:,} bytes, the disk has {free:,} left")


def _check(file, entry):
    """Raises, and empties a downloaded file, unless it is the file of `entry`."""
    try:
        if entry.sha256 and _sha256(file.name) != entry.sha256:
            raise _Failure(f"its sha256 differs from the published {entry.sha256}")
        with files.open_tensors(file.name) as tensors:
            if tensors.format == "npz" and not entry.sha256:
                for name in tensors.specs:
                    tensors.read(name)
    except (_Failure, ValueError):
        file.truncate(0)
        raise


def _is_good(path, entry):
    """Returns whether an existing file is the file of `entry`, by its sha256 or its header."""
    if entry.sha256:
        return _sha256(path) == entry.sha256
    try:
        files.open_tensors(path).close()
    except ValueError:
        return False
    return True


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
