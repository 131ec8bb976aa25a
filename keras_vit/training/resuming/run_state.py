"""The state of a run: everything that training changes in a model and in other callbacks."""

import inspect
import json
import os
import re
import warnings
import weakref

import keras
import numpy as np

from keras_vit import arguments
from keras_vit.io.tensor_file import SIZES
from keras_vit.training.resuming import keras_internals

COMPARED = ("loss", "loss_weights", "metrics", "weighted_metrics", "jit_compile")
SHARED = "seed/shared"
TRAINED_ON, HELD_OUT = "data.names_and_labels", "data.held_out."  # settings: digests of images
SHOWN = 8  # differences that an error lists
SET_BY_KERAS = {"_model", "model", "params", "validation_data"}  # attributes of every callback
# The learning rate changes during training, so the optimizer's configuration is kept as it was.
_configs = weakref.WeakKeyDictionary()


def collect_variables(model):
    """Returns `{name: variable}` of everything that a step changes.

    Keras restarts the numbering of automatic names in each model, so a name also contains its
    index.
    """
    weights = {id(w) for w in model.weights}
    seeds = [v for v in model.non_trainable_variables if id(v) not in weights]
    shared = keras_internals.shared_generator()
    return {
        **_numbered("weight", model.weights),
        **_numbered("seed", seeds),
        **_numbered("optimizer", model.optimizer.variables),
        **_numbered("metric", model.metrics_variables),
        **({SHARED: shared.state} if shared is not None else {}),
    }


def copy_arrays(model):
    """Returns `{name: array}`, copies that do not change while training continues."""
    variables = collect_variables(model)
    copies = {n: np.array(keras.ops.convert_to_numpy(v)) for n, v in variables.items()}
    states = {n: g.get_state().numpy().copy() for n, g in _torch_generators().items()}
    return {**copies, **states}


def restore(model, values):
    """Assigns the result of `copy_arrays`; skips metrics that Keras has not created yet."""
    if SHARED in values:
        keras_internals.make_shared_generator()  # otherwise, Keras creates it on first use
    _assign(collect_variables(model), values)
    for name, generator in _torch_generators().items():
        if name in values:
            state = keras.ops.convert_to_tensor(values[name].copy(), "uint8")
            generator.set_state(state.cpu())


def restore_weights(model, values):
    """Assigns only the weights, or raises `ValueError` if they belong to another model."""
    weights = _numbered("weight", model.weights)
    values = {n: value for n, value in values.items() if n.startswith("weight/")}
    differences = _compare_variables(values, weights)
    if differences:
        listed = "; ".join(differences[:SHOWN])
        raise ValueError(f"The weights belong to another model: {listed}.")
    _assign(weights, values)


def find_nonfinite(values):
    """Returns the names of weights and optimizer variables that contain NaN or infinity."""
    checked = {n: v for n, v in values.items() if n.startswith(("weight/", "optimizer/"))}
    floats = {n: v for n, v in checked.items() if v.dtype.kind not in "biu"}
    return [n for n, v in floats.items() if not np.isfinite(v).all()]


def describe_run(model, sampler):
    """Returns plain values that must be equal in a run and in the run that resumes it."""
    options = {name: getattr(model, name) for name in getattr(model, "argument_names", ())}
    options |= {"dtype": model.dtype_policy.name, "trainable_weights": len(model.trainable_weights)}
    compiled = _attempt(model.get_compile_config) or {}
    values = {
        "backend": keras.backend.backend(),
        "model": options,
        "optimizer": _optimizer_config(model.optimizer),
        "steps_per_execution": model.steps_per_execution,
        **{name: compiled.get(name) for name in COMPARED},
        "data": None if sampler is None else sampler.fingerprint(),
    }
    return json.loads(json.dumps(dict(_flatten(values))))


def check_same_run(folder, state, model, now):
    """Raises `ValueError` unless a state belongs to this model, trained in this way."""
    before = state.facts["settings"]
    if not any(name.startswith(HELD_OUT) for name in before):  # the state of an earlier version
        now = {name: value for name, value in now.items() if not name.startswith(HELD_OUT)}
    differences = [
        f"{name}: the files or the labels of the images differ"
        if name.startswith((TRAINED_ON, HELD_OUT))
        else f"{name}: {_show(before, name)} in the checkpoint, {_show(now, name)} here"
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


# --- Other callbacks -----------------------------------------------------------------------------
# Keras's callbacks cannot save themselves, so their plain attributes are saved, except those named
# like a constructor argument: a new `patience` takes effect.


def copy_attributes(callbacks):
    """Returns {name: {attribute: JSON}} for callbacks by name, and the arrays in them."""
    arrays, states = {}, {}
    for name, callback in callbacks.items():
        state = states[name] = {}
        settings = inspect.signature(type(callback).__init__).parameters
        for attribute in sorted(vars(callback).keys() - set(settings) - SET_BY_KERAS):
            own = {}
            try:
                path = f"callback/{name}/{attribute}"
                state[attribute] = _encode(getattr(callback, attribute), own, path)
            except TypeError:
                continue  # for example, an open file, or a function that is created again
            arrays.update(own)
        if isinstance(callback, keras.callbacks.CSVLogger):
            state["csv_file"] = _read_table(callback.csv_file)
    return states, arrays


def restore_attributes(callbacks, states, arrays):
    """Sets the attributes that `copy_attributes` returned."""
    absent = sorted({name.split("/")[0] for name in states.keys() - callbacks.keys()})
    if absent:
        text = f"The checkpoint has the state of {', '.join(absent)}, which `fit` was not given."
        warnings.warn(text, stacklevel=2)
    for name in states.keys() & callbacks.keys():
        for attribute, value in states[name].items():
            if attribute == "csv_file":
                _rewrite_table(callbacks[name], value)
            else:
                setattr(callbacks[name], attribute, _decode(value, arrays))


def _encode(value, arrays, name):
    """Returns JSON for a plain value, with its arrays in `arrays`; raises `TypeError` otherwise."""
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.name in SIZES:
        arrays[name] = np.array(value)
        return {"array": name}
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) in (list, tuple):
        items = [_encode(v, arrays, f"{name}/{i}") for i, v in enumerate(value)]
        return {type(value).__name__: items}
    if type(value) is dict:
        pairs = enumerate(value.items())
        return {"dict": [[_encode(x, arrays, f"{name}/{i}") for x in pair] for i, pair in pairs]}
    raise TypeError(f"{name}: {type(value).__name__}")


def _decode(code, arrays):
    if not isinstance(code, dict):
        return code
    ((kind, inner),) = code.items()
    if kind == "array":
        return np.array(arrays[inner])
    if kind == "dict":
        return {_decode(key, arrays): _decode(value, arrays) for key, value in inner}
    return {"list": list, "tuple": tuple}[kind](_decode(value, arrays) for value in inner)


def _read_table(file):
    if file is None or file.closed:
        return None
    file.flush()
    with open(file.name, newline="") as table:
        return table.read()


def _rewrite_table(logger, text):
    """Restores a CSV file, so that epochs that are trained again do not appear twice."""
    if text is not None and logger.csv_file is not None and os.path.exists(logger.csv_file.name):
        logger.csv_file.seek(0)
        logger.csv_file.truncate()
        logger.csv_file.write(text)
        logger.csv_file.flush()
        logger.append_header = not text


# --- Variables -----------------------------------------------------------------------------------


def _numbered(group, variables):
    return {f"{group}/{i}/{v.path}": v for i, v in enumerate(variables)}


def _strip_numbers(path):
    """Returns a name without the numbers that Keras appends to automatic names."""
    return re.sub(r"_\d+", "", path)


def _assign(variables, values):
    values = {_strip_numbers(name): value for name, value in values.items()}
    for name, variable in variables.items():
        if _strip_numbers(name) in values:
            # A copy, because a backend may use the memory of the array.
            variable.assign(np.array(values[_strip_numbers(name)]))


def _compare_variables(saved, here):
    """Describes weights, seeds and optimizer variables that differ in name or shape."""
    saved, here = _shapes(saved), _shapes(here)
    return [
        f"{saved.get(n, 'nothing')} in the checkpoint, {here.get(n, 'nothing')} here"
        for n in {**saved, **here}
        if str(saved.get(n)).split(" ")[1:] != str(here.get(n)).split(" ")[1:]
    ]


def _shapes(values):
    """Returns {name without numbers: "name (shape)"}; TensorFlow creates metrics only later."""
    groups = ("weight/", "seed/", "optimizer/")
    chosen = {n: v for n, v in values.items() if n.startswith(groups) and n != SHARED}
    return {_strip_numbers(n): f"{n} {tuple(v.shape)}" for n, v in chosen.items()}


def _flatten(values, prefix=""):
    """Yields nested values as pairs such as ("optimizer.beta_1", 0.9)."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        elif isinstance(value, str):
            yield f"{prefix}{key}", _strip_numbers(value)
        else:
            plain = isinstance(value, (bool, int, float, tuple, list, type(None)))
            yield f"{prefix}{key}", value if plain else str(value)


def _show(values, name):
    return repr(values[name]) if name in values else "nothing"


def _optimizer_config(optimizer):
    if optimizer not in _configs:
        config = _attempt(lambda: keras.optimizers.serialize(optimizer)) or {}
        _configs[optimizer] = {"class": type(optimizer).__name__, **config.get("config", {})}
    return _configs[optimizer]


def _attempt(serialize):
    """Serializes a custom object; returns None if it has no configuration."""
    try:
        return serialize()
    except (NotImplementedError, TypeError, ValueError):
        return None


def _torch_generators():
    """Returns {name: generator}: on PyTorch, dropout draws from generators outside the model."""
    if keras.backend.backend() != "torch":
        return {}
    import torch

    if torch.cuda.is_available():
        torch.cuda.init()
    devices = {f"cuda{i}": drawn for i, drawn in enumerate(torch.cuda.default_generators)}
    generators = {"cpu": torch.default_generator, **devices}
    return {f"generator/{name}": generator for name, generator in generators.items()}
