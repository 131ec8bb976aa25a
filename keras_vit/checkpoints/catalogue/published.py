"""The public checkpoints as tables. Unpublished facts are None.

Sources of the facts, read in November 2026:
- google-research/vision_transformer, commit c6de1e5: README.md ("README" below), and the listing of
  the storage in vit_jax.ipynb (sizes);
- google-research/big_vision, commit 0127fb6: models/vit.py, models/bit_paper.py;
- google-research/big_transfer, commit 140de6e: README.md ("BiT README" below);
- huggingface/pytorch-image-models, commit aa4b585: default_cfgs, and results/results-imagenet.csv
  ("timm" below), accuracies measured with the exact GELU and timm's own crops;
- the pages of the repositories on huggingface.co (sizes and sha256).

The sizes of the `imagenet21k/` files show which of them have the tanh layer before the head. None
of Google's files has a published sha256. Three files are ours, see docs/results.md.
"""

import functools
import pathlib

from keras_vit.data.sources.local import CIFAR10

GOOGLE = "https://storage.googleapis.com/vit_models"
BIT = "https://storage.googleapis.com/bit_models"
SHIPPED = "keras_vit/checkpoints/shipped/"  # in the package itself
HUGGING_FACE = "https://huggingface.co/{}/resolve/main/model.safetensors"
TIMM = HUGGING_FACE.format("timm/{}")
IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))  # 255 (0.485, 0.456, 0.406) ...
# (mean, standard deviation) of the pixels in our recipes. With pixels scaled to -1..1, patch tokens
# start 50 times larger than their positions, N(0, 0.02), and a short training never learns to use
# the positions. With the first scale, both start equally large; the second is that of each channel
# of CIFAR-10's training images.
SMALL_PIXELS = (75.0, 4000.0)
CIFAR_PIXELS = ((125.3, 123.0, 113.9), (63.0, 62.1, 66.7))
CLIP_PIXELS = (tuple(round(255 * x, 6) for x in (0.48145466, 0.4578275, 0.40821073)),
               tuple(round(255 * x, 6) for x in (0.26862954, 0.26130258, 0.27577711)))  # fmt: skip

# The projects whose naming schemes the tensors follow, and the suffix of their files.
SOURCES = {
    **dict.fromkeys(("google", "bit"), ".npz"),
    **dict.fromkeys(("timm", "huggingface", "torchvision"), ".safetensors"),
    "kerashub": ".weights.h5",
}
BY_SUFFIX = {".npz": "google", ".safetensors": "timm", ".h5": "kerashub"}  # the source by default
WITH_FOLDERS = ("timm", "huggingface", "kerashub")  # whose models are folders with a config.json

# Family: source, normalize, whether GELU is the tanh form, epsilon.
FAMILIES = {
    "augreg": ("google", (127.5, 127.5), True, 1e-6),
    "original": ("google", (127.5, 127.5), True, 1e-6),
    "sam": ("google", (127.5, 127.5), True, 1e-6),
    "augreg2": ("timm", (127.5, 127.5), False, 1e-6),
    "deit": ("timm", IMAGENET, False, 1e-6),
    "huggingface": ("huggingface", (127.5, 127.5), False, 1e-12),
    "bit": ("bit", (127.5, 127.5), None, 1e-5),
    "keras-vit": ("google", SMALL_PIXELS, False, 1e-6),
    "keras-vit-midi": ("google", CIFAR_PIXELS, False, 1e-6),
}
# According to vision_transformer's LICENSE, timm's default_cfgs and the pages on huggingface.co.
LICENCE = "Apache-2.0"

# "How to train your ViT", arXiv 2106.10270: variant, recipe, learning rate, resolution, size,
# accuracy, source. Without resolution: pre-trained on ImageNet-21k (224 pixels, 21,843 classes);
# with it: fine-tuned on ImageNet.
AUGREG = (
    ("ViT-L/16", "aug_strong1-wd_0.1-do_0.0-sd_0.0", None, None, "1243 MiB", None, None),
    ("ViT-L/16", "aug_strong1-wd_0.1-do_0.0-sd_0.0", "0.01", 384, None, 85.59, "README"),
    ("ViT-L/16", "aug_medium1-wd_0.1-do_0.1-sd_0.1", "0.01", 224, None, 85.856, "timm"),
    ("ViT-B/16", "aug_medium1-wd_0.1-do_0.0-sd_0.0", None, None, "391 MiB", None, None),
    ("ViT-B/16", "aug_medium1-wd_0.1-do_0.0-sd_0.0", "0.03", 384, None, 85.49, "README"),
    ("ViT-B/16", "aug_medium1-wd_0.1-do_0.0-sd_0.0", "0.01", 224, None, 84.534, "timm"),
    ("ViT-B/8", "aug_medium2-wd_0.1-do_0.0-sd_0.0", None, None, None, None, None),
    ("ViT-B/8", "aug_medium1-wd_0.1-do_0.0-sd_0.0", "0.01", 224, None, 85.838, "timm"),
    ("ViT-B/32", "aug_light1-wd_0.1-do_0.0-sd_0.0", None, None, "398 MiB", None, None),
    ("ViT-B/32", "aug_light1-wd_0.1-do_0.0-sd_0.0", "0.01", 384, None, 83.59, "README"),
    ("ViT-B/32", "aug_medium1-wd_0.03-do_0.0-sd_0.0", "0.03", 224, None, 80.732, "timm"),
    ("ViT-S/16", "aug_light1-wd_0.03-do_0.0-sd_0.0", None, None, "115 MiB", None, None),
    ("ViT-S/16", "aug_light1-wd_0.03-do_0.0-sd_0.0", "0.03", 384, None, 83.73, "README"),
    ("ViT-S/16", "aug_light1-wd_0.03-do_0.0-sd_0.0", "0.03", 224, None, 81.402, "timm"),
    ("ViT-S/32", "aug_none-wd_0.1-do_0.0-sd_0.0", None, None, "118 MiB", None, None),
    ("ViT-S/32", "aug_none-wd_0.1-do_0.0-sd_0.0", "0.01", 384, None, 79.58, "README"),
    ("ViT-S/32", "aug_light1-wd_0.03-do_0.0-sd_0.0", "0.03", 224, None, 76.01, "timm"),
    ("ViT-Ti/16", "aug_none-wd_0.03-do_0.0-sd_0.0", None, None, "37 MiB", None, None),
    ("ViT-Ti/16", "aug_none-wd_0.03-do_0.0-sd_0.0", "0.03", 384, None, 78.22, "README"),
    ("ViT-Ti/16", "aug_none-wd_0.03-do_0.0-sd_0.0", "0.03", 224, None, 75.452, "timm"),
    ("R50+ViT-L/32", "aug_medium1-wd_0.1-do_0.1-sd_0.1", None, None, "1337 MiB", None, None),
    ("R50+ViT-L/32", "aug_medium1-wd_0.1-do_0.1-sd_0.1", "0.01", 384, None, 85.99, "README"),
    ("R50+ViT-L/32", "aug_medium1-wd_0.1-do_0.1-sd_0.1", "0.01", 224, None, 84.434, "timm"),
    ("R26+ViT-S/32", "aug_light1-wd_0.1-do_0.0-sd_0.0", None, None, "170 MiB", None, None),
    ("R26+ViT-S/32", "aug_light1-wd_0.1-do_0.0-sd_0.0", "0.01", 384, None, 83.85, "README"),
    ("R26+ViT-S/32", "aug_light0-wd_0.03-do_0.1-sd_0.1", "0.03", 224, None, 81.856, "timm"),
    ("R+ViT-Ti/16", "aug_none-wd_0.03-do_0.0-sd_0.0", None, None, "40 MiB", None, None),
    ("R+ViT-Ti/16", "aug_none-wd_0.03-do_0.0-sd_0.0", "0.03", 384, None, 75.4, "README"),
    ("R+ViT-Ti/16", "aug_none-wd_0.03-do_0.0-sd_0.0", "0.03", 224, None, 71.8, "timm"),
)  # fmt: skip

# Groups of files: (family, address, training, classes, files), where a file is
# variant, name at that address, resolution, representation size, size, accuracy, source.
GROUPS = (
    # The paper's own files.
    ("original", GOOGLE + "/imagenet21k/{}.npz", "i21k", 21843, (
        ("ViT-B/8", "ViT-B_8", 224, 768, "393.72 MiB", None, None),
        ("ViT-B/16", "ViT-B_16", 224, 768, "393.69 MiB", None, None),
        ("ViT-B/32", "ViT-B_32", 224, 768, "400.01 MiB", None, None),
        ("ViT-L/16", "ViT-L_16", 224, 1024, "1.22 GiB", None, None),
        ("ViT-L/32", "ViT-L_32", 224, 1024, "1.23 GiB", None, None),
        ("ViT-H/14", "ViT-H_14", 224, 1280, "2.46 GiB", None, None),
        ("R50+ViT-B/16", "R50+ViT-B_16", 224, 768, "439.85 MiB", None, None),
        ("R26+ViT-B/32", "R26+ViT-B_32", 224, 768, "450.23 MiB", None, None),
        ("R50+ViT-L/32", "R50+ViT-L_32", 224, 1024, "1.31 GiB", None, None))),
    ("original", GOOGLE + "/imagenet21k+imagenet2012/{}.npz", "i21k-ft", 1000, (
        ("ViT-B/8", "ViT-B_8", 384, None, "334.78 MiB", None, None),
        ("ViT-B/16", "ViT-B_16", 384, None, "331.4 MiB", 84.212, "timm"),
        ("ViT-B/16", "ViT-B_16-224", 224, None, "330.29 MiB", 81.2, "README"),
        ("ViT-B/32", "ViT-B_32", 384, None, "336.89 MiB", None, None),
        ("ViT-L/16", "ViT-L_16", 384, None, "1.14 GiB", None, None),
        ("ViT-L/16", "ViT-L_16-224", 224, None, "1.13 GiB", 82.7, "README"),
        ("ViT-L/32", "ViT-L_32", 384, None, "1.14 GiB", 81.508, "timm"),
        ("R50+ViT-B/16", "R50+ViT-B_16", 384, None, "377.57 MiB", 84.988, "timm"))),
    # Trained on ImageNet only, with SAM, arXiv 2106.01548. The file of ViT-S/16 is three times as
    # large as its weights, so it must contain something else too.
    ("sam", GOOGLE + "/sam/{}.npz", "i1k", 1000, (
        ("ViT-B/16", "ViT-B_16", 224, None, "330.3 MiB", 80.246, "timm"),
        ("ViT-B/32", "ViT-B_32", 224, None, "336.61 MiB", 73.704, "timm"),
        ("ViT-L/16", "ViT-L_16", 224, None, "1.13 GiB", None, None),
        ("ViT-L/32", "ViT-L_32", 224, None, "1.14 GiB", None, None),
        ("ViT-S/16", "ViT-S_16", 224, None, "252.57 MiB", None, None))),
    # AugReg's weights, fine-tuned again by timm's author.
    ("augreg2", TIMM.format("{}.augreg2_in21k_ft_in1k"), "i21k-ft", 1000, (
        ("ViT-B/16", "vit_base_patch16_224", 224, None, "346 MB", 85.108, "timm"),
        ("ViT-B/8", "vit_base_patch8_224", 224, None, "346 MB", 86.252, "timm"))),
    # DeiT, arXiv 2012.12877; a distilled one has a second token and a second head.
    ("deit", TIMM.format("{}.fb_in1k"), "i1k", 1000, (
        ("ViT-Ti/16", "deit_tiny_patch16_224", 224, None, "22.9 MB", 72.190, "timm"),
        ("ViT-S/16", "deit_small_patch16_224", 224, None, "88.2 MB", 79.856, "timm"),
        ("ViT-B/16", "deit_base_patch16_224", 224, None, None, 81.980, "timm"),
        ("ViT-B/16", "deit_base_patch16_384", 384, None, "347 MB", 83.108, "timm"))),
    ("deit", TIMM.format("{}.fb_in1k"), "distilled-i1k", 1000, (
        ("ViT-Ti/16", "deit_tiny_distilled_patch16_224", 224, None, None, 74.538, "timm"),
        ("ViT-S/16", "deit_small_distilled_patch16_224", 224, None, "89.8 MB", 81.204, "timm"),
        ("ViT-B/16", "deit_base_distilled_patch16_224", 224, None, None, 83.384, "timm"),
        ("ViT-B/16", "deit_base_distilled_patch16_384", 384, None, "351 MB", 85.438, "timm"))),
    # Google's originals under Hugging Face's names; we found none of ViT-L and ViT-H.
    ("huggingface", HUGGING_FACE, "i21k", 0, (
        ("ViT-B/16", "google/vit-base-patch16-224-in21k", 224, 768, "346 MB", None, None),)),
    ("huggingface", HUGGING_FACE, "i21k-ft", 1000, (
        ("ViT-B/16", "google/vit-base-patch16-224", 224, None, "346 MB", None, None),
        ("ViT-B/16", "google/vit-base-patch16-384", 384, None, None, None, None),
        ("ViT-B/32", "google/vit-base-patch32-384", 384, None, None, None, None),
        ("R50+ViT-B/16", "google/vit-hybrid-base-bit-384", 384, None, "396 MB", None, None))),
    # BiT, arXiv 1912.11370. M: pre-trained on ImageNet-21k, S: trained on ImageNet.
    ("bit", BIT + "/BiT-M-{}-ILSVRC2012.npz", "m-i21k-ft", 1000, (
        ("R50x1", "R50x1", 448, None, None, 80.386, "timm"),
        ("R50x3", "R50x3", 448, None, None, 83.982, "timm"),
        ("R101x1", "R101x1", 448, None, None, 82.332, "timm"),
        ("R101x3", "R101x3", 448, None, None, 84.430, "timm"),
        ("R152x2", "R152x2", 448, None, None, 84.468, "timm"),
        ("R152x4", "R152x4", 480, None, None, 84.936, "timm"))),
    ("bit", BIT + "/BiT-M-{}.npz", "m-i21k", 21843, tuple(
        (name, name, 224, None, None, None, None)
        for name in ("R50x1", "R50x3", "R101x1", "R101x3", "R152x2", "R152x4"))),
    ("bit", BIT + "/BiT-S-{}.npz", "s-i1k", 1000, tuple(
        (name, name, None, None, None, None, None)
        for name in ("R50x1", "R50x3", "R101x1", "R101x3", "R152x4"))),
    # Distilled from BiT, arXiv 2106.05237.
    ("bit", BIT + "/distill/{}.npz", "distilled", 1000, (
        ("R50x1", "R50x1_224", 224, None, None, 82.8, "BiT README"),
        ("R50x1", "R50x1_160", 160, None, None, 80.5, "BiT README"))),
    ("bit", BIT + "/distill/{}.npz", "teacher", 1000, (
        ("R152x2", "R152x2_T_224", 224, None, None, 82.918, "timm"),
        ("R152x2", "R152x2_T_384", 384, None, None, 83.858, "timm"))),
    # Trained by us from scratch, part of the package.
    ("keras-vit", SHIPPED + "{}.npz", "cifar10", 10, (
        ("ViT-Mini/4", "ViT-Mini_4-cifar10", 32, None, "0.6 MB", 64.68, "ours"),)),
    ("keras-vit-midi", SHIPPED + "{}.npz", "cifar10", 10, (
        ("ViT-Midi/4", "ViT-Midi_4-cifar10", 32, None, "1.7 MB", 81.28, "ours"),
        ("R+ViT-Midi/4", "R_ViT-Midi_4-cifar10", 32, None, "2.1 MB", 85.08, "ours"),)),
)  # fmt: skip
# These weights exist at one resolution only, so their names omit it.
WITHOUT_RESOLUTION = ("original-i21k", "augreg-i21k", "sam-i1k", "huggingface-i21k", "bit-m-i21k",
                      "bit-s-i1k", "keras-vit-cifar10", "keras-vit-midi-cifar10")  # fmt: skip

SHA256 = {
    "ViT-Mini/4-keras-vit-cifar10": (
        "05c29515ada449610f59d7b6be987f3ff7e2a0b9769f694ecacec3b7ec4b70be"
    ),
    "ViT-Midi/4-keras-vit-midi-cifar10": (
        "6300e2b9a4f07a2bf66bfd844f07203b868c97e8f2ebd4a90add5330b1a2d8d6"
    ),
    "R+ViT-Midi/4-keras-vit-midi-cifar10": (
        "0d3c42d9e9e306121ab78b00c3c11541363bfed98b8b3d412416878c51e491c0"
    ),
    "ViT-Ti/16-deit-i1k-224": "21d4764d94f6c3ffdb6da3581115a0a1ee2d505537d96883b540e54766407c9e",
}

# {the rest of a name: variants that select it}: fine-tuned on ImageNet, at 224 pixels if there is
# such a file, as `create` builds it.
RECOMMENDED = {
    "augreg-i21k-ft-224": "ViT-Ti/16 ViT-S/16 ViT-S/32 ViT-B/8 ViT-B/16 ViT-B/32 ViT-L/16 "
                          "R+ViT-Ti/16 R26+ViT-S/32 R50+ViT-L/32",
    "original-i21k-ft-384": "ViT-L/32 R50+ViT-B/16",
    "original-i21k": "ViT-H/14 R26+ViT-B/32",  # 21,843 classes; not fine-tuned
    "keras-vit-cifar10": "ViT-Mini/4",  # 10 classes
    "keras-vit-midi-cifar10": "ViT-Midi/4 R+ViT-Midi/4",
    "bit-m-i21k-ft-448": "R50x1 R50x3 R101x1 R101x3 R152x2",
    "bit-m-i21k-ft-480": "R152x4",
}  # fmt: skip
RECOMMENDED = {
    variant: f"{variant}-{training}"
    for training, variants in RECOMMENDED.items() for variant in variants.split()
}  # fmt: skip

# No weight file holds the names of ImageNet's classes; a run of `keras-vit train` keeps its own.
IMAGENET_CLASSES = 1000
CLASS_NAMES = {
    "ViT-Mini/4-keras-vit-cifar10": CIFAR10,
    "ViT-Midi/4-keras-vit-midi-cifar10": CIFAR10,
    "R+ViT-Midi/4-keras-vit-midi-cifar10": CIFAR10,
}


@functools.cache
def imagenet_classes():
    """Returns ImageNet's classes (ILSVRC 2012) in the order of the logits, as {id: names}.

    `imagenet.txt` has a line for each: the WordNet id, as ImageNet's folders are called, and the
    words of that synset in WordNet 3.0 (Princeton University,
    https://wordnet.princeton.edu/license).
    """
    text = (pathlib.Path(__file__).parent / "imagenet.txt").read_text("utf-8")
    return dict(line.split(" ", 1) for line in text.splitlines())
