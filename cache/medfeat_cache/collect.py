"""Taking away: a store with all that belongs to it, and what killed processes left behind."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medfeat_cache.commands import command
from medfeat_cache.errors import StoreBusy, StoreError, StoreInputError, StoreNotFoundError, saying
from medfeat_cache.header import read_header
from medfeat_cache.lock import Lock, is_stale
from medfeat_cache.manifest import load_manifest
from medfeat_cache.parts import read_part
from medfeat_cache.root import HIDDEN_NAME, STORE_NAME, is_parts_folder, lock_file, parts_folder, slug, store_beside


@dataclass(frozen=True)
class Unfinished:
    """A store that is being written, or whose writer was interrupted.

    Attributes
    ----------
    path
        Where the store will be.
    recipe, settings, info
        Of its manifest.
    done
        Images of each group that durable parts cover, bad ones included.
    size_bytes
        Of the parts.
    """

    path: Path
    recipe: dict[str, Any]
    settings: dict[str, Any]
    info: dict[str, Any]
    done: dict[str, int]
    size_bytes: int


@dataclass(frozen=True)
class Garbage:
    """Something nobody needs: what, how large, and why nobody needs it."""

    path: Path
    size_bytes: int
    why: str


def unfinished(path: str | Path) -> Unfinished | None:
    """Return how far an interrupted store is, without its lock; None when there is none that could be resumed.

    Parameters
    ----------
    path
        Where the store will be.
    """
    path = Path(path)
    folder = parts_folder(path)
    try:
        manifest = load_manifest(folder)
    except StoreError:
        return None
    if manifest is None:
        return None
    done: dict[str, int] = {}
    for file in folder.glob("*.part"):
        with suppress(StoreError, OSError):  # damaged, or just merged: it will not count
            part = read_part(file, check=False)
            done[part.group] = done.get(part.group, 0) + part.columns["rows"].shape[0] + len(part.bad)
    return Unfinished(path, manifest.recipe, manifest.settings, manifest.info, done, _size(folder))


def find_unfinished(root: str | Path, *, dataset: str | None = None) -> list[Unfinished]:
    """Return the unfinished stores below `root` that could be resumed, of one dataset or of all, sorted by path."""
    folder = "*" if dataset is None else slug(dataset)
    parts = sorted(filter(is_parts_folder, Path(root).glob(f"{folder}/*/.*.parts")))
    found = (unfinished(store_beside(path)) for path in parts)
    return [one for one in found if one is not None]


def remove(path: str | Path) -> int:
    """Remove a store with all that belongs to it; return the bytes that were freed.

    Parameters
    ----------
    path
        Of the store, be it whole, damaged or unfinished: it is not read. Or of its folder of parts, to remove these
        alone.

    Raises
    ------
    StoreBusy
        It is being written, by whom the message says.
    """
    asked = Path(path).absolute()
    path = store_beside(asked) if is_parts_folder(asked) else asked
    if not STORE_NAME.fullmatch(path.name):
        raise StoreInputError(f"a store's file name must be 12 hex digits and .h5, got {path.name!r}")
    if not path.exists() and not parts_folder(path).exists():
        raise StoreNotFoundError(f"no store at {path}: see {command('cache', 'ls')}")
    lock = Lock(lock_file(path)).acquire(wait=False)
    try:
        all_of_it = (path, parts_folder(path), *path.parent.glob(f".{path.name}.*.tmp"))
        freed = 0
        for found in all_of_it if asked == path else (parts_folder(path),):
            freed += _size(found)
            _delete(found)
    finally:
        lock.release()
    _remove_empty(path.parent)
    return freed


def collect_garbage(root: str | Path, *, dry_run: bool = False, unfinished_days: float | None = None) -> list[Garbage]:
    """Remove what killed processes left: temporary files, stale locks, parts of stores that are published.

    Parameters
    ----------
    root
        From `medfeat_cache.resolve_root`. Nothing outside its stores' hidden names is ever touched.
    dry_run
        Only say what would go.
    unfinished_days
        Also remove unfinished stores untouched for so many days; None keeps them, a later run can resume them.

    Returns
    -------
    list of Garbage
        What went, or would go. Whatever a live process works on stays.
    """
    stems: dict[Path, list[Path]] = {}
    for found in sorted(Path(root).glob("*/*/.*")):
        if HIDDEN_NAME.fullmatch(found.name):
            stems.setdefault(store_beside(found), []).append(found)
    garbage: list[Garbage] = []
    for path, left in stems.items():
        with _unused(path, dry_run) as free:
            if free:
                garbage += _collect(path, left, dry_run, unfinished_days)
        if not dry_run:
            _remove_empty(path.parent)
    return garbage


def tidy(path: str | Path) -> None:
    """Remove what a writer that was killed just after publishing left beside its store.

    Parameters
    ----------
    path
        Of a store that is there. While somebody writes it, nothing is touched.
    """
    path = Path(path)
    left = [found for found in path.parent.glob(f".{path.stem}.*") if HIDDEN_NAME.fullmatch(found.name)]
    if not left:
        return
    with suppress(StoreError), _unused(path, dry_run=False) as free:
        if free:
            _collect(path, left, False, None)


@contextmanager
def _unused(path: Path, dry_run: bool) -> Iterator[bool]:
    """Hold the lock of a store while it is tidied; give False when somebody else holds it."""
    lock = lock_file(path)
    if dry_run:
        yield not lock.exists() or is_stale(lock)
        return
    try:
        held = Lock(lock).acquire(wait=False)
    except StoreBusy:
        yield False
        return
    try:
        yield True
    finally:
        held.release()


def _collect(path: Path, left: list[Path], dry_run: bool, unfinished_days: float | None) -> list[Garbage]:
    garbage = []
    for found in left:
        why = _why(path, found, unfinished_days)
        if why:
            garbage.append(Garbage(found, _size(found), why))
            if not dry_run and found != lock_file(path):  # by now that lock is ours, and goes when we are done
                _delete(found)
    return garbage


def _why(path: Path, found: Path, unfinished_days: float | None) -> str:
    kind = (HIDDEN_NAME.fullmatch(found.name) or {"kind": ""})["kind"]
    if kind != "parts":
        return "left by a killed process"
    if not any(found.glob("*.part")):
        return "no part was ever finished"
    with suppress(StoreError):
        manifest = load_manifest(found)
        if manifest is None:
            return "parts without a manifest"
        if path.exists() and read_header(path).digest == manifest.recipe_digest:
            return "the store is published"
    days = (time.time() - max(file.stat().st_mtime for file in found.iterdir())) / 86400
    if unfinished_days is not None and days >= unfinished_days:
        return f"unfinished, untouched for {days:.0f} days"
    return ""


def _size(path: Path) -> int:
    if path.is_dir() and not path.is_symlink():
        return sum(_size(child) for child in path.iterdir())
    return path.lstat().st_size if path.exists() else 0


def _delete(path: Path) -> None:
    with saying(path, "removing"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _remove_empty(folder: Path) -> None:
    for empty in (folder, folder.parent):
        with suppress(OSError):  # not empty: it stays
            empty.rmdir()
