"""Versions of a dataset of one's own: which images went by its name, numbered, and which of them the name means."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from medfeat.errors import UsageError
from medfeat.types import OFFICIAL_SOURCES
from medfeat_cache import StoreHeader, make_folder, slug, write_whole
from medfeat_cache.reading import read_json

# The digests of two million files.
_CONTENTS_BYTES = 256 << 20
FORMAT = "medfeat-versions"
FILE = "versions.json"
FOLDER = "versions"
_NUMBERED = re.compile(r"(?P<name>.+)@(?P<number>\d+)")


@dataclass(frozen=True)
class Version:
    """Images that went by a name.

    Attributes
    ----------
    number
        From 1, in the order in which they came; it stays.
    keys
        By what stores and tasks call these images: their content first, then fingerprints of the same images, as they
        were read by one contract or decoder and then by another, the last one last.
    sources
        Paths they were opened at, the last one last.
    images
        How many there are, unreadable ones included.
    """

    number: int
    keys: tuple[str, ...]
    sources: tuple[str, ...] = ()
    images: int = 0

    @property
    def content(self) -> str:
        """What tasks of these images are bound to."""
        return self.keys[0]

    def seen(self, keys: Iterable[str], sources: Iterable[str] = ()) -> Version:
        """Return it with these keys and sources as the last ones."""
        last = tuple(key for key in dict.fromkeys(keys) if key and key != self.content)
        there = tuple(source for source in sources if source)
        older = tuple(key for key in self.keys[1:] if key not in last)
        kept = tuple(source for source in self.sources if source not in there)
        return replace(self, keys=(self.content, *older, *last), sources=kept + there)


@dataclass(frozen=True)
class Versions:
    """All versions of one dataset.

    Attributes
    ----------
    dataset
        Its name.
    known
        In the order of their numbers.
    current
        Number of the one that was extracted last, which the name alone means; 0 when there is none.
    """

    dataset: str
    known: tuple[Version, ...] = ()
    current: int = 0

    def of(self, key: str) -> Version | None:
        """Return the version that a store or a task calls so, None when it is none of them."""
        return next((one for one in self.known if key and key in one.keys), None)

    def numbered(self, number: int) -> Version:
        """Return a version by its number; a `UsageError` names those there are."""
        for one in self.known:
            if one.number == number:
                return one
        there = ", ".join(f"{self.dataset}@{one.number}" for one in self.known)
        said = f"there are {there}" if there else f"{self.dataset} has no versions: leave the number out"
        raise UsageError(f"no version {number} of {self.dataset} in the cache: {said}")

    def canonical(self, key: str) -> str:
        """Return the content that a key stands for; a key of no version stands for itself."""
        found = self.of(key)
        return key if found is None else found.content

    def name(self, key: str) -> str:
        """Name images as a person does: by the dataset, and by the number where there are several versions."""
        found = self.of(key)
        return self.dataset if found is None or len(self.known) < 2 else f"{self.dataset}@{found.number}"

    def added(self, keys: Iterable[str], *, sources: Iterable[str], images: int) -> Versions:
        """Return these and a new version, which is the current one."""
        number = max((one.number for one in self.known), default=0) + 1
        new = Version(number, tuple(dict.fromkeys(key for key in keys if key)), tuple(sources), images)
        return replace(self, known=(*self.known, new), current=number)

    def updated(self, version: Version, *, current: bool = True) -> Versions:
        """Return these with one of them replaced, by its number."""
        known = tuple(version if one.number == version.number else one for one in self.known)
        return replace(self, known=known, current=version.number if current else self.current)


def image_key(info: Mapping[str, Any]) -> str:
    """Return what the images of a store are called: their content, or what stood for it in older stores.

    Official sets have none, for their names stand for known images; imported features have the one they were imported
    for, if any.
    """
    dataset = info.get("dataset") or {}
    if dataset.get("source") in (None, *OFFICIAL_SOURCES):
        return str(info.get("images") or "")
    # The fingerprint of an npz says the contract behind a semicolon.
    return str(dataset.get("content") or str(dataset.get("fingerprint") or "").partition(";")[0])


def read_versions(folder: Path, dataset: str = "") -> Versions:
    """Return what is written down of a dataset's versions.

    Parameters
    ----------
    folder
        Of the dataset in the cache.
    dataset
        Its name, where it is known. A file that is not there or cannot be read is an empty one: the stores tell of
        their images too.
    """
    try:
        content = read_json(folder / FILE)
        known = tuple(
            Version(int(one["number"]), tuple(one["keys"]), tuple(one["sources"]), int(one["images"]))
            for one in content["versions"]
        )
        name = dataset or str(content["dataset"])
        return Versions(name, tuple(one for one in known if one.keys), int(content["current"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Versions(dataset)


def write_versions(folder: Path, versions: Versions) -> None:
    """Write down a dataset's versions, whole or not at all."""
    content = {
        "format": FORMAT,
        "version": 1,
        "dataset": versions.dataset,
        "current": versions.current,
        "versions": [asdict(one) for one in versions.known],
    }
    make_folder(folder)
    write_whole(folder / FILE, [json.dumps(content, indent=1).encode()], "noting the versions of a dataset")


def known_versions(root: Path, dataset: str, headers: Iterable[StoreHeader]) -> Versions:
    """Return the versions of a dataset: those written down, and those that only its stores tell of, oldest first.

    Parameters
    ----------
    root
        Of the cache.
    dataset
        Its name.
    headers
        Of all stores of that name.
    """
    found = read_versions(root / slug(dataset), dataset)
    written = found.current
    for header in sorted(headers, key=lambda one: (one.created_utc, one.digest)):
        key = image_key(header.info)
        if not key or header.info.get("images") or found.of(key) is not None:
            continue
        source = str((header.info.get("source") or {}).get("data") or "")
        twin = next((one for one in found.known if _read_otherwise(header, one, source)), None)
        if twin is not None:
            found = found.updated(twin.seen([key]))
        else:
            images = sum((header.info["dataset"].get("counts") or header.counts).values())
            found = found.added([key], sources=[source] if source else [], images=images)
    return replace(found, current=written or found.current)


def _read_otherwise(header: StoreHeader, version: Version, source: str) -> bool:
    """Whether a store of an older medfeat holds the images of a version under another contract, as far as it tells."""
    facts = header.info["dataset"]
    declared = facts.get("intensity", "uint8") != "uint8"
    images = sum((facts.get("counts") or {}).values())
    return bool(declared and not facts.get("content") and source in version.sources and images == version.images)


def split_name(data: str) -> tuple[str, int | None]:
    """Split ``name@2`` into the name and the number of a version, None where none is said.

    Examples
    --------
    >>> split_name("lesions@2"), split_name("lesions")
    (('lesions', 2), ('lesions', None))
    """
    match = _NUMBERED.fullmatch(data)
    return (match["name"], int(match["number"])) if match else (data, None)


def short(key: str) -> str:
    """Return 12 hex digits for a key: the name of a folder or a file."""
    return hashlib.blake2b(key.encode(), digest_size=6).hexdigest()


def write_contents(folder: Path, key: str, contents: Mapping[str, str]) -> None:
    """Keep the digests of a version's files by id, so that the next one can be compared without decoding an image."""
    path = folder / FOLDER / f"{short(key)}.json"
    make_folder(path.parent)
    write_whole(path, [json.dumps(dict(contents), ensure_ascii=False).encode()], "noting the files of a dataset")


def read_contents(folder: Path, key: str) -> dict[str, str]:
    """Return the digests of a version's files by id; empty where they are not known."""
    try:
        content = read_json(folder / FOLDER / f"{short(key)}.json", limit=_CONTENTS_BYTES)
    except (OSError, ValueError):
        return {}
    return {str(k): str(v) for k, v in content.items()} if isinstance(content, dict) else {}
