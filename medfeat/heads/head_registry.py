"""The heads by name; a head's own file, and the library it needs, are imported when it is first asked for."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, cast

from medfeat.errors import UnsuitedHeadError
from medfeat.heads.class_weights import NONE, check_class_weight
from medfeat.heads.inputs import CLASS_TASKS, refuse_task
from medfeat.identity import identity
from medfeat.registry import Registry
from medfeat.types import TASK_TYPES, Head, TaskType
from medfeat_cache.commands import command

if TYPE_CHECKING:
    from medfeat.heads.texts import TextSource


@dataclass(frozen=True)
class LazyHead:
    """A factory that names its class instead of importing it.

    Attributes
    ----------
    target
        ``module:Class``.
    summary
        What the head is, in one line, for lists.
    """

    target: str
    summary: str

    def __call__(self) -> Head:
        """Import the class and make the head."""
        return self.imported()()

    def imported(self) -> Callable[..., Head]:
        """Import the class."""
        module, _, name = self.target.partition(":")
        return cast(Callable[..., Head], getattr(import_module(module), name))


def _accept(name: str, named: object) -> Callable[[], Head]:
    """Take a class, a factory without arguments or a `LazyHead`; what it makes must have candidates."""
    if not callable(named):
        raise TypeError(f"it names a {type(named).__name__}, not a class, a factory without arguments or a LazyHead")
    head = named()
    if not callable(getattr(head, "candidates", None)):
        raise TypeError(f"what it makes for {name!r}, a {type(head).__name__}, has no method candidates()")
    return cast(Callable[[], Head], named)


HEADS: Registry[Callable[[], Head]] = Registry(
    "head", f"({command('list', 'heads')} shows all)", group="medfeat.heads", accept=_accept
)

_BUILTIN = {
    "linear": ("medfeat.heads.linear:LinearHead", "L2 logistic regression, 15 values of C from 1e-5 to 1e2"),
    "knn": ("medfeat.heads.knn:NeighboursHead", "cosine nearest neighbours with soft votes; k and temperature"),
    "svm": ("medfeat.heads.svm:SupportHead", "support vector machine, radial kernel, 12 settings, calibrated on val"),
    "prototypes": (
        "medfeat.heads.prototypes:PrototypesHead",
        "nearest class mean by angle, 6 settings, for few labels",
    ),
    "xgboost": ("medfeat.heads.boosting:BoostingHead", "gradient-boosted trees, 3 depths, at most 100 rounds each"),
    "ordinal": ("medfeat.heads.ordinal:OrdinalHead", "proportional odds for ordered classes, 15 values of C"),
    "ridge": ("medfeat.heads.ridge:RidgeHead", "L2 linear regression of numbers, 15 values of alpha"),
    "mlp": ("medfeat.heads.mlp:PerceptronHead", "one hidden layer, 4 settings of at most 40 epochs"),
    "attention": (
        "medfeat.heads.attention:AttentionHead",
        "gated attention over slices, tokens, layers or a patient's images, 5 values of C, stopped on val",
    ),
    "auto": ("medfeat.heads.auto:AutoHead", "all heads that suit the task, and means of two or three of them"),
    "quick": ("medfeat.heads.auto:QuickHead", "auto without xgboost and mlp, which train in rounds"),
    "zero-shot": ("medfeat.heads.zero_shot:ZeroShotHead", "nearest text, without labels; for projected embeddings"),
    "text-linear": (
        "medfeat.heads.text_linear:TextLinearHead",
        "linear probe that starts from texts, 24 settings; for projected embeddings",
    ),
    "lp++": (
        "medfeat.heads.lp_plus:LPPlusHead",
        "for few labels: class means moved down the loss, 12 settings; with texts where embeddings are projected",
    ),
    "majority": ("medfeat.heads.majority:MajorityHead", "class frequencies of train: the baseline to beat"),
}
# The baseline, and several heads under one name.
_NO_HEADS = ("majority", "auto", "quick")
_READS_TEXTS = ("zero-shot", "text-linear")
_MAY_READ_TEXTS = (*_READS_TEXTS, "lp++")
_LABELS = (*CLASS_TASKS, "multi-label")
_LEARNS: dict[str, tuple[str, ...]] = {
    "ordinal": ("ordinal-regression", "binary-class"),
    "ridge": ("regression",),
    **dict.fromkeys(("linear", "svm", "prototypes", *_MAY_READ_TEXTS), _LABELS),
}
"""What those learn that refuse something, by which they are left out before they are named."""
for _name, (_target, _summary) in _BUILTIN.items():
    HEADS.add(_name, LazyHead(_target, _summary))


def describe(name: str) -> str:
    """Return one line on the head called `name`: a built-in's summary, or the first line of the factory's docstring."""
    factory = HEADS[name]
    text = factory.summary if isinstance(factory, LazyHead) else (factory.__doc__ or name)
    return (text.strip() or name).splitlines()[0]


def all_heads() -> tuple[str, ...]:
    """Return every head that ``all`` stands for: each on its own, without the baseline and what a package broke."""
    broken = HEADS.problems()
    return tuple(name for name in HEADS if name not in _NO_HEADS and name not in broken)


def refuse_unsuited(name: str, task_type: TaskType) -> None:
    """Refuse a built-in head that cannot learn such a task, before it is made ready.

    Raises
    ------
    UnsuitedHeadError
        Naming what it learns. A head of a package refuses when it is trained.
    """
    refuse_task(name, task_type, learns(name))


def learns(name: str) -> tuple[str, ...]:
    """Return the task types that a built-in head can learn; all of them for one of a package, which refuses itself."""
    return _LEARNS.get(name, TASK_TYPES)


def refuse_repetition(name: str, task_type: TaskType) -> None:
    """Refuse a head that is another one under its own name for such a task, where all heads are asked for.

    Raises
    ------
    UnsuitedHeadError
        Naming the other one: a run more would say nothing, and would be counted once more where many are compared.
    """
    other = getattr(HEADS[name](), "same_as", {}).get(task_type)
    if other is not None:
        raise UnsuitedHeadError(f"the {name} head is the {other} head where the task is {task_type}")


def takes_budget(name: str) -> bool:
    """Tell whether the head called `name` can be made for a budget of seconds."""
    return "budget" in inspect.signature(_maker(name)).parameters


def make_head(name: str, budget: float | None = None) -> Head:
    """Make the head called `name`, for a budget of seconds where one is given and the head knows budgets."""
    return HEADS[name]() if budget is None or not takes_budget(name) else cast(Head, _maker(name)(budget=budget))


def _maker(name: str) -> Callable[..., object]:
    factory = HEADS[name]
    return factory.imported() if isinstance(factory, LazyHead) else factory


def head_identity(name: str, budget: float | None = None) -> str:
    """Digest what the head called `name` does: a run made by another head of that name, or another grid, is another.

    Parameters
    ----------
    name
        In `HEADS`.
    budget
        As `make_head` takes it.

    Returns
    -------
    str
        32 hexadecimal digits; see `medfeat.identity`.
    """
    return identity(make_head(name, budget), inside=("medfeat.heads",))


def reads_texts(name: str) -> bool:
    """Tell whether the head called `name` compares images with texts, and is nothing without them."""
    return name in _READS_TEXTS


def may_read_texts(name: str) -> bool:
    """Tell whether the head called `name` compares images with texts where there are any."""
    return name in _MAY_READ_TEXTS


def weighted_head(name: str, class_weight: str, budget: float | None = None, texts: TextSource | None = None) -> Head:
    """Make the head called `name` as `make_head` does, weighing classes as asked and with texts where it reads any.

    Raises
    ------
    UnsuitedHeadError
        It has no class weights.
    """
    check_class_weight(class_weight)
    head = make_head(name, budget)
    if class_weight != NONE:
        if not hasattr(head, "class_weight"):
            able = ", ".join(one for one in _BUILTIN if hasattr(HEADS[one](), "class_weight"))
            raise UnsuitedHeadError(f"the {name} head has no class weights; of those built in these have: {able}")
        head.class_weight = class_weight
    if hasattr(head, "texts"):
        head.texts = texts
    return head


def trusted_types(name: str) -> tuple[str, ...]:
    """Return the types of which a saved model of the head called `name` may be made, by their full names.

    A head declares them as its attribute ``trusted``; those of built-in heads are known to `medfeat.heads.saving`. A
    head that is not installed declares nothing.
    """
    if name in _BUILTIN or name not in HEADS:
        return ()
    return tuple(getattr(HEADS[name](), "trusted", ()))
