"""Images in, vectors out: a thin door on `extract` for those who want an array."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.backbones import Entry
from medfeat.datasets import dataset_from
from medfeat.datasets.objects.from_objects import splits_of_official
from medfeat.datasets.objects.object_files import is_image_folder
from medfeat.errors import DataError, UsageError
from medfeat.saying import SaidOnce, heard
from medfeat.types import Dataset, Progress
from medfeat.workflows.extract import extract
from medfeat_cache import FeatureStore, resolve_root

_SAID: set[str] = set()
"""Lines of this process: a call in a loop says what is new."""


def embed(
    images: object,
    backbone: str | Entry,
    *,
    name: str | None = None,
    intensity: str | None = None,
    weights: str | Path | None = None,
    seed: int = 0,
    pool: str | None = None,
    layer: str | None = None,
    slices: str | None = None,
    copies: str | None = None,
    fit: str = "whole",
    precision: str = "auto",
    batch_size: int | str = "auto",
    device: str = "auto",
    cache_dir: str | Path | None = None,
    offline: bool = False,
    trust_remote_code: bool = False,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Embed images and return their vectors, row by row; the same images with the same backbone are embedded once.

    Parameters
    ----------
    images
        A list of paths, Pillow images, arrays or tensors, an array (n, H, W[, 3]), or anything else that
        `medfeat.extract` takes.
    backbone
        A name, or a network of your own, from `medfeat.backbone_from`.
    name
        Of the dataset in the cache; default: the class's name in lower case, and eight digits of what it holds, so that
        other images are another set.
    intensity, weights, seed, copies, fit, precision, batch_size, device, cache_dir
        As `medfeat.extract` takes them.
    offline, trust_remote_code, progress
        Likewise.
    pool, layer, slices
        One of each at most: one array is returned.

    Returns
    -------
    ndarray
        (n, d) float32, in the order of the images.

    Raises
    ------
    DataError
        An image that cannot be read: every row stands for one image.
    MedfeatError
        As `medfeat.extract`.
    """
    named = isinstance(images, (str, Path))
    progress = SaidOnce(heard(None), _SAID) if progress is None else progress
    report = extract(
        images if named else _held(images, name, intensity, cache_dir, progress),
        backbone,
        name=name if named else None,
        intensity=intensity if named else None,
        weights=weights,
        seed=seed,
        pool=pool,
        layer=layer,
        slices=slices,
        copies=copies,
        fit=fit,
        precision=precision,
        batch_size=batch_size,
        device=device,
        cache_dir=cache_dir,
        offline=offline,
        trust_remote_code=trust_remote_code,
        progress=progress,
    )
    if report.failures:
        raise DataError(report.failures[0].line())
    if len(report.stores) != 1:
        raise UsageError(f"embed returns one array, and this asks for {len(report.stores)}: name one of each")
    store = report.stores[0]
    if store.bad:
        more = f" and {len(store.bad) - 1} more" if len(store.bad) > 1 else ""
        raise DataError(f"{store.bad[0].id} cannot be embedded: {store.bad[0].reason}{more}; leave it out")
    with FeatureStore(store.path) as opened:
        # the stores of official sets are whole, also where one split of them was given
        groups = [group for group in opened.groups if group in splits_of_official(images)] or opened.groups
        return np.concatenate([np.asarray(opened.embeddings(group), np.float32) for group in groups])


def _held(
    images: Any, name: str | None, intensity: str | None, cache_dir: str | Path | None, progress: Progress | None
) -> Dataset:
    """Make a dataset whose rows are the images as they were given; without a name it goes by its content."""
    if is_image_folder(images):  # as a dataset its images are sorted by their paths
        images = [Path(path) for path, _ in images.samples]
    elif isinstance(images, (list, tuple)):
        images = [Path(one) if isinstance(one, str) else one for one in images]
    held = dataset_from(images, name=name, intensity=intensity, progress=progress, memory=resolve_root(cache_dir))
    if name is not None or held.info.source != "object":
        return held
    return dataset_from(held, name=f"{held.info.name}-{held.info.fingerprint.rpartition(':')[2][:8]}")
