"""Looking inside a model: section 4.5 of the paper, Appendix D.7 and D.8, and what came after.

Arrays in, arrays out; `keras_vit.explain.plots` draws them. A module is not called as its function,
which would hide it.
"""

from keras_vit import startup

if not startup.postpone(__name__):
    from keras_vit.explain import computing, encoder, hooks, map_words, plots
    from keras_vit.explain.alignment import CKA, cka
    from keras_vit.explain.attention import Scores, attention_scores
    from keras_vit.explain.cam import grad_cam
    from keras_vit.explain.deleting import deletion_curve
    from keras_vit.explain.distance import mean_attention_distance
    from keras_vit.explain.filters import embedding_filters, position_similarity
    from keras_vit.explain.gradient_rollout import relevance
    from keras_vit.explain.heads import attention_entropy, token_norms
    from keras_vit.explain.lens import logit_lens
    from keras_vit.explain.neighbours import Nearest, nearest
    from keras_vit.explain.occluding import occlusion
    from keras_vit.explain.reporting import report
    from keras_vit.explain.rollout import attention_rollout, token_attention
    from keras_vit.explain.tokens import patch_grid, token_colors, token_similarity

__all__ = [
    "CKA",
    "Nearest",
    "Scores",
    "attention_entropy",
    "attention_rollout",
    "attention_scores",
    "cka",
    "computing",
    "deletion_curve",
    "embedding_filters",
    "encoder",
    "grad_cam",
    "hooks",
    "logit_lens",
    "map_words",
    "mean_attention_distance",
    "nearest",
    "occlusion",
    "patch_grid",
    "plots",
    "position_similarity",
    "relevance",
    "report",
    "token_attention",
    "token_colors",
    "token_norms",
    "token_similarity",
]
