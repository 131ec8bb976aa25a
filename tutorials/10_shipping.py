# %% [markdown]
# # 10. From notebook to use
#
# A model in a notebook helps nobody yet. Three questions stand
# between it and its users. How good is it really, and can one trust
# what it says of itself? In which file does it leave? And who calls
# it: a script, another program, a web page? This tutorial answers
# them for a small model, with code that serves a large one too.
#
# > **You will be able to** judge a classifier by its interval and its
# > calibration, save and export it, and put it behind a web page.
# >
# > **You need** tutorial 4.
# >
# > **Time** {time}
# >
# > **Result** a page that names uploaded images, on this machine.
# >
# > **Paper** none: the paper ends before this. Calibration is from
# > [arXiv 1706.04599](https://arxiv.org/abs/1706.04599).

# %%
import contextlib
import email
import html
import http.server
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from importlib.util import find_spec

import keras_vit
import keras
import matplotlib.pyplot as plt
import numpy as np

BACKEND = keras.backend.backend()
to_numpy = keras.ops.convert_to_numpy
os.chdir(tempfile.mkdtemp())  # a new folder for all that follows

# %% [markdown]
# ## A model
#
# `train` does what `keras-vit train` does at a terminal: it trains a
# ViT on digits, tests it once, puts baselines beside it, and leaves a
# folder with all of it.

# %%
run = keras_vit.training.train(epochs=16, out="run")
model = run.model

# %% [markdown]
# ## How good is it?
#
# The test has 359 images. Another 359 would give another accuracy.
# The interval says how far the true one may be: with $k$ of $n$
# right, $p = k / n$ and $z = 1.96$ for 95 %, Wilson's is
#
# $$ \frac{p + \frac{z^2}{2n} \pm z \sqrt{\frac{p (1 - p)}{n}
#    + \frac{z^2}{4 n^2}}}{1 + \frac{z^2}{n}} $$

# %%
data = keras_vit.training.load_data(run)
batches = data.fixed_batches("test")
labels = data.labels("test")
images = np.stack([batches.image(i) for i in range(len(labels))])
assert images.shape == (359, 8, 8, 1)
logits = model.predict(images, verbose=0)
shares = to_numpy(keras.ops.softmax(logits))

right = shares.argmax(axis=1) == labels
n, p, z = len(right), right.mean(), 1.96
middle = p + z**2 / (2 * n)
half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
by_hand = np.array([middle - half, middle + half]) / (1 + z**2 / n)

found = keras_vit.training.evaluate(model, data)
np.testing.assert_allclose(found.accuracy, p)
np.testing.assert_allclose(found.interval, by_hand, atol=1e-4)
print(f"chance              {1 / data.num_classes:.1%}")
for name, accuracy in run.metrics["baselines"].items():
    print(f"{name:<19} {accuracy:.1%}")
low, high = found.interval
print(f"ViT-Mini/2          {p:.1%}, {low:.1%} to {high:.1%}")

# %% [markdown]
# ## Can one trust its confidence?
#
# A model that says "80 %" should be right in 80 % of these cases.
# Sort the images into 15 bins by their confidence; in each, compare
# the mean confidence with the accuracy. The mean distance, weighted
# by the images, is the expected calibration error (ECE).

# %%
confidence = shares.max(axis=1)
bin_of = np.ceil(confidence * 15) - 1
gaps = [
    abs(right[bin_of == b].sum() - confidence[bin_of == b].sum())
    for b in range(15)
]
np.testing.assert_allclose(
    found.calibration_error, sum(gaps) / n, atol=1e-6
)
print(f"ECE {found.calibration_error:.1%}")

# %% alt="Bars of accuracy over confidence, and images in each bin"
keras_vit.training.evaluation_plots.reliability(found)

# %% [markdown]
# **You should see** that nearly all images are in the last bin,
# where the bar meets the diagonal. The others hold a handful of
# images each: the lines, 95 % intervals, say that little is known
# there.
#
# ## Saving
#
# A `.keras` file holds the whole model: layers, weights, and how
# pixels are normalized. It opens on each of the three backends.

# %%
model.save("digits.keras")
again = keras.models.load_model("digits.keras")
np.testing.assert_array_equal(
    again.predict(images, verbose=0), logits
)

# %% [markdown]
# ## Exporting
#
# Who loads a `.keras` file needs Keras and keras_vit. A phone, a
# browser, or a server in another language has neither. An exported
# model is a graph of plain operations with its weights. Three formats
# are common: SavedModel (TensorFlow Serving), ONNX (ONNX Runtime,
# nearly everywhere) and LiteRT (phones). Each backend writes some of
# them; [the table](../docs/howto/export.md) says which. For each we
# write how it is opened and asked, outside of Keras.


# %%
def ask_saved_model(path, images):
    import tensorflow as tf

    program = tf.saved_model.load(path)  # it holds the weights
    return program.serve(images).numpy()


def ask_onnx(path, images):
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    [pixels] = session.get_inputs()
    return session.run(None, {pixels.name: images})[0]


def ask_litert(path, images):
    from ai_edge_litert.interpreter import Interpreter

    program = Interpreter(path)
    [pixels] = program.get_input_details()
    [answer] = program.get_output_details()
    program.resize_tensor_input(pixels["index"], images.shape)
    program.allocate_tensors()
    program.set_tensor(pixels["index"], images)
    program.invoke()
    return program.get_tensor(answer["index"])


WAYS = {  # backend: format, file, how to ask it, what it needs
    "jax": [
        ("tf_saved_model", "saved", ask_saved_model, "tensorflow"),
        ("onnx", "jax.onnx", ask_onnx, "jax2onnx onnxruntime"),
    ],
    "tensorflow": [
        ("tf_saved_model", "saved", ask_saved_model, "tensorflow"),
        ("litert", "tf.tflite", ask_litert, "ai_edge_litert"),
    ],
    "torch": [
        ("onnx", "torch.onnx", ask_onnx, "onnxscript onnxruntime")
    ],
}
pixels = images[:32].astype("float32")
fixed = keras.InputSpec(shape=pixels.shape, dtype="float32")
options = {"input_signature": [fixed]} if BACKEND == "torch" else {}
for kind, path, ask, needs in WAYS[BACKEND]:
    missing = [p for p in needs.split() if not find_spec(p)]
    if missing:
        print(f"{kind}: first pip install {' '.join(missing)}")
        continue
    model.export(path, format=kind, verbose=False, **options)
    answer = ask(path, pixels)
    np.testing.assert_allclose(answer, logits[:32], atol=1e-4)
    error = np.abs(answer - logits[:32]).max()
    print(f"{kind}: equal to Keras, at most {error:.0e} away")

# %% [markdown]
# The normalization of the pixels is a part of the model, so all of
# these take pixels from 0 to 255. There is nothing to forget.
#
# ## In a script
#
# A folder that `train` left is all that `keras-vit predict` needs. At
# a terminal it is `keras-vit predict run run/example.png`, and from a
# program:

# %%
example = pathlib.Path("run/example.png")  # a test image
command = [sys.executable, "-m", "keras_vit", "predict"]
printed = subprocess.run(
    [*command, "run", example], capture_output=True, text=True
).stdout
[expected] = keras_vit.training.predict(run, [example])
[(best, share), *_] = expected.classes
print(printed)
assert f"{example}: {best} " in printed

# %% [markdown]
# ## In a web page
#
# A page with a form, and the answer under it. Python's own library
# has a server that is good enough for one machine. `<meter>` draws
# the bars. What a visitor sends is never trusted: its size is
# limited, it goes to a file of ours with no name of theirs, and what
# is no image gets an answer that says so.

# %%
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8">
<title>Digits</title><h1>Which digit is it?</h1>
<form method="post" enctype="multipart/form-data">
<label>An image: <input type="file" name="image"></label>
<button>Name it</button></form>{result}</html>"""
ROW = '<p><meter value="{1:.4f}"></meter> {0}: {1:.1%}</p>'


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200, "")

    def do_POST(self):
        try:
            pathlib.Path("upload").write_bytes(self.sent_file())
            [found] = keras_vit.training.predict(run, ["upload"])
            rows = [
                ROW.format(html.escape(name), share)
                for name, share in found.classes
            ]
            self.answer(200, "".join(rows))
        except ValueError:
            self.answer(400, "<p>This is no image.</p>")

    def sent_file(self):
        size = int(self.headers["Content-Length"] or 0)
        if size > 10_000_000:
            raise ValueError("too large")
        kind = f"Content-Type: {self.headers['Content-Type']}\n\n"
        message = email.message_from_bytes(
            kind.encode() + self.rfile.read(size)
        )
        if not message.is_multipart():
            raise ValueError("no form")
        return message.get_payload(0).get_payload(decode=True)

    def answer(self, status, result):
        page = PAGE.format(result=result).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_):
        pass  # else every visit is a line here


# %% [markdown]
# It listens on 127.0.0.1, the loopback: only programs of this machine
# reach it. Port 0 means any that is free. A user would now open the
# address in a browser; here the tutorial is the browser.


# %%
@contextlib.contextmanager
def serving():
    with http.server.HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def upload(address, content):
    head = '--cut\nContent-Disposition: form-data; name="image"'
    body = f"{head}; filename=x\n\n".replace("\n", "\r\n").encode()
    request = urllib.request.Request(
        address,
        body + content + b"\r\n--cut--\r\n",
        {"Content-Type": "multipart/form-data; boundary=cut"},
    )
    with urllib.request.urlopen(request) as response:
        return response.read().decode()


with serving() as address:
    form = urllib.request.urlopen(address).read().decode()
    answer = upload(address, example.read_bytes())
assert "<form" in form and "<meter" not in form
rows = re.findall(r'value="(.+?)"></meter> (.+?):', answer)
assert [name for _, name in rows] == [
    c[0] for c in expected.classes
]
assert float(rows[0][0]) == round(share, 4)
print(re.sub("<p>", "\n<p>", answer.partition("</form>")[2]))

# %% alt="The image that was sent, and bars of the three classes"
figure, axes = plt.subplots(
    1,
    2,
    figsize=(7, 2.6),
    width_ratios=(1, 2),
    layout="constrained",
)
axes[0].imshow(plt.imread(example), cmap="gray")
axes[0].set_title("sent")
axes[0].set_axis_off()
names = [name for _, name in rows]
axes[1].barh(names, [float(value) for value, _ in rows])
axes[1].set(xlabel="probability", ylabel="class", xlim=(0, 1))
axes[1].set_title("what the page answers")
axes[1].invert_yaxis()
plt.show()

# %% [markdown]
# **You should see** the digit that was sent, and the three classes
# that the model takes it for, with how sure it is of each. For many
# visitors one takes a server made for that, and gives the model
# several images at a time.
#
# ## Exercises
#
# **Exercise 1.** A model that is too sure, or not sure enough, can be
# mended without training: divide all logits by a temperature $T$.
# Choose $T$ on one half of the test images, so that their loss is
# least. What changes on the other half: accuracy, loss, ECE?

# %% tags=["solution"]
measure = keras_vit.training.evaluation.metrics


def evaluated(T, half):
    outcomes = measure.compute_outcomes(
        logits[half] / T, labels[half]
    )
    return measure.summarize(outcomes, data.class_names)


chosen_on, tested_on = slice(0, None, 2), slice(1, None, 2)
temperatures = np.linspace(0.25, 4, 151)  # 1 is one of them
T = min(temperatures, key=lambda T: evaluated(T, chosen_on).loss)
print(f"T = {T:.2f}")
before, after = evaluated(1, tested_on), evaluated(T, tested_on)
for name, e in (("before", before), ("after", after)):
    print(
        f"{name:<7} {e.accuracy:.1%}, loss {e.loss:.3f}", end=", "
    )
    print(f"ECE {e.calibration_error:.1%}")
assert after.accuracy == before.accuracy  # no order has changed
assert evaluated(T, chosen_on).loss <= evaluated(1, chosen_on).loss

# %% [markdown]
# **Exercise 2.** How many times more test images make the interval
# half as wide?

# %% tags=["solution"]
wilson = keras_vit.training.evaluation.metrics.wilson
widths = [np.diff(wilson(p * m, m))[0] for m in (n, 4 * n)]
assert 1.9 < widths[0] / widths[1] < 2.2  # four times
print(f"{n} images: {widths[0]:.3f}, {4 * n}: {widths[1]:.3f}")

# %% [markdown]
# **Exercise 3.** What does the page say to a file that is no image?

# %% tags=["solution"]
status = None
with serving() as address:
    try:
        upload(address, b"I am no image.")
    except urllib.error.HTTPError as error:
        status, said = error.code, error.read().decode()
assert status == 400 and "no image" in said

# %% [markdown]
# ## What the paper reports, what we got, why they differ
#
# The paper gives accuracies as mean and deviation of three runs
# (Table 2), on tests of up to 50,000 images. We have one run and
# 359 images, so our interval is wide. Calibration, files and pages
# are not its subject.
#
# ## Next
#
# Your own images: `keras-vit check-data images/`, then
# `keras-vit train images/`. [Your own images](../docs/images.md)
# goes on from there. The web page of this tutorial serves such a run
# too.
