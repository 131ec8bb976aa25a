"""The catalog of public checkpoints: every row is complete and consistent."""

import hashlib
import math
import re

import pytest

from keras_vit.checkpoints import catalogue, loading
from keras_vit.io import download
from keras_vit.variants import BiT, parse

pytestmark = pytest.mark.backend_free

ENTRIES = list(catalogue.entries().values())
SHIPPED = [entry for entry in ENTRIES if entry.shipped]
rows = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
HOSTS = {
    "google": "https://storage.googleapis.com/vit_models/",
    "bit": "https://storage.googleapis.com/bit_models/",
    "timm": "https://huggingface.co/timm/",
    "huggingface": "https://huggingface.co/google/",
}


@rows
def test_every_fact_is_valid(entry):
    assert re.fullmatch(r"[\w+/]+(-[\w+/]+)+", entry.name) and entry.name.startswith(entry.variant)
    host = "keras_vit/checkpoints/shipped/" if entry.shipped else HOSTS[entry.source]
    assert entry.address.startswith(host)
    suffix = ".npz" if entry.source in ("google", "bit") else "/model.safetensors"
    assert entry.address.endswith(suffix) and " " not in entry.address
    assert entry.size is None or re.fullmatch(r"\d+(\.\d+)? (MiB|GiB|MB)", entry.size)
    assert entry.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", entry.sha256)
    assert entry.image_size in (None, 32, 160, 224, 384, 448, 480)
    assert entry.num_classes in (0, 10, 1000, 21843)
    assert entry.representation_size in (None, 768, 1024, 1280)
    assert entry.approximate in (None, True, False) and entry.epsilon in (1e-6, 1e-5, 1e-12)
    assert (entry.accuracy is None) == (entry.accuracy_source is None)
    assert entry.accuracy is None or entry.shipped or 70 < entry.accuracy < 90
    assert entry.accuracy is None or entry.num_classes == (10 if entry.shipped else 1000)
    assert entry.accuracy_source in (None, "README", "BiT README", "timm", "ours")
    assert (entry.accuracy_source == "ours") == bool(entry.shipped)
    assert entry.licence == "Apache-2.0"


@pytest.mark.parametrize("entry", SHIPPED, ids=lambda entry: entry.name)
def test_shipped_files_exist_and_are_small(entry):
    content = entry.shipped.read_bytes()
    assert hashlib.sha256(content).hexdigest() == entry.sha256
    assert len(content) < 10**7 and len(entry.class_names) == entry.num_classes


def test_names_of_classes_need_no_download(monkeypatch):
    monkeypatch.setattr(download, "fetch", lambda *_: pytest.fail("downloaded"))
    assert loading.class_names("ViT-S/16")[285] == "Egyptian cat"


@rows
def test_normalization_is_for_pixels_0_to_255(entry):
    if entry.variant == "ViT-Mini/4":  # a deviation of 4000: see the recipe of digits
        assert entry.normalize == (75, 4000)
        return
    for value in entry.normalize:
        channels = value if isinstance(value, tuple) else (value,) * 3
        assert len(channels) == 3 and all(50 < channel < 130 for channel in channels)


@rows
def test_every_variant_can_be_built(entry):
    shape = parse(entry.variant)
    assert (entry.approximate is None) == isinstance(shape, BiT)
    if not isinstance(shape, BiT):
        assert entry.representation_size in (None, shape.hidden_dim)
        assert entry.image_size % shape.patch_size == 0


@pytest.mark.parametrize(
    "entry",
    # The file left out is three times as large as its weights.
    [entry for entry in ENTRIES if entry.size and entry.name != "ViT-S/16-sam-i1k"],
    ids=lambda entry: entry.name,
)
def test_published_sizes_are_those_of_the_weights(entry):
    """This also verifies the resolution, the classes and the tanh layer of each row."""
    number, unit = entry.size.split()
    published = float(number) * {"MB": 1e6, "MiB": 2**20, "GiB": 2**30}[unit]
    digits = len(number.partition(".")[2])
    rounding = 0.5 * 10**-digits / float(number)
    size = entry.shipped.stat().st_size if entry.shipped else 4 * weights(entry)
    assert math.isclose(published, size, rel_tol=rounding + 1e-3)


def weights(entry):
    """Number of weights in the file of an entry, from its variant at 224 pixels."""
    shape = parse(entry.variant)
    width, head = shape.hidden_dim, shape.hidden_dim + 1
    listed = shape if shape.parameters else shape._replace(patch_size=8)  # there is no "Mini/4"
    count = listed.parameters + head * (entry.num_classes - 1000)
    count += head * (entry.representation_size or 0)
    count += 3 * (shape.patch_size**2 - listed.patch_size**2) * width
    sides = [224 // listed.patch_size, entry.image_size // shape.patch_size]
    count += (sides[1] ** 2 - sides[0] ** 2) * width
    distilled = "distilled" in entry.name
    return count + distilled * (2 * width + head * entry.num_classes)


@rows
def test_every_file_has_its_own_name(entry):
    path = download.target_path(entry, "folder")
    others = [download.target_path(other, "folder") for other in ENTRIES]
    assert others.count(path) == 1 and path.parent.name == "folder"
    assert [other.address for other in ENTRIES].count(entry.address) == 1


def test_every_variant_has_one_recommended_entry():
    for variant in {entry.variant for entry in ENTRIES}:
        marked = [e for e in ENTRIES if e.variant == variant and e.recommended]
        assert marked == [catalogue.find(variant)]


def test_find():
    entry = catalogue.find("ViT-B/16-augreg-i21k-ft-384")
    assert entry.image_size == 384 and entry.accuracy == 85.49
    assert entry.address == (
        "https://storage.googleapis.com/vit_models/augreg/B_16-i21k-300ep-lr_0.001-aug_medium1-"
        "wd_0.1-do_0.0-sd_0.0--imagenet2012-steps_20k-lr_0.03-res_384.npz"
    )
    assert catalogue.find("ViT-S/16").name == "ViT-S/16-augreg-i21k-ft-224"
    assert catalogue.find("R50x1").image_size == 448


@pytest.mark.parametrize("name", ["ViT-B/17", "vit-b/16-augreg", "", None, 7, ["ViT-B/16"]])
def test_an_unknown_name(name):
    with pytest.raises(ValueError, match="must be a checkpoint of the catalog") as caught:
        catalogue.find(name)
    assert f"Received: name={name!r}" in str(caught.value)
    assert str(caught.value).endswith("If it is a path, no file or folder exists there.")
    if name == "ViT-B/17":
        assert "Did you mean 'ViT-B/16'" in str(caught.value)


def test_a_caller_cannot_change_the_catalog():
    catalogue.entries().clear()
    assert len(catalogue.entries()) == len(ENTRIES)


def test_the_listing_marks_unpublished_facts():
    lines = catalogue.listing().splitlines()
    assert len(lines) == len(ENTRIES) + 2
    assert sum(line.startswith("* ") for line in lines) == len({e.variant for e in ENTRIES}) + 1
    assert sum("not published" in line for line in lines) == sum(e.sha256 is None for e in ENTRIES)
    assert max(map(len, lines)) <= 100
