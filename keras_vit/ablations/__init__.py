"""Appendix D of the paper: other positions, axial attention.

placement.py  where positions are added to the tokens, if at all (D.4)
positions.py  kinds of position embeddings (D.4), and how their tables are resized (section 3.2)
relative.py   relative positions in the attention (D.4)
axial.py      attention along rows, then along columns (D.6)
"""

from keras_vit.ablations.axial import AxialResNet, AxialViT
from keras_vit.ablations.placement import PositionViT, UnplacedPatchEncoder
from keras_vit.ablations.relative import RelativeViT

__all__ = ["AxialResNet", "AxialViT", "PositionViT", "RelativeViT", "UnplacedPatchEncoder"]
