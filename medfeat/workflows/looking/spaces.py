"""Stores of a dataset as spaces of a map, and what its runs predicted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from medfeat.cost import usable_cores
from medfeat.counted import counted_are
from medfeat.errors import UsageError
from medfeat.evaluation.looking.projection import MOST_3D, STEPS, Map, Stepped
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.runs import wording
from medfeat.evaluation.runs.run import Run, list_runs, read_scores
from medfeat.report.page.columns import UNKNOWN, PointColumn
from medfeat.report.page.explore import SpaceView
from medfeat.tasks import OFFICIAL
from medfeat.types import Progress, UInt8Array
from medfeat.workflows.looking.listed import Listed, words_of
from medfeat.workflows.looking.look import Seen
from medfeat.workflows.looking.maps import FOLDER, Space, map_of, row_keys
from medfeat.workflows.stores.how_to_extract import extract_first
from medfeat.workflows.stores.store_names import find_meant
from medfeat_cache import Catalogue, StoreHeader, averaged_in_words, open_vectors, slug

# More maps than these no screen shows side by side.
_MOST_SPACES = 6
# Each holds the rows of a space twice or so: more at once would need much memory and gain little.
_MOST_AT_ONCE = 4
PIXELS = "pixels"


def asked_stores(
    root: Path, dataset: str, backbones: Sequence[str] | None, size: int | None, *, pictured: bool
) -> tuple[list[StoreHeader], list[str]]:
    """Return the stores to show, and lines on those that are not.

    Parameters
    ----------
    root, dataset, size
        Where, of which images.
    backbones
        Names, None for all there are.
    pictured
        Whether the images are at hand: stores of mere pixels then say nothing that these do not, unless named.

    Raises
    ------
    UsageError
        A backbone was named that has no store; the message names the command that makes it.
    """
    cache = Catalogue(root)
    found = list(find_meant(cache, [dataset], size=size))
    for name in backbones or ():
        if all(header.recipe["backbone"] != name for header in found):
            raise UsageError(
                f"no store of {dataset} x {name} in {root}: run {extract_first(cache, dataset, name, size=size)} first"
            )
    if backbones is not None:
        found = [header for header in found if header.recipe["backbone"] in backbones]
    elif pictured:
        found = [header for header in found if header.recipe["backbone"] != PIXELS]
    notes = []
    if len(found) > _MOST_SPACES:
        notes.append(f"{len(found)} stores match and the first {_MOST_SPACES} are shown: name some with --backbone")
    if not found:
        notes.append(f"no embeddings yet: {extract_first(cache, dataset)} makes some")
    return found[:_MOST_SPACES], notes


def lay_out_all(work: Sequence[Callable[..., SpaceView]], progress: Progress) -> list[SpaceView]:
    """Lay out several spaces, a few at once, under one bar; whatever stops one stops all."""
    if not work:
        return []
    lock, stopped = Lock(), False

    def stepped(count: int) -> bool:
        with lock:
            progress.advance(count)
        return not stopped

    progress.start(STEPS * len(work), "laying out maps", "steps")
    with ThreadPoolExecutor(min(len(work), usable_cores(), _MOST_AT_ONCE)) as pool:
        try:
            waiting = [pool.submit(one, stepped=stepped) for one in work]
            return [one.result() for one in waiting]
        except BaseException:
            stopped = True
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            progress.finish()


def pixel_space(
    root: Path, dataset: str, seen: Seen, keys: NDArray[np.str_], *, seed: int, stepped: Stepped
) -> SpaceView:
    """Return the map of the pixels themselves."""
    facts = {
        "of": "pixels",
        "dataset": dataset,
        "shape": list(seen.pictures.shape[1:]),
        "width": seen.features.shape[1],
    }
    space, folder = Space(PIXELS, facts, unit=False), root / slug(dataset) / FOLDER
    found = map_of(lambda: seen.features / np.float32(255), keys, space, folder, seed=seed, stepped=stepped)
    return SpaceView(PIXELS, found, _notes(found, len(keys)))


def store_space(
    header: StoreHeader, ids: Sequence[str], name: str, *, hashes: UInt8Array | None, seed: int, stepped: Stepped
) -> SpaceView:
    """Return the map of a store's embeddings over images of which some may not be in it.

    Parameters
    ----------
    header, name
        The store, and how the page calls it.
    ids, hashes
        (n,) images, and (n, 16) hashes of their pixels where they are at hand.
    seed, stepped
        As in `medfeat.workflows.looking.maps.map_of`.
    """
    recipe = {key: value for key, value in header.recipe.items() if key != "fingerprint"}
    with open_vectors(header.path) as store:
        stored = np.concatenate([store.ids(group) for group in store.groups])
        known = np.concatenate([store.image_hash(group) for group in store.groups])
        at = {str(one): i for i, one in enumerate(stored.tolist())}
        rows = np.array([i for i, one in enumerate(ids) if one in at], np.int64)
        wanted = np.array([ids[i] for i in rows.tolist()], dtype=np.str_)
        if not len(rows):
            raise UsageError(f"the store {header.path.name} of {name} holds none of these images: extract them again")
        known = known[[at[one] for one in wanted.tolist()]]
        space = Space(str(recipe["backbone"]), {"recipe": recipe}, unit=True)
        folder = header.path.parent.parent / FOLDER
        keys = row_keys(wanted, known)
        found = map_of(lambda: store.take(wanted), keys, space, folder, seed=seed, stepped=stepped)
    other = 0 if hashes is None else int((known != hashes[rows]).any(axis=1).sum())
    averaged = averaged_in_words(header.recipe, header.shape)
    return SpaceView(name, _over(found, rows, len(ids)), _notes(found, len(ids), other, averaged))


def _over(found: Map, rows: NDArray[np.int64], n: int) -> Map:
    """Return a map of some rows as one of all rows, the others absent."""
    if len(rows) == n:
        return found

    def spread(values: NDArray[np.float32]) -> NDArray[np.float32]:
        whole = np.full((n, values.shape[1]), np.nan, np.float32)
        whole[rows] = values
        return whole

    near = np.repeat(np.arange(n, dtype=np.int32)[:, None], found.near.shape[1], axis=1)
    near[rows] = rows[found.near]
    placed = np.zeros(n, np.bool_)
    placed[rows] = found.placed
    return Map(spread(found.components), found.share, spread(found.tsne2), spread(found.tsne3), near, placed)


def _notes(found: Map, n: int, other: int = 0, averaged: str = "") -> dict[str, str]:
    missing, placed = n - len(found.tsne2), int(found.placed.sum())
    lines = [f"{counted_are(missing, 'image')} not in this store"] if missing else []
    lines += [_changed(other)] if other else []
    lines += [averaged] if averaged else []
    always = "; ".join(lines)
    lines += [f"{counted_are(placed, 'new image')} placed into the map made before"] if placed else []
    both = "; ".join(lines)
    deep = f"a sample of {MOST_3D:,}, for t-SNE in 3D is slow" if not np.isfinite(found.tsne3).all() else ""
    return {"pca": always, "tsne2": both, "tsne3": "; ".join(line for line in (deep, both) if line)}


def _changed(n: int) -> str:
    what = "1 image had other pixels when it was" if n == 1 else f"{n:,} images had other pixels when they were"
    return f"{what} embedded: extract again"


def space_names(headers: Sequence[StoreHeader]) -> list[str]:
    """Return a name for each store: its backbone, and how it was read where that alone is not enough."""
    names = wording.networks((str(header.recipe["backbone"]), wording.weights(header.info)) for header in headers)
    full = [
        name if names.count(name) == 1 else f"{name}, {wording.embedding(header.recipe)}"
        for name, header in zip(names, headers, strict=True)
    ]
    return [
        name if full.count(name) == 1 else f"{name} ({header.digest[:12]})"
        for name, header in zip(full, headers, strict=True)
    ]


def prediction_columns(
    root: Path, dataset: str, headers: Sequence[StoreHeader], names: Sequence[str], listed: Listed, *,
    ids: Sequence[str],
) -> list[PointColumn]:  # fmt: skip
    """Return what the best run on val of each store said of these images, and whether it was right."""
    if listed.task is None:
        return []
    runs, _ = list_runs(root, dataset)
    columns: list[PointColumn] = []
    for header, name in zip(headers, names, strict=True):
        mine = [run for run in runs if run.store["digest"] == header.digest and run.task["name"] == OFFICIAL]
        mine = [run for run in mine if tuple(run.task["classes"]) == tuple(listed.classes)]
        if mine:
            columns += _columns_of(max(mine, key=_on_val), name, ids)
    return columns


def _on_val(run: Run) -> float:
    value = run.val.values[run.headline[0]].value
    return value if np.isfinite(value) else -np.inf


def _columns_of(run: Run, name: str, ids: Sequence[str]) -> list[PointColumn]:
    if run.folder is None:
        return []
    stored, task, classes = read_scores(run.folder), run.task["type"], run.task["classes"]
    ids_there = np.concatenate([stored["val_ids"], stored["test_ids"]]).tolist()
    labels = np.concatenate([stored["val_labels"], stored["test_labels"]])
    scores = np.concatenate([stored["val_scores"], stored["test_scores"]])
    at = {str(one): i for i, one in enumerate(ids_there)}
    title = f"{name}, {run.head}"
    if task == "regression":
        numbers = [float(scores[at[one], 0]) if one in at else np.nan for one in ids]
        return [PointColumn(f"prediction of {title}", numbers=np.array(numbers))]
    given = LabelledScores.of(labels, scores, task)
    called = given.predicted
    words = words_of(called.reshape(len(called), -1), task, classes)
    right = (called == given.labels).reshape(len(called), -1).all(axis=1)
    said = [words[at[one]] if one in at else UNKNOWN for one in ids]
    hits = [("right" if right[at[one]] else "wrong") if one in at else UNKNOWN for one in ids]
    return [
        PointColumn(f"prediction of {title}", words=said, order=tuple(classes)),
        PointColumn(f"correctness of {title}", words=hits, order=("right", "wrong")),
    ]
