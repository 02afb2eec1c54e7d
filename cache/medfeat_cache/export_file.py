"""A store in one file of npz, HDF5 or CSV, which `read_features` reads back bit for bit. Streamed, and only undamaged.

An npz names its arrays ``<group>_embeddings`` and so on, HDF5 has a group each; a CSV has a row an image, the column
``group``, and a column a number of the vector.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from medfeat_cache.errors import StoreInputError
from medfeat_cache.files import raw, replacing
from medfeat_cache.format import spell_shape
from medfeat_cache.reader import FeatureStore

COLUMNS = ("labels", "rows", "image_hash")
# Words beside the ids of each group: ``split`` and ``patient``, where whoever exports knows them.
Beside = Mapping[str, Mapping[str, NDArray[np.str_]]]
_Pieces = Iterable[NDArray[Any]]
_Arrays = Iterator[tuple[str, tuple[int, ...], np.dtype[Any], _Pieces]]


def _facts_of(store: FeatureStore) -> dict[str, NDArray[Any]]:
    """Return what the labels mean, where the store says it: ``classes`` and ``task_type``, as UTF-8 bytes."""
    known = store.info.get("dataset") or {}
    said = {"classes": list(known.get("classes") or ()), "task_type": [known["task"]] if known.get("task") else []}
    return {name: np.char.encode(np.array(words), "utf-8") for name, words in said.items() if words}


def arrays_of(store: FeatureStore, group: str, beside: Beside) -> _Arrays:
    """Yield each column of a group: name, shape, type, and its values a few megabytes at a time."""
    yield "embeddings", (store.n(group), *store.shape), store.dtype, store.iter_verified(group)
    for name in ("ids", *COLUMNS):
        column = store.column(group, name)
        if column is not None:
            yield name, column.shape, column.dtype, store.iter_column(group, name)
    for name, words in beside.get(group, {}).items():
        values = np.char.encode(words, "utf-8")
        yield name, values.shape, values.dtype, [values]


def write_npz(store: FeatureStore, out: Path, beside: Beside) -> None:
    """Write an npz without compression, which embeddings do not repay."""
    with replacing(out, "exporting to") as temporary, zipfile.ZipFile(temporary, "x") as archive:
        for group in store.groups:
            for name, shape, dtype, pieces in arrays_of(store, group, beside):
                with archive.open(f"{group}_{name}.npy", "w", force_zip64=True) as file:
                    stream_npy(file, shape, dtype, pieces)
        for name, words in _facts_of(store).items():
            with archive.open(f"{name}.npy", "w") as file:
                stream_npy(file, words.shape, words.dtype, [words])


def stream_npy(file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any], pieces: _Pieces) -> None:
    """Write an npy array piece by piece."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    for piece in pieces:
        file.write(raw(np.ascontiguousarray(piece)))


def write_hdf5(store: FeatureStore, out: Path, beside: Beside) -> None:
    """Write an HDF5 file with a group for each group of the store."""
    with replacing(out, "exporting to") as temporary, h5py.File(temporary, "x") as file:
        for group in store.groups:
            for name, shape, dtype, pieces in arrays_of(store, group, beside):
                kind = _hdf5_type(dtype)
                made = file.create_dataset(f"{group}/{name}", shape, kind)
                start = 0
                for piece in pieces:
                    made[start : start + len(piece)] = piece.astype(kind)
                    start += len(piece)
        for name, words in _facts_of(store).items():
            file.create_dataset(name, data=words.astype(_hdf5_type(words.dtype)))


def _hdf5_type(dtype: np.dtype[Any]) -> Any:
    return h5py.string_dtype("utf-8", dtype.itemsize) if dtype.kind == "S" else dtype


def write_csv(store: FeatureStore, out: Path, beside: Beside) -> None:
    """Write a CSV with every digit of every number; beside the number of a class stands its name."""
    if len(store.shape) > 1:
        raise StoreInputError(
            f"a CSV has one vector an image, {store.path} has {spell_shape(store.shape)}: "
            "export it as npy, npz, hdf5 or parquet"
        )
    known = store.info.get("dataset") or {}
    classes = list(known.get("classes") or ()) if known.get("task") not in (None, "multi-label", "regression") else []
    width = max((column.shape[1] for g in store.groups if (column := store.column(g, "labels"))), default=0)
    words = sorted({name for group in beside.values() for name in group})
    labels = ["label"] if width == 1 else [f"label_{i}" for i in range(width)]
    named = ["label_name"] if labels and classes else []
    vector = [f"f{i}" for i in range(store.dim)]
    with replacing(out, "exporting to") as temporary, temporary.open("x", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "group", *words, *labels, *named, "image_hash", *vector])
        for group in store.groups:
            columns = beside.get(group, {})
            start = 0
            for part in store.iter_verified(group):
                stop = start + len(part)
                ids = np.char.decode(store.slice(group, "ids", start, stop), "utf-8").tolist()
                hashes = store.slice(group, "image_hash", start, stop)
                has = store.column(group, "labels") is not None
                given: list[list[Any]] = (
                    store.slice(group, "labels", start, stop).tolist() if has else [[""] * width] * len(ids)
                )
                for i, name in enumerate(ids):
                    beside_it = [str(columns[word][start + i]) if word in columns else "" for word in words]
                    said = [classes[given[i][0]]] if named and has else [""] * len(named)
                    numbers = part[i].astype(np.float64).tolist()
                    writer.writerow([name, group, *beside_it, *given[i], *said, hashes[i].tobytes().hex(), *numbers])
                start = stop
