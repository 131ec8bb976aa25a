"""Table 8 and Figure 13: models, conclusions from made-up rows, and drawings."""

import numpy as np
import pytest

import keras_vit
from keras_vit import studies
from keras_vit.studies import architecture

pytest.importorskip("sklearn")

figure_13 = studies.load("figure-13")
table_8 = studies.load("table-8")


def positions(**accuracies):
    """Made-up rows of Table 8: three seeds around each accuracy."""
    return [
        {"positions": kind, "placement": "stem", "seed": seed, "accuracy": mean + 0.004 * seed}
        for seed in (-1, 0, 1)
        for kind, mean in (("1d" if kind == "one" else kind, m) for kind, m in accuracies.items())
    ]


@pytest.mark.backend_free
def test_table_8_says_whether_positions_help():
    said = table_8.conclusion(positions(one=0.70, none=0.60, relative=0.702))
    assert "%: +10.0 points. All" in said
    assert "70.0 to 70.2 %; clearly different from 1-D: none" in said
    said = table_8.conclusion(positions(one=0.70, none=0.701, relative=0.80))
    assert "-0.1 points (unclear)" in said
    assert "clearly different from 1-D: relative" in said
    assert "must be trained" in table_8.conclusion(positions(one=0.7, relative=0.8))
    assert "No other kind" in table_8.conclusion(positions(one=0.7, none=0.6))


@pytest.mark.backend_free
def test_table_8_draws_gains_over_the_default():
    ours, papers = table_8.plot(positions(one=0.70, none=0.60, relative=0.71)).axes
    assert [text.get_text() for text in ours.get_yticklabels()] == ["1-D", "none", "relative"]
    np.testing.assert_allclose(ours.lines[2].get_xdata(), [-10.4, -10, -9.6], atol=1e-9)
    drawn = [float(line.get_xdata()[0]) for line in papers.lines[:3]]
    np.testing.assert_allclose(drawn, [0, -2.824, -0.174], atol=1e-9)  # Table 8, by hand
    assert table_8.plot(positions(relative=0.71)[:1])


@pytest.mark.slow
def test_table_8_runs_and_counts_what_positions_learn():
    settings = {**table_8.runs("tiny")[0], "steps": 2, "images": 50, "num_layers": 1}
    expected = {"none": 0, "1d": 17 * 32, "2d": 8 * 16 + 32, "relative": 33 * 32, "sincos": 0}
    for kind in ("2d", "relative"):
        found = table_8.run(**{**settings, "positions": kind})
        assert found["position_parameters"] == expected[kind] and 0 <= found["accuracy"] <= 1


def axial(vit, rows_and_columns, deep=None):
    """Made-up rows of Figure 13: two seeds around each accuracy."""
    models = {("ViT", "4/4"): (vit, 100), ("Axial-ViT", "4/4"): (rows_and_columns, 180)}
    models |= {("ViT", "8/4"): (deep, 200)} if deep else {}
    return [
        {"family": family, "size": size, "seed": seed, "accuracy": mean + 0.002 * seed}
        | {"multiply_adds": cost, "step_seconds": cost / 1000}
        for seed in (1, -1)
        for (family, size), (mean, cost) in models.items()
    ]


@pytest.mark.backend_free
def test_figure_13_says_what_axial_blocks_give_and_cost():
    said = figure_13.conclusion(axial(0.6, 0.65, deep=0.7))
    assert "against ViT: +5.0 points, 1.80 times the multiply-adds, 1.8 times the time" in said
    assert "4/4 is worse" in said and "with 0.90 of" in said
    said = figure_13.conclusion(axial(0.6, 0.55, deep=0.5))
    assert "-5.0 points, " in said and "is better" in said
    said = figure_13.conclusion(axial(0.6, 0.601, deep=0.601))
    assert "+0.1 points (unclear)" in said and "is not clearly different" in said
    assert "No ViT of twice the layers" in figure_13.conclusion(axial(0.6, 0.7))
    assert "must be trained" in figure_13.conclusion(axial(0.6, 0.7)[:1])


@pytest.mark.backend_free
def test_figure_13_draws_both_costs():
    rows = axial(0.6, 0.65)
    rows[0]["step_seconds"] = 0.3  # of two seeds, 0.3 and 0.1 seconds, the median is drawn
    compute, time = figure_13.plot(rows).axes
    drawn = [
        [bars.lines[0].get_xydata()[0] for bars in axes.containers] for axes in (compute, time)
    ]
    np.testing.assert_allclose(drawn[0], [[100e-6, 60], [180e-6, 65]])
    np.testing.assert_allclose(drawn[1], [[200, 60], [180, 65]])
    assert [text.get_text() for text in compute.get_legend().get_texts()] == ["ViT", "Axial-ViT"]
    assert "0.9 times the time of a step" in figure_13.conclusion(rows)


FAMILIES = {"ViT": keras_vit.ViT, "Axial-ViT": keras_vit.ablations.AxialViT}
FAMILIES |= {"ResNet": keras_vit.ResNet, "AxialResNet": keras_vit.ablations.AxialResNet}


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_figure_13_builds_its_families(family):
    size = "4/4" if "ViT" in family else "(1, 1)"
    model = architecture.build(family, size, "tiny", {"image_size": 16, "num_channels": 1})
    assert type(model) is FAMILIES[family]
    assert getattr(model, "pooling", "gap") == "gap"


@pytest.mark.weekly
def test_figure_13_runs():
    settings = next(s for s in figure_13.runs("tiny") if s["family"] == "Axial-ViT")
    found = figure_13.run(**{**settings, "steps": 2, "images": 50})
    model = architecture.build("Axial-ViT", "4/4", "tiny", {"image_size": 16, "num_channels": 1})
    same_but_head = keras_vit.accounting.count(model).parameters - 990 * 33
    assert found["parameters"] == same_but_head and found["step_seconds"] > 0
