"""The figures of the views: what is drawn, where, and with which text."""

import numpy as np
import pytest
from helpers import random_images

from keras_vit import figures
from keras_vit.explain import plots
from keras_vit.explain.captions import (
    find_settling_depth,
    format_points,
    format_times_even,
    locate_highest,
    mean_area,
)
from keras_vit.explain.representations import CKA, Nearest

pytestmark = pytest.mark.backend_free

IMAGES = random_images(3, 20, 30, 3)
MAPS = np.random.default_rng(1).uniform(size=(3, 2, 3)).astype("float32")
NAMES = ["a.png", "b.png", "c.png"]


def drawn(axes):
    """Returns the arrays of the images in an `Axes`."""
    return [np.asarray(image.get_array()) for image in axes.get_images()]


def words(figure):
    """Returns all text in a figure."""
    import matplotlib.text

    return "\n".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


def rendered(figure):
    """Returns the pixels of a figure, (height, width, 4)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def axes_of():
    from matplotlib.figure import Figure

    return Figure().subplots()


# --- Images and overlays -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channels", "shape"), [(1, (2, 3)), (2, (2, 3)), (3, (2, 3, 3)), (4, (2, 3, 3))]
)
def test_images_of_any_channels_are_drawn_as_grey_or_colors(channels, shape):
    image = random_images(2, 3, channels)
    shown = figures.to_pixels(image)
    want = image[..., 0] if len(shape) == 2 else image[..., :3]
    np.testing.assert_array_equal(shown, np.round(want).astype("uint8"))
    assert shown.shape == shape
    np.testing.assert_array_equal(figures.to_pixels(np.round(image).astype("uint8")), shown)


def test_pixels_outside_of_the_range_are_cut_off_at_its_ends():
    image = np.array([[[-20.0], [300.0], [12.4]]])
    assert figures.to_pixels(image).tolist() == [[0, 255, 12]]


def test_an_overlay_lies_over_the_whole_image_in_grey():
    axes = axes_of()
    plots.overlay(axes, IMAGES[0], MAPS[0])
    below, above = axes.get_images()
    red, green, blue = np.moveaxis(np.round(IMAGES[0]), -1, 0)
    luminance = 0.299 * red + 0.587 * green + 0.114 * blue
    np.testing.assert_allclose(below.get_array(), luminance, atol=0.5001)
    assert (below.get_cmap().name, below.get_clim()) == ("gray", (0, 255))
    assert above.get_array().shape == (20, 30) and 0 < above.get_alpha() < 1
    assert tuple(above.get_extent()) == tuple(below.get_extent()) == (-0.5, 29.5, 19.5, -0.5)
    assert above.get_cmap().name == "viridis"


def test_a_map_is_resized_bilinearly_between_the_middles_of_patches():
    values = np.array([[0.0, 1.0], [2.0, 3.0]])
    axes = axes_of()
    plots.overlay(axes, np.zeros((4, 8, 3)), values)
    found = drawn(axes)[1]
    y, x = (
        np.clip((np.arange(4) + 0.5) / 2 - 0.5, 0, 1),
        np.clip((np.arange(8) + 0.5) / 4 - 0.5, 0, 1),
    )
    np.testing.assert_allclose(found, 2 * y[:, None] + x, atol=1e-6)


def test_colors_go_from_the_lowest_to_the_97th_percentile():
    values = np.zeros((10, 10))
    values.flat[:4] = 100.0  # memory tokens
    values.flat[4:] = np.linspace(1, 2, 96)
    drawn = plots.overlay(axes_of(), IMAGES[0], values)
    assert drawn.get_clim() == pytest.approx((1.0, np.percentile(values, 97)))
    assert plots.overlay(axes_of(), IMAGES[0], np.full((2, 2), 3.0)).get_clim() == (3.0, 4.0)


def test_colors_of_two_signs_have_zero_in_the_middle():
    drawn = plots.overlay(axes_of(), IMAGES[0], np.array([[-0.2, 0.5]]), signed=True)
    assert drawn.get_clim() == (-0.5, 0.5) and drawn.get_cmap().name == "PuOr_r"
    red, _, blue, _ = drawn.get_cmap()(0.9)
    assert red > blue  # a positive value is orange
    noise = plots.overlay(axes_of(), IMAGES[0], np.array([[-1e-5, 1e-6]]), signed=True)
    assert noise.get_clim() == (-0.01, 0.01)


@pytest.mark.parametrize("shape", [(2, 3, 1), (6,)])
def test_an_overlay_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"An overlay needs a map.*Received: map shape="):
        plots.overlay(axes_of(), IMAGES[0], np.zeros(shape))


# --- Maps beside their images ------------------------------------------------------------------


def test_rollout_draws_the_input_at_the_left_and_the_map_at_the_right():
    maps = MAPS / MAPS.sum((1, 2), keepdims=True)
    figure = plots.attention_rollout(maps, IMAGES, NAMES)
    left, right = figure.axes[0:6:2], figure.axes[1:6:2]
    for i in range(3):
        np.testing.assert_array_equal(drawn(left[i])[0], figures.to_pixels(IMAGES[i]))
        assert left[i].get_title() == NAMES[i]
        low, high = maps[i].min() * 6, maps[i].max() * 6
        assert right[i].get_xlabel() == f"{low:.1f} to {high:.1f} × uniform"
        expected = axes_of()
        plots.overlay(expected, IMAGES[i], maps[i])
        np.testing.assert_array_equal(drawn(right[i])[1], drawn(expected)[1])
    assert "highest 3 %" in words(figure) and "rollout" in words(figure)


def test_maps_of_a_class_name_it_and_their_range():
    figure = plots.relevance(MAPS, IMAGES, [1, 0, 1], NAMES, class_names=["cat", "dog"])
    assert [axes.get_title() for axes in figure.axes[1:6:2]] == ["dog", "cat", "dog"]
    assert figure.axes[1].get_xlabel().endswith("× its mean")
    assert plots.grad_cam(MAPS, IMAGES, 7).axes[3].get_title() == "class 7"
    assert plots.grad_cam(MAPS, IMAGES).axes[3].get_title() == ""


def test_occlusion_is_in_points_and_of_two_signs():
    maps = np.zeros((1, 2, 3))
    maps[0, 0, 0], maps[0, 1, 2] = 0.5, -0.125
    figure = plots.occlusion(maps, IMAGES[:1], [0], class_names=["cat"])
    assert figure.axes[1].get_xlabel() == "−12.5 to +50.0 points"
    assert figure.axes[1].get_images()[1].get_clim() == (-0.5, 0.5)
    assert "rises" in words(figure) and "falls" in words(figure)


def test_the_token_that_is_compared_is_framed():
    figure = plots.token_similarity(MAPS, IMAGES, token=(1, 2))
    frame = figure.axes[1].patches[-1]
    assert (frame.get_x(), frame.get_y()) == (19.5, 9.5)  # patches of 10 x 10 pixels
    assert (frame.get_width(), frame.get_height()) == (10, 10)
    assert figure.axes[1].get_xlabel() == f"cosine {MAPS[0].min():.2f} to {MAPS[0].max():.2f}"
    assert not plots.token_similarity(MAPS, IMAGES).axes[1].patches


def test_no_more_than_sixteen_images_are_drawn_and_it_is_said():
    images, maps = np.zeros((17, 8, 8, 1)), np.ones((17, 2, 2))
    figure = plots.attention_rollout(maps, images)
    assert sum(len(axes.get_images()) == 2 for axes in figure.axes) == 16
    assert "the first 16 of 17" in words(figure)


@pytest.mark.parametrize("image_size", [(60, 20), (20, 60), (8, 8)])
def test_nothing_is_cut_off_and_maps_lie_exactly_on_their_images(image_size):
    figure = plots.attention_rollout(MAPS[:2], np.zeros((2, *image_size, 1)), NAMES[:2])
    pixels = rendered(figure)[..., :3]
    border = np.concatenate([pixels[:2].ravel(), pixels[-2:].ravel(), pixels[:, :2].ravel()])
    assert (border == 255).all()
    for axes in figure.axes[:4]:
        box = axes.get_window_extent()
        assert box.height / box.width == pytest.approx(image_size[0] / image_size[1], rel=0.02)


@pytest.mark.parametrize("name", ["attention_rollout", "relevance", "grad_cam", "occlusion"])
def test_maps_that_do_not_belong_to_the_images_are_refused(name):
    draw = getattr(plots, name)
    with pytest.raises(ValueError, match="one map .* for each image. Received: maps shape"):
        draw(MAPS[:2], IMAGES)
    with pytest.raises(ValueError, match="needs a batch axis"):
        draw(MAPS[:1], IMAGES[0])
    with pytest.raises(ValueError, match="one name for each image"):
        draw(MAPS, IMAGES, names=["a"])


def test_token_colors_fill_the_image():
    colors = np.random.default_rng(0).uniform(size=(3, 2, 3, 3)).astype("float32")
    figure = plots.token_colors(colors, IMAGES)
    image = figure.axes[1].get_images()[0]
    np.testing.assert_array_equal(image.get_array(), colors[0])
    assert tuple(image.get_extent()) == (-0.5, 29.5, 19.5, -0.5)
    assert image.get_interpolation() == "nearest"
    with pytest.raises(ValueError, match="three colors"):
        plots.token_colors(colors[:2], IMAGES)


def test_patches_stand_apart_and_in_their_places():
    patches = IMAGES.reshape(3, 2, 10, 3, 10, 3).swapaxes(2, 3)
    figure = plots.patch_grid(patches, NAMES)
    shown = drawn(figure.axes[0])[0]
    assert shown.shape == (21, 32, 3)  # a white line of one pixel between patches of ten
    np.testing.assert_array_equal(shown[11:, 22:], figures.to_pixels(IMAGES[0])[10:, 20:])
    assert (shown[10] == 255).all() and (shown[:, 21] == 255).all()
    assert "2 × 3 = 6 patches of 10 × 10 pixels" in words(figure)
    gray = plots.patch_grid(patches[..., :1])
    assert drawn(gray.axes[0])[0].shape == (21, 32)


# --- Attention by head ---------------------------------------------------------------------------


def scores(layers=2, batch=2, heads=3, tokens=7):
    values = np.random.default_rng(0).uniform(size=(layers, batch, heads, tokens, tokens))
    return (values / values.sum(-1, keepdims=True)).astype("float32")


def test_every_head_of_the_chosen_blocks_is_drawn():
    values = scores()
    figure = plots.attention_scores(values, IMAGES[:2], blocks=[0, 1], grid=(2, 3), names=NAMES[:2])
    cells = np.array(figure.axes[:16]).reshape(4, 4)
    places = [(0, 0), (0, 1), (1, 0), (1, 1)]  # (image, block)
    for row, (i, block) in zip(cells, places, strict=True):
        np.testing.assert_array_equal(drawn(row[0])[0], figures.to_pixels(IMAGES[i]))
        assert (row[0].get_title(), row[0].get_xlabel()) == (NAMES[i], f"block {block}")
        for head in range(3):
            expected = axes_of()
            plots.overlay(expected, IMAGES[i], values[block, i, head, 0, 1:].reshape(2, 3))
            np.testing.assert_allclose(drawn(row[1 + head])[1], drawn(expected)[1], rtol=1e-6)
            assert row[1 + head].get_title() == f"head {head}"


@pytest.mark.parametrize("prefix, words_of_it", [(1, "the class token"), (0, "the patches")])
def test_the_title_names_the_tokens_that_attend(prefix, words_of_it):
    scores = np.full((1, 3, 1, prefix + 4, prefix + 4), 0.2)
    assert f"Attention of {words_of_it}" in words(plots.attention_scores(scores, IMAGES))


def test_many_heads_go_on_in_further_rows_and_the_last_block_is_the_default():
    figure = plots.attention_scores(scores(heads=8), IMAGES[:2], token=(1, 1), grid=(2, 3))
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == 2 * [f"head {i}" for i in range(8)]
    assert figure.axes[0].get_xlabel() == "block 1" and len(figure.axes[0].patches) == 2
    assert "row 1, column 1" in words(figure)


def test_blocks_and_images_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match="blocks 0 to 1. Received: block=2"):
        plots.attention_scores(scores(), IMAGES[:2], blocks=[2], grid=(2, 3))
    with pytest.raises(ValueError, match="scores of=2, images=3"):
        plots.attention_scores(scores(), IMAGES, grid=(2, 3))


# --- Charts --------------------------------------------------------------------------------------


def test_distances_are_dots_over_the_depth_in_pixels():
    values = np.array([[10.0, 30.0], [50.0, 70.0], [90.0, 80.0]])
    (axes,) = plots.mean_attention_distance(values).axes
    mean, dots = axes.get_lines()
    np.testing.assert_array_equal(dots.get_xdata(), [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(dots.get_ydata(), values.ravel())
    np.testing.assert_array_equal(mean.get_ydata(), [20, 60, 85])
    assert "depth" in axes.get_xlabel() and "pixels" in axes.get_ylabel()


def test_entropy_has_the_line_of_even_attention():
    figure = plots.attention_entropy(np.array([[1.0, 2.0]]), tokens=17)
    (axes,) = figure.axes
    np.testing.assert_allclose(axes.get_lines()[-1].get_ydata(), np.log(17))
    assert "nats" in axes.get_ylabel() and axes.get_ylim()[1] > np.log(17)
    assert len(figure.legends) == 1


def test_lengths_of_tokens_are_those_of_patches_and_of_prefix_tokens():
    norms = np.random.default_rng(0).uniform(1, 9, (4, 5, 7))
    (axes,) = plots.token_norms(norms, prefix_tokens=2).axes
    assert axes.get_lines()[2].get_label() == "prefix tokens, mean"
    median, longest, first = (line.get_ydata() for line in axes.get_lines())
    patches = norms[:, :, 2:].reshape(4, -1)
    np.testing.assert_allclose(median, np.median(patches, axis=1), rtol=1e-6)
    np.testing.assert_allclose(longest, patches.max(axis=1), rtol=1e-6)
    np.testing.assert_allclose(first, norms[:, :, :2].mean((1, 2)), rtol=1e-6)
    assert axes.get_yscale() == "log"
    assert len(plots.token_norms(norms, prefix_tokens=0).axes[0].get_lines()) == 2


def test_filters_have_grey_for_zero_and_a_scale_of_their_own():
    filters = np.random.default_rng(0).normal(size=(9, 5, 4, 3))
    filters[1] = 0
    figure = plots.embedding_filters(filters)
    assert len(figure.axes) == 9
    shown = drawn(figure.axes[0])[0]
    np.testing.assert_allclose(shown, 0.5 + filters[0] / (2 * np.abs(filters[0]).max()), rtol=1e-5)
    assert (drawn(figure.axes[1])[0] == 0.5).all()
    assert drawn(plots.embedding_filters(filters[..., :1]).axes[0])[0].shape == (5, 4)


def test_positions_are_maps_in_the_places_of_their_patches():
    maps = np.random.default_rng(0).uniform(-1, 1, (2, 3, 2, 3)).astype("float32")
    figure = plots.position_similarity(maps)
    cells = np.array(figure.axes[:6]).reshape(2, 3)
    for (row, column), axes in np.ndenumerate(cells):
        np.testing.assert_array_equal(drawn(axes)[0], maps[row, column])
        assert axes.get_images()[0].get_clim() == (-1, 1)
    assert [axes.get_ylabel() for axes in cells[:, 0]] == ["1", "2"]
    assert [axes.get_xlabel() for axes in cells[-1]] == ["1", "2", "3"]
    assert "input patch row" in words(figure) and "cosine" in words(figure)


def test_a_large_grid_of_positions_is_drawn_in_part_from_first_to_last():
    maps = np.zeros((20, 2, 20, 2))
    cells = plots.position_similarity(maps).axes[:28]
    labels = [axes.get_ylabel() for axes in cells[::2]]
    assert len(labels) == 14 and (labels[0], labels[-1]) == ("1", "20")


def test_cka_names_its_layers_from_below():
    values = np.array([[1.0, 0.5, 0.2], [0.4, np.nan, 0.9]])
    figure = plots.cka(CKA(values, ("p", "q"), ("x", "y", "z")), models=("ViT", "ResNet"))
    axes = figure.axes[0]
    image = axes.get_images()[0]
    np.testing.assert_array_equal(np.ma.filled(image.get_array(), np.nan), values.astype("float32"))
    assert image.origin == "lower" and image.get_clim() == (0, 1)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["p", "q"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["x", "y", "z"]
    assert axes.get_ylabel() == "layers of ViT (first at the bottom)"
    assert axes.get_xlabel() == "layers of ResNet (first at the left)"
    assert plots.cka(values).axes[0].get_yticklabels()[1].get_text() == "1"


def test_the_lens_follows_the_classes_that_are_first_at_the_end():
    shares = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.05, 0.15, 0.8]])
    logits = np.log(shares)[:, None] + 4
    figure = plots.logit_lens(logits, IMAGES[:1], ["a.png"], ["cat", "dog", "owl"], top=2)
    left, axes = figure.axes
    np.testing.assert_array_equal(drawn(left)[0], figures.to_pixels(IMAGES[0]))
    assert left.get_title() == "a.png"
    first, second = axes.get_lines()
    assert (first.get_label(), second.get_label()) == ("owl", "dog")
    np.testing.assert_allclose(first.get_ydata(), shares[:, 2], rtol=1e-5)
    np.testing.assert_allclose(second.get_ydata(), shares[:, 1], rtol=1e-5)
    alone = plots.logit_lens(logits)
    assert len(alone.axes) == 1
    assert alone.axes[0].get_lines()[0].get_label() == "class 2"
    with pytest.raises(ValueError, match="logits of=1, images=3"):
        plots.logit_lens(logits, IMAGES)
    many = np.random.default_rng(0).normal(size=(3, 1, 9))
    assert len(plots.logit_lens(many, top=5).axes[0].get_lines()) == 5
    for top in (6, 0):
        with pytest.raises(ValueError, match=rf"`top` must be.*Received: top={top}"):
            plots.logit_lens(many, top=top)


def test_probabilities_of_logits_of_one_logit_and_of_probabilities():
    np.testing.assert_allclose(plots.to_probabilities([[0.0, np.log(3)]]), [[0.25, 0.75]])
    np.testing.assert_allclose(plots.to_probabilities([[np.log(3)]]), [[0.25, 0.75]])
    np.testing.assert_array_equal(plots.to_probabilities([[0.3, 0.7]]), [[0.3, 0.7]])


def test_a_single_name_is_that_of_class_1():
    assert plots.drawing.name_class(1, ["cat"]) == "cat"
    assert plots.drawing.name_class(0, ["cat"]) == "not cat"
    figure = plots.logit_lens(np.array([[[0.0]], [[2.0]]]), class_names=["cat"])
    assert {"cat", "not cat"} <= set(words(figure).split("\n"))


def test_neighbors_stand_in_rows_with_their_cosines():
    found = Nearest(np.array([[2, 0], [1, 2]]), np.array([[0.9, 0.25], [1.0, -0.5]]))
    figure = plots.nearest(found, IMAGES[:2], IMAGES, NAMES[:2], ["x", "y", "z"])
    cells = np.array(figure.axes).reshape(2, 3)
    np.testing.assert_array_equal(drawn(cells[0, 1])[0], figures.to_pixels(IMAGES[2]))
    assert [axes.get_title() for axes in cells[1]] == ["b.png", "y", "z"]
    assert [axes.get_xlabel() for axes in cells[1, 1:]] == ["cosine 1.00", "cosine −0.50"]
    with pytest.raises(ValueError, match="k neighbors"):
        plots.nearest(found, IMAGES, IMAGES)


def test_deletion_says_the_area_under_the_mean():
    curves = np.array([[1.0, 0.8], [0.5, 0.3], [0.0, 0.0]])
    figure = plots.deletion_curve(curves, ["a", "b"])
    (axes,) = figure.axes
    mean, *each = axes.get_lines()
    np.testing.assert_allclose(mean.get_ydata(), [0.9, 0.4, 0])
    np.testing.assert_array_equal(mean.get_xdata(), [0, 50, 100])
    assert mean.get_label() == "mean, area 0.42"  # (0.9 + 0.4) / 4 + 0.4 / 4
    assert [line.get_label() for line in each] == ["a", "b"]
    several = plots.deletion_curve({"relevance": curves, "random": curves})
    labels = [line.get_label() for line in several.axes[0].get_lines()]
    assert labels == ["relevance, area 0.42", "random, area 0.42"]
    many = plots.deletion_curve(dict.fromkeys("abcdef", curves))
    assert len(many.axes[0].get_lines()) == 6


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("mean_attention_distance", (3,)),
        ("attention_entropy", (2, 3, 4)),
        ("token_norms", (2, 3)),
        ("embedding_filters", (4, 4, 3)),
        ("position_similarity", (4, 4)),
        ("cka", (4,)),
        ("logit_lens", (3, 4)),
        ("deletion_curve", (5,)),
        ("patch_grid", (2, 3, 4)),
    ],
)
def test_arrays_of_another_shape_are_refused_by_name(name, shape):
    with pytest.raises(ValueError, match=f"`{name}` must be an array .*shape="):
        getattr(plots, name)(np.zeros(shape))


# --- Words ---------------------------------------------------------------------------------------


def test_maps_and_curves_in_words():
    assert format_times_even(np.zeros((2, 2))) == "0 everywhere"
    assert format_points(np.array([[-1e-4, 3e-4]])) == "less than 0.1 points"
    assert locate_highest(np.eye(3) * [[1], [5], [2]]) == "highest at row 1, column 1"
    assert mean_area(np.array([[1.0, 0.0], [0.5, 0.5]])) == 0.5
    assert (find_settling_depth([4, 4, 4]), find_settling_depth([1, 4, 1])) == (0, 2)


def test_no_window_is_asked_for():
    """`pyplot` would choose a backend with windows, and keep every figure in memory."""
    import matplotlib.pyplot

    before = matplotlib.pyplot.get_fignums()
    plots.attention_rollout(MAPS, IMAGES)
    assert matplotlib.pyplot.get_fignums() == before
