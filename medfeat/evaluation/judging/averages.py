"""Means over the best of several heads: they stand beside the heads themselves, and are chosen like these."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Generic, TypeVar

from medfeat.errors import DataError
from medfeat.evaluation.runs.choice import Tried
from medfeat.heads.inputs import mean_scores
from medfeat.types import FloatArray

T = TypeVar("T")

_MOST_AVERAGED = 3
# A mean is less simple than any head: the complexity of one head's candidates is below this.
_A_MEMBER = 1e4


@dataclass(frozen=True)
class Stood(Generic[T]):
    """The best of one head, or the mean of the best of several.

    Attributes
    ----------
    head
        Name of the head; empty for one that stands alone.
    tried
        Its settings, and how well it did.
    scores
        (n, c) scores by which it was judged.
    parts
        What it is made of, one a head.
    """

    head: str
    tried: Tried
    scores: FloatArray
    parts: tuple[T, ...]


def best_of(stood: Iterable[Stood[T]]) -> Stood[T]:
    """Return the one that is chosen before all others; the first among equals.

    Raises
    ------
    DataError
        There is none.
    """
    best: Stood[T] | None = None
    for one in stood:
        best = one if best is None or one.tried.beats(best.tried) else best
    if best is None:
        raise DataError("the head offered no candidate to choose from: check its grid")
    return best


def averaged(best: Sequence[Stood[T]], judge: Callable[[FloatArray], tuple[float, float]]) -> Iterator[Stood[T]]:
    """Yield the mean scores of every two and every three of the best; nothing of a head that stands alone.

    Parameters
    ----------
    best
        One a head.
    judge
        Returns from (n, c) scores the two numbers by which candidates are compared.
    """
    for size in range(2, _MOST_AVERAGED + 1):
        for some in combinations(best, size):
            scores = mean_scores([one.scores for one in some])
            settings = {one.head: {k: v for k, v in one.tried.settings.items() if k != "head"} for one in some}
            name = " + ".join(settings)
            complexity = _A_MEMBER * size + sum(one.tried.complexity for one in some)
            tried = Tried({"head": name, **settings}, *judge(scores), complexity)
            yield Stood(name, tried, scores, tuple(part for one in some for part in one.parts))
