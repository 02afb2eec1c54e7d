"""Maps kept beside the embeddings: made once, found again, and grown by placing new images into the old one."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.evaluation.looking.projection import Map, Stepped, lay_out, place
from medfeat.types import FloatArray, IdArray, UInt8Array
from medfeat_cache import canonical_json, make_folder, slug, write_whole

# Another way to make maps is another version, and old files are no longer found.
VERSION = 2
FOLDER = "maps"
# A map is grown while at least this share of the images was in it; then it is made anew.
_OLD_SHARE = 0.5


@dataclass(frozen=True)
class Space:
    """What a map is of.

    Attributes
    ----------
    name
        Beginning of the file's name.
    facts
        All that decides coordinates but the images themselves: the recipe, without the data's fingerprint.
    unit
        As in `medfeat.evaluation.looking.projection.principal`.
    """

    name: str
    facts: Mapping[str, Any]
    unit: bool


def row_keys(ids: IdArray, hashes: UInt8Array) -> NDArray[np.str_]:
    """Return (n,) keys that are the same for the same image under the same id."""
    return np.array([f"{one}\0{bytes(pixels).hex()}" for one, pixels in zip(ids.tolist(), hashes, strict=True)])


def map_of(
    read: Callable[[], FloatArray], keys: NDArray[np.str_], space: Space, folder: Path, *, seed: int, stepped: Stepped
) -> Map:
    """Return the map of some rows: the one kept, an older one with new rows placed into it, or a new one.

    Parameters
    ----------
    read
        Gives the (n, d) rows, where they are needed.
    keys
        (n,) of `row_keys`.
    space
        What they are.
    folder
        Where maps of the dataset are kept.
    seed
        Of everything random.
    stepped
        As in `medfeat.evaluation.looking.projection.tsne`.
    """
    path = folder / f"{slug(space.name)}-{_digest([VERSION, dict(space.facts), seed, keys.tolist()])}.npz"
    found = _read(path)
    if found is not None and len(found[0].tsne2) == len(keys):
        return found[0]
    older = _older(folder, space, seed, keys)
    if older is None:
        made = lay_out(read(), unit=space.unit, seed=seed, stepped=stepped)
    else:
        _, before, old_keys = older
        made = _grown(read(), keys, before, old_keys, space, seed=seed)
    with suppress(OSError):  # in a cache that cannot be written, the next call makes it again
        _write(path, made, keys, space, seed)
        if older is not None and set(older[2].tolist()) <= set(keys.tolist()):
            older[0].unlink()
    return made


def _grown(
    X: FloatArray, keys: NDArray[np.str_], before: Map, old_keys: NDArray[np.str_], space: Space, *, seed: int
) -> Map:
    at = {key: i for i, key in enumerate(old_keys.tolist())}
    old = np.array([key in at for key in keys.tolist()])
    order = np.array([at[key] for key in keys[old].tolist()], np.int64)
    kept = Map(
        components=before.components[order],
        share=before.share,
        tsne2=before.tsne2[order],
        tsne3=before.tsne3[order],
        near=before.near[order],
        placed=before.placed[order],
    )
    return place(X, old, kept, unit=space.unit, seed=seed)


def _older(folder: Path, space: Space, seed: int, keys: NDArray[np.str_]) -> tuple[Path, Map, NDArray[np.str_]] | None:
    """Return the kept map of the same space that holds most of these rows, where one holds enough, and its keys."""
    best: tuple[int, Path, Map, NDArray[np.str_]] | None = None
    wanted = _digest([VERSION, dict(space.facts), seed])
    for path in sorted(folder.glob(f"{slug(space.name)}-*.npz")):
        found = _read(path)
        if found is None or found[2] != wanted:
            continue
        shared = int(np.isin(found[1], keys).sum())
        if shared >= _OLD_SHARE * len(keys) and (best is None or shared > best[0]):
            best = shared, path, found[0], found[1]
    return None if best is None else best[1:]


def _read(path: Path) -> tuple[Map, NDArray[np.str_], str] | None:
    """Return a kept map, its keys and the digest of its space; None when there is none that can be read."""
    try:
        with np.load(path, allow_pickle=False) as file:
            columns = {field.name: file[field.name] for field in fields(Map)}
            return Map(**columns), np.array(json.loads(str(file["keys"]))), str(file["space"])
    except (OSError, ValueError, KeyError, EOFError):
        return None


def _write(path: Path, made: Map, keys: NDArray[np.str_], space: Space, seed: int) -> None:
    out = io.BytesIO()
    columns: dict[str, Any] = {field.name: getattr(made, field.name) for field in fields(Map)}
    # As JSON: NumPy's own strings would lose a zero at their end.
    columns["keys"] = np.array(json.dumps(keys.tolist()))
    columns["space"] = np.array(_digest([VERSION, dict(space.facts), seed]))
    np.savez(out, **columns)
    make_folder(path.parent)
    write_whole(path, [out.getvalue()], "writing the map")


def _digest(facts: Any) -> str:
    return hashlib.blake2b(canonical_json(facts).encode(), digest_size=8).hexdigest()
