"""A CSV that names images: `path,label[,split,patient]`, every problem told with its line."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from medfeat.datasets.labels import BadLabel, Labelling, one_column, several_columns
from medfeat.datasets.listing import SPLIT_NAMES, Listing
from medfeat.errors import DataError
from medfeat.types import TaskType, as_names

DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Columns:
    """Which columns hold what; None stands for ``path``, ``label``, ``split`` and ``patient`` where they are."""

    path: str | None = None
    label: str | Sequence[str] | None = None
    split: str | None = None
    patient: str | None = None


@dataclass(frozen=True)
class _Row:
    line: int
    cells: dict[str, str]


def list_csv(file: Path, name: str, *, root: Path, columns: Columns, task: TaskType | None) -> Listing:
    """List the images a CSV names.

    Parameters
    ----------
    file
        UTF-8; the delimiter is the one of comma, semicolon and tab that the header uses.
    name
        Of the set.
    root
        The folder paths start from. A path may not leave it: ids are paths relative to the root, and a store must
        stay true when the folder moves.
    columns
        Which columns hold what.
    task
        What the labels mean; None tells it from the labels.

    Raises
    ------
    DataError
        Naming the line: a column that is not there, a row of another length, an image named twice or outside the
        root, an empty cell, a split that is none, a patient in two splits. A file that is missing is no such
        error: its image is reported as bad.
    """
    header, rows = _read(file)
    if not rows:
        raise DataError(f"{file} has a header and no rows; a row names an image")
    path_column = _column(file, header, columns.path, "path", needed=True) or ""
    ids = _ids(file, rows, path_column, root)
    split_column = _column(file, header, columns.split, "split")
    patient_column = _column(file, header, columns.patient, "patient")
    split = _splits(file, rows, split_column) if split_column else None
    patients = _filled(file, rows, patient_column) if patient_column else None
    if split and patients:
        _refuse_shared_patients(file, rows, split, patients)
    return Listing(
        name=name,
        source="csv",
        root=root,
        ids=tuple(ids),
        labelling=_labelling(file, rows, header, columns.label, task),
        split=split,
        patients=patients,
        where=tuple(f"line {row.line} of {file.name}" for row in rows),
    )


def _read(file: Path) -> tuple[list[str], list[_Row]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is no UTF-8 text (byte {error.start}); save it as UTF-8") from error
    first = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
    header: list[str] = []
    rows: list[_Row] = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            stripped = [cell.strip() for cell in cells]
            if not header:
                header = _checked_header(file, stripped)
            else:
                rows.append(_row(file, reader.line_num, header, stripped))
    except csv.Error as error:
        raise DataError(f"{file}, line {reader.line_num}: {error}; check the quotes of this line") from error
    if not header:
        raise DataError(f"{file} is empty; it needs a header such as path,label and a row an image")
    return header, rows


def _checked_header(file: Path, header: list[str]) -> list[str]:
    twice = [name for i, name in enumerate(header) if name in header[:i]]
    if twice:
        raise DataError(f"{file}, line 1: the column {twice[0]!r} is there twice; rename one")
    return header


def _row(file: Path, line: int, header: list[str], cells: list[str]) -> _Row:
    if len(cells) != len(header):
        raise DataError(f"{file}, line {line}: {len(cells)} cells where the header has {len(header)}; check this line")
    return _Row(line, dict(zip(header, cells, strict=True)))


def _column(file: Path, header: list[str], asked: str | None, usual: str, *, needed: bool = False) -> str | None:
    name = asked or usual
    if name in header:
        return name
    if asked or needed:
        raise DataError(f"{file}, line 1: no column {name!r}; it has {', '.join(header)}: name one of these")
    return None


def _ids(file: Path, rows: list[_Row], column: str, root: Path) -> list[str]:
    seen: dict[str, int] = {}
    for row in rows:
        written = row.cells[column]
        if not written:
            raise DataError(f"{file}, line {row.line}: the path is empty; name an image")
        name = _inside(written, root)
        if name is None:
            raise DataError(
                f"{file}, line {row.line}: {written} lies outside {root}; name a folder that holds all images "
                "with --data-root"
            )
        if name in seen:
            raise DataError(f"{file}, line {row.line}: {written} is named in line {seen[name]} already; remove one")
        seen[name] = row.line
    return list(seen)


def _inside(written: str, root: Path) -> str | None:
    """Return the path relative to the root, None when it lies outside; links are taken at their word."""
    found = root / written
    if "\\" in written and not found.exists():
        found = root / written.replace("\\", "/")  # written on Windows
    relative = os.path.relpath(os.path.normpath(found.absolute()), os.path.normpath(root.absolute()))
    path = PurePosixPath(Path(relative).as_posix())
    return None if path.is_absolute() or path.parts[:1] == ("..",) or str(path) == "." else str(path)


def _splits(file: Path, rows: list[_Row], column: str) -> tuple[str, ...]:
    for row in rows:
        if row.cells[column].lower() not in SPLIT_NAMES:
            raise DataError(
                f"{file}, line {row.line}: {column} must be train, val or test, got {row.cells[column]!r}; "
                "fill it for every image, or leave the column out"
            )
    return tuple(SPLIT_NAMES[row.cells[column].lower()] for row in rows)


def _filled(file: Path, rows: list[_Row], column: str) -> tuple[str, ...]:
    for row in rows:
        if not row.cells[column]:
            raise DataError(
                f"{file}, line {row.line}: {column} is empty; fill it for every image, or leave the column out"
            )
    return tuple(row.cells[column] for row in rows)


def _refuse_shared_patients(file: Path, rows: list[_Row], split: Sequence[str], patients: Sequence[str]) -> None:
    first: dict[str, int] = {}
    for i, patient in enumerate(patients):
        seen = first.setdefault(patient, i)
        if split[seen] != split[i]:
            raise DataError(
                f"{file}, line {rows[i].line}: patient {patient} is in {split[i]} here and in {split[seen]} in line "
                f"{rows[seen].line}; give each patient one split, or leave the column out"
            )


def _labelling(
    file: Path, rows: list[_Row], header: list[str], asked: str | Sequence[str] | None, task: TaskType | None
) -> Labelling | None:
    names = as_names(asked) if asked is not None else ("label",) if "label" in header else ()
    for name in names:
        _column(file, header, name, "label")
    columns = [[row.cells[name] for row in rows] for name in names]
    try:
        if len(names) > 1:
            return several_columns(columns, names, task)
        return one_column(columns[0], names[0], task) if names else None
    except BadLabel as error:
        raise DataError(f"{file}, line {rows[error.row].line}: {error}") from error
