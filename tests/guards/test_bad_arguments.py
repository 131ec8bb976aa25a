"""Every error names the argument, the value received, and what to do.

Each row is a call that must fail with `ValueError` before any work, and words of its message, which
are the same on every backend.
"""

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit import (
    MLP,
    AttentionPooling,
    HybridViT,
    LayerNorm,
    PatchEncoder,
    Patches,
    ResNet,
    SelfAttention,
    TransformerBlock,
    ViT,
    create,
)
from keras_vit.ablations import PositionViT
from keras_vit.convolutions import BiTRoot, BiTUnit, HybridConv, HybridRoot, HybridUnit
from keras_vit.vit import ClassToken

NAN, INFINITY = float("nan"), float("inf")


def zeros(*shape):
    return np.zeros(shape, "float32")


def block(**arguments):
    return TransformerBlock(**{"num_heads": 3, "mlp_dim": 17, **arguments})


def vit(model=ViT, **arguments):
    shape = dict(image_size=8, patch_size=4, num_layers=1, hidden_dim=6, mlp_dim=5, num_heads=3)
    return model(**{**shape, "num_classes": 2, **arguments})


def bit(**arguments):
    return ResNet(**{"image_size": 8, "units": (1,), "num_classes": 2, **arguments})


def second_call(layer, first, second):
    """The first input was valid, so the check must not only run when weights are created."""
    layer(first)
    return layer(second)


INTEGER = "must be a positive integer"
FRACTION = "must be a number of at least 0 and less than 1"
BOOLEAN = "must be True or False"

CASES = {
    # Patches
    "patch 0": (lambda: Patches(0), f"`patch_size` {INTEGER}", "patch_size=0"),
    "patch negative": (lambda: Patches(-4), f"`patch_size` {INTEGER}", "patch_size=-4"),
    "patch float": (lambda: Patches(4.0), f"`patch_size` {INTEGER}", "patch_size=4.0"),
    "patch text": (lambda: Patches("16"), f"`patch_size` {INTEGER}", "patch_size='16'"),
    "patch None": (lambda: Patches(None), f"`patch_size` {INTEGER}", "patch_size=None"),
    "patch True": (lambda: Patches(True), f"`patch_size` {INTEGER}", "patch_size=True"),
    "patch of three": (lambda: Patches((4, 4, 4)), "two (height, width)", "patch_size=(4, 4, 4)"),
    "patch empty": (lambda: Patches(()), "two (height, width)", "patch_size=()"),
    "patch half": (lambda: Patches((4, None)), f"`patch_size` {INTEGER}", "patch_size=None"),
    "height not divisible": (
        lambda: Patches(8)(zeros(1, 30, 32, 3)),
        "image height must be divisible by the patch height",
        "image_size=(30, 32), patch_size=(8, 8)",
        "Resize the images to a height of 24 or 32",
    ),
    "width not divisible": (
        lambda: Patches((5, 7))(zeros(1, 30, 32, 3)),
        "image width must be divisible by the patch width",
        "image_size=(30, 32), patch_size=(5, 7)",
        "a width of 28 or 35",
    ),
    "image smaller than a patch": (
        lambda: Patches(16)(zeros(1, 8, 16, 3)),
        "image height must be divisible",
        "a height of 16",
    ),
    "second image not divisible": (
        lambda: second_call(Patches(8), zeros(1, 16, 16, 3), zeros(1, 16, 12, 3)),
        "image width must be divisible",
        "image_size=(16, 12)",
    ),
    "one image without a batch": (
        lambda: Patches(8)(zeros(32, 32, 3)),
        "(batch, height, width, channels)",
        "input shape=(32, 32, 3)",
        "image[None]",
    ),
    "images of rank 5": (
        lambda: Patches(8)(zeros(1, 1, 32, 32, 3)),
        "(batch, height, width, channels)",
        "input shape=(1, 1, 32, 32, 3)",
    ),
    "unknown image size": (
        lambda: Patches(8)(keras.Input((None, None, 3))),
        "all but the batch known",
        "input shape=(None, None, None, 3)",
        "resize images to one size",
    ),
    # PatchEncoder
    "hidden 0": (lambda: PatchEncoder(0), f"`hidden_dim` {INTEGER}", "hidden_dim=0"),
    "hidden negative": (lambda: PatchEncoder(-1), f"`hidden_dim` {INTEGER}", "hidden_dim=-1"),
    "hidden float": (lambda: PatchEncoder(1.5), f"`hidden_dim` {INTEGER}", "hidden_dim=1.5"),
    "hidden pair": (lambda: PatchEncoder((8, 8)), f"`hidden_dim` {INTEGER}", "hidden_dim=(8, 8)"),
    "class token number": (
        lambda: PatchEncoder(8, prefix_tokens=True),
        "`prefix_tokens` must be a non-negative integer",
        "prefix_tokens=True",
    ),
    "negative number of tokens": (
        lambda: PatchEncoder(8, prefix_tokens=-1),
        "`prefix_tokens` must be a non-negative integer",
        "prefix_tokens=-1",
    ),
    "encoder dropout 1": (
        lambda: PatchEncoder(8, dropout=1),
        f"`dropout` {FRACTION}",
        "dropout=1",
        "dropout=0.1 is one in ten",
    ),
    "encoder on images": (
        lambda: PatchEncoder(8)(zeros(1, 32, 32, 3)),
        "(batch, patches, patch length)",
        "input shape=(1, 32, 32, 3)",
        "Put `Patches(patch_size)` before it",
    ),
    "encoder on vectors": (
        lambda: PatchEncoder(8)(zeros(4, 12)),
        "(batch, patches, patch length)",
        "input shape=(4, 12)",
    ),
    "encoder, unknown number": (
        lambda: PatchEncoder(8)(keras.Input((None, 12))),
        "all but the batch known",
        "input shape=(None, None, 12)",
    ),
    "encoder, other number": (
        lambda: second_call(PatchEncoder(8), zeros(1, 4, 12), zeros(1, 9, 12)),
        "has positions for 4 patches",
        "patches=9",
        "Resize the images",
    ),
    "block, other width": (
        lambda: second_call(block(), keras.Input((5, 6)), keras.Input((5, 9))),
        "expects tokens of shape (batch, tokens, 6)", "input shape=(None, 5, 9)",
    ),
    # LayerNorm
    "epsilon 0": (lambda: LayerNorm(0), "`epsilon` must be a finite number above 0", "epsilon=0"),
    "epsilon negative": (lambda: LayerNorm(-1e-6), "`epsilon` must be", "epsilon=-1e-06"),
    "epsilon NaN": (lambda: LayerNorm(NAN), "`epsilon` must be", "epsilon=nan"),
    "epsilon infinite": (lambda: LayerNorm(INFINITY), "`epsilon` must be", "epsilon=inf"),
    "epsilon text": (lambda: LayerNorm("1e-6"), "`epsilon` must be", "epsilon='1e-6'"),
    # SelfAttention
    "heads 0": (lambda: SelfAttention(0), f"`num_heads` {INTEGER}", "num_heads=0"),
    "heads negative": (lambda: SelfAttention(-3), f"`num_heads` {INTEGER}", "num_heads=-3"),
    "heads float": (lambda: SelfAttention(3.0), f"`num_heads` {INTEGER}", "num_heads=3.0"),
    "attention dropout": (
        lambda: SelfAttention(3, dropout=-0.1), f"`dropout` {FRACTION}", "dropout=-0.1",
    ),
    "heads do not divide": (
        lambda: SelfAttention(4)(zeros(1, 5, 18)),
        "`hidden_dim` must be divisible by `num_heads`",
        "hidden_dim=18, num_heads=4",
        "Use num_heads=3 or 6, or a hidden_dim of 16 or 20",
    ),
    "more heads than width": (
        lambda: SelfAttention(8)(zeros(1, 5, 4)),
        "hidden_dim=4, num_heads=8",
        "num_heads=4",
    ),
    "attention on images": (
        lambda: SelfAttention(3)(zeros(1, 4, 4, 3)),
        "`SelfAttention` expects tokens of shape (batch, tokens, hidden_dim)",
        "input shape=(1, 4, 4, 3)",
    ),
    # MLP
    "mlp 0": (lambda: MLP(0), f"`mlp_dim` {INTEGER}", "mlp_dim=0"),
    "mlp float": (lambda: MLP(3072.0), f"`mlp_dim` {INTEGER}", "mlp_dim=3072.0"),
    "mlp dropout NaN": (lambda: MLP(8, dropout=NAN), f"`dropout` {FRACTION}", "dropout=nan"),
    "mlp GELU by name": (
        lambda: MLP(8, approximate="tanh"), f"`approximate` {BOOLEAN}", "approximate='tanh'",
    ),
    "mlp on vectors": (lambda: MLP(8)(zeros(4, 6)), "`MLP` expects tokens", "input shape=(4, 6)"),
    # TransformerBlock
    "block heads": (lambda: block(num_heads=0), f"`num_heads` {INTEGER}", "num_heads=0"),
    "block mlp": (lambda: block(mlp_dim=-1), f"`mlp_dim` {INTEGER}", "mlp_dim=-1"),
    "block dropout": (lambda: block(dropout=1.5), f"`dropout` {FRACTION}", "dropout=1.5"),
    "block dropout None": (lambda: block(dropout=None), f"`dropout` {FRACTION}", "dropout=None"),
    "block depth": (
        lambda: block(stochastic_depth=1.0), f"`stochastic_depth` {FRACTION}", "depth=1.0",
    ),
    "block epsilon": (lambda: block(epsilon=0.0), "`epsilon` must be", "epsilon=0.0"),
    "block GELU": (lambda: block(approximate=None), f"`approximate` {BOOLEAN}", "approximate=None"),
    "block not divisible": (
        lambda: block(num_heads=5)(zeros(1, 4, 192)),
        "hidden_dim=192, num_heads=5",
        "num_heads=4 or 6, or a hidden_dim of 190 or 195",
    ),
    "block on images": (
        lambda: block()(zeros(1, 224, 224, 3)),
        "`TransformerBlock` expects tokens",
        "Pass it the output of `PatchEncoder`",
    ),
    # Pooling
    "class token of vectors": (lambda: ClassToken()(zeros(2, 3)), "`ClassToken` expects tokens"),
    "map heads": (lambda: AttentionPooling(0, 8), f"`num_heads` {INTEGER}", "num_heads=0"),
    "map mlp": (lambda: AttentionPooling(3, 0), f"`mlp_dim` {INTEGER}", "mlp_dim=0"),
    "map not divisible": (
        lambda: AttentionPooling(4, 8)(zeros(1, 5, 6)), "hidden_dim=6, num_heads=4",
    ),
    # ViT
    "layers 0": (lambda: vit(num_layers=0), f"`num_layers` {INTEGER}", "num_layers=0"),
    "layers negative": (lambda: vit(num_layers=-1), f"`num_layers` {INTEGER}", "num_layers=-1"),
    "layers float": (lambda: vit(num_layers=2.0), f"`num_layers` {INTEGER}", "num_layers=2.0"),
    "model hidden 0": (lambda: vit(hidden_dim=0), f"`hidden_dim` {INTEGER}", "hidden_dim=0"),
    "model not divisible": (lambda: vit(num_heads=4), "hidden_dim=6, num_heads=4", "3 or 6"),
    "model heads None": (lambda: vit(num_heads=None), f"`num_heads` {INTEGER}", "num_heads=None"),
    "model mlp 0": (lambda: vit(mlp_dim=0), f"`mlp_dim` {INTEGER}", "mlp_dim=0"),
    "image 0": (lambda: vit(image_size=0), f"`image_size` {INTEGER}", "image_size=0"),
    "image text": (lambda: vit(image_size="224"), f"`image_size` {INTEGER}", "image_size='224'"),
    "image with channels": (
        lambda: vit(image_size=(8, 8, 3)), "two (height, width)", "image_size=(8, 8, 3)",
    ),
    "model image not divisible": (
        lambda: vit(image_size=(8, 10)),
        "image width must be divisible by the patch width",
        "image_size=(8, 10), patch_size=(4, 4)",
        "8 or 12",
    ),
    "model patch 0": (lambda: vit(patch_size=0), f"`patch_size` {INTEGER}", "patch_size=0"),
    "channels 0": (lambda: vit(num_channels=0), f"`num_channels` {INTEGER}", "num_channels=0"),
    "classes 0": (
        lambda: vit(num_classes=0), f"`num_classes` {INTEGER}", "num_classes=0", "num_classes=None",
    ),
    "classes float": (lambda: vit(num_classes=10.0), f"`num_classes` {INTEGER}", "=10.0"),
    "pooling unknown": (
        lambda: vit(pooling="mean"),
        "must be one of 'token', 'gap', None, 'patch mean', 'token and mean', 'map', 'distilled'",
        "'mean'",
    ),
    "pooling 1": (lambda: vit(pooling=1), "`pooling` must be one of", "pooling=1"),
    "pooling None, classes": (
        lambda: vit(pooling=None), "has no head", "pooling=None, num_classes=", "num_classes=None",
    ),
    "pooling None, pre-logits": (
        lambda: vit(pooling=None, num_classes=None, representation_size=3), "has no head", "size=3",
    ),
    "representation 0": (
        lambda: vit(representation_size=0),
        f"`representation_size` {INTEGER}",
        "Use representation_size=None",
    ),
    "model dropout": (lambda: vit(dropout=1), f"`dropout` {FRACTION}", "dropout=1"),
    "model depth": (lambda: vit(stochastic_depth=-1), f"`stochastic_depth` {FRACTION}", "=-1"),
    "class token of axial attention": (
        lambda: vit(keras_vit.ablations.AxialViT, pooling="distilled"), "no row", "'distilled'",
    ),
    "bad argument of a relative": (
        lambda: vit(keras_vit.ablations.RelativeViT, mlp_dim=0), f"`mlp_dim` {INTEGER}", "=0",
    ),
    "positions unknown": (
        lambda: vit(PositionViT, position_embedding="3d"),
        "`position_embedding` must be one of None, '1d', '2d', 'sincos'",
        "position_embedding='3d'",
    ),
    "placement unknown": (
        lambda: vit(PositionViT, position_placement=None),
        "`position_placement` must be one of 'stem', 'every', 'shared'",
        "position_placement=None",
    ),
    "normalize number": (
        lambda: vit(normalize=127.5), "(mean, standard deviation)", "normalize=127.5",
    ),
    "normalize True": (lambda: vit(normalize=True), "(mean, standard deviation)", "normalize=None"),
    "deviation 0": (
        lambda: vit(normalize=(0, 0)), "standard deviation of normalize", "above 0", "=0",
    ),
    "deviation NaN": (lambda: vit(normalize=(0, NAN)), "standard deviation of normalize", "=nan"),
    "mean per wrong channel": (
        lambda: vit(normalize=((1, 2), 1)), "one number or 3, one per channel", "(1, 2)",
    ),
    "model GELU": (lambda: vit(approximate=1), f"`approximate` {BOOLEAN}", "approximate=1"),
    "model epsilon": (lambda: vit(epsilon=-1), "`epsilon` must be", "epsilon=-1"),
    # Hybrids
    "hybrid units number": (
        lambda: vit(HybridViT, resnet_units=50),
        "`resnet_units` must be a tuple, the units of each stage",
        "resnet_units=50",
        "A ResNet-50 is resnet_units=(3, 4, 6, 3)",
    ),
    "hybrid units None": (
        lambda: vit(HybridViT, resnet_units=None), "must be a tuple", "resnet_units=None",
    ),
    "hybrid units text": (
        lambda: vit(HybridViT, resnet_units="50"), "must be a tuple", "resnet_units='50'",
    ),
    "hybrid units 0": (
        lambda: vit(HybridViT, resnet_units=(3, 0)), f"`resnet_units` {INTEGER}", "resnet_units=0",
    ),
    "hybrid units float": (
        lambda: vit(HybridViT, resnet_units=(1.5,)), f"`resnet_units` {INTEGER}", "units=1.5",
    ),
    "hybrid patch too small": (
        lambda: vit(HybridViT, image_size=224, patch_size=16, resnet_units=(3, 4, 6, 3)),
        "patch height must be divisible by 32, the ResNet's step in pixels",
        "patch_size=(16, 16), resnet_units=(3, 4, 6, 3)",
        "Use a patch height of 32, or fewer stages",
    ),
    "hybrid patch not divisible": (
        lambda: vit(HybridViT, image_size=40, patch_size=(8, 10), resnet_units=(1, 1)),
        "patch width must be divisible by 8",
        "Use a patch width of 8 or 16",
    ),
    "hybrid image not divisible": (
        lambda: vit(HybridViT, image_size=(32, 40), patch_size=16, resnet_units=(1,)),
        "image width must be divisible by the patch width",
        "32 or 48",
    ),
    "hybrid by name, patch": (
        lambda: create("R50+ViT-B/16", patch_size=8, image_size=32),
        "must be divisible by 16",
        "resnet_units=(3, 4, 9)",
    ),
    # ResNet
    "units empty": (
        lambda: bit(units=()), "`units` must name at least one stage", "units=()", "(3, 4, 6, 3)",
    ),
    "units None": (lambda: bit(units=None), "`units` must be a tuple", "units=None"),
    "units negative": (lambda: bit(units=(3, -4)), f"`units` {INTEGER}", "units=-4"),
    "width 0": (lambda: bit(width=0), f"`width` {INTEGER}", "width=0"),
    "width half": (lambda: bit(width=0.5), f"`width` {INTEGER}", "width=0.5"),
    "bit image 0": (lambda: bit(image_size=0), f"`image_size` {INTEGER}", "image_size=0"),
    "bit channels 0": (lambda: bit(num_channels=0), f"`num_channels` {INTEGER}", "=0"),
    "bit classes 0": (lambda: bit(num_classes=0), f"`num_classes` {INTEGER}", "num_classes=None"),
    "bit normalize": (lambda: bit(normalize=127.5), "(mean, standard deviation)", "=127.5"),
    "bit deviation": (lambda: bit(normalize=(0, -1)), "standard deviation of normalize", "=-1"),
    "bit, other size": (
        lambda: bit()(zeros(2, 9, 8, 3)),
        "expects images of shape (batch, 8, 8, 3)",
        "images shape=(2, 9, 8, 3)",
    ),
    "bit, one image": (lambda: bit()(zeros(8, 8, 3)), "model(image[None])"),
    "bit by name, patch": (lambda: create("R50x0"), "name='R50x0'", "'R50x"),
    "recipe of a ResNet": (
        lambda: keras_vit.training.recipe("folder", model="R50x1"),
        "`model` must be a Vision Transformer or a hybrid",
        "model='R50x1'",
    ),
    "filters 0": (lambda: HybridConv(0, 3), f"`filters` {INTEGER}", "filters=0"),
    "kernel 0": (lambda: HybridConv(8, 0), f"`kernel_size` {INTEGER}", "kernel_size=0"),
    "strides 0": (lambda: HybridConv(8, 3, 0), f"`strides` {INTEGER}", "strides=0"),
    "conv on tokens": (
        lambda: HybridConv(8, 3)(zeros(2, 5, 8)),
        "`HybridConv` expects a map of shape (batch, height, width, channels)",
        "input shape=(2, 5, 8)",
    ),
    "unit groups": (
        lambda: HybridUnit(48),
        "`HybridUnit` normalizes in 32 groups, which must divide its channels",
        "channels=48",
        "Use a multiple of 32: 32 or 64",
    ),
    "unit strides": (lambda: BiTUnit(32, 1.0), f"`strides` {INTEGER}", "strides=1.0"),
    "unit on images": (lambda: BiTUnit(32)(zeros(1, 4, 4, 3)), "`BiTUnit`", "channels=3"),
    "unit on tokens": (lambda: HybridUnit(32)(zeros(2, 5, 8)), "`HybridUnit` expects a map"),
    "root filters": (lambda: BiTRoot(16), "`BiTRoot` normalizes in 32 groups", "channels=16"),
    "root on one image": (
        lambda: HybridRoot(32)(zeros(8, 8, 3)), "`HybridRoot` expects a map", "image[None]",
    ),
    # Images given to a model
    "model, one image": (
        lambda: vit()(zeros(8, 8, 3)),
        "expects images of shape (batch, 8, 8, 3)",
        "images shape=(8, 8, 3)",
        "model(image[None])",
    ),
    "model, other size": (
        lambda: vit()(zeros(2, 12, 12, 3)),
        "expects images of shape (batch, 8, 8, 3)",
        "images shape=(2, 12, 12, 3)",
        "Resize the images to 8 x 8",
    ),
    "model, gray": (
        lambda: vit()(zeros(2, 8, 8, 1)),
        "images shape=(2, 8, 8, 1)",
        "Convert the images to 3 channels",
        "num_channels=1",
    ),
    "model, channels first": (
        lambda: vit()(zeros(2, 3, 8, 8)), "expects images of shape (batch, 8, 8, 3)", "(2, 3, 8, 8",
    ),
    "model, vectors": (lambda: vit()(zeros(2, 192)), "images shape=(2, 192)"),
    "model, symbolic": (
        lambda: vit()(keras.Input((12, 12, 3))), "images shape=(None, 12, 12, 3)", "Resize",
    ),
    # Models and names of other kinds
    "save a Sequential": (
        lambda: keras_vit.save_weights(keras.Sequential(), "x.npz"), "model='Sequential'",
    ),
    "load None": (lambda: keras_vit.load_pretrained(None), "name=None", "entries()"),
    "load a number": (lambda: keras_vit.load_pretrained(0), "name=0", "entries()"),
    "texts": (
        lambda: keras_vit.zero_shot_head(vit(num_classes=None), ["cat", "dog"]),
        "finite numbers (classes, 6)",
    ),
    "features of None": (lambda: keras_vit.features(vit(), None), "images=None"),
    "check None": (lambda: keras_vit.check_batch(None, zeros(2, 8, 8, 3)), "model='NoneType'"),
    "explain None": (
        lambda: keras_vit.explain.attention_scores(None, zeros(2, 8, 8, 3)), "model='NoneType'",
    ),
    "freeze None": (lambda: keras_vit.training.freeze(None, "linear"), "model='NoneType'"),
    "evaluate nothing": (lambda: keras_vit.training.evaluate(vit(), None), "data='NoneType'"),
    "evaluate features": (
        lambda: keras_vit.training.evaluate(vit(num_classes=None), None),
        "A classifier was expected", "num_classes=None",
    ),
    "mistakes -1": (
        lambda: keras_vit.training.evaluate(None, None, mistakes=-1), "`mistakes`", "mistakes=-1",
    ),
    "bins half": (lambda: keras_vit.training.evaluate(None, None, bins=1.5), "`bins`", "bins=1.5"),
    "layer True": (
        lambda: keras_vit.training.features(vit(), None, layer=True), "name of a layer", "=True",
    ),
    "files without labels": (
        lambda: keras_vit.training.ImageFiles(["a.png"] * 3, [0, 1], 8),
        "one label for each file", "files=3, labels=2",
    ),
    "few-shot batches": (
        lambda: keras_vit.training.FewShot((), (), batch_size=0), "`batch_size`", "batch_size=0",
    ),
    "histograms": (
        lambda: keras_vit.training.tensorboard("logs", -1), "`histograms`", "histograms=-1",
    ),
    "prefix tokens": (
        lambda: keras_vit.explain.plots.token_norms(zeros(2, 1, 5), 5), "patch tokens behind",
    ),
    "block True": (
        lambda: keras_vit.explain.plots.attention_scores(
            zeros(2, 1, 1, 5, 5), zeros(1, 8, 8, 3), blocks=[True]
        ),
        "blocks 0 to 1", "block=True",
    ),
    "class 1.7": (
        lambda: keras_vit.explain.plots.grad_cam(zeros(1, 2, 2), zeros(1, 8, 8, 3), 1.7),
        "number of a class", "classes=1.7",
    ),
    "class -1": (
        lambda: keras_vit.explain.plots.grad_cam(
            zeros(1, 2, 2), zeros(1, 8, 8, 3), -1, class_names=["cat", "dog"]
        ),
        "classes count from 0", "class=-1, class_names=2",
    ),
    "report names": (
        lambda: keras_vit.explain.report(vit(), zeros(2, 8, 8, 3), class_names=["a"]),
        "class_names=1, logits=2", "in the order of the logits",
    ),
    "probe one class": (
        lambda: keras_vit.training.linear_probe(zeros(2, 3), [0, 0], zeros(2, 3), [0, 1]),
        "at least two classes", "classes=1",
    ),
    "batches of none": (
        lambda: keras_vit.data.Batches(zeros(4, 8, 8, 3), np.zeros(4), 0), "`batch_size`", "size=0",
    ),
    "batches of unequal": (
        lambda: keras_vit.data.Batches(zeros(4, 8, 8, 3), np.zeros(3), 2),
        "one label for each image", "images=(4, 8, 8, 3), labels=(3,)",
    ),
    "batches of one-hot": (
        lambda: keras_vit.data.Batches(zeros(4, 8, 8, 3), zeros(4, 2), 2), "labels.argmax(axis=1)",
    ),
    "split more than all": (
        lambda: keras_vit.data.split([0, 0, 1, 1], test_share=2), "`test_share`", "test_share=2",
    ),
    "split seed": (lambda: keras_vit.data.split([0, 0, 1, 1], seed=-1), "`seed`", "seed=-1"),
    "checkpoint nowhere": (
        lambda: keras_vit.training.Checkpoint(None), "`folder` must be the path", "='NoneType'",
    ),
    "checkpoint without a name": (lambda: keras_vit.training.Checkpoint(""), "folder=''"),
    "predict without a run": (
        lambda: keras_vit.training.predict(None, ["a.png"]), "`run`", "Run(None, model, metrics)",
    ),
    "predict with a model": (
        lambda: keras_vit.training.predict(vit(), ["a.png"]), "run='ViT'", "Run(None, model",
    ),
    "predict with too few names": (
        lambda: keras_vit.training.predict(
            keras_vit.training.Run(None, vit(), {"class_names": ["a"]}), ["a.png"]
        ),
        "class_names=1, logits=2",
    ),
    "predict without files": (
        lambda: keras_vit.training.predict(keras_vit.training.Run(None, vit(), {}), None),
        "`files` must be paths", "files=None",
    ),
    "resume nothing": (lambda: keras_vit.training.resume(None), "`folder`", "folder='NoneType'"),
    "train into a number": (lambda: keras_vit.training.train(out=3), "`out`", "out='int'"),
    "call with text": (lambda: vit()(zeros(1, 8, 8, 3).astype("U")), "Pixels must be numbers"),
    "call with objects": (lambda: vit()(zeros(1, 8, 8, 3).astype("O")), "images='object'"),
    "call with complex": (lambda: vit()(zeros(1, 8, 8, 3).astype("c8")), "images='complex64'"),
    "call with dates": (lambda: vit()(zeros(1, 8, 8, 3).astype("M8[s]")), "Pixels must be numbers"),
    "call with lists": (lambda: vit()(zeros(2, 8, 8, 3).tolist()), "a list of 2", "np.stack"),
    "call with a path": (lambda: vit()("cat.jpg"), "images='cat.jpg'", "keras_vit.data.read"),
    "call with text in a dictionary": (
        lambda: bit()({"images": zeros(1, 8, 8, 3).astype("U")}), "Pixels must be numbers",
    ),
    "recipe for arrays": (
        lambda: keras_vit.training.recipe("finetune", zeros(2, 8, 8, 3)), "data='ndarray'",
    ),
    # Names
    "name unknown": (lambda: create("ViT-XL/16"), "name='ViT-XL/16'", "Did you mean"),
    "name number": (lambda: create(16), "name=16", "'ViT-B/16'"),
    "name empty": (lambda: create(""), "name=''", "keras_vit.list_variants()"),
    "name without patch": (lambda: create("ViT-B"), "name='ViT-B'", "'ViT-B/"),
    "name with patch 0": (lambda: create("ViT-B/0"), "name='ViT-B/0'", "'ViT-B/"),
    "name and image": (
        lambda: create("ViT-H/14", image_size=384),
        "image_size=(384, 384), patch_size=(14, 14)",
        "378 or 392",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_error_says_what_to_do(case):
    call, *words = CASES[case]
    with pytest.raises(ValueError) as error:
        call()
    message = str(error.value)
    assert "Received: " in message
    for word in words:
        assert word in message


def test_a_misspelt_argument_is_not_swallowed():
    with pytest.raises(TypeError, match="num_layer"):
        vit(num_layer=3)
    with pytest.raises(TypeError, match="num_clases"):
        create("ViT-Mini/8", image_size=32, num_clases=3)


def test_nothing_was_built_when_an_argument_is_refused(monkeypatch):
    """The last argument to be checked is refused before the first weight is created."""
    made = []
    monkeypatch.setattr(keras.layers.Layer, "add_weight", lambda self, *a, **k: made.append(self))
    for wrong in (dict(epsilon=NAN), dict(normalize=3), dict(pooling="mean"), dict(mlp_dim=0)):
        with pytest.raises(ValueError):
            vit(**wrong)
    for wrong in (dict(num_classes=0), dict(normalize=3), dict(width=0)):
        with pytest.raises(ValueError):
            bit(**wrong)
    for relative, wrong in (
        (HybridViT, dict(patch_size=4, resnet_units=(1, 1))),
        (PositionViT, dict(position_embedding=None, position_placement="every")),
        (PositionViT, dict(position_embedding="2d", epsilon=NAN)),
    ):
        with pytest.raises(ValueError):
            vit(relative, **wrong)
    assert not made


def test_numpy_integers_are_integers():
    eight, five = np.int64(8), np.int32(5)
    model = keras_vit.ViT(eight, np.int32(4), np.int64(1), 6, five, 3, five, dropout=np.float32(0))
    config = model.get_config()
    assert {type(config[name]) for name in ("num_layers", "mlp_dim", "num_classes")} == {int}
    assert config["image_size"] == (8, 8) and type(config["dropout"]) is float
