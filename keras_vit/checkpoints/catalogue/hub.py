"""Folders of weights from the Hugging Face Hub: `hf://owner/name`, or `hf://owner/name@revision`.

The package huggingface_hub downloads them into its own cache, with its own settings (HF_HOME,
HF_TOKEN, HF_HUB_OFFLINE, HF_ENDPOINT). From a repository, only weights in safe formats and the JSON
files beside them are downloaded, and their checksums are verified.
"""

import errno
import fnmatch
import hashlib
import os
import pathlib
import re
import shutil

from keras_vit import arguments, backend
from keras_vit.environment import __version__

PREFIX = "hf://"
ADDRESS = re.compile(r"hf://(\w[\w.-]*/\w[\w.-]*)(?:@(\w[\w./-]*))?")
SETTINGS = (
    "config.json", "preprocessor_config.json",  # transformers, timm
    "task.json", "preprocessor.json", "image_converter.json", "metadata.json",  # KerasHub
)  # fmt: skip
# The first name of a group shows that a repository has such weights; the first group found is
# downloaded.
WEIGHTS = (
    ("model.safetensors",),
    ("model.safetensors.index.json", "model-*-of-*.safetensors"),
    ("model.weights.h5", "task.weights.h5"),
    ("model.weights.json", "model_*.weights.h5", "task.weights.h5"),
)
LOGIN = "log in with `hf auth login` or set HF_TOKEN"
# Name of an error of huggingface_hub: what is raised, what happened, what to do.
FAILURES = {
    "GatedRepoError": (
        PermissionError, "its publisher asks you to accept a license first",
        f"Accept it at {{page}}, then {LOGIN}.",
    ),
    "RepositoryNotFoundError": (
        FileNotFoundError, "the Hub has no such repository, or it is private",
        f"Check the name at {{page}}; for a private one, {LOGIN}.",
    ),
    "RevisionNotFoundError": (
        FileNotFoundError, "it has no revision {revision!r}",
        "Its branches and tags are listed at {page}/tree/main; without @ it is main.",
    ),
    "OfflineModeIsEnabled": (
        ConnectionError, "HF_HUB_OFFLINE is set, and the cache does not have all of it",
        "Unset it, or pass a folder that you downloaded elsewhere.",
    ),
    "HFValidationError": (ValueError, "that is not the name of a repository", "Check the name."),
}  # fmt: skip
NO_ACCESS = PermissionError, "your token gives no access to it", f"Open {{page}}, then {LOGIN}."
NO_NETWORK = (
    ConnectionError, "the Hub cannot be reached ({reason}), and the cache does not have all of it",
    "Check the network, or run `hf download {repository}` elsewhere and pass the folder.",
)  # fmt: skip
NO_SPACE = (
    OSError, "the disk is full",
    "Free some space, or choose another folder with cache_dir= or the variable HF_HOME.",
)  # fmt: skip
INTERRUPTED = (
    ConnectionError, "the download was interrupted ({reason})",
    "Run it again: complete files are in the cache, and only the rest is downloaded.",
)  # fmt: skip
_fetched = {}  # {(address, cache): folder}: one process uses one revision of a branch


def is_address(name):
    """Returns whether a name is the address of a repository, valid or not.

    Example:
    >>> keras_vit.checkpoints.catalogue.hub.is_address("hf://facebook/dinov2-small")
    True
    """
    return str(name).startswith(PREFIX)


def parse(address):
    """Returns (owner and name, revision) of an address; the revision is None if there is none.

    Raises:
        ValueError: it is not an address of a repository.
        ImportError: huggingface_hub is not installed.

    Example:
    >>> keras_vit.checkpoints.catalogue.hub.parse("hf://facebook/dinov2-small@main")
    ('facebook/dinov2-small', 'main')
    """
    match = ADDRESS.fullmatch(str(address))
    if match is None:
        want = "an address must be hf://owner/name or hf://owner/name@revision"
        advice = "For example, hf://facebook/dinov2-small; an address cannot name a file."
        arguments.refuse(want, {"address": str(address)}, advice)
    if not backend.is_installed("huggingface_hub"):
        raise ImportError(
            f"{address} needs the package huggingface_hub, which is not installed. "
            "Run: pip install huggingface_hub"
        )
    return match[1], match[2]


def fetch(address, cache_dir=None):
    """Downloads the weights of a repository and the JSON files beside them, unless they exist.

    Files get their names only when they are complete. If the Hub cannot be reached, files
    downloaded earlier are used. A file whose checksum differs from the Hub's is removed.

    Args:
        address: "hf://owner/name" or "hf://owner/name@revision", where a revision is a branch, a
            tag or a commit; main if it is left out.
        cache_dir: folder for downloads; None for that of huggingface_hub.

    Returns:
        Path of the folder.

    Raises:
        ValueError: it is not an address, or the repository has no weights in a safe format.
        ImportError: huggingface_hub is not installed.
        OSError: the download failed; the message says what to do.
    """
    repository, revision = parse(address)
    from huggingface_hub import HfApi, constants, snapshot_download

    agent = {"library_name": "keras_vit", "library_version": __version__}
    cache = pathlib.Path(cache_dir or constants.HF_HUB_CACHE).expanduser()
    if os.path.isdir(_fetched.get((address, cache), "")):
        return _fetched[address, cache]
    failure, last = None, FileNotFoundError("a file in its list is missing")
    try:
        info = HfApi(**agent).model_info(repository, revision=revision, files_metadata=True)
    except Exception as error:  # a network error, or a refusal by the Hub
        groups, failure = WEIGHTS, error
    else:
        sizes = {file.rfilename: file.size or 0 for file in info.siblings}
        groups = [choose(address, sizes)]
        _check_space(address, _missing(repository, info.sha, sizes, groups[0], cache), cache)
    for group in groups:
        try:
            folder = snapshot_download(
                repository, revision=revision, cache_dir=cache, allow_patterns=[*SETTINGS, *group],
                local_files_only=failure is not None, **agent,
            )  # fmt: skip
        except Exception as error:
            last = error
            continue
        if os.path.exists(os.path.join(folder, group[0])):
            _verify(address, folder)
            _fetched[address, cache] = folder
            return folder
    page = f"{constants.ENDPOINT}/{repository}"
    shown = {"repository": repository, "revision": revision, "page": page}
    raise _explain(address, failure or last, failure is None, shown) from (failure or last)


def choose(address, names):
    """Returns the group of `WEIGHTS` that a repository with these files has.

    Raises:
        ValueError: it has none of them.
    """
    for group in WEIGHTS:
        if group[0] in names:
            return group
    pickles = [name for name in names if name.endswith((".bin", ".pth", ".pt", ".ckpt", ".pkl"))]
    found = pickles or [name for name in names if not name.startswith(".")]
    listed = ", ".join(map(repr, found[:5])) + (", ..." if len(found) > 5 else "")
    page = f"https://huggingface.co/{ADDRESS.fullmatch(address)[1]}"
    advice = f"Its files are listed at {page}."
    if pickles:
        advice = (
            "PyTorch files can contain a program and are not opened. Ask its publisher for "
            f"safetensors; a request to add them may be open at {page}/discussions: then add "
            "@refs/pr/ and its number to the address. Or convert them where you trust them: "
            "torch.load(path, weights_only=True), then safetensors.torch.save_file."
        )
    want = f"the repository must have {' or '.join(group[0] for group in WEIGHTS)}"
    return arguments.refuse(want, {"address": address, "files": listed or "none"}, advice)


def _missing(repository, commit, sizes, group, cache):
    """Returns the number of bytes of a group of files that are not in the cache yet."""
    from huggingface_hub import try_to_load_from_cache

    def is_missing(name):
        found = try_to_load_from_cache(repository, name, cache_dir=cache, revision=commit)
        return not isinstance(found, str)

    patterns = [*SETTINGS, *group]
    wanted = [n for n in sizes if any(fnmatch.fnmatchcase(n, pattern) for pattern in patterns)]
    return sum(sizes[name] for name in wanted if is_missing(name))


def _check_space(address, size, cache):
    """Raises `OSError` if the disk of the cache has less space than a download needs."""
    folder = next(path for path in (cache, *cache.absolute().parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if size > free:
        raise OSError(
            errno.ENOSPC, f"{address} could not be downloaded: it needs {size:,} bytes, the disk "
            f"has {free:,} left. {NO_SPACE[2]}", str(cache),
        )  # fmt: skip


def _verify(address, folder):
    """Removes a file of the cache whose checksum is not the one in the name of its blob.

    A file in a snapshot is a link to its blob. Blobs are named by their sha256, small ones by their
    Git hash.
    """
    for path in pathlib.Path(folder).iterdir():
        blob = pathlib.Path(os.readlink(path)).name if path.is_symlink() else ""
        if not re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", blob):
            continue
        digest = hashlib.sha256() if len(blob) == 64 else hashlib.sha1()
        if len(blob) == 40:
            digest.update(f"blob {path.stat().st_size}\0".encode())
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, lambda digest=digest: digest).hexdigest()
        if found != blob:
            for target in (path.resolve(), path.parent / os.readlink(path), path):
                target.unlink(missing_ok=True)
            raise OSError(
                f"{address} could not be used: the checksum of {path.name} is {found}, the Hub "
                f"has {blob}. The file was removed; run it again to download it once more."
            )


def _explain(address, error, was_reached, shown):
    """Returns the error to raise: what happened and what to do, in the package's own words."""
    names = [kind.__name__ for kind in type(error).__mro__]
    row = next((FAILURES[name] for name in names if name in FAILURES), None)
    status = getattr(getattr(error, "response", None), "status_code", None)
    reason = " ".join(str(error).split()) or names[0]
    if "Consistency check failed" in reason:
        reason = "the server sent a different number of bytes than it announced"
    elif status is not None:
        reason = f"the server answers {status}"
    if row is None and status in (401, 403):
        row = NO_ACCESS
    if row is None and getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        row = NO_SPACE
    kind, what, advice = row or (INTERRUPTED if was_reached else NO_NETWORK)
    what, advice = (words.format(reason=reason[:200], **shown) for words in (what, advice))
    return kind(f"{address} could not be downloaded: {what}. {advice}")
