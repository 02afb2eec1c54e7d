"""What one label cell says: nothing, a number, or a word; and how a column of numbers is written."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

_MISSING = frozenset(
    [
        "nan",
        "-nan",
        "na",
        "n/a",
        "n.a.",
        "n.a",
        "<na>",
        "#na",
        "#n/a",
        "#nv",
        "none",
        "null",
        "nil",
        "nat",
        "missing",
        "unknown",
        "unk",
        "undefined",
        "unlabelled",
        "unlabeled",
        "tbd",
        "-",
        "--",
        "---",
        "–",
        "—",
        ".",
        "..",
        "...",
        "?",
        "??",
        "???",
        "#null!",
        "#value!",
        "#wert!",
        "#ref!",
        "#bezug!",
        "#div/0!",
        "#num!",
        "#zahl!",
        "#name?",
        "1.#ind",
        "1.#qnan",
        "-1.#ind",
        "-1.#qnan",
    ]
) | {"", "not available", "not applicable", "not labelled", "not labeled", "#n/a n/a"}
# Words that are names of classes as often as they stand for nothing, where the other labels are words too.
DOUBTFUL = frozenset(("none", "unknown", "unk", "na", "null", "nil", "-", "missing", "undefined", "not applicable"))
_POINT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_POINT_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?")
_COMMA = re.compile(r"[+-]?(\d+,?\d*|,\d+)(e[+-]?\d+)?", re.IGNORECASE)
_COMMA_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+(,\d*)?")
_WHOLE = re.compile(r"([+-]?\d+)(\.0*|,00?)?")
_INFINITE = re.compile(r"[+-]?(inf(inity)?|∞)", re.IGNORECASE)
_MONTH = (
    r"(jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?|aug(ust)?|sept?(ember)?"
    r"|oct(ober)?|nov(ember)?|dec(ember)?"
    r"|mrz|mai|okt|dez)\.?"
)
_DATE = re.compile(
    rf"\d{{4}}-\d\d?-\d\d?([ T].*)?|\d\d?[./]\d\d?[./](\d\d)?\d\d|\d\d?[-. ]+{_MONTH}([-. ]+\d+)?|{_MONTH}[-. ]+\d\d?",
    re.IGNORECASE,
)


class UnclearNumber(ValueError):  # noqa: N818 - the column's reader makes it a BadLabel
    """A number that can be read in two ways; `row` is its position."""

    def __init__(self, row: int, reason: str) -> None:
        super().__init__(reason)
        self.row = row


@dataclass(frozen=True)
class Numbers:
    """A column read as numbers.

    Attributes
    ----------
    values
        None where there is no finite number.
    said
        How they were read, where that is not the plain way.
    """

    values: tuple[float | None, ...]
    said: tuple[str, ...] = ()


def folded(text: str) -> str:
    """Return what a reader sees of a text: one Unicode form, single blanks, nothing invisible."""
    plain = unicodedata.normalize("NFKC", text)
    return " ".join("".join(letter for letter in plain if unicodedata.category(letter) != "Cf").split())


def is_missing(text: str) -> bool:
    """Whether a cell says that there is no label: empty, ``nan``, ``N/A``, ``none``, ``-``, ``#N/A``, ``?`` ..."""
    return folded(text).casefold() in _MISSING


def is_infinite(text: str) -> bool:
    """Whether a cell says infinity, or a number too large to be held."""
    plain = _plain(text)
    return bool(_INFINITE.fullmatch(plain)) or (bool(_POINT.fullmatch(plain)) and math.isinf(float(plain)))


def looks_like_date(text: str) -> bool:
    """Whether a spreadsheet may have made a date of a label such as ``2-3``."""
    return bool(_DATE.fullmatch(folded(text)))


def whole_number(text: str) -> int | None:
    """Return a whole number however it is spelled (``1``, ``01``, ``1.0``), None for anything else."""
    found = _WHOLE.fullmatch(_plain(text))
    return int(found[1]) if found else None


def any_number(text: str) -> float | None:
    """Return the number one cell holds, percent signs aside; None when it holds none or could mean two."""
    try:
        return read_numbers([text]).values[0]
    except UnclearNumber:
        return None


def read_numbers(texts: Sequence[str]) -> Numbers:
    """Read a column of numbers, with decimal points or decimal commas, and thousands apart.

    One way of writing must read the whole column; percent signs are dropped where every cell has one.

    Raises
    ------
    UnclearNumber
        ``1,234`` where nothing tells 1.234 from 1234, or decimal points beside decimal commas.
    """
    plain = [_plain(text) for text in texts]
    said: list[str] = []
    if plain and all(text.endswith("%") for text in plain):
        plain = [text[:-1].rstrip() for text in plain]
        said.append(f"{texts[0]!r} is read as {plain[0]}, percent signs are dropped")
    point, comma = [_by_point(text) for text in plain], [_by_comma(text) for text in plain]
    commas = [row for row, text in enumerate(plain) if "," in text and comma[row] is not None]
    if None not in point and (None in comma or not commas):
        grouped = next((row for row, text in enumerate(plain) if "," in text), None)
        if grouped is not None:
            said.append(f"{texts[grouped]!r} is read as {point[grouped]:g}, with commas between thousands")
        return Numbers(tuple(point), tuple(said))
    if None not in point:
        row = commas[0]
        raise UnclearNumber(row, f"{texts[row]!r} may be {comma[row]:g} or {point[row]:g}")
    if None not in comma:
        row = next(row for row, text in enumerate(plain) if "," in text or "." in text)
        said.append(f"{texts[row]!r} is read as {comma[row]:g}, with a decimal comma")
        return Numbers(tuple(comma), tuple(said))
    either = [there if there is not None else other for there, other in zip(point, comma, strict=True)]
    if commas and None not in either:
        row = next(row for row, value in enumerate(point) if value is None)
        other = next(row for row, value in enumerate(comma) if value is None)
        raise UnclearNumber(row, f"{texts[row]!r} has a decimal comma and {texts[other]!r} a decimal point")
    return Numbers(tuple(either), tuple(said))


def _plain(text: str) -> str:
    """Return a text with a plain minus sign, and without blanks or apostrophes between thousands."""
    return re.sub(r"(?<=\d)[ '’](?=\d{3}(\D|$))", "", re.sub("^[−–]", "-", folded(text)))


def _by_point(text: str) -> float | None:
    if _POINT.fullmatch(text):
        return _finite(text)
    return _finite(text.replace(",", "")) if _POINT_GROUPED.fullmatch(text) else None


def _by_comma(text: str) -> float | None:
    if _COMMA.fullmatch(text):
        return _finite(text.replace(",", "."))
    return _finite(text.replace(".", "").replace(",", ".")) if _COMMA_GROUPED.fullmatch(text) else None


def _finite(text: str) -> float | None:
    return float(text) if math.isfinite(float(text)) else None
