# %% [markdown]
# # Many devices
#
# The paper's largest model has 632 million parameters, ViT-Mini of this
# course 139,000. Such models do not fit on a laptop, and training the
# largest does not fit on a single device. Three tools help: 16-bit
# numbers, gradient accumulation, and several devices. Each of them
# takes a few lines. This page shows what each of them saves, and that
# training stays the same.
#
# > **You will be able to** estimate the memory that training needs,
# > train in bfloat16, accumulate gradients, and train on several
# > devices with a program that is made for a TPU pod, too.
# >
# > **You need** [chapter 5](../05_training.py). No GPU: one CPU acts
# > as eight devices.
# >
# > **Time** {time}
# >
# > **Result** the same training run in five ways: the losses differ by
# > two millionths, and by 0.005 in bfloat16.
# >
# > **Paper** [arXiv 2010.11929](https://arxiv.org/abs/2010.11929),
# > sections 3.2 and 4.1, Tables 1 and 3, Appendix D.5.

# %% [markdown]
# JAX can present one CPU as eight devices, TensorFlow here as two. That
# is not faster, but it is the program that runs on eight real devices,
# except for the lines that set it up. They must come before the first
# computation: in a notebook in which something has run already, restart
# the kernel.

# %%
import contextlib
import math
import os

import keras_vit
import keras
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

BACKEND = keras.backend.backend()
devices = ["the only one"]
if BACKEND == "jax":
    flag = "--xla_force_host_platform_device_count=8"
    os.environ.setdefault("XLA_FLAGS", flag)
    devices = keras.distribution.list_devices()
elif BACKEND == "tensorflow":
    import tensorflow as tf

    [cpu] = tf.config.list_physical_devices("CPU")
    half = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(cpu, [half, half])
    devices = ["CPU:0", "CPU:1"]
print("Keras on", BACKEND, "with the devices", devices)

rng = np.random.default_rng(0)
to_numpy = keras.ops.convert_to_numpy
plt.style.use("tableau-colorblind10")

# %% [markdown]
# ## What fills the memory
#
# For each of its $P$ parameters, training keeps four numbers: the
# weight, its gradient, and the two moving averages of Adam. A float32
# takes 4 bytes. Then there are the **activations**, everything of the
# forward pass that the backward pass needs again. For each token, a
# block keeps at least 16 vectors of $D$ numbers: two inputs and two
# normalized ones (4), queries, keys and values (3), the output of the
# heads (1), and the hidden layer of the MLP before and after GELU
# ($2 \cdot 4$). For each pair of tokens it also keeps one attention
# score per head.


# %%
def training_memory(variant, images):
    """Bytes in float32, for images of 224 by 224 pixels."""
    N = (224 // variant.patch_size) ** 2 + 1
    block = 16 * N * variant.hidden_dim + variant.num_heads * N**2
    return {
        "weights": 4 * variant.parameters,
        "gradients": 4 * variant.parameters,
        "Adam's averages": 2 * 4 * variant.parameters,
        "activations": 4 * images * variant.num_layers * block,
    }


tiny = keras_vit.create("ViT-Ti/16")
by_hand = training_memory(
    keras_vit.list_variants()["ViT-Ti/16"], 64
)
assert by_hand["weights"] == 4 * tiny.count_params()

adam = keras.optimizers.AdamW()
adam.build(tiny.trainable_variables)
averages = [v for v in adam.variables if len(v.shape)]  # no counts
size = 4 * sum(np.prod(v.shape) for v in averages)
assert by_hand["Adam's averages"] == size
for part, size in by_hand.items():
    print(f"{part:<16}{size / 2**20:8,.0f} MiB")

# %% alt="Bars of training memory of five models, parts stacked"
names = "ViT-S/16", "ViT-B/16", "ViT-L/16", "ViT-H/14"
colors = "#0072B2", "#56B4E9", "#009E73", "#E69F00"
figure, axis = plt.subplots(
    figsize=(7.6, 3.2), layout="constrained"
)
for name in names[::-1]:
    parts = training_memory(keras_vit.list_variants()[name], 64)
    ends = np.cumsum([0, *parts.values()]) / 2**30
    axis.barh(name, np.diff(ends), left=ends[:-1], color=colors)
bars = [plt.Rectangle((0, 0), 1, 1, color=c) for c in colors]
axis.legend(bars, parts)
axis.set_xlabel("memory (GiB), at least")
axis.set_title("Training in float32, 64 images in a batch")
plt.show()

# %% [markdown]
# **You should see** that activations take most of the memory. They are
# also the only part that shrinks with the batch. So there are three
# ways to save memory: smaller numbers (mixed precision), fewer images
# at a time (accumulation), and more devices, each with some of the
# images or some of the weights.
#
# ## A number in 16 bits
#
# A float32 has 1 bit for the sign, 8 for the exponent (the order of
# magnitude) and 23 for the digits. A bfloat16 is the first 16 of these
# bits: the same range, and only 7 bits for the digits. So a float32
# can be rounded to bfloat16 with integers: add half of the part that
# will be cut off (a tie goes to the even neighbor), and cut.


# %%
def to_bfloat16(x):
    bits = np.asarray(x, "float32").view("uint32")
    is_odd = (bits >> 16) & 1
    rounded = bits + 0x7FFF + is_odd
    return (rounded & 0xFFFF0000).view("float32")


x = rng.normal(size=10_000).astype(
    "float32"
) * 10.0 ** rng.integers(-30, 30, 10_000).astype("float32")
by_keras = keras.ops.cast(keras.ops.cast(x, "bfloat16"), "float32")
np.testing.assert_array_equal(to_bfloat16(x), to_numpy(by_keras))
print("3.14159265 becomes", to_bfloat16([3.14159265])[0])

# %% [markdown]
# The other 16-bit format, float16, has 5 bits for the exponent and 10
# for the digits. We compare the rounding errors of both.

# %% alt="Relative error of rounding over the size of the number"
x = np.logspace(-10, 10, 20_000, dtype="float32")
with np.errstate(over="ignore"):
    as_float16 = x.astype("float16").astype("float32")
for name, rounded, style in (
    ("float16", as_float16, "-"),
    ("bfloat16", to_bfloat16(x), "--"),
):
    error = np.minimum(np.abs(rounded / x - 1), 1)
    worst = error.reshape(-1, 100).max(axis=1)  # of 100 neighbors
    plt.loglog(x[50::100], worst, style, label=name)
plt.title("Rounding error of 16-bit numbers")
plt.xlabel("number before rounding")
plt.ylabel("largest relative error")
plt.legend()
plt.show()
assert np.isinf(as_float16[-1]) and as_float16[0] == 0
assert np.abs(to_bfloat16(x) / x - 1).max() <= 2.0**-8

# %% [markdown]
# **You should see** that float16 is more precise, but only in the
# middle of the range: above 65,504 it overflows to infinity, and
# numbers below $3 \cdot 10^{-8}$ become 0. Gradients are often that
# small, so training in float16 multiplies the loss by a large factor
# first. bfloat16 has two or three digits everywhere, and needs no such
# factor.
#
# ## Mixed precision
#
# A small update of a weight would be lost in bfloat16:

# %%
assert to_bfloat16(1.0 + 0.001) == 1.0

# %% [markdown]
# So the weights stay in float32, and so do the logits, on which the
# loss depends. Everything between them is computed in bfloat16. In
# Keras this is one argument, for any model of the library:

# %%
small = {
    "num_layers": 2,
    "image_size": 8,
    "num_channels": 1,
    "num_classes": 10,
    "normalize": (75, 4000),
}
mixed = keras_vit.create(
    "ViT-Mini/2", dtype="mixed_bfloat16", **small
)
kernel = mixed.get_layer("block_0").mlp.expand.kernel
activation = mixed.get_layer("block_0").output
kinds = [
    keras.backend.standardize_dtype(tensor.dtype)
    for tensor in (kernel, activation, mixed.output)
]
assert kinds == ["float32", "bfloat16", "float32"]

# %% [markdown]
# Now we train. One function trains a ViT of two blocks on digits, with
# the same initial weights, the same order of the images and the same
# recipe every time. Training in float32 on one device is the baseline
# for everything that follows.

# %%
digits = load_digits()
images = (digits.images * 255 / 16).astype("uint8")
parts = {
    "train": (images[:1280], digits.target[:1280]),
    "test": (images[1280:1792], digits.target[1280:1792]),
}
curves, tests = {}, {}


def train(name, batch_size=64, accumulate=1, dtype="float32"):
    keras.utils.set_random_seed(0)
    data = keras_vit.data.load(
        parts,
        image_size=8,
        num_channels=1,
        batch_size=batch_size,
        validation_share=0,
    )
    recipe = keras_vit.training.recipe(
        "digits", data, epochs=6, accumulate=accumulate
    )
    model = keras_vit.create("ViT-Mini/2", dtype=dtype, **small)
    model.compile(**recipe.compile_arguments)
    history = model.fit(
        data.train, verbose=0, **recipe.fit_arguments
    )
    curves[name] = np.array(history.history["loss"])
    tests[name] = keras_vit.training.evaluate(model, data)
    return model


baseline = train("float32, one device")
train("bfloat16", dtype="mixed_bfloat16")
for name, test in tests.items():
    print(f"{name:<20} {test.accuracy:.1%} of the test digits")

# %% [markdown]
# ## Gradient accumulation
#
# The loss of a batch is the mean over its images. So the gradient of a
# batch is the mean of the gradients of its halves:
#
# $$ \nabla L = \tfrac{1}{2} \left( \nabla L_1 + \nabla L_2 \right) $$
#
# We check this with the simplest model, a softmax of $x W$, whose
# gradient is $x^\top (p - y) / B$.

# %%
x = rng.normal(size=(64, 16))  # (B, features)
y = np.eye(10)[rng.integers(10, size=64)]  # (B, classes)
W = rng.normal(size=(16, 10))


def gradient(x, y):
    e = np.exp(x @ W)
    p = e / e.sum(axis=1, keepdims=True)
    return x.T @ (p - y) / len(x)  # (features, classes)


halves = gradient(x[:32], y[:32]) + gradient(x[32:], y[32:])
np.testing.assert_allclose(gradient(x, y), halves / 2)

# %% [markdown]
# So a batch can be processed in four parts, one after another: add up
# the gradients, and update the weights once. Only a quarter of the
# activations are in memory at a time; the sums take as much memory as
# one more gradient. In a recipe, this is `accumulate=4`.

# %%
accumulated = train("4 × 16 images", batch_size=16, accumulate=4)
steps = [
    int(model.optimizer.iterations)
    for model in (baseline, accumulated)
]
assert steps[0] == steps[1] == 6 * 20  # updates, not batches

# %% [markdown]
# ## Several devices, each with some of the images
#
# If the parts of a batch can be processed one after another, they can
# also be processed at the same time, each on its own device. All
# devices have the same weights. Each computes the gradient of its own
# images, the gradients are averaged over the devices, and every device
# makes the same update. On JAX this is `keras.distribution`, on
# TensorFlow `tf.distribute`. The model is created in the scope, and the
# rest of the program stays the same. (PyTorch needs one process for
# each device: [devices](../../docs/howto/devices.md) has the program.)

# %%
parallel = None
if BACKEND == "jax":
    parallel = keras.distribution.DataParallel()
elif BACKEND == "tensorflow":
    parallel = tf.distribute.MirroredStrategy(devices)

with parallel.scope() if parallel else contextlib.nullcontext():
    train(f"images over {len(devices)} devices")

# %% [markdown]
# ## Several devices, each with some of the weights
#
# A model that is too large for one device must itself be split. Where?
# An MLP is two matrices with a GELU between them, which acts on each
# number alone. Split the first matrix by columns and the second one by
# rows. Then each device computes with its two pieces and needs nothing
# from the others, until one sum over the devices at the end.

# %%
z = rng.normal(size=(17, 64)).astype("float32")  # (tokens, D)
W_1 = rng.normal(0, 0.1, (64, 128)).astype("float32")
W_2 = rng.normal(0, 0.1, (128, 64)).astype("float32")


def gelu(x):
    return to_numpy(keras.ops.gelu(x, approximate=False))


results = []
for column_piece, row_piece in zip(
    np.split(W_1, 4, axis=1), np.split(W_2, 4, axis=0), strict=True
):  # each iteration is the work of one device
    assert column_piece.shape == (64, 32)
    assert row_piece.shape == (32, 64)
    results.append(gelu(z @ column_piece) @ row_piece)  # (17, 64)
whole = gelu(z @ W_1) @ W_2
np.testing.assert_allclose(sum(results), whole, atol=1e-5)
print("four devices, one sum, the same MLP")

# %% alt="Two matrices in four colors: by columns, and by rows"
figure, axes = plt.subplots(
    1, 2, figsize=(7, 3.6), layout="constrained"
)
devices_of_columns = np.arange(128)[np.newaxis] // 32
pieces = {
    "first matrix: by columns": (64, 128, devices_of_columns),
    "second matrix: by rows": (128, 64, devices_of_columns.T),
}
for axis, (title, piece) in zip(axes, pieces.items(), strict=True):
    rows, columns, device = piece
    image = np.broadcast_to(device, (rows, columns))
    drawn = axis.imshow(image, cmap=plt.get_cmap("cividis", 4))
    axis.set_title(title)
    axis.set_xlabel("column")
    axis.set_ylabel("row")
drawn.set_clim(-0.5, 3.5)
figure.colorbar(drawn, ax=axes, label="device", ticks=range(4))
plt.show()

# %% [markdown]
# A `LayoutMap` states this for a ViT: it maps the names of weights to
# the axis that is split. Attention is split in the same way, since a
# head is a group of columns. The devices form a table of 2 × 4. Each
# row holds a whole model in four pieces and processes half of the
# images. With a different number of devices, only the table changes.

# %%
if BACKEND == "jax":
    cuts = math.gcd(len(devices), 4)
    shape = (len(devices) // cuts, cuts)
    mesh = keras.distribution.DeviceMesh(shape, ["data", "model"])
    layout = keras.distribution.LayoutMap(mesh)
    layout[".*query_key_value/kernel"] = (None, "model")
    layout[".*attention/projection/kernel"] = ("model", None)
    layout[".*mlp/expand/kernel"] = (None, "model")
    layout[".*mlp/contract/kernel"] = ("model", None)
    cut = keras.distribution.ModelParallel(
        layout_map=layout, batch_dim_name="data"
    )
    with cut.scope():
        model = train(f"weights over {cuts} devices")
    kernel = model.get_layer("block_0").mlp.expand.kernel
    held = {s.data.shape for s in kernel.value.addressable_shards}
    assert held == {(64, 128 // cuts)}
    print("each device holds", held, "of", kernel.shape)
else:
    print(f"Keras on {BACKEND} does not split weights: use JAX.")

# %% [markdown]
# ## Five ways, one training

# %% alt="Loss over the epochs, all ways on one line"
figure, axis = plt.subplots(figsize=(7, 3.8), layout="constrained")
for width, (name, curve) in enumerate(reversed(curves.items())):
    epochs = np.arange(1, len(curve) + 1)
    axis.plot(epochs, curve, lw=9 - 2 * width, label=name)
axis.set_xlabel("epoch")
axis.set_ylabel("training loss")
axis.set_title("The same training in different ways")
axis.legend()
plt.show()

# %% [markdown]
# **You should see** a single line: the widest curve is drawn first,
# and all others lie on it. The same in numbers:

# %%
reference = curves["float32, one device"]
print(f"{'':<26}change of loss  test accuracy, 95 % interval")
for name, test in tests.items():
    change = np.abs(curves[name] - reference).max()
    low, high = test.interval
    print(
        f"{name:<26}{change:14.0e}  {test.accuracy:13.1%}", end=""
    )
    print(f", {low:.1%} to {high:.1%}")
    assert change < (0.1 if name == "bfloat16" else 1e-3), name
    assert low < tests["float32, one device"].accuracy < high

# %% [markdown]
# **You should see** differences of a millionth: the sums are the same,
# in a different order. Only bfloat16 computes something else, and its
# accuracy lies within the interval of the baseline. On one CPU, none of
# these ways is faster. They save memory, and on real devices they save
# time too.
#
# ## From a laptop to a pod
#
# A TPU pod is many machines with several devices each. Start the same
# program on each of them, with one more line at the beginning:
#
# ```python
# keras.distribution.initialize()
# ```
#
# Then `list_devices()` returns the devices of all machines, and the
# rest stays the same. We have not run this on a pod;
# [devices](../../docs/howto/devices.md) lists what we have run.
#
# ## Exercises
#
# **Exercise 1.** By the count above, with how many images at a time can
# ViT-B/16 be trained in 16 GiB? And if each activation takes half as
# many bytes?

# %% tags=["solution"]
variant = keras_vit.list_variants()["ViT-B/16"]
memory = training_memory(variant, images=1)
image = memory.pop("activations")
free = 16 * 2**30 - sum(memory.values())
most = [free // image, free // (image // 2)]
print("at most", most, "images")
assert training_memory(variant, most[0])["activations"] <= free
assert most[1] in (2 * most[0], 2 * most[0] + 1)

# %% [markdown]
# **Exercise 2.** Add 0.001 to a weight of 1 a thousand times, once in
# float32 and once in bfloat16, as many small updates would. What is
# the weight in the end?

# %% tags=["solution"]
weight_32, weight_16 = np.float32(1), np.float32(1)
for _ in range(1000):
    weight_32 = weight_32 + np.float32(0.001)
    weight_16 = to_bfloat16(weight_16 + np.float32(0.001))
print(f"float32: {weight_32:.3f}, bfloat16: {weight_16:.3f}")
assert abs(weight_32 - 2) < 1e-3 and weight_16 == 1
# The next bfloat16 after 1 is 1.0078: every update is rounded away.
# That is why the weights are kept in float32.

# %% [markdown]
# **Exercise 3.** Split the first matrix by rows and the second one by
# columns instead. What must the devices exchange now, and when?

# %% tags=["solution"]
sums = [
    z_piece @ row_piece  # each device has some of the columns of z
    for z_piece, row_piece in zip(
        np.split(z, 4, axis=1),
        np.split(W_1, 4, axis=0),
        strict=True,
    )
]
hidden = gelu(sum(sums))  # a sum of (17, 128) before GELU ...
pieces = [hidden @ piece for piece in np.split(W_2, 4, axis=1)]
joined = np.concatenate(
    pieces, axis=1
)  # ... and pieces put together
np.testing.assert_allclose(joined, whole, atol=1e-5)
too_early = sum(gelu(part) for part in sums)
assert np.abs(too_early - hidden).max() > 0.1  # GELU is not linear

# %% [markdown]
# **Exercise 4.** The count of activations above is a lower bound. JAX
# plans the memory of a program before it runs: for a gradient, that is
# `jax.jit(jax.grad(loss)).lower(weights, images).compile()`, whose
# `memory_analysis()` has `temp_size_in_bytes`. How much memory does one
# block of this page's ViT-Mini/2 take in this plan, with 64 images?
# Compare two blocks with one. (On JAX only.)


# %% tags=["solution"]
def planned(num_layers):
    import jax

    options = {**small, "num_layers": num_layers}
    model = keras_vit.create("ViT-Mini/2", **options)

    def loss(weights, images):
        logits, _ = model.stateless_call(weights, [], images)
        return (logits**2).sum()

    weights = [weight.value for weight in model.trainable_variables]
    images = np.zeros((64, 8, 8, 1), "float32")
    program = jax.jit(jax.grad(loss)).lower(weights, images)
    plan = program.compile().memory_analysis()
    return plan.temp_size_in_bytes


if BACKEND == "jax":
    N, D, heads = 17, 64, 4
    # The MLP of ViT-Mini is 2 D wide, not 4 D: 8 + 2 · 2 = 12.
    count = 64 * 4 * (12 * N * D + heads * N**2)
    plan = planned(2) - planned(1)
    print(f"at least {count:,} bytes, planned {plan:,}")
    assert count < plan < 3 * count

# %% [markdown]
# ## What could go wrong
#
# - **`list_devices()` finds one device:** the flag was set after JAX
#   had started. Set it before the first computation.
# - **`fit` refuses the batch size:** every device gets the same number
#   of images, so it must be a multiple of the number of devices.
# - **The loss is `nan` in float16:** a gradient or an activation
#   overflowed. Use bfloat16.
# - **Out of memory in the first step:** the activations. Halve the
#   batch and double `accumulate`; the updates stay the same.
# - **More devices, same speed:** the batch of each device is too small
#   to keep it busy, or the images arrive too slowly.
#
# ## How this compares with the paper
#
# The paper trains its largest model, ViT-H/14, for 2,500 TPUv3
# core-days (Table 2), which is a month on 83 cores, with batches of
# 4,096 images (Table 3). It also measures how many images fit on one
# core (Appendix D.5, Figure 12), and finds that large ViTs need less
# memory than ResNets of the same cost. We had one CPU and measured
# neither. What this page shows is that all five ways compute the same.
#
# ## Where to go next
#
# - [Devices](../../docs/howto/devices.md): the programs for JAX,
#   TensorFlow and PyTorch.
# - [Chapter 10](../10_shipping.py): evaluate a trained model, export
#   it, and use it in a web page.
