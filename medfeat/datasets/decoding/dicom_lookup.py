"""How a file itself means its values to be shown: a window that is not the linear one, or a table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ValueCurve:
    """A window of DICOM PS3.3 C.11.2.1.3 that is not the usual linear one.

    Attributes
    ----------
    function
        ``LINEAR_EXACT`` or ``SIGMOID``.
    center, width
        In the units of the values.
    """

    function: str
    center: float
    width: float

    def __call__(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Map values to levels from 0 to 255."""
        offset = (values.astype(np.float64) - self.center) / self.width
        if self.function == "SIGMOID":
            # the exponential of 700 is the last that is a number
            return 255.0 / (1.0 + np.exp(np.clip(-4.0 * offset, -700.0, 700.0)))
        return np.clip(offset + 0.5, 0.0, 1.0) * 255.0


@dataclass(frozen=True)
class ValueTable:
    """A lookup table of DICOM PS3.3 C.11.1 and C.11.2: what lies before it takes its first entry, behind it its last.

    Attributes
    ----------
    first
        The value that the first entry belongs to.
    entries
        What each value from there on becomes.
    bits
        Of an entry, as declared: the brightest that can be is 2**bits - 1.
    """

    first: int
    entries: tuple[int, ...]
    bits: int

    def looked_up(self, values: NDArray[Any]) -> NDArray[np.uint16]:
        """Return the entry of each value."""
        places = np.rint(values).astype(np.int64) - self.first
        found: NDArray[np.uint16] = _array(self.entries)[np.clip(places, 0, len(self.entries) - 1)]
        return found

    def __call__(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Map values to levels from 0 to 255."""
        levels: NDArray[np.float64] = self.looked_up(values) * (255.0 / (2**self.bits - 1))
        return levels


Display = ValueCurve | ValueTable


@lru_cache(maxsize=4)
def _array(entries: tuple[int, ...]) -> NDArray[np.uint16]:
    return np.array(entries, np.uint16)
