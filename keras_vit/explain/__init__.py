"""Looking inside a model: section 4.5 of the paper, Appendix D.7 and D.8, and what came after.

Arrays in, arrays out; `keras_vit.explain.plots` draws them.
"""

from keras_vit.explain import computing, encoder, hooks
from keras_vit.explain.attention import Scores, attention_scores

__all__ = ["Scores", "attention_scores", "computing", "encoder", "hooks"]
