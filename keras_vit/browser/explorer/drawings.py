"""Drawings of six of CIFAR-10's classes, for a machine that does not have its images."""

SIDE, SCALE = 32, 8  # side in pixels, and how many times larger it is drawn before it is reduced
# class: color of the background, and shapes, each with its kind, color and corners in pixels
DRAWINGS = {
    "truck": (
        "#bcd3e6",
        ("rectangle", "#77797c", (0, 25, 32, 32)),
        ("rectangle", "#f2f2f2", (1, 5, 20, 23)),
        ("polygon", "#d9a400", (21, 11, 27, 11, 31, 17, 31, 24, 21, 24)),
        ("polygon", "#9fc5dc", (23, 12.5, 26.5, 12.5, 29, 17, 23, 17)),
        ("rectangle", "#444444", (1, 23, 31, 25)),
        ("ellipse", "#111111", (3, 21, 10, 28)),
        ("ellipse", "#111111", (22, 21, 29, 28)),
        ("ellipse", "#bbbbbb", (5, 23, 8, 26)),
        ("ellipse", "#bbbbbb", (24, 23, 27, 26)),
    ),
    "ship": (
        "#9cc3e6",
        ("rectangle", "#2f6f9f", (0, 20, 32, 32)),
        ("polygon", "#b3202a", (3, 17, 29, 17, 25, 23, 7, 23)),
        ("rectangle", "#f4f4f4", (9, 12, 21, 17)),
        ("rectangle", "#e0e0e0", (12, 8, 18, 12)),
        ("rectangle", "#333333", (14, 4, 16, 8)),
        ("rectangle", "#3d82b5", (0, 23, 32, 25)),
    ),
    "airplane": (
        "#8fbdf0",
        ("polygon", "#e9ecef", (3, 15, 9, 13, 25, 13, 30, 15.5, 25, 18, 9, 18)),
        ("polygon", "#cfd5db", (13, 15, 19, 15, 12, 27, 9, 27)),
        ("polygon", "#cfd5db", (13, 14, 19, 14, 13, 5, 10, 5)),
        ("polygon", "#c0392b", (3, 15, 7, 15, 4, 8, 2, 8)),
    ),
    "frog": (
        "#7d6b4a",
        ("ellipse", "#4f8f2f", (5, 11, 27, 28)),
        ("ellipse", "#5fa53a", (8, 6, 24, 19)),
        ("ellipse", "#5fa53a", (7, 3, 14, 10)),
        ("ellipse", "#5fa53a", (18, 3, 25, 10)),
        ("ellipse", "#101010", (9, 5, 12, 8)),
        ("ellipse", "#101010", (20, 5, 23, 8)),
        ("polygon", "#3f7a26", (5, 20, 1, 28, 10, 29)),
        ("polygon", "#3f7a26", (27, 20, 31, 28, 22, 29)),
        ("ellipse", "#b9d48a", (10, 17, 22, 27)),
    ),
    "automobile": (
        "#c9cdd2",
        ("rectangle", "#6f7276", (0, 22, 32, 32)),
        ("polygon", "#c81e1e", (9, 10, 22, 10, 26, 16, 5, 16)),
        ("rectangle", "#c81e1e", (2, 15, 30, 23)),
        ("polygon", "#bfe0f0", (10, 11.5, 15, 11.5, 15, 15.5, 7.5, 15.5)),
        ("polygon", "#bfe0f0", (16.5, 11.5, 21, 11.5, 24, 15.5, 16.5, 15.5)),
        ("ellipse", "#161616", (5, 19, 12, 26)),
        ("ellipse", "#161616", (20, 19, 27, 26)),
        ("ellipse", "#a8a8a8", (7, 21, 10, 24)),
        ("ellipse", "#a8a8a8", (22, 21, 25, 24)),
    ),
    "bird": (
        "#b9d7ee",
        ("ellipse", "#a3542a", (8, 11, 24, 23)),
        ("ellipse", "#8a4320", (19, 6, 27, 14)),
        ("polygon", "#e0a82e", (26, 9, 31, 10.5, 26, 12)),
        ("polygon", "#6b3216", (9, 15, 1, 11, 3, 19, 9, 20)),
        ("ellipse", "#000000", (23, 8, 24.5, 9.5)),
        ("polygon", "#5a2c14", (11, 14, 20, 14, 13, 21)),
        ("line", "#4a3a20", (14, 23, 14, 28, 17, 23, 17, 28)),
        ("rectangle", "#5c4a2c", (0, 28, 32, 31)),
    ),
}


def draw(background, *shapes):
    """Returns a drawing as a Pillow image."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (SIDE * SCALE, SIDE * SCALE), background)
    pen = ImageDraw.Draw(image)
    for kind, color, corners in shapes:
        getattr(pen, kind)([SCALE * v for v in corners], fill=color)
    return image.resize((SIDE, SIDE), Image.Resampling.BOX)
