"""Sources: files of every format, bytes, arrays, tables and folders."""

import errno
import io
import itertools
import os
import pathlib
import shutil
import zlib

import numpy as np
import pytest
from PIL import Image

from keras_vit import data
from keras_vit.data import images
from keras_vit.data.sources import arrays, disk_cache, folders, groups, local
from keras_vit.data.sources import source as sources
from keras_vit.doctor import examine, file_tree

pytestmark = pytest.mark.backend_free

COLOURS = np.array([[(200, 30, 60), (10, 250, 90)], [(0, 0, 255), (130, 130, 7)]], "uint8")


def blocks(side=16):
    """Four uniform squares, which JPEG hardly changes."""
    return Image.fromarray(COLOURS.repeat(side, axis=0).repeat(side, axis=1))


def save(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


@pytest.fixture
def divided(tmp_path):
    """Splits train, val and test of two classes; pixels encode split, class and number."""
    for part, count in (("train", 5), ("Val", 2), ("test", 3)):
        for label, name in enumerate(("cat", "dog")):
            for i in range(count):
                pixel = (count, 100 * label, i)
                save(tmp_path / part / name / f"{i}.png", Image.new("RGB", (4, 4), pixel))
    return tmp_path


@pytest.mark.parametrize(
    "suffix, error, options",
    [
        (".jpg", 4, {"quality": 95, "subsampling": 0}),
        (".jfif", 4, {"quality": 95, "subsampling": 0}),
        (".png", 0, {}),
        (".bmp", 0, {}),
        (".tif", 0, {"compression": "tiff_lzw"}),
        (".tiff", 0, {}),
        (".gif", 0, {}),
        (".webp", 0, {"lossless": True}),
        (".ppm", 0, {}),
    ],
)
def test_every_kind_of_file_gives_its_pixels(tmp_path, suffix, error, options):
    assert suffix in images.SUFFIXES
    image = blocks().quantize(4) if suffix == ".gif" else blocks()
    path = save(tmp_path / f"x{suffix.upper()}", image, **options)
    source = sources.FileSource([path], [0])
    pixels = np.asarray(source.image(0)).astype(int)
    assert np.abs(pixels - np.asarray(blocks())).max() <= error
    assert source.names == [str(path)] and source.labels.dtype == "int32"


def test_gray_maps_of_8_and_16_bits_are_read(tmp_path):
    for highest, data_type in ((255, ">u1"), (65535, ">u2")):
        values = np.array([[0, 1, 2], [3, 4, 5]], data_type) * (highest // 255)
        path = tmp_path / "x.pgm"
        path.write_bytes(b"P5\n3 2\n%d\n" % highest + values.astype(data_type).tobytes())
        assert np.asarray(images.open_image(path, 1)).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_transparent_value_of_16_bits_becomes_white_and_the_others_8_bits(tmp_path):
    def chunk(kind, content):
        checksum = zlib.crc32(kind + content).to_bytes(4)
        return len(content).to_bytes(4) + kind + content + checksum

    values = np.array([[0, 257 * 6], [257 * 99, 65535]], ">u2")
    rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in values))
    head = chunk(b"IHDR", bytes([0, 0, 0, 2, 0, 0, 0, 2, 16, 0, 0, 0, 0]))
    body = chunk(b"tRNS", (257 * 6).to_bytes(2)) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + body)
    pixels = np.asarray(images.open_image(tmp_path / "x.png", 1))
    assert pixels.tolist() == [[0, 255], [99, 255]]


@pytest.mark.parametrize("suffix", ["gif", "webp", "tif", "png"])
def test_the_first_frame_of_an_animation_is_read(tmp_path, suffix):
    films = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    options = {"lossless": True} if suffix == "webp" else {}
    path = tmp_path / f"film.{suffix}"
    save(path, films[0], save_all=True, append_images=films[1:], **options)
    assert (np.asarray(images.open_image(path)) == (255, 0, 0)).all()


def test_rare_modes_are_converted(tmp_path):
    """Values by hand: CMYK without its key, BT.601 of YCbCr, white behind transparent pixels."""
    one, alpha = Image.new("L", (4, 4), 200), Image.new("L", (4, 4), 51)
    cases = {
        "cmyk.tif": (Image.new("CMYK", (4, 4), (255, 0, 55, 0)), (0, 255, 200)),
        "ycbcr.tif": (Image.new("YCbCr", (4, 4), (100, 128, 228)), (240, 29, 100)),
        "la.png": (Image.merge("LA", (one, alpha)), (244, 244, 244)),
        "bit.png": (Image.new("1", (4, 4), 1), (255, 255, 255)),
        "bit.tif": (Image.new("1", (4, 4), 0), (0, 0, 0)),
        "deep.tif": (Image.new("I;16", (4, 4), 257 * 77), (77, 77, 77)),
        "deeper.tif": (Image.new("I", (4, 4), 257 * 77), (77, 77, 77)),
    }
    for name, (image, pixel) in cases.items():
        found = np.asarray(images.open_image(save(tmp_path / name, image)))
        assert np.abs(found.astype(int) - pixel).max() <= 1, name
    ppm = tmp_path / "deep.ppm"
    ppm.write_bytes(b"P6 1 1 65535\n" + (np.array([1, 99, 255]) * 257).astype(">u2").tobytes())
    assert np.asarray(images.open_image(ppm)).ravel().tolist() == [1, 99, 255]


@pytest.mark.parametrize(
    "pixels, words",
    [
        ([np.zeros((3, 4, 3)), np.zeros((3, 5, 3))], "one array of numbers.*to one size"),
        (np.full((2, 4, 4, 3), 65535, "uint16"), r"\(images / 257\).round"),
    ],
)
def test_arrays_that_are_not_images_are_refused(pixels, words):
    with pytest.raises(ValueError, match=words):
        arrays.read_arrays((pixels, np.arange(2)))


def test_pixels_that_do_not_become_rgb_are_refused(tmp_path):
    path = save(tmp_path / "lab.tif", Image.new("LAB", (9, 9)))
    with pytest.raises(ValueError, match="lab.tif' must have gray or RGB.*'LAB'. Save it as PNG"):
        images.open_image(path)
    assert examine.examine(path)["problems"][0][0] == "not-an-image"


@pytest.mark.parametrize("pixel", [-1, 65536])
def test_pixels_of_32_bits_are_refused(pixel, tmp_path):
    path = save(tmp_path / "deepest.tif", Image.new("I", (4, 4), pixel))
    with pytest.raises(ValueError, match=f"deepest.tif' must have .*{pixel}"):
        images.open_image(path)
    assert examine.examine(path)["problems"][0][0] == "float-pixels"


def test_cmyk_16_bits_and_transparency_are_converted(tmp_path):
    cmyk = save(tmp_path / "a.jpg", Image.new("CMYK", (16, 16), (0, 255, 255, 0)), quality=95)
    deep = save(tmp_path / "b.png", Image.new("I;16", (16, 16), 257 * 99))
    clear = save(tmp_path / "c.webp", Image.new("RGBA", (16, 16), (9, 9, 9, 0)), lossless=True)
    expected = {cmyk: (255, 0, 0), deep: (99, 99, 99), clear: (255, 255, 255)}
    for path, pixel in expected.items():
        difference = np.asarray(images.open_image(path)).astype(int) - pixel
        assert np.abs(difference).max() <= 3, path


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("smallest", [None, (6, 20)])
@pytest.mark.parametrize("suffix", ["jpg", "tif", "png"])
def test_images_are_upright_with_every_orientation(tmp_path, suffix, orientation, smallest):
    """EXIF 2.3, table 6: the visual sides of row 0 and column 0 of the stored pixels."""
    stored = np.asarray(blocks(16))[:, :24]  # 32 x 24
    turned = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.swapaxes(0, 1),
        6: stored[::-1].swapaxes(0, 1),
        7: stored[::-1, ::-1].swapaxes(0, 1),
        8: stored[:, ::-1].swapaxes(0, 1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95, "subsampling": 0} if suffix == "jpg" else {}
    path = save(tmp_path / f"x.{suffix}", Image.fromarray(stored), exif=exif, **options)
    upright = np.asarray(images.open_image(path, smallest=smallest)).astype(int)
    assert upright.shape == turned.shape  # 20 of 24 pixels: half is too small
    assert np.abs(upright - turned).max() <= 6


def test_a_large_jpeg_is_decoded_as_small_as_allowed(tmp_path):
    path = save(tmp_path / "x.jpg", blocks(200), quality=95)  # 400 x 400
    sizes = {None: 400, (400, 1): 400, (201, 201): 400, (200, 90): 200, (51, 9): 100, (9, 9): 50}
    for smallest, side in sizes.items():
        assert images.open_image(path, smallest=smallest).size == (side, side)
    sizes = (None, (150, 150))
    whole, half = (images.open_image(path, smallest=s).resize((40, 40), 2) for s in sizes)
    difference = np.asarray(whole).astype(int) - np.asarray(half)
    assert np.abs(difference).max() <= 4
    grey = images.open_image(path, 1, smallest=(9, 9))
    assert grey.mode == "L" and grey.size == (50, 50)


def test_decoding_at_a_fraction_hardly_changes_photographs():
    """Decoding at half size changes less than another antialiasing filter."""
    folder = os.environ.get("KERAS_VIT_TEST_DATA")
    if folder is None:
        pytest.skip("KERAS_VIT_TEST_DATA, the folder with photographs, is not set")
    files = sorted(pathlib.Path(folder).glob("photos/pets370/*/*.jpg"))[::40]
    assert len(files) > 5

    def resized(image, method=Image.Resampling.BILINEAR):
        return np.asarray(image.resize((32, 32), method)).astype(float)

    for file in files:
        whole, half = images.open_image(file), images.open_image(file, smallest=(96, 96))
        assert half.size < whole.size
        change = np.abs(resized(half) - resized(whole)).mean()
        assert 0 < change < np.abs(resized(whole, Image.Resampling.BOX) - resized(whole)).mean() / 2


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"\0" * 30])
def test_errors_contain_the_name_of_unreadable_files_and_bytes(tmp_path, content):
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="bad.png' cannot be read as an image"):
        sources.FileSource([path], [0]).image(0)
    with pytest.raises(ValueError, match="train/7' cannot be read as an image"):
        sources.EncodedSource([content], [0], ["train/7"]).image(0)


def test_encoded_images_come_from_a_sequence_or_a_function():
    file = io.BytesIO()
    blocks().save(file, "PNG")
    for encoded in ([file.getvalue()] * 2, lambda number: file.getvalue()):
        source = sources.EncodedSource(encoded, [0, 1])
        assert np.array_equal(source.image(1), blocks()) and source.names == ["0", "1"]
    grey = sources.EncodedSource([file.getvalue()], [0], num_channels=1).image(0)
    assert np.array_equal(grey, blocks().convert("L"))


def test_arrays_and_subsets_keep_images_and_labels_together():
    pixels = np.arange(5 * 2 * 3 * 3, dtype="uint8").reshape(5, 2, 3, 3)
    source = sources.ArraySource(pixels, [0, 1, 0, 1, 0])
    assert source.image(2).mode == "RGB" and np.array_equal(source.image(2), pixels[2])
    some = sources.Subset(source, np.array([3, 0]))
    assert some.labels.tolist() == [1, 0] and some.names == ["3", "0"] and len(some) == 2
    assert np.array_equal(some.image(0), pixels[3])
    grey = sources.ArraySource(pixels[..., :1], source.labels).image(1)
    assert grey.mode == "L" and np.array_equal(grey, pixels[1, :, :, 0])


def test_small_images_are_decoded_once(tmp_path):
    files = [save(tmp_path / f"{i}.png", Image.new("RGB", (8, 6), (i, 0, 0))) for i in range(5)]
    kept = sources.decode_all(sources.FileSource(files, np.arange(5)))
    for file in files:
        file.unlink()
    assert isinstance(kept, sources.ArraySource) and kept.images.shape == (5, 6, 8, 3)
    assert kept.names == list(map(str, files)) and kept.labels.tolist() == [0, 1, 2, 3, 4]
    assert [kept.image(i).getpixel((0, 0)) for i in range(5)] == [(i, 0, 0) for i in range(5)]


def test_images_of_different_sizes_are_kept_in_a_list(tmp_path):
    files = [save(tmp_path / f"{i}.png", Image.new("L", (8 + i, 6))) for i in range(3)]
    kept = sources.decode_all(sources.FileSource(files, np.zeros(3), num_channels=1))
    assert [kept.image(i).size for i in range(3)] == [(8, 6), (9, 6), (10, 6)]


def test_large_images_stay_in_their_files(tmp_path):
    sides = (64, 64, 65)
    files = [save(tmp_path / f"{i}.png", Image.new("L", (side, 5))) for i, side in enumerate(sides)]
    source = sources.FileSource(files, np.zeros(3))
    assert sources.decode_all(source) is source
    small = sources.Subset(source, [0, 1])
    assert sources.decode_all(small) is not small
    assert sources.decode_all(small, limit=2 * 64 * 5 * 3 - 1) is small


def test_a_folder_of_classes_is_one_split(divided):
    parts = folders.read_folder(divided / "train")
    assert parts.class_names == ("cat", "dog") and parts.name == "train"
    assert parts.train.labels.tolist() == [0] * 5 + [1] * 5
    assert parts.train.names[6] == "dog/1.png" and parts[3:5] == (None, None)
    assert parts.train.image(6).getpixel((0, 0)) == (5, 100, 1)


def test_a_folder_of_splits_keeps_its_splits(divided):
    (divided / "README.md").write_text("notes")
    parts = folders.read_folder(divided)
    assert [len(part) for part in parts[2:5]] == [10, 4, 6] and parts.class_names == ("cat", "dog")
    assert parts.validation.names[3] == "Val/dog/1.png"
    assert parts.validation.image(3).getpixel((0, 0)) == (2, 100, 1)


def test_classes_may_be_missing_in_a_split(divided):
    for path in (divided / "Val" / "dog").iterdir():
        path.unlink()
    for path in (divided / "test" / "cat").iterdir():
        path.unlink()
    (divided / "test" / "cat").rmdir()
    save(divided / "test" / "bear" / "1.png", Image.new("L", (3, 3)))
    parts = folders.read_folder(divided)
    assert parts.class_names == ("bear", "cat", "dog")
    assert parts.validation.labels.tolist() == [1, 1] and parts.test.labels.tolist() == [0, 2, 2, 2]


def test_a_class_may_have_the_name_of_a_split(tmp_path):
    for name in ("train", "bus"):
        for i in range(2):
            save(tmp_path / name / f"{i}.png", Image.new("L", (3, 3)))
    assert folders.read_folder(tmp_path).class_names == ("bus", "train")


def test_a_training_split_beside_another_folder_is_no_class(divided):
    """Before, its classes became one class called train."""
    for name in ("Val", "test"):
        shutil.rmtree(divided / name)
    save(divided / "extra" / "1.png", Image.new("L", (3, 3)))
    with pytest.raises(ValueError, match="one folder for each split.*extra.*A class 'train' must"):
        folders.read_folder(divided)
    assert [problem.path for problem in file_tree.walk(divided).problems] == ["extra"]
    save(divided / "train" / "1.png", Image.new("L", (3, 3)))  # now it may be a class
    save(divided / "extra" / "2.png", Image.new("L", (3, 3)))
    assert folders.read_folder(divided).class_names == ("extra", "train")


def test_splits_without_training_images_are_no_classes(divided):
    """Before, a folder of val and test had two classes of these names."""
    shutil.rmtree(divided / "train")
    with pytest.raises(ValueError, match="training images.*Add a folder train.*one split: .*Val"):
        folders.read_folder(divided)
    assert {split for split, _ in file_tree.walk(divided).classes} == {"validation", "test"}
    for name in ("Val", "test"):
        save(divided / name / "1.png", Image.new("L", (3, 3)))  # now they may be classes
    assert folders.read_folder(divided).class_names == ("Val", "test")


def test_the_splits_of_the_source_are_known(divided):
    settings = {"image_size": 4, "pipeline": "keras"}
    assert data.load(divided, **settings).own_splits == ["train", "validation", "test"]
    assert data.load(divided / "train", **settings).own_splits == ["train"]


@pytest.mark.parametrize("extra", ["unlabelled", "valid"])
def test_folders_that_are_neither_splits_nor_classes_are_refused(divided, extra):
    (divided / extra).mkdir()
    with pytest.raises(ValueError, match=f"one folder for each split.*{extra}.*rename"):
        folders.read_folder(divided)


def test_a_split_without_classes_is_refused(divided):
    os.rename(divided / "test", divided / "away")
    save(divided / "test" / "1.png", Image.new("L", (3, 3)))
    os.rename(divided / "away", divided.parent / "away")
    with pytest.raises(ValueError, match="two class folders.*test.*class folders=0"):
        folders.read_folder(divided)


def table(folder, text, name="table.csv"):
    path = folder / name
    path.write_text(text, "utf-8", "surrogateescape")
    return path


def test_a_table_lists_files_labels_and_splits(divided):
    rows = ["\ufefffile,label,split", "train/dog/4.png,dog,train", '"train/cat/2.png", cat ,train']
    rows += ["test/cat/0.png,cat,TEST", "Val/dog/1.png,dog,valid"]
    parts = folders.read_table(table(divided, "\n".join(rows)))
    assert parts.name == "table" and parts.class_names == ("cat", "dog")
    assert parts.train.labels.tolist() == [1, 0] and parts.test.labels.tolist() == [0]
    assert parts.train.image(0).getpixel((0, 0)) == (5, 100, 4)
    assert parts.validation.names == ["Val/dog/1.png"]


def test_labels_that_are_numbers_are_ordered_as_numbers(divided):
    rows = ["train/dog/4.png,10", "train/dog/3.png,9", "train/dog/2.png,10"]
    parts = folders.read_table(table(divided, "\n".join(["file,label", *rows])))
    assert parts.class_names == ("9", "10") and parts.train.labels.tolist() == [1, 0, 1]
    assert parts.validation is None and parts.test is None


@pytest.mark.parametrize(
    "rows, message",
    [
        (
            ["photo,breed,age", "train/dog/4.png,dog,3"],
            "column of labels.*--image-column photo --label-column breed, in Python",
        ),
        (
            ["my age,photo,b b", "3,train/dog/4.png,dog"],
            "--image-column photo --label-column 'my age'",
        ),
        (["file,owner", "train/dog/4.png,Ann"], "--image-column file --label-column owner"),
        (["file,class,label", "train/dog/4.png,dog,dog"], "--label-column class"),
        ([], "table of images.*columns=.*first line such as"),
        (["file,split", "4.png,train"], "folder of its class.*line=2.*'4.png'.*cat/1.jpg"),
        (["file,label"], "two labels.*rows=0"),
        (["file,label", "train/dog/4.png,dog"], "two labels.*'dog'"),
        (["file,label", "train/dog/4.png"], "one value for each column.*line=2"),
        (["file,label", "train/dog/4.png,"], "one value for each column.*line=2.*empty cells"),
        (["file,label", "train/dog/4.png,a,b"], "one value for each column.*line=2.*quotes"),
        (["file,label,split", "train/dog/4.png,dog,all"], "train, .*line=2, split='all'"),
        (["file,label", '"train/dog/4.png'], "cannot be read as a table.*CSV in UTF-8"),
        (["file,label", "train/dog/4.png,a", "train/dog/4.png,b"], r"once.*lines=\(2, 3\)"),
        (["file,label", "train/dog/4.png,a", "train//dog/4.png,b"], r"once.*lines=\(2, 3\)"),
        (["file,label", "train/dog/4.png,\udce9"], "cannot be read as a table.*CSV in UTF-8"),
    ],
)
def test_invalid_tables_are_refused(divided, rows, message):
    with pytest.raises(ValueError, match=message):
        folders.read_table(table(divided, "\n".join(rows)))


def test_a_file_with_and_without_its_folder_is_listed_twice(divided):
    rows = f"file,label\ntrain/dog/4.png,a\n{divided}/train/dog/4.png,b\n"
    with pytest.raises(ValueError, match=r"once.*lines=\(2, 3\)"):
        folders.read_table(table(divided, rows))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_columns_may_have_any_names_and_order(divided, separator):
    rows = ["age,breed,photo,fold,owner", "3,beagle,train/dog/4.png,train,ann"]
    rows += [",tabby,train/cat/2.png,VAL,bob", "5,tabby,train/cat/3.png,train,cid"]
    path = table(divided, "\n".join(rows).replace(",", separator))
    columns = {"label": "breed", "image": "photo", "split": "fold", "group": "owner"}
    parts = folders.read_table(path, columns=columns)
    assert parts.class_names == ("beagle", "tabby") and parts.validation.labels.tolist() == [1]
    assert parts.train.groups == ["ann", "cid"] and parts.validation.groups == ["bob"]
    assert parts.train.names == ["train/dog/4.png", "train/cat/3.png"]
    said = "columns of table.csv: image 'photo', label 'breed', split 'fold', group 'owner'"
    assert parts.notes == (said,)
    with pytest.raises(ValueError, match="have the column 'bred'.*mean 'breed'"):
        folders.read_table(path, columns={**columns, "label": "bred"})


def test_usual_names_of_columns_are_found(divided):
    path = table(divided, "id,Filename,Class\n1,train/dog/4.png,dog\n2,train/cat/4.png,cat")
    parts = data.load(path, image_size=4, pipeline="keras", test_share=0, validation_share=0)
    assert parts.class_names == ("cat", "dog")
    assert "columns of table.csv: image 'Filename', label 'Class'" in repr(parts)


def test_a_table_without_labels_divides_a_folder(divided):
    rows = ["file,split,group"]
    for i, split in enumerate(("train", "train", "val", "test", "test")):
        rows += [f"train/{name}/{i}.png,{split},{name}{i}" for name in ("cat", "dog")]
    parts = folders.read_table(table(divided, "\n".join(rows)))
    assert parts.class_names == ("cat", "dog") and [len(part) for part in parts[2:5]] == [4, 2, 4]
    assert parts.test.groups == ["cat3", "dog3", "cat4", "dog4"]
    assert "labels: the folder of each image" in parts.notes[1]


@pytest.mark.parametrize("columns", [{"labels": "breed"}, {"label": 3}, ["file"], "file"])
def test_columns_that_are_not_names_by_role_are_refused(divided, columns):
    path = table(divided, "file,label\ntrain/dog/4.png,dog\ntrain/cat/4.png,cat")
    with pytest.raises(ValueError, match="must be a dictionary with some of image, label, split"):
        data.load(path, columns=columns)
    with pytest.raises(ValueError, match="only a .csv|Only a .csv"):
        data.load(divided, columns={"label": "breed"})


def grouped(sizes, classes=3, seed=0):
    """Labels and groups: every group has images of random classes."""
    rng = np.random.default_rng(seed)
    groups = np.repeat([f"p{i}" for i in range(len(sizes))], sizes)
    return rng.integers(0, classes, len(groups)), groups


@pytest.mark.parametrize("sizes", [[1] * 300, [5] * 60, [1, 2, 40, 3, 9] * 12, [10, 10]])
def test_no_group_is_divided_and_the_shares_are_near(sizes):
    labels, names = grouped(sizes)
    first, second = groups.hold_out(labels, names, 7, 0.2)
    assert sorted([*first, *second]) == list(range(len(labels)))
    assert not set(names[first]) & set(names[second])
    again = groups.hold_out(labels, names, 7, 0.2)
    assert np.array_equal(second, again[1])
    if len(sizes) > 2:
        assert not np.array_equal(second, groups.hold_out(labels, names, 8, 0.2)[1])
        for label in range(3):
            held, total = np.sum(labels[second] == label), np.sum(labels == label)
            assert abs(held - 0.2 * total) <= max(3, 0.05 * total)


def test_groups_of_one_image_are_held_out_by_class_as_without_groups():
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    first, second = groups.hold_out(labels, np.arange(100), 0, 0.1)
    assert np.bincount(labels[second]).tolist() == [5, 3, 2] and len(first) == 90


@pytest.mark.parametrize(
    "labels, names",
    [([0, 0, 1, 1], list("aaaa")), ([0, 0, 1, 1], list("aabb"))],
)
def test_groups_that_cannot_be_divided_are_refused(labels, names):
    with pytest.raises(ValueError, match="enough groups for every split.*test_share"):
        groups.hold_out(labels, names, 0, 0.2)


def test_a_class_in_one_group_stays_in_training():
    labels, names = [0, 0, 0, 0, 1, 0], list("abcddd")
    assert all(4 not in groups.hold_out(labels, names, seed, 0.5)[1] for seed in range(20))


def test_groups_come_from_the_names_of_files(tmp_path):
    for name, patient, i in itertools.product(("ill", "well"), range(6), range(2)):
        image = Image.new("L", (4, 4), 20 * patient)
        save(tmp_path / name / f"patient{patient}_{i}.png", image)
    settings = {"image_size": 4, "pipeline": "keras"}
    loaded = data.load(tmp_path, group_pattern=r"(patient\d+)_", **settings)
    patients = {
        split: {name[-13:-6] for name in source.names} for split, source in loaded.sources.items()
    }
    assert len(set.union(*patients.values())) == sum(map(len, patients.values())) == 6
    assert f"{len(patients['train'])} train" in loaded.notes[-1]
    for pattern, message in [
        (r"(patient", "must be a regular expression.*unterminated"),
        (r"(pat)(ient)", "one pair of parentheses"),
        (r"(doctor\d)", "match the name of every image.*without a match=24, first='ill/patient0"),
        (r"patient", "enough groups"),
    ]:
        with pytest.raises(ValueError, match=message):
            data.load(tmp_path, group_pattern=pattern, **settings)


def test_a_group_in_two_splits_is_refused(divided):
    with pytest.raises(ValueError, match="must be in one split.*'0.png'.*'train', 'validation'"):
        data.load(divided, image_size=4, group_pattern=r"\d.png")


def test_a_folder_that_cannot_be_listed_is_refused(tmp_path, monkeypatch):
    """`os.walk` leaves it out."""
    for number in range(4):
        save(tmp_path / f"{'abba'[number]}" / "inner" / f"{number}.png", blocks())
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("inner"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    for read in (folders.read_folder, folders.list_images):
        with pytest.raises(PermissionError, match="must be readable: change its.*inner"):
            read(tmp_path)


def test_empty_classes_are_skipped_only_if_asked(divided):
    (divided / "train" / "owl").mkdir()
    (divided / "train" / "owl" / "notes.txt").write_text("later")
    settings = {"image_size": 4, "pipeline": "keras", "test_share": 0, "validation_share": 0}
    with pytest.raises(ValueError, match="at least 2 images.*owl.*images=0.*--skip-empty"):
        data.load(divided / "train", **settings)
    with pytest.warns(UserWarning, match="no image of class 'owl'"):
        assert data.load(divided, **settings).num_classes == 3
    for folder in (divided, divided / "train"):
        loaded = data.load(folder, skip_empty=True, **settings)
        assert loaded.class_names == ("cat", "dog")
        assert loaded.notes == ("skipped, without images: owl",)


def test_an_error_contains_the_name_of_a_missing_file_of_a_table(divided):
    path = table(divided, "file,label\ntrain/dog/4.png,dog\ntrain/dog/9.png,dog\n")
    with pytest.raises(FileNotFoundError, match="line 3, 'train/dog/9.png'"):
        folders.read_table(path)


IMAGES, LABELS = np.zeros((6, 4, 5, 3), "uint8"), np.arange(6) % 3


def test_arrays_are_accepted_in_every_form(tmp_path):
    pair = (IMAGES, LABELS)
    np.savez(tmp_path / "pair.npz", images=IMAGES, labels=LABELS)
    whole = [
        arrays.read_arrays(pair),
        arrays.read_arrays({"images": IMAGES, "labels": LABELS[:, None]}),
    ]
    whole += [arrays.read_arrays({"train": pair}), arrays.read_npz(tmp_path / "pair.npz")]
    for parts in whole:
        assert parts.train.labels.tolist() == [0, 1, 2, 0, 1, 2] and parts[3:5] == (None, None)
        assert parts.class_names == ("0", "1", "2") and parts.train.image(5).size == (5, 4)
    keras_style = {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:2], "y_test": LABELS[:2]}
    np.savez(tmp_path / "mnist.npz", **keras_style)
    for parts in (arrays.read_npz(tmp_path / "mnist.npz"), arrays.read_arrays(keras_style)):
        assert len(parts.train) == 6 and len(parts.test) == 2 and parts.validation is None
    assert arrays.read_npz(tmp_path / "mnist.npz").name == "mnist"
    medical = {"train_images": IMAGES, "train_labels": LABELS[:, None]}
    medical |= {f"{split}_images": IMAGES[:2] for split in ("val", "test")}
    medical |= {f"{split}_labels": LABELS[:2, None] for split in ("val", "test")}
    parts = arrays.read_arrays(medical)
    assert [len(parts.sources[name]) for name in ("train", "validation", "test")] == [6, 2, 2]
    for x, y in [("x", "y"), ("X_train", "Y_train"), ("train_x", "train_y"), ("data", "target")]:
        np.savez(
            tmp_path / "x.npz", **{x: IMAGES, y: LABELS, "class_names": np.array(["a", 1], "O")}
        )
        parts = arrays.read_npz(tmp_path / "x.npz")  # arrays that are not read may have any type
        assert len(parts.train) == 6 and parts.test is None
        assert parts.notes == ("arrays that were not read: class_names",)
    grey = arrays.read_arrays({"train": (IMAGES[..., 0], LABELS), "val": (IMAGES[:1, ..., 0], [2])})
    assert grey.train.image(0).mode == "L" and grey.validation.labels.tolist() == [2]


@pytest.mark.parametrize(
    "source, message",
    [
        ((IMAGES / 255, LABELS), r"must be uint8.*float64.*From these: \(images \* 255\).round"),
        ((IMAGES + 9.0, LABELS), r"must be uint8.*float64.*From these: images.round"),
        ({"a": IMAGES, "b": LABELS}, r"Images and labels.*\['a', 'b'\]"),
        ({"arr_0": IMAGES, "arr_1": LABELS}, "Images and labels.*arr_0"),
        ({"x_train": IMAGES, "y_train": LABELS, "x_more": IMAGES}, "Images and labels.*x_more"),
        ({"x": IMAGES, "y": LABELS, "x_train": IMAGES, "y_train": LABELS}, "Images and labels"),
        ((IMAGES.transpose(0, 3, 1, 2), LABELS), "channels last"),
        ((IMAGES[0, 0], LABELS), "Images must have the shape"),
        ((IMAGES[:0], LABELS[:0]), "At least one image was expected"),
        ((IMAGES, LABELS[:5]), "one label for each of 6 images"),
        ((IMAGES, np.eye(3)[LABELS]), "one label.*argmax"),
        ((IMAGES, LABELS + 0.5), "must be integers.*such as=0.5"),
        ((IMAGES, np.where(LABELS == 2, np.nan, LABELS)), "must be integers.*nan"),
        ((IMAGES, np.array(list("abcabc"))), "must be integers.*such as='a'"),
        ((IMAGES, LABELS - 1), "0 or more.*smallest=-1"),
        ((IMAGES, LABELS * 2), r"labels without images=\[1, 3\]"),
        ((IMAGES, LABELS * 10**9), r"0 to 2000000000. Received: labels without images=\[1, 2, 3,"),
        ((IMAGES, LABELS * 2**32), "at most 2147483647. .*largest=8589934592"),
        ((IMAGES, np.where(LABELS == 2, np.inf, LABELS)), "must be integers.*such as=inf"),
        ((IMAGES, LABELS * 0), "at least two classes"),
        ((IMAGES,), "Images and labels to train on"),
        ({"x_train": IMAGES}, "Images and labels.*x_train.*Pass a pair"),
        ({"x_test": IMAGES, "y_test": LABELS}, "Images and labels to train on"),
        ({"train": (IMAGES, LABELS), "holdout": (IMAGES, LABELS)}, "Images and labels.*holdout"),
        ({"train": (IMAGES, LABELS), "training": (IMAGES, LABELS)}, "Images and labels"),
        ({}, "Images and labels"),
    ],
)
def test_invalid_arrays_are_refused(source, message):
    with pytest.raises(ValueError, match=message):
        arrays.read_arrays(source)


def test_a_class_may_be_in_another_split_only():
    parts = arrays.read_arrays({"train": (IMAGES[:2], [0, 2]), "test": (IMAGES[:1], [1])})
    assert parts.class_names == ("0", "1", "2")


def test_npz_files_are_never_unpickled(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, images=np.array([{"a": 1}], object), labels=[0])
    whole = path.read_bytes()
    for content in (whole, whole[:100], b"", b"text"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="x.npz' cannot be read as an npz") as error:
            data.load(path)
        assert "allow_pickle" not in str(error.value)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder of photographs with one orientation in EXIF, and the file of their cache."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    rng = np.random.default_rng(0)
    for name, number in itertools.product(("cat", "dog"), range(4)):
        (tmp_path / "photos" / name).mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (60 + number, 40, 3), "uint8")
        Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")

    def load(**options):
        parts = {"test_share": 0, "validation_share": 0, "pipeline": "keras", "cache": "disk"}
        return data.load(tmp_path / "photos", **parts | {"image_size": 21} | options)

    load.folder = tmp_path / "home" / "keras_vit" / "images"
    load.images = tmp_path / "photos"
    return load


def test_a_disk_cache_has_the_decoded_and_shrunk_images(photos, monkeypatch):
    loaded, source = photos(), photos(cache=False).sources["train"]
    for index in range(8):
        image = source.image(index)
        height = round(24 / 40 * image.height)  # 24 = 21 * 256 / 224
        expected = image.resize((24, height), Image.Resampling.BICUBIC)
        assert np.array_equal(loaded.sources["train"].image(index), expected)
    assert [path.suffix for path in photos.folder.iterdir()] == [".pixels"]
    monkeypatch.setattr(images, "open_image", None)  # nothing is decoded again
    again = photos(augment="inception")
    assert np.array_equal(again.sources["train"].image(7), loaded.sources["train"].image(7))
    assert next(iter(again.train))[0].shape == (8, 21, 21, 3)


def test_a_disk_cache_of_other_images_or_settings_is_written_again(photos):
    photos()
    (path,) = photos.folder.iterdir()
    before = path.read_bytes()
    for options in ({"image_size": 14}, {"num_channels": 1}):
        photos(**options)
        assert path.read_bytes() != before
        photos()
        assert path.read_bytes() == before
    Image.new("RGB", (40, 60), "red").save(photos.images / "dog" / "0.png")
    assert photos().sources["train"].image(4).getpixel((3, 3)) == (255, 0, 0)
    assert list(photos.folder.iterdir()) == [path]


def test_a_disk_cache_of_other_bytes_with_the_same_names_is_written_again(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    for origin, color in ((1, "red"), (2, "blue")):
        file = io.BytesIO()
        Image.new("RGB", (9, 9), color).save(file, "PNG")
        source = sources.EncodedSource([file.getvalue()] * 2, [0, 1], origin=origin)
        kept = disk_cache.cache_on_disk(source, "same", (9, 9), 3)
        assert np.array_equal(kept.image(1), source.image(1))


@pytest.mark.parametrize("damage", ["byte", "end", "empty", "text"])
def test_a_damaged_disk_cache_is_written_again(photos, damage):
    photos()
    (path,) = photos.folder.iterdir()
    before = path.read_bytes()
    changed = {
        "byte": before[:99] + bytes([before[99] ^ 1]) + before[100:],
        "end": before[:-5], "empty": b"", "text": b"x" * 500,
    }  # fmt: skip
    path.write_bytes(changed[damage])
    with pytest.warns(UserWarning, match=r"\.pixels is damaged. It is written again"):
        photos()
    assert path.read_bytes() == before


def test_a_disk_cache_that_another_process_replaces_is_written_again(photos, monkeypatch):
    """The other process has just written smaller images into the same file."""
    writes, write = [], disk_cache._write

    def race(path, source, settings):
        writes.append(settings)
        write(path, source, settings if writes[1:] else {**settings, "side": 12})

    monkeypatch.setattr(disk_cache, "_write", race)
    assert photos().sources["train"].image(0).size == (24, 36) and len(writes) == 2


def test_a_full_disk_leaves_nothing_behind(photos, monkeypatch):
    def full(path, source, settings):
        pathlib.Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(disk_cache, "_write", full)
    with pytest.raises(OSError, match="No space left.*free space, set KERAS_HOME.*pixels"):
        photos()
    assert list(photos.folder.iterdir()) == []


def test_a_disk_cache_belongs_to_what_a_resumed_run_must_share(photos):
    prints = [photos(cache=cache).sampler.fingerprint() for cache in ("disk", False, True)]
    assert prints[0] != prints[1] == prints[2]


@pytest.fixture
def keras_archive(tmp_path, monkeypatch):
    """A Keras home folder; the function puts CIFAR-10's archive there, with 100 and 20 images."""
    import keras

    monkeypatch.delenv(local.FOLDER, raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))

    def download():
        pixels = np.arange(120, dtype="uint8")[:, None, None, None] * np.ones((32, 32, 3), "uint8")
        labels = (np.arange(120) % 10)[:, None]
        return (pixels[:100], labels[:100]), (pixels[100:], labels[100:])

    def put():
        (tmp_path / "home" / "datasets").mkdir(parents=True)
        (tmp_path / "home" / "datasets" / local.LOCAL["cifar10"][1]).touch()
        monkeypatch.setattr(keras.datasets.cifar10, "load_data", download)

    return put


@pytest.mark.parametrize("inner", ["", "cifar10"])
def test_cifar_is_read_from_a_folder(inner, tmp_path, keras_archive, monkeypatch):
    keras_archive()  # is used after the folder
    for part, name in itertools.product(("train", "test"), local.CIFAR10):
        save(tmp_path / "images" / inner / part / name / "1.png", blocks())
    monkeypatch.setenv(local.FOLDER, str(tmp_path / "images"))
    loaded = data.load("cifar10", 32, validation_share=0)
    assert loaded.counts == {"train": 10, "validation": 0, "test": 10}
    assert loaded.name == "cifar10" and loaded.class_names == local.CIFAR10
    monkeypatch.setenv(local.FOLDER, str(tmp_path / "images" / inner))
    with pytest.raises(ValueError, match=r"with 100 classes\. Received: .*classes=10\b"):
        data.load("cifar100", 32)


def test_a_folder_of_other_datasets_is_not_cifar(tmp_path, keras_archive, monkeypatch):
    keras_archive()
    (tmp_path / "images" / "pets").mkdir(parents=True)
    monkeypatch.setenv(local.FOLDER, str(tmp_path / "images"))
    assert len(data.load("cifar10", 32, validation_share=0).sources["train"]) == 100


def test_pets_are_read_from_their_folder_only(tmp_path, monkeypatch):
    monkeypatch.setenv(local.FOLDER, str(tmp_path))  # it may be the folder of another dataset
    assert local.read_local("pets") is None
    for breed, number in itertools.product(range(37), range(10)):
        save(tmp_path / "pets" / f"breed_{breed}" / f"{number}.png", blocks())
    loaded = data.load("pets", 16, validation_share=0.1, test_share=0.3)
    assert loaded.name == "pets" and loaded.num_classes == 37
    assert loaded.counts == data.load(tmp_path / "pets", 16, test_share=0.3).counts


def test_cifar_is_read_from_what_keras_downloaded(keras_archive):
    keras_archive()
    loaded = data.load("cifar10", 32)
    # the paper holds out 2 % for validation: none of ten images of a class
    assert loaded.class_names == local.CIFAR10 and loaded.counts["test"] == 20
    loaded = data.load("cifar10", 32, validation_share=0.1)
    assert loaded.counts == {"train": 90, "validation": 10, "test": 20}
    found = loaded.fixed_batches("test").image(3)
    assert (found == 103).all() and loaded.labels("test")[3] == 3


def test_cifar_that_is_nowhere_says_where_to_put_it(keras_archive, monkeypatch):
    import keras

    def fail():
        raise Exception("URL fetch failure: no network")

    monkeypatch.setattr(keras.datasets.cifar10, "load_data", fail)
    monkeypatch.setattr(local.backend, "is_installed", lambda name: False)
    with pytest.raises(ConnectionError, match=r"KERAS_VIT_DATA to a folder with train/CLASS/"):
        data.load("cifar10", 32)
