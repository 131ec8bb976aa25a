"""Checks of chapter 4, A ViT in 80 lines."""

from check import Unwritten, call, close, expect, numbers


def Block(answer):
    block = answer(4, 2, 5)
    block.attention, block.mlp = (lambda x: 2 * x), (lambda x: x**2)
    block.norm_1, block.norm_2 = (lambda x: x + 1), (lambda x: x - 3)
    z = numbers(1, 3, 4)
    try:
        result = call(block.call, z)
    except NotImplementedError:
        raise Unwritten from None
    middle = 2 * (z + 1) + z
    hint = "Eq. 2, then Eq. 3: each half normalizes first, and adds what it was given, not what "
    close(result, (middle - 3) ** 2 + middle, f"{hint}it has normalized.")


def count_parameters(answer):
    published = {"ViT-Ti/16": (12, 192, 768, 5_717_416), "ViT-B/16": (12, 768, 3072, 86_567_656)}
    for name, (L, D, mlp_dim, expected) in published.items():
        count = call(answer, L, D, mlp_dim)
        advice = "Did you count biases, both numbers of each LN, and the 197 positions?"
        expect(count == expected, f"{name} has {expected:,} parameters, not {count:,}. {advice}")
