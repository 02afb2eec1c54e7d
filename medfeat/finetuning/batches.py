"""In which order samples are seen: drawn from seed and epoch alone, so that a resumed epoch sees the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medfeat.finetuning.training_settings import TrainingSettings


def epoch_order(
    count: int, settings: TrainingSettings, epoch: int, frequency: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the (count,) positions an epoch sees, in order.

    Parameters
    ----------
    count
        Samples of train.
    settings
        ``shuffled`` sees each once; ``balanced`` draws with replacement, each inversely to its `frequency`.
    epoch
        From 1.
    frequency
        (count,) share of train that has the sample's class (for several labels: its rarest).
    """
    rng = np.random.default_rng([settings.seed, epoch])
    if settings.sampler == "balanced":
        return rng.choice(count, count, p=(1 / frequency) / (1 / frequency).sum())
    return rng.permutation(count)


def frequencies(targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (n,) share of the samples that have each sample's own class, or the rarest of its labels."""
    share = targets.mean(axis=0)
    if targets.shape[1] == 1:  # one sigmoid for two classes
        own: NDArray[np.float64] = np.where(targets[:, 0] > 0.5, share[0], 1 - share[0])
        return own
    found: NDArray[np.float64] = np.where(targets > 0.5, share, 1.0).min(axis=1)
    return found


def batches(order: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    """Cut an order into batches; the last may be shorter."""
    return [order[start : start + size] for start in range(0, len(order), size)]
