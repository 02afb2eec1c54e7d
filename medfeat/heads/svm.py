"""Support vector machine with a radial kernel on standardised features, its scores calibrated on val.

One machine a class against the rest (or a label against its absence), by libsvm (scikit-learn) on a kernel that is
computed once a width. Distances to a margin become probabilities by Platt's sigmoid (Advances in Large Margin
Classifiers, 1999, with the targets of Lin, Lin and Weng, Machine Learning 68:267-276, 2007), fitted on val.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from medfeat.errors import UnsuitedHeadError
from medfeat.heads.class_weights import BALANCED, NONE, weight_settings, weights_tried
from medfeat.heads.inputs import CLASS_TASKS, check_split, decide, refuse_task, spread
from medfeat.heads.linear import varying_targets
from medfeat.heads.standardise import Standardiser, row_blocks
from medfeat.types import Candidate, FloatArray, LabelArray, Progress, TaskType

STRENGTHS = (0.1, 1.0, 10.0, 100.0)
# Of the kernel exp(-width |x - z|^2 / d): the mean squared distance of standardised features is 2 d.
WIDTHS = (0.1, 0.3, 1.0)
# The kernel of all train samples is held in memory: n^2 numbers of 8 bytes.
MOST_SAMPLES = 6000
Sigmoids = tuple[tuple[float, float], ...]


class SupportProbe(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Machines of one strength and width, equal to scikit-learn's ``SVC(C, gamma=width / d)`` behind a scaler.

    Parameters
    ----------
    C
        Inverse strength of the penalty.
    width
        Of the kernel ``exp(-width |x - z|^2 / d)`` over d standardised features.
    sigmoids
        (slope, offset) a machine, by which its margins become probabilities; None takes margins as logits.
    task_type, n_classes
        As in every head; a class absent from train gets probability 0.
    class_weight
        ``none``, or ``balanced``: each machine's class counts as much as its rest.
    """

    def __init__(
        self,
        C: float = 1.0,
        *,
        width: float = 1.0,
        sigmoids: Sigmoids | None = None,
        task_type: TaskType = "multi-class",
        n_classes: int = 2,
        class_weight: str = NONE,
    ) -> None:
        self.C = C
        self.width = width
        self.sigmoids = sigmoids
        self.task_type = task_type
        self.n_classes = n_classes
        self.class_weight = class_weight

    def fit(self, X: FloatArray, y: LabelArray) -> SupportProbe:
        """Fit to (n, d) features and (n, k) labels.

        Raises
        ------
        UnsuitedHeadError
            More samples than a kernel in memory allows, or numbers to learn.
        """
        check_train(X, y, self.task_type)
        statistics = Standardiser.fit(X)
        Z = statistics.transform(X, dtype=np.float32)
        return self.fit_kernel(statistics, Z, np.exp(-self.width * distances(Z, Z)), y)

    def fit_kernel(
        self, statistics: Standardiser, Z: NDArray[np.float32], kernel: NDArray[np.float64], y: LabelArray
    ) -> SupportProbe:
        """Fit to (n, d) standardised features whose (n, n) kernel is known."""
        from sklearn.svm import SVC

        targets, self.present_, _ = varying_targets(y, self.task_type, self.n_classes)
        self.mean_, self.scale_ = statistics.mean, statistics.scale
        self.chance_ = y.mean(axis=0) if self.task_type == "multi-label" else np.zeros(self.n_classes)
        weights, self.intercept_ = np.zeros((targets.shape[1], len(Z))), np.zeros(targets.shape[1])
        balance = BALANCED if self.class_weight == BALANCED else None
        for k, target in enumerate(targets.T):
            machine = SVC(C=self.C, kernel="precomputed", class_weight=balance, cache_size=64).fit(kernel, target)
            weights[k, machine.support_] = machine.dual_coef_[0]
            self.intercept_[k] = machine.intercept_[0]
        used = np.flatnonzero(weights.any(axis=0))
        self.rows_, self.weights_ = Z[used], weights[:, used]
        return self

    def margins(self, X: FloatArray) -> FloatArray:
        """Return (n, c) signed distances to each machine's margin, a class (or label) that varies in train."""
        Z = Standardiser(self.mean_, self.scale_).transform(X, dtype=np.float32)
        parts = [np.exp(-self.width * distances(Z[rows], self.rows_)) @ self.weights_.T for rows in row_blocks(len(Z))]
        found: FloatArray = np.concatenate(parts) + self.intercept_
        return found

    def calibrated(self, X: FloatArray, y: LabelArray) -> SupportProbe:
        """Return the probe with its sigmoids fitted on (n, d) features and (n, k) labels of val."""
        margins = self.margins(X)
        if self.task_type == "multi-label":
            targets = y[:, self.present_] == 1
        else:
            of = self.present_[1:] if margins.shape[1] == 1 else self.present_
            targets = y[:, :1] == of
        pairs = zip(margins.T, targets.T, strict=True)
        self.sigmoids = tuple(platt(margin, target) for margin, target in pairs)
        return self

    def scores(self, X: FloatArray) -> FloatArray:
        """Return (n, n_classes) probabilities of (n, d) features."""
        logits = self.margins(X)
        if self.sigmoids is not None:
            slope, offset = np.array(self.sigmoids).T
            logits = slope * logits + offset
        p: FloatArray = 1 / (1 + np.exp(-np.clip(logits, -500, 500)))
        if self.task_type == "multi-label":
            full = np.tile(self.chance_, (len(p), 1)).astype(np.float64)
            full[:, self.present_] = p
            return full
        p = np.hstack([1 - p, p]) if p.shape[1] == 1 else p / p.sum(axis=1, keepdims=True)
        return spread(p, self.present_, self.n_classes)

    predict_proba = scores

    def predict(self, X: FloatArray) -> LabelArray:
        """Return (n,) class numbers, or (n, k) 0/1 labels at a threshold of 0.5."""
        return decide(self.scores(X), self.task_type)


class SupportHead:
    """Machines over `STRENGTHS` and `WIDTHS`, small C and wide kernels first."""

    name = "svm"

    def __init__(self, class_weight: str = NONE) -> None:
        self.class_weight = class_weight

    def candidates(
        self,
        train: tuple[FloatArray, LabelArray],
        val: tuple[FloatArray, LabelArray],
        task_type: TaskType,
        n_classes: int,
        *,
        seed: int,
        progress: Progress,
    ) -> Iterator[Candidate]:
        """Yield one probe a setting, calibrated on val; nothing is random."""
        del seed
        X, y = train
        check_train(X, y, task_type)
        check_split(*val, "val")
        grid = [(how, C, width) for how in weights_tried(self.class_weight) for C in STRENGTHS for width in WIDTHS]
        progress.start(len(grid), self.name, unit="settings")
        statistics = Standardiser.fit(X)
        Z = statistics.transform(X, dtype=np.float32)
        apart = distances(Z, Z)
        kernels = {width: np.exp(-width * apart) for width in WIDTHS}
        asked: dict[str, Any] = {"task_type": task_type, "n_classes": n_classes}
        for order, (how, C, width) in enumerate(grid):
            probe = SupportProbe(C, width=width, class_weight=how, **asked)
            probe.fit_kernel(statistics, Z, kernels[width], y)
            progress.advance(1)
            settings = {"C": C, "width": width, **weight_settings(how, self.class_weight)}
            yield Candidate(settings, probe.calibrated(*val), float(order))
        progress.finish()


def check_train(X: FloatArray, y: LabelArray, task_type: TaskType) -> None:
    """Refuse what a machine cannot learn: see `SupportProbe.fit`."""
    refuse_task("svm", task_type, (*CLASS_TASKS, "multi-label"))
    check_split(X, y, "train")
    if len(X) > MOST_SAMPLES:
        raise UnsuitedHeadError(
            f"the svm head learns from at most {MOST_SAMPLES:,} samples, since it holds their kernel in memory; "
            f"train has {len(X):,}: choose another head, such as linear or knn"
        )


def distances(Z: NDArray[np.float32], rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return (n, m) squared distances between (n, d) and (m, d) features, divided by d."""
    lengths = [np.einsum("ij,ij->i", one, one, dtype=np.float64) for one in (Z, rows)]
    apart = lengths[0][:, None] + lengths[1] - 2.0 * (Z @ rows.T)
    return np.asarray(np.maximum(apart, 0) / Z.shape[1])


def platt(margin: NDArray[np.float64], positive: NDArray[np.bool_]) -> tuple[float, float]:
    """Return slope and offset of the sigmoid that makes margins probabilities; (1, 0) where there is one class only.

    The targets of m positives and n negatives are (m + 1) / (m + 2) and 1 / (n + 2), so that no slope is infinite; it
    is never negative.
    """
    from scipy.optimize import minimize

    m, n = int(positive.sum()), int((~positive).sum())
    if not (m and n):
        return 1.0, 0.0
    target = np.where(positive, (m + 1) / (m + 2), 1 / (n + 2))

    def loss(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logit = point[0] * margin + point[1]
        residual = 1 / (1 + np.exp(-np.clip(logit, -500, 500))) - target
        return float(np.sum(np.logaddexp(0, logit) - target * logit)), np.array([residual @ margin, residual.sum()])

    start = np.array([1.0, np.log((m + 1) / (n + 1))])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(1e-3, None), (None, None)])
    return float(found.x[0]), float(found.x[1])
