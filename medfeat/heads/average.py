"""The mean of several fitted heads' scores: one model, kept and fitted again as any other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from sklearn.base import BaseEstimator, clone

from medfeat.heads.inputs import decide, mean_scores
from medfeat.types import Fitted, FloatArray, LabelArray, TaskType


class AverageProbe(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Scores that are the mean of its members' scores, each of which counts alike.

    Parameters
    ----------
    members
        Models of one task; those that were fitted already need no `fit`.
    """

    def __init__(self, members: Sequence[Fitted]) -> None:
        self.members = members

    def fit(self, X: FloatArray, y: LabelArray) -> AverageProbe:
        """Fit each member anew to (n, d) features and (n, k) labels."""
        self.members_ = [cast(Any, clone(member)).fit(X, y) for member in self.members]
        return self

    def scores(self, X: FloatArray) -> FloatArray:
        """Return (n, c) mean scores of (n, d) features."""
        return mean_scores([member.scores(X) for member in self.fitted])

    predict_proba = scores

    def predict(self, X: FloatArray) -> LabelArray:
        """Return (n,) class numbers, (n, k) labels, or numbers for a regression."""
        task_type: TaskType = cast(Any, self.fitted[0]).task_type
        return decide(self.scores(X), task_type)

    @property
    def device_(self) -> str:
        """Where the members were trained, ``cuda`` if one of them was."""
        devices = {str(getattr(member, "device_", "cpu")) for member in self.fitted}
        return next((device for device in sorted(devices) if device != "cpu"), "cpu")

    @property
    def fitted(self) -> Sequence[Fitted]:
        """Its members as they are: fitted anew, or as they were given."""
        return getattr(self, "members_", self.members)
