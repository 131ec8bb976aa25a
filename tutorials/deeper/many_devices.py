# %% [markdown]
# # Bigger
#
# The paper's models are a thousand times larger than those of our
# tutorials. They fit no laptop, and the largest fit no single
# device. Three tools help: numbers of half the size, small batches
# that act as a large one, and several devices that act as one. Each
# is a few lines. This tutorial shows that none of them changes what
# is computed, and what each of them saves.
#
# > **You will be able to** say what a training needs memory for,
# > train in bfloat16, accumulate gradients, and train on several
# > devices with a program that also runs on a TPU pod.
# >
# > **You need** tutorial 4. No GPU: one CPU plays eight devices.
# >
# > **Time** {time}
# >
# > **Result** one training in five ways, with equal curves.
# >
# > **Paper** [arXiv 2010.11929](https://arxiv.org/abs/2010.11929),
# > sections 3.2 and 4.1, Tables 1 and 3, Appendix D.5.

# %% [markdown]
# JAX makes eight devices of one CPU if it is told so before it first
# computes, TensorFlow two (more would be slow). It is not faster, but
# it is the program of eight real devices, and on those one leaves
# these lines out. In a notebook that has computed already, restart
# the kernel first.

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
# While it trains, a model with $P$ parameters keeps four numbers for
# each: the weight, its gradient, and the two moving averages of
# Adam. A number of type float32 takes 4 bytes. Then there are the
# activations: all that the backward pass will need of the forward
# pass. A block keeps for each token, in units of $D$ numbers, at
# least: two inputs and two normalized ones (4), queries, keys and
# values (3), the heads' output (1), and the MLP's hidden layer before
# and after GELU ($2 \cdot 4$): 16. And for each pair of tokens one
# attention score per head.


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
# **You should see** that the activations take the most, except that
# they shrink with the batch. So there are three ways out. Smaller
# numbers: mixed precision. Fewer images at a time: accumulation.
# And more devices: one for some of the images, or for some of the
# weights.
#
# ## A number in 16 bits
#
# A float32 has 1 bit for the sign, 8 for the exponent (how large?)
# and 23 for the digits. bfloat16 is the first 16 of these bits: the
# same range, and only 7 bits of digits. So a float32 is rounded to
# bfloat16 with integers alone: add half of what will be cut off (a
# tie goes to the even neighbor), and cut.


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
# The other 16-bit number, float16, has 5 bits of exponent and 10 of
# digits. We compare how wrong a number becomes when it is rounded.

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
plt.title("What rounding costs (1: all is lost)")
plt.xlabel("the number")
plt.ylabel("largest relative error")
plt.legend()
plt.show()
assert np.isinf(as_float16[-1]) and as_float16[0] == 0
assert np.abs(to_bfloat16(x) / x - 1).max() <= 2.0**-8

# %% [markdown]
# **You should see** that float16 is the more exact one where it
# works, and that it works in the middle alone: above 65,504 it
# says infinity, and small numbers become 0. Gradients are small
# numbers. bfloat16 is coarse everywhere, to two or three digits, and
# fails nowhere. That is why no scaling of the loss is needed.
#
# ## Mixed precision
#
# A small update of a weight would be lost in bfloat16:

# %%
assert to_bfloat16(1.0 + 0.001) == 1.0

# %% [markdown]
# So the weights stay float32, and so do the logits, on which the loss
# depends. All between is computed in bfloat16. In Keras that is one
# word, for any model of the library:

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
# Now we train. One function trains a ViT of two blocks on digits, the
# same way each time: same start, same order, same recipe. In float32
# on one device it is the baseline of all that follows.

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
# ## Small batches that act as a large one
#
# The loss of a batch is the mean over its images. So its gradient
# is the mean of the gradients of its halves:
#
# $$ \nabla L = \tfrac{1}{2} \left( \nabla L_1 + \nabla L_2 \right) $$
#
# To see it, take the simplest model, a softmax of $x W$, whose
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
# So we can take a batch in four parts, one after the other, add up
# the gradients, and update the weights once. Only a quarter of the
# activations is there at a time; the sums take the memory of one more
# gradient. A recipe does it with `accumulate=4`.

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
# If the parts of a batch can be taken one after the other, they can
# be taken side by side, each on a device of its own. All have the
# same weights. Each computes the gradient of its images, the mean
# is taken over all devices, and all make the same update. On JAX that
# is `keras.distribution`, on TensorFlow `tf.distribute`. The model is
# made in the scope, and nothing else changes. (PyTorch wants one
# process for each device:
# [devices](../../docs/howto/devices.md) has the program.)

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
# A model that is too large for one device must be cut itself. Where?
# An MLP is two matrices with a function between that looks at each
# number alone. Cut the first one by columns and the second one by
# rows. Then each device computes with its two pieces, and asks no
# other, until in the end there is one sum.

# %%
z = rng.normal(size=(17, 64)).astype("float32")  # (tokens, D)
W_1 = rng.normal(0, 0.1, (64, 128)).astype("float32")
W_2 = rng.normal(0, 0.1, (128, 64)).astype("float32")


def gelu(x):
    return to_numpy(keras.ops.gelu(x, approximate=False))


results = []
for column_piece, row_piece in zip(
    np.split(W_1, 4, axis=1), np.split(W_2, 4, axis=0), strict=True
):  # each turn of the loop is a device
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
# A layout map says so of a ViT: for the names of some weights, which
# of their axes is cut. Attention goes the same way, a head being some
# columns. The devices stand in a table of 2 × 4: each row has a whole
# model in four pieces, and gets half of the images. On other
# numbers of devices the table is another one, and the program stays.

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
    print(f"Keras on {BACKEND} does not cut weights: use JAX.")

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
# **You should see** one line: the widest is drawn first, and the
# others lie in it. In numbers, beside the baseline:

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
# **You should see** changes of a millionth: the sums are the same, in
# another order. Only bfloat16 computes something else, and its
# accuracy is within the interval. On one CPU none of these ways is
# faster. What they save is memory, and on real devices time.
#
# ## From a laptop to a pod
#
# A TPU pod is many machines with some devices each. The same file is
# started on each of them, with one more line before all others:
#
# ```python
# keras.distribution.initialize()
# ```
#
# Then `list_devices()` names the devices of all machines, and the
# rest stays as it is. We have not run it on a pod.
# [Devices](../../docs/howto/devices.md) says what we have run.
#
# ## Exercises
#
# **Exercise 1.** How many images at a time can train ViT-B/16 in 16
# GiB, by the count above? How many if the activations take half?

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
# **Exercise 2.** Add 0.001 a thousand times to a weight of 1, once in
# float32 and once in bfloat16, as many small updates would. Where
# does it end?

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
# **Exercise 3.** Cut the first matrix by rows and the second one by
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
# plans the memory of a program before it runs. How much does one
# block take in its plan? (On JAX only.)


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
# ## What the paper reports, what we got, why they differ
#
# The paper trains its largest model, ViT-H/14, on TPUv3 cores: 2,500
# core-days, that is a month on 83 of them (Table 2), with batches of
# 4,096 images (Table 3). That is this tutorial's program with
# another mesh. It also measures how many images fit on one core
# (Appendix D.5, Figure 12) and finds that large ViTs need less
# memory than ResNets of the same cost. We measured neither: we had
# one CPU. What we did show is that the ways are equal.
#
# ## Next
#
# A trained model should be used. [Tutorial 10](../10_shipping.py)
# evaluates one, exports it, and lets it answer in a web page.
