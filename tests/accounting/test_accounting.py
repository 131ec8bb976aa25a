"""Costs: by hand, by name, by layers, and compared with the backends' own counters."""

import math

import keras
import numpy as np
import pytest
from helpers import numpy, quick
from paper import block

import keras_vit
from keras_vit import accounting, cli
from keras_vit.accounting import layer_costs, paper_costs
from keras_vit.descendants import EVAViT, RegisterViT

BACKEND = keras.backend.backend()
# GMACs that timm publishes, which include 5 operations for each normalized value.
TIMM = {
    ("ViT-Ti/16", 224): 1.26,
    ("ViT-S/16", 224): 4.61,
    ("ViT-B/32", 224): 4.41,
    ("ViT-B/16", 224): 17.58,
    ("ViT-B/16", 384): 55.54,
    ("ViT-L/16", 224): 61.6,
    ("ViT-H/14", 224): 167.4,
}
# In hybrids, they also include each standardized weight of a convolution: 0.6 to 2.8 % more.
TIMM_HYBRIDS = {"R26+ViT-S/32": 3.56, "R50+ViT-B/16": 21.66, "R50+ViT-L/32": 19.58}
# Models of every kind, with odd or unequal sides.
BUILT = {
    "token": ("ViT-Mini/8", {"image_size": (32, 48)}),
    "no stages": ("R+ViT-Ti/16", {"image_size": (32, 64)}),
    "BiT": ("R26x1", {"image_size": (33, 50)}),
}


def build(kind):
    name, options = BUILT[kind]
    return name, options["image_size"], keras_vit.create(name, **options)


def test_vit_b_16_equals_a_count_by_hand():
    """196 patches of 768 numbers, 197 tokens, 12 blocks."""
    cost = accounting.count("ViT-B/16")
    block = 197 * (768 * 2304 + 768 * 768 + 768 * 3072 + 3072 * 768)
    assert cost.dense == 196 * 768 * 768 + 12 * block + 768 * 1000 == 16_848_500_736
    assert cost.attention == 12 * 2 * 197 * 197 * 768 == 715_327_488
    assert cost.convolutions == 0
    assert cost.multiply_adds == 17_563_828_224 and cost.flops == 35_127_656_448
    outputs = 197 * (2304 + 768 + 768 + 3072 + 768) + 12 * 197 * 197
    assert cost.activations == 196 * 768 + 12 * outputs + 1000
    kept = 197 * (8 * 768 + 2 * 3072) + 12 * 197 * 197
    assert cost.kept == 196 * 768 + 12 * kept + 197 * 768 + 768


@pytest.mark.slow
def test_r50x1_equals_a_count_by_hand():
    """Root, four stages with a projection each, head: about 4.1 billion."""
    root = 112**2 * 7 * 7 * 3 * 64
    stages = 0
    for side, channels, filters, units in [(56, 64, 64, 3), (28, 256, 128, 4)] + [
        (14, 512, 256, 6),
        (7, 1024, 512, 3),
    ]:
        before = side if side == 56 else 2 * side  # the 3 x 3 kernel has the stride
        first = before**2 * channels * filters + side**2 * channels * 4 * filters
        rest = (units - 1) * side**2 * 4 * filters * filters
        stages += first + rest + units * side**2 * (9 + 4) * filters * filters
    cost = accounting.count("R50x1")
    assert cost.convolutions == root + stages == 4_087_136_256
    assert cost.dense == 2048 * 1000 and cost.attention == 0


@pytest.mark.parametrize(
    "name, size",
    [
        pytest.param(*row, marks=[pytest.mark.slow] + [pytest.mark.weekly] * (row[0][4] in "LH"))
        for row in TIMM
    ],
)
def test_multiply_adds_are_those_that_timm_publishes(name, size):
    shape = keras_vit.list_variants()[name]
    tokens = (size // shape.patch_size) ** 2 + 1
    norms = (2 * shape.num_layers + 1) * tokens * shape.hidden_dim
    digits = 2 if TIMM[name, size] < 60 else 1
    counted = (accounting.count(name, size).multiply_adds + 5 * norms) / 1e9
    assert round(counted, digits) == TIMM[name, size]


@pytest.mark.slow
@pytest.mark.parametrize("name", quick(TIMM_HYBRIDS, "R26+ViT-S/32", rest=pytest.mark.weekly))
def test_multiply_adds_of_hybrids_are_a_little_fewer_than_timms(name):
    ratio = TIMM_HYBRIDS[name] / (accounting.count(name).multiply_adds / 1e9)
    assert 1.005 < ratio < 1.03


@pytest.mark.slow
@pytest.mark.parametrize("kind", BUILT)
def test_a_name_costs_what_its_model_does(kind, blank):
    """A named model is built without values, and counting leaves a model unchanged."""
    name, size, model = build(kind)
    cost = accounting.count(model)
    assert cost == accounting.count(name, size)
    assert cost.parameters == model.count_params()
    assert not any("call" in vars(layer) for layer in model._flatten_layers())
    five = accounting.count(model, batch_size=5)
    assert five.flops == 5 * cost.flops and five.kept == 5 * cost.kept
    assert five.parameters == cost.parameters


def test_counting_a_name_leaves_settings_and_values_alone():
    keras.config.set_dtype_policy("mixed_bfloat16")
    cost = accounting.count("ViT-Mini/8", 16)
    layer = keras.layers.Dense(3)
    layer.build((None, 2))
    assert layer.dtype_policy.name == "mixed_bfloat16" and np.any(numpy(layer.kernel))
    assert cost == accounting.count("ViT-Mini/8", 16)


def test_statistics_are_not_parameters(blank):
    inputs = keras.Input((2, 2, 3))
    x = keras.layers.BatchNormalization()(keras.layers.Normalization()(inputs))
    model = keras.Model(inputs, keras.layers.Dense(5)(keras.layers.Flatten()(x)))
    for model.trainable in (True, False):
        assert layer_costs.count_parameters(model) == 2 * 3 + 12 * 5 + 5


def test_attention_pooling_and_mixed_precision(blank):
    options = {"image_size": 16, "num_classes": 3, "pooling": "map"}
    model = keras_vit.create("ViT-Mini/8", dtype="mixed_bfloat16", **options)
    cost = accounting.count(model)
    # 4 patches in 4 blocks, then one query: q, k, v, output and MLP of the pool.
    tokens = 4 * (64 * 192 + 64 * 64 + 2 * 64 * 128)
    pool = 64 * 64 + 4 * 64 * 128 + 64 * 64 + 2 * 64 * 128
    assert cost.dense == 4 * 192 * 64 + 4 * tokens + pool + 64 * 3
    assert cost.attention == 4 * 2 * 4 * 4 * 64 + 2 * 4 * 64
    assert cost.parameters == model.count_params()


class Counting(np.ndarray):
    """An array that counts the products in its matrix multiplications."""

    products = 0

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        inputs = [np.asarray(x) for x in inputs]
        options.pop("out", None)
        result = getattr(ufunc, method)(*inputs, **options)
        if ufunc is np.matmul:
            Counting.products += result.size * inputs[0].shape[-1]
        return result.view(Counting) if isinstance(result, np.ndarray) else result


def test_a_block_costs_what_the_equations_multiply():
    """Equations 2 to 8 in NumPy, their products counted as they are computed."""
    tokens, dim, mlp_dim = 5, 8, 24
    shapes = {
        "attention/query_key_value/kernel": (dim, 3 * dim),
        "attention/query_key_value/bias": (3 * dim,),
        "attention/projection/kernel": (dim, dim),
        "mlp/expand/kernel": (dim, mlp_dim),
        "mlp/expand/bias": (mlp_dim,),
        "mlp/contract/kernel": (mlp_dim, dim),
    }
    for name in ("attention/projection/bias", "mlp/contract/bias"):
        shapes[name] = (dim,)
    for name in ("norm_1", "norm_2"):
        shapes |= {f"{name}/gamma": (dim,), f"{name}/beta": (dim,)}
    weights = {name: np.zeros(shape).view(Counting) for name, shape in shapes.items()}
    Counting.products = 0
    block(np.zeros((tokens, dim)).view(Counting), weights, 2, approximate=True)
    inputs = keras.Input((tokens, dim))
    layer = keras_vit.TransformerBlock(num_heads=2, mlp_dim=mlp_dim)
    model = keras.Model(inputs, layer(inputs))
    assert accounting.count(model).multiply_adds == Counting.products


def stateless(model):
    """Returns (function of weights and images, their shapes) of a model on JAX."""
    import jax

    def logits(trainable, other, images):
        return model.stateless_call(trainable, other, images, training=True)[0]

    variables = [model.trainable_variables, model.non_trainable_variables]
    shapes = [[jax.ShapeDtypeStruct(v.shape, v.dtype) for v in group] for group in variables]
    return logits, shapes


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "jax", reason="XLA's own count")
@pytest.mark.parametrize(
    "name, options, most",
    [("ViT-S/16", {"num_layers": 2}, 1.03), ("R26x1", {}, 1.04)],
)
def test_xla_counts_the_same_and_a_little_more(name, options, most, blank):
    """XLA also counts biases, normalizations, softmax, GELU; its step costs three forwards."""
    import jax

    model = keras_vit.create(name, **options)
    logits, weights = stateless(model)
    images = jax.ShapeDtypeStruct((1, *model.input_shape[1:]), "float32")
    loss = jax.grad(lambda *inputs: logits(*inputs).sum())
    forward, step = (
        jax.jit(f).lower(*weights, images).cost_analysis()["flops"] for f in (logits, loss)
    )
    flops = accounting.count(model).flops
    assert 1 < forward / flops < most
    assert 0.97 < step / (3 * flops) < most


@pytest.mark.skipif(BACKEND != "jax", reason="XLA's own count")
def test_xla_leaves_padding_out_as_we_do():
    """A convolution that pads by itself: only products with the map itself are counted."""
    import jax

    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    shapes = [jax.ShapeDtypeStruct(s, "float32") for s in ((1, 7, 5, 8), (3, 3, 8, 16))]
    counted = jax.jit(convolve).lower(*shapes).cost_analysis()["flops"]
    images = keras.Input((7, 5, 8))
    model = keras.Model(images, keras.layers.Conv2D(16, 3, padding="same")(images))
    assert counted == layer_costs.count_layers(model, padding=False).flops == 2 * 19 * 13 * 8 * 16
    assert layer_costs.count_layers(model).convolutions == 7 * 5 * 3 * 3 * 8 * 16


@pytest.mark.skipif(BACKEND != "torch", reason="PyTorch's own count")
@pytest.mark.parametrize("kind", BUILT)
def test_torch_counts_the_same(kind, blank):
    from torch.nn import attention
    from torch.utils.flop_counter import FlopCounterMode

    _, _, model = build(kind)
    # Its counter does not know the CPU's attention kernel, but it counts plain products.
    with (
        FlopCounterMode(display=False) as counter,
        attention.sdpa_kernel([attention.SDPBackend.MATH]),
    ):
        model(np.zeros((2, *model.input_shape[1:]), "float32"))
    assert counter.get_total_flops() == accounting.count(model, batch_size=2).flops


@pytest.mark.skipif(BACKEND != "torch", reason="PyTorch tells which tensors it keeps")
def test_torch_keeps_what_we_say():
    import torch
    from torch.nn import attention

    _, _, model = build("token")
    weights, stored = {p.untyped_storage().data_ptr() for p in model.parameters()}, {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            stored[storage.data_ptr()] = (storage.nbytes(), tensor)  # kept: no address is reused
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with hooks, attention.sdpa_kernel([attention.SDPBackend.MATH]):
        model(np.zeros((4, *model.input_shape[1:]), "float32"), training=True)
    kept = sum(size for size, _ in stored.values())
    assert kept == pytest.approx(accounting.activation_memory(model, batch_size=4), rel=0.04)


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "jax", reason="XLA tells how much memory a program takes")
def test_jax_needs_up_to_two_and_a_half_times_as_much():
    """JAX keeps four values for each exact GELU although two would do, and two for each softmax."""
    import jax

    model = keras_vit.create("ViT-Mini/8", image_size=64, num_classes=10)
    logits, weights = stateless(model)
    step = jax.jit(jax.grad(lambda *inputs: (logits(*inputs) ** 2).sum()))
    memory = []
    for batch_size in (8, 16):
        images = jax.ShapeDtypeStruct((batch_size, 64, 64, 3), "float32")
        compiled = step.lower(*weights, images).compile()
        memory.append(compiled.memory_analysis().temp_size_in_bytes)
    grows = (memory[1] - memory[0]) / accounting.activation_memory(model, batch_size=8)
    assert 1 < grows < 2.5


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow's own count")
def test_tensorflow_counts_the_same_and_a_little_more(blank, recwarn):
    import tensorflow as tf
    from tensorflow.python.framework import convert_to_constants

    model = keras_vit.create("ViT-S/16", num_layers=2)
    spec = tf.TensorSpec((1, 224, 224, 3), tf.float32)
    graph = convert_to_constants.convert_variables_to_constants_v2(
        tf.function(lambda x: model(x)).get_concrete_function(spec)
    ).graph
    profiler = tf.compat.v1.profiler
    options = profiler.ProfileOptionBuilder(profiler.ProfileOptionBuilder.float_operation())
    counted = profiler.profile(graph, options=options.with_empty_output().build()).total_float_ops
    assert 1 < counted / accounting.count(model).flops < 1.01


def test_a_gated_mlp_keeps_gates_and_values(blank):
    """In each of 2 blocks, for each of 21 tokens: `mlp_dim` numbers more than a plain MLP."""
    shape = {"image_size": 32, "num_layers": 2, "num_classes": None}
    plain, gated = (
        keras_vit.create("ViT-Mini/8", RegisterViT, **shape, gated=gated) for gated in (False, True)
    )
    more = accounting.count(gated).kept - accounting.count(plain).kept
    assert more == 2 * (1 + 4 + 16) * 128


def test_a_dense_layer_with_a_norm_keeps_the_inputs_of_both(blank):
    """In each of 2 blocks, for each of 5 tokens, LN(x) besides x: `mlp_dim` numbers."""
    shape = {"image_size": 16, "num_layers": 2, "num_classes": None}
    plain, normed = (
        keras_vit.create("ViT-Mini/8", EVAViT, **shape, mlp_norm=norm) for norm in (False, True)
    )
    assert accounting.count(normed).kept - accounting.count(plain).kept == 2 * 5 * 128


def test_a_quantized_model_is_not_counted(blank):
    """Its products are not those of `call`, and int4 packs two weights into one number."""
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(2))
    model.layers[-1].quantize("int8")
    with pytest.raises(ValueError, match=r"not be quantized.*before you quantize it"):
        accounting.count(model)


@pytest.mark.slow
def test_memory_follows_the_type_and_the_batch():
    memory = accounting.activation_memory
    one = memory("ViT-Mini/8", 1)
    assert one == 4 * accounting.count("ViT-Mini/8").kept
    assert memory("ViT-Mini/8", 32, dtype="bfloat16") == 16 * one
    assert memory("R26x1", 2, 448) == pytest.approx(4 * memory("R26x1", 2), rel=0.001)


def test_training_is_three_forward_passes():
    one = accounting.training("ViT-B/16", 1)
    assert one == pytest.approx(3 * 35_127_656_448 / 1e18)
    assert accounting.training("ViT-B/16", 1000, epochs=0.5) == pytest.approx(500 * one)
    assert accounting.training("ViT-B/16", 1, image_size=448) > 4 * one
    assert accounting.core_days(1.0, 0.5, peak=1e18 / 86_400) == pytest.approx(2.0)


@pytest.mark.weekly
def test_table_6_is_what_our_counts_make():
    """Transformers agree to 0.2 %, convolutions to 1 % if the padding is not counted."""
    rows = {(row.name, row.epochs): row for row in accounting.table_6()}
    assert len(rows) == len(paper_costs.TABLE_6) == 18
    # Unexplained: B/32 is 2 % above; the paper's 859 is not half of its 1668.
    odd = rows.pop(("ViT-B/32", 7)), rows.pop(("R50+ViT-L/16", 7))
    assert [round(row.ratio, 2) for row in odd] == [1.02, 0.97]
    assert rows["R50+ViT-L/16", 14].exaflops == pytest.approx(2 * odd[1].exaflops)
    for (name, _), row in rows.items():
        if name.startswith("ViT"):
            assert row.ratio == pytest.approx(1, abs=0.0025), name
            assert row.without_padding == row.exaflops
        else:
            assert 0.998 < row.ratio < 1.045, name
            assert row.without_padding / row.published == pytest.approx(1, abs=0.01), name


@pytest.mark.weekly
def test_core_days_of_table_2_are_a_plausible_share_of_the_peak():
    rows = accounting.table_2()
    assert [round(row.utilization, 2) for row in rows] == [0.32, 0.43, 0.39, 0.25]
    for row in rows:
        days = accounting.core_days(row.exaflops, row.utilization)
        assert days == pytest.approx(row.core_days)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: accounting.count("ViT-B/17"), "divisible by the patch height"),
        (lambda: accounting.count("ViT_B_16"), "Did you mean 'ViT-B/16'?"),
        (lambda: accounting.count("ViT-B/16", 225), "image height"),
        (lambda: accounting.count("ViT-B/16", batch_size=0), "`batch_size` must be a positive"),
        (
            lambda: accounting.activation_memory("R50x1", 1, dtype="int8"),
            "must be one of 'float32'",
        ),
        (lambda: accounting.training("R50x1", images=0), "`images` must be a positive integer"),
        (lambda: accounting.training("R50x1", 1, epochs=0), "`epochs` must be a finite number"),
        (lambda: accounting.core_days(1, utilization=0), "`utilization` must be a finite number"),
    ],
)
def test_bad_arguments(call, words):
    with pytest.raises(ValueError) as error:
        call()
    assert words in str(error.value)


def test_a_built_model_has_its_own_resolution(blank):
    model = keras_vit.create("ViT-Mini/8", image_size=16)
    assert accounting.count(model, image_size=16) == accounting.count(model)
    with pytest.raises(ValueError, match="`image_size` must be that of the built model"):
        accounting.count(model, image_size=32)


def run(capsys, *words):
    cli.carry_out(cli.parser().parse_args(["cost", *words]))
    return capsys.readouterr().out.splitlines()


def test_command_prints_what_was_asked_for(capsys):
    head, line = run(capsys, "ViT-B/16", "--training", "303000000", "7", "--batch-size", "2")
    assert head.split()[:3] == ["name", "parameters", "GMAC"] and "exaFLOPs" in head
    assert "backward, MiB" in head  # not the memory of all that training needs
    name, parameters, gmac, gflops, *_, exaflops, _ = line.split()
    assert (name, parameters, gmac, gflops) == ("ViT-B/16", "86,567,656", "35.13", "70.26")
    assert exaflops == "224"


@pytest.mark.weekly
def test_command_lists_the_models_of_table_6(capsys):
    assert len(run(capsys)) == 16  # with the head
    assert math.isclose(float(run(capsys, "R50x1", "--image-size", "448")[1].split()[2]), 16.35)


@pytest.mark.weekly
def test_command_prints_the_papers_tables(capsys):
    lines = run(capsys, "--paper")
    assert any(line.split()[:5] == ["ViT-L/16", "14", "1567", "1566.7", "1.000"] for line in lines)
    assert any(line.startswith("R152x4") and line.endswith("25%") for line in lines)
