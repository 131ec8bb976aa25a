"""The page around the engine: what it refuses, its messages, and its behavior in a browser."""

import json
import re
import shutil
import subprocess

import keras
import numpy as np
import pytest
from chromium import browsing, drop, until
from helpers import outputs, random_images, wide_vit
from PIL import Image

import keras_vit
from keras_vit import browser, cli
from keras_vit.browser import facts, page_file

NODE = shutil.which("node")
MARKUP = "</script><img src=x onerror=\"document.title='run'\"> & more"


class DoubledBlock(keras_vit.TransformerBlock):
    def call(self, x, training=None):
        return 2 * super().call(x)


class DoubledViT(keras_vit.ViT):
    block = DoubledBlock


OTHERS = {
    "DoubledBlock": DoubledViT,
    "RelativeTransformerBlock": keras_vit.ablations.RelativeViT,
}


def read_page(path):
    """The text of a page, and the JSON in it."""
    text = path.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="content">(.*?)</script>', text, re.S)
    return text, json.loads(found[1])


@pytest.mark.parametrize("name", OTHERS)
def test_what_the_engine_does_not_compute_is_refused_by_its_class(name, tmp_path):
    model = wide_vit(OTHERS[name])
    with pytest.raises(ValueError, match=f"layer='block_0', class='{name}'"):
        browser.write_page(model, tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


def test_an_activation_that_was_changed_is_refused(tmp_path):
    model = keras_vit.create("ViT-Mini/8", image_size=16, num_layers=1, num_classes=2)
    model.get_layer("block_0").mlp.expand.activation = keras.activations.relu
    with pytest.raises(ValueError, match="with an activation of its dense layers"):
        browser.write_page(model, tmp_path / "page.html")


def test_a_resnet_is_refused_by_its_first_layer(tmp_path):
    model = keras_vit.ResNet(image_size=32, units=(1,), num_classes=3)
    with pytest.raises(ValueError, match="layer='root', class='BiTRoot'"):
        browser.write_page(model, tmp_path / "page.html")


def test_models_that_are_no_classifier_are_refused(tmp_path):
    for options in ({"num_classes": None}, {"pooling": None}):
        model = wide_vit(**{"num_classes": None, **options})
        with pytest.raises(ValueError, match="A page needs a classifier"):
            browser.write_page(model, tmp_path / "page.html")
    model = wide_vit()
    for one, names in ((model, ["cat", "dog"]), (wide_vit(num_classes=2), ["cat"])):
        with pytest.raises(ValueError, match="a name for each of the logits"):
            browser.write_page(one, tmp_path / "page.html", names)
    model.get_layer("head").bias.assign([0, 1e6, 0])
    with pytest.raises(ValueError, match="below 65,504.*head/bias"):
        browser.write_page(model, tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


def test_the_classes_of_a_model_with_one_logit_are_two(tmp_path):
    for names, expected in ((["cat"], ["not cat", "cat"]), (None, ["0", "1"])):
        browser.write_page(wide_vit(num_classes=1), tmp_path / "page.html", names)
        content = read_page(tmp_path / "page.html")[1]
        assert content["classes"] == expected and dict(content["facts"])["Classes"] == "2"


def test_names_with_markup_are_text(tmp_path):
    path = tmp_path / "page.html"
    metrics = {"model": MARKUP, "data": MARKUP, "resize": "crop", "interpolation": "bicubic"}
    Image.new("RGB", (9, 9)).save(tmp_path / "<b>.png")
    browser.write_page(
        wide_vit(), path, [MARKUP, "b", "c"], tmp_path / "<b>.png", metrics=metrics, title=MARKUP
    )
    text, content = read_page(path)
    assert "<img src=x" not in text and "<b>.png" not in text
    assert (content["title"], content["classes"][0]) == (MARKUP, MARKUP)
    assert content["examples"][0]["name"] == "<b>.png"
    assert [content["sizes"][name] for name in ("resize", "interpolation")] == ["crop", "bicubic"]


def test_facts_come_from_the_run_and_name_no_folder(tmp_path):
    metrics = {
        "model": "ViT-Mini/4",
        "data": "/home/me/secret/pets",
        "train_images": 2590,
        "epochs": 3,
        "options": {"weights": "/home/me/ViT-Ti_16.npz"},
        "test_accuracy": 0.5,
        "test_interval": [0.4, 0.61],
        "test_images": 80,
        "baselines": {"logistic regression": 0.25},
    }
    rows = dict(facts.describe_model(wide_vit(), metrics, "int8", "mine"))
    assert rows["Trained on"] == "pets, 2,590 images, 3 epochs"
    assert rows["Started from"] == "ViT-Ti_16.npz"
    assert rows["Accuracy"].startswith("50.0 % of 80 test images")
    assert "95 % interval 40.0 to 61.0 %" in rows["Accuracy"]
    assert rows["For comparison: logistic regression"] == "25.0 %"
    assert "me" not in str(rows).replace("Parameters", "").split("/")
    assert dict(facts.describe_model(wide_vit(), {}, "int8", "mine"))["Model"] == "mine"
    path = tmp_path / "page.html"
    browser.write_page(wide_vit(), path, ["cat", "dog", "eel"], metrics=metrics)
    content = read_page(path)[1]
    assert content["title"] == "pets: cat, dog and eel"
    assert dict(content["facts"])["Model"] == "ViT-Mini/4"
    named = {"data": "vtab/caltech101", "options": {"weights": "ViT-Ti/16"}}
    rows = dict(facts.describe_model(wide_vit(), named, "int8", "mine"))
    assert (rows["Trained on"], rows["Started from"]) == ("vtab/caltech101", "ViT-Ti/16")


def test_examples_take_turns_among_class_folders(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        for i in range(9):
            Image.new("RGB", (600, 300)).save(tmp_path / name / f"{i}.jpg")
    found = facts.find_examples(tmp_path)
    assert [(path.name, name) for path, name in found[:3]] == [
        ("0.jpg", "a"), ("0.jpg", "b"), ("1.jpg", "a"),
    ]  # fmt: skip
    assert len(found) == facts.MOST
    example = facts.read_example(*found[0], channels=1)
    assert example["address"].startswith("data:image/jpeg;base64,")


def test_the_command_writes_a_page_and_refuses_in_one_line(tmp_path, capsys):
    out = tmp_path / "page.html"
    assert cli.main(["page", "ViT-Mini/4", "--out", str(out), "--precision", "int8"]) == 0
    _, content = read_page(out)
    assert content["title"] == "ViT-Mini/4" and len(content["classes"]) == 10
    entry = keras_vit.checkpoints.catalogue.find("ViT-Mini/4")
    about = dict(content["facts"])["Weights"]
    assert about.startswith(f"{entry.name}, {entry.licence}, {entry.accuracy:.1f} % of test images")
    assert "Written: " in capsys.readouterr().out
    for words in (["none"], ["ViT-Mini/4", "--examples", str(tmp_path / "none")]):
        assert cli.main(["page", *words, "--out", str(tmp_path / "other.html")]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "other.html").exists()


CHOICES = """
const status = { textContent: "" }, ends = {}, shown = [];
globalThis.document = { getElementById: () => status };
readPixels = (file) => new Promise((resolve, reject) => (ends[file] = { resolve, reject }));
const choose = async (file) => {
  const pixels = await readChoice(file, file);
  if (pixels) shown.push(pixels);
};
(async () => {
  const after = [];
  for (const [chosen, ready, broken] of [["ab", "ba", ""], ["cd", "dc", "c"], ["ef", "fe", "f"]]) {
    const chosenNow = [...chosen].map(choose);
    for (const file of ready) ends[file][broken.includes(file) ? "reject" : "resolve"](file);
    await Promise.all(chosenNow);
    after.push([shown.splice(0).join(""), refusal.slice(0, 3)]);
  }
  console.log(JSON.stringify(after));
})();
"""


@pytest.mark.backend_free
@pytest.mark.skipif(NODE is None, reason="needs node (Node.js)")
def test_of_images_chosen_quickly_the_last_is_shown_whichever_is_read_first():
    script = page_file.read("page/shared.js") + CHOICES
    done = subprocess.run([NODE, "-e", script], capture_output=True, text=True, check=True)
    # The later one is shown, and an earlier one only if the later is refused.
    assert json.loads(done.stdout) == [["b", ""], ["d", ""], ["e", "“f”"]]


@pytest.mark.backend_free
@pytest.mark.skipif(NODE is None, reason="needs node (Node.js)")
def test_a_number_that_rounds_to_zero_has_no_sign():
    values = "[-1e-6, -0.0006, 0.0004, -12.34].map((v) => fixed(v, 3))"
    script = page_file.read("page/shared.js") + f"console.log(JSON.stringify({values}))"
    done = subprocess.run([NODE, "-e", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["0.000", "\u22120.001", "0.000", "\u221212.340"]


SLOW = """(() => { // the first image that is chosen takes longest
  const read = readPixels;
  let wait = 200;
  readPixels = (file) => {
    const [mine, pixels] = [wait, read(file)];
    wait = 0;
    return new Promise((resolve) => setTimeout(() => resolve(pixels), mine));
  };
})()"""


@pytest.mark.slow
def test_in_a_browser_it_answers_as_keras_does(tmp_path):
    model, path = wide_vit(), tmp_path / "page.html"
    pixels = random_images(8, 15, 3).astype("uint8")
    Image.fromarray(pixels).save(tmp_path / "one.png")
    browser.write_page(model, path, [MARKUP, "b", "c"], tmp_path / "one.png", title=MARKUP)
    with browsing(path) as tab:
        tab.wait_for_selector("#result:not([hidden])", timeout=60_000)
        listed = tab.locator("#classes li").all_inner_texts()
        for view in ("attention", "rollout", "occlusion"):
            tab.check(f"input[value={view}]", force=True)
        tab.get_by_text("All 6 parts are covered").wait_for(timeout=60_000)
        drop(tab, ((tmp_path / "one.png").read_bytes(), "two"), (b"no image", "notes.txt"))
        until(tab, "shown.name === 'two' && shown.falls?.values.every((v) => !Number.isNaN(v))")
        assert "“notes.txt” cannot be read as an image" in tab.inner_text("#status")
        tab.check("input[value=rollout]", force=True)
        assert "cannot be read" not in tab.inner_text("#status")
        tab.evaluate(SLOW)
        image = (tmp_path / "one.png").read_bytes()
        drop(tab, (image, "slow"), (image, "quick"))
        tab.wait_for_timeout(400)
        until(tab, "last[1] === 'quick' && shown.name === 'quick' && shown.shares")
        assert tab.title() == MARKUP
    x = outputs(model, pixels[None].astype("float32"))[0]
    shares = np.exp(x) / np.exp(x).sum()
    order = np.argsort(-shares)
    names = [MARKUP, "b", "c"]
    expected = [f"{names[i]} {100 * shares[i]:.1f} %" for i in order]
    assert [" ".join(text.split()) for text in listed] == expected
