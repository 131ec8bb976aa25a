"""The Explorer: a small Vision Transformer at work, step by step, as one HTML file.

explorer.html      the screens and their texts, with explorer.css

scripts/
state.js           the state of the page, and the worker's results
widgets.js         maps, strips, tiles and choices
tour_inputs.js     steps 1 to 4
tour_blocks.js     steps 5 to 8
play.js            Play, and What matters
main.js            the image, the prediction, the camera
explore.js         the worker's computations
"""

import functools
import importlib.resources

import numpy as np

from keras_vit.browser import facts, page_file
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
        for name, shapes in DRAWINGS.items():
            yield facts.encode_example(draw(*shapes), "Drawing", name)
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


# --- Six drawings ---------------------------------------------------------------------------------

SIDE, SCALE = 32, 8  # side in pixels, and how many times larger it is drawn before it is reduced
# class: color of the background, and shapes, each with its kind, color and corners in pixels
DRAWINGS = {
    "truck": (
        "#bcd3e6",
        ("rectangle", "#77797c", (0, 25, 32, 32)),
        ("rectangle", "#f2f2f2", (1, 5, 20, 23)),
        ("polygon", "#d9a400", (21, 11, 27, 11, 31, 17, 31, 24, 21, 24)),
        ("polygon", "#9fc5dc", (23, 12.5, 26.5, 12.5, 29, 17, 23, 17)),
        ("rectangle", "#444444", (1, 23, 31, 25)),
        ("ellipse", "#111111", (3, 21, 10, 28)),
        ("ellipse", "#111111", (22, 21, 29, 28)),
        ("ellipse", "#bbbbbb", (5, 23, 8, 26)),
        ("ellipse", "#bbbbbb", (24, 23, 27, 26)),
    ),
    "ship": (
        "#9cc3e6",
        ("rectangle", "#2f6f9f", (0, 20, 32, 32)),
        ("polygon", "#b3202a", (3, 17, 29, 17, 25, 23, 7, 23)),
        ("rectangle", "#f4f4f4", (9, 12, 21, 17)),
        ("rectangle", "#e0e0e0", (12, 8, 18, 12)),
        ("rectangle", "#333333", (14, 4, 16, 8)),
        ("rectangle", "#3d82b5", (0, 23, 32, 25)),
    ),
    "airplane": (
        "#8fbdf0",
        ("polygon", "#e9ecef", (3, 15, 9, 13, 25, 13, 30, 15.5, 25, 18, 9, 18)),
        ("polygon", "#cfd5db", (13, 15, 19, 15, 12, 27, 9, 27)),
        ("polygon", "#cfd5db", (13, 14, 19, 14, 13, 5, 10, 5)),
        ("polygon", "#c0392b", (3, 15, 7, 15, 4, 8, 2, 8)),
    ),
    "frog": (
        "#7d6b4a",
        ("ellipse", "#4f8f2f", (5, 11, 27, 28)),
        ("ellipse", "#5fa53a", (8, 6, 24, 19)),
        ("ellipse", "#5fa53a", (7, 3, 14, 10)),
        ("ellipse", "#5fa53a", (18, 3, 25, 10)),
        ("ellipse", "#101010", (9, 5, 12, 8)),
        ("ellipse", "#101010", (20, 5, 23, 8)),
        ("polygon", "#3f7a26", (5, 20, 1, 28, 10, 29)),
        ("polygon", "#3f7a26", (27, 20, 31, 28, 22, 29)),
        ("ellipse", "#b9d48a", (10, 17, 22, 27)),
    ),
    "automobile": (
        "#c9cdd2",
        ("rectangle", "#6f7276", (0, 22, 32, 32)),
        ("polygon", "#c81e1e", (9, 10, 22, 10, 26, 16, 5, 16)),
        ("rectangle", "#c81e1e", (2, 15, 30, 23)),
        ("polygon", "#bfe0f0", (10, 11.5, 15, 11.5, 15, 15.5, 7.5, 15.5)),
        ("polygon", "#bfe0f0", (16.5, 11.5, 21, 11.5, 24, 15.5, 16.5, 15.5)),
        ("ellipse", "#161616", (5, 19, 12, 26)),
        ("ellipse", "#161616", (20, 19, 27, 26)),
        ("ellipse", "#a8a8a8", (7, 21, 10, 24)),
        ("ellipse", "#a8a8a8", (22, 21, 25, 24)),
    ),
    "bird": (
        "#b9d7ee",
        ("ellipse", "#a3542a", (8, 11, 24, 23)),
        ("ellipse", "#8a4320", (19, 6, 27, 14)),
        ("polygon", "#e0a82e", (26, 9, 31, 10.5, 26, 12)),
        ("polygon", "#6b3216", (9, 15, 1, 11, 3, 19, 9, 20)),
        ("ellipse", "#000000", (23, 8, 24.5, 9.5)),
        ("polygon", "#5a2c14", (11, 14, 20, 14, 13, 21)),
        ("line", "#4a3a20", (14, 23, 14, 28, 17, 23, 17, 28)),
        ("rectangle", "#5c4a2c", (0, 28, 32, 31)),
    ),
}


def draw(background, *shapes):
    """Returns a drawing as a Pillow image."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (SIDE * SCALE, SIDE * SCALE), background)
    pen = ImageDraw.Draw(image)
    for kind, color, corners in shapes:
        getattr(pen, kind)([SCALE * v for v in corners], fill=color)
    return image.resize((SIDE, SIDE), Image.Resampling.BOX)
