"""What each view shows, how it is read, who described it, and what it does not tell."""

from typing import NamedTuple


class View(NamedTuple):
    """The words of one view.

    Attributes:
        title: its name for readers.
        shows: what is seen, in one line.
        reading: how it is read.
        limits: what it does not tell.
        source: who described it.
        link: page of that source; "" for none.
    """

    title: str
    shows: str
    reading: str
    limits: str
    source: str
    link: str = ""


PAPER = "https://arxiv.org/abs/2010.11929"

# In the order of `keras-vit explain --list`.
VIEWS = {
    "patch_grid": View(
        "Patches",
        "the image as the model cuts it, each patch one token",
        "Read row by row this is the sequence that the Transformer gets.",
        "Within a patch the model has one linear map; finer structure is seen through it alone.",
        "Figure 1 of the paper",
        PAPER,
    ),
    "attention_scores": View(
        "Attention of the heads",
        "where one token looks, in every head of a block",
        "Bright patches give most to the token. Heads of one block often look at different things.",
        "Attention says what is mixed, not what it is used for.",
        "Eq. 6 of the paper",
        PAPER,
    ),
    "attention_rollout": View(
        "Attention rollout",
        "from which patches the model's output came, through all layers",
        "Heads are averaged, the input of each layer is counted half, and the layers are "
        "multiplied. 1 × even is what every patch would get if all got the same.",
        "It is the same for every class, and follows attention without asking what it does. Bright "
        "spots in even corners are tokens that the model uses as its memory.",
        "Figures 6 and 14, Appendix D.8; Abnar and Zuidema 2020",
        "https://arxiv.org/abs/2005.00928",
    ),
    "relevance": View(
        "Relevance",
        "which patches spoke for the class, by attention and its gradients",
        "As rollout, but attention counts only where more of it would raise the class.",
        "Gradients hold for small changes. It tells what spoke for the class, not what against it.",
        "Chefer, Gur and Wolf 2021",
        "https://arxiv.org/abs/2103.15679",
    ),
    "grad_cam": View(
        "Grad-CAM",
        "where the features lie that raise the class",
        "The last features, weighted by the class's gradient. It works for convolutional networks, "
        "too, so both kinds can be compared.",
        "Made for convolutions, whose features stay in their places. Tokens mix all places, so on "
        "a Transformer it is often scattered.",
        "Selvaraju et al. 2016",
        "https://arxiv.org/abs/1610.02391",
    ),
    "occlusion": View(
        "Occlusion",
        "how far the class's probability falls where a patch is covered",
        "Orange: without this part the model is less sure of the class; violet: more sure. It "
        "looks at the model from outside, by trying.",
        "One patch at a time: what stands in the image twice is not missed. A covered patch is "
        "itself something that the model has not seen in training.",
        "Zeiler and Fergus 2013",
        "https://arxiv.org/abs/1311.2901",
    ),
    "deletion_curve": View(
        "Deletion",
        "how the class's probability falls as the highest-ranked patches are removed",
        "The faster it falls, the better a map found what the class hangs on: the smaller area is "
        "the better one.",
        "Images with many patches removed are unlike all that the model was trained on. With few "
        "images the order of the maps is chance.",
        "Petsiuk, Das and Saenko 2018",
        "https://arxiv.org/abs/1806.07421",
    ),
    "token_similarity": View(
        "Similarity to a token",
        "how similar the tokens of all patches are to one of them",
        "Bright patches hold nearly the same as the framed one, or as the class token.",
        "Cosines compare directions; how much a direction matters to the class is not in them.",
        "cosine of the last tokens, Eq. 4",
        PAPER,
    ),
    "token_colors": View(
        "Tokens as colours",
        "tokens that hold the same have the same colour",
        "Red, green and blue are the three directions in which the tokens differ most. Parts of "
        "one thing should share a colour.",
        "Three of some hundred directions. Colours mean the same within one call, not beyond it, "
        "and colour-blind readers will not tell some of them apart.",
        "as in the figures of DINOv2, Oquab et al. 2023",
        "https://arxiv.org/abs/2304.07193",
    ),
    "logit_lens": View(
        "Logit lens",
        "what the model would say if it stopped after fewer blocks",
        "Each line is a class. Where a line rises, the model has made up its mind.",
        "The head was trained for the last block alone: early on it reads what was not written "
        "for it.",
        "Vilas et al. 2023, for Vision Transformers",
        "https://arxiv.org/abs/2310.18969",
    ),
    "nearest": View(
        "Nearest images",
        "images of a gallery that the model finds most alike",
        "Neighbours show what the representation keeps: kind, colour, pose or ground.",
        "There is always a nearest one, however unlike: look at the cosines.",
        "cosine of the representations y, Eq. 4",
        PAPER,
    ),
    "embedding_filters": View(
        "Filters of the first layer",
        "what patterns of pixels the first layer tells apart",
        "The principal components of all filters. After long training they look like waves of low "
        "frequency, a basis for the structure within a patch; noise means little training.",
        "Each component has a scale and a sign of its own; they say nothing of the layers above.",
        "Figure 7, left",
        PAPER,
    ),
    "position_similarity": View(
        "Positions",
        "how similar the position embeddings of patches are",
        "The small map in row r, column c compares that patch with all. Bright rows, columns and "
        "neighbours mean that the model has learned the grid, which nobody told it.",
        "It shows what is stored, not how attention uses it.",
        "Figure 7, centre",
        PAPER,
    ),
    "mean_attention_distance": View(
        "Attention distance",
        "how far each head looks, over the depth of the network",
        "Each dot is a head. Low dots look at neighbours, like a small convolution; high ones at "
        "the whole image. In trained models the first blocks have both kinds.",
        "A mean: one distance may stand for an even spread or for two places. Tokens used as "
        "memory, often in corners, raise it in late blocks.",
        "Figure 7, right; Figure 11, Appendix D.7",
        PAPER,
    ),
    "attention_entropy": View(
        "Attention entropy",
        "how widely each head spreads its attention",
        "The dotted line is the same attention to all tokens. Low dots are heads that pick out a "
        "few tokens.",
        "It does not say which tokens, or how far away they are.",
        "entropy of the rows of Eq. 6",
        PAPER,
    ),
    "token_norms": View(
        "Length of tokens",
        "how long tokens are after each block",
        "All should grow slowly. A few that are many times longer hold what the model keeps of "
        "the whole image; they disturb maps of attention.",
        "Length is not weight: the last layer normalisation takes it away again.",
        "Darcet et al. 2023",
        "https://arxiv.org/abs/2309.16588",
    ),
    "cka": View(
        "Similarity of layers",
        "how alike the representations of layers are, of one model or of two",
        "Bright fields are layers that tell images apart in the same way. Within one model, "
        "blocks off the diagonal that are bright add little of their own.",
        "It takes many images, better hundreds: with few the values are rough.",
        "Kornblith et al. 2019; Raghu et al. 2021 for Vision Transformers",
        "https://arxiv.org/abs/2108.08810",
    ),
}
