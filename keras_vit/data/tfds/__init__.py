"""Named datasets from TensorFlow Datasets (TFDS): those of the paper, VTAB-1k, and all others.

named_datasets.py               `load_splits`: a name in, `Splits` out
paper_datasets.py               which images the paper and VTAB train, validate and test on
builders.py, tfds_reader.py     finds or downloads a dataset, reads its images and labels
"""

from keras_vit.data.tfds.named_datasets import load_splits

__all__ = ["load_splits"]
