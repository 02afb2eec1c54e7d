"""A task from a CSV of the user's: `id` (or `path`), label or labels, and if known `split` and `patient`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from medfeat.counted import counted_are, counted_have
from medfeat.datasets.labels.patients import nobody, one_spelling
from medfeat.datasets.labels.table_file import read_table, translated
from medfeat.errors import DataError, MissingFileError
from medfeat.task_types import type_fault
from medfeat.tasks.binding import images_of
from medfeat.tasks.check import check_task, crossing_groups, examples, repeats
from medfeat.tasks.label_paths import refuse_other_files
from medfeat.tasks.official import official
from medfeat.tasks.readable import Readable
from medfeat.types import IdArray, LabelArray, Progress, SilentProgress, Task, TaskType

if TYPE_CHECKING:
    from medfeat.datasets.labels.labelling import Labelling

_ID_COLUMNS = ("id", "path")
_OTHER_COLUMNS = ("split", "patient")
_RESERVED = (*_ID_COLUMNS, *_OTHER_COLUMNS)
_LABEL = "label"
_PARTED = "the split drawn for the dataset parts patients of this file"


@dataclass(frozen=True)
class _Table:
    """The rows of a CSV that have a label: ids, lines and cells, by column; and what the rows without one say."""

    path: Path
    ids: IdArray
    cells: dict[str, list[str]]
    labels: tuple[str, ...]
    lines: tuple[int, ...]
    unlabelled: tuple[tuple[int, str], ...] = ()


def from_csv(
    path: Path,
    store: Readable,
    *,
    name: str | None = None,
    task_type: TaskType | None = None,
    columns: Sequence[str] = (),
    of_images: str | None = None,
    aside: str | None = None,
    classes: str | Sequence[str] | None = None,
    partial: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> Task:
    """Read new labels for the samples of a store.

    One label column holds classes (words or whole numbers; ``a|b`` for several at once) or, with fractions or when
    `task_type` asks for it, the numbers of a regression; several label columns are 0/1 labels, or targets. The split
    is that of the file's column ``split``, or of one that holds names of splits alone, else the dataset's own, else
    drawn from `seed`, stratified and by patient.

    Parameters
    ----------
    path
        As `medfeat.datasets.labels.table_file.read_table` takes it: a CSV or an ``.xlsx``. Paths may be longer than
        the ids they end in.
    store
        Whose samples are labelled; every row of the file must be one of them.
    name
        Of the task; by default the file's name.
    task_type
        What the labels mean; None tells it from the labels.
    columns
        The label columns; by default the one called ``label`` (or ``Diagnose`` and the like), else all but ``id``,
        ``path``, ``split`` and ``patient``.
    of_images
        The column of paths, where the file is the one that the images were embedded from: images of it that could not
        be read are left out.
    aside
        One more column that is no label.
    classes
        The classes in their order, all of them; a word such as ``none`` or ``unknown`` is a class when it is named
        here, and otherwise says that the label is missing.
    partial
        Leave stored samples without a label out of the task, instead of refusing.
    seed
        Of the split, where one is drawn.
    progress
        Told of how labels were read.

    Raises
    ------
    MissingFileError
        There is no such file.
    DataError
        Columns that are not there; ids that are unknown, missing or given twice; labels or splits that cannot be meant.
    """
    stored = np.concatenate([store.ids(group) for group in store.groups])
    from medfeat.datasets.labels.class_spelling import class_list

    wanted = class_list(classes)
    aloud = progress or SilentProgress()
    table = _read(path, tuple(columns), stored, wanted, aloud, aside=aside, of_images=of_images)
    refuse_other_files(path, table.ids, table.cells.get("path", ()), store)
    missing = np.setdiff1d(stored, table.ids)
    if len(missing) and not partial:
        raise DataError(
            f"{path}: {len(missing)} of {len(stored)} stored ids have no label: {examples(missing)}{_written(table)}; "
            "label them, or allow this with --partial"
        )
    found = _labels(table, task_type, wanted)
    labels = found.values
    for line in found.said:
        aloud.say(f"{path}: {line}")
    own = _own_task(store)
    group = _patients(table, aloud) if "patient" in table.cells else _looked_up(own, table.ids, "group")
    column = _split_column(table, aloud)
    split, how = _split(table, column, own, (found.task, found.classes, labels), group, seed=seed)
    if how.startswith(_PARTED):
        aloud.say(f"{path}: {how}")
    left_out = f", {len(missing)} samples without a label left out{_written(table)}" if len(missing) else ""
    if left_out:
        aloud.say(f"{path}{left_out}")
    return check_task(
        Task(
            name=name or path.stem,
            task_type=found.task,
            classes=found.classes,
            ids=table.ids,
            labels=labels,
            split=split,
            group=group,
            origin=f"labels of {path.name}, {how}{left_out}",
            images=images_of(store),
        )
    )


def _patients(table: _Table, aloud: Progress) -> IdArray:
    """Return the patient of each row; nobody is not a patient, and would be one that half the images share."""
    written = list(table.cells["patient"])
    unknown = table.ids[nobody(written)]
    if len(unknown):
        raise DataError(
            f"{table.path}: {counted_have(len(unknown), 'row')} no patient: {examples(unknown)}; "
            "name one in each (the image's own id where nothing is known), or leave the column out"
        )
    patients, said = one_spelling(written)
    if said:
        aloud.say(f"{table.path}: {said}")
    return np.array(patients)


def _written(table: _Table) -> str:
    """Return how rows without a label say so, where a cell holds more than nothing."""
    said = [f"line {line} says {word!r}" for line, word in table.unlabelled if word]
    more = f" and {len(said) - 4} more" if len(said) > 4 else ""
    return f" ({', '.join(said[:4])}{more})" if said else ""


def _usual(header: list[str], asked: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Return the header with the usual names of columns, in place of capitals or of German and French ones."""
    found, said = list(header), []
    for usual in (*_ID_COLUMNS, *_OTHER_COLUMNS):
        if usual in found:
            continue
        alike = [i for i, name in enumerate(found) if name not in asked and name.lower() == usual]
        alike = alike or [i for i, name in enumerate(found) if name not in asked and translated(name) == usual]
        if len(alike) == 1:
            said.append(f"the column {found[alike[0]]} is taken for the {usual}")
            found[alike[0]] = usual
    return found, said


def read_column(path: Path, column: str, store: Readable, of_images: str | None = None) -> dict[str, str]:
    """Return what a column of a CSV says of the samples of a store, by id; empty cells are left out. See `from_csv`.

    Raises
    ------
    MissingFileError
        There is no such file.
    DataError
        No such column, or ids that are unknown or given twice.
    """
    stored = np.concatenate([store.ids(group) for group in store.groups])
    table = _read(path, (column,), stored, (), SilentProgress(), of_images=of_images)
    return dict(zip(table.ids.tolist(), table.cells[column], strict=True))


def _read(
    path: Path,
    asked: tuple[str, ...],
    stored: IdArray,
    wanted: tuple[str, ...],
    aloud: Progress,
    *,
    aside: str | None = None,
    of_images: str | None = None,
) -> _Table:
    if not path.exists():
        raise MissingFileError(f"there is no file {path}: --labels needs a CSV with the columns id,label")
    table = read_table(path)
    (_, header), *numbered = table.rows or ((1, []),)
    header = ["path" if name == of_images else name for name in header]
    header, translations = _usual(header, (*asked, *filter(None, [aside])))
    for line in (*table.said, *translations):
        aloud.say(f"{path}: {line}")
    rows = [row + [""] * (len(header) - len(row)) if path.suffix.lower() == ".xlsx" else row for _, row in numbered]
    key, labels = _columns(path, header, asked, aside, ids=_ID_COLUMNS if of_images is None else ("path",))
    unused = [column for column in header if column not in (*_RESERVED, *labels, aside)]
    if unused and not asked:
        aloud.say(f"{path}: the column {labels[0]} is taken for the label; not used: {', '.join(unused)}")
    ragged = [row for row in rows if len(row) != len(header)]
    if ragged or not rows:
        said = "no rows"
        if ragged:
            said = f"{counted_have(len(ragged), 'row')} not {len(header)} cells, first {','.join(ragged[0])}"
        raise DataError(f"{path}: {said}; each row needs one cell a column")
    ids = _matched([row[header.index(key)] for row in rows], stored, whole=key == "id")
    if of_images is not None:
        here = np.flatnonzero(np.isin(ids, stored)).tolist()
        ids, rows, numbered = ids[here], [rows[i] for i in here], [numbered[i] for i in here]
    cells = {column: [row[i] for row in rows] for i, column in enumerate(header)}
    if key == "id" and "path" in cells:
        _refuse_other_paths(path, ids, cells["path"], stored)
    lines_of_rows = tuple(line for line, _ in numbered)
    return _labelled(_Table(path, _known(path, ids, stored), cells, labels, lines_of_rows), wanted)


def _columns(
    path: Path, header: list[str], asked: tuple[str, ...], aside: str | None, *, ids: tuple[str, ...]
) -> tuple[str, tuple[str, ...]]:
    """Return the column of ids and the columns of labels."""
    key = next((column for column in ids if column in header), None)
    others = tuple(column for column in header if column not in (*_RESERVED, aside))
    called = tuple(column for column in others if column.lower() == _LABEL or translated(column) == _LABEL)
    labels = asked or (called if len(called) == 1 else others)
    absent = [column for column in labels if column not in header]
    if key is None or absent or not labels or len(set(header)) < len(header):
        fault = f"no column {absent[0]!r}" if absent else "columns must be id (or path) and label(s), each once"
        raise DataError(f"{path}: {fault}; its header is {', '.join(header) or 'empty'}")
    return key, labels


def _known(path: Path, ids: IdArray, stored: IdArray) -> IdArray:
    """Return the ids; refuse those that are unknown or repeated."""
    unknown = ids[~np.isin(ids, stored)]
    if len(unknown):
        raise DataError(
            f"{path}: {len(unknown)} of {len(ids)} ids are not in the store: {examples(unknown)}; "
            f"ids there look like {examples(stored, 2)}"
        )
    twice = repeats(ids)
    if len(twice):
        raise DataError(
            f"{path}: {counted_are(len(twice), 'id')} given more than once: {examples(twice)}; keep one row each"
        )
    return ids


def _labelled(table: _Table, wanted: tuple[str, ...]) -> _Table:
    """Leave out rows whose labels are all missing; a word that could be a class is refused until somebody says which.

    Words such as ``none`` stand for classes as often as for nothing; ``--classes`` says it, with the word or without.
    """
    from medfeat.datasets.labels.cells import folded, is_missing
    from medfeat.datasets.labels.labelling import may_be_class

    named = {folded(one).casefold() for one in wanted}
    columns = [table.cells[column] for column in table.labels]
    rows = list(zip(*columns, strict=True))
    empty = [all(is_missing(cell) and folded(cell).casefold() not in named for cell in row) for row in rows]
    full = [i for i, gone in enumerate(empty) if not gone]
    if not full:
        raise DataError(f"{table.path}: every label is empty in {', '.join(table.labels)}")
    for i, row in enumerate(rows) if not wanted and len(columns) == 1 else ():
        if empty[i] and may_be_class(row[0], list(dict.fromkeys(columns[0]))):
            raise DataError(
                f"{table.path}, line {table.lines[i]}: the label {row[0]!r} may be a class or say that there is none: "
                "name every class with --classes, with it or without; or leave these cells empty"
            )
    kept = {column: [values[i] for i in full] for column, values in table.cells.items()}
    gone = tuple((table.lines[i], rows[i][0]) for i, without in enumerate(empty) if without)
    return _Table(table.path, table.ids[full], kept, table.labels, tuple(table.lines[i] for i in full), gone)


def _matched(names: list[str], stored: IdArray, *, whole: bool) -> IdArray:
    """Return ids; a path that is none is cut from the left until what remains is one."""
    known = set(stored.tolist())
    found = []
    for name in names:
        parts = PurePosixPath(name.replace("\\", "/")).parts if not (whole or name in known) else ()
        tails = ("/".join(parts[start:]) for start in range(len(parts)))
        found.append(next((tail for tail in tails if tail in known), name))
    return np.array(found, dtype=np.str_)


def _refuse_other_paths(path: Path, ids: IdArray, paths: list[str], stored: IdArray) -> None:
    """Refuse rows whose path is that of another stored id than the one beside it."""
    ends, known = _matched(paths, stored, whole=False), set(stored.tolist())
    for name, written, end in zip(ids.tolist(), paths, ends.tolist(), strict=True):
        if end != name and end in known:
            raise DataError(
                f"{path}: id {name} and path {written} of one row are two images of the store; mend it, or leave one "
                "of the columns out"
            )


def _labels(table: _Table, task_type: TaskType | None, wanted: tuple[str, ...]) -> Labelling:
    from medfeat.datasets.labels.class_spelling import BadLabel
    from medfeat.datasets.labels.labelling import one_column, several_columns

    columns = [table.cells[column] for column in table.labels]
    try:
        if len(columns) > 1:
            found = several_columns(columns, table.labels, task_type, wanted)
        else:
            found = one_column(columns[0], table.labels[0], task_type, wanted)
    except BadLabel as error:
        where = [f"line {line}, id {name}" for line, name in zip(table.lines, table.ids.tolist(), strict=True)]
        told = error.told(table.path, where)
        if len(columns) > 1:
            told += (
                f"; {', '.join(table.labels)} were taken for labels, being all columns but {', '.join(_RESERVED)}: "
                "call the one that is a label `label`, or leave the others out"
            )
        raise DataError(told) from error
    if fault := type_fault(found.task, found.classes):
        raise DataError(f"{table.path} {fault}")
    return found


def _split_column(table: _Table, progress: Progress) -> str | None:
    """Return the column that tells the split: ``split``, or one that is no label and holds names of splits alone."""
    from medfeat.datasets.splits.split_column import are_splits

    used = (*_ID_COLUMNS, *_OTHER_COLUMNS, *table.labels)
    others = [
        name for name, cells in table.cells.items() if name not in used and are_splits(list(dict.fromkeys(cells)))
    ]
    if "split" in table.cells or not others:
        return "split" if "split" in table.cells else None
    if len(others) > 1:
        raise DataError(f"{table.path}: the columns {' and '.join(others)} could both be the split; call one split")
    progress.say(f"{table.path}: the column {others[0]} is taken for the split")
    return others[0]


def _split(
    table: _Table,
    column: str | None,
    own: Task | None,
    found: tuple[TaskType, tuple[str, ...], LabelArray],
    group: IdArray | None,
    *,
    seed: int,
) -> tuple[IdArray, str]:
    """Return the split of each row, and in words where it came from."""
    kind, classes, labels = found
    from medfeat.datasets.splits.earlier_places import was_drawn
    from medfeat.datasets.splits.official_or_drawn import drawn_task_split
    from medfeat.datasets.splits.split_names import splits_of

    if column is not None:
        cells = table.cells[column]
        names = splits_of(cells, f"{table.path}, column {column}")
        given = [names.get(cell, "") for cell in cells]
        if "" in given:
            wrong = cells[given.index("")]
            raise DataError(f"{table.path}: {column} must be train, val or test, got {wrong!r}")
        return np.array(given), "split as given there"
    split = _looked_up(own, table.ids, "split")
    torn = split is not None and group is not None and len(crossing_groups(group, split)) > 0
    if split is not None and not (torn and own is not None and was_drawn(own)):
        return split, "split of the dataset"
    drawn, how = drawn_task_split(table.ids, labels, kind, classes, patients=group, seed=seed)
    why = f"{_PARTED}, so one is drawn for this task; " if torn else ""
    return drawn, f"{why}{how}"


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
