"""A tiny source of images whose embeddings can be worked out in the head, and stores made of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from medfeat_cache import GroupSpec, StoreWriter, recipe_digest, store_path

Array = NDArray[Any]


@dataclass(frozen=True)
class Source:
    """Groups of images; the embedding of image r is noise seeded by its group and r, `vectors` of them if not 0."""

    counts: dict[str, int] = field(default_factory=lambda: {"train": 30, "val": 7})
    dim: int = 8
    vectors: int = 0
    dtype: str = "float32"
    recipe: dict[str, Any] = field(default_factory=lambda: {"dataset": "toy", "backbone": "timm:net", "size": 28})

    def ids(self, group: str) -> Array:
        return np.array([f"{group}/{row}é" for row in range(self.counts[group])])

    def labels(self, group: str) -> Array:
        return np.arange(self.counts[group])[:, None] % 3

    def embeddings(self, group: str) -> Array:
        seed = list(self.counts).index(group)
        shape = (self.vectors, self.dim) if self.vectors else (self.dim,)
        return np.random.default_rng(seed).normal(size=(self.counts[group], *shape)).astype(self.dtype)

    def hashes(self, group: str) -> Array:
        seed = 100 + list(self.counts).index(group)
        return np.random.default_rng(seed).integers(0, 256, (self.counts[group], 16)).astype(np.uint8)

    def spec(self) -> dict[str, GroupSpec]:
        return {group: GroupSpec(self.ids(group), self.labels(group)) for group in self.counts}

    def path(self, root: Path) -> Path:
        return store_path(root, self.recipe["dataset"], self.recipe["backbone"], recipe_digest(self.recipe))

    def open(self, root: Path, **options: Any) -> StoreWriter:
        options = {"info": {"licence": "CC0"}, "settings": {"batch_size": 4}} | options
        writer = StoreWriter.open(self.path(root), recipe=self.recipe, **options)
        writer.groups(self.spec())
        return writer

    def part(self, writer: StoreWriter, group: str, start: int, stop: int) -> None:
        rows = np.arange(start, stop)
        writer.write_rows(group, rows, self.embeddings(group)[rows], self.hashes(group)[rows])

    def fill(self, writer: StoreWriter) -> None:
        for group, count in self.counts.items():
            step = max(count // 4, 8)
            for start in range(0, count, step):
                self.part(writer, group, start, min(start + step, count))

    def make(self, root: Path) -> Path:
        with self.open(root) as writer:
            self.fill(writer)
            return writer.publish()


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def new_source() -> Callable[..., Source]:
    return Source


@pytest.fixture
def store(source: Source, cache_root: Path) -> Path:
    """A published store of `source`."""
    return source.make(cache_root)
