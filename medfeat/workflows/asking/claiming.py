"""Which version of a dataset are these images? Decided before one of them is embedded, and said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from medfeat.counted import counted
from medfeat.datasets import source_task
from medfeat.datasets.decoding.decode import DECODER_VERSION
from medfeat.datasets.folders.files_dataset import FilesDataset
from medfeat.datasets.hashing import image_hash
from medfeat.datasets.splits.earlier_places import was_drawn
from medfeat.errors import UsageError
from medfeat.evaluation.runs.run import task_digest
from medfeat.tasks import OFFICIAL, dataset_tasks, load_task, save_task, task_names, tasks_of
from medfeat.tasks.binding import stored_images
from medfeat.tasks.check import examples
from medfeat.tasks.versions import (
    Version,
    Versions,
    image_key,
    known_versions,
    read_contents,
    read_versions,
    write_contents,
    write_versions,
)
from medfeat.types import OFFICIAL_SOURCES, Dataset, Progress, Task
from medfeat.workflows.asking.earlier_split import saved_question, split_of, split_since
from medfeat_cache import StoreHeader, find_stores, slug

_READ_BATCH = 64
_UNREADABLE = "unreadable"


@dataclass(frozen=True)
class VersionChange:
    """How images differ from those of a version, by content: ids that are new, gone, or other names of the same.

    `same` tells by which id the version calls an image that is in both.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    renamed: int
    common: int
    same: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def between(cls, old: Mapping[str, str | bytes], new: Mapping[str, str | bytes]) -> VersionChange:
        """Compare two sets of images, each told by id and content."""
        before, after = set(old.values()), set(new.values())
        names = {content: name for name, content in old.items()}
        same = [name for name, content in new.items() if content in before]
        return cls(
            added=tuple(sorted(name for name, content in new.items() if content not in before)),
            removed=tuple(sorted(name for name, content in old.items() if content not in after)),
            renamed=sum(old.get(name) != new[name] for name in same),
            common=len(same),
            same={name: name if old.get(name) == new[name] else names[new[name]] for name in same},
        )

    @property
    def nothing(self) -> bool:
        """Whether ids and images are the same."""
        return not (self.added or self.removed or self.renamed)

    def words(self) -> str:
        """Say it in a few words."""
        added = f"{counted(len(self.added), 'image')} added" + (f" ({examples(self.added)})" if self.added else "")
        removed = f"{len(self.removed)} removed" + (f" ({examples(self.removed)})" if self.removed else "")
        renamed = f", {self.renamed} under other ids" if self.renamed else ""
        return f"{added}, {removed}{renamed}"


@dataclass(frozen=True)
class Claim:
    """The images of a dataset under its name in the cache.

    Attributes
    ----------
    folder
        Of the dataset in the cache.
    versions, version
        All of them with this one, and this one; nothing of it is written down yet.
    contents
        Digests of its files by id, where they are known.
    since, same
        Where the version is new: the one that it follows, and how that calls each image that is in both.
    """

    folder: Path
    versions: Versions
    version: Version
    contents: Mapping[str, str]
    since: Version | None = None
    same: Mapping[str, str] = field(default_factory=dict)

    def settle(self) -> None:
        """Write down that the name means these images now: once a store of them is there."""
        ours = read_versions(self.folder, self.versions.dataset)
        found = next((one for key in self.version.keys if (one := ours.of(key)) is not None), None)
        if not ours.known:
            ours = self.versions
        elif found is not None:
            ours = ours.updated(found.seen(self.version.keys, self.version.sources))
        elif any(one.number == self.version.number for one in ours.known):  # another process was faster
            ours = ours.added(self.version.keys, sources=self.version.sources, images=self.version.images)
        else:
            missing = [one for one in self.versions.known if all(one.number != mine.number for mine in ours.known)]
            known = sorted((*ours.known, *missing), key=lambda one: one.number)
            ours = replace(ours, known=tuple(known), current=self.version.number)
        write_versions(self.folder, ours)
        if self.contents and read_contents(self.folder, self.version.content) != self.contents:
            write_contents(self.folder, self.version.content, self.contents)


def claim(dataset: Dataset, root: Path, *, source: str, progress: Progress) -> Claim | None:
    """Find the version that the images of a dataset are, or number a new one; None for official sets.

    Parameters
    ----------
    dataset
        Opened under the name it will have in the cache.
    root
        Of the cache.
    source
        Where it is, as a path; empty for what only a program holds, which has no place of its own.
    progress
        Told of a version that is new, or that is meant again.

    Raises
    ------
    UsageError
        The name is that of other images: none of these is among them, and they are not where those were.
    """
    info = dataset.info
    if info.source in OFFICIAL_SOURCES:
        return None
    headers = list(find_stores(root, dataset=info.name))
    folder, versions = root / slug(info.name), known_versions(root, info.name, headers)
    contents = _contents(dataset)
    count = sum(info.counts.values())
    sources = [source] if source else []
    keys = (info.content or info.fingerprint, info.fingerprint)
    same = _same_files(dataset, headers, versions)
    there = [one for one in versions.known if _stores_of(headers, versions, one)]
    if same is None and there:
        same, change, other = _compared(
            dataset,
            contents,
            folder=folder,
            versions=versions,
            there=there,
            headers=headers,
            source=source,
            progress=progress,
        )
        if same is None:
            new = versions.added(keys, sources=sources, images=count)
            progress.say(_new_version(new, other, change))
            return Claim(folder, new, new.known[-1], contents, other, _followed(change, contents, folder, other))
    if same is None:
        new = versions.added(keys, sources=sources, images=count)
        return Claim(folder, new, new.known[-1], contents)
    if same.number != versions.current:
        progress.say(
            f"these are the images of {info.name}@{same.number}, which --data {info.name} means again from now on "
            f"(it meant {info.name}@{versions.current})"
        )
    same = same.seen(keys, sources)
    return Claim(folder, versions.updated(same), same, contents)


def remember_labels(
    dataset: Dataset, root: Path, content: str, progress: Progress, claimed: Claim | None = None
) -> None:
    """Keep labels and split of own images beside their stores; say what becomes of those that were there before.

    A split that medfeat drew stays: of the same images, and of those that a new version, `claimed`, has from the one
    before.
    """
    folder = tasks_of(root, dataset.info.name, content)
    before = saved_question(folder) or _saved_unbound(dataset, dataset_tasks(root, dataset.info.name))
    if dataset.info.task is None:
        if before is not None:
            progress.say(f"{dataset.info.name}: no labels here; those given for the same images before stay in use")
        return
    earlier = None
    if before is not None:
        earlier = split_of(f"{dataset.info.name} before", before)
    elif claimed is not None and claimed.since is not None:
        earlier = split_since(dataset.info.name, root, claimed.since, claimed.same)
    task = replace(source_task(dataset, earlier=earlier), images=content)
    if before is not None and task_digest(before) == task_digest(task):
        task = replace(task, origin=before.origin)
    elif before is not None:
        name = _put_aside(before, folder)
        progress.say(
            f"{dataset.info.name}: the images are the same, {_told(before, task)}: from now on the newer are used; "
            f"those before stay as --task {name}"
        )
    save_task(task, folder)
    progress.say(f"{dataset.info.name}: {task.origin}")
    if task.group is None and was_drawn(task) and isinstance(dataset, FilesDataset):
        progress.say(
            f"{dataset.info.name}: no patients are known, so images of one patient may be in two splits; name them in "
            "a column patient of a CSV with path,label,patient, given as --data (vectors are copied, not made again)"
        )


def _compared(
    dataset: Dataset,
    contents: Mapping[str, str],
    *,
    folder: Path,
    versions: Versions,
    there: list[Version],
    headers: list[StoreHeader],
    source: str,
    progress: Progress,
) -> tuple[Version | None, VersionChange, Version]:
    """Compare images with those of every version that has a store, the current one first.

    Returns
    -------
    tuple
        The version they are, if any; else how they differ from the first that has an image in common, and this one.
    """
    order = sorted(there, key=lambda one: (one.number != versions.current, -one.number))
    for one in order:
        change = VersionChange.between(_readable(read_contents(folder, one.content)), _readable(contents))
        if change.common:
            return None, change, one
    mine = _hashes(dataset, progress)
    for one in order:
        theirs = stored_images(_stores_of(headers, versions, one))
        change = VersionChange.between(theirs, mine)
        if change.common:
            return (one if change.nothing else None), change, one
    at = next((one for one in order if source in one.sources), None)
    if at is None:
        raise _another_dataset(dataset.info.name, source, order[0])
    return None, VersionChange.between(stored_images(_stores_of(headers, versions, at)), mine), at


def _another_dataset(name: str, source: str, version: Version) -> UsageError:
    of = f"those of {version.sources[-1]}" if version.sources else f"{version.images} others"
    return UsageError(
        f"{name!r} is the name of other images in the cache, {of}, and none of {source or 'these'} is among them: "
        "call these otherwise with --name"
    )


def _followed(change: VersionChange, contents: Mapping[str, str], folder: Path, other: Version) -> Mapping[str, str]:
    """Say how a version calls each image that is there still; a file that was edited is the one of its name."""
    edited = set(contents) & set(read_contents(folder, other.content)) if change.common else set[str]()
    return {name: name for name in edited} | dict(change.same)


def _new_version(versions: Versions, other: Version, change: VersionChange) -> str:
    name, number = versions.dataset, versions.current
    return (
        f"{name}@{number} is a new version of {name}: {change.words()} since {name}@{other.number}; "
        f"--data {name} means it from now on, and --data {name}@{other.number} the earlier images"
    )


def _same_files(dataset: Dataset, headers: list[StoreHeader], versions: Versions) -> Version | None:
    """Return the version that holds exactly these files, under whatever contract or decoder they were read."""
    found = versions.of(dataset.info.content) or versions.of(dataset.info.fingerprint)
    if found is not None or not isinstance(dataset, FilesDataset):
        return found
    for header in headers:
        facts = header.info.get("dataset") or {}
        for decoder in range(1, DECODER_VERSION + 1) if not facts.get("content") else ():
            if facts.get("fingerprint") == dataset.fingerprint_as(str(facts.get("intensity")), decoder):
                return versions.of(image_key(header.info))
    return None


def _stores_of(headers: Iterable[StoreHeader], versions: Versions, version: Version) -> list[StoreHeader]:
    return [header for header in headers if versions.of(image_key(header.info)) == version]


def _contents(dataset: Dataset) -> dict[str, str]:
    if not isinstance(dataset, FilesDataset):
        return {}
    return dict(zip(dataset.listing.ids, dataset.contents, strict=True))


def _readable(contents: Mapping[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in contents.items() if digest != _UNREADABLE}


def _hashes(dataset: Dataset, progress: Progress) -> dict[str, bytes]:
    """Hash the pixels of every image that can be read, by id."""
    found: dict[str, bytes] = {}
    progress.start(sum(dataset.info.counts.values()), f"comparing {dataset.info.name} with the cache")
    try:
        for group in dataset.info.counts:
            ids = dataset.ids(group)
            for batch in dataset.batches(group, _READ_BATCH):
                names = ids[batch.rows].tolist()
                found |= {name: image_hash(image) for name, image in zip(names, batch.images, strict=True)}
                progress.advance(len(batch.rows) + len(batch.bad))
    finally:
        progress.finish()
    return found


def _saved_unbound(dataset: Dataset, folder: Path) -> Task | None:
    """Return the labels that an older medfeat saved by the name alone, if they are of the same ids."""
    task = saved_question(folder)
    ids = {str(name) for group in dataset.info.counts for name in dataset.ids(group)}
    return task if task is not None and not task.images and set(task.ids.tolist()) == ids else None


def _put_aside(task: Task, folder: Path) -> str:
    """Save a task under the next free name like ``official-1``, unless it is there already; return its name."""
    number = 1
    while (name := f"{OFFICIAL}-{number}") in task_names(folder):
        if task_digest(replace(load_task(name, folder), name=OFFICIAL)) == task_digest(task):
            return name
        number += 1
    save_task(replace(task, name=name), folder)
    return name


def _told(before: Task, after: Task) -> str:
    """Say what of a task changed, in words."""
    if (before.task_type, before.classes) != (after.task_type, after.classes):
        return f"the labels changed ({before.task_type}, {len(before.classes)} classes before)"
    rows = {name: i for i, name in enumerate(before.ids.tolist())}
    pairs = [(i, rows[name]) for i, name in enumerate(after.ids.tolist()) if name in rows]
    labels = sum(not np.array_equal(after.labels[i], before.labels[j]) for i, j in pairs)
    splits = sum(after.split[i] != before.split[j] for i, j in pairs)
    if not labels and not splits:
        return "their patients or labelled ids changed"
    return f"{labels} of {len(after.ids)} labels and {splits} places in splits changed"
