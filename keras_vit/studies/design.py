"""The design of a study: which settings its runs have at each scale."""

SCALES = ("tiny", "small", "gpu")


def by_scale(names, **values):
    """Returns the settings of each scale, {scale: {name: value}}.

    Args:
        names: names of the settings, separated by spaces, in the order of the columns.
        **values: for each scale, the values.

    Example:
    >>> keras_vit.studies.design.by_scale("steps rate", tiny=(400, 1e-3), small=(8000, 1e-4))
    {'tiny': {'steps': 400, 'rate': 0.001}, 'small': {'steps': 8000, 'rate': 0.0001}}
    """
    return {scale: dict(zip(names.split(), row, strict=True)) for scale, row in values.items()}


def count_seeds(tiny, small, gpu):
    """Returns the seeds of each scale, counted from 1.

    Example:
    >>> keras_vit.studies.design.count_seeds(1, 3, 2)
    {'tiny': (1,), 'small': (1, 2, 3), 'gpu': (1, 2)}
    """
    counts = dict(zip(SCALES, (tiny, small, gpu), strict=True))
    return {scale: tuple(range(1, count + 1)) for scale, count in counts.items()}


def need_images(small, gpu):
    """Returns what the larger scales need: images, and the time that `small` and `gpu` state."""
    images = "CIFAR-10, or images in the folder $KERAS_VIT_DATA"
    return {"small": f"{images}; {small}", "gpu": f"{images}; {gpu}"}


def vary(variants, training, seeds):
    """Returns the function `runs` of a study.

    Args:
        variants: function of a scale that returns the settings that vary, a list of dicts.
        training: {scale: settings that all runs share}.
        seeds: {scale: seeds}.
    """

    def runs(scale):
        """Returns the settings of all runs: every variant with the first seed, then the next."""
        return [
            {**variant, **training[scale], "seed": seed}
            for seed in seeds[scale]
            for variant in variants(scale)
        ]

    return runs
