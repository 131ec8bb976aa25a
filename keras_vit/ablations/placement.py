"""Positions that differ from E_pos: Appendix D.4 of the paper.

    z_0 = [x_class; x_1 E; ...; x_N E]                      Eq. 1 without E_pos
    z_l = TransformerBlock(z_l-1 + P_l)                     P_1 alone, or one before every block

Relative positions are part of the attention instead: `keras_vit.ablations.relative`.
"""

import keras

from keras_vit import arguments as check
from keras_vit.ablations.positions import KINDS
from keras_vit.layers import PatchEncoder
from keras_vit.vit import ViT

register = keras.saving.register_keras_serializable(package="keras_vit")


def known_kind(name, value):
    """Checks that a kind of positions is None or one of `positions.KINDS`."""
    return check.one_of(None, *KINDS)(name, value)


@register
class UnplacedPatchEncoder(PatchEncoder):
    """`PatchEncoder` without positions: z_0 = [x_class; x_1 E; ...; x_N E].

    Example:
    >>> encoder = keras_vit.ablations.UnplacedPatchEncoder(hidden_dim=192)
    >>> tuple(encoder(np.zeros((2, 196, 768))).shape), encoder.count_params()
    ((2, 197, 192), 147840)

    Reference: Appendix D.4, "providing no positional information"
    """

    def build_positions(self, shape):
        pass

    def add_positions(self, x):
        return x


@register
class PositionViT(ViT):
    """A `ViT` with a different kind of position embedding, or with positions added elsewhere.

    Args:
        *args: arguments of `ViT`.
        position_embedding: "1d" a learned vector for each place in the sequence, the paper's
            choice; "2d" learned halves for row and column; "sincos" fixed ones; None no positions.
        position_placement: "stem" adds positions once, before the first block; "every" adds
            different ones before every block, "shared" the same ones.
        **kwargs: arguments of `ViT`.

    Raises:
        ValueError: an argument is invalid, or a placement is given without positions.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", keras_vit.ablations.PositionViT, image_size=16,
    ...                          position_embedding="2d", position_placement="every")
    >>> model.get_layer("positions_3").count_params()  # (2 + 2) 32 + 64
    192

    Reference: Appendix D.4, Table 8
    """

    def __init__(
        self,
        *args,
        position_embedding: known_kind = "1d",
        position_placement: check.one_of("stem", "every", "shared") = "stem",
        **kwargs,
    ):
        self.keep(locals())
        if position_embedding is None and position_placement != "stem":
            received = {"position_embedding": None, "position_placement": position_placement}
            want = "only positions that are added to tokens can be placed"
            check.refuse(want, received, "Leave position_placement out.")
        super().__init__(*args, **kwargs)

    @property
    def encoder_layer(self):
        """The class of the encoder: `PatchEncoder` for the paper's positions, which it contains."""
        paper = (self.position_embedding, self.position_placement) == ("1d", "stem")
        return PatchEncoder if paper else UnplacedPatchEncoder

    def embed(self, x):
        x = super().embed(x)
        in_stem = self.position_placement == "stem" and self.position_embedding is not None
        if in_stem and self.encoder_layer is UnplacedPatchEncoder:
            x = self._positions("positions")(x)
        return x

    def encode(self, x):
        if self.position_placement == "stem":
            return super().encode(x)
        shared = self._positions("positions") if self.position_placement == "shared" else None
        for i in range(self.num_layers):
            x = self.make_block(i)((shared or self._positions(f"positions_{i}"))(x))
        return x

    def _positions(self, name):
        kind = KINDS[self.position_embedding]
        return self.part(kind, self.grid, self.prefix_tokens, name=name)
