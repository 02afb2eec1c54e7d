"""How a dataset is opened, as plain values: the same options for every command, kept in the store to open it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

from medfeat.comma_lists import as_names
from medfeat.datasets import DATASETS, DigestMemory, Given, ObjectOptions, open_dataset, open_object
from medfeat.datasets.labels.class_spelling import class_list
from medfeat.datasets.objects.object_items import ItemColumns
from medfeat.datasets.reading import AUTO_WORKERS, workers_meant
from medfeat.errors import MissingFileError, UsageError
from medfeat.types import Dataset, Progress, TaskType
from medfeat_cache import find_stores


def _refuse_held(data: str, root: Path) -> None:
    """Say of a name that is in the cache alone, for images that a program held, that nobody can read these again."""
    if data in DATASETS or not data or not any(_held(header.info) for header in find_stores(root, dataset=data)):
        return
    raise UsageError(
        f"{data} in the cache was made from images held in Python, which cannot be read again by that name: give the "
        "images themselves to medfeat.extract; for a fine-tuning, write them as an .npz with train_images, "
        "train_labels, and so on for val and test, and give its path"
    )


def _held(info: Mapping[str, Any]) -> bool:
    return "object" in (info.get("source") or {})


@dataclass(frozen=True)
class ObjectSource:
    """Images that a program holds, and their ids and labels where it gives them beside."""

    data: Any
    ids: Sequence[str] | None = None
    labels: Sequence[Any] | None = None

    def __str__(self) -> str:
        """Return what it is, for a message."""
        return f"the {type(self.data).__name__}"


Source = str | ObjectSource


@dataclass(frozen=True)
class DataOptions:
    """Options of `medfeat.datasets.open_dataset`, all but where digests are remembered; None means the default."""

    size: int | None = None
    data_root: str | None = None
    offline: bool = False
    name: str | None = None
    intensity: str | None = None
    task: TaskType | None = None
    classes: tuple[str, ...] | None = None
    path_column: str | None = None
    label_column: tuple[str, ...] | None = None
    split_column: str | None = None
    patient_column: str | None = None
    volumes: str | None = None
    workers: int | None = None
    unpack: bool = False

    @classmethod
    def of(
        cls,
        *,
        size: int | None = None,
        data_root: str | Path | None = None,
        offline: bool = False,
        name: str | None = None,
        intensity: str | None = None,
        task: str | None = None,
        classes: str | Sequence[str] | None = None,
        path_column: str | None = None,
        label_column: str | Sequence[str] | None = None,
        split_column: str | None = None,
        patient_column: str | None = None,
        volumes: str | None = None,
    ) -> DataOptions:
        """Take the options as a person gives them: paths, and comma lists of columns."""
        return cls(
            size=size,
            data_root=None if data_root is None else str(data_root),
            offline=offline,
            name=name,
            intensity=intensity,
            task=cast("TaskType | None", task),  # checked where the data is opened
            classes=None if classes is None else class_list(classes),
            path_column=path_column,
            label_column=None if label_column is None else as_names(label_column),
            split_column=split_column,
            patient_column=patient_column,
            volumes=volumes,
        )

    def read_by(self, workers: int | str | None, *, unpack: bool = False) -> DataOptions:
        """Return the same options for so many threads that decode and hash images: ``auto``, or a number.

        With `unpack` an .npz is inflated into the cache once, see `medfeat.datasets.open_dataset`.
        """
        threads = None if workers in (None, AUTO_WORKERS) else workers_meant(workers)
        return replace(self, workers=threads, unpack=unpack)

    def open(self, data: str, *, root: Path, progress: Progress, recheck: bool = False) -> Dataset:
        """Open a dataset; digests of its files are remembered under the cache's root, until `recheck` forgets them."""
        if recheck:
            DigestMemory.of_cache(root).forget()
        try:
            return open_dataset(data, **asdict(self), progress=progress, memory=root)
        except (UsageError, MissingFileError):
            _refuse_held(data, root)
            raise

    @staticmethod
    def place(data: str) -> str:
        """Spell where data is so that it is found from any folder; a registered name stays one."""
        return data if data in DATASETS else str(Path(data).expanduser().absolute())

    def given(self, source: Source, *, root: Path, progress: Progress, recheck: bool = False) -> Given:
        """Open a dataset as `open` does, or make one of an object; say how the same data is opened again."""
        if isinstance(source, str):
            return Given(self.open(source, root=root, progress=progress, recheck=recheck), self.source(source))
        for option in ("size", "data_root", "split_column", "volumes", "unpack"):
            if getattr(self, option) not in (None, False):
                raise UsageError(f"{option} is for data that is named, and this is an object of Python; leave it out")
        if self.label_column is not None and len(self.label_column) != 1:
            raise UsageError("label_column is one column of a Hugging Face dataset")
        label = None if self.label_column is None else self.label_column[0]
        options = ObjectOptions(
            self.name,
            source.ids,
            source.labels,
            classes=self.classes or (),
            intensity=self.intensity,
            task=self.task,
            columns=ItemColumns(self.path_column, label, self.patient_column),
            workers=self.workers,
        )
        return open_object(source.data, options, progress, DigestMemory.of_cache(root))

    def source(self, data: str) -> dict[str, Any]:
        """Spell it so that `from_source` opens the same data from any folder."""
        root = None if self.data_root is None else str(Path(self.data_root).absolute())
        told = asdict(replace(self, data_root=root))
        del told["workers"], told["unpack"]  # how fast it is read is no part of what it is
        return {"data": self.place(data), **told}

    @classmethod
    def from_source(
        cls, source: Mapping[str, Any], *, data_root: str | Path | None = None, offline: bool | None = None
    ) -> tuple[str, DataOptions]:
        """Read back what `source` spelled; `data_root` says where the files are now, `offline` if they may be fetched.

        Raises
        ------
        UsageError
            It is no place: a program held the images.
        """
        if "data" not in source:
            raise UsageError("the images were held by a program: they cannot be opened again from here")
        values = {key: value for key, value in source.items() if key != "data"}
        for several in ("label_column", "classes"):
            if values.get(several) is not None:
                values[several] = tuple(values[several])
        if data_root is not None:
            values["data_root"] = str(data_root)
        if offline is not None:
            values["offline"] = offline
        return str(source["data"]), cls(**values)
