"""`medfeat search`: the stored images that look most like one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medfeat.errors import DataError, UsageError
from medfeat.evaluation.audit.nearest import nearest
from medfeat.extraction.ask.made_from import MadeFrom, RemakeOptions
from medfeat.report.shown import Shown
from medfeat.report.tables import Table
from medfeat.saying import heard
from medfeat.tasks import find_task, official
from medfeat.tasks.near_ids import no_such_image
from medfeat.types import FloatArray, LabelArray, Progress, Task
from medfeat.workflows.stores.one_store import one_store
from medfeat.workflows.stores.remake import NewImages, Remake
from medfeat.workflows.stores.store_names import shown_name
from medfeat_cache import AveragedStore, Catalogue, FeatureStore, UnknownIdsError, mean_of, open_vectors, resolve_root


@dataclass(frozen=True)
class Hit:
    """A stored image: its cosine to what was searched for, and what it is labelled."""

    id: str
    cosine: float
    split: str
    label: str


@dataclass(frozen=True, repr=False)
class SearchReport(Shown):
    """The nearest stored images, nearest first; `embedded` counts the images that went through the network."""

    query: str
    dataset: str
    backbone: str
    hits: tuple[Hit, ...]
    embedded: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    def tables(self) -> list[Table]:
        """Return one row a hit."""
        rows = tuple((str(i), hit.id, f"{hit.cosine:.4f}", hit.split, hit.label) for i, hit in enumerate(self.hits, 1))
        title = f"nearest to {self.query} in {self.dataset} by {self.backbone}"
        return [Table(title, ("", "id", "cosine", "split", "label"), rows, less=("split",), prose=("label",))]


def search(
    data: str | None = None,
    backbone: str | None = None,
    *,
    store: str | Path | None = None,
    image: object = None,
    id: str | None = None,
    k: int = 10,
    size: int | None = None,
    task: str | None = None,
    intensity: str | None = None,
    weights: str | Path | None = None,
    device: str = "auto",
    offline: bool = False,
    trust_remote_code: bool = False,
    cache_dir: str | Path | None = None,
    progress: Progress | None = None,
    **query: Any,
) -> SearchReport:
    """Find the stored images nearest to one, by the cosine of their embeddings.

    Parameters
    ----------
    data, backbone, size, store
        Which store: by names, of which those may be left out that one store fits without, or by its digest.
    image
        A file, a Pillow image, an array (H, W[, 3]) or a tensor, embedded by the store's recipe; or
    id
        a stored image, for which nothing is embedded, and which is not among its own hits.
    k
        How many.
    task
        Saved task whose labels are shown; None means the dataset's own.
    intensity, weights, device, offline, trust_remote_code
        As in `medfeat.predict`.
    cache_dir
        Where stores live.
    progress
        Hears of the embedding. None is a bar in a notebook and a log elsewhere; `medfeat.types.SilentProgress()` shows
        nothing.
    **query
        Other fields of the recipe, when several stores match.

    Returns
    -------
    SearchReport
        With ids, cosines, splits and labels.

    Raises
    ------
    UsageError
        Neither or both of `image` and `id`, a `k` below 1, an id that is not stored.
    """
    if (image is None) == (id is None):
        raise UsageError("give either --image FILE or --id ID to search for")
    if k < 1:
        raise UsageError(f"-k must be 1 or more, got {k}")
    root = resolve_root(cache_dir)
    header = one_store(data, backbone, store=store, cache_dir=cache_dir, size=size, **query)
    with open_vectors(header.path) as opened:
        if isinstance(opened, AveragedStore) and progress is not None:
            progress.say(opened.averaged)
        if id is not None:
            vector = _stored(opened, id)
        else:
            options = RemakeOptions(
                weights=weights, device=device, offline=offline, trust_remote_code=trust_remote_code
            )
            made = MadeFrom.of(opened.recipe, opened.info)
            remake = Remake(made, options, root, heard(progress))
            vector = _embedded(_one_image(image, intensity), remake)
        ids, cosines = nearest(opened, vector, k + (id is not None))
        found = [(str(name), float(cosine)) for name, cosine in zip(ids, cosines, strict=True) if str(name) != id][:k]
        labels = _labels(opened, task, [name for name, _ in found])
        hits = tuple(Hit(name, cosine, *labels.get(name, _unlabelled(name))) for name, cosine in found)
    return SearchReport(
        str(id or (image if isinstance(image, (str, Path)) else f"the {type(image).__name__}")),
        shown_name(header, Catalogue(root)),
        str(header.recipe["backbone"]),
        hits,
        int(image is not None),
    )


def _stored(store: FeatureStore, name: str) -> FloatArray:
    try:
        vector: FloatArray = store.take([name])[0]
    except UnknownIdsError as error:
        there = np.concatenate([store.ids(group) for group in store.groups])
        raise UsageError(f"{store.path.name}: {no_such_image(name, there)}") from error
    return vector


def _one_image(image: object, intensity: str | None) -> NewImages:
    """Return an image to look for: the path of a file, or one that a program holds, alone in a list."""
    alone = isinstance(image, (str, Path, list, tuple))
    return NewImages(image if alone else [image], intensity)


def _embedded(image: NewImages, remake: Remake) -> FloatArray:
    if image.place is not None and not Path(image.place).is_file():
        raise UsageError(f"there is no image file {image}")
    parts = list(remake.embed(remake.open_new(image)))
    found = [part for part in parts if len(part.ids)]
    if len(found) != 1 or len(found[0].ids) != 1:
        bad = [one.reason for part in parts for one in part.bad]
        raise DataError(f"{image} could not be read as one image{': ' + bad[0] if bad else ''}")
    features = found[0].features
    vector: FloatArray = (mean_of(features) if features.ndim > 2 else features)[0]
    return vector


def _labels(store: FeatureStore, name: str | None, ids: list[str]) -> dict[str, tuple[str, str]]:
    """Return split and label in words of some ids; nothing for a dataset without labels."""
    try:
        task = find_task(name, store) if name else official(store)
    except DataError:
        if name:
            raise
        return {}
    here = np.isin(task.ids, ids)
    words = _words(task, task.labels[here])
    return {
        str(id_): (str(split), word) for id_, split, word in zip(task.ids[here], task.split[here], words, strict=True)
    }


def _words(task: Task, labels: LabelArray) -> list[str]:
    if task.task_type == "regression":
        return ["|".join(f"{value:g}" for value in row) for row in labels]
    if task.task_type == "multi-label":
        return ["|".join(n for n, here in zip(task.classes, row, strict=True) if here) for row in labels]
    return [task.classes[int(number)] for number in labels[:, 0]]


def _unlabelled(name: str) -> tuple[str, str]:
    return name.partition("/")[0] if name.startswith(("train/", "val/", "test/")) else "", ""
