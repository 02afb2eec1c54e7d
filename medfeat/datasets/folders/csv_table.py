"""A CSV that names images: `path,label[,split,patient]`, every problem told with its line."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from medfeat.comma_lists import as_names
from medfeat.counted import counted
from medfeat.datasets.folders.file_list import FileList
from medfeat.datasets.folders.gather_series import numbered_patients
from medfeat.datasets.folders.named_series import named_series
from medfeat.datasets.labels.class_spelling import BadLabel
from medfeat.datasets.labels.labelling import Labelling, one_column, several_columns
from medfeat.datasets.labels.patients import nobody, one_spelling
from medfeat.datasets.labels.table_file import read_table, translated
from medfeat.datasets.splits.split_column import BadSplit, find_split
from medfeat.datasets.splits.split_names import splits_in_paths
from medfeat.errors import DataError
from medfeat.types import Progress, TaskType, Volumes

_LIKE_PATIENTS = (
    "patients", "patientid", "patientids", "subject", "subjects", "subjectid", "pid", "mrn",
    "patientenid", "patientennummer", "patientennr", "patientin", "idpatient", "numeropatient",
)  # fmt: skip


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


@dataclass(frozen=True)
class _Sheet:
    file: Path
    header_line: int
    header: list[str]
    rows: list[_Row]

    def problem(self, line: int, what: str) -> DataError:
        return DataError(f"{self.file}, line {line}: {what}")


def list_csv(
    file: Path,
    name: str,
    *,
    root: Path,
    columns: Columns,
    task: TaskType | None,
    wanted: Sequence[str] = (),
    volumes: Volumes | None = None,
    progress: Progress,
) -> FileList:
    """List the images a CSV names.

    Parameters
    ----------
    file
        As `medfeat.datasets.labels.table_file.read_table` takes it: a CSV or an ``.xlsx``.
    name
        Of the set.
    root
        The folder paths start from. A path may not leave it: ids are paths relative to the root, and a store must
        stay true when the folder moves.
    columns
        Which columns hold what.
    task
        What the labels mean; None tells it from the labels.
    wanted
        The classes in their order; empty takes them from the labels.
    volumes
        ``series`` takes a folder that is named for the DICOM series in it.
    progress
        Told of a column that is taken for the split, of one that looks like one of patients and is not used, and of
        how labels were read.

    Raises
    ------
    DataError
        Naming the line: a column that is not there, a row of another length, an image named twice or outside the
        root, an empty cell, a split that is none, a patient in two splits. A file that is missing is no such
        error: its image is reported as bad.
    """
    sheet = _read(file, progress)
    if not sheet.rows:
        raise DataError(f"{file} has a header and no rows; a row names an image")
    path_column = _column(sheet, columns.path, "path", progress, needed=True) or ""
    ids = _ids(sheet, path_column, root)
    patient_column = _column(sheet, columns.patient, "patient", progress)
    labels = _label_columns(sheet, columns.label, progress)
    where = tuple(f"line {row.line} of {file.name}" for row in sheet.rows)
    series, headers = named_series(root, dict(zip(ids, where, strict=True)), progress) if volumes else ({}, {})
    used = [name for name in (path_column, patient_column, *labels) if name is not None]
    split_columns, split = _splits(sheet, columns.split, used, progress)
    if split is None and columns.split is None and len(splits := splits_in_paths(ids)) > 1:
        progress.say(
            f"{file}: paths speak of splits ({', '.join(sorted(splits))}), such as {ids[0]}, and no column does; to "
            "keep these, add a column split"
        )
    if patient_column is None:
        _say_unused_patients(sheet, (*used, *split_columns), progress)
    patients = _patients(sheet, patient_column, progress) if patient_column else None
    if volumes and patients is None:
        patients = numbered_patients(ids, headers, progress)
    if split and patients:
        _refuse_shared_patients(sheet, split, patients)
    return FileList(
        name=name,
        source="csv",
        root=root,
        ids=tuple(ids),
        labelling=_labelling(sheet, labels, task, wanted, progress),
        split=split,
        patients=patients,
        where=where,
        series=series,
    )


def _read(file: Path, progress: Progress) -> _Sheet:
    table = read_table(file)
    for line in table.said:
        progress.say(f"{file}: {line}")
    if not table.rows:
        raise DataError(f"{file} is empty; it needs a header such as path,label and a row an image")
    return _sheet(file, *table.rows[0], list(table.rows[1:]))


def _sheet(file: Path, header_line: int, header: list[str], found: list[tuple[int, list[str]]]) -> _Sheet:
    """Check the rows against the header, and drop columns without name and value, as Excel adds them."""
    named = max(i + 1 for i, name in enumerate(header) if name)
    for line, cells in found:
        if not named <= len(cells) <= len(header):
            there = counted(len(cells), "cell")
            raise DataError(f"{file}, line {line}: {there} where the header has {len(header)}; check this line")
    filled = [(line, cells + [""] * (len(header) - len(cells))) for line, cells in found]
    kept = [i for i, name in enumerate(header) if name or any(cells[i] for _, cells in filled)]
    names = [header[i] for i in kept]
    twice = [name for i, name in enumerate(names) if name in names[:i]]
    if twice:
        raise DataError(f"{file}, line {header_line}: the column {twice[0]!r} is there twice; rename one")
    rows = [_Row(line, {header[i]: cells[i] for i in kept}) for line, cells in filled]
    return _Sheet(file, header_line, names, rows)


def _column(sheet: _Sheet, asked: str | None, usual: str, progress: Progress, *, needed: bool = False) -> str | None:
    """Return the column that was asked for, or the one of the usual name: in capitals or not, in German or French."""
    name = asked or usual
    if asked in sheet.header:
        return asked
    alike = [column for column in sheet.header if column.lower() == usual] if not asked else []
    foreign = [column for column in sheet.header if translated(column) == usual] if not (asked or alike) else []
    if len(foreign) == 1:
        progress.say(f"{sheet.file}: the column {foreign[0]} is taken for the {usual}; --{usual}-column names another")
    alike = alike or foreign
    if len(alike) > 1:
        raise sheet.problem(
            sheet.header_line, f"{' and '.join(alike)} could both be the {usual}; name one with --{usual}-column"
        )
    if alike:
        return alike[0]
    if asked or needed:
        found = ", ".join(sheet.header)
        raise sheet.problem(sheet.header_line, f"no column {name!r}; it has {found}: name one of these")
    return None


def _label_columns(sheet: _Sheet, asked: str | Sequence[str] | None, progress: Progress) -> tuple[str, ...]:
    if asked is None:
        found = _column(sheet, None, "label", progress)
        return (found,) if found is not None else ()
    names = as_names(asked)
    for name in names:
        _column(sheet, name, "label", progress)
    return tuple(names)


def _say_unused_patients(sheet: _Sheet, used: Sequence[str | None], progress: Progress) -> None:
    """Say which column could hold patients: without it one patient's images may fall into two splits."""
    for column in sheet.header:
        if column not in used and re.sub(r"[^a-z]", "", column.lower()) in _LIKE_PATIENTS:
            progress.say(
                f"{sheet.file}: the column {column} is not used, and images of one patient may fall into two splits; "
                f"say --patient-column {column} if it tells patients"
            )


def _ids(sheet: _Sheet, column: str, root: Path) -> list[str]:
    seen: dict[str, int] = {}
    for row in sheet.rows:
        written = row.cells[column]
        if not written:
            raise sheet.problem(row.line, "the path is empty; name an image")
        name = _inside(written, root)
        if name is None:
            raise sheet.problem(
                row.line, f"{written} lies outside {root}; name a folder that holds all images with --data-root"
            )
        if name in seen:
            raise sheet.problem(row.line, f"{written} is named in line {seen[name]} already; remove one")
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


def _splits(
    sheet: _Sheet, asked: str | None, used: Sequence[str], progress: Progress
) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    """Return the columns that tell the split, and the split of each row."""
    cells = {name: [row.cells[name] for row in sheet.rows] for name in sheet.header if name not in used}
    usual = _column(sheet, None, "split", progress) if asked is None else None
    try:
        found = find_split(cells, asked or usual, asked=asked is not None)
    except BadSplit as error:
        line = sheet.rows[error.row].line if error.row is not None else sheet.header_line
        raise sheet.problem(line, str(error)) from error
    if found.said:
        progress.say(f"{sheet.file}: {found.said}")
    return found.columns, found.split


def _patients(sheet: _Sheet, column: str, progress: Progress) -> tuple[str, ...]:
    written = [row.cells[column] for row in sheet.rows]
    for place in nobody(written)[:1]:
        found = f"is {written[place]!r}, which names nobody" if written[place] else "is empty"
        raise sheet.problem(
            sheet.rows[place].line, f"{column} {found}; fill it for every image, or leave the column out"
        )
    patients, said = one_spelling(written)
    if said:
        progress.say(f"{sheet.file}: {said}")
    return patients


def _refuse_shared_patients(sheet: _Sheet, split: Sequence[str], patients: Sequence[str]) -> None:
    first: dict[str, int] = {}
    for i, patient in enumerate(patients):
        seen = first.setdefault(patient, i)
        if split[seen] != split[i]:
            raise sheet.problem(
                sheet.rows[i].line,
                f"patient {patient} is in {split[i]} here and in {split[seen]} in line {sheet.rows[seen].line}; "
                "give each patient one split, or leave the column out",
            )


def _labelling(
    sheet: _Sheet, names: Sequence[str], task: TaskType | None, wanted: Sequence[str], progress: Progress
) -> Labelling | None:
    if not names:
        return None
    columns = [[row.cells[name] for row in sheet.rows] for name in names]
    try:
        if len(names) > 1:
            found = several_columns(columns, names, task, wanted)
        else:
            found = one_column(columns[0], names[0], task, wanted)
    except BadLabel as error:
        raise DataError(error.told(sheet.file, [f"line {row.line}" for row in sheet.rows])) from error
    for line in found.said:
        progress.say(f"{sheet.file}: {line}")
    return found
