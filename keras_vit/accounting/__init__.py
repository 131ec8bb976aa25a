"""What a model costs: multiply-adds, parameters, memory, and what the paper spent.

cost.py      a cost, and what each kind of layer adds to it
built.py     a built model's cost: its layers are watched while shapes run through it
counting.py  `count` and `activation_memory`, by name or of a model
paper.py     `training`, `core_days`, and Tables 2 and 6 beside what is counted here
"""

from keras_vit.accounting.cost import Cost
from keras_vit.accounting.counting import activation_memory, count
from keras_vit.accounting.paper import core_days, table_2, table_6, training

__all__ = [
    "Cost",
    "activation_memory",
    "core_days",
    "count",
    "table_2",
    "table_6",
    "training",
]
