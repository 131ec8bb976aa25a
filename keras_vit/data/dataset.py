"""`load`: labeled images from any source, in batches for `model.fit`."""

import functools
import math
import warnings

import numpy as np

from keras_vit import arguments, backend, figures
from keras_vit.data.batching import FixedBatches, TrainingBatches
from keras_vit.data.sampler import SAMPLINGS, Sampler, digest
from keras_vit.data.sources import disk_cache, groups, open_source, unreadable
from keras_vit.data.sources.source import SPLITS, Subset, check_share, decode_all, draw_missing
from keras_vit.data.transforms.augmentation import get_augmentation

PIPELINES = ("tf.data", "keras")
COLUMNS = 8  # images in a row of a figure
CHECKS = {  # checks of the arguments of `load`
    "image_size": arguments.height_width,
    "batch_size": arguments.positive_integer,
    "seed": arguments.natural_number,
    "test_share": check_share,
    "num_channels": arguments.one_of(1, 3),
    "resize": arguments.one_of("squash", "crop"),
    "split_seed": arguments.natural_number,
    "cache": arguments.one_of(None, True, False, "disk"),
    "pipeline": arguments.one_of(None, *PIPELINES),
    "skip_empty": arguments.boolean,
    "on_error": arguments.one_of("stop", "skip"),
    "sampling": arguments.one_of(*SAMPLINGS),
}


def load(
    source,
    image_size=224,
    batch_size=64,
    augment=None,
    seed=0,
    validation_share=None,
    test_share=0.2,
    num_channels=3,
    data_dir=None,
    resize="squash",
    split_seed=0,
    cache=None,
    pipeline=None,
    columns=None,
    group_pattern=None,
    skip_empty=False,
    on_error="stop",
    sampling="shuffled",
):
    """Loads labeled images for `model.fit`: splits, shuffles, resizes, augments and batches them.

    If the source has a test split, exactly these images are used for testing. Missing splits are
    drawn from the training images, stratified by class; they depend only on the labels and on
    `split_seed`. Order and augmentation depend only on (`seed`, epoch, index of the image): they
    are the same on every backend, with any number of threads, and after an interruption.

    Args:
        source: one of
            - a folder of class folders (`images/cat/1.jpg`), or of folders train, validation (val,
              valid) and test that contain class folders;
            - a .csv file with columns of files, labels and optionally splits and groups;
            - a pair (images, labels) of arrays, a dict of such pairs by split, or an .npz file with
              the arrays images and labels, or x_train, y_train, x_test, y_test, or train_images,
              train_labels and so on;
            - the name of a dataset of TensorFlow Datasets, such as "imagenet2012"; "cifar10",
              "cifar100" and "pets" are also found in the folder $KERAS_VIT_DATA, and CIFAR in
              Keras's downloads;
            - "digits", the handwritten digits of scikit-learn, 8 x 8 grayscale pixels.
        image_size: side in pixels to resize the images to, or (height, width).
        batch_size: images per batch.
        augment: augmentation of the training images: a name in `keras_vit.data.AUGMENTATIONS`, a
            `keras_vit.data.Augmentation`, or None.
        seed: seed of the order and of the augmentation, a non-negative integer.
        validation_share: share of the training images to hold out if the source has no validation
            split; 0 for none; None for a tenth, or for the share that the paper held out of a named
            dataset (see `keras_vit.data.tfds.load_splits`).
        test_share: share of all images to hold out if the source has no test split; 0 for none.
        num_channels: 1 for grayscale, 3 for RGB; images are converted if needed.
        data_dir: folder of TensorFlow Datasets; None for its default.
        resize: "squash" or "crop", how validation and test images are resized, see
            `keras_vit.data.transforms.resize_image`.
        split_seed: seed of the division into splits. It is separate from `seed`, so that no run is
            tested on images that another run was trained on.
        cache: whether images are decoded once and kept in memory. None: if no side is longer than
            64 pixels and no split needs more than 1 GiB. "disk": training images are decoded
            once, shrunk to a shorter side of 256/224 of `image_size`, and kept in a file in
            ~/.keras/keras_vit/images/, or below $KERAS_HOME; smaller crops show fewer details.
        pipeline: "tf.data", "keras" for a `keras.utils.PyDataset`, or None for tf.data if
            TensorFlow is installed.
        columns: {"image": name, "label": name, "split": name, "group": name}, columns of a .csv
            file; those with usual names ("file", "filename", "label", "class", "split", "group",
            ...) may be left out. All images of a group, such as a patient, are in one split.
        group_pattern: regular expression that finds the group in the name of an image, in its
            parentheses if it has any: "(patient[0-9]+)_". Names are relative to the dataset.
        skip_empty: whether class folders without images are left out instead of refused.
        on_error: "stop" to raise an error if an image cannot be read, "skip" to warn. A training
            image is then replaced by the next one of its class, which leaves order and labels as
            they are; validation and test images are read once before, and bad ones left out.
        sampling: "shuffled", every training image once in an epoch, or "balanced": the same number
            of images, drawn so that all classes are equally frequent, for classes of very different
            sizes.

    Returns:
        An `ImageDataset`.

    Raises:
        FileNotFoundError: the path does not exist.
        OSError: the disk is too full for `cache="disk"`.
        ImportError: the source or the pipeline needs TensorFlow, which is not installed.
        ValueError: an argument, a table, an array or an image cannot be used.

    Example:
    >>> images = np.zeros((100, 32, 32, 3), "uint8")
    >>> data = keras_vit.data.load((images, np.arange(100) % 2), image_size=32, batch_size=16)
    >>> data.counts
    {'train': 72, 'validation': 8, 'test': 20}
    """
    checks = CHECKS if validation_share is None else CHECKS | {"validation_share": check_share}
    options = arguments.checked(checks, locals())
    augmentation = get_augmentation(augment)
    given = (split_seed, validation_share, columns, group_pattern, skip_empty)
    splits = open_source(source, num_channels, data_dir, *given)
    # `draw_missing` and the readers of named datasets draw a `Subset`.
    own = [name for name, each in splits.sources.items() if not isinstance(each, Subset)]
    splits = draw_missing(splits, split_seed, validation_share, test_share)
    if splits.train.groups is not None:
        splits = splits._replace(notes=(*splits.notes, groups.describe(splits)))
    if on_error == "skip":
        splits = unreadable.skip(splits)
    skipped = getattr(splits.train, "skipped", {})
    _warn_of_empty_classes(splits)
    splits = _keep_decoded(splits, cache, options["image_size"], num_channels)
    names = ("image_size", "batch_size", "seed", "num_channels", "resize", "sampling")
    loaded = ImageDataset(
        splits,
        augmentation=augmentation,
        pipeline=pipeline or ("tf.data" if backend.is_installed("tensorflow") else "keras"),
        **{name: options[name] for name in names},
    )
    loaded.skipped, loaded.own_splits = skipped, own
    return loaded


def _keep_decoded(splits, cache, image_size, num_channels):
    """Returns splits whose images are decoded once and kept in memory or on disk, see `load`."""
    if cache is False:
        return splits
    if cache == "disk":
        kept = disk_cache.cache_on_disk(splits.train, splits.name, image_size, num_channels)
        return splits._replace(train=kept)
    limits = {} if cache is None else {"largest": math.inf, "limit": math.inf}
    decoded = {name: decode_all(each, **limits) for name, each in splits.sources.items()}
    return splits._replace(**decoded)


class ImageDataset:
    """Labeled images in batches. `keras_vit.data.load` returns one.

    Attributes:
        name: name of the dataset.
        class_names: tuple of str; labels are indices into it.
        num_classes: number of classes.
        image_size: (height, width) in pixels.
        num_channels: 1 or 3.
        notes: tuple of str about how the source was read: its columns, groups, skipped classes.
        skipped: {name: reason} of the training images that could not be read so far, if they are
            skipped.
        own_splits: names of the splits that the source has itself; the others were drawn.
        batch_size: images per training batch; all of them if there are fewer.
        seed: seed of order and augmentation.
        augmentation: the `Augmentation` of the training images.
        sources: {"train": a `Source`, ...}, without empty splits.
        sampler: the `Sampler` of the training images.
        train: training images in random order, augmented anew in each epoch: uint8 (batch, height,
            width, channels), and int32 labels (batch,). With mixup or CutMix labels are float32
            (batch, classes). All batches have the same size.
        validation: validation images in their own order, not augmented, uint8 and int32, in batches
            of `batch_size` or, if images are small, more; the last one may be smaller. None if
            there are none.
        test: test images, in the same form.
    """

    def __init__(
        self,
        splits,
        image_size,
        batch_size,
        seed,
        num_channels,
        augmentation,
        resize,
        pipeline,
        sampling="shuffled",
    ):
        self.name, self.class_names = splits.name, tuple(splits.class_names)
        self.num_classes, self.notes, self.skipped = len(self.class_names), splits.notes, {}
        self.image_size, self.num_channels, self.seed = image_size, num_channels, seed
        self.augmentation, self.resize, self.pipeline = augmentation, resize, pipeline
        self.sources, self.own_splits = splits.sources, [*splits.sources]
        held = {n: digest(s.labels, s.names) for n, s in self.sources.items() if n != "train"}
        settings = {"augmentation": augmentation._asdict(), "image_size": list(image_size)}
        settings |= {"num_channels": num_channels, "held_out": held}
        train = self.sources["train"]
        if isinstance(train, disk_cache.DiskSource):
            settings["shorter_side"] = train.side
        self.sampler = Sampler(train.labels, batch_size, seed, train.names, settings, sampling)
        self.sampler.class_names = self.class_names  # for `fit`, which receives only the pipeline
        self.batch_size = self.sampler.batch_size
        self.steps_per_epoch = self.sampler.steps_per_epoch
        # Batches without gradients can be larger: up to 512 images of 4 MiB in total.
        pixels = math.prod(image_size) * num_channels
        self._evaluation_size = max(batch_size, min(512, 2**22 // pixels))

    @property
    def counts(self):
        """{"train": images, "validation": images, "test": images}."""
        return {name: len(self.sources.get(name, ())) for name in SPLITS}

    def labels(self, split):
        """Returns the class of every image of a split, int32 (images,), in source order."""
        arguments.one_of(*SPLITS)("split", split)
        return self.sources[split].labels if split in self.sources else np.zeros(0, "int32")

    @functools.cached_property
    def train(self):
        """Training images."""
        return self._make_pipeline(self.training_batches)

    @functools.cached_property
    def validation(self):
        """Validation images, or None."""
        return self._make_pipeline(self.fixed_batches("validation"))

    @functools.cached_property
    def test(self):
        """Test images, or None."""
        return self._make_pipeline(self.fixed_batches("test"))

    @functools.cached_property
    def training_batches(self):
        """The `TrainingBatches` of `train`: any batch of any epoch as NumPy arrays."""
        return TrainingBatches(
            self.sources["train"],
            self.num_classes,
            self.num_channels,
            self.image_size,
            self.augmentation,
            self.sampler,
        )

    def fixed_batches(self, split):
        """Returns the `FixedBatches` of a split, its images as NumPy arrays, or None."""
        if split not in self.sources:
            return None
        return FixedBatches(
            self.sources[split],
            self.num_channels,
            self.image_size,
            self._evaluation_size,
            self.resize,
            self.augmentation.interpolation,
        )

    def grid(self, number=16, epoch=0):
        """Draws augmented training images as the model sees them, with their classes.

        Args:
            number: number of images, from the first batch.
            epoch: epoch whose augmentation is drawn.

        Returns:
            A `matplotlib.figure.Figure`.
        """
        number = arguments.positive_integer("number", number)
        images, labels = self.training_batches.batch(epoch, 0)
        return _draw_grid(images[:number], labels[:number], self.class_names)

    def __repr__(self):
        counts = ", ".join(f"{count:,} {name}" for name, count in self.counts.items())
        names = ", ".join(self.class_names[:5]) + (", ..." if self.num_classes > 5 else "")
        changed = self.augmentation.changed_fields()
        resizing = {self.resize, changed.pop("interpolation", "bilinear")} - {"squash", "bilinear"}
        how = [f"resizing: {', '.join(sorted(resizing))}"] if resizing else []
        augmented = ", ".join(f"{name}={value!r}" for name, value in changed.items())
        channels = "grayscale" if self.num_channels == 1 else f"{self.num_channels} channels"
        return (
            f"<ImageDataset {self.name!r}: {counts}\n"
            f" {self.num_classes} classes: {names}\n"
            f" {' x '.join(map(str, self.image_size))} pixels, {channels}, batches of "
            f"{self.batch_size}, {self.steps_per_epoch} per epoch, seed {self.seed}\n"
            f" augmentation of training images: {augmented or 'none'}"
            + "".join(f"\n {note}" for note in (*how, *self.notes))
            + ">"
        )

    def _make_pipeline(self, batches):
        from keras_vit.data import pipelines  # imports Keras, which `keras-vit train` postpones

        make = pipelines.tf_dataset if self.pipeline == "tf.data" else pipelines.Loader
        return batches and make(batches)


def _warn_of_empty_classes(splits):
    """Warns of classes without images, which are valid, but rarely intended."""
    for name, source in splits.sources.items():
        present = set(source.labels.tolist())
        missing = [repr(c) for label, c in enumerate(splits.class_names) if label not in present]
        if missing:
            more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
            warnings.warn(
                f"The {name} split of {splits.name!r} has no image of class "
                f"{', '.join(missing[:10])}{more}.",
                stacklevel=3,
            )


def _draw_grid(images, labels, class_names):
    """Draws images (images, height, width, 1 or 3) in rows of eight, with their classes above."""
    columns = min(COLUMNS, len(images))
    rows = -(-len(images) // columns)
    height, width = images.shape[1:3]
    figure = figures.figure(1.2 * columns, (1.2 * height / width + 0.35) * rows)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for place, image, label in zip(axes, images, labels, strict=False):
        figures.show(place, image)
        place.set_title(_title(label, class_names), fontsize=7)
    for place in axes[len(images) :]:
        place.remove()
    return figure


def _title(label, class_names):
    """Returns the class name; for a mixed image, the two classes with the largest shares."""
    if np.ndim(label) == 0:
        return figures.short_name(class_names[label])
    largest = np.argsort(-label, kind="stable")[: min(2, np.count_nonzero(label))]
    if len(largest) == 1:
        return figures.short_name(class_names[largest[0]])
    return "\n".join(
        f"{figures.short_name(class_names[i])} {100 * label[i]:.0f} %" for i in largest
    )
