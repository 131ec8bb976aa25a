# %% [markdown]
# # 2. An image is a sentence
#
# A Transformer reads a sequence of vectors. An image is a grid of
# pixels. This tutorial turns the one into the other, step by step,
# on a real photograph: that is all of Eq. 1 of the paper.
#
# > **You will be able to** cut an image into patches, turn them
# > into tokens, and say why the class token and the position
# > embeddings are there.
# >
# > **You need** Python, NumPy, and what a matrix product is.
# >
# > **Time** {time}
# >
# > **Result** `Patches` and `PatchEncoder`, built by hand first.
# >
# > **Paper** [arXiv 2010.11929](https://arxiv.org/abs/2010.11929),
# > section 3.1, Eq. 1, Figure 1 left.

# %%
import keras_vit  # before keras: it picks an installed backend
import keras
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image

keras.utils.set_random_seed(0)
print("Keras", keras.__version__, "on", keras.backend.backend())

# %% [markdown]
# ## The photograph
#
# A model takes a batch of images: an array of shape
# (batch, height, width, channels) with pixels from 0 to 255. We
# take one photograph, cut a square out of its middle, and shrink it
# to 224 by 224 pixels, the size that the paper trains on.

# %% alt="A photograph of a Chinese temple, 224 by 224 pixels"
photo = Image.fromarray(load_sample_image("china.jpg"))
photo = photo.crop((106, 0, 533, 427)).resize((224, 224))
images = np.asarray(photo, "float32")[np.newaxis]
assert images.shape == (1, 224, 224, 3)

plt.imshow(photo)
plt.title("The image: 224 × 224 pixels, 3 channels")
plt.xlabel("column (pixels)")
plt.ylabel("row (pixels)")
plt.show()

# %% [markdown]
# ## Cutting it into patches
#
# Why not let every pixel be a word? Attention compares every word
# with every other. 224 × 224 pixels are 50,176 words and 2.5
# billion pairs. So the paper takes squares of $P \times P$ pixels:
# with $P = 16$ the image is a sentence of
#
# $$ N = \frac{H W}{P^2} = \frac{224 \cdot 224}{16^2} = 196 $$
#
# words. By hand, row by row:

# %%
P = 16
by_hand = []
for top in range(0, 224, P):
    for left in range(0, 224, P):
        square = images[0, top : top + P, left : left + P]
        by_hand.append(square.flatten())  # (16, 16, 3) -> (768,)
by_hand = np.array(by_hand)
assert by_hand.shape == (196, 768)

# %% alt="The photograph cut into 14 rows of 14 squares"
figure, axes = plt.subplots(14, 14, figsize=(6, 6.4))
for patch, axis in zip(by_hand, axes.flat, strict=True):
    axis.imshow(patch.reshape(P, P, 3).astype("uint8"))
    axis.set_axis_off()
figure.suptitle("196 patches of 16 × 16 pixels")
plt.show()

# %% [markdown]
# **You should see** the temple through a lattice: 14 rows of 14
# squares. Nothing is lost. Each square is one word of the sentence.
#
# The library's layer does the same for a whole batch:

# %%
patches = keras_vit.Patches(patch_size=16)(images)
patches = keras.ops.convert_to_numpy(patches)
assert patches.shape == (1, 196, 768)
np.testing.assert_allclose(patches[0], by_hand)
print("Patches:", images.shape, "->", patches.shape)

# %% [markdown]
# ## From patches to tokens
#
# A patch is 768 pixel values. The Transformer works with vectors of
# length $D$, the same in all of its layers. One matrix $E$, learned,
# takes every patch there: $x_p^1 E, x_p^2 E, \ldots, x_p^N E$. We
# take $D = 192$, as the model ViT-Ti/16 does.

# %%
D = 192
rng = np.random.default_rng(0)
E = rng.normal(0, 1 / np.sqrt(768), (768, D)).astype("float32")
tokens = by_hand @ E
assert tokens.shape == (196, 192)

# %% [markdown]
# ## The class token and the positions
#
# Two things are missing.
#
# *Where is the answer read?* The paper puts one more token before
# the others, $x_\text{class}$, learned and equal for every image.
# It can collect what it needs from all patches; in the end the class
# is read from it alone.
#
# *Where was each patch?* Attention does not know the order of its
# input: shuffled patches give the same answer, shuffled. So a
# learned vector for each position is added, $E_\text{pos}$. Together
# this is the paper's first equation:
#
# $$ z_0 = [x_\text{class};\; x_p^1 E;\; x_p^2 E;\; \cdots;\;
#    x_p^N E] + E_\text{pos} \tag{1} $$

# %%
x_class = np.zeros((1, D), "float32")
E_pos = rng.normal(0, 0.02, (197, D)).astype("float32")
z_0 = np.concatenate([x_class, tokens]) + E_pos
assert z_0.shape == (197, 192)

# %% [markdown]
# `PatchEncoder` is that equation as a layer. We give it our weights
# and compare.

# %%
encoder = keras_vit.PatchEncoder(hidden_dim=D)
encoder.build(patches.shape)
encoder.projection.kernel.assign(E)
encoder.class_token.assign(x_class[np.newaxis])
encoder.position_embedding.assign(E_pos[np.newaxis])

encoded = keras.ops.convert_to_numpy(encoder(patches))
assert encoded.shape == (1, 197, 192)
np.testing.assert_allclose(encoded[0], z_0, rtol=1e-4, atol=1e-3)
print("PatchEncoder:", patches.shape, "->", encoded.shape)

# %% [markdown]
# ## What the positions are good for
#
# Shuffle the patches. Without positions, the two images below are
# the same 196 words: one is the other in a different order, and
# attention does not look at the order.

# %% alt="The photograph, and the same patches in random order"
order = rng.permutation(196)
shuffled = patches[:, order]


def image_of(patches):
    grid = patches.reshape(14, 14, P, P, 3).swapaxes(1, 2)
    return grid.reshape(224, 224, 3).astype("uint8")


figure, axes = plt.subplots(1, 2, figsize=(7, 3.8))
axes[0].imshow(image_of(patches[0]))
axes[0].set_title("in order")
axes[1].imshow(image_of(shuffled[0]))
axes[1].set_title("the same patches, shuffled")
for axis in axes:
    axis.set_axis_off()
plt.show()

# %% [markdown]
# Sort the words and they are equal. With positions added, a patch
# that has moved is another word.

# %%
words, words_shuffled = patches[0] @ E, shuffled[0] @ E
np.testing.assert_allclose(
    np.sort(words, axis=0),
    np.sort(words_shuffled, axis=0),
    rtol=1e-4,
    atol=1e-2,
)

moved = order != np.arange(196)
before = (words + E_pos[1:])[order]  # a patch at its old place
after = words_shuffled + E_pos[1:]  # the same patch, moved
change = np.linalg.norm(after - before, axis=1)
assert (change[moved] > 0.1).all()
print(f"{moved.sum()} patches moved, and as many words changed")

# %% [markdown]
# ## Exercises
#
# **Exercise 1.** A photograph has 160 × 320 pixels. How many tokens
# does `PatchEncoder` make of it with patches of 16 pixels? Answer by
# hand, then with the layers.

# %% tags=["solution"]
wide = np.zeros((1, 160, 320, 3), "float32")
tokens_of_wide = 160 // 16 * (320 // 16) + 1  # + the class token
layers = [keras_vit.Patches(16), keras_vit.PatchEncoder(8)]
assert layers[1](layers[0](wide)).shape[1] == tokens_of_wide == 201

# %% [markdown]
# **Exercise 2.** Attention compares every token with every other.
# How many times more pairs are there with patches of 8 pixels than
# with patches of 16, for 224 × 224 pixels and with a class token?

# %% tags=["solution"]
count = {P: (224 // P) ** 2 + 1 for P in (8, 16)}
times = (count[8] / count[16]) ** 2
assert count == {8: 785, 16: 197} and 15 < times < 16
print(f"{count[8] ** 2:,} pairs are {times:.1f} times more")

# %% [markdown]
# **Exercise 3.** Other code has no `Patches` layer but a convolution
# whose kernel and step are both 16. Show that it is the same.
#
# *Hint:* the kernel of a convolution has the shape (16, 16, 3, 192).

# %% tags=["solution"]
convolution = keras.layers.Conv2D(D, kernel_size=P, strides=P)
convolution.build(images.shape)
convolution.kernel.assign(E.reshape(P, P, 3, D))
map_ = keras.ops.convert_to_numpy(convolution(images))
assert map_.shape == (1, 14, 14, 192)
np.testing.assert_allclose(
    map_.reshape(196, D), tokens, rtol=1e-4, atol=1e-2
)

# %% [markdown]
# ## What the paper reports, what we got, why they differ
#
# This tutorial trains nothing, so there is no accuracy to compare.
# The shapes are those of ViT-Ti/16, a small relative of the paper's
# models: 196 patches of 768 values, 197 tokens of length 192. The
# official code uses the convolution of exercise 3, which computes
# the same.
#
# ## Next
#
# The tokens are there. What does the Transformer do with them? The
# next tutorial builds attention from scratch.
