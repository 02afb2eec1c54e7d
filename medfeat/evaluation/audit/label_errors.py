"""Labels that a head trained on the other samples does not believe.

Confident learning (Northcutt, Jiang and Chuang, JAIR 70:1373-1411, 2021): a class is claimed for a sample when its
cross-validated probability is at least the mean probability that samples of that class get for it. A sample whose
likeliest claimed class is not its label is doubted; the lower its label's probability beside the claimed one, the more.

Where a head is often wrong it doubts many labels that are right: of RetinaMNIST every third. So a doubt is called a
likely error only above a margin that this head and these images bear out. Each label is thought to be wrong, one at a
time, and to be one of the classes its own is confused with; that needs no training, as no sample has a part in its own
scores. The line is the least margin above which, were `RATE` of the labels wrong, half of the doubted labels would be.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medfeat.errors import DataError
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.measures.statistics import statistics, value
from medfeat.evaluation.runs.choice import FOUND_ON_VAL
from medfeat.heads import HEADS
from medfeat.tasks.folds import draw_folds
from medfeat.tasks.readable import Readable
from medfeat.types import Candidate, FloatArray, IdArray, SilentProgress, Task
from medfeat_cache import canonical_json

FOLDS = 5
RATE = 0.05
"""Share of labels that are thought to be wrong where the line is drawn."""
_HALF = 0.5


@dataclass(frozen=True)
class LabelError:
    """One doubtful label.

    Attributes
    ----------
    id, split
        Of the sample.
    label, suggested
        What it is labelled, and what the others say; for multi-label, the label's name with ``not`` for its absence.
    probability
        Cross-validated, of its own label.
    margin
        By how much the suggested one is likelier.
    likely
        Whether the margin is one at which a doubt more often means a wrong label than a weak head.
    """

    id: str
    split: str
    label: str
    suggested: str
    probability: float
    margin: float
    likely: bool = False


def cross_scores(
    store: Readable, task: Task, head: str, *, together: IdArray | None = None, folds: int = FOLDS, seed: int = 0
) -> NDArray[np.float64]:
    """Return (n, c) scores of every sample by a head that was trained without it.

    Of the head's settings, those with the least cross-validated log loss: here probabilities have to mean something,
    and settings that rank best need not.

    Parameters
    ----------
    store, task, head
        What is asked, and who answers.
    together
        (n,) samples that must not be parted: patients, or copies of one image.
    folds, seed
        Into how many parts, and how they are drawn.
    """
    fold = draw_folds(task.labels, task.ids, together, folds=folds, seed=seed)
    tried: dict[str, list[tuple[NDArray[np.bool_], NDArray[np.float64]]]] = {}
    used = [number for number in range(folds) if (fold == number).any()]
    for number in used:
        for name, scores in _left_out(store, task, head, fold == number, seed=seed):
            tried.setdefault(name, []).append((fold == number, scores))
    whole = [_joined(parts, len(task.ids)) for parts in tried.values() if len(parts) == len(used)]
    given = [LabelledScores.of(task.labels, one, task.task_type) for one in whole]
    losses = [value(statistics(one)["log_loss"], len(task.ids)) for one in given]
    return whole[int(np.argmin(losses))]


def _left_out(
    store: Readable, task: Task, head: str, out: NDArray[np.bool_], *, seed: int
) -> list[tuple[str, NDArray[np.float64]]]:
    """Return by setting the scores of some samples by a head trained on the others, whose rows are held only here."""
    if out.all():
        raise DataError(f"task {task.name!r} has too few samples to leave some out")
    train = _taken(store, task.ids[~out]), task.labels[~out]
    offered = HEADS[head]().candidates(
        train, train, task.task_type, len(task.classes), seed=seed, progress=SilentProgress()
    )
    others = _taken(store, task.ids[out])
    return [(_name(one), np.asarray(one.model.scores(others), np.float64)) for one in offered]


def _taken(store: Readable, ids: IdArray) -> FloatArray:
    X = store.take(ids)
    return X.astype(np.float32) if X.dtype == np.float16 else X


def _joined(parts: list[tuple[NDArray[np.bool_], NDArray[np.float64]]], n: int) -> NDArray[np.float64]:
    scores = np.zeros((n, parts[0][1].shape[1]))
    for out, part in parts:
        scores[out] = part
    return scores


def find_label_errors(task: Task, scores: NDArray[np.float64]) -> list[LabelError]:
    """Return labels that are doubted, the most doubted first; of multi-label tasks each label has a line of its own.

    Parameters
    ----------
    task
        A class or multi-label task.
    scores
        (n, c) cross-validated.

    Raises
    ------
    DataError
        A regression: numbers are not right or wrong.
    """
    if task.task_type == "regression":
        raise DataError("label errors are looked for among classes, and this task is a regression")
    if task.task_type == "multi-label":
        found = []
        for i, name in enumerate(task.classes):
            p = np.column_stack([1 - scores[:, i], scores[:, i]])
            found += _doubtful(task, task.labels[:, i].astype(np.int64), p, (f"not {name}", name))
    else:
        found = _doubtful(task, task.labels[:, 0].astype(np.int64), scores, task.classes)
    return sorted(found, key=lambda one: -one.margin)


def _doubtful(task: Task, y: NDArray[np.int64], p: NDArray[np.float64], names: tuple[str, ...]) -> list[LabelError]:
    present = np.unique(y)
    usual = np.full(p.shape[1], np.inf)
    usual[present] = [p[y == number, number].mean() for number in present]
    claimed = np.where(p >= usual, p, -1.0)
    suggested = claimed.argmax(axis=1)
    # (n, c) by how much the claimed class is likelier than each; not above 0 where no other class is claimed.
    margins = np.where(claimed.max(axis=1, keepdims=True) >= 0, p[np.arange(len(p)), suggested][:, None] - p, 0.0)
    margin = margins[np.arange(len(p)), y]
    wrong = np.flatnonzero(margin > 0)
    line = _line(margins, y, p)
    return [
        LabelError(
            str(task.ids[i]),
            str(task.split[i]),
            names[y[i]],
            names[suggested[i]],
            float(p[i, y[i]]),
            float(margin[i]),
            bool(margin[i] >= line),
        )
        for i in wrong
    ]


def _line(margins: NDArray[np.float64], y: NDArray[np.int64], p: NDArray[np.float64]) -> float:
    """Return the least margin at which half of the doubted labels would be wrong ones; infinite where none is."""
    n, c = p.shape
    confused = np.zeros((c, c))
    for one in np.unique(y):
        confused[one] = p[y == one].mean(axis=0)
    np.fill_diagonal(confused, 0)
    weights = (confused / np.maximum(confused.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny))[y] / n
    doubted = np.sort(margins[np.arange(n), y])[::-1]
    doubted = doubted[doubted > 0]
    order = np.argsort(-margins, axis=None, kind="stable")
    found = np.append(0.0, np.cumsum(weights.ravel()[order]))
    # The share of wrong labels that are doubted more than the next label is, for each number of doubted ones.
    after = np.append(doubted, 0.0)[1:]
    share = found[np.searchsorted(-margins.ravel()[order], -after, side="left")]
    good = np.flatnonzero(RATE * share >= _HALF * np.arange(1, len(doubted) + 1) / n)
    return float(doubted[good[-1]]) if len(good) else np.inf


def _name(one: Candidate) -> str:
    return canonical_json({key: part for key, part in one.settings.items() if key not in FOUND_ON_VAL})
