"""Writes the Explorer."""

import functools
import importlib.resources

import numpy as np

from keras_vit.browser import facts, page_file
from keras_vit.browser.explorer import drawings
from keras_vit.checkpoints import catalogue, loading
from keras_vit.data import images as image_files
from keras_vit.data.sources import local
from keras_vit.io import writing

MODEL = "ViT-Mini/4"  # shipped with the package
OWN = "drawings"
MOST, LARGEST = 20, 96  # example images, and their longest side in pixels
NAMES = ("state", "widgets", "tour_inputs", "tour_blocks", "play", "main")
SCRIPTS = [f"scripts/{name}.js" for name in NAMES]
# value on a screen: the file of the code that computes it, and the end of the line
LINES = {
    "normalize": ("pixel_range.py", "# (B, height, width, C)"),
    "patches": ("layers.py", "# (B, N, PPC)"),
    "Eq. 1": ("layers.py", "# (B, N + 1, D), Eq. 1"),
    "positions": ("layers.py", "return x + ops.cast(self.position_embedding, x.dtype)"),
    "Eq. 2": ("layers.py", "# Eq. 2"),
    "Eq. 3": ("layers.py", "# Eq. 3"),
    "Eq. 4": ("vit.py", "return x[:, 0]  # (B, D)"),
    "Eq. 5": ("layers.py", "# Eq. 5"),
    "scale": ("layers.py", "/ query.shape[-1] ** 0.5  # (B, heads, tokens, d)"),
    "Eq. 6": ("layers.py", "# Eq. 6"),
    "Eq. 7": ("layers.py", "# Eq. 7"),
    "Eq. 8": ("layers.py", "# Eq. 8"),
    "head": ("vit.py", "# (B, num_classes)"),
}


def write_explorer(path, images=None):
    """Writes the Explorer, one HTML file that shows how a Vision Transformer works.

    A tour of eight steps leads from pixels to a prediction, on any image. Then the reader can mask
    patches, switch off heads and blocks, and test what matters to the prediction. The model is the
    `ViT-Mini/4` of the package, trained on CIFAR-10. It runs in the browser: the file needs no
    server and no network.

    Args:
        path: file to write. One that exists and ends in .html is replaced once the new one is
            complete.
        images: an image, a folder of images or a folder of class folders, up to twenty of which
            become examples; "drawings" for six drawings and the cat of `data.example_image`. None
            for test images of CIFAR-10 if `keras-vit train cifar10` finds them on this machine
            without a download, otherwise for the drawings.

    Raises:
        FileNotFoundError: the folder of `path` does not exist.
        ValueError: `images` contains no images, or `path` is another file that exists.

    Example:
    >>> keras_vit.browser.write_explorer("explorer.html")  # doctest: +SKIP
    """
    writing.check_file(path, "Choose another file.", ".html")
    find_examples(images)
    entry, model = catalogue.find(MODEL), loading.load_pretrained(MODEL, verbose=False)
    content, text = page_file.pack(model, None, {"resize": "crop"}, "int8", "ViT Explorer")
    content["sizes"]["ratio"] = 1  # the largest central square
    content["code"] = find_lines()
    content["examples"] = list(read_examples(images))
    writing.write_text(path, _fill(content, text, model, entry))


def find_examples(images):
    """Returns [(file, class or None)] of image files; an empty list for CIFAR-10 or drawings."""
    return facts.find_examples(images, MOST) if images not in (None, OWN) else []


def read_examples(images):
    """Yields the examples of `write_explorer`."""
    if images is None and local.is_here("cifar10"):
        yield from _read_cifar()
    elif images in (None, OWN):
        for name, shapes in drawings.DRAWINGS.items():
            yield facts.encode_example(drawings.draw(*shapes), "Drawing", name)
        yield _read(image_files.EXAMPLE, "cat")
    else:
        yield from (_read(*row) for row in find_examples(images))


def find_lines():
    """Returns {value: (file, line number, line)} for `LINES`."""
    return {what: _find_line(*place) for what, place in LINES.items()}


def _find_line(file, ending):
    lines = (importlib.resources.files("keras_vit") / file).read_text(encoding="utf-8").split("\n")
    (number,) = (i for i, line in enumerate(lines) if line.endswith(ending))
    return {"file": file, "number": number + 1, "text": lines[number].split("  #")[0].strip()}


def _read(path, label):
    return facts.read_example(path, label, channels=3, largest=LARGEST)


def _read_cifar():
    """Yields the first two test images of each class of CIFAR-10."""
    splits = local.read_local("cifar10")
    test, names = splits.test, splits.class_names
    each = MOST // len(names)
    rows = np.stack([np.flatnonzero(test.labels == i)[:each] for i in range(len(names))], axis=1)
    for row in rows.ravel():
        name = names[test.labels[row]]
        yield facts.encode_example(test.image(row), f"Test image {row}", name)


def _fill(content, weights, model, entry):
    own = functools.partial(page_file.read, package=__package__)
    height, width = model.patch_size
    rows, columns = model.grid
    return page_file.fill_page(
        own("explorer.html"),
        content,
        weights,
        style=page_file.read("page/base.css") + own("explorer.css"),
        script=page_file.read("page/shared.js", "page/colors.js") + own(*SCRIPTS),
        worker=page_file.read(*page_file.ENGINE, "engine/worker.js") + own("scripts/explore.js"),
        model=MODEL,
        patches=rows * columns,
        values=height * width * model.input_shape[-1],
        side=f"{height} \u00d7 {width}",
        dim=model.hidden_dim,
        heads=model.num_heads,
        blocks=model.num_layers,
        parameters=f"{model.count_params():,}",
        accuracy=f"{entry.accuracy:.1f} %",
    )
