"""Named datasets that are not on disk: archives, networks and names."""

import hashlib
import http.server
import os
import socket
import sys
import threading
import time

import numpy as np
import pytest
from tfds_set import needs_tfds, tfds

from keras_vit.data import tfds as named
from keras_vit.data.tfds import builders, load_splits, paper_datasets


@pytest.fixture
def obtainable(monkeypatch):
    """A network connection."""
    monkeypatch.setattr(builders, "check_obtainable", lambda found: None)


def make_cifar_archive(path, pixels, labels):
    """Writes `cifar-10-binary.tar.gz`: a byte for the label, then 3,072 of red, green and blue."""
    import io
    import tarfile

    rows = np.concatenate([labels[:, None], pixels.transpose(0, 3, 1, 2).reshape(24, -1)], 1)
    files = {f"data_batch_{n + 1}.bin": rows[n * 4 : n * 4 + 4] for n in range(5)}
    files |= {"test_batch.bin": rows[20:]}
    texts = {name: block.astype("uint8").tobytes() for name, block in files.items()}
    names = "airplane automobile bird cat deer dog frog horse ship truck"
    texts |= {"batches.meta.txt": "\n".join(names.split()).encode()}
    with tarfile.open(path, "w:gz") as archive:
        for name, text in texts.items():
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))


def test_a_manually_downloaded_archive_is_prepared_without_network(tmp_path, monkeypatch):
    pytest.importorskip("tensorflow_datasets")
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (24, 32, 32, 3), "uint8"), np.arange(24) % 10
    folder = tmp_path / "downloads" / "manual"
    folder.mkdir(parents=True)
    archive = folder / "cifar-10-binary.tar.gz"
    make_cifar_archive(archive, pixels, labels)
    infos = tfds.builder("cifar10", data_dir=tmp_path).url_infos
    (address, info) = next(iter(infos.items()))
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    changed = type(info)(size=archive.stat().st_size, checksum=digest, filename=info.filename)
    monkeypatch.setitem(infos, address, changed)
    splits = load_splits("cifar10", data_dir=tmp_path, validation_share=0)
    assert splits.class_names[3:5] == ("cat", "deer")
    assert (len(splits.train), len(splits.test)) == (20, 4)
    truth = {pixels[n].tobytes(): labels[n] for n in range(24)}
    for source in (splits.train, splits.test):
        for number in range(len(source)):
            image = np.asarray(source.image(number)).tobytes()
            assert truth.pop(image) == source.labels[number]
    assert not truth


@pytest.fixture
def server():
    """Starts a local server that answers with a status, or never (None)."""
    made = []

    def start(status):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self):
                self.send_response(status)
                self.end_headers()

            log_message = do_CONNECT = lambda self, *_: None

        if status is None:
            made.append(socket.create_server(("127.0.0.1", 0)))
            return f"http://127.0.0.1:{made[-1].getsockname()[1]}/a.zip"
        made.append(http.server.HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=made[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{made[-1].server_port}/a.zip"

    yield start
    for each in made:
        if isinstance(each, http.server.HTTPServer):
            each.shutdown()
            each.server_close()
        else:
            each.close()


@pytest.fixture
def no_proxy(monkeypatch):
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


def refusing():
    """A local address without a server."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}/a.zip"


@pytest.mark.parametrize("status", [200, 301, 403, 404, 405, 500])
def test_any_answer_of_a_server_will_do(status, server, no_proxy):
    assert builders.find_network_problem([refusing(), server(status)]) is None


def test_servers_that_refuse_and_that_are_silent_are_problems(server, no_proxy, monkeypatch):
    monkeypatch.setattr(builders, "SECONDS", 0.5)
    start = time.monotonic()
    reason = builders.find_network_problem([refusing(), server(None)])
    assert time.monotonic() - start < 2
    assert "refused" in reason
    assert "no answer within 0.5 seconds" in reason
    assert builders.find_network_problem([]) is None


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_denies_access_is_a_problem(scheme, server, no_proxy, monkeypatch):
    proxy = server(503) if scheme == "http" else refusing()
    monkeypatch.setenv(f"{scheme}_proxy", proxy.removesuffix("a.zip"))
    assert builders.find_network_problem([f"{scheme}://example.com/a.zip"])


@needs_tfds
@pytest.mark.parametrize("kind", ["refuses", "is silent"])
def test_without_network_the_message_helps(kind, tmp_path, server, monkeypatch, no_proxy):
    proxy = refusing() if kind == "refuses" else server(None)
    for scheme in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(scheme, proxy.removesuffix("a.zip"))
    monkeypatch.setattr(builders, "SECONDS", 1)
    start = time.monotonic()
    with pytest.raises(ConnectionError) as error:
        load_splits("cifar10", data_dir=tmp_path)
    assert time.monotonic() - start < 5
    for said in (
        f"'cifar10/3.0.2' is not prepared in {tmp_path}",
        "refused" if kind == "refuses" else "no answer within 1 seconds",
        f"tfds.builder('cifar10', data_dir='{tmp_path}', file_format='array_record')",
        f"cifar-10-binary.tar.gz into {tmp_path}/downloads/manual",
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    ):
        assert said in str(error.value)


@pytest.mark.backend_free
@needs_tfds
def test_archives_to_download_manually_are_listed(tmp_path):
    with pytest.raises(FileNotFoundError, match="ILSVRC2012_img_train.tar") as error:
        load_splits("imagenet", data_dir=tmp_path)
    assert str(tmp_path / "downloads" / "manual") in str(error.value)


@pytest.mark.backend_free
@needs_tfds
@pytest.mark.parametrize(
    "name, said",
    [
        ("cifra10", "Did you mean 'cifar10'"),
        ("imagenet21012", "Did you mean 'imagenet2012'"),
        ("cifar10:9.9.9", "cannot be loaded at version 9.9.9"),
        ("cifar10/none", "BuilderConfig none not found"),
        ("../cifar10", "The builder name string must be"),
        ("vtab/dsprites", "dsprites-location"),
        ("zzqx", "tensorflow.org/datasets/catalog"),
    ],
)
def test_unknown_names_are_refused(name, said, tmp_path):
    with pytest.raises(ValueError, match="Received: name=") as error:
        load_splits(name, data_dir=tmp_path)
    assert said in str(error.value)


@needs_tfds
def test_datasets_without_classes_are_refused(tmp_path, obtainable, monkeypatch):
    row = paper_datasets.NamedDataset("", "train", 0.1, None)
    monkeypatch.setattr(named, "_make_row", lambda builder: row)
    with tfds.testing.mock_data(num_examples=3):
        for name in ("coco_captions", "imdb_reviews"):
            with pytest.raises(ValueError, match="must have images of 8 or 16 bits"):
                load_splits(name, data_dir=tmp_path)


@pytest.mark.backend_free
@pytest.mark.parametrize("missing", builders.NEEDED)
def test_a_missing_package_is_reported_with_the_command_to_install_it(missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    if tfds is None:
        monkeypatch.setattr(builders, "NEEDED", (missing,))
    with pytest.raises(ImportError, match=rf"{missing}.*pip install tensorflow .*-datasets"):
        load_splits("cifar10")
