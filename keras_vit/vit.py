"""The Vision Transformer: Figure 1 of the paper as a functional Keras model."""

import re

import keras
from keras import layers

from keras_vit import ablations, arguments, resnet
from keras_vit.layers import LayerNorm, PatchEncoder, Patches
from keras_vit.model import PictureModel, checked, dtype_policy, head, normalization
from keras_vit.pooling import CLASS_TOKENS, AttentionPooling, ClassToken
from keras_vit.variants import RESNETS, parse

# The arguments of `ViT`, each with its check. They are its attributes and its saved configuration.
CHECKS = {
    "image_size": arguments.height_width,
    "patch_size": arguments.height_width,
    "num_layers": arguments.positive_integer,
    "hidden_dim": arguments.positive_integer,
    "mlp_dim": arguments.positive_integer,
    "num_heads": arguments.positive_integer,
    "num_classes": arguments.optional(arguments.positive_integer),
    "num_channels": arguments.positive_integer,
    "resnet_units": arguments.optional(arguments.units),
    "pooling": arguments.one_of(*CLASS_TOKENS),
    **ablations.CHECKS,
    "representation_size": arguments.optional(arguments.positive_integer),
    "dropout": arguments.fraction,
    "stochastic_depth": arguments.fraction,
    "head_bias": arguments.optional(arguments.number),
    "normalize": arguments.optional(arguments.pair),
    "approximate": arguments.boolean,
    "epsilon": arguments.positive_number,
}


@keras.saving.register_keras_serializable(package="keras_vit")
class ViT(PictureModel):
    """Vision Transformer: pictures in (pixels 0 to 255), logits out.

        z_0 = [x_class; x_1 E; ...; x_N E] + E_pos     Eq. 1
        z_l = TransformerBlock(z_l-1),  l = 1 ... L    Eq. 2, 3
        y   = LN(z_L)^0                                Eq. 4
        logits = y W_head + b_head

    It is a functional model: each stage is a node of its graph (`patches`, `patch_encoder`,
    `block_0` ... `encoder_norm`, `head`), so `model.get_layer("block_3").output` is z_4 and every
    activation can be reached. The defaults are ViT-B/16; `create` builds every named variant.

    Args:
        image_size: side of the pictures in pixels, or (height, width).
        patch_size: side of a patch in pixels of the picture, or (height, width); it divides the
            image.
        num_layers: L, number of blocks.
        hidden_dim: D, length of a token.
        mlp_dim: width of the MLP in each block.
        num_heads: attention heads in each block; it divides D.
        num_classes: length of the logits; None for a feature extractor without a head.
        num_channels: channels of the pictures.
        resnet_units: None for patches of the picture. For a hybrid, whose patches are those of a
            ResNet's feature map, the number of residual units in each stage: (3, 4, 9), or () for
            the ResNet's root alone. A patch must be whole positions of that map, which lie 4
            pixels apart and twice as far with each stage after the first.
        pooling: "token" takes the class token, as Eq. 4; "gap" the mean of the patches' tokens and
            "map" attention pooling, both without a class token; "distilled" takes the class and
            the distillation token of DeiT side by side, for its published weights.
        position_embedding: what tells a patch's place (Appendix D.4): "1d" a learned vector for
            each place in the sequence, the paper's choice; "2d" learned halves for row and column;
            "sincos" fixed ones; "relative" learned keys for the offsets between tokens, in every
            block; None for nothing.
        position_placement: "stem" adds positions once, before the first block; "every" others
            before every block; "shared" the same ones before every block.
        attention: "full", among all tokens, or "axial", within each row of patches and then
            within each column (Appendix D.6), which has no class token.
        representation_size: width of the tanh layer before the head, which the paper has in
            pre-training and takes away for fine-tuning; None for no such layer.
        dropout: rate after every dense layer but query-key-value, and after adding positions
            (those of the paper; others are added after it).
        stochastic_depth: probability of skipping a branch of the last block; earlier blocks skip
            in proportion to their depth.
        head_bias: initial value of the head's bias, None for a head without one. Its kernel starts
            at zero, so every class starts equal. The ImageNet-21k recipe starts at -10.
        normalize: (mean, standard deviation) of the pixels, one number each or one per channel:
            the model's first node. The default maps 0..255 to -1..1 as the official code does;
            None takes pictures as they come.
        approximate: True for the tanh form of GELU (the official code and its checkpoints), False
            for the exact one (timm, Hugging Face).
        epsilon: of the layer normalisations.
        dtype: a dtype or policy, for example "mixed_bfloat16"; logits are float32 all the same.

    Call arguments:
        images: (batch, height, width, num_channels), pixels 0 to 255, integers or floats.

    Returns:
        Logits (batch, num_classes); with `num_classes=None` the representation, (batch,
        hidden_dim) or (batch, representation_size).

    Raises:
        ValueError: an argument cannot be used, or pictures have another shape than the model.

    Example:
    >>> model = keras_vit.ViT(image_size=32, patch_size=8, num_layers=2, hidden_dim=48,
    ...                       mlp_dim=96, num_heads=3, num_classes=10)
    >>> tuple(model(np.zeros((2, 32, 32, 3))).shape)
    (2, 10)

    Reference: section 3.1, Figure 1; https://arxiv.org/abs/2010.11929
    """

    def __init__(
        self,
        image_size=224,
        patch_size=16,
        num_layers=12,
        hidden_dim=768,
        mlp_dim=3072,
        num_heads=12,
        num_classes=1000,
        *,
        num_channels=3,
        resnet_units=None,
        pooling="token",
        position_embedding="1d",
        position_placement="stem",
        attention="full",
        representation_size=None,
        dropout=0.0,
        stochastic_depth=0.0,
        head_bias=0.0,
        normalize=(127.5, 127.5),
        approximate=False,
        epsilon=1e-6,
        dtype=None,
        name="vit",
        trainable=True,
    ):
        # --- Arguments: all refused or accepted before any work ---------------------------------
        config = checked(CHECKS, locals())
        arguments.divisible_image(config["image_size"], config["patch_size"])
        arguments.divisible_heads(hidden_dim, num_heads)
        patch_size = _patch_on_map(config)
        ablations.check(config)

        # --- Layers -----------------------------------------------------------------------------
        policy = dtype_policy(dtype)
        stem = [normalization(config["normalize"])]
        if resnet_units is not None:
            stem += resnet.stem(config["resnet_units"], policy)
        patches = Patches(patch_size, name="patches", dtype=policy)
        patch_encoder = PatchEncoder(
            hidden_dim=hidden_dim,
            class_tokens=CLASS_TOKENS[pooling],
            dropout=dropout,
            positions=ablations.in_patch_encoder(config),
            name="patch_encoder",
            dtype=policy,
        )
        positions = ablations.positions(config, policy)
        transformer_block = ablations.block(config)
        blocks = [
            transformer_block(
                num_heads=num_heads,
                mlp_dim=mlp_dim,
                dropout=dropout,
                stochastic_depth=stochastic_depth * i / max(num_layers - 1, 1),
                approximate=approximate,
                epsilon=epsilon,
                name=f"block_{i}",
                dtype=policy,
            )
            for i in range(num_layers)
        ]
        encoder_norm = LayerNorm(epsilon, name="encoder_norm", dtype=policy)
        pool = _pooling(config, policy)
        representation = _representation(config, policy)

        # --- The model of section 3.1 -----------------------------------------------------------
        images = keras.Input((*config["image_size"], num_channels), name="images")
        x = images  # (B, height, width, C)
        for layer in stem:
            x = layer(x)  # the picture, or a hybrid's feature map
        x = patch_encoder(patches(x))  # (B, N + 1, D), Eq. 1
        for i, block in enumerate(blocks):
            x = positions[i](x) if i in positions else x  # Appendix D.4
            x = block(x)  # Eq. 2, 3
        x = pool(encoder_norm(x))  # (B, D), Eq. 4
        for layer in representation + head(config, policy):
            x = layer(x)  # (B, num_classes)
        super().__init__(images, x, config, policy, name=name, trainable=trainable)


def create(name, /, **overrides):
    """Builds a model by the name that the paper gives it.

    Args:
        name: such as "ViT-B/16", "R50+ViT-B/16", "R50x1" or "Axial-ViT-B/16"; `variants()` lists
            them, and any patch may follow a ViT's size.
        **overrides: arguments of the model: `num_classes`, `image_size`, `pooling`, `dropout`, ...

    Returns:
        A `ViT`, or a `ResNet` for the names of BiT, with fresh weights, for 224 x 224 pixels and
        1000 classes unless told otherwise.

    Raises:
        ValueError: no variant is called so (the nearest are named), or an argument is unusable.

    Example:
    >>> model = keras_vit.create("ViT-Ti/16", num_classes=10, image_size=(160, 320))
    >>> model.count_params()
    5527114

    Reference: Table 1.
    """
    variant = parse(name)
    model = resnet.ResNet if isinstance(variant, RESNETS) else ViT
    return model(**{**variant._asdict(), "name": graph_name(name), **overrides})


def graph_name(name):
    """Keras wants a plain word: "R50+ViT-B/16" becomes "r50_vit_b_16"."""
    return re.sub(r"\W", "_", name.lower())


def _patch_on_map(config):
    """The patch in positions of the map that is cut: the picture, or a hybrid's feature map."""
    patch_size, units = config["patch_size"], config["resnet_units"]
    if units is None:
        return patch_size
    step = resnet.step(units)
    arguments.divisible_patch(patch_size, units, step)
    return tuple(side // step for side in patch_size)


def _pooling(config, policy):
    """The layer that makes one vector of all tokens."""
    if CLASS_TOKENS[config["pooling"]]:
        return ClassToken(CLASS_TOKENS[config["pooling"]], name="pooling", dtype=policy)
    if config["pooling"] == "gap":
        return layers.GlobalAveragePooling1D("channels_last", name="pooling", dtype=policy)
    names = ("num_heads", "mlp_dim", "approximate", "epsilon")
    return AttentionPooling(**{name: config[name] for name in names}, name="pooling", dtype=policy)


def _representation(config, policy):
    """The tanh layer that section 3.1 puts before the head in pre-training: in a list, or none."""
    if config["representation_size"] is None:
        return []
    pre_logits = layers.Dense(
        config["representation_size"],
        activation="tanh",
        kernel_initializer="lecun_normal",
        name="pre_logits",
        dtype=policy,
    )
    return [pre_logits]
