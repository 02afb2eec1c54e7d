"""Values of a volume that is too large to be held as it is stored: read a piece at a time, as often as needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Slabs:
    """A volume as its file stores it.

    Attributes
    ----------
    stored_shape
        (i, j, k) of the file, in which voxels run along i first, then along j.
    dtype
        Of the values, rescaled.
    read
        Gives (i, n) values of the next n lines, from the first of the j x k to the last.
    turn
        From (i, j, k) to the layout of every volume, as a view.
    """

    stored_shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    read: Callable[[], Iterator[NDArray[Any]]]
    turn: Callable[[NDArray[Any]], NDArray[Any]]

    @property
    def shape(self) -> tuple[int, ...]:
        """Once laid out."""
        return self.turn(np.broadcast_to(np.uint8(0), self.stored_shape)).shape

    @property
    def ndim(self) -> int:
        """Axes, once laid out."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """How many values there are."""
        return int(np.prod(self.stored_shape))

    def mapped(self, change: Callable[[NDArray[Any]], NDArray[Any]], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the laid out volume of what `change` makes of each piece."""
        out, start = np.empty((self.stored_shape[0], self.size // self.stored_shape[0]), dtype, order="F"), 0
        for part in self.read():
            out[:, start : start + part.shape[1]] = change(part)
            start += part.shape[1]
        return np.ascontiguousarray(self.turn(out.reshape(self.stored_shape, order="F")))


def whole(values: NDArray[Any] | Slabs) -> NDArray[Any]:
    """Return values as one array."""
    return values.mapped(lambda part: part, values.dtype) if isinstance(values, Slabs) else values
