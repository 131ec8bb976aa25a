# %% [markdown]
# # 7. CIFAR-10, twice
#
# **From scratch or pretrained?** The same ten classes, learned in two
# ways: by a ViT that starts from random weights and sees nothing but
# CIFAR-10, and by a ViT that was pretrained on millions of photographs
# and stays as it is, below a new linear classifier. How many labels
# does each of them need?
#
# > **You will be able to** train a ViT from scratch with augmentation,
# > classify with frozen features, and choose between the two.
# >
# > **You need** [chapter 5](05_training.py) for the training, and
# > [chapter 6](06_data.py) for why a ViT needs many images.
# >
# > **Time** {time}
# >
# > **Result** with 200 labels, a ViT that was pretrained on 14 million
# > images reaches 73 %, and a ViT from scratch 24 %. From scratch,
# > 49,000 labels give 81.3 %. If all weights of the pretrained ViT are
# > trained further, which is called fine-tuning, 50,000 labels give
# > 93.4 %.
# >
# > **Downloads** ViT-Ti/16 (22 MB) and CIFAR-10 (170 MB).
# >
# > **Paper** [arXiv 2010.11929](https://arxiv.org/abs/2010.11929),
# > sections 3.1 ("Inductive bias"), 3.2 and 4.3, Figure 4, Table 5.

# %%
import keras_vit  # before keras: it selects an installed backend
import keras
import matplotlib.pyplot as plt
import numpy as np
from check import check

rng = np.random.default_rng(0)

FULL = False  # True: computes the stored results, 6 minutes of CPU
LABELS = (50, 200, 1000) if FULL else (50, 100, 200)
TEST = 500 if FULL else 200
STEPS = 400 if FULL else 150

# %% [markdown]
# ## The images
#
# CIFAR-10 has 50,000 training and 10,000 test images of 32 × 32 pixels,
# in ten classes. We read only what we need: the first images of each
# class. Each training set below contains all smaller ones.

# %%
data = keras_vit.data.load(
    "cifar10", image_size=32, validation_share=0, cache=False
)


def first(split, count):
    """The first images of each class, in the order 0 1 ... 9 0 1 ..."""
    labels = data.labels(split)
    members = [
        np.flatnonzero(labels == k)[: count // 10]
        for k in range(10)
    ]
    chosen = np.stack(members, axis=1).ravel()
    batches = data.fixed_batches(split)
    images = np.stack([batches.image(i) for i in chosen])
    return images, labels[chosen]


images, labels = first("train", max(LABELS))
test_images, test_labels = first("test", TEST)
assert (np.bincount(labels[:50]) == 5).all()
print(f"{images.shape} to train on, {test_images.shape} to test")

# %% alt="Ten small images, one of each class"
figure, axes = plt.subplots(2, 5, figsize=(6, 3))
for axis, image, k in zip(axes.flat, images, labels, strict=False):
    axis.imshow(image)
    axis.set_title(data.class_names[k], fontsize=12)
    axis.set_axis_off()
plt.show()

# %% [markdown]
# ## From scratch
#
# A ViT can memorize a few images. *Augmentation* makes that harder:
# every time an image is shown, it is shifted by up to four pixels, and
# mirrored in half of the cases. A cat that is moved by two pixels is
# still a cat. A convolution treats both cats alike; a ViT has to learn
# from examples that they are the same.
#
# **Exercise 1.** Write `shift_and_flip` for a batch of images. Pad each
# image by four pixels of black, cut out a window of 32 × 32 pixels at a
# random place, and mirror the window with probability 1/2.


# %%
def shift_and_flip(images, rng):
    """(B, 32, 32, 3) -> (B, 32, 32, 3), each image changed anew"""


check(7, shift_and_flip)


# %% tags=["solution"]
def shift_and_flip(images, rng):
    padded = np.pad(images, [(0, 0), (4, 4), (4, 4), (0, 0)])
    out = np.empty_like(images)
    for i, image in enumerate(padded):
        top, left = rng.integers(0, 9, size=2)
        window = image[top : top + 32, left : left + 32]
        out[i] = window[:, ::-1] if rng.random() < 0.5 else window
    return out


check(7, shift_and_flip)

# %%
moved = shift_and_flip(np.tile(images[:1], (400, 1, 1, 1)), rng)
assert moved.shape == (400, 32, 32, 3) and moved.dtype == np.uint8
different = len(np.unique(moved.reshape(400, -1), axis=0))
print(f"400 times the same image: {different} of 162 versions")
assert 100 < different <= 9 * 9 * 2

# %% [markdown]
# The model is ViT-Midi/8, twice as wide as the ViT-Mini of
# [chapter 5](05_training.py), with six blocks. An image is 16 patches
# of 8 × 8 pixels. The head gets the mean of their tokens instead of the
# class token (`pooling="gap"`); with a suitable learning rate for each,
# the paper finds both equally good (Appendix D.3). Optimizer and
# schedule are those of chapter 5. The number of steps does not depend
# on the number of labels, so all runs from scratch take the same time.


# %%
def from_scratch(images, labels):
    keras.utils.set_random_seed(0)
    model = keras_vit.create(
        "ViT-Midi/8",
        image_size=32,
        num_classes=10,
        pooling="gap",  # the mean of the patch tokens
        normalize=(120, 64),  # mean and standard deviation
    )
    model.compile(
        keras.optimizers.AdamW(
            keras_vit.training.schedules.cosine(
                1e-3, STEPS, STEPS // 10
            ),
            weight_decay=0.05,
        ),
        keras.losses.SparseCategoricalCrossentropy(
            from_logits=True
        ),
    )
    drawn = rng.integers(len(images), size=64 * STEPS)
    shown = shift_and_flip(images[drawn], rng)
    model.fit(shown, labels[drawn], 64, shuffle=False, verbose=0)
    logits = model.predict(test_images, verbose=0)
    return (logits.argmax(axis=1) == test_labels).mean()


some = LABELS if FULL else (LABELS[0], LABELS[-1])
scratch = {n: from_scratch(images[:n], labels[:n]) for n in some}
for n, accuracy in scratch.items():
    print(f"{n:>6} labels, from scratch: {accuracy:.1%}")

# %% [markdown]
# ## Pretrained and frozen
#
# ViT-Ti/16 was pretrained on ImageNet-21k and then on ImageNet, at
# 224 × 224 pixels. We enlarge each small image to that size, take the
# *features*, the vector that the head would see, and train a logistic
# regression on them: a *linear probe*. The ViT itself is not trained at
# all; it is *frozen*.
#
# At 112 × 112 pixels, 49 patches instead of 196, the same costs a
# quarter. (The grid of position embeddings is shrunk to fit.) Is that
# good enough? We try both.


# %%
def features(images, size):
    vit = keras_vit.load_pretrained(
        "ViT-Ti/16",
        num_classes=None,
        image_size=size,
        verbose=False,
    )
    resize = keras.layers.Resizing(size, size)
    model = keras.Sequential([resize, vit])
    found = model.predict(images, batch_size=50, verbose=0)
    assert found.shape == (len(images), 192)
    return found


def probe(size):
    x = features(np.concatenate([images, test_images]), size)
    x, x_test = x[: len(images)], x[len(images) :]
    return {
        n: keras_vit.training.linear_probe(
            x[:n], labels[:n], x_test, test_labels
        )
        for n in LABELS
    }


frozen = {size: probe(size) for size in (112, 224)}
for size, found in frozen.items():
    for n, accuracy in found.items():
        print(f"{n:>6} labels, frozen at {size} px: {accuracy:.1%}")
n = LABELS[-1]
assert frozen[224][n] > frozen[112][n] > scratch[n] > 0.1

# %% [markdown]
# ## The two curves
#
# **Stored results** of this page with `FULL = True`: up to 1,000
# labels, 400 steps from scratch, 500 test images.
# `python 07_cifar10.py`, two shared cores of an Intel Xeon, keras
# 3.15.1, jax 0.10.2, seed 0, 2026-11-29; 6 minutes of CPU time. Two
# more points are models that were trained far longer, and tested on all
# 10,000 images: ViT-Midi/4 from scratch, 82 epochs with 49,000 labels
# (the first twelve epochs with patches of 8 × 8 pixels), and ViT-Ti/16,
# all of its weights fine-tuned for eight epochs at 96 pixels with
# 50,000 labels. [Results](../docs/results.md) has their commands (one
# core of an Intel Xeon, keras 3.15.1, torch 2.13.0, seed 0, 2026-11-29
# and 2026-11-30). All of these are single runs, on a copy of CIFAR-10
# that was encoded as JPEG again, which is probably slightly harder than
# the original.

# %%
STORED = {  # labels: accuracy
    "frozen, 224 px": {50: 0.620, 200: 0.728, 1000: 0.754},
    "frozen, 112 px": {50: 0.430, 200: 0.466, 1000: 0.580},
    "from scratch": {50: 0.198, 200: 0.238, 1000: 0.248},
    "from scratch,\n82 epochs": {49_000: 0.813},
    "fine-tuned,\n96 px": {50_000: 0.934},
}
STYLES = "s-", "^:", "o--", "D", "*"

# %% alt="Accuracy over labels: pretrained is far above from scratch"
figure, axis = plt.subplots(figsize=(6, 4.8))
for (name, found), style in zip(
    STORED.items(), STYLES, strict=True
):
    percent = [100 * accuracy for accuracy in found.values()]
    [line] = axis.plot(list(found), percent, style)
    last = max(found)  # the name is beside the last point
    axis.annotate(
        name,
        (last, found[last] * 100),
        xytext=(10, 0) if last < 10_000 else (-10, 0),
        textcoords="offset points",
        ha="left" if last < 10_000 else "right",
        va="center",
        color=line.get_color(),
    )
for found in (*frozen.values(), scratch):
    percent = [100 * accuracy for accuracy in found.values()]
    axis.plot(list(found), percent, "+", color="gray", ms=12)
axis.axhline(10, color="gray", linestyle=":")
axis.set_xscale("log")
axis.set_xlabel("labeled images (dotted: chance; +: this page)")
axis.set_ylabel("test accuracy, %")
axis.set_ylim(0, 100)
plt.show()

# %% [markdown]
# **You should see** the frozen ViT at 224 pixels far above the one from
# scratch at every number of labels: 62 against 20 % with 50 labels, 75
# against 25 % with 1,000. From scratch, 49,000 labels and a far longer
# training get ahead of that, with 81.3 %. With about as many labels,
# fine-tuning is ahead again, by 12 points.
#
# **What makes the difference?** Mainly the images seen in pretraining,
# 14 million with labels, among them cats, dogs, frogs, trucks,
# airliners and ships. The models also differ in size and resolution,
# but the same ViT-Ti/16 at the same resolution needs its pretraining,
# too: on ten classes of ImageNet, at 96 pixels, two epochs of training
# all weights give 93.9 % from the pretrained ones, and 21.8 % from
# random ones
# ([Results](../docs/results.md#fine-tuning-at-96-pixels)). These ten
# classes are among those of the pretraining, which makes them easy.
#
# **How certain are these numbers?** With 500 test images, an interval
# is about four points to either side, with the 200 of this page five to
# seven. So the crosses may be some points off the curves. Another
# choice of 50 training images would move a point, too. And 400 steps
# are few (this page takes only 150): from scratch, more of them might
# help. As it is, that ViT does not beat a linear model on the
# pixels (exercise 2).
#
# **Why is 112 pixels worse?** Nothing is lost by it, since CIFAR-10 has
# only 32 × 32 pixels to begin with. The likely reason is that an object
# is half as large, in pixels and in patches, as those that the ViT was
# trained on. Show a frozen model images of the size that it was trained
# on. Fine-tuning adapts it to another size: at 96 pixels, with 50,000
# labels, frozen features give 65.3 %, and fine-tuning 93.4 % (the same
# page of results).
#
# **So when do you train from scratch?** If there are no pretrained
# weights for your kind of image, if the model must be far smaller than
# any of them, or if you want to study the training itself. In all
# other cases, start from pretrained weights.
#
# ## Exercises
#
# **Exercise 2.** Is it the pretrained ViT, or is CIFAR-10 easy? Train
# the same logistic regression, `keras_vit.training.linear_probe`, on
# the pixels of the images, divided by 255.

# %% tags=["solution"]
n = LABELS[-1]
pixels = images[:n].reshape(n, -1) / 255
test_pixels = test_images.reshape(TEST, -1) / 255
accuracy = keras_vit.training.linear_probe(
    pixels, labels[:n], test_pixels, test_labels
)
print(f"{n} labels, pixels: {accuracy:.1%}")
assert accuracy < frozen[224][n] - 0.2

# %% [markdown]
# **Exercise 3.** How far can the choice of test images move these
# numbers? Write `interval`, the 95 % interval of an accuracy $p$ on $n$
# test images, $p \pm 1.96 \sqrt{p (1 - p) / n}$. (It is simpler than
# Wilson's of [chapter 5](05_training.py), and nearly the same unless
# $p$ is close to 0 or 1.) Do the intervals of "frozen, 224 px" and
# "from scratch" overlap on this page, with the most labels?


# %%
def interval(p, n):
    """accuracy, number of images -> lower and upper end"""


check(7, interval)


# %% tags=["solution"]
def interval(p, n):
    half = 1.96 * np.sqrt(p * (1 - p) / n)
    return p - half, p + half


check(7, interval)
n = LABELS[-1]
low, _ = interval(frozen[224][n], TEST)
_, high = interval(scratch[n], TEST)
print(f"frozen: above {low:.1%}; from scratch: below {high:.1%}")
assert low > high

# %% [markdown]
# **Exercise 4.** Mixup is another augmentation: it mixes two images,
# and their one-hot labels in the same proportions. Write `mixup` for a
# batch: each result is `share` times an image plus `1 - share` times
# the image before it in the batch; before the first comes the last.
# Compare with `keras_vit.data.transforms.mixing.blend(images, share)`
# of the library, which also rounds the pixels.


# %%
def mixup(images, targets, share):
    """images, one-hot labels -> mixed images, mixed labels"""


check(7, mixup)


# %% tags=["solution"]
def mixup(images, targets, share):
    return tuple(
        share * pure + (1 - share) * np.roll(pure, 1, axis=0)
        for pure in (images, targets)
    )


check(7, mixup)
four = images[:4]
mixed, targets = mixup(four, np.eye(10)[labels[:4]], 0.7)
np.testing.assert_allclose(targets.sum(axis=1), 1)
np.testing.assert_allclose(
    keras_vit.data.transforms.mixing.blend(four, 0.7), mixed, atol=1
)

# %% [markdown]
# ## What could go wrong
#
# - **Training accuracy near 100 %, validation accuracy low:** the
#   model has memorized the images. Use more augmentation or pretrained
#   weights; longer training does not help.
# - **Frozen features hardly better than pixels:** images of the wrong
#   size, or pixels from 0 to 1 where 0 to 255 is expected.
# - **A number that is too good:** test images were used to choose the
#   model, or are among the training images.
#
# ## How this compares with the paper
#
# The paper trains no ViT on CIFAR-10 alone. Pretrained on ImageNet-21k
# and then fine-tuned on all 50,000 images at 384 pixels, ViT-B/16
# reaches 98.95 % (Table 5). Our fine-tuned model has a fifteenth of its
# parameters and sees 96 pixels: 93.4 %. From scratch, our 81.3 % come
# from a small model and 82 epochs on a CPU. They do not show how far a
# ViT can get from scratch.
#
# ## Where to go next
#
# - [Chapter 8](08_finetuning.py): the same idea for your own
#   photographs, and what to train beyond the head.
# - [Results](../docs/results.md#cifar-10-from-scratch): more runs on
#   CIFAR-10 from scratch, beside a convolutional network.
# - An open task: beat the 81.3 % from scratch. Smaller patches, more
#   epochs and stronger augmentation help:
#   `keras-vit train cifar10 --recipe cifar`.
