# %% [markdown]
# # Every pixel
#
# A ViT returns one vector for the class token and one for each patch.
# The chapters of the course read only the first, or a mean of the
# others. What does the token of a single patch know about it? This page
# trains a linear classifier on the frozen tokens of patches. It labels
# every pixel of a street scene, and is compared with what can be
# guessed without looking at the image.
#
# > **You will be able to** get tokens of patches at any image size,
# > turn them into a segmentation, and measure it by mean IoU beside
# > baselines and beside the true classes of patches.
# >
# > **You need** [chapter 8](../08_finetuning.py), for frozen features.
# >
# > **Time** {time}
# >
# > **Result** 51 % mean IoU (intersection over union) on 60 street
# > scenes, against 18 % from color and place alone.
# >
# > **Downloads** ViT-Ti/16 (22 MB). The page was made with CamVid
# > ([Brostow et al.](https://doi.org/10.1016/j.patrec.2008.04.005)) in
# > a folder `camvid`: images in `train` and `test`, and for each a PNG
# > of class numbers in `train_masks` or `test_masks`. It is not
# > downloaded for you. Without it, the page uses handwritten digits on
# > photographs, and its numbers differ.
# >
# > **Paper** [arXiv 2010.11929](https://arxiv.org/abs/2010.11929)
# > leaves segmentation to others (section 5).

# %%
import os
import pathlib

import keras_vit  # before keras: it selects an installed backend
import keras
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
folder = pathlib.Path(
    os.environ.get("KERAS_VIT_DATA", "."), "camvid"
)
H, W = 256, 352  # 16 x 22 patches


def read(split, count):
    files = sorted((folder / split).iterdir())
    files = files[:: len(files) // count][:count]  # spread evenly
    masks = [
        folder / f"{split}_masks" / f"{f.stem}.png" for f in files
    ]
    images = [Image.open(f).convert("RGB") for f in files]
    masks = [Image.open(f) for f in masks]
    return (
        np.stack([np.asarray(i.resize((W, H))) for i in images]),
        np.stack([np.asarray(m.resize((W, H), 0)) for m in masks]),
    )


def draw(digits, labels, count):
    """Photographs with digits; the pixels around a digit are void."""
    both = load_sample_images().images  # (427, 640, 3)
    images = np.stack(
        [
            both[i % 2][y : y + H, x : x + W]
            for i, (y, x) in enumerate(
                rng.integers(0, (171, 288), (count, 2))
            )
        ]
    )
    masks = np.full((count, H, W), 10)
    for image, mask in zip(images, masks, strict=True):
        for n in rng.integers(0, len(digits), 6):
            ink = np.kron(digits[n], np.ones((10, 10)))
            y, x = rng.integers(0, (H - 80, W - 80))
            window = slice(y, y + 80), slice(x, x + 80)
            mask[window] = np.where(ink > 4, labels[n], 11)
            image[window] = np.where(ink[..., None] > 4, 255, 20)
    return images, masks


if folder.exists():
    classes = "sky building pole road pavement tree sign fence car"
    classes = [*classes.split(), "pedestrian", "bicyclist"]
    images, masks = read("train", 180)
    test_images, truth = read("test", 60)
else:
    classes = [*map(str, range(10)), "photograph"]
    digits, labels = load_digits(return_X_y=True)
    digits = digits.reshape(-1, 8, 8)
    images, masks = draw(digits[:1400], labels[:1400], 180)
    test_images, truth = draw(digits[1400:], labels[1400:], 60)

K = len(classes)  # 11; the number 11 in a mask is void: not counted
print(images.shape, masks.shape, "classes:", K)

# %% [markdown]
# ## How to measure it
#
# The share of correct pixels is misleading: road and buildings are half
# of all pixels, and a pole is thin. For each class $c$, take the pixels
# that are predicted as $c$ or are $c$. The *intersection over union*
# (IoU) is the share of them that are both:
#
# $$ \text{IoU}_c = \frac{n_{cc}}
#    {\sum_j n_{cj} + \sum_i n_{ic} - n_{cc}} $$
#
# where $n_{ij}$ counts the pixels of class $i$ that are predicted as
# $j$. Mean IoU is the mean over the classes: a pole counts as much as
# the road.


# %%
def iou(prediction):
    known = truth < K
    pairs = K * truth[known].astype(int) + prediction[known]
    n = np.bincount(pairs, minlength=K * K).reshape(K, K)
    both = np.diag(n)
    return both / np.maximum(n.sum(0) + n.sum(1) - both, 1)


results = {}


def report(name, prediction):
    known = truth < K
    right = (prediction == truth)[known].mean()
    results[name] = iou(prediction)
    mean = results[name].mean()
    print(f"{name:<24} mean IoU {mean:5.1%}   pixels {right:5.1%}")


# %% [markdown]
# ## What one answer per patch can reach
#
# A patch of 16 × 16 pixels may contain several classes. We keep the
# *shares* of the classes in each patch as its label. If every patch got
# its most frequent class, known from the truth, the result would still
# not be perfect. No other choice of one class per patch has more
# correct pixels. Mean IoU can be a little higher: exercise 3.


# %%
def shares(masks, side=16):
    """(B, H, W) -> (B, H / side, W / side, K); void has no share."""
    one_hot = np.eye(K + 1, K, dtype="float32")[masks]
    shape = (-1, H // side, side, W // side, side, K)
    return one_hot.reshape(shape).mean(axis=(2, 4))


def enlarge(patches):
    """A value for each patch -> a value for each pixel."""
    sides = H // patches.shape[1], W // patches.shape[2]
    return patches.repeat(sides[0], 1).repeat(sides[1], 2)


labels = shares(masks)  # (180, 16, 22, 11)
for side in (16, 8):
    best = shares(truth, side).argmax(axis=-1)
    report(f"true classes, {side} pixels", enlarge(best))

# %% [markdown]
# **You should see** how much is lost at 16 pixels, before any model:
# about a third of the mean IoU.
#
# ## What can be guessed
#
# In a street scene the sky is above and the road below. The first
# baseline predicts at each place the class that is most frequent there
# in the training images. The second is a linear classifier that sees
# the mean color of a patch and its place. It is trained like the one
# that follows:
#
# $$ p_i = \operatorname{softmax}(x_i W + b), \qquad
#    \text{loss} = -\sum_c s_{ic} \log p_{ic} $$
#
# with the shares $s_{ic}$ of patch $i$ as the target. Its logits, one
# vector for each patch, are interpolated to pixels. Interpolation is
# linear: this is the same as interpolating the features first and
# classifying each pixel.


# %%
def fit(x, labels, epochs=20):
    """Returns a function from features (B, h, w, D) to logits."""
    mean, deviation = x.mean((0, 1, 2)), x.std((0, 1, 2)) + 1e-6

    def scale(x):
        return ((x - mean) / deviation).astype("float32")

    keras.utils.set_random_seed(0)
    flat = scale(x).reshape(-1, x.shape[-1])
    steps = epochs * -(-len(flat) // 1024)
    rate = keras.optimizers.schedules.CosineDecay(3e-3, steps)
    linear = keras.Sequential([keras.layers.Dense(K)])
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    linear.compile(keras.optimizers.Adam(rate), loss)
    targets = labels.reshape(-1, K)
    linear.fit(
        flat, targets, batch_size=1024, epochs=epochs, verbose=0
    )
    weights, bias = linear.get_weights()
    return lambda x: scale(x) @ weights + bias


def to_pixels(logits):
    resized = keras.ops.image.resize(logits, (H, W), "bilinear")
    return keras.ops.convert_to_numpy(resized).argmax(axis=-1)


def colors(images):
    """Mean color of each patch, its place, and the squares of both."""
    shape = (-1, H // 16, 16, W // 16, 16, 3)
    x = images.reshape(shape).mean(axis=(2, 4)) / 127.5 - 1
    place = (
        np.indices(x.shape[1:3]).transpose(1, 2, 0) / (8, 11) - 1
    )
    place = np.broadcast_to(place, (*x.shape[:3], 2))
    return np.concatenate([x, place, x**2, place**2], axis=-1)


counts = sum(np.eye(K + 1, K)[mask] for mask in masks)  # (H, W, K)
guess = counts.argmax(axis=-1)
report("most frequent here", np.broadcast_to(guess, truth.shape))
by_color = fit(colors(images), labels)
report("color and place", to_pixels(by_color(colors(test_images))))

# %% [markdown]
# ## Tokens of patches
#
# `image_size` resizes the learned positions from 14 × 14 to 16 × 22
# patches, which are not square here. `features` with `pool="patches"`
# returns the tokens in their grid, without the class token. We take
# three depths: block 6 and 9 of 12, and the end.

# %%
model = keras_vit.load_pretrained(
    "ViT-Ti/16", image_size=(H, W), verbose=False
)
depths = ["block_5", "block_8", "encoder_norm"]


def tokens(images):
    return keras_vit.features(
        model, images, depths, pool="patches", verbose=0
    )


of_train, of_test = tokens(images), tokens(test_images)
print({name: x.shape for name, x in of_test.items()})

last = fit(of_train["encoder_norm"], labels)
logits = last(of_test["encoder_norm"])
report("tokens, one per patch", enlarge(logits.argmax(axis=-1)))
report("tokens, interpolated", to_pixels(logits))

# %% [markdown]
# **You should see** a wide gap to color and place. This model was
# trained to name one object in a square photograph. Its tokens know
# what is where in a street, and a single matrix of $192 \times 11$
# numbers reads it out.
#
# Early blocks know more about edges, late ones about objects. So we
# give the classifier all three side by side:


# %%
def side_by_side(of):
    return np.concatenate([of[name] for name in depths], axis=-1)


three = fit(side_by_side(of_train), labels)
logits = three(side_by_side(of_test))
report("three depths", to_pixels(logits))

# %% [markdown]
# ## A finer grid without training
#
# Patches are 16 pixels apart. If the image is shifted by 8 pixels, the
# same model looks at patches in between. Four shifts give a grid with
# twice as many rows and columns, for four times the compute. The
# classifier does not change.


# %%
def shifted(images, down, right):
    edges = ((0, 0), (0, down), (0, right), (0, 0))
    return np.pad(images, edges, "edge")[:, down:, right:]


B, rows, columns, _ = logits.shape
fine = np.zeros((B, 2 * rows, 2 * columns, K), "float32")
fine[:, ::2, ::2] = logits
for down, right in ((0, 1), (1, 0), (1, 1)):
    moved = shifted(test_images, 8 * down, 8 * right)
    fine[:, down::2, right::2] = three(side_by_side(tokens(moved)))

# Cell (0, 0) of the fine grid is centered at pixel 8, not at 4.
prediction = to_pixels(fine)
prediction = np.pad(prediction, ((0, 0), (4, 0), (4, 0)), "edge")
prediction = prediction[:, :H, :W]
report("three depths, shifted", prediction)

# %% alt="Three street scenes: the true classes, and the prediction"
palette = [
    "#8ecae6", "#9a8c98", "#ffd166", "#6c757d", "#e5989b", "#2a9d4b",
    "#f3722c", "#7f5539", "#3a56d4", "#d00000", "#b5179e", "#000000",
]  # fmt: skip
style = {
    "cmap": ListedColormap(palette),
    "vmin": -0.5,
    "vmax": 11.5,
}
figure, axes = plt.subplots(3, 2, figsize=(6, 7))
for row, i in zip(axes, (5, 30, 52), strict=True):
    row[0].imshow(truth[i], interpolation="nearest", **style)
    row[1].imshow(prediction[i], interpolation="nearest", **style)
for column, name in enumerate(("truth", "prediction")):
    axes[0, column].set_title(name, fontsize=12)
for axis in axes.flat:
    axis.set_axis_off()
patches = [plt.Rectangle((0, 0), 1, 1, color=c) for c in palette]
figure.legend(
    patches,
    [*classes, "void"],
    loc="outside lower center",
    ncols=4,
    fontsize=11,
)
plt.show()

# %% [markdown]
# **You should see** roads, buildings, trees and cars in the right
# places, with soft outlines, and hardly any poles. (The first scene is
# nearly dark. Its bus counts as a car: CamVid's 32 classes are grouped
# into 11.) In numbers, three depths instead of one gain three points,
# and the finer grid one more. The step from color to tokens gained
# about thirty.
#
# The labels are CamVid's. Its photographs are not shown here: they come
# without a license to publish them, and show passers-by. In your own
# copy, `plt.imshow(test_images[5])` shows the first.
#
# ## Class by class

# %%
columns = {
    "color": results["color and place"],
    "tokens": results["three depths, shifted"],
    "patches": results["true classes, 16 pixels"],
}
frequency = counts.sum(axis=(0, 1)) / counts.sum()
print(
    f"{'IoU in %':<12}{'pixels':>8}", *(f"{n:>8}" for n in columns)
)
for c in np.argsort(-frequency):
    numbers = (frequency[c], *(of[c] for of in columns.values()))
    print(
        f"{classes[c]:<12}", *(f"{100 * n:7.1f}" for n in numbers)
    )

# %% [markdown]
# Three things limit the result:
#
# - **The grid.** A pole is about three pixels wide, so it is hardly
#   ever the most frequent class of a patch: even the true classes reach
#   only 5 % for it. (Interpolated logits can change class within a
#   patch, so they may do better. For poles they do, a little.)
# - **The loss.** It counts pixels, while mean IoU counts classes. So
#   training neglects rare classes: exercise 1.
# - **The model.** It is one of the smallest published ViTs, trained on
#   squares of 224 pixels, and it is frozen. DINOv2 was trained for
#   tokens of patches; what changed there is in
#   [Descendants](descendants.py).
#
# This is one split and one seed. Neighboring frames of a video are
# alike, so 60 test images are worth less than 60 different streets.
#
# ## Exercises
#
# **Exercise 1.** Give rare classes a larger weight: multiply the
# shares of each class by the inverse root of its frequency, and train
# `three` again. What happens to mean IoU and to the correct pixels?

# %% tags=["solution"]
weights = frequency**-0.5 / (frequency**0.5).sum()
weighted = fit(side_by_side(of_train), labels * weights)
weighted = to_pixels(weighted(side_by_side(of_test)))
report("three depths", to_pixels(logits))
report("three depths, weighted", weighted)

# %% [markdown]
# **Exercise 2.** How many labeled images are needed? Train `three` on
# 5, 20 and 60 of the 180 images, spread evenly. So that few images do
# not also mean few updates, train them for more epochs: 20 times 180
# over their number, but at most 160.

# %% tags=["solution"]
for count in (5, 20, 60, 180):
    some = slice(None, None, 180 // count)
    x = side_by_side(of_train)[some]
    few = fit(x, labels[some], epochs=20 * min(8, 180 // count))
    few = to_pixels(few(side_by_side(of_test)))
    report(f"{count} training images", few)

# %% [markdown]
# **Exercise 3.** Give every patch its most frequent true class, as
# above, except those of which at least 15 % is pole (class 2): these
# are answered with "pole". What happens to the IoU of poles, to mean
# IoU, and to the correct pixels?

# %% tags=["solution"]
answer = shares(truth).argmax(axis=-1)
answer[shares(truth)[..., 2] >= 0.15] = 2
report("true classes, poles", enlarge(answer))
for name in ("true classes, 16 pixels", "true classes, poles"):
    print(f"{name:<24} IoU of {classes[2]}: {results[name][2]:.1%}")
# One answer per patch can trade correct pixels for mean IoU.

# %% [markdown]
# ## What could go wrong
#
# - **Masks with classes that do not exist:** they were resized with
#   interpolation, which averages class numbers. Use the nearest pixel.
# - **Everything is shifted by some pixels:** a token stands for the
#   center of its patch. Check a new grid with the true classes, as
#   above.
# - **A high share of correct pixels, a low mean IoU:** only frequent
#   classes are found. Look at the table class by class.
# - **Too good to be true:** frames of one video in both splits.
#
# ## Where to go next
#
# - [FAQ](../../docs/faq.md): the first lines of a decoder of your own,
#   which is any Keras model on these tokens.
# - [Which backbone?](../../docs/backbones.md): which published weights
#   have the best tokens.
# - [Descendants](descendants.py): what DINOv2 changed, whose tokens are
#   made for this.
