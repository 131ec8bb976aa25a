"""Views of images: patches, maps of attention and of a class, tokens, predictions by depth."""

import numpy as np

from keras_vit import explain
from keras_vit.explain import captions
from keras_vit.explain.views.record import PAPER, View, draw_signed_map

MAPS = ("attention_rollout", "relevance", "grad_cam", "occlusion")  # for the deletion curve
ORDERS = {  # {name in the file of deletion curves: title}
    "rollout": "Attention rollout",
    "relevance": "Relevance",
    "grad_cam": "Grad-CAM",
    "occlusion": "Occlusion",
    "random_order": "Random order",
}


def _describe_patches(patches, request):
    _, rows, columns, height, width, _ = patches.shape
    return [f"{rows} x {columns} = {rows * columns} patches of {height} x {width} pixels"]


def _describe_maps(caption, of_class=False):
    """Returns a function that describes the map of each image: class, range, highest patch."""

    def lines(maps, request):
        labels = [""] * len(maps)
        if of_class:
            labels = [f" {request.name_class(number)}," for number in request.classes]
        return [
            f"{name}:{label} {caption(values)}, {captions.locate_highest(values)}"
            for name, label, values in zip(request.names, labels, maps, strict=True)
        ]

    return lines


def _plot_classes(name):
    """Returns a function that plots maps of classes."""

    def plot(maps, r):
        draw = getattr(explain.plots, name)
        return draw(maps, r.images, r.classes, r.names, r.class_names)

    return plot


def _delete(r):
    """Returns {name of the order: curves} for the computed maps and for a random order."""
    maps = {name: r.results[name] for name in MAPS if name in r.results} or _compute_maps(r)
    maps = {name.removeprefix("attention_"): values for name, values in maps.items()}
    shape = next(iter(maps.values())).shape
    maps["random_order"] = np.random.default_rng(0).random(shape)
    delete = explain.deletion_curve
    return {name: delete(r.model, r.images, x, r.classes, **r.batch) for name, x in maps.items()}


def _compute_maps(r):
    """Returns the maps to compare, without occlusion, which takes longest."""
    maps = {"grad_cam": explain.grad_cam(r.model, r.images, r.classes, **r.batch)}
    if explain.inside.find_encoder.has_attention(r.model):
        maps["relevance"] = explain.relevance(r.model, r.images, r.classes, **r.batch)
        maps["attention_rollout"] = explain.attention_rollout(r.model, r.images, **r.batch)
    return maps


def _list_areas(curves, request):
    listed = [f"{ORDERS[name]} {captions.mean_area(x):.2f}" for name, x in curves.items()]
    return f"Area under the mean curve: {', '.join(listed)}."


def _settle(logits):
    """Returns the final top class of each image, and the depth from which it stays on top."""
    top = explain.plots.to_probabilities(logits).argmax(-1)  # (layers + 1, batch)
    return top[-1], [captions.find_settling_depth(classes) for classes in top.T]


def _describe_depths(logits, request):
    blocks = len(logits) - 1
    return [
        f"{name}: {request.name_class(number)}, on top from block {depth} of {blocks} on"
        for name, number, depth in zip(request.names, *_settle(logits), strict=True)
    ]


def _plot_depths(logits, i, request):
    """Plots the logit lens of one image."""
    logits = logits[:, i : i + 1]
    _, (depth,) = _settle(logits)
    figure = explain.plots.logit_lens(logits, class_names=request.class_names)
    return figure, f"The final class is on top from block {depth} of {len(logits) - 1} on."


def _plot_similarity(maps, r):
    from keras_vit.explain.inside import find_encoder  # imports Keras

    is_token = find_encoder.find(r.model).reads_class_token
    return explain.plots.token_similarity(
        maps, r.images, r.options.get("token"), r.names, class_token=is_token
    )


def _find_nearest(r):
    titles, gallery = r.options["gallery"]
    return explain.nearest(r.model, r.images, gallery, min(5, len(titles)), **r.batch)


def _plot_nearest(result, r):
    titles, gallery = r.options["gallery"]
    return explain.plots.nearest(result, r.images, gallery, r.names, titles)


def _list_nearest(result, r):
    titles, _ = r.options["gallery"]
    lines = []
    for name, indices, cosines in zip(r.names, *result, strict=True):
        others = (f"{titles[i]} {c:.2f}" for i, c in zip(indices, cosines, strict=True))
        lines.append(f"{name}: {', '.join(others)}")
    return lines


IMAGE_VIEWS = (
    View(
        "patch_grid",
        "Patches",
        "the image cut into patches, each patch one token",
        "Read row by row, this is the sequence that the Transformer gets.",
        "All patches go through one linear map; it limits which details within a patch are kept.",
        "Figure 1 of the paper",
        PAPER,
        compute=lambda r: explain.patch_grid(r.model, r.images),
        plot=lambda patches, r: explain.plots.patch_grid(patches, r.names),
        lines=_describe_patches,
    ),
    View(
        "attention_scores",
        "Attention of the heads",
        "where one token looks, in every head of a block",
        "The token attends most to bright patches. Heads of one block often attend differently.",
        "Attention shows what is mixed, not what it is used for.",
        "Eq. 6 of the paper",
        PAPER,
        compute=lambda r: explain.attention_scores(r.model, r.images, **r.batch),
        plot=lambda scores, r: explain.plots.attention_scores(
            scores, r.images, r.options.get("block"), r.options.get("token"), names=r.names
        ),
        lines=lambda scores, r: [f"{len(scores)} blocks of {scores.stack().shape[2]} heads"],
        arrays=lambda scores, r: {"grid": scores.grid, "prefix_tokens": scores.prefix_tokens},
        options=("token", "block"),
    ),
    View(
        "attention_rollout",
        "Attention rollout",
        "which patches the output comes from, through all layers",
        "Heads are averaged, the residual connection counts one half, and the layers are "
        "multiplied. 1 × uniform is the value of every patch in a uniform map.",
        "The map is the same for every class, and follows attention regardless of its effect. "
        "Bright spots in a plain background are tokens that attract attention without showing an "
        "object (arXiv 2309.16588).",
        "Figures 6 and 14, Appendix D.8; Abnar and Zuidema 2020",
        "https://arxiv.org/abs/2005.00928",
        compute=lambda r: explain.attention_rollout(
            r.model, r.images, **r.select("token", "heads", "discard", "batch_size")
        ),
        plot=lambda maps, r: explain.plots.attention_rollout(maps, r.images, r.names),
        lines=_describe_maps(captions.format_times_even),
        options=("token", "heads", "discard"),
        caption=captions.format_times_even,
    ),
    View(
        "relevance",
        "Relevance",
        "which patches support the class, by attention and its gradients",
        "Like rollout, but attention counts only if more of it would raise the class.",
        "Gradients describe small changes only. The map shows evidence for the class, not "
        "against it.",
        "Chefer, Gur and Wolf 2021",
        "https://arxiv.org/abs/2103.15679",
        compute=lambda r: explain.relevance(r.model, r.images, r.classes, **r.batch),
        plot=_plot_classes("relevance"),
        lines=_describe_maps(captions.format_times_mean, of_class=True),
        options=("classes",),
        caption=captions.format_times_mean,
    ),
    View(
        "grad_cam",
        "Grad-CAM",
        "where the features are that raise the class",
        "The last features, weighted by the gradient of the class. It also works for convolutional "
        "networks, so both kinds of model can be compared.",
        "Designed for convolutions, whose features keep their positions. Tokens mix all positions, "
        "so the map of a Transformer is often scattered.",
        "Selvaraju et al. 2016",
        "https://arxiv.org/abs/1610.02391",
        compute=lambda r: explain.grad_cam(r.model, r.images, r.classes, **r.batch),
        plot=_plot_classes("grad_cam"),
        lines=_describe_maps(captions.format_times_mean, of_class=True),
        options=("classes",),
        caption=captions.format_times_mean,
    ),
    View(
        "occlusion",
        "Occlusion",
        "how far the probability of the class falls if a patch is covered",
        "Orange: without this patch the model is less sure of the class; violet: more sure. The "
        "model is tested from the outside, as a black box.",
        "Only one patch is covered at a time: if evidence appears in two places, the other one "
        "remains. A covered patch is itself something that the model did not see in training.",
        "Zeiler and Fergus 2013",
        "https://arxiv.org/abs/1311.2901",
        compute=lambda r: explain.occlusion(r.model, r.images, r.classes, **r.batch),
        plot=_plot_classes("occlusion"),
        lines=_describe_maps(captions.format_points, of_class=True),
        options=("classes",),
        caption=captions.format_points,
        panel=draw_signed_map,
    ),
    View(
        "deletion_curve",
        "Deletion",
        "how the probability of the class falls as the highest-ranked patches are deleted",
        "The faster it falls, the better the map found what the prediction depends on: a smaller "
        "area is better.",
        "Images with many deleted patches are unlike the training images. With few images the "
        "ranking of the maps is chance.",
        "Petsiuk, Das and Saenko 2018",
        "https://arxiv.org/abs/1806.07421",
        compute=_delete,
        plot=lambda curves, r: explain.plots.deletion_curve(
            {ORDERS[name]: values for name, values in curves.items()}
        ),
        lines=lambda curves, r: [
            f"{ORDERS[name]}: area {captions.mean_area(x):.3f}" for name, x in curves.items()
        ],
        options=("classes",),
        summary=_list_areas,
    ),
    View(
        "token_similarity",
        "Similarity to a token",
        "how similar all patch tokens are to one token",
        "Tokens of bright patches are similar to that of the framed patch, to the class token, or "
        "to the mean of all patches in a model that pools them.",
        "Cosines compare directions, not how much a direction matters to the class.",
        "cosine of the last tokens, Eq. 4",
        PAPER,
        compute=lambda r: explain.token_similarity(
            r.model, r.images, r.options.get("token"), **r.layer, **r.batch
        ),
        plot=_plot_similarity,
        lines=_describe_maps(captions.format_cosines),
        options=("token", "block"),
    ),
    View(
        "token_colors",
        "Tokens as colors",
        "patches whose tokens are similar have the same color",
        "Red, green and blue are the three directions in which the tokens differ most. Parts of an "
        "object should share a color.",
        "Only three of hundreds of directions. Colors are comparable within one call only, and "
        "color-blind readers cannot distinguish some of them.",
        "as in the figures of DINOv2, Oquab et al. 2023",
        "https://arxiv.org/abs/2304.07193",
        compute=lambda r: explain.token_colors(r.model, r.images, **r.layer, **r.batch),
        plot=lambda colors, r: explain.plots.token_colors(colors, r.images, r.names),
        options=("block",),
        caption=lambda colors: "similar tokens have the same color",
        panel=lambda axes, image, colors: explain.plots.drawing.draw_colors(axes, image, colors),
    ),
    View(
        "logit_lens",
        "Logit lens",
        "what the model would predict if it stopped after fewer blocks",
        "Each line is a class. The model decides at the depth at which a line rises.",
        "The head was trained for the last block only; earlier blocks were not trained to feed it.",
        "Vilas et al. 2023, for Vision Transformers",
        "https://arxiv.org/abs/2310.18969",
        compute=lambda r: explain.logit_lens(r.model, r.images, **r.batch),
        plot=lambda logits, r: explain.plots.logit_lens(logits, r.images, r.names, r.class_names),
        lines=_describe_depths,
        detail=_plot_depths,
    ),
    View(
        "nearest",
        "Nearest images",
        "the images of a gallery with the most similar representations",
        "Neighbors show what the representation encodes: kind, color, pose or background.",
        "There is always a nearest image, however different: check the cosines.",
        "cosine of the representations y, Eq. 4",
        PAPER,
        compute=_find_nearest,
        plot=_plot_nearest,
        lines=_list_nearest,
        options=("gallery",),
    ),
)
