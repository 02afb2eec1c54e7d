"""What is asked of an extraction, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from medfeat.types import BadImage, Fit, View


@dataclass(frozen=True)
class Request:
    """How images are to be embedded, the same for every dataset and backbone of a call.

    Attributes
    ----------
    weights, seed
        None for the pretrained ones, a path or ``FILE::PREFIX``, or ``random`` drawn from `seed`.
    adapt
        Let a patch embedding of another patch size be resampled.
    views
        One store each, all from one pass.
    fit, precision
        As typed; precision may be ``auto``.
    batch_size
        None means to find it.
    dtype
        Of the stored numbers, ``float32`` or ``float16``.
    offline, trust_remote_code
        Passed to whoever loads the weights.
    recheck
        Forget what was remembered: read the weights and measure again.
    compile
        Whether compiling may be considered at all.
    source
        How the dataset was opened, plain JSON values: kept in the store, so that it can be opened again.
    copies
        ``flip`` or ``crops``: the vectors of changed copies are averaged; None for the image alone.
    depth
        Of layers that a word stood for (the last features are ``""``): which it is (``at``, from 1), ``of`` how many,
        and whether it is one of the ``quarter``; kept in the stores.
    """

    weights: str | None = None
    seed: int = 0
    adapt: bool = False
    views: tuple[View, ...] = (View(),)
    fit: Fit = "whole"
    precision: str = "auto"
    batch_size: int | None = None
    dtype: str = "float32"
    offline: bool = False
    trust_remote_code: bool = False
    recheck: bool = False
    compile: bool = True
    source: Mapping[str, Any] = field(default_factory=dict)
    copies: str | None = None
    depth: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class StoreOutcome:
    """What became of one store that was asked for.

    Attributes
    ----------
    action
        ``reuse``, ``resume`` or ``compute``: what was done.
    path, recipe
        The store and its recipe.
    dataset, backbone
        Names.
    view
        Layer, pooling and slice policy as asked.
    images, dim, shape
        Rows of the store, length of a vector, and the shape of an image's embedding: (dim,) or (P, dim).
    embedded, copied
        Images that went through the network now, and rows copied from a store that already knew the same image.
    bad
        Images that could not be read; they are not in the store.
    seconds, images_per_second
        Of the network's run; 0 when the store was reused.
    watt_hours, energy_method
        Estimated energy of the run, None where nothing can tell, and how it was estimated.
    """

    action: str
    path: Path
    recipe: dict[str, Any]
    dataset: str
    backbone: str
    view: View
    images: int
    dim: int
    shape: tuple[int, ...]
    embedded: int = 0
    copied: int = 0
    bad: tuple[BadImage, ...] = ()
    seconds: float = 0.0
    images_per_second: float = 0.0
    watt_hours: float | None = 0.0
    energy_method: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self) | {"path": str(self.path)}
