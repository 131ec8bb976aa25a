# %% [markdown]
# # 3. Attention from scratch
#
# In a sentence, the meaning of a word depends on the others. In an
# image, too: a blue patch is sky or water, depending on what is
# around it. Attention is how every token takes what it needs from
# all others. This tutorial builds it from four equations.
#
# > **You will be able to** compute attention by hand, draw what a
# > token looks at, and say what queries, keys, values and heads are.
# >
# > **You need** tutorial 2.
# >
# > **Time** {time}
# >
# > **Result** `SelfAttention`, built by hand first.
# >
# > **Paper** [arXiv 2010.11929](https://arxiv.org/abs/2010.11929),
# > Appendix A, Eq. 5 to 8.

# %%
import keras_vit
import keras
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)

photo = Image.fromarray(load_sample_image("china.jpg"))
photo = photo.crop((106, 0, 533, 427)).resize((224, 224))
patches = keras_vit.Patches(16)(np.asarray(photo, "float32")[None])
patches = keras.ops.convert_to_numpy(patches)[0]
assert patches.shape == (196, 768)

# %% [markdown]
# ## The idea, with colors
#
# Let us begin without learning anything. A token is the mean color
# of its patch: three numbers, scaled to a mean of 0 and a deviation
# of 1. Two patches of like color have a large scalar product, two
# of opposite color a negative one. The softmax turns the products
# of one token with all others into shares that sum to 1.

# %%
colors = patches.reshape(196, 256, 3).mean(axis=1)
colors = (colors - colors.mean(0)) / colors.std(0)
assert colors.shape == (196, 3)


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


A = softmax(colors @ colors.T)
assert A.shape == (196, 196)
np.testing.assert_allclose(A.sum(axis=1), 1, rtol=1e-6)

# %% [markdown]
# Row $i$ of $A$ says how much token $i$ takes from each of the 196
# patches. We draw two rows as images.


# %% alt="A photograph with two patches marked, and what each looks at"
def draw(scores, queries):
    figure, axes = plt.subplots(1, 3, figsize=(8.4, 3.1))
    axes[0].imshow(photo)
    axes[0].set_title("two patches ask")
    for axis, (row, column) in zip(axes[1:], queries, strict=True):
        for where, side in ((axes[0], 16), (axis, 1)):
            box = (column * side - 0.5, row * side - 0.5)
            where.add_patch(
                plt.Rectangle(
                    box, side, side, fill=False, ec="white", lw=2
                )
            )
        map_ = scores[row * 14 + column].reshape(14, 14)
        axis.imshow(map_)
        axis.set_title(f"row {row}, column {column} looks at")
    for axis in axes:
        axis.set_axis_off()
    plt.tight_layout()
    plt.show()


draw(A, [(1, 3), (12, 6)])

# %% [markdown]
# **You should see** that a patch of the sky looks at the sky, and a
# dark patch at dark ones. The answer to its question is the mean of
# what it looks at, weighted by the shares: $A$ times the values.
#
# ## Queries, keys and values
#
# In a Transformer, what a token asks, what it answers to, and what
# it gives are three different vectors, all made from the token $z$
# by one learned matrix (Eq. 5). $D$ is the length of a token, $d$
# that of the three vectors:
#
# $$ [q, k, v] = z\, U_{qkv}, \qquad
#    U_{qkv} \in \mathbb{R}^{D \times 3 d} \tag{5} $$
#
# $$ A = \operatorname{softmax}\!\left(q k^\top / \sqrt{d}\right),
#    \qquad A \in \mathbb{R}^{N \times N} \tag{6} $$
#
# $$ \operatorname{SA}(z) = A v \tag{7} $$

# %%
N, D, heads = 197, 192, 3
d = D // heads
z = rng.normal(size=(N, D)).astype("float32")
U_qkv = rng.normal(0, D**-0.5, (D, 3 * d)).astype("float32")

q, k, v = np.split(z @ U_qkv, 3, axis=1)
assert q.shape == k.shape == v.shape == (N, d)
A = softmax(q @ k.T / np.sqrt(d))
assert A.shape == (N, N)
assert (A @ v).shape == (N, d)

# %% [markdown]
# ## Why divide by $\sqrt{d}$?
#
# The product of two random vectors of length $d$ has a deviation of
# $\sqrt{d}$. Without the division the largest of 197 products wins
# everything: the softmax has a share near 1 for one token, and almost
# no gradient. We measure how large the largest share of a row is.

# %% alt="Histograms of the largest share in a row of A"
largest = {
    "divided by the root of d (Eq. 6)": A.max(axis=1),
    "not divided": softmax(q @ k.T).max(axis=1),
}
for name, shares in largest.items():
    plt.hist(
        shares, bins=np.linspace(0, 1, 41), alpha=0.7, label=name
    )
plt.title("What one token takes from its favourite")
plt.xlabel("largest share in a row of A")
plt.ylabel("tokens")
plt.legend()
plt.show()
medians = [float(np.median(shares)) for shares in largest.values()]
assert medians[0] < 0.1 < 0.5 < medians[1]

# %% [markdown]
# ## Several heads
#
# One token may want to know several things at once. So attention is
# done $k$ times side by side, each time with its own matrices: a
# head. With $d = D / k$ all heads together cost as much as one large
# one. One more matrix mixes what they found:
#
# $$ \operatorname{MSA}(z) = [\operatorname{SA}_1(z);\;
#    \operatorname{SA}_2(z);\; \cdots;\; \operatorname{SA}_k(z)]\,
#    U_{msa} \tag{8} $$
#
# The library keeps the matrices of all heads in one: the queries of
# all heads, then all keys, then all values.

# %%
attention = keras_vit.SelfAttention(num_heads=heads)
attention.build((1, N, D))
U_qkv, U_msa = (
    keras.ops.convert_to_numpy(layer.kernel)
    for layer in (attention.query_key_value, attention.projection)
)
assert U_qkv.shape == (D, 3 * D) and U_msa.shape == (D, D)

q, k, v = np.split(z @ U_qkv, 3, axis=1)
found = []
for head in range(heads):
    part = slice(head * d, (head + 1) * d)
    A = softmax(q[:, part] @ k[:, part].T / np.sqrt(d))  # (N, N)
    found.append(A @ v[:, part])  # (N, d)
by_hand = np.concatenate(found, axis=1) @ U_msa
assert by_hand.shape == (N, D)

by_layer = keras.ops.convert_to_numpy(attention(z[None]))[0]
np.testing.assert_allclose(by_layer, by_hand, atol=1e-4)
print("SelfAttention and Eq. 5 to 8 agree")

# %% [markdown]
# ## Attention does not know where anything is
#
# Shuffle the tokens, and the output is shuffled, nothing else. That
# is why Eq. 1 adds positions.

# %%
order = rng.permutation(N)
shuffled = keras.ops.convert_to_numpy(attention(z[None, order]))[0]
np.testing.assert_allclose(shuffled, by_layer[order], atol=1e-4)

# %% [markdown]
# ## Exercises
#
# **Exercise 1.** What does attention compute when all queries are
# zero? Say it first, then set the weights so and look.

# %% tags=["solution"]
layer = keras_vit.SelfAttention(num_heads=1)
layer.build((1, N, D))
kernel = U_qkv.copy()
kernel[:, :D] = 0  # the queries
layer.query_key_value.kernel.assign(kernel)
layer.projection.kernel.assign(np.eye(D))
output = keras.ops.convert_to_numpy(layer(z[None]))[0]
mean_value = (z @ kernel[:, 2 * D :]).mean(axis=0)
# Every share is 1/N: every token gets the mean of all values.
np.testing.assert_allclose(
    output, np.tile(mean_value, (N, 1)), atol=1e-4
)

# %% [markdown]
# **Exercise 2.** How many numbers are learned in one attention layer
# with $D = 192$, biases included? Does it depend on the number of
# heads?

# %% tags=["solution"]
count = D * 3 * D + 3 * D + D * D + D
for heads in (1, 3, 6):
    layer = keras_vit.SelfAttention(num_heads=heads)
    layer.build((1, N, D))
    assert layer.count_params() == count == 148_224

# %% [markdown]
# **Exercise 3.** In the first figure, make the patches look only at
# patches that are much more alike: multiply the products by 10 before
# the softmax. What becomes of the largest share?

# %% tags=["solution"]
soft = softmax(colors @ colors.T).max(axis=1)
sharp = softmax(10 * colors @ colors.T).max(axis=1)
assert np.median(sharp) > 2 * np.median(soft)
print(f"median of the largest share: {np.median(soft):.2f} before")
print(f"and {np.median(sharp):.2f} after")

# %% [markdown]
# ## What the paper reports, what we got, why they differ
#
# The equations are those of Appendix A; nothing was trained. The paper
# has no biases in Eq. 5 and 8, the official code has them, and so have
# we: they start at zero, so they change nothing above.
#
# ## Next
#
# Attention mixes tokens. The block around it adds a small network for
# each token, and a way for the signal to pass. That is tutorial 4.
