"""What is kept so that work is not done twice, and may go at any time: compiled networks, measurements, images."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

from medfeat_cache import Garbage
from medfeat_cache.root import compiled_folder, measured_folder, unpacked_folder

_UNUSED_DAYS = 60
_MACHINE = re.compile(r"[0-9a-f]{12}")


def kept_work(root: Path) -> list[Garbage]:
    """Return what compiling and measuring left behind: a folder for each machine, and one of notes.

    Parameters
    ----------
    root
        Of the cache, whose notes are meant; compiled code is the user's own, whatever the cache.
    """
    compiled, measured = compiled_folder(), measured_folder(root)
    machines = sorted(compiled.glob("*")) if compiled is not None else []
    found = [Garbage(one, _bytes(one), "networks compiled for a machine") for one in machines if _is_machine(one)]
    if measured.is_dir() and not measured.is_symlink():
        found.append(Garbage(measured, _bytes(measured), "what was measured of networks"))
    return found


def unpacked_work(root: Path) -> list[Garbage]:
    """Return what `medfeat.extract(..., unpack=True)` inflated into a cache."""
    folder = unpacked_folder(root)
    there = folder.is_dir() and not folder.is_symlink() and any(folder.iterdir())
    return [Garbage(folder, _bytes(folder), "images of .npz files, inflated")] if there else []


def unused_work(root: Path) -> list[Garbage]:
    """Return what was compiled for machines on which nobody compiled anything for two months."""
    compiled = [one for one in kept_work(root) if _is_machine(one.path)]
    return [
        Garbage(one.path, one.size_bytes, f"compiled, and not used for {days:.0f} days")
        for one in compiled
        if (days := _days_unused(one.path)) > _UNUSED_DAYS
    ]


def remove_work(found: list[Garbage]) -> None:
    """Remove it; what a running compiler holds open stays its own."""
    for one in found:
        shutil.rmtree(one.path, ignore_errors=True)


def _is_machine(path: Path) -> bool:
    return bool(_MACHINE.fullmatch(path.name)) and path.is_dir() and not path.is_symlink()


def _days_unused(folder: Path) -> float:
    used = max((one.lstat().st_mtime for one in (folder, *folder.iterdir())), default=0.0)
    return max(time.time() - used, 0) / 86400


def _bytes(folder: Path) -> int:
    return sum(one.lstat().st_size for one in folder.rglob("*") if not one.is_dir())
