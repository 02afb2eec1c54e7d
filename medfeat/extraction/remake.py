"""The network of a store, loaded and built again as it was, and rows through it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medfeat.backbones import BACKBONES, brings_weights, join_part, load_backbone, split_part
from medfeat.datasets.hashing import HASH_BYTES, image_hashes
from medfeat.errors import WeightsError
from medfeat.extraction.ask.as_stored import as_stored
from medfeat.extraction.ask.made_from import NetworkThen, RemakeOptions
from medfeat.extraction.ask.request import Request
from medfeat.extraction.network.build import make_embedder
from medfeat.extraction.network.compiling import compile_problem
from medfeat.extraction.network.device import resolve_device
from medfeat.extraction.network.forward import RowEmbedder
from medfeat.types import BackboneInfo, Dataset, DatasetInfo, FloatArray, Progress, Recipe, UInt8Array

if TYPE_CHECKING:
    from medfeat.backbones import Backbone


class RowsAgain(NamedTuple):
    """What embedding some rows of a group gave.

    Attributes
    ----------
    rows
        (m,) positions that could be read.
    embeddings
        (m, *shape), as they are stored.
    hashes
        (m, 16) uint8.
    """

    rows: NDArray[np.int64]
    embeddings: FloatArray
    hashes: NDArray[np.uint8]


def load_again(network: NetworkThen, options: RemakeOptions, progress: Progress | None = None) -> Backbone:
    """Load the backbone a store was made with; `progress` is told of what is downloaded.

    Raises
    ------
    WeightsError
        When the weights found, or their configuration, are not the ones the store was made with.
    """
    _refuse_unknown_module(network)
    backbone = load_backbone(
        _pinned(network),
        views=(network.view,),
        weights=_weights_now(network, options.weights),
        seed=network.seed,
        adapt=network.adapt,
        offline=options.offline,
        trust_remote_code=options.trust_remote_code,
        progress=progress,
    )
    _refuse_another(backbone.info, network.recipe)
    if brings_weights(network.name):
        _refuse_other_code(backbone.info, network.recipe)
    return backbone


def request_again(network: NetworkThen, options: RemakeOptions) -> tuple[str, Request]:
    """Return name and request by which other images are extracted as a store was, into a store of their own."""
    weights = _weights_now(network, options.weights)
    request = Request(
        weights=None if weights is None else str(weights),
        seed=network.seed,
        adapt=network.adapt,
        views=(network.view,),
        fit=network.recipe.fit,
        precision=network.recipe.precision,
        batch_size=network.settings.batch_size,
        offline=options.offline,
        trust_remote_code=options.trust_remote_code,
    )
    return _pinned(network), request


def _weights_now(network: NetworkThen, given: str | Path | None) -> str | Path | None:
    """Return where the weights are: the part of a file that was read is read again, unless another one is named."""
    where = given or {"random": "random", "file": network.path}.get(network.origin)
    return join_part(where, network.part) if network.part and where is not None and not split_part(where)[1] else where


def _refuse_unknown_module(network: NetworkThen) -> None:
    """Say how a network that a program gave as a module is made known again."""
    if network.recipe.source == "module" and network.name not in BACKBONES:
        name = network.name
        raise WeightsError(
            f"{name} was a network given in Python ({network.recipe.source_id}): give it again with "
            f"medfeat.extend.registered(medfeat.backbone_from(module, ..., name={name!r})), or bring it as a package"
        )


def _pinned(network: NetworkThen) -> str:
    """Name a Hugging Face repository at the commit the store was made with: its main branch moves on."""
    source_id = network.recipe.source_id
    at_commit = re.fullmatch(r"[^@]+@[0-9a-f]{40}", source_id)
    return f"hf:{source_id}" if network.name.startswith("hf:") and at_commit else network.name


def _refuse_another(found: BackboneInfo, recipe: Recipe) -> None:
    if found.weights_digest != recipe.weights_digest:
        digests = f"{found.weights_digest[:20]}... instead of {recipe.weights_digest[:20]}..."
        raise WeightsError(
            f"the weights of {recipe.backbone} are not the ones its store was made with "
            f"({digests}): pass --weights FILE"
        )
    if "@config:" in recipe.source_id and found.source_id != recipe.source_id:
        raise WeightsError(
            f"the configuration of {recipe.backbone} is not the one its store was made with "
            f"({found.source_id} instead of {recipe.source_id}): pass --weights FOLDER with its config.json"
        )


def _refuse_other_code(found: BackboneInfo, recipe: Recipe) -> None:
    """Refuse a network of a package or a program that holds the same weights and does other things with images."""
    for field in ("source_id", "input_size", "mean", "std", "interpolation"):
        was, now = getattr(recipe, field), getattr(found, field)
        if was != now:
            raise WeightsError(
                f"{recipe.backbone} is not the network its store was made with: its {field} is {now} instead of "
                f"{was}; extract again, or bring the one of then"
            )


def build_again(
    network: NetworkThen,
    options: RemakeOptions,
    dataset: DatasetInfo,
    *,
    batch_size: int | None = None,
    compiled: bool = True,
    progress: Progress | None = None,
) -> RowEmbedder:
    """Load the network of a store, and build it with the fit, precision and batch size the store was made with.

    Parameters
    ----------
    network, options
        Which, and where its weights are now.
    dataset
        Whose images it is to embed.
    batch_size
        Another one than the store's; None for its own.
    compiled
        Whether compiling is worth it, where the store's network was compiled.
    progress
        Told of what is downloaded.
    """
    device, settings = resolve_device(options.device), network.settings
    return make_embedder(
        load_again(network, options, progress),
        dataset,
        fit=network.recipe.fit,
        device=device,
        precision=network.recipe.precision,
        batch_size=batch_size or settings.batch_size,
        compiled=compiled and settings.compiled and compile_problem(device) is None,
        copies=network.recipe.copies,
    )


def embed_rows(
    embedder: RowEmbedder,
    dataset: Dataset,
    group: str,
    rows: NDArray[np.int64],
    *,
    recipe: Recipe,
    backwards: bool = False,
) -> RowsAgain:
    """Embed some rows of a group into memory, with the first view of the network; what cannot be read is left out.

    They are in the form in which `recipe` stores them. With `backwards` the images of each batch go through it last
    first; the rows come back in their own order.
    """
    order = slice(None, None, -1 if backwards else 1)
    places: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    embeddings: list[FloatArray] = []
    hashes: list[UInt8Array] = [np.empty((0, HASH_BYTES), np.uint8)]
    for batch in dataset.batches(group, embedder.batch_size, rows):
        if len(batch.rows) == 0:
            continue
        places.append(batch.rows)
        images = batch.images[order]
        # a copy, since one image turned round counts as contiguous with a stride that torch refuses
        first = embedder(images.copy())[0][order]
        embeddings.append(as_stored(first, kept=recipe.kept, dtype=recipe.dtype))
        hashes.append(image_hashes(batch.images))
    found = np.concatenate(embeddings) if embeddings else np.empty((0, 0), np.float32)
    keys = np.concatenate(hashes)
    return RowsAgain(np.concatenate(places), found, keys)
