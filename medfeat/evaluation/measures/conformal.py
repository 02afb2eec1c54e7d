"""Saying "I do not know" at a chosen error rate: split conformal sets, calibrated on val.

A class is in the set of a sample when its probability is not lower than what all but the asked share of val's true
classes have (Vovk et al., Algorithmic Learning in a Random World, 2005; Sadinle et al., Least ambiguous set-valued
classifiers with bounded error levels, JASA 114, 2019). If val and new samples are alike, the true class is in the set
at least 1 - error rate of the time, whatever the model. A set of exactly one class is a label; any other is a reason
to abstain.

Where val's patients are known, a patient counts as one sample however many images there are (Lee, Barber and Willett,
Distribution-free inference with hierarchical data, arXiv 2306.06342, 2023): the promise is then one about an image of a
new patient, and needs as many patients as it would need images.

Of a run that folds chose, all samples of train and val take the place of val's: each was scored by a model of a fold
that left it out, and the head itself was fitted on all. No proof holds for every head then, since no single model gave
the scores: the promise rests on a head that changes little when a fifth of its samples is taken away. Even with the
models of the folds kept and asked, twice the error rate is all that is proved (Barber et al., Predictive inference with
the jackknife+, Annals of Statistics 49, 2021, theorems 1 to 4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medfeat.errors import UsageError
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.measures.patients import equal_shares
from medfeat.types import FloatArray, IdArray, TaskType
from medfeat_cache.commands import command

_FEW = 50
"""Fewer samples, or patients, make a promise that luck may break by much."""
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Conformal:
    """A limit on how strange a value may be and still be in the set.

    Attributes
    ----------
    task_type, error_rate
        What was asked.
    n
        Samples of val.
    limit
        Infinite when val is too small for the error rate: then nothing is decided.
    scale
        For regression, the spread of val's errors a target, by which errors are measured.
    patients
        Of val, which then count in place of its samples; None where they are not known.
    in_folds
        Whether the samples are those of train and val, each by a model of a fold that had not seen it, and not val's.
    """

    task_type: TaskType
    error_rate: float
    n: int
    limit: float
    scale: tuple[float, ...] = ()
    patients: int | None = None
    in_folds: bool = False

    @property
    def counted(self) -> int:
        """How many independent samples the limit rests on: patients where they are known, else images."""
        return self.n if self.patients is None else self.patients

    def worst_miss_rate(self, level: float = 0.95) -> float:
        """Return the share of sets that miss the truth which this share of val splits of this size stays below.

        With n samples the coverage over new ones follows Beta(n + 1 - l, l), l the whole part of (n + 1) x error rate
        (Vovk, Conditional validity of inductive conformal predictors, ACML 2012, proposition 2a); 0 where all is open.
        """
        from scipy.stats import beta

        left = math.floor((self.counted + 1) * self.error_rate + _ROUNDING)
        return 0.0 if left == 0 else float(beta.ppf(level, left, self.counted + 1 - left))

    def least_rate(self) -> float:
        """Return the lowest error rate, in whole percents, that so many samples of val can answer."""
        return math.ceil(100 / (self.counted + 1)) / 100

    def cautions(self) -> tuple[str, ...]:
        """Return what must be said beside the sets: val too small for any, or so small that much is luck."""
        more = "" if self.in_folds else f", or a run of {command('probe', choose='cv')}, which takes train's too"
        if math.isinf(self.limit):
            least = math.ceil((1 - self.error_rate) / self.error_rate - _ROUNDING)
            return (
                f"{self.split} is too small for error rate {self.error_rate:g}: {self.behind()}, and at least {least} "
                f"are needed; every image is left undecided: more in {self.split} help{more}, or "
                f"--error-rate {self.least_rate():g}",
            )
        if self.counted >= _FEW:
            return ()
        return (
            f"only {self.behind()} stand behind sets and probabilities: asked to miss the truth in "
            f"{self.error_rate:.0%} of images, these sets may well miss it in {self.worst_miss_rate():.0%}; more in "
            f"{self.split} help{more}",
        )

    @property
    def split(self) -> str:
        """What the samples are of: ``val``, or ``train and val``."""
        return "train and val" if self.in_folds else "val"

    def behind(self) -> str:
        """Return what the limit rests on in words, as ``13 val images``."""
        counted = f"{self.counted} {self.split}"
        return f"{counted} images" if self.patients is None else f"{counted} patients ({self.n} images)"

    def sets(self, scores: FloatArray) -> NDArray[np.bool_]:
        """Return which values are in each sample's set.

        (n, c) classes; for multi-label (n, k, 2), whether 0 and whether 1 is possible for each label.
        """
        p = _two_columns(np.asarray(scores, np.float64), self.task_type)
        if self.task_type == "multi-label":
            return np.stack([p, 1 - p], axis=2) <= self.limit
        return np.asarray(1 - p <= self.limit)

    def bounds(self, scores: FloatArray) -> NDArray[np.float64]:
        """Return (n, k, 2) intervals of a regression, joint over its targets."""
        half = self.limit * np.array(self.scale)
        return np.stack([scores - half, scores + half], axis=2)

    def abstains(self, scores: FloatArray) -> NDArray[np.bool_]:
        """Return (n,) whether a sample is left undecided: its set is not exactly one class (for every label)."""
        if self.task_type == "regression":
            return np.full(len(scores), math.isinf(self.limit))
        sizes = self.sets(scores).sum(axis=-1)
        return np.asarray((sizes.reshape(len(scores), -1) != 1).any(axis=1))

    def covers(self, given: LabelledScores) -> NDArray[np.bool_]:
        """Return (n,) whether the true value is in the set (multi-label and regression: all of them)."""
        return _strangeness(given, self.scale) <= self.limit


def calibrate(
    val: LabelledScores, error_rate: float, groups: IdArray | None = None, *, in_folds: bool = False
) -> Conformal:
    """Find the limit on val.

    Parameters
    ----------
    val
        Of samples that the model had not seen, val or left out of folds; never of test.
    error_rate
        Share of samples whose set may miss the truth, between 0 and 1.
    groups
        (n,) patient a sample; None where each sample stands for itself.
    in_folds
        Whether they are train and val, left out of folds.

    Returns
    -------
    Conformal
        Joint over labels for multi-label, and over targets for regression.
    """
    if not 0 < error_rate < 1:
        raise UsageError(f"--error-rate must be between 0 and 1, got {error_rate}")
    n = len(val)
    errors = val.labels - val.scores if val.task_type == "regression" else np.empty((n, 0))
    spread = tuple(float(part) or 1.0 for part in np.sqrt(np.mean(errors**2, axis=0)))
    strange = _strangeness(val, spread)
    shares = np.ones(n) if groups is None else equal_shares(groups)
    order = np.argsort(strange, kind="stable")
    counted = n if groups is None else len(np.unique(groups))
    # The new sample, or the first of a new patient, is one more that nothing is known of.
    enough = np.flatnonzero(np.cumsum(shares[order]) >= (counted + 1) * (1 - error_rate) - _ROUNDING)
    limit = float(strange[order[enough[0]]]) if len(enough) else math.inf
    return Conformal(val.task_type, error_rate, n, limit, spread, None if groups is None else counted, in_folds)


def _strangeness(given: LabelledScores, spread: tuple[float, ...] = ()) -> NDArray[np.float64]:
    """Return (n,) how little each sample's true value is expected: the largest over labels or targets."""
    if given.task_type == "regression":
        return np.asarray((np.abs(given.labels - given.scores) / np.array(spread)).max(axis=1))
    y, p = given.labels, given.by_class
    if given.task_type == "multi-label":
        return np.asarray(np.abs(y - p).max(axis=1))
    return np.asarray(1 - p[np.arange(len(p)), y])


def _two_columns(scores: NDArray[np.float64], task_type: TaskType) -> NDArray[np.float64]:
    single = task_type == "binary-class" and scores.shape[1] == 1
    return np.hstack([1 - scores, scores]) if single else scores
