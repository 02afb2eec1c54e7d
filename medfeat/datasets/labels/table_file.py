"""A table that a person saved, as rows of texts: a CSV by any spreadsheet, or an Excel file."""

from __future__ import annotations

import csv
import datetime
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medfeat.errors import DataError, MissingExtraError
from medfeat_cache.reading import TABLE_BYTES, read_bounded

TABLES = (".csv", ".xlsx")
_DELIMITERS = ",;\t"
_SAID_DELIMITER = re.compile(r"\"?sep=([,;\t|])\"?", re.IGNORECASE)
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
# What columns are called in German and French tables, folded as `_folded` does; English names are the usual ones. What
# tells the split is known by what it holds, whatever it is called.
_TRANSLATED = {
    "path": (
        "pfad", "dateipfad", "bildpfad", "datei", "dateiname", "bild", "bilddatei",
        "chemin", "fichier", "nomdufichier", "nomdefichier", "nomfichier",
    ),
    "label": ("etikett", "klasse", "diagnose", "befund", "etiquette", "classe", "diagnostic"),
}  # fmt: skip


@dataclass(frozen=True)
class TableFile:
    """What a file holds.

    Attributes
    ----------
    rows
        Number of the line (or row) and its cells, blanks around them gone; rows without any cell are left out.
    said
        How it was read, where that is not the plain way.
    """

    rows: tuple[tuple[int, list[str]], ...]
    said: tuple[str, ...] = ()


def read_table(path: Path) -> TableFile:
    """Read a table.

    Parameters
    ----------
    path
        A CSV in UTF-8, UTF-16 with its mark, or else Windows-1252, as Excel saves it in Western Europe, which is said.
        The delimiter is the one of comma, semicolon and tab that the first line uses, or what a first line ``sep=;``
        says. Or an ``.xlsx``, whose first sheet is read.

    Raises
    ------
    DataError
        It is no text, or no such table; a fault of a line is named with its number.
    MissingExtraError
        An ``.xlsx`` needs the package openpyxl.
    OSError
        It cannot be read.
    """
    if path.suffix.lower() == ".xlsx":
        return _read_excel(path)
    text, said = _decoded(path, read_bounded(path, TABLE_BYTES))
    lines = list(io.StringIO(text, newline=""))
    first = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    if named := _SAID_DELIMITER.fullmatch(first.rstrip("\r")):
        delimiter = named.group(1)
        lines[:1] = ["\n"]  # the lines below keep their numbers
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        rows = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}; check the quotes of this line") from error
    return TableFile(_filled(rows), said)


def _filled(rows: Iterable[tuple[int, list[str]]]) -> tuple[tuple[int, list[str]], ...]:
    return tuple((line, cells) for line, cells in rows if any(cells))


def _decoded(path: Path, content: bytes) -> tuple[str, tuple[str, ...]]:
    """Return the text of a file and how it was read, where that was a guess."""
    if content.startswith(_UTF16):
        try:
            return content.decode("utf-16"), ()
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is no UTF-16 text (byte {error.start}); save it as UTF-8") from error
    try:
        return content.decode("utf-8-sig"), ()
    except UnicodeDecodeError as error:
        at = error.start
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError:
        text = "\0"
    if _CONTROL.search(text):
        raise DataError(f"{path} is no UTF-8 text (byte {at}), nor one of Windows-1252; save it as UTF-8")
    strange = next((line for line in text.splitlines() if not line.isascii()), "")
    example = re.search(r"\w*[^\x00-\x7f]\w*", strange)
    shown = f": {example[0]!r}" if example else ""
    return text, (f"no UTF-8, and read as Windows-1252, as Excel saves it{shown}; save it as UTF-8 if that is wrong",)


def _read_excel(path: Path) -> TableFile:
    try:
        import openpyxl
    except ImportError as error:
        raise MissingExtraError.of("Excel files need", "openpyxl", "excel", error) from error
    content = read_bounded(path, TABLE_BYTES)
    try:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        sheet = book.worksheets[0]
        rows = _filled(_cells(path, sheet.iter_rows(values_only=True)))
    except DataError:
        raise
    # A damaged or hostile file can fail in any way; whatever it is, it is no table.
    except Exception as error:
        raise DataError(f"{path} is no readable .xlsx ({type(error).__name__}); save it again, or as CSV") from error
    more = len(book.worksheets) - 1
    said = (f"the first of {more + 1} sheets is read, {sheet.title!r}",) if more else ()
    book.close()
    return TableFile(rows, said)


def _cells(path: Path, rows: Iterable[Sequence[Any]]) -> Iterator[tuple[int, list[str]]]:
    """Spell the values of a sheet, in bounded memory: a small file may unpack to very many."""
    letters = 0
    for number, row in enumerate(rows, 1):
        cells = list(map(_spelled, row))
        letters += sum(map(len, cells)) + len(cells)
        if letters > TABLE_BYTES:
            raise DataError(f"{path} holds more than {TABLE_BYTES >> 20} MB of cells: it was not read")
        yield number, cells


def _spelled(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime.datetime):
        return value.date().isoformat() if value.time() == datetime.time() else value.isoformat(" ")
    return str(value).strip()


def translated(column: str) -> str | None:
    """Return which of ``path`` and ``label`` a German or French name of a column stands for, if any.

    Examples
    --------
    >>> translated("Dateiname"), translated("Étiquette"), translated("Alter")
    ('path', 'label', None)
    """
    plain = _folded(column)
    return next((usual for usual, names in _TRANSLATED.items() if plain in names), None)


def _folded(column: str) -> str:
    """Return the letters of a name in small ones, without accents and marks."""
    apart = unicodedata.normalize("NFKD", column.casefold())
    return "".join(letter for letter in apart if letter.isalnum())
