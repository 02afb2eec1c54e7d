"""Whether what a killed command left is whole: files that were named to it, and everything in a cache."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import numpy as np

from medfeat_cache import find_stores, verify_store


def wrong_in(cache: Path) -> list[str]:
    """Return a line for whatever in a cache is not whole: stores, runs, trainings, notes and tasks."""
    from medfeat.workflows.stores.vouched_runs import verify_runs

    stores = find_stores(cache)
    wrong = [f"{path}: {problem}" for path, problem in stores.problems]
    wrong += [f"{one.path}: {problem}" for one in stores for problem in verify_store(one.path).problems]
    wrong += [f"{run.folder}: {problem}" for run in verify_runs(cache_dir=cache) for problem in run.problems]
    for done in cache.glob("tuned/*/*/tuned.json"):  # written last: where it is, everything is
        names = ("model.safetensors", "log.csv", "curve.png")
        wrong += [f"{done.with_name(name)} is missing" for name in names if not done.with_name(name).exists()]
    return wrong + _unreadable_in(cache)


def _unreadable_in(cache: Path) -> list[str]:
    """Return a line for each file that does not read to its end; what has a dot in front is nobody's, but for notes."""
    files = [path for path in sorted(cache.rglob("*")) if path.is_file() and path.suffix != ".h5"]
    shown = [path for path in files if not any(_is_hidden(part) for part in path.relative_to(cache).parts)]
    return [f"{path}: {problem}" for path in shown if (problem := unreadable(path))]


def _is_hidden(name: str) -> bool:
    return name.startswith(".") and name != ".asked"


def unreadable(path: Path) -> str:
    """Say why a file does not read to its end; empty when it does, or is of a kind that cannot tell."""
    try:
        _READERS.get(path.suffix, lambda _: None)(path)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def alike(found: Path, whole: Path) -> bool:
    """Tell whether a file is as whole as another of the same command: equal but for what a clock says."""
    one, other = found.read_bytes(), whole.read_bytes()
    ends = one[:16] == other[:16] and one[-16:] == other[-16:]
    return ends and abs(len(one) - len(other)) < 64 and not unreadable(found)


def differences(found: Path, whole: Path) -> list[str]:
    """Return a line for each file of a folder, or for the file, that is cut, or missing, or too many."""
    if whole.is_file():
        return [] if alike(found, whole) else [f"{found.name} is cut"]
    there, files = ({path.relative_to(one) for path in one.rglob("*") if path.is_file()} for one in (found, whole))
    cut = {name for name in files & there if not alike(found / name, whole / name)}
    return [f"{found.name}/{name}" for name in sorted((files ^ there) | cut)]


def _json(path: Path) -> None:
    json.loads(path.read_bytes())


def _text(path: Path) -> None:
    if not path.read_bytes().endswith(b"\n"):
        raise ValueError("its last line has no end")


def _picture(path: Path) -> None:
    from PIL import Image

    with Image.open(path) as image:
        image.load()


def _zip(path: Path) -> None:
    with ZipFile(path) as archive:
        wrong = archive.testzip()
    if wrong:
        raise ValueError(f"{wrong} is damaged")


def _tensors(path: Path) -> None:
    from safetensors.numpy import load_file

    load_file(path)


def _hdf5(path: Path) -> None:
    import h5py

    with h5py.File(path) as file:
        file.visititems(lambda _, node: node[()] is None if isinstance(node, h5py.Dataset) else None)


def _parquet(path: Path) -> None:
    import pyarrow.parquet as pq

    pq.read_table(path)


def _graph(path: Path) -> None:
    import onnx

    onnx.checker.check_model(str(path))


_READERS: dict[str, Callable[[Path], object]] = {
    ".json": _json, ".csv": _text, ".md": _text, ".png": _picture, ".npz": _zip, ".skops": _zip, ".npy": np.load,
    ".safetensors": _tensors, ".h5": _hdf5, ".parquet": _parquet, ".onnx": _graph,
}  # fmt: skip
