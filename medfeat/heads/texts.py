"""Texts that stand for classes, as vectors in the space of the images, for the heads that compare the two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medfeat.errors import DataError, NoTextsError
from medfeat.heads.inputs import CLASS_TASKS, refuse_task
from medfeat.types import FloatArray, TaskType
from medfeat_cache.commands import command

LEARNT = (*CLASS_TASKS, "multi-label")


@dataclass(frozen=True)
class ClassTexts:
    """A direction for each class.

    Attributes
    ----------
    towards
        (c, d) unit vectors of the classes, or labels.
    away
        (c, d) unit vectors of texts without each label; None where an image has one class.
    scale
        By which the network multiplies cosines.
    """

    towards: NDArray[np.float64]
    away: NDArray[np.float64] | None
    scale: float


@dataclass(frozen=True)
class TextSource:
    """Where a head gets its texts.

    Attributes
    ----------
    digest
        Of all texts and of the network that reads them: other texts are another run.
    read
        Makes the vectors, which takes the network; called when a head is trained.
    """

    digest: str
    read: Callable[[], ClassTexts]


def texts_of(head: str, source: TextSource | None, task_type: TaskType, X: FloatArray) -> ClassTexts:
    """Return the vectors for a head, or say why it has none.

    Raises
    ------
    NoTextsError
        Nobody gave texts, or the task has no classes.
    DataError
        Images and texts are of different lengths.
    """
    refuse_task(head, task_type, LEARNT)
    if source is None:
        raise NoTextsError(
            f"the {head} head compares images with texts: embed by a network of both, "
            f"{command('extract', data='NAME', backbone='hf:OWNER/REPO', pool='projected')}"
        )
    found = source.read()
    if found.towards.shape[1] != X.shape[1]:
        raise DataError(
            f"images are {X.shape[1]} numbers and texts {found.towards.shape[1]}: embed by --pool projected"
        )
    return found


def unit(X: FloatArray) -> NDArray[np.float64]:
    """Return (n, d) vectors at length one, in float64; a zero vector stays."""
    wide = np.asarray(X, np.float64)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    return wide / np.where(length > 0, length, 1.0)


def directions(vectors: NDArray[np.floating], owners: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Average the unit vectors of each class's texts, and return them at length one (Radford et al., CLIP, ICML 2021).

    Parameters
    ----------
    vectors
        (n, d) of texts.
    owners
        (n,) class of each.
    count
        Number of classes.
    """
    rows = unit(vectors)
    means = np.stack([rows[owners == number].mean(axis=0) for number in range(count)])
    return unit(means)


def evidence(
    X: FloatArray, towards: NDArray[np.float64], away: NDArray[np.float64] | None, scale: float
) -> NDArray[np.float64]:
    """Return (n, c) logits of (n, d) images: scaled cosines with each class, of labels less those without it."""
    rows = unit(X)
    near = rows @ towards.T
    logits: NDArray[np.float64] = scale * (near if away is None else near - rows @ away.T)
    return logits


def probabilities(logits: NDArray[np.float64], task_type: TaskType) -> NDArray[np.float64]:
    """Return the softmax of (n, c) logits, of several labels a sigmoid each."""
    if task_type == "multi-label":
        odds = np.exp(-np.abs(logits))
        chance: NDArray[np.float64] = np.where(logits >= 0, 1.0, odds) / (1 + odds)
        return chance
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = odds / odds.sum(axis=1, keepdims=True)
    return shares
