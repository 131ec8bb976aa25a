# %% [markdown]
# # Learning without labels
#
# Labels are expensive, images are not. A model that must guess what
# is hidden behind a hole in an image has to learn what images look
# like, and nobody has to tell it what they show. The paper tries this
# once, as *masked patch prediction*; a year later the masked
# autoencoder (MAE) made it work well. This tutorial does both on
# handwritten digits, and then asks what they are worth when only ten
# labels of each class are left.
#
# > **You will be able to** pre-train a ViT on images without labels,
# > look at what it fills in, and fine-tune it with few labels.
# >
# > **You need** tutorials 2 to 4. No GPU and no download.
# >
# > **Time** {time}
# >
# > **Result** a ViT that learns more from 100 labels after it has
# > looked at 1,438 digits without any.
# >
# > **Paper** [arXiv 2010.11929](https://arxiv.org/abs/2010.11929),
# > section 4.6, appendix B.1.2; MAE:
# > [arXiv 2111.06377](https://arxiv.org/abs/2111.06377).

# %%
import keras_vit
import keras
import matplotlib.pyplot as plt
import numpy as np
from keras_vit.pretraining import masked_patches
from sklearn.linear_model import LogisticRegression

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
to_numpy = keras.ops.convert_to_numpy
pretraining = keras_vit.pretraining

digits = keras_vit.data.digits(seed=0)
images = digits.train_images  # its labels are left where they are
print(images.shape, images.dtype)
assert images.shape == (1438, 8, 8, 1)

# %% [markdown]
# ## A task that needs no labels
#
# The paper hides patches and asks for their mean color. Not the exact
# one: each channel is cut into 8 levels, which is 3 bits. A red,
# green and blue patch has one of $8^3 = 512$ colors, ours is grey and
# has one of 8. So the task is to name a class, as in tutorial 4, but
# the image itself says which one is right. By hand:

# %%
patches = to_numpy(keras_vit.Patches(2)(images[:4]))
assert patches.shape == (4, 16, 4)  # 16 patches of 2 x 2 pixels
means = patches.astype("float64").mean(axis=-1)
classes = (means // 32).astype(int)  # 256 values, 8 levels
assert classes.shape == (4, 16)

found = pretraining.patch_targets.quantize_mean(
    patches.astype("float32"), (2, 2), channels=1
)
np.testing.assert_array_equal(to_numpy(found)[..., 0], classes)

# %% alt="Four digits above their patches in eight levels of grey"
figure, axes = plt.subplots(2, 4, figsize=(7, 3.8))
for i in range(4):
    axes[0, i].imshow(images[i, ..., 0], cmap="gray")
    axes[0, i].set_title("image")
    axes[1, i].imshow(classes[i].reshape(4, 4), cmap="gray")
    axes[1, i].set_title("3-bit colors")
for axis in axes.flat:
    axis.set_axis_off()
plt.show()

# %% [markdown]
# ## Corrupting half of the patches
#
# Which patches must be guessed? As BERT does with words, half of them
# are *corrupted*. Of these
#
# - 80 % get a learned `[mask]` token in place of their embedding,
# - 10 % get the embedding of another patch of the image,
# - 10 % are kept: later there are no `[mask]` tokens, so what the model
#   makes of patches that it sees is asked for as well.
#
# The positions are added afterwards: the model always knows where a
# hole is. Let us draw this for 10,000 patches and count.

# %%
seed = keras.random.SeedGenerator(0)
fate, others = masked_patches.draw_corruption(
    seed, batch=625, patches=16, number=8
)
fate, others = to_numpy(fate), to_numpy(others)
assert fate.shape == others.shape == (625, 16)
assert ((fate != masked_patches.LEFT).sum(axis=1) == 8).all()
names = ("left alone", "[mask] token", "other patch", "kept")
counts = np.bincount(fate.ravel(), minlength=4)
for name, count in zip(names, counts, strict=True):
    print(f"{name:<14}{count:6}  {count / fate.size:.1%}")
assert abs(counts[1] / counts[1:].sum() - 0.8) < 0.03
assert (others != np.arange(16)).all()  # never the patch itself

# %% [markdown]
# **You should see** half of all patches left alone, and the other half
# split by 8 : 1 : 1.
#
# ## Training it
#
# `MaskedPatchPrediction` is a Keras model around a ViT. It has its own
# loss, the cross-entropy of the corrupted patches' colors, so
# `compile` takes an optimizer and `fit` takes images. The ViT inside
# is trained where it is.

# %%
EPOCHS = 40


def new_encoder():
    keras.utils.set_random_seed(0)
    return keras_vit.create(
        "ViT-Mini/2",
        image_size=8,
        num_channels=1,
        num_classes=None,
        pooling="gap",
        normalize=(75, 100),
    )


def adamw(rate, steps):
    schedules = keras_vit.training.schedules
    rate = schedules.cosine(rate, steps, steps // 10)
    return keras.optimizers.AdamW(
        rate, weight_decay=0.05, global_clipnorm=1.0
    )


def pretrain(model):
    model.compile(adamw(2e-3, EPOCHS * 23))
    history = model.fit(
        images, batch_size=64, epochs=EPOCHS, verbose=0
    )
    return history.history["loss"]


colors = pretraining.MaskedPatchPrediction(new_encoder())
losses = pretrain(colors)

# %% [markdown]
# What would a model get that looks at nothing? It can know how
# frequent each color is: that gives the entropy of the frequencies.
# It can also know how frequent each is at each place.

# %%
patches = keras_vit.Patches(2)(images.astype("float32"))
truth = to_numpy(colors.truth(images))[..., 0]
assert truth.shape == (1438, 16)


def entropy(classes):
    shares = np.bincount(classes, minlength=8) / len(classes)
    shares = shares[shares > 0]
    return -(shares * np.log(shares)).sum()


blind = entropy(truth.ravel())
places = np.mean([entropy(truth[:, i]) for i in range(16)])
print(f"all colors alike    {np.log(8):.2f} nats")
print(f"frequencies          {blind:.2f}")
print(f"frequencies by place {places:.2f}")
print(f"the model            {losses[-1]:.2f}")
assert losses[-1] < places < blind < np.log(8)

# %% [markdown]
# **You should see** the model below both: it knows something about a
# hidden patch that neither its place nor chance could tell, and that
# can only come from the patches around it.
#
# ## What it fills in

# %% alt="Digits, the same with half of the patches grey, and filled"
some = digits.test_images[:8]
pretraining.plot_reconstruction(some, colors.reconstruct(some))

# %% [markdown]
# **You should see** flat squares, as one color is all that was asked
# for, and mostly the right ones.
#
# ## MAE: look at less
#
# A masked autoencoder changes three things. It hides more, three
# patches of four. The encoder does not see masks at all: it gets the
# few visible tokens alone, which is faster and is what it will
# meet later, as no image has `[mask]` tokens. And it asks for
# pixels, which a second, small Transformer (the *decoder*) draws, so
# that the encoder need not. After training the decoder is thrown away.
#
# The visible patches come from a random order, and going back is the
# inverse of that order:

# %%
noise = rng.random(16)
order = np.argsort(noise)  # random order of the patches
places = np.argsort(order)  # where each patch is in it
visible = order[:4]
mask = places >= 4
assert np.array_equal(order[places], np.arange(16))
assert sorted(np.flatnonzero(~mask)) == sorted(visible)
print("visible patches:", sorted(visible.tolist()))

# %% [markdown]
# The loss is the mean squared error over the hidden patches. Each
# patch $x$ of $n$ values is brought to mean 0 and deviation 1 first,
#
# $$ \hat{x} = \frac{x - \bar{x}}{\sqrt{s^2 + 10^{-6}}},
#    \quad s^2 = \frac{1}{n-1} \sum_i (x_i - \bar{x})^2 $$
#
# so the model must say how a patch looks, not how bright it is.

# %%
mae = pretraining.MAE(
    new_encoder(), decoder_layers=2, decoder_dim=32, decoder_heads=4
)
with mae.fix_seed(0):
    answer = mae.predict_on_batch(images[:4])
assert answer["prediction"].shape == (4, 16, 4)
assert (answer["mask"].sum(axis=1) == 12).all()

x = to_numpy(keras_vit.Patches(2)((images[:4] - 75.0) / 100.0))
x_hat = x - x.mean(axis=-1, keepdims=True)
x_hat /= np.sqrt(x.var(axis=-1, ddof=1, keepdims=True) + 1e-6)
error = ((answer["prediction"] - x_hat) ** 2).mean(axis=-1)
by_hand = error[answer["mask"]].mean()
loss = float(mae.compute_loss(images[:4], y_pred=answer))
np.testing.assert_allclose(loss, by_hand, rtol=1e-4)

# %%
losses = pretrain(mae)
print(f"from {losses[0]:.2f} to {losses[-1]:.2f}")
assert losses[-1] < 0.6 * losses[0]

# %% alt="Digits, a quarter of their patches, and what MAE draws"
pretraining.plot_reconstruction(some, mae.reconstruct(some))

# %% [markdown]
# **You should see** strokes that go on behind the holes. One thing is
# not the model's work: brightness and contrast of a patch are taken
# from the image, since the loss never asked for them.
#
# ## What is it worth?
#
# Now ten labels of each class. `build_classifier` makes a model with
# the encoder's weights and a head of zeros, trained like any other.
# Beside it: the same ViT from scratch, and a logistic regression on
# the 64 pixels.

# %%
chosen = np.concatenate(
    [
        rng.permutation(np.flatnonzero(digits.train_labels == c))[
            :10
        ]
        for c in range(10)
    ]
)
few, few_labels = images[chosen], digits.train_labels[chosen]


def fine_tuned(encoder):
    model = pretraining.build_classifier(encoder, num_classes=10)
    loss = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True
    )
    model.compile(adamw(1e-3, steps=200), loss)
    model.fit(few, few_labels, batch_size=50, epochs=100, verbose=0)
    logits = model.predict(digits.test_images, verbose=0)
    return (logits.argmax(axis=-1) == digits.test_labels).mean()


def flat(x):
    return x.reshape(len(x), -1) / 255


linear = LogisticRegression(max_iter=2000)
linear.fit(flat(few), few_labels)
accuracies = {
    "chance": 0.1,
    "logistic regression": linear.score(
        flat(digits.test_images), digits.test_labels
    ),
    "ViT from scratch": fine_tuned(new_encoder()),
    "ViT after masked patches": fine_tuned(colors.encoder),
    "ViT after MAE": fine_tuned(mae.encoder),
}
for name, accuracy in accuracies.items():
    print(f"{name:<26}{accuracy:.1%}")
scratch = accuracies["ViT from scratch"]
assert accuracies["ViT after MAE"] > scratch + 0.1
# Masked patches gain less: three seeds and a table say how much.
assert accuracies["ViT after masked patches"] > 0.3

# %% [markdown]
# **You should see** the ViT from scratch far behind both others: 100
# digits are too few to learn attention from. Having looked at digits
# without labels helps, by MAE a lot. And you should see the logistic
# regression: with so few labels of so easy a task it is hard to beat.
#
# ## Exercises
#
# **Exercise 1.** The encoder of MAE sees 4 of 16 tokens. How many
# times fewer multiplications do its blocks need? (A block of width $D$
# with an MLP of width $2 D$ has matrices of $8 D^2$ weights, which
# every token meets once, and $2 N^2 D$ multiplications in attention.)


# %% tags=["solution"]
def multiplications(n, d=64):
    return n * 8 * d**2 + 2 * n**2 * d


ratio = multiplications(16) / multiplications(4)
print(f"{ratio:.2f} times fewer")
assert 4 < ratio < 16  # a little more than 4: D is far above N

# %% [markdown]
# **Exercise 2.** A patch is chosen at random. How probable is it that
# the model is asked for its color, yet sees it unchanged? Compare
# with the count above.

# %% tags=["solution"]
probable = 0.5 * 0.1
share = counts[masked_patches.KEPT] / fate.size
assert abs(share - probable) < 0.01

# %% [markdown]
# **Exercise 3.** What does the model see of a hidden patch? Change
# the pixels of one patch that MAE hides. Which predictions change?

# %% tags=["solution"]
hidden = np.flatnonzero(answer["mask"][0])[0]
row, column = np.multiply(divmod(hidden, 4), 2)
changed = images[:4].copy()
changed[0, row : row + 2, column : column + 2] = 255
with mae.fix_seed(0):
    before = mae.predict_on_batch(images[:4])["prediction"]
with mae.fix_seed(0):
    after = mae.predict_on_batch(changed)["prediction"]
np.testing.assert_array_equal(before, after)  # none

# %% [markdown]
# ## What the paper reports, what we got, why they differ
#
# ViT-B/16, pre-trained on JFT's images by masked patch prediction,
# reaches 79.9 % on ImageNet: 2 points above the same model from
# scratch, 4 below supervised pre-training (4.6). Of the three targets
# the mean color was as good as 4 × 4 colors, and pixels a little
# worse. Our gain is far larger, as our few labels leave far more to
# gain, and our ranking of the targets need not be theirs: a patch of
# four pixels is almost its mean color.
#
# One seed says little. Three seeds, with SimMIM and the pixel target
# beside these two, stand in
# [Learning without labels](../../docs/pretraining.md), with the command
# that makes them.
#
# ## Next
#
# Larger models, larger images, more devices: "Many devices".
