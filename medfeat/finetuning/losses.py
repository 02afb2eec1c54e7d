"""How wrong outputs are, one number a sample, so that batches may be cut into pieces without changing a gradient."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from medfeat.errors import UsageError
from medfeat.finetuning.head import Link
from medfeat.finetuning.training_settings import TrainingSettings

_FOCUS = 2.0
"""Exponent of the focal loss (Lin et al., ICCV 2017)."""
_IMBALANCED = 10.0
"""From this ratio between the most and the least frequent class on, ``--class-weight auto`` balances."""


class Loss:
    """The loss of a training.

    Parameters
    ----------
    link
        Of the head.
    targets
        (n, c) of train: 0/1, or numbers.
    settings
        Loss, smoothing and class weights.
    """

    def __init__(self, link: Link, targets: NDArray[np.float64], settings: TrainingSettings) -> None:
        if link == "identity" and (settings.loss, settings.class_weight) != ("ce", "none"):
            raise UsageError("numbers have no classes: leave --loss and --class-weight out for a regression")
        self.link, self.focal = link, settings.loss == "focal"
        self.smoothing = settings.smoothing if link == "softmax" else 0.0
        self.spread = torch.tensor(np.maximum(targets.std(axis=0), 1e-12), dtype=torch.float32)
        balanced = settings.class_weight == "balanced"
        self.weights = torch.tensor(
            class_weights(link, targets) if balanced else _even(link, targets), dtype=torch.float32
        )

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return (n,) losses of (n, c) outputs before the link."""
        if self.link == "identity":
            return ((outputs - targets) / self.spread.to(outputs)).square().mean(dim=1)
        weights = self.weights.to(outputs)
        if self.link == "sigmoid":
            every = functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none")
            every = every * (1 - torch.exp(-every)) ** _FOCUS if self.focal else every
            return (every * torch.where(targets > 0.5, weights[1], weights[0])).mean(dim=1)
        smooth = targets * (1 - self.smoothing) + self.smoothing / targets.shape[1]
        logs = functional.log_softmax(outputs, dim=1)
        logs = logs * (1 - logs.exp()) ** _FOCUS if self.focal else logs
        return -(smooth * logs).sum(dim=1) * (targets @ weights)


def class_weights(link: Link, targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights by which every class counts the same, one on average over the samples.

    Parameters
    ----------
    link
        ``softmax`` gives (c,) weights n / (c n_class); ``sigmoid`` gives (2, c): of absence and presence of each label.
    targets
        (n, c) 0/1.
    """
    share = targets.mean(axis=0)
    if link == "softmax":
        weights: NDArray[np.float64] = 1 / (targets.shape[1] * share)
        return weights
    return np.stack([0.5 / (1 - share), 0.5 / share])


def is_imbalanced(link: Link, targets: NDArray[np.float64]) -> bool:
    """Tell whether the most frequent class has at least `_IMBALANCED` times the samples of the least frequent."""
    if link == "identity":
        return False
    count = targets.sum(axis=0)
    if link == "sigmoid":
        count = np.concatenate([count, len(targets) - count])
    return bool(count.max() >= _IMBALANCED * count.min())


def _even(link: Link, targets: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.ones((2, targets.shape[1]) if link == "sigmoid" else targets.shape[1])
