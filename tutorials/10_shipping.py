# %% [markdown]
# # 10. Ship it
#
# A model in a notebook is of no use to anyone else yet. How good is it
# really, how far can its probabilities be trusted, and how does it get
# to people who have no Python? This chapter answers the three questions
# for one classifier, and ends with a file that runs in a browser.
#
# > **You will be able to** report an accuracy with its interval,
# > measure and repair calibration, and publish a model as one web
# > page.
# >
# > **You need** [chapter 7](07_cifar10.py): a frozen model with a new
# > head.
# >
# > **Time** {time}
# >
# > **Result** calibration error and loss before and after one number,
# > the temperature; `pets.html`.
# >
# > **Downloads** the weights of ViT-Ti/16 (22 MB, once). The images
# > are in a folder `pets`, with a folder for each class: any such
# > folder of your own with ten or more images for each class will do.
# > Without it, the chapter uses scikit-learn's handwritten digits. This
# > page was made with the 370 pets of [chapter 8](08_finetuning.py).
# >
# > **Paper** none: the paper ends before this. Calibration is from
# > [arXiv 1706.04599](https://arxiv.org/abs/1706.04599).

# %%
import os
import pathlib

import keras_vit  # before keras: it selects an installed backend
import keras
import matplotlib.pyplot as plt
import numpy as np
from check import check
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

folder = pathlib.Path(os.environ.get("KERAS_VIT_DATA", "."), "pets")
files = sorted(folder.glob("*/*.jpg"))
if files:
    classes = sorted({f.parent.name for f in files})
    labels = np.array([classes.index(f.parent.name) for f in files])
    images = np.stack([keras_vit.data.read(f, 224) for f in files])
else:
    digits = load_digits()
    classes, labels = list("0123456789"), digits.target[:400]
    images = np.kron(digits.images[:400], np.ones((1, 28, 28))) * 16
    images = np.repeat(images[..., np.newaxis], 3, -1).clip(0, 255)
    images = images.astype("uint8")
print(len(images), "images of", len(classes), "classes")

# %% [markdown]
# ## A classifier, and three splits
#
# `keras_vit.features` returns the vector that the head gets, $y$ of Eq.
# 4, for each image. The ViT is *frozen*: its weights do not change. A
# logistic regression on these vectors is the new head. There are few
# images, so `C=0.1` regularizes it strongly, which keeps its weights
# small. Of every ten images of a class, four are for training, three
# for *calibration*, and three for the test. (Chapter 8 trains on seven
# and crops instead of squashing, so it gets more of the pets right.)
# Each split has one job. Images that were used to choose anything, be
# it weights or one number, can no longer measure the result.

# %%
name = "ViT-Ti/16"
options = {"num_classes": len(classes), "verbose": False}
model = keras_vit.load_pretrained(name, **options)
features = keras_vit.features(model, images, verbose=0)

before = [(labels[:i] == c).sum() for i, c in enumerate(labels)]
place = np.array(before) % 10  # in its class
train, test = place < 4, place >= 7
held_out = ~train & ~test  # for the calibration

head = LogisticRegression(C=0.1, max_iter=2000)
head.fit(features[train], labels[train])
weights = [head.coef_.T, head.intercept_]
model.get_layer("head").set_weights(weights)
logits = features @ weights[0] + weights[1]  # (images, classes)
right = logits.argmax(axis=1) == labels
print(f"{right[test].sum()} of {test.sum()} test images are right")

# %% [markdown]
# ## How good is it?
#
# With other test images the accuracy would be different. If $k$ of $n$
# images are right, $p = k / n$, and $z = 1.96$ for 95 %, then Wilson's
# interval for the true accuracy is, as in
# [chapter 5](05_training.py),
#
# $$ \frac{p + \frac{z^2}{2n} \pm z \sqrt{\frac{p (1 - p)}{n}
#    + \frac{z^2}{4 n^2}}}{1 + \frac{z^2}{n}} $$
#
# Unlike the better-known $p \pm z \sqrt{p (1 - p) / n}$ it also works
# for few images, and when none or all are right.
#
# **Exercise 1.** Write `wilson`.


# %%
def wilson(right, n):
    """Numbers of right images and of all -> (low, high)"""


check(10, wilson)


# %% tags=["solution"]
def wilson(right, n):
    p, z2 = right / n, 1.96**2
    middle = p + z2 / (2 * n)
    half = (z2 * (p * (1 - p) / n + z2 / (4 * n**2))) ** 0.5
    scale = 1 + z2 / n
    return (middle - half) / scale, (middle + half) / scale


check(10, wilson)

# %%
low, high = wilson(right[test].sum(), test.sum())
accuracy = right[test].mean()
print(
    f"accuracy {accuracy:.1%}, 95 % interval {low:.1%} to {high:.1%}"
)
print(f"chance   {1 / len(classes):.1%}")

# %% [markdown]
# ## Can its confidence be trusted?
#
# The confidence is the probability of the predicted class. A model is
# *calibrated* if it is right in 80 % of the cases in which it says
# 80 %. Sort the images into bins by confidence, and compare in each
# bin the mean confidence with the accuracy. The mean gap, weighted by
# the number of images in the bin, is the expected calibration error
# (ECE).
#
# **Exercise 2.** Write `calibration_error` for bins of equal width: bin
# $i$ of $b$ holds confidences above $i / b$, up to $(i + 1) / b$.


# %%
def calibration_error(confidence, right, bins=10):
    """Arrays (n,) of probabilities and of booleans -> ECE"""


check(10, calibration_error)


# %% tags=["solution"]
def calibration_error(confidence, right, bins=10):
    bin_of = np.ceil(confidence * bins) - 1
    gaps = [
        abs(
            confidence[bin_of == i].sum() - right[bin_of == i].sum()
        )
        for i in range(bins)
    ]
    return sum(gaps) / len(confidence)


check(10, calibration_error)

# %% [markdown]
# ## One number repairs it
#
# Divide all logits by a *temperature* $T$ before the softmax. $T > 1$
# makes every answer less confident, $T < 1$ more; the order of the
# classes stays the same, and so does the accuracy. Which $T$? The one
# with the smallest loss, the mean of $-\log p$ of the true class, on
# images that the training has not seen: the calibration split.


# %%
def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def loss(logits, labels):
    p = softmax(logits)
    return -np.log(p[np.arange(len(p)), labels]).mean()


# %% [markdown]
# **Exercise 3.** Write `best_temperature`. Try 500 values between 0.1
# and 10, evenly spaced in the logarithm (`np.geomspace`), and return
# the $T$ with the smallest loss.


# %%
def best_temperature(logits, labels):
    """(n, classes) and (n,) -> T"""


check(10, best_temperature)


# %% tags=["solution"]
def best_temperature(logits, labels):
    candidates = np.geomspace(0.1, 10, 500)
    return min(candidates, key=lambda T: loss(logits / T, labels))


check(10, best_temperature)

# %% alt="Accuracy over confidence, before and after the temperature"
T = best_temperature(logits[held_out], labels[held_out])
print(f"T = {T:.2f}")
figure, axes = plt.subplots(2, 1, figsize=(5, 6.5), sharex=True)
for axis, (when, value) in zip(
    axes, {"before": 1, "after": T}.items(), strict=True
):
    confidence = softmax(logits[test] / value).max(axis=1)
    error = calibration_error(confidence, right[test])
    its_loss = loss(logits[test] / value, labels[test])
    print(f"{when:<7} ECE {error:.3f}, loss {its_loss:.3f}, "
          f"mean confidence {confidence.mean():.1%}")  # fmt: skip
    bin_of = np.ceil(confidence * 5) - 1
    for i in range(5):
        inside = right[test][bin_of == i]
        if len(inside):
            low, high = wilson(inside.sum(), len(inside))
            mean = confidence[bin_of == i].mean()
            axis.plot([mean, mean], [low, high], "C1")
            axis.plot(mean, inside.mean(), "oC0")
            axis.text(mean + 0.02, inside.mean(), len(inside),
                      va="center")  # fmt: skip
    axis.plot([0, 1], [0, 1], "--", color="gray")
    axis.set(title=f"{when}: ECE {error:.3f}", ylabel="accuracy")
    axis.set(xticks=np.linspace(0, 1, 6), ylim=(0, 1.05))
axes[1].set_xlabel("mean confidence of the bin")
plt.show()

# %% [markdown]
# **You should see** points above the diagonal before: the head is
# strongly regularized (`C=0.1`), so the model is less confident than it
# should be. A network that was trained for a long time is usually the
# opposite. After one division, by 0.58 for the pets, every interval
# meets the diagonal, and no answer has changed. The loss on the test
# images falls from 0.765 to 0.662, and the ECE from 0.145 to 0.066;
# even a perfect model would have 0.065 on so few images, as exercise 5
# shows. The numbers beside the points count the images of each bin. The
# figure has five bins, so that each has enough of them; the ECE has
# ten.
#
# The temperature needs no layer of its own in the model: dividing the
# weights and the bias of the head by $T$ divides the logits.

# %%
model.get_layer("head").set_weights([w / T for w in weights])
difference = model.predict(images[:8], verbose=0) - logits[:8] / T
print(f"largest difference {np.abs(difference).max():.0e}")
assert np.abs(difference).max() < 1e-3

# %% [markdown]
# ## Where does it run?
#
# **In Python.** A `.keras` file holds the model with its weights and
# with the way pixels are normalized. It opens on TensorFlow, JAX and
# PyTorch. It also holds `model.class_names` if you set them; here a
# text file beside it has the names.

# %%
model.save("pets.keras")
pathlib.Path("pets.txt").write_text("\n".join(classes))
again = keras.models.load_model("pets.keras")
same = again.predict(images[:8], verbose=0)
print((same == model.predict(images[:8], verbose=0)).all())

# %% [markdown]
# **In a browser.** `write_page` puts the model, class names and some
# example images into one HTML file, with a ViT in JavaScript that
# computes the same as Keras. Open it with a double click, mail it,
# or put it on any web server. Images that a visitor drops on it stay
# on the visitor's device. In a terminal:
#
# `keras-vit page pets.keras --classes pets.txt --out pets.html`

# %%
keras_vit.browser.write_page(
    model,
    "pets.html",
    class_names=classes,
    examples=folder if files else None,
)
size = pathlib.Path("pets.html").stat().st_size
print(f"pets.html: {size / 1e6:.1f} MB")

# %% [markdown]
# The page shows the answer, attention, rollout, and which parts
# matter: chapters 1, 3 and 9 for your own model.
# [A web page](../docs/howto/page.md) describes it.
#
# **Elsewhere.** `model.export` writes SavedModel, ONNX and LiteRT, for
# servers and phones. [Exporting and serving](../docs/howto/export.md)
# lists which backend writes which.
#
# ## Exercises
#
# **Exercise 4.** How many times as many test images make the interval
# half as wide? Answer first, then call `wilson`.

# %% tags=["solution"]
for times in (1, 2, 4):
    low, high = wilson(
        times * right[test].sum(), times * test.sum()
    )
    print(f"{times} times as many images: {high - low:.3f} wide")

# %% [markdown]
# **Exercise 5.** The accuracy of a bin has an interval, too, and the
# ECE adds up the gaps of all bins, whatever their sign. So even a
# perfectly calibrated model has an ECE above zero. How large is it
# for as many images as here? Draw "right" at random with probability
# equal to the confidence.

# %% tags=["solution"]
rng = np.random.default_rng(0)
confidence = softmax(logits[test] / T).max(axis=1)
drawn = rng.random((1000, len(confidence))) < confidence
errors = [calibration_error(confidence, one) for one in drawn]
print(f"ECE of a perfect model: mean {np.mean(errors):.3f}")
print(f"95 % of draws are below {np.percentile(errors, 95):.3f}")

# %% [markdown]
# **Exercise 6** (open). Drop your own photographs on `pets.html`, some
# of them without any pet. How confident is it then? Calibration holds
# for images like those it was measured on, not for others.
#
# ## What could go wrong
#
# - **The temperature was chosen on the test images.** Then its ECE is
#   too good to be true.
# - **The split is not independent.** Ten photographs of the same dog
#   in all three splits measure how well the model knows that dog.
# - **Other pixels in production.** The page, the file and the command
#   resize images as `data.read` does. A program of yours must do the
#   same: [Your own images](../docs/images.md) has the ways to resize.
#
# ## Where to go next
#
# This was the course. The deep dives continue it:
# [hybrids](deeper/hybrids.py), [many devices](deeper/many_devices.py),
# [training without labels](deeper/without_labels.py),
# [every pixel](deeper/every_pixel.py), a segmentation, and
# [descendants](deeper/descendants.py), the models of today. For your
# own images, start with [Your own images](../docs/images.md).
