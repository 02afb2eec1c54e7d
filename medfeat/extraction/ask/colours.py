"""Sets of grey and colour images through raw pixels, whose embeddings would differ in length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from medfeat.backbones import COLOUR, takes_colour
from medfeat.types import Dataset, View

_READ_BATCH = 64


def colour_views(views: Sequence[View], dataset: Dataset, backbone: str) -> tuple[View, ...]:
    """Read grey images as colour ones where a set holds both and the backbone's embeddings would differ in length.

    Which images a set of unknown channels holds is found out by decoding them, up to the first of the other kind.
    """
    info = dataset.info
    if not takes_colour(backbone) or info.channels or info.ndim != 2 or all(view.pool for view in views):
        return tuple(views)
    if not _is_mixed(dataset):
        return tuple(views)
    return tuple(view if view.pool else replace(view, pool=COLOUR) for view in views)


def _is_mixed(dataset: Dataset) -> bool:
    kinds: set[int] = set()
    for group in dataset.info.counts:
        for batch in dataset.batches(group, _READ_BATCH):
            kinds |= {image.ndim for image in batch.images}
            if len(kinds) > 1:
                return True
    return False
