"""The 18 MedMNIST sets: found in the package's own folder, or fetched on first use, and checked by MD5."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from medfeat.datasets.digests import DigestMemory
from medfeat.datasets.entry import DATASETS, DatasetEntry, OpenRequest
from medfeat.datasets.medmnist_table import MedmnistFile, MedmnistSet, medmnist_sets
from medfeat.datasets.npz.npz_dataset import NpzArrays, NpzDataset
from medfeat.errors import DataError, MissingFileError, UsageError
from medfeat.types import DatasetInfo, Progress
from medfeat_cache import Stamp

CITATION = (
    "Yang et al., MedMNIST v2 - A large-scale lightweight benchmark for 2D and 3D biomedical image classification, "
    "Scientific Data 10:41 (2023), https://doi.org/10.1038/s41597-022-01721-8, and the sources named there"
)
_URL = "https://medmnist.com"


def default_data_root() -> Path:
    """Return the folder the `medmnist` package keeps its files in, so that files already there are used."""
    try:
        return Path.home() / ".medmnist"
    except RuntimeError as error:  # what pathlib raises
        raise UsageError("no home folder is known (HOME is not set): say where files are with --data-root") from error


def medmnist_path(name: str, size: int, data_root: Path | None = None) -> Path:
    """Return where the official file of a set and size is, or would be."""
    return (data_root or default_data_root()) / medmnist_sets()[name].files[size].filename


def open_medmnist(name: str, size: int, request: OpenRequest) -> NpzDataset:
    """Open an official set, fetching its file when it is not there.

    Raises
    ------
    MissingFileError
        When the file is not there and may not, or cannot, be fetched.
    DataError
        When its MD5 or its arrays are not the official ones.
    """
    facts = medmnist_sets()[name]
    file = facts.files[size]
    path = medmnist_path(name, size, request.data_root)
    if not path.is_file():
        _fetch(file, path, request)
    stamp = Stamp.of(path)
    found = _checked_md5(path, file, request.memory, request.progress)
    arrays = NpzArrays(path, stamp)
    _check_form(arrays, facts, size)
    arrays.read_unpacked(found, request.memory, request.progress, wanted=request.unpack)
    return NpzDataset(arrays, medmnist_info(facts, size, f"md5:{found}"), workers=request.workers)


def medmnist_info(facts: MedmnistSet, size: int, fingerprint: str) -> DatasetInfo:
    """Return what is known of an official set at one size."""
    return DatasetInfo(
        name=facts.name,
        size=size,
        task=facts.task,
        classes=facts.classes,
        channels=facts.channels,
        ndim=facts.ndim,
        counts=dict(facts.counts),
        fingerprint=fingerprint,
        licence=facts.licence,
        citation=CITATION,
        url=_URL,
        source="medmnist",
    )


def official_file(md5: str) -> tuple[MedmnistSet, int] | None:
    """Return the set and size an MD5 belongs to, so that an official file is known under any name."""
    for facts in medmnist_sets().values():
        for size, file in facts.files.items():
            if file.md5 == md5:
                return facts, size
    return None


def _fetch(file: MedmnistFile, path: Path, request: OpenRequest) -> None:
    if request.offline:
        raise MissingFileError(
            f"{path} is not there and offline forbids to fetch it: get {file.url} (MD5 {file.md5}) and put it there, "
            "or name the folder that has it with --data-root"
        )
    from medfeat.download import Expected, download  # brings in http and ssl

    wanted, otherwise = Expected("md5", file.md5), "name the folder that has it with --data-root"
    download(file.url, path, expected=wanted, otherwise=otherwise, progress=request.progress)
    request.memory.remember(path, "md5", file.md5)
    request.memory.save()


def _checked_md5(path: Path, file: MedmnistFile, memory: DigestMemory, progress: Progress) -> str:
    found = memory.recall(path, "md5")
    if found is None:
        progress.start(path.stat().st_size, f"checking {path.name}", "bytes")
        try:
            found = memory.digest(path, "md5", progress=progress)
        finally:
            progress.finish()
        memory.save()
    if found != file.md5:
        raise DataError(
            f"{path} has MD5 {found} where the official file has {file.md5}: it is damaged or another file; "
            f"move it away and run again, or get it from {file.url}"
        )
    return found


def _check_form(arrays: NpzArrays, facts: MedmnistSet, size: int) -> None:
    expected = (size,) * facts.ndim + ((3,) if facts.channels == 3 else ())
    if arrays.counts != dict(facts.counts) or arrays.image_shape != expected:
        raise DataError(
            f"{arrays.path} holds {_by_split(arrays.counts)} images of shape {arrays.image_shape}; {facts.name} at "
            f"{size} px has {_by_split(facts.counts)} of shape {expected}"
        )


def _by_split(counts: Mapping[str, int]) -> str:
    return " + ".join(f"{n} {split}" for split, n in counts.items())


def _entry(facts: MedmnistSet) -> DatasetEntry:
    return DatasetEntry(
        name=facts.name,
        sizes=tuple(facts.files),
        task=facts.task,
        classes=facts.classes,
        channels=facts.channels,
        ndim=facts.ndim,
        counts=facts.counts,
        licence=facts.licence,
        citation=CITATION,
        url=_URL,
        source="medmnist",
        open=partial(open_medmnist, facts.name),
        file=partial(medmnist_path, facts.name),
        known=lambda size: medmnist_info(facts, size, f"md5:{facts.files[size].md5}"),
    )


for _facts in medmnist_sets().values():
    DATASETS.add(_facts.name, _entry(_facts))
