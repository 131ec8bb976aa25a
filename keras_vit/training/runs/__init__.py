"""Training runs: from the arguments of `train` to a folder with a model, metrics and figures."""
