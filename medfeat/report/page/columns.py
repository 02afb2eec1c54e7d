"""What the points of a map can be coloured by: words, or numbers."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# More colours than these nobody can tell apart: the rarest words become one.
_MOST_WORDS = 64
UNKNOWN = "not known"


@dataclass(frozen=True)
class PointColumn:
    """One thing known of each image.

    Attributes
    ----------
    name
        Over its legend.
    words
        (n,) a word an image, None for numbers.
    numbers
        (n,) a number an image, NaN where it is not known; None for words.
    order
        Words in the order of the legend; those that are missing here follow by how often they occur.
    hover
        Whether it is shown with an image.
    """

    name: str
    words: Sequence[str] | None = None
    numbers: NDArray[np.float64] | None = None
    order: tuple[str, ...] = ()
    hover: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Return what the page's script reads."""
        if self.numbers is not None:
            known = self.numbers[np.isfinite(self.numbers)]
            span = [float(known.min()), float(known.max())] if len(known) else [0.0, 1.0]
            return {"name": self.name, "kind": "number", "codes": packed(self.numbers.astype("<f4")), "range": span,
                    "hover": self.hover}  # fmt: skip
        words = list(self.words or ())
        values, codes = _coded(words, self.order)
        missing = values.index(UNKNOWN) if UNKNOWN in values else None
        return {"name": self.name, "kind": "words", "values": values, "codes": packed(codes.astype("<u2")),
                "missing": missing, "hover": self.hover}  # fmt: skip


def _coded(words: Sequence[str], order: tuple[str, ...]) -> tuple[list[str], NDArray[np.int64]]:
    counts = Counter(words)
    values = [word for word in order if word in counts]
    values += [word for word, _ in counts.most_common() if word not in {*values, UNKNOWN}]
    values += [UNKNOWN] if UNKNOWN in counts else []
    if len(values) > _MOST_WORDS:
        values = [*values[: _MOST_WORDS - 1], f"{len(values) - _MOST_WORDS + 1} others"]
    place = {word: i for i, word in enumerate(values)}
    last = len(values) - 1
    return values, np.array([place.get(word, last) for word in words], np.int64)


def packed(values: NDArray[Any]) -> str:
    """Return the bytes of an array in base 64, as scripts read them (little-endian)."""
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")


def coordinates(points: NDArray[np.float32], dims: int) -> str:
    """Return (n, dims) points as 16-bit whole numbers, packed; rows with NaN are marked as absent (65535).

    All axes share one scale, so that shapes are kept; 65000 spans the longest.
    """
    points = points[:, :dims].astype(np.float64)
    if points.shape[1] < dims:
        points = np.pad(points, ((0, 0), (0, dims - points.shape[1])))
    there = np.isfinite(points).all(axis=1)
    whole = np.full(points.shape, 65535, "<u2")
    if there.any():
        low, high = points[there].min(axis=0), points[there].max(axis=0)
        span = float((high - low).max()) or 1.0
        middle = (low + high) / 2
        whole[there] = np.rint(((points[there] - middle) / span + 0.5) * 65000).astype("<u2")
    return packed(whole)
