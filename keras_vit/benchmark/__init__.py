"""Speed of the package beside its peers: `python -m keras_vit.benchmark.speed --help`.

paired.py   times contenders in turns and compares them round by round
ours.py     this package's model, and the same with one thing changed
peers.py    all contenders: that, KerasHub and the official Flax code
fresh.py    the first training step and the memory, each in a process of its own
speed.py    the command
pipeline.py images a second through `keras_vit.data.load`, beside plain tf.data
convnet.py  a convolutional network of like compute beside the small ViT on CIFAR-10

It is the only folder that imports other ViT packages, and only when a command names them.
"""
