"""Where runs of a cache lie: in it, and, where it belongs to somebody else and cannot be written, in one's own."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from medfeat_cache import StoreError, slug
from medfeat_cache.root import user_root

RUNS = "runs"
RUN_FILE = "run.json"
# In the hidden folder of a run that is being written.
WRITER_LOCK = ".writer.lock"
# Of a user's own cache: what was made of caches that are only read. Hidden, so that no store is looked for in it.
OF_OTHERS = ".of-others"
# What cells of studies took, and who makes them.
OF_STUDIES = ".study"


def runs_root(root: Path) -> Path:
    """Return the folder below which results of a cache are written: the cache, or one's own folder for it.

    Parameters
    ----------
    root
        Of the cache. Nothing is made.
    """
    nearest = next((place for place in (root / RUNS, root, *root.parents) if place.exists()), root)
    if os.access(nearest, os.W_OK):
        return root
    try:
        own = user_root()
    except StoreError:  # no home folder: what is written to the cache then says why it cannot be
        return root
    place = hashlib.blake2b(os.fsencode(os.path.realpath(root)), digest_size=4).hexdigest()
    return root if own == root else own / OF_OTHERS / f"{slug(root.name or 'cache')}-{place}"


def runs_roots(root: Path) -> tuple[Path, ...]:
    """Return the folders in which results of a cache are looked for, the cache first."""
    return tuple(dict.fromkeys((root, runs_root(root))))


def run_folder(root: Path, dataset: str, key: str) -> Path:
    """Return where a run lies; where there is none yet, where it would."""
    places = [place / RUNS / slug(dataset) / key[:12] for place in runs_roots(root)]
    return next((place for place in places if (place / RUN_FILE).exists()), places[-1])


def run_folders(root: Path, dataset: str | None = None) -> list[Path]:
    """Return the folder of every run of a cache, those that are being written left out."""
    named = slug(dataset) if dataset else "*"
    found = [path.parent for one in runs_roots(root) for path in sorted((one / RUNS).glob(f"{named}/*/{RUN_FILE}"))]
    return [folder for folder in found if not folder.name.startswith(".")]
