"""The files beside the tensors that specify how a model computes.

configuration.py   config.json of transformers and timm: arguments of a model
fields.py          the fields that they may have, and how each is checked; families without layers
preset.py          the folder of a KerasHub preset
"""
