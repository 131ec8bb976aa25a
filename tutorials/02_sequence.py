# %% [markdown]
# # 2. An image as a sequence
#
# A Transformer reads a sequence of vectors. An image is a grid of
# pixels. This chapter turns one into the other: that is all of Eq. 1
# of the paper, and you write it yourself.
#
# > **You will be able to** cut an image into patches, turn them into
# > tokens, and explain the class token and the position embeddings.
# >
# > **You need** [chapter 1](01_see_first.py), NumPy's `reshape`, and
# > the matrix product.
# >
# > **Time** {time}
# >
# > **Result** two functions of 9 lines in all, which equal the first
# > layers of a published model to 1e-5.
# >
# > **Downloads** the weights of ViT-Ti/16 (22 MB, once; where they go
# > is in [chapter 1](01_see_first.py)).
# >
# > **Paper** [arXiv 2010.11929](https://arxiv.org/abs/2010.11929),
# > section 3.1, Eq. 1, Figure 1 left.

# %%
import keras_vit  # before keras: it selects an installed backend
import keras
import matplotlib.pyplot as plt
import numpy as np
from check import check

to_numpy = keras.ops.convert_to_numpy
model = keras_vit.load_pretrained("ViT-Ti/16", verbose=False)
cat = keras_vit.data.example_image()  # (224, 224, 3)

# %% [markdown]
# ## Why patches?
#
# Attention, the next chapter, compares every element of a sequence
# with every other. With pixels as elements, 224 × 224 of them make
# 2.5 billion pairs. So the paper takes squares of $P \times P$
# pixels. With $P = 16$ an image of height $H$ and width $W$ becomes a
# sequence of
#
# $$ N = \frac{H W}{P^2} = \frac{224 \cdot 224}{16^2} = 196 $$
#
# patches: 38,416 pairs.
#
# ## Your turn: cut
#
# Two calls of `reshape` and one of `transpose` do it. In a small
# image of 4 × 4 pixels, with patches of 2 × 2, the first patch must
# have the pixels 0, 1, 4, 5. The first `reshape` splits axis H into
# H/P and P, and axis W into W/P and P:

# %%
small = np.arange(16).reshape(4, 4)
print(small)
split = small.reshape(2, 2, 2, 2)
print("split[0, :, 0, :] is the first patch:", split[0, :, 0, :])

# %% [markdown]
# The numbers of a patch must lie next to each other before the second
# `reshape` flattens them: the two axes *in* the patch have to become
# the last ones.
#
# **Exercise 1.** Write `cut` for a batch of images. Patches are in
# reading order, and in each patch the order is row, column, channel.


# %%
def cut(images, P):
    """(B, H, W, C) -> (B, N, P * P * C)"""


check(2, cut)


# %% tags=["solution"]
def cut(images, P):
    B, H, W, C = images.shape
    x = images.reshape(B, H // P, P, W // P, P, C)
    x = x.transpose(0, 1, 3, 2, 4, 5)  # (B, H/P, W/P, P, P, C)
    return x.reshape(B, -1, P * P * C)


check(2, cut)

# %% [markdown]
# The model scales pixels from 0..255 to -1..1 first. Then it cuts.

# %% alt="The cat in 14 rows of 14 patches, and one row as a strip"
pixels = cat[np.newaxis].astype("float32") / 127.5 - 1
patches = cut(pixels, 16)
print("image", pixels.shape, "-> patches", patches.shape)

squares = patches[0].reshape(14, 14, 16, 16, 3) / 2 + 0.5
edges = [(0, 0), (0, 0), (1, 1), (1, 1), (0, 0)]
squares = np.pad(squares, edges, constant_values=1)  # in white
figure, axes = plt.subplots(
    2, 1, figsize=(5, 5.6), height_ratios=(14, 1)
)
axes[0].imshow(np.vstack([np.hstack(row) for row in squares]))
axes[1].imshow(np.hstack(squares[2]))
for axis in axes:
    axis.set_axis_off()
axes[0].set_title("196 patches of 16 × 16 pixels")
axes[1].set_title("patches 28 to 41, as in the sequence")
plt.show()

# %% [markdown]
# **You should see** the cat through a lattice. Nothing is lost: the
# patches hold all pixels, in a different order.
#
# ## From patches to tokens
#
# A patch has $16 \cdot 16 \cdot 3 = 768$ numbers. The Transformer
# works with vectors of length $D$ in all of its layers, here 192. One
# learned matrix $E$ with a bias maps every patch to such a vector, a
# *token*. Then one token is put in front, and positions are added:
#
# - The **class token** $x_\text{class}$ is the first of the sequence,
#   learned and the same for every image. It has no patch of its own. It
#   collects information from all patches, and at the end the classifier
#   reads this token alone.
# - The **position embedding** $E_\text{pos}$ has one learned vector for
#   each place in the sequence, added to the token there. Without it the
#   model could not know where a patch was.
#
# $$ z_0 = [x_\text{class};\, x_p^1 E;\, \cdots;\, x_p^N E]
#    + E_\text{pos} \tag{1} $$
#
# Here $x_p^i$ is patch $i$ as a row of 768 numbers ($i$ is an index,
# not an exponent), and the semicolons put one row below the other. So
# 196 patches become 197 tokens.
#
# **Exercise 2.** Write `embed`. (The paper has no bias $b$; the
# official code adds one to $x_p E$.)


# %%
def embed(patches, E, b, x_class, E_pos):
    """(B, N, 768) -> (B, N + 1, D)

    E is (768, D), b (D,), x_class (1, 1, D), E_pos (1, N + 1, D).
    """


check(2, embed)


# %% tags=["solution"]
def embed(patches, E, b, x_class, E_pos):
    x = patches @ E + b  # (B, N, D)
    first = np.repeat(x_class, len(x), axis=0)  # (B, 1, D)
    return np.concatenate([first, x], axis=1) + E_pos


check(2, embed)

# %% [markdown]
# ## Equal to the real model
#
# The four arrays are in the published weights. A Keras model that
# ends after the layer `patch_encoder` gives the real $z_0$.

# %%
layer = model.get_layer("patch_encoder")
E, b = map(to_numpy, layer.projection.weights)
x_class = to_numpy(layer.class_token)
E_pos = to_numpy(layer.position_embedding)
z_0 = embed(patches, E, b, x_class, E_pos)

first = keras.Model(model.input, layer.output)
expected = to_numpy(first(cat[np.newaxis]))
difference = np.abs(z_0 - expected).max()
print(f"{z_0.shape}, largest difference {difference:.2g}")
assert difference < 1e-5

# %% [markdown]
# ## How much is content, how much is position?
#
# Both are summed into one vector. How long are they?


# %% alt="Two maps of lengths: tokens vary, positions are all alike"
def length(x):
    return np.linalg.norm(x, axis=1)


vectors = {"patch": patches[0] @ E + b, "position": E_pos[0, 1:]}
figure, axes = plt.subplots(1, 2, figsize=(5, 3))
for axis, (name, x) in zip(axes, vectors.items(), strict=True):
    drawn = axis.imshow(length(x).reshape(14, 14), vmin=0, vmax=13)
    axis.set_title(name)
    axis.set_axis_off()
    around = length(x - x.mean(axis=0)).mean()
    print(f"{name:<8} mean length {length(x).mean():.1f}, "
          f"around the mean vector {around:.1f}")  # fmt: skip
figure.colorbar(
    drawn, ax=axes, orientation="horizontal", label="length"
)
plt.show()

# %% [markdown]
# **You should see** the eyes and the nose on the left: patches with
# strong edges get long tokens. On the right all places look alike. On
# average both are about equally long, 6.7 and 6.5. Lengths are only a
# hint: what all patches have in common, their mean vector, does not
# distinguish them. Around this mean, patches vary by 4.9, positions by
# 6.5. Either way, *where* a patch is enters the model about as strongly
# as *what* it shows. That is a result of training, and of the scale of
# the pixels. Had we fed pixels from 0 to 255 to the same $E$:

# %%
raw = cut(cat[np.newaxis].astype("float32"), 16)[0] @ E + b
print(f"mean length {length(raw).mean():.0f}")

# %% [markdown]
# That is 145 times as long as the positions, which would hardly
# matter. This is one reason why inputs are normalized.
#
# ## What positions are for
#
# Shuffle the 196 patches of the cat, like a jigsaw puzzle in its box.
# We compare two ways. In the first, patches move and positions stay. In
# the second, each patch takes its position along: the same tokens enter
# the model in a different order.

# %%
rest = keras.Model(layer.output, model.output)  # from z_0 on
order = np.random.default_rng(0).permutation(196)
tokens = patches @ E + b
assert (tokens[:, order] == (patches[:, order] @ E + b)).all()

puzzle = embed(patches[:, order], E, b, x_class, E_pos)
places = np.concatenate([[0], 1 + order])  # the class token stays
reordered = z_0[:, places]


names = keras_vit.checkpoints.class_names("ViT-Ti/16")
usual = to_numpy(rest(z_0))[0]
for name, z in (
    ("in order", z_0),
    ("a puzzle", puzzle),
    ("reordered with positions", reordered),
):
    logits = to_numpy(rest(z))[0]
    change = np.abs(logits - usual).max()
    answer = names[logits.argmax()]
    print(f"{name}: {answer}, logits move by {change:.2g}")

# %% [markdown]
# **You should see** that the model no longer recognizes a cat
# in the puzzle, while the reordered tokens give the same logits.
# For a Transformer the tokens are a *set*: it knows the place of a
# patch from the position embedding only, not from the order of the
# sequence.
#
# ## Exercises
#
# **Exercise 3.** Other code has no `cut` and no matrix, but one
# convolution with a kernel of 16 × 16 and a stride of 16. It is the
# same computation. Write `as_kernel`, which turns $E$ into the kernel
# of that convolution, of shape (P, P, C, D).


# %%
def as_kernel(E, P, C):
    """(P * P * C, D) -> (P, P, C, D)"""


check(2, as_kernel)


# %% tags=["solution"]
def as_kernel(E, P, C):
    return E.reshape(P, P, C, -1)


check(2, as_kernel)
convolution = keras.layers.Conv2D(192, kernel_size=16, strides=16)
convolution.build(pixels.shape)
convolution.set_weights([as_kernel(E, 16, 3), b])
map_ = to_numpy(convolution(pixels))  # (1, 14, 14, 192)
difference = np.abs(map_.reshape(1, 196, 192) - tokens).max()
print(f"{map_.shape}, largest difference {difference:.2g}")
assert difference < 1e-4

# %% [markdown]
# **Exercise 4.** A photograph has 160 × 320 pixels. How many tokens
# are there with $P = 16$, the class token included? And by what factor
# does the number of pairs of tokens grow from $P = 16$ to $P = 8$ at
# 224 × 224 pixels?

# %% tags=["solution"]
print(1 + 160 // 16 * (320 // 16), "tokens")
pairs = {P: (1 + (224 // P) ** 2) ** 2 for P in (8, 16)}
print(f"{pairs[8] / pairs[16]:.1f} times as many pairs")

# %% [markdown]
# ## What could go wrong
#
# - **Patches look like stripes.** `reshape` without `transpose` cuts
#   rows, not squares. The shape is right all the same, so draw a few
#   patches whenever you write such code.
# - **The order within a patch differs.** PyTorch keeps channels first:
#   its kernels are (D, C, P, P). Reshaped without `transpose` they load
#   without an error and give a useless model.
# - **The image does not divide into patches.** `keras_vit.Patches`
#   raises an error then; `cut` fails in `reshape`.
#
# In the library these two functions are the layers `Patches` and
# `PatchEncoder` in `keras_vit/layers.py`.
#
# ## Where to go next
#
# The tokens are ready. [Chapter 3](03_attention.py) lets them
# exchange information.
