"""The dataset doctor: what is wrong with a folder of images, before a model learns from it.

Read `kinds` for what it knows, then `checking`: `walking` lists files, `examine` opens one image
(in the processes of `workers`), `copies` and `classes` look at the whole, `report` and `page` say
what was found, `moving` moves bad files aside and back.
"""

from keras_vit.data.doctor.checking import check
from keras_vit.data.doctor.kinds import KINDS, Problem
from keras_vit.data.doctor.moving import quarantine, undo
from keras_vit.data.doctor.report import Report

__all__ = ["KINDS", "Problem", "Report", "check", "quarantine", "undo"]
