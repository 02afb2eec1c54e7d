"""Which stores of a dataset may stand side by side: layers at quarters of depth, all layers, and all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from medfeat.errors import UsageError
from medfeat.evaluation.judging.baselines import BASELINE_BACKBONES
from medfeat.workflows.jobs.store_jobs import StoreJob
from medfeat_cache import StoreHeader, canonical_json
from medfeat_cache.commands import command

# By what two embeddings of one network differ and still are views of the same forward pass.
_OF_VIEW = ("layer", "pool")


def joined(jobs: Sequence[StoreJob]) -> list[StoreJob]:
    """Return jobs on stores side by side, made from jobs on one store each; of each dataset and head these.

    The quarter of a network's layers, as ``extract --layer quarter`` made them; all of its layers and poolings; and all
    stores of the dataset, where they are of several networks, sizes or fits. Raw pixels and statistics stay baselines.
    """
    found = []
    for dataset, head in dict.fromkeys((job.dataset, job.head) for job in jobs):
        mine = [job.header for job in jobs if (job.dataset, job.head) == (dataset, head)]
        found += [StoreJob(first, head, dataset, beside=tuple(more)) for first, *more in _sets(mine)]
    return found


def layered(jobs: Sequence[StoreJob]) -> list[StoreJob]:
    """Return jobs on the layers and poolings of each network side by side, made from jobs on one store each.

    Raises
    ------
    UsageError
        No network has several.
    """
    found = []
    for dataset, head in dict.fromkeys((job.dataset, job.head) for job in jobs):
        mine = [job.header for job in jobs if (job.dataset, job.head) == (dataset, head)]
        several = [headers for headers in _by_network(mine) if len(headers) > 1]
        found += [StoreJob(first, head, dataset, beside=tuple(more)) for first, *more in several]
    if not found:
        raise UsageError(
            "--bag layers weighs several layers of a network, and no network has two in the cache: "
            f"{command('extract', data='NAME', backbone='NAME', layer='quarter')}"
        )
    return found


def _by_network(headers: Sequence[StoreHeader]) -> list[list[StoreHeader]]:
    """Group stores by network and whatever else they were made by, the layer and pooling aside."""
    networks: dict[str, list[StoreHeader]] = {}
    for header in _once(headers):
        alike = {name: value for name, value in header.recipe.items() if name not in _OF_VIEW}
        networks.setdefault(canonical_json(alike), []).append(header)
    return list(networks.values())


def _sets(headers: Sequence[StoreHeader]) -> list[list[StoreHeader]]:
    networks = _by_network(headers)
    sets = [found for group in networks for found in ([h for h in group if _of_quarter(h)], group)]
    sets.append([header for group in networks for header in group])
    apart = {tuple(header.digest for header in one): one for one in sets if len(one) > 1}
    return list(apart.values())


def _once(headers: Iterable[StoreHeader]) -> list[StoreHeader]:
    """Leave out baselines, and an embedding that is there in two precisions but once; by depth where it is known."""
    kept: dict[str, StoreHeader] = {}
    for header in headers:
        if header.recipe["backbone"] not in BASELINE_BACKBONES:
            kept.setdefault(apart_from_precision(header.recipe), header)
    return sorted(kept.values(), key=lambda header: (header.info.get("depth") or {}).get("at", 0))


def apart_from_precision(recipe: Any) -> str:
    """Spell a recipe without its precision: two that agree hold one embedding twice."""
    return canonical_json({name: value for name, value in recipe.items() if name != "precision"})


def _of_quarter(header: StoreHeader) -> bool:
    return header.recipe.get("layer") is None or bool((header.info.get("depth") or {}).get("quarter"))
