"""The names `open_dataset` knows, and what each one stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from medfeat.datasets.digests import DigestMemory
from medfeat.errors import UsageError
from medfeat.registry import Registry
from medfeat.types import Dataset, DatasetInfo, Progress, SilentProgress, TaskType
from medfeat_cache.commands import command


@dataclass(frozen=True)
class OpenRequest:
    """What a person asked of a named dataset.

    Attributes
    ----------
    size
        Side of the images in pixels; None means the entry's first size.
    data_root
        Folder of downloaded files; None means the dataset's own.
    offline
        Forbids every network call.
    progress, memory
        Where progress is shown, and where digests of files are remembered.
    workers
        Threads that decode and hash images; None is one for each core.
    unpack
        Keep the images of an .npz in the cache as they are inflated.
    """

    size: int | None = None
    data_root: Path | None = None
    offline: bool = False
    progress: Progress = field(default_factory=SilentProgress)
    memory: DigestMemory = field(default_factory=DigestMemory)
    workers: int | None = None
    unpack: bool = False


@dataclass(frozen=True, kw_only=True)
class DatasetEntry:
    """A registered dataset: its facts, known without reading anything, and how to open it.

    Attributes
    ----------
    name, sizes
        The name, and the sides in pixels it comes in; the first is the default.
    task, classes
        The official task and the class names in label order.
    channels, ndim, counts
        As in `DatasetInfo`.
    licence, citation, url
        Of the data.
    source
        ``medmnist``, ``synthetic``, or ``plugin`` for those of other packages.
    open
        Opens it at a size that was checked; what it opens has this entry's name.
    file
        Where the file of a size is, or would be; None when the dataset needs none.
    known
        What is known of a size without its file, its fingerprint too; None where only the file tells.
    """

    name: str
    sizes: tuple[int, ...]
    task: TaskType | None
    classes: tuple[str, ...]
    channels: int
    ndim: int
    counts: Mapping[str, int]
    licence: str = "unknown"
    citation: str = ""
    url: str = ""
    source: str = "plugin"
    open: Callable[[int, OpenRequest], Dataset]
    file: Callable[[int, Path | None], Path] | None = None
    known: Callable[[int], DatasetInfo] | None = None

    def checked_size(self, size: int | None) -> int:
        """Return the size to open, the first when None; a `UsageError` names the sizes there are."""
        if size is None:
            return self.sizes[0]
        if size not in self.sizes:
            allowed = ", ".join(str(known) for known in self.sizes)
            raise UsageError(f"size of {self.name} must be one of {allowed}, got {size}")
        return size


def _accept(name: str, named: object) -> DatasetEntry:
    """Take a `DatasetEntry`, a dataset, or a class or factory without arguments that makes one of these."""
    made = named() if callable(named) else named
    if isinstance(made, DatasetEntry):
        return replace(made, name=name)
    if not all(hasattr(made, part) for part in ("info", "ids", "labels", "batches")):
        raise TypeError(f"it names a {type(made).__name__}, not a DatasetEntry, a Dataset or a factory of one")
    dataset = cast(Dataset, made)
    info = dataset.info
    return DatasetEntry(
        name=name,
        sizes=(info.size,),
        task=info.task,
        classes=info.classes,
        channels=info.channels,
        ndim=info.ndim,
        counts=info.counts,
        licence=info.licence,
        citation=info.citation,
        url=info.url,
        open=lambda _size, _request: dataset,
    )


DATASETS: Registry[DatasetEntry] = Registry(
    "dataset",
    f"(see {command('list', 'datasets')}; own images are named by their path, such as ./images)",
    group="medfeat.datasets",
    accept=_accept,
)
