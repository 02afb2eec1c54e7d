"""Open the user's own images: told apart by what the path is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medfeat.datasets.digests import DigestMemory
from medfeat.errors import MissingFileError
from medfeat.types import Dataset, Progress, TaskType


@dataclass(frozen=True)
class OwnOptions:
    """What a person may say about own images; the meaning of each is told at `open_dataset`."""

    name: str | None = None
    intensity: str | None = None
    task: TaskType | None = None
    path_column: str | None = None
    label_columns: str | Sequence[str] | None = None
    split_column: str | None = None
    patient_column: str | None = None
    root: Path | None = None

    def given(self) -> list[str]:
        """Return the names of the options that only own images have, and that were given."""
        own = ("name", "intensity", "task", "path_column", "label_columns", "split_column", "patient_column")
        return [option for option in own if getattr(self, option) is not None]


def open_own(
    path: Path, options: OwnOptions, *, taken: Sequence[str], progress: Progress, memory: DigestMemory
) -> Dataset:
    """Open a folder, CSV, .npz or image."""
    raise MissingFileError(f"{path} is not there; name a folder, .csv, .npz or image")
