"""Where stores live: `<root>/<dataset>/<backbone>/<digest12>.h5`, and the hidden names beside it."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path, PurePosixPath

from medfeat_cache.errors import StoreInputError

_ENVIRONMENT = "MEDFEAT_CACHE"
# What medfeat keeps in a cache beside its datasets, and in a dataset's folder beside its backbones.
OWN_NAMES = frozenset({"runs", "tuned", "digests.json", "headers.json"})
OWN_FOLDERS = frozenset({"tasks", "versions", "versions.json", "maps"})
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{i}" for port in ("com", "lpt") for i in range(1, 10))})
# Images of .npz files, as they were inflated.
UNPACKED = ".unpacked"
STORE_NAME = re.compile(r"[0-9a-f]{12}\.h5")
HIDDEN_NAME = re.compile(r"\.(?P<stem>[0-9a-f]{12})\.(?P<kind>parts|lock|lock\.break|h5\..*\.tmp)")


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def user_root() -> Path:
    """Return the folder of all stores of a user who says nothing else; nothing is created.

    Raises
    ------
    StoreInputError
        No home folder is known.
    """
    try:
        return _user_cache() / "medfeat"
    except RuntimeError as error:  # what pathlib raises
        raise StoreInputError(
            f"no home folder is known for the cache (HOME is not set): set {_ENVIRONMENT} or --cache-dir to a folder"
        ) from error


def resolve_root(cache_dir: str | Path | None = None) -> Path:
    """Return the folder of all stores; nothing is created.

    Parameters
    ----------
    cache_dir
        What the user asked for; None means ``$MEDFEAT_CACHE``, else ``medfeat`` in the platform's user cache folder.

    Raises
    ------
    StoreInputError
        When the place depends on a home folder, and none is known.
    """
    asked = cache_dir if cache_dir is not None else os.environ.get(_ENVIRONMENT)
    try:
        return Path(asked).expanduser().absolute() if asked else user_root()
    except RuntimeError as error:  # what pathlib raises
        raise StoreInputError(
            f"no home folder is known for the cache (HOME is not set): set {_ENVIRONMENT} or --cache-dir to a folder"
        ) from error


def compiled_folder() -> Path | None:
    """Return where the code that was compiled for networks lies, None when no home folder is known.

    It is run when it is found, so it lies in the cache of the user, whose own it is, and never in one that is named:
    that may be shared, or come from somebody else.
    """
    try:
        return user_root() / ".compiled"
    except StoreInputError:
        return None


def unpacked_folder(root: Path) -> Path:
    """Return where the cache at `root` keeps images of .npz files as they were inflated."""
    return root / UNPACKED


def measured_folder(root: Path) -> Path:
    """Return where what was measured of networks lies in a cache."""
    return root / ".measured"


def slug(name: str) -> str:
    """Spell a name as a folder: letters, digits and ``._+-`` stay, everything else becomes ``-``.

    Examples
    --------
    >>> slug("timm:resnet10t")
    'timm-resnet10t'
    """
    safe = re.sub(r"[^A-Za-z0-9._+-]+", "-", name).strip("-.")[:80]
    if safe.split(".")[0].lower() in _DEVICES:
        raise StoreInputError(f"{name!r} is the name of a device on Windows, and no folder can have it: choose another")
    if not safe or ".." in PurePosixPath(name.replace("\\", "/")).parts:
        raise StoreInputError(f"a dataset or backbone name must hold letters or digits and no '..', got {name!r}")
    return safe


def store_path(root: Path, dataset: str, backbone: str, digest: str) -> Path:
    """Return the path of a store; two recipes never share one, whatever their names.

    Parameters
    ----------
    root
        From `resolve_root`.
    dataset, backbone
        Names, spelled safely by `slug`.
    digest
        From `medfeat_cache.recipe_digest`.
    """
    for kind, name, taken in (("dataset", dataset, OWN_NAMES), ("backbone", backbone, OWN_FOLDERS)):
        if slug(name).lower() in taken:
            raise StoreInputError(
                f"the {kind} name {name!r} is one of medfeat's own folders and files in a cache: choose another name"
            )
    if not re.fullmatch(r"[0-9a-f]{12,}", digest):
        raise StoreInputError(f"a recipe digest must be at least 12 lower-case hex digits, got {digest!r}")
    return Path(root) / slug(dataset) / slug(backbone) / f"{digest[:12]}.h5"


def parts_folder(path: Path) -> Path:
    """Return the folder of the parts of an unfinished store."""
    return path.with_name(f".{path.stem}.parts")


def is_parts_folder(path: Path) -> bool:
    """Tell whether this is the name of a folder of parts."""
    match = HIDDEN_NAME.fullmatch(path.name)
    return match is not None and match["kind"] == "parts"


def store_beside(hidden: Path) -> Path:
    """Return the store that a hidden name, as of `HIDDEN_NAME`, belongs to."""
    return hidden.with_name(f"{hidden.name[1:13]}.h5")


def lock_file(path: Path) -> Path:
    """Return the lock that whoever writes the store at `path` holds."""
    return path.with_name(f".{path.stem}.lock")
