"""Makes the tables of the model zoo's page from the catalog, so they are always current."""

import collections

HEAD = "| {} |\n|---|--:|--:|--:|--:|---|---|\n"
COLUMNS = ("name", "pixels", "classes", "parameters", "top-1, %", "file", "licence")

# family: title, description
FAMILIES = {
    "augreg": (
        "AugReg",
        '"How to train your ViT?", [arXiv 2106.10270](https://arxiv.org/abs/2106.10270): '
        "ImageNet-21k (`i21k`), then fine-tuned on ImageNet (`ft`). Begin with these.",
    ),
    "original": (
        "The paper's own",
        "[arXiv 2010.11929](https://arxiv.org/abs/2010.11929): ImageNet-21k, then fine-tuned on "
        "ImageNet. Files that are not fine-tuned have a head of zeros: use them for features.",
    ),
    "sam": (
        "SAM",
        "Trained on ImageNet only, with sharpness-aware minimization, "
        "[arXiv 2106.01548](https://arxiv.org/abs/2106.01548).",
    ),
    "augreg2": ("AugReg, second", "AugReg's weights, fine-tuned again by the author of timm."),
    "deit": (
        "DeiT",
        "[arXiv 2012.12877](https://arxiv.org/abs/2012.12877), trained on ImageNet only; "
        "distilled models have a second token.",
    ),
    "huggingface": (
        "Under Hugging Face's names",
        "The paper's own weights as safetensors, and ViT-hybrid.",
    ),
    "bit": (
        "BiT",
        "The paper's ResNets, [arXiv 1912.11370](https://arxiv.org/abs/1912.11370). `m`: "
        "ImageNet-21k, `s`: ImageNet only; `distilled` and `teacher`: "
        "[arXiv 2106.05237](https://arxiv.org/abs/2106.05237).",
    ),
    "keras-vit": ("Ours", "Trained by us from scratch, without other data. No download."),
}


SHORT = """
The name of a variant selects one file: fine-tuned, and at 224 pixels if there is one.
`keras_vit.load_pretrained("ViT-S/16")` is all it takes. The smallest models come first.
"""

EVERY = """
`keras_vit.load_pretrained` accepts each of these names. A star marks those with a short name.
"""

WITHOUT = """
`keras_vit.create` builds these with random weights, and any other patch size, such as `"ViT-S/4"`.
The catalog has no published weights for them. Hybrids and ResNets list the units of each stage.
"""


def text():
    """Returns the page's tables as Markdown: short names, every file, variants without weights."""
    import keras_vit

    entries = list(keras_vit.checkpoints.entries().values())
    short = sorted((entry for entry in entries if entry.recommended), key=_parameters)
    known = {entry.variant for entry in entries}
    without = {name: it for name, it in keras_vit.list_variants().items() if name not in known}
    parts = ["## Short names", SHORT, _table(short, lambda entry: entry.variant)]
    parts += ["## Every file", EVERY, *_families(entries)]
    return "\n".join([*parts, "## Without weights", WITHOUT, _shapes(without)])


def _families(entries):
    groups = collections.defaultdict(list)
    for entry in entries:
        groups[_family(entry)].append(entry)
    for family, members in groups.items():
        title, words = FAMILIES.get(family, (family, ""))
        yield f"### {title}\n\n{words}\n"
        yield _table(members, lambda entry: entry.name, star=True)


def _family(entry):
    from keras_vit.checkpoints.catalogue import published

    training = entry.name.removeprefix(f"{entry.variant}-")
    return next(family for family in published.FAMILIES if training.startswith(f"{family}-"))


def _table(entries, name, star=False):
    rows = [_row(entry, name(entry), star) for entry in entries]
    return _scrolling(HEAD.format(" | ".join(COLUMNS)) + "".join(rows))


def _row(entry, name, star):
    mark = " ★" if star and entry.recommended else ""
    told = f"{entry.accuracy:.2f} ({entry.accuracy_source})" if entry.accuracy else "–"
    cells = (
        f"`{name}`{mark}", entry.image_size or "–", f"{entry.num_classes:,}",
        _millions(_parameters(entry)), told, _file(entry), entry.licence,
    )  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |\n"


def _parameters(entry):
    """Counts the weights of the model in a file, including its head."""
    from keras_vit import accounting
    from keras_vit.variants import parse

    shape, classes = parse(entry.variant), entry.num_classes
    parameters = shape.parameters or accounting.count(entry.variant).parameters
    if hasattr(shape, "width"):  # a ResNet
        return parameters + (classes - 1000) * (2048 * shape.width + 1)
    tokens = (entry.image_size // shape.patch_size) ** 2 - (224 // shape.patch_size) ** 2
    parameters += tokens * shape.hidden_dim + (classes - 1000) * (shape.hidden_dim + 1)
    if "-deit-distilled-" in entry.name:  # a token, its position, and its half of the head
        parameters += (2 + classes) * shape.hidden_dim
    return parameters + (entry.representation_size or 0) * (shape.hidden_dim + 1)


def _file(entry):
    words = ", ".join(filter(None, [entry.address.rpartition(".")[2], entry.size]))
    return f"[{words}]({entry.address})" if "://" in entry.address else f"{words}, in the package"


def _shapes(variants):
    head = "| name | layers, width, MLP, heads | units, width | parameters |\n|---|---|---|--:|\n"
    return _scrolling(head + "".join(_shape(*item) for item in variants.items()))


def _shape(name, variant):
    if hasattr(variant, "width"):  # a ResNet
        encoder, units = "–", f"{_series(variant.units)}; x {variant.width}"
    else:
        encoder = _series(variant[:4])
        stages = getattr(variant, "resnet_units", None)
        units = "–" if stages is None else _series(stages)
    return f"| `{name}` | {encoder} | {units} | {_millions(variant.parameters)} |\n"


def _series(numbers):
    return ", ".join(f"{number:,}" for number in numbers)


def _millions(parameters):
    return f"{parameters / 1e6:,.{1 if parameters >= 1e6 else 2}f} M"


def _scrolling(table):
    return f'<div class="zoo" markdown>\n\n{table}\n</div>\n'
