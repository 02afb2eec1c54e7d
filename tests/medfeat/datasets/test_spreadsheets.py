"""Tables as spreadsheets save them: encodings, delimiters, decimal commas, German and French columns, .xlsx."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
from PIL import Image

from medfeat.datasets import open_dataset
from medfeat.datasets.labels.table_file import read_table, translated
from medfeat.errors import DataError, MissingExtraError
from medfeat.types import SilentProgress

GERMAN = "Dateiname;Diagnose;Aufteilung;Größe\r\nbild/ä.png;gutartig;Training;1,5\r\nbild/b.png;bösartig;Test;2,5\r\n"
FRENCH = "fichier;étiquette;partition\nbild/ä.png;bénin;train\nbild/b.png;malin;test\n"


@pytest.fixture
def folder(tmp_path):
    for name in ("ä", "b"):
        (tmp_path / "bild").mkdir(exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), ord(name[0]), np.uint8)).save(tmp_path / "bild" / f"{name}.png")
    return tmp_path


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8", "utf-8-sig", "utf-16"])
def test_a_german_table_opens_as_excel_saves_it(folder, encoding):
    (folder / "tabelle.csv").write_bytes(GERMAN.encode(encoding))
    progress = SilentProgress()
    dataset = open_dataset(folder / "tabelle.csv", progress=progress)
    assert dataset.info.classes == ("bösartig", "gutartig")
    assert dataset.ids("all").tolist() == ["bild/b.png", "bild/ä.png"] and list(dataset.split) == ["test", "train"]
    said = "\n".join(progress.said)
    for column, usual in (("Dateiname", "path"), ("Diagnose", "label")):
        assert f"the column {column} is taken for the {usual}" in said
    assert ("Windows-1252" in said) == (encoding == "cp1252")


def test_a_french_table_opens_and_decimal_commas_are_numbers(folder):
    (folder / "f.csv").write_bytes(FRENCH.encode("cp1252"))
    assert open_dataset(folder / "f.csv").info.classes == ("bénin", "malin")
    (folder / "g.csv").write_bytes(GERMAN.encode("cp1252"))
    numbers = open_dataset(folder / "g.csv", label_column="Größe")
    assert numbers.info.task == "regression"
    assert numbers.labels("all").tolist() == [[2.5], [1.5]]  # by path


def test_english_names_go_before_others_and_two_others_are_refused(folder):
    (folder / "a.csv").write_text("path,label,Diagnose\nbild/b.png,x,y\n")
    assert "'x'" in _said(folder / "a.csv")
    (folder / "b.csv").write_text("path,Klasse,Diagnose\nbild/b.png,x,y\n")
    with pytest.raises(DataError, match="Klasse and Diagnose could both be the label; name one with --label-column"):
        open_dataset(folder / "b.csv")


def _said(path):
    progress = SilentProgress()
    open_dataset(path, progress=progress)
    return "\n".join(progress.said)


def test_names_are_read_without_capitals_accents_and_marks():
    assert [translated(name) for name in ("Datei-Name", "ÉTIQUETTE", "Nom du fichier", "path", "Alter")] == [
        "path", "label", "path", None, None,
    ]  # fmt: skip


@pytest.mark.parametrize("content", [bytes(range(256)), b"\xff\xfe\x00"])
def test_what_is_no_text_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"is no UTF-(8|16) text") as caught:
        read_table(tmp_path / "x.csv")
    assert "\n" not in str(caught.value)


def test_cells_keep_what_they_hold(tmp_path):
    (tmp_path / "x.csv").write_text('sep=;\na;b\n"one;\u2028two\nthree";4\n;\n', encoding="utf-8")
    rows = read_table(tmp_path / "x.csv").rows
    assert [cells for _, cells in rows] == [["a", "b"], ["one;\u2028two\nthree", "4"]]
    assert rows[0][0] == 2  # the line in the file


def test_new_labels_may_come_from_excel_too(tmp_path, capsys):
    from medfeat_cli.main import run

    there = ["--cache-dir", str(tmp_path / "stores")]
    assert run(["extract", "-d", "synthetic-binary", "-b", "stats", *there]) == 0
    counts = {"train": 400, "val": 80, "test": 160}
    rows = [f"{name}/{i};{'größer' if i % 2 else 'kleiner'}" for name, n in counts.items() for i in range(n)]
    (tmp_path / "neu.csv").write_bytes(("ID;Klasse\n" + "\n".join(rows) + "\n").encode("cp1252"))
    assert run(["probe", "--labels", str(tmp_path / "neu.csv"), "--resamples", "20", *there]) == 0
    said = capsys.readouterr()
    assert "the column ID is taken for the id" in said.err and "Windows-1252" in said.err
    assert "task neu" in said.out


def test_excel_needs_its_extra(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    (folder / "t.xlsx").write_bytes(b"PK")
    with pytest.raises(MissingExtraError, match=r"pip install 'medfeat\[excel\]'"):
        open_dataset(folder / "t.xlsx")


def test_an_excel_file_opens_as_a_csv_does(folder):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in [("Datei", "Klasse", "Patient", "Tag"), ("bild/ä.png", 1, 7.0, datetime.datetime(2024, 5, 1)),
                ("bild/b.png", 2, 8, None), (None, None, None, None)]:  # fmt: skip
        book.active.append(row)
    book.create_sheet("Notizen")
    book.save(folder / "t.xlsx")
    table = read_table(folder / "t.xlsx")
    assert table.rows[1][1] == ["bild/ä.png", "1", "7", "2024-05-01"]
    assert table.rows[2] == (3, ["bild/b.png", "2", "8", ""])
    assert "the first of 2 sheets is read, 'Sheet'" in table.said
    dataset = open_dataset(folder / "t.xlsx", patient_column="Patient")
    assert dataset.info.classes == ("1", "2") and dataset.patients.tolist() == ["8", "7"]


def test_a_damaged_excel_file_is_one_line(folder):
    pytest.importorskip("openpyxl")
    (folder / "t.xlsx").write_bytes(b"PK\x03\x04 and nothing more")
    with pytest.raises(DataError, match="is no readable") as caught:
        open_dataset(folder / "t.xlsx")
    assert "\n" not in str(caught.value)
