# %% [markdown]
# # 4. A ViT in 80 lines
#
# Can you write all of it? Attention is the hard part, and you have
# it. Around it a Transformer block adds three simple parts: layer
# normalization, a small network applied to each token, and residual
# connections. Twelve blocks are a Vision Transformer. This chapter
# writes it in Keras, 61 lines, and loads published weights into it, 22
# more.
#
# > **You will be able to** write a Vision Transformer from the paper's
# > equations, without this library, and load real weights into it.
# >
# > **You need** chapters [2](02_sequence.py) and
# > [3](03_attention.py).
# >
# > **Time** {time}
# >
# > **Result** a model of your own that classifies the cat, with logits
# > equal to those of the library's model to 1e-4. (The library's tests
# > compare its model with Google's code.)
# >
# > **Downloads** the weights of ViT-Ti/16 (22 MB, once; where they go
# > is in [chapter 1](01_see_first.py)).
# >
# > **Paper** [arXiv 2010.11929](https://arxiv.org/abs/2010.11929),
# > section 3.1, Eq. 1 to 8, Figure 1.

# %%
import keras_vit  # before keras: it selects an installed backend
import keras
import matplotlib.pyplot as plt
import numpy as np
from check import check
from keras import ops
from keras.layers import Dense, Layer, LayerNormalization

to_numpy = keras.ops.convert_to_numpy
cat = keras_vit.data.example_image()  # (224, 224, 3)

# %% [markdown]
# ## A layer of Keras
#
# A layer is a class. Its `__init__` makes the weights and the layers
# that it consists of; `super().__init__()` comes first, so that Keras
# keeps track of them. `call` computes the output, and `layer(x)` runs
# it. `add_weight` makes a weight of a shape. `Dense(D)` is a layer that
# computes $x W + b$ with $D$ columns; it makes $W$ in its first call,
# when it sees how long $x$ is.


# %%
class Shift(Layer):
    def __init__(self, D):
        super().__init__()
        self.shift = self.add_weight(shape=(D,))

    def call(self, x):
        return x + self.shift


print(Shift(4)(np.zeros((2, 4))).shape)

# %% [markdown]
# ## Attention, for a batch
#
# The functions of chapter 3, as a layer. A batch and the heads are
# two more axes, in front: (B, h, N, d). `ops` has NumPy's functions
# for every backend of Keras.


# %%
class Attention(Layer):
    def __init__(self, D, heads):
        super().__init__()
        self.heads, self.d = heads, D // heads
        self.query, self.key = Dense(D), Dense(D)
        self.value, self.out = Dense(D), Dense(D)

    def call(self, z):  # (B, N, D)
        q = self.split(self.query(z))  # Eq. 5
        k = self.split(self.key(z))
        v = self.split(self.value(z))
        products = ops.matmul(q, ops.swapaxes(k, 2, 3))
        A = ops.softmax(products / self.d**0.5)  # Eq. 6
        x = ops.swapaxes(ops.matmul(A, v), 1, 2)  # Eq. 7
        return self.out(ops.reshape(x, ops.shape(z)))  # Eq. 8

    def split(self, x):  # (B, N, D) -> (B, h, N, d)
        x = ops.reshape(x, (-1, x.shape[1], self.heads, self.d))
        return ops.swapaxes(x, 1, 2)


# %% [markdown]
# ## MLP
#
# Attention moves information between tokens. The MLP (multi-layer
# perceptron) works on each token alone: a linear layer to four times
# the length, the function GELU on each number, and a linear layer back.
#
# $$ \operatorname{GELU}(x) = x\, \Phi(x) $$
#
# $$ \Phi(x) \approx
#    \tfrac12 + \tfrac12 \tanh(0.798\, x + 0.0357\, x^3) $$
#
# $\Phi$ is the distribution function of the normal distribution. It
# rises from 0 to 1, so GELU lets large numbers pass and makes very
# negative ones zero. The official code uses the approximation with
# tanh.


# %%
class MLP(Layer):
    approximate = True

    def __init__(self, D, mlp_dim):
        super().__init__()
        self.expand, self.contract = Dense(mlp_dim), Dense(D)

    def call(self, z):
        hidden = ops.gelu(self.expand(z), self.approximate)
        return self.contract(hidden)


# %% [markdown]
# ## Your turn: the block
#
# A block has two halves of the same form, $z + f(\text{LN}(z))$:
#
# $$ z'_\ell = \operatorname{MSA}(\operatorname{LN}(z_{\ell-1}))
#    + z_{\ell-1} \tag{2} $$
#
# $$ z_\ell = \operatorname{MLP}(\operatorname{LN}(z'_\ell))
#    + z'_\ell \tag{3} $$
#
# LN, layer normalization, scales each token to mean 0 and variance 1,
# then multiplies each of its $D$ entries by a learned $\gamma$ and
# adds a learned $\beta$. "$+\, z$" is the *residual connection*: the
# block adds a correction to its input instead of replacing it.
#
# **Pre-norm or post-norm?** Here LN comes before attention and MLP:
# *pre-norm*. The first Transformer normalized after the addition,
# $\operatorname{LN}(z + f(z))$: *post-norm*. With pre-norm there is a
# path from $z_0$ to $z_L$ that consists of additions only, so the
# gradient reaches the first block undisturbed. Deep post-norm models
# are hard to train without a careful warm-up, the first steps, in which
# the learning rate rises from zero
# ([Xiong et al.](https://arxiv.org/abs/2002.04745)). The shapes of the
# weights are the same in both.
#
# **Exercise 1.** Write `call`: Eq. 2 and 3.


# %%
class Block(Layer):
    def __init__(self, D, heads, mlp_dim):
        super().__init__()
        self.norm_1 = LayerNormalization(epsilon=1e-6)
        self.attention = Attention(D, heads)
        self.norm_2 = LayerNormalization(epsilon=1e-6)
        self.mlp = MLP(D, mlp_dim)

    def call(self, z):
        """(B, N, D) -> (B, N, D)"""


check(4, Block)


# %% tags=["solution"]
class Block(Layer):
    def __init__(self, D, heads, mlp_dim):
        super().__init__()
        self.norm_1 = LayerNormalization(epsilon=1e-6)
        self.attention = Attention(D, heads)
        self.norm_2 = LayerNormalization(epsilon=1e-6)
        self.mlp = MLP(D, mlp_dim)

    def call(self, z):
        z = z + self.attention(self.norm_1(z))  # Eq. 2
        return z + self.mlp(self.norm_2(z))  # Eq. 3


check(4, Block)

# %% [markdown]
# ## The whole model
#
# Eq. 1 from chapter 2 (as a convolution, its exercise 3), the blocks,
# a last LN, and a linear layer on the class token, the *head* (not to
# be confused with a head of attention). Here $z_L^0$ is row 0, the
# class token, after the last block:
#
# $$ y = \operatorname{LN}(z_L^0) \tag{4} $$


# %%
class ViT(keras.Model):
    block = Block

    def __init__(self, L=12, D=192, heads=3, mlp_dim=768, P=16):
        super().__init__()
        N = (224 // P) ** 2
        self.patches = keras.layers.Conv2D(D, P, strides=P)
        self.x_class = self.add_weight(shape=(1, 1, D))
        self.E_pos = self.add_weight(shape=(1, N + 1, D))
        sizes = D, heads, mlp_dim
        self.blocks = [self.block(*sizes) for _ in range(L)]
        self.norm = LayerNormalization(epsilon=1e-6)
        self.head = Dense(1000)

    def call(self, images):
        z = self.embed(images)  # (B, N + 1, D), Eq. 1
        for block in self.blocks:
            z = block(z)  # Eq. 2 and 3
        y = self.norm(z)[:, 0]  # (B, D), Eq. 4
        return self.head(y)  # (B, 1000)

    def embed(self, images):
        x = ops.cast(images, "float32") / 127.5 - 1
        x = self.patches(x)  # (B, 14, 14, D)
        x = ops.reshape(
            x, (-1, x.shape[1] * x.shape[2], x.shape[3])
        )
        first = ops.repeat(self.x_class, ops.shape(x)[0], axis=0)
        return ops.concatenate([first, x], axis=1) + self.E_pos


vit = ViT()
vit(cat[np.newaxis])  # the first call makes all weights
print(f"{vit.count_params():,} parameters")

# %% [markdown]
# ## The published weights
#
# Google publishes weights as `.npz` files, which NumPy opens: a
# dictionary from names to arrays. The numbers in `LayerNorm_0`,
# `MultiHeadDotProductAttention_1`, `LayerNorm_2` and `MlpBlock_3` count
# the layers of a block. The kernels of attention have one axis for the
# heads, which we merge with the next.

# %%
entry = keras_vit.checkpoints.catalogue.find("ViT-Ti/16")
file = np.load(keras_vit.io.download.fetch(entry))
for name in list(file)[:8]:
    print(name, file[name].shape)


def load(layer, name, kernel="kernel"):
    shapes = [w.shape for w in layer.weights]
    arrays = file[f"{name}/{kernel}"], file[f"{name}/bias"]
    pairs = zip(arrays, shapes, strict=True)
    layer.set_weights([a.reshape(s) for a, s in pairs])


def load_all(vit):
    vit.x_class.assign(file["cls"])
    vit.E_pos.assign(
        file["Transformer/posembed_input/pos_embedding"]
    )
    load(vit.patches, "embedding")
    load(vit.norm, "Transformer/encoder_norm", "scale")
    load(vit.head, "head")
    for i, block in enumerate(vit.blocks):
        at = f"Transformer/encoderblock_{i}"
        load(block.norm_1, f"{at}/LayerNorm_0", "scale")
        load(block.norm_2, f"{at}/LayerNorm_2", "scale")
        for part in ("query", "key", "value", "out"):
            name = f"{at}/MultiHeadDotProductAttention_1/{part}"
            load(getattr(block.attention, part), name)
        load(block.mlp.expand, f"{at}/MlpBlock_3/Dense_0")
        load(block.mlp.contract, f"{at}/MlpBlock_3/Dense_1")


load_all(vit)

# %% [markdown]
# ## Does it work?

# %%
names = keras_vit.checkpoints.class_names("ViT-Ti/16")


def answer(model):
    logits = to_numpy(model(cat[np.newaxis]))[0]
    p = np.exp(logits - logits.max())
    p = p / p.sum()
    return f"{names[p.argmax()]}, {p.max():.0%}", logits


said, logits = answer(vit)
print(said)

library = keras_vit.load_pretrained("ViT-Ti/16", verbose=False)
difference = np.abs(logits - answer(library)[1]).max()
print(
    f"largest difference to the library's logits {difference:.2g}"
)
assert difference < 1e-4

# %% [markdown]
# **You should see** the answer of chapter 1. The model that gives it
# is yours: 5.7 million numbers, each at its place in the equations.
#
# ## What flows through it

# %% alt="The cat, its tokens before and after 12 blocks, and logits"
z_0 = vit.embed(cat[np.newaxis])
z_L = z_0
for block in vit.blocks:
    z_L = block(z_L)
y = vit.norm(z_L)[:, 0]

corners = {i: i for i in (1, 14, 183, 196)}
stages = [  # what flows, as an image, its ticks, and what comes next
    ("image (224, 224, 3)", cat, {}, "Eq. 1: tokens and positions"),
    (
        "$z_0$ (197, 192)",
        z_0[0],
        {},
        "12 blocks: attention and MLP",
    ),
    (
        "$z_{12}$ (197, 192)",
        z_L[0],
        corners,
        "LN of the first token",
    ),
    ("y (192,)", y, {}, "linear layer"),
    ("logits (1000,)", logits[np.newaxis], {284: "281-287"}, None),
]
figure, axes = plt.subplots(
    5, 1, figsize=(5, 9), height_ratios=(5, 3, 3, 1, 1)
)
for axis, (title, values, ticks, step) in zip(
    axes, stages, strict=True
):
    values = to_numpy(values)
    if values.ndim == 2:  # tokens from left to right
        values = values.T if len(values) > 1 else values
        most = np.percentile(np.abs(values), 99)
        axis.imshow(values, "PuOr", aspect="auto",
                    vmin=-most, vmax=most)  # fmt: skip
    else:
        axis.imshow(values)
    axis.set_title(title, loc="left")
    axis.set_xticks([*ticks], ticks.values(), fontsize=9)
    axis.set(yticks=[], xlabel=step and f"↓ {step}")
plt.show()

# %% [markdown]
# **You should see** the image become a table of numbers with one
# column for each token, the class token on the far left. Horizontal
# lines are entries that are alike in all tokens. After 12 blocks four
# columns have much larger numbers than the rest, 1, 14, 183 and 196:
# they are the corner patches that block 11 attends to in chapter 3. The
# head reads column 0 only. Among the logits, the dark group at 281 to
# 287 are the cats.
#
# ## Exercises
#
# **Exercise 2.** Write a function that counts the parameters of such
# a model from the length of its tokens and the width of its MLP, for
# 224 × 224 pixels, patches of 16 and 1,000 classes. It must give
# 5,717,416 for ViT-Ti/16 and 86,567,656 for ViT-B/16.


# %%
def count_parameters(L, D, mlp_dim):
    """Number of parameters, biases and LN included."""


check(4, count_parameters)


# %% tags=["solution"]
def count_parameters(L, D, mlp_dim):
    embedding = 16 * 16 * 3 * D + D + D + 197 * D
    attention = 4 * (D * D + D)
    mlp = D * mlp_dim + mlp_dim + mlp_dim * D + D
    blocks = L * (attention + mlp + 2 * 2 * D)
    return embedding + blocks + 2 * D + D * 1000 + 1000


check(4, count_parameters)

# %% [markdown]
# **Exercise 3.** Make a `PostNormBlock(Block)` with
# $\operatorname{LN}(z + f(z))$, a subclass of `ViT` that uses it as its
# `block`, and load the same weights. They fit. What does it say about
# the cat?


# %% tags=["solution"]
class PostNormBlock(Block):
    def call(self, z):
        z = self.norm_1(z + self.attention(z))
        return self.norm_2(z + self.mlp(z))


class PostNormViT(ViT):
    block = PostNormBlock


other = PostNormViT()
other(cat[np.newaxis])
load_all(other)
print(answer(other)[0])

# %% [markdown]
# **Exercise 4.** Two departures that no shape reveals: use the exact
# GELU (`approximate = False`), or the epsilon of Keras's own
# `LayerNormalization` (1e-3) in all 25 of them. How far do the logits
# move? Which one would you notice in the answer?

# %% tags=["solution"]
norms = [n for b in vit.blocks for n in (b.norm_1, b.norm_2)]
for norm in [*norms, vit.norm]:
    norm.epsilon = 1e-3
said, moved = answer(vit)
print(f"epsilon: {said}, by {np.abs(moved - logits).max():.3f}")

for norm in [*norms, vit.norm]:
    norm.epsilon = 1e-6
for block in vit.blocks:
    block.mlp.approximate = False
said, moved = answer(vit)
print(f"GELU: {said}, by {np.abs(moved - logits).max():.3f}")
# Neither by looking at the answer; both by comparing logits to 1e-4.

# %% [markdown]
# ## What could go wrong
#
# - **All weights load, and the answer is nonsense.** Shapes cannot
#   tell $U_{qkv}$'s order of heads, the order in a patch, or pre-norm
#   from post-norm. Compare logits with a model that works, on a real
#   image; then compare layer by layer, beginning with $z_0$.
# - **The answer is a little off.** GELU's form, the epsilon of LN,
#   the scale of the pixels, how the image was resized.
# - **The model does not train well from random weights.** How weights
#   are drawn before training (*initializers*) matters. Keras's defaults
#   are not those of the paper; the library's layers have them.
#
# `keras_vit/layers.py` and `keras_vit/vit.py` are this chapter with
# checks, initializers and documentation. Read them now: you know what
# they do.
#
# ## Where to go next
#
# The weights came from a file. Where do weights come from? Chapter 5
# trains a ViT from nothing; [chapter 9](09_looking_inside.py) looks
# into the one that you have.
