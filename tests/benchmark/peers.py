"""The contenders: the same Vision Transformer in different implementations.

ours, ours-tanh            this package, with the exact or with the tanh form of GELU
keras                      ours with Keras's own layer normalization
matmul, einsum, kernel     ours with this form of attention on every backend
kerashub, flax, timm       KerasHub, the official code in Flax, and timm in eager PyTorch

Each has the same sizes, no dropout, the same loss and the same optimizer, and gets the same arrays
in memory. `build` returns an object with two methods that return when the work is done:
`train(images, labels)`, one forward and backward pass with an update, returns the loss;
`predict(images)` returns logits as a NumPy array.

Differences that remain:
- Flax always computes the tanh form of GELU, the others the exact one; see `ours-tanh`.
- This package multiplies by one matrix for queries, keys and values, the others by three.
"""

import importlib.util
from types import SimpleNamespace
from typing import NamedTuple

import keras
import numpy as np
import ours

from keras_vit.variants import parse

FLAX = (
    "pip install git+https://github.com/google-research/vision_transformer, or put a checkout of "
    "it on PYTHONPATH and run: pip install flax"
)
# name of a contender: what it imports and the command that installs it
NEEDS = {
    **dict.fromkeys(ours.MODELS, {}),
    "kerashub": {"keras_hub": "pip install keras-hub"},
    "flax": {"flax": "pip install flax", "optax": "pip install optax", "vit_jax": FLAX},
    "timm": {"timm": "pip install timm"},
}
ON = {"flax": "jax", "timm": "torch"}  # the backend whose arrays a contender computes with
PEERS = tuple(name for name in NEEDS if name != "ours")
OPTIMIZERS = ("sgd", "adam")
LEARNING_RATE = 1e-3


class Setup(NamedTuple):
    """The settings of a measurement, the same for every contender."""

    model: str = "ViT-Ti/16"
    image_size: int = 224
    batch_size: int = 8
    num_classes: int = 1000
    num_layers: int | None = None  # None for the variant's own
    dtype: str = "float32"
    optimizer: str = "sgd"

    @property
    def variant(self):
        """Returns the model's sizes, with `num_layers` in place of the table's if it is given."""
        variant = parse(self.model)
        return variant._replace(num_layers=self.num_layers or variant.num_layers)

    def batch(self):
        """Returns the images and labels that all contenders get."""
        rng = np.random.default_rng(0)
        shape = (self.batch_size, self.image_size, self.image_size, 3)
        images = rng.standard_normal(shape, dtype="float32")
        return images, rng.integers(self.num_classes, size=self.batch_size).astype("int32")


def check(name, setup):
    """Raises an error with the command that helps, unless contender `name` can run here.

    Raises:
        ValueError: there is no such contender, or it does not run on this backend or dtype.
        ImportError: a package is missing.
    """
    if name not in NEEDS:
        raise ValueError(f"A peer is one of {', '.join(PEERS)}. Received: {name!r}.")
    backend = keras.backend.backend()
    if ON.get(name, backend) != backend:
        raise ValueError(f"Peer {name!r} needs KERAS_BACKEND={ON[name]}. Received: {backend!r}.")
    if name in ON and setup.dtype != "float32":
        raise ValueError(f"Peer {name!r} computes in float32. Received: dtype={setup.dtype!r}.")
    for module, command in NEEDS[name].items():
        if importlib.util.find_spec(module) is None:
            raise ImportError(f"Peer {name!r} needs the package {module}. Run: {command}")


def build(name, setup):
    """Returns contender `name`, ready to train and predict."""
    check(name, setup)
    if name in ON:
        return {"flax": FlaxContender, "timm": TimmContender}[name](setup)
    build_model = {**ours.MODELS, "kerashub": kerashub_model}[name]
    return KerasContender(build_model(setup), setup)


def kerashub_model(setup):
    """KerasHub's classifier as a plain model: its graph, without its image preprocessing."""
    import keras_hub

    size = setup.variant
    backbone = keras_hub.models.ViTBackbone(
        image_shape=(setup.image_size, setup.image_size, 3),
        patch_size=size.patch_size,
        num_layers=size.num_layers,
        num_heads=size.num_heads,
        hidden_dim=size.hidden_dim,
        mlp_dim=size.mlp_dim,
        dtype=setup.dtype,
    )
    # Logits are float32 for every dtype of the model, as ours are.
    classifier = keras_hub.models.ViTImageClassifier(
        backbone, setup.num_classes, head_dtype="float32"
    )
    return keras.Model(classifier.input, classifier.output)


class KerasContender:
    """A Keras model as its users run it: compiled, one batch at a time."""

    def __init__(self, model, setup):
        optimizers = {
            "sgd": lambda: keras.optimizers.SGD(LEARNING_RATE, momentum=0.9),
            "adam": lambda: keras.optimizers.Adam(LEARNING_RATE),
        }
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer=optimizers[setup.optimizer](), loss=loss)
        self.model = model
        self.parameters = model.count_params()

    def train(self, images, labels):
        """One training step; the loss as a `float`, so the step has ended."""
        return float(self.model.train_on_batch(images, labels))

    def predict(self, images):
        """Logits as a NumPy array."""
        return np.asarray(self.model.predict_on_batch(images))


class FlaxContender:
    """The official model in a jitted step that reuses the memory of the old weights."""

    def __init__(self, setup):
        import jax
        import optax
        from vit_jax import models_vit

        optimizers = {
            "sgd": optax.sgd(LEARNING_RATE, momentum=0.9),
            "adam": optax.adam(LEARNING_RATE),
        }
        optimizer = optimizers[setup.optimizer]
        model = models_vit.VisionTransformer(**_flax_arguments(setup))
        init = jax.jit(lambda key, images: model.init(key, images, train=False)["params"])

        def step(params, state, images, labels):
            def loss_of(params):
                logits = model.apply({"params": params}, images, train=True)
                losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
                return losses.mean()

            loss, gradients = jax.value_and_grad(loss_of)(params)
            updates, state = optimizer.update(gradients, state, params)
            return optax.apply_updates(params, updates), state, loss

        self.params = init(jax.random.key(0), setup.batch()[0])
        self.state = jax.jit(optimizer.init)(self.params)
        self.step = jax.jit(step, donate_argnums=(0, 1))
        self.apply = jax.jit(lambda params, x: model.apply({"params": params}, x, train=False))
        self.parameters = sum(leaf.size for leaf in jax.tree.leaves(self.params))

    def train(self, images, labels):
        """One training step; the loss as a `float`, so the step has ended."""
        self.params, self.state, loss = self.step(self.params, self.state, images, labels)
        return float(loss)  # an output of the same compiled call as the new weights

    def predict(self, images):
        """Logits as a NumPy array."""
        return np.asarray(self.apply(self.params, images))


def _flax_arguments(setup):
    """Our sizes in the names of `vit_jax`."""
    size = setup.variant
    return {
        "num_classes": setup.num_classes,
        "patches": SimpleNamespace(size=(size.patch_size, size.patch_size)),
        "hidden_size": size.hidden_dim,
        "transformer": {
            "num_layers": size.num_layers,
            "mlp_dim": size.mlp_dim,
            "num_heads": size.num_heads,
            "dropout_rate": 0.0,
            "attention_dropout_rate": 0.0,
        },
    }


class TimmContender:
    """timm's model as its users train it, without compilation."""

    def __init__(self, setup):
        import torch
        from timm.models.vision_transformer import VisionTransformer

        size, optimizers = setup.variant, {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
        self.model = VisionTransformer(
            img_size=setup.image_size,
            patch_size=size.patch_size,
            num_classes=setup.num_classes,
            embed_dim=size.hidden_dim,
            depth=size.num_layers,
            num_heads=size.num_heads,
            mlp_ratio=size.mlp_dim / size.hidden_dim,
        )
        options = {"momentum": 0.9} if setup.optimizer == "sgd" else {}
        optimizer = optimizers[setup.optimizer]
        self.optimizer = optimizer(self.model.parameters(), lr=LEARNING_RATE, **options)
        self.parameters = sum(weight.numel() for weight in self.model.parameters())

    def train(self, images, labels):
        """One training step; the loss as a `float`, so the step has ended."""
        import torch

        self.model.train()
        logits = self.model(_channels_first(images))
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels).long())
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def predict(self, images):
        """Logits as a NumPy array."""
        import torch

        with torch.inference_mode():
            return self.model.eval()(_channels_first(images)).numpy()


def _channels_first(images):
    """Returns a tensor in timm's order of the axes: (batch, channels, height, width)."""
    import torch

    return torch.from_numpy(images).permute(0, 3, 1, 2)
