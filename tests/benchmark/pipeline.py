"""Training images per second of a core: `python tests/benchmark/pipeline.py FOLDER`.

Ours, as tf.data and as a `keras.utils.PyDataset` ("Keras"), against tf.data's own operations, in
turns. Photographs of a folder of class folders are decoded, cropped (Inception), resized to 224
pixels and flipped; images of 32 x 32 in an array are shifted by up to 4 pixels and flipped. "deit"
adds RandAugment, random erasing, mixup and CutMix. No model is involved. The processor time of all
threads is measured: it does not include other programs, although they slow down a shared core.

`tf.data` resizes as the official code does, each pixel from four. Ours resizes with antialiasing,
each from all pixels that it covers; `tf.data, antialiased` does the same work.
"""

import argparse
import functools
import os
import time

import numpy as np

from keras_vit import data, environment
from keras_vit.data import pipelines
from keras_vit.data.sources import folders
from keras_vit.studies.lab import paired

BATCH = 64
SMALL = 32
MARGIN = 4
COUNT = 4096  # images of 32 x 32 in each turn


def photographs(folder, image_size):
    """Returns {name: function that runs through all photographs once}, and their number."""
    source = folders.read_folder(folder).train
    turns = ours(folder, image_size, {"": "inception", ", deit": "deit"}, cache=False)
    turns |= ours(folder, image_size, {", cache on disk": "inception"}, ("tf.data",), cache="disk")
    for name, antialias in (("tf.data", False), ("tf.data, antialiased", True)):
        peer = official(source.files, source.labels, image_size, antialias)
        turns[name] = functools.partial(exhaust, peer)
    return turns, len(source)


def small_images():
    """The same for an array of small images."""
    pixels = np.random.default_rng(0).integers(0, 256, (COUNT, SMALL, SMALL, 3), "uint8")
    labels = np.arange(COUNT) % 10
    deit = data.AUGMENTATIONS["deit"]._replace(crop=None, pad=MARGIN / SMALL)
    turns = ours((pixels, labels), SMALL, {"": "cifar", ", deit": deit})
    turns["tf.data"] = functools.partial(exhaust, official_small(pixels, labels))
    return turns, COUNT


def ours(source, image_size, settings, shells=("tf.data", "keras"), **options):
    """{name: function that runs through one epoch} of ours, for settings by the end of a name."""
    turns = {}
    for end, augment in settings.items():
        for shell in shells:
            name = f"ours{end}{'' if shell == 'tf.data' else ', Keras'}"
            parts = {"test_share": 0, "validation_share": 0, "pipeline": shell, **options}
            train = data.load(source, image_size, BATCH, augment, **parts).train
            turns[name] = functools.partial(exhaust, train)
    return turns


def official(files, labels, image_size, antialias):
    """Photographs through the operations that the official ViT code calls, one call per image."""
    import tensorflow as tf

    def prepared(file, label):
        image = tf.io.decode_jpeg(tf.io.read_file(file), channels=3)
        begin, size, _ = tf.image.sample_distorted_bounding_box(
            tf.shape(image),
            tf.zeros([0, 0, 4], tf.float32),
            area_range=(0.05, 1.0),
            min_object_covered=0,
            use_image_if_no_bounding_boxes=True,
        )
        image = tf.slice(image, begin, size)
        image.set_shape((None, None, 3))
        image = tf.image.resize(image, (image_size, image_size), antialias=antialias)
        return tf.image.random_flip_left_right(image), label

    return batched([str(file) for file in files], labels, prepared)


def official_small(pixels, labels):
    """Small images through TensorFlow's own operations: padded, cropped at random, flipped."""
    import tensorflow as tf

    def prepared(image, label):
        margins = ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0))
        image = tf.image.random_crop(tf.pad(image, margins), (SMALL, SMALL, 3))
        return tf.image.random_flip_left_right(image), label

    return batched(pixels, labels, prepared)


def batched(images, labels, prepare):
    """Batches of all images in random order, with tf.data's own operations."""
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(len(labels))
    dataset = dataset.map(prepare, num_parallel_calls=environment.cores())
    return dataset.batch(BATCH).prefetch(pipelines.AHEAD)


def exhaust(batches):
    """Takes every batch."""
    for _ in batches:
        pass


def measure(turns, rounds):
    """Returns {name: processor seconds of each round}; all contenders take turns."""
    seconds = {name: [] for name in turns}
    for index in range(1 + rounds):
        for name, turn in turns.items():
            start = time.process_time()
            turn()
            if index > 0:  # the first round warms up
                seconds[name].append(time.process_time() - start)
    return seconds


def compare(title, turns, images, rounds):
    """Prints images per second of each, and how many times as fast ours is."""
    seconds = measure(turns, rounds)
    print(title)
    for name, times in seconds.items():
        ratio, low, high = paired.speedup(seconds["ours"], times)
        rate = f"{paired.rate(times, images):8,.0f} images/s"
        print(f"  {name:20} {rate}; ours is {ratio:.2f} ({low:.2f} to {high:.2f}) times as fast")


def main(arguments=None):
    """Runs both comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", help="folder of class folders of JPEG photographs")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args(arguments)
    print(f"{environment.cores()} core(s), batches of {BATCH}, medians of {options.rounds} rounds")
    turns, count = photographs(options.folder, options.image_size)
    compare(f"{count} photographs at {options.image_size} px", turns, count, options.rounds)
    turns, count = small_images()
    compare(f"{count} images of 32 x 32", turns, count, options.rounds)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
