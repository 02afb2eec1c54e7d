"""Gated attention over the several vectors of a sample, a linear layer on their weighted mean.

They are slices, tokens, or all images of a patient; or the layers of an image, each of which keeps columns of its own,
so that the mean over them is the layers side by side and attention says how much each counts.

A light adapter on frozen features: the gate reads each vector, so that a few telling slices count more than the rest.
Training begins at the linear (or ridge) probe of the mean over the bag, where every vector counts alike, and val stops
it: where attention finds nothing, the probe of the mean is what stays. Settings are few, and val chooses among them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from medfeat.heads.class_weights import BALANCED, NONE, refuse_numbers, sample_weights, weight_settings, weights_tried
from medfeat.heads.gated_attention import Adam, Array, Link, Weights, even, gradients, loss, outputs
from medfeat.heads.inputs import check_split, decide
from medfeat.heads.layers import Layers
from medfeat.heads.linear import LinearProbe, varying_targets
from medfeat.heads.ridge import RidgeProbe
from medfeat.heads.standardise import Standardiser
from medfeat.tasks.bags import bag_means, blocks, present_in
from medfeat.types import Candidate, FloatArray, LabelArray, Progress, TaskType

GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
HIDDEN = 64
RATE = 1e-3
BATCH = 32
MAX_ROUNDS = 40
PATIENCE = 6
# Of the probe that training begins at: what is left of its own slope would be its first steps.
_TOL = 1e-12
_WEIGHTS = ("gate", "gate_bias", "look", "out", "out_bias")


@dataclass(frozen=True)
class Measured:
    """What is known of the bags of train before anything is learnt.

    Attributes
    ----------
    vectors
        Mean and spread of all their vectors.
    gain
        (d,) by how much a vector varies more than the mean of a bag: means times `gain` have unit variance.
    means
        (n, d) means over the standardised vectors of each bag, times `gain`.
    layers
        Mean and spread of each layer's features, where bags are layers.
    """

    vectors: Standardiser
    gain: NDArray[np.float64]
    means: NDArray[np.float64]

    layers: Standardiser | None = None

    @classmethod
    def of(cls, X: FloatArray, widths: Sequence[int] | None = None) -> Measured:
        """Read bags twice, a block of samples at a time; with `widths`, (n, d) features are those of layers."""
        layers = None if widths is None else Standardiser.fit(X)
        bags = _as_bags(X, layers, widths)
        means = np.empty((len(bags), bags.shape[2]))
        for some, part in blocks(bags):
            means[some] = bag_means(part, present_in(bags[some]))
        mean, total, count = means.mean(axis=0), np.zeros(bags.shape[2]), 0
        for some, part in blocks(bags):
            present = present_in(bags[some])
            for i, bag in enumerate(part):
                there = bag if present is None else bag[present[i]]
                total += np.square(there - mean).sum(axis=0)
                count += len(there)
        variance = total / count
        between = np.square(means - mean).mean(axis=0)
        # Rounding leaves constant features a variance of this size; dividing by it would blow noise up.
        noise = np.square(np.finfo(np.float32).eps * mean)
        scale = np.sqrt(np.where(variance <= noise, 1.0, variance))
        flat = between <= np.maximum(noise, np.finfo(np.float32).eps * variance)
        gain = np.where(flat, 1.0, scale / np.sqrt(np.where(flat, 1.0, between)))
        return cls(Standardiser(mean, scale), gain, (means - mean) / scale * gain, layers)


class AttentionProbe(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Gated attention over a bag and a linear layer, trained by Adam from the linear probe of the mean.

    Parameters
    ----------
    C
        Inverse strength of the L2 penalty on the linear layer, as of `medfeat.heads.linear.LinearProbe`.
    rounds
        Passes over train; with a val split the most there will be. 0 is the linear probe of the mean.
    hidden, rate, batch
        Width of the gate, learning rate, samples a step.
    task_type, n_classes, seed, class_weight
        As in every head.
    widths
        Of layers side by side, which make (n, d) features bags; None where vectors come as bags.
    """

    def __init__(
        self,
        *,
        C: float = 1e-3,
        rounds: int = MAX_ROUNDS,
        hidden: int = HIDDEN,
        rate: float = RATE,
        batch: int = BATCH,
        task_type: TaskType = "multi-class",
        n_classes: int = 2,
        seed: int = 0,
        class_weight: str = NONE,
        widths: Sequence[int] | None = None,
    ) -> None:
        self.C = C
        self.rounds = rounds
        self.hidden = hidden
        self.rate = rate
        self.batch = batch
        self.task_type = task_type
        self.n_classes = n_classes
        self.seed = seed
        self.class_weight = class_weight
        self.widths = widths

    def fit(
        self,
        X: FloatArray,
        y: LabelArray,
        *,
        val: tuple[FloatArray, LabelArray] | None = None,
        measured: Measured | None = None,
    ) -> AttentionProbe:
        """Train on (n, P, d) vectors and (n, k) labels; with `val`, keep the round at which its loss was lowest.

        `measured` is what `Measured.of` found of the same vectors.
        """
        check_split(X, y, "train")
        refuse_numbers(self.class_weight, self.task_type)
        known = measured or Measured.of(X, self.widths)
        self.layer_mean_ = None if known.layers is None else known.layers.mean
        self.layer_scale_ = None if known.layers is None else known.layers.scale
        X, dtype = self._bags(X), np.float64 if X.dtype == np.float64 else np.float32
        self.mean_, self.scale_ = known.vectors.mean, known.vectors.scale
        self.gain_: Array = known.gain.astype(dtype)
        targets, link = self._begin(known, y, dtype)
        counts = sample_weights(targets).astype(dtype) if self.class_weight == BALANCED else None
        facts: dict[str, Any] = {"gain": self.gain_, "link": link, "penalty": 1 / (self.C * len(X))}
        weights, adam, order = self._weights(), Adam(self.rate), np.random.default_rng(self.seed)
        best = None if val is None else (self._loss(val, weights, link), 0, _copied(weights))
        for number in range(1, self.rounds + 1):
            shuffled = order.permutation(len(X))
            for first in range(0, len(X), self.batch):
                some = np.sort(shuffled[first : first + self.batch])
                facts["counts"], facts["present"] = None if counts is None else counts[some], present_in(X[some])
                adam.step(weights, gradients(self._vectors(X[some]), targets[some].astype(dtype), weights, **facts))
            if val is None or best is None:
                continue
            lost = self._loss(val, weights, link)
            if lost < best[0]:
                best = lost, number, _copied(weights)
            elif number - best[1] >= PATIENCE:
                break
        self.rounds_ = self.rounds if best is None else best[1]
        self._keep(weights if best is None else best[2])
        return self

    def scores(self, X: FloatArray) -> FloatArray:
        """Return (n, n_classes) probabilities, or (n, k) numbers of a regression, of (n, P, d) vectors."""
        found = self._outputs(self._bags(X), self._weights()).astype(np.float64)
        regression = self.task_type == "regression"
        return np.asarray(self.centre_ + found * self.spread_ if regression else self.begun_.scores_of(found))

    predict_proba = scores

    def predict(self, X: FloatArray) -> LabelArray:
        """Return (n,) class numbers, (n, k) labels, or numbers for a regression."""
        return decide(self.scores(X), self.task_type)

    def attention(self, X: FloatArray) -> NDArray[np.float32]:
        """Return (n, P) weights of the vectors of each sample; they add up to 1, and are 0 where there is no vector."""
        bags, weights = self._bags(X), self._weights()
        found = np.zeros(bags.shape[:2], np.float32)
        for some, vectors in blocks(bags):
            here = outputs(self._vectors(vectors), weights, self.gain_, present_in(bags[some]))[1]
            found[some, : here.shape[1]] = here
        return found

    def _bags(self, X: FloatArray) -> FloatArray:
        mean = getattr(self, "layer_mean_", None)  # a probe that was saved before there were layers has none
        layers = None if mean is None or self.layer_scale_ is None else Standardiser(mean, self.layer_scale_)
        return _as_bags(X, layers, getattr(self, "widths", None))

    def _weights(self) -> Weights:
        return {name: getattr(self, f"{name}_") for name in _WEIGHTS}

    def _keep(self, weights: Weights) -> None:
        for name, value in weights.items():
            setattr(self, f"{name}_", value)

    def _vectors(self, bags: FloatArray) -> Array:
        """Return standardised vectors, in the type the weights have."""
        vectors = np.array(bags, self.gain_.dtype)
        vectors -= self.mean_.astype(self.gain_.dtype)
        vectors /= self.scale_.astype(self.gain_.dtype)
        return vectors

    def _outputs(self, bags: FloatArray, weights: Weights) -> Array:
        parts = [
            outputs(self._vectors(vectors), weights, self.gain_, present_in(bags[some]))[0]
            for some, vectors in blocks(bags)
        ]
        return np.concatenate(parts)

    def _begin(self, known: Measured, y: LabelArray, dtype: Any) -> tuple[NDArray[np.float64], Link]:
        """Fit the probe of the mean, make its weights those that training begins with; return targets and link."""
        if self.task_type == "regression":
            # The optimiser's steps have the size of standardised targets.
            numbers = Standardiser.fit(y.astype(np.float64))
            self.centre_, self.spread_ = numbers.mean, numbers.scale
            targets: NDArray[np.float64] = (y - self.centre_) / self.spread_
            link: Link = "identity"
            self.begun_: Any = RidgeProbe(1 / self.C, n_classes=y.shape[1]).fit(known.means, targets)
        else:
            asked: dict[str, Any] = {"task_type": self.task_type, "n_classes": self.n_classes, "tol": _TOL}
            self.begun_ = LinearProbe(self.C, **asked, class_weight=self.class_weight).fit(known.means, y)
            targets, _, link = varying_targets(y, self.task_type, self.n_classes)
        out = (self.begun_.coef_ / self.begun_.scale_).T
        bias = self.begun_.intercept_ - self.begun_.mean_ @ out
        self._keep(even(out.astype(dtype), bias.astype(dtype), self.hidden, seed=self.seed))
        return targets, link

    def _loss(self, val: tuple[FloatArray, LabelArray], weights: Weights, link: Link) -> float:
        """Return the mean loss on val; of classes that train never shows nothing can be said."""
        found = self._outputs(self._bags(val[0]), weights).astype(np.float64)
        if self.task_type == "regression":
            return loss(found, (val[1] - self.centre_) / self.spread_, link)
        present = self.begun_.present_
        if self.task_type == "multi-label":
            return loss(found, val[1][:, present].astype(np.float64), link)
        shown = (val[1] == present).astype(np.float64)
        return loss(found, shown[:, 1:] if link == "sigmoid" else shown, link)


class AttentionHead:
    """Gated attention over `GRID`, strongest penalty first; val stops each.

    Attributes
    ----------
    widths
        Of layers side by side; set by whoever reads such stores for it, None where vectors come as bags.
    """

    name = "attention"
    takes_bags = True

    def __init__(self, class_weight: str = NONE) -> None:
        self.class_weight = class_weight
        self.widths: tuple[int, ...] | None = None

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
        """Yield one probe a value of C; (n, d) features are bags of one vector."""
        ways = weights_tried(self.class_weight)
        progress.start(len(ways) * len(GRID), self.name, unit="settings")
        X = train[0]
        check_split(X, train[1], "train")
        check_split(val[0], val[1], "val")
        measured = Measured.of(X, self.widths)
        for how in ways:
            for C in GRID:
                asked: dict[str, Any] = {"task_type": task_type, "n_classes": n_classes, "seed": seed}
                probe = AttentionProbe(C=C, **asked, class_weight=how, widths=self.widths)
                probe.fit(X, train[1], val=val, measured=measured)
                progress.advance(1)
                # Fitting it again without val makes the rounds that val chose.
                probe.set_params(rounds=probe.rounds_)
                settings = {"C": C, "rounds": probe.rounds_, **weight_settings(how, self.class_weight)}
                yield Candidate(settings, probe, np.log10(C))
        progress.finish()


def _copied(weights: Weights) -> Weights:
    return {name: value.copy() for name, value in weights.items()}


def _as_bags(X: FloatArray, layers: Standardiser | None, widths: Sequence[int] | None) -> FloatArray:
    """Return (n, P, d) as it is, and (n, d) as bags of its layers, or of one vector."""
    if layers is not None and widths is not None:
        return cast(FloatArray, Layers(X, layers, tuple(widths)))
    return X if X.ndim != 2 else X[:, None, :]
