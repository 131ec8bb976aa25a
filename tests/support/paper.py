"""The paper's equations in plain NumPy and float64: the independent truth for the layers.

Nothing here uses Keras. Weights are dictionaries of arrays.
"""

import math

import numpy as np

erf = np.vectorize(math.erf)


def gelu(x, approximate):
    if approximate:
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def layer_norm(x, gamma, beta, epsilon=1e-6):
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta


def patches(image, height, width):
    """x_p, one image at a time, with loops: rows of patches, then rows, columns, channels."""
    result = []
    for top in range(0, image.shape[0], height):
        for left in range(0, image.shape[1], width):
            result.append(image[top : top + height, left : left + width].reshape(-1))
    return np.stack(result)


def embed(image_patches, w):
    """Eq. 1 for one image."""
    x = image_patches @ w["projection/kernel"] + w["projection/bias"]
    if "class_token" in w:
        x = np.concatenate([w["class_token"][0], x])
    return x + w["position_embedding"][0]


def msa(z, w, num_heads):
    """Eq. 5-8 for one sequence, head by head."""
    qkv = z @ w["query_key_value/kernel"] + w["query_key_value/bias"]
    dim = z.shape[-1]
    d = dim // num_heads
    q, k, v = qkv[:, :dim], qkv[:, dim : 2 * dim], qkv[:, 2 * dim :]
    heads, scores = [], []
    for h in range(num_heads):
        part = slice(h * d, (h + 1) * d)
        a = softmax(q[:, part] @ k[:, part].T / math.sqrt(d))  # Eq. 6
        scores.append(a)
        heads.append(a @ v[:, part])  # Eq. 7
    return np.concatenate(heads, -1) @ w["projection/kernel"] + w["projection/bias"], scores


def mlp(x, w, approximate):
    x = gelu(x @ w["expand/kernel"] + w["expand/bias"], approximate)
    return x @ w["contract/kernel"] + w["contract/bias"]


def block(z, w, num_heads, approximate):
    """Eq. 2 and 3."""
    z = msa(norm(z, w, "norm_1"), under(w, "attention"), num_heads)[0] + z
    return mlp(norm(z, w, "norm_2"), under(w, "mlp"), approximate) + z


def norm(z, w, name):
    return layer_norm(z, w[f"{name}/gamma"], w[f"{name}/beta"])


def under(w, prefix):
    """Returns the weights whose names begin with `prefix/`, without this prefix."""
    return {k[len(prefix) + 1 :]: v for k, v in w.items() if k.startswith(prefix + "/")}


def vit(image, w, *, patch_size, num_layers, num_heads, approximate, pooling="token"):
    """Eq. 1-4 and the head, for one image of pixels 0 to 255; all tokens if `pooling` is None."""
    z = embed(patches(image / 127.5 - 1, *patch_size), under(w, "patch_encoder"))
    for i in range(num_layers):
        z = block(z, under(w, f"block_{i}"), num_heads, approximate)
    z = norm(z, w, "encoder_norm")
    if pooling is None:
        return z
    y = {"token": z[0], "gap": z.mean(0), "map": None}[pooling]
    if pooling == "map":
        y = attention_pooling(z, under(w, "pooling"), approximate)
    if "pre_logits/kernel" in w:
        y = np.tanh(y @ w["pre_logits/kernel"] + w["pre_logits/bias"])
    return y @ w["head/kernel"] + w["head/bias"]


def attention_pooling(z, w, approximate):
    """One learned query attends to all tokens, then a residual MLP."""
    a = under(w, "attention")
    y = 0
    for h in range(a["query/kernel"].shape[1]):
        q = w["probe"][0] @ a["query/kernel"][:, h] + a["query/bias"][h]
        k = z @ a["key/kernel"][:, h] + a["key/bias"][h]
        v = z @ a["value/kernel"][:, h] + a["value/bias"][h]
        y = y + softmax(q @ k.T / math.sqrt(q.shape[-1])) @ v @ a["attention_output/kernel"][h]
    y = y + a["attention_output/bias"]
    return (y + mlp(norm(y, w, "norm"), under(w, "mlp"), approximate))[0]
