"""How a dataset is opened, as plain values: the same options for every command, kept in the store to open it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from medfeat.datasets import DATASETS, DigestMemory, open_dataset
from medfeat.datasets.spelling import class_list
from medfeat.types import Dataset, Progress, TaskType, as_names


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

    @classmethod
    def of(
        cls,
        *,
        data_root: str | Path | None = None,
        label_column: str | Sequence[str] | None = None,
        classes: str | Sequence[str] | None = None,
        **values: Any,
    ) -> DataOptions:
        """Take the options as a person gives them: paths, and comma lists of columns."""
        columns = None if label_column is None else as_names(label_column)
        named = None if classes is None else class_list(classes)
        root = None if data_root is None else str(data_root)
        return cls(data_root=root, label_column=columns, classes=named, **values)

    def open(self, data: str, *, root: Path, progress: Progress, recheck: bool = False) -> Dataset:
        """Open a dataset; digests of its files are remembered under the cache's root, until `recheck` forgets them."""
        if recheck:
            DigestMemory.of_cache(root).forget()
        return open_dataset(data, **asdict(self), progress=progress, memory=root)

    @staticmethod
    def place(data: str) -> str:
        """Spell where data is so that it is found from any folder; a registered name stays one."""
        return data if data in DATASETS else str(Path(data).expanduser().absolute())

    def source(self, data: str) -> dict[str, Any]:
        """Spell it so that `from_source` opens the same data from any folder."""
        root = None if self.data_root is None else str(Path(self.data_root).absolute())
        return {"data": self.place(data), **asdict(replace(self, data_root=root))}

    @classmethod
    def from_source(cls, source: Mapping[str, Any], *, data_root: str | Path | None = None) -> tuple[str, DataOptions]:
        """Read back what `source` spelled; `data_root` says where the files are now."""
        values = {key: value for key, value in source.items() if key != "data"}
        for several in ("label_column", "classes"):
            if values.get(several) is not None:
                values[several] = tuple(values[several])
        if data_root is not None:
            values["data_root"] = str(data_root)
        return str(source["data"]), cls(**values)
