"""Downloads from a local server that interrupts, sends wrong data, and redirects."""

import contextlib
import os
import threading
import time
import traceback
import types

import pytest
from bad_server import CONTENT, LENGTH, PAGE, SHA256, Handler, Server

from keras_vit.checkpoints import catalogue
from keras_vit.io import download, files

pytestmark = pytest.mark.backend_free


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server(("127.0.0.1", 0), Handler) as server:
        server.asked, server.stop = [], threading.Event()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.stop.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def entry(server):
    """Makes an entry of the catalog for the server's response `kind`."""

    def make(kind, suffix=".npz", **facts):
        address = f"http://127.0.0.1:{server.server_port}/{kind}/a{suffix}"
        plain = catalogue.find("ViT-Ti/16")
        facts = {"sha256": None, **facts}
        return plain._replace(name="ViT-Ti/16-test", address=address, **facts)

    return make


def names(folder):
    return sorted(os.listdir(folder))


@pytest.mark.parametrize("kind", ["whole", "unmeasured", "redirect"])
@pytest.mark.parametrize("facts", [{}, {"sha256": SHA256}])
def test_a_whole_file_is_downloaded_once(kind, facts, entry, server, tmp_path, capsys):
    wanted = entry(kind, **facts)
    path = download.fetch(wanted, tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "ViT-Ti_16-test.npz"
    assert path == download.target_path(wanted, tmp_path / "new" / "folder")
    assert path.read_bytes() == CONTENT and names(path.parent) == ["ViT-Ti_16-test.npz"]
    assert wanted.address in capsys.readouterr().out
    count = len(server.asked)
    assert download.fetch(wanted, path.parent) == path and len(server.asked) == count


# kind, facts in the catalog, words of the error, bytes that are kept for the next try
FAILURES = {
    "cut": ("cut", {}, "interrupted after 123,456 of 200", 123_456),
    "cut, size unknown": ("unmeasured_cut", {}, "is damaged: it is not a complete zip archive", 0),
    "cut, sha256 known": ("unmeasured_cut", {"sha256": SHA256}, "sha256 differs from the pub", 0),
    "wrong bytes": ("wrong", {}, "Bad CRC-32", 0),
    "wrong bytes, sha256 known": ("wrong", {"sha256": SHA256}, "sha256 differs", 0),
    "page": ("page", {}, "answers with a web page", 0),
    "page with another content type": ("hidden_page", {}, "is a web page", 0),
    "missing": ("missing", {}, "the server answers 404 Not Found", 0),
    "broken": ("broken", {}, "the server answers 503", 0),
    "to a file": ("to_file", {}, "Redirection to url 'file:///etc/passwd'", 0),
    "to ftp": ("to_ftp", {}, "redirects to 'ftp://127.0.0.1/a.npz', which is not safe", 0),
    "endless redirects": ("circle", {}, "the server answers 302", 0),
    "compressed": ("compressed", {}, "compresses it as 'gzip'", 0),
    "huge": ("huge", {}, "more than any known model", 0),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_leaves_no_bad_file(name, entry, tmp_path):
    kind, facts, words, kept = FAILURES[name]
    wanted = entry(kind, **facts)
    with pytest.raises(OSError) as caught:
        download.fetch(wanted, tmp_path)
    message = str(caught.value)
    assert words in message and wanted.address in message
    assert len(list(traceback.TracebackException.from_exception(caught.value).format())) < 8
    assert f"save it as {tmp_path / 'ViT-Ti_16-test.npz'}" in message
    partial = tmp_path / "ViT-Ti_16-test.npz.partial"
    assert names(tmp_path) == ([partial.name] if kept else [])
    if kept:
        assert partial.stat().st_size == kept and f"after the {kept:,} bytes" in message
    good = entry("whole", **facts)
    assert download.fetch(good, tmp_path).read_bytes() == CONTENT
    assert names(tmp_path) == ["ViT-Ti_16-test.npz"]


def test_a_server_that_stops_sending(entry, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    start = time.perf_counter()
    with pytest.raises(OSError, match="timed out"):
        download.fetch(entry("slow"), tmp_path)
    assert time.perf_counter() - start < 2


def test_a_server_that_never_ends(entry, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "MAX_BYTES", 10**6)
    with pytest.raises(OSError, match="sends more than it announced"):
        download.fetch(entry("endless", ".safetensors"), tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("facts", [{}, {"sha256": SHA256}])
def test_an_interrupted_download_resumes(facts, entry, server, tmp_path):
    with pytest.raises(OSError, match="resume after the 123,456 bytes"):
        download.fetch(entry("resume", **facts), tmp_path)
    path = download.fetch(entry("resume", **facts), tmp_path)
    assert server.asked == [None, "bytes=123456-"]
    assert path.read_bytes() == CONTENT and names(tmp_path) == [path.name]


@pytest.mark.parametrize("kind", ["stubborn", "other_part"])
def test_a_server_that_cannot_resume_starts_again(kind, entry, tmp_path):
    with pytest.raises(OSError, match="interrupted"):
        download.fetch(entry(kind), tmp_path)
    assert download.fetch(entry(kind), tmp_path).read_bytes() == CONTENT


def test_a_partial_file_longer_than_the_file_starts_again(entry, server, tmp_path):
    (tmp_path / "ViT-Ti_16-test.npz.partial").write_bytes(CONTENT + b"more")
    with pytest.raises(OSError, match="interrupted after 123,456"):  # its first response is cut
        download.fetch(entry("resume"), tmp_path)
    assert server.asked == [f"bytes={LENGTH + 4}-", None]


@pytest.mark.parametrize("facts", [{}, {"sha256": SHA256}])
def test_the_end_of_another_file_is_detected(facts, entry, tmp_path):
    for words in ("interrupted", "sha256 differs" if facts else "Bad CRC-32"):
        with pytest.raises(OSError, match=words):
            download.fetch(entry("changed", **facts), tmp_path)
    assert names(tmp_path) == []


def test_without_a_checksum_a_safetensors_file_starts_again(entry, server, tmp_path):
    """It could not be verified that both parts come from the same file."""
    for _ in range(2):
        with pytest.raises(OSError, match="Check the network and the disk, and run it again"):
            download.fetch(entry("resume", ".safetensors"), tmp_path)
        assert names(tmp_path) == []
    assert server.asked == [None, None]


def test_a_bad_file_in_the_cache_is_replaced(entry, tmp_path):
    path = tmp_path / "ViT-Ti_16-test.npz"
    for bad, facts in ((PAGE, {}), (CONTENT[:-1], {}), (CONTENT + b"x", {"sha256": SHA256})):
        path.write_bytes(bad)
        assert download.fetch(entry("whole", **facts), tmp_path).read_bytes() == CONTENT


def test_ctrl_c_keeps_the_partial_file(entry, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        download.fetch(entry("whole"), tmp_path)
    assert names(tmp_path) == ["ViT-Ti_16-test.npz.partial"]
    with pytest.raises(KeyboardInterrupt):
        download.fetch(entry("whole", ".safetensors"), tmp_path)
    assert names(tmp_path) == ["ViT-Ti_16-test.npz.partial"]


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_full_disk_is_freed(suffix, entry, tmp_path):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"File too large.*save it as"):
            download.fetch(entry("whole", suffix), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names(tmp_path) == []


def test_a_disk_that_is_too_small_is_detected_first(entry, tmp_path, monkeypatch):
    usage = types.SimpleNamespace(free=1000)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match="it needs 200,.* bytes, the disk has 1,000 left"):
        download.fetch(entry("whole"), tmp_path)


def test_offline(server, entry, tmp_path):
    wanted = entry("whole")
    server.server_close()
    with pytest.raises(OSError, match=r"could not be downloaded: .*(refused|reset).*Check the net"):
        download.fetch(wanted, tmp_path)
    nowhere = wanted._replace(address="https://nowhere.invalid/a.npz")
    with pytest.raises(OSError, match=r"https://nowhere.invalid/a.npz could not be downloaded"):
        download.fetch(nowhere, tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://a/b", "/etc/passwd", "data:,x"])
def test_only_http_is_accepted(address, entry, tmp_path):
    with pytest.raises(ValueError, match="The address must begin with https://. Received: addr"):
        download.fetch(entry("whole")._replace(address=address), tmp_path)


def test_concurrent_downloads(entry, tmp_path):
    done = []
    threads = [
        threading.Thread(target=lambda: done.append(download.fetch(entry("whole"), tmp_path)))
        for _ in range(4)
    ]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(done) == 4 and names(tmp_path) == ["ViT-Ti_16-test.npz"]
    assert done[0].read_bytes() == CONTENT


def test_a_finished_download_leaves_the_file_of_the_next(tmp_path):
    path = tmp_path / "a.npz"
    with contextlib.ExitStack() as second:
        with download._partial(path, resumable=True) as file:
            file.write(CONTENT)
            os.replace(file.name, path)
            next_file = second.enter_context(download._partial(path, resumable=True))
        next_file.write(CONTENT[:3])
        assert (tmp_path / "a.npz.partial").read_bytes() == CONTENT[:3]
    assert path.read_bytes() == CONTENT


def test_the_default_folder_is_in_that_of_keras(entry, monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert download.target_path(entry("whole")) == tmp_path / "keras_vit" / "ViT-Ti_16-test.npz"
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    here = tmp_path / ".keras" / "keras_vit" / "ViT-Ti_16-test.npz"
    assert download.target_path(entry("whole")) == here
    odd = entry("whole")._replace(name="../../etc/x")
    assert download.target_path(odd, tmp_path).parent == tmp_path


def test_a_folder_that_cannot_be_created(entry, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"folder that can be written .*file.*KERAS_HOME"):
        download.fetch(entry("whole"), tmp_path / "file" / "below")


def test_a_download_can_be_opened(entry, tmp_path):
    with files.open_tensors(download.fetch(entry("whole"), tmp_path)) as file:
        assert file.read("cls").tolist() == [1, 1, 1]
