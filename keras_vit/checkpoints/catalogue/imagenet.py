"""ImageNet's 1,000 classes (ILSVRC 2012) in the order of the logits.

`imagenet.txt` has a line for each: the WordNet id, as ImageNet's folders are called, and the words
of that synset in WordNet 3.0 (Princeton University, https://wordnet.princeton.edu/license).
"""

import functools
import pathlib

COUNT = 1000


@functools.cache
def classes():
    """Returns {id: names}, such as "n02124075": "Egyptian cat"."""
    text = (pathlib.Path(__file__).parent / "imagenet.txt").read_text("utf-8")
    return dict(line.split(" ", 1) for line in text.splitlines())
