"""Plain columns out of tables that other tools wrote, CSV and Parquet; a vector is one column, or one a number."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat_cache.errors import StoreError, StoreInputError
from medfeat_cache.reading import look_at

_NUMBERED = re.compile(r"(.*?)[_.\- ]?(\d+)")
FEWEST = 2


def read_csv(path: Path) -> dict[str, NDArray[Any]]:
    """Read a CSV with a header; columns of numbers that are called alike and numbered are one, ``embeddings``."""
    look_at(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        delimiter = max(",;\t", key=text.partition("\n")[0].count)
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise StoreInputError(f"{path} cannot be read as a CSV in UTF-8 ({error}): save it again as one") from error
    header, body = (rows[0], rows[1:]) if rows else ([], [])
    ragged = next((i for i, row in enumerate(body, start=2) if len(row) != len(header)), None)
    if not body or ragged or len(set(header)) < len(header):
        fault = (
            f"line {ragged} has not {len(header)} cells" if ragged else "it needs a header of different names, and rows"
        )
        raise StoreInputError(f"{path} is no table: {fault}")
    columns = dict(zip(header, zip(*body, strict=True), strict=True))
    return _joined({name: np.array(cells, dtype=np.str_) for name, cells in columns.items()}, path)


def read_parquet(path: Path) -> dict[str, NDArray[Any]]:
    """Read a Parquet file: numbers, text, bytes of one length, and lists of one length, which become (n, d) arrays.

    Lists of such lists become (n, P, d) arrays. Columns of anything else, and empty ones, are left out.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise StoreError('Parquet needs pyarrow: pip install "medfeat[parquet]", or save as npz') from error
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise StoreInputError(f"{path} cannot be read as Parquet ({str(error).splitlines()[0]})") from error
    arrays = {name: _of_arrow(table.column(name), f"{path}: {name}") for name in table.column_names}
    found = {name: values for name, values in arrays.items() if values is not None}
    return _joined(found, path) | _said(table.schema.metadata or {})


def _said(metadata: Mapping[bytes, bytes]) -> dict[str, NDArray[Any]]:
    """Return what an export of medfeat says of its labels."""
    try:
        known = json.loads(metadata[b"medfeat_info"]).get("dataset") or {}
    except (KeyError, ValueError, AttributeError):
        return {}
    said = {"classes": known.get("classes"), "task_type": [known["task"]] if known.get("task") else None}
    return {name: np.array(words, dtype=np.str_) for name, words in said.items() if words}


def _of_arrow(column: Any, where: str) -> NDArray[Any] | None:
    import pyarrow as pa

    kind, column = column.type, column.combine_chunks()
    if column.null_count == len(column):
        return None
    if column.null_count:
        raise StoreInputError(f"{where} has {column.null_count} empty cells: fill them, or leave the column out")
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind):
        return np.array([str(value) for value in column.to_pylist()], dtype=np.str_)
    if pa.types.is_fixed_size_binary(kind):
        return np.frombuffer(b"".join(column.to_pylist()), np.uint8).reshape(len(column), -1)
    if _is_list(kind):
        sizes: list[int] = []
        while _is_list(column.type):
            lengths = {int(n) for n in column.value_lengths().to_numpy(zero_copy_only=False)}
            sizes, column = [*sizes, *lengths], column.flatten()
            if len(lengths) != 1 or column.null_count:
                raise StoreInputError(f"{where} must hold lists of numbers of one length")
        if not _is_number(column.type):
            raise StoreInputError(f"{where} must hold lists of numbers of one length")
        return np.asarray(column.to_numpy(zero_copy_only=False)).reshape(-1, *sizes)
    return np.asarray(column.to_numpy(zero_copy_only=False)) if _is_number(kind) else None


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_number(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _joined(arrays: Mapping[str, NDArray[Any]], path: Path) -> dict[str, NDArray[Any]]:
    """Join the columns of one vector, which are numbered from 0 or 1; where two vectors could be meant, none is."""
    runs: dict[str, dict[int, str]] = {}
    for name, values in arrays.items():
        match = _NUMBERED.fullmatch(name)
        if match and values.ndim == 1 and str(int(match[2])) == match[2]:
            runs.setdefault(match[1], {})[int(match[2])] = name
    whole = {
        stem: [names[i] for i in sorted(names)]
        for stem, names in runs.items()
        if len(names) >= FEWEST and sorted(names) in (list(range(len(names))), list(range(1, len(names) + 1)))
    }
    if len(whole) != 1:
        return dict(arrays)
    (names,) = whole.values()
    kept = {name: values for name, values in arrays.items() if name not in names}
    return kept | {"embeddings": _matrix([arrays[name] for name in names], path)}


def listed(cells: NDArray[np.str_], where: str) -> NDArray[Any]:
    """Return the vectors of a column of which each cell is one, as ``0.5,1.5``, with brackets or without, (n, d).

    Raises
    ------
    StoreInputError
        A cell that is no list of numbers, or lists of several lengths.
    """
    lists = [cell.strip().strip("[]()").replace(",", " ").split() for cell in cells.tolist()]
    lengths = {len(one) for one in lists}
    if len(lengths) != 1 or lengths == {0}:
        raise StoreInputError(f"{where} must hold lists of numbers of one length")
    try:
        return np.array(lists, dtype=np.float64).astype(np.float32)
    except ValueError as error:
        raise StoreInputError(f"{where} holds what is no list of numbers ({error})") from error


def _matrix(columns: Sequence[NDArray[Any]], path: Path) -> NDArray[Any]:
    if all(column.dtype == np.float16 for column in columns):
        return np.stack(columns, axis=1)
    try:
        return np.stack([column.astype(np.float64) for column in columns], axis=1).astype(np.float32)
    except ValueError as error:
        raise StoreInputError(f"{path}: a numbered column holds what is no number ({error})") from error
