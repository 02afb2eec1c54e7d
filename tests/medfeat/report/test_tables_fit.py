"""Tables fit a terminal: no name, number or interval is ever broken, columns go by rank, and it is said which."""

from __future__ import annotations

import io
import itertools
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from medfeat.report.tables import Table, fitted, terminal

INTERVAL, KEY = "0.740 [0.636, 0.820]", "878b280db666"
COLUMNS = ("backbone", "px", "head", "val AUC", "test AUC", "test ACC", "extract s", "Wh", "run", "note")
SCORES = (("0.895", INTERVAL, "0.756 [0.682, 0.818]"), ("0.6", INTERVAL, "0.581 [0.503, 0.656]"))
ROWS = (
    ("squeezenet1_1-random0", "28", "linear", *SCORES[0], "5.0", "0.03", KEY, "random weights"),
    ("stats", "28", "linear", *SCORES[1], "5.0", "0.03", "25c8c5378086", "baseline, seen twice"),
)
TABLE = Table(
    "breastmnist", COLUMNS, ROWS, ("a note",), less=("Wh", "extract s", "test ACC", "px", "run"), prose=("note",)
)
DIGEST = Table(
    "", ("field", "value"), (("digest", "7911ca06a46202285d759075bc1bc9c976fabb8c3ab668e682cf6c2d0e21fb5a"),)
)


def drawn(table: Table, width: int | None, *, colour: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width or 10_000, force_terminal=colour, no_color=not colour)
    for part in terminal([table], width):
        console.print(part)
    return out.getvalue()


@pytest.mark.parametrize(("width", "colour"), list(itertools.product([60, 80, 100, 160], [False, True])))
def test_nothing_but_prose_is_broken_and_no_line_is_too_long(width, colour):
    shown, gone = fitted(TABLE, width)
    text = drawn(TABLE, width, colour=colour)
    for row in shown.rows:
        assert all(cell in text for name, cell in zip(shown.columns, row, strict=True) if name != "note")
    if not colour:
        assert max(map(cell_len, text.splitlines())) <= width
    if gone:
        assert "not shown for want of width" in text and "--wide shows all" in text


def test_no_word_of_prose_is_broken_where_a_table_just_fits():
    rows = (("squeezenet1_1-random0", "linear", "0.895", INTERVAL, "random weights"),)
    text = drawn(Table("", ("backbone", "head", "val AUC", "test AUC", "note"), rows, prose=("note",)), 80)
    assert "random weights" in text


def test_columns_go_by_rank_and_those_without_rank_stay():
    narrow, gone = fitted(TABLE, 80)
    assert set(narrow.columns) >= {"backbone", "head", "val AUC", "test AUC", "note"}
    assert set(gone) == {"Wh", "extract s", "test ACC", "px", "run"}
    shorter = Table("", ("backbone", "px", "head", "run"), (("b" * 20, "28", "linear", KEY),), less=("px", "run"))
    assert fitted(shorter, 38)[1] == ("run",)  # without the key there is room for px again
    assert fitted(TABLE, 200) == (TABLE, ())
    assert fitted(TABLE, None) == (TABLE, ())


def test_a_column_that_tells_two_rows_apart_stays():
    rows = (("resnet18", "28", "avg"), ("resnet18", "28", "cls"))
    table = Table("", ("backbone", "px", "a long name of a column_______________"), rows, less=table_less())
    shown, gone = fitted(table, 20)
    assert "a long name of a column_______________" in shown.columns and gone == ("px",)


def table_less() -> tuple[str, ...]:
    return ("a long name of a column_______________", "px")


PAPERS = Table(
    "", ("system", "AUC", "ACC", "pixels"), (("a" * 20, "–", "0.851", "28 native"), ("b" * 20, "–", "0.863", "224")),
    less=("ACC", "pixels"), either=("AUC", "ACC"),
)  # fmt: skip


def test_a_column_of_dashes_goes_before_all_others():
    shown, gone = fitted(PAPERS, 46)
    assert shown.columns == ("system", "ACC", "pixels") and gone == ("AUC",)
    assert fitted(PAPERS, 60) == (PAPERS, ())


def test_the_only_score_of_a_row_stays_whatever_its_rank():
    rows = (("a" * 20, INTERVAL, INTERVAL, "28 native"), ("b" * 20, "–", "0.863", "224"))
    shown, gone = fitted(replace(PAPERS, rows=rows), 60)
    assert shown.columns == ("system", "AUC", "ACC") and gone == ("pixels", "intervals of ACC")
    assert shown.rows[0] == ("a" * 20, INTERVAL, "0.740")
    both = tuple((*row[:1], INTERVAL, *row[2:]) for row in rows)
    assert fitted(replace(PAPERS, rows=both), 60)[1] == ("ACC",)
    none = tuple((*row[:2], "–", *row[3:]) for row in rows)  # nothing is lost with a dash
    assert fitted(replace(PAPERS, rows=none), 60)[1] == ("ACC",)


def test_intervals_go_before_columns_where_a_curve_is_read_along_a_row():
    row = ("gaussian noise", *[INTERVAL] * 4, "0.602")
    curve = Table("", ("kind", "0", "1", "3", "5", "mean"), (row,), less=("3", "0"), bare=("3", "1", "5", "0"))
    shown, gone = fitted(curve, 100)
    assert shown.columns == curve.columns and gone == ("intervals of 3, 1",)
    assert shown.rows == (("gaussian noise", INTERVAL, "0.740", "0.740", INTERVAL, "0.602"),)
    assert fitted(curve, 60)[1] == ("intervals of 3, 1, 5, 0",)
    assert fitted(curve, 50)[1] == ("3", "intervals of 1, 5, 0")
    assert fitted(curve, 200) == (curve, ())


def test_a_table_stays_one_where_even_bare_scores_are_too_wide():
    rows = (("a" * 20, INTERVAL, INTERVAL, "28 native"), ("b" * 20, "–", "0.863", "224"))
    shown, gone = fitted(replace(PAPERS, rows=rows), 48)
    assert shown.columns == ("system", "AUC") and gone == ("pixels", "ACC")


def test_a_table_of_long_names_loses_the_intervals_of_its_scores_before_it_becomes_lines():
    names = ("timm:test_resnet.r160_in1k", "timm:test_resnet.r160_in1k-random0")
    rows = tuple((name, "finetune", "0.635", INTERVAL, "random weights") for name in names)
    table = Table("", ("backbone", "head", "val", "test", "note"), rows, prose=("note",), either=("test",))
    shown, gone = fitted(table, 80)
    assert gone == ("intervals of test",) and shown.rows[0] == (*rows[0][:3], "0.740", "random weights")
    assert INTERVAL in drawn(table, 60), "of lines each has room for its interval"
    assert fitted(table, 100) == (table, ())


def test_an_empty_column_of_some_rank_takes_no_place():
    table = Table("", ("id", "note"), (("a", ""), ("b", "")), less=("note",))
    assert fitted(table, None)[0].columns == ("id",)


def test_what_fits_nowhere_becomes_lines_with_every_cell_whole():
    text = drawn(DIGEST, 40)
    assert text.replace("\n", "") == f"digest  {DIGEST.rows[0][1]}"
    assert f"digest\n    {DIGEST.rows[0][1]}\n" in drawn(DIGEST, 70)  # there it is whole on a line of its own
    wide = Table("runs", ("key", "backbone", "test AUC"), (("k" * 12, "b" * 60, INTERVAL),))
    lines = drawn(wide, 60).splitlines()
    assert any(line.endswith(INTERVAL) for line in lines) and any(line.endswith("b" * 48) for line in lines)


def test_a_command_in_a_note_is_never_broken_into_lines():
    command = "`medfeat extract --data breastmnist --backbone stats,pixels --data-root /somewhere/far/away/from/here`"
    out = io.StringIO()
    console = Console(file=out, width=60)
    from rich.text import Text

    for part in terminal([Table("", ("a",), (("b",),), (command,))], 60):
        console.print(part, soft_wrap=isinstance(part, Text))
    assert command in out.getvalue()


def test_a_title_is_as_long_as_the_terminal_lets_it_not_as_its_table():
    title = "befund: efficientnet_lite0, linear, confusion on test"
    assert title in drawn(Table(title, ("truth", "a"), (("a", "6"), ("b", "0"))), 80)
