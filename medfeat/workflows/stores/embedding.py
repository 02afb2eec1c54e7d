"""Images that are in no store yet, embedded as those of a store were: for a prediction, a search, an audit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from medfeat.datasets import open_dataset
from medfeat.errors import DataError, UsageError
from medfeat.extraction.again import embedder_for, load_for_recipe
from medfeat.extraction.network.device import resolve_device
from medfeat.extraction.network.forward import RowEmbedder
from medfeat.types import BadImage, Dataset, FloatArray, IdArray, Progress

PLAIN_INTENSITY = "uint8"
# Compiling takes half a minute; below this many images it is not repaid.
WORTH_COMPILING = 5000


@dataclass(frozen=True)
class Images:
    """New images, and how to run the network over them.

    Attributes
    ----------
    path
        A folder, CSV, npz, image or DICOM series, or a registered name.
    intensity
        How their values become 0..255; None means as the store's images did.
    path_column
        Of a CSV.
    volumes
        ``series`` makes volumes of DICOM slices; None means as the store's images were read.
    size
        Of a registered dataset.
    data_root, weights
        Where files and weights are now; None means where they were.
    device, offline, trust_remote_code
        As in `medfeat.extract`.
    """

    path: str | Path
    intensity: str | None = None
    path_column: str | None = None
    volumes: str | None = None
    size: int | None = None
    data_root: str | Path | None = None
    weights: str | Path | None = None
    device: str = "auto"
    offline: bool = False
    trust_remote_code: bool = False


class EmbeddedImages(NamedTuple):
    """One batch: ids and (n, d) features of what could be read, and what could not."""

    ids: IdArray
    features: FloatArray
    bad: tuple[BadImage, ...]


def open_images(images: Images, info: Mapping[str, Any], progress: Progress, memory: Path | None = None) -> Dataset:
    """Open new images under the contract of a store's, unless another is declared.

    Raises
    ------
    UsageError
        Volumes where the store holds images, or images where it holds volumes.
    """
    known = info.get("dataset") or {}
    contract = images.intensity or known.get("intensity")
    size = images.size or (known.get("size") if images.path == known.get("name") else None)
    dataset = open_dataset(
        images.path,
        size=size or None,
        data_root=images.data_root,
        offline=images.offline,
        intensity=None if contract == PLAIN_INTENSITY else contract,
        path_column=images.path_column,
        volumes=images.volumes or _volumes_of(images.path, info),
        progress=progress,
        memory=memory,
    )
    kinds = {2: "images", 3: "volumes"}
    if dataset.info.ndim != known.get("ndim", dataset.info.ndim):
        raise UsageError(
            f"{images.path} holds {kinds[dataset.info.ndim]}, and {known.get('name')} holds {kinds[known['ndim']]}: "
            "the network was fed those"
        )
    return dataset


def _volumes_of(path: str | Path, info: Mapping[str, Any]) -> str | None:
    """Return how the store's images were read, where new ones can be read so: a single file is what it is."""
    asked = (info.get("source") or {}).get("volumes")
    folders = Path(path).is_dir() or str(path).lower().endswith(".csv")
    return str(asked) if asked is not None and folders else None


def embed_new(
    dataset: Dataset, images: Images, recipe: Mapping[str, Any], info: Mapping[str, Any], progress: Progress
) -> Iterator[EmbeddedImages]:
    """Yield every image of a dataset, embedded by a store's recipe, a batch at a time."""
    embedder = network_of(dataset, images, recipe, info, progress=progress)
    progress.start(sum(dataset.info.counts.values()), "embedding")
    for group in dataset.info.counts:
        ids = dataset.ids(group)
        for batch in dataset.batches(group, embedder.batch_size):
            if len(batch.rows):
                found = embedder(batch.images)[0]
                yield EmbeddedImages(ids[batch.rows], found.reshape(len(found), -1), batch.bad)
            elif batch.bad:
                yield EmbeddedImages(ids[:0], np.empty((0, 0), np.float32), batch.bad)
            progress.advance(len(batch.rows) + len(batch.bad))
    progress.finish()


def network_of(
    dataset: Dataset,
    images: Images,
    recipe: Mapping[str, Any],
    info: Mapping[str, Any],
    *,
    count: int | None = None,
    progress: Progress | None = None,
) -> RowEmbedder:
    """Build the network of a store, ready for `count` images of a dataset (None means all of them).

    Raises
    ------
    DataError
        The store was imported, and nobody knows by which network.
    """
    if not info.get("asked") or not info.get("settings"):
        raise DataError(f"the features of {recipe.get('dataset')} were not made by medfeat: no new image can join them")
    backbone = load_for_recipe(
        recipe,
        info,
        weights=images.weights,
        offline=images.offline,
        trust_remote_code=images.trust_remote_code,
        progress=progress,
    )
    if (sum(dataset.info.counts.values()) if count is None else count) < WORTH_COMPILING:
        info = {**info, "settings": {**info["settings"], "compiled": False}}
    return embedder_for(backbone, recipe, info, dataset, resolve_device(images.device))
