"""Folders as other tools leave them: several files that are one set of features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.errors import DataError
from medfeat_cache import TORCH, Features, named_features, read_features
from medfeat_cache.foreign import EXPORT_FACTS, read_hdf5

Tensors = Callable[[Path], Mapping[str, NDArray[Any]]]
_NAMES_FILE = "file_names.txt"
# What CLIP_benchmark calls val is what it reports on: the test set.
_CLIP_SPLITS = {"train": "train", "val": "test"}


def folder_features(folder: Path, tensors: Tensors) -> dict[str, Features]:
    """Read the features of a folder.

    Parameters
    ----------
    folder
        An export of medfeat, of thingsvision (``features.npy``, ``.pt``, ``.hdf5`` with ``file_names.txt``), of
        CLIP_benchmark (``features_train.pt``, ``targets_train.pt`` and the same of val), or of TRIDENT's slides (a
        ``SLIDE.h5`` each).
    tensors
        Reads a torch file of plain tensors, a bare one under the name ``embeddings``.

    Raises
    ------
    DataError
        A folder of none of these tools, or one that lacks a part.
    """
    if (folder / EXPORT_FACTS).is_file():
        return read_features(folder)
    if (folder / "features_train.pt").is_file():
        return _of_clip_benchmark(folder, tensors)
    if (folder / _NAMES_FILE).is_file():
        return _of_thingsvision(folder, tensors)
    slides = sorted(folder.glob("*.h5"))
    if slides:
        return {"all": _of_slides(slides)}
    raise DataError(
        f"{folder} is no folder of features: it needs {EXPORT_FACTS} (an export of medfeat), features.npy with "
        f"{_NAMES_FILE} (thingsvision), features_train.pt (CLIP_benchmark), or an .h5 a slide (TRIDENT)"
    )


def _of_thingsvision(folder: Path, tensors: Tensors) -> dict[str, Features]:
    for name in ("features.npy", "features.pt", "features.hdf5"):
        file = folder / name
        if file.is_file():
            ids = folder / _NAMES_FILE
            return (
                named_features(tensors(file), file, ids=ids) if file.suffix in TORCH else read_features(file, ids=ids)
            )
    raise DataError(f"{folder} has {_NAMES_FILE} and no features.npy, .pt or .hdf5: save the features as one of these")


def _of_clip_benchmark(folder: Path, tensors: Tensors) -> dict[str, Features]:
    found = {}
    for theirs, split in _CLIP_SPLITS.items():
        parts = [folder / f"{kind}_{theirs}.pt" for kind in ("features", "targets")]
        missing = next((part for part in parts if not part.is_file()), None)
        if missing is not None:
            raise DataError(f"{missing} is not there: CLIP_benchmark writes features and targets of train and val")
        features, labels = (np.asarray(tensors(part)["embeddings"]) for part in parts)
        if len(features) != len(labels):
            raise DataError(f"{parts[0]} has {len(features)} rows and {parts[1]} {len(labels)}: one each is needed")
        ids = np.array([f"{split}/{row}" for row in range(len(features))])
        whole = labels.astype(np.int64) if np.array_equal(labels, np.round(labels)) else labels
        found[split] = Features(ids, features, whole)
    return found


def _of_slides(files: list[Path]) -> Features:
    vectors = [_slide(file) for file in files]
    lengths = sorted({len(one) for one in vectors})
    if len(lengths) > 1:
        raise DataError(f"{files[0].parent}: the vectors of its slides differ in length ({lengths})")
    return Features(np.array([file.stem for file in files]), np.stack(vectors))


def _slide(file: Path) -> NDArray[Any]:
    features = read_hdf5(file).get("features")
    if features is None:
        raise DataError(f"{file} has no dataset 'features': it is no slide of TRIDENT")
    rows = features.reshape(-1, features.shape[-1])
    if len(rows) != 1:
        raise DataError(
            f"{file} holds {len(rows)} vectors, one a patch: import slide features, one vector each (of a slide "
            "encoder, or the mean of the patches)"
        )
    return np.asarray(rows[0])
