"""The paper's results (arXiv 2010.11929) for comparison in the figures."""

from keras_vit.accounting import paper_costs

# Table 8: ImageNet 5-shot accuracy of ViT-B/16, by kind of positions and where they are added
TABLE_8 = {
    ("none", "stem"): 0.61382,
    ("1d", "stem"): 0.64206,
    ("1d", "every"): 0.63964,
    ("1d", "shared"): 0.64292,
    ("2d", "stem"): 0.64001,
    ("2d", "every"): 0.64046,
    ("2d", "shared"): 0.64022,
    ("relative", "stem"): 0.64032,
}

# Table 5: accuracy in percent after fine-tuning, by pre-training set and ViT. Its values are also
# those of Figure 3.
TABLE_5_TASKS = ("CIFAR-10", "CIFAR-100", "ImageNet", "ImageNet ReaL", "Flowers", "Pets")
TABLE_5 = {
    ("ImageNet", "B/16"): (98.13, 87.13, 77.91, 83.57, 89.49, 93.81),
    ("ImageNet", "B/32"): (97.77, 86.31, 73.38, 79.56, 85.43, 92.04),
    ("ImageNet", "L/16"): (97.86, 86.35, 76.53, 82.19, 89.66, 93.64),
    ("ImageNet", "L/32"): (97.94, 87.07, 71.16, 77.83, 86.36, 91.35),
    ("ImageNet-21k", "B/16"): (98.95, 91.67, 83.97, 88.35, 99.38, 94.43),
    ("ImageNet-21k", "B/32"): (98.79, 91.97, 81.28, 86.63, 99.11, 93.02),
    ("ImageNet-21k", "L/16"): (99.16, 93.44, 85.15, 88.40, 99.61, 94.73),
    ("ImageNet-21k", "L/32"): (99.13, 93.04, 80.99, 85.65, 99.19, 93.09),
    ("ImageNet-21k", "H/14"): (99.27, 93.82, 85.13, 88.70, 99.51, 94.82),
    ("JFT-300M", "B/16"): (99.00, 91.87, 84.15, 88.85, 99.56, 95.80),
    ("JFT-300M", "B/32"): (98.61, 90.49, 80.73, 86.27, 99.27, 93.40),
    ("JFT-300M", "L/16"): (99.38, 94.04, 87.12, 89.99, 99.56, 97.11),
    ("JFT-300M", "L/32"): (99.19, 92.52, 84.37, 88.28, 99.45, 95.83),
    ("JFT-300M", "H/14"): (99.50, 94.55, 88.04, 90.33, 99.68, 97.56),
}

# Table 6: (family, name, epochs of JFT): accuracy in percent after fine-tuning, then exaFLOPs,
# which `accounting.paper_costs` lists in the same order.
TABLE_6_TASKS = ("ImageNet", "ImageNet ReaL", "CIFAR-10", "CIFAR-100", "Pets", "Flowers")
TABLE_6_ACCURACY = (
    ("ViT", 80.73, 86.27, 98.61, 90.49, 93.40, 99.27),
    ("ViT", 84.15, 88.85, 99.00, 91.87, 95.80, 99.56),
    ("ViT", 84.37, 88.28, 99.19, 92.52, 95.83, 99.45),
    ("ViT", 86.30, 89.43, 99.38, 93.46, 96.81, 99.66),
    ("ViT", 87.12, 89.99, 99.38, 94.04, 97.11, 99.56),
    ("ViT", 88.08, 90.36, 99.50, 94.71, 97.11, 99.71),
    ("ResNet", 77.54, 84.56, 97.67, 86.07, 91.11, 94.26),
    ("ResNet", 82.12, 87.94, 98.29, 89.20, 93.43, 97.02),
    ("ResNet", 80.67, 87.07, 98.48, 89.17, 94.08, 95.95),
    ("ResNet", 81.88, 87.96, 98.82, 90.22, 94.17, 96.94),
    ("ResNet", 84.97, 89.69, 99.06, 92.05, 95.37, 98.62),
    ("ResNet", 85.56, 89.89, 99.24, 91.92, 95.75, 98.75),
    ("ResNet", 87.22, 90.15, 99.34, 93.53, 96.32, 99.04),
    ("hybrid", 84.90, 89.15, 99.01, 92.24, 95.75, 99.46),
    ("hybrid", 85.58, 89.65, 99.14, 92.63, 96.65, 99.40),
    ("hybrid", 85.68, 89.04, 99.24, 92.93, 96.97, 99.43),
    ("hybrid", 86.60, 89.72, 99.18, 93.64, 97.03, 99.40),
    ("hybrid", 87.12, 89.76, 99.31, 93.89, 97.36, 99.11),
)
TABLE_6 = {
    (family, name, epochs): (*accuracy, exaflops)
    for (family, *accuracy), (name, epochs, exaflops) in zip(
        TABLE_6_ACCURACY, paper_costs.TABLE_6, strict=True
    )
}

# Table 7: (ResNet, optimizer of the pre-training on JFT): accuracy in percent after fine-tuning
TABLE_7_TASKS = ("ImageNet", "CIFAR-10", "CIFAR-100", "Pets", "Flowers")
TABLE_7 = {
    ("ResNet50", "adam"): (77.54, 97.67, 86.07, 91.11, 94.26),
    ("ResNet50", "sgd"): (78.24, 97.46, 85.17, 91.00, 92.06),
    ("ResNet152x2", "adam"): (84.97, 99.06, 92.05, 95.37, 98.62),
    ("ResNet152x2", "sgd"): (84.37, 99.07, 91.06, 94.79, 99.32),
}

# Table 9: VTAB-1k, accuracy in percent by task. The values of Figure 2's ViT-H/14 are their means.
TABLE_9_TASKS = (
    *(("natural", n) for n in ("caltech101", "cifar100", "dtd", "flowers102", "pets", "sun397")),
    ("natural", "svhn"),
    *(("specialized", n) for n in ("camelyon", "eurosat", "resisc45", "retinopathy")),
    *(("structured", n) for n in ("clevr-count", "clevr-distance", "dmlab", "dsprites-location")),
    *(("structured", n) for n in ("dsprites-orientation", "kitti-distance", "smallnorb-azimuth")),
    ("structured", "smallnorb-elevation"),
)
TABLE_9 = {
    "H/14, JFT": (
        *(95.3, 85.5, 75.2, 99.7, 97.2, 65.0, 88.9, 83.3, 96.7, 91.4, 76.6),
        *(91.7, 63.8, 53.1, 79.4, 63.3, 84.5, 33.2, 51.2),
    ),
    "L/16, JFT": (
        *(95.4, 81.9, 74.3, 99.7, 96.7, 63.5, 87.4, 83.6, 96.5, 89.7, 77.1),
        *(86.4, 63.1, 49.7, 74.5, 60.5, 82.2, 36.2, 51.1),
    ),
    "L/16, ImageNet-21k": (
        *(90.8, 84.1, 74.1, 99.3, 92.7, 61.0, 80.9, 82.5, 95.6, 85.2, 75.3),
        *(70.3, 56.1, 41.9, 74.7, 64.9, 79.9, 30.5, 41.7),
    ),
}
