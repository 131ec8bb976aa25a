"""Checks of chapter 3, Attention."""

import numpy as np
from check import call, close, expect, numbers


def softmax(answer):
    x = numbers(2, 3, 5)
    expected = np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)
    close(call(answer, x), expected, "Each row, along the last axis, must sum to 1.")
    with np.errstate(all="ignore"):
        large = call(answer, np.array([[1000.0, 999], [0, 1]]))
    more, less = 1 / (1 + np.exp([-1, 1]))
    hint = "exp(1000) overflows: subtract from each row its own largest number first."
    close(large, [[more, less], [less, more]], f"For [[1000, 999], [0, 1]]: {hint}")


def attend(answer):
    for n, m, d, e in ((3, 5, 8, 2), (2, 6, 4, 3)):
        q, k, v = (numbers(n, d), numbers(m, d, seed=1), numbers(m, e, seed=2))
        products = np.exp(q @ k.T / np.sqrt(d))
        A = products / products.sum(axis=1, keepdims=True)
        result = call(answer, q, k, v)
        both = isinstance(result, (tuple, list)) and len(result) == 2
        expect(both, "Return both: the output, and A.")
        hint = "Row i of A belongs to query i. Is q k^T divided by the root of d, the length of "
        close(result[1], A, f"{hint}a query?")
        close(result[0], A @ v, "A is right. The output is the mean of the values, weighted by A.")


def multi_head(answer):
    columns = "Each head takes its own D / heads columns of q, of k and of v. The outputs of the "
    columns += "heads are joined along the last axis before U_msa."
    biases = "It is right without biases: are both b_qkv and b_msa added?"
    fixed = "It is right for 3 heads, but not for 2: is the number written in the function?"
    for heads, scale, hint in ((3, 0, columns), (3, 1, biases), (2, 1, fixed)):
        z, D = numbers(5, 6), 6
        U_qkv, b_qkv = numbers(D, 3 * D, seed=1), scale * numbers(3 * D, seed=2)
        U_msa, b_msa = numbers(D, D, seed=3), scale * numbers(D, seed=4)
        q, k, v = (z @ U_qkv + b_qkv).reshape(5, 3, heads, -1).transpose(1, 2, 0, 3)
        A = np.exp(q @ k.transpose(0, 2, 1) / np.sqrt(D // heads))
        A /= A.sum(axis=-1, keepdims=True)
        expected = (A @ v).transpose(1, 0, 2).reshape(5, D) @ U_msa + b_msa
        close(call(answer, z, U_qkv, b_qkv, U_msa, b_msa, heads), expected, hint)
