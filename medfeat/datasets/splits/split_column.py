"""The column of a table that tells the split: by its name, by what it holds, or by what is said of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from medfeat.datasets.splits.split_names import SHORT, said_splits, split_word, splits_of
from medfeat.errors import DataError

# Letters only. A column of any name is the split when all it holds are names of splits; one of these names, when some.
_LIKE_SPLITS = (
    "set", "subset", "partition", "phase", "dataset", "usage", "mode", "purpose", "splits", "datasplit", "splitname",
    "datasetsplit", "traintest", "traintestsplit", "trainvaltest", "sampleset", "cohort",
)  # fmt: skip
FOLDS = ("fold", "folds", "foldid", "foldindex", "foldnumber", "cvfold", "kfold", "cv", "partition")
_NO_SPLIT = "none"
YES, NO = ("1", "1.0", "true", "yes", "y", "t"), ("0", "0.0", "false", "no", "n", "f", "")
_MOST_PARTS = 10
SHOWN = 5


class BadSplit(ValueError):  # noqa: N818 - the reader of the CSV turns it into a DataError with the line
    """A split that cannot be meant; `row` is its position, None for the header."""

    def __init__(self, row: int | None, reason: str) -> None:
        super().__init__(reason)
        self.row = row


@dataclass(frozen=True)
class SplitFound:
    """The columns that tell the split, the split of each row (None where there is none), and what is to be said."""

    columns: tuple[str, ...] = ()
    split: tuple[str, ...] | None = None
    said: str = ""


def find_split(cells: Mapping[str, Sequence[str]], column: str | None, *, asked: bool = False) -> SplitFound:
    """Find the split of each row of a table.

    Parameters
    ----------
    cells
        The cells of each column that is neither path, label nor patient.
    column
        The column of the split; ``column:val=3,test=4`` says which values are which (the others train), and ``none``
        that there is to be no split. None looks for a column that holds names of two or three splits and nothing else,
        and for one such as ``is_test``.
    asked
        Whether a person named the column.

    Raises
    ------
    BadSplit
        For a value that is no split, a column that is not there, and columns that could be meant in several ways.
    """
    if column is None:
        return _by_looks(cells)
    if column in cells:
        return SplitFound((column,), _of_values(cells[column], column))
    if asked and column.lower() == _NO_SPLIT:
        return SplitFound()
    name, mark, said = column.rpartition(":")
    if mark and name in cells:
        return SplitFound((name,), _mapped(cells[name], name, said))
    raise BadSplit(None, f"no column {name or column!r}; it has {', '.join(cells)}: name one of these")


def are_splits(distinct: Sequence[str]) -> bool:
    """Tell whether the values of a column of any name are those of two splits; empty cells do not change that."""
    filled = [value for value in distinct if value]
    return all(split_word(value) is not None for value in filled) and len({split_word(value) for value in filled}) > 1


def _of_values(values: Sequence[str], column: str) -> tuple[str, ...]:
    try:
        names = splits_of(values, f"column {column}")
    except DataError as error:
        raise BadSplit(None, str(error)) from error
    for row, value in enumerate(values):
        if value not in names:
            how = f"; {_ways(column, values)}" if value and not names else ""
            raise BadSplit(
                row,
                f"{column} must be train, val or test, got {value!r}; fill it for every image, or leave the column "
                f"out{how}",
            )
    return tuple(names[value] for value in values)


def _mapped(values: Sequence[str], column: str, said: str) -> tuple[str, ...]:
    """Read ``val=3,test=4``; several values of one split are joined by ``+``."""
    split_of: dict[str, str] = {}
    for pair in said.split(","):
        name, mark, listed = pair.partition("=")
        split = split_word(name)
        if not mark or split not in ("train", "val", "test"):
            raise BadSplit(None, f"a split column with values is said as {column}:val=3,test=4, got {pair!r}")
        split_of |= dict.fromkeys((value.strip() for value in listed.split("+")), split)
    unknown = sorted(set(split_of) - set(values))
    if unknown:
        raise BadSplit(None, f"{column} has no value {unknown[0]!r}; it has {_examples(values)}")
    rest = "" if "train" in split_of.values() else "train"
    found = tuple(split_of.get(value, rest) for value in values)
    if "" in found:
        row = found.index("")
        raise BadSplit(row, f"{column} has the value {values[row]!r}, and it is not said which split that is")
    return found


def _by_looks(cells: Mapping[str, Sequence[str]]) -> SplitFound:
    found = [*_named_alike(cells), *_flags(cells)]
    if not found:
        _refuse_folds(cells)
        return SplitFound(said=_unused(cells))
    first, *others = found
    for other in others:
        if other.split != first.split:
            raise BadSplit(
                None,
                f"the columns {', '.join(first.columns)} and {', '.join(other.columns)} tell different splits; say "
                f"which one with --split-column, or --split-column {_NO_SPLIT} to have one drawn",
            )
    return first


def _named_alike(cells: Mapping[str, Sequence[str]]) -> list[SplitFound]:
    found = []
    for column, values in cells.items():
        alike, distinct = _letters(column) in (*_LIKE_SPLITS, *FOLDS), list(dict.fromkeys(values))
        if not alike and not are_splits(distinct):
            continue
        known = [value for value in distinct if split_word(value) is not None]
        if len(known) == len(distinct) or not alike:
            split = _of_values(values, column)
            odd = said_splits(dict(zip(values, split, strict=True)))
            said = f"the column {column} is taken for the split{f' ({odd})' if odd else ''}"
            found.append(SplitFound((column,), split, said))
        elif known:
            odd_value = next(value for value in distinct if split_word(value) is None)
            raise BadSplit(
                None,
                f"the column {column} has {known[0]!r} and {odd_value!r}; call each value train, val or test, or say "
                f"--split-column {_NO_SPLIT} to have a split drawn",
            )
    return found


def _flags(cells: Mapping[str, Sequence[str]]) -> list[SplitFound]:
    """Read columns of 0 and 1 such as ``is_test``, and ``train``, ``val`` and ``test`` beside each other."""
    flags = {
        column: [value.lower() in YES for value in values]
        for column, values in cells.items()
        if {value.lower() for value in values} <= {*YES, *NO} and len({value.lower() in YES for value in values}) == 2
    }
    said = {column: split for column in flags if (split := _flagged(column)) in ("train", "val", "test")}
    bare = [column for column in said if _letters(column)[:2] != "is"]
    if not said:
        return []
    told = dict.fromkeys(said.values())
    rows = list(zip(*(flags[column] for column in said), strict=True))
    twice = next((i for i, row in enumerate(rows) if sum(row) > 1), None)
    left = [part for part in ("train", "val", "test") if part not in told]
    rest = "test" if list(told) == ["train"] else (left or [""])[0]
    unsaid = not rest and any(not any(row) for row in rows)
    if twice is not None or unsaid or len(told) < len(said) or (bare and len(said) == 1):
        column = (bare or list(said))[0]
        raise BadSplit(
            twice,
            f"{' and '.join(said)} may tell the split, and not one for each image; say which values are which, such as "
            f"--split-column {column}:{said[column]}=1,{'test' if said[column] == 'train' else 'train'}=0, or "
            f"--split-column {_NO_SPLIT} to have a split drawn",
        )
    names = list(said.values())
    splits = tuple(names[row.index(True)] if any(row) else rest for row in rows)
    others = f", others as {rest}" if rest in splits else ""
    taken = ", ".join(f"{column} as {split}" for column, split in said.items())
    return [SplitFound(tuple(said), splits, f"columns are taken for the split: {taken}{others}")]


def _flagged(column: str) -> str | None:
    return split_word(re.sub(r"^(is|in)[_ -]?", "", column, flags=re.IGNORECASE))


def _refuse_folds(cells: Mapping[str, Sequence[str]]) -> None:
    for column, values in cells.items():
        if _letters(column) in FOLDS and len(set(values)) > 1:
            raise BadSplit(None, f"the column {column} ({_examples(values)}) tells parts; {_ways(column, values)}")


def _unused(cells: Mapping[str, Sequence[str]]) -> str:
    """Say of a column that may tell the split, by its name or by some of its values, that it is not used."""
    for column, values in cells.items():
        distinct = {value for value in values if value}
        speaks = _letters(column) in _LIKE_SPLITS or any(_guess(value) for value in distinct)
        if speaks and 1 < len(distinct) <= _MOST_PARTS:
            return (
                f"the column {column} ({_examples(values)}) is not used; if it tells the split, {_ways(column, values)}"
            )
    return ""


def _guess(value: str) -> str | None:
    """Return the split that a value may stand for: by one of its words, or shortened as tr, va and te."""
    words = [SHORT.get(word, split_word(word)) for word in re.findall(r"[a-z]+", value.lower())]
    return next((word for word in words if word in ("train", "val", "test")), None)


def _ways(column: str, values: Sequence[str]) -> str:
    """Tell how to say what is meant; parts that are no numbers are guessed from their names, or left open."""
    distinct = sorted(set(values) - {""})
    parts = {split: value for value in reversed(distinct) if (split := _guess(value)) is not None}
    if all(value.isdigit() for value in distinct):
        parts = dict(zip(("test", "val"), reversed(distinct), strict=False))
    named = [f"{split}={parts.get(split, 'WHICH')}" for split in ("val", "test")]
    example = f"{column}:{','.join(named if len(distinct) > 1 else named[1:])}"
    return (
        f"say which values are val and test, such as --split-column {example} (the others train), or "
        f"--split-column {_NO_SPLIT} to have a split drawn"
    )


def _examples(values: Sequence[str]) -> str:
    shown = sorted(set(values))
    return ", ".join(shown[:SHOWN]) + (", ..." if len(shown) > SHOWN else "")


def _letters(column: str) -> str:
    return re.sub(r"[^a-z]", "", column.lower())
