"""Volumes through a 2D backbone: slices along three axes, pooled over the slices and joined over the axes, or kept.

One pass over the slices yields every policy asked for, in memory that does not grow with the number of slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medfeat.errors import DataError, UsageError, unknown_name
from medfeat.types import UInt8Array, View

POLICIES: dict[str, str] = {
    "mean-concat": "mean over the slices of each axis, the three axes one after the other",
    "max-concat": "maximum over the slices of each axis, the three axes one after the other",
    "mean-average": "mean over the slices of each axis, averaged over the axes",
    "max-average": "maximum over the slices of each axis, averaged over the axes",
    "raptor": "patch tokens averaged over the slices of each axis, randomly projected, axes and tokens flattened",
    "keep": "no pooling: every slice's own vector, those of the first axis first; keep:N keeps N of each axis, evenly",
}
"""Every slice policy by name, with what it means. ``raptor`` is An et al., ICML 2025 (arXiv:2507.08254)."""

DEFAULT_POLICY = "mean-concat"
AXES = (0, 1, 2)
_KEEP = "keep"
_RAPTOR_LENGTH = 100
"""Numbers a token is projected to: the paper's K."""

Rows = NDArray[np.float32]


def slice_view(view: View) -> View:
    """Fill in what a view of volumes leaves open.

    Parameters
    ----------
    view
        As asked: `slices` None becomes `DEFAULT_POLICY`; ``raptor`` reads patch tokens, and nothing else does.

    Returns
    -------
    View
        With a slice policy, and for ``raptor`` with ``pool="tokens"``.

    Raises
    ------
    UsageError
        For an unknown policy, or a pooling that does not go with it.
    """
    policy = view.slices or DEFAULT_POLICY
    _check_policy(policy)
    if policy == "raptor":
        if view.pool not in (None, "tokens"):
            raise UsageError(f"slice policy raptor reads patch tokens: pool must be tokens, got {view.pool!r}")
        return replace(view, slices=policy, pool="tokens")
    if view.pool == "tokens":
        raise UsageError(f"pool tokens of volumes goes with slice policy raptor only, got {policy!r}")
    return replace(view, slices=policy)


def _check_policy(policy: str) -> None:
    name, _, number = policy.partition(":")
    if name not in POLICIES:
        raise unknown_name("slice policy", policy, POLICIES)
    if number != "" and name != _KEEP:
        raise UsageError(f"slice policy {name} takes no number, got {policy!r}: keep:N is the one that does")
    if policy != name and not (number.isascii() and number.isdigit() and int(number) > 0):
        raise UsageError(f"slice policy keep:N needs a number of slices an axis from 1, got {policy!r}")


def keeps(policy: str) -> bool:
    """Whether a policy keeps slices instead of pooling them."""
    return policy.partition(":")[0] == _KEEP


def number_kept(policy: str) -> int | None:
    """Return how many slices of an axis ``keep:N`` keeps; None for every slice."""
    number = policy.partition(":")[2]
    return int(number) if number else None


def evenly(count: int, number: int | None) -> NDArray[np.int64]:
    """Choose slices evenly: each stands for a stretch of one length, and is the one in its middle.

    Parameters
    ----------
    count
        Slices of an axis.
    number
        How many to choose; None for all.

    Raises
    ------
    DataError
        There are fewer.

    Examples
    --------
    >>> evenly(28, 4).tolist()
    [3, 10, 17, 24]
    """
    if number is None:
        return np.arange(count)
    if number > count:
        raise DataError(f"a volume has {count} slices along an axis, and --slices keep:{number} asks for {number}")
    return (2 * np.arange(number) + 1) * count // (2 * number)


def slice_axis(volumes: UInt8Array, axis: int) -> UInt8Array:
    """Cut volumes into slices across one of their axes.

    Parameters
    ----------
    volumes
        (B, D, H, W).
    axis
        0, 1 or 2: the axis that is walked along.

    Returns
    -------
    ndarray
        (B * n, h, w), the n slices of the first volume first; a view of `volumes` where that is possible.

    Examples
    --------
    >>> slice_axis(np.zeros((2, 28, 20, 10), np.uint8), 1).shape
    (40, 28, 10)
    """
    moved = np.moveaxis(volumes, 1 + axis, 1)
    return moved.reshape(-1, *moved.shape[2:])


def policy_dim(policy: str, dim: int, tokens: int = 1) -> int:
    """Return how long a volume's embedding is under a policy.

    Parameters
    ----------
    policy
        One of `POLICIES`.
    dim
        Length of one slice's embedding, or of one of its tokens. Of ``keep`` it is that of one of the vectors.
    tokens
        Patch tokens a slice, for ``raptor``.
    """
    if policy == "raptor":
        return len(AXES) * tokens * _RAPTOR_LENGTH
    return dim if keeps(policy) or policy.endswith("-average") else len(AXES) * dim


def raptor_projection(dim: int, *, length: int = _RAPTOR_LENGTH, seed: int = 0) -> Rows:
    """Draw RAPTOR's projection: (dim, length) independent normal numbers, scaled to keep lengths on average.

    Parameters
    ----------
    dim
        Length of a token.
    length
        Length it is projected to.
    seed
        The same seed gives the same matrix on every machine and numpy version.
    """
    drawn: NDArray[np.float64] = np.random.RandomState(seed).standard_normal((dim, length)) / np.sqrt(length)
    return drawn.astype(np.float32)


class SlicePool:
    """Pools the embeddings of the slices of some volumes, as they come.

    Parameters
    ----------
    policies
        What will be asked for.
    count
        Number of volumes.

    Notes
    -----
    Slices are added one by one in the order given, so that cutting them into other batches changes no bit.
    """

    def __init__(self, policies: Sequence[str], count: int) -> None:
        for policy in policies:
            _check_policy(policy)
        self._count = count
        self._means = any(not policy.startswith("max") for policy in policies)
        self._maxima = any(policy.startswith("max") for policy in policies)
        self._sum: dict[int, Rows] = {}
        self._max: dict[int, Rows] = {}
        self._seen = {axis: np.zeros(count, dtype=np.int64) for axis in AXES}

    def add(self, axis: int, volumes: NDArray[np.int64], rows: Rows) -> None:
        """Take in slices of one axis.

        Parameters
        ----------
        axis
            Which axis they were cut across.
        volumes
            (m,) the volume of each slice, 0 to count - 1.
        rows
            (m, d) or (m, P, d) embeddings.
        """
        shape = (self._count, *rows.shape[1:])
        if axis not in self._sum:
            self._sum[axis] = np.zeros(shape if self._means else (self._count, 0), dtype=np.float32)
            self._max[axis] = np.full(shape if self._maxima else (self._count, 0), -np.inf, dtype=np.float32)
        for volume, row in zip(volumes, rows, strict=True):
            if self._means:
                self._sum[axis][volume] += row
            if self._maxima:
                np.maximum(self._max[axis][volume], row, out=self._max[axis][volume])
        np.add.at(self._seen[axis], volumes, 1)

    def result(self, policy: str) -> Rows:
        """Return (count, dim) embeddings of the volumes under one of the policies announced."""
        missing = [axis for axis in AXES if not self._seen[axis].all()]
        if missing:
            raise ValueError(f"some volumes have no slices yet along axes {missing}")
        planes = [self._plane(axis, maximum=policy.startswith("max")) for axis in AXES]
        if policy == "raptor":
            projection = raptor_projection(planes[0].shape[-1])
            planes = [(plane @ projection).reshape(self._count, -1) for plane in planes]
        if policy.endswith("-average"):
            average: Rows = np.mean(planes, axis=0, dtype=np.float32)
            return average
        joined: Rows = np.concatenate(planes, axis=1)
        return joined

    def _plane(self, axis: int, *, maximum: bool) -> Rows:
        if maximum:
            return self._max[axis]
        total = self._sum[axis]
        shares = self._seen[axis].reshape(-1, *[1] * (total.ndim - 1)).astype(np.float32)
        mean: Rows = total / shares
        return mean


class SliceKeeper:
    """Keeps the embeddings of the slices of some volumes, as they come: `SlicePool` for ``keep``.

    Parameters
    ----------
    policy
        ``keep`` or ``keep:N``.
    count
        Number of volumes.
    """

    def __init__(self, policy: str, count: int) -> None:
        _check_policy(policy)
        self._number = number_kept(policy)
        self._rows: dict[int, list[list[Rows]]] = {axis: [[] for _ in range(count)] for axis in AXES}

    def add(self, axis: int, volumes: NDArray[np.int64], rows: Rows) -> None:
        """Take in slices of one axis, (m, d), those of a volume in their order; as `SlicePool.add`."""
        for volume, row in zip(volumes.tolist(), rows, strict=True):
            self._rows[axis][volume].append(row)

    def result(self, policy: str) -> Rows:
        """Return (count, P, d): of each volume the slices of the first axis, then those of the others.

        Raises
        ------
        DataError
            Volumes of unequal shape, of which every slice was asked for.
        """
        del policy
        volumes = [
            np.concatenate([np.stack(rows)[evenly(len(rows), self._number)] for rows in planes])
            for planes in zip(*self._rows.values(), strict=True)
        ]
        numbers = sorted({len(one) for one in volumes})
        if len(numbers) > 1:
            raise DataError(
                f"volumes of {numbers[0]} and {numbers[-1]} slices cannot stand in one table: "
                "--slices keep:N keeps N slices of each axis"
            )
        return np.stack(volumes)
