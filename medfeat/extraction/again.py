"""Embedding with the recipe of a store that exists: for a canary, a repair, a prediction, a search."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medfeat.backbones import BACKBONES, brings_weights, join_part, load_backbone, split_part
from medfeat.datasets.hashing import HASH_BYTES, image_hash
from medfeat.errors import WeightsError
from medfeat.extraction.ask.run_settings import RunSettings
from medfeat.extraction.network.build import make_embedder
from medfeat.extraction.network.compiling import compile_problem
from medfeat.extraction.network.forward import RowEmbedder, Rows
from medfeat.types import BackboneInfo, BadImage, Dataset, Progress, View

if TYPE_CHECKING:
    import torch

    from medfeat.backbones import Backbone


# Small, so that a look is quick, and odd, so that the batch is no part of a store's own
_CANARY_BATCHES = (7, 5)


class Again(NamedTuple):
    """What embedding some rows of a group gave.

    Attributes
    ----------
    rows
        (m,) positions that could be read.
    embeddings
        (m, d) float32.
    hashes
        (m, 16) uint8.
    bad
        What could not be read.
    """

    rows: NDArray[np.int64]
    embeddings: Rows
    hashes: NDArray[np.uint8]
    bad: tuple[BadImage, ...]


def load_for_recipe(
    recipe: Mapping[str, Any],
    info: Mapping[str, Any],
    *,
    weights: str | Path | None = None,
    offline: bool = False,
    trust_remote_code: bool = False,
    progress: Progress | None = None,
) -> Backbone:
    """Load the backbone a store was made with.

    Parameters
    ----------
    recipe, info
        Of the store.
    weights
        Where the weights are now; None means where they were. The part of the file that was read is read again,
        unless another one is named.
    offline
        Make no network call.
    trust_remote_code
        Let a Hugging Face repository run its own code; that a store was made so does not allow it again.
    progress
        Told of what is downloaded.

    Raises
    ------
    WeightsError
        When the weights found, or their configuration, are not the ones the store was made with.
    """
    name = str(info["asked"]["backbone"])
    _refuse_unknown_module(name, recipe)
    used = info["asked"]["weights"]
    where = weights or {"random": "random", "file": used.get("path")}.get(used["origin"])
    if used.get("part") and where is not None and not split_part(where)[1]:
        where = join_part(where, used["part"])
    backbone = load_backbone(
        _pinned(name, recipe.get("source_id", "")),
        views=(View(recipe["layer"], recipe["pool"], recipe["slices"]),),
        weights=where,
        seed=int(used.get("seed", 0)),
        adapt=bool(used.get("adapt")),
        offline=offline,
        trust_remote_code=trust_remote_code,
        progress=progress,
    )
    _refuse_another(backbone.info, recipe)
    if brings_weights(name):
        _refuse_other_code(backbone.info, recipe)
    return backbone


def _refuse_unknown_module(name: str, recipe: Mapping[str, Any]) -> None:
    """Say how a network that a program gave as a module is made known again."""
    if recipe.get("source") == "module" and name not in BACKBONES:
        raise WeightsError(
            f"{name} was a network given in Python ({recipe['source_id']}): give it again with "
            f"medfeat.extend.registered(medfeat.backbone_from(module, ..., name={name!r})), or bring it as a package"
        )


def _pinned(name: str, source_id: str) -> str:
    """Name a Hugging Face repository at the commit the store was made with: its main branch moves on."""
    at_commit = re.fullmatch(r"[^@]+@[0-9a-f]{40}", source_id)
    return f"hf:{source_id}" if name.startswith("hf:") and at_commit else name


def _refuse_another(found: BackboneInfo, recipe: Mapping[str, Any]) -> None:
    if found.weights_digest != recipe["weights_digest"]:
        digests = f"{found.weights_digest[:20]}... instead of {recipe['weights_digest'][:20]}..."
        raise WeightsError(
            f"the weights of {recipe['backbone']} are not the ones its store was made with "
            f"({digests}): pass --weights FILE"
        )
    source_id = recipe.get("source_id", "")
    if "@config:" in source_id and found.source_id != source_id:
        raise WeightsError(
            f"the configuration of {recipe['backbone']} is not the one its store was made with "
            f"({found.source_id} instead of {source_id}): pass --weights FOLDER with its config.json"
        )


def _refuse_other_code(found: BackboneInfo, recipe: Mapping[str, Any]) -> None:
    """Refuse a network of a package or a program that holds the same weights and does other things with images."""
    for field in ("source_id", "input_size", "mean", "std", "interpolation"):
        was, now = recipe.get(field), getattr(found, field)
        if was != (list(now) if isinstance(now, tuple) else now):
            raise WeightsError(
                f"{recipe['backbone']} is not the network its store was made with: its {field} is {now} instead of "
                f"{was}; extract again, or bring the one of then"
            )


def embedder_for(
    backbone: Backbone,
    recipe: Mapping[str, Any],
    info: Mapping[str, Any],
    dataset: Dataset,
    device: torch.device,
    *,
    batch_size: int | None = None,
) -> RowEmbedder:
    """Build the network with the fit, precision and batch size that the store was made with, or another batch size."""
    settings = RunSettings.from_dict(info["settings"])
    return make_embedder(
        backbone,
        dataset.info,
        fit=recipe["fit"],
        device=device,
        precision=recipe["precision"],
        batch_size=batch_size or settings.batch_size,
        compiled=settings.compiled and compile_problem(device) is None,
    )


def canary_batch(batch_size: int, rows: int) -> int:
    """Return another batch size than a store was made with, and less than all rows, so that neighbours are others."""
    most = max(1, rows // 2)
    return next(size for size in (*(min(size, most) for size in _CANARY_BATCHES), 2, 1) if size != batch_size)


def embed_rows(
    embedder: RowEmbedder,
    dataset: Dataset,
    group: str,
    rows: NDArray[np.int64] | None = None,
    *,
    backwards: bool = False,
) -> Again:
    """Embed some rows of a group (all when None) into memory, with the first view of the network.

    With `backwards` the images of each batch go through it last first; the rows come back in their own order.
    """
    order = slice(None, None, -1 if backwards else 1)
    places: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    embeddings: list[Rows] = []
    hashes: list[bytes] = []
    bad: list[BadImage] = []
    for batch in dataset.batches(group, embedder.batch_size, rows):
        bad.extend(batch.bad)
        if len(batch.rows) == 0:
            continue
        places.append(batch.rows)
        images = batch.images[order]
        # a copy, since one image turned round counts as contiguous with a stride that torch refuses
        first = embedder(images.copy())[0][order]
        embeddings.append(first.reshape(len(first), -1))
        hashes.extend(image_hash(image) for image in batch.images)
    found = np.concatenate(embeddings) if embeddings else np.empty((0, 0), np.float32)
    keys = np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, HASH_BYTES)
    return Again(np.concatenate(places), found, keys, tuple(bad))
