"""Random generators that are no variables of the model."""

import keras

PREFIX = "generator/"


def states():
    """Returns {name: array}: PyTorch draws its dropout from generators of its own."""
    if keras.backend.backend() != "torch":
        return {}
    import torch

    found = {PREFIX + "cpu": torch.get_rng_state().numpy().copy()}
    for device, state in enumerate(torch.cuda.get_rng_state_all()):
        found[f"{PREFIX}cuda{device}"] = state.numpy().copy()
    return found


def put_back(values):
    """Sets the generators to what `states` returned; devices that are not here are left."""
    if keras.backend.backend() != "torch":
        return
    import torch

    for name in states().keys() & values.keys():
        state = torch.from_numpy(values[name].copy())
        if name == PREFIX + "cpu":
            torch.set_rng_state(state)
        else:
            torch.cuda.set_rng_state(state, int(name.removeprefix(PREFIX + "cuda")))
