# %% [markdown]
# # Hybrids and BiT ResNets
#
# A ViT cuts the image into patches. A hybrid first runs a ResNet and
# cuts its feature map, so each token already contains information
# about its surroundings. This page builds that ResNet from its three
# parts, turns its feature map into tokens, and trains a ViT, a hybrid
# and a ResNet of the same cost.
#
# > **You will be able to** standardize a convolution, normalize in
# > groups, read names such as R50+ViT-B/16, and compare models at
# > equal cost.
# >
# > **You need** chapters [2](../02_sequence.py) to
# > [5](../05_training.py), and what a convolution is.
# >
# > **Time** {time}
# >
# > **Result** three models of similar cost on the same digits: 95 to
# > 98 %, with intervals that overlap.
# >
# > **Paper** [arXiv 2010.11929](https://arxiv.org/abs/2010.11929),
# > sections 3.1 and 4.1, Table 6, Figure 5.

# %%
import os

import keras_vit
import keras
import matplotlib.pyplot as plt
import numpy as np
from keras_vit import convolutions, hybrid
from keras_vit.resnet import stages
from PIL import Image
from sklearn.datasets import load_sample_image

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
to_numpy = keras.ops.convert_to_numpy
full = bool(os.environ.get("KERAS_VIT_FULL"))

# %% [markdown]
# ## A convolution whose kernel is standardized
#
# The paper's ResNet is BiT, "Big Transfer": train once on a lot of
# data, then fine-tune on any task, with any batch size. For this
# purpose, two parts of an ordinary ResNet were replaced.
#
# The first is the convolution. Before a kernel is used, each of its
# filters is standardized: subtract the mean, divide by the standard
# deviation.
#
# $$ \hat w = \frac{w - \operatorname{mean}(w)}
#    {\operatorname{deviation}(w) + 10^{-5}} $$
#
# Mean and deviation are taken over height, width and channels. So the
# scale and the offset of a filter do not matter, only its pattern. A
# filter of 3 × 3 by hand: cut out every window, multiply, sum.

# %%
x = rng.normal(size=(2, 8, 8, 16)).astype("float32")
w = rng.normal(0.5, 3, (3, 3, 16, 32)).astype("float32")

w_hat = (w - w.mean((0, 1, 2))) / (w.std((0, 1, 2)) + 1e-5)
padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
windows = np.lib.stride_tricks.sliding_window_view(
    padded, (3, 3), axis=(1, 2)
)
assert windows.shape == (2, 8, 8, 16, 3, 3)
by_hand = np.einsum("bhwcij,ijcn->bhwn", windows, w_hat)
assert by_hand.shape == (2, 8, 8, 32)

# %% [markdown]
# The library has two versions, `HybridConv` for hybrids and `BiTConv`
# for BiT. They add the small constant at different places, and
# published weights fit only the version that they were trained with.

# %%
layers = [
    convolutions.HybridConv(32, kernel_size=3),
    convolutions.BiTConv(32, kernel_size=3),
]
for layer in layers:
    layer.build(x.shape)
    layer.kernel.assign(w)
    np.testing.assert_allclose(
        to_numpy(layer(x)), by_hand, rtol=1e-3, atol=1e-3
    )
    before = to_numpy(layer(x))
    layer.kernel.assign(10 * w + 7)  # another scale and offset
    np.testing.assert_allclose(
        to_numpy(layer(x)), before, rtol=1e-2, atol=1e-2
    )
print("both agree; scale and offset of the kernel do not matter")

# %% [markdown]
# ## Group normalization, and why not batch normalization
#
# The second part is the normalization. Batch normalization takes the
# mean and deviation of a channel over all images of the batch. Group
# normalization splits the channels of *one* image into 32 groups, and
# takes the mean and deviation of each group over all positions:

# %%
maps = rng.normal(1, 2, (64, 4, 4, 64)).astype("float32")


def group_norm(x, groups=32, epsilon=1e-6):
    B, H, W, C = x.shape
    g = x.reshape(B, H, W, groups, C // groups)
    mean = g.mean((1, 2, 4), keepdims=True)
    variance = g.var((1, 2, 4), keepdims=True)
    g = (g - mean) / np.sqrt(variance + epsilon)
    return g.reshape(x.shape)


norm = convolutions.group_norm(1e-6, "norm", dtype=None)
np.testing.assert_allclose(
    to_numpy(norm(maps)), group_norm(maps), atol=1e-4
)

# %% [markdown]
# Why does it matter? We normalize the same image 200 times, each time
# in a batch with other random images, and measure how much its output
# changes.

# %% alt="Batch normalization changes with the batch, group norm not"
sizes = (2, 4, 8, 16, 32)


def batch_norm(x):
    return (x - x.mean((0, 1, 2))) / x.std((0, 1, 2))


def change(normalize, size):
    first = []
    for _ in range(200):
        others = 1 + rng.choice(63, size - 1, replace=False)
        first.append(normalize(maps[[0, *others]])[0])
    return np.std(first, axis=0, dtype="float64").mean()


batch = [change(batch_norm, size) for size in sizes]
group = [change(group_norm, size) for size in sizes]
plt.plot(sizes, batch, "-o", label="batch normalization")
plt.plot(sizes, group, "--s", label="group normalization")
plt.xscale("log", base=2)
plt.title("How much an output depends on the rest of the batch")
plt.xlabel("images in the batch")
plt.ylabel("standard deviation of the output")
plt.legend()
plt.show()
assert max(group) < 1e-6 < batch[-1] < batch[0]

# %% [markdown]
# **You should see** one line that falls and one at zero. In a small
# batch, batch normalization changes the output of an image for reasons
# that are not in the image, and large images leave room only for small
# batches. In inference it uses averages from training, which may
# belong to another dataset. Group normalization avoids both problems,
# which is why BiT, designed for fine-tuning, uses it.
#
# ## A residual unit
#
# A unit has three convolutions: 1 × 1 to fewer channels, 3 × 3 on
# these, and 1 × 1 back to four times as many. Around them is the same
# residual connection as in a Transformer block. We take the parts of a
# unit and compute it step by step:

# %%
unit = convolutions.HybridUnit(filters=32)
x = np.abs(rng.normal(size=(2, 8, 8, 128))).astype("float32")
unit.build(x.shape)
fresh = to_numpy(unit(x))


def relu(x):
    return np.maximum(to_numpy(x), 0)


def branch(x):
    y = relu(unit.norm_1(unit.conv_1(x)))  # (2, 8, 8, 32)
    y = relu(unit.norm_2(unit.conv_2(y)))  # (2, 8, 8, 32)
    return to_numpy(unit.norm_3(unit.conv_3(y)))  # (2, 8, 8, 128)


np.testing.assert_allclose(fresh, x, atol=1e-6)
unit.norm_3.gamma.assign(np.ones(128))
np.testing.assert_allclose(
    to_numpy(unit(x)), relu(x + branch(x)), atol=1e-4
)

# %% [markdown]
# The first assertion says that a new unit changes nothing: its last
# scale, gamma, starts at zero, so a deep ResNet starts as a shallow
# one. BiT's unit has the same parts in a different order. It normalizes
# *before* each convolution, so nothing interrupts the residual path, as
# in a ViT.

# %%
bit = convolutions.BiTUnit(filters=32)
bit.build(x.shape)
y = bit.conv_1(relu(bit.norm_1(x)))
y = bit.conv_2(relu(bit.norm_2(y)))
y = to_numpy(bit.conv_3(relu(bit.norm_3(y))))
np.testing.assert_allclose(to_numpy(bit(x)), x + y, atol=1e-4)

# %% [markdown]
# ## From an image to a feature map, from there to tokens
#
# The stem, here called root, divides height and width by four. Then
# come stages of units. Each stage after the first halves height and
# width and doubles the channels. Keras computes these shapes without
# creating any weight. Here are the two forms of section 4.1: the whole
# ResNet-50, and the one without stage 4, whose units are moved into
# stage 3.


# %%
def resnet(units):
    """The layers that a hybrid has before its patches."""
    yield convolutions.HybridRoot(64, name="root")
    for unit in stages(convolutions.HybridUnit, units):
        yield unit()


def shapes(units, shape=(1, 224, 224, 3)):
    for layer in resnet(units):
        shape = layer.compute_output_shape(shape)
        if layer.name == "root" or layer.name.endswith("_unit_1"):
            print(f"    {layer.name:<15} {shape[1:]}")
    return shape[1:]


for name in ("R50+ViT-B/32", "R50+ViT-B/16"):
    units = keras_vit.list_variants()[name].resnet_units
    print(f"{name}: {units} units")
    map_ = shapes(units)
    patch = keras_vit.list_variants()[name].patch_size
    assert map_[0] == map_[1] == 224 // patch
    assert hybrid.step(units) == patch  # pixels between two cells

# %% [markdown]
# So each cell of the feature map stands for 32 × 32 or 16 × 16 pixels,
# as many as the patches of ViT-B/32 and ViT-B/16. Each cell becomes one
# token, a patch of 1 × 1. From here on a hybrid is a ViT: project, add
# the class token and positions, apply the blocks.

# %%
# R+ViT-Ti/16 is the smallest named hybrid. It has a root and no stage,
# and its patches are 8 x 8 cells of the feature map.
small = keras_vit.create("R+ViT-Ti/16")
output = {
    name: tuple(small.get_layer(name).output.shape[1:])
    for name in ("root", "patches", "patch_encoder")
}
assert output["root"] == (56, 56, 64)
assert output["patches"] == (49, 8 * 8 * 64)
assert output["patch_encoder"] == (50, 192)

# %% [markdown]
# ## What a token sees
#
# A patch of a ViT contains 16 × 16 pixels. A cell of the feature map
# depends on the windows of all convolutions before it: its *receptive
# field*. A layer with windows of $k$ cells, whose cells are $s$ pixels
# apart, widens the field by $(k - 1)\, s$ pixels:


# %%
def field(units):
    side = 7 + (3 - 1) * 2  # the root: 7 x 7, then a pool of 3 x 3
    step = 4
    for stage, count in enumerate(units):
        for number in range(count):  # one 3 x 3 in each unit
            side += (3 - 1) * step
            if stage > 0 and number == 0:
                step *= 2
    return side


fields = {
    "ViT-B/16, a patch": 16,
    "stage 1 of R50": field((3,)),
    "stage 2": field((3, 4)),
    "stage 3 of R50+ViT-B/16": field((3, 4, 9)),
}

# The same by experiment: images with one bright pixel each, and
# windows that keep the maximum. Which pixels reach the middle?
seen = np.eye(255, dtype="float32")[..., None]  # (255, 255, 1)
windows = [(7, 2), (3, 2)] + [(3, 1)] * 3 + [(3, 2)] + [(3, 1)] * 3
for k, s in windows:
    seen = keras.ops.max_pool(seen, k, s, "same")
middle = to_numpy(seen)[:, 16, 0]
assert middle.sum() == fields["stage 2"] == 91

# %% alt="A photograph with frames: the receptive field of one token"
photo = Image.fromarray(load_sample_image("china.jpg"))
photo = photo.crop((106, 0, 533, 427)).resize((224, 224))
figure, axis = plt.subplots(figsize=(7, 4.2), layout="constrained")
axis.imshow(photo, extent=(0, 224, 224, 0))
colors = ("white", "#E69F00", "#56B4E9", "#CC79A7")
for (name, side), color in zip(fields.items(), colors, strict=True):
    corner = 112 - side / 2
    square = plt.Rectangle((corner, corner), side, side, fill=False)
    square.set(ec=color, lw=3, label=f"{name}: {side} pixels")
    axis.add_patch(square)
axis.set(xlim=(-76, 300), ylim=(300, -76))
axis.set(xticks=(0, 224), yticks=(0, 224))
axis.set(xlabel="pixels", ylabel="pixels")
axis.set_title("Receptive field of one token")
figure.legend(loc="outside right center", facecolor="0.6")
plt.show()
assert fields["stage 3 of R50+ViT-B/16"] > 224

# %% [markdown]
# **You should see** that the receptive field of a token of R50+ViT-B/16
# is larger than the image: before any attention, it can depend on all
# of it. (Strictly, even a cell of the root does: group normalization
# takes its mean over all cells.)
# What a ViT must learn in its first blocks, that nearby pixels belong
# together, is built into a hybrid.
#
# ## What it costs
#
# A comparison is fair if all models use the same amount of compute. We
# count parameters, and multiplications for one image.


# %%
def stem_cost(side, units, channels):
    side //= 2
    total = 7 * 7 * channels * 64 * side**2
    side, channels = side // 2, 64
    for stage, count in enumerate(units):
        n = 64 * 2**stage
        for number in range(count):
            total += channels * n * side**2  # 1 x 1
            side //= 2 if stage > 0 and number == 0 else 1
            if number == 0:  # the shortcut changes its shape
                total += channels * 4 * n * side**2
            total += (9 + 4) * n * n * side**2  # 3 x 3 and 1 x 1
            channels = 4 * n
    return total, side, channels


def vit_cost(side, channels, patch, D, mlp, num_layers):
    N = (side // patch) ** 2
    tokens = N + 1
    block = tokens * (4 * D * D + 2 * D * mlp) + 2 * tokens**2 * D
    return N * patch**2 * channels * D + num_layers * block


B = {"D": 768, "mlp": 3072, "num_layers": 12}
cost = {f"ViT-B/{P}": vit_cost(224, 3, P, **B) for P in (32, 16)}
for name in ("R50+ViT-B/32", "R50+ViT-B/16"):
    units = keras_vit.list_variants()[name].resnet_units
    stem, side, channels = stem_cost(224, units, 3)
    cost[name] = stem + vit_cost(side, channels, 1, **B)
cost["R50x1"] = stem_cost(224, (3, 4, 6, 3), 3)[0]
for name, count in cost.items():
    millions = keras_vit.list_variants()[name].parameters / 1e6
    print(f"{name:<13} {millions:6.1f} M parameters", end="")
    print(f" {count / 1e9:6.1f} G multiplications")

# The compute of Table 6, all of them trained for 7 epochs.
exaflops = {
    "ViT-B/32": 55,
    "ViT-B/16": 224,
    "R50+ViT-B/32": 106,
    "R50+ViT-B/16": 274,
    "R50x1": 50,
}
for name, theirs in exaflops.items():
    ours = cost[name] / cost["ViT-B/16"]
    np.testing.assert_allclose(ours, theirs / 224, rtol=0.06)

# %% [markdown]
# The last lines compare our count with the compute that the paper
# reports in Table 6: the ratios agree within 6 %.
#
# **You should see** that the ResNet adds a fifth to the cost of
# ViT-B/16, and that R50+ViT-B/32 costs less than half of it, because
# its blocks process only a quarter of the tokens.
#
# ## Three small models of similar cost
#
# The dataset is the handwritten digits of scikit-learn, at 16 × 16
# pixels. (To use your own images, at 32 × 32 pixels, set
# `KERAS_VIT_DATA` to a folder with a subfolder for each class.) In all
# three models, cells or patches are 4 pixels apart. The pixels are
# divided by 4,000 so that they do not drown the positions of the ViT
# ([chapter 6](../06_data.py)).

# %%
source = os.environ.get("KERAS_VIT_DATA", "digits")
side, channels = (16, 1) if source == "digits" else (32, 3)
settings = keras_vit.training.recipe("digits")
data = keras_vit.data.load(
    source,
    image_size=side,
    num_channels=channels,
    batch_size=64,
    augment=settings.augmentation,
    seed=0,
)
image = {
    "image_size": side,
    "num_channels": channels,
    "num_classes": data.num_classes,
    "normalize": (75, 4000),
}
tokens = {
    "patch_size": 4,
    "hidden_dim": 64,
    "mlp_dim": 128,
    "num_heads": 4,
}
makers = {
    "ViT": lambda: keras_vit.ViT(num_layers=4, **tokens, **image),
    "hybrid": lambda: keras_vit.HybridViT(
        num_layers=2, resnet_units=(1,), **tokens, **image
    ),
    "ResNet": lambda: keras_vit.ResNet(units=(2,), **image),
}
stem, map_side, width = stem_cost(side, (1,), channels)
cost = {
    "ViT": vit_cost(side, channels, 4, 64, 128, 4),
    "hybrid": stem + vit_cost(map_side, width, 1, 64, 128, 2),
    "ResNet": stem_cost(side, (2,), channels)[0],
}
for name, make in makers.items():
    parameters = make().count_params()
    print(f"{name:<7} {parameters:,} parameters", end="")
    print(f" {cost[name] / 1e6:.1f} M multiplications")
assert max(cost.values()) < 1.25 * min(cost.values())

# %%
epochs, seeds = (20, range(5)) if full else (8, range(1))


def train(make, seed):
    keras.utils.set_random_seed(seed)
    model = make()
    name = "digits"
    recipe = keras_vit.training.recipe(name, data, epochs=epochs)
    model.compile(**recipe.compile_arguments)
    history = model.fit(
        data.train,
        validation_data=data.validation,
        verbose=0,
        **recipe.fit_arguments,
    )
    losses = history.history["val_loss"]
    return losses, keras_vit.training.evaluate(model, data)


results = {
    name: [train(make, seed) for seed in seeds]
    for name, make in makers.items()
}

# %% alt="Validation loss of the three models over the epochs"
styles = {"ViT": "-o", "hybrid": "--s", "ResNet": "-.^"}
for name, runs in results.items():
    losses = np.mean([losses for losses, _ in runs], axis=0)
    plt.plot(range(1, epochs + 1), losses, styles[name], label=name)
plt.yscale("log")
plt.title("Three models of similar cost")
plt.xlabel("epoch")
plt.ylabel("validation loss")
plt.legend()
plt.show()

# %%
baselines = keras_vit.training.baselines(data)
print(f"chance               {1 / data.num_classes:.1%}")
for name, accuracy in baselines.items():
    print(f"{name:<20} {accuracy:.1%}")
for name, runs in results.items():
    for seed, (_, found) in zip(seeds, runs, strict=True):
        low, high = found.interval
        print(f"{name:<7} seed {seed}       ", end="")
        print(f" {found.accuracy:.1%}", end="")
        print(f"  (95 % interval {low:.1%} to {high:.1%})")
        assert source != "digits" or found.accuracy > 0.8

# %% [markdown]
# **You should see** in the figure that the models with convolutions
# learn faster at first, and here that the intervals of all three
# overlap. With a few hundred test images and one seed, this run cannot
# rank them. Can five seeds and more epochs?
#
# **Stored results of the full run**, `KERAS_VIT_FULL=1
# KERAS_BACKEND=tensorflow python tutorials/deeper/hybrids.py`: 20
# epochs, seeds 0 to 4 (of weights and order; the division into splits
# stays), 359 test images, two shared CPU cores (AMD EPYC), Keras
# 3.15.1, TensorFlow 2.21.0, 2026-11-21.
#
# | model | test accuracy, mean | by seed |
# |---|---|---|
# | ViT | 98.4 % | 98.1, 98.1, 98.3, 98.1, 99.2 |
# | hybrid | 98.4 % | 97.2, 98.1, 99.4, 97.8, 99.4 |
# | ResNet | 98.8 % | 98.6, 99.2, 98.6, 98.6, 98.9 |
# | support vector machine | 98.3 % | |
# | logistic regression | 95.3 % | |
#
# No. The means differ by less than half a point, the seeds of one model
# by up to two. All three have learned the task, and none of them beats
# the support vector machine by more than chance explains.
#
# ## Exercises
#
# **Exercise 1.** How many tokens does R50+ViT-L/16 have at 384 × 384
# pixels, with the class token?

# %% tags=["solution"]
shape = (1, 384, 384, 3)
units = keras_vit.list_variants()["R50+ViT-L/16"].resnet_units
for layer in resnet(units):
    shape = layer.compute_output_shape(shape)
assert shape[1] * shape[2] + 1 == 24 * 24 + 1 == 577

# %% [markdown]
# **Exercise 2.** A ResNet takes images of any size; a ViT needs its
# positions resized (section 3.2). And a hybrid? Answer first, then
# compare the shapes of the weights at two image sizes.

# %% tags=["solution"]
other = {**image, "image_size": 2 * side}
for kind, same in (
    (keras_vit.ResNet, True),
    (keras_vit.HybridViT, False),
):
    more = {"units": (1,)}
    if kind is keras_vit.HybridViT:
        more = {"resnet_units": (1,), "num_layers": 1, **tokens}
    here, there = (
        [w.shape for w in kind(**more, **size).weights]
        for size in (image, other)
    )
    assert (here == there) == same
# A hybrid is like a ViT here: only its position table differs.

# %% [markdown]
# **Exercise 3.** Permute the 64 channels before a group normalization
# at random, and undo the permutation after it. Is the output the same?
# And if only the two channels of each group are swapped?

# %% tags=["solution"]
anywhere = rng.permutation(64)
inside = np.arange(64).reshape(32, 2)[:, ::-1].ravel()
for order, same in ((anywhere, False), (inside, True)):
    back = np.argsort(order)
    swapped = group_norm(maps[..., order])[..., back]
    assert np.allclose(swapped, group_norm(maps), atol=1e-4) == same
# It matters which channels share a group, not their order in it.

# %% [markdown]
# ## What could go wrong
#
# - **Published weights give slightly wrong logits:** the layers use
#   the constant, epsilon or padding of another model.
#   `load_pretrained` chooses the right ones.
# - **A number of channels is refused:** 32 groups need a multiple of
#   32 channels.
# - **The hybrid is ahead, at twice the cost:** compare multiplications
#   or time, not parameters. A stem has few parameters and many
#   multiplications.
#
# ## How this compares with the paper
#
# Figure 5 compares the three families by the compute of their
# training on JFT-300M. Table 6 has the numbers; here are those for
# ImageNet:

# %% alt="ImageNet accuracy over compute, from Table 6 of the paper"
table_6 = {  # name: (exaFLOPs, ImageNet accuracy in percent)
    "ViT": [
        ("B/32", 55, 80.73),
        ("B/16", 224, 84.15),
        ("L/32", 196, 84.37),
        ("L/16", 783, 86.30),
        ("L/16, 14 ep.", 1567, 87.12),
        ("H/14, 14 ep.", 4262, 88.08),
    ],
    "hybrid": [
        ("R50+B/32", 106, 84.90),
        ("R50+B/16", 274, 85.58),
        ("R50+L/32", 246, 85.68),
        ("R50+L/16", 859, 86.60),
        ("R50+L/16, 14 ep.", 1668, 87.12),
    ],
    "ResNet": [
        ("R50x1", 50, 77.54),
        ("R50x2", 199, 82.12),
        ("R101x1", 96, 80.67),
        ("R152x1", 141, 81.88),
        ("R152x2", 563, 84.97),
        ("R152x2, 14 ep.", 1126, 85.56),
        ("R200x3, 14 ep.", 3306, 87.22),
    ],
}
plt.figure(figsize=(7, 4.6))
for family, rows in table_6.items():
    rows = sorted(rows, key=lambda row: row[1])
    names, compute, accuracy = zip(*rows, strict=True)
    plt.plot(compute, accuracy, styles[family], label=family)
    for place in (0, -1):  # the smallest and the largest
        above = -0.6 if family == "ResNet" else 0.25
        x, y = compute[place], accuracy[place] + above
        plt.text(x, y, names[place], fontsize=9, ha="center")
plt.xscale("log")
plt.xlim(30, 8000)
plt.ylim(76.5, 89)
plt.title("Table 6 of the paper: from JFT-300M to ImageNet")
plt.xlabel("compute of pre-training (exaFLOPs)")
plt.ylabel("ImageNet accuracy (%)")
plt.legend()
plt.show()

# %% [markdown]
# **You should see** hybrids above ViTs at small compute, and both lines
# meeting at large compute: at about 1,600 exaFLOPs, both reach 87.12 %.
# According to the paper, ResNets need two to four times the compute for
# the same accuracy. That hybrids lose their lead at large scale
# surprised its authors: one might expect convolutional features to help
# ViTs of every size.
#
# Our comparison says less. The task is easy, ViT-B/16 needs seven
# thousand times as many multiplications for an image as our ViT, and
# all three models are near the best that this test can show. What
# agrees is the beginning: in the first epochs, the models with
# convolutions have the lower validation loss.
#
# ## Where to go next
#
# - [Chapter 6](../06_data.py): what a convolution knows before it has
#   seen an image, and what that is worth.
# - [Many devices](many_devices.py): training models that are larger.
# - [Chapter 9](../09_looking_inside.py): what has a trained model
#   learned, and where does it look?
