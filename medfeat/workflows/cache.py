"""Looking after the cache: which stores there are, whether they are whole; mending, moving, taking them away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medfeat.errors import DataError, MissingFileError, UsageError, WeightsError
from medfeat.types import Progress, SilentProgress
from medfeat_cache import (
    FeatureStore,
    Found,
    Garbage,
    Report,
    StoreHeader,
    collect_garbage,
    export_store,
    find_stores,
    import_arrays,
    read_features,
    remove,
    repair_rows,
    resolve_root,
    restore_column,
    verify_store,
)

CANARY_ROWS = 16


@dataclass(frozen=True)
class Canary:
    """A sample of rows embedded again.

    Attributes
    ----------
    rows
        How many.
    max_deviation
        Largest absolute difference of any value from the stored one.
    min_cosine
        Smallest cosine between a stored embedding and the new one.
    """

    rows: int
    max_deviation: float
    min_cosine: float


@dataclass(frozen=True)
class Verified:
    """What looking at one store gave."""

    path: Path
    report: Report
    canary: Canary | None

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged or suspect, and the canary, if it sang, still sings the same."""
        return self.report.ok and (self.canary is None or self.canary.min_cosine >= 0.9999)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        problems = [
            {"group": p.group, "rows": list(p.rows), "what": p.what, "level": p.level} for p in self.report.problems
        ]
        return {
            "path": str(self.path),
            "ok": self.ok,
            "rows": self.report.rows,
            "problems": problems,
            "canary": None if self.canary is None else asdict(self.canary),
        }


def list_stores(
    *,
    data: str | None = None,
    backbone: str | None = None,
    size: int | None = None,
    cache_dir: str | Path | None = None,
) -> Found:
    """List the headers of the stores in the cache; `problems` names files that cannot be read."""
    return find_stores(resolve_root(cache_dir), dataset=data, backbone=backbone, size=size)


def find_store(which: str, *, cache_dir: str | Path | None = None) -> StoreHeader:
    """Find one store by the path of its file or the first digits of its digest.

    Raises
    ------
    UsageError
        When none, or more than one, is meant.
    """
    from medfeat_cache import read_header

    path = Path(which)
    if path.suffix == ".h5" or path.is_file():
        return read_header(path)
    root = resolve_root(cache_dir)
    found = find_stores(root)
    meant = [header for header in found if header.digest.startswith(which.lower()) and which]
    if len(meant) == 1:
        return meant[0]
    what = "no store" if not meant else f"{len(meant)} stores"
    raise UsageError(f"{what} in {root} whose digest begins with {which!r}: see `medfeat cache ls`")


def verify(
    stores: Sequence[StoreHeader],
    *,
    canary: bool = False,
    device: str = "auto",
    data_root: str | Path | None = None,
    weights: str | Path | None = None,
    progress: Progress | None = None,
) -> list[Verified]:
    """Check every digest of some stores; with `canary`, embed a few rows again and compare.

    Parameters
    ----------
    stores
        Their headers.
    canary
        Needs the data and the weights, and a few forward passes a store.
    device, data_root, weights
        For the canary.
    progress
        Hears of every chunk of rows.
    """
    progress = progress or SilentProgress()
    checked = []
    for header in stores:
        progress.start(sum(header.counts.values()), header.path.name, "rows")
        report = verify_store(header.path, progress=progress.advance)
        progress.finish()
        sung = None
        if canary and not report.damaged:
            sung = _canary(header, device, data_root, weights, progress)
        checked.append(Verified(header.path, report, sung))
    return checked


def repair(
    header: StoreHeader,
    *,
    device: str = "auto",
    data_root: str | Path | None = None,
    weights: str | Path | None = None,
    progress: Progress | None = None,
) -> Verified:
    """Embed the damaged rows of a store again, write damaged ids and labels from the source, and verify the result.

    Raises
    ------
    DataError
        When an image is not the one that was embedded, or cannot be read any more.
    WeightsError
        When the weights are not the ones the store was made with.
    """
    from medfeat.extraction.again import embed_rows

    progress = progress or SilentProgress()
    before = verify_store(header.path)
    if before.ok:
        return Verified(header.path, before, None)
    dataset = _open_source(header, data_root, progress)
    _restore_columns(header, dataset, before)
    todo = verify_store(header.path).rows_to_repair()
    if todo:
        embedder = _embedder(header, dataset, device, weights)
        for group, places in todo.items():
            with FeatureStore(header.path) as store:
                source, hashes = store.rows(group)[places], store.image_hash(group)[places]
            again = embed_rows(embedder, dataset, group, source)
            if not np.array_equal(again.rows, source) or not np.array_equal(again.hashes, hashes):
                raise DataError(
                    f"{header.recipe['dataset']} {group}: an image is not the one that was embedded: extract again"
                )
            repair_rows(header.path, group, places, again.embeddings)
    return Verified(header.path, verify_store(header.path), None)


def delete(stores: Sequence[StoreHeader]) -> int:
    """Remove stores with all that belongs to them; return the bytes that were freed."""
    return sum(remove(header.path) for header in stores)


def export(header: StoreHeader, out: str | Path, *, format: str = "npy") -> Path:
    """Write a store as npy and JSON, or as Parquet; return where it is."""
    return export_store(header.path, out, format=format)  # type: ignore[arg-type]  # checked there, in one line


def import_store(
    source: str | Path,
    *,
    data: str,
    backbone: str,
    ids: str | Path | None = None,
    cache_dir: str | Path | None = None,
) -> Path:
    """Make a store of the npz, npy, HDF5 or pt file that another extractor wrote; nothing in it is executed.

    Parameters
    ----------
    source
        The file.
    data, backbone
        What the store will be found by.
    ids
        A file of ids (``.txt``, ``.json`` or ``.npy``) where the source has none.
    cache_dir
        Where stores live.
    """
    root = resolve_root(cache_dir)
    path = Path(source)
    if path.suffix.lower() in (".pt", ".pth"):
        return import_arrays(_torch_features(path, ids), root, dataset=data, backbone=backbone)
    return import_arrays(read_features(path, ids=ids), root, dataset=data, backbone=backbone)


def tidy(
    *, cache_dir: str | Path | None = None, dry_run: bool = False, unfinished_days: float | None = None
) -> list[Garbage]:
    """Remove what killed processes left; whatever a live process works on stays."""
    return collect_garbage(resolve_root(cache_dir), dry_run=dry_run, unfinished_days=unfinished_days)


def _canary(
    header: StoreHeader, device: str, data_root: str | Path | None, weights: str | Path | None, progress: Progress
) -> Canary:
    from medfeat.extraction.again import embed_rows
    from medfeat.extraction.tuning import sample_rows

    dataset = _open_source(header, data_root, progress)
    group = max(header.counts, key=lambda name: header.counts[name])
    with FeatureStore(header.path) as store:
        places = sample_rows(store.n(group), CANARY_ROWS)
        source, stored = store.rows(group)[places], np.asarray(store.embeddings(group)[places], np.float64)
    again = embed_rows(_embedder(header, dataset, device, weights), dataset, group, source)
    stored = stored[np.isin(source, again.rows)]
    new = again.embeddings.astype(np.float64)
    norms = np.linalg.norm(stored, axis=1) * np.linalg.norm(new, axis=1)
    cosine = np.where(norms > 0, (stored * new).sum(axis=1) / np.where(norms > 0, norms, 1), 1.0)
    return Canary(len(new), float(np.abs(stored - new).max()), float(cosine.min()))


def _open_source(header: StoreHeader, data_root: str | Path | None, progress: Progress) -> Any:
    from medfeat.workflows.opening import DataOptions

    source = header.info.get("source")
    if not source or "asked" not in header.info:
        raise UsageError(f"{header.path} was imported: its rows cannot be embedded again; import it anew")
    data, options = DataOptions.from_source(source, data_root=data_root)
    dataset = options.open(data, root=header.path.parent.parent.parent, progress=progress)
    if dataset.info.name != header.recipe["dataset"]:
        raise MissingFileError(f"{data} is now {dataset.info.name}, not {header.recipe['dataset']}: pass --data-root")
    return dataset


def _embedder(header: StoreHeader, dataset: Any, device: str, weights: str | Path | None) -> Any:
    from medfeat.extraction.again import embedder_for, load_for_recipe
    from medfeat.extraction.device import resolve_device

    backbone = load_for_recipe(header.recipe, header.info, weights=weights)
    return embedder_for(backbone, header.recipe, header.info, dataset, resolve_device(device))


def _restore_columns(header: StoreHeader, dataset: Any, report: Report) -> None:
    """Write damaged ids and labels again; the digests in the store decide whether they are the right ones."""
    damaged = {problem.group for problem in report.problems if problem.level == "damage" and not problem.rows}
    for group in sorted(damaged & set(header.counts)):
        good = np.arange(dataset.info.counts[group])
        lost = {bad["id"] for bad in header.info.get("bad_images", ()) if bad["group"] == group}
        ids = dataset.ids(group)
        good = good[[name not in lost for name in ids.tolist()]]
        columns: dict[str, Any] = {"ids": ids[good], "rows": good}
        labels = dataset.labels(group)
        if labels is not None:
            columns["labels"] = labels[good]
        _restore_what_fits(header.path, group, columns)


def _restore_what_fits(path: Path, group: str, columns: dict[str, Any]) -> None:
    from medfeat_cache import StoreError

    for name, values in columns.items():
        try:
            restore_column(path, group, name, values)
        except StoreError:
            continue  # the next look at the store says what is still damaged


def _torch_features(path: Path, ids: str | Path | None) -> dict[str, Any]:
    """Read a torch file of plain tensors; the store itself knows no torch."""
    import tempfile

    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise MissingFileError(f"no file {path}: name an npz, npy, HDF5 or pt file of features") from error
    except Exception as error:
        raise WeightsError(
            f"{path} is not a file of plain tensors, and nothing else is loaded: save it as npz"
        ) from error
    if isinstance(content, torch.Tensor):
        content = {"embeddings": content}
    if not isinstance(content, dict):
        raise DataError(f"{path} must hold a tensor or a dict of tensors, got {type(content).__name__}: save it as npz")
    arrays = {
        str(name): value.float().numpy() if value.is_floating_point() else value.numpy()
        for name, value in content.items()
        if isinstance(value, torch.Tensor)
    }
    named = {
        str(k): np.asarray(v)
        for k, v in content.items()
        if isinstance(v, (list, tuple)) and v and isinstance(v[0], str)
    }
    with tempfile.TemporaryDirectory() as folder:
        everything: dict[str, Any] = {**arrays, **named}
        np.savez(Path(folder) / "features.npz", **everything)
        return dict(read_features(Path(folder) / "features.npz", ids=ids))
