"""Names as a person gives them: a comma list, `all`, or a path whose name a dataset goes by."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from medfeat.comma_lists import as_names
from medfeat.datasets import DATASETS, own_name
from medfeat.errors import UsageError
from medfeat.tasks.versions import Versions, known_versions, read_versions, split_name
from medfeat_cache import Catalogue
from medfeat_cache.commands import command, elsewhere

_TAKEN = {
    "onto": ("names a dataset in the cache", "extract what is to be tested on first, and give its name"),
    "data": (
        "names a dataset in the cache",
        "images held in Python are embedded first, by medfeat.extract(images, BACKBONE, name=NAME), and go by it",
    ),
    "backbone": (
        "names a network",
        "one from medfeat.backbone_from goes by its info.name, once medfeat.extract was given it",
    ),
    "head": ("names a head", "medfeat.probe takes one of your own as it is, and it goes by its name from then on"),
    "store": ("names a store", "give first digits of its digest, or its path"),
    "run": ("names a run", "give its folder, or the beginning of its key: report.runs[0].key"),
    "labels": ("names a CSV", "write one with id and label; those of images held in Python go to medfeat.extract"),
    "study": ("names the TOML file of a study, or a ready-made one", "write what it is to do into such a file"),
    "tuned_data": (
        "names a dataset, or the path of its files",
        "images held in Python cannot be fine-tuned: write them as an .npz with train_images, train_labels, and so on "
        "for val and test, and give its path",
    ),
    "tuned_backbone": (
        "names a network",
        "one from medfeat.backbone_from is fine-tuned by its name, which medfeat.extend.registered(it) returns",
    ),
}


def refuse_objects(**given: object) -> None:
    """Refuse an object of Python where a name or a path stands; what takes images themselves does not ask here.

    Parameters
    ----------
    **given
        What was given for each option of `_TAKEN`: a name, a path, several of these, or None.

    Raises
    ------
    UsageError
        Anything else, with what is taken there and what to do with such an object.
    """
    for option, value in given.items():
        several = isinstance(value, Collection) and not isinstance(value, (str, bytes, Mapping))
        every: Collection[object] = value if several else (value,)  # type: ignore[assignment]  # told one line above
        strange = next((one for one in every if not isinstance(one, (str, os.PathLike, type(None)))), None)
        if strange is not None:
            taken, instead = _TAKEN[option]
            raise UsageError(
                f"{option.removeprefix('tuned_')} {taken}, and this is a {type(value).__name__} of Python: {instead}"
            )


def asked_names(names: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the names of a comma list or a sequence, None for all of them.

    Raises
    ------
    UsageError
        A list of nothing, such as an unset variable of a shell leaves behind.
    """
    if names is None or names == "all":
        return None
    found = as_names(names)
    if not found:
        raise UsageError(f"{names!r} names nothing: give names, `all`, or leave the option out")
    return found


def asked_datasets(data: str | Sequence[str] | None, cache: Catalogue | None = None) -> tuple[str, ...] | None:
    """Return the names that datasets have in the cache, None for all of them.

    Parameters
    ----------
    data
        Names, ``name@2`` for a version, or paths.
    cache
        Where a path is the version that was extracted there, under whatever name.

    Raises
    ------
    UsageError
        A path whose name in the cache is that of images elsewhere.
    """
    names = asked_names(data)
    return None if names is None else tuple(_dataset_name(name, cache) for name in names)


def _dataset_name(data: str, cache: Catalogue | None) -> str:
    """Own images are named by their folder or file, as extraction names them; an official file by its set."""
    base, number = (data, None) if Path(data).expanduser().exists() else split_name(data)
    path = Path(base).expanduser()
    if data in DATASETS or not ("/" in base or "\\" in base or path.is_file()):
        return data
    name = own_name(path, ())
    official = re.sub(r"_(64|128|224)$", "", name)
    if official in DATASETS:
        return official
    if number is not None:
        return f"{name}@{number}"
    return name if cache is None or not path.exists() else _extracted(cache, path, name)


def _extracted(cache: Catalogue, path: Path, name: str) -> str:
    """Return the version that was extracted at a path; the name alone where nobody can tell (a folder that moved)."""
    where = str(path.absolute())
    every = [one for folder in sorted(cache.root.glob("*/")) if (one := read_versions(folder)).known]
    at = [(one, _version_at(one, where)) for one in every]
    found = [f"{versions.dataset}@{number}" for versions, number in at if number]
    if found:
        return next((one for one in found if split_name(one)[0] == name), found[-1])
    versions = known_versions(cache.root, name, cache.find(dataset=name))
    others = {source for one in versions.known for source in one.sources if Path(source).exists()} - {where}
    if others and not any(where in one.sources for one in versions.known):
        raise UsageError(
            f"{path} was not extracted: {name!r} in the cache is of {sorted(others)[0]}; run "
            f"{command('extract', data=path, backbone='NAME', cache_dir=elsewhere(cache.root))} first, or say "
            f"--data {name} for those images"
        )
    return name


def _version_at(versions: Versions, where: str) -> int:
    """Return the number of the version whose images were at a path last, 0 for none."""
    numbers = [one.number for one in versions.known if where in one.sources]
    return versions.current if versions.current in numbers else max(numbers, default=0)
