"""The two official MedMNIST scores, AUC and ACC, computed as the benchmark's own evaluator computes them.

The evaluator is `medmnist/evaluator.py` of the package ``medmnist`` 3.0.2 (Yang et al., MedMNIST v2, Scientific Data
10:41, 2023). It is restated here because importing that package costs seconds, imports torch and creates a folder in
the user's home; a test holds both to each other.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from medfeat.errors import DataError
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.types import FloatArray


def auc(given: LabelledScores) -> float:
    """Return the official AUC.

    Multi-class and ordinal: the unweighted mean over classes of one-vs-rest AUC. Binary: the AUC of the score of
    class 1. Multi-label: the unweighted mean over labels.

    Parameters
    ----------
    given
        Of any task but a regression.

    Returns
    -------
    float
        Between 0 and 1; NaN where a class (or its opposite) is absent, which leaves the official score undefined:
        `undefined_auc` says which.

    Raises
    ------
    DataError
        When the task is a regression.

    Examples
    --------
    >>> auc(LabelledScores.of([0, 1, 1], [[0.9, 0.1], [0.4, 0.6], [0.3, 0.7]], "binary-class"))
    1.0
    """
    return float(np.mean(class_aucs(given)))


def acc(given: LabelledScores) -> float:
    """Return the official ACC, between 0 and 1; as `auc`.

    Multi-class and ordinal: the share of samples whose highest score is at their class. Binary: the score of class 1
    against 0.5, strictly. Multi-label: the unweighted mean over labels of the accuracy at 0.5.
    """
    return float(np.mean(_of_classes(given).predicted == given.labels))


def _binary_auc(positive: NDArray[np.bool_], score: FloatArray) -> float:
    """Return the area under the ROC curve as the Mann-Whitney statistic, ties counting half.

    Parameters
    ----------
    positive
        (n,) which samples are positive.
    score
        (n,) higher for positives.

    Returns
    -------
    float
        NaN when there are no positives or no negatives. Formula: Hanley and McNeil, Radiology 143:29-36, 1982.
    """
    n_positive = int(np.count_nonzero(positive))
    n_negative = positive.size - n_positive
    if n_positive == 0 or n_negative == 0:
        return float("nan")
    from scipy.stats import rankdata  # a second of imports that reading runs does not need

    rank_sum = float(rankdata(score)[positive].sum())
    return (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


def class_aucs(given: LabelledScores) -> NDArray[np.float64]:
    """Return one AUC a class (multi-label: a label; binary: class 1 alone), NaN where undefined."""
    return np.array([_binary_auc(positive, score) for positive, score in _of_classes(given).one_vs_rest])


def undefined_auc(given: LabelledScores, classes: tuple[str, ...]) -> str:
    """Say in one line which classes leave the official AUC undefined; empty when it is defined."""
    missing = np.flatnonzero(np.isnan(class_aucs(given)))
    if not missing.size:
        return ""
    if given.task_type == "binary-class":
        return "official AUC is undefined: these samples are all of one class"
    names = [classes[i] if i < len(classes) else str(i) for i in missing]
    named = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    numbers = given.task_type == "multi-class" and all(re.fullmatch(r"-?\d+", name) for name in classes)
    hint = "; if the labels are amounts, ask for --task regression" if numbers else ""
    return f"official AUC is undefined: no sample, or every sample, is of class {named}; see the table of classes{hint}"


def _of_classes(given: LabelledScores) -> LabelledScores:
    if given.task_type == "regression":
        raise DataError("AUC and ACC are scores of classes; a regression task has MAE, RMSE, R2 and Spearman instead")
    return given
