"""A task from a CSV of the user's: `id` (or `path`), label or labels, and if known `split` and `patient`."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from medfeat.errors import DataError, MissingFileError
from medfeat.tasks.binding import images_of
from medfeat.tasks.check import check_task, examples, repeats
from medfeat.tasks.fusion import Readable
from medfeat.tasks.label_paths import refuse_other_files
from medfeat.tasks.official import official
from medfeat.types import IdArray, LabelArray, Task, TaskType

ID_COLUMNS = ("id", "path")
OTHER_COLUMNS = ("split", "patient")


@dataclass(frozen=True)
class _Table:
    """The rows of a CSV that have a label: their ids and cells, by column."""

    path: Path
    ids: IdArray
    cells: dict[str, list[str]]
    labels: tuple[str, ...]


def from_csv(
    path: Path,
    store: Readable,
    *,
    name: str | None = None,
    task_type: TaskType | None = None,
    columns: Sequence[str] = (),
    partial: bool = False,
    seed: int = 0,
) -> Task:
    """Read new labels for the samples of a store.

    One label column holds classes (words or whole numbers; ``a|b`` for several at once) or, with fractions or when
    `task_type` asks for it, the numbers of a regression; several label columns are 0/1 labels, or targets. The split
    is that of the file's column ``split``, else the dataset's own, else drawn from `seed`, stratified and by patient.

    Parameters
    ----------
    path
        UTF-8; comma, semicolon or tab. Paths may be longer than the ids they end in.
    store
        Whose samples are labelled; every row of the file must be one of them.
    name
        Of the task; by default the file's name.
    task_type
        What the labels mean; None tells it from the labels.
    columns
        The label columns; by default all but ``id``, ``path``, ``split`` and ``patient``.
    partial
        Leave stored samples without a label out of the task, instead of refusing.
    seed
        Of the split, where one is drawn.

    Raises
    ------
    MissingFileError
        There is no such file.
    DataError
        Columns that are not there; ids that are unknown, missing or given twice; labels or splits that cannot be meant.
    """
    stored = np.concatenate([store.ids(group) for group in store.groups])
    table = _read(path, tuple(columns), stored)
    refuse_other_files(path, table.ids, table.cells.get("path", ()), store)
    missing = np.setdiff1d(stored, table.ids)
    if len(missing) and not partial:
        raise DataError(
            f"{path}: {len(missing)} of {len(stored)} stored ids have no label: {examples(missing)}; "
            "label them, or allow this with --partial"
        )
    kind, classes, labels = _labels(table, task_type)
    own = _own_task(store)
    group = _patients(table) if "patient" in table.cells else _looked_up(own, table.ids, "group")
    split, how = _split(table, own, labels, group, seed)
    left_out = f", {len(missing)} samples without a label left out" if len(missing) else ""
    return check_task(
        Task(
            name=name or path.stem,
            task_type=kind,
            classes=classes,
            ids=table.ids,
            labels=labels,
            split=split,
            group=group,
            origin=f"labels of {path.name}, {how}{left_out}",
            images=images_of(store),
        )
    )


def _patients(table: _Table) -> IdArray:
    """Return the patient of each row; nobody is not a patient, and would be one that half the images share."""
    patients = np.array(table.cells["patient"])
    unknown = table.ids[patients == ""]
    if len(unknown):
        raise DataError(
            f"{table.path}: {len(unknown)} rows have no patient: {examples(unknown)}; "
            "name one in each (the image's own id where nothing is known), or leave the column out"
        )
    return patients


def _read(path: Path, asked: tuple[str, ...], stored: IdArray) -> _Table:
    if not path.is_file():
        raise MissingFileError(f"there is no file {path}: --labels needs a CSV with the columns id,label")
    try:
        text = path.read_text(encoding="utf-8-sig")
        delimiter = max(",;\t", key=text.partition("\n")[0].count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        lines = [[cell.strip() for cell in row] for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a CSV in UTF-8 ({error}): save it again as one") from error
    header, *rows = [row for row in lines if any(row)] or [[]]
    key, labels = _columns(path, header, asked)
    ragged = [row for row in rows if len(row) != len(header)]
    if ragged or not rows:
        said = f"{len(ragged)} rows have not {len(header)} cells, first {','.join(ragged[0])}" if ragged else "no rows"
        raise DataError(f"{path}: {said}; each row needs one cell a column")
    cells = {column: [row[i] for row in rows] for i, column in enumerate(header)}
    return _known(path, cells, _matched(cells[key], stored, whole=key == "id"), stored, labels)


def _columns(path: Path, header: list[str], asked: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Return the column of ids and the columns of labels."""
    key = next((column for column in ID_COLUMNS if column in header), None)
    reserved = (*ID_COLUMNS, *OTHER_COLUMNS)
    labels = asked or tuple(column for column in header if column not in reserved)
    absent = [column for column in labels if column not in header]
    if key is None or absent or not labels or len(set(header)) < len(header):
        fault = f"no column {absent[0]!r}" if absent else "columns must be id (or path) and label(s), each once"
        raise DataError(f"{path}: {fault}; its header is {', '.join(header) or 'empty'}")
    return key, labels


def _known(path: Path, cells: dict[str, list[str]], ids: IdArray, stored: IdArray, labels: tuple[str, ...]) -> _Table:
    """Refuse ids that are unknown or repeated; leave out rows whose labels are all empty."""
    unknown = ids[~np.isin(ids, stored)]
    if len(unknown):
        raise DataError(
            f"{path}: {len(unknown)} of {len(ids)} ids are not in the store: {examples(unknown)}; "
            f"ids there look like {examples(stored, 2)}"
        )
    twice = repeats(ids)
    if len(twice):
        raise DataError(f"{path}: {len(twice)} ids are given more than once: {examples(twice)}; keep one row each")
    full = [i for i in range(len(ids)) if any(cells[column][i] for column in labels)]
    if not full:
        raise DataError(f"{path}: every label is empty in {', '.join(labels)}")
    kept = {column: [values[i] for i in full] for column, values in cells.items()}
    return _Table(path, ids[full], kept, labels)


def _matched(names: list[str], stored: IdArray, *, whole: bool) -> IdArray:
    """Return ids; a path that is none is cut from the left until what remains is one."""
    known = set(stored.tolist())
    found = []
    for name in names:
        parts = PurePosixPath(name.replace("\\", "/")).parts if not (whole or name in known) else ()
        tails = ("/".join(parts[start:]) for start in range(len(parts)))
        found.append(next((tail for tail in tails if tail in known), name))
    return np.array(found, dtype=np.str_)


def _labels(table: _Table, task_type: TaskType | None) -> tuple[TaskType, tuple[str, ...], LabelArray]:
    from medfeat.datasets.labels import BadLabel, one_column, several_columns

    columns = [table.cells[column] for column in table.labels]
    try:
        if len(columns) > 1:
            found = several_columns(columns, table.labels, task_type)
        else:
            found = one_column(columns[0], table.labels[0], task_type)
    except BadLabel as error:
        raise DataError(f"{table.path}, id {table.ids[error.row]}: {error}") from error
    if task_type == "binary-class" and len(found.classes) != 2:
        raise DataError(f"{table.path}: a binary task has two classes, got {examples(found.classes)}")
    return found.task, found.classes, found.values


def _split(
    table: _Table, own: Task | None, labels: LabelArray, group: IdArray | None, seed: int
) -> tuple[IdArray, str]:
    """Return the split of each row, and in words where it came from."""
    from medfeat.datasets.listing import SPLIT_NAMES
    from medfeat.datasets.splits import FRACTIONS, draw_split

    if "split" in table.cells:
        given = [SPLIT_NAMES.get(cell.lower(), "") for cell in table.cells["split"]]
        if "" in given:
            wrong = table.cells["split"][given.index("")]
            raise DataError(f"{table.path}: split must be train, val or test, got {wrong!r}")
        return np.array(given), "split as given there"
    split = _looked_up(own, table.ids, "split")
    if split is not None:
        return split, "split of the dataset"
    # Numbers are stratified by fifths of the first target.
    fifths = np.searchsorted(np.quantile(labels[:, 0], (0.2, 0.4, 0.6, 0.8)), labels[:, :1])
    # Numbers are stratified by fifths of the first target.
    fifths = np.searchsorted(np.quantile(labels[:, 0], (0.2, 0.4, 0.6, 0.8)), labels[:, :1])
    values = labels if labels.dtype.kind == "i" else fifths
    strata = np.unique(values, axis=0, return_inverse=True)[1].reshape(-1)
    by = " by patient" if group is not None else ""
    drawn = draw_split(table.ids, strata, FRACTIONS, patients=group, seed=seed)
    return drawn, f"split 70/10/20 stratified{by} from seed {seed}"


def _own_task(store: Readable) -> Task | None:
    try:
        return official(store)
    except DataError:
        return None


def _looked_up(task: Task | None, ids: IdArray, field: str) -> IdArray | None:
    """Return a field of another task for these ids, None when it does not know them all."""
    values = None if task is None else getattr(task, field)
    if task is None or values is None or not np.isin(ids, task.ids).all():
        return None
    order = np.argsort(task.ids)
    found: IdArray = values[order[np.searchsorted(task.ids, ids, sorter=order)]]
    return found
