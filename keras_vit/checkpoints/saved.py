"""New sizes for models from files, and for models that were saved as a whole."""

from keras_vit import arguments, resizing
from keras_vit.checkpoints import catalogue, keras_file

SUFFIX = ".keras"


def load_resized(path, method, verbose, overrides):
    """Does what `load_pretrained` does for a model that was saved as a whole."""
    catalogue.check_source(path)
    saved = keras_file.load(path)
    model = resizing.rebuild(saved, method or "bilinear", **overrides)
    if verbose:
        sizes = (f"{one.input_shape[1:]} to {one.output_shape[1:]}" for one in (saved, model))
        kind = arguments.with_article(type(model).__name__)
        print(f"{path}: {kind}, {' resized to '.join(dict.fromkeys(sizes))}.")
    return model


def find_new_patches(own, wanted):
    """Returns the sizes of images and patches if patches are to have another one, otherwise {}."""
    names = ("image_size", "patch_size")
    if not all(name in own for name in names):
        return {}
    sizes = {name: arguments.height_width(name, wanted[name]) for name in names}
    arguments.divisible_image(*sizes.values())
    changed = sizes["patch_size"] != arguments.height_width("patch_size", own["patch_size"])
    return sizes if changed else {}
