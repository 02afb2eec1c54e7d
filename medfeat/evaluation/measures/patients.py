"""Scores of whole patients: the images of one are taken together before anything is counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.types import FloatArray, IdArray, LabelArray


@dataclass(frozen=True)
class Patients:
    """One row a patient.

    Attributes
    ----------
    labels
        (p, k) the label that all images of a patient share.
    scores
        (p, c) mean over the patient's images.
    left_out
        Patients whose images have different labels: they have no label of their own.
    """

    labels: LabelArray
    scores: FloatArray
    left_out: int


def by_patient(labels: LabelArray, scores: FloatArray, patients: IdArray) -> Patients:
    """Take the images of each patient together.

    Parameters
    ----------
    labels
        (n,) or (n, k).
    scores
        (n, c).
    patients
        (n,) whose image it is.

    Examples
    --------
    >>> found = by_patient(np.array([1, 1, 0, 0, 1]), np.array([[0.2], [0.6], [0.1], [0.4], [0.9]]),
    ...                    np.array(["ann", "ann", "ben", "cat", "cat"]))
    >>> found.labels.tolist(), found.scores.round(2).tolist(), found.left_out
    ([[1], [0]], [[0.4], [0.1]], 1)
    """
    y: NDArray[Any] = np.asarray(labels).reshape(len(labels), -1)
    _, first, member = np.unique(patients, return_index=True, return_inverse=True)
    counts = np.bincount(member)
    same = np.ones(len(first), np.bool_)
    np.logical_and.at(same, member, (y == y[first][member]).all(axis=1))
    sums: NDArray[Any] = np.zeros((len(first), scores.shape[1]))
    np.add.at(sums, member, scores)
    return Patients(y[first][same], (sums / counts[:, None])[same], int((~same).sum()))


def equal_shares(patients: IdArray) -> NDArray[np.float64]:
    """Return (n,) what each image counts when all patients count 1, however many images they have.

    Examples
    --------
    >>> equal_shares(np.array(["ann", "ben", "ann"])).tolist()
    [0.5, 1.0, 0.5]
    """
    _, member = np.unique(patients, return_inverse=True)
    shares: NDArray[np.float64] = 1 / np.bincount(member)[member]
    return shares
