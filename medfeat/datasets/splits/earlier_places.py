"""A split that was drawn before is kept: images that were there stay where they are, new ones are drawn beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medfeat.counted import counted, counted_are
from medfeat.datasets.splits.drawing import draw_split
from medfeat.datasets.splits.split_sizes import split_sizes
from medfeat.types import IdArray, Task


@dataclass(frozen=True)
class Earlier:
    """The split that was drawn of a dataset's images before.

    Attributes
    ----------
    name
        Of what it was drawn for, such as ``skin@1``.
    places
        ``train``, ``val`` or ``test`` of each image that is still there, by the id it has now.
    drawn
        Whether medfeat drew it: what a person gave and took away again is not kept.
    origin
        What was said of it, where it is of the same images.
    """

    name: str
    places: Mapping[str, str]
    drawn: bool = True
    origin: str = ""


def was_drawn(task: Task) -> bool:
    """Whether the split of a task, or a part of it, was drawn by medfeat: its origin says so."""
    return "stratified" in task.origin


def draw_beside(
    ids: IdArray,
    strata: NDArray[np.int64],
    fractions: Mapping[str, float],
    *,
    patients: IdArray | None = None,
    seed: int = 0,
    earlier: Earlier | None = None,
) -> tuple[IdArray, str]:
    """Draw a split as `draw_split` does, but leave images where they were drawn before.

    A new image of a patient who was there goes where the patient is. The others are drawn so that the shares of all
    images come near to those asked for.

    Parameters
    ----------
    ids, strata, fractions, patients, seed
        As `draw_split` takes them.
    earlier
        What was drawn before. Where a patient would be in two splits, or a split would be empty, all is drawn anew.

    Returns
    -------
    tuple
        (n,) name of the split a sample, and in words what became of the earlier one: empty where there is none, else
        ended by a semicolon.
    """
    places = {} if earlier is None else earlier.places
    before = np.array([places.get(name, "") for name in ids.tolist()], dtype="<U5")
    before[~np.isin(before, list(fractions))] = ""
    if earlier is None or not before.any():
        return draw_split(ids, strata, fractions, patients=patients, seed=seed), ""
    placed, torn = _with_patients(before, patients)
    if not earlier.drawn:
        why = "was given, and is no longer"
    elif torn:
        why = f"cannot be kept: {torn}"
    else:
        split = _filled(ids, strata, placed, fractions, patients=patients, seed=seed)
        empty = [part for part in fractions if part not in split]
        if not empty or len(ids) < len(fractions):
            return split, _kept(earlier.name, before)
        why = f"cannot be kept: {' and '.join(empty)} would be empty"
    anew = draw_split(ids, strata, fractions, patients=patients, seed=seed)
    tested, seen = before == "test", (before == "test") & (anew == "train")
    return anew, (
        f"THE SPLIT OF {earlier.name} {why}; all is drawn anew, and of its {int(tested.sum())} test images "
        f"{int(seen.sum())} are in train now: scores before and after are of different questions; "
    )


def _kept(name: str, before: IdArray) -> str:
    new = int((before == "").sum())
    added = f", {counted_are(new, 'new one')} drawn beside them" if new else ""
    kept = len(before) - new
    return f"{counted(kept, 'image')} {'stays' if kept == 1 else 'stay'} in the split of {name}{added}; "


def _with_patients(before: IdArray, patients: IdArray | None) -> tuple[IdArray, str]:
    """Return the places with those of new images of known patients; and in words who is in two splits, if anybody."""
    if patients is None:
        return before, ""
    known = before != ""
    pairs = np.unique(np.stack([patients[known], before[known]]), axis=1)
    who, splits = np.unique(pairs[0], return_counts=True)
    if (splits > 1).any():
        torn = who[splits > 1]
        where = " and ".join(pairs[1][pairs[0] == torn[0]])
        return before, f"{counted(len(torn), 'patient')} would be in two splits, such as {torn[0]} in {where}"
    of_patient = dict(zip(*pairs.tolist(), strict=True))
    return np.array([of_patient.get(one, "") for one in patients.tolist()], dtype="<U5"), ""


def _filled(
    ids: IdArray,
    strata: NDArray[np.int64],
    placed: IdArray,
    fractions: Mapping[str, float],
    *,
    patients: IdArray | None,
    seed: int,
) -> IdArray:
    """Draw the images that have no place, each split as much as it lacks."""
    free = placed == ""
    sizes = split_sizes(len(ids), np.array(list(fractions.values())))
    lacks = {part: max(0, int(size) - int((placed == part).sum())) for part, size in zip(fractions, sizes, strict=True)}
    wanted = {part: count / sum(lacks.values()) for part, count in lacks.items() if count}
    split = placed.copy()
    if len(wanted) == 1:
        split[free] = next(iter(wanted))
    elif free.any():
        whose = None if patients is None else patients[free]
        split[free] = draw_split(ids[free], strata[free], wanted, patients=whose, seed=seed)
    return split
