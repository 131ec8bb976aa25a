"""Look inside a model: section 4.5 of the paper, Appendix D.7 and D.8, and later methods.

Functions take and return arrays; `keras_vit.explain.plots` draws them.

inside/              how views read a model: its encoder, one forward pass, gradients
attention.py         attention scores, attention distance and entropy of each head
rollout.py           attention rollout, the attention of one token
gradients.py         relevance and Grad-CAM
masking.py           occlusion and deletion curves
tokens.py            patches, similarities, colors and lengths of tokens, logit lens
representations.py   nearest neighbors, linear CKA
filters.py           filters of the first layer, position embeddings
captions.py          the values of maps in words
views/               one record per view
plots/               one plot per view
reporting/           all views on one page
"""

from keras_vit import startup

if not startup.postpone(__name__):
    from keras_vit.explain import inside, plots
    from keras_vit.explain.attention import (
        Scores,
        attention_entropy,
        attention_scores,
        mean_attention_distance,
        pooling_attention,
    )
    from keras_vit.explain.filters import embedding_filters, position_similarity
    from keras_vit.explain.gradients import grad_cam, relevance
    from keras_vit.explain.masking import deletion_curve, occlusion
    from keras_vit.explain.reporting import report
    from keras_vit.explain.representations import CKA, Nearest, cka, nearest
    from keras_vit.explain.rollout import attention_rollout, token_attention
    from keras_vit.explain.tokens import (
        logit_lens,
        patch_grid,
        token_colors,
        token_norms,
        token_similarity,
    )

__all__ = [
    "CKA",
    "Nearest",
    "Scores",
    "attention_entropy",
    "attention_rollout",
    "attention_scores",
    "cka",
    "deletion_curve",
    "embedding_filters",
    "grad_cam",
    "inside",
    "logit_lens",
    "mean_attention_distance",
    "nearest",
    "occlusion",
    "patch_grid",
    "plots",
    "pooling_attention",
    "position_similarity",
    "relevance",
    "report",
    "token_attention",
    "token_colors",
    "token_norms",
    "token_similarity",
]
