"""Checks of chapter 4, A ViT in 80 lines."""

from check import Unwritten, call, close, expect, numbers
from keras.layers import Lambda
from keras.ops import convert_to_numpy, convert_to_tensor


def Block(answer):
    block = answer(4, 2, 5)
    parts = {"norm_1": lambda x: x + 1, "attention": lambda x: 2 * x}
    parts |= {"norm_2": lambda x: x - 3, "mlp": lambda x: x**2}
    for name, function in parts.items():
        setattr(block, name, Lambda(function))
    z = numbers(1, 3, 4)
    try:
        result = call(block.call, convert_to_tensor(z))
    except NotImplementedError:
        raise Unwritten from None
    middle = 2 * (z + 1) + z
    hint = "Eq. 2, then Eq. 3: each half normalizes first, and adds what it was given, not what "
    close(convert_to_numpy(result), (middle - 3) ** 2 + middle, f"{hint}it has normalized.")


def count_parameters(answer):
    published = {"ViT-Ti/16": (12, 192, 768, 5_717_416), "ViT-B/16": (12, 768, 3072, 86_567_656)}
    for name, (L, D, mlp_dim, expected) in published.items():
        count = call(answer, L, D, mlp_dim)
        advice = "Did you count biases, both numbers of each LN, and the 197 positions?"
        expect(count == expected, f"{name} has {expected:,} parameters, not {count:,}. {advice}")
