"""Checks of chapter 3, Attention."""

import numpy as np
from check import call, close, expect, numbers


def softmax(answer):
    x = numbers(2, 3, 5)
    expected = np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)
    close(call(answer, x), expected, "Each row, along the last axis, must sum to 1.")
    with np.errstate(all="ignore"):
        large = call(answer, np.array([[1000.0, 1000.0]]))
    expect(np.isfinite(large).all(), "exp(1000) overflows: subtract the largest number first.")


def attend(answer):
    q, k, v = (numbers(3, 8), numbers(5, 8, seed=1), numbers(5, 2, seed=2))
    products = np.exp(q @ k.T / np.sqrt(8))
    A = products / products.sum(axis=1, keepdims=True)
    result = call(answer, q, k, v)
    expect(isinstance(result, tuple) and len(result) == 2, "Return both: the output, and A.")
    hint = "Row i of A belongs to query i. Is the product divided by the root of d, here 8?"
    close(result[1], A, hint)
    close(result[0], A @ v, "A is right. The output is the mean of the values, weighted by A.")


def multi_head(answer):
    z, heads, D = numbers(5, 6), 3, 6
    U_qkv, b_qkv = numbers(D, 3 * D, seed=1), numbers(3 * D, seed=2)
    U_msa, b_msa = numbers(D, D, seed=3), numbers(D, seed=4)
    q, k, v = (z @ U_qkv + b_qkv).reshape(5, 3, heads, 2).transpose(1, 2, 0, 3)
    A = np.exp(q @ k.transpose(0, 2, 1) / np.sqrt(2))
    A /= A.sum(axis=-1, keepdims=True)
    expected = (A @ v).transpose(1, 0, 2).reshape(5, D) @ U_msa + b_msa
    hint = "Head h takes columns h d to (h + 1) d of q, of k and of v, with d = D / heads. The "
    hint += "outputs of the heads are joined along the last axis before U_msa."
    close(call(answer, z, U_qkv, b_qkv, U_msa, b_msa, heads), expected, hint)
