"""Writes a file so that its name always stands for a complete one."""

import contextlib
import os
import secrets


@contextlib.contextmanager
def replacing(path):
    """Gives the path of a temporary file beside `path`; it takes that name when all went well.

    The bytes are on the disk before the name changes, which happens in one step. So whatever goes
    wrong (a full disk, Ctrl-C, a power cut), the name stands for the earlier file or for the new
    one, never for half a file.

    Args:
        path: file to write; where it is a link, the file that it points to is replaced.

    Raises:
        FileNotFoundError: the folder does not exist.
        OSError: it cannot be written; the error names `path`.
    """
    path = os.path.realpath(os.fspath(path))
    folder, name = os.path.split(path)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"A file in a folder that exists was expected. Received: {path!r}.")
    temporary = os.path.join(folder, f".{name[:100]}.{secrets.token_hex(4)}.partial")
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
            reason = error.strerror or str(error)
            raise OSError(error.errno, f"{reason}; nothing was changed", path) from error
        raise
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def flush(path):
    """Returns when the bytes of a file are on the disk."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def flush_folder(folder):
    """Returns when the names in a folder are on the disk, where the system can tell."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
