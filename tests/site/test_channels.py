"""The model with a fourth channel of docs/howto/channels.md starts out as the published one."""

import documentation
import keras
import numpy as np
from helpers import ROOT, outputs, random_images

import keras_vit

PAGE = (ROOT / "docs" / "howto" / "channels.md").read_text(encoding="utf-8")


def test_a_new_channel_changes_nothing_at_first():
    code = documentation.blocks(PAGE)[-1][1].replace("ViT-Ti/16", "ViT-Mini/4")
    names = {"keras_vit": keras_vit, "keras": keras}
    exec(code, names)
    images = random_images(2, 32, 32, 4)
    old, new = (
        keras.Model(model.input, model.get_layer("encoder_norm").output)
        for model in (names["old"], names["new"])
    )
    np.testing.assert_allclose(
        outputs(new, images), outputs(old, images[..., :3]), rtol=1e-5, atol=1e-5
    )
