"""Features that other extractors wrote, taken over into a store: only plain numbers and strings ever leave the file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat_cache.coverage import GroupSpec, as_ids
from medfeat_cache.errors import StoreInputError, StoreNotFoundError, saying
from medfeat_cache.files import raw
from medfeat_cache.foreign import read_hdf5, read_npy, read_npz
from medfeat_cache.format import HASH_BYTES
from medfeat_cache.key import recipe_digest
from medfeat_cache.reading import TABLE_BYTES, read_bounded, read_json
from medfeat_cache.root import store_path
from medfeat_cache.writer import StoreWriter

EMBEDDING_NAMES = ("embeddings", "features", "feats", "embedding", "x", "data")
ID_NAMES = ("ids", "id", "image_ids", "names", "filenames", "files", "paths")
LABEL_NAMES = ("labels", "label", "y", "targets", "target")
GROUP_NAMES = ("train", "val", "test", "all")
TORCH = {".pt", ".pth", ".ckpt", ".bin"}
PICKLES = {".pkl", ".pickle", ".joblib", ".dill"}
PART_ROWS = 4096


@dataclass(frozen=True)
class Features:
    """Embeddings of one group, as another tool wrote them.

    Attributes
    ----------
    ids
        (n,) unique ids.
    embeddings
        (n, d) floats.
    labels
        (n, k) or (n,) numbers, None when there are none.
    """

    ids: NDArray[np.str_]
    embeddings: NDArray[Any]
    labels: NDArray[Any] | None = None


def read_features(source: str | Path, *, ids: str | Path | Sequence[str] | None = None) -> dict[str, Features]:
    """Read an npz, npy or HDF5 file of features; nothing in it is executed.

    Parameters
    ----------
    source
        The file. Arrays are found by name: ``embeddings`` or ``features``; ``ids``, ``names`` or ``paths``; ``labels``
        or ``y``; alone for one group ``all``, or as ``train_features``, ``train/features`` for several.
    ids
        The ids, or a file of them (``.txt`` one a line, ``.json`` a list, ``.npy``), where the source has none.

    Raises
    ------
    StoreInputError
        Object arrays, pickles, links out of the file, sizes that cannot be, ids with ``..``; the message says which.
    """
    source = Path(source)
    if not source.is_file():
        raise StoreNotFoundError(f"no file {source}: name an npz, npy or HDF5 file of features")
    suffix = source.suffix.lower()
    if suffix in TORCH:
        raise StoreInputError(
            f"{source} is a torch file, which the store cannot read: use `medfeat cache import`, "
            "which loads its tensors with weights_only=True, or save them as npz"
        )
    readers: dict[str, Callable[[Path], dict[str, NDArray[Any]]]] = {
        ".npz": read_npz,
        ".npy": read_npy,
        ".h5": read_hdf5,
        ".hdf5": read_hdf5,
    }
    if suffix not in readers:
        kind = "a pickle, which could run code" if suffix in PICKLES else f"of kind {suffix or 'without suffix'}"
        raise StoreInputError(f"features must be in an npz, npy or HDF5 file, {source} is {kind}")
    with saying(source, "reading"):
        arrays = readers[suffix](source)
    return named_features(arrays, source, ids=ids)


def import_arrays(
    features: Mapping[str, Features],
    root: str | Path,
    *,
    dataset: str,
    backbone: str,
    recipe: Mapping[str, Any] | None = None,
    info: Mapping[str, Any] | None = None,
) -> Path:
    """Make a store of features that another extractor made.

    Parameters
    ----------
    features
        By group, as `read_features` gives them.
    root
        From `medfeat_cache.resolve_root`.
    dataset, backbone
        What the store will be found by.
    recipe, info
        What is known of how they were made.

    Returns
    -------
    Path
        Of the store.
    """
    ready = {group: _checked(group, one) for group, one in features.items()}
    content = hashlib.blake2b(digest_size=32)
    for group, one in ready.items():
        content.update("\0".join([group, *one.ids.tolist()]).encode())
        content.update(raw(one.embeddings))
    full = {
        "dataset": dataset,
        "backbone": backbone,
        "source": "import",
        "fingerprint": f"blake2b:{content.hexdigest()}",
        **dict(recipe or {}),
    }
    path = store_path(Path(root), dataset, backbone, recipe_digest(full))
    with StoreWriter.open(path, recipe=full, info=dict(info or {}), settings={}) as writer:
        if writer.published:
            return path
        writer.groups({group: GroupSpec(one.ids, one.labels) for group, one in ready.items()})
        for group, one in ready.items():
            unknown = np.zeros((PART_ROWS, HASH_BYTES), np.uint8)
            for start in range(0, len(one.ids), PART_ROWS):
                rows = np.intersect1d(writer.missing_rows(group), np.arange(start, start + PART_ROWS))
                if len(rows):
                    writer.write_rows(group, rows, one.embeddings[rows], unknown[: len(rows)])
        return writer.publish()


def _checked(group: str, one: Features) -> Features:
    ids = as_ids(one.ids, group)
    climbing = [name for name in ids.tolist() if ".." in PurePosixPath(name.replace("\\", "/")).parts]
    if climbing:
        raise StoreInputError(f"ids may not climb out of their folder with '..', got {climbing[0]!r}")
    embeddings = np.asarray(one.embeddings)
    if embeddings.ndim != 2 or embeddings.dtype.kind != "f" or len(embeddings) != len(ids):
        raise StoreInputError(
            f"features of {group!r} must be floats of shape ({len(ids)}, d), got {embeddings.dtype} {embeddings.shape}"
        )
    kept = "<f2" if embeddings.dtype.itemsize == 2 else "<f4"
    return Features(ids, np.ascontiguousarray(embeddings, kept), one.labels)


def _given_ids(ids: str | Path | Sequence[str] | None) -> NDArray[np.str_] | None:
    if ids is None or not isinstance(ids, str | Path):
        return None if ids is None else as_ids(list(ids), "all")
    path = Path(ids)
    with saying(path, "reading the ids"):
        if path.suffix.lower() == ".npy":
            return as_ids(_texts(read_npy(path)["embeddings"]), "all")
        if path.suffix.lower() == ".json":
            names = read_json(path, limit=TABLE_BYTES)
        else:
            names = read_bounded(path, TABLE_BYTES).decode("utf-8").splitlines()
    if not isinstance(names, list):
        raise StoreInputError(f"{path} must hold a JSON list of ids, got {type(names).__name__}")
    return as_ids(names, "all")


def _texts(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind == "S":
        return np.char.decode(values.reshape(-1), "utf-8")
    return values.reshape(-1).astype(np.str_) if values.dtype.kind in "iu" else values.reshape(-1)


def named_features(
    arrays: Mapping[str, NDArray[Any]], source: str | Path, *, ids: str | Path | Sequence[str] | None = None
) -> dict[str, Features]:
    """Tell by their names which arrays are features, ids and labels, and of which group.

    Parameters
    ----------
    arrays
        Of plain numbers and strings.
    source
        Where they are from, for what is said of them.
    ids
        As in `read_features`, which says what the names are.
    """
    given = _given_ids(ids)
    found: dict[str, Features] = {}
    for group in GROUP_NAMES:
        prefix = re.compile(rf"{group}[/_.-]", re.IGNORECASE)
        named = {prefix.sub("", name, count=1).lower(): name for name in arrays if prefix.match(name)}
        if group == "all" and not found:
            named = {name.lower(): name for name in arrays} | named
        one = _pick(arrays, named)
        if one is None:
            continue
        names = given if given is not None and group == "all" else one.ids
        if not len(names):
            raise StoreInputError(
                f"{source} has no ids for its features of {group!r}: add them under one of the names "
                f"{', '.join(ID_NAMES)}, or give them beside the file"
            )
        found[group] = Features(names, one.embeddings, one.labels)
    if not found:
        raise StoreInputError(
            f"{source} must hold features under one of the names {', '.join(EMBEDDING_NAMES)}, "
            f"found {', '.join(arrays) or 'nothing'}"
        )
    return found


def _pick(arrays: Mapping[str, NDArray[Any]], named: dict[str, str]) -> Features | None:
    def first(names: Sequence[str]) -> NDArray[Any] | None:
        return next((arrays[named[name]] for name in names if name in named), None)

    embeddings, ids, labels = first(EMBEDDING_NAMES), first(ID_NAMES), first(LABEL_NAMES)
    if embeddings is None:
        return None
    return Features(np.empty(0, np.str_) if ids is None else _texts(ids), embeddings, labels)
