"""The forward pass of a Vision Transformer in JAX, for one image; `vmap` extends it to many."""

import functools

import jax
import jax.numpy as jnp


@functools.partial(jax.jit, static_argnums=(2, 3, 4))
def forward(images, w, patch_size, num_layers, num_heads):
    """Returns the logits of images (B, height, width, 3), pixels 0 to 255."""
    return jax.vmap(lambda image: one(image, w, patch_size, num_layers, num_heads))(images)


def one(image, w, p, num_layers, num_heads):
    """Returns the logits of one image (height, width, 3)."""
    height, width, channels = image.shape
    x = (image / 127.5 - 1).reshape(height // p, p, width // p, p, channels)
    x = x.swapaxes(1, 2).reshape(-1, p * p * channels)  # (N, PPC)
    x = dense(x, w, "patch_encoder/projection")  # (N, D)
    z = jnp.concatenate([w["patch_encoder/class_token"][0], x])
    z = z + w["patch_encoder/position_embedding"][0]  # (N + 1, D), Eq. 1
    for i in range(num_layers):
        z = z + attend(norm(z, w, f"block_{i}/norm_1"), w, f"block_{i}/attention", num_heads)
        z = z + mlp(norm(z, w, f"block_{i}/norm_2"), w, f"block_{i}/mlp")  # Eq. 3; above, Eq. 2
    return dense(norm(z, w, "encoder_norm")[0], w, "head")  # Eq. 4


def attend(x, w, name, num_heads):
    """Multi-head self-attention, Eq. 5-8."""
    qkv = dense(x, w, f"{name}/query_key_value").reshape(len(x), 3, num_heads, -1)  # Eq. 5
    q, k, v = qkv.swapaxes(0, 1)  # each (N + 1, heads, d)
    scores = jnp.einsum("ihd,jhd->hij", q, k) / jnp.sqrt(q.shape[-1])
    x = jnp.einsum("hij,jhd->ihd", jax.nn.softmax(scores), v)  # Eq. 6, 7
    return dense(x.reshape(len(x), -1), w, f"{name}/projection")  # Eq. 8


def mlp(x, w, name):
    """Two dense layers with a GELU, in its tanh form, between them."""
    hidden = jax.nn.gelu(dense(x, w, f"{name}/expand"), approximate=True)
    return dense(hidden, w, f"{name}/contract")


def norm(x, w, name):
    """Layer normalization: mean 0 and variance 1 for each token."""
    return jax.nn.standardize(x, epsilon=1e-6) * w[f"{name}/gamma"] + w[f"{name}/beta"]


def dense(x, w, name):
    """A dense layer."""
    return x @ w[f"{name}/kernel"] + w[f"{name}/bias"]
