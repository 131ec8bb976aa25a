"""A small dataset of TensorFlow Datasets that tests write to disk."""

import functools

import numpy as np
import pytest

from keras_vit.data.tfds import tfds_reader

try:
    import importlib_resources  # noqa: F401
    import tensorflow  # noqa: F401
    import tensorflow_datasets as tfds
except ImportError:
    tfds = None
needs_tfds = pytest.mark.skipif(tfds is None, reason="tensorflow_datasets is not installed")


def png(pixels):
    return tfds_reader.encode(np.asarray(pixels, "uint8"))


def tiny_images():
    """Pixels, class and key of 40 images, 5 of class 0, 15 of class 1, 20 of class 2."""
    rng = np.random.default_rng(3)
    for number in range(40):
        label = 0 if number < 5 else 1 if number < 20 else 2
        yield number, rng.integers(0, 256, (6 + number % 3, 5, 3), dtype="uint8"), label


@functools.cache
def tiny_builder():
    """A dataset of TFDS; a class can be registered only once."""

    class KerasVitTiny(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")
        splits = ("train", "test")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(None, None, 3)),
                "mask": tfds.features.Image(shape=(None, None, 1)),
                "raw": tfds.features.Tensor(shape=(2, 2, 1), dtype=np.uint8),
                "label": tfds.features.ClassLabel(names=["ant", "bee", "cat"]),
                "key": tfds.features.Text(),
            }
            features = tfds.features.FeaturesDict(features)
            keys = ("image", "label")
            return tfds.core.DatasetInfo(builder=self, features=features, supervised_keys=keys)

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples() for split in self.splits}

        def _generate_examples(self):
            for number, pixels, label in tiny_images():
                yield number, {
                    "image": pixels, "mask": pixels[:, :, :1], "label": label, "key": f"{number}.x",
                    "raw": np.full((2, 2, 1), number, "uint8"),
                }  # fmt: skip

    return KerasVitTiny


def make_tiny(folder, file_format="array_record", splits=("train", "test")):
    builder = tiny_builder()(data_dir=folder, file_format=file_format)
    builder.splits = splits
    builder.download_and_prepare()
    return builder
