"""Datasets drawn from a seed, in MedMNIST's own form: they need no file and no network, and are no medical data."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medfeat.datasets.entry import DATASETS, DatasetEntry, OpenRequest
from medfeat.datasets.made_up import scenes
from medfeat.datasets.made_up.canvas import Dice
from medfeat.datasets.npz.npz_dataset import row_ids
from medfeat.errors import DataError, unknown_name
from medfeat.types import OFFICIAL_GROUPS, DatasetInfo, IdArray, ImageBatch, LabelArray, TaskType, UInt8Array
from medfeat_cache import replacing

_CHUNK = 100
_LICENCE = "CC0-1.0"
CITATION = "drawn by medfeat from a seed; no medical data"
Scene = Callable[[NDArray[np.int64], int, Dice], UInt8Array]


@dataclass(frozen=True)
class SyntheticSet:
    """What a synthetic set is made of; `number` keeps its random numbers apart from the others'."""

    name: str
    number: int
    scene: Scene
    task: TaskType
    classes: tuple[str, ...]
    counts: tuple[int, int, int]
    channels: int = 3
    ndim: int = 2
    sizes: tuple[int, ...] = (28, 64)


_SETS = (
    SyntheticSet(
        name="synthetic",
        number=0,
        scene=scenes.blood,
        task="multi-class",
        classes=tuple(cell.name for cell in scenes.CELLS),
        counts=(1200, 200, 400),
    ),
    SyntheticSet(
        name="synthetic-binary",
        number=1,
        scene=scenes.mass,
        task="binary-class",
        classes=("irregular mass", "smooth mass"),
        counts=(400, 80, 160),
        channels=1,
    ),
    SyntheticSet(
        name="synthetic-multilabel",
        number=2,
        scene=scenes.findings,
        task="multi-label",
        classes=("parasite", "sickle cells", "platelets", "white cell"),
        counts=(600, 120, 240),
    ),
    SyntheticSet(
        name="synthetic-ordinal",
        number=3,
        scene=scenes.fundus,
        task="ordinal-regression",
        classes=("0", "1", "2", "3", "4"),
        counts=(600, 120, 240),
    ),
    SyntheticSet(
        name="synthetic-3d",
        number=4,
        scene=scenes.vessel,
        task="binary-class",
        classes=("vessel", "aneurysm"),
        counts=(120, 40, 80),
        channels=1,
        ndim=3,
        sizes=(28,),
    ),
)
SYNTHETIC: Mapping[str, SyntheticSet] = {made.name: made for made in _SETS}


class _SyntheticDataset:
    """A drawn set, held in memory.

    Parameters
    ----------
    info
        What is known of it.
    arrays
        ``train_images``, ``train_labels`` and so on, as in an .npz of MedMNIST.
    """

    def __init__(self, info: DatasetInfo, arrays: Mapping[str, NDArray[np.uint8]]) -> None:
        self._info = info
        self._arrays = arrays

    @property
    def info(self) -> DatasetInfo:
        """What is known of it before one image is read."""
        return self._info

    def ids(self, group: str) -> IdArray:
        """(n,) ids ``<group>/<row>``."""
        return row_ids(group, len(self._array(group, "images")))

    def labels(self, group: str) -> LabelArray | None:
        """(n, k) int64 labels of a group."""
        return self._array(group, "labels").astype(np.int64)

    def batches(self, group: str, batch_size: int, rows: NDArray[np.int64] | None = None) -> Iterator[ImageBatch]:
        """Yield images in ascending row order."""
        images = self._array(group, "images")
        wanted = np.arange(len(images), dtype=np.int64) if rows is None else np.asarray(rows, np.int64)
        for start in range(0, len(wanted), batch_size):
            picked = wanted[start : start + batch_size]
            yield ImageBatch(picked, images[picked])

    def _array(self, group: str, what: str) -> NDArray[np.uint8]:
        if group not in OFFICIAL_GROUPS:
            raise DataError(f"{self._info.name} has the groups {', '.join(OFFICIAL_GROUPS)}, not {group!r}")
        return self._arrays[f"{group}_{what}"]


def write_synthetic(path: str | Path, name: str = "synthetic", *, seed: int = 0, size: int = 28) -> Path:
    """Write a synthetic set as an .npz of MedMNIST's form.

    Parameters
    ----------
    path
        The file to write; its folder must be there.
    name
        One of the synthetic names.
    seed
        Another seed draws other images.
    size
        Side in pixels.

    Returns
    -------
    Path
        The file, written whole or not at all.
    """
    if name not in SYNTHETIC:
        raise unknown_name("synthetic dataset", name, SYNTHETIC)
    target = Path(path)
    with replacing(target, "writing the synthetic set") as temporary, temporary.open("xb") as file:
        np.savez_compressed(file, allow_pickle=False, **draw_synthetic(name, seed=seed, size=size))
    return target


def draw_synthetic(name: str, *, seed: int = 0, size: int = 28) -> dict[str, NDArray[np.uint8]]:
    """Draw the arrays of a synthetic set: ``train_images``, ``train_labels`` and so on, uint8 as in MedMNIST."""
    made = SYNTHETIC[name]
    arrays: dict[str, NDArray[np.uint8]] = {}
    for number, (group, count) in enumerate(zip(OFFICIAL_GROUPS, made.counts, strict=True)):
        labels = _labels(made, count, Dice(seed, made.number, number, 0))
        chunks = [
            made.scene(labels[start : start + _CHUNK], size, Dice(seed, made.number, number, 1 + start))
            for start in range(0, count, _CHUNK)
        ]
        arrays[f"{group}_images"] = np.concatenate(chunks)
        arrays[f"{group}_labels"] = labels.astype(np.uint8)
    return arrays


def _labels(made: SyntheticSet, count: int, dice: Dice) -> NDArray[np.int64]:
    """Return (n, k) labels; classes come in unequal numbers, each at least a few times, as in real sets."""
    if made.task == "multi-label":
        return (dice.between(0.0, 1.0, count, len(made.classes)) < 0.35).astype(np.int64)
    classes = len(made.classes)
    skewed = dice.between(0.0, 1.0, count, 1) ** 1.15
    return np.minimum((skewed * classes).astype(np.int64), classes - 1)


@lru_cache(maxsize=2)
def _drawn(name: str, size: int) -> dict[str, NDArray[np.uint8]]:
    arrays = draw_synthetic(name, size=size)
    for array in arrays.values():
        array.setflags(write=False)
    return arrays


def _open(name: str, size: int, request: OpenRequest) -> _SyntheticDataset:  # noqa: ARG001 - every entry opens alike
    arrays = _drawn(name, size)
    made = SYNTHETIC[name]
    info = DatasetInfo(
        name=name,
        size=size,
        task=made.task,
        classes=made.classes,
        channels=made.channels,
        ndim=made.ndim,
        counts=dict(zip(OFFICIAL_GROUPS, made.counts, strict=True)),
        fingerprint=f"blake2b:{_content_digest(arrays)}",
        licence=_LICENCE,
        citation=CITATION,
        source="synthetic",
    )
    return _SyntheticDataset(info, arrays)


def _content_digest(arrays: Mapping[str, NDArray[np.uint8]]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for key, array in arrays.items():
        digest.update(f"{key}:{array.shape};".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


for _made in SYNTHETIC.values():
    DATASETS.add(
        _made.name,
        DatasetEntry(
            name=_made.name,
            sizes=_made.sizes,
            task=_made.task,
            classes=_made.classes,
            channels=_made.channels,
            ndim=_made.ndim,
            counts=dict(zip(OFFICIAL_GROUPS, _made.counts, strict=True)),
            licence=_LICENCE,
            citation=CITATION,
            url="",
            source="synthetic",
            open=partial(_open, _made.name),
        ),
    )
