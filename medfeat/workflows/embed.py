"""Images in, vectors out: a thin door on `extract` for those who want an array."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medfeat.backbones import Entry
from medfeat.errors import DataError, UsageError
from medfeat.types import Progress
from medfeat.workflows.extract import extract
from medfeat_cache import FeatureStore


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
        Of the store that is kept in the cache; default: the class's name in lower case.
    intensity, weights, seed, fit, precision, batch_size, device, cache_dir, offline, trust_remote_code, progress
        As `medfeat.extract` takes them.
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
    report = extract(
        _one_by_one(images),
        backbone,
        name=name,
        intensity=intensity,
        weights=weights,
        seed=seed,
        pool=pool,
        layer=layer,
        slices=slices,
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
        return np.concatenate([np.asarray(opened.embeddings(group), np.float32) for group in opened.groups])


def _one_by_one(images: object) -> object:
    """Take any sequence of paths as images: a list of names is one of datasets elsewhere."""
    paths: Sequence[object] = images if isinstance(images, (list, tuple)) else ()
    return [Path(one) if isinstance(one, str) else one for one in paths] if paths else images
