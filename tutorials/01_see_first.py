# %% [markdown]
# # 1. See first
#
# Before any theory: a Vision Transformer (ViT) looks at photographs.
# It has been trained: millions of numbers in it, its *weights*, were
# adjusted on labeled images. You see what it answers, how sure it is,
# and where it looked.
#
# > **You will be able to** classify a photograph with a pretrained ViT,
# > draw its attention on top, and report how often it is right.
# >
# > **You need** Python and NumPy. No deep learning yet.
# >
# > **Time** {time}
# >
# > **Result** the number of 100 photographs that ViT-Ti/16 names
# > correctly, with its interval.
# >
# > **Downloads** the weights of ViT-Ti/16 (22 MB, once). Without a
# > network, put `ViT-Ti_16-augreg-i21k-ft-224.npz` into
# > `~/.keras/keras_vit/`. The photograph of the cat is part of the
# > package. The 100 photographs are not: put your own into a folder
# > `photographs`, as described below, or continue without.

# %%
import csv
import os
import pathlib

import keras_vit  # before keras: it selects an installed backend
import keras
import matplotlib.pyplot as plt
import numpy as np
from check import check
from keras_vit.training.evaluation.metrics import wilson

print("Keras", keras.__version__, "on", keras.backend.backend())

# %% [markdown]
# ## A model and a photograph
#
# ViT-Ti/16 is a small ViT: "Ti" is for tiny, 16 for the side of the
# patches, the squares of pixels that it cuts an image into. It was
# trained on ImageNet-21k, 14 million images of some 21,000 classes,
# then on the 1.3 million images of ImageNet, which have 1,000 classes.
#
# An image is an array of shape (height, width, 3) with pixels from 0
# to 255. A model takes a batch of them, so we add an axis in front.
# The answer is one number for each class, called a *logit*: the
# larger, the more likely.

# %%
model = keras_vit.load_pretrained("ViT-Ti/16", verbose=False)
names = keras_vit.checkpoints.class_names("ViT-Ti/16")
cat = keras_vit.data.example_image()  # (224, 224, 3)
logits = model.predict(cat[np.newaxis], verbose=0)[0]
print(f"{model.count_params():,} parameters")
print("image", cat.shape, "-> logits", logits.shape)

# %% [markdown]
# ## What it answers, and where it looked
#
# Inside the model, patches exchange information; *attention* is the
# weight with which one takes it from another. *Attention rollout*
# follows these weights from the answer back to the patches of the
# image. One line computes it; chapters [3](03_attention.py) and
# [9](09_looking_inside.py) explain it. Bright patches got more of the
# attention. The softmax, which the first exercise explains, turns
# logits into probabilities.


# %% alt="A cat, its brightest patches, the map, three classes"
def rollout(images):
    return keras_vit.explain.attention_rollout(
        model, images, heads="max", discard=0.9
    )


def draw_map(axes, image, values):
    values = values / np.percentile(values, 97)
    light = np.kron(values, np.ones((16, 16))).clip(0, 1)
    light = 0.25 + 0.75 * light[..., np.newaxis]
    axes.imshow((image * light).astype("uint8"))


figure, axes = plt.subplot_mosaic(
    [["image", "on it", "the map"], ["answer"] * 3],
    figsize=(5, 3.2),
    height_ratios=(4, 3),
)
values = rollout(cat[np.newaxis])[0]  # (14, 14)
axes["image"].imshow(cat)
draw_map(axes["on it"], cat, values)
axes["the map"].imshow(values)
for name in ("image", "on it", "the map"):
    axes[name].set_axis_off()
shares = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
for i in np.argsort(-shares)[:3]:
    bar = axes["answer"].barh(names[i], shares[i], color="C0")
    axes["answer"].bar_label(bar, [f" {names[i]}: {shares[i]:.0%}"])
axes["answer"].set(xlim=(0, 1.7), yticks=[])
axes["answer"].set_axis_off()
axes["answer"].invert_yaxis()
plt.show()

# %% [markdown]
# **You should see** the eyes and the nose of the cat light up, but the
# brightest patches are in the upper right corner, where there is plain
# background. The photograph is dark there and hides it; the map alone
# shows it. Does the model use that corner? A map cannot answer this.
# [Chapter 9](09_looking_inside.py) tests it.
#
# The model names three cats: ImageNet has separate classes for the
# Egyptian cat, the tabby cat and the tiger cat, and people disagree
# about them too. Most would call a striped coat like this one tabby;
# the model gives that 11 %. *Its probabilities are about the labels of
# ImageNet, not about the world.*
#
# ## Your turn: from logits to an answer
#
# Where do the percentages come from? The *softmax* turns logits
# $l_1, \ldots, l_K$ into probabilities, which are positive and sum
# to 1:
#
# $$ p_i = \frac{e^{l_i}}{e^{l_1} + \cdots + e^{l_K}} $$
#
# **Exercise 1.** Write the function that returns the most probable
# classes, as a list of pairs. Large logits overflow in `np.exp`; the
# result is the same if you subtract the largest logit from all of them
# first. The last line checks your answer. The solution is folded below.
# If your answer is correct, do not run the folded cell: it would
# replace it.


# %%
def most_probable(logits, names, count=3):
    """Returns `count` pairs (name, probability), the largest first."""


check(1, most_probable)


# %% tags=["solution"]
def most_probable(logits, names, count=3):
    p = np.exp(logits - logits.max())
    p = p / p.sum()
    best = np.argsort(-p)[:count]
    return [(names[i], p[i]) for i in best]


check(1, most_probable)

# %% [markdown]
# ## One hundred photographs
#
# One cat proves little. The next cell reads every image in the folder
# `photographs` and the file `labels.csv` beside them, with a line
# such as `beetle.png,305` for each image, below the line
# `file,imagenet_class`. To find the number of a class, search for its
# name: `[(i, n) for i, n in enumerate(names) if "beetle" in n]`.
#
# This page was made with 100 photographs (CC BY 2.0) of the
# [development images](https://github.com/cleverhans-lab/cleverhans/tree/master/cleverhans_v3.1.0/examples/nips17_adversarial_competition/dataset)
# of the competition on adversarial attacks at NIPS 2017. Without a
# folder, the cell uses the cat alone.

# %%
folder = pathlib.Path(os.environ.get("KERAS_VIT_DATA", "."))
folder = folder / "photographs"
rows = []
if (folder / "labels.csv").exists():
    with open(folder / "labels.csv", newline="") as file:
        rows = list(csv.DictReader(file))
images = [
    keras_vit.data.read(folder / r["file"], 224) for r in rows
]
labels = [int(r["imagenet_class"]) for r in rows]
if not rows:  # only the cat: let us say it is a tabby, class 281
    images, labels = [cat], [281]
images, labels = np.stack(images), np.array(labels)

answers = model.predict(images, verbose=0)  # (images, 1000)

# %% [markdown]
# **Exercise 2.** Write the function that counts the images whose class
# is among the `k` largest logits.


# %%
def count_right(logits, labels, k=1):
    """(images, classes) and (images,) -> number of images"""


check(1, count_right)


# %% tags=["solution"]
def count_right(logits, labels, k=1):
    best = np.argsort(-logits, axis=1)[:, :k]  # (images, k)
    return (best == labels[:, np.newaxis]).any(axis=1).sum()


check(1, count_right)

# %%
for k in (1, 5):
    count = count_right(answers, labels, k)
    print(f"{count} of {len(labels)} right, k = {k}")

# %% [markdown]
# How sure can we be of such a number? With other photographs it would
# be different. The *true share* is what we would get on endlessly many
# photographs of this kind. A 95 % interval is computed so that it
# contains the true share in 95 of 100 such experiments. Chapters
# [5](05_training.py) and [10](10_shipping.py) have the formula of this
# one, Wilson's.

# %%
low, high = wilson(count_right(answers, labels), len(labels))
print(f"95 % interval: {low:.0%} to {high:.0%}")

# %% [markdown]
# On this page, with 100 photographs: on the 50,000 validation images of
# ImageNet, the library timm reports 75.45 % for these weights, below
# the interval. So these photographs are easier for the model than
# ImageNet's: an accuracy belongs to its test images. With the cat
# alone, which the model does not call a tabby, the interval goes from
# 0 % to 79 %: one image says next to nothing.
#
# ## Where it looks

# %% alt="Three photographs, each beside its brightest patches"
chosen = ["fd26c4733822dfcc.png", "3bd1ba0432603b28.png"]
chosen += ["1733cbc68a2ae05d.png"]
files = [row["file"] for row in rows]
shown = [files.index(file) for file in chosen if file in files]
shown = shown or list(range(min(3, len(images))))  # your own
maps = rollout(images[shown])
figure, axes = plt.subplots(
    len(shown), 2, figsize=(5, 2.8 * len(shown)), squeeze=False
)
for (left, right_), i, values in zip(
    axes, shown, maps, strict=True
):
    left.imshow(images[i])
    draw_map(right_, images[i], values)
    [(name, share)] = most_probable(answers[i], names, 1)
    left.set_title(f"{name.split(',')[0]}, {share:.0%}", loc="left")
    left.set_axis_off()
    right_.set_axis_off()
    if rows and "author" in rows[i]:
        print(name.split(",")[0], "by", rows[i]["author"])
        print("   ", rows[i]["page"], rows[i]["license"])
plt.show()

# %% [markdown]
# **You should see** the object light up in each photograph. The
# training images had a class, and no boxes that show where it is. (We
# chose these three; not every map is as clear, as the cat's showed.)
#
# ## Exercises
#
# **Exercise 3.** When the model is wrong, how wrong is it? Print the
# three most probable classes of five photographs that it gets wrong,
# and their true classes.

# %% tags=["solution"]
wrong = np.flatnonzero(answers.argmax(axis=1) != labels)
for i in wrong[:5]:
    print("true:", names[labels[i]])
    for name, share in most_probable(answers[i], names):
        print(f"    {share:4.0%}  {name}")

# %% [markdown]
# **Exercise 4.** Take a photograph of something in your room, read it
# with `keras_vit.data.read("room.jpg", 224)`, and classify it. Can
# you make the model fail? Try it from far away, upside down
# (`image[::-1]`), half covered. Something that is not among the 1,000
# classes gets one of these names all the same.
#
# ## What could go wrong
#
# - **The answer is confident nonsense.** Are the pixels from 0 to 255?
#   The model scales them itself. An image that was divided by 255
#   before looks black to the model; keras_vit warns about that.
# - **A different number of correct photographs.** How a photograph
#   becomes a square matters. `keras_vit.data.read` squashes it;
#   cropping its center gives different pixels and different answers.
# - **The download fails.** The message says where to put the file
#   yourself.
#
# ## Where to go next
#
# How does an image get into the model? [Chapter 2](02_sequence.py)
# turns it into a sequence of vectors.
