"""The Explorer in a browser: its screens, the changes it allows, and its numbers."""

import inspect
import json
import re

import numpy as np
import pytest
from chromium import browsing, drop, until
from firefox import FIREFOX, evaluate
from helpers import numpy, outputs, round_weights
from PIL import Image

import keras_vit
from keras_vit import browser, cli
from keras_vit.browser import explorer
from keras_vit.checkpoints import loading

MARKUP = "<img src=x onerror=\"document.title='run'\">"
SCREENS = [*(f"step-{i}" for i in range(1, 9)), "play", "matters"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(path, pixels): the Explorer with one example, whose names have markup in them."""
    folder = tmp_path_factory.mktemp("explorer")
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype="uint8")
    (folder / "images" / "<b>kind<b>").mkdir(parents=True)
    Image.fromarray(pixels).save(
        folder / "images" / "<b>kind<b>" / f"{MARKUP.replace('/', '')}.png"
    )
    names = [MARKUP, *"bcdefghij"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "_class_names", lambda *_: names)
        browser.write_explorer(folder / "explorer.html", folder / "images")
    return folder / "explorer.html", pixels


@pytest.fixture(scope="module")
def opened(made):
    """A tab with the Explorer; any error in it fails the last test."""
    with browsing(made[0]) as tab:
        wait(tab, "step-1")
        yield tab


def wait(tab, screen):
    until(tab, f"document.body.dataset.drawn === '{screen}' && !isBusy && !isAsked")


def go(tab, screen):
    tab.evaluate(f"location.hash = '#{screen}'")
    wait(tab, screen)


def undo(tab):
    tab.evaluate("undo()")
    until(tab, "!isBusy && !listChanges().length")


@pytest.fixture(scope="module")
def model():
    """The model of the page, with the same rounded weights."""
    return round_weights(keras_vit.load_pretrained("ViT-Mini/4", verbose=False), "int8")


def softmax(logits):
    powers = np.exp(logits - np.max(logits))
    return powers / powers.sum()


def lead(logits, label):
    return logits[label] - np.delete(logits, label).max()


def ends(place):
    """Returns the number at the end of a text."""
    return float(re.findall(r"[−\d.]+", place.inner_text())[-1].replace("−", "-"))


def patches(image):
    return sorted(map(bytes, image.reshape(8, 4, 8, 4, 3).swapaxes(1, 2).reshape(64, 48)))


def run(model, x, names):
    """Returns the output of some layers of a model for the first image of x."""
    for name in names:
        x = model.get_layer(name)(x)
    return numpy(x)[0]


# --- The file ------------------------------------------------------------------------------------
def test_it_is_one_small_file_without_an_address(made):
    text = made[0].read_text(encoding="utf-8")
    assert len(text.encode()) <= 900_000
    page = re.sub(r'<script type="application/json".*?</script>', "", text, flags=re.S)
    addresses = re.findall(r"""(?:src|href)=["']?([^\s"'>]+)""", page)
    assert addresses and all(re.match("#|data:", address) for address in addresses)
    assert "<img src=x" not in text  # markup of names


def test_the_lines_it_shows_are_those_that_compute():
    layers = keras_vit.layers
    truth = {
        "normalize": keras_vit.pixel_range.Normalize.call,
        "patches": layers.Patches.call,
        "Eq. 1": layers.PatchEncoder.call,
        "positions": layers.PatchEncoder.add_positions,
        "Eq. 2": layers.TransformerBlock.call,
        "Eq. 3": layers.TransformerBlock.call,
        "Eq. 4": keras_vit.vit.ClassToken.call,
        "Eq. 5": layers.SelfAttention.heads,
        "scale": layers.logits,
        "Eq. 6": layers.SelfAttention.scores,
        "Eq. 7": layers.weighted_sum,
        "Eq. 8": layers.SelfAttention.call,
        "head": keras_vit.vit.ViT.head,
    }
    found = explorer.find_lines()
    assert set(found) == set(truth)
    for what, place in found.items():
        lines, first = inspect.getsourcelines(truth[what])
        assert truth[what].__code__.co_filename.endswith(place["file"])
        assert place["text"] in lines[place["number"] - first], what


def test_the_command_takes_images_or_refuses_in_one_line(tmp_path, capsys):
    out = str(tmp_path / "explorer.html")
    assert cli.main(["explorer", "--out", out, "--images", str(tmp_path / "none")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_examples_are_cifar_if_it_is_there_and_else_those_of_the_package(tmp_path, monkeypatch):
    monkeypatch.delenv("KERAS_VIT_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    own = [each["label"] for each in explorer.read_examples(None)]
    assert own == ["truck", "ship", "airplane", "frog", "automobile", "bird", "cat"]
    for split, kind, i in np.ndindex(2, 10, 3):
        folder = tmp_path / ("train", "test")[split] / f"kind {kind}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (kind, split, i)).save(folder / f"{i}.png")
    monkeypatch.setenv("KERAS_VIT_DATA", str(tmp_path))
    found = explorer.read_examples(None)
    assert [each["label"] for each in found] == [f"kind {i}" for i in range(10)] * 2
    assert [each["label"] for each in explorer.read_examples("drawings")] == own


# --- In a browser --------------------------------------------------------------------------------
@pytest.mark.slow
def test_its_eight_steps_are_reached_by_links_and_arrow_keys(opened):
    tab = opened
    for screen in SCREENS:
        tab.click(f"#screens a[href='#{screen}']")
        wait(tab, screen)
        assert tab.locator(".screen:visible").evaluate_all("all => all.map((s) => s.id)") == [
            screen
        ]
        assert tab.locator(f"#{screen} .figure > *").count() > 0
    go(tab, "step-1")
    tab.locator("#screens a").first.focus()
    for screen in SCREENS[1:8]:
        tab.keyboard.press("ArrowRight")
        wait(tab, screen)
    tab.keyboard.press("ArrowLeft")
    wait(tab, "step-7")


@pytest.mark.slow
def test_its_numbers_are_those_of_keras(opened, made, model):
    """Truth: Keras with the same weights, with weights set to zero, and with fewer tokens."""
    tab, images = opened, made[1][None].astype("float32")
    undo(tab)
    shares = "[...found.shares]"
    logits = outputs(model, images)[0]
    expected = softmax(logits)
    np.testing.assert_allclose(tab.evaluate(shares), expected, atol=1e-4)

    tokens = numpy(model.get_layer("patch_encoder")(model.get_layer("patches")(
        model.get_layer("normalization")(images))))  # fmt: skip
    names = [f"block_{i}" for i in range(model.num_layers)]
    rest = ["encoder_norm", "pooling", "head"]
    read = [softmax(run(model, tokens, names[:i] + rest)) for i in range(len(names) + 1)]
    lens = tab.evaluate("found.read.map((tokens) => [...tokens[0]])")
    np.testing.assert_allclose(lens, read, atol=1e-4)

    go(tab, "play")
    tab.locator(".board button").nth(5).press("Enter")  # masks a patch
    until(tab, "state.ways.without.has(5) && !isBusy")
    fewer = softmax(run(model, np.delete(tokens, 1 + 5, axis=1), names + rest))
    np.testing.assert_allclose(tab.evaluate(shares), fewer, atol=1e-4)
    seen = np.array(tab.evaluate("[...found.attention[0][0]]")).reshape(65, 65)
    assert not seen[:, 6].any() and not seen[6].any()
    np.testing.assert_allclose(np.delete(seen, 6, axis=0).sum(axis=1), 1, atol=1e-5)
    undo(tab)

    tab.locator(".switches").get_by_label("Block 1, head 3").click()
    until(tab, "state.ways.heads.size === 1 && !isBusy")
    kernel = model.get_layer("block_0").attention.projection.kernel
    before, size = numpy(kernel), model.hidden_dim // model.num_heads
    silent = before.copy()
    silent[2 * size : 3 * size] = 0
    kernel.assign(silent)
    fewer_logits = outputs(model, images)[0]
    without_head = softmax(fewer_logits)
    kernel.assign(before)
    np.testing.assert_allclose(tab.evaluate(shares), without_head, atol=1e-4)
    assert np.abs(without_head - expected).max() > 1e-3
    undo(tab)

    go(tab, "matters")
    until(tab, "document.querySelector('.verdict').textContent.startsWith('The lead of')")
    label = expected.argmax()
    change = lead(fewer_logits, label) - lead(logits, label)
    shown = tab.locator(".ablation tr").nth(1).locator("td").nth(2).inner_text()
    assert float(shown.replace("−", "-")) == pytest.approx(change, abs=0.006)

    go(tab, "step-4")
    block = model.get_layer("block_3")  # its first head, and the class token
    query, key, value = (numpy(x)[0] for x in block.attention.heads(block.norm_1(
        run(model, tokens, names[:3])[None])))  # fmt: skip
    scores = key[1:, 0] @ query[0, 0] / np.sqrt(size)
    weights = softmax(key[:, 0] @ query[0, 0] / np.sqrt(size))
    tab.get_by_label("sum; arrow keys").focus()
    assert ends(tab.locator("#value")) == pytest.approx(weights @ value[:, 0, 0], abs=6e-4)
    high = [ends(tab.locator("#step-4 .scale").nth(i)) for i in range(2)]
    assert high == pytest.approx([np.abs(scores).max(), weights[1:].max()], abs=6e-4)
    go(tab, "step-5")
    read = [ends(tab.locator("#step-5 .scale").nth(i)) for i in range(2)]
    rows = "found.attention.map((maps) => maps.map((a) => [...a.slice(1, 65)]))"
    maps = np.array(tab.evaluate(rows))
    assert read == pytest.approx([100 * maps[3, 0].max(), 100 * maps.max()], abs=0.06)


@pytest.mark.slow
def test_the_weights_of_its_last_step_are_all_of_the_model(opened, model):
    tab = opened
    go(tab, "step-8")
    inside, rest = (
        [int(text.split()[0].replace(",", "")) for text in tab.locator(where).all_inner_texts()]
        for where in ("#step-8 .block .soft", "#step-8 .figure > .flow .soft")
    )
    block = model.get_layer("block_0").count_params()
    assert sum(inside) == block and f"{block:,} weights each" in tab.inner_text("#step-8 h3")
    assert sum(rest) + model.num_layers * block == model.count_params()


@pytest.mark.slow
def test_patches_are_swapped_shuffled_and_drawn_on(opened, made):
    tab, pixels = opened, made[1]
    go(tab, "play")
    undo(tab)
    image = "[...state.image.data]"
    tab.check("#play input[value='2']", force=True)
    tab.locator(".board button").nth(0).click()
    tab.locator(".board button").nth(63).click()
    expected = pixels.copy()
    expected[:4, :4], expected[28:, 28:] = pixels[28:, 28:], pixels[:4, :4]
    np.testing.assert_array_equal(tab.evaluate(image), expected.ravel())
    undo(tab)
    tab.get_by_role("button", name="Shuffle", exact=True).click()
    shuffled = np.array(tab.evaluate(image), "uint8").reshape(32, 32, 3)
    assert (shuffled != pixels).any() and patches(shuffled) == patches(pixels)
    undo(tab)
    tab.check("#play input[value='1']", force=True)
    tab.locator(".board button").nth(9).press("Enter")  # fills it with the color
    drawn = np.array(tab.evaluate(image)).reshape(32, 32, 3)
    assert (drawn[4:8, 4:8] == (0xFF, 0x7A, 0x1A)).all()
    assert (drawn != pixels).any(axis=-1).sum() <= 16
    undo(tab)


@pytest.mark.slow
def test_a_dropped_file_is_classified_and_its_name_is_text(opened, made):
    tab = opened
    file = next((made[0].parent / "images").rglob("*.png"))
    go(tab, "step-7")
    drop(tab, (file.read_bytes(), MARKUP), (b"no image", "notes.txt"))
    until(tab, f"state.name === {json.dumps(MARKUP)} && !isBusy && !isAsked")
    refused = "“notes.txt” cannot be read as an image"
    assert refused in tab.inner_text("#status")  # the result, which came later, left it there
    assert MARKUP in tab.locator(".logits button").first.inner_text()  # the name of a class
    tab.evaluate(CHANGED)  # while the earlier image is computed
    until(tab, "state.name === 'gray' && !isBusy && !isAsked")
    assert tab.evaluate("before") is None  # the earlier image is not the one before the changes
    undo(tab)
    assert tab.evaluate("before.shares.join() === found.shares.join()")
    tab.evaluate(f"refuse({json.dumps(refused)})")  # a change has removed it
    tab.locator("#examples button").first.click()
    until(tab, "state.truth === '<b>kind<b>' && !isBusy && !isAsked")
    assert "labeled “<b>kind<b>”" in tab.inner_text("#name")
    assert refused not in tab.inner_text("#status")
    assert tab.title() == "ViT Explorer"
    assert tab.locator("img[src=x], main b > b").count() == 0


CHANGED = """(() => {
  compute();
  const image = { ...state.whole, data: state.whole.data.map(() => 128) };
  ANSWERS.prepared({ image, name: "gray", truth: null });
  change({ blocks: new Set([0]) });
})()"""


AUDIT = """async (rules) => { // of equal buttons, two
  const elements = { include: ["html"], exclude: [".tiles button:nth-of-type(n + 3)"] };
  const options = { resultTypes: ["violations"], ...(rules && { runOnly: rules }) };
  const found = await axe.run(elements, options);
  return found.violations.map(({ id, nodes }) => `${id}: ${nodes[0].html.slice(0, 150)}`);
}"""


END = "document.querySelector('footer').getBoundingClientRect().bottom + scrollY"
CLEAR = """Object.keys(drawings).forEach((id) => {
  get(id).querySelector(".figure").replaceChildren();
  delete drawings[id];
})"""  # axe reads hidden screens too, which takes time


@pytest.mark.slow
def test_it_fits_a_phone_or_a_screen_and_has_no_axe_violation(opened):
    axe = pytest.importorskip(
        "axe_playwright_python.base", reason="needs: pip install axe-playwright-python"
    )
    tab = opened
    tab.evaluate(axe.AXE_SCRIPT)
    found = []
    for screen in SCREENS:
        tab.evaluate(CLEAR)
        go(tab, screen)
        for width, scheme, rules in ((390, "light", None), (1280, "dark", ["color-contrast"])):
            tab.set_viewport_size({"width": width, "height": 844})
            tab.emulate_media(color_scheme=scheme)
            wide = tab.evaluate("document.documentElement.scrollWidth - innerWidth")
            found += [f"{screen}: {wide} px too wide"] if wide > 0 else []
            end = tab.evaluate(END)
            found += [f"{screen}: ends at {end} px"] if width == 1280 and end > 800 else []
            found += [f"{screen}, {width} px, {said}" for said in tab.evaluate(AUDIT, rules)]
    assert not found, "\n".join(found)


@pytest.mark.slow
@pytest.mark.skipif(FIREFOX is None, reason="needs the browser Firefox")
def test_firefox_computes_what_keras_does(made, model, tmp_path):
    pytest.importorskip("tornado", reason="needs: pip install tornado")
    script = "document.body.dataset.drawn ? [...found.shares] : null"
    shares, errors = evaluate(f"{made[0].as_uri()}#step-6", script, tmp_path)
    expected = softmax(outputs(model, made[1][None].astype("float32"))[0])
    np.testing.assert_allclose(shares, expected, atol=1e-4)
    assert not errors
