"""What a task needs of a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from medfeat.types import FloatArray, IdArray, LabelArray


class Readable(Protocol):
    """What a task needs of a store; `FeatureStore` and `FusedStore` both have it."""

    @property
    def path(self) -> Path:
        """Where it is, for messages and for the folder of its tasks."""
        ...

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of its groups."""
        ...

    @property
    def info(self) -> Mapping[str, Any]:
        """What is known of dataset and backbone."""
        ...

    def ids(self, group: str) -> IdArray:
        """(n,) ids of a group."""
        ...

    def labels(self, group: str) -> LabelArray | None:
        """(n, k) official labels of a group, or None."""
        ...

    def embeddings(self, group: str) -> FloatArray:
        """(n, d) embeddings of a group."""
        ...

    def take(self, ids: Sequence[str] | IdArray) -> FloatArray:
        """(m, d) embeddings joined by id."""
        ...


class Probed(Readable, Protocol):
    """What a probe needs of a store, `FeatureStore` or `FusedStore`: also by what recipe the features were made."""

    @property
    def recipe(self) -> Mapping[str, Any]:
        """Everything that changes the bytes of the features."""
        ...

    @property
    def digest(self) -> str:
        """Of the recipe."""
        ...

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        ...
