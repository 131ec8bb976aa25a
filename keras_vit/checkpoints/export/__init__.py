"""The JSON files beside weights, from which another library builds the model.

This is the inverse of `configurations`: arguments of the model become fields.

config_files.py    the equivalent class in another library, and its files
for_timm.py        config.json of timm
for_hugging_face.py    config.json of transformers
for_kerashub.py    a preset of KerasHub
json_values.py     values of a model in the form that JSON needs
"""
