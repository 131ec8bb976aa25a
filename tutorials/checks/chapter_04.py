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
    hint = f"`call` returns one tensor, of the shape of z. Received: {type(result).__name__}."
    expect(hasattr(result, "shape"), hint)
    middle = 2 * (z + 1) + z
    hint = "Eq. 2, then Eq. 3: each half normalizes first, and adds what it was given, not what "
    close(convert_to_numpy(result), (middle - 3) ** 2 + middle, f"{hint}it has normalized.")


def count_parameters(answer):
    for name, *sizes, expected in (
        ("ViT-Ti/16", 12, 192, 768, 5_717_416),
        ("ViT-B/16", 12, 768, 3072, 86_567_656),
        ("ViT-L/16", 24, 1024, 4096, 304_326_632),
        ("a ViT with L = 2, D = 8 and mlp_dim = 20", 2, 8, 20, 18_088),
    ):
        advice = "Did you count biases, both numbers of each LN, and the 197 positions?"
        hint = f"{name} has {expected:,} parameters. {advice}"
        close(call(answer, *sizes), expected, hint, 0)
