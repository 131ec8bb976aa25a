"""The JSON files beside weights, from which another library builds the model.

This is `configurations` backwards: each field is an argument of the model.

config_files.py    which class computes what a model computes, and the files for it
for_timm.py        config.json of timm
for_hugging_face.py    config.json of transformers
for_kerashub.py    a preset of KerasHub
json_values.py     values of a model as JSON has them
"""
