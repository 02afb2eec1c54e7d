"""A linear probe for few labels that starts from the means of the classes and blends in their texts.

Huang et al., LP++: A surprisingly strong linear probe for few-shot CLIP, CVPR 2024 (arXiv:2404.02285): the logit of an
image f and a class k is f . (w_k + a_k t_k), where w_k starts at the mean of the class's images, t_k are its texts, and
w and a are learnt together. There is no penalty and no learning rate: w, the intercept and a are blocks, each moved by
the inverse of a Lipschitz constant of its own slope, so that no step can raise the loss, and the number of steps is
what keeps w near its start.

Where a network reads no texts, nothing of a is left: what remains of the paper's method is logistic regression that
starts from the class means and is stopped early. Two things differ from the authors' program: a starts at the network's
own scale of cosines, where theirs starts at one number found for CLIP, and its steps are plain ones, without momentum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from medfeat.heads.inputs import CLASS_TASKS, check_split, class_numbers, decide, label_matrix, refuse_task, spread
from medfeat.heads.standardise import Standardiser
from medfeat.heads.texts import TextSource, evidence, probabilities, texts_of, unit
from medfeat.types import Candidate, FloatArray, LabelArray, Progress, TaskType

STEPS = (0, 3, 10, 30, 100, 300)
# Of the curvature of a softmax and of a sigmoid.
_STEEPEST = {False: 0.5, True: 0.25}
Wide = NDArray[np.float64]


@dataclass
class Blend:
    """Weights of the blocks.

    Attributes
    ----------
    w
        (c, d) of images.
    bias
        (c,).
    a
        (c,) multipliers of the texts' cosines; zeros without texts.
    """

    w: Wide
    bias: Wide
    a: Wide


def descend(
    features: Wide, cosines: Wide, targets: Wide, begin: Blend, steps: Sequence[int], *, several: bool
) -> Iterator[Blend]:
    """Yield the weights after each of some ascending numbers of steps.

    Parameters
    ----------
    features
        (n, d) of images.
    cosines
        (n, c) of images and texts; zeros without texts, whose multipliers then stay as they begin.
    targets
        (n, c) 0/1.
    begin
        Where to.
    steps
        How many, ascending.
    several
        A sigmoid a column instead of a softmax over them.
    """
    n, steepest = len(features), _STEEPEST[several]
    task_type: TaskType = "multi-label" if several else "multi-class"
    of_images = steepest * _largest(features) / n
    of_texts = steepest * np.square(cosines).sum(axis=0).max(initial=0.0) / n
    w, bias, a = begin.w.copy(), begin.bias.copy(), begin.a.copy()
    seen = features @ w.T

    def off() -> Wide:
        found: Wide = probabilities(seen + bias + cosines * a, task_type) - targets
        return found

    done = 0
    for wanted in steps:
        for _ in range(wanted - done):
            if of_images > 0:
                w -= off().T @ features / (n * of_images)
                seen = features @ w.T
            bias -= off().mean(axis=0) / steepest
            if of_texts > 0:
                a -= (off() * cosines).mean(axis=0) / of_texts
        done = wanted
        yield Blend(w.copy(), bias.copy(), a.copy())


def _largest(features: Wide) -> float:
    """Return the largest eigenvalue of the (d, d) products of (n, d) features."""
    n, d = features.shape
    products = features.T @ features if d <= n else features @ features.T
    return float(max(np.linalg.eigvalsh(products)[-1], 0.0))


class LPPlusProbe(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Class means of unit vectors, moved some steps down the loss; with texts, their cosines times multipliers.

    Parameters
    ----------
    steps
        Down the loss; 0 leaves the class means (and the texts) as they are.
    standardised
        Standardise features before they are made unit vectors; cosines with texts are of the features as they are.
    towards, away, scale
        As in `medfeat.heads.texts.ClassTexts`; None of a network without texts.
    task_type, n_classes
        As in every head. A class absent from train keeps what its texts say, and without texts gets probability 0.
    """

    def __init__(
        self,
        steps: int = STEPS[-1],
        *,
        standardised: bool = False,
        towards: Wide | None = None,
        away: Wide | None = None,
        scale: float = 1.0,
        task_type: TaskType = "multi-class",
        n_classes: int = 2,
    ) -> None:
        self.steps = steps
        self.standardised = standardised
        self.towards = towards
        self.away = away
        self.scale = scale
        self.task_type = task_type
        self.n_classes = n_classes

    def fit(self, X: FloatArray, y: LabelArray) -> LPPlusProbe:
        """Fit to (n, d) features and (n, k) labels."""
        return next(fit_steps(X, y, (self.steps,), **{k: v for k, v in self.get_params().items() if k != "steps"}))

    def scores(self, X: FloatArray) -> FloatArray:
        """Return (n, n_classes) probabilities of (n, d) features."""
        logits = self._features(X) @ self.coef_.T + self.intercept_ + self._cosines(X) * self.multipliers_
        found = probabilities(logits, self.task_type)
        return found if self.task_type == "multi-label" else spread(found, self.present_, self.n_classes)

    predict_proba = scores

    def predict(self, X: FloatArray) -> LabelArray:
        """Return (n,) class numbers, or (n, k) 0/1 labels at a threshold of 0.5."""
        return decide(self.scores(X), self.task_type)

    def _measure(self, X: FloatArray, y: LabelArray) -> Wide:
        """Keep what is known of train before anything is learnt; return (n, c) targets."""
        refuse_task("lp++", self.task_type, (*CLASS_TASKS, "multi-label"))
        check_split(X, y, "train")
        d = X.shape[1]
        statistics = Standardiser.fit(X) if self.standardised else Standardiser(np.zeros(d), np.ones(d))
        self.mean_, self.scale_ = statistics.mean, statistics.scale
        self.present_: NDArray[np.int64] = np.arange(self.n_classes)
        if self.task_type == "multi-label":
            return label_matrix(y).astype(np.float64)
        numbers = class_numbers(y, self.n_classes)
        if self.towards is None:
            self.present_ = np.unique(numbers)
        return np.asarray(numbers[:, None] == self.present_, np.float64)

    def _features(self, X: FloatArray) -> Wide:
        return unit(Standardiser(self.mean_, self.scale_).transform(X))

    def _cosines(self, X: FloatArray) -> Wide:
        if self.towards is None:
            return np.zeros((len(X), len(self.present_)))
        return evidence(X, self.towards, self.away, 1.0)


def fit_steps(X: FloatArray, y: LabelArray, steps: Sequence[int], **asked: Any) -> Iterator[LPPlusProbe]:
    """Fit one probe for each of some ascending numbers of steps, all on one way down; `asked` is the rest of each."""
    several = asked.get("task_type") == "multi-label"
    first = LPPlusProbe(steps[0], **asked)
    targets = first._measure(X, y)
    features, cosines = first._features(X), first._cosines(X)
    w = _means(features, targets)
    if several:  # with a label against without it
        w -= _means(features, 1 - targets)
    count = targets.shape[1]
    begin = Blend(w, np.zeros(count), np.full(count, 0.0 if first.towards is None else first.scale))
    for wanted, found in zip(steps, descend(features, cosines, targets, begin, steps, several=several), strict=True):
        probe = LPPlusProbe(wanted, **asked)
        probe.mean_, probe.scale_, probe.present_ = first.mean_, first.scale_, first.present_
        probe.coef_, probe.intercept_, probe.multipliers_ = found.w, found.bias, found.a
        yield probe


def _means(features: Wide, members: Wide) -> Wide:
    """Return (c, d) means over each column's members; zeros where there are none."""
    return np.asarray(members.T @ features / np.maximum(members.sum(axis=0), 1.0)[:, None])


class LPPlusHead:
    """Over `STEPS`, fewest first, with features as they are and standardised.

    Attributes
    ----------
    texts
        Where it gets them; set by whoever makes the head, and None where the network reads none.
    """

    name = "lp++"

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
        """Yield one probe a setting; nothing is random and val is not looked at."""
        del val, seed
        asked: dict[str, Any] = {"task_type": task_type, "n_classes": n_classes}
        if self.texts is not None:
            found = texts_of(self.name, self.texts, task_type, train[0])
            asked |= {"towards": found.towards, "away": found.away, "scale": found.scale}
        progress.start(2 * len(STEPS), self.name, unit="settings")
        both = zip(*(fit_steps(*train, STEPS, standardised=flag, **asked) for flag in (False, True)), strict=True)
        for probe in (one for some in both for one in some):
            progress.advance(1)
            yield Candidate({"steps": probe.steps, "standardised": probe.standardised}, probe, float(probe.steps))
        progress.finish()
