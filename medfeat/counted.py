"""A number with the name of what it counts."""

from __future__ import annotations


def counted(n: int, thing: str, plural: str = "") -> str:
    """Return a number and what it counts, in the singular where it is one.

    Examples
    --------
    >>> counted(1, "image"), counted(1200, "image"), counted(0, "class", "classes")
    ('1 image', '1,200 images', '0 classes')
    """
    return f"1 {thing}" if n == 1 else f"{n:,} {plural or thing + 's'}"


def counted_are(n: int, thing: str, plural: str = "") -> str:
    """Return the same with the verb.

    Examples
    --------
    >>> counted_are(1, "image"), counted_are(2, "image")
    ('1 image is', '2 images are')
    """
    return f"{counted(n, thing, plural)} {'is' if n == 1 else 'are'}"


def counted_have(n: int, thing: str, plural: str = "") -> str:
    """Return the same with the other verb.

    Examples
    --------
    >>> counted_have(1, "run"), counted_have(2, "run")
    ('1 run has', '2 runs have')
    """
    return f"{counted(n, thing, plural)} {'has' if n == 1 else 'have'}"


def none_of(n: int, thing: str) -> str:
    """Return that of so many things there is none that can; a single one is not counted.

    Examples
    --------
    >>> none_of(1, "image"), none_of(1200, "image")
    ('not one image', 'none of the 1,200 images')
    """
    return f"none of the {n:,} {thing}s" if n > 1 else f"not one {thing}"
