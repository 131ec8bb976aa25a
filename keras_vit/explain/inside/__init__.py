"""How a view reads a model.

find_encoder.py  the Transformer encoder in any model
batched.py       batches, compiled functions and gradients, the same on every backend
forward.py       one compiled forward pass that all views without gradients share
class_logits.py  logits and probabilities of the classes, from any kind of output
vectors.py       unit vectors and principal directions
"""
