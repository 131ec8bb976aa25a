"""Downloads a checkpoint of the catalogue once, into Keras's cache folder.

`keras.utils.get_file` is not used: it writes under the final name from the first byte on, so that a
kill or a cut leaves a part which counts as whole the next time; it also takes file://, and may fall
back to a folder that all users share.
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

from keras_vit import arguments
from keras_vit.environment import __version__
from keras_vit.io import files, writing
from keras_vit.io.tensor_file import MEGABYTE

TIMEOUT = 30  # seconds without a byte
PIECE = 2**16
MAX_BYTES = 16 * 2**30  # the largest of the catalogue, BiT's R152x4, has under 4


def fetch(entry, cache_dir=None):
    """Downloads the file of an `Entry` unless it is there already, or comes with the package.

    A file gets its name only when it is whole: its size and sha256 are those of the catalogue
    where it knows them, and else it opens as a file of tensors (of an npz, all checksums are
    compared). A download that was interrupted goes on where it stopped if the server can and what
    comes can be checked, which needs a sha256 or an npz.

    Args:
        entry: an entry of the catalogue.
        cache_dir: folder for the file; None for keras_vit/ in $KERAS_HOME, or in ~/.keras.

    Returns:
        Path of the file.

    Raises:
        OSError: it cannot be downloaded or written; the message names the address, the place to
            put the file by hand, and what to do.
        ValueError: the address is not of the web.

    Example:
    >>> entry = keras_vit.checkpoints.catalogue.find("ViT-Ti/16")
    >>> keras_vit.io.download.fetch(entry)  # doctest: +SKIP
    PosixPath('/home/me/.keras/keras_vit/ViT-Ti_16-augreg-i21k-ft-224.npz')
    """
    if entry.shipped:
        return entry.shipped
    _check_address(entry.address)
    path = place(entry, cache_dir)
    if path.is_file() and _is_good(path, entry):
        return path
    _make_folder(path.parent)
    print(f"Downloading {entry.address} to {path}")
    with _partial(path, resumable=bool(entry.sha256) or path.suffix == ".npz") as file:
        with _telling(entry, path, file):
            _download(entry, file)
            _check(file.name, entry)
        if os.name == "nt":  # there, an open file cannot be renamed
            file.close()
        os.replace(file.name, path)
        writing.flush_folder(path.parent)
    return path


def place(entry, cache_dir=None):
    """Returns the path where `fetch` looks for the file of an entry, and to put it by hand."""
    home = os.environ.get("KERAS_HOME") or os.path.join("~", ".keras")
    folder = os.path.join(home, "keras_vit") if cache_dir is None else cache_dir
    suffix = pathlib.PurePosixPath(urllib.parse.urlsplit(entry.address).path).suffix
    name = re.sub(r"[^\w.+-]", "_", entry.name) + suffix
    return pathlib.Path(folder).expanduser() / name


def _make_folder(folder):
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise OSError(
            f"The folder for downloads, {folder}, cannot be written ({error.strerror}). Choose "
            "another with cache_dir= or with the environment variable KERAS_HOME."
        ) from error


class _Failure(Exception):
    """A download that failed, with the reason."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects within the web, and none from https to http."""

    def redirect_request(self, request, file, code, message, headers, address):
        schemes = [urllib.parse.urlsplit(url).scheme for url in (request.full_url, address)]
        if schemes[1] not in ("http", "https") or schemes == ["https", "http"]:
            file.close()
            raise _Failure(f"the server leads to {address!r}, which is not safe")
        return super().redirect_request(request, file, code, message, headers, address)


def _check_address(address):
    if urllib.parse.urlsplit(address).scheme not in ("http", "https"):
        advice = "Open a file that you have by its path."
        arguments.refuse("the address must begin with https://", {"address": address}, advice)


@contextlib.contextmanager
def _telling(entry, path, file):
    """Makes one error of all that can go wrong: what happened, and what to do."""
    try:
        yield
    except (_Failure, OSError, http.client.HTTPException, ValueError) as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        reason = " ".join(str(cause).split()) or type(cause).__name__
        kept = os.fstat(file.fileno()).st_size if _stays(path, file) else 0
        again = f"Run it again: it goes on after the {kept:,} bytes that came." if kept else ""
        raise OSError(
            f"{entry.address} could not be downloaded: {reason}. "
            f"{again or 'Check the network and the disk, and run it again.'} Or download the file "
            f"by other means, and put it there: {path}"
        ) from error


@contextlib.contextmanager
def _partial(path, resumable):
    """Opens the file for what has come so far; it stays only where the next try can use it."""
    file = _locked(f"{path}.partial") if resumable else None
    if file:
        with file:
            try:
                yield file
            finally:
                # While it is locked: afterwards the name may be that of the next one's file.
                if os.fstat(file.fileno()).st_size == 0:
                    os.unlink(file.name)
        return
    try:
        # Without a buffer: what does not fit on a full disk would be tried again when it is closed.
        with open(f"{path}.{secrets.token_hex(4)}.partial", "xb", buffering=0) as file:
            yield file
    finally:
        with contextlib.suppress(FileNotFoundError):  # it has its final name
            os.unlink(file.name)


def _stays(path, file):
    """Whether what has come so far serves the next try."""
    return file.name == f"{path}.partial"


def _locked(path):
    """Opens a file to go on with, or returns None where another process has it in hand."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    file = open(path, "ab", buffering=0)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
            return file
    except OSError:  # it is locked, or was renamed since it was opened
        pass
    file.close()
    return None


def _download(entry, file):
    """Brings the file to the disk, after what is there of it."""
    response, start, total = _ask(entry.address, file.tell())
    with response:
        _check_answer(entry, response, start, total, os.path.dirname(file.name))
        file.truncate(start)
        file.seek(start)
        bar = keras.utils.Progbar(total and total // MEGABYTE + 1, unit_name="MiB")
        try:
            for piece in iter(lambda: response.read(PIECE), b""):
                while piece:
                    piece = piece[file.write(piece) :]
                if file.tell() > (total or MAX_BYTES):
                    raise _Failure("the server sends more than it said")
                bar.update(file.tell() // MEGABYTE)
            bar.update(bar.target or file.tell() // MEGABYTE, finalize=True)
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                file.truncate(0)  # give the bytes back
            raise
    if total and file.tell() < total:
        raise _Failure(f"the connection broke off after {file.tell():,} of {total:,} bytes")


def _ask(address, start):
    """Returns (answer of the server, byte at which it begins, length of the whole file or None)."""
    headers = {"User-Agent": f"keras-vit/{__version__}", "Accept-Encoding": "identity"}
    wanted = {"Range": f"bytes={start}-"} if start else {}
    request = urllib.request.Request(address, headers={**headers, **wanted})
    try:
        response = _opener().open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if start and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return _ask(address, 0)
        raise _Failure(f"the server answers {error.code} {error.reason}") from error
    if response.status != http.client.PARTIAL_CONTENT:
        return response, 0, _length(response)
    place = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
    if place and int(place[1]) == start:
        return response, start, int(place[2])
    response.close()
    return _ask(address, 0)


def _opener():
    """Returns an opener for the web alone: urllib's own also takes file:, ftp: and data:."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler, urllib.request.HTTPHandler, urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler, urllib.request.HTTPErrorProcessor, _Redirects,
    ):  # fmt: skip
        opener.add_handler(handler())
    return opener


def _length(response):
    text = response.headers.get("Content-Length", "")
    return int(text) if re.fullmatch(r"\d{1,20}", text) else None


def _check_answer(entry, response, start, total, folder):
    """Raises `_Failure` before the first byte where what comes cannot be the file."""
    headers = response.headers
    if headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        raise _Failure("the server answers with a web page")
    if headers.get("Content-Encoding", "identity") != "identity":
        raise _Failure(f"the server compresses it as {headers['Content-Encoding']!r}")
    if entry.bytes and total and total != entry.bytes:
        raise _Failure(f"the server has {total:,} bytes, the catalogue says {entry.bytes:,}")
    if total and total > MAX_BYTES:
        raise _Failure(f"the server has {total:,} bytes, more than any known model")
    free = shutil.disk_usage(folder).free
    if total and total - start > free:
        raise _Failure(f"it needs {total - start:,} bytes, the disk has {free:,} left")


def _check(path, entry):
    """Raises unless the file at `path` is that of `entry`; then the next try begins anew."""
    try:
        size = os.path.getsize(path)
        if entry.bytes and size != entry.bytes:
            raise _Failure(f"{size:,} bytes came, the catalogue says {entry.bytes:,}")
        if entry.sha256 and _sha256(path) != entry.sha256:
            raise _Failure(f"what came has another sha256 than the published {entry.sha256}")
        with files.open_tensors(path) as file:
            if file.format == "npz" and not entry.sha256:
                for name in file.specs:
                    file.read(name)
    except (_Failure, ValueError):
        os.truncate(path, 0)
        raise


def _is_good(path, entry):
    """Whether a file that is there is the right one, as far as its header and sha256 tell."""
    if entry.bytes and path.stat().st_size != entry.bytes:
        return False
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
