"""A linear probe that starts from texts: what few labels say is added to what the texts say.

Logits are those of the zero-shot classifier, times a share, plus a linear function of standardised features whose
weights are held down: without labels (or with a small C) it is the zero-shot classifier, with many a linear probe. That
is L2 logistic regression whose weights shrink to the texts' instead of to zero, as the text-informed probes of Huang et
al. (LP++, CVPR 2024) and Silva-Rodriguez et al. (CLAP, CVPR 2024) do in their ways.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from medfeat.heads.inputs import check_split, class_numbers, decide, label_matrix
from medfeat.heads.standardise import Standardiser
from medfeat.heads.texts import TextSource, evidence, probabilities, texts_of, unit
from medfeat.types import Candidate, FloatArray, LabelArray, Progress, TaskType

GRID = tuple(10.0**power for power in range(-6, 2))
SHARES = (1.0, 0.3, 0.1)


class TextLinearProbe(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Logistic regression whose weights shrink to those of the texts.

    Parameters
    ----------
    towards, away, scale
        As in `medfeat.heads.texts.ClassTexts`.
    share
        Of the texts' logits.
    C
        Inverse strength of the L2 penalty on what is learnt beside them; the intercept is penalised too, so that a
        class absent from train keeps what the texts say.
    task_type, n_classes
        As in every head.
    tol
        Largest entry of the gradient, a sample, at which the solution counts as found.
    """

    def __init__(
        self,
        towards: NDArray[np.float64],
        away: NDArray[np.float64] | None,
        scale: float,
        share: float = 1.0,
        C: float = 1.0,
        *,
        task_type: TaskType = "multi-class",
        n_classes: int = 2,
        tol: float = 1e-7,
    ) -> None:
        self.towards = towards
        self.away = away
        self.scale = scale
        self.share = share
        self.C = C
        self.task_type = task_type
        self.n_classes = n_classes
        self.tol = tol

    def fit(self, X: FloatArray, y: LabelArray, start: NDArray[np.float64] | None = None) -> TextLinearProbe:
        """Fit to (n, d) projected images and (n, k) labels; `start` are (c, d + 1) weights to begin with."""
        from scipy.optimize import minimize

        check_split(X, y, "train")
        statistics = Standardiser.fit(unit(X))
        self.mean_, self.scale_ = statistics.mean, statistics.scale
        features, given = self._features(X), self._texts(X)
        several = self.task_type == "multi-label"
        targets = (
            label_matrix(y).astype(np.float64) if several else np.eye(self.n_classes)[class_numbers(y, self.n_classes)]
        )
        shape = (targets.shape[1], features.shape[1])

        def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            weights = flat.reshape(shape)
            logits = given + features @ weights.T
            loss = _loss(logits, targets, several) + (flat @ flat) / (2 * self.C)
            slope = (probabilities(logits, self.task_type) - targets).T @ features + weights / self.C
            return float(loss / len(X)), slope.reshape(-1) / len(X)

        begin = np.zeros(shape) if start is None else start
        found = minimize(
            objective, begin.reshape(-1), jac=True, method="L-BFGS-B",
            options={"maxiter": 2000, "gtol": self.tol, "ftol": 0.0, "maxcor": 20},
        )  # fmt: skip
        self.coef_ = found.x.reshape(shape)
        self.n_iter_ = int(found.nit)
        return self

    def scores(self, X: FloatArray) -> FloatArray:
        """Return (n, n_classes) probabilities of (n, d) projected images."""
        return probabilities(self._texts(X) + self._features(X) @ self.coef_.T, self.task_type)

    predict_proba = scores

    def predict(self, X: FloatArray) -> LabelArray:
        """Return (n,) class numbers, or (n, k) 0/1 labels at a threshold of 0.5."""
        return decide(self.scores(X), self.task_type)

    def _texts(self, X: FloatArray) -> NDArray[np.float64]:
        return self.share * evidence(X, self.towards, self.away, self.scale)

    def _features(self, X: FloatArray) -> NDArray[np.float64]:
        standardised = (unit(X) - self.mean_) / self.scale_
        return np.hstack([standardised, np.ones((len(X), 1))])


def _loss(logits: NDArray[np.float64], targets: NDArray[np.float64], several: bool) -> float:
    if several:
        return float((np.logaddexp(0.0, logits) - targets * logits).sum())
    highest = logits.max(axis=1, keepdims=True)
    total = highest[:, 0] + np.log(np.exp(logits - highest).sum(axis=1))
    return float((total - (targets * logits).sum(axis=1)).sum())


class TextLinearHead:
    """The text-informed probe over `GRID` and `SHARES`, the smallest C first.

    Attributes
    ----------
    texts
        Where it gets them; set by whoever makes the head.
    """

    name = "text-linear"

    def __init__(self) -> None:
        self.texts: TextSource | None = None

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
        """Yield one probe a share and value of C; each begins where the last one ended."""
        del val, seed
        found = texts_of(self.name, self.texts, task_type, train[0])
        progress.start(len(SHARES) * len(GRID), self.name, unit="settings")
        for share in SHARES:
            weights = None
            for C in GRID:
                probe = TextLinearProbe(
                    found.towards, found.away, found.scale, share, C, task_type=task_type, n_classes=n_classes
                ).fit(*train, start=weights)
                weights = probe.coef_
                progress.advance(1)
                yield Candidate({"C": C, "share": share}, probe, float(np.log10(C)) - share)
        progress.finish()
