# %% [markdown]
# # Descendants
#
# DINOv2, SigLIP or EVA-02: the ViTs that people use today have other
# names. How different are they? This page goes through the changes
# one by one, each with its equation, a few lines of code, and a number
# that shows what it does. Most of the paper's model is still there.
#
# > **You will be able to** say what DeiT, BEiT, SigLIP, EVA-02, DINOv2
# > and DINOv3 changed, and which of it costs weights, time or nothing.
# >
# > **You need** chapters [2](../02_sequence.py) to
# > [4](../04_eighty_lines.py).
# >
# > **Time** {time}
# >
# > **Result** layer scale folded into the weights of ViT-Ti/16, with
# > the same logits; three kinds of positions side by side.
# >
# > **Downloads** the weights of ViT-Ti/16 (22 MB, once). Nothing here
# > needs the weights of the other models.
# >
# > **Paper** [arXiv 2010.11929](https://arxiv.org/abs/2010.11929), and
# > one for each change, linked below.

# %%
import keras_vit  # before keras: it selects an installed backend
import keras
import matplotlib.pyplot as plt
import numpy as np
from keras_vit import descendants

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
to_numpy = keras.ops.convert_to_numpy

model = keras_vit.load_pretrained("ViT-Ti/16", verbose=False)
cat = keras_vit.data.example_image()[np.newaxis]
logits = model.predict(cat, verbose=0)
names = keras_vit.checkpoints.class_names("ViT-Ti/16")
print(
    f"{names[logits.argmax()]}, with a logit of {logits.max():.1f}"
)

# %% [markdown]
# ## What changed, and when
#
# A ViT has five places where it can be changed: the tokens in front of
# the patches, the positions, the branches of a block, its MLP, and the
# way from tokens to one vector.

# %% alt="A table: eight models by date, and what each changed"
columns = "in front", "positions", "branch", "MLP", "output"
table = {
    "2020-10 ViT": ("class token", "learned", "x + f(x)", "GELU",
                    "class token"),
    "2020-12 DeiT": ("+ distillation", "", "", "", "both tokens"),
    "2021-06 BEiT": ("", "offset bias", "layer scale", "", "mean"),
    "2023-03 EVA-02": ("", "+ rotary", "", "SwiGLU", "mean"),
    "2023-03 SigLIP": ("nothing", "", "", "", "attention"),
    "2023-04 DINOv2": ("", "", "layer scale", "", ""),
    "2023-09 registers": ("+ registers", "", "layer scale", "", ""),
    "2025-08 DINOv3": ("+ registers", "rotary", "layer scale",
                       "SwiGLU*", ""),
}  # fmt: skip
figure, axis = plt.subplots(figsize=(7.2, 3.4))
for row, (name, cells) in enumerate(table.items()):
    axis.text(-0.6, row, name, ha="right", va="center", fontsize=10)
    for column, cell in enumerate(cells):
        color = "#dddddd" if row == 0 else "#9ecae1"
        box = plt.Rectangle((column - 0.48, row - 0.4), 0.96, 0.8)
        box.set(facecolor=color if cell else "none")
        axis.add_patch(box)
        style = {"ha": "center", "va": "center", "fontsize": 9}
        axis.text(column, row, cell, color="black", **style)
for column, name in enumerate(columns):
    axis.text(column, -0.8, name, ha="center", fontsize=10)
axis.set(xlim=(-2.1, 4.5), ylim=(7.5, -1.1))
axis.set_axis_off()
plt.show()

# %% [markdown]
# **You should see** mostly empty cells: where a cell is empty, the
# model does what the ViT of 2020 does. (SwiGLU*: in the sizes S+, H+
# and 7B. DINOv2 has it in the size g. EVA-02 also has a layer
# normalization inside the MLP in the sizes B and L.) The last column is
# what their classifiers take; DINOv2's and DINOv3's add the mean of the
# patches.
#
# Each of these is a small module of `keras_vit.descendants`, a
# subclass or a pooling. The rest of the page reads the columns from
# left to right.
#
# ## DeiT: a second token that learns from a teacher
#
# [DeiT](https://arxiv.org/abs/2012.12877) trains on ImageNet alone. It
# needs a teacher, a convolutional network. A *distillation token* is
# added beside the class token. Its head learns the answer of the
# teacher, while the head of the class token learns the label:
#
# $$ z_0 = [x_\text{class};\, x_\text{distill};\, x_p^1 E;\, \ldots;\,
#    x_p^N E] + E_\text{pos} $$
#
# In inference, the logits of both heads are averaged. That equals one
# linear layer on both vectors, side by side, with half of each kernel:
#
# $$ \tfrac12 (y_1 W_1 + y_2 W_2) = [y_1; y_2]
#    \begin{bmatrix} W_1 / 2 \\ W_2 / 2 \end{bmatrix} $$
#
# So the library needs no second head, only a pooling that takes two
# tokens, `pooling="distilled"`.

# %%
tokens = rng.normal(size=(4, 198, 192)).astype("float32")
W_1, W_2 = rng.normal(size=(2, 192, 10)).astype("float32")
mean = (tokens[:, 0] @ W_1 + tokens[:, 1] @ W_2) / 2

y = to_numpy(descendants.ClassAndDistillationToken()(tokens))
one_head = y @ np.concatenate([W_1, W_2]) / 2
print(
    y.shape,
    f"largest difference {np.abs(mean - one_head).max():.1g}",
)
assert np.allclose(mean, one_head, atol=1e-4)

# %% [markdown]
# ## Registers: tokens without a position
#
# In [chapter 1](../01_see_first.py) a corner behind the cat was bright
# on the map, and [chapter 9](../09_looking_inside.py) found that the
# model hardly needs what it shows. How long are the tokens?

# %% alt="The cat, and the length of each token: long in the corners"
last = keras.Model(model.input, model.get_layer("block_11").output)
lengths = np.linalg.norm(last.predict(cat, verbose=0)[0], axis=-1)
order = np.argsort(-lengths[1:])  # without the class token
print("longest patches:", lengths[1:][order[:6]].round())
print("their places:   ", order[:6], "   median:", end=" ")
print(np.median(lengths[1:]).round())

figure, axes = plt.subplots(1, 2, figsize=(5, 2.6))
axes[0].imshow(cat[0])
shown = axes[1].imshow(np.log10(lengths[1:].reshape(14, 14)))
figure.colorbar(shown, label="log10 of the length")
for axis in axes:
    axis.set_axis_off()
plt.show()

# %% [markdown]
# **You should see** that four patches have tokens more than ten times
# as long as any other: the four corners. Darcet et al. found such
# tokens in larger models, and explain them as memory: a model needs
# some for the whole image, and takes patches that show little. We have
# measured only the lengths.
#
# Their [registers](https://arxiv.org/abs/2309.16588) are learned tokens
# that serve as this memory instead of patches:
#
# $$ z_0 = [x_\text{class} + p_0;\, r_1;\, \ldots;\, r_R;\,
#    x_p^1 E + p_1;\, \ldots] $$
#
# Why have they no position? Because a learned token with a learned
# position is the sum of two learned vectors, and one vector is enough.
# The same is true of the class token. We add $p_0$ to $x_\text{class}$
# and set $p_0$ to zero:

# %%
encoder = model.get_layer("patch_encoder")
x_class = to_numpy(encoder.class_token).copy()
E_pos = to_numpy(encoder.position_embedding).copy()
first, rest = np.split(E_pos, [1], axis=1)  # p_0; p_1 ... p_N

encoder.class_token.assign(x_class + first)
encoder.position_embedding.assign(
    np.concatenate([0 * first, rest], axis=1)
)
without = model.predict(cat, verbose=0)
print(f"largest difference {np.abs(without - logits).max():.1g}")
assert np.allclose(without, logits, atol=1e-4)

# %% [markdown]
# Registers must be trained with the model. Do four of them help if
# they are only added to the published ViT-Ti/16, as zeros?

# %%
with_registers = keras_vit.create(
    "ViT-Ti/16",
    descendants.RegisterViT,
    approximate=True,  # tanh
)
for layer in model.layers:
    if layer is not encoder:
        copy = with_registers.get_layer(layer.name)
        copy.set_weights(layer.get_weights())
new = with_registers.get_layer("patch_encoder")
new.projection.set_weights(encoder.projection.get_weights())
four = np.zeros((1, 4, 192), "float32")
new.class_token.assign(np.concatenate([x_class + first, four], 1))
new.position_embedding.assign(
    np.concatenate([0 * first, four, rest], axis=1)
)
both = keras.Model(
    with_registers.input,
    [
        with_registers.get_layer("block_11").output,
        with_registers.output,
    ],
)
tokens, disturbed = both.predict(cat, verbose=0)
lengths = np.linalg.norm(tokens[0], axis=-1)
print("still:", names[disturbed.argmax()], end=", ")
print(
    f"logits change by up to {np.abs(disturbed - logits).max():.1f}"
)
print("lengths of the registers:", lengths[1:5].round())
print(
    "longest patches:         ",
    np.sort(lengths[5:])[:-5:-1].round(),
)

# %% [markdown]
# They disturb the logits a little and do not help: the long tokens are
# still in the corners.
#
# ## Layer scale: a factor for each branch
#
# Deep ViTs are hard to start. [CaiT](https://arxiv.org/abs/2103.17239)
# multiplies each branch by a learned vector $\gamma$ of $D$ numbers
# that begins near zero, so a fresh model is almost the identity. BEiT,
# DINOv2 and DINOv3 have it too:
#
# $$ z'_\ell = \gamma_1 \odot \operatorname{MSA}(\operatorname{LN}(
#    z_{\ell-1})) + z_{\ell-1} $$
#
# It helps training. Afterwards it is not needed: every branch ends
# with a dense layer, and
#
# $$ \gamma \odot (x W + b) = x\, (W \operatorname{diag}(\gamma))
#    + \gamma \odot b $$
#
# is a dense layer again, with column $j$ of $W$ and entry $j$ of $b$
# multiplied by $\gamma_j$. First the model with factors of its own, for
# which we draw random ones:


# %%
class ScaledBlock(keras_vit.TransformerBlock):
    def call(self, x):
        attended = self.attention(self.norm_1(x))
        x = x + self.gammas[0] * attended
        return x + self.gammas[1] * self.mlp(self.norm_2(x))


class ScaledViT(keras_vit.ViT):
    block = ScaledBlock


gammas = rng.uniform(0.5, 1.5, (12, 2, 192)).astype("float32")
scaled = ScaledViT.from_config(model.get_config())
scaled.set_weights(model.get_weights())
for i in range(12):
    block = scaled.get_layer(f"block_{i}")
    block.gammas = keras.ops.convert_to_tensor(gammas[i])
by_gamma = scaled.predict(cat, verbose=0)


# %% [markdown]
# Now the plain ViT with the factors in its weights:


# %%
def fold(dense, gamma):
    W, b = dense.get_weights()
    dense.set_weights([W * gamma, b * gamma])


for i in range(12):
    block = model.get_layer(f"block_{i}")
    fold(block.attention.projection, gammas[i, 0])
    fold(block.mlp.contract, gammas[i, 1])
folded = model.predict(cat, verbose=0)
effect = np.abs(by_gamma - logits).max()
error = np.abs(folded - by_gamma).max()
print(
    f"gamma changes the logits by {effect:.1f}, folding by {error:.1g}"
)
assert np.allclose(folded, by_gamma, atol=1e-4)

# %% [markdown]
# **You should see** that the factors matter and where they are kept
# does not. `load_pretrained` folds them when it reads a file, so a
# DINOv2 without registers is a plain `ViT` here.
#
# ## SwiGLU: an MLP with a gate
#
# EVA-02 and the largest DINOs have two matrices where the MLP has one.
# The first makes a *gate* that is multiplied with the second
# ([Shazeer](https://arxiv.org/abs/2002.05202)):
#
# $$ \operatorname{MLP}(z) = (\operatorname{silu}(z W_\text{gate})
#    \odot z W_\text{up})\, W_\text{down},
#    \qquad \operatorname{silu}(x) = \frac{x}{1 + e^{-x}} $$
#
# Three matrices of width $\tfrac23 \cdot 4D$ have as many weights as
# two of width $4D$. For $D = 192$ that is 512 instead of 768:

# %%
z = rng.normal(size=(1, 5, 192)).astype("float32")
gated = descendants.dinov2.GatedMLP(mlp_dim=512)
plain = keras_vit.MLP(mlp_dim=768)
y = to_numpy(gated(z))
plain(z)

W, b = gated.expand.get_weights()
gate, up = np.split(z @ W + b, 2, axis=-1)
W, b = gated.contract.get_weights()
by_hand = (gate / (1 + np.exp(-gate)) * up) @ W + b
assert np.allclose(y, by_hand, atol=1e-5)
print("weights:", gated.count_params(), "and", plain.count_params())

# %% [markdown]
# ## SigLIP: pooling by attention
#
# [SigLIP](https://arxiv.org/abs/2303.15343) has no class token. One
# learned query, the *probe* $q$, looks at all patches after the last
# block, and a residual MLP follows:
#
# $$ u = \operatorname{softmax}\!\left(\frac{q K^\top}{\sqrt d}\right)
#    V\, U_\text{msa}, \qquad
#    y = u + \operatorname{MLP}(\operatorname{LN}(u)) $$
#
# It is a weighted mean, and it starts from the plain mean: a probe
# whose queries are zero gives each of $N$ patches the weight $1 / N$.

# %%
pool = descendants.AttentionPooling(num_heads=3, mlp_dim=768)
patches = rng.normal(size=(1, 196, 192)).astype("float32")
pool(patches)
weights = to_numpy(pool.attention_scores(patches))[0]  # (3, 196)
pool.probe.assign(np.zeros((1, 1, 192)))
even = to_numpy(pool.attention_scores(patches))[0]
print(f"fresh: weights {weights.min():.4f} to {weights.max():.4f}")
print(f"zero:  weights {even.min():.4f} to {even.max():.4f}")
assert np.allclose(even, 1 / 196)

# %% [markdown]
# A class token has a query in every block and takes part in all of
# them. The probe has one query, at the end. It costs one more block's
# worth of weights, and saves one token in each of the twelve blocks.
#
# ## Positions: learned, by offset, by rotation
#
# The paper adds a learned vector $p_i$ to each token. Attention can
# then compare two places by their $p_i$ and $p_j$, through learned
# matrices, and can learn a number for each pair of places. Two later
# ideas use only the *offset* of $i$ and $j$.
#
# [BEiT](https://arxiv.org/abs/2106.08254) adds to the scores a number
# that each head learns for each offset of rows and columns, of which a
# grid of $r \times c$ patches has $(2r - 1)(2c - 1)$:
#
# $$ A = \operatorname{softmax}\!\left(\frac{q k^\top}{\sqrt d} + B
#    \right), \qquad B_{ij} = b_{\,\text{row}_i - \text{row}_j,\
#    \text{column}_i - \text{column}_j} $$
#
# Rotary positions ([RoFormer](https://arxiv.org/abs/2104.09864); in
# EVA-02 and DINOv3 with rows and columns) rotate each query and key.
# Their entries, taken in pairs, are points in a plane. Each pair is
# rotated by an angle proportional to the place, some fast, some slowly.
# With $R_i$ for the rotation at place $i$,
#
# $$ (R_i q)^\top (R_j k) = q^\top R_i^\top R_j\, k
#    = q^\top R_{j-i}\, k, $$
#
# so only the offset counts, and there is nothing to learn:

# %%
layer = descendants.dinov3.RotarySelfAttention(
    num_heads=3, grid=(14, 14), prefix_tokens=0
)
layer.build((1, 196, 192))


def rotate(vector):
    """A vector of 64 numbers at each of the 196 places."""
    everywhere = np.tile(vector, (1, 196, 1, 1))
    everywhere = keras.ops.convert_to_tensor(everywhere)
    return to_numpy(layer.rotate(everywhere))[0, :, 0]


q, k = rng.normal(size=(2, 64)).astype("float32")
products = rotate(q) @ rotate(k).T  # (196, 196)
one, other = products[0, 16], products[100, 116]  # 1 row, 2 columns
print(f"same offset: {one:.4f} and {other:.4f}")
print(f"all offsets: {products.min():.1f} to {products.max():.1f}")
assert abs(one - other) < 1e-4

# %% [markdown]
# Do learned positions depend on the offset alone? We take the cosine
# similarity $S$ of ViT-Ti/16's positions, put the mean of each offset
# into BEiT's table, and read the table back. This is the best that a
# function of the offset can do.

# %% alt="Similarity to two patches: learned, by offset, rotary"
p = E_pos[0, 1:]
p = p / np.linalg.norm(p, axis=1, keepdims=True)
S = p @ p.T  # (196, 196)

pairs = descendants.beit.rows_of_pairs((14, 14))[1:, 1:]
total = np.bincount(pairs.ravel(), S.ravel())
bias = total / np.bincount(
    pairs.ravel()
)  # a number for each offset
B = bias[pairs]
apart = ~np.eye(196, dtype=bool)
rest = ((S - B)[apart] ** 2).mean() / S[apart].var()
print(f"{len(bias)} offsets explain {1 - rest:.0%} of the variance")

turned = rotate(np.ones(64, "float32"))
rotary = turned @ turned.T / 64
maps = {"learned": S, "by offset": B, "rotary": rotary}
figure, axes = plt.subplots(2, 3, figsize=(6.4, 4.2))
for row, place in zip(axes, (0, 7 * 14 + 4), strict=True):
    for axis, (name, values) in zip(row, maps.items(), strict=True):
        shown = values[place].reshape(14, 14)
        high = np.sort(values[place])[-2]  # the patch itself is 1
        axis.imshow(shown, vmax=high)
        axis.plot(place % 14, place // 14, "r+", ms=9)
        axis.set_title(name)
        axis.set_axis_off()
plt.show()

# %% [markdown]
# **You should see** each map centered on the patch with the red cross.
# (Each has its own range of colors, which ends below the similarity of
# the patch with itself.) The learned map shows that the model
# discovered rows and columns, with irregularities of its own. The
# table of offsets smooths them. Rotary attention, here for a query
# that equals the key, is also high near the patch and along its row
# and column, before any training.
#
# ## Exercises
#
# **Exercise 1.** With 24 blocks, CaiT starts $\gamma$ at $10^{-5}$.
# Take a fresh ViT-Ti/16, with random weights and 12 blocks. How far is
# the output of its last block from $z_0$, relative to the length of
# $z_0$, with $\gamma = 1$ and with $\gamma = 10^{-5}$? Use `fold`, and
# a `keras.Model` with two outputs.

# %% tags=["solution"]
fresh = keras_vit.create("ViT-Ti/16", num_layers=12)
ends = [
    fresh.get_layer(n).output for n in ("patch_encoder", "block_11")
]
ends = keras.Model(fresh.input, ends)
for gamma in (1, 1e-5):
    for i in range(12):
        block = fresh.get_layer(f"block_{i}")
        fold(block.attention.projection, gamma)
        fold(block.mlp.contract, gamma)
    z_0, z_L = ends.predict(cat, verbose=0)
    far = np.linalg.norm(z_L - z_0) / np.linalg.norm(z_0)
    print(f"gamma {gamma:g}: the tokens change by {far:.2g} of z_0")

# %% [markdown]
# **Exercise 2.** A model trained at 224 pixels is to be used at 320.
# In which of these models does a weight change its shape, and so has to
# be resized: the ViT, BEiT, EVA-02, DINOv3? Guess, then compare the
# shapes of models with one block.


# %% tags=["solution"]
def shapes(kind, side):
    small = {"num_layers": 1, "image_size": side}
    made = keras_vit.create("ViT-Ti/16", kind, **small)
    return {w.path.split("/", 1)[1]: w.shape for w in made.weights}


for kind in (
    keras_vit.ViT,
    descendants.BiasedViT,
    descendants.EVAViT,
    descendants.DINOv3ViT,
):
    before, after = shapes(kind, 224), shapes(kind, 320)
    changed = [
        path for path in before if before[path] != after[path]
    ]
    print(kind.__name__, changed or "nothing")

# %% [markdown]
# Only DINOv3 takes any size as it is. That does not make it right at
# any size: places are scaled to the image, so at a larger size the
# angles between neighbors are smaller than any in training.
#
# ## What could go wrong
#
# - **Features are nearly right, but not equal:** another epsilon of
#   layer normalization, another GELU, or another mean and standard
#   deviation of the pixels. `load_pretrained` takes them from the file
#   beside the weights.
# - **An attention map has bright spots in the background:** a model
#   without registers. Compare it with the lengths of the tokens.
# - **`tokens[:, 1:]` with registers:** the patches begin later. Ask
#   the model: `prefix_tokens`.
#
# ## Where to go next
#
# - [Published weights](../../docs/weights.md): those of all these
#   models, from timm, Hugging Face and KerasHub.
# - [Change or extend the model](../../docs/extend.md): a change of your
#   own, in a few lines.
# - [Every pixel](every_pixel.py): what tokens of patches are good for.
