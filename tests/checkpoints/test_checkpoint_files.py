"""Files of tensors: reading returns what was written, and no failure harms an existing file."""

import json
import os
import pathlib
import sys
import threading

import damage
import keras
import ml_dtypes
import numpy as np
import pytest
from damage import WRITE, read_all

from keras_vit.io import files, writing

FOLDER = pathlib.Path(os.environ.get("KERAS_VIT_TEST_DATA", "not set"), "weights")
real = pytest.mark.skipif(
    not FOLDER.exists(), reason="KERAS_VIT_TEST_DATA names no folder with the official weights"
)
formats = pytest.mark.parametrize("format", WRITE)
TENSORS = {
    **damage.TENSORS,
    "file": np.asfortranarray(np.arange(6.0).reshape(2, 3)),  # a name that np.savez does not accept
    "big endian": np.arange(5, dtype=">i4"),
    "none": np.zeros((0, 3), "uint8"),
    "flags": np.array([True, False]),
}


@formats
def test_reading_returns_what_was_written(format, tmp_path):
    WRITE[format](tmp_path / "a", TENSORS)
    with files.open_tensors(tmp_path / "a") as file:
        assert file.format == format and set(file.specs) == set(TENSORS)
        for name, array in TENSORS.items():
            spec, read = file.specs[name], file.read(name)
            assert spec == (array.shape, array.dtype.name) and spec.nbytes == array.nbytes
            assert read.shape == spec.shape and read.dtype == spec.dtype
            assert read.dtype.isnative and read.flags.c_contiguous and read.flags.writeable
            np.testing.assert_array_equal(read, array)


@formats
def test_bfloat16_is_read_as_float32(format, tmp_path):
    array = np.array([1.0, -3.5, 0.1], ml_dtypes.bfloat16)
    WRITE[format](tmp_path / "a", {"a": array})
    read = read_all(tmp_path / "a")["a"]
    assert read.dtype == "float32"
    np.testing.assert_array_equal(read, array.astype("float32"))


@pytest.mark.backend_free
def test_shards_of_all_half_precision_numbers_are_read_bit_for_bit(tmp_path):
    """Of their 16 bits, bfloat16 has the first half of a float32; float16 has 5 and 10."""
    bits, index = np.arange(2**16, dtype="uint16"), {}
    for number, kind in enumerate(("BF16", "F16"), 1):
        shard, header = f"model-{number}-of-2.safetensors", {"dtype": kind, "shape": [256, 256]}
        header = json.dumps({kind: {**header, "data_offsets": [0, 2**17]}}).encode()
        content = len(header).to_bytes(8, "little") + header + bits.astype("<u2").tobytes()
        (tmp_path / shard).write_bytes(content)
        index[kind] = shard
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    read = {name: array.astype("float32").ravel() for name, array in read_all(tmp_path).items()}
    expected = (bits.astype("uint32") << 16).view("float32")
    finite = np.isfinite(expected)
    assert finite.sum() == 2**16 - 2**8 and read["BF16"].dtype == "float32"
    same = read["BF16"].view("uint32") == expected.view("uint32")
    assert same[finite].all()
    sign, exponent, fraction = 1.0 - 2 * (bits >> 15), (bits >> 10) & 31, (bits & 1023) / 1024
    plain = np.where(exponent, (1 + fraction) * 2.0 ** (exponent - 15.0), fraction * 2.0**-14)
    finite = exponent < 31
    np.testing.assert_array_equal(read["F16"][finite], (sign * plain)[finite])


@pytest.mark.backend_free
def test_bfloat16_is_recognized_without_a_numpy_type(tmp_path):
    array = np.array([1.0, -3.5], ml_dtypes.bfloat16)
    np.savez(tmp_path / "a.npz", a=array)
    with files.open_tensors(tmp_path / "a.npz") as file:
        assert file.specs["a"] == ((2,), "bfloat16") and file.specs["a"].nbytes == 4
        assert file.read("a").tolist() == [1.0, -3.5]


@pytest.mark.backend_free
def test_compressed_npz_and_both_orders_of_axes(tmp_path):
    arrays = {"c": np.arange(12.0).reshape(3, 4), "f": np.asfortranarray(np.ones((4, 3)).cumsum(0))}
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    for name, read in read_all(tmp_path / "a.npz").items():
        np.testing.assert_array_equal(read, arrays[name])


@pytest.mark.backend_free
def test_numpy_and_safetensors_read_what_is_written(tmp_path):
    from safetensors.numpy import load_file

    files.write_npz(tmp_path / "a.npz", TENSORS)
    files.write_safetensors(tmp_path / "a.safetensors", TENSORS)
    with np.load(tmp_path / "a.npz") as theirs:
        assert all(np.array_equal(theirs[name], array) for name, array in TENSORS.items())
    theirs = load_file(tmp_path / "a.safetensors")
    assert all(np.array_equal(theirs[name], array) for name, array in TENSORS.items())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_keras_reads_what_is_written(dtype, tmp_path):
    def build():
        return keras.Sequential(
            [keras.Input((3,)), keras.layers.Dense(5, dtype=dtype), keras.layers.Dense(2)]
        )

    model, other = build(), build()
    model.save_weights(tmp_path / "a.weights.h5")
    with files.open_tensors(tmp_path / "a.weights.h5") as file:
        assert {spec.dtype for spec in file.specs.values()} == {dtype, "float32"}
        tensors = {name: file.read(name) * 2 for name in file.specs}
    assert {array.shape for array in tensors.values()} == {(3, 5), (5,), (5, 2), (2,)}
    files.write_h5(tmp_path / "b.weights.h5", tensors)
    other.load_weights(tmp_path / "b.weights.h5")
    for ours, theirs in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(as_float(ours) * 2, as_float(theirs))


def as_float(weight):
    return keras.ops.convert_to_numpy(keras.ops.cast(weight, "float32"))


@pytest.mark.backend_free
def test_shards_are_read_as_one_file(tmp_path):
    names = list(damage.TENSORS)
    shards = {"one.safetensors": names[:2], "two.safetensors": names[2:]}
    for shard, held in shards.items():
        files.write_safetensors(tmp_path / shard, {n: damage.TENSORS[n] for n in held})
    index = {"weight_map": {name: shard for shard, held in shards.items() for name in held}}
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps(index))
    for given in (path, tmp_path):
        with files.open_tensors(given) as file:
            assert file.format == "safetensors" and set(file.specs) == set(names)
            assert all(np.array_equal(file.read(n), damage.TENSORS[n]) for n in names)


@pytest.mark.backend_free
def test_a_folder_with_one_safetensors_file(tmp_path):
    files.write_safetensors(tmp_path / "model.safetensors", damage.TENSORS)
    assert set(read_all(tmp_path)) == set(damage.TENSORS)


@pytest.mark.backend_free
@real
def test_the_official_files_are_read_as_by_their_own_libraries():
    from safetensors.numpy import load_file

    names = "ViT-Ti_16.augreg.imagenet2012.224.npz", "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    with np.load(FOLDER / names[0]) as theirs:
        ours = read_all(FOLDER / names[0])
        assert len(ours) == 200 and sum(array.size for array in ours.values()) == 5_717_416
        assert all(np.array_equal(theirs[name], array) for name, array in ours.items())
    theirs = load_file(FOLDER / f"{names[1]}.safetensors")
    ours = read_all(FOLDER / f"{names[1]}.safetensors")
    assert len(ours) == 152 and sum(array.size for array in ours.values()) == 5_717_416
    assert all(np.array_equal(theirs[name], array) for name, array in ours.items())


@pytest.mark.backend_free
@pytest.mark.parametrize("path", [None, 7, "", b"bytes", ["a"]])
def test_something_else_than_a_path(path):
    with pytest.raises(ValueError, match="`path` must be the path of a file. Received: path="):
        files.open_tensors(path)


@pytest.mark.backend_free
@pytest.mark.parametrize("path", ["nowhere.npz", "nowhere/at/all.npz"])
def test_a_missing_file(path, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.*which does not exist"):
        files.open_tensors(tmp_path / path)
    with pytest.raises(FileNotFoundError, match=r"nowhere.*which does not exist"):
        files.read_json(tmp_path / path)
    with pytest.raises(ValueError, match="cannot be opened"):
        files.open_tensors(tmp_path / ("x" * 300))


@pytest.mark.backend_free
def test_the_folder_of_a_run_names_its_model(tmp_path):
    (tmp_path / "model.keras").touch()
    with pytest.raises(ValueError, match="without weights. For the model of this run pass .*keras"):
        files.open_tensors(tmp_path)


@pytest.mark.backend_free
def test_a_missing_tensor(tmp_path):
    files.write_npz(tmp_path / "a.npz", damage.TENSORS)
    with files.open_tensors(tmp_path / "a.npz") as file:
        with pytest.raises(ValueError, match="no tensor 'block/kernal'. Did you mean 'block/kern"):
            file.read("block/kernal")
        with pytest.raises(ValueError, match="no tensor 'x'. It has 3 tensors: 'block/kernel'"):
            file.read("x")


@formats
@pytest.mark.parametrize(
    "tensors", [{"a": np.array([{}])}, {"a": "text"}, {1: np.zeros(2)}, {"": np.zeros(2)}]
)
def test_invalid_tensors_are_not_written(format, tensors, tmp_path):
    with pytest.raises(ValueError, match="arrays of numbers, and their names strings"):
        WRITE[format](tmp_path / "a", tensors)
    assert not list(tmp_path.iterdir())


@formats
def test_a_failure_leaves_the_existing_file(format, tmp_path, monkeypatch):
    path = tmp_path / "a"
    WRITE[format](path, {"a": np.zeros(2)})

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        WRITE[format](path, {"b": np.ones(3)})
    assert os.listdir(tmp_path) == ["a"] and list(read_all(path)) == ["a"]
    with pytest.raises(FileNotFoundError, match="in a folder that exists"):
        WRITE[format](tmp_path / "no" / "a", {"a": np.zeros(2)})


FULL = """
import os, resource, signal, sys
import numpy as np
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
big = {f"layers/{i}/vars/0": np.ones((100, 100), "float32") for i in range(30)}
many = {f"layers/{i}/vars/0": np.ones(2, "float32") for i in range(600)}
for write, name in [(files.write_npz, "n"), (files.write_safetensors, "s"), (files.write_h5, "h")]:
    path = os.path.join(sys.argv[1], name)
    write(path, {"a": np.zeros(2)})
    for limit, tensors in [(0, big), (100, big), (9_999, big), (1_000_003, big), (9_999, many)]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            write(path, tensors)
        except OSError as error:
            assert error.errno == 27 and error.filename == path, error
            print("refused", end=" ")
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        with files.open_tensors(path) as file:
            assert list(file.specs) == ["a"]
print(sorted(os.listdir(sys.argv[1])))
"""


@pytest.mark.backend_free
@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files as Linux does")
def test_a_full_disk_leaves_the_existing_file_and_python_survives(tmp_path):
    done = damage.run_alone(FULL, str(tmp_path))
    assert done.stdout.split("[")[0].count("refused") == 15, done.stderr
    assert done.stdout.endswith("['h', 'n', 's']\n") and done.returncode == 0


KILLED = """
import os, random, signal, sys, time
import numpy as np
from safetensors.numpy import save_file  # before the first fork: to import it takes longer
import h5py
tensors = {f"layers/{i}/vars/0": np.ones((100, 100), "float32") for i in range(10)}
unreadable = 0
for write, name in [(files.write_npz, "n"), (files.write_safetensors, "s"), (files.write_h5, "h")]:
    path = os.path.join(sys.argv[1], name)
    write(path, tensors)
    for _ in range(int(sys.argv[2])):
        child = os.fork()
        while not child:
            write(path, tensors)
        time.sleep(random.uniform(0.001, 0.02))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with files.open_tensors(path) as file:
            unreadable += any(file.read(name).sum() != 10_000 for name in tensors)
        for left in os.listdir(sys.argv[1]):
            if left not in ("n", "s", "h"):
                os.unlink(os.path.join(sys.argv[1], left))
print("unreadable", unreadable)
"""


@pytest.mark.backend_free
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills child processes as Unix does")
@pytest.mark.parametrize("count", [5, pytest.param(350, marks=pytest.mark.weekly)])
def test_a_kill_at_any_moment_leaves_a_whole_file(count, tmp_path):
    done = damage.run_alone(KILLED, str(tmp_path), str(count))
    assert done.stdout == "unreadable 0\n", done.stderr


@pytest.mark.backend_free
def test_a_link_is_followed_and_modes_are_those_of_new_files(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "a")
    (tmp_path / "plain").touch()
    files.write_safetensors(tmp_path / "link", damage.TENSORS)
    assert (tmp_path / "link").is_symlink() and read_all(tmp_path / "there" / "a")
    mode = (tmp_path / "there" / "a").stat().st_mode
    assert mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.backend_free
def test_concurrent_writers_of_one_file(tmp_path):
    def write(value):
        for _ in range(5):
            files.write_npz(tmp_path / "a", {"a": np.full(1000, value)})

    threads = [threading.Thread(target=write, args=(value,)) for value in (1.0, 2.0)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(set(read_all(tmp_path / "a")["a"].tolist())) == 1
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.backend_free
def test_an_error_of_the_caller_is_not_hidden(tmp_path):
    with pytest.raises(OSError, match="other"):
        with writing.replacing(tmp_path / "a"):
            raise OSError(5, "other", "elsewhere")


@pytest.mark.backend_free
def test_read_json(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"hidden_size": 768}')
    assert files.read_json(path) == {"hidden_size": 768}
    with pytest.raises(ValueError, match="A JSON file of at most 5 bytes was expected"):
        files.read_json(path, limit=5)
    for text in ("<html>", "", "[" * 10**5, '{"a": 1, "a": 2}', "\xff"):
        path.write_text(text, encoding="latin-1")
        with pytest.raises(ValueError, match="A JSON file was expected"):
            files.read_json(path)
    with pytest.raises(ValueError, match="not an ordinary file"):
        files.read_json(tmp_path)
