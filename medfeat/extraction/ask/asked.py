"""A request in cheap terms, and what an interrupted run of the same request left behind."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from medfeat.backbones import describe, split_part, takes_raw
from medfeat.datasets import DatasetEntry
from medfeat.extraction.ask import remembered as lookup
from medfeat.extraction.ask.copies import copies_for
from medfeat.extraction.ask.request import Request
from medfeat.extraction.ask.run_settings import RunSettings
from medfeat.extraction.ask.store_plan import Asked, Pace, StorePlan, decide
from medfeat.types import Dataset, DatasetInfo, Precision, View
from medfeat_cache import StoreHeader, Unfinished, find_stores, find_unfinished, unfinished

# How long the embedding of a backbone's view is, for images (2) or volumes (3); None where nobody knows beforehand.
Lengths = Callable[[str, View, int], int | None]
# How fast a request will be, by earlier stores of its backbone; None where they do not tell.
Paces = Callable[[DatasetInfo, Asked, Sequence[StoreHeader]], Pace | None]


def describe_request(dataset: Dataset, backbone: str, request: Request, view: View) -> Asked:
    """Spell what is asked in terms that cost nothing to find out; neither weights nor images are read."""
    info, network = dataset.info, describe(backbone)
    return Asked(
        dataset=info.name,
        size=info.size,
        fingerprint=info.fingerprint,
        backbone=network.name,
        source=network.source,
        # As typed: the commit it stands for is known only once the repository is here.
        source_id=backbone.removeprefix("hf:") if backbone.startswith("hf:") else network.source_id,
        weights=_weights_identity(request),
        view=view,
        fit=request.fit,
        precision=request.precision,
        copies=copies_for(request.copies, info.name, info.ndim, raw=takes_raw(backbone)),
        dtype=request.dtype,
    )


def plan_stores(
    dataset: Dataset, backbone: str, request: Request, *, root: Path, lengths: Lengths, paces: Paces
) -> list[StorePlan]:
    """Say what `embed` would do for each view, and why; reads neither weights nor images.

    Parameters
    ----------
    dataset, backbone, request, root
        As for `embed`.
    lengths
        Asked where neither the table nor an earlier store says how long an embedding is.
    paces
        Asked how fast it will be.
    """
    counts = sum(dataset.info.counts.values())
    earlier = find_stores(root, backbone=describe(backbone).name)
    plans = []
    for view in request.views:
        asked = describe_request(dataset, backbone, request, view)
        plans.append(
            decide(
                asked,
                counts=counts,
                remembered=None if request.recheck else lookup.remembered_store(root, asked.to_dict()),
                unfinished_rows=next((sum(begun.done.values()) for begun in _unfinished(root, asked)), None),
                known_dim=_known_dim(earlier, backbone, view, dataset.info.ndim, lengths),
                pace=paces(dataset.info, asked, earlier),
            )
        )
    return plans


def _known_dim(earlier: Sequence[StoreHeader], backbone: str, view: View, ndim: int, lengths: Lengths) -> int | None:
    """Return how many numbers an embedding holds: the table says so, an earlier store of its view, or the network."""
    dim = describe(backbone).dim
    if dim and view == View() and ndim == 2:
        return dim
    alike = [math.prod(header.shape) for header in earlier if header.info.get("view") == asdict(view)]
    return alike[-1] if alike else lengths(backbone, view, ndim)


def plan_to_fetch(entry: DatasetEntry, backbone: str, request: Request, *, lengths: Lengths) -> list[StorePlan]:
    """Say what would be done for a registered dataset whose file is not here yet; as `plan_stores`."""
    copies_for(request.copies, entry.name, entry.ndim, raw=takes_raw(backbone))
    counts = sum(entry.counts.values())
    dims = {view: _known_dim((), backbone, view, entry.ndim, lengths) for view in request.views}
    return [
        StorePlan(
            action="compute",
            why=f"{entry.name} is not here yet: it would be fetched first",
            dataset=entry.name,
            backbone=backbone,
            view=view,
            store=None,
            images=counts,
            disk_bytes=4 * dim * counts if (dim := dims[view]) is not None else None,
            seconds=None,
            to_fetch=True,
        )
        for view in request.views
    ]


def unfinished_precision(root: Path, asked: Sequence[Asked]) -> Precision | None:
    """Return the precision that an interrupted run of one of these requests came to, None when there was none."""
    for question in asked:
        for begun in _unfinished(root, question):
            found = begun.settings.get("precision")
            if found in get_args(Precision):
                return found
    return None


def unfinished_settings(path: Path) -> RunSettings | None:
    """Return the settings that an interrupted run left for the store at `path`, None when there is none."""
    begun = unfinished(path)  # None too when its parts cannot be trusted: the writer drops them, and says so
    try:
        return None if begun is None else RunSettings.from_dict(begun.settings)
    except TypeError:
        return None  # settings of another version of medfeat


def _unfinished(root: Path, asked: Asked) -> list[Unfinished]:
    """Return what interrupted runs of this very request left."""
    question = asked.to_dict()
    return [begun for begun in find_unfinished(root, dataset=asked.dataset) if begun.info.get("asked") == question]


def _weights_identity(request: Request) -> dict[str, Any]:
    if request.weights is None:
        return {"origin": "pretrained"}
    if request.weights == "random":
        return {"origin": "random", "seed": request.seed}
    file, part = split_part(request.weights)
    chosen = {"part": part} if part else {}
    allowed = {"adapt": True} if request.adapt else {}
    return {"origin": "file", **lookup.file_identity(file), **chosen, **allowed}
