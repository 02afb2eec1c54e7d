"""Sentences are broken between words; commands, intervals, names and columns of a line stay as they are."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from medfeat.report.folded import beside, folded
from medfeat.report.tables import Table, terminal

COMMAND = "`medfeat extract --data 'my scans' --backbone stats`"


@pytest.mark.parametrize("width", [30, 52, 80])
def test_no_word_command_or_interval_is_broken(width):
    text = f"unknown head 'lineal' of 0.907 [0.813, 0.954] (run {COMMAND}, or ask /a/folder/somewhere/else.csv)"
    lines = folded(text, width).split("\n")
    assert " ".join(lines) == text
    assert any("0.907 [0.813, 0.954]" in line for line in lines) and any(COMMAND in line for line in lines)
    assert all(cell_len(line) <= width or line.startswith(COMMAND) for line in lines)


def test_what_fits_is_left_alone_and_columns_stay_apart():
    assert folded("wrote  a.h5", 80) == "wrote  a.h5"
    assert folded("  1600 x 512  41.6 images/s  on cpu", 26) == "  1600 x 512  41.6\n  images/s  on cpu"


def test_a_long_cell_goes_on_below_itself():
    assert beside("found  ", "a b c d e", 12) == "found  a b c\n       d e"
    assert beside("a long name of a cell  ", "word", 10) == "a long name of a cell\n    word"
    assert beside("a name  ", "longer than the line", 10) == "a name\n    longer\n    than\n    the\n    line"
    assert beside("a long name of a cell  ", "unbreakable", 10) == "a long name of a cell  unbreakable"


def drawn(table: Table, width: int) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width)
    for part in terminal([table], width):
        console.print(part, soft_wrap=isinstance(part, Text))
    return out.getvalue()


def test_notes_and_tables_as_lines_are_broken_between_words():
    found = "weights are not on this machine: get them where there is a network"
    table = Table("", ("check", "state", "found"), (("k" * 40, "note", found),), (f"none yet: {COMMAND} makes one",))
    lines = drawn(table, 58).splitlines()
    assert "found  weights are not on this machine: get them where" in lines and "       there is a network" in lines
    assert f" {COMMAND} makes" in lines or f" {COMMAND}" in lines
    assert max(map(len, lines)) <= 62


def test_a_table_whose_rows_and_columns_are_of_one_rank_is_turned_where_it_fits_then():
    sets = ("breastmnist AUC", "synthetic-binary AUC", "synthetic-ordinal AUC", "synthetic-multilabel AUC")
    table = Table("Test scores", ("network", *sets), (("squeezenet1_1", *["0.899"] * 4), ("stats", *["0.7"] * 4)),
                  turns=True)  # fmt: skip
    assert "network " in drawn(table, 120).splitlines()[2]
    narrow = drawn(table, 60).splitlines()
    assert narrow[2].split() == ["network", "squeezenet1_1", "stats"]
    assert [line.split()[0] for line in narrow[4:8]] == [name.split()[0] for name in sets]
