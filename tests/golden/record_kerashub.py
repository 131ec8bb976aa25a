"""Records `kerashub.npz`: outputs of KerasHub's own code with seeded weights.

Needs keras-hub (0.32.0) and jax; run:

    KERAS_BACKEND=jax python tests/golden/record_kerashub.py

For each preset: the JSON files in its folder, the names and shapes in its .weights.h5 files, and
its output for two images of pixels 0 to 255. Models are narrow and have 2 blocks.
"""

import json
import pathlib
import tempfile

import h5py
import keras
import keras_hub
import numpy as np
import seeded

models = keras_hub.models
SHAPE = {"num_layers": 2, "num_heads": 3, "hidden_dim": 24, "patch_size": 14}
SQUARE = SHAPE | {"image_shape": (56, 56, 3)}
DINO = SQUARE | {"intermediate_dim": 64}
AT_56 = {"position_embedding_shape": (56, 56, 3)}
WIDE = {"image_shape": (42, 70, 3)}
PIXELS = {"image_size": (56, 56), "scale": [1 / 50, 1 / 60, 1 / 70], "offset": [-2.0, -1.5, -1.0]}


def classifier(kind, backbone, converter, **options):
    """Returns a classifier with its preprocessor."""
    preprocessor = kind.preprocessor_cls(image_converter=converter)
    return kind(backbone, 5, preprocessor=preprocessor, **options)


def vit(**options):
    return models.ViTBackbone(mlp_dim=64, **SHAPE | {"layer_norm_epsilon": 1e-5} | options)


def siglip():
    vision = models.SigLIPVisionEncoder(**DINO)
    text = models.SigLIPTextEncoder(9, 24, 24, 1, 2, 8, max_sequence_length=7)
    return models.SigLIPBackbone(vision, text)


ROWS = {
    "vit": lambda: vit(**WIDE),
    "vit classifier": lambda: classifier(
        models.ViTImageClassifier,
        vit(**WIDE),
        keras_hub.layers.ViTImageConverter(**PIXELS),
        activation="softmax",
    ),
    "vit classifier with a tanh layer": lambda: classifier(
        models.ViTImageClassifier,
        vit(image_shape=(56, 56, 3)),
        keras_hub.layers.ViTImageConverter(**PIXELS | {"scale": 1 / 50, "offset": -2.0}),
        intermediate_dim=7,
    ),
    "vit classifier, gap": lambda: classifier(
        models.ViTImageClassifier,
        vit(image_shape=(56, 56, 3), use_class_token=False),
        keras_hub.layers.ViTImageConverter(**PIXELS),
        pooling="gap",
    ),
    "deit classifier": lambda: classifier(
        models.DeiTImageClassifier,
        models.DeiTBackbone(**DINO | WIDE),
        keras_hub.layers.DeiTImageConverter(**PIXELS),
    ),
    "siglip, vision": lambda: models.SigLIPVisionEncoder(**DINO),
    "siglip, with text": siglip,
    "dinov2": lambda: models.DINOV2Backbone(**DINO | AT_56),
    "dinov2 registers": lambda: models.DINOV2Backbone(
        **DINO | AT_56 | {"num_register_tokens": 4, "use_mask_token": False}
    ),
    "dinov2 gated": lambda: models.DINOV2Backbone(**DINO | AT_56 | {"use_swiglu_ffn": True}),
    "dinov3": lambda: models.DINOV3Backbone(**DINO | WIDE),
    "dinov3 gated": lambda: models.DINOV3Backbone(
        **DINO,
        use_gated_mlp=True,
        hidden_activation="silu",
        use_key_bias=False,
        rope_theta=50.0,
        num_register_tokens=2,
    ),
}


def fill(path):
    """Fills the tensors of a .weights.h5 file with seeded values; returns their shapes."""
    shapes = {}
    with h5py.File(path, "r+") as file:
        file.visititems(lambda name, item: shapes.update({name: getattr(item, "shape", None)}))
        shapes = {name: shape for name, shape in shapes.items() if shape is not None}
        shapes = {name: s for name, s in shapes.items() if file[name].dtype == "float32" and s}
        for name, value in seeded.kerashub_weights(shapes).items():
            file[name][...] = value
    return shapes


def compute(model, images):
    """Logits, an embedding, or tokens."""
    if isinstance(model, models.SigLIPBackbone):
        return model.get_vision_embeddings(images)
    name = getattr(model, "input_names", None) or list(getattr(model.input, "keys", list)())
    return model({name[0]: images} if isinstance(model.input, dict) else images)


def main():
    recorded = {}
    for case, build in ROWS.items():
        with tempfile.TemporaryDirectory() as folder:
            keras.backend.clear_session()
            model = build()
            kind = type(model)
            model.save_to_preset(folder)
            folder = pathlib.Path(folder)
            shapes = {path.name: fill(path) for path in sorted(folder.glob("*.h5"))}
            names = ("config.json", "task.json", "image_converter.json")
            texts = {name: folder / name for name in names if (folder / name).exists()}
            texts = {name: json.loads(path.read_text()) for name, path in texts.items()}
            model = kind.from_preset(str(folder))
            backbone = getattr(model, "backbone", model)
            vision = getattr(backbone, "vision_encoder", backbone)
            images = seeded.make_images(*vision.image_shape[:2])
            if getattr(model, "preprocessor", None):
                converter = model.preprocessor.image_converter
                images = images * np.asarray(converter.scale) + np.asarray(converter.offset)
            output = np.asarray(compute(model, keras.ops.cast(images, "float32")))
        recorded[f"{case}/file"] = json.dumps({"shapes": shapes, "texts": texts})
        recorded[f"{case}/output"] = output.astype("float32")
        print(case, output.shape, np.std(output))
    np.savez_compressed(pathlib.Path(__file__).with_name("kerashub.npz"), **recorded)


if __name__ == "__main__":
    main()
