"""A store in forms that other tools read: npy with JSON beside it, or Parquet. Streamed, and only undamaged bytes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medfeat_cache.errors import StoreError, StoreInputError, saying
from medfeat_cache.files import make_folder, raw, replacing, sync_folder, temporary_name
from medfeat_cache.reader import FeatureStore

Format = Literal["npy", "parquet"]
COLUMNS = ("labels", "rows", "image_hash")
PARQUET_ROWS = 4096


def export_store(path: str | Path, out: str | Path, *, format: Format = "npy") -> Path:
    """Write a store for other tools; memory does not grow with the number of rows.

    Parameters
    ----------
    path
        Of the store. Damage is refused, not passed on.
    out
        A folder that does not exist yet (npy), or a file (Parquet).
    format
        ``npy``: ``store.json``, and for each group ``<group>.embeddings.npy``, ``.labels.npy``, ``.rows.npy``,
        ``.image_hash.npy`` and ``<group>.ids.json``. ``parquet``: one table with the columns ``id``, ``group``,
        ``row``, ``image_hash``, ``labels``, ``embedding``; needs pyarrow.

    Returns
    -------
    Path
        Of what was written.
    """
    writers: dict[str, Callable[[FeatureStore, Path], None]] = {"npy": _write_npy, "parquet": _write_parquet}
    if format not in writers:
        raise StoreInputError(f"export format must be one of {', '.join(writers)}, got {format!r}")
    out = Path(out).absolute()
    if out.exists():
        raise StoreInputError(f"{out} already exists: name another place for the export, or remove it")
    with FeatureStore(path) as store, saying(out, "exporting to"):
        make_folder(out.parent)
        writers[format](store, out)
    return out


def _write_npy(store: FeatureStore, out: Path) -> None:
    temporary = temporary_name(out)
    try:
        make_folder(temporary)
        files = {group: _write_group(store, group, temporary) for group in store.groups}
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


def _write_group(store: FeatureStore, group: str, folder: Path) -> dict[str, str]:
    shape = (store.n(group), store.dim)
    target = folder / f"{group}.embeddings.npy"
    names = {"embeddings": _stream_npy(target, shape, store.dtype, store.iter_verified(group))}
    for name in COLUMNS:
        column = store.column(group, name)
        if column is not None:
            target = folder / f"{group}.{name}.npy"
            names[name] = _stream_npy(target, column.shape, column.dtype, store.iter_column(group, name))
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


def _stream_npy(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], pieces: Iterator[NDArray[Any]]) -> str:
    with path.open("xb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for piece in pieces:
            file.write(raw(piece))
    return path.name


def _write_parquet(store: FeatureStore, out: Path) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise StoreError('Parquet needs pyarrow: pip install "medfeat[parquet]", or export as npy') from error

    value = pa.float32() if store.dtype == np.float32 else pa.float16()
    fields = [("id", pa.string()), ("group", pa.string()), ("row", pa.int64()), ("image_hash", pa.binary(16))]
    label = _label_type(store, pa)
    schema = pa.schema([*fields, ("labels", pa.list_(label)), ("embedding", pa.list_(value, store.dim))])
    schema = schema.with_metadata({"medfeat_recipe": json.dumps(store.recipe), "medfeat_info": json.dumps(store.info)})
    with replacing(out, "exporting to") as temporary, pq.ParquetWriter(temporary, schema, compression="none") as writer:
        for group in store.groups:
            start = 0
            for rows in store.iter_verified(group):
                for first in range(0, len(rows), PARQUET_ROWS):
                    part = rows[first : first + PARQUET_ROWS]
                    writer.write_table(_table(store, group, start + first, part, schema))
                start += len(rows)


def _label_type(store: FeatureStore, pa: Any) -> Any:
    kinds = [column.dtype.kind for group in store.groups if (column := store.column(group, "labels")) is not None]
    return pa.float64() if "f" in kinds else pa.int64()


def _table(store: FeatureStore, group: str, start: int, rows: NDArray[Any], schema: Any) -> Any:
    import pyarrow as pa

    stop = start + len(rows)
    ids = np.char.decode(store.slice(group, "ids", start, stop), "utf-8")
    hashes = store.slice(group, "image_hash", start, stop)
    has_labels = store.column(group, "labels") is not None
    columns = [
        pa.array(ids.tolist(), pa.string()),
        pa.array([group] * len(rows), pa.string()),
        pa.array(store.slice(group, "rows", start, stop)),
        pa.array([bytes(value) for value in hashes], pa.binary(16)),
        pa.array(
            store.slice(group, "labels", start, stop).tolist() if has_labels else [None] * len(rows),
            schema.field("labels").type,
        ),
        pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), store.dim),
    ]
    return pa.table(columns, schema=schema)
