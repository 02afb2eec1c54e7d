"""How one of several networks in a file of weights is spelled: ``FILE::PREFIX``."""

from __future__ import annotations

from pathlib import Path

from medfeat.errors import UsageError

PART = "::"
"""What stands between a file and the part of it that is meant."""

TOP = "."
"""The part that has no prefix."""


def split_part(weights: str | Path) -> tuple[Path, str]:
    """Split ``FILE::PREFIX`` in two; the part is empty where none is named.

    Raises
    ------
    UsageError
        When nothing stands after the colons.

    Examples
    --------
    >>> split_part("dino.pth::student.backbone")[1]
    'student.backbone'
    """
    text = str(weights)
    file, colons, part = text.rpartition(PART)
    if not colons or Path(text).expanduser().exists():
        return Path(text), ""
    if not part or not file:
        raise UsageError(f"--weights {text} names no part: FILE::PREFIX, e.g. {file or 'FILE'}::teacher.backbone")
    return Path(file), part.strip(".") or TOP


def join_part(file: str | Path, part: str) -> str:
    """Spell what `split_part` splits."""
    return f"{file}{PART}{part}" if part else str(file)
