"""Tables say the same in a terminal, in Markdown, in CSV and as plain text."""

from __future__ import annotations

import csv
import io
import re
from types import SimpleNamespace

from medfeat.report.comparison_tables import network_names
from medfeat.report.pivot import pivot_table
from medfeat.report.stores import store_table
from medfeat.report.tables import Table, csv_text, latex, markdown, number, plain, terminal, with_interval
from medfeat.types import Interval
from medfeat_cache import find_stores

TABLE = Table("Title", ("name", "AUC"), (("ours", "0.9"), ("a|b", "0.8")), ("a note",), strong=frozenset({0}))


def test_markdown_aligns_numbers_sets_ours_in_bold_and_escapes_bars():
    text = markdown([TABLE])
    assert "### Title" in text and "- a note" in text
    assert "| --- | ---: |" in text
    assert "| **ours** | **0.9** |" in text
    assert r"a\|b" in text


def test_csv_reads_back_and_repeats_no_header():
    rows = list(csv.reader(io.StringIO(csv_text([TABLE, TABLE]))))
    assert rows == [["name", "AUC"], ["ours", "0.9"], ["a|b", "0.8"], ["ours", "0.9"], ["a|b", "0.8"]]


def test_tables_with_other_columns_follow_after_an_empty_line():
    other = Table("", ("x",), (("1",),))
    assert csv_text([TABLE, other]).endswith("0.8\n\nx\n1\n")


def test_plain_text_is_tab_separated_with_title_and_notes():
    assert plain([TABLE]) == "Title\nname\tAUC\nours\t0.9\na|b\t0.8\na note\n"


def test_the_terminal_shows_every_word():
    from rich.console import Console

    console = Console(width=100, record=True, file=io.StringIO())
    for part in terminal([TABLE], 100):
        console.print(part)
    text = console.export_text()
    assert all(word in text for word in ("Title", "name", "AUC", "ours", "0.9", "a|b", "a note"))


def test_numbers_and_intervals():
    assert number(None) == number(float("nan")) == "–"
    assert with_interval(Interval(0.5, 0.4, 0.6)) == "0.500 [0.400, 0.600]"
    assert with_interval(Interval(0.5, float("nan"), float("nan"))) == "0.500"


def test_latex_escapes_what_it_reserves_and_sets_ours_in_bold():
    text = latex(
        [Table("R&D", ("a_b", "AUC"), (("x & y%", "0.9"), ("\\cmd{}", "0.8")), ("50 % < all",), frozenset({0}))]
    )
    assert r"\caption{R\&D}" in text and r"\begin{tabular}{lr}" in text and r"a\_b & AUC \\" in text
    assert r"\textbf{x \& y\%} & \textbf{0.9} \\" in text
    assert r"\textbackslash{}cmd\{\} & 0.8 \\" in text and r"50 \% \textless{} all" in text


def test_a_pivot_has_networks_down_and_datasets_across_each_by_what_val_prefers(make_store, cache_root):
    from medfeat.workflows.probe import probe

    for dataset, task in (("bloodmnist", "multi-class"), ("ages", "regression")):
        for backbone, signal in (("weak", 0.3), ("strong", 1.0)):
            make_store(dataset=dataset, backbone=backbone, task=task, signal=signal)
    make_store(dataset="bloodmnist", backbone="lone")
    report = probe(head="linear,knn,ridge", cache_dir=cache_root, resamples=20)
    table = report.pivot()
    assert table.columns == ("network", "ages R2", "bloodmnist AUC")
    assert {row[0] for row in table.rows} == {"strong", "weak", "lone"}
    cell = next(row for row in table.rows if row[0] == "strong")[2]
    best = max((r for r in report.runs if r.backbone == "strong" and r.dataset == "bloodmnist"),
               key=lambda run: run.val.auc.value)  # fmt: skip
    assert cell == f"{best.test.auc.value:.3f} {best.head}"
    assert table.notes[0].startswith("each with the head that val prefers")
    alone = pivot_table([run for run in report.runs if run.head == "linear"])
    assert {cell for row in alone.rows for cell in row[1:]} == {
        f"{run.test.auc.value:.3f}" for run in report.runs if run.head == "linear"
    }
    assert alone.notes[0].startswith("head linear; ")
    assert next(row for row in table.rows if row[0] == "lone")[1] == ""


def test_a_store_was_made_at_a_minute(make_store, cache_root):
    make_store(n=(4, 2, 2))
    (header,) = find_stores(cache_root)
    made = dict(
        zip((table := store_table([header], {header.digest: "bloodmnist"})).columns, table.rows[0], strict=True)
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", made["made"])
    assert (made["digest"], made["dataset"], made["rows"]) == (header.digest[:12], "bloodmnist", "4 + 2 + 2")


def test_a_name_has_no_comma_where_nothing_follows_and_twins_go_by_how_they_were_trained():
    def run(embedding, **more):
        how = {"training": "kNN", "pixels": "28 native", **more}
        return SimpleNamespace(backbone="stats", weights="", head="knn", protocol=how, store={"embedding": embedding})

    assert network_names([run(""), run("", class_weight="balanced")]) == ["stats", "stats"]
    assert network_names([run("avg"), run("avg", class_weight="balanced")]) == ["stats", "stats"]
    assert network_names([run(""), run("avg")]) == ["stats", "stats, avg"]
