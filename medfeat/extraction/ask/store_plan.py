"""What an extraction would do, and why: pure decisions, taken before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from medfeat.backbones import takes_raw
from medfeat.extraction.ask.as_stored import kept_by
from medfeat.types import BackboneInfo, DatasetInfo, Fit, Recipe, View

Action = Literal["reuse", "resume", "compute"]


@dataclass(frozen=True)
class Asked:
    """One store as it was asked for, in terms that cost nothing to find out.

    Attributes
    ----------
    dataset, size, fingerprint
        Of the data.
    backbone, source, source_id
        Of the architecture.
    weights
        ``{"origin": "pretrained"}``, ``{"origin": "random", "seed": n}``, or what
        `medfeat.extraction.ask.remembered.file_identity` says of a file or folder.
    view
        Layer, pooling and slice policy, None where the default was asked for.
    fit
        How images become inputs.
    precision
        As typed; ``auto`` stays ``auto``.
    dtype
        Of the stored numbers.
    copies
        Whose vectors are averaged, as a recipe spells them; empty for the image alone.
    """

    dataset: str
    size: int
    fingerprint: str
    backbone: str
    source: str
    source_id: str
    weights: dict[str, Any]
    view: View
    fit: Fit
    precision: str
    dtype: str = "float32"
    copies: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, the key under which the answer is remembered."""
        values = {key: value for key, value in vars(self).items() if key not in ("view", "dtype", "copies")}
        # Left out where there is nothing to say, as in every answer of before they were there.
        new = {"kept": kept_by(self.view), "dtype": _not_usual(self.dtype), "copies": self.copies}
        values |= {key: value for key, value in new.items() if value}
        return values | {"layer": self.view.layer, "pool": self.view.pool, "slices": self.view.slices}


@dataclass(frozen=True)
class Pace:
    """How fast an extraction is expected to be.

    Attributes
    ----------
    images_per_second
        Once it runs.
    start_seconds
        Before the first image: loading and measuring.
    """

    images_per_second: float
    start_seconds: float = 0.0


@dataclass(frozen=True)
class StorePlan:
    """What would be done for one store.

    Attributes
    ----------
    action, why
        ``reuse`` an existing store, ``resume`` an unfinished one, or ``compute``; and the reason in words.
    dataset, backbone, view
        What it is about.
    store
        The store that is reused, None otherwise.
    images
        Images that would go through the network.
    disk_bytes
        Room the embeddings would take; None when the dimension is not known before the network is loaded.
    seconds
        Estimated from earlier extractions of the same network on this machine and device, None when there were none.
    to_fetch
        Whether the data is not here, and would be fetched first.
    passes
        Images of the network's input that these become, all slices and copies; None where nobody knows.
    """

    action: Action
    why: str
    dataset: str
    backbone: str
    view: View
    store: Path | None
    images: int
    disk_bytes: int | None
    seconds: float | None
    to_fetch: bool = False
    passes: float | None = None


def decide(
    asked: Asked,
    *,
    counts: int,
    remembered: Path | None,
    unfinished_rows: int | None,
    known_dim: int | None,
    pace: Pace | None,
) -> StorePlan:
    """Decide what to do for one store.

    Parameters
    ----------
    asked
        The store as it was asked for.
    counts
        Images in the dataset.
    remembered
        The store that answered the same request before, if it is still there.
    unfinished_rows
        Rows that an interrupted extraction of the same request left in durable parts, None when there was none.
    known_dim
        Length of an embedding, None where nobody knows.
    pace
        Of an earlier extraction with the same network on this machine, None when there was none that compares.

    Returns
    -------
    StorePlan
        The decision with its reason.
    """
    if remembered is not None:
        action, why, images = "reuse", "the same request was answered before", 0
    elif unfinished_rows is not None:
        images = max(counts - unfinished_rows, 0)
        action, why = "resume", f"{unfinished_rows} of {counts} images are already in durable parts"
    else:
        action, why, images = "compute", "no store answers this request", counts
    return StorePlan(
        action=action,  # type: ignore[arg-type]  # the three branches above spell the three actions
        why=why,
        dataset=asked.dataset,
        backbone=asked.backbone,
        view=asked.view,
        store=remembered,
        images=images,
        disk_bytes=None if known_dim is None else 4 * known_dim * counts,
        seconds=_seconds(images, pace),
    )


def _seconds(images: int, pace: Pace | None) -> float | None:
    if images == 0:
        return 0.0
    return None if pace is None else pace.start_seconds + images / pace.images_per_second


def _not_usual(dtype: str) -> str:
    return "" if dtype == "float32" else dtype


def build_recipe(
    dataset: DatasetInfo,
    backbone: BackboneInfo,
    view: View,
    *,
    fit: Fit,
    precision: str,
    dtype: str = "float32",
    copies: str = "",
) -> Recipe:
    """Collect everything that changes the bytes of an embedding; `view.pool` must be resolved."""
    raw = takes_raw(backbone.name)
    return Recipe(
        dataset=dataset.name,
        size=dataset.size,
        fingerprint=dataset.fingerprint,
        backbone=backbone.name,
        source=backbone.source,
        source_id=backbone.source_id,
        weights_digest=backbone.weights_digest,
        layer=view.layer,
        pool=view.pool or backbone.pool,
        slices=view.slices,
        # Weights-free backbones take images as they are: the options that do not touch them make no second store.
        fit="whole" if raw else fit,
        interpolation=backbone.interpolation,
        input_size=backbone.input_size,
        mean=backbone.mean,
        std=backbone.std,
        precision="fp32" if raw else precision,  # type: ignore[arg-type]  # resolved by the caller
        resize="" if raw or fit != "reference" else _resize_in_words(backbone),
        kept="" if raw else kept_by(view),
        dtype=_not_usual(dtype),
        copies=copies,
    )


def _resize_in_words(backbone: BackboneInfo) -> str:
    return f"square of {backbone.resize}" if backbone.squash else f"shorter side to {backbone.resize}"
