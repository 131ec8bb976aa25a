"""What the studies share.

runner.py   a study, its CSV file and its runs
tasks.py    images: handwritten digits on a canvas, CIFAR-10, eight small tasks in VTAB's groups
trials.py   builds, trains and fine-tunes small models
seeds.py    means, spreads and error bars over seeds
paired.py   times functions in alternation
"""
