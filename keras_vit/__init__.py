"""Vision Transformers for Keras 3, as the paper describes them (arXiv 2010.11929)."""

from keras_vit import backend, environment, startup
from keras_vit.environment import __version__
from keras_vit.variants import list_variants

environment.warn_of_namesake()
if not startup.postpone(__name__):  # the command `keras-vit` imports on first use
    backend.ensure_installed()

    from keras_vit import (
        ablations,
        accounting,
        browser,
        checkpoints,
        data,
        descendants,
        explain,
        layers,
        pretraining,
        training,
    )
    from keras_vit.checkpoints import load_pretrained, load_weights, save_weights
    from keras_vit.descendants import AttentionPooling
    from keras_vit.descendants.zero_shot import zero_shot_head
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
    from keras_vit.resizing import resize
    from keras_vit.resnet import ResNet
    from keras_vit.training.evaluation.extraction import features
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
    "browser",
    "check_batch",
    "checkpoints",
    "create",
    "data",
    "descendants",
    "explain",
    "features",
    "layers",
    "list_variants",
    "load_pretrained",
    "load_weights",
    "pretraining",
    "resize",
    "save_weights",
    "training",
    "zero_shot_head",
]
