"""Where the network looked in the mistakes of a run: heat over pictures, where network, head and images are at hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.errors import UsageError
from medfeat.evaluation.runs.run import Run, load_run_model
from medfeat.types import Dataset, FloatArray, UInt8Array
from medfeat_cache import FeatureStore, StoreHeader

# How far a coordinate is moved for its slope, as a share of the size of the embedding's coordinates.
_STEP = 0.01
# What a heat of 1 adds to a picture: orange, which stays apart from grey for every reader.
_COLOUR = np.array([230, 159, 0], np.float32)


def heated(
    run: Run, header: StoreHeader, dataset: Dataset, ids: Sequence[str], pictures: Mapping[str, UInt8Array]
) -> tuple[dict[str, UInt8Array], str]:
    """Return pictures with heat over them, by id, and the method in words.

    Parameters
    ----------
    run, header
        A run and its store.
    dataset, ids
        Open, and the images to look at.
    pictures
        (H, W) or (H, W, 3) of these images, by id.

    Raises
    ------
    MedfeatError
        The network is not at hand or cannot say where it looked, or the head has no slope; in one line.
    """
    from medfeat.extraction.ask.made_from import MadeFrom, RemakeOptions
    from medfeat.extraction.network.saliency import saliency
    from medfeat.extraction.remake import load_again

    recipe = header.recipe
    if dataset.info.ndim == 3 or recipe.get("fit") != "whole":
        raise UsageError("heat is drawn over whole images only, not over volumes or cut ones")
    if len(header.shape) > 1:
        raise UsageError("heat is drawn of one vector an image; of several, the attention of a run says which counted")
    with FeatureStore(header.path) as store:
        X = store.take(list(ids)).astype(np.float64)
    directions = slopes(load_run_model(run).scores, X)
    if not np.any(directions):
        raise UsageError(f"the head {run.head} has no slope: its score does not change with small steps")
    network = MadeFrom.of(recipe, header.info).network
    if network is None:
        raise UsageError("its features were imported, so no network is known that made them")
    backbone = load_again(network, RemakeOptions(offline=True))
    if backbone.takes_raw or directions.shape[1] != backbone.dims[0]:
        raise UsageError(f"{run.backbone} has no feature maps that its embedding is made of")
    images = _images(dataset, ids)
    heat, method = saliency(backbone, [images[one] for one in ids], directions, fit="whole")
    drawn = {one: over(pictures[one], each) for one, each in zip(ids, heat, strict=True) if one in pictures}
    return drawn, method


def slopes(scores: Callable[[Any], FloatArray], X: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return (n, d) how the surest class gains on the next as each coordinate of an embedding grows.

    Parameters
    ----------
    scores
        From (m, d) embeddings to (m, c) probabilities; a number, where there are no classes.
    X
        (n, d) embeddings.
    """
    found = np.zeros(X.shape, np.float32)
    for i, row in enumerate(X):
        step = _STEP * max(float(np.sqrt(np.mean(row**2))), 1e-6)
        moves = step * np.eye(len(row))
        order = np.argsort(-_by_class(scores(row[None].astype(np.float32)))[0])[:2]
        up, down = (_lead(scores((row + sign * moves).astype(np.float32)), order) for sign in (1, -1))
        found[i] = (up - down) / (2 * step)
    return found


def _by_class(scores: FloatArray) -> NDArray[np.float64]:
    values = np.asarray(scores, np.float64).reshape(len(scores), -1)
    return np.column_stack([1 - values[:, 0], values[:, 0]]) if values.shape[1] == 1 else values


def _lead(scores: FloatArray, order: NDArray[np.int64]) -> NDArray[np.float64]:
    logs = np.log(np.maximum(_by_class(scores), 1e-300))
    lead: NDArray[np.float64] = logs[:, order[0]] - logs[:, order[1]]
    return lead


def _images(dataset: Dataset, ids: Sequence[str]) -> dict[str, UInt8Array]:
    found: dict[str, UInt8Array] = {}
    for group in dataset.info.counts:
        names = dataset.ids(group)
        rows = np.flatnonzero(np.isin(names, list(ids)))
        for batch in dataset.batches(group, 64, rows) if len(rows) else ():
            found |= {str(names[row]): np.asarray(image)
                      for row, image in zip(batch.rows.tolist(), batch.images, strict=True)}  # fmt: skip
    return found


def over(picture: UInt8Array, heat: NDArray[np.float32]) -> UInt8Array:
    """Return an (H, W, 3) picture with (h, w) heat from 0 to 1 over it."""
    from PIL import Image

    base = picture.astype(np.float32)
    base = np.repeat(base[..., None], 3, axis=-1) if base.ndim == 2 else base
    size = (base.shape[1], base.shape[0])
    smooth = np.asarray(Image.fromarray(heat.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))
    share = 0.75 * np.clip(smooth, 0, 1)[..., None]
    drawn: UInt8Array = np.rint(base * (1 - share) + _COLOUR * share).astype(np.uint8)
    return drawn
