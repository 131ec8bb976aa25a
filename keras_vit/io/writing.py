"""Writes files completely or not at all, and checks beforehand that they can be written."""

import contextlib
import errno
import json
import os
import pathlib
import secrets
import tempfile

OUT = "Choose another one: --out DIR, in Python `out`."
PARTIAL = ".partial"  # in the name of a file that is being written
UNCHANGED = "; nothing was changed"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def replacing(path, suffix=""):
    """Yields the path of a temporary file that replaces `path` at the end.

    The bytes are on the disk before the name changes, and the name changes in one step. If anything
    fails (a full disk, Ctrl-C, a power cut), `path` contains either the old file or the new one. If
    `path` is a link, the file it points to is replaced. The temporary path ends in `suffix`: some
    libraries choose a format by it.

    Raises:
        OSError: the folder does not exist, or the file cannot be written; the error names `path`.
    """
    path = os.path.realpath(os.fspath(path))
    folder, name = os.path.split(path)
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            f"A file in a folder that exists was expected. Received: {path!r}. "
            f"Create {folder!r} first."
        )
    start = os.fsencode(name)[:100].decode("utf-8", "ignore")  # a name has at most 255 bytes
    temporary = os.path.join(folder, f".{start}.{secrets.token_hex(4)}{PARTIAL}{suffix}")
    try:
        open(temporary, "xb").close()
        mode = os.stat(temporary).st_mode
        yield temporary
        os.chmod(temporary, mode)  # the safetensors library makes a file that only its owner reads
        flush(temporary)
        os.replace(temporary, path)
        flush_folder(folder)
    except OSError as error:
        if error.filename == temporary or error.filename is None:
            # An inner `replacing` has added the same words.
            reason = (error.strerror or str(error)).removesuffix(UNCHANGED)
            raise OSError(error.errno, reason + UNCHANGED, path) from error
        raise
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def write_text(path, text):
    """Writes a small text file in UTF-8, completely or not at all."""
    with replacing(path) as partial:
        pathlib.Path(partial).write_text(text, encoding="utf-8")


def write_json(path, content):
    """Writes a JSON file, completely or not at all."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def remove_partial(folder):
    """Removes the files that a killed process left in a folder that no other process uses."""
    for path in pathlib.Path(folder).glob(f".*{PARTIAL}*"):
        path.unlink(missing_ok=True)


def write_folder(folder, writers, are_new=False):
    """Writes several files into a folder, which need not exist; other files there are kept.

    Args:
        folder: the folder.
        writers: {name of a file: function that writes it to a given path}. No file gets its name
            before all are complete.
        are_new: whether to raise `FileExistsError` if there is such a file by then, which another
            process has written; otherwise it is replaced.
    """
    is_new = not os.path.isdir(folder)
    make_folder(folder, "Choose another one.")
    try:
        with contextlib.ExitStack() as stack:
            for name, write in writers.items():
                write(stack.enter_context(replacing(os.path.join(folder, name))))
            for path in (os.path.join(folder, name) for name in writers):
                if are_new and os.path.lexists(path):
                    what = "Another process has written this file; nothing was replaced"
                    raise FileExistsError(errno.EEXIST, what, path)
    except BaseException:
        if is_new:
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        raise


@contextlib.contextmanager
def excluding_others(folder):
    """Waits until no other process is in this context for a folder, on systems with such locks."""
    held = None
    with contextlib.suppress(ImportError, OSError):  # Windows, and some network file systems
        import fcntl

        held = os.open(folder, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if held is not None:
            os.close(held)


def reserve(path, size):
    """Raises `OSError` if the disk has no room for `size` bytes, if the system can reserve them."""
    if not hasattr(os, "posix_fallocate"):
        return
    with open(path, "rb+") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:  # some file systems cannot reserve
            if error.errno in NO_ROOM:
                raise
        finally:
            file.truncate(0)


def flush(path):
    """Returns once the bytes of a file are on the disk."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def flush_folder(folder):
    """Returns once the names in a folder are on the disk, on systems that can do this."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_folder(folder, advice=OUT):
    """Raises `ValueError` with `advice` unless a folder can be written to; it need not exist.

    Creates a temporary file in the nearest existing folder and removes it at once: permissions
    alone are not enough, because root may write anywhere except on a read-only disk.

    Example:
    >>> from keras_vit.io import writing
    >>> writing.check_folder("/dev/null/results")
    Traceback (most recent call last):
    ...
    ValueError: A folder that can be written was expected. Received: '/dev/null/results' (Not a
    directory). Choose another one: --out DIR, in Python `out`.
    """
    whole = pathlib.Path(folder).absolute()
    nearest = next(path for path in (whole, *whole.parents) if os.path.lexists(path))
    with _refusing(folder, advice), tempfile.TemporaryFile(dir=nearest):
        pass


def make_folder(folder, advice=OUT):
    """Creates a folder and its parents; raises `ValueError` if it cannot be written."""
    check_folder(folder, advice)
    with _refusing(folder, advice):
        os.makedirs(folder, exist_ok=True)


@contextlib.contextmanager
def making(outer, make):
    """Yields the folder that `make()` creates: `outer`, which may exist, or a new one in it.

    After an error, the folders that are new are removed as long as they are empty.
    """
    new = [folder for folder in (outer, *outer.parents) if not folder.exists()]
    target = make()
    try:
        yield target
    except BaseException:
        with contextlib.suppress(OSError):  # the first that is not empty
            for folder in new if target == outer else [target, *new]:
                folder.rmdir()
        raise


def check_file(path, advice, replaced=None):
    """Raises `ValueError` or `FileNotFoundError` unless a file can be written to `path`.

    `replaced` is the suffix of files that may be replaced; None if the caller decides.
    """
    folder = pathlib.Path(path).absolute().parent
    if not os.path.lexists(folder):
        raise FileNotFoundError(
            f"A file in a folder that exists was expected. Received: {str(path)!r}. "
            f"Create {str(folder)!r} first."
        )
    if os.path.isdir(path):
        raise ValueError(f"A file was expected. Received: the folder {str(path)!r}. {advice}")
    if replaced and os.path.exists(path) and not str(path).lower().endswith(replaced):
        raise ValueError(
            f"A new file, or one to replace that ends in {replaced}, was expected. Received: "
            f"{str(path)!r}, which exists. {advice}"
        )
    check_folder(folder, advice)
    with _refusing(path, advice, "file"), contextlib.suppress(FileNotFoundError):
        os.stat(path)  # a name may be too long


@contextlib.contextmanager
def _refusing(path, advice, kind="folder"):
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"A {kind} that can be written was expected. Received: {str(path)!r} "
            f"({error.strerror}). {advice}"
        ) from error
