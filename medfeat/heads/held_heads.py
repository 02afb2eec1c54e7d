"""Heads that a program holds, as values: each goes by its own name from then on, for as long as the program runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import cast

from medfeat.comma_lists import as_names
from medfeat.errors import UsageError
from medfeat.heads.head_registry import HEADS
from medfeat.types import Head

HeadsAsked = str | Head | type | Sequence[str | Head | type] | None
_HELD: set[str] = set()
"""Names under which heads of this program are known, which another one of that name may replace."""


def names_of_heads(given: HeadsAsked) -> str | Sequence[str] | None:
    """Return the names of what was given for heads; a `medfeat.types.Head`, or its class, is made known by its name.

    Parameters
    ----------
    given
        Names, heads, several of them, or None. A name that another head of this program had is the new one's.

    Returns
    -------
    str, sequence of str or None
        What was given, with names in the place of heads.

    Raises
    ------
    UsageError
        An object that is no head, or whose name is no name or that of another head.
    """
    if given is None or isinstance(given, str):
        return given
    if isinstance(given, Sequence):
        return [one if isinstance(one, str) else _named(one) for one in given]
    return _named(given)


def _named(given: object) -> str:
    maker = given if isinstance(given, type) else lambda: copy(given)
    try:
        made = cast(Callable[[], Head], maker)()
    except TypeError as error:
        raise UsageError(f"the head {_kind(given)} needs arguments ({error}): give one that is made") from error
    if not callable(getattr(made, "candidates", None)):
        raise UsageError(
            f"head takes names, or heads with a name and candidates() as medfeat.extend.Head has them, and this is a "
            f"{_kind(made)} of Python: put it into candidates of such a head"
        )
    name = getattr(made, "name", None)
    if not isinstance(name, str) or as_names(name) != (name,) or name == "all":
        raise UsageError(f"the head {_kind(made)} needs a name, one word without a comma, and its name is {name!r}")
    if name in HEADS and name not in _HELD:
        raise UsageError(f"the head {_kind(made)} is named {name!r}, as a head that is there: give it another name")
    HEADS.replace(name, _documented(cast(Callable[[], Head], maker), made))
    _HELD.add(name)
    return name


def _kind(thing: object) -> str:
    return thing.__name__ if isinstance(thing, type) else type(thing).__name__


def _documented(maker: Callable[[], Head], made: Head) -> Callable[[], Head]:
    """Return a factory that says of itself what the head says, for lists."""

    def factory() -> Head:
        return maker()

    factory.__doc__ = type(made).__doc__
    return factory
