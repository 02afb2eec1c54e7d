"""`compare`: published rows for each of the 18 sets, ours beside them, in four forms; the course table in full."""

from __future__ import annotations

import csv
import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
from rich.table import Table as Drawn

from medfeat.errors import DataError, UsageError
from medfeat.evaluation.compare import published
from medfeat.evaluation.compare.paired import compare_runs
from medfeat.report.comparison_tables import comparison_table
from medfeat.report.tables import fitted, terminal
from medfeat.workflows.compare import compare
from medfeat.workflows.probe import probe


@pytest.mark.parametrize("dataset", published.datasets())
def test_published_rows_are_shown_with_protocol_source_and_confidence_even_when_nothing_has_been_run(
    dataset, cache_root
):
    text = compare(dataset, cache_dir=cache_root).render()
    for row in published.rows(dataset):
        assert any(
            all(word in line for word in (row.system, row.training, row.pixels, row.source, row.confidence))
            for line in text.splitlines()
        )
    assert "none of ours yet" in text


def test_the_course_table_prints_in_full_when_nothing_has_been_run(cache_root):
    text = compare(course=True, cache_dir=cache_root).render()
    assert all(name in text for name in (*published.COURSE_SYSTEMS, "Google AutoML Vision (baseline)"))
    assert "bloodmnist our ACC" in text and "0 of 22" in text
    assert len(text.splitlines()) >= 2 + 16


def test_the_course_table_has_our_number_where_a_network_has_been_run(make_store, cache_root):
    make_store(backbone="resnet18")
    probe(head="linear", cache_dir=cache_root, resamples=20)
    text = compare(course=True, cache_dir=cache_root).render("markdown")
    (line,) = [line for line in text.splitlines() if line.startswith("| ResNet-18 |")]
    assert "linear probe, 28 enlarged to 224" in line and "1 of 22" in text


def test_our_run_stands_in_the_table_with_its_interval_and_flags(make_store, cache_root):
    make_store(backbone="resnet18", backbone_info={"origin": "random"})
    (run,) = probe(head="linear", cache_dir=cache_root, resamples=20).runs
    text = compare(cache_dir=cache_root).render()
    val, test = (f"{found.auc.value:.3f}" for found in (run.val, run.test))
    assert f"ours: resnet18 (random weights)\t{val}\tlinear probe\t28 enlarged to 224\t{test} [" in text
    assert "≠" in text and "vs resnet18 linear" in text


def test_no_row_loses_its_only_score_for_want_of_width(make_store, cache_root):
    """Some papers give ACC alone: beside AUC with an interval, at 80 columns, it was the first to go."""
    make_store(backbone="efficientnet_lite0")
    probe(head="linear", cache_dir=cache_root, resamples=20)
    rows = {name: published.rows(name) for name in published.datasets()}
    assert any(row.auc is None and row.acc is not None for row in rows["bloodmnist"])
    for one in compare("all", cache_dir=cache_root).comparisons:
        table = comparison_table(one)
        shown, _ = fitted(table, 80)
        (drawn,) = (part for part in terminal([table], 80) if isinstance(part, Drawn))  # and does not turn into lines
        assert drawn.row_count == len(table.rows)
        scores = [i for i, column in enumerate(shown.columns) if column in ("AUC", "ACC")]
        words = {row[0].partition(" (chosen")[0]: [row[i] for i in scores] for row in shown.rows}
        for row in rows[one.dataset]:
            assert set(words[row.system]) != {"–"} or (row.auc, row.acc) == (None, None), (one.dataset, row.system)


def test_markdown_csv_and_json_hold_the_comparison(make_store, cache_root):
    make_store(backbone="resnet18")
    make_store(backbone="vgg16", signal=0.5)
    probe(head="linear", cache_dir=cache_root, resamples=20)
    report = compare(cache_dir=cache_root)
    n = len(published.rows("bloodmnist"))
    assert report.render("markdown").count("\n| ") >= n + 2
    lines = list(csv.DictReader(io.StringIO(report.render("csv"))))
    assert len(lines) == 2 * n
    assert {line["AUC inside"] for line in lines} <= {"yes", "no", ""}
    facts = json.loads(report.render("json"))["comparisons"][0]
    assert len(facts["pairs"]) == 2 * n and len(facts["runs"]) == 2
    pair = facts["pairs"][0]
    assert facts["published"][pair["published"]]["training"] == "linear probe"
    assert set(pair["acc"]) == {"difference", "inside"}


def test_our_runs_are_compared_in_pairs_on_the_same_test_samples(make_store, cache_root):
    make_store(backbone="strong")
    make_store(backbone="weak", signal=0.2)
    make_store(backbone="twin", recipe={"pool": "max"})
    probe(head="linear", cache_dir=cache_root, resamples=20)
    report = compare(cache_dir=cache_root, paired=True)
    found = {(one.metric, one.second.split()[0]): one for _, one in report.differences}
    assert len(found) == 4
    best = report.comparisons[0].runs[0].backbone
    assert best in ("strong", "twin")
    assert found["auc", "weak"].p_holm < 0.01 and found["auc", "weak"].difference.low > 0
    other = "twin" if best == "strong" else "strong"
    assert found["auc", other].p_holm == 1.0 and found["auc", other].difference.value == 0.0
    assert "p by Holm" in report.render()


def test_runs_on_other_samples_are_not_compared_in_pairs(make_store, cache_root):
    make_store()
    make_store(backbone="vgg16", n=(240, 80, 60))
    probe(head="linear", cache_dir=cache_root, resamples=20)
    report = compare(cache_dir=cache_root, paired=True)
    assert report.differences == () and len(report.comparisons[0].runs) == 2
    assert "did not score the same samples" in report.notes[0]


def test_pairs_are_in_every_format_undefined_ones_too(make_store, cache_root):
    for backbone in ("resnet18", "vgg16"):
        make_store(backbone=backbone, change=lambda group, y: np.where(y == 3, 2, y) if group == "test" else y)
    probe(head="linear", cache_dir=cache_root, resamples=20)
    report = compare(cache_dir=cache_root, paired=True)
    assert "p by Holm" in report.render("csv")
    assert json.loads(report.render("json"))["differences"][0]["metric"] == "auc"


def test_a_run_without_intervals_claims_nothing_about_published_values(make_store, cache_root):
    make_store(backbone_info={"overlap": ["bloodmnist"]})
    probe(head="linear", cache_dir=cache_root, resamples=0)
    report = compare(cache_dir=cache_root)
    lines = list(csv.DictReader(io.StringIO(report.render("csv"))))
    assert {line["AUC inside"] for line in lines} == {line["AUC low"] for line in lines} == {""}
    assert "overlaps" in lines[0]["our cautions"]
    assert "•" not in report.render().split("vs: ours")[0]


def test_the_official_question_under_another_name_is_another_run(make_store, cache_root):
    make_store()
    named = probe(name="mine", head="linear", cache_dir=cache_root, resamples=20).runs[0]
    official = probe(head="linear", cache_dir=cache_root, resamples=20).runs[0]
    assert not official.reused and official.key != named.key
    assert [run.key for run in compare(cache_dir=cache_root).comparisons[0].runs] == [official.key]


def test_runs_of_several_embeddings_are_told_apart(make_store, cache_root):
    make_store(recipe={"pool": "avg"})
    make_store(recipe={"pool": "max"})
    probe(head="linear", cache_dir=cache_root, resamples=20)
    text = compare(cache_dir=cache_root).render()
    assert "ours: resnet18, avg\t" in text and "ours: resnet18, max\t" in text


def test_the_spread_over_seeds_is_shown_and_not_called_an_interval(make_store, cache_root):
    make_store()
    for seed in (0, 1, 2):
        probe(head="mlp", seed=seed, cache_dir=cache_root, resamples=20)
    probe(head="mlp", seed=2, cache_dir=cache_root, resamples=40)  # the same seed again is no further one
    (note,) = [line for line in compare(cache_dir=cache_root).render().splitlines() if "over 3 seeds" in line]
    assert "not a confidence interval" in note


def test_runs_can_be_narrowed_down(make_store, cache_root):
    make_store(backbone="resnet18")
    make_store(backbone="vgg16")
    probe(head="linear", cache_dir=cache_root, resamples=20)
    assert [run.backbone for run in compare(backbone="vgg16", cache_dir=cache_root).comparisons[0].runs] == ["vgg16"]
    with pytest.raises(UsageError, match="unknown backbone of a run 'resnet81': did you mean resnet18"):
        compare(backbone="resnet81", cache_dir=cache_root)
    with pytest.raises(UsageError, match="head of a run 'knn'"):
        compare("bloodmnist", head="knn", cache_dir=cache_root)
    assert len(compare(backbone="all", cache_dir=cache_root).comparisons[0].runs) == 2


def test_the_course_s_table_has_sets_of_its_own(cache_root):
    with pytest.raises(UsageError, match="bloodmnist and octmnist: leave --data out"):
        compare("breastmnist", course=True, cache_dir=cache_root)


def test_all_names_every_published_dataset(cache_root):
    assert len(compare("all", cache_dir=cache_root).comparisons) == 18


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "run `medfeat probe .*` first"),
        ({"data": "bloodmist"}, "did you mean bloodmnist"),
    ],
)
def test_nothing_to_compare_is_one_clear_line(cache_root, options, said):
    with pytest.raises(UsageError, match=said) as caught:
        compare(cache_dir=cache_root, **options)
    assert "\n" not in str(caught.value)


def test_an_unknown_format_is_refused(cache_root):
    with pytest.raises(UsageError, match="format must be one of table, markdown, csv, latex, json, got 'xml'"):
        compare("bloodmnist", cache_dir=cache_root).render("xml")


@pytest.mark.parametrize("changed", ["labels", "ids", "images"])
def test_runs_with_equal_ids_and_other_labels_are_not_compared(tmp_path, changed):
    """The same images under another question, or other images under the same names: no difference of scores is one."""
    rng, y = np.random.default_rng(0), np.arange(30)[:, None] % 3
    ids = np.array([f"test/{i}" for i in range(30)])

    def run(name, *, labels=y, names=ids, images="one"):
        folder = tmp_path / name
        folder.mkdir()
        empty = {"val_ids": ids[:0], "val_labels": y[:0], "val_scores": np.zeros((0, 3))}
        np.savez(
            folder / "scores.npz", test_ids=names, test_labels=labels, test_scores=rng.dirichlet([1] * 3, 30), **empty
        )
        task = {"type": "multi-class", "images": images}
        same = {"backbone": "net", "weights": "", "head": "linear", "protocol": {}, "store": {}}
        return SimpleNamespace(folder=folder, key=name * 12, task=task, **same)

    first, second = run("a"), run("b")
    assert len(compare_runs([first, second], resamples=20)) == 1
    other = {"labels": {"labels": (y + 1) % 3}, "ids": {"names": np.char.add(ids, "x")}, "images": {"images": "two"}}
    with pytest.raises(DataError, match="did not score the same samples"):
        compare_runs([first, run("c", **other[changed])], resamples=20)
