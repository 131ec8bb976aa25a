# %% [markdown]
# # 9. Looking inside
#
# A trained ViT is a few million numbers. What have they become? The
# paper looks at four things: the filters that see the pixels, the
# positions, how far each head looks, and which patches the answer
# comes from. Each is a few lines of NumPy. Then we ask what such an
# image is worth: does it show what the model uses?
#
# > **You will be able to** make the paper's images of any ViT, and
# > test whether a map shows what the model uses.
# >
# > **You need** tutorials 2 to 4.
# >
# > **Time** {time}
# >
# > **Result** filters, positions, distances and maps of a trained
# > model, and two checks of them.
# >
# > **Paper** [arXiv 2010.11929](https://arxiv.org/abs/2010.11929),
# > section 4.5, Appendices D.4, D.7 and D.8, Figures 6, 7, 10, 11, 14.

# %%
import os
import pathlib

import keras_vit
import keras
import matplotlib.pyplot as plt
import numpy as np
from keras_vit import explain
from PIL import Image
from sklearn.datasets import load_sample_image

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
to_numpy = keras.ops.convert_to_numpy

# %% [markdown]
# ## A trained model, and its untrained twin
#
# `ViT-Mini/4` comes with the package: 4 blocks, patches of 4 pixels,
# trained by us on CIFAR-10. For a larger model set
# `KERAS_VIT_WEIGHTS` to a name or a file, such as `ViT-Ti/16`. Beside
# it we make a twin, the same model with fresh, random weights. What
# the twin shows as well was not learned.

# %%
weights = os.environ.get("KERAS_VIT_WEIGHTS", "ViT-Mini/4")
model = keras_vit.load_pretrained(weights, verbose=False)
twin = keras_vit.ViT.from_config(model.get_config())
height, width = model.image_size
print(f"{model.count_params():,} parameters")

# %% [markdown]
# The images are squares cut from two photographs that come with
# scikit-learn. (Set `KERAS_VIT_DATA` to a folder to look at your
# own.)


# %%
def squares(photo, count):
    """Yields squares of a photograph, the first from its middle."""
    for i in range(count):
        side = 427 if i == 0 else rng.integers(150, 427)
        left = 106 if i == 0 else rng.integers(0, 640 - side)
        top = rng.integers(0, 428 - side)
        box = (left, top, left + side, top + side)
        yield photo.crop(box)


folder = os.environ.get("KERAS_VIT_DATA")
if folder:
    kinds = (".jpg", ".jpeg", ".png")
    files = sorted(pathlib.Path(folder).rglob("*.*"))
    files = [file for file in files if file.suffix.lower() in kinds]
    most = 100 if os.environ.get("KERAS_VIT_FULL") else 16
    files = files[:: max(1, len(files) // most)][:most]
    photos = [Image.open(file) for file in files]
else:
    photos = [
        square
        for name in ("china.jpg", "flower.jpg")
        for square in squares(
            Image.fromarray(load_sample_image(name)), 8
        )
    ]
images = np.stack(
    [
        np.asarray(photo.convert("RGB").resize((width, height)))
        for photo in photos
    ]
)
some = images[:: max(1, len(images) // 2)][:2]  # for the figures
assert images.shape[1:] == (height, width, 3)
print(f"{len(images)} images of {height} × {width} pixels")

# %% [markdown]
# ## Filters: Figure 7, left
#
# The matrix $E$ of Eq. 1 turns a patch into a token. Each of its $D$
# columns is a filter of $P \times P$ pixels. Which kinds of patches
# does it keep? Its singular value decomposition answers: the first
# left singular vector is the patch that it keeps most of, and so on.

# %%
E = to_numpy(model.get_layer("patch_encoder").projection.kernel)
P = model.patch_size[0]
assert E.shape == (P * P * 3, model.hidden_dim)
U, S, _ = np.linalg.svd(E.astype("float64"), full_matrices=False)
by_hand = U[:, :28].T.reshape(28, P, P, 3)

filters = explain.embedding_filters(model, components=28)
signs = np.einsum("nhwc,nhwc->n", by_hand, filters)  # 1 or -1: a
signs = np.sign(signs)[:, None, None, None]  # sign has no meaning
np.testing.assert_allclose(by_hand * signs, filters, atol=1e-3)

# %% alt="The 28 strongest components of the filters, as small images"
explain.plots.embedding_filters(filters)

# %% [markdown]
# **You should see** plain colors and slow changes first, then finer
# patterns. In models with larger patches these are waves and
# checkerboards; the paper says that they look like a basis for the
# fine structure of a patch. What of it is learned? The twin is made
# of noise, and lets all kinds of patches pass nearly alike.

# %% alt="Strength of the components of a trained and a random matrix"
E_twin = to_numpy(twin.get_layer("patch_encoder").projection.kernel)
S_twin = np.linalg.svd(E_twin, compute_uv=False)
for name, values, style in (
    ("trained", S, "-"),
    ("untrained twin", S_twin, "--"),
):
    plt.plot(1 + np.arange(len(values)), values / values[0], style,
             label=name)  # fmt: skip
plt.title("How much of a patch passes")
plt.xlabel("component")
plt.ylabel("singular value (of the first)")
plt.legend()
plt.show()

# %% [markdown]
# ## Positions: Figure 7, center, and Figure 10
#
# Positions are learned, one vector for each patch. Nobody told the
# model which patches are neighbors. The cosine of two positions says
# how alike they have become.

# %%
encoder = model.get_layer("patch_encoder")
E_pos = to_numpy(encoder.position_embedding)
scores = explain.attention_scores(model, some)
rows, columns = scores.grid
skip = scores.prefix_tokens  # the class token comes first
e = E_pos[0, skip:]
assert e.shape == (rows * columns, model.hidden_dim)
e = e / np.linalg.norm(e, axis=1, keepdims=True)
cosine = e @ e.T
assert cosine.shape == (rows * columns, rows * columns)

similarity = explain.position_similarity(model)
cosine_maps = cosine.reshape(rows, columns, rows, columns)
np.testing.assert_allclose(similarity, cosine_maps, atol=1e-5)

# %% alt="For each patch a map of how alike the other positions are"
explain.plots.position_similarity(similarity)

# %% [markdown]
# **You should see** that each small map is brightest at its own place
# and falls off from there: the model has learned that images have
# two dimensions. In numbers, beside the twin:

# %%
y, x = np.indices((rows, columns)).reshape(2, -1)
apart = np.hypot(y[:, None] - y, x[:, None] - x)  # in patches
for name, who in (("trained", model), ("untrained twin", twin)):
    found = explain.position_similarity(who).reshape(apart.shape)
    near, far = found[apart == 1].mean(), found[apart > 3].mean()
    print(f"{name:<15} cosine of neighbors {near:+.2f}", end="")
    print(f", of patches more than 3 apart {far:+.2f}")
    if who is model:
        assert near > far

# %% [markdown]
# ## Attention: Eq. 6
#
# The rest is made of attention scores. A model does not keep them; we
# take the tokens that enter a block and compute them again: normalize,
# make queries and keys, multiply, softmax.

# %%
block = model.get_layer(f"block_{model.num_layers - 1}")
z = to_numpy(keras.Model(model.input, block.input)(some))
B, T, D = z.shape
heads = model.num_heads
assert T == rows * columns + skip

qkv = to_numpy(block.attention.query_key_value(block.norm_1(z)))
q, k, _ = np.moveaxis(qkv.reshape(B, T, 3, heads, D // heads), 2, 0)
products = np.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(D // heads)
A = np.exp(products - products.max(-1, keepdims=True))
A = A / A.sum(-1, keepdims=True)
assert A.shape == (B, heads, T, T)
np.testing.assert_allclose(scores[block.name], A, atol=1e-4)
print("attention_scores and Eq. 6 agree")

# %% alt="Two images, and where the class token looks in each head"
explain.plots.attention_scores(scores, some)

# %% [markdown]
# ## How far heads look: Figure 7, right, and Figure 11
#
# A convolution sees a window. What is the window of a head? Take the
# distance between two patches, in pixels, weigh it by the attention,
# and take the mean over the patches that ask and over images. The
# class token has no place, so it is left out.

# %%
pixels_apart = apart * P
distances = []
for A in scores.values():
    A = A[:, :, skip:, skip:]
    A = A / A.sum(-1, keepdims=True)
    reach = (A * pixels_apart).sum(-1)  # (B, heads, patches)
    distances.append(reach.mean((0, 2)))  # (heads,)
np.testing.assert_allclose(
    explain.mean_attention_distance(scores), distances, rtol=1e-3
)
distances = explain.mean_attention_distance(model, images)
assert distances.shape == (model.num_layers, heads)

# %% alt="Mean attention distance of every head, block by block"
explain.plots.mean_attention_distance(distances)

# %%
by_twin = explain.mean_attention_distance(twin, images)
even = pixels_apart.mean()  # the same attention to all patches
print("block    trained: lowest  mean  highest     twin: mean")
for i, ours in enumerate(distances):
    print(f"{i:>5} {ours.min():>16.1f} {ours.mean():>5.1f}", end="")
    print(f" {ours.max():>8.1f} {by_twin[i].mean():>14.1f}")
print(f"Equal attention to all patches: {even:.1f} pixels")
np.testing.assert_allclose(by_twin, even, rtol=0.1)

# %% [markdown]
# **You should see** the twin near the distance of equal attention, and
# the trained heads away from it, each with a reach of its own. A head
# below it keeps to its neighborhood, as a convolution does; a head
# above it looks past it. In a large model, trained on many images,
# the heads differ much more: the stored table at the end shows it.
#
# ## From which patches the answer comes: Figures 6 and 14
#
# Attention of one block says where *tokens* look, and after the first
# block tokens are mixtures. Attention rollout follows the mixing back
# to the image. In each block the mean over heads becomes one matrix;
# half of it is the input itself, for the residual; all are multiplied:
#
# $$ R = \hat A_L \cdots \hat A_2 \hat A_1, \qquad
#    \hat A_\ell = \tfrac{1}{2} \bar A_\ell + \tfrac{1}{2} I $$
#
# The row of the class token, laid out on the grid, is the map.

# %%
R = np.eye(T)
for A in scores.values():
    R = (0.5 * A.mean(axis=1) + 0.5 * np.eye(T)) @ R  # (B, T, T)
by_hand = (R[:, 0] if skip else R.mean(1))[:, skip:]
by_hand = by_hand / by_hand.sum(axis=1, keepdims=True)
by_hand = by_hand.reshape(B, rows, columns)

np.testing.assert_allclose(
    explain.attention_rollout(scores), by_hand, atol=1e-5
)
maps = {"rollout": explain.attention_rollout(model, images)}

# %% alt="Two images and their attention rollout"
explain.plots.attention_rollout(by_hand, some)

# %% [markdown]
# ## A map is not an explanation
#
# Such an image is easy to believe. Two checks.
#
# **Does it depend on what was learned?** A map that the untrained twin
# gives as well shows the image, not the model
# ([Adebayo et al.](https://arxiv.org/abs/1810.03292)). We compare how
# uneven both are, and how they correlate.

# %%
of_twin = explain.attention_rollout(twin, images)
pairs = zip(maps["rollout"], of_twin, strict=True)
alike = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs]
for name, them in (("trained", maps["rollout"]), ("twin", of_twin)):
    uneven = np.mean([map_.max() / map_.mean() for map_ in them])
    print(f"{name:<8} highest patch: {uneven:.2f} times the mean")
print(f"correlation of the two maps: {np.mean(alike):+.2f}")

# %% [markdown]
# **Does the model need what it shows?** We take patches out of the
# image, the highest of the map first, paint them in the mean color,
# and watch the probability of the class that the model had named. The
# faster it falls, the better the map knew what the answer hangs on.
# Random order is the baseline. `relevance` is another map: it weighs
# attention by the gradient of the class
# ([Chefer et al.](https://arxiv.org/abs/2103.15679)).

# %% alt="Probability of the class as patches are removed, by map"
maps["relevance"] = explain.relevance(model, images)
maps["random order"] = rng.random(maps["rollout"].shape)
curves = {
    name: explain.deletion_curve(model, images, them)
    for name, them in maps.items()
}
assert curves["rollout"].shape == (15, len(images))
explain.plots.deletion_curve(curves)

# %% [markdown]
# **You should see** in the legend which map has the smaller area: that
# one is nearer to what the model uses. These are few images, and
# many of them may be cut from one photograph, so look at the bands
# before you rank. A band says where the mean would lie with other
# images of this kind, in 95 % of the cases:


# %%
def area(curve):
    return (curve[1:] + curve[:-1]).mean(axis=0) / 2  # (images,)


drawn = rng.integers(0, len(images), (2000, len(images)))
for name, curve in curves.items():
    gap = area(curves["random order"]) - area(curve)
    low, high = np.percentile(gap[drawn].mean(axis=1), (2.5, 97.5))
    print(f"{name:<13} area {area(curve).mean():.3f}", end="")
    print(f", below random by {gap.mean():+.3f}", end="")
    print(f" ({low:+.3f} to {high:+.3f})")

# %% [markdown]
# ## What would it say earlier?
#
# One more view costs three lines. The final norm and the head read the
# class token after the last block. They can read it after any block:
# the logit lens.

# %%
class_names = None
if weights == "ViT-Mini/4":
    class_names = "airplane automobile bird cat deer dog frog horse"
    class_names = [*class_names.split(), "ship", "truck"]
lens = explain.logit_lens(model, some)
assert lens.shape == (model.num_layers + 1, 2, model.num_classes)
last = to_numpy(model(some))
np.testing.assert_allclose(lens[-1], last, rtol=1e-3, atol=1e-3)

# %% alt="Probabilities of the classes after each block, two images"
explain.plots.logit_lens(lens, some, class_names=class_names)

# %% [markdown]
# **You should see** an answer that forms over the blocks. Do not take
# it at its word: a model of ten classes must call a temple one of the
# ten. What the views show is how it comes to say so.
#
# ## Exercises
#
# **Exercise 1.** Compute the logit lens after block 0 by hand, with
# the layers `block_0`, `encoder_norm`, `pooling` and `head`.

# %% tags=["solution"]
z_1 = model.get_layer("block_0").output
z_1 = keras.Model(model.input, z_1)(some)
y = model.get_layer("pooling")(model.get_layer("encoder_norm")(z_1))
by_hand = to_numpy(model.get_layer("head")(y))
np.testing.assert_allclose(by_hand, lens[1], rtol=1e-3, atol=1e-3)

# %% [markdown]
# **Exercise 2.** What is the rollout if every head looks at everything
# alike? And if every token looks only at itself? Say it first.

# %% tags=["solution"]
uniform = np.full((4, 1, 2, 17, 17), 1 / 17)
even = explain.attention_rollout(uniform)
np.testing.assert_allclose(even, 1 / 16, rtol=1e-5)
itself = np.tile(np.eye(17), (4, 1, 2, 1, 1))
nothing = explain.attention_rollout(itself)
assert not nothing.any()  # no patch reaches the class token

# %% [markdown]
# **Exercise 3.** The paper says that the position embeddings of one
# row or one column are alike. Measure it for the model above: the
# mean cosine within a row, within a column, and elsewhere.

# %% tags=["solution"]
y, x = np.indices((rows, columns)).reshape(2, -1)
same_row, same_column = y[:, None] == y, x[:, None] == x
pairs = {
    "row": same_row & ~same_column,
    "column": same_column & ~same_row,
    "elsewhere": ~same_row & ~same_column,
}
means = {name: cosine[mask].mean() for name, mask in pairs.items()}
for name, mean in means.items():
    print(f"{name:<9} {mean:+.2f}")
assert max(means["row"], means["column"]) > means["elsewhere"]

# %% [markdown]
# ## What the paper reports, what we got, why they differ
#
# **Stored results of the full run** with a published ViT-Ti/16
# (AugReg: ImageNet-21k, then ImageNet, 224 pixels) and 100 photographs
# with ImageNet labels (development set of the NIPS 2017 competition,
# squashed to 224 pixels), `KERAS_VIT_FULL=1 KERAS_VIT_WEIGHTS=...
# KERAS_VIT_DATA=... python tutorials/09_looking_inside.py`: two shared
# CPU cores (AMD EPYC), Keras 3.15.1, JAX 0.10.2, seed 0, 2026-11-21.
#
# Mean attention distance in pixels, of 3 heads in each block; equal
# attention to all patches is 116.5:
#
# | block | lowest | mean | highest | twin, mean |
# |---|---|---|---|---|
# | 0 | 27.9 | 53.9 | 83.4 | 117.2 |
# | 1 | 22.6 | 41.3 | 78.4 | 117.0 |
# | 2 | 22.2 | 44.7 | 70.7 | 115.6 |
# | 3 | 38.3 | 69.5 | 115.7 | 117.3 |
# | 4 | 55.2 | 81.7 | 104.5 | 115.8 |
# | 5 | 55.1 | 64.4 | 82.8 | 116.3 |
# | 6 | 78.8 | 95.6 | 108.9 | 115.6 |
# | 7 | 84.5 | 88.2 | 92.8 | 116.4 |
# | 8 | 111.4 | 117.6 | 127.4 | 116.5 |
# | 9 | 135.7 | 138.4 | 141.3 | 116.5 |
# | 10 | 144.9 | 149.7 | 153.4 | 116.3 |
# | 11 | 144.0 | 144.9 | 146.1 | 116.5 |
#
# Removing patches, area below the curve (95 % interval of the gap):
#
# | order of removal | area | below random by |
# |---|---|---|
# | random | 0.367 | |
# | rollout | 0.224 | 0.143 (0.109 to 0.180) |
# | relevance | 0.131 | 0.236 (0.206 to 0.267) |
#
# Beside the paper, which looks into ViT-L/16 and ViT-L/32:
#
# - **Figures 6 and 14**, rollout. Paper: attention goes to regions that
#   matter for the class. Ours: the highest patch of a map has 2.8 times
#   its mean (the twin's 1.7); removing by rollout beats random order,
#   and removing by relevance beats rollout.
# - **Figure 7, left**, filters. Paper: like a basis for the fine
#   structure of a patch. Ours: blobs, waves and checkerboards, drawn in
#   [Look inside](../docs/explain.md).
# - **Figure 7, center**, positions. Paper: near ones are alike, and
#   those of a row or a column. Ours: cosine 0.85 of neighbors, 0.50 in
#   a row, 0.43 in a column, −0.06 elsewhere.
# - **Figure 7, right, and 11, left**, distance. Paper: it grows with
#   depth; in the lowest blocks some heads look at most of the image,
#   others stay near. Ours: it grows; in blocks 0 to 2 all heads stay
#   below equal attention, near and middling ones side by side.
# - **Figure 10**. Paper: how the positions look depends on how one
#   trains. Ours: one training only, so nothing to compare.
# - **Figure 11, right**. Paper: heads that stay near are rarer in a
#   hybrid. Ours: no trained hybrid was at hand.
#
# Why do they differ? ViT-Ti/16 has 3 heads in a block where ViT-L/16
# has 16, so there are fewer kinds to see. Its last blocks look farther
# than equal attention: a few tokens, which the model uses as memory,
# draw all others. And `ViT-Mini/4` is a small model of small images:
# it shows less of all this.
#
# ## Next
#
# The same views at a terminal, with more of them, on one page for your
# own images: [Look inside](../docs/explain.md).
