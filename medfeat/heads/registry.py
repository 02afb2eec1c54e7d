"""The heads by name; a head's own file, and the library it needs, are imported when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import cast

from medfeat.registry import Registry
from medfeat.types import Head


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
        module, _, name = self.target.partition(":")
        return cast(Head, getattr(import_module(module), name)())


HEADS: Registry[Callable[[], Head]] = Registry("head", "(`medfeat list heads` shows all)")

_BUILTIN = {
    "linear": ("medfeat.heads.linear:LinearHead", "L2 logistic regression, 15 values of C from 1e-5 to 1e2"),
    "knn": ("medfeat.heads.knn:NeighboursHead", "cosine nearest neighbours with soft votes; k and temperature"),
    "xgboost": ("medfeat.heads.boosting:BoostingHead", "gradient-boosted trees, 3 depths, at most 100 rounds each"),
    "ordinal": ("medfeat.heads.ordinal:OrdinalHead", "proportional odds for ordered classes, 15 values of C"),
    "ridge": ("medfeat.heads.ridge:RidgeHead", "L2 linear regression of numbers, 15 values of alpha"),
    "mlp": ("medfeat.heads.mlp:PerceptronHead", "one hidden layer, 4 settings of at most 40 epochs"),
    "majority": ("medfeat.heads.majority:MajorityHead", "class frequencies of train: the baseline to beat"),
}
for _name, (_target, _summary) in _BUILTIN.items():
    HEADS.add(_name, LazyHead(_target, _summary))


def describe(name: str) -> str:
    """Return one line on the head called `name`: a built-in's summary, or the first line of the factory's docstring."""
    factory = HEADS[name]
    text = factory.summary if isinstance(factory, LazyHead) else (factory.__doc__ or name)
    return text.strip().splitlines()[0]
