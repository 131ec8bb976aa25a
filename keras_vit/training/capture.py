"""What a training run consists of, taken out of a compiled model and put back."""

import json
import re
import weakref

import keras
import numpy as np

from keras_vit import arguments
from keras_vit.training import generators, inside

COMPARED = ("loss", "loss_weights", "metrics", "weighted_metrics", "jit_compile")
SHARED = "seed/shared"
SHOWN = 8
# A learning rate changes while it is trained with; what counts is how the optimizer was made.
_made = weakref.WeakKeyDictionary()


def variables(model):
    """Returns `{name: variable}` of all that a step changes.

    Keras numbers its automatic names anew in each model, so names hold the place in the order too.
    """
    shared = inside.shared_generator()
    return {
        **_weights(model),
        **_numbered("seed", _seeds(model)),
        **_numbered("optimizer", model.optimizer.variables),
        **_numbered("metric", model.metrics_variables),
        **({SHARED: shared.state} if shared is not None else {}),
    }


def arrays(model):
    """Returns `{name: array}`, copies that stay as they are while training goes on."""
    taken = {n: np.array(keras.ops.convert_to_numpy(v)) for n, v in variables(model).items()}
    return {**taken, **generators.states()}


def put_back(model, values):
    """Assigns to each variable what `arrays` took; metrics that Keras has not made are left."""
    if SHARED in values:
        inside.make_shared_generator()  # made at its first use
    _assign(variables(model), values)
    generators.put_back(values)


def put_back_weights(model, values):
    """Assigns the weights alone.

    Raises:
        ValueError: they are those of another model; nothing was changed.
    """
    values = {n: value for n, value in values.items() if n.startswith("weight/")}
    told = _other_variables(values, _weights(model))
    if told:
        raise ValueError(f"The weights are of another model: {'; '.join(told[:SHOWN])}.")
    _assign(_weights(model), values)


def not_finite(values):
    """Names the weights and optimizer variables that hold NaN or infinity."""
    floats = {n: v for n, v in values.items() if v.dtype.kind not in "biu"}
    kept = {n: v for n, v in floats.items() if n.startswith(("weight/", "optimizer/"))}
    return [n for n, v in kept.items() if not np.isfinite(v).all()]


def settings(model, position):
    """Returns plain values that a run must share with the one that it goes on from."""
    flat = {}
    flatten(flat, "backend", keras.backend.backend())
    for name in getattr(model, "argument_names", ()):
        flatten(flat, f"model.{name}", getattr(model, name))
    flatten(flat, "model.dtype", model.dtype_policy.name)
    flatten(flat, "model.trainable_weights", len(model.trainable_weights))
    flatten(flat, "optimizer", _optimizer(model.optimizer))
    flatten(flat, "steps_per_execution", model.steps_per_execution)
    compiled = _attempt(model.get_compile_config)
    for name in COMPARED:
        flatten(flat, name, (compiled or {}).get(name))
    flatten(flat, "data", position.fingerprint() if position is not None else None)
    return json.loads(json.dumps(flat))


def flatten(flat, name, value):
    """Puts nested values into `flat` as {"optimizer.beta_1": 0.9}."""
    if isinstance(value, dict):
        for key, inner in value.items():
            flatten(flat, f"{name}.{key}", inner)
    elif isinstance(value, str):
        flat[name] = stable(value)
    else:
        plain = isinstance(value, (bool, int, float, tuple, list, type(None)))
        flat[name] = value if plain else str(value)


def refuse_another_run(folder, state, model, now):
    """Raises `ValueError` unless a state belongs to this model, trained in this way."""
    before = state.facts["settings"]
    told = [
        f"{name}: {_told(before, name)} in the checkpoint, {_told(now, name)} here"
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]
    told += _other_variables(state.arrays, variables(model))
    if told:
        more = f"; and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
        raise ValueError(
            f"{str(folder)!r} holds a run of another kind: {'; '.join(told[:SHOWN])}{more}. "
            "Nothing was changed. Build, compile and load as that run did, and it goes on; or "
            "train in a new folder. `Checkpoint(folder).load_weights(model)` gives a model the "
            "weights alone."
        )


def check_built(model):
    """Raises `ValueError` unless all weights exist; makes the optimizer's variables."""
    if not model.built:
        want, advice = "the model must be built", "Call it once on a batch, or `model.build`."
        arguments.refuse(want, {"model.built": False}, advice)
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)


def stable(path):
    """Returns a name without the numbers that Keras appends to automatic names."""
    return re.sub(r"_\d+", "", path)


def _other_variables(saved, here):
    """Tells which weights, seeds and optimizer variables differ in name or shape."""
    saved, here = _shapes(saved), _shapes(here)
    return [
        f"{saved.get(n, 'nothing')} in the checkpoint, {here.get(n, 'nothing')} here"
        for n in {**saved, **here}
        if str(saved.get(n)).split(" ")[1:] != str(here.get(n)).split(" ")[1:]
    ]


def _assign(variables_, values):
    values = {stable(name): value for name, value in values.items()}
    for name, variable in variables_.items():
        if stable(name) in values:
            variable.assign(np.array(values[stable(name)]))  # a backend may keep its memory


def _weights(model):
    return _numbered("weight", model.weights)


def _numbered(group, variables_):
    return {f"{group}/{i}/{v.path}": v for i, v in enumerate(variables_)}


def _shapes(values):
    """Returns {name that lasts: "name (shape)"}; metrics are made later on TensorFlow."""
    groups = ("weight/", "seed/", "optimizer/")
    chosen = {n: v for n, v in values.items() if n.startswith(groups) and n != SHARED}
    return {stable(n): f"{n} {tuple(v.shape)}" for n, v in chosen.items()}


def _told(values, name):
    return repr(values[name]) if name in values else "nothing"


def _optimizer(optimizer):
    if optimizer not in _made:
        config = _attempt(lambda: keras.optimizers.serialize(optimizer)) or {}
        _made[optimizer] = {"class": type(optimizer).__name__, **config.get("config", {})}
    return _made[optimizer]


def _attempt(make):
    """Returns None where a custom object cannot tell its configuration."""
    try:
        return make()
    except (NotImplementedError, TypeError, ValueError):
        return None


def _seeds(model):
    """Returns the states of the layers' random generators, in the order of the layers."""
    weights = {id(w) for w in model.weights}
    return [v for v in model.non_trainable_variables if id(v) not in weights]
