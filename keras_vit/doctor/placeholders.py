"""Finds images that websites send instead of a photograph, such as "image not available".

They show text or a logo on a background of one color, unlike the photographs around them. Measured
on 14,000 photographs (CIFAR-10's test images, Imagenette, Oxford pets): none of 48 pixels or more
has `ONE_COLOR` of its pixels in a single color and 99 % of them in `COLORS` coarse colors; the
closest one needs 15. Banners with text need 3 to 6, even as JPEG of quality 30.
"""

from collections import Counter, defaultdict
from typing import NamedTuple

from keras_vit.doctor.problems import Problem

ONE_COLOR, COLORS = 0.65, 10
SIDE = 48  # pixels; smaller photographs of a plane in the sky may look the same
DRAWINGS = 0.1  # share of such images above which a dataset is taken to consist of drawings
# For a format that hardly any other image has, lower thresholds are enough.
RARE, FEWEST = 0.01, 50  # largest share of a rare format, fewest images to judge it
ONE_COLOR_RARE, SHADES_RARE = 0.3, 128


class Ground(NamedTuple):
    """The share of the most frequent color, and the numbers of coarse colors and of all colors."""

    share: float
    colors: int
    shades: int

    @property
    def is_plain(self):
        """Whether this indicates a placeholder in any format."""
        return self.share >= ONE_COLOR and self.colors <= COLORS


def find_ground(share, colors, shades):
    """Returns the `Ground` of an image if it may be a placeholder, otherwise None."""
    ground = Ground(share, colors, shades)
    is_odd = share >= ONE_COLOR_RARE and 1 < shades <= SHADES_RARE  # one color is another problem
    return ground if is_odd or (ground.is_plain and shades > 1) else None


def find(images):
    """Yields the `Problem`s of `CheckedImage`s that look like placeholders."""
    candidates = [image for image in images if image.ground and min(image.size) >= SIDE]
    formats, classes = Counter(image.format for image in images), defaultdict(set)
    for image in images:
        classes[image.pixels].add(image.class_name)
    limit = RARE * len(images) if len(images) >= FEWEST else 0
    few = sum(image.ground.is_plain for image in candidates) <= DRAWINGS * len(images)
    for image in candidates:
        number, homes = formats[image.format], classes[image.pixels]
        if number > limit and not (image.ground.is_plain and few):
            continue
        reason = f"{int(100 * image.ground.share)} % of it has one color"
        if number <= limit:
            reason += f", {image.format} as {number:,} of {len(images):,} images"
        if len(homes) > 1:
            reason += f", in {len(homes)} classes"
        yield Problem("placeholder", image.path, reason, image.class_name, image.split)
