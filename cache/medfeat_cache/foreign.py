"""Plain arrays out of files that other tools wrote: npz, npy, HDF5. Nothing in them is executed or followed."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from medfeat_cache.coverage import refuse_long
from medfeat_cache.errors import StoreError, StoreInputError
from medfeat_cache.reading import TABLE_BYTES, look_at, read_json

# A real array of embeddings hardly compresses; what promises a hundred times its file is a bomb.
MOST_RATIO = 100
FREE_BYTES = 64 << 20
_DEEPEST = 3
EXPORT_FACTS = "store.json"


def _header(file: IO[bytes], where: str) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    try:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, fortran, dtype = read(file, max_header_size=10_000)
    except (ValueError, KeyError) as error:
        raise StoreInputError(
            f"{where} is not a plain numpy array ({error}): it may be a pickle, which is refused"
        ) from error
    if dtype.hasobject or dtype.kind not in "fiubUS":
        raise StoreInputError(
            f"{where} holds {dtype} values, which may run code or mean nothing: save numbers and strings"
        )
    return shape, dtype, fortran


def _load(file: IO[bytes], size: int, where: str) -> NDArray[Any]:
    """Read one npy stream of `size` bytes; what it declares is compared with that before memory is taken."""
    shape, dtype, fortran = _header(file, where)
    declared = dtype.itemsize * int(np.prod([int(n) for n in shape], dtype=object))
    if declared != size - file.tell():
        raise StoreInputError(
            f"{where} declares {declared} bytes, {size - file.tell()} are there: it is damaged or hostile"
        )
    data = file.read(declared)
    if len(data) != declared:
        raise StoreInputError(f"{where} declares {declared} bytes, {len(data)} are there: it is damaged or hostile")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def read_npy(path: Path) -> dict[str, NDArray[Any]]:
    """Read the one array of an npy file, under the name ``embeddings``."""
    look_at(path)
    with path.open("rb") as file:
        return {"embeddings": _load(file, path.stat().st_size, str(path))}


def read_export(folder: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of a folder that `export_store` wrote, as ``<group>_<column>``."""
    try:
        facts = read_json(folder / EXPORT_FACTS)
        files = {f"{group}_{name}": str(file) for group, of in facts["groups"].items() for name, file in of.items()}
        known = facts["info"].get("dataset") or {}
        if any(Path(file).name != file for file in files.values()):
            raise StoreInputError(f"{folder}: {EXPORT_FACTS} names files elsewhere: it is hostile")
        arrays = {
            name: np.array(read_json(folder / file, limit=TABLE_BYTES), dtype=np.str_)
            if file.endswith(".json")
            else read_npy(folder / file)["embeddings"]
            for name, file in files.items()
        }
        said = {"classes": known.get("classes"), "task_type": [known["task"]] if known.get("task") else None}
        return arrays | {name: np.array(words, dtype=np.str_) for name, words in said.items() if words}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, StoreError):
            raise
        raise StoreInputError(f"{folder} is not a whole export ({error}): export the store again") from error


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Read all arrays of an npz file, by name."""
    try:
        look_at(path)
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _refuse_members(path, members)
            arrays = {}
            for member in members:
                with archive.open(member) as file:
                    arrays[member.filename.removesuffix(".npy")] = _load(
                        file, member.file_size, f"{path}: {member.filename}"
                    )
            return arrays
    except StoreError:
        raise
    except Exception as error:  # zipfile and zlib raise whichever builtin a damaged archive runs them into
        raise StoreInputError(f"{path} is not a whole npz file ({error}): write it again") from error


def _refuse_members(path: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    for member in members:
        name = member.filename
        if ".." in PurePosixPath(name.replace("\\", "/")).parts or name.startswith(("/", "\\")):
            raise StoreInputError(f"{path} holds a member named {name!r}, which leads out of it: it is hostile")
        if not name.endswith(".npy"):
            raise StoreInputError(f"{path} holds {name!r}, which is not a numpy array: save numbers and strings only")
    declared, there = sum(member.file_size for member in members), path.stat().st_size
    if declared > max(FREE_BYTES, MOST_RATIO * there):
        raise StoreInputError(
            f"{path} would unpack {there} bytes to {declared}, which no features do: it is a zip bomb"
        )


def read_hdf5(path: Path) -> dict[str, NDArray[Any]]:
    """Read all datasets of an HDF5 file, by path."""
    arrays: dict[str, NDArray[Any]] = {}
    try:
        look_at(path)
        with h5py.File(path, "r", locking=False) as file:
            _walk(path, file, "", arrays)
    except StoreError:
        raise
    except Exception as error:  # h5py turns HDF5's complaints into whichever builtin seems to fit
        raise StoreInputError(f"{path} cannot be read as HDF5 ({error}): write it again") from error
    return arrays


def _walk(path: Path, parent: Any, prefix: str, arrays: dict[str, NDArray[Any]]) -> None:
    for name in parent:
        where = f"{path}: {prefix}{name}"
        if not isinstance(parent.get(name, getlink=True), h5py.HardLink):
            raise StoreInputError(f"{where} is a link, which may lead out of the file: copy the data into it")
        item = parent[name]
        if isinstance(item, h5py.Group):
            if prefix.count("/") >= _DEEPEST:
                raise StoreInputError(f"{where} lies deeper than features do: flatten the file")
            _walk(path, item, f"{prefix}{name}/", arrays)
        elif isinstance(item, h5py.Dataset):
            arrays[f"{prefix}{name}"] = _read_dataset(path, item, where)


def _read_dataset(path: Path, dataset: h5py.Dataset, where: str) -> NDArray[Any]:
    if dataset.is_virtual or dataset.external:
        raise StoreInputError(f"{where} keeps its values in another file: copy them into this one")
    text = h5py.check_string_dtype(dataset.dtype)
    if text is None and dataset.dtype.kind not in "fiub":
        raise StoreInputError(f"{where} holds {dataset.dtype} values: save numbers and strings")
    if dataset.nbytes > max(FREE_BYTES, MOST_RATIO * path.stat().st_size):
        raise StoreInputError(
            f"{where} declares {dataset.nbytes} bytes in a file of {path.stat().st_size}: it is a bomb"
        )
    values = dataset.asstr()[...] if text is not None else dataset[...]
    if text is not None:
        refuse_long(np.reshape(values, -1).tolist(), where)
    return np.asarray(values, dtype=np.str_) if text is not None else np.asarray(values)
