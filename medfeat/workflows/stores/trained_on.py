"""What a saved probe was trained on, found again in the cache: whether new images are like it."""

from __future__ import annotations

from medfeat.errors import DataError, MedfeatError
from medfeat.evaluation.measures.novelty import Familiar, some_rows
from medfeat.evaluation.runs.run import task_digest
from medfeat.evaluation.runs.saved_probe import SavedProbe
from medfeat.tasks import OFFICIAL, find_task, official
from medfeat.types import FloatArray
from medfeat_cache import Catalogue, FeatureStore, StoreError, mean_of


def trained_on(probe: SavedProbe, cache: Catalogue) -> Familiar:
    """Return how far images of val lie from the training vectors of a probe.

    Raises
    ------
    DataError
        The store is gone, or the labels by which it was split are.
    """
    run = probe.run
    stores = cache.find(dataset=run.dataset, backbone=run.backbone)
    header = next((one for one in stores if one.digest == run.store["digest"]), None)
    if header is None:
        raise DataError(f"store {run.store['digest'][:12]}, on which run {run.key[:12]} was trained, is not here")
    try:
        with FeatureStore(header.path) as store:
            name = run.task["name"]
            task = official(store) if name == OFFICIAL else find_task(name, store)
            if task_digest(task) != run.task["digest"]:
                raise DataError(f"task {name!r} has changed since run {run.key[:12]} was trained")
            train, val = (task.ids[task.split == split] for split in ("train", "val"))
            kept, looked = some_rows(len(train)), some_rows(len(val))
            groups = None if task.group is None else task.group[task.split == "val"][looked]
            known, others = (as_one_vector(store.take(ids)) for ids in (train[kept], val[looked]))
            return Familiar.of(known, others, groups)
    except (MedfeatError, StoreError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"what run {run.key[:12]} was trained on is not kept ({error})") from error


def as_one_vector(features: FloatArray) -> FloatArray:
    """Return (n, d) features: of images with several vectors each, (n, P, d), their mean."""
    return mean_of(features) if features.ndim > 2 else features
