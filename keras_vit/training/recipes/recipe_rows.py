"""The numbers of every recipe: ours for small datasets, and those of published code."""

from keras_vit.checkpoints.catalogue.published import CIFAR_PIXELS, SMALL_PIXELS
from keras_vit.data.transforms.augmentation import Augmentation
from keras_vit.training.recipes import paper_tables
from keras_vit.training.recipes.recipe import ALL, Recipe

_SMALL = Recipe(
    epochs=50,
    learning_rate=2e-3,
    weight_decay=0.05,
    decayed=ALL,
    pooling="token",
    dropout=0.0,
    normalize=SMALL_PIXELS,
    source="ours: from scratch, a minute on a laptop",
)
FINE_TUNING = Recipe(
    epochs=10,
    min_updates=100,
    learning_rate=0.03,  # the official code's default; rows of Table 4 tried 0.001 to 0.06
    reference_batch=paper_tables.FINE_TUNING_BATCH,
    scaling="root",
    batch_size=32,
    optimizer="sgd",
    momentum=paper_tables.MOMENTUM,
    clip=paper_tables.CLIP,
    augmentation="gentle",
    resize="crop",  # images keep their proportions, as in pre-training
    source="arXiv 2010.11929, Table 4, shortened for small datasets",
)

PRE_TRAINING = Recipe(
    epochs=300,
    learning_rate=1e-3,
    image_size=paper_tables.PRE_TRAINING_SIZE,
    batch_size=paper_tables.PRE_TRAINING_BATCH,
    reference_batch=paper_tables.PRE_TRAINING_BATCH,
    scaling="root",
    warmup_steps=paper_tables.PRE_TRAINING_WARMUP,
)

# For ViT-B; ViT-L has 50 epochs, 5 of them warm-up, layer_decay 0.75 and stochastic_depth 0.2.
_BEIT = FINE_TUNING._replace(
    epochs=100,
    min_updates=0,
    learning_rate=4e-3,
    image_size=224,
    batch_size=1024,
    reference_batch=1024,
    warmup_share=20 / 100,
    end=1e-6,
    optimizer="adamw",
    weight_decay=0.05,
    clip=None,
    layer_decay=0.65,
    label_smoothing=0.1,
    dropout=0.0,
    stochastic_depth=0.1,
    augmentation="deit",
    source="arXiv 2106.08254, its code, ViT-B from self-supervised weights on ImageNet",
)

_CIFAR = Recipe(
    model="ViT-Midi/4",
    image_size=32,
    epochs=60,
    batch_size=128,
    learning_rate=1e-3,
    warmup_share=0.05,
    weight_decay=0.05,
    clip=1.0,
    label_smoothing=0.1,
    dropout=0.0,
    stochastic_depth=0.05,
    pooling="gap",
    normalize=CIFAR_PIXELS,
    augmentation=Augmentation(
        pad=4 / 32, flip=True, randaugment=(2, 9), randaugment_style="increasing"
    ),
    source="ours: CIFAR's small images from scratch",
)

RECIPES = {
    "digits": _SMALL._replace(
        model="ViT-Mini/2",
        image_size=8,
        num_channels=1,
        augmentation=Augmentation(10, 0.1, 0.06),
    ),
    "folder": _SMALL._replace(
        model="ViT-Mini/8",
        image_size=64,
        epochs=40,
        learning_rate=1e-3,
        augmentation=Augmentation(10, 0.2, 0.1, flip=True),
    ),
    "cifar": _CIFAR,
    # Twice as many blocks and images per update as "cifar", and mixed images against overfitting.
    # Its accuracy has not been measured.
    "cifar-gpu": _CIFAR._replace(
        model="ViT-Ti/4",
        epochs=200,
        batch_size=256,
        stochastic_depth=0.1,
        augmentation=_CIFAR.augmentation._replace(mixup=0.8, cutmix=1.0, erasing=0.25),
        precision="mixed_bfloat16",
        source="ours: CIFAR's small images from scratch on a GPU",
    ),
    "finetune": FINE_TUNING,
    "linear-probe": FINE_TUNING._replace(
        adapt="linear",
        dropout=0.0,
        stochastic_depth=0.0,
        source="ours: only the head is trained, the features do not change",
    ),
    # The authors train heads at 13 rates side by side, from 1e-5 to 0.1 times batch / 256, on one
    # and four blocks, with and without the mean of the patches, and report the best of them.
    "dinov2-linear": Recipe(
        epochs=None,
        steps=12_500,
        learning_rate=0.04,  # 0.01 batch / 256
        image_size=224,
        batch_size=1024,
        reference_batch=1024,
        scaling="linear",
        warmup_share=0.0,
        optimizer="sgd",
        adapt="linear",
        dropout=0.0,
        stochastic_depth=0.0,
        augmentation=Augmentation(crop=(0.08, 1.0), flip=True, interpolation="bicubic"),
        resize="crop",
        source="arXiv 2304.07193, its code, with one of its learning rates",
    ),
    "lora": FINE_TUNING._replace(
        adapt="lora",
        optimizer="adamw",
        scaling="none",
        reference_batch=None,
        learning_rate=1e-3,
        source="arXiv 2106.09685: low-rank updates of every dense layer of the blocks",
    ),
    "beit-finetune": _BEIT,
    # For ViT-B; ViT-L and H have 50 epochs, twice the rate, layer_decay 0.75, stochastic_depth 0.2
    # and 0.3. Table 9 of the paper has 4e-3 and 0.75, for another implementation.
    "mae-finetune": _BEIT._replace(
        learning_rate=2e-3,  # 5e-4 batch / 256
        scaling="linear",
        warmup_share=5 / 100,
        source="arXiv 2111.06377, its PyTorch code, ViT-B on ImageNet",
    ),
    # Not implemented: DeiT's threefold repetition of each image and its average of the weights.
    # Top-1 on ImageNet: 72.2 (Ti), 79.9 (S), 81.8 (B).
    "deit": Recipe(
        model="ViT-S/16",
        image_size=224,
        epochs=300,
        batch_size=1024,
        learning_rate=1e-3,  # 5e-4 batch / 512
        reference_batch=1024,
        scaling="linear",
        warmup_share=5 / 300,
        start=1e-6,
        end=1e-5,
        weight_decay=0.05,
        dropout=0.0,
        stochastic_depth=0.1,
        label_smoothing=0.1,
        moving_average=0.99996,
        augmentation="deit",
        resize="crop",
        source="arXiv 2012.12877, Table 9",
    ),
    # ViT-B and L have 192 pixels, 3e-3 and stochastic_depth 0.2 and 0.45, and 20 epochs at 224
    # pixels at the end. Not implemented: three augmented copies of each image. Its models have
    # layer scale. Top-1 on ImageNet: 81.4 (S), 83.8 (B), 84.9 (L).
    "deit3": Recipe(
        model="ViT-S/16",
        image_size=224,
        epochs=800,
        batch_size=2048,
        learning_rate=4e-3,
        reference_batch=2048,
        scaling="root",
        warmup_share=5 / 800,
        start=1e-6,
        end=1e-5,
        optimizer="lamb",
        weight_decay=0.05,
        clip=1.0,  # of FusedLAMB
        loss="binary",
        dropout=0.0,
        stochastic_depth=0.05,
        augmentation="deit3",
        resize="crop",
        source="arXiv 2204.07118, its code, ViT-S on ImageNet",
    ),
    # 76.5 % after 90 epochs, about 80 % after 300. Weight decay is 1e-4 in its code, independent of
    # the learning rate: 0.1 of 1e-3.
    "plain-vit-s16": PRE_TRAINING._replace(
        model="ViT-S/16",
        epochs=90,
        batch_size=1024,
        reference_batch=1024,
        weight_decay=0.1,
        clip=1.0,
        pooling="gap",
        representation=True,
        augmentation="light2",
        resize="crop",
        source="arXiv 2205.01580; its positions are fixed sines, ours are learned",
    ),
}
RECIPES = {name: row._replace(name=name) for name, row in RECIPES.items()}
