"""One question asked several times, each time with other samples left out: folds, or one group after another.

Each part is test once: of what is left, a fifth (whole patients, classes evenly) is val, which selects, and the rest
train. Every part is judged by the protocol, and its test is read once.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.counted import counted_are
from medfeat.errors import DataError, UsageError
from medfeat.evaluation.judging.cross_validation import VAL, choose_by
from medfeat.evaluation.judging.protocol import run_protocol
from medfeat.evaluation.judging.reading import gather_for
from medfeat.evaluation.measures.bootstrap import RESAMPLES
from medfeat.evaluation.measures.evaluate import Metrics, evaluate, without_nan
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.runs import wording
from medfeat.evaluation.runs.choice import Choice, Scored
from medfeat.evaluation.runs.run import headline
from medfeat.heads import weighted_head
from medfeat.heads.class_weights import NONE
from medfeat.tasks.folds import draw_folds
from medfeat.tasks.readable import Readable
from medfeat.types import IdArray, Progress, SilentProgress, Task

FOLDS, GROUPS = "folds", "groups"
_VAL_SHARE = 5


@dataclass(frozen=True)
class Part:
    """One part, left out of training and tested.

    Attributes
    ----------
    name
        Of the group, or the number of the fold.
    n_train, n_val
        Samples that trained and selected.
    settings
        What val chose.
    test
        Scores of the part.
    """

    name: str
    n_train: int
    n_val: int
    settings: dict[str, Any]
    test: Metrics


@dataclass(frozen=True)
class Rotation:
    """A head on a store, each part left out once.

    Attributes
    ----------
    dataset, backbone, head, task, task_type
        What was asked.
    kind
        ``folds`` or ``groups``.
    parts
        In order.
    together
        Scores of all parts, each sample by the head that had not seen it.
    weights
        The file of weights that the network was given, in words; empty for none.
    """

    dataset: str
    backbone: str
    head: str
    task: str
    task_type: str
    kind: str
    parts: tuple[Part, ...]
    together: Metrics
    weights: str = ""

    def over_parts(self, metric: str) -> tuple[float, float]:
        """Return mean and standard deviation of a metric over the parts in which it is defined."""
        found = np.array([part.test.values[metric].value for part in self.parts])
        found = found[np.isfinite(found)]
        spread = float(found.std(ddof=1)) if len(found) > 1 else float("nan")
        return (float(found.mean()) if len(found) else float("nan")), spread

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        names = ("dataset", "backbone", "weights", "head", "task", "task_type", "kind")
        plain: dict[str, Any] = without_nan(
            {name: getattr(self, name) for name in names}
            | {
                "parts": [asdict(part) | {"test": part.test.to_dict()} for part in self.parts],
                "together": self.together.to_dict(),
                "mean": {name: self.over_parts(name)[0] for name in headline(self.task_type)},
                "spread": {name: self.over_parts(name)[1] for name in headline(self.task_type)},
            }
        )
        return plain


@dataclass(frozen=True)
class RotationOptions:
    """Who answers and how each part is judged; as `medfeat.evaluation.judging.probe_store.Options` has them."""

    head: str = "linear"
    seed: int = 0
    choose: str = VAL
    class_weight: str = NONE
    resamples: int = RESAMPLES


def folds_of(task: Task, folds: int, seed: int = 0) -> IdArray:
    """Deal all samples of a task over folds: classes evenly, patients whole.

    Raises
    ------
    UsageError
        Fewer than two folds, or more than samples (or patients).
    """
    most = len(task.ids) if task.group is None else len(np.unique(task.group))
    if not 2 <= folds <= most:
        of = "samples" if task.group is None else "patients"
        raise UsageError(f"--folds must be from 2 to {most}, as many as there are {of}, got {folds}")
    dealt = draw_folds(task.labels, task.ids, task.group, folds=folds, seed=seed)
    return np.char.add("fold ", (dealt + 1).astype(np.str_))


def rotate(
    store: Readable,
    task: Task,
    parts: IdArray,
    options: RotationOptions,
    *,
    kind: str,
    progress: Progress | None = None,
) -> Rotation:
    """Leave each part out once.

    Parameters
    ----------
    store, task
        What is asked; the task's own split is set aside.
    parts
        (n,) part of each sample of the task.
    options
        Who answers, and how it is judged.
    kind
        ``folds`` or ``groups``.
    progress
        Told of each part.

    Raises
    ------
    DataError
        Fewer than two parts, or a patient in two of them.
    """
    _refuse_parted(task, parts)
    progress = progress or SilentProgress()
    names = sorted(np.unique(parts).tolist(), key=lambda name: (len(name), name) if kind == FOLDS else (0, name))
    if len(names) < 2:
        raise DataError(f"all samples of task {task.name!r} are of one group, {names[0]!r}: nothing can be left out")
    progress.start(len(names), f"leaving out one of {len(names)} {kind}", unit=kind)
    found, left_out = [], []
    for name in names:
        one = replace(task, split=_split(task, parts == name, options.seed))
        head = weighted_head(options.head, options.class_weight)
        scored = run_protocol(
            gather_for(head, store, one),
            head,
            write_down=_nothing,
            choosing=partial(choose_by, options.choose),
            seed=options.seed,
        )
        found.append(_part(name, one, scored, options))
        left_out.append(scored)
        progress.advance(1)
    progress.finish()
    recipe: Any = getattr(store, "recipe", {})
    return Rotation(
        str(recipe.get("dataset", "-")),
        str(recipe.get("backbone", "-")),
        options.head,
        task.name,
        task.task_type,
        kind,
        tuple(found),
        _together(task, left_out, options),
        wording.weights(getattr(store, "info", {})),
    )


def _refuse_parted(task: Task, parts: IdArray) -> None:
    if task.group is None:
        return
    pairs = np.unique(np.column_stack([task.group, parts]), axis=0)
    patients, counts = np.unique(pairs[:, 0], return_counts=True)
    if (counts > 1).any():
        first = patients[counts > 1][0]
        of = ", ".join(pairs[pairs[:, 0] == first, 1].tolist())
        raise DataError(
            f"{counted_are(int((counts > 1).sum()), 'patient')} in several groups, the first, {first}, in {of}: left "
            "out with one they would be seen in training; give each patient one group"
        )


def _nothing(choice: Choice) -> None:
    """Write nothing down: the choice is handed out before test is opened all the same, and stands in the result."""


def _split(task: Task, out: NDArray[np.bool_], seed: int) -> IdArray:
    rest = ~out
    group = None if task.group is None else task.group[rest]
    val = draw_folds(task.labels[rest], task.ids[rest], group, folds=_VAL_SHARE, seed=seed) == 0
    split = np.full(len(task.ids), "test", dtype="<U5")
    split[rest] = np.where(val, "val", "train")
    return split


def _part(name: str, task: Task, scored: Scored, options: RotationOptions) -> Part:
    val = LabelledScores.of(scored.val.y, scored.choice.val_scores, task.task_type)
    test = evaluate(
        LabelledScores.of(scored.test.y, scored.test_scores, task.task_type),
        task.classes,
        val=val,
        val_groups=scored.val.group,
        groups=scored.test.group,
        seed=options.seed,
        resamples=options.resamples,
    )
    n_train, n_val = (int((task.split == split).sum()) for split in ("train", "val"))
    return Part(name, n_train, n_val, dict(scored.choice.chosen.settings), test)


def _together(task: Task, left_out: list[Scored], options: RotationOptions) -> Metrics:
    groups = [one.test.group for one in left_out if one.test.group is not None]
    group = np.concatenate(groups) if groups else None
    return evaluate(
        LabelledScores.of(
            np.concatenate([one.test.y for one in left_out]),
            np.concatenate([one.test_scores for one in left_out]),
            task.task_type,
        ),
        task.classes,
        groups=group,
        seed=options.seed,
        resamples=options.resamples,
    )
