# %% [markdown]
# # 5. Training from scratch
#
# **How do I train it, and how do I know that it works?** A model that
# runs without an error is not yet a model that learns. This chapter
# trains a small ViT on images of clothes, with a schedule of the
# learning rate that you write yourself. Seven checks, before and after
# the training, show whether the result can be trusted.
#
# > **You will be able to** train a ViT from scratch, choose and plot a
# > learning rate schedule, and judge an accuracy by its baselines and
# > its interval.
# >
# > **You need** [chapter 4](04_eighty_lines.py): the whole model.
# >
# > **Time** {time}
# >
# > **Result** what a missing warm-up costs, and a comparison that the
# > ViT loses: with 6,000 images and 200 steps it reaches 77 %, less
# > than a convolutional network, a support vector machine and even a
# > linear model.
# >
# > **Downloads** Fashion-MNIST (30 MB).
# >
# > **Paper** [arXiv 2010.11929](https://arxiv.org/abs/2010.11929),
# > section 4.1 and Table 3.

# %%
import warnings

import keras_vit  # before keras: it selects an installed backend
import keras
import matplotlib.pyplot as plt
import numpy as np
from check import check
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
to_numpy = keras.ops.convert_to_numpy

FULL = False  # True: all 60,000 images and 1,200 steps
IMAGES = 60_000 if FULL else 6_000
TEST = 10_000 if FULL else 2_000
STEPS = 1_200 if FULL else 200
BATCH = 100

# %% [markdown]
# ## The images
#
# Fashion-MNIST has 60,000 training and 10,000 test images of clothes,
# 28 × 28 gray pixels, in ten classes. (Zalando Research, MIT license.)
# A *step* updates the weights once, here with a *batch* of 100 images.
# An *epoch* is as many steps as show every training image once. To keep
# this page short, we train on the first 6,000 images for 200 steps,
# three epochs and a third, and test on 2,000. Set `FULL` to use all
# images.

# %%
(x, y), (x_test, y_test) = keras.datasets.fashion_mnist.load_data()
x, y = x[:IMAGES, ..., None], y[:IMAGES].astype("int32")
x_test, y_test = (
    x_test[:TEST, ..., None],
    y_test[:TEST].astype("int32"),
)
NAMES = "T-shirt trousers pullover dress coat".split()
NAMES += "sandal shirt sneaker bag boot".split()
print(f"{x.shape} to train on, {x_test.shape} to test")

# %% [markdown]
# **Check 1: are the labels right?** Draw some images with their labels,
# from the arrays that the training gets.

# %% alt="Ten small gray images of clothes, one of each class"
figure, axes = plt.subplots(2, 5, figsize=(6, 3))
for k, axis in enumerate(axes.flat):
    axis.imshow(x[y == k][0], cmap="gray")
    axis.set_title(NAMES[k], fontsize=12)
    axis.set_axis_off()
plt.show()

# %% [markdown]
# **You should see** the right name above each image. The next two
# checks would not notice wrong labels.
#
# ## The model and its loss
#
# ViT-Mini, four blocks with tokens of length 64, is not in the paper;
# the library has it for small images. ViT-Mini/7 cuts an image into
# 4 × 4 patches of 7 × 7 pixels, which become 16 tokens, and adds a
# class token. The loss is the cross-entropy, the mean of $-\log p$ of
# the true class. (`from_logits`: it applies the softmax itself.
# `Sparse`: a label is the number of a class.)


# %%
def make():
    keras.utils.set_random_seed(0)  # the same weights every time
    return keras_vit.create(
        "ViT-Mini/7",
        image_size=28,
        num_channels=1,
        num_classes=10,
        normalize=(73, 90),  # mean and standard deviation of pixels
    )


loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model = make()
print(f"{model.count_params():,} parameters")

# %% [markdown]
# **Check 2: the loss before training.** The head of a new ViT is zero,
# so all ten classes are equally probable, and the loss must be
# $\ln 10$, whatever the labels are. If it is not, the head or the loss
# is wrong, and training would hide that.

# %%
start = float(loss(y[:500], model(x[:500])))
np.testing.assert_allclose(start, np.log(10), rtol=1e-5)
print(f"loss before training: {start:.3f} = ln 10")

# %% [markdown]
# **Check 3: can it memorize one batch?** A model with 139,000
# parameters must be able to memorize 32 images. If it cannot, there is
# a bug: a wrong loss, a frozen layer, images that are all black. (Wrong
# labels can be memorized, too. That is why check 1 comes first.)

# %%
model.compile(keras.optimizers.AdamW(1e-3), loss)
again = np.tile(np.arange(32), 40)  # the same batch 40 times
model.fit(
    x[again], y[again], batch_size=32, shuffle=False, verbose=0
)
logits = model.predict(x[:32], verbose=0)
memorized = (logits.argmax(axis=1) == y[:32]).mean()
print(f"after 40 steps on one batch: {memorized:.0%} of it")
assert memorized > 0.9

# %% [markdown]
# ## A schedule
#
# The *learning rate* is the factor by which each step is multiplied.
# The optimizer is AdamW. It divides the step of each weight by a moving
# average of the size of its gradients, so that in the first steps every
# weight moves by about the learning rate, however small its gradient
# is. (The W stands for weight decay: each step also shrinks the weights
# a little, against overfitting, which check 4 explains.)
#
# At the beginning this average comes from very few batches, and the
# weights are still random. A large step now can make the model worse
# than no training at all. At the end, large steps would move the
# weights back and forth around a minimum, since the gradient of a batch
# is noisy. So the rate rises linearly from zero to its peak
# $r_\text{max}$ over $w$ steps, the **warm-up**, and then falls to zero
# along a cosine until the last step $T$:
#
# $$ r(t) = r_\text{max} \cdot
#    \begin{cases} t / w & t < w \\
#    \frac{1}{2}\Big(1 + \cos \pi \frac{t - w}{T - w}\Big) &
#    t \ge w \end{cases} $$
#
# **Exercise 1.** Write `WarmupCosine` as a Keras schedule, a class with
# a method `__call__(step)`. Keras compiles it with the training, when
# `step` is an integer tensor without a value. So do not write
# `if step < ...`; compute with `keras.ops`, which has `cast`, `where`,
# `minimum` and `cos`. A warm-up of 0 steps starts at the peak.


# %%
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    def __init__(self, peak, steps, warmup):
        self.peak, self.steps, self.warmup = peak, steps, warmup

    def __call__(self, step):
        """number of steps taken -> learning rate"""

    def get_config(self):  # for saving
        return dict(vars(self))


check(5, WarmupCosine)


# %% tags=["solution"]
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    def __init__(self, peak, steps, warmup):
        self.peak, self.steps, self.warmup = peak, steps, warmup

    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        rise = step / self.warmup if self.warmup else 1.0
        after = (step - self.warmup) / (self.steps - self.warmup)
        after = keras.ops.clip(after, 0.0, 1.0)
        fall = 0.5 * (1 + keras.ops.cos(np.pi * after))
        return self.peak * keras.ops.minimum(rise, 1.0) * fall

    def get_config(self):  # for saving
        return dict(vars(self))


check(5, WarmupCosine)

# %%
for warmup in (0, 20):
    ours = WarmupCosine(1e-3, 100, warmup)
    library = keras_vit.training.schedules.cosine(1e-3, 100, warmup)
    for step in (0, 5, 20, 60, 99):
        np.testing.assert_allclose(
            float(ours(step)), float(library(step)), atol=1e-8
        )
print("the same rates as keras_vit.training.schedules.cosine")

# %% [markdown]
# ## With and without warm-up
#
# Two short runs of 80 steps, with the same initial weights, the same
# batches and the same peak, 0.02, ten times that of the training below.
# One has a warm-up of 15 steps, the other none. The weight decay is
# 0.05, within the range of the paper (0.03 to 0.3).
# `train_on_batch` takes one step and returns the loss of its batch, so
# that we see every step; `model.fit` does the same in a loop and
# reports a mean per epoch.

# %%
rounds = STEPS * BATCH // IMAGES + 1
order = [rng.permutation(IMAGES) for _ in range(rounds)]
order = np.concatenate(order)[: STEPS * BATCH]
batches = order.reshape(STEPS, BATCH)


def train(model, schedule):
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=0.05)
    model.compile(optimizer, loss)
    used = batches[: schedule.steps]
    losses = [model.train_on_batch(x[b], y[b]) for b in used]
    return np.array(losses, "float32")


runs = {}
for warmup in (0, 15):
    schedule = WarmupCosine(2e-2, 80, warmup)
    runs[warmup] = schedule, train(make(), schedule)
for warmup, (_, losses) in runs.items():
    print(
        f"warm-up {warmup:>2}: highest loss {losses.max():.2f}",
        end="",
    )
    print(f", mean of the last 15 {losses[-15:].mean():.2f}")

# %% alt="Loss and learning rate over the steps, two schedules"
figure, axes = plt.subplots(2, 1, figsize=(6, 6), sharex=True)
for (warmup, (schedule, losses)), style in zip(
    runs.items(), ("--", "-"), strict=True
):
    name = f"warm-up {warmup} steps" if warmup else "no warm-up"
    axes[0].plot(losses, style, label=name)
    rates = [1000 * float(schedule(step)) for step in range(80)]
    axes[1].plot(rates, style, label=name)
axes[0].axhline(np.log(10), color="gray", linestyle=":")
axes[0].set_ylabel("training loss")
axes[0].legend(frameon=False)
axes[1].set_ylabel("learning rate, 1/1000")
axes[1].set_xlabel("step (dotted: loss of a blind guess)")
plt.show()

# %% [markdown]
# **You should see** the loss without warm-up jump above that of a
# blind guess within the first ten steps: the model is worse than one
# that has not been trained. A model this small recovers, and here both
# runs end at about the same loss. But one run can mislead. This is the
# mean loss of the last 15 steps with five seeds, each for the weights
# (in `make`) and for the batches (`rng`):
#
# | seed | no warm-up | warm-up of 15 steps |
# |---|---|---|
# | 0 | 1.09 | 1.06 |
# | 1 | 1.21 | 0.99 |
# | 2 | 1.24 | 0.98 |
# | 3 | 1.12 | 0.96 |
# | 4 | 1.60 | 1.07 |
#
# (On the machine of the stored results below; a repeated run may differ
# by some hundredths.) Seed 0, that of this page, is the mildest. With
# the other four, the run without warm-up ends 0.2 to 0.5 higher. In
# none of the five runs with warm-up is the loss of any step above that
# of a blind guess. So warm-up is a safety margin. It forgives a rate
# that is too large while the averages of AdamW are at their worst. The
# paper warms up for 10,000 steps whenever it pretrains (Table 3).
#
# ## The training
#
# Now with a peak of 2e-3, and a tenth of all steps as warm-up. The peak
# was chosen on *validation images*, which are neither trained on nor
# tested on: here the 2,000 training images after the first 6,000. With
# peaks of 0.5, 1, 2 and 4e-3, the model gets 66.1, 72.8, 76.4 and
# 76.6 % of them right (one run each, on the machine of the stored
# results below). The last two are equal but for chance; we take the
# smaller. Never choose anything on the test images: their accuracy
# would then be too good to be true.

# %%
model = make()
losses = train(model, WarmupCosine(2e-3, STEPS, STEPS // 10))
print(f"loss {losses[0]:.2f} -> {losses[-10:].mean():.2f}")
assert losses[-10:].mean() < 1.0


# %% [markdown]
# ## What is it worth?
#
# **Check 4: training and test images.** If far more of the training
# images are right than of the test images, the model has memorized
# them: it *overfits*. If many of the training images are wrong, too,
# it *underfits*: train longer, or take a larger model.


# %%
def measure(model, x, y):
    logits = model.predict(x, batch_size=500, verbose=0)
    return (logits.argmax(axis=1) == y).mean()


print(f"training images {measure(model, x[:TEST], y[:TEST]):.1%}")
print(f"test images     {measure(model, x_test, y_test):.1%}")

# %% [markdown]
# **You should see** a few points between the two. The model has not
# memorized the training images: one in six of them is still wrong. So
# it underfits. 200 steps are few.
#
# **Check 5: baselines.** An accuracy means little without the
# accuracy of something simpler on the same images: a linear model, a
# support vector machine (which compares each image with training images
# near the border of two classes), and a small convolutional network
# that is trained for as many steps as the ViT.


# %%
def convnet():
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Rescaling(1 / 90, -73 / 90),
            keras.layers.Conv2D(
                16, 3, strides=2, activation="relu"
            ),
            keras.layers.Conv2D(
                32, 3, strides=2, activation="relu"
            ),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )


accuracy = {"ViT-Mini/7": measure(model, x_test, y_test)}
network = convnet()
print(f"{network.count_params():,} parameters")
train(network, WarmupCosine(2e-3, STEPS, STEPS // 10))
accuracy["convolutional network"] = measure(network, x_test, y_test)

few = min(IMAGES, 10_000)  # these two slow down with every image
flat, flat_test = x[:few].reshape(few, -1), x_test.reshape(TEST, -1)
methods = {
    "linear model": LogisticRegression(max_iter=50),
    "support vector machine": SVC(C=5),
}
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it may stop after 50 steps
    for name, method in methods.items():
        method.fit(flat / 255, y[:few])
        accuracy[name] = method.score(flat_test / 255, y_test)

# %% [markdown]
# **Check 6: an interval.** Other test images would give a different
# accuracy. If $k$ of $n$ images are right, $p = k / n$, and $z = 1.96$,
# Wilson's interval is
#
# $$ \frac{p + \frac{z^2}{2n} \pm z \sqrt{\frac{p (1 - p)}{n}
#    + \frac{z^2}{4 n^2}}}{1 + \frac{z^2}{n}} $$
#
# If many people drew $n$ test images each, about 95 % of their
# intervals would contain the true accuracy, the share of right answers
# among endlessly many such images.


# %%
def interval(p, n, z=1.96):
    middle = p + z**2 / (2 * n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    return (middle - half) / scale, (middle + half) / scale


print(f"{'chance':<24}{0.1:6.1%}")
for name, p in sorted(accuracy.items(), key=lambda item: item[1]):
    low, high = interval(p, TEST)
    print(f"{name:<24}{p:6.1%}  ({low:.1%} to {high:.1%})")
assert accuracy["ViT-Mini/7"] > 0.6

# %% [markdown]
# The ViT is last, and its interval overlaps with no other. That is
# worth knowing, and only the baselines show it. (The intervals are
# about the choice of test images. Another seed would move the trained
# networks, too.) There are two likely reasons. The ViT has seen each
# image about three times, which is too little for a model that has to
# learn which patches are neighbors. The convolutional network has seen
# them as often and has an eighth of the parameters, but it does not
# have to learn that: [chapter 6](06_data.py). And all clothes are
# centered and have the same size, so methods that compare images pixel
# by pixel are hard to beat.
#
# **Stored results** with `FULL = True`: 60,000 images, 1,200 steps of
# 100 (two epochs), and all 10,000 test images. `python 05_training.py`,
# one of two shared cores of an Intel Xeon with AVX-512, keras 3.15.1,
# jax 0.10.2, seed 0, 2026-11-29; the seeds and peaks above, 2026-11-30.

# %%
STORED = {
    "ViT-Mini/7": 0.8618,
    "convolutional network": 0.8764,
}
for name, p in sorted(STORED.items(), key=lambda item: item[1]):
    low, high = interval(p, 10_000)
    print(f"{name:<24}{p:6.1%}  ({low:.1%} to {high:.1%})")

# %% [markdown]
# With ten times the images and six times the steps, the ViT gains nine
# points. It is 1.5 points behind the convolutional network, more than
# the choice of test images explains; with one run each, the seed may
# have a share in it. The ViT is now about as good as the support vector
# machine above, which was trained on a tenth of the images.
#
# **Check 7: the mistakes.** A mistake that a person could make too is a
# good sign. Here are the six wrong answers with the highest confidence,
# the largest probability.

# %% alt="Six wrongly classified images with the guess and the truth"
logits = model.predict(x_test, batch_size=500, verbose=0)
p = to_numpy(keras.ops.softmax(logits))
guess, sure = p.argmax(axis=1), p.max(axis=1)
wrong = np.flatnonzero(guess != y_test)
wrong = wrong[sure[wrong].argsort()[::-1][:6]]
figure, axes = plt.subplots(2, 3, figsize=(6, 5))
for axis, i in zip(axes.flat, wrong, strict=True):
    axis.imshow(x_test[i], cmap="gray")
    title = f"{NAMES[guess[i]]} {sure[i]:.0%}"
    axis.set_title(f"{title}\nis {NAMES[y_test[i]]}", fontsize=12)
    axis.set_axis_off()
plt.show()

# %% [markdown]
# **You should see** two kinds of mistakes. Some labels are hard to
# guess for a person, too: the second image looks like a dress, and so
# do the trousers in the last one. But a person would not take the two
# bags for sandals: they share only a thin bright line. All six wrong
# answers get more than 90 %. Images chosen for their confidence do not
# show whether the model is too confident on the whole.
# [Chapter 10](10_shipping.py) measures that for another model, and
# repairs it.
#
# ## Exercises
#
# **Exercise 2.** *Label smoothing* discourages answers of 100 %. With
# 0.1, it takes 0.1 from the target 1 of the true class and shares it
# equally among all ten classes, the true one included: the target is
# 0.91 for the true class and 0.01 for each other. The loss is
# $-\sum_k t_k \log p_k$ with these targets $t_k$, and smallest if
# $p = t$. How small? Write `smallest_loss` for any number of classes.
# Then compare with `keras.losses.CategoricalCrossentropy`, which has an
# argument `label_smoothing`.


# %%
def smallest_loss(classes, smoothing):
    """number of classes, 0 < smoothing < 1 -> loss"""


check(5, smallest_loss)


# %% tags=["solution"]
def smallest_loss(classes, smoothing):
    share = smoothing / classes
    target = np.full(classes, share)
    target[0] += 1 - smoothing
    return -(target * np.log(target)).sum()  # their entropy


check(5, smallest_loss)
smooth = keras.losses.CategoricalCrossentropy(
    from_logits=True, label_smoothing=0.1
)
best = np.log(np.full(10, 0.01) + 0.9 * np.eye(10)[0])
smallest = float(smooth(np.eye(10)[[0]], best[None]))
np.testing.assert_allclose(smallest, smallest_loss(10, 0.1), 1e-5)
print(f"{smallest:.3f}, the entropy of the targets, not 0")

# %% [markdown]
# **Exercise 3.** The paper pretrains on ImageNet-21k with a *linear*
# decay to zero after the warm-up. Write `WarmupLinear`: copy your
# `__call__` and change the line with the cosine. At which step of 100
# with a warm-up of 20 is its rate half of the peak, for the second
# time?


# %%
class WarmupLinear(WarmupCosine):
    def __call__(self, step):
        """number of steps taken -> learning rate"""


check(5, WarmupLinear)


# %% tags=["solution"]
class WarmupLinear(WarmupCosine):
    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        rise = step / self.warmup if self.warmup else 1.0
        after = (step - self.warmup) / (self.steps - self.warmup)
        after = keras.ops.clip(after, 0.0, 1.0)
        fall = 1 - after
        return self.peak * keras.ops.minimum(rise, 1.0) * fall


check(5, WarmupLinear)
linear = WarmupLinear(1.0, 100, 20)
np.testing.assert_allclose(float(linear(10)), 0.5)
np.testing.assert_allclose(float(linear(60)), 0.5)

# %% [markdown]
# **Exercise 4.** How many test images must there be until the intervals
# of 88 % and 89 % no longer overlap? Write `images_needed`, which
# counts up with the `interval` of check 6. (This is a strict demand. If
# both models are compared image by image, on the same images, usually
# far fewer are enough.)


# %%
def images_needed(p, q):
    """two accuracies, p < q -> number of images"""


check(5, images_needed)


# %% tags=["solution"]
def images_needed(p, q):
    n = 1
    while interval(p, n)[1] >= interval(q, n)[0]:
        n += 1
    return n


check(5, images_needed)
n = images_needed(0.88, 0.89)
print(f"about {n:,} images, and Fashion-MNIST has 10,000")
assert 10_000 < n < 20_000

# %% [markdown]
# ## What could go wrong
#
# - **The loss stays at $\ln K$:** the labels do not match the images,
#   or the learning rate is far too small.
# - **The loss jumps, or becomes `nan`:** the rate is too large. Lower
#   the peak, lengthen the warm-up, or clip the gradients: with
#   `global_clipnorm=1.0`, longer ones are shortened to length 1.
# - **Training loss falls, validation accuracy does not rise:**
#   overfitting. Use more images, augmentation
#   ([chapter 7](07_cifar10.py)) or weight decay.
# - **The loss is `nan` or far too large before the first step:** the
#   model returns logits, and the loss lacks `from_logits=True`.
# - **The loss of ten classes never falls below 1.46:** softmax is
#   applied twice, by the model and by the loss. Then the logits are at
#   best one 1 and nine 0s, and the loss is $\ln(e + 9) - 1$. Check 2
#   does not notice it.
# - **The result changes from run to run:** set the seed, and report
#   more than one run.
#
# ## How this compares with the paper
#
# The paper pretrains with Adam ($\beta_1 = 0.9$, $\beta_2 = 0.999$), a
# weight decay of 0.03 to 0.3, a warm-up of 10,000 steps, batches of
# 4,096 images and a linear or cosine decay (Table 3). The recipes of
# `keras_vit.training.recipe` have these numbers, scaled to your
# dataset: [Recipes](../docs/training.md).
#
# ## Where to go next
#
# - [Chapter 6](06_data.py): why the convolutional network learns more
#   from few images, and when that changes.
# - [Chapter 8](08_finetuning.py): how to start from pretrained weights.
# - An open task: beat the best accuracy of check 6 with a ViT. Start
#   with `"ViT-Mini/4"`, which cuts an image into 49 patches instead of
#   16, and train for more epochs.
