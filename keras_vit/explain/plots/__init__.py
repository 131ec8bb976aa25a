"""The figures of the views: one function for each view, with the same name.

Each takes the result of the function of the same name in `keras_vit.explain`, and the images, and
returns a Matplotlib `Figure` to save or show.
"""

from keras_vit.explain.plots.charts import (
    attention_entropy,
    cka,
    deletion_curve,
    embedding_filters,
    logit_lens,
    mean_attention_distance,
    position_similarity,
    token_norms,
)
from keras_vit.explain.plots.drawing import overlay, to_probabilities
from keras_vit.explain.plots.overlays import (
    attention_rollout,
    attention_scores,
    grad_cam,
    nearest,
    occlusion,
    patch_grid,
    relevance,
    token_colors,
    token_similarity,
)

__all__ = [
    "attention_entropy",
    "attention_rollout",
    "attention_scores",
    "cka",
    "deletion_curve",
    "embedding_filters",
    "grad_cam",
    "logit_lens",
    "mean_attention_distance",
    "nearest",
    "occlusion",
    "overlay",
    "patch_grid",
    "position_similarity",
    "to_probabilities",
    "relevance",
    "token_colors",
    "token_norms",
    "token_similarity",
]
