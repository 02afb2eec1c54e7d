"""Results that are no runs, written beside the runs of their dataset: `<cache>/runs/<dataset>/<kind>-<key>.json`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medfeat.evaluation.measures.evaluate import without_nan
from medfeat.evaluation.runs.places import RUNS, runs_root, runs_roots
from medfeat_cache import canonical_json, make_folder, slug, write_whole
from medfeat_cache.reading import read_json


def keep_result(root: Path, dataset: str, kind: str, facts: Mapping[str, Any], *, key: Any = None) -> Path:
    """Write a result under a name made of `key` (by default, of the result itself), whole or not at all."""
    plain = without_nan(dict(facts))
    path = runs_root(root) / RUNS / slug(dataset) / _name(kind, plain if key is None else key)
    make_folder(path.parent)
    write_whole(path, [json.dumps(plain, indent=1, allow_nan=False).encode()], f"writing the {kind}")
    return path


def kept_results(root: Path, dataset: str, kind: str) -> list[dict[str, Any]]:
    """Return the results of a kind that were kept of a dataset, newest first; what cannot be read is left out."""
    found = []
    for path in (path for one in runs_roots(root) for path in (one / RUNS / slug(dataset)).glob(f"{kind}-*.json")):
        try:
            found.append((path.stat().st_mtime, read_json(path)))
        except (OSError, ValueError):
            continue
    return [facts for _, facts in sorted(found, key=lambda one: -one[0])]


def kept_result(root: Path, dataset: str, kind: str, key: Any) -> dict[str, Any] | None:
    """Return the result that was kept under a key; None where there is none that can be read."""
    for one in runs_roots(root):
        try:
            return dict(read_json(one / RUNS / slug(dataset) / _name(kind, key)))
        except (OSError, ValueError, TypeError):
            continue
    return None


def _name(kind: str, key: Any) -> str:
    return f"{kind}-{hashlib.blake2b(canonical_json(key).encode(), digest_size=6).hexdigest()}.json"
