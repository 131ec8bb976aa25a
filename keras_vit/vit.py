"""The Vision Transformer: Figure 1 of the paper as a functional Keras model.

    images -> Normalization -> stem -> embed      z_0, Eq. 1
           -> encode -> LayerNorm                 z_L, Eq. 2, 3
           -> pool                                y, Eq. 4
           -> head                                logits

A related model overrides one of these methods, or uses another `block`.
"""

from keras import Input, dtype_policies, layers

from keras_vit import arguments as check
from keras_vit.layers import Layer, LayerNorm, PatchEncoder, Patches, TransformerBlock, register
from keras_vit.model import ImageModel, unique_name
from keras_vit.pixel_range import Normalize


@register
class Head(layers.Dense):
    """The linear layer that makes logits, in float32; all of them are zero at first (3.2).

    Example:
    >>> keras.ops.convert_to_numpy(keras_vit.vit.Head(3, dtype="bfloat16")(np.ones((1, 8))))
    array([[0., 0., 0.]], dtype=float32)
    """

    def __init__(self, units, dtype=None, kernel_initializer="zeros", **kwargs):
        given = dtype_policies.get(dtype).compute_dtype
        kwargs["dtype"] = "float64" if given == "float64" else "float32"
        super().__init__(units, kernel_initializer=kernel_initializer, **kwargs)


@register
class ClassToken(Layer):
    """Takes the class token, which is the first token: y = z^0 of Eq. 4.

    Call arguments:
        x: tokens (batch, tokens, D).

    Returns:
        (batch, D).

    Example:
    >>> tuple(keras_vit.vit.ClassToken()(np.zeros((2, 197, 192))).shape)
    (2, 192)
    """

    def build(self, input_shape):
        check.tokens("ClassToken", input_shape)

    def call(self, x):
        return x[:, 0]  # (B, D)


def known_pooling(name, value):
    """Checks that a pooling is one of `ViT.poolings`, to which other modules add their own."""
    return check.one_of(*ViT.poolings)(name, value)


@register
class ViT(ImageModel):
    """Vision Transformer: images in (pixels 0 to 255), logits out.

        z_0 = [x_class; x_1 E; ...; x_N E] + E_pos     Eq. 1
        z_l = TransformerBlock(z_l-1),  l = 1 ... L    Eq. 2, 3
        y   = LN(z_L)^0                                Eq. 4
        logits = y W_head + b_head

    It is a functional model: each stage is a node of its graph (`patches`, `patch_encoder`,
    `block_0` ... `encoder_norm`, `head`), so `model.get_layer("block_3").output` is z_4 and every
    activation can be reached. The defaults are ViT-B/16; `create` builds every named variant.

    Args:
        image_size: side of the images in pixels, or (height, width).
        patch_size: side of a patch in pixels of the image, or (height, width); it divides the
            image.
        num_layers: L, number of blocks.
        hidden_dim: D, length of a token.
        mlp_dim: width of the MLP in each block.
        num_heads: attention heads in each block; it divides D.
        num_classes: length of the logits; None for a feature extractor without a head.
        num_channels: channels of the images.
        pooling: one of `ViT.poolings`. "token" takes the class token, as in Eq. 4; "gap" the mean
            of the patches' tokens (Appendix D.3) and "map" attention pooling, both without a class
            token; "distilled" takes the class and the distillation token of DeiT side by side,
            "token and mean" the class token and the mean of the patches, as in the classifiers of
            DINOv2. None returns all tokens, the class token first; such a model has no head.
        representation_size: width of the tanh layer before the head, which the paper uses in
            pre-training and removes for fine-tuning; None for no such layer.
        dropout: rate after every dense layer but query-key-value, and after adding positions.
        stochastic_depth: probability of skipping a branch of the last block; earlier blocks skip
            in proportion to their depth.
        normalize: (mean, standard deviation) of the pixels, one number each or one per channel:
            the model's first node. The default maps 0..255 to -1..1 as the official code does;
            None takes images as they are.
        approximate: True for the tanh form of GELU (the official code and its checkpoints), False
            for the exact one (timm, Hugging Face).
        epsilon: of the layer normalizations.
        dtype: a dtype or policy, for example "mixed_bfloat16"; logits are float32 even then.
        name: a name for the model; None for a unique one, "vit", "vit_1", ...

    Call arguments:
        images: (batch, height, width, num_channels), pixels 0 to 255, integers or floats.

    Returns:
        Logits (batch, num_classes); with `num_classes=None` the representation, (batch,
        hidden_dim) or (batch, representation_size); with `pooling=None` the tokens after the last
        normalization, (batch, 1 + N, hidden_dim).

    Raises:
        ValueError: an argument is invalid, or images do not have the shape that the model takes.

    Example:
    >>> model = keras_vit.ViT(image_size=32, patch_size=8, num_layers=2, hidden_dim=48,
    ...                       mlp_dim=96, num_heads=3, num_classes=10)
    >>> tuple(model(np.zeros((2, 32, 32, 3))).shape)
    (2, 10)

    Reference: section 3.1, Figure 1; https://arxiv.org/abs/2010.11929
    """

    block, encoder_layer = TransformerBlock, PatchEncoder
    # name: (number of prefix tokens, function that returns the layer that pools tokens)
    poolings = {
        "token": (1, lambda vit, **options: ClassToken(**options)),
        "gap": (0, lambda vit, **o: layers.GlobalAveragePooling1D("channels_last", **o)),
        None: (1, None),
    }

    def __init__(
        self,
        image_size: check.height_width = 224,
        patch_size: check.height_width = 16,
        num_layers: check.positive_integer = 12,
        hidden_dim: check.positive_integer = 768,
        mlp_dim: check.positive_integer = 3072,
        num_heads: check.positive_integer = 12,
        num_classes: check.optional(check.positive_integer) = 1000,
        *,
        num_channels: check.positive_integer = 3,
        pooling: known_pooling = "token",
        representation_size: check.optional(check.positive_integer) = None,
        dropout: check.fraction = 0.0,
        stochastic_depth: check.fraction = 0.0,
        normalize: check.optional(check.pair) = (127.5, 127.5),
        approximate: check.boolean = False,
        epsilon: check.positive_number = 1e-6,
        dtype=None,
        name=None,
        trainable=True,
    ):
        self.keep(locals())
        check.divisible_image(self.image_size, self.patch_size)
        check.divisible_heads(self.hidden_dim, self.num_heads)
        images = Input((*self.image_size, self.num_channels), name="images")
        x = Normalize(self.normalize, name="normalization")(images)
        x = self.embed(self.stem(x))  # (B, N + 1, D), Eq. 1
        x = self.norm(self.encode(x))  # (B, N + 1, D), Eq. 2, 3
        if pooling is None:
            check.no_head(self.num_classes, representation_size)
            self.num_classes = None
        else:
            x = self.head(self.pool(x))  # (B, num_classes), Eq. 4
        super().__init__(images, x, name=name or unique_name("vit"), trainable=trainable)

    @property
    def grid(self):
        """(rows, columns) of patches."""
        return check.grid(self.image_size, self.patch_size)

    @property
    def prefix_tokens(self):
        """Number of tokens before those of the patches."""
        return self.poolings[self.pooling][0]

    def stem(self, x):
        """Processes normalized images before they are cut; the paper's model does nothing."""
        return x

    def embed(self, x):
        """Makes z_0 from the output of `stem`: (B, N + 1, D), Eq. 1."""
        x = self.patches()(x)  # (B, N, PPC)
        sizes = (self.hidden_dim, self.prefix_tokens, self.dropout)
        return self.part(self.encoder_layer, *sizes, name="patch_encoder")(x)

    def patches(self):
        """Makes the layer that cuts the output of `stem` into patches."""
        return self.part(Patches, self.patch_size, name="patches")

    def encode(self, x):
        """Makes z_L from z_0: the blocks, one after another."""
        for i in range(self.num_layers):
            x = self.make_block(i)(x)  # Eq. 2, 3
        return x

    def make_block(self, i):
        """Makes the block that follows `i` others."""
        skip = self.stochastic_depth * i / max(self.num_layers - 1, 1)
        sizes = (self.num_heads, self.mlp_dim, self.dropout, skip, self.approximate, self.epsilon)
        return self.part(self.block, *sizes, name=f"block_{i}")

    def norm(self, x):
        """Makes LN(z_L) from z_L."""
        return self.part(LayerNorm, self.epsilon, name="encoder_norm")(x)

    def pool(self, x):
        """Makes one vector from all tokens: y of Eq. 4, (B, D)."""
        return self.part(self.poolings[self.pooling][1], self, name="pooling")(x)

    def head(self, x):
        """Makes logits from y; in pre-training, a tanh layer precedes the linear one (3.1)."""
        if self.representation_size is not None:
            tanh = {"activation": "tanh", "kernel_initializer": "lecun_normal"}
            x = self.part(layers.Dense, self.representation_size, **tanh, name="pre_logits")(x)
        if self.num_classes is not None:
            x = self.part(Head, self.num_classes, name="head")(x)  # (B, num_classes)
        return x
