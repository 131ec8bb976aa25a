"""Detects the format of a file from its content, and describes files that are not weights."""

import os
import stat

from keras_vit.io.tensor_file import DOWNLOAD, MAX_HEADER, refuse, shorten

HEAD = 4096  # bytes at the start that identify the format

TORCH = """Opening it can run a program. If you trust it, convert it to safetensors:
import torch, safetensors.torch;
state = torch.load({path!r}, map_location="cpu", weights_only=True);
state = state.get("model", state.get("state_dict", state));
state = {{name: value.clone().contiguous() for name, value in state.items()}};
safetensors.torch.save_file(state, "model.safetensors")"""
PICKLE = """Opening it can run any program that is in it. If you made it yourself:
import pickle, numpy;
numpy.savez("weights.npz", **pickle.load(open({path!r}, "rb")))"""
ARRAY = """It has one array without a name: numpy.savez("weights.npz", name=numpy.load({path!r}))"""
UNPACK = "Unpack it yourself and pass one of the files in it."
KERAS = """A whole model may contain a program and is not loaded. If you trust it, in Keras:
keras.saving.load_model({path!r}).save_weights("model.weights.h5")"""
ORBAX = """Restore it with the library that wrote it, and save its arrays under their names:
numpy.savez("weights.npz", **{{"/".join(path): array for path, array in
flax.traverse_util.flatten_dict(parameters).items()}})"""
TENSORFLOW = """Load it with TensorFlow, then save the arrays:
numpy.savez("weights.npz", **{{v.name: v.numpy() for v in model.variables}})"""

PLAIN_PICKLES = (b"(dp0", b"(lp0", b"cnumpy", b"ccollections", b"}q\x00", b"]q\x00")
# First bytes of a file: what it is, what to do.
MAGIC = (
    (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19", "a PyTorch file in the old format", TORCH),
    *((bytes([0x80, n]), "a Python pickle", PICKLE) for n in (2, 3, 4, 5)),
    *((start, "a Python pickle", PICKLE) for start in PLAIN_PICKLES),
    (b"\x93NUMPY", "a single array (npy)", ARRAY),
    (b"\x1f\x8b", "a gzip archive", UNPACK),
    (b"\xfd7zXZ\x00", "an xz archive", UNPACK),
    (b"BZh", "a bzip2 archive", UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"Rar!", "a rar archive", UNPACK),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself", "Run: git lfs pull"),
    (b"\xff\xd8\xff", "a JPEG image", ""),
    (b"\x89PNG", "a PNG image", ""),
    (b"GGUF", "a GGUF file", "Ask for the weights as safetensors."),
)
PAGES = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<error", b"<!--")
FOLDERS = (
    ("saved_model.pb", "a TensorFlow SavedModel", TENSORFLOW),
    ("checkpoint", "a folder of TensorFlow or Flax checkpoints", TENSORFLOW),
    ("_METADATA", "an Orbax checkpoint", ORBAX),
    ("_CHECKPOINT_METADATA", "an Orbax checkpoint", ORBAX),
    ("manifest.ocdbt", "an Orbax checkpoint", ORBAX),
    ("pytorch_model.bin", "a folder with PyTorch weights only", TORCH),
)


def check_regular(path):
    """Raises unless `path` is an ordinary file: reading a pipe or a device might never end."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(
            f"A file was expected. Received: {str(path)!r}, which does not exist. Check the path."
        ) from error
    except OSError as error:
        refuse(path, f"which cannot be opened ({error.strerror})")
    if not stat.S_ISREG(mode):
        refuse(path, "which is not an ordinary file", "Give the path of a file.")
    if not os.access(path, os.R_OK):
        refuse(path, "which is not readable (permission denied)", "Change its permissions.")


def detect_format(path):
    """Returns "npz", "safetensors" or "h5" from the first bytes of a file.

    Raises:
        ValueError: the file is something else; the message describes it.
    """
    with open(path, "rb") as file:
        head = file.read(HEAD)
        size = os.fstat(file.fileno()).st_size
    if not head:
        refuse(path, "which is empty", DOWNLOAD)
    if head.startswith(b"PK"):
        return "npz"
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "h5"
    if head[8:9] == b"{":
        _check_length(path, int.from_bytes(head[:8], "little"), size)
        return "safetensors"
    what, advice = _foreign(head)
    refuse(path, f"which is {what}", advice.format(path=str(path)))


def check_archive(path, names):
    """Raises `ValueError` for zip archives of PyTorch and Keras, by the names of their members."""
    ends = {name.rsplit("/", 1)[-1] for name in names}
    if "data.pkl" in ends:
        refuse(path, "which is a PyTorch file (a pickle)", TORCH.format(path=str(path)))
    if "model.weights.h5" in names or {"config.json", "metadata.json"} <= set(names):
        refuse(path, "which is a whole Keras model (.keras)", KERAS.format(path=str(path)))


def refuse_folder(path):
    """Raises `ValueError` for a folder and describes it if it is known."""
    for name, what, advice in FOLDERS:
        if os.path.exists(os.path.join(path, name)):
            advice = advice.format(path=os.path.join(path, name))
            refuse(path, f"which is {what}", advice)
    advice = "Pass a file, or a folder with model.safetensors or model.safetensors.index.json."
    refuse(path, "which is a folder without safetensors", advice)


def _check_length(path, length, size):
    """Raises `ValueError` if the header of a safetensors file is too long."""
    if length > size - 8:
        what = f"a safetensors file that is truncated: its header alone has {length:,} bytes, it "
        refuse(path, f"{what}{size:,}", DOWNLOAD)
    if length > MAX_HEADER:
        what = f"a safetensors file whose header has {length:,} bytes, more than {MAX_HEADER:,}"
        refuse(path, what, "No known model needs as many.")


def _foreign(head):
    """Returns (description, advice) for the first bytes of a file without tensors."""
    for start, what, advice in MAGIC:
        if head.startswith(start):
            return what, advice
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.lower().startswith(PAGES):
        return "a web page (HTML or XML), which a server sends if a download fails", DOWNLOAD
    if head[257:262] == b"ustar":
        return "a tar archive", UNPACK
    if not head.strip(b"\0"):
        return "nothing but zero bytes, as after an interrupted download", DOWNLOAD
    if text.startswith(b"{"):
        return "JSON text", "If it lists safetensors, its name must end in .index.json."
    # Flax writes a msgpack map of short names, with up to fifteen or more entries.
    if (0x81 <= head[0] <= 0x8F and 0xA1 <= head[1:2][0] <= 0xBF) or head[0] in (0xDE, 0xDF):
        return "a msgpack file of Flax", ORBAX
    return _unknown(head)


def _unknown(head):
    try:
        text = head[:60].decode().strip()
    except UnicodeDecodeError:
        text = "\0"
    if text.isprintable():
        return f"text that begins with {shorten(text)}", DOWNLOAD
    return f"of an unknown kind (first bytes {head[:8].hex(' ')})", DOWNLOAD
