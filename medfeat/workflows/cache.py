"""Looking after the cache: which stores there are, whether they are whole; mending, moving, taking them away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.errors import DataError, MedfeatError, MissingFileError, NotByImageError, UsageError
from medfeat.evaluation.runs.leftovers import collect_leftovers
from medfeat.tasks.versions import image_key
from medfeat.types import Progress, SilentProgress
from medfeat.workflows.asking.given_names import asked_names
from medfeat.workflows.stores.cache_report import Repaired, Verified
from medfeat.workflows.stores.canary import embed_again
from medfeat.workflows.stores.store_names import meant, versions_of
from medfeat_cache import (
    FeatureStore,
    Found,
    Garbage,
    Report,
    StoreError,
    StoreHeader,
    StoreNotFoundError,
    collect_garbage,
    export_store,
    find_stores,
    locate,
    read_header,
    remove,
    repair_rows,
    resolve_root,
    restore_column,
    store_files,
    verify_store,
)


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
    root = resolve_root(cache_dir)
    found: list[StoreHeader] = []
    problems: dict[Path, str] = {}
    for one in meant(root, data) or (None,):
        where = find_stores(root, dataset=one and one.name, backbone=asked_names(backbone), size=size)
        problems |= dict(where.problems)
        if one is None or one.number is None:
            found += where
        else:
            keys = versions_of(root, one.name).numbered(one.number).keys
            found += [header for header in where if image_key(header.info) in keys]
    return Found(sorted({header.path: header for header in found}.values(), key=lambda one: one.path), problems.items())


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
    root = resolve_root(cache_dir)
    meant = locate(root, which)
    if not meant:
        raise UsageError(f"no store in {root} named {which!r}: see `medfeat cache ls` for digests and paths")
    if len(meant) > 1:
        names = ", ".join(path.stem for path in meant[:5])
        raise UsageError(f"{len(meant)} stores in {root} are named {which!r}...: add digits ({names})")
    return meant[0]


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
    return f"{sum(header.counts.values())} x {header.dim}"


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
        Hears of every chunk of rows.
    """
    progress = progress or SilentProgress()
    source = _Source(device, data_root, weights, offline, trust_remote_code, progress)
    checked = []
    for path in paths:
        header = _header(path)
        progress.start(sum(header.counts.values()) if header else 0, path.name, "rows")
        report = verify_store(path, progress=progress.advance)
        progress.finish()
        found = Verified(path, report)
        if canary and header is not None and not report.damaged:
            found = _sung(found, header, source, alone=len(paths) == 1)
        checked.append(found)
    return checked


def _sung(found: Verified, header: StoreHeader, source: _Source, *, alone: bool) -> Verified:
    """Add the canary to what the digests say; a layer that was once taken may be refused today."""
    if not source.knows(header):
        return replace(found, silent="it was imported, so no image of it can be embedded")
    try:
        return replace(found, canary=embed_again(header, source))
    except NotByImageError as error:
        return replace(found, refused=str(error))
    except MedfeatError as error:
        if alone:
            raise
        return replace(found, silent=str(error))


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
    source = _Source(device, data_root, weights, offline, trust_remote_code, progress or SilentProgress())
    dataset = source.open(header)
    if _restore_columns(header, dataset, report):
        report = verify_store(path)  # a look reads the whole store: only where something was written
    todo = report.rows_to_repair()
    if not todo:
        return Repaired(path, report)
    embedder = source.embedder(header, dataset)
    exact = [_repair_group(header, dataset, embedder, group, places) for group, places in todo.items()]
    count = sum(len(places) for places in todo.values())
    return Repaired(path, verify_store(path), rows=count, exact=all(exact), device=str(source.device))


def _repair_group(header: StoreHeader, dataset: Any, embedder: Any, group: str, places: NDArray[np.int64]) -> bool:
    """Embed some rows of a group again; return whether they are byte for byte what they first were."""
    from medfeat.extraction.again import embed_rows

    with FeatureStore(header.path) as store:
        source, hashes = store.rows(group)[places], store.image_hash(group)[places]
    again = embed_rows(embedder, dataset, group, source)
    if not np.array_equal(again.rows, source) or not np.array_equal(again.hashes, hashes):
        raise DataError(f"{header.recipe['dataset']} {group}: an image is not the one that was embedded: extract again")
    return repair_rows(header.path, group, places, again.embeddings).exact


def delete(paths: Sequence[Path]) -> int:
    """Remove stores, whole, damaged or unfinished, with all that belongs to them; return the bytes that were freed."""
    return sum(remove(path) for path in paths)


def export(header: StoreHeader, out: str | Path, *, format: str = "npy") -> Path:
    """Write a store as npy and JSON, or as Parquet; return where it is."""
    return export_store(header.path, out, format=format)  # type: ignore[arg-type]  # checked there, in one line


def tidy(
    *, cache_dir: str | Path | None = None, dry_run: bool = False, unfinished_days: float | None = None
) -> list[Garbage]:
    """Remove what killed processes left; whatever a live process works on stays."""
    root = resolve_root(cache_dir)
    found = collect_garbage(root, dry_run=dry_run, unfinished_days=unfinished_days)
    return found + collect_leftovers(root, dry_run=dry_run)


@dataclass(frozen=True)
class _Source:
    """Where rows of a store are embedded again, and from what."""

    asked: str
    data_root: str | Path | None
    weights: str | Path | None
    offline: bool
    trust_remote_code: bool
    progress: Progress

    @property
    def device(self) -> Any:
        """The device that was asked for, or the best there is."""
        from medfeat.extraction.network.device import resolve_device

        return resolve_device(self.asked)

    @staticmethod
    def knows(header: StoreHeader) -> bool:
        """Tell whether the rows of a store were made here, and can be made again."""
        return "data" in (header.info.get("source") or {}) and "asked" in header.info

    def open(self, header: StoreHeader) -> Any:
        """Open the dataset of a store."""
        from medfeat.workflows.asking.data_options import DataOptions

        was = (header.info.get("source") or {}).get("object")
        if was is not None:
            raise UsageError(
                f"{header.path} was made from an object of Python ({was}): its rows cannot be read again from here; "
                "`medfeat cache rm` it and extract the object again"
            )
        if not self.knows(header):
            raise UsageError(f"{header.path} was imported: its rows cannot be embedded again; import it anew")
        data, options = DataOptions.from_source(header.info["source"], data_root=self.data_root)
        root = header.path.absolute().parent.parent.parent
        dataset = replace(options, offline=self.offline).open(data, root=root, progress=self.progress)
        if dataset.info.name != header.recipe["dataset"]:
            name = header.recipe["dataset"]
            raise MissingFileError(f"{data} is now {dataset.info.name}, not {name}: pass --data-root")
        return dataset

    def embedder(self, header: StoreHeader, dataset: Any, *, batch_size: int | None = None) -> Any:
        """Build the network of a store, with the batch size it was made with or another one."""
        from medfeat.extraction.again import embedder_for, load_for_recipe

        backbone = load_for_recipe(
            header.recipe,
            header.info,
            weights=self.weights,
            offline=self.offline,
            trust_remote_code=self.trust_remote_code,
        )
        return embedder_for(backbone, header.recipe, header.info, dataset, self.device, batch_size=batch_size)


def _restore_columns(header: StoreHeader, dataset: Any, report: Report) -> bool:
    """Write damaged ids and labels again, where the store's digests say they are right; say whether there were any."""
    damaged = {problem.group for problem in report.problems if problem.level == "damage" and not problem.rows}
    damaged &= set(header.counts)
    for group in sorted(damaged):
        good = np.arange(dataset.info.counts[group])
        lost = {bad["id"] for bad in header.info.get("bad_images", ()) if bad["group"] == group}
        ids = dataset.ids(group)
        good = good[[name not in lost for name in ids.tolist()]]
        columns: dict[str, Any] = {"ids": ids[good], "rows": good}
        labels = dataset.labels(group)
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
