"""A Vision Transformer made of keras_vit's layers, which are Keras layers."""

import keras_vit

# isort: split
import keras


def build(image_size, patch_size, num_layers, hidden_dim, mlp_dim, num_heads, num_classes):
    """Returns the model: images (B, image_size, image_size, 3) in, logits out."""
    images = keras.Input((image_size, image_size, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1)(images)
    x = keras_vit.Patches(patch_size)(x)  # (B, N, PPC)
    z = keras_vit.PatchEncoder(hidden_dim)(x)  # (B, N + 1, D), Eq. 1
    for _ in range(num_layers):
        z = keras_vit.TransformerBlock(num_heads, mlp_dim, approximate=True)(z)  # Eq. 2, 3
    y = keras_vit.LayerNorm()(z)[:, 0]  # (B, D), Eq. 4
    return keras.Model(images, keras.layers.Dense(num_classes)(y))
