"""Vectors as BioFuse keeps and publishes them: a pickle a split, of which nothing but arrays of numbers is made.

``<dataset>_<model>_<side>_<split>.pkl`` (newer ones end in ``_v1.pkl``) holds embeddings and labels, as a pair or,
newer, by name; of torch or numpy (mnhcorp/biofuse; Hossain and Harris-Birtill, PLoS ONE 21(3): e0320989, 2026).
"""

from __future__ import annotations

import io
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.errors import DataError
from medfeat_cache import Features
from medfeat_cache.reading import NoFile, look_at

SUFFIX = ".pkl"
_NAME = re.compile(r"(?P<stem>.+_\d+)_(?P<split>train|val|test)(?P<version>_v\d+)?\.pkl")


def biofuse_features(path: Path) -> dict[str, Features]:
    """Read the splits beside a file, or the one set of them that a folder holds.

    Rows have no names there: ids are ``train/0``, ... in the order of the file.

    Raises
    ------
    DataError
        A file that is not called as BioFuse calls them or holds anything but numbers, a folder of several sets, or a
        split of another length than its labels.
    """
    found = {split: _rows(file, split) for split, file in _files(path).items()}
    if "train" not in found:
        raise DataError(f"{path}: there is no train split beside it, only {', '.join(found)}")
    return found


def _files(path: Path) -> dict[str, Path]:
    folder = path if path.is_dir() else path.parent
    sets: dict[tuple[str, str], dict[str, Path]] = {}
    for file in sorted(folder.glob(f"*{SUFFIX}")):
        match = _NAME.fullmatch(file.name)
        if match:
            sets.setdefault((match["stem"], match["version"] or ""), {})[match["split"]] = file
    mine = [one for one in sets.values() if path.is_dir() or path in one.values()]
    if len(mine) != 1:
        said = f"{len(mine)} sets are there, name a file of one" if mine else "it is none of BioFuse's"
        raise DataError(f"{path}: {said}: they are called DATASET_MODEL_SIDE_train{SUFFIX}, ..._val, ..._test")
    return mine[0]


def _rows(path: Path, split: str) -> Features:
    content = _read(path)
    if isinstance(content, dict):
        content = content.get("embeddings"), content.get("labels")
    if not isinstance(content, tuple) or len(content) != 2:
        raise DataError(f"{path} must hold embeddings and labels, got a {type(content).__name__}")
    vectors, labels = (_numbers(part, path) for part in content)
    vectors = vectors.reshape(len(vectors), -1)
    if len(vectors) != len(labels):
        raise DataError(f"{path} has {len(vectors)} rows and {len(labels)} labels: one each is needed")
    whole = labels.astype(np.int64) if np.array_equal(labels, np.round(labels)) else labels
    return Features(np.array([f"{split}/{row}" for row in range(len(vectors))]), vectors, whole)


def _numbers(part: Any, path: Path) -> NDArray[Any]:
    import torch

    if isinstance(part, torch.Tensor):
        part = (part.detach().float() if part.is_floating_point() else part.detach()).numpy()
    if not isinstance(part, np.ndarray) or part.dtype.kind not in "fiub" or part.ndim == 0:
        raise DataError(f"{path} must hold arrays of numbers, got a {type(part).__name__}")
    return part


def _read(path: Path) -> Any:
    try:
        look_at(path)
        with path.open("rb") as file:
            return _ArraysOnly(file).load()
    except (NoFile, FileNotFoundError):
        raise
    except Exception as error:  # a damaged or hostile pickle fails in whichever way it likes
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{path} is no file of plain arrays, and nothing else is made of it: {said}") from error


class _ArraysOnly(pickle.Unpickler):
    """Makes tensors, arrays of numbers and plain containers; whatever else a pickle names is refused by name."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for one of the few names that such files need."""
        found = _MADE.get((re.sub(r"^numpy\.core\b", "numpy._core", module), name))
        if found is None:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no array")
        return found


def _empty(kind: object, shape: tuple[int, ...], code: bytes) -> NDArray[Any]:
    """Make the empty array that numpy's own pickles fill in a second step."""
    del kind, shape, code
    return np.empty(0, np.int8)


def _of_bytes(data: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], order: str) -> NDArray[Any]:
    if dtype.kind not in "fiub":
        raise pickle.UnpicklingError(f"it holds {dtype} values, which are no numbers")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if order == "F" else "C")


def _latin(text: str, encoding: str) -> bytes:
    """Return the bytes that an older pickle spells as text."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it holds bytes in {encoding}")
    return text.encode(encoding)


def _tensor(storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *further: object) -> Any:
    """Make a tensor that looks into a storage; torch refuses one that would look past its end."""
    import torch

    del further  # whether it asks for gradients, and hooks: nothing of numbers
    return torch.empty(0, dtype=storage.dtype).set_(storage._untyped_storage, offset, size, stride)


def _storage(content: bytes) -> object:
    from medfeat.backbones.weights.unpickling import load_tensors  # which needs torch

    return load_tensors(io.BytesIO(content))


_MADE: dict[tuple[str, str], Callable[..., Any]] = {
    ("_codecs", "encode"): _latin,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy._core.multiarray", "_reconstruct"): _empty,
    ("numpy._core.numeric", "_frombuffer"): _of_bytes,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch.storage", "_load_from_bytes"): _storage,
    ("collections", "OrderedDict"): OrderedDict,
}
