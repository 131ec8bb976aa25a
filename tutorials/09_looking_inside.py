# %% [markdown]
# # 9. Look inside, and doubt
#
# Chapter 1 left a question open: the corner behind the cat is bright
# on the map. Does the model use that corner? A map is easy to draw
# and easy to believe. This chapter draws two kinds, and tests them.
#
# > **You will be able to** compute attention rollout, compare it with
# > a map for one class, and measure which map is closer to what the
# > model uses.
# >
# > **You need** chapters [3](03_attention.py) and
# > [4](04_eighty_lines.py).
# >
# > **Time** {time}
# >
# > **Result** the area below the deletion curve of three maps, and
# > their differences with intervals.
# >
# > **Downloads** the weights of ViT-Ti/16 (22 MB, once). The page was
# > made with photographs in a folder `photographs`, as in
# > [chapter 1](01_see_first.py); without them, the chapter uses parts
# > of two photographs that come with scikit-learn.
# >
# > **Paper** [arXiv 2010.11929](https://arxiv.org/abs/2010.11929),
# > section 4.5, Appendix D.8, Figures 6 and 14.

# %%
import csv
import os
import pathlib

import keras_vit  # before keras: it selects an installed backend
import keras
import matplotlib.pyplot as plt
import numpy as np
from keras_vit import explain
from check import check

rng = np.random.default_rng(0)
model = keras_vit.load_pretrained("ViT-Ti/16", verbose=False)
names = keras_vit.checkpoints.class_names("ViT-Ti/16")
cat = keras_vit.data.example_image()

folder = pathlib.Path(os.environ.get("KERAS_VIT_DATA", "."))
folder = folder / "photographs"
files = sorted([*folder.glob("*.png"), *folder.glob("*.jpg")])
files = files[:: max(1, len(files) // 12)]  # a dozen of them
if files:
    images = [keras_vit.data.read(file, 224) for file in files]
else:
    from sklearn.datasets import load_sample_images

    both = load_sample_images().images  # (427, 640, 3)
    places = rng.integers(0, (203, 416), (12, 2))
    images = [
        both[i % 2][y : y + 224, x : x + 224]
        for i, (y, x) in enumerate(places)
    ]
images = np.stack([cat, *images])
print(len(images), "images")

# %% [markdown]
# ## Your turn: attention rollout
#
# The attention of one block says where *tokens* look, but after the
# first block a token is a mixture of patches. Rollout follows the
# mixing back to the image. In each block it takes the mean $\bar A$
# over the heads. To half of $\bar A$ it adds half of the identity, for
# the residual connection, which lets each token pass. Then all blocks
# are multiplied, the last one on the left. (Chapter 1 took the maximum
# over the heads and dropped the smallest 90 %, which gives clearer
# maps.)
#
# $$ R = \hat A_L \cdots \hat A_2 \hat A_1, \qquad
#    \hat A_\ell = \tfrac{1}{2} \bar A_\ell + \tfrac{1}{2} I $$
#
# The row of the class token, without the class token itself, is the
# map. We scale it to sum to 1.
#
# **Exercise 1.** Write `rollout` for the attention of one image.


# %%
def rollout(A):
    """(blocks, heads, 1 + n * n, 1 + n * n) -> (n, n)"""


check(9, rollout)


# %% tags=["solution"]
def rollout(A):
    identity = np.eye(A.shape[-1])
    R = identity
    for mean in A.mean(axis=1):
        R = (mean + identity) / 2 @ R
    weights = R[0, 1:] / R[0, 1:].sum()
    side = round(len(weights) ** 0.5)
    return weights.reshape(side, side)


check(9, rollout)

# %% [markdown]
# `explain.attention_scores` returns $A$ of every block. The library's
# function gives the same map as yours.

# %%
scores = explain.attention_scores(model, images)
A = scores.stack()  # (12 blocks, images, 3 heads, 197, 197)
maps = {
    "rollout": np.stack(
        [rollout(A[:, i]) for i in range(len(images))]
    )
}
by_library = explain.attention_rollout(scores)
print(np.abs(maps["rollout"] - by_library).max() < 1e-6)

# %% [markdown]
# ## A map for one class
#
# Rollout knows nothing about classes: it shows the same map for "cat"
# and for "blanket". *Relevance* weighs the attention of each head by
# its effect on the logit $y$ of one class
# ([Chefer et al.](https://arxiv.org/abs/2103.15679)), and keeps what
# raises it:
#
# $$ \bar A_\ell = \operatorname{mean}_h
#    \max\!\left(\frac{\partial y}{\partial A_\ell}
#    \odot A_\ell,\, 0\right) $$
#
# The gradient $\partial y / \partial A_\ell$ says how $y$ changes with
# each attention weight of block $\ell$; $\odot$ multiplies entry by
# entry, and $\operatorname{mean}_h$ is taken over the heads. Then
# $R \leftarrow R + \bar A_\ell R$, from the first block to the last,
# beginning with $R = I$. The row of the class token is the map again.

# %% alt="Three images, their rollout and their relevance, as light"
maps["relevance"] = explain.relevance(model, images)
logits = model.predict(images, verbose=0)
p = np.exp(logits - logits.max(axis=1, keepdims=True))
p = p / p.sum(axis=1, keepdims=True)
said = p.argmax(axis=1)


def lit(image, values):
    values = values - values.min()
    light = values / np.percentile(values, 97)
    light = np.kron(light, np.ones((16, 16))).clip(0, 1)
    light = 0.2 + 0.8 * light[..., np.newaxis]
    return (image * light).astype("uint8")


shown = [0, 9, 12] if len(images) > 12 else [0, 1]
figure, axes = plt.subplots(len(shown), 3, figsize=(5, 5.6))
for row, i in zip(axes, shown, strict=True):
    row[0].imshow(images[i])
    row[0].set_title(names[said[i]].split(",")[0], loc="left")
    for axis, (name, of_all) in zip(
        row[1:], maps.items(), strict=True
    ):
        axis.imshow(lit(images[i], of_all[i]))
        axis.set_title(name)
for axis in axes.flat:
    axis.set_axis_off()
plt.show()

if (folder / "labels.csv").exists():
    with open(folder / "labels.csv", newline="") as table:
        known = {row["file"]: row for row in csv.DictReader(table)}
    for i in shown[1:]:
        row = known.get(files[i - 1].name, {})
        print("photograph:", row.get("author"), row.get("license"))

# %% [markdown]
# **You should see** that the two maps disagree. Rollout spreads over
# the whole image. Relevance lights up less: the head of the bittern,
# the body of the cricket, the nose of the cat, but also some patches
# of the background. Which one is right?
#
# ## First doubt: would any model give this map?
#
# We make a twin of the model with random weights. It has learned
# nothing. What its map shows is in the image or in the method, not in
# the training ([Adebayo et al.](https://arxiv.org/abs/1810.03292)).

# %%
keras.utils.set_random_seed(0)
twin = keras_vit.ViT.from_config(model.get_config())
of_twin = explain.attention_rollout(twin, images)
for name, them in (("trained", maps["rollout"]), ("twin", of_twin)):
    peak = (them.max(axis=(1, 2)) * 196).mean()
    print(f"{name:<8} highest patch: {peak:.1f} times the mean")
n = len(images)
alike = np.corrcoef(
    maps["rollout"].reshape(n, -1), of_twin.reshape(n, -1)
)[:n, n:]  # of each trained map with each of the twin's
same = np.eye(n, dtype=bool)
print(f"correlation, same image:  {alike[same].mean():+.2f}")
print(f"correlation, other image: {alike[~same].mean():+.2f}")

# %% [markdown]
# **You should see** that the trained model's maps are more uneven, and
# that its map and the twin's have something in common if they are of
# the same image, and hardly anything if not: a part of what rollout
# shows comes from the image alone, without any training.
#
# ## Second doubt: does the model need what the map shows?
#
# Take the patches out and look at the probability. First by hand, for
# the cat: we paint over the bright corner, then over the two eyes, in
# the mean color of the image. Any box of one color disturbs the model,
# so we need a *control*: a box of the same size in the lower left
# corner, which is not bright on the map. The columns are the share of
# each map that falls into the box, and the probabilities of the
# Egyptian cat and of all cats together, classes 281 to 287.

# %%
regions = {  # rows and columns of patches
    "nothing": [],
    "corner": [(slice(0, 4), slice(10, 14))],
    "control": [(slice(10, 14), slice(0, 4))],
    "eyes": [
        (slice(4, 7), slice(4, 7)),
        (slice(5, 8), slice(9, 11)),
    ],
}
scaled = maps["relevance"][0] / maps["relevance"][0].sum()
print("painted  rollout relevance Egyptian   cats")
for name, boxes in regions.items():
    inside = np.zeros((14, 14), bool)
    for rows, columns in boxes:
        inside[rows, columns] = True
    painted = cat.copy()
    big = np.kron(inside, np.ones((16, 16), bool))
    painted[big] = cat.mean(axis=(0, 1))
    logits = model.predict(painted[np.newaxis], verbose=0)[0]
    q = np.exp(logits - logits.max())
    q = q / q.sum()
    print(f"{name:<8} {maps['rollout'][0][inside].sum():7.0%} "
          f"{scaled[inside].sum():9.0%} {q[285]:8.0%} "
          f"{q[281:288].sum():6.1%}")  # fmt: skip

# %% [markdown]
# **You should see** that the bright corner (16 patches) has more of
# both maps than the eyes (15 patches). Yet painting over it costs as
# much as the control: the probability of the Egyptian cat falls from
# 80 % to 76 % and 75 %. Without the eyes it is 52 %. So the answer to
# chapter 1's question: the model attends to the corner, and hardly
# needs what the corner shows. Both maps fail this test.
#
# The last column limits what we may say about the eyes. All cats
# together keep 99 %: the eyes decide *which* cat the model names, not
# whether it sees one.
#
# ## The same test for every patch: deletion curves
#
# Delete the patches of an image one after another, the highest of the
# map first (paint them in the mean color, as above), and record the
# probability of the class that the model had named. The faster it
# falls, the better the map had found what the answer depends on. A
# random order is the baseline. The area below the curve sums it up:
# small is good.
#
# **Exercise 2.** Write `area`. The points of a curve are equally far
# apart, from nothing deleted (0) to everything (1), with straight
# lines between them.


# %%
def area(curve):
    """(points, images) -> (images,)"""


check(9, area)


# %% tags=["solution"]
def area(curve):
    return ((curve[1:] + curve[:-1]) / 2).mean(axis=0)


check(9, area)

# %% alt="Probability over deleted patches: relevance falls fastest"
maps["random order"] = rng.random(maps["rollout"].shape)
curves = {
    name: explain.deletion_curve(model, images, of_all, steps=7)
    for name, of_all in maps.items()
}
for (name, curve), mark in zip(curves.items(), "os^", strict=True):
    label = f"{name}, area {area(curve).mean():.2f}"
    deleted = np.linspace(0, 1, len(curve))
    plt.plot(deleted, curve.mean(axis=1), marker=mark, label=label)
plt.xlabel("share of patches deleted")
plt.ylabel("probability, mean of images")
plt.legend()
plt.show()

# %% [markdown]
# How sure is that with so few images? We take the difference on each
# image. Then we draw as many images with replacement, 2,000 times; 95 %
# of the mean differences lie in the interval (*bootstrap*).

# %%
drawn = rng.integers(0, len(images), (2000, len(images)))
for one, other in (
    ("rollout", "random order"),
    ("relevance", "random order"),
    ("relevance", "rollout"),
):
    gap = area(curves[other]) - area(curves[one])
    low, high = np.percentile(gap[drawn].mean(axis=1), (2.5, 97.5))
    print(f"{one} below {other}: {gap.mean():.2f} "
          f"(95 % interval {low:.2f} to {high:.2f})")  # fmt: skip

# %% [markdown]
# **You should see** that both maps beat a random order, and that
# relevance beats rollout: no interval contains zero. Deleting the
# first seventh of the patches in the order of relevance leaves less
# than a third of the probability. One image could not show this: on the
# cat, both maps failed. (The intervals are about the choice of images
# only: this is one model, one fill color, and one random order for each
# image.)
#
# On 91 photographs with twice as many steps, random order has an area
# of 0.386, rollout 0.243 and relevance 0.139
# ([Look inside](../docs/explain.md#which-map-is-right) has the
# command, the intervals and four more maps).
#
# So an attention map shows where attention goes. Whether the answer
# depends on it is a question that only an intervention answers.
#
# ## Exercises
#
# **Exercise 3.** A square of one color is not what photographs look
# like, so the model may react to the square itself. Repeat the test
# with `fill="blur"`, which replaces a patch with a blurred one, on four
# of the images. Is the order of the maps the same?

# %% tags=["solution"]
for name, of_all in maps.items():
    curve = explain.deletion_curve(
        model, images[:4], of_all[:4], steps=7, fill="blur"
    )
    print(f"{name:<13} area {area(curve).mean():.2f}")

# %% [markdown]
# **Exercise 4.** What is the rollout if every head attends to all
# tokens equally? And if every token attends only to itself? One of them
# has no map. Answer first, then call your function.

# %% tags=["solution"]
equal = np.full((12, 3, 5, 5), 1 / 5)
print(rollout(equal))  # every patch contributes the same
itself = np.tile(np.eye(5), (12, 3, 1, 1))
with np.errstate(invalid="ignore"):
    print(
        rollout(itself)
    )  # 0 / 0: no patch reaches the class token

# %% [markdown]
# **Exercise 5** (open). Find a map with a smaller area than relevance
# on your images. `explain.occlusion` with `patch_size=32` is a
# candidate, and so is the mean of two maps.
#
# ## What could go wrong
#
# - **The map explains another class.** `relevance` takes the most
#   probable class; pass `classes=` to ask about another one.
# - **Colors can mislead.** A scale from lowest to highest, as `lit`
#   above has it, makes every map look decisive. The first test gives
#   the range a unit: multiples of the mean.
# - **One image proves little.** Choose the images before you see
#   their maps, and report all of them.
#
# ## Where to go next
#
# The paper looks at more: filters, position embeddings, how far heads
# look. [Look inside](../docs/explain.md) shows them for this model,
# with a command for each. [Chapter 10](10_shipping.py) makes a model
# ready for others.
