"""Which stores are there: their headers, without their bytes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from medfeat_cache.errors import StoreError, StoreInputError
from medfeat_cache.header import StoreHeader
from medfeat_cache.header_index import HeaderIndex
from medfeat_cache.key import canonical_json
from medfeat_cache.root import STORE_NAME, is_parts_folder, parts_folder, slug, store_beside


class Found(list[StoreHeader]):
    """The stores that were found, and beside them the files that could not be read.

    Attributes
    ----------
    problems
        (path, one line) of each file that is no readable store.
    """

    def __init__(self, headers: Iterable[StoreHeader] = (), problems: Iterable[tuple[Path, str]] = ()) -> None:
        super().__init__(headers)
        self.problems = list(problems)


def _matches(header: StoreHeader, query: dict[str, Any]) -> bool:
    facts = {**header.info, **header.recipe}
    return all(facts.get(name) in _choices(wanted) for name, wanted in query.items())


def _choices(wanted: Any) -> Collection[Any]:
    return wanted if isinstance(wanted, tuple | list | set | frozenset) else (wanted,)


def _folders(wanted: Any) -> list[str]:
    """Return the folders that stores of these names lie in; ``*`` when any name will do."""
    if wanted is None or not all(isinstance(name, str) for name in _choices(wanted)):
        return ["*"]
    folders = set()
    for name in _choices(wanted):
        with suppress(StoreInputError):  # a name that no folder can have is the name of no store
            folders.add(slug(name))
    return sorted(folders)


def store_files(root: str | Path, *, dataset: Any = None, backbone: Any = None) -> list[Path]:
    """Return the files below `root` that are named like stores, sorted by path; none is opened.

    Parameters
    ----------
    root
        From `medfeat_cache.resolve_root`.
    dataset, backbone
        Look only into the folders of these names; a tuple, list or set gives alternatives, None means any.
    """
    places = [
        path
        for data in _folders(dataset)
        for network in _folders(backbone)
        for path in Path(root).glob(f"{data}/{network}/*.h5")
    ]
    return sorted(path for path in places if STORE_NAME.fullmatch(path.name))


def locate(root: str | Path, which: str) -> list[Path]:
    """Return the stores that a person may mean, whole, damaged or unfinished: no file is opened.

    Parameters
    ----------
    root
        From `medfeat_cache.resolve_root`.
    which
        The path of a store or of a folder of parts, the name of its file, or the first digits of its digest.

    Returns
    -------
    list of Path
        As `medfeat_cache.remove` takes them, sorted; of a store that is unfinished, where its file will be.
    """
    path = Path(which).expanduser()
    unfinished = STORE_NAME.fullmatch(path.name) and parts_folder(path).is_dir()
    if path.is_file() or unfinished or (is_parts_folder(path) and path.is_dir()):
        return [path]
    digits = path.name.removesuffix(".h5").lower()
    if len(path.parts) != 1 or not re.fullmatch(r"[0-9a-f]{1,64}", digits):
        return []
    begun = map(store_beside, filter(is_parts_folder, Path(root).glob("*/*/.*.parts")))
    return [found for found in sorted({*store_files(root), *begun}) if found.stem.startswith(digits[:12])]


def find_stores(root: str | Path, **query: Any) -> Found:
    """Return the headers of all stores below `root` that match, sorted by path.

    Parameters
    ----------
    root
        From `medfeat_cache.resolve_root`; a folder that does not exist holds no stores.
    query
        Fields of the recipe, or of the info, and the value each must have; a tuple, list or set gives alternatives,
        None means any. Naming the `dataset` or `backbone` looks only at the files in their folders.

    Returns
    -------
    Found
        A list; its `problems` names the files that could not be read.
    """
    asked = {name: value for name, value in query.items() if value is not None}
    headers, problems, index = [], [], HeaderIndex(Path(root))
    files = store_files(root, dataset=query.get("dataset"), backbone=query.get("backbone"))
    for path in files:
        try:
            header = index.header(path)
        except (StoreError, OSError) as error:
            problems.append((path, str(error)))
            continue
        if _matches(header, asked):
            headers.append(header)
    every = query.get("dataset") is None and query.get("backbone") is None
    index.save(among=files if every else None)
    return Found(headers, problems)


class Catalogue:
    """The stores below a root, looked at once for many questions: none of them is listed or read a second time.

    Parameters
    ----------
    root
        From `medfeat_cache.resolve_root`.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self._every: Found | None = None

    def find(self, **query: Any) -> Found:
        """Return what `find_stores` would: all there are, once they were asked for, are told apart from memory."""
        narrow = query.get("dataset") is not None or query.get("backbone") is not None
        if self._every is None and narrow:
            return find_stores(self.root, **query)  # one folder may be all that anybody asks for
        if self._every is None:
            self._every = find_stores(self.root)
        asked = {name: value for name, value in query.items() if value is not None}
        data, network = _folders(query.get("dataset")), _folders(query.get("backbone"))
        near = [
            (path, problem)
            for path, problem in self._every.problems
            if {"*", path.parent.parent.name} & {*data} and {"*", path.parent.name} & {*network}
        ]
        return Found([header for header in self._every if _matches(header, asked)], near)


def differences(headers: Iterable[StoreHeader]) -> dict[str, list[Any]]:
    """Return the recipe fields in which stores differ, each with its values: what to name when several match."""
    recipes = [header.recipe for header in headers]
    names = sorted({name for recipe in recipes for name in recipe})
    values = {name: [recipe.get(name) for recipe in recipes] for name in names}
    return {name: column for name, column in values.items() if len({canonical_json(value) for value in column}) > 1}
