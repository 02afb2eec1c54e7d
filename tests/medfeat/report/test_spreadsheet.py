"""CSVs that a spreadsheet opens hold no formula that came from outside, and read back as numbers where they were."""

from __future__ import annotations

import csv

import pytest

from medfeat.report.spreadsheet import write_csv
from medfeat.report.tables import Table, csv_text


@pytest.mark.parametrize("text", ["=HYPERLINK(0)", "+1+cmd", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "  =1", "-inf x"])
def test_text_that_would_be_a_formula_is_text(tmp_path, text):
    path, shown = tmp_path / "out.csv", "'" + text.replace("\r", "\\r")
    write_csv(path, [["id"], [text]], "writing", "choose another")
    with path.open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file))[1] == [shown]
    [cell] = next(csv.reader([csv_text([Table("", ("id",), ((text,),))]).split("\n", 1)[1]]))
    assert not cell.lstrip().startswith(("=", "+", "-", "@"))


@pytest.mark.parametrize("number", ["-0.5", "+1e-3", "-inf", "nan", "7", ""])
def test_numbers_stay_numbers(tmp_path, number):
    write_csv(tmp_path / "out.csv", [[number]], "writing", "choose another")
    assert next(csv.reader([(tmp_path / "out.csv").read_text()]), [""]) == ([number] if number else [""])
