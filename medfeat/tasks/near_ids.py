"""Which stored ids somebody may have meant by one that is not there."""

from __future__ import annotations

import bisect
import difflib
from pathlib import PurePosixPath

from medfeat.types import IdArray

_BESIDE = 500
"""So many ids on each side in the order of the alphabet are compared letter by letter: a store may hold millions."""


def near_ids(name: str, ids: IdArray, count: int = 3) -> list[str]:
    """Return the ids most like a name that is none of them: the same file elsewhere, or nearly the same letters.

    Parameters
    ----------
    name
        What was asked for.
    ids
        (n,) those there are.
    count
        How many at most.

    Examples
    --------
    >>> import numpy as np
    >>> near_ids("skin/b/07.JPG", np.array(["a/07.png", "b/07.png", "b/08.png"]))
    ['b/07.png', 'a/07.png', 'b/08.png']
    >>> near_ids("test7", np.array(["test/6", "test/7", "train/7"]))
    ['test/7', 'test/6']
    """
    known = sorted(ids.tolist())
    stem = PurePosixPath(name.replace("\\", "/")).stem.casefold()
    same = [one for one in known if PurePosixPath(one).stem.casefold() == stem]
    at = bisect.bisect(known, name)
    beside = known[max(0, at - _BESIDE) : at + _BESIDE]
    like = _alike(name, same[: 2 * _BESIDE], count, cutoff=0.0)
    return [*like, *_alike(name, [one for one in beside if one not in like], count, cutoff=0.5)][:count]


def _alike(name: str, ids: list[str], count: int, *, cutoff: float) -> list[str]:
    """Return the most alike of some ids, whatever is a capital."""
    folded = {one.casefold(): one for one in ids}
    return [folded[one] for one in difflib.get_close_matches(name.casefold(), folded, n=count, cutoff=cutoff)]


def no_such_image(name: str, ids: IdArray) -> str:
    """Return in words that an image is not there, which are near, and how ids look."""
    near = near_ids(name, ids)
    if near:
        return f"there is no image {name!r}: did you mean {' or '.join(near)}?"
    return f"there is no image {name!r}: ids look like {', '.join(ids[:2].tolist())}"
