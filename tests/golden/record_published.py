"""Records `published.npz`: logits of timm's, Hugging Face's and Google's code, seeded weights.

Needs torch, torchvision, timm (1.0.31), transformers (5.23.0), jax, flax, ml_collections, scipy,
and https://github.com/google-research/vision_transformer (commit c6de1e5) on PYTHONPATH;
run: python tests/golden/record_published.py
Models keep the width of their names; DEPTH blocks and SIZE pixels keep the test quick. PyTorch
computes in float64, so that all differences are ours. "resized" are models for LARGER pixels
whose positions come from those of SIZE by the source's own code.
"""

import pathlib
import tempfile

import flax
import jax
import numpy as np
import safetensors.numpy
import seeded
import timm
import torch
import transformers
from timm.models.vision_transformer import checkpoint_filter_fn
from vit_jax import checkpoint, models_vit
from vit_jax.configs import models

DEPTH, SIZE, LARGER, CLASSES = 2, 64, 96, 7
TIMM = {
    "ViT-S/16": "vit_small_patch16_224",
    "ViT-B/32": "vit_base_patch32_224",
    "ViT-Ti/16 distilled": "deit_tiny_distilled_patch16_224",
    "R+ViT-Ti/16": "vit_tiny_r_s16_p8_224",
    "R26+ViT-S/32": "vit_small_r26_s32_224",
}


def filled(model):
    """A model of PyTorch with seeded weights."""
    state = {
        name: torch.from_numpy(seeded.torch_weight(name, tuple(tensor.shape)))
        for name, tensor in model.state_dict().items()
    }
    model.load_state_dict(state)
    return model.double().eval()


def torch_images(size):
    images = seeded.normalized(seeded.make_images(size, size))
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


def timm_model(name, size):
    return timm.create_model(TIMM[name], img_size=size, depth=DEPTH, num_classes=CLASSES)


def timm_logits(name):
    return filled(timm_model(name, SIZE))(torch_images(SIZE)).numpy()


def timm_resized(name):
    model = timm_model(name, LARGER).double().eval()
    model.load_state_dict(checkpoint_filter_fn(filled(timm_model(name, SIZE)).state_dict(), model))
    return model(torch_images(LARGER)).numpy()


def hugging_face_logits(config, kind):
    """The names in its files are those of `save_pretrained`, not those in memory."""
    model = kind(config)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        with safetensors.safe_open(f"{folder}/model.safetensors", "np") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}
        weights = {name: seeded.torch_weight(name, shape) for name, shape in shapes.items()}
        safetensors.numpy.save_file(weights, f"{folder}/model.safetensors", {"format": "pt"})
        model = kind.from_pretrained(folder).double().eval()
    return model(torch_images(SIZE)).logits.numpy()


def hugging_face_config(kind, **options):
    return kind(
        hidden_size=192, num_hidden_layers=DEPTH, num_attention_heads=3, intermediate_size=768,
        image_size=SIZE, patch_size=16, num_labels=CLASSES, **options,
    )  # fmt: skip


def flax_logits(size):
    """Google's ViT-S/16; for another size than SIZE by way of its `interpolate_posembed`."""
    config = models.get_s16_config()
    config.transformer.num_layers = DEPTH
    model = models_vit.VisionTransformer(num_classes=CLASSES, **config)
    shapes = jax.eval_shape(
        lambda: model.init(jax.random.PRNGKey(0), np.zeros((1, SIZE, SIZE, 3)), train=False)
    )
    flat = flax.traverse_util.flatten_dict(shapes["params"], sep="/")
    flat = {name: seeded.weight(name, leaf.shape) for name, leaf in flat.items()}
    name = "Transformer/posembed_input/pos_embedding"
    flat[name] = np.asarray(
        checkpoint.interpolate_posembed(flat[name], (size // 16) ** 2 + 1, has_class_token=True)
    )
    images = seeded.normalized(seeded.make_images(size, size)).astype("float32")
    parameters = flax.traverse_util.unflatten_dict(flat, sep="/")
    return model.apply({"params": parameters}, images, train=False)


@torch.no_grad()
def main():
    deit = transformers.DeiTForImageClassificationWithTeacher
    recorded = {f"timm {name}": timm_logits(name) for name in TIMM}
    recorded["timm ViT-S/16 resized"] = timm_resized("ViT-S/16")
    recorded["huggingface ViT-Ti/16"] = hugging_face_logits(
        hugging_face_config(transformers.ViTConfig, hidden_act="gelu_new", layer_norm_eps=1e-3),
        transformers.ViTForImageClassification,
    )
    recorded["huggingface ViT-Ti/16 distilled"] = hugging_face_logits(
        hugging_face_config(transformers.DeiTConfig), deit
    )
    recorded["google ViT-S/16"] = flax_logits(SIZE)
    recorded["google ViT-S/16 resized"] = flax_logits(LARGER)
    for key, value in recorded.items():
        print(key, value.shape, np.std(value))
    np.savez_compressed(pathlib.Path(__file__).with_name("published.npz"), **recorded)


if __name__ == "__main__":
    main()
