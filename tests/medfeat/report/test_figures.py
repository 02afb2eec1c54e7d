"""Figures hold what they claim, need no display, and leave nothing open."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medfeat.evaluation.compare.comparison import compare_dataset
from medfeat.evaluation.measures.threshold_curves import GRID, Line
from medfeat.report import figures, overview
from medfeat.report.page import curve_charts
from medfeat.workflows.probe import probe


@pytest.fixture
def run(make_store, cache_root):
    make_store(signal=0.5)
    return probe(head="linear", cache_dir=cache_root, resamples=50).runs[0]


def test_our_scores_stand_beside_published_ones_low_confidence_left_out(run, tmp_path):
    comparison = compare_dataset("bloodmnist", [run])
    figure = figures.scores_figure(comparison, metric="acc", each=2)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names[0] == "resnet18, linear probe, 28 enlarged to 224"
    assert "VGG-16, 28 enlarged to 227" not in names
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend[:2] == ["ours", "linear probe"]
    assert figures.save(figure, tmp_path / "deep" / "scores.png").stat().st_size > 5000


def test_runs_that_differ_in_their_embedding_alone_are_told_apart(run):
    pooled = (replace(run, store=run.store | {"embedding": how}) for how in ("avg, mean-concat", "avg, max-concat"))
    comparison = compare_dataset("bloodmnist", [*pooled, replace(run, backbone="resnet50")])
    names = [label.get_text() for label in figures.scores_figure(comparison).axes[0].get_yticklabels()]
    assert set(names[:3]) == {
        "resnet18, avg, mean-concat, linear probe, 28 enlarged to 224",
        "resnet18, avg, max-concat, linear probe, 28 enlarged to 224",
        "resnet50, linear probe, 28 enlarged to 224",
    }


def test_published_scores_alone_make_a_figure_too():
    assert figures.scores_figure(compare_dataset("synapsemnist3d", [])).axes[0].get_yticklabels()


def test_the_reliability_curve_shows_every_bin_and_the_ece(run):
    axes = figures.reliability_figure(run).axes[0]
    assert f"ECE {run.test.values['ece'].value:.3f}" in axes.get_title(loc="left")
    assert len(axes.lines[1].get_xdata()) == len(run.test.reliability)


def test_the_map_is_the_principal_components_of_standardised_features():
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    X = np.random.default_rng(0).normal(size=(60, 5)) @ np.diag([5, 3, 1, 1, 1])
    ours, share = figures.principal_components(X)
    pca = PCA(2).fit(StandardScaler().fit_transform(X))
    theirs = pca.transform(StandardScaler().fit_transform(X))
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-9)
    np.testing.assert_allclose(share, pca.explained_variance_ratio_)


def test_features_without_spread_lie_on_one_point_without_a_warning():
    points, share = figures.principal_components(np.ones((5, 1)))
    assert not points.any() and not share.any()


def test_drawing_leaves_no_figure_open(run):
    import matplotlib.pyplot as plt

    figures.reliability_figure(run)
    assert plt.get_fignums() == []


def test_the_curve_of_a_training_shows_each_epoch_and_the_one_val_chose():
    figure = figures.curve_figure([0.7, 0.5, 0.4], [0.6, 0.7, 0.8, 0.75], 2, "AUC")
    losses, scores = figure.axes
    np.testing.assert_array_equal(losses.lines[0].get_xydata(), [[1, 0.7], [2, 0.5], [3, 0.4]])
    np.testing.assert_array_equal(scores.lines[0].get_xydata(), [[0, 0.6], [1, 0.7], [2, 0.8], [3, 0.75]])
    np.testing.assert_array_equal(scores.lines[1].get_xydata(), [[2, 0.8]])
    assert scores.get_ylabel() == "AUC on val"


def test_the_overview_names_every_class_beside_the_map(run, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(overview, "save", lambda figure, path: drawn.append(figure) or path)
    X, labels = np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 3
    overview.overview_figure([run], X, labels, ("a", "b", "c"), tmp_path / "x.png", embedding="resnet18")
    right = drawn[0].axes[1]
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["a", "b", "c"]
    assert [len(part.get_offsets()) for part in right.collections] == [10, 10, 10]
    assert drawn[0].axes[0].get_yticklabels()[0].get_text() == "resnet18\nlinear"


@pytest.mark.parametrize(("names", "told"), [(["mild", "severe"], [["mild", "severe"]]), (["severe"], [])])
def test_curves_of_several_classes_are_named_and_a_single_one_needs_no_name(names, told):
    lines = [Line(name, GRID, GRID - 0.1, GRID + 0.1) for name in names]
    for figure in (curve_charts.roc_figure(lines), curve_charts.precision_figure(lines, [0.3] * len(lines))):
        assert [[text.get_text() for text in legend.get_texts()] for legend in figure.legends] == told
