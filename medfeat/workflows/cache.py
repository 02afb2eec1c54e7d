"""Looking after the cache: which stores there are, whether they are whole; mending, moving, taking them away."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medfeat.datasets.given_labels import labels_of
from medfeat.errors import DataError, MedfeatError, NotByImageError
from medfeat.evaluation.runs.leftovers import collect_leftovers
from medfeat.extraction.ask.made_from import MadeFrom, RemakeOptions
from medfeat.extraction.network.device import resolve_device
from medfeat.saying import heard
from medfeat.tasks import official
from medfeat.tasks.versions import image_key, split_name
from medfeat.types import OWN_GROUP, Dataset, Progress
from medfeat.workflows.asking.given_names import asked_datasets, asked_names
from medfeat.workflows.stores.cache_report import Repaired, Verified
from medfeat.workflows.stores.canary import sing
from medfeat.workflows.stores.kept_work import kept_work, remove_work, unpacked_work, unused_work
from medfeat.workflows.stores.one_store import store_path_of
from medfeat.workflows.stores.remake import Remake, again
from medfeat.workflows.stores.store_names import meant, versions_of
from medfeat_cache import (
    Catalogue,
    FeatureStore,
    Found,
    Garbage,
    Report,
    StoreError,
    StoreHeader,
    StoreNotFoundError,
    collect_garbage,
    export_store,
    read_header,
    remove,
    repair_rows,
    resolve_root,
    restore_column,
    spell_shape,
    store_files,
    verify_store,
)

if TYPE_CHECKING:
    from medfeat.extraction.network.forward import RowEmbedder


def list_stores(
    *,
    data: str | Sequence[str] | None = None,
    backbone: str | Sequence[str] | None = None,
    size: int | None = None,
    cache_dir: str | Path | None = None,
) -> Found:
    """List the headers of the stores in the cache; `problems` names files that cannot be read.

    All versions of a dataset are listed; ``name@2`` names one.
    """
    cache = Catalogue(resolve_root(cache_dir))
    found: list[StoreHeader] = []
    problems: dict[Path, str] = {}
    for one in meant(cache, data) or (None,):
        where = cache.find(dataset=one and one.name, backbone=asked_names(backbone), size=size)
        problems |= dict(where.problems)
        if one is None or one.number is None:
            found += where
        else:
            keys = versions_of(cache, one.name).numbered(one.number).keys
            found += [header for header in where if image_key(header.info) in keys]
    return Found(sorted({header.path: header for header in found}.values(), key=lambda one: one.path), problems.items())


def not_stored(
    found: Iterable[StoreHeader],
    *,
    data: str | Sequence[str] | None = None,
    backbone: str | Sequence[str] | None = None,
) -> list[str]:
    """Return a line for each dataset and backbone that was named and that no listed store is of."""
    there = list(found)
    names = {"dataset": asked_datasets(data), "backbone": asked_names(backbone)}
    return [
        f"no store of {what} {name}"
        for what, asked in names.items()
        for name in asked or ()
        if split_name(name)[0] not in {str(header.recipe.get(what)) for header in there}
    ]


def all_paths(*, cache_dir: str | Path | None = None) -> list[Path]:
    """Return the files of all stores in the cache, readable or not."""
    return store_files(resolve_root(cache_dir))


def find_path(which: str, *, cache_dir: str | Path | None = None) -> Path:
    """Find one store, whole, damaged or unfinished, without opening it.

    Parameters
    ----------
    which
        Path of the store or of a folder of parts, name of its file, or the first digits of its digest.
    cache_dir
        Where stores live.

    Raises
    ------
    UsageError
        When none, or more than one, is meant.
    """
    return store_path_of(resolve_root(cache_dir), which)


def find_store(which: str, *, cache_dir: str | Path | None = None) -> StoreHeader:
    """Find one store as `find_path` does, and read its header."""
    return read_header(find_path(which, cache_dir=cache_dir))


def contents(path: Path) -> str:
    """Say in a word or two what is at the path of a store."""
    try:
        header = read_header(path)
    except StoreNotFoundError:
        return "unfinished"
    except StoreError:
        return "not readable"
    return f"{sum(header.counts.values())} x {spell_shape(header.shape)}"


def verify(
    paths: Sequence[Path],
    *,
    canary: bool = False,
    device: str = "auto",
    data_root: str | Path | None = None,
    weights: str | Path | None = None,
    offline: bool = False,
    trust_remote_code: bool = False,
    progress: Progress | None = None,
) -> list[Verified]:
    """Check every digest of some stores; with `canary`, embed a few rows again and compare.

    Parameters
    ----------
    paths
        Of the stores; one that cannot be read is reported as damaged.
    canary
        Needs the data and the weights, and a few forward passes a store, in another order and batch size than it was
        made with. A store that has none, as its images or weights are gone or it was imported, says so; the only one
        raises it.
    device, data_root, weights, offline, trust_remote_code
        For the canary.
    progress
        Hears of every chunk of rows. None is a bar in a notebook and a log elsewhere; `medfeat.types.SilentProgress()`
        shows nothing.
    """
    progress = heard(progress)
    options = RemakeOptions(
        data_root=data_root, weights=weights, device=device, offline=offline, trust_remote_code=trust_remote_code
    )
    checked = []
    for path in paths:
        header = _header(path)
        progress.start(sum(header.counts.values()) if header else 0, path.name, "rows")
        report = verify_store(path, progress=progress.advance)
        progress.finish()
        found = Verified(path, report)
        if canary and header is not None and not report.damaged:
            found = _sung(found, header, options, progress, alone=len(paths) == 1)
        checked.append(found)
    return checked


def _sung(found: Verified, header: StoreHeader, options: RemakeOptions, progress: Progress, *, alone: bool) -> Verified:
    """Add the canary to what the digests say; a layer that was once taken may be refused today."""
    remake = _remake(header, options, progress)
    data = remake.made.data
    if remake.made.network is None or not remake.readable:
        why = "was made from images held in Python" if data.held_by else "was imported"
        return replace(found, silent=f"it {why}, so no image of it can be embedded")
    try:
        return replace(found, canary=sing(header, remake))
    except NotByImageError as error:
        return replace(found, refused=str(error))
    except MedfeatError as error:
        if alone:
            raise
        return replace(found, silent=str(error))


def _remake(header: StoreHeader, options: RemakeOptions, progress: Progress) -> Remake:
    root = header.path.absolute().parent.parent.parent
    return Remake(MadeFrom.of(header.recipe, header.info), options, root, progress)


def _header(path: Path) -> StoreHeader | None:
    try:
        return read_header(path)
    except StoreNotFoundError:
        raise
    except StoreError:
        return None


def repair(
    path: Path,
    *,
    device: str = "auto",
    data_root: str | Path | None = None,
    weights: str | Path | None = None,
    offline: bool = False,
    trust_remote_code: bool = False,
    progress: Progress | None = None,
) -> Repaired:
    """Embed the damaged rows of a store again, write damaged ids and labels from the source, and verify the result.

    Raises
    ------
    DataError
        When an image is not the one that was embedded, or cannot be read any more.
    WeightsError
        When the weights are not the ones the store was made with.
    """
    header = read_header(path)
    report = verify_store(path)
    if report.ok:
        return Repaired(path, report)
    options = RemakeOptions(
        data_root=data_root, weights=weights, device=device, offline=offline, trust_remote_code=trust_remote_code
    )
    remake = _remake(header, options, heard(progress))
    dataset = remake.open()
    if _restore_columns(header, dataset, report):
        report = verify_store(path)  # a look reads the whole store: only where something was written
    todo = report.rows_to_repair()
    if not todo:
        return Repaired(path, report)
    network = remake.network(dataset)
    exact = [_repair_group(header, dataset, network, group, places) for group, places in todo.items()]
    count = sum(len(places) for places in todo.values())
    return Repaired(path, verify_store(path), rows=count, exact=all(exact), device=str(resolve_device(device)))


def _repair_group(
    header: StoreHeader, dataset: Dataset, network: RowEmbedder, group: str, places: NDArray[np.int64]
) -> bool:
    """Embed some rows of a group again; return whether they are byte for byte what they first were."""
    with FeatureStore(header.path) as store:
        there, rows = again(store, group, places, dataset, network)
    if len(there) < len(places):
        name = header.recipe["dataset"]
        raise DataError(f"{name} {group}: {len(places) - len(there)} images to embed again cannot be read any more")
    return repair_rows(header.path, group, places, rows).exact


def delete(paths: Sequence[Path]) -> int:
    """Remove stores, whole, damaged or unfinished, with all that belongs to them; return the bytes that were freed."""
    return sum(remove(path) for path in paths)


def export(header: StoreHeader, out: str | Path, *, format: str | None = None) -> Path:
    """Write a store for other tools, in the form that the name of `out` says; return where it is.

    The split and the patients of the dataset's own question go with it, where they are known.
    """
    with FeatureStore(header.path) as store:
        beside = _beside(store)
    return export_store(header.path, out, format=format, beside=beside)  # type: ignore[arg-type]  # checked there


def _beside(store: FeatureStore) -> dict[str, dict[str, NDArray[np.str_]]]:
    try:
        task = official(store)
    except DataError:
        return {}
    at = {str(name): i for i, name in enumerate(task.ids.tolist())}
    columns = {"split": task.split} | ({} if task.group is None else {"patient": task.group})
    ids = {group: store.ids(group).tolist() for group in store.groups}
    if not all(name in at for names in ids.values() for name in names):
        return {}
    rows = {group: [at[name] for name in names] for group, names in ids.items()}
    # Groups that are splits say it already.
    kept = {name: values for name, values in columns.items() if name != "split" or set(ids) == {OWN_GROUP}}
    return {group: {name: values[taken] for name, values in kept.items()} for group, taken in rows.items()}


def tidy(
    *,
    cache_dir: str | Path | None = None,
    dry_run: bool = False,
    unfinished_days: float | None = None,
    compiled: bool = False,
    unpacked: bool = False,
) -> list[Garbage]:
    """Remove what killed processes left, and compiled networks that nobody uses; what a live process works on stays.

    Parameters
    ----------
    cache_dir
        Where stores live.
    dry_run
        Only say what would go.
    unfinished_days
        Also unfinished stores untouched for so many days.
    compiled
        Also all that was compiled and measured of networks; it is made anew where it is needed.
    unpacked
        Also images that `medfeat.extract(..., unpack=True)` inflated; they are read from their own files again.
    """
    root = resolve_root(cache_dir)
    found = collect_garbage(root, dry_run=dry_run, unfinished_days=unfinished_days)
    found += collect_leftovers(root, dry_run=dry_run)
    work = kept_work(root) if compiled else unused_work(root)
    work += unpacked_work(root) if unpacked else []
    if not dry_run:
        remove_work(work)
    return found + work


def kept_beside(*, cache_dir: str | Path | None = None) -> list[Garbage]:
    """Return what is kept beside stores so that work is not done twice: compiled networks, measurements, images."""
    root = resolve_root(cache_dir)
    return kept_work(root) + unpacked_work(root)


def _restore_columns(header: StoreHeader, dataset: Dataset, report: Report) -> bool:
    """Write damaged ids and labels again, where the store's digests say they are right; say whether there were any."""
    damaged = {problem.group for problem in report.problems if problem.level == "damage" and not problem.rows}
    damaged &= set(header.counts)
    for group in sorted(damaged):
        good = np.arange(dataset.info.counts[group])
        lost = {bad["id"] for bad in header.info.get("bad_images", ()) if bad["group"] == group}
        ids = dataset.ids(group)
        good = good[[name not in lost for name in ids.tolist()]]
        columns: dict[str, Any] = {"ids": ids[good], "rows": good}
        labels = labels_of(dataset, group)
        if labels is not None:
            columns["labels"] = labels[good]
        _restore_what_fits(header.path, group, columns)
    return bool(damaged)


def _restore_what_fits(path: Path, group: str, columns: dict[str, Any]) -> None:
    for name, values in columns.items():
        try:
            restore_column(path, group, name, values)
        except StoreError:
            continue  # the next look at the store says what is still damaged
