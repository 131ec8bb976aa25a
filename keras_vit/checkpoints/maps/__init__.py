"""Names of tensors: one table for each project whose files are read and written.

weight_map.py      `WeightMap`: rules from the weights of a model to names of tensors
google.py          the paper's own code
pytorch.py         timm, DeiT and Meta
timm_eva.py        timm's EVA-02 and Perception Encoder
hugging_face.py    transformers
contrastive.py     towers of CLIP and SigLIP, in both of the above
torchvision.py, kerashub.py
matching.py        finds the table for a file, and compares the file with a model
"""
