"""What a protocol decides and finds, as values: what was tried, what val chose, what test then gave."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from medfeat.tasks import Split
from medfeat.types import Fitted, FloatArray, IdArray, LabelArray

# Part of every run's key: a change of what a score or its interval means makes new runs.
# 2: intervals of AUC, ACC and balanced accuracy in closed form, which hold at high scores.
PROTOCOL = 2
_TIE = 1e-9
# What a head finds out on val after its settings: no setting to be found again in another fold or draw.
FOUND_ON_VAL = ("rounds",)
RULE = {
    False: "official AUC on val, ties (1e-9) by ACC, then the simpler model",
    True: "R2 on val, ties (1e-9) by MAE, then the simpler model",
}


@dataclass(frozen=True)
class Tried:
    """One candidate, as val saw it; `first` is AUC (R2 for regression), `second` ACC (minus MAE)."""

    settings: Mapping[str, Any]
    first: float
    second: float
    complexity: float

    def beats(self, other: Tried) -> bool:
        """Tell whether this candidate is chosen before `other`."""
        for mine, theirs in ((self.first, other.first), (self.second, other.second)):
            if abs(mine - theirs) > _TIE and not (math.isinf(mine) and math.isinf(theirs)):
                return mine > theirs
        return self.complexity < other.complexity


@dataclass(frozen=True)
class LeftOut:
    """What the folds' models said of samples of train that they had not seen.

    Attributes
    ----------
    ids, labels
        (n,) and (n, k) of the samples.
    scores
        (n, c) of the setting that was chosen.
    group
        (n,) patients, None when unknown.
    """

    ids: IdArray
    labels: LabelArray
    scores: FloatArray
    group: IdArray | None


@dataclass(frozen=True)
class Choice:
    """What val chose among everything that was tried.

    Attributes
    ----------
    chosen
        The candidate and its val scores.
    tried
        Every candidate, in the order it was tried.
    rule
        How it was chosen, in words.
    model
        The fitted model; for a refit, the model fitted on train and val.
    val_scores
        (n, c) scores on val of the model fitted on train alone.
    left_out
        Where folds chose: the same for train, which val alone has nothing of.
    """

    chosen: Tried
    tried: tuple[Tried, ...]
    rule: str
    model: Fitted
    val_scores: FloatArray
    left_out: LeftOut | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what is written down before test is read; plain JSON values."""
        return {
            "rule": self.rule,
            "settings": dict(self.chosen.settings),
            "val": _tried(self.chosen),
            "tried": [_tried(tried) for tried in self.tried],
        }


def _tried(tried: Tried) -> dict[str, Any]:
    first, second = (part if math.isfinite(part) else None for part in (tried.first, tried.second))
    return {"settings": dict(tried.settings), "first": first, "second": second, "complexity": tried.complexity}


@dataclass(frozen=True)
class Scored:
    """One head on one task: the choice, and the scores of test."""

    choice: Choice
    val: Split
    test: Split
    test_scores: FloatArray
