"""The dataset doctor: finds what is wrong with a folder of images before a model learns from it.

problems.py                 every kind of problem, in one table
checking.py                 `check`: whole classes, and placeholders such as "image not available"
file_tree.py                lists the files
examine.py, formats.py      examine one image, in the processes of workers.py
near_duplicates.py          finds images that exist more than once
report.py, report.html      the result as text, JSON and a page
quarantine_files.py         moves bad files aside, and back
"""

from keras_vit.doctor.checking import check
from keras_vit.doctor.problems import KINDS, Problem
from keras_vit.doctor.quarantine_files import quarantine, undo
from keras_vit.doctor.report import DatasetReport

__all__ = ["KINDS", "DatasetReport", "Problem", "check", "quarantine", "undo"]
