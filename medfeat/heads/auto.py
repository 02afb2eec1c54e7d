"""All heads that suit a task, one after the other: what is chosen is the best of them, or the mean of some.

Which heads stand, and with how much of their grid, follows from the samples, features and classes of train alone, by
what a head's arithmetic costs: never from a clock, so that the same command chooses among the same models wherever it
runs. What does not stand is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from medfeat.errors import UnsuitedHeadError
from medfeat.heads.boosting import FEWEST_ROUNDS, BoostingHead, planned
from medfeat.heads.class_weights import NONE
from medfeat.heads.inputs import CLASS_TASKS
from medfeat.heads.knn import NeighboursHead
from medfeat.heads.linear import LinearHead
from medfeat.heads.mlp import SETTINGS as PERCEPTRONS
from medfeat.heads.mlp import PerceptronHead
from medfeat.heads.ordinal import OrdinalHead
from medfeat.heads.prototypes import PrototypesHead
from medfeat.heads.ridge import RidgeHead
from medfeat.heads.svm import MOST_SAMPLES, SupportHead
from medfeat.types import Candidate, FloatArray, Head, LabelArray, Progress, TaskType

LABELLED = (*CLASS_TASKS, "multi-label")
# Seconds of one core that boosted trees may take, by `planned`.
TREES = 20.0
# Of the svm: train samples squared, times machines. Of perceptrons, of which the small ones stand: numbers of train.
MOST_KERNELS = 1e8
MOST_NUMBERS = 3e7
SMALL = tuple(one for one in PERCEPTRONS if one["hidden"] == PERCEPTRONS[0]["hidden"])
# Of kNN: train samples squared times features.
MOST_PAIRS = 1e13
# What trains in rounds.
ROUNDS = ("xgboost", "mlp")
# Keeps candidates in the order of their heads; no head's own complexity reaches it.
_A_HEAD = 100.0


@dataclass(frozen=True)
class _Asked:
    """What decides which heads stand."""

    task_type: TaskType
    n: int
    d: int
    c: int
    class_weight: str
    budget: float | None

    @property
    def columns(self) -> int:
        """Machines, or trees of a round: one a class or label, one in all for two classes."""
        return 1 if self.task_type == "binary-class" else self.c


@dataclass(frozen=True)
class Standing:
    """A head that stands, or why it does not.

    Attributes
    ----------
    name
        Of the head.
    head
        What offers candidates; None where it does not stand.
    why
        What was left out, in words; empty for nothing.
    """

    name: str
    head: Head | None
    why: str = ""


class AutoHead:
    """Every built-in head that suits the task, simple ones first.

    Parameters
    ----------
    class_weight
        Passed on; heads that know no weights do not stand where some are asked for.
    budget
        Seconds of one core for boosted trees, instead of `TREES`.
    """

    name = "auto"

    def __init__(self, class_weight: str = NONE, budget: float | None = None) -> None:
        self.class_weight = class_weight
        if budget is not None:  # without one, the head is what it was
            self.budget = budget

    def standing(self, task_type: TaskType, n: int, d: int, n_classes: int) -> list[Standing]:
        """Return each head that could suit a task of this type, and what of it stands with (n, d) features of train."""
        asked = _Asked(task_type, n, d, n_classes, self.class_weight, getattr(self, "budget", None))
        return [
            rule(asked) if asked.class_weight == NONE or name in _WEIGHED else Standing(name, None, "no class weights")
            for name, (suited, rule) in _RULES.items()
            if task_type in suited
        ]

    def left_out(self, task_type: TaskType, n: int, d: int, n_classes: int) -> list[str]:
        """Return a line for each head that does not stand, or not with all of its grid."""
        stood = self.standing(task_type, n, d, n_classes)
        return [
            f"{self.name} left out {one.name if one.head is None else f'some of {one.name}'}: {one.why}"
            for one in stood
            if one.why
        ]

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
        """Yield the candidates of every head that stands, each named by its head."""
        n, d = train[0].shape
        stood = [one for one in self.standing(task_type, n, d, n_classes) if one.head is not None]
        if not stood:
            raise UnsuitedHeadError(f"no head that stands for {self.name} learns {task_type} with --class-weight")
        for order, one in enumerate(stood):
            assert one.head is not None
            offered = one.head.candidates(train, val, task_type, n_classes, seed=seed, progress=progress)
            for candidate in offered:
                yield replace(
                    candidate,
                    settings={"head": one.name, **candidate.settings},
                    complexity=_A_HEAD * order + candidate.complexity,
                    head=one.name,
                )


class QuickHead(AutoHead):
    """The same without the heads that train in rounds.

    Parameters
    ----------
    class_weight
        As of `AutoHead`.
    """

    name = "quick"

    def __init__(self, class_weight: str = NONE) -> None:
        super().__init__(class_weight)

    def standing(self, task_type: TaskType, n: int, d: int, n_classes: int) -> list[Standing]:
        """Return what stands of `AutoHead`, without `ROUNDS`."""
        return [one for one in super().standing(task_type, n, d, n_classes) if one.name not in ROUNDS]


def _whole(make: Callable[..., Any], name: str) -> Callable[[_Asked], Standing]:
    """Return the rule of a head that always stands, whole."""
    weighed = name in _WEIGHED

    def rule(asked: _Asked) -> Standing:
        return Standing(name, make(asked.class_weight) if weighed else make())

    return rule


def _knn(asked: _Asked) -> Standing:
    if asked.n**2 * asked.d > MOST_PAIRS:
        return Standing("knn", None, f"{asked.n:,} train samples of {asked.d:,} features are too many to compare")
    return Standing("knn", NeighboursHead(asked.class_weight))


def _svm(asked: _Asked) -> Standing:
    if asked.n > MOST_SAMPLES or asked.n**2 * asked.columns > MOST_KERNELS:
        machines = f" for {asked.columns} machines" if asked.columns > 1 else ""
        return Standing("svm", None, f"{asked.n:,} train samples are too many{machines}")
    return Standing("svm", SupportHead(asked.class_weight))


def _trees(asked: _Asked) -> Standing:
    budget = TREES if asked.budget is None else asked.budget
    rounds = planned(budget, asked.n, asked.d, asked.columns)
    if rounds[0]["rounds"] < FEWEST_ROUNDS:
        return Standing("xgboost", None, f"{budget:g} s of a core are fewer than {FEWEST_ROUNDS} rounds of trees")
    whole = planned(None, asked.n, asked.d, asked.columns)
    why = f"{len(rounds)} of {len(whole)} depths, at most {rounds[0]['rounds']} rounds of {whole[0]['rounds']}"
    return Standing("xgboost", BoostingHead(budget), why if rounds != whole else "")


def _perceptron(asked: _Asked) -> Standing:
    if asked.n * asked.d > MOST_NUMBERS:
        return Standing("mlp", None, f"{asked.n:,} train samples of {asked.d:,} features are too many")
    return Standing("mlp", PerceptronHead(SMALL))


_WEIGHED = ("linear", "knn", "svm")
_RULES: dict[str, tuple[tuple[str, ...], Callable[[_Asked], Standing]]] = {
    "prototypes": (LABELLED, _whole(PrototypesHead, "prototypes")),
    "linear": (LABELLED, _whole(LinearHead, "linear")),
    "ridge": (("regression",), _whole(RidgeHead, "ridge")),
    # of two classes it is the linear head
    "ordinal": (("ordinal-regression",), _whole(OrdinalHead, "ordinal")),
    "knn": ((*LABELLED, "regression"), _knn),
    "svm": (LABELLED, _svm),
    "xgboost": ((*LABELLED, "regression"), _trees),
    "mlp": ((*LABELLED, "regression"), _perceptron),
}
