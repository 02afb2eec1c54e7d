"""Room for an image: how many bytes it will take is said before they are taken, so that whoever reads many can wait."""

from __future__ import annotations

from collections.abc import Callable

# Called once with the bytes that reading an image takes; it may wait until they are to be had.
Reserve = Callable[[int], None]


def no_bound(_bytes: int) -> None:
    """Take what is needed at once: for whoever reads one image at a time."""
