# %% [markdown]
# # 3. Attention
#
# Whom should a patch listen to? A patch of orange fur may be part of
# a cat, a fox or a rug; the patches around it decide. Attention lets
# every token gather information from all the others. It is four
# equations, and you write them.
#
# > **You will be able to** write multi-head self-attention in NumPy,
# > explain queries, keys, values and heads, and show what a patch of
# > your choice attends to.
# >
# > **You need** [chapter 2](02_sequence.py).
# >
# > **Time** {time}
# >
# > **Result** three functions that you write, 11 lines, that equal the
# > attention of a published model to 1e-5.
# >
# > **Downloads** the weights of ViT-Ti/16 (22 MB, once; where they go
# > is in [chapter 1](01_see_first.py)).
# >
# > **Paper** [arXiv 2010.11929](https://arxiv.org/abs/2010.11929),
# > Appendix A, Eq. 5 to 8.

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
# ## A soft dictionary
#
# A Python dictionary returns the value whose key *equals* the query.
# Attention returns a mean of *all* values, weighted by how well their
# keys match the query. A query, a key and a value are vectors, and
# the dot product of query and key measures the match. The softmax
# turns matches into weights that sum to 1.
#
# **Exercise 1.** Write the softmax along the last axis, for arrays of
# any shape. Subtract the largest number of each row first, as in
# chapter 1.


# %%
def softmax(x):
    """(..., n) -> (..., n), each row sums to 1"""


check(3, softmax)


# %% tags=["solution"]
def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


check(3, softmax)

# %% [markdown]
# Three keys and the numbers that they stand for. The query matches
# the first key best, the third not at all:

# %%
keys = np.array([[4.0, 0.0], [3.0, 3.0], [0.0, 4.0]])
values = np.array([[10.0], [20.0], [90.0]])
query = np.array([[1.5, -0.5]])
weights = softmax(query @ keys.T)
print("matches", query @ keys.T)
print("weights", weights.round(3))
print("result ", (weights @ values).round(1))

# %% [markdown]
# ## Queries, keys and values of tokens
#
# Every token $z$ makes three vectors of length $d$: a query (what it
# looks for), a key (what it can be found by) and a value (what it
# passes on). Each is $z$ times a learned matrix (Eq. 5). All tokens do
# so at once; there are $N + 1 = 197$ of them.
#
# $$ [q, k, v] = z\, U_{qkv}, \qquad
#    U_{qkv} \in \mathbb{R}^{D \times 3 d} \tag{5} $$
#
# $$ A = \operatorname{softmax}\!\left(q k^\top / \sqrt{d}\right)
#    \tag{6} $$
#
# $$ \operatorname{SA}(z) = A v \tag{7} $$
#
# Row $i$ of $A$ holds the weights with which token $i$ attends to each
# of the 197 tokens. We will see below why $\sqrt d$ is there.
#
# **Exercise 2.** Write Eq. 6 and 7. Return the output and $A$.


# %%
def attend(q, k, v):
    """(n, d), (m, d), (m, e) -> (n, e) and A, (n, m)"""


check(3, attend)


# %% tags=["solution"]
def attend(q, k, v):
    A = softmax(q @ k.T / np.sqrt(k.shape[-1]))  # (n, m)
    return A @ v, A


check(3, attend)

# %% [markdown]
# ## Several heads
#
# One token may need several things at once: patches that look alike,
# patches nearby, the other eye. So attention runs several times side
# by side, each time with its own matrices. Each run is a *head*. With
# $h$ heads of length $d = D / h$ all of them together need as many
# multiplications as a single one of length $D$. One more matrix mixes
# their outputs:
#
# $$ \operatorname{MSA}(z) = [\operatorname{SA}_1(z);\, \cdots;\,
#    \operatorname{SA}_h(z)]\, U_{msa} \tag{8} $$
#
# One matrix product makes the queries of all heads, then all keys,
# then all values: `z @ U_qkv + b_qkv` has $3 D$ columns, $D$ for each
# of the three. Head 1 takes the first $d$ columns of each, head 2 the
# next $d$. (The paper has no biases here; the official code adds them.)
#
# **Exercise 3.** Write Eq. 5 and 8 with `attend`. `np.split(x, 3,
# axis=1)` cuts columns into three equal parts.


# %%
def multi_head(z, U_qkv, b_qkv, U_msa, b_msa, heads):
    """(n, D) -> (n, D)"""


check(3, multi_head)


# %% tags=["solution"]
def multi_head(z, U_qkv, b_qkv, U_msa, b_msa, heads):
    q, k, v = np.split(z @ U_qkv + b_qkv, 3, axis=1)  # (n, D)
    of_heads = (np.split(x, heads, axis=1) for x in (q, k, v))
    found = [attend(*one)[0] for one in zip(*of_heads, strict=True)]
    return np.concatenate(found, axis=1) @ U_msa + b_msa


check(3, multi_head)

# %% [markdown]
# ## Equal to the real model
#
# We take the tokens of the cat that enter the attention of block 0 of
# ViT-Ti/16, and its weights.

# %%
z = keras.Model(model.input, model.get_layer("block_0").input)(
    cat[np.newaxis]
)  # z_0 of chapter 2
block = model.get_layer("block_0")
z = block.norm_1(z)  # LN, chapter 4
attention = block.attention
weights = [to_numpy(w) for w in attention.weights]
print([w.shape for w in weights])

ours = multi_head(to_numpy(z)[0], *weights, heads=3)
difference = np.abs(ours - to_numpy(attention(z))[0]).max()
print(f"{ours.shape}, largest difference {difference:.2g}")
assert difference < 1e-5

# %% [markdown]
# ## What a patch attends to
#
# Now look. Choose a patch: row 4, column 4, counted from 0, is the
# upper left rim of the cat's left eye as you see it.
# `explain.token_attention` computes the row of $A$ of that patch in
# each of the 12 blocks and 3 heads, exactly as you did, without the
# class token's column: a map that sums to less than 1 gives the rest to
# the class token.

# %% alt="The cat with a marked patch; what it attends to in 3 blocks"
row, column = 4, 4  # choose another
maps = keras_vit.explain.token_attention(
    model, cat[np.newaxis], token=(row, column)
)[:, 0]  # (12 blocks, 3 heads, 14, 14)
heads = [(1, 2), (4, 2), (11, 0)]  # (block, head)

figure, axes = plt.subplots(2, 2, figsize=(5, 5.4))
for axis, place in zip(axes.flat, [None, *heads], strict=True):
    title, light = "the patch", np.ones((14, 14))
    if place:
        title = "block {}, head {}".format(*place)
        title, light = (
            f"{title}: {maps[place].sum():.0%}",
            maps[place],
        )
    light = light / np.percentile(light, 98)
    light = np.kron(light, np.ones((16, 16))).clip(0, 1)
    shown = cat * (0.2 + 0.8 * light[..., np.newaxis])
    axis.imshow(shown.astype("uint8"))
    corner = (16 * column - 0.5, 16 * row - 0.5)
    axis.add_patch(
        plt.Rectangle(corner, 16, 16, fill=False, ec="C1", lw=2)
    )
    axis.set_title(title)
    axis.set_axis_off()
plt.show()

# %% [markdown]
# The percentages in the titles say how much goes to patches. Each
# panel has its own scale, so compare numbers, not brightness:

# %%
for place in heads:
    light = maps[place]
    print("block {:2}, head {}:".format(*place),
          f"right neighbor {light[row, column + 1]:4.0%},",
          f"right eye {light[5:8, 9:11].sum():4.0%},",
          f"corners {light[::13, ::13].sum():4.0%}")  # fmt: skip

# %% [markdown]
# **You should see** three kinds of attention. In block 1, this head
# looks at the patches around, and most at its neighbor on the right.
# In block 4, the left eye attends to the right eye, 80 pixels away: its
# six patches get 42 %, though they are 3 % of the image. No label
# says what an eye is. In block 11, 77 % go to the four corners of
# the image, which show little. Such tokens appear in many ViTs:
# [Darcet et al.](https://arxiv.org/abs/2309.16588) find, in models
# larger than this one, that tokens of the background store information
# about the whole image.
#
# These are three heads of 36, and one image. Other heads look
# elsewhere: exercise 6.
#
# ## Why divide by $\sqrt d$?
#
# If the entries of $q$ and $k$ are independent, with mean 0 and
# variance 1, then their dot product is a sum of $d$ terms: its standard
# deviation is $\sqrt d$. Random weights at the beginning of training
# are roughly such a case. The softmax of numbers that far apart is
# nearly one-hot: one weight is close to 1, the others to 0. There it
# hardly reacts to its input: the derivative of a weight $a_i$ with
# respect to its own product is $a_i (1 - a_i)$, zero at 0 and at 1. We
# sum these derivatives over a row, $\sum_i a_i (1 - a_i)$, and take the
# mean of all rows.


# %% alt="Gradient of the softmax over d: it falls without root d"
def gradient(products):
    A = softmax(products)
    return (A * (1 - A)).sum(axis=-1).mean()


rng = np.random.default_rng(0)
lengths = 2 ** np.arange(2, 12)  # 4 ... 2048
curves = {"with the division": [], "without": []}
for d in lengths:
    q, k = rng.normal(size=(2, 197, d))
    curves["with the division"].append(
        gradient(q @ k.T / np.sqrt(d))
    )
    curves["without"].append(gradient(q @ k.T))
for (name, curve), mark in zip(curves.items(), "os", strict=True):
    plt.semilogx(lengths, curve, marker=mark, base=2, label=name)
    print(f"d = 64, {name}: {curve[4]:.3f}")
    print(f"d = 512, {name}: {curve[7]:.3f}")
plt.xlabel("d, length of a query")
plt.ylabel("gradient of the softmax")
plt.legend()
plt.show()

# %% [markdown]
# **You should see** that with the division the gradient is the same
# for every $d$. Without it, a third is left at $d = 64$, the length
# in the paper's ViTs B and L (and in this one), and a ninth at
# $d = 512$.
#
# And in the trained model? We take the queries and keys of the cat in
# the first head of block 0, with the division and without:

# %%
q, k = (to_numpy(x)[0, :, 0] for x in attention.heads(z)[:2])
print(f"with the division: {gradient(q @ k.T / np.sqrt(64)):.2f}")
print(f"without:           {gradient(q @ k.T):.2f}")

# %% [markdown]
# These weights were learned *with* the division, so this comparison is
# not quite fair. Trained without it, the model could have learned
# products that are eight times smaller ($\sqrt{64}$), but only through
# the small gradients at the beginning.
#
# ## Exercises
#
# **Exercise 4.** What does attention compute if all queries are zero?
# Answer first, then check with `attend`.

# %% tags=["solution"]
k, v = rng.normal(size=(197, 64)), rng.normal(size=(197, 64))
output, A = attend(np.zeros((197, 64)), k, v)
# Every weight is 1/197: each token gets the mean of all values.
print(np.allclose(A, 1 / 197), np.allclose(output, v.mean(axis=0)))

# %% [markdown]
# **Exercise 5.** How many parameters does the attention of one block
# have with $D = 192$, biases included? Does it depend on the number of
# heads?

# %% tags=["solution"]
D = 192
count = (D * 3 * D + 3 * D) + (D * D + D)  # the same for any h
print(f"{count:,}", count == attention.count_params())

# %% [markdown]
# **Exercise 6.** Go back to the figure and choose the patch of the
# nose (row 11, column 8), and one of the background. Which head of
# which block would you call "near", which "alike", which "far"?
#
# ## What could go wrong
#
# - **The softmax runs over the wrong axis.** Then columns of $A$ sum
#   to 1, not rows. The shapes do not show it; the sums do.
# - **Heads are mixed up.** In some code, the columns of $U_{qkv}$ are
#   $q, k, v$ of the first head, then of the second. Shapes fit, and
#   the model is useless.
# - **A dot product is not a similarity.** It grows with the lengths of
#   both vectors: with colors from 0 to 255 as queries and keys, every
#   patch attends to the brightest ones, not to those of its own color.
#
# In the library this is the layer `SelfAttention` in
# `keras_vit/layers.py`.
#
# ## Where to go next
#
# Attention mixes tokens. [Chapter 4](04_eighty_lines.py) puts a block
# around it, and a whole model around 12 blocks.
