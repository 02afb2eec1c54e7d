"""What an attention head looked at: the slices or tokens that counted most, over the images of test."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.report.tables import Table

_MOST, _AXES = 10, 3


def vector_names(recipe: Mapping[str, Any], count: int) -> list[str]:
    """Return what each of an image's vectors is called, as far as the recipe of its store tells.

    Parameters
    ----------
    recipe
        Of the store; ``kept`` says what its vectors are.
    count
        How many vectors an image has.

    Examples
    --------
    >>> vector_names({"kept": "slices", "slices": "keep:2"}, 6)[3]
    'axis 1, slice 1 of 2'
    >>> vector_names({"kept": "tokens"}, 9)[5]
    'row 1, column 2'
    """
    if recipe.get("kept") == "slices":
        number = str(recipe.get("slices")).partition(":")[2]
        axis = int(number) if number else int(recipe.get("size") or 0)
        if axis * _AXES == count:  # volumes of unequal sides are counted through
            return [f"axis {i // axis}, slice {i % axis} of {axis}" for i in range(count)]
        return [f"slice {i}" for i in range(count)]
    side = math.isqrt(count)
    if recipe.get("kept") == "tokens" and side * side == count:
        return [f"row {i // side}, column {i % side}" for i in range(count)]
    return [f"vector {i}" for i in range(count)]


def attended_table(recipe: Mapping[str, Any], weights: NDArray[np.floating[Any]]) -> Table:
    """Return the vectors that counted most.

    Parameters
    ----------
    recipe
        Of the store.
    weights
        (n, P) of the images of test; each row adds up to 1.
    """
    n, count = weights.shape
    mean, first = weights.mean(axis=0), np.bincount(weights.argmax(axis=1), minlength=count)
    names = vector_names(recipe, count)
    order = np.argsort(-mean, kind="stable")[:_MOST].tolist()
    rows = tuple((names[i], f"{mean[i]:.3f}", str(int(first[i]))) for i in order)
    effective = float(np.exp(-(weights * np.log(np.maximum(weights, 1e-30))).sum(axis=1)).mean())
    notes = (
        f"{count} vectors an image, counted from 0; alike, each would have {1 / count:.3f}",
        f"the weights are spread as over {effective:.1f} of them (exponential of their entropy, mean of {n} images)",
    )
    return Table("What counted, over test", ("vector", "mean weight", "images where it counted most"), rows, notes)
