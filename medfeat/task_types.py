"""What each type of task asks of its classes, and which words carry an order: one home for every reader's check."""

from __future__ import annotations

import re
from collections.abc import Sequence

from medfeat.types import TASK_TYPES

CLASS_TYPES = ("binary-class", "multi-class", "ordinal-regression")
_NUMBERED = re.compile(r"(\D*?)\s*(\d+)\s*([a-z]?)")
_ROMAN = re.compile(r"(?:(.*?)[\s_-]+)?([IVX]+)([a-c]?)", re.IGNORECASE)


def type_fault(task_type: str, classes: Sequence[str]) -> str:
    """Say why classes cannot be a type of task, to stand behind the name of what has them; empty when they can.

    Examples
    --------
    >>> type_fault("binary-class", ("cyst", "mass", "none"))
    'has 3 classes (cyst, mass, none), a binary one has 2: merge with --relabel'
    """
    if task_type not in TASK_TYPES:
        return f"cannot be {task_type!r}: a task type must be one of {', '.join(TASK_TYPES)}"
    count, shown = len(classes), shortened(classes)
    if task_type in CLASS_TYPES and count < 2:
        return (
            f"has {count or 'no'} class{'es' if not count else ''}{f' ({shown})' if count else ''}, "
            f"and {task_type} needs {'2' if task_type == 'binary-class' else '2 or more'}: "
            "give labels of several classes, or leave --task out"
        )
    if task_type == "binary-class" and count > 2:
        return f"has {count} classes ({shown}), a binary one has 2: merge with --relabel"
    return ""


def order_fault(classes: Sequence[str]) -> str:
    """Say that the order of grades is not known, and how to say it."""
    example = ",".join(classes) if len(classes) <= 6 else "LEAST,...,MOST"
    return (
        f"has the classes {shortened(classes)}, whose names tell no order, and the alphabet is no scale: "
        f"name every one from least to most with --classes (these are, in no order: {example})"
    )


def graded(classes: Sequence[str]) -> tuple[int, ...] | None:
    """Return the positions of classes from least to most when their names say it, None when they do not.

    Names say an order when all are numbers (``0``, ``2.5``), or one word with a number (``grade 1``, ``T2``) or a Roman
    one (``stage IV``), or that without a word; one letter may follow it (``4a``, ``IIIb``). The alphabet is no order.

    Examples
    --------
    >>> graded(("stage IV", "stage I", "stage II"))
    (1, 2, 0)
    """
    for rank in (_number, _numbered, _roman):
        ranks = [rank(name.strip()) for name in classes]
        known = [one for one in ranks if one is not None]
        stems = {stem for stem, _, _ in known}
        if len(known) == len(classes) and len(stems) == 1 and len(set(known)) == len(known):
            return tuple(sorted(range(len(known)), key=known.__getitem__))
    return None


def listed(names: Sequence[str]) -> str:
    """Spell names one after the other; semicolons part them where a name has a comma.

    Examples
    --------
    >>> listed(["malignant", "normal, benign"]), listed(["a", "b"])
    ('malignant; normal, benign', 'a, b')
    """
    return ("; " if any("," in name for name in names) else ", ").join(names)


def shortened(names: Sequence[str], count: int = 6) -> str:
    """Spell the first few of many names."""
    return ", ".join(names[:count]) + (f" and {len(names) - count} more" if len(names) > count else "")


def _number(name: str) -> tuple[str, float, str] | None:
    found = re.fullmatch(r"[+-]?\d+([.,]\d+)?%?", name)
    return ("", float(name.rstrip("%").replace(",", ".")), "") if found else None


def _numbered(name: str) -> tuple[str, float, str] | None:
    found = _NUMBERED.fullmatch(name.lower())
    return (found[1].strip(" _-.:"), float(found[2]), found[3]) if found else None


def _roman(name: str) -> tuple[str, float, str] | None:
    found = _ROMAN.fullmatch(name)
    if not found:
        return None
    value = _roman_value(found[2].upper())
    return ((found[1] or "").lower().strip(" _-.:"), value, found[3].lower()) if value else None


def _roman_value(numeral: str) -> int:
    """Return what a Roman numeral up to 39 means, 0 when it is none (``IIX``)."""
    for value in range(1, 40):
        units = ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")
        if "X" * (value // 10) + units[value % 10] == numeral:
            return value
    return 0
