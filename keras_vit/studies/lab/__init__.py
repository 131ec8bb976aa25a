"""Shared by the studies: a study and its runs, images, training, seeds, timing.

runner.py          a study, its CSV file and its runs
tasks.py           images: handwritten digits on a canvas, CIFAR-10, the tasks of VTAB-1k
trials.py          builds, trains and fine-tunes small models
seeds.py           means, spreads and error bars over seeds
paired.py          times functions in alternation
paper_numbers.py   the paper's results
"""

from keras_vit.studies.lab import paired, paper_numbers, runner, seeds, tasks, trials

__all__ = ["paired", "paper_numbers", "runner", "seeds", "tasks", "trials"]
