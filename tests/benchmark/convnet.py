"""A convolutional network with similar compute, beside the small ViT on CIFAR-10 (docs/results.md).

    python tests/benchmark/convnet.py images/

Images, order, augmentation, optimizer and length are those of the recipe "cifar". For 32 x 32
pixels it computes 9.9 million multiply-adds per image, ViT-Mini/4 10.8 million.
"""

import argparse
import time

import keras
from keras import layers

from keras_vit import data, environment, training


def convnet(image_size, num_classes, width=16, stages=3):
    """Builds pairs of 3 x 3 convolutions; each has half the size and twice the width of the last.

    Args:
        image_size: (height, width) in pixels.
        num_classes: length of the logits.
        width: channels of the first stage.
        stages: number of pairs.

    Returns:
        A `keras.Model` that takes pixels 0 to 255.
    """
    images = keras.Input((*image_size, 3))
    x = layers.Rescaling(1 / 64, offset=-2)(images)
    for stage in range(stages):
        for _ in range(2):
            x = layers.Conv2D(width * 2**stage, 3, padding="same", use_bias=False)(x)
            x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.MaxPooling2D()(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, layers.Dense(num_classes)(x))


def main():
    """Trains the network and prints its accuracy."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--states", help="folder for states, to go on after an interruption")
    options = parser.parse_args()
    settings = training.recipe("cifar")
    images = data.load(
        options.folder,
        image_size=settings.image_size,
        batch_size=settings.batch_size,
        augment=settings.augmentation,
        seed=options.seed,
        validation_share=0.02,
    )
    recipe = training.recipe("cifar", images, epochs=options.epochs)
    keras.utils.set_random_seed(options.seed)
    model = convnet(images.image_size, images.num_classes)
    model.compile(**recipe.compile_arguments)
    print(environment.description(), images, recipe.summary(), sep="\n")
    print(f"Convolutional network, {model.count_params():,} parameters")
    states = [training.Checkpoint(options.states, images)] if options.states else []
    started = time.perf_counter()
    model.fit(
        images.train,
        validation_data=images.validation,
        verbose=2,
        **{**recipe.fit_arguments, "callbacks": states},
    )
    print(f"Trained for {time.perf_counter() - started:.0f} s")
    print(training.evaluate(model, images))


if __name__ == "__main__":
    main()
