"""Published recipes as data: the paper's Tables 3 and 4, and AugReg's recommendations.

The numbers are as printed; `Recipe.scale` scales them to a dataset. Weight decay is
relative to the learning rate, as in Keras's AdamW.
"""

from typing import NamedTuple


class PreTraining(NamedTuple):
    """A row of Table 3: models, dataset and how they are trained on it."""

    models: tuple  # names as in the paper, one for each patch size
    dataset: str
    epochs: tuple  # one number, or two if both were trained
    learning_rate: float  # at the end of the warm-up
    decay: str
    weight_decay: float
    dropout: float


# Table 3, https://arxiv.org/abs/2010.11929. "All models are trained with a batch size of 4096 and
# learning rate warmup of 10k steps", at 224 pixels, with Adam (4.1); on ImageNet the norm of the
# gradient is limited to 1. R200x3 of Table 6 is not in the table.
PRE_TRAINING = (
    PreTraining(("ViT-B/16", "ViT-B/32"), "JFT-300M", (7,), 8e-4, "linear", 0.1, 0.0),
    PreTraining(("ViT-L/32",), "JFT-300M", (7,), 6e-4, "linear", 0.1, 0.0),
    PreTraining(("ViT-L/16",), "JFT-300M", (7, 14), 4e-4, "linear", 0.1, 0.0),
    PreTraining(("ViT-H/14",), "JFT-300M", (14,), 3e-4, "linear", 0.1, 0.0),
    PreTraining(("R50x1", "R50x2"), "JFT-300M", (7,), 1e-3, "linear", 0.1, 0.0),
    PreTraining(("R101x1",), "JFT-300M", (7,), 8e-4, "linear", 0.1, 0.0),
    PreTraining(("R152x1", "R152x2"), "JFT-300M", (7,), 6e-4, "linear", 0.1, 0.0),
    PreTraining(("R50+ViT-B/16", "R50+ViT-B/32"), "JFT-300M", (7,), 8e-4, "linear", 0.1, 0.0),
    PreTraining(("R50+ViT-L/32",), "JFT-300M", (7,), 2e-4, "linear", 0.1, 0.0),
    PreTraining(("R50+ViT-L/16",), "JFT-300M", (7, 14), 4e-4, "linear", 0.1, 0.0),
    PreTraining(("ViT-B/16", "ViT-B/32"), "ImageNet-21k", (90,), 1e-3, "linear", 0.03, 0.1),
    PreTraining(("ViT-L/16", "ViT-L/32"), "ImageNet-21k", (30, 90), 1e-3, "linear", 0.03, 0.1),
    PreTraining(("ViT-*",), "ImageNet", (300,), 3e-3, "cosine", 0.3, 0.1),
)
PRE_TRAINING_BATCH = 4096
PRE_TRAINING_WARMUP = 10_000  # steps
PRE_TRAINING_SIZE = 224  # pixels
ADAM = {"beta_1": 0.9, "beta_2": 0.999}  # section 4.1
CLIP_ON_IMAGENET = 1.0  # Appendix B.1; gradients are not clipped on the other datasets
# The official code: the linear decay ends at 1e-5, the head's bias starts at -10 on ImageNet-21k.
# The paper mentions neither.
LINEAR_END = 1e-5
HEAD_BIAS_21K = -10.0


class FineTuning(NamedTuple):
    """A row of Table 4: steps of fine-tuning on a dataset, and the learning rates tried."""

    dataset: str
    steps: int
    learning_rates: tuple  # the best on held-out training images was chosen


# Table 4, https://arxiv.org/abs/2010.11929. "All models are fine-tuned with cosine learning rate
# decay, a batch size of 512, no weight decay, and grad clipping at global norm 1", at 384 pixels,
# with momentum 0.9. Appendix B.1.1 says that 0.06 was for ResNets and hybrids only.
FINE_TUNING = (
    FineTuning("ImageNet", 20_000, (0.003, 0.01, 0.03, 0.06)),
    FineTuning("CIFAR-100", 10_000, (0.001, 0.003, 0.01, 0.03)),
    FineTuning("CIFAR-10", 10_000, (0.001, 0.003, 0.01, 0.03)),
    FineTuning("Oxford-IIIT Pets", 500, (0.001, 0.003, 0.01, 0.03)),
    FineTuning("Oxford Flowers-102", 500, (0.001, 0.003, 0.01, 0.03)),
    FineTuning("VTAB", 2_500, (0.01,)),
)
FINE_TUNING_BATCH = 512
FINE_TUNING_SIZE = 384  # pixels; 512 and 518 for Table 2
FINE_TUNING_WARMUP = 500  # steps: not in the paper, the official code's default
MOMENTUM = 0.9
CLIP = 1.0
POLYAK = 0.9999  # section 4.1: the moving average of the weights, for Table 2 on ImageNet only


# AugReg, arXiv 2106.10270: level of augmentation, weight decay, dropout, stochastic depth and
# fine-tuning rate of the published weights that the authors recommend in their README, pre-trained
# on ImageNet-21k for 300 epochs
AUGREG_RECOMMENDED = {
    "ViT-L/16": ("strong1", 0.1, 0.0, 0.0, 0.01),
    "ViT-B/16": ("medium1", 0.1, 0.0, 0.0, 0.03),
    "ViT-S/16": ("light1", 0.03, 0.0, 0.0, 0.03),
    "R50+ViT-L/32": ("medium1", 0.1, 0.1, 0.1, 0.01),
    "R26+ViT-S/32": ("light1", 0.1, 0.0, 0.0, 0.01),
    "ViT-Ti/16": ("none", 0.03, 0.0, 0.0, 0.03),
    "ViT-B/32": ("light1", 0.1, 0.0, 0.0, 0.01),
    "ViT-S/32": ("none", 0.1, 0.0, 0.0, 0.01),
    "R+ViT-Ti/16": ("none", 0.03, 0.0, 0.0, 0.03),
}
