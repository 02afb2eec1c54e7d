"""A store in forms that other tools read, told by the name of the file. Streamed, and only undamaged bytes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medfeat_cache.errors import StoreError, StoreInputError, saying
from medfeat_cache.export_file import Beside, arrays_of, stream_npy, write_csv, write_hdf5, write_npz
from medfeat_cache.files import make_folder, replacing, sync_folder, temporary_name
from medfeat_cache.reader import FeatureStore

Format = Literal["npy", "npz", "hdf5", "parquet", "csv"]
SUFFIXES: dict[str, Format] = {
    "": "npy", ".npz": "npz", ".h5": "hdf5", ".hdf5": "hdf5", ".parquet": "parquet", ".csv": "csv",
}  # fmt: skip
_PARQUET_ROWS = 4096


def export_store(
    path: str | Path, out: str | Path, *, format: Format | None = None, beside: Beside | None = None
) -> Path:
    """Write a store for other tools; memory does not grow with the number of rows.

    Parameters
    ----------
    path
        Of the store. Damage is refused, not passed on.
    out
        A folder (npy) or a file that does not exist yet; its suffix tells the format (`SUFFIXES`).
    format
        Said where the suffix does not tell it. ``npy``: ``store.json``, and for each group
        ``<group>.embeddings.npy``, ``.labels.npy``, ``.rows.npy``, ``.image_hash.npy`` and ``<group>.ids.json``.
        ``parquet``: one table with the columns ``id``, ``group``, ``row``, ``image_hash``, ``labels``, ``embedding``
        (a list of numbers, or of lists where an image has several vectors); needs pyarrow. ``npz``, ``hdf5``, ``csv``:
        see `medfeat_cache.export_file`.
    beside
        Words beside the ids of each group, which become columns: ``split``, ``patient``.

    Returns
    -------
    Path
        Of what was written.
    """
    writers: dict[str, Callable[[FeatureStore, Path, Beside], None]] = {
        "npy": _write_npy,
        "npz": write_npz,
        "hdf5": write_hdf5,
        "parquet": _write_parquet,
        "csv": write_csv,
    }
    out = Path(out).absolute()
    chosen = format or SUFFIXES.get(out.suffix.lower())
    if chosen not in writers:
        asked = f"format {format!r}" if format else f"suffix {out.suffix!r}"
        raise StoreInputError(
            f"export format must be one of {', '.join(writers)}, got {asked}: name a folder, or a file that ends in "
            f"{', '.join(filter(None, SUFFIXES))}"
        )
    if out.exists():
        raise StoreInputError(f"{out} already exists: name another place for the export, or remove it")
    with FeatureStore(path) as store, saying(out, "exporting to"):
        make_folder(out.parent)
        writers[chosen](store, out, beside or {})
    return out


def _write_npy(store: FeatureStore, out: Path, beside: Beside) -> None:
    temporary = temporary_name(out)
    try:
        make_folder(temporary)
        files = {group: _write_group(store, group, temporary, beside) for group in store.groups}
        facts = {
            "format": "medfeat-export",
            "recipe": store.recipe,
            "recipe_digest": store.digest,
            "created_by": store.created_by,
            "created_utc": store.created_utc,
            "info": store.info,
            "groups": files,
        }
        (temporary / "store.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False), encoding="utf-8")
        temporary.replace(out)
        sync_folder(out.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_group(store: FeatureStore, group: str, folder: Path, beside: Beside) -> dict[str, str]:
    names = {}
    for name, shape, dtype, pieces in arrays_of(store, group, beside):
        if name != "ids":
            target = folder / f"{group}.{name}.npy"
            with target.open("xb") as file:
                stream_npy(file, shape, dtype, pieces)
            names[name] = target.name
    ids = folder / f"{group}.ids.json"
    with ids.open("x", encoding="utf-8") as file:
        file.write("[")
        first = True
        for values in store.iter_column(group, "ids"):
            for name in np.char.decode(values, "utf-8").tolist():
                file.write(f"{'' if first else ','}\n{json.dumps(name, ensure_ascii=False)}")
                first = False
        file.write("\n]\n")
    return {**names, "ids": ids.name}


def _write_parquet(store: FeatureStore, out: Path, beside: Beside) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise StoreError('Parquet needs pyarrow: pip install "medfeat[parquet]", or export as npy') from error

    value = pa.float32() if store.dtype == np.float32 else pa.float16()
    fields = [("id", pa.string()), ("group", pa.string()), ("row", pa.int64()), ("image_hash", pa.binary(16))]
    label = _label_type(store, pa)
    words = sorted({name for columns in beside.values() for name in columns})
    fields += [(name, pa.string()) for name in words]
    schema = pa.schema([*fields, ("labels", pa.list_(label)), ("embedding", _list_type(store.shape, value, pa))])
    schema = schema.with_metadata({"medfeat_recipe": json.dumps(store.recipe), "medfeat_info": json.dumps(store.info)})
    with replacing(out, "exporting to") as temporary, pq.ParquetWriter(temporary, schema, compression="none") as writer:
        for group in store.groups:
            start = 0
            for rows in store.iter_verified(group):
                for first in range(0, len(rows), _PARQUET_ROWS):
                    part = rows[first : first + _PARQUET_ROWS]
                    table = _table(store, group, start + first, part, schema=schema, words=beside.get(group, {}))
                    writer.write_table(table)
                start += len(rows)


def _list_type(shape: tuple[int, ...], value: Any, pa: Any) -> Any:
    """Return the type of one image's embedding: a list of d numbers, or of P such lists."""
    for size in reversed(shape):
        value = pa.list_(value, size)
    return value


def _lists(rows: NDArray[Any], pa: Any) -> Any:
    found = pa.array(rows.reshape(-1))
    for size in reversed(rows.shape[1:]):
        found = pa.FixedSizeListArray.from_arrays(found, size)
    return found


def _label_type(store: FeatureStore, pa: Any) -> Any:
    kinds = [column.dtype.kind for group in store.groups if (column := store.column(group, "labels")) is not None]
    return pa.float64() if "f" in kinds else pa.int64()


def _table(
    store: FeatureStore,
    group: str,
    start: int,
    rows: NDArray[Any],
    *,
    schema: Any,
    words: Mapping[str, NDArray[np.str_]],
) -> Any:
    import pyarrow as pa

    stop = start + len(rows)
    ids = np.char.decode(store.slice(group, "ids", start, stop), "utf-8")
    hashes = store.slice(group, "image_hash", start, stop)
    has_labels = store.column(group, "labels") is not None
    none = [None] * len(rows)
    columns = {
        "id": ids.tolist(),
        "group": [group] * len(rows),
        "row": pa.array(store.slice(group, "rows", start, stop)),
        "image_hash": [bytes(value) for value in hashes],
        "labels": store.slice(group, "labels", start, stop).tolist() if has_labels else none,
        "embedding": _lists(rows, pa),
    }
    columns |= {name: values[start:stop].tolist() for name, values in words.items()}
    return pa.table([columns.get(name, none) for name in schema.names], schema=schema)
