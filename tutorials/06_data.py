# %% [markdown]
# # 6. Why data matters
#
# **When does a ViT beat a convolutional network?** The paper says that
# a ViT trained on little data is worse than a convolutional network,
# and that with enough data it is better. This chapter measures a part
# of that on two small tasks, in minutes: on the first, more images
# bring the ViT closer to the network, but it does not overtake; on the
# second, the ViT is ahead from the beginning.
#
# > **You will be able to** explain what a convolution knows before it
# > has seen an image, measure what that knowledge is worth in images,
# > and recognize tasks that suit a ViT.
# >
# > **You need** [chapter 5](05_training.py), and what a convolution
# > is.
# >
# > **Time** {time}
# >
# > **Result** on one task, 2,000 images instead of 100 shrink the
# > ViT's gap from some 40 points to 10; on the other, the ViT is 40
# > points ahead with 100 images.
# >
# > **Paper** [arXiv 2010.11929](https://arxiv.org/abs/2010.11929),
# > sections 3.1 ("Inductive bias") and 4.3, Figures 3 and 4.

# %%
import keras_vit  # before keras: it selects an installed backend
import keras
import matplotlib.pyplot as plt
import numpy as np

to_numpy = keras.ops.convert_to_numpy

SIZES = (100, 2000, 20000)
STEPS = 200  # 600 for curves that are closer to their limits

# %% [markdown]
# ## Two tasks without a download
#
# Both use the real handwritten digits of scikit-learn, 8 × 8 pixels,
# on a black canvas of 16 × 16 pixels.
#
# - **region:** one digit anywhere. In which ninth of the canvas is it?
#   Nine classes. What the digit is does not matter.
# - **count:** one to four digits, each with a different brightness, in
#   the four quarters of the canvas. How many are there? Four classes.
#   No single place shows the answer.
#
# The digits of the test images do not appear in training.
#
# **Your turn:** write `region`. Draw a digit and a place for each
# image; the label follows from the place. (`count` is below it.)

# %%
digits = keras_vit.data.digits()
POOLS = {"train": digits.train_images, "test": digits.test_images}


def region(rng, count, split):
    pool = POOLS[split][..., 0]
    images = np.zeros((count, 16, 16), "uint8")
    rows, columns = rng.integers(0, 9, size=(2, count))
    for image, row, column in zip(
        images, rows, columns, strict=True
    ):
        digit = pool[rng.integers(len(pool))]
        image[row : row + 8, column : column + 8] = digit
    return images[..., None], rows // 3 * 3 + columns // 3


def count(rng, number, split):
    pool = POOLS[split][..., 0]
    images = np.zeros((number, 16, 16), "uint8")
    labels = rng.integers(0, 4, size=number)  # 0 is one digit
    for image, label in zip(images, labels, strict=True):
        for quarter in rng.permutation(4)[: label + 1]:
            row, column = 8 * (quarter // 2), 8 * (quarter % 2)
            digit = pool[rng.integers(len(pool))]
            digit = digit * rng.uniform(0.1, 1)
            image[row : row + 8, column : column + 8] = digit
    return images[..., None], labels


TASKS = {"region": (region, 9), "count": (count, 4)}

# %% alt="Four images of each task with their classes"
figure, axes = plt.subplots(2, 4, figsize=(6, 3.6))
for row, (name, (make, _)) in zip(axes, TASKS.items(), strict=True):
    images, labels = make(np.random.default_rng(3), 4, "train")
    for axis, image, label in zip(row, images, labels, strict=True):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255)
        axis.set_title(f"{name}: {label}", fontsize=12)
        axis.set_axis_off()

plt.show()

# %% [markdown]
# ## What a convolution knows
#
# A convolution applies the same 3 × 3 weights everywhere. If the image
# moves by one pixel, its output moves by one pixel and is otherwise
# unchanged. (With a stride of 1. The ResNet below has a stride of 4 in
# all, so the whole network follows only shifts by 4 pixels.) Nobody has
# to teach it that a digit at the left and the same digit at the right
# are the same thing.
#
# A ViT knows this only for shifts by whole patches, and only as long
# as no position is added: "all spatial relations between the patches
# have to be learned from scratch" (section 3.1). Which patches are
# neighbors is something it finds out from data.
#
# Measure it: shift an image by one pixel, and compare what the first
# layer returns with its shifted output.

# %%
rng = np.random.default_rng(0)
image = rng.normal(size=(1, 16, 16, 1)).astype("float32")
shifted = np.roll(image, 1, axis=2)

convolve = keras.layers.Conv2D(8, 3)  # without padding: 14 × 14
before, after = (
    to_numpy(convolve(image)),
    to_numpy(convolve(shifted)),
)
np.testing.assert_allclose(
    after[:, :, 1:], before[:, :, :-1], atol=1e-5
)
print("convolution: the output is shifted, and nothing else")

patches = keras_vit.Patches(4)
before, after = to_numpy(patches(image)), to_numpy(patches(shifted))
same = (before[:, :, None] == after[:, None]).all(axis=-1).sum()
print(f"patches: {same} of 16 still exist after the shift")
assert same == 0

# %% [markdown]
# ## Two models
#
# A ViT with four blocks, and a small ResNet of BiT's design, the
# baseline of the paper. One image costs both about as many
# multiplications. (One head with nine outputs serves both tasks.)

# %%
COMMON = {
    "image_size": 16,
    "num_channels": 1,
    "num_classes": 9,
    "normalize": (20, 40),  # mean and deviation of the pixels
}


def vit():
    return keras_vit.ViT(
        patch_size=4,
        num_layers=4,
        hidden_dim=48,
        mlp_dim=96,
        num_heads=4,
        **COMMON,
    )


def resnet():
    return keras_vit.ResNet(units=(1,), **COMMON)


MODELS = {"ViT": vit, "ResNet": resnet}
for name, build in MODELS.items():
    print(f"{name:<7}{build().count_params():>8,} parameters")

# %% [markdown]
# ## Few images, many images
#
# All runs take the same number of updates, so a model with few images
# sees each of them more often. Optimizer and schedule are those of
# [chapter 5](05_training.py). Only the number of different images
# changes. Both models compile once; each run starts again from the
# first weights and a fresh optimizer.


# %%
def compiled(build):
    model = build()
    schedule = keras_vit.training.schedules.cosine(
        3e-3, STEPS, STEPS // 10
    )
    model.compile(
        keras.optimizers.AdamW(
            schedule, weight_decay=0.05, global_clipnorm=1.0
        ),
        keras.losses.SparseCategoricalCrossentropy(
            from_logits=True
        ),
    )
    return model, model.get_weights()


def run(model, weights, train, test):
    """The accuracy after STEPS updates with batches of 64 images."""
    model.set_weights(weights)
    for variable in model.optimizer.variables:
        variable.assign(np.zeros(variable.shape))
    rng = np.random.default_rng(0)
    images, labels = train
    rounds = -(-64 * STEPS // len(labels))
    order = [rng.permutation(len(labels)) for _ in range(rounds)]
    order = np.concatenate(order)[: 64 * STEPS]
    x, y = images[order], labels[order]
    model.fit(x, y, batch_size=64, shuffle=False, verbose=0)
    logits = model.predict(test[0], batch_size=500, verbose=0)
    return (logits.argmax(axis=1) == test[1]).mean()


def run_all(name, build):
    keras.utils.set_random_seed(0)
    model, weights = compiled(build)
    found = {}
    for task, (make, _) in TASKS.items():
        images, labels = make(
            np.random.default_rng(1), 20000, "train"
        )
        test = make(np.random.default_rng(2), 1000, "test")
        for n in SIZES if task == "region" else SIZES[::2]:
            few = images[:n], labels[:n]
            found[task, name, n] = run(model, weights, few, test)
    return found


results = run_all("ViT", vit)

# %%
results |= run_all("ResNet", resnet)
for (task, name, n), accuracy in results.items():
    print(f"{task:<7} {name:<7}{n:>7,} images {accuracy:7.1%}")

# %% alt="Accuracy of a ViT and a ResNet over the number of images"
figure, axes = plt.subplots(2, 1, figsize=(6, 7), sharex=True)
for axis, task in zip(axes, TASKS, strict=True):
    for name, style in ("ViT", "o-"), ("ResNet", "s--"):
        curve = {
            n: 100 * accuracy
            for (of, model_name, n), accuracy in results.items()
            if (of, model_name) == (task, name)
        }
        axis.plot(
            list(curve), list(curve.values()), style, label=name
        )
    axis.axhline(100 / TASKS[task][1], color="gray", linestyle=":")
    axis.set_title(task)
    axis.set_ylabel("test accuracy, %")
    axis.set_ylim(0, 103)
axes[1].set_xscale("log")
axes[1].set_xlabel("training images (dotted: chance)")
axes[0].legend(loc="lower right", frameon=False)

plt.show()

# %% [markdown]
# **You should see** two different answers.
#
# - **region:** with 100 images, the ResNet is far ahead. It knows from
#   the beginning that a digit is the same thing everywhere and that
#   neighbors belong together; *where* it is, it probably learns from
#   the padding at the border. The ViT has to see digits at many places
#   before it knows which positions belong together. With 2,000 images
#   it has caught up most of the way. With 20,000 it loses five points
#   again: 200 updates show each image less than once, so training may
#   be what is missing now. Set `STEPS = 600` and see.
# - **count:** the ViT is ahead from the beginning. Attention reaches
#   the whole image in the first layer, and how many digits there are
#   is a question about the whole image. The ResNet's group
#   normalization, in contrast, divides by the deviation of a whole
#   map, which hides how much there is on it. (That is a likely reason,
#   not one that we have tested.)
#
# A convolution is prior knowledge. If it fits the task, it replaces
# images; if it does not, it costs some. That the gap closes and turns
# takes more images and more training than a page can show: the paper
# has it in Figure 3, and sums it up as "large scale training trumps
# inductive bias".
#
# ## Exercises
#
# **Exercise 1.** Without positions a ViT cannot solve `region`. Show
# why: give the head random weights (with a head of zeros, all logits
# are equal anyway), set the position embeddings to zero, shuffle the
# patches of an image, and compare the logits.

# %% tags=["solution"]
model = vit()
head = model.get_layer("head").kernel
head.assign(np.random.default_rng(0).normal(size=head.shape))
positions = model.get_layer("patch_encoder").position_embedding
positions.assign(np.zeros(positions.shape))
image = region(np.random.default_rng(0), 1, "train")[0]
grid = image.reshape(4, 4, 4, 4).swapaxes(1, 2).reshape(16, 4, 4)
mixed = np.random.default_rng(1).permutation(grid)
mixed = (
    mixed.reshape(4, 4, 4, 4).swapaxes(1, 2).reshape(image.shape)
)
assert (mixed != image).any()
np.testing.assert_allclose(
    to_numpy(model(image)), to_numpy(model(mixed)), atol=1e-4
)

# %% [markdown]
# **Exercise 2.** How many images is the prior knowledge worth on
# `region`? Read from the results how many images the ViT needs to
# reach the accuracy that the ResNet has after 100. Interpolate between
# the first two points, on the logarithm of the number of images.

# %% tags=["solution"]
curve = [results["region", "ViT", n] for n in SIZES[:2]]
target = results["region", "ResNet", 100]
needed = np.exp(np.interp(target, curve, np.log(SIZES[:2])))
print(f"the ViT needs about {needed:,.0f} images for {target:.0%}")
assert needed > 300

# %% [markdown]
# **Exercise 3.** Shifts are knowledge that you can also give as data.
# Write `roll_digits`, which moves the whole canvas of `count` images
# by rows and columns (`np.roll`). Which shifts keep every digit in one
# piece, and so the label? Would the same be allowed for `region`?

# %% tags=["solution"]


def roll_digits(images, rng):
    shifts = 8 * rng.integers(0, 2, size=(len(images), 2))
    pairs = zip(images, shifts, strict=True)
    return np.stack([np.roll(i, s, axis=(0, 1)) for i, s in pairs])


rng = np.random.default_rng(0)
images, labels = count(rng, 100, "train")
rolled = roll_digits(images, rng)
assert rolled.shape == images.shape
assert (rolled.sum(axis=(1, 2)) == images.sum(axis=(1, 2))).all()
quarters = [x[..., 0].reshape(100, 2, 8, 2, 8).any(axis=(2, 4))
            for x in (images, rolled)]  # fmt: skip
assert (quarters[0].sum((1, 2)) == quarters[1].sum((1, 2))).all()
# Rolled by 0 or 8, quarters trade places; by any other number, a digit
# at the edge would be cut. For `region` the label would have to move
# with the digit.

# %% [markdown]
# ## What could go wrong
#
# - **The comparison is unfair:** different numbers of updates, one
#   model tuned and the other not, images of the test in the training.
#   Change one thing at a time.
# - **One seed:** with few images, the accuracy changes by several
#   points from seed to seed. Repeat before you believe a small gap.
# - **"ViTs need millions of images":** that depends on the task, and
#   on where the weights come from. A pretrained ViT has seen its
#   images already: that is the next chapter.
#
# ## How this compares with the paper
#
# The paper finds the same on photographs (section 4.3). In Figure 3,
# BiT's ResNets are ahead of the ViTs after pretraining on ImageNet's
# 1.3 million images, and behind after 300 million. In Figure 4, after
# 9 million images ViT-B/32 is much worse than a ResNet50, which is
# slightly slower, and after 90 million it is better.
#
# ## Where to go on
#
# - [Chapter 7](07_cifar10.py): photographs, from scratch and
#   pretrained.
# - [Studies](../docs/studies.md): eight such tasks, and the figures of
#   the paper at a small scale.
# - [Hybrids and BiT](deeper/hybrids.py): a convolutional stem in front
#   of a ViT, to have both.
