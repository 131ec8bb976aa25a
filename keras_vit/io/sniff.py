"""Says what a file is by its content, whatever its name, and what to do when it is no weights."""

import os
import stat

from keras_vit.io.tensor_file import DOWNLOAD, MAX_HEADER, refuse, shown

HEAD = 4096  # bytes at the start that tell the kind

TORCH = """It can run a program when it is opened. If you trust it, turn it into safetensors:
import torch, safetensors.torch;
state = torch.load({path!r}, map_location="cpu", weights_only=True);
state = state.get("model", state.get("state_dict", state));
state = {{name: value.clone().contiguous() for name, value in state.items()}};
safetensors.torch.save_file(state, "model.safetensors")"""
PICKLE = """Opening it can run any program that was put into it. If you made it yourself:
import pickle, numpy;
numpy.savez("weights.npz", **pickle.load(open({path!r}, "rb")))"""
ARRAY = """It has one array without a name: numpy.savez("weights.npz", name=numpy.load({path!r}))"""
UNPACK = "Unpack it yourself, and give one of the files in it."
KERAS = """A model is not loaded from a file that could run a program. In Keras, where you trust it:
keras.saving.load_model({path!r}).save_weights("model.weights.h5")"""
ORBAX = """Restore it with the library that wrote it, and save its arrays under their names:
numpy.savez("weights.npz", **{{"/".join(path): array for path, array in
flax.traverse_util.flatten_dict(parameters).items()}})"""
TENSORFLOW = """Load it with TensorFlow, then save the arrays:
numpy.savez("weights.npz", **{{v.name: v.numpy() for v in model.variables}})"""

PLAIN_PICKLES = (b"(dp0", b"(lp0", b"cnumpy", b"ccollections", b"}q\x00", b"]q\x00")
# First bytes of a file: what it is, what to do.
MAGIC = (
    (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19", "a PyTorch file of the old form", TORCH),
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
    ("pytorch_model.bin", "a folder with weights of PyTorch only", TORCH),
)


def check_regular(path):
    """Raises unless `path` is an ordinary file: a pipe or a device would keep us waiting."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(
            f"A file was expected. Received: {str(path)!r}, which is not there. Check the path."
        ) from error
    except OSError as error:
        refuse(path, f"which cannot be opened ({error.strerror})")
    if not stat.S_ISREG(mode):
        refuse(path, "which is not an ordinary file", "Give the path of a file.")
    if not os.access(path, os.R_OK):
        refuse(path, "which may not be read (permission denied)")


def kind(path):
    """Returns "npz", "safetensors" or "h5" for a file whose content looks like that.

    Raises:
        ValueError: it is something else; the message says what.
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
    """Refuses zip archives that are known not to be npz, by the names of their members."""
    ends = {name.rsplit("/", 1)[-1] for name in names}
    if "data.pkl" in ends:
        refuse(path, "which is a PyTorch file (a pickle)", TORCH.format(path=str(path)))
    if "model.weights.h5" in names or {"config.json", "metadata.json"} <= set(names):
        refuse(path, "which is a whole Keras model (.keras)", KERAS.format(path=str(path)))


def refuse_folder(path):
    """Refuses a folder, and says what it is where that is known."""
    for name, what, advice in FOLDERS:
        if os.path.exists(os.path.join(path, name)):
            advice = advice.format(path=os.path.join(path, name))
            refuse(path, f"which is {what}", advice)
    advice = "Give a file, or a folder with model.safetensors or model.safetensors.index.json."
    refuse(path, "which is a folder without safetensors", advice)


def _check_length(path, length, size):
    """Refuses a safetensors file whose table of contents is longer than it can be."""
    if length > size - 8:
        what = f"a safetensors file that is cut: its header alone has {length:,} bytes, the file "
        refuse(path, f"{what}{size:,}", DOWNLOAD)
    if length > MAX_HEADER:
        what = f"a safetensors file whose header has {length:,} bytes, more than {MAX_HEADER:,}"
        refuse(path, what, "No known model needs so many.")


def _foreign(head):
    """Returns (what it is, what to do) of the first bytes of a file that holds no tensors."""
    for start, what, advice in MAGIC:
        if head.startswith(start):
            return what, advice
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.lower().startswith(PAGES):
        return "a web page (HTML or XML), as a server sends it when a download fails", DOWNLOAD
    if head[257:262] == b"ustar":
        return "a tar archive", UNPACK
    if not head.strip(b"\0"):
        return "nothing but zero bytes, as an interrupted download leaves it", DOWNLOAD
    if text.startswith(b"{"):
        return "JSON text", "If it lists safetensors, its name must end in .index.json."
    # Flax writes a map of one to fifteen short names, or of more, in msgpack.
    if (0x81 <= head[0] <= 0x8F and 0xA1 <= head[1:2][0] <= 0xBF) or head[0] in (0xDE, 0xDF):
        return "a msgpack file of Flax", ORBAX
    return _unknown(head)


def _unknown(head):
    try:
        text = head[:60].decode().strip()
    except UnicodeDecodeError:
        text = "\0"
    if text.isprintable():
        return f"text that begins with {shown(text)}", DOWNLOAD
    return f"of no known kind (first bytes {head[:8].hex(' ')})", DOWNLOAD
