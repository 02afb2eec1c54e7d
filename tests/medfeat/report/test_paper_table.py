"""A comparison fits a paper: a line a run, short intervals, few published rows, and the best of a column in bold."""

from __future__ import annotations

from types import SimpleNamespace

from medfeat.evaluation.compare.comparison import Comparison, compare_dataset
from medfeat.report.paper_table import paper_table
from medfeat.report.tables import latex
from medfeat.types import Interval


def run(backbone, auc, *, kind="multi-class", second=0.8, **protocol):
    names = ("r2", "mae") if kind == "regression" else ("auc", "acc")
    values = {names[0]: Interval(auc, auc - 0.1, 1.0), names[1]: Interval(second, 0.75, 0.85)}
    how = {"training": "linear probe", "pixels": "native 224", "refit": False, "seed": 0, **protocol}
    scores = SimpleNamespace(n=1200, values=values, **values)
    return SimpleNamespace(
        dataset="bloodmnist", backbone=backbone, weights="", head="linear", size=224, key=backbone, test=scores,
        val=scores, protocol=how, task={"name": "official", "type": kind}, store={"embedding": ""}, cautions=(),
        headline=names,
    )  # fmt: skip


def test_a_run_is_a_line_with_a_short_interval_and_published_rows_are_few():
    table = paper_table(compare_dataset("bloodmnist", [run("a", 0.93), run("b", 0.95, class_weight="balanced")]))
    assert [row[:2] for row in table.rows[:2]] == [
        ("b", "linear probe, class weights balanced"),
        ("a", "linear probe"),
    ]
    assert table.rows[1][3:] == ("0.930 [.830, 1.000]", "0.800 [.750, .850]", "ours")
    theirs = table.rows[2:]
    assert 4 < len(theirs) < 15 and table.ruled == {2}
    assert {"linear probe", "fine-tuned"} <= {row[1] for row in theirs}
    assert all(row[1:3] == ("linear probe", "native 224") for row in theirs[:3]), "those like ours stand first"


def test_the_best_of_each_column_is_bold_whoever_has_it():
    table = paper_table(compare_dataset("bloodmnist", [run("a", 0.93, second=0.9999), run("b", 0.95)]))
    scores = [float(row[3].split()[0]) for row in table.rows if row[3] != "–"]
    best = max(scores)
    assert {i for i, column in table.bold if column == 3} == {
        i for i, row in enumerate(table.rows) if row[3].startswith(f"{best:.3f}")
    }
    assert {i for i, column in table.bold if column == 4} == {1}, "of ours, sorted by val"
    text = latex([table])
    assert r"\textbf{1.000} {\scriptsize [.750, .850]}" in text and text.count(r"\midrule") == 2


def test_of_an_error_the_lowest_is_best_and_nothing_is_published_on_own_images():
    runs = (run("a", 0.5, kind="regression", second=3.0), run("b", 0.4, kind="regression", second=2.0))
    table = paper_table(Comparison("ages", runs, ()))
    assert table.columns == ("System", "Training", "Pixels", "R2", "MAE")
    assert table.bold == {(0, 3), (1, 4)} and table.ruled == frozenset()
