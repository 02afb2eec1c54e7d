"""What the rows of a store were made from, read back from its recipe and its facts as typed values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medfeat.extraction.ask.run_settings import RunSettings
from medfeat.types import Recipe, View


@dataclass(frozen=True)
class DataThen:
    """The images of a store, as they were opened for it.

    Attributes
    ----------
    name, fingerprint
        In its recipe.
    size, ndim, intensity
        Side in pixels, 2 for images and 3 for volumes, and how values became 0..255; None where nobody knows.
    source
        Options that open them again; empty where the features were imported or a program held the images.
    held_by
        The object of Python that held them, in words; empty for what was read from files.
    """

    name: str
    fingerprint: str
    size: int | None
    ndim: int | None
    intensity: str | None
    source: Mapping[str, Any]
    held_by: str

    @property
    def volumes(self) -> str | None:
        """How slices became volumes, as it was asked for."""
        asked = self.source.get("volumes")
        return None if asked is None else str(asked)


@dataclass(frozen=True)
class NetworkThen:
    """The network of a store, as it was asked for, what that came to, and how it ran.

    Attributes
    ----------
    name
        As it was asked for.
    origin
        Of its weights: ``pretrained``, ``random`` or ``file``.
    path, part
        Of a file of weights.
    seed, adapt
        Of random weights, and whether a patch embedding of another patch size could be resampled.
    recipe
        What all of it came to.
    settings
        How it ran.
    """

    name: str
    origin: str
    path: str | None
    part: str | None
    seed: int
    adapt: bool
    recipe: Recipe
    settings: RunSettings

    @property
    def view(self) -> View:
        """Layer, pooling and slice policy."""
        return View(self.recipe.layer, self.recipe.pool, self.recipe.slices)


@dataclass(frozen=True)
class MadeFrom:
    """What a store was made from; `network` is None for features that were imported."""

    data: DataThen
    network: NetworkThen | None

    @classmethod
    def of(cls, recipe: Mapping[str, Any], info: Mapping[str, Any]) -> MadeFrom:
        """Read it from the recipe and the facts of a store, or from what a saved probe keeps of both."""
        known, source = info.get("dataset") or {}, info.get("source") or {}
        data = DataThen(
            name=str(recipe.get("dataset")),
            fingerprint=str(recipe.get("fingerprint")),
            size=known.get("size"),
            ndim=known.get("ndim"),
            intensity=known.get("intensity"),
            source=source if "data" in source else {},
            held_by=str(source.get("object") or ""),
        )
        return cls(data, _network_of(recipe, info) if info.get("asked") and info.get("settings") else None)


def _network_of(recipe: Mapping[str, Any], info: Mapping[str, Any]) -> NetworkThen:
    used = info["asked"]["weights"]
    return NetworkThen(
        name=str(info["asked"]["backbone"]),
        origin=str(used["origin"]),
        path=used.get("path"),
        part=used.get("part"),
        seed=int(used.get("seed", 0)),
        adapt=bool(used.get("adapt")),
        recipe=Recipe.from_dict(recipe),
        settings=RunSettings.from_dict(info["settings"]),
    )


@dataclass(frozen=True, kw_only=True)
class RemakeOptions:
    """Where the data and the weights of a store are now, and how its network runs here.

    Attributes
    ----------
    data_root, weights
        Where files and weights are; None means where they were.
    device, offline, trust_remote_code
        As in `medfeat.extract`; that a store was made with code of a repository does not allow it again.
    """

    data_root: str | Path | None = None
    weights: str | Path | None = None
    device: str = "auto"
    offline: bool = False
    trust_remote_code: bool = False
