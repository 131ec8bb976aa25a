"""Views of a model as a whole: filters, positions, heads, and how tokens and layers compare."""

import numpy as np

from keras_vit import explain
from keras_vit.explain.views.record import PAPER, View

FEW = 64  # images; with fewer, CKA is a rough estimate


def _describe_heads(unit, digits):
    """Returns a function that describes each block: the range over its heads."""

    def describe(block, values):
        low, high, mean = (f"{x:.{digits}f}" for x in (values.min(), values.max(), values.mean()))
        return f"block {block}: {low} to {high} {unit}, mean {mean}"

    return lambda values, request: [describe(*block) for block in enumerate(values)]


def _compare_ends(unit):
    """Returns a function that compares the heads of the first and the last block."""

    def summary(values, request):
        first, last = (f"{row.min():.1f} to {row.max():.1f}" for row in (values[0], values[-1]))
        return f"First block: {first} {unit}; last block: {last} {unit}."

    return summary


def _count_tokens(encoder):
    return encoder.prefix_tokens + encoder.grid[0] * encoder.grid[1]


def _describe_norms(norms, request):
    patches = norms[:, :, request.encoder.prefix_tokens :]
    return [
        f"after {depth} blocks: median patch {np.median(z):.1f}, longest {z.max():.1f}"
        for depth, z in enumerate(patches)
    ]


def _summarize_norms(norms, request):
    last = norms[-1, :, request.encoder.prefix_tokens :]
    return f"Patches after the last block: median {np.median(last):.0f}, longest {last.max():.0f}."


def _second(r):
    """Returns the second model of CKA and its images, by default those of the first."""
    return r.options.get("other") or (r.model, r.images)


def _compare_layers(r):
    model, images = _second(r)
    pair = r.images if images is r.images else (r.images, images)
    return explain.cka(r.model, model, pair, **r.batch)


def _summarize_layers(result, r):
    few = " Few images: the values are rough." if len(r.images) < FEW else ""
    return f"{len(result.layers_a)} layers, {len(r.images)} images.{few}"


MODEL_VIEWS = (
    View(
        "embedding_filters",
        "Filters of the first layer",
        "which patterns of pixels the first layer distinguishes",
        "The principal components of all filters. After long training they resemble waves of low "
        "frequency, a basis for the structure within a patch; noise indicates little training.",
        "Each component has its own scale and sign. Higher layers are not shown.",
        "Figure 7, left",
        PAPER,
        compute=lambda r: explain.embedding_filters(r.model),
        plot=lambda filters, r: explain.plots.embedding_filters(filters),
        needs_images=False,
        summary=lambda filters, r: "The strongest component comes first; middle gray is 0.",
    ),
    View(
        "position_similarity",
        "Positions",
        "how similar the position embeddings of patches are",
        "The small map in row r, column c compares that patch with all patches. Bright rows, "
        "columns and neighbors mean that the model has learned the grid without being given it.",
        "It shows what is stored, not how attention uses it.",
        "Figure 7, center",
        PAPER,
        compute=lambda r: explain.position_similarity(r.model, **r.select("grid")),
        plot=lambda maps, r: explain.plots.position_similarity(maps),
        options=("grid",),
        needs_images=False,
        summary=lambda maps, r: "A grid of {} \u00d7 {} patches.".format(*maps.shape[:2]),
    ),
    View(
        "mean_attention_distance",
        "Attention distance",
        "how far each head looks, over the depth of the network",
        "Each dot is a head. Low dots attend to neighbors, like a small convolution; high dots to "
        "the whole image. In trained models the first blocks have both kinds.",
        "The distance is a mean: an even spread and a mix of near and far places can give the "
        "same value. In late blocks, a few background tokens that attract most of the attention "
        "raise it.",
        "Figure 7, right; Figure 11, Appendix D.7",
        PAPER,
        compute=lambda r: explain.mean_attention_distance(r.model, r.images),
        plot=lambda distances, r: explain.plots.mean_attention_distance(distances),
        lines=_describe_heads("pixels", 1),
        summary=_compare_ends("pixels"),
    ),
    View(
        "attention_entropy",
        "Attention entropy",
        "how widely each head spreads its attention",
        "The dotted line is uniform attention to all tokens. Low dots are heads that select a few "
        "tokens.",
        "It does not show which tokens they are, or how far away.",
        "entropy of the rows of Eq. 6",
        PAPER,
        compute=lambda r: explain.attention_entropy(r.model, r.images),
        plot=lambda entropies, r: explain.plots.attention_entropy(
            entropies, _count_tokens(r.encoder)
        ),
        lines=_describe_heads("nats", 2),
        summary=_compare_ends("nats"),
    ),
    View(
        "token_norms",
        "Length of tokens",
        "how long tokens are after each block",
        "All tokens should grow slowly. A few that are many times longer store global information "
        "about the image; they disturb attention maps.",
        "Length is not importance: the last layer normalization removes it.",
        "Darcet et al. 2023",
        "https://arxiv.org/abs/2309.16588",
        compute=lambda r: explain.token_norms(r.model, r.images, **r.batch),
        plot=lambda norms, r: explain.plots.token_norms(norms, r.encoder.prefix_tokens),
        lines=_describe_norms,
        summary=_summarize_norms,
    ),
    View(
        "cka",
        "Similarity of layers",
        "how similar the representations of layers are, of one model or of two",
        "Bright cells are pairs of layers that distinguish images in the same way. Within one "
        "model, bright blocks off the diagonal are layers that add little.",
        "It needs many images, preferably hundreds: with few, the values are rough estimates.",
        "Kornblith et al. 2019; Raghu et al. 2021 for Vision Transformers",
        "https://arxiv.org/abs/2108.08810",
        compute=_compare_layers,
        plot=lambda result, r: explain.plots.cka(result, models=(r.model.name, _second(r)[0].name)),
        lines=lambda result, r: (
            [f"{len(r.images)} images: hundreds are better"] * (len(r.images) < FEW)
        ),
        options=("other",),
        summary=_summarize_layers,
    ),
)
