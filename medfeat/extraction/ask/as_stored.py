"""The form in which a recipe stores what a network gives: one vector an image or several, float32 or float16."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.types import FloatArray, View

Rows = NDArray[np.float32]
DTYPES = ("float32", "float16")


def kept_by(view: View) -> str:
    """Return what each of an image's several vectors stands for, ``slices`` or ``tokens``; empty where there is one."""
    if view.slices is not None:
        return "slices" if view.slices.partition(":")[0] == "keep" else ""
    return "tokens" if view.pool == "tokens" else ""


def as_stored(rows: Rows, *, kept: str, dtype: str) -> FloatArray:
    """Return rows as they stand in a store.

    Parameters
    ----------
    rows
        (n, d) or (n, P, d) of a view.
    kept
        `medfeat.types.Recipe.kept`; where it is empty, a row holds everything end to end.
    dtype
        `medfeat.types.Recipe.dtype`. What is too large for float16 becomes infinite.
    """
    shaped = rows if kept and rows.ndim == 3 else rows.reshape(len(rows), -1)
    with np.errstate(over="ignore"):  # whoever writes refuses infinite numbers, naming the images
        found: NDArray[Any] = shaped.astype(dtype or "float32", copy=False)
    return found
