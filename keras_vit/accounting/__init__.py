"""The cost of models: multiply-adds, parameters, memory, and the compute of the paper's training.

layer_costs.py  `Cost`, and the cost of each kind of layer
counting.py     `count` and `activation_memory`, of a model or a name
paper_costs.py  `training`, `core_days`, and Tables 2 and 6 beside our counts
"""

from keras_vit.accounting.counting import activation_memory, count
from keras_vit.accounting.layer_costs import Cost
from keras_vit.accounting.paper_costs import core_days, table_2, table_6, training

__all__ = [
    "Cost",
    "activation_memory",
    "core_days",
    "count",
    "table_2",
    "table_6",
    "training",
]
