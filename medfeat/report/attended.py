"""What an attention head looked at: the slices, tokens, layers or images that counted most, over test."""

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
    layers = recipe.get("stores") or ()
    if len(layers) == count:
        return [f"layer {one.get('layer') or 'last'}, {one.get('pool')}" for one in layers]
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


def attended(recipe: Mapping[str, Any], found: Mapping[str, NDArray[Any]], *, identifiers: bool = False) -> Table:
    """Return what counted over test, of what `medfeat.evaluation.runs.run.read_attention` found.

    Patients and their images are numbered, unless their `identifiers` may be shown.
    """
    if "test_images" not in found:
        return attended_table(recipe, found["test_attention"])
    patients, images = found["test_ids"], found["test_images"]
    if not identifiers:
        numbers = np.array([f"image {i}" for i in range(1, images.shape[1] + 1)])
        patients = np.array([f"patient {i}" for i in range(1, len(patients) + 1)])
        images = np.where(images == "", "", numbers)
    return patients_table(patients, images, found["test_attention"])


def patients_table(patients: NDArray[np.str_], images: NDArray[np.str_], weights: NDArray[np.floating[Any]]) -> Table:
    """Return the image that counted most for each of some patients, the most uneven ones first.

    Parameters
    ----------
    patients
        (n,) of test.
    images, weights
        (n, P) names of their images, empty where there is none, and what these counted.
    """
    counts, top, at = (images != "").sum(axis=1), weights.max(axis=1), weights.argmax(axis=1)
    order = np.argsort(-top * counts, kind="stable")[:_MOST].tolist()
    rows = tuple(
        (str(patients[i]), str(images[i, at[i]]), f"{top[i]:.3f}", f"{1 / counts[i]:.3f}", str(counts[i]))
        for i in order
    )
    columns = ("patient", "image that counted most", "weight", "alike", "images")
    notes = (f"the {len(rows)} of {len(patients)} patients of whom one image counted most, beside all alike",)
    return Table("What counted, over test", columns, rows, notes)


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
