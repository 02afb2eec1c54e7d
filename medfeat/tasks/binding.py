"""A task belongs to images, not to a name: saved beside them, found for them, refused for others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from medfeat.errors import DataError, MissingFileError
from medfeat.tasks.check import examples
from medfeat.tasks.file import dataset_tasks, load_task, save_task, task_names, task_path
from medfeat.tasks.readable import Readable
from medfeat.tasks.versions import Versions, image_key, known_versions, read_contents, read_versions, short
from medfeat.types import IdArray, Task
from medfeat_cache import FeatureStore, StoreError, StoreHeader, find_stores

Images = dict[str, bytes]


def tasks_folder(store: Readable) -> Path:
    """Return the folder of the saved tasks of a store's dataset; it need not exist.

    Tasks of own images lie in a folder of it for each version, see `tasks_of`.
    """
    return store.path.parent.parent / "tasks"


def tasks_of(root: Path, dataset: str, content: str) -> Path:
    """Return the folder of the tasks of one version of a dataset; it need not exist."""
    return dataset_tasks(root, dataset) / short(content)


def images_of(store: Readable) -> str:
    """Return what tasks of a store's images are bound to; empty for official sets, whose names say it."""
    key = image_key(store.info)
    return _versions(store).canonical(key) if key else ""


def keep_task(task: Task, store: Readable) -> Path:
    """Save a task beside the images of a store, and bind it to them."""
    key = images_of(store)
    return save_task(replace(task, images=key), tasks_folder(store) / short(key) if key else tasks_folder(store))


def find_task(name: str, store: Readable) -> Task:
    """Return the saved task of a name that was asked of the images of a store.

    A task of another version is taken where every image it asks of is unchanged in this one, and its origin says so.

    Raises
    ------
    MissingFileError
        There is no such task; the message names those there are.
    DataError
        It asks of other images than the store's.
    """
    key, folder = images_of(store), tasks_folder(store)
    here = folder / short(key) if key else folder
    if task_path(name, here).is_file():
        return load_task(name, here)
    if task_path(name, folder).is_file():
        return bound(of_a_name(load_task(name, folder), store), store)
    others = sorted(path.parent for path in folder.glob(f"*/{task_path(name, folder).name}"))
    if len(others) > 1 and not key:
        raise DataError(
            f"{store.path} tells no images, and {len(others)} versions of its dataset have a task {name!r}: "
            "import the features again with --data NAME@NUMBER"
        )
    if others:
        return bound(load_task(name, max(others, key=lambda path: task_path(name, path).stat().st_mtime_ns)), store)
    known = ", ".join(sorted({*task_names(here), *task_names(folder)})) or "none"
    raise MissingFileError(
        f"there is no task {name!r} in {here} (saved there: {known}): save one with --labels or --relabel"
    )


def bound(task: Task, store: Readable) -> Task:
    """Return the task when it may be asked of a store: bound to its images, to others that are the same, or to none.

    Raises
    ------
    DataError
        Some of its ids show other images there, or are not there; the message says how many, and where to ask.
    """
    key = images_of(store)
    if not key or not task.images:
        return task
    versions = _versions(store)
    if versions.canonical(task.images) == key:
        return task
    mine, theirs = _both(store, versions, key, versions.canonical(task.images))
    unlike = [name for name in task.ids.tolist() if name not in mine or mine[name] != theirs.get(name)]
    there, made = versions.name(key), versions.name(task.images)
    if unlike:
        raise DataError(
            f"task {task.name!r} was made for {made}: {len(unlike)} of its {len(task.ids)} images are others in "
            f"{there}, or not known to be the same, such as {examples(unlike, 2)}; "
            f"ask it with --data {made}, or give labels anew"
        )
    return replace(task, images=key, origin=f"{task.origin} (made for {made}; its images are unchanged in {there})")


def unlike_images(first: FeatureStore, other: FeatureStore) -> IdArray:
    """Return the ids under which two stores show different images, as far as they tell, sorted.

    Stores of one version, official sets and imported features are taken at their word: contracts and sizes change
    pixels.
    """
    mine, theirs = images_of(first), images_of(other)
    if not mine or not theirs or mine == theirs:
        return np.empty(0, np.str_)
    one, two = _both(first, _versions(first), mine, theirs)
    return np.array(sorted(name for name in one.keys() | two.keys() if one.get(name) != two.get(name)), dtype=np.str_)


def stored_images(headers: Iterable[StoreHeader], intensity: str | None = None) -> Images:
    """Return the hash of each image that some stores know, by id; under one contract, where it is given."""
    found: Images = {}
    for header in headers:
        if intensity is not None and _declared(header.info) != intensity:
            continue
        try:
            with FeatureStore(header.path) as store:
                for group in store.groups:
                    for name, digest in zip(store.ids(group).tolist(), store.image_hash(group), strict=True):
                        if digest.any():  # zeros: nobody knows
                            found.setdefault(name, digest.tobytes())
        except (StoreError, OSError):
            continue
    return found


def _both(store: Readable, versions: Versions, first: str, second: str) -> tuple[Images, Images]:
    """Return by id what the images of two versions are known by: digests of files, else hashes of pixels."""
    folder = store.path.parent.parent
    files = [read_contents(folder, key) for key in (first, second)]
    if all(files):
        one, two = ({name: digest.encode() for name, digest in of.items()} for of in files)
        return one, two
    intensity, headers = _declared(store.info), _headers(store)
    one, two = (
        stored_images([h for h in headers if versions.canonical(image_key(h.info)) == key], intensity)
        for key in (first, second)
    )
    return one, two


def of_a_name(task: Task, store: Readable) -> Task:
    """Return a task that was saved under a dataset's name, unless an older medfeat did and the name has two meanings.

    Raises
    ------
    DataError
        It does not say its images, and stores of that name show different ones under its ids.
    """
    key = images_of(store)
    if task.images or not key:
        return task
    versions, intensity = _versions(store), _declared(store.info)
    mine: Images = {}
    others: Images = {}
    for header in _headers(store):
        theirs = versions.canonical(image_key(header.info))
        if theirs and not header.info.get("images"):
            (mine if theirs == key else others).update(stored_images([header], intensity))
    asked = set(task.ids.tolist())
    unlike = sorted(name for name in asked & mine.keys() & others.keys() if mine[name] != others[name])
    if unlike:
        raise DataError(
            f"task {task.name!r} was saved by an older medfeat, which did not note its images, and {len(unlike)} of "
            f"its ids show different images in the stores of {versions.dataset}, such as {examples(unlike, 2)}: "
            "extract with the path of the images again (none is embedded twice)"
        )
    return task


def _headers(store: Readable) -> list[StoreHeader]:
    """Return the headers of all stores of a store's dataset."""
    folder = store.path.parent.parent
    return list(find_stores(folder.parent, dataset=str(_name(store))))


def _versions(store: Readable) -> Versions:
    """Return the versions of a store's dataset; other stores are looked at where nothing is written of this one."""
    folder, name = store.path.parent.parent, _name(store)
    written = read_versions(folder, name)
    return written if written.of(image_key(store.info)) else known_versions(folder.parent, name, _headers(store))


def _name(store: Readable) -> str:
    recipe = getattr(store, "recipe", None) or {}
    return str(recipe.get("dataset") or (store.info.get("dataset") or {}).get("name") or store.path.parent.parent.name)


def _declared(info: Mapping[str, Any]) -> str:
    return str((info.get("dataset") or {}).get("intensity", "uint8"))
