"""A file that is no image."""

from __future__ import annotations

from pathlib import Path

# A file may unpack to this much whatever its size, and beyond to so many times its size: real images stay below 100.
FREE_BYTES = 64 << 20
MOST_RATIO = 500


class BadFile(ValueError):  # noqa: N818 - it names what the file is, and never reaches a user as an exception
    """A file that is no image medfeat can embed; the message is the reason, in a few words."""


def refuse_bomb(path: Path, unpacked: int, ratio: int = MOST_RATIO) -> None:
    """Refuse a file that declares, or gives, far more bytes than an image in a file of its size can hold.

    Parameters
    ----------
    path
        The file.
    unpacked
        Bytes of its values, or as many as were unpacked so far.
    ratio
        How many times its size a file of this kind can hold.

    Raises
    ------
    BadFile
        It is a bomb, or a large image of one value.
    """
    there = path.stat().st_size
    if unpacked > max(FREE_BYTES, ratio * there):
        raise BadFile(f"{there} bytes that unpack to {unpacked >> 20} MB or more, which no image does")
