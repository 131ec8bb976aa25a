# %% [markdown]
# # 8. Fine-tune your own images
#
# **Head, LoRA or everything?** A Vision Transformer that was
# pretrained on millions of images already turns a photograph into
# good features. In this chapter, seven photographs of each of 37
# breeds of cats and dogs are enough for a useful classifier, which is
# trained in seconds. Then you will see when it pays to train more
# than the last layer.
#
# > **You will be able to** classify your own photographs with a
# > pretrained ViT, and decide which of its weights to train.
# >
# > **You need** [chapter 5](05_training.py): loss, epoch, learning
# > rate; and what a gradient is.
# >
# > **Time** {time}
# >
# > **Result** nearly nine of ten test photographs right, after
# > seven training photographs of each breed.
# >
# > **Downloads** ViT-Ti/16 (22 MB), and the Oxford-IIIT Pet dataset
# > (about 800 MB) from TensorFlow Datasets, unless you use a folder
# > of your own.
# >
# > **Paper** [arXiv 2010.11929](https://arxiv.org/abs/2010.11929),
# > section 3.2, Table 4, appendix B.1.1.
#
# ## In a hurry
#
# If your images are in one folder for each class, such as
# `my_images/cat/1.jpg`, three commands check them, fine-tune a model
# and classify a new image:
#
# ```
# keras-vit check-data my_images/
# keras-vit train my_images/ --weights ViT-Ti/16 --out runs/mine
# keras-vit predict runs/mine new.jpg
# ```
#
# The rest of this chapter does the same in Python, one step at a
# time.

# %%
import keras_vit  # before keras: it selects an installed backend
import keras
import matplotlib.pyplot as plt
import numpy as np
from check import check

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
to_numpy = keras.ops.convert_to_numpy

# %% [markdown]
# ## The photographs
#
# `data.load` takes the name of a dataset or the path of a folder. To
# use your own images, replace `"pets"` with the path of your folder.
# (The name needs `pip install tensorflow tensorflow-datasets`; a folder
# does not.)
#
# A photograph is rarely square, and the model expects 224 × 224
# pixels. `resize="crop"` keeps the proportions and cuts out the
# center; `"squash"` would make a dog in a wide photograph thinner. On a
# sample of the pets the crop was worth six points of accuracy, the mean
# of three splits ([results](../docs/results.md#fine-tuning-on-pets)).

# %%
data = keras_vit.data.load(
    "pets",
    image_size=224,
    resize="crop",
    validation_share=0,
    test_share=0.3,
)
K = data.num_classes


def first(split, count):
    """The first `count` images of each class, and their labels."""
    labels = data.labels(split)
    members = [
        np.flatnonzero(labels == k)[:count] for k in range(K)
    ]
    chosen = np.concatenate(members)
    batches = data.fixed_batches(split)
    images = np.stack([batches.image(i) for i in chosen])
    return images, labels[chosen]


images, labels = first("train", 7)
test_images, test_labels = first("test", 3)
print(f"{K} breeds, images for training: {images.shape}")
print(f"images for the test: {test_images.shape}")

# %% [markdown]
# ## Features, computed once
#
# "We remove the whole pre-trained prediction head and attach a
# zero-initialized D × K feedforward layer, where K is the number of
# downstream classes" (section 3.2). `load_pretrained` does this if you
# pass a different number of classes. With a head of zeros, all breeds
# are equally probable at first, and the loss is $\ln K$.

# %%
model = keras_vit.load_pretrained(
    "ViT-Ti/16", num_classes=K, verbose=False
)
head = model.get_layer("head")
D = model.hidden_dim
assert (
    head.kernel.shape == (D, K) and not to_numpy(head.kernel).any()
)
print(f"a head of {D} × {K} zeros: the loss is {np.log(K):.3f}")

# %% [markdown]
# If only the head is trained, everything below it stays frozen, and
# a photograph has the same features in every epoch. So we compute
# them once, and call them $y$, as the paper does in Eq. 4. This is the
# slow part of the chapter; each further epoch costs almost nothing.

# %%
y = keras_vit.features(model, images, verbose=0)
y_test = keras_vit.features(model, test_images, verbose=0)
assert y.shape == (len(images), D)

mean, deviation = y.mean(axis=0), y.std(axis=0)
x = (y - mean) / deviation  # every feature on the same scale
x_test = (y_test - mean) / deviation

# %% [markdown]
# ## Train the head yourself
#
# The head computes logits $xW + b$, and softmax makes probabilities
# $p$ of them. A one-hot label $t$ is 1 for the true class and 0 for
# all others. For $n$ images, the gradient of the mean cross-entropy is
# short:
#
# $$ \nabla_W = \frac{1}{n}\, x^\top (p - t), \qquad
#    \nabla_b = \frac{1}{n} \sum (p - t) $$
#
# **Exercise 1.** Write `train_head`: start from zeros, and take steps
# of gradient descent with all images at once. Return $W$, $b$, and
# the list of the losses, each computed before its step.


# %%
def softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def train_head(x, t, rate=0.1, steps=300):
    """features (n, D), one-hot labels (n, K) -> W, b, losses"""


check(8, train_head)


# %% tags=["solution"]
def train_head(x, t, rate=0.1, steps=300):
    W, b = np.zeros((x.shape[1], t.shape[1])), np.zeros(t.shape[1])
    losses = []
    for _ in range(steps):
        p = softmax(x @ W + b)
        losses.append(-np.log((p * t).sum(axis=1)).mean())
        W -= rate * x.T @ (p - t) / len(x)
        b -= rate * (p - t).mean(axis=0)
    return W, b, losses


check(8, train_head)

# %%
one_hot = np.eye(K)[labels]
W, b, losses = train_head(x, one_hot)
np.testing.assert_allclose(
    losses[0], np.log(K)
)  # as computed above
p = softmax(x_test @ W + b)
guesses = p.argmax(axis=1)
right = guesses == test_labels
print(f"loss {losses[0]:.2f} -> {losses[-1]:.2f}")
print(
    f"{right.sum()} of {len(right)} test images: {right.mean():.1%}"
)
assert right.mean() > 0.8

# %% [markdown]
# Chance would be 2.7 %, and a logistic regression on the pixels
# reaches 5.4 % on the same photographs
# ([results](../docs/results.md#fine-tuning-on-pets)). The difference
# is what the pretrained model knows. It knows a lot about pets:
# ImageNet has more than a hundred breeds of dogs and several of cats
# among its classes. Images far from ImageNet's need more examples.
#
# ## Look at the answers
#
# An accuracy does not show what goes wrong. Here are the six worst
# mistakes, those with the highest confidence, and six photographs
# that were classified correctly.

# %% alt="Twelve photographs of cats and dogs with breed and confidence"
confidence = p.max(axis=1)
worst = np.flatnonzero(~right)
worst = worst[confidence[worst].argsort()[::-1][:6]]
good = rng.choice(np.flatnonzero(right), 6, replace=False)


def short(k):
    words = data.class_names[k].replace("_", " ").title().split()
    return " ".join(words[-2:])


figure, axes = plt.subplots(4, 3, figsize=(6, 10))
for axis, i in zip(axes.flat, [*worst, *good], strict=True):
    mark = "✓" if right[i] else "✗"
    title = f"{mark} {confidence[i]:.0%}\n{short(guesses[i])}"
    title += "" if right[i] else f"\nis {short(test_labels[i])}"
    axis.imshow(test_images[i])
    color = "tab:blue" if right[i] else "tab:red"
    axis.set_title(title, color=color, fontsize=12)
    axis.set_axis_off()
plt.show()

# %% [markdown]
# *Photographs: [Oxford-IIIT Pet
# dataset](https://www.robots.ox.ac.uk/~vgg/data/pets/), O. Parkhi,
# A. Vedaldi, A. Zisserman and C. V. Jawahar,
# [CC BY-SA 4.0](https://creativecommons.org/licenses/by-sa/4.0/),
# cropped.*
#
# **You should see** mistakes that a person could make: related breeds
# with similar coats, or an animal whose head the crop cuts off. A wrong
# label would show up here, too. Always look at the worst mistakes
# before you train longer.
#
# ## Put the head into the model
#
# The head was trained on standardized features, $(y - m) / s$. The
# division can move into the weights, so that the Keras model takes
# photographs and returns the same logits.
#
# **Exercise 2.** Write `fold`. It returns the kernel and the bias of a
# head that takes $y$ itself.


# %%
def fold(W, b, mean, deviation):
    """W, b for (y - mean) / deviation -> kernel, bias for y"""


check(8, fold)


# %% tags=["solution"]
def fold(W, b, mean, deviation):
    return W / deviation[:, None], b - (mean / deviation) @ W


check(8, fold)

# %%
kernel, bias = fold(W, b, mean, deviation)
head.kernel.assign(kernel)
head.bias.assign(bias)
logits = to_numpy(model(test_images[:4]))
np.testing.assert_allclose(softmax(logits), p[:4], atol=1e-3)
model.save("pets.keras")
print("pets.keras: photographs in, breeds out")

# %% [markdown]
# `keras.saving.load_model("pets.keras")` restores it. It scales pixels
# itself: pass images with pixels from 0 to 255.
#
# ## More than the head
#
# `keras_vit.training.freeze` sets which weights `fit` trains:
#
# - `"linear"`: the head, as above.
# - `"full"`: everything, as the paper does.
# - `"lora"`: the head, and a low-rank update of each matrix $W$ in the
#   blocks. Instead of $xW$ the layer computes $x(W + AB)$, where $A$
#   has only 8 columns and $B$ only 8 rows. $W$ stays frozen. $B$
#   starts at zero, so the model is unchanged at first.
#
# Here is LoRA by hand, on the first matrix of the first MLP:

# %%
tuned = keras_vit.load_pretrained(
    "ViT-Ti/16", num_classes=K, verbose=False
)
for mode in ("linear", "full", "lora"):
    counts = keras_vit.training.freeze(tuned, mode)
    print(f"{mode:<7}{counts.trainable:>10,} trainable parameters")

dense = tuned.get_layer("block_0").mlp.expand
A = to_numpy(dense.lora_kernel_a)
B = rng.normal(size=(8, A.shape[0] * 4), scale=0.1).astype(
    "float32"
)
dense.lora_kernel_b.assign(B)  # as if it had been trained
matrix = to_numpy(dense._kernel) + A @ B
tokens = rng.normal(size=(5, D)).astype("float32")
np.testing.assert_allclose(
    to_numpy(dense(tokens)),
    tokens @ matrix + to_numpy(dense.bias),
    atol=1e-3,
)

# %% [markdown]
# ## Head, LoRA or everything?
#
# Training more than the head means a forward and a backward pass for
# every image in every epoch: minutes instead of seconds. We ran it
# once on a sample of the dataset, ten photographs of each breed, 259
# for training and 111 for the test, and stored the results. (This page
# was made with the same sample. TensorFlow Datasets has all 7,349
# photographs; with them, the numbers of this page will differ.)
#
# | what is trained | trainable parameters | test accuracy |
# |---|---|---|
# | everything, 12 epochs | 5,531,557 | 88.3 % |
# | LoRA of rank 8, 12 epochs | 302,053 | 88.3 % |
# | the head, 12 epochs with augmentation | 7,141 | 86.5 % |
# | logistic regression on the frozen features | 7,141 | 88.3 % |
#
# `keras-vit train pets/ --weights ViT-Ti/16 --validation-share 0
# --test-share 0.3 --seed 0`, with `--recipe lora`, with `--recipe
# linear-probe`; `keras-vit few-shot ViT-Ti/16 pets/ --resize crop
# --linear-probe`. Two shared cores of an AMD EPYC, keras 3.15.1, jax
# 0.10.2, seed and split 0, 2026-11-21. Training everything took 11
# minutes of CPU time.
#
# With 111 test images, one image is 0.9 points and the 95 % interval
# is about six points to either side. **The four rows are within one
# such interval.** So far, nothing favors the more expensive ways:
#
# - **Start with the head.** If your images are photographs of things,
#   the features already separate your classes, and you have the
#   answer in a minute.
# - **Train everything** if you have thousands of images, or if they
#   look different from photographs (X-rays, drawings, satellite
#   images), and compare with the head on validation images.
# - **LoRA** needs optimizer states for a twentieth of the parameters,
#   and its result is a small file. Choose it if you want many variants
#   of one large model, or if memory is short.
#
# The learning rate is what most often goes wrong. A head can take a
# large one. When everything is trained, a large rate destroys in the
# first steps what pretraining has learned. The recipes `linear-probe`,
# `lora` and `finetune` have rates that work; the paper tries several
# for each dataset (Table 4) and keeps the best on validation images.
#
# ## Exercises
#
# **Exercise 3.** How many photographs does it take? Train the head on
# 1, 3, 5 and 7 photographs of each breed. (`x` was scaled with the mean
# and the deviation of all 259 photographs. That uses no labels.)

# %% tags=["solution"]
position = np.concatenate(
    [np.arange(n) for n in np.bincount(labels)]
)
accuracy = {}
for shots in (1, 3, 5, 7):
    few = position < shots
    W_few, b_few, _ = train_head(x[few], one_hot[few])
    hits = (x_test @ W_few + b_few).argmax(axis=1) == test_labels
    accuracy[shots] = hits.mean()
    print(f"{shots} of each breed: {hits.mean():.1%}")
assert 0.4 < accuracy[1] < accuracy[3] < accuracy[7]

# %% [markdown]
# **Exercise 4.** LoRA adds two matrices to each adapted layer. Before
# you ship the model, add each $AB$ to its $W$ with
# `keras_vit.training.merge_lora`. Show that the features stay the same,
# and that the number of parameters is that of the original model.

# %% tags=["solution"]
merged = keras_vit.training.merge_lora(tuned)
assert merged.count_params() == model.count_params()
assert tuned.count_params() > model.count_params()
np.testing.assert_allclose(
    keras_vit.features(merged, images[:2], verbose=0),
    keras_vit.features(tuned, images[:2], verbose=0),
    atol=1e-2,
)

# %% [markdown]
# **Exercise 5.** Which breeds does the model find most alike? Write
# `class_cosines`: take the mean of the features of each breed, and the
# cosine of each pair of means. Are the mistakes above among the similar
# pairs?


# %%
def class_cosines(x, labels):
    """(n, D), (n,) -> (K, K), the cosine of each pair of classes"""


check(8, class_cosines)


# %% tags=["solution"]
def class_cosines(x, labels):
    classes = range(labels.max() + 1)
    center = np.stack(
        [x[labels == k].mean(axis=0) for k in classes]
    )
    center /= np.linalg.norm(center, axis=1, keepdims=True)
    return center @ center.T


check(8, class_cosines)
cosine = class_cosines(x, labels)
cosine -= 2 * np.eye(K)  # without the diagonal
for pair in cosine.ravel().argsort()[::-1][:10:2]:
    i, j = divmod(pair, K)
    print(f"{short(i):>14} and {short(j):<14} {cosine[i, j]:.2f}")
confused = cosine[test_labels[~right], guesses[~right]]
print(f"mean of confused pairs {confused.mean():.2f}", end=", ")
print(f"of all pairs {cosine[cosine > -1].mean():.2f}")
assert confused.mean() > cosine[cosine > -1].mean() + 0.1

# %% [markdown]
# ## What could go wrong
#
# - **Accuracy at chance:** the labels do not match the images. Look at
#   `data.grid()`, and run `keras-vit check-data`.
# - **Too good to be true:** the same animal is in both splits. Keep
#   related images together with `group_pattern=` of `data.load`.
# - **The loss jumps or is `nan`:** the learning rate is too large for
#   training everything. Take a tenth of it, with a warm-up.
# - **Worse than expected:** the pixels were scaled twice, or
#   are from 0 to 1. The model expects pixels from 0 to 255.
# - **Cut or squashed animals:** look at the images as the model gets
#   them, and choose another `resize`.
#
# ## How this compares with the paper
#
# The paper fine-tunes ViT-B/16, pretrained on ImageNet-21k, on the
# whole training set of the same breeds, 3,680 photographs, at 384
# pixels, and reaches 94.4 % (Table 5; it chooses the learning rate on a
# tenth of them, then trains on all). Our model has a fifteenth of its
# parameters, and our training set is a fourteenth of theirs.
#
# ## Where to go next
#
# - [Your own images](../docs/images.md): tables, groups,
#   augmentation, unreadable files.
# - [Other image sizes](../docs/howto/sizes.md): more pixels, more
#   tokens, resized positions.
# - [Chapter 9](09_looking_inside.py): what does the model look at, and
#   can you believe it?
# - An open task: mirror every training photograph, and train the head
#   on twice as many features. Does it help? Test it on three splits.
