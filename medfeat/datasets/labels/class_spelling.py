"""Which labels are one class however they are written, and in which order the classes stand."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from medfeat.datasets.labels.cells import any_number, folded, is_missing, looks_like_date, whole_number
from medfeat.errors import UsageError
from medfeat.task_types import shortened

_SCRIPTS = {"LATIN", "CYRILLIC", "GREEK"}
_QUOTES = ("'", '"')
_MISSING_NUMBERS = (99, 999, 9999)
"""What tables of studies put where a value is missing."""

_UNIT = re.compile(r"[+-]?\d+(?:[.,]\d+)?\s*([a-zµμ%°/²³]{1,6})", re.IGNORECASE)
"""A number with a unit behind it, such as ``9.5 mm``."""


class BadLabel(ValueError):  # noqa: N818 - a reader turns it into a DataError with the file and the places
    """Labels that cannot be meant.

    Attributes
    ----------
    rows
        Positions of those at fault, ascending; empty when it is the column as a whole.
    found, cure
        What is wrong, and what to do.
    """

    def __init__(self, rows: Sequence[int], found: str, cure: str) -> None:
        super().__init__(f"{found}; {cure}")
        self.rows, self.found, self.cure = tuple(rows), found, cure

    def told(self, file: object, where: Sequence[str]) -> str:
        """Return it in one line, behind the file, with the places (``line 7``) of the rows at fault."""
        if not self.rows:
            return f"{file} {self}"
        others = [where[row] for row in self.rows[1:]]
        more = f" (so too {', '.join(others[:5])}{f' and {len(others) - 5} more' if len(others) > 5 else ''})"
        return f"{file}, {where[self.rows[0]]}: {self.found}{more if others else ''}; {self.cure}"


@dataclass(frozen=True)
class Classes:
    """Labels as classes.

    Attributes
    ----------
    names
        In the order of their numbers.
    number
        Number of the class of each label as written.
    said
        What a person should hear of how they were read.
    """

    names: tuple[str, ...]
    number: Mapping[str, int]
    said: tuple[str, ...] = ()


def tell_classes(texts: Sequence[str], wanted: Sequence[str] = ()) -> Classes:
    """Tell which labels are one class.

    Whole numbers are told apart by their value (``1``, ``01`` and ``1.0`` are one class), words by what a reader sees
    of them (blanks, invisible letters and Unicode forms aside). Words that differ in capitals alone are refused,
    unless `wanted` names one of them, which takes the others, or each of them.

    Parameters
    ----------
    texts
        Labels as written, none missing.
    wanted
        Every class, in order; without it numbers come in theirs, then words in that of the alphabet.

    Raises
    ------
    BadLabel
        Labels that differ in capitals alone.
    UsageError
        `wanted` does not name exactly the classes there are.
    """
    spellings: dict[Hashable, list[str]] = {}
    for text in Counter(texts):
        spellings.setdefault(_key(text), []).append(text)
    groups = {_name(key, written): written for key, written in spellings.items()}
    said = [_one_class(name, written) for name, written in groups.items() if len(written) > 1]
    if wanted:
        groups, merged = _as_wanted(groups, wanted)
        said += merged
    else:
        _refuse_capitals(groups, texts)
        groups = dict(sorted(groups.items(), key=lambda pair: _class_order(pair[0])))
        said += _doubts(tuple(groups), len(texts))
    number = {text: i for i, written in enumerate(groups.values()) for text in written}
    return Classes(tuple(groups), number, tuple(said))


def class_list(classes: str | Sequence[str] | None) -> tuple[str, ...]:
    """Read what ``--classes`` says: names between commas (quoted where they hold one), or a sequence of them.

    Raises
    ------
    UsageError
        A name given twice, or an empty one.
    """
    import csv

    parts = next(csv.reader([classes], skipinitialspace=True), []) if isinstance(classes, str) else classes or ()
    names = tuple(str(part).strip() for part in parts)
    if "" in names or len({_key(name) for name in names}) < len(names) or (classes is not None and not names):
        raise UsageError(f"--classes must name each class once, separated by commas, got {classes!r}")
    return names


def matched(wanted: Sequence[str], names: Sequence[str]) -> dict[str, list[str]]:
    """Return, for each class that was asked for, the names it stands for: itself, and others in other capitals.

    Raises
    ------
    UsageError
        A class that is not there, or one there that was not asked for.
    """
    by_key = {_key(name): name for name in names}
    found = {one: [by_key[_key(one)]] if _key(one) in by_key else [] for one in wanted}
    taken = {name for mine in found.values() for name in mine}
    for name in names:
        home = [one for one in wanted if folded(one).casefold() == folded(name).casefold()]
        if name not in taken and home:
            found[home[0]].append(name)
            taken.add(name)
    absent, left = [one for one in wanted if not found[one]], [name for name in names if name not in taken]
    if absent or left:
        faults = [f"not there: {shortened(absent)}"] * bool(absent) + [f"not named: {shortened(left)}"] * bool(left)
        raise UsageError(
            f"--classes must name exactly the classes there are ({shortened(names, 20)}), each once; "
            f"{'; '.join(faults)}"
        )
    return found


def _key(text: str) -> Hashable:
    number = whole_number(text)
    return folded(text) if number is None else number


def _name(key: Hashable, written: Sequence[str]) -> str:
    """Return the name of a class: as it is written, a whole number plainly where it is written as a fraction."""
    if isinstance(key, int) and (len(written) > 1 or not written[0].isdigit()):
        return str(key)
    return written[0] if len(written) == 1 else folded(written[0])


def _one_class(name: str, written: Sequence[str]) -> str:
    if whole_number(name) is not None:
        return f"the labels {', '.join(map(repr, written[:4]))} are one number and one class, {name}"
    return (
        f"{len(written)} spellings of the label {name!r} differ in blanks, invisible letters or Unicode form alone and "
        f"are one class: {', '.join(ascii(text) for text in written[:4])}"
    )


def _as_wanted(groups: Mapping[str, list[str]], wanted: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    found = matched(wanted, tuple(groups))
    said = [
        f"the labels {', '.join(map(repr, names))} differ in capitals alone and are one class, {one}"
        for one, names in found.items()
        if len(names) > 1
    ]
    return {one: [text for name in names for text in groups[name]] for one, names in found.items()}, said


def _refuse_capitals(groups: Mapping[str, list[str]], texts: Sequence[str]) -> None:
    seen: dict[str, str] = {}
    for name in groups:
        other = seen.setdefault(folded(name).casefold(), name)
        if other != name:
            rows = [row for row, text in enumerate(texts) if text in groups[name]]
            raise BadLabel(
                rows,
                f"the label {name!r} differs from {other!r} in capitals alone",
                "write one of them everywhere, or name the classes with --classes: one of them for both, or each",
            )


def _doubts(names: Sequence[str], count: int) -> list[str]:
    """Say what makes labels look as if they were meant otherwise."""
    said = []
    if len(names) > 2 and len(names) > count / 2:
        numbers = all(any_number(name) is not None for name in names)
        cure = "say --task regression if they are numbers" if numbers else "check that they are no ids"
        said.append(f"{len(names)} classes in {count} labels: more classes than half the images; {cure}")
    dates = [name for name in names if looks_like_date(name)]
    if dates:
        said.append(f"the label {dates[0]!r} looks like a date that a spreadsheet made of something else: check it")
    said += _odd_names(names)
    amounts = [name for name in names if "e" in name.lower() or name.startswith("-")]
    if amounts and all(any_number(name) is not None for name in names):
        said.append(f"numbers such as {amounts[0]} are taken for classes; say --task regression if they are amounts")
    measured = [_UNIT.fullmatch(folded(name)) for name in names]
    if len(names) > 1 and all(measured) and len({found[1] for found in measured if found}) == 1:
        said.append(
            f"{names[0]!r} is taken for a class; drop the unit and say --task regression if these are measurements"
        )
    numbers_there = sum(any_number(name) is not None for name in names)
    words = [name for name in names if any_number(name) is None and not is_missing(name)]
    if words and numbers_there > max(4, 3 * len(words)):
        said.append(f"the label {words[0]!r} is no number beside {numbers_there} that are: all are taken for classes")
    return said


def _odd_names(names: Sequence[str]) -> list[str]:
    """Say of names that look like others, or like a mark for what is missing."""
    said = []
    for name in names:
        scripts = {unicodedata.name(letter, "").split(" ")[0] for letter in name if letter.isalpha()} & _SCRIPTS
        if len(scripts) > 1:
            said.append(f"the label {name!r} mixes {' and '.join(sorted(scripts))} letters and is a class of its own")
        if name[:1] in _QUOTES and name[-1:] in _QUOTES and name.strip("".join(_QUOTES)) in names:
            said.append(f"the label {name!r} stands in quotes and is another class than it is without them")
    truths = [name for name in names if name.lower() in ("true", "false", "yes", "no")]
    numbers = sorted(number for name in names if (number := whole_number(name)) is not None)
    if truths and numbers:
        said.append(f"the labels {truths[0]!r} and '{numbers[0]}' are different classes: write them in one way")
    if len(numbers) > 1 and numbers[-1] in _MISSING_NUMBERS and abs(numbers[-2]) * 5 < numbers[-1]:
        said.append(f"the label {numbers[-1]} is a class; empty these cells if it says that there is no label")
    return said


def _class_order(name: str) -> tuple[int, float, str]:
    number = any_number(name)
    return (0, number, name) if number is not None else (1, 0.0, name)
