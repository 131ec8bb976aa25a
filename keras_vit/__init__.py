"""Vision Transformers for Keras 3, as the paper describes them (arXiv 2010.11929)."""

from keras_vit import backend, environment, startup
from keras_vit.environment import __version__
from keras_vit.variants import list_variants

environment.warn_of_namesake()
if not startup.postpone(__name__):  # in the command `keras-vit`, until a name is used
    backend.ensure_installed()

    from keras_vit import (
        ablations,
        accounting,
        axial,
        checkpoints,
        convolutions,
        data,
        deit,
        explain,
        families,
        guards,
        hybrid,
        layers,
        pooling,
        positions,
        pretraining,
        relative,
        resnet,
        training,
    )
    from keras_vit.checkpoints import load_pretrained, load_weights, save_weights
    from keras_vit.families import create
    from keras_vit.guards import check_batch
    from keras_vit.hybrid import HybridViT
    from keras_vit.layers import (
        MLP,
        LayerNorm,
        PatchEncoder,
        Patches,
        SelfAttention,
        TransformerBlock,
    )
    from keras_vit.pooling import AttentionPooling
    from keras_vit.resnet import ResNet
    from keras_vit.vit import ViT

__all__ = [
    "MLP",
    "AttentionPooling",
    "HybridViT",
    "LayerNorm",
    "PatchEncoder",
    "Patches",
    "ResNet",
    "SelfAttention",
    "TransformerBlock",
    "ViT",
    "__version__",
    "ablations",
    "accounting",
    "axial",
    "check_batch",
    "checkpoints",
    "convolutions",
    "create",
    "data",
    "deit",
    "explain",
    "families",
    "guards",
    "hybrid",
    "layers",
    "load_pretrained",
    "load_weights",
    "pooling",
    "positions",
    "pretraining",
    "relative",
    "resnet",
    "save_weights",
    "training",
    "list_variants",
]
