"""The page of all views and its content, parsed as a browser parses it."""

import base64
import html.parser
import io

import numpy as np
import pytest
from helpers import random_images, randomize
from PIL import Image

import keras_vit
from keras_vit.explain import attention_rollout, report, reporting
from keras_vit.explain.plots import drawing
from keras_vit.explain.reporting import MOST, PER_IMAGE, PER_MODEL
from keras_vit.explain.representations import CKA
from keras_vit.explain.views import VIEWS
from keras_vit.explain.views.record import Request

VOID = {"meta", "img", "br", "link", "input", "hr"}
NAMES = ['<script>alert("1")</script>.png', "b&c.png", "d.png", "e.png"]
CLASSES = ["<b>cat</b>", "dog & co", "owl"]


class Page(html.parser.HTMLParser):
    """The elements of a page: [(tag, attributes)], its text, and whether all tags are closed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.words, self.open = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def model():
    sizes = {"num_layers": 2, "hidden_dim": 12, "mlp_dim": 16, "num_heads": 2, "num_classes": 3}
    return randomize(keras_vit.ViT((16, 24), 8, name="small", **sizes), scale=0.3)


@pytest.fixture(scope="module")
def images():
    return random_images(4, 16, 24, 3)


@pytest.fixture(scope="module")
def request_(model, images):
    """A request with made-up results: the page is what is tested here."""
    rng = np.random.default_rng(0)
    names = ("attention_rollout", "relevance", "grad_cam", "occlusion")
    maps = {name: rng.uniform(size=(2, 2, 3)) for name in names}
    layers = ("patch_encoder", "block_0", "block_1")
    results = {
        **maps,
        "token_colors": rng.uniform(size=(2, 2, 3, 3)),
        "logit_lens": rng.normal(size=(3, 2, 3)),
        "deletion_curve": {"rollout": rng.uniform(size=(5, 2)), "random_order": np.ones((5, 2))},
        "embedding_filters": rng.normal(size=(5, 8, 8, 3)),
        "position_similarity": rng.uniform(size=(2, 3, 2, 3)),
        "mean_attention_distance": np.array([[3.0, 5.0], [8.0, 7.0]]),
        "attention_entropy": np.array([[0.5, 1.0], [1.25, 1.5]]),
        "token_norms": rng.uniform(1, 9, (3, 2, 7)),
        "cka": CKA(rng.uniform(size=(3, 3)), layers, layers),
    }
    request = Request(model, images[:2], NAMES[:2], CLASSES, results=results)
    request.classes, request.probabilities = np.array([2, 0]), rng.dirichlet(np.ones(3), 2)
    return request


@pytest.fixture(scope="module")
def text(request_):
    return reporting.build_page(request_, {})


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


@pytest.mark.backend_free
def test_the_page_is_whole_and_asks_nobody_for_anything(text, page):
    assert page.open == [] and text.startswith("<!doctype html>")
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "object", "embed", "video", "audio", "base"}
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name == "src":
                assert value.startswith("data:image/png;base64,")
            if name == "href":
                assert value.startswith("#") or value.startswith("https://arxiv.org/abs/")
                assert tag == "a"
    assert "url(" not in text and "@import" not in text
    (policy,) = [m["content"] for m in page.all("meta") if m.get("http-equiv")]
    assert policy.startswith("default-src 'none'; img-src data:")


@pytest.mark.backend_free
def test_every_link_within_the_page_has_its_place(page):
    places = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(places)) == len(places)
    for link in page.all("a"):
        if link["href"].startswith("#"):
            assert link["href"][1:] in places


@pytest.mark.backend_free
def test_every_view_is_there_with_its_words(page):
    for view in (*PER_IMAGE, *PER_MODEL):
        for words in (view.title, view.shows, view.reading, view.limits, view.source):
            assert words in page.text, view.name
    assert "do not apply" not in page.text


@pytest.mark.backend_free
def test_every_image_is_a_png_with_words_beside_or_in_it(page):
    images = page.all("img")
    of_each = 1 + 5 + 1  # itself, four maps and colors, the lens
    assert len(images) == 2 + 2 * of_each + len(PER_MODEL)
    for image in images:
        data = base64.b64decode(image["src"].partition(",")[2], validate=True)
        shown = Image.open(io.BytesIO(data))
        shown.load()
        assert (str(shown.width), str(shown.height)) == (image["width"], image["height"])
    assert sum(not image["alt"] for image in images) == 2  # thumbnails, named beside them
    alts = [image["alt"] for image in images if image["alt"]]
    assert len(set(alts)) == len(alts)


@pytest.mark.backend_free
def test_images_keep_their_proportions(page):
    maps = [
        p for p in page.all("img") if p["alt"].startswith(("Attention rollout of", "Occlusion of"))
    ]
    assert len(maps) == 4
    for shown in maps:
        assert int(shown["width"]) / int(shown["height"]) == pytest.approx(24 / 16, rel=0.02)


@pytest.mark.backend_free
def test_names_of_files_and_classes_are_text(text, page):
    assert "<script" not in text and "<b>cat" not in text
    for name in NAMES[:2]:
        assert name in page.text
        assert any(name in image["alt"] for image in page.all("img"))


@pytest.mark.backend_free
def test_classes_are_listed_by_their_probability(request_, page):
    for i, row in enumerate(request_.probabilities):
        listed = " ".join(f"{CLASSES[k]} {100 * row[k]:.1f} %" for k in np.argsort(-row))
        assert f"{NAMES[i]} {listed}" in page.text
    assert "Maps of a class show the most probable one: owl ." in page.text


@pytest.mark.backend_free
def test_maps_say_their_range_and_where_they_are_highest(request_, page):
    values = request_.results["occlusion"][1]
    row, column = np.unravel_index(values.argmax(), (2, 3))
    said = f"{100 * values.min():+.1f} to {100 * values.max():+.1f} points"
    assert said in page.text
    alt = f"Occlusion of b&c.png: {said}, highest at row {row}, column {column}"
    assert alt in [image["alt"] for image in page.all("img")]


@pytest.mark.backend_free
def test_charts_say_their_main_numbers(page):
    assert "First block: 3.0 to 5.0 pixels; last block: 7.0 to 8.0 pixels." in page.text
    assert "First block: 0.5 to 1.0 nats; last block: 1.2 to 1.5 nats." in page.text
    assert "3 layers, 2 images. Few images: the values are rough." in page.text


@pytest.mark.backend_free
def test_the_page_says_what_the_model_is(page):
    assert page.text.startswith("Inside small")
    assert "images of 16 × 24 pixels and 3 channels. 2 images." in page.text
    assert "keras_vit" in page.text.split("Made with")[1]


@pytest.mark.backend_free
def test_headings_go_down_one_step_at_a_time(page):
    levels = [int(tag[1]) for tag, _ in page.elements if tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False))


@pytest.mark.backend_free
def test_a_view_that_is_refused_is_named_with_its_reason(request_):
    some = Request(request_.model, request_.images, request_.names, CLASSES)
    some.results["grad_cam"] = request_.results["grad_cam"]
    some.classes, some.probabilities = request_.classes, request_.probabilities
    shown = Page(reporting.build_page(some, {"cka": "CKA needs 4 <images>."}))
    missing = shown.text.split("Views that do not apply here")[1]
    assert "Similarity of layers : CKA needs 4 <images>." in missing
    assert len(shown.all("img")) == 2 + 2 * 2
    assert VIEWS["occlusion"].reading not in shown.text


def test_the_report_computes_each_view_and_reports_its_progress(model, images, monkeypatch):
    monkeypatch.setattr(reporting, "PER_IMAGE", [VIEWS["attention_rollout"]])
    monkeypatch.setattr(reporting, "PER_MODEL", [VIEWS["cka"]])
    built, progress = [], []
    monkeypatch.setattr(reporting, "build_page", lambda *words: built.append(words) or "page")
    assert report(model, images[:3], NAMES[:3], CLASSES, progress.append) == "page"
    ((request, missing),) = built
    logits = model.predict(images[:3], verbose=0)
    np.testing.assert_array_equal(request.classes, logits.argmax(-1))
    want_shares = drawing.to_probabilities(logits)
    np.testing.assert_allclose(request.probabilities, want_shares, rtol=1e-4)
    want = attention_rollout(model, images[:3])
    np.testing.assert_allclose(request.results["attention_rollout"], want, rtol=1e-4)
    assert progress == ["attention_rollout", "cka"] and "4 images" in missing["cka"]


@pytest.mark.slow
def test_everything_that_a_vit_has_is_computed(model, images):
    page = Page(report(model, images, NAMES, CLASSES))
    assert "do not apply" not in page.text
    assert len(page.all("img")) == 4 + 4 * 7 + len(PER_MODEL)
    for view in (*PER_IMAGE, *PER_MODEL):
        assert view.reading in page.text


@pytest.mark.weekly
def test_of_a_resnet_the_page_shows_what_applies_and_names_the_rest(images):
    resnet = randomize(keras_vit.ResNet((16, 24), units=(1, 1), num_classes=3))
    page = Page(report(resnet, images[:1]))
    alts = " ".join(image["alt"] for image in page.all("img"))
    assert "Grad-CAM of image 1" in alts and "Occlusion of image 1" in alts
    assert "Attention rollout" not in alts
    missing = page.text.split("Views that do not apply here")[1]
    for name in ("attention_rollout", "relevance", "logit_lens", "token_norms", "cka"):
        assert VIEWS[name].title in missing, name
    assert "CKA needs 4 images" in missing and VIEWS["grad_cam"].title not in missing


@pytest.mark.slow
def test_a_model_without_a_head_has_no_classes_to_explain(images):
    bare = randomize(keras_vit.ViT((16, 24), 8, 1, 12, 16, 2, num_classes=None))
    page = Page(report(bare, images[:1]))
    assert (
        "The model has no head" in page.text.split("How to read")[1]
    )  # [0] is before the contents
    alts = " ".join(image["alt"] for image in page.all("img"))
    assert "Attention rollout of image 1" in alts and "Grad-CAM" not in alts


@pytest.mark.weekly
def test_many_images_do_not_make_a_large_page(model):
    progress = []
    images = np.repeat(random_images(1, 16, 24, 3), MOST + 2, axis=0)
    page = report(model, images, progress=progress.append)
    assert f"{MOST + 2} images; the first {MOST} are shown" in page
    assert f'id="image-{MOST}"' in page and f'id="image-{MOST + 1}"' not in page
    assert len(page) < 4e6 and "occlusion" in progress


def test_images_of_another_size_and_missing_names_are_refused(model, images):
    with pytest.raises(ValueError, match="images of shape"):
        report(model, images[:, :8])
    with pytest.raises(ValueError, match="one name for each image"):
        report(model, images, ["a"])
