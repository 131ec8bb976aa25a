"""Writes the Explorer."""

import importlib.resources
import io

import numpy as np

from keras_vit.browser import facts, writing
from keras_vit.checkpoints.catalogue import find
from keras_vit.data import images
from keras_vit.data.sources import cifar
from keras_vit.io import writing as files
from keras_vit.io.html_page import Html

MODEL = "ViT-Mini/4"  # shipped with the package
MOST, LARGEST = 20, 96  # example images, and their longest side in pixels
SCRIPTS = ("state.js", "widgets.js", "tour_inputs.js", "tour_blocks.js", "play.js", "main.js")
# what a screen shows: where the code that computes it is, and how its line ends
LINES = {
    "normalize": ("pixel_range.py", ""),
    "patches": ("layers.py", "# (B, N, PPC)"),
    "Eq. 1": ("layers.py", "# (B, N + 1, D), Eq. 1"),
    "positions": ("layers.py", "return x + ops.cast(self.position_embedding, x.dtype)"),
    "Eq. 2": ("layers.py", "# Eq. 2"),
    "Eq. 3": ("layers.py", "# Eq. 3"),
    "Eq. 4": ("vit.py", "return x[:, 0]  # (B, D)"),
    "Eq. 5": ("layers.py", "# Eq. 5"),
    "scale": ("layers.py", "/ math.sqrt(query.shape[-1])  # (B, heads, tokens, d)"),
    "Eq. 6": ("layers.py", ":  # Eq. 6"),
    "Eq. 7": ("layers.py", "# Eq. 7"),
    "Eq. 8": ("layers.py", "# Eq. 8"),
    "head": ("vit.py", "# (B, num_classes)"),
}
