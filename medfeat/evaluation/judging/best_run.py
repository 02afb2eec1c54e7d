"""Which of several runs is the best, by what chose them and never by test: by val, or by folds where val is small."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from medfeat.counted import counted
from medfeat.evaluation.judging.cross_validation import CV, FOLDS, SMALL_VAL
from medfeat.evaluation.runs.run import Run


@dataclass(frozen=True)
class BestRun:
    """The best of some runs, and what it was compared by.

    Attributes
    ----------
    run
        The best one.
    in_folds
        Whether folds of train and val told, or val alone.
    on_val
        How many runs were left out because val alone chose them, where folds tell.
    elsewhere
        How many were left out because they answer another question: other labels, another split or older images.
    """

    run: Run
    in_folds: bool
    on_val: int
    elsewhere: int

    def line(self) -> str:
        """Return which run it is and how it was found, for people."""
        run, n = self.run, self.run.val.n
        how = f"in {FOLDS} folds of train and val" if self.in_folds else f"on val ({counted(n, 'sample')})"
        parts = [f"best {how}: run {run.key[:12]}, {run.network}, {run.head}"]
        if self.on_val:
            parts.append(f"{counted(self.on_val, 'run')} chosen on the {counted(n, 'sample')} of val alone left out")
        if self.elsewhere:
            parts.append(f"{counted(self.elsewhere, 'run')} on other labels, splits or older images left out")
        return "; ".join(parts)


def best_run(runs: Sequence[Run]) -> BestRun:
    """Return the best of some runs on one dataset and task, as ``probe --choose auto`` would choose.

    Runs that were made on other labels, another split or other images than the newest are left out. Where val has fewer
    than `SMALL_VAL` samples and runs were chosen in folds, these are compared by their means over folds, and those that
    val alone chose are left out: a choice among many makes few samples look good. Elsewhere all are compared on val,
    of a run that was chosen in folds by what the folds' models said of it.

    Parameters
    ----------
    runs
        At least one.
    """
    newest = max(runs, key=lambda run: run.created_utc)
    asked = [run for run in runs if run.task.get("digest") == newest.task.get("digest")]
    folded = [run for run in asked if run.protocol.get("choose") == CV]
    if folded and newest.val.n < SMALL_VAL:
        return BestRun(max(folded, key=_in_folds), True, len(asked) - len(folded), len(runs) - len(asked))
    return BestRun(max(asked, key=_on_val), False, 0, len(runs) - len(asked))


def _in_folds(run: Run) -> tuple[float, ...]:
    """Return the means over folds of the chosen setting, the larger the better."""
    found = (run.choice["val"].get(name) for name in ("first", "second"))
    return tuple(-math.inf if one is None else one for one in found)


def _on_val(run: Run) -> float:
    value = run.val.values[run.headline[0]].value
    return -math.inf if math.isnan(value) else value
