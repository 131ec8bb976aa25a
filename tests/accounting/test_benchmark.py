"""The benchmark's arithmetic and its messages; no time is asserted."""

import importlib.util
import json

import numpy as np
import peers
import pytest
import scores
import speed

from keras_vit.studies.lab import paired

TINY = peers.Setup("ViT-Mini/4", image_size=8, batch_size=3, num_classes=5, num_layers=1)
TINY_OPTIONS = [
    *("--model", "ViT-Mini/4", "--image-size", "8", "--num-layers", "1", "--num-classes", "5"),
    *("--batch-size", "3"),
]


@pytest.mark.backend_free
def test_turns_alternate_and_warmup_is_not_timed():
    calls = []
    turns = {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}
    seconds = paired.measure(turns, rounds=3, warmup=1)
    assert calls == ["a", "b"] * 4
    assert {name: len(times) for name, times in seconds.items()} == {"a": 3, "b": 3}


@pytest.mark.backend_free
def test_speedup_is_the_median_of_each_rounds_ratio():
    # Ratios 2, 1.5, 1, 4: their median is 1.75, while the ratio of the median times is 1.25.
    assert paired.speedup([1, 2, 4, 1], [2, 3, 4, 4])[0] == 1.75


@pytest.mark.backend_free
def test_quartiles_of_hand_computed_values():
    assert paired.speedup([1, 1, 1, 1, 1], [7, 3, 5, 2, 11]) == (5, 3, 7)
    assert paired.speedup([2], [3]) == (1.5, 1.5, 1.5)


@pytest.mark.backend_free
def test_speedup_refuses_rounds_that_do_not_pair():
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        paired.speedup([1, 2], [3])


@pytest.mark.backend_free
def test_rate_is_images_per_second_of_the_median_turn():
    assert paired.rate([4, 2, 1], images=8) == 4


@pytest.mark.backend_free
def test_setup_keeps_the_named_sizes_but_for_the_layers():
    assert peers.Setup("ViT-S/16").variant == (12, 384, 1536, 6, 16)
    assert peers.Setup("ViT-S/16", num_layers=2).variant == (2, 384, 1536, 6, 16)


@pytest.mark.backend_free
def test_contenders_get_the_same_batch():
    (images, labels), (again, labels_again) = TINY.batch(), TINY.batch()
    assert images.shape == (3, 8, 8, 3) and images.dtype == "float32"
    assert labels.max() < 5
    np.testing.assert_array_equal(images, again)
    np.testing.assert_array_equal(labels, labels_again)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", peers.OPTIMIZERS)
def test_training_lowers_the_loss(optimizer):
    contender = peers.build("ours", TINY._replace(optimizer=optimizer))
    losses = [contender.train(*TINY.batch()) for _ in range(10)]
    assert losses[0] == pytest.approx(np.log(5), rel=1e-5)  # a zero head: all classes equal
    assert losses[-1] < losses[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["keras", "matmul", "einsum", "kernel"])
def test_changed_models_compute_the_same(name):
    ours, changed = peers.build("ours", TINY), peers.build(name, TINY)
    rng = np.random.default_rng(11)
    weights = [rng.normal(size=w.shape) for w in ours.model.get_weights()]
    ours.model.set_weights(weights)
    changed.model.set_weights(weights)
    images, _ = TINY.batch()
    np.testing.assert_allclose(changed.predict(images), ours.predict(images), rtol=1e-4, atol=1e-4)


@pytest.mark.backend_free
@pytest.mark.parametrize(
    "name, package", [("kerashub", "keras-hub"), ("flax", "flax"), ("timm", "timm")]
)
def test_missing_peer_names_the_command(name, package, monkeypatch):
    monkeypatch.setattr(peers.keras.backend, "backend", lambda: peers.ON.get(name, "jax"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    with pytest.raises(ImportError, match=f"Run: pip install {package}$"):
        peers.check(name, TINY)


@pytest.mark.backend_free
@pytest.mark.parametrize("name, needed", [("flax", "jax"), ("timm", "torch")])
def test_a_peer_names_the_backend_and_the_dtype_that_it_needs(name, needed, monkeypatch):
    monkeypatch.setattr(peers.keras.backend, "backend", lambda: "tensorflow")
    with pytest.raises(ValueError, match=f"needs KERAS_BACKEND={needed}. Received: 'tensorflow'"):
        peers.check(name, TINY)
    monkeypatch.setattr(peers.keras.backend, "backend", lambda: needed)
    with pytest.raises(ValueError, match="computes in float32. Received: dtype='mixed_bfloat16'"):
        peers.check(name, TINY._replace(dtype="mixed_bfloat16"))


def test_timm_has_the_same_parameters_and_trains():
    """Its head starts at random and ours at zero, so only the sizes are comparable."""
    pytest.importorskip("timm", reason="needs: pip install timm")
    if peers.keras.backend.backend() != "torch":
        pytest.skip("timm computes with PyTorch")
    timm, ours = peers.build("timm", TINY), peers.build("ours", TINY)
    assert timm.parameters == ours.parameters
    losses = [timm.train(*TINY.batch()) for _ in range(10)]
    assert losses[-1] < losses[0]
    assert timm.predict(TINY.batch()[0]).shape == (3, 5)


@pytest.mark.backend_free
def test_unknown_peer_ends_the_command_in_one_line():
    with pytest.raises(
        SystemExit, match="A peer is one of .*kerashub, flax, timm. Received: 'torchvision'."
    ) as e:
        speed.main(["--peers", "torchvision"])
    assert "\n" not in str(e.value)


def test_command_prints_tables_and_writes_every_time(tmp_path, capsys):
    file = tmp_path / "speed.json"
    options = ["--peers", "--mode", "predict", "--rounds", "3", "--fresh", "0", "--json", str(file)]
    speed.main([*TINY_OPTIONS, *options])
    parameters = peers.build("ours", TINY).parameters
    assert f"| ours | {parameters:,} |" in capsys.readouterr().out
    written = json.loads(file.read_text())
    assert len(written["predict"]["ours"]) == 3
    assert "train" not in written
    assert "--rounds 3" in written["environment"]["command"]


@pytest.mark.backend_free
def test_fresh_table_takes_medians():
    keys = ("create_s", "first_step_s", "second_step_s", "peak_mib")
    runs = [dict(zip(keys, values, strict=True)) for values in ((1, 9, 3, 5), (2, 4, 4, 7))]
    assert "| ours | 1.50 | 6.50 | 3.50 | 6 |" in speed.fresh_table({"ours": runs})


@pytest.mark.slow
def test_scores_and_predictions_are_measured_in_turns(capsys):
    tiny = ["--model", "ViT-Mini/8", "--image-size", "16", "--batch-size", "2", "--rounds", "2"]
    scores.main(tiny)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "2 images, ViT-Mini/8, medians of 2 rounds"
    assert [line.split(":")[0] for line in lines[2:4]] == ["predict_on_batch", "attention_scores"]
    assert lines[4].startswith("ratio ")
