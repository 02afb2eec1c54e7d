"""Features that other extractors wrote, taken over into a store: only plain numbers and strings ever leave the file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat_cache.commands import command
from medfeat_cache.coverage import GroupSpec, as_ids
from medfeat_cache.errors import StoreInputError, StoreNotFoundError, saying
from medfeat_cache.files import raw
from medfeat_cache.foreign import EXPORT_FACTS, read_export, read_hdf5, read_npy, read_npz
from medfeat_cache.foreign_tables import listed, read_csv, read_parquet
from medfeat_cache.format import HASH_BYTES
from medfeat_cache.key import recipe_digest
from medfeat_cache.reading import TABLE_BYTES, read_bounded, read_json
from medfeat_cache.root import store_path
from medfeat_cache.writer import StoreWriter

_EMBEDDING_NAMES = ("embeddings", "features", "feats", "embedding", "x", "data")
_ID_NAMES = (
    "ids", "id", "image_ids", "names", "filenames", "files", "paths", "image_id", "name", "filename", "file", "path",
    "filepath", "file_path", "_id",
)  # fmt: skip
_LABEL_NAMES = ("labels", "label", "y", "targets", "target")
_MAP = ("x", "y")
_OF_A_MAP = (
    "; x and y are places on a map and no vectors: give the file that the map was made from, as cache export writes it "
    "without --atlas"
)
SPLIT_NAMES = ("split", "splits", "subset", "partition")
_PATIENT_NAMES = ("patient", "patients", "patient_id", "patient_ids", "case_id")
_CLASS_NAMES = ("classes", "class_names")
_GROUP_NAMES = ("train", "val", "test", "all")
TORCH = {".pt", ".pth", ".ckpt", ".bin"}
_PICKLES = {".pkl", ".pickle", ".joblib", ".dill"}
_PART_ROWS = 4096
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class Features:
    """Embeddings of one group, as another tool wrote them.

    Attributes
    ----------
    ids
        (n,) unique ids.
    embeddings
        (n, d) floats, or (n, P, d) where an image has several vectors.
    labels
        (n, k) or (n,) numbers, or (n,) words; None when there are none.
    split, patients
        (n,) words beside the ids, None when there are none.
    hashes
        (n, 16) uint8 of the images, None when nobody knows them.
    classes, task
        Names in label order, and what the labels mean, where the file says it.
    """

    ids: NDArray[np.str_]
    embeddings: NDArray[Any]
    labels: NDArray[Any] | None = None
    split: NDArray[np.str_] | None = None
    patients: NDArray[np.str_] | None = None
    hashes: NDArray[np.uint8] | None = None
    classes: tuple[str, ...] = ()
    task: str = ""


def read_features(source: str | Path, *, ids: str | Path | Sequence[str] | None = None) -> dict[str, Features]:
    """Read a file of features, npz, npy, HDF5, Parquet or CSV; nothing in it is executed.

    Parameters
    ----------
    source
        The file. Arrays are found by name: ``embeddings`` or ``features``; ``ids``, ``names`` or ``paths``; ``labels``
        or ``y``; ``split``; ``patient``; alone for one group ``all``, or as ``train_features``, ``train/features`` for
        several. In a table a vector is one column of lists, or a column a number (``f0``, ``f1``, ...), and a column
        ``group`` tells several groups.
    ids
        The ids, or a file of them (``.txt`` one a line, ``.json`` a list, ``.npy``, or a ``.csv`` of the same rows
        with ``id``, and if known ``label``, ``split`` and ``patient``), where the source has none.

    Raises
    ------
    StoreInputError
        Object arrays, pickles, links out of the file, sizes that cannot be, ids with ``..``; the message says which.
    """
    source = Path(source)
    if (source / EXPORT_FACTS).is_file():
        with saying(source, "reading"):
            return named_features(read_export(source), source, ids=ids)
    if not source.is_file():
        raise StoreNotFoundError(f"no file {source}: name an npz, npy, HDF5, Parquet or CSV file of features")
    suffix = source.suffix.lower()
    if suffix in TORCH:
        raise StoreInputError(
            f"{source} is a torch file, which the store cannot read: use "
            f"{command('cache', 'import', source, data='NAME', backbone='NAME')}, "
            "which loads its tensors with weights_only=True, or save them as npz"
        )
    readers: dict[str, Callable[[Path], dict[str, NDArray[Any]]]] = {
        ".npz": read_npz,
        ".npy": read_npy,
        ".h5": read_hdf5,
        ".hdf5": read_hdf5,
        ".csv": read_csv,
        ".tsv": read_csv,
        ".parquet": read_parquet,
    }
    if suffix not in readers:
        kind = "a pickle, which could run code" if suffix in _PICKLES else f"of kind {suffix or 'without suffix'}"
        raise StoreInputError(f"features must be in an npz, npy, HDF5, Parquet or CSV file, {source} is {kind}")
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
        if one.embeddings.ndim == 3:  # the same numbers end to end are another store
            content.update(str(one.embeddings.shape[1:]).encode())
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
            hashes = np.zeros((len(one.ids), HASH_BYTES), np.uint8) if one.hashes is None else one.hashes
            for start in range(0, len(one.ids), _PART_ROWS):
                rows = np.intersect1d(writer.missing_rows(group), np.arange(start, start + _PART_ROWS))
                if len(rows):
                    writer.write_rows(group, rows, one.embeddings[rows], hashes[rows])
        return writer.publish()


def _checked(group: str, one: Features) -> Features:
    ids = as_ids(one.ids, group)
    climbing = [name for name in ids.tolist() if ".." in PurePosixPath(name.replace("\\", "/")).parts]
    if climbing:
        raise StoreInputError(f"ids may not climb out of their folder with '..', got {climbing[0]!r}")
    embeddings = np.asarray(one.embeddings)
    if embeddings.ndim not in (2, 3) or embeddings.dtype.kind != "f" or len(embeddings) != len(ids):
        raise StoreInputError(
            f"features of {group!r} must be floats of shape ({len(ids)}, d) or ({len(ids)}, P, d), "
            f"got {embeddings.dtype} {embeddings.shape}"
        )
    kept = "<f2" if embeddings.dtype.itemsize == 2 else "<f4"
    return replace(one, ids=ids, embeddings=np.ascontiguousarray(embeddings, kept))


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


def _beside(ids: str | Path | Sequence[str] | None) -> dict[str, NDArray[Any]]:
    """Return the columns of a CSV that was given for the ids, under their own names."""
    if not isinstance(ids, str | Path) or Path(ids).suffix.lower() not in (".csv", ".tsv"):
        return {}
    with saying(Path(ids), "reading the ids"):
        return read_csv(Path(ids))


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
    beside = _beside(ids)
    arrays = {**arrays, **beside}
    given = None if beside else _given_ids(ids)
    found: dict[str, Features] = {}
    for group in _GROUP_NAMES:
        prefix = re.compile(rf"{group}[/_.-]", re.IGNORECASE)
        named = {prefix.sub("", name, count=1).lower(): name for name in arrays if prefix.match(name)}
        if group == "all" and not found:
            named = {name.lower(): name for name in arrays} | named
        on_map = _is_map(arrays, named)
        named = {name: of for name, of in named.items() if not (on_map and name in _MAP)}
        one = _pick(arrays, named, source)
        if one is None:
            continue
        names = given if given is not None and group == "all" else one.ids
        if not len(names):
            raise StoreInputError(
                f"{source} has no ids for its features of {group!r}: add them under one of the names "
                f"{', '.join(_ID_NAMES)}, or give them beside the file"
            )
        _refuse_other_lengths(one, names, group, source)
        found[group] = replace(one, ids=names)
    said = _meaning(arrays)
    found = {group: replace(one, **said) for group, one in _by_group(found, arrays).items()}
    if not found:
        raise StoreInputError(
            f"{source} must hold features under one of the names {', '.join(_EMBEDDING_NAMES)}, "
            f"found {', '.join(arrays) or 'nothing'}{_OF_A_MAP if on_map else ''}"
        )
    return found


def _is_map(arrays: Mapping[str, NDArray[Any]], named: Mapping[str, str]) -> bool:
    """Tell whether x and y are where points lie on a map, as embedding-atlas has them, and no features with labels."""
    columns = [arrays[named[name]] for name in _MAP if name in named]
    return len(columns) == len(_MAP) and all(one.ndim == 1 and _numbers(one).dtype.kind == "f" for one in columns)


def _refuse_other_lengths(one: Features, names: NDArray[Any], group: str, source: str | Path) -> None:
    columns = {"ids": names, "labels": one.labels, "split": one.split, "patients": one.patients}
    for name, values in columns.items():
        if values is not None and len(values) != len(one.embeddings):
            raise StoreInputError(
                f"{source} has {len(one.embeddings)} features of {group!r} and {len(values)} {name}: one each is needed"
            )


def _by_group(found: dict[str, Features], arrays: Mapping[str, NDArray[Any]]) -> dict[str, Features]:
    """Part the rows of a table whose column ``group`` says of which group they are."""
    column = next((values for name, values in arrays.items() if name.lower() == "group"), None)
    whole = found.get("all")
    if column is None or whole is None or len(column) != len(whole.ids) or not set(column) <= set(_GROUP_NAMES):
        return found
    return {group: _rows_of(whole, column == group) for group in _GROUP_NAMES if (column == group).any()}


def _rows_of(one: Features, kept: NDArray[np.bool_]) -> Features:
    def of(column: NDArray[Any] | None) -> NDArray[Any] | None:
        return None if column is None else column[kept]

    return replace(
        one,
        ids=one.ids[kept],
        embeddings=one.embeddings[kept],
        labels=of(one.labels),
        split=of(one.split),
        patients=of(one.patients),
        hashes=of(one.hashes),
    )


def _pick(arrays: Mapping[str, NDArray[Any]], named: dict[str, str], source: str | Path) -> Features | None:
    def first(names: Sequence[str]) -> NDArray[Any] | None:
        return next((arrays[named[name]] for name in names if name in named), None)

    def words(names: Sequence[str]) -> NDArray[Any] | None:
        values = first(names)
        return None if values is None else _texts(values)

    embeddings = first(_EMBEDDING_NAMES)
    if embeddings is None:
        return None
    if embeddings.dtype.kind == "U" and embeddings.ndim == 1:
        embeddings = listed(embeddings, f"{source}: its features")
    ids, labels, hashes = words(_ID_NAMES), first(_LABEL_NAMES), first(("image_hash",))
    if labels is None:  # one column a label, as a table writes it
        columns = [arrays[named[name]] for name in sorted(named) if re.fullmatch(r"label[_.]\d+", name)]
        labels = np.stack(columns, axis=1) if columns else None
    if hashes is not None and hashes.dtype.kind == "U":
        hashes = np.frombuffer(bytes.fromhex("".join(hashes.tolist())), np.uint8).reshape(len(hashes), -1)
    return Features(
        np.empty(0, np.str_) if ids is None else ids,
        embeddings,
        None if labels is None else _numbers(labels),
        words(SPLIT_NAMES),
        words(_PATIENT_NAMES),
        hashes if hashes is not None and hashes.dtype == np.uint8 and hashes.ndim == 2 else None,
    )


def _numbers(labels: NDArray[Any]) -> NDArray[Any]:
    """Return labels as numbers where they are numbers, however they are written; words stay words."""
    if labels.dtype.kind not in "SU":
        return labels
    words = np.char.decode(labels, "utf-8") if labels.dtype.kind == "S" else labels
    written = words.reshape(-1).tolist()
    if not all(_NUMBER.fullmatch(word) for word in written):  # "1_0", "nan" and "infinity" are names here
        return words
    return words.astype(np.int64 if all(word.lstrip("+-").isdigit() for word in written) else np.float64)


def _meaning(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Return the names of classes and the task, where a file says them once for all groups."""
    named = {name.lower(): values for name, values in arrays.items()}
    classes = next((_texts(named[name]) for name in _CLASS_NAMES if name in named), None)
    task, words = named.get("task_type"), named.get("label_name")
    numbers = next((named[name] for name in _LABEL_NAMES if name in named), None)
    if classes is None and words is not None and numbers is not None:  # as a CSV says it: the name beside the number
        pairs = dict(zip(numbers.reshape(-1).tolist(), words.reshape(-1).tolist(), strict=True))
        count = max((int(number) for number in pairs if str(number).isdigit()), default=-1) + 1
        classes = np.array([pairs.get(str(i), pairs.get(i, str(i))) for i in range(count)], dtype=np.str_)
    return {
        "classes": () if classes is None else tuple(classes.tolist()),
        "task": "" if task is None or task.size != 1 else str(_texts(task)[0]),
    }
