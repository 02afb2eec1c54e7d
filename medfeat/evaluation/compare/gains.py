"""What fine-tuning gained over a linear probe where both were published for the same network, pixels and dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medfeat.evaluation.compare import published

LIKE_SIZE = 3.0
"""Sets whose train split is at most so many times larger or smaller count as of the same size."""


@dataclass(frozen=True)
class Gain:
    """Fine-tuned and linear probe of one published network on one dataset.

    Attributes
    ----------
    dataset, backbone, native_size, pixels
        What both results are of.
    probe, tuned
        AUC and ACC of each, as fractions.
    """

    dataset: str
    backbone: str
    native_size: int
    pixels: str
    probe: tuple[float, float]
    tuned: tuple[float, float]


@dataclass(frozen=True)
class Typical:
    """Gains summed up.

    Attributes
    ----------
    pairs, datasets, pixels
        How many, on what.
    auc, acc
        Medians of tuned minus probe.
    auc_won
        Share of the pairs in which fine-tuning had the better AUC.
    probe_auc, tuned_auc
        Median levels.
    """

    pairs: int
    datasets: tuple[str, ...]
    pixels: str
    auc: float
    acc: float
    auc_won: float
    probe_auc: float
    tuned_auc: float

    @classmethod
    def of(cls, gains: Sequence[Gain]) -> Typical | None:
        """Sum up; None for no gains."""
        if not gains:
            return None
        probe, tuned = (np.array([getattr(one, name) for one in gains]) for name in ("probe", "tuned"))
        auc, acc = np.median(tuned - probe, axis=0).tolist()
        return cls(
            pairs=len(gains),
            datasets=tuple(dict.fromkeys(one.dataset for one in gains)),
            pixels=gains[0].pixels,
            auc=auc,
            acc=acc,
            auc_won=float(np.mean(tuned[:, 0] > probe[:, 0])),
            probe_auc=float(np.median(probe[:, 0])),
            tuned_auc=float(np.median(tuned[:, 0])),
        )


def gains(family: str, native_size: int) -> list[Gain]:
    """Return every published gain of networks of a family.

    Parameters
    ----------
    family
        ``transformer`` or ``convolutional``.
    native_size
        Side of the stored images; the nearest published size stands in.
    """
    found: dict[tuple[str, str, str, int], dict[str, published.PublishedRow]] = {}
    for dataset in published.datasets():
        for row in published.rows(dataset):
            if row.native_size and row.auc is not None and row.acc is not None:
                key = (dataset, row.backbone, row.source, row.native_size)
                found.setdefault(key, {})[row.training] = row
    pairs = {
        key: (of["fine-tuned"], of["linear probe"])
        for key, of in found.items()
        if of.keys() >= {"fine-tuned", "linear probe"} and of["fine-tuned"].pixels == of["linear probe"].pixels
    }
    sizes = {size for *_, size in pairs}
    nearest = min(sizes, key=lambda size: abs(np.log(size / max(native_size, 1))))
    return [
        Gain(dataset, backbone, size, tuned.pixels, _scores(probe), _scores(tuned))
        for (dataset, backbone, _, size), (tuned, probe) in pairs.items()
        if size == nearest and ("ViT" in backbone) == (family == "transformer")
    ]


def _scores(row: published.PublishedRow) -> tuple[float, float]:
    assert row.auc is not None and row.acc is not None  # others were left out
    return row.auc, row.acc
