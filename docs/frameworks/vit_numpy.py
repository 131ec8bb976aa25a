"""The forward pass of a Vision Transformer in NumPy. `w` has the weights by name."""

import numpy as np


def forward(images, w, patch_size, num_layers, num_heads):
    """Returns the logits of images (B, height, width, 3), pixels 0 to 255."""
    x = cut(images / 127.5 - 1, patch_size) @ w["patch_encoder/projection/kernel"]
    x = x + w["patch_encoder/projection/bias"]  # (B, N, D)
    x_class = np.broadcast_to(w["patch_encoder/class_token"], (len(x), 1, x.shape[-1]))
    z = np.concatenate([x_class, x], axis=1) + w["patch_encoder/position_embedding"]  # Eq. 1
    for i in range(num_layers):
        z = z + attend(norm(z, w, f"block_{i}/norm_1"), w, f"block_{i}/attention", num_heads)
        z = z + mlp(norm(z, w, f"block_{i}/norm_2"), w, f"block_{i}/mlp")  # Eq. 3; above, Eq. 2
    y = norm(z, w, "encoder_norm")[:, 0]  # (B, D), Eq. 4
    return dense(y, w, "head")


def cut(images, p):
    """Cuts images into patches of p x p pixels, row by row: (B, N, p * p * 3)."""
    batch, height, width, channels = images.shape
    x = images.reshape(batch, height // p, p, width // p, p, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, -1, p * p * channels)


def attend(x, w, name, num_heads):
    """Multi-head self-attention, Eq. 5-8."""
    batch, tokens, dim = x.shape
    qkv = dense(x, w, f"{name}/query_key_value")  # Eq. 5
    qkv = qkv.reshape(batch, tokens, 3, num_heads, dim // num_heads)
    q, k, v = qkv.transpose(2, 0, 3, 1, 4)  # each (B, heads, N + 1, d)
    A = softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]))  # Eq. 6
    x = (A @ v).transpose(0, 2, 1, 3).reshape(batch, tokens, dim)  # Eq. 7
    return dense(x, w, f"{name}/projection")  # Eq. 8


def mlp(x, w, name):
    """Two dense layers with a GELU, in its tanh form, between them."""
    x = dense(x, w, f"{name}/expand")
    x = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return dense(x, w, f"{name}/contract")


def norm(x, w, name):
    """Layer normalization: mean 0 and variance 1 for each token."""
    x = x - x.mean(-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)
    return x * w[f"{name}/gamma"] + w[f"{name}/beta"]


def dense(x, w, name):
    """A dense layer."""
    return x @ w[f"{name}/kernel"] + w[f"{name}/bias"]


def softmax(x):
    """Softmax over the last axis."""
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)
