"""Runs that are one answer under two names, as `auto` that chose kNN and kNN: counted once where runs are counted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medfeat.evaluation.compare.paired import SAME_SCORES, full_names, scores_of_test
from medfeat.evaluation.runs.run import Run


def first_alike(runs: Sequence[Run]) -> list[int]:
    """Return for each run the position of the first one that gives the same scores of test on the same store.

    Of a run that is like none before it that is its own position.

    Parameters
    ----------
    runs
        Of one dataset and task.

    Raises
    ------
    DataError
        Scores that cannot be read.
    """
    kept: dict[str, list[tuple[int, dict[str, np.ndarray]]]] = {}
    found = []
    for i, run in enumerate(runs):
        known = kept.setdefault(str(run.store["digest"]), [])
        scores = scores_of_test(run)
        same = (at for at, other in known if _same(scores, other))
        found.append(next(same, i))
        if found[-1] == i:
            known.append((i, scores))
    return found


def _same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return (
        np.array_equal(one["ids"], other["ids"])
        and one["scores"].shape == other["scores"].shape
        and np.allclose(one["scores"], other["scores"], rtol=0, atol=SAME_SCORES)
    )


def twin_lines(runs: Sequence[Run], first: Sequence[int]) -> list[str]:
    """Return a line for each run that gives the scores of one before it, as `first_alike` found."""
    names = full_names(runs)
    return [f"{names[i]} gives the scores of {names[at]}: counted once" for i, at in enumerate(first) if at != i]
