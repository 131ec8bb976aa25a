"""AdamW, SGD and LAMB with a rate for each layer, against NumPy; exceptions from weight decay."""

import keras
import numpy as np
import pytest
from helpers import numpy, random_images

import keras_vit
from keras_vit.training.recipes import optimizers, schedules
from keras_vit.training.recipes.recipe import SLOTS

# A model of three blocks: path, share of the rate with layer_decay 0.5 (3 blocks: 0.5^4 at the
# bottom), whether it decays
WEIGHTS = {
    "patch_encoder/projection/kernel": (0.0625, True),
    "patch_encoder/projection/bias": (0.0625, False),
    "patch_encoder/class_token": (0.0625, False),
    "patch_encoder/position_embedding": (0.0625, False),
    "stage_1_unit_1/conv_1/kernel": (0.0625, True),
    "block_0/norm_1/gamma": (0.125, False),
    "block_1/attention/query_key_value/kernel": (0.25, True),
    "block_2/mlp/expand/kernel": (0.5, True),
    "block_2/mlp/expand/lora_kernel_a": (0.5, True),
    "encoder_norm/beta": (1.0, False),
    "pooling/probe": (1.0, False),
    "pre_logits/kernel": (1.0, True),
    "head/kernel": (1.0, True),
    "head/bias": (1.0, False),
}
STEPS = 3


def vit(model=keras_vit.ViT, **options):
    arguments = {"image_size": 8, "patch_size": 4, "num_layers": 1, "num_heads": 2}
    arguments |= {"hidden_dim": 4, "mlp_dim": 6, "num_classes": 2, **options}
    return model(**arguments)


class Weight(keras.Variable):
    """A variable with a path of our choice."""

    @property
    def path(self):
        return self.place


def variables(values):
    made = []
    for path, value in values.items():
        weight = Weight(value, name=path.split("/")[-1])
        weight.place = path
        made.append(weight)
    return made


def start(seed):
    rng = np.random.default_rng(seed)
    return {path: rng.normal(size=(2, 3)).astype("float32") for path in WEIGHTS}


def run(optimizer, gradients):
    weights = variables(start(0))
    optimizer.build(weights)
    for step in range(STEPS):
        tensors = [keras.ops.convert_to_tensor(gradients[step][path]) for path in WEIGHTS]
        optimizer.apply(tensors, weights)
    return dict(zip(WEIGHTS, map(numpy, weights), strict=True))


def clipped(gradients, norm):
    total = np.sqrt(sum((g.astype("float64") ** 2).sum() for g in gradients.values()))
    return {path: g.astype("float64") * min(1, norm / total) for path, g in gradients.items()}


def by_hand(update, gradients, rate, weight_decay, clip, decayed):
    """Steps of an optimizer in float64: gradients cut, decay at each weight's own rate, update."""
    weights = {path: value.astype("float64") for path, value in start(0).items()}
    state = {path: (0.0, 0.0) for path in WEIGHTS}
    for step in range(STEPS):
        for path, gradient in clipped(gradients[step], clip).items():
            share, decays = WEIGHTS[path]
            own = rate(step) * share
            before = weights[path]
            change, state[path] = update(gradient, state[path], own, step + 1)
            decay = own * weight_decay * before if decays or decayed == "" else 0.0
            weights[path] = before + change - decay
    return weights


def adam(gradient, state, rate, step):
    m, v = state
    m = 0.9 * m + 0.1 * gradient
    v = 0.999 * v + 0.001 * gradient**2
    corrected = (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-12)
    return -rate * corrected, (m, v)


def lamb_by_hand(gradients, rate, weight_decay, clip, decayed):
    """Algorithm 2 of arXiv 1904.00962; weights without decay have the factor 1."""
    weights = {path: value.astype("float64") for path, value in start(0).items()}
    state = {path: (0.0, 0.0) for path in WEIGHTS}
    for step in range(STEPS):
        for path, gradient in clipped(gradients[step], clip).items():
            share, decays = WEIGHTS[path]
            w, decays = weights[path], decays or decayed == ""
            change, state[path] = adam(gradient, state[path], 1.0, step + 1)
            u = weight_decay * w * decays - change
            ratio = np.linalg.norm(w) / np.linalg.norm(u) if decays else 1.0
            weights[path] = w - rate(step) * share * ratio * u
    return weights


def sgd(gradient, state, rate, step):
    momentum = 0.9 * state[0] - rate * gradient
    return momentum, (momentum, 0.0)


@pytest.mark.parametrize("decayed", ["kernel", ""])
@pytest.mark.parametrize(
    "make, update",
    [
        (lambda **kw: optimizers.AdamW(epsilon=1e-12, **kw), adam),
        (lambda **kw: optimizers.SGD(**kw), sgd),
    ],
)
def test_three_steps_are_those_of_numpy(make, update, decayed):
    gradients = [start(seed) for seed in (1, 2, 3)]
    schedule = schedules.LinearDecay(0.1, total_steps=10, warmup_steps=2, start=0.02, end=0.0)
    optimizer = make(
        learning_rate=schedule,
        weight_decay=0.3,
        layer_decay=0.5,
        global_clipnorm=1.0,
        decayed=decayed,
    )
    expected = by_hand(update, gradients, lambda s: (0.02, 0.06, 0.1)[s], 0.3, 1.0, decayed)
    for path, found in run(optimizer, gradients).items():
        np.testing.assert_allclose(found, expected[path], rtol=2e-5, atol=2e-6, err_msg=path)


@pytest.mark.parametrize("decayed", ["kernel", ""])
def test_three_steps_of_lamb_are_those_of_numpy(decayed):
    gradients, schedule = [start(seed) for seed in (1, 2, 3)], (0.02, 0.06, 0.1)
    rate = schedules.LinearDecay(0.1, total_steps=10, warmup_steps=2, start=0.02, end=0.0)
    optimizer = optimizers.Lamb(
        rate, 0.3, layer_decay=0.5, global_clipnorm=1.0, decayed=decayed, epsilon=1e-12
    )
    expected = lamb_by_hand(gradients, schedule.__getitem__, 0.3, 1.0, decayed)
    for path, found in run(optimizer, gradients).items():
        np.testing.assert_allclose(found, expected[path], rtol=2e-5, atol=2e-6, err_msg=path)


def test_the_memory_of_every_optimizer_is_known():
    assert SLOTS.keys() == optimizers.OPTIMIZERS.keys()
    for name, slots in SLOTS.items():
        optimizer, weights = optimizers.OPTIMIZERS[name](0.1), variables(start(0))
        optimizer.build(weights)
        kept = sum(np.prod(variable.shape) for variable in optimizer.variables)
        own = 2  # its iterations and its learning rate
        assert kept - own == slots * sum(np.prod(weight.shape) for weight in weights)


def test_lamb_moves_a_weight_of_zeros():
    weights = variables({"head/kernel": np.zeros((2, 3), "float32")})
    optimizer = optimizers.Lamb(0.5, weight_decay=0.3)
    optimizer.build(weights)
    optimizer.apply([keras.ops.convert_to_tensor(np.full((2, 3), 4.0, "float32"))], weights)
    np.testing.assert_allclose(numpy(weights[0]), -0.5, rtol=1e-5)  # Adam's first step: the rate


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_without_layers_of_their_own_it_is_the_optimizer_of_keras(kind):
    gradients = [start(seed) for seed in (1, 2, 3)]
    theirs = {"adamw": keras.optimizers.AdamW, "sgd": keras.optimizers.SGD}[kind]
    momentum = {"momentum": 0.9} if kind == "sgd" else {}
    theirs = theirs(0.1, weight_decay=0.3, global_clipnorm=1.0, **momentum)
    ours = optimizers.OPTIMIZERS[kind](0.1, weight_decay=0.3, global_clipnorm=1.0, decayed="")
    expected = run(theirs, gradients)
    for path, found in run(ours, gradients).items():
        np.testing.assert_allclose(found, expected[path], rtol=1e-5, atol=1e-6)


def test_an_update_of_two_batches_is_one_of_their_mean():
    gradients = [start(seed) for seed in (1, 2, 3, 4)]
    options = {"weight_decay": 0.3, "layer_decay": 0.5, "global_clipnorm": 1.0}
    accumulated = optimizers.SGD(0.1, gradient_accumulation_steps=2, **options)
    weights = variables(start(0))
    accumulated.build(weights)
    for batch in gradients:
        accumulated.apply([keras.ops.convert_to_tensor(batch[path]) for path in WEIGHTS], weights)
    means = [
        {path: (a[path] + b[path]) / 2 for path in WEIGHTS}
        for a, b in (gradients[:2], gradients[2:])
    ]
    plain = optimizers.SGD(0.1, **options)
    others = variables(start(0))
    plain.build(others)
    for batch in means:
        plain.apply([keras.ops.convert_to_tensor(batch[path]) for path in WEIGHTS], others)
    for one, other in zip(weights, others, strict=True):
        np.testing.assert_allclose(numpy(one), numpy(other), rtol=1e-5, atol=1e-6)


def test_every_weight_of_a_vit_has_its_share_of_the_rate():
    model = vit(pooling="map", num_layers=4)
    paths = [weight.path for weight in model.weights]
    found = dict(zip(paths, optimizers.layer_rates(paths, 0.5), strict=True))
    assert found["patch_encoder/position_embedding"] == 0.5**5
    assert found["block_0/norm_1/gamma"] == 0.5**4
    assert found["block_3/mlp/contract/bias"] == 0.5
    behind = {path: share for path, share in found.items() if share == 1}
    assert {path.split("/")[0] for path in behind} == {"encoder_norm", "pooling", "head"}


def test_only_kernels_decay_in_every_kind_of_model():
    """As DeiT and Big Vision: no biases, normalizations, tokens or positions."""
    for model in (vit(pooling="map"), vit(keras_vit.HybridViT, resnet_units=(), patch_size=4)):
        optimizer = optimizers.AdamW()
        optimizer.build(model.trainable_variables)
        pairs = zip(model.trainable_variables, optimizer.decays, strict=True)
        kinds = {(weight.name, decays) for weight, decays in pairs}
        assert {name for name, decays in kinds if decays} == {"kernel"}
        assert {"bias", "gamma", "beta", "position_embedding"} <= {
            name for name, decays in kinds if not decays
        }


def test_weights_that_keras_is_asked_to_exclude_do_not_decay():
    weights = [keras.Variable(np.ones(2), name=name) for name in ("kernel", "kernel_2", "bias")]
    for excluded, decays in (
        ({"var_names": ["_2"]}, (True, False, False)),
        ({"var_list": weights[:1]}, (False, True, False)),
    ):
        optimizer = optimizers.AdamW()
        optimizer.exclude_from_weight_decay(**excluded)
        optimizer.build(weights)
        assert optimizer.decays == decays


@pytest.mark.slow
def test_a_saved_optimizer_keeps_its_layers_and_exceptions(tmp_path):
    model = vit()
    rate = schedules.LinearDecay(1e-3, 100, 10)
    model.compile(optimizers.AdamW(rate, weight_decay=0.2, layer_decay=0.75, decayed="bias"), "mse")
    images, labels = random_images(2, 8, 8, 3), np.eye(2)
    model.train_on_batch(images, labels)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.optimizer.get_config() == model.optimizer.get_config()
    for one in (model, again):
        one.train_on_batch(images, labels)
    for mine, theirs in zip(model.weights, again.weights, strict=True):
        np.testing.assert_allclose(numpy(mine), numpy(theirs), rtol=1e-5, atol=1e-6)


@pytest.mark.backend_free
def test_unusable_arguments_are_refused():
    with pytest.raises(ValueError, match="`layer_decay` must be at most 1. Received"):
        optimizers.AdamW(layer_decay=1.5)
    with pytest.raises(ValueError, match="`layer_decay` must be a finite number above 0"):
        optimizers.SGD(layer_decay=0)
    with pytest.raises(ValueError, match="needs a Transformer's blocks"):
        optimizers.layer_rates(["head/kernel"], 0.5)


@pytest.mark.parametrize(
    "accumulate", [None, pytest.param(2, marks=[pytest.mark.slow, pytest.mark.both])]
)
def test_a_moving_average_forgets_the_first_weights_of_a_short_training(accumulate):
    options = {"use_ema": True, "ema_momentum": 0.8, "weight_decay": 0.0}
    optimizer = optimizers.SGD(0.1, momentum=0.0, gradient_accumulation_steps=accumulate, **options)
    weight = keras.Variable([7.0, -2.0], name="kernel")
    optimizer.build([weight])
    average = expected = None
    for batch in range(50):
        optimizer.apply([keras.ops.convert_to_tensor([1.0, float(batch % 3)])], [weight])
        momentum = min(0.8, batch / (batch + 9))
        expected = numpy(weight) * (1 - momentum) + (0 if batch == 0 else momentum * expected)
        (average,) = optimizer._model_variables_moving_average
        np.testing.assert_allclose(numpy(average), expected, rtol=1e-5)
    optimizer.finalize_variable_values([weight])
    np.testing.assert_allclose(numpy(weight), expected, rtol=1e-5)
