"""Everything that a training step changes, copied from a compiled model and restored into it."""

import json
import re
import weakref

import keras
import numpy as np

from keras_vit import arguments
from keras_vit.training.resuming import keras_internals

COMPARED = ("loss", "loss_weights", "metrics", "weighted_metrics", "jit_compile")
SHARED = "seed/shared"
GENERATOR = "generator/"
SHOWN = 8  # differences that an error lists
# The learning rate changes during training, so the optimizer's configuration is kept as it was.
_configs = weakref.WeakKeyDictionary()


def collect_variables(model):
    """Returns `{name: variable}` of everything that a step changes.

    Keras numbers automatic names anew in each model, so a name also holds its index.
    """
    shared = keras_internals.shared_generator()
    return {
        **_weights(model),
        **_numbered("seed", _seeds(model)),
        **_numbered("optimizer", model.optimizer.variables),
        **_numbered("metric", model.metrics_variables),
        **({SHARED: shared.state} if shared is not None else {}),
    }


def copy_arrays(model):
    """Returns `{name: array}`, copies that do not change while training continues."""
    variables = collect_variables(model)
    copies = {n: np.array(keras.ops.convert_to_numpy(v)) for n, v in variables.items()}
    return {**copies, **_torch_generators()}


def restore(model, values):
    """Assigns what `copy_arrays` returned; skips metrics that Keras has not created yet."""
    if SHARED in values:
        keras_internals.make_shared_generator()  # Keras creates it when it is first used
    _assign(collect_variables(model), values)
    _restore_torch_generators(values)


def restore_weights(model, values):
    """Assigns the weights only.

    Raises:
        ValueError: they belong to another model; nothing was changed.
    """
    values = {n: value for n, value in values.items() if n.startswith("weight/")}
    differences = _compare_variables(values, _weights(model))
    if differences:
        listed = "; ".join(differences[:SHOWN])
        raise ValueError(f"The weights are of another model: {listed}.")
    _assign(_weights(model), values)


def find_nonfinite(values):
    """Returns the names of weights and optimizer variables that contain NaN or infinity."""
    floats = {n: v for n, v in values.items() if v.dtype.kind not in "biu"}
    checked = {n: v for n, v in floats.items() if n.startswith(("weight/", "optimizer/"))}
    return [n for n, v in checked.items() if not np.isfinite(v).all()]


def describe_run(model, position):
    """Returns plain values that must be equal in a run and in the one that resumes it."""
    flat = {}
    flatten(flat, "backend", keras.backend.backend())
    for name in getattr(model, "argument_names", ()):
        flatten(flat, f"model.{name}", getattr(model, name))
    flatten(flat, "model.dtype", model.dtype_policy.name)
    flatten(flat, "model.trainable_weights", len(model.trainable_weights))
    flatten(flat, "optimizer", _optimizer_config(model.optimizer))
    flatten(flat, "steps_per_execution", model.steps_per_execution)
    compiled = _attempt(model.get_compile_config)
    for name in COMPARED:
        flatten(flat, name, (compiled or {}).get(name))
    flatten(flat, "data", position.fingerprint() if position is not None else None)
    return json.loads(json.dumps(flat))


def flatten(flat, name, value):
    """Adds nested values to `flat` as {"optimizer.beta_1": 0.9}."""
    if isinstance(value, dict):
        for key, inner in value.items():
            flatten(flat, f"{name}.{key}", inner)
    elif isinstance(value, str):
        flat[name] = strip_numbers(value)
    else:
        plain = isinstance(value, (bool, int, float, tuple, list, type(None)))
        flat[name] = value if plain else str(value)


def check_same_run(folder, state, model, now):
    """Raises `ValueError` unless a state belongs to this model, trained in this way."""
    before = state.facts["settings"]
    differences = [
        f"{name}: {_show(before, name)} in the checkpoint, {_show(now, name)} here"
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]
    differences += _compare_variables(state.arrays, collect_variables(model))
    if differences:
        more = f"; and {len(differences) - SHOWN} more" if len(differences) > SHOWN else ""
        raise ValueError(
            f"{str(folder)!r} contains another run: {'; '.join(differences[:SHOWN])}{more}. "
            "Nothing was changed. Use the model, `compile` and data of that run to resume it, or "
            "train in a new folder. `Checkpoint(folder).load_weights(model)` loads its weights "
            "only."
        )


def check_built(model):
    """Raises `ValueError` unless all weights exist; creates the optimizer's variables."""
    if not model.built:
        want, advice = "the model must be built", "Call it once on a batch, or `model.build`."
        arguments.refuse(want, {"model.built": False}, advice)
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)


def strip_numbers(path):
    """Returns a name without the numbers that Keras appends to automatic names."""
    return re.sub(r"_\d+", "", path)


def _compare_variables(saved, here):
    """Describes weights, seeds and optimizer variables that differ in name or shape."""
    saved, here = _shapes(saved), _shapes(here)
    return [
        f"{saved.get(n, 'nothing')} in the checkpoint, {here.get(n, 'nothing')} here"
        for n in {**saved, **here}
        if str(saved.get(n)).split(" ")[1:] != str(here.get(n)).split(" ")[1:]
    ]


def _assign(variables, values):
    values = {strip_numbers(name): value for name, value in values.items()}
    for name, variable in variables.items():
        if strip_numbers(name) in values:
            # A copy: a backend may use the array's memory.
            variable.assign(np.array(values[strip_numbers(name)]))


def _weights(model):
    return _numbered("weight", model.weights)


def _numbered(group, variables):
    return {f"{group}/{i}/{v.path}": v for i, v in enumerate(variables)}


def _shapes(values):
    """Returns {name without numbers: "name (shape)"}; TensorFlow creates metrics only later."""
    groups = ("weight/", "seed/", "optimizer/")
    chosen = {n: v for n, v in values.items() if n.startswith(groups) and n != SHARED}
    return {strip_numbers(n): f"{n} {tuple(v.shape)}" for n, v in chosen.items()}


def _show(values, name):
    return repr(values[name]) if name in values else "nothing"


def _optimizer_config(optimizer):
    if optimizer not in _configs:
        config = _attempt(lambda: keras.optimizers.serialize(optimizer)) or {}
        _configs[optimizer] = {"class": type(optimizer).__name__, **config.get("config", {})}
    return _configs[optimizer]


def _attempt(serialize):
    """Returns None if a custom object has no configuration."""
    try:
        return serialize()
    except (NotImplementedError, TypeError, ValueError):
        return None


def _seeds(model):
    """Returns the states of the layers' random generators, in the order of the layers."""
    weights = {id(w) for w in model.weights}
    return [v for v in model.non_trainable_variables if id(v) not in weights]


def _torch_generators():
    """Returns {name: array}: on PyTorch, dropout draws from generators outside of the model."""
    if keras.backend.backend() != "torch":
        return {}
    import torch

    states = {GENERATOR + "cpu": torch.get_rng_state().numpy().copy()}
    for device, state in enumerate(torch.cuda.get_rng_state_all()):
        states[f"{GENERATOR}cuda{device}"] = state.numpy().copy()
    return states


def _restore_torch_generators(values):
    """Sets the generators to what `_torch_generators` returned; skips absent devices."""
    if keras.backend.backend() != "torch":
        return
    import torch

    for name in _torch_generators().keys() & values.keys():
        state = torch.from_numpy(values[name].copy())
        if name == GENERATOR + "cpu":
            torch.set_rng_state(state)
        else:
            torch.cuda.set_rng_state(state, int(name.removeprefix(GENERATOR + "cuda")))
