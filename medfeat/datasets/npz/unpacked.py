"""An .npz whose images were inflated once and kept beside the stores: every later reading goes at the disk's speed."""

from __future__ import annotations

import math
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from numpy.lib import format as npy

from medfeat.datasets.digests import DigestMemory, changed_meanwhile
from medfeat.datasets.npz.npz_arrays import NpzMember, npz_members, read_rows
from medfeat.errors import DataError, UsageError
from medfeat.types import Progress
from medfeat_cache import Stamp, make_folder, replacing
from medfeat_cache.commands import command, elsewhere
from medfeat_cache.errors import saying
from medfeat_cache.root import unpacked_folder

# Left free beside what is unpacked, for the stores that are to be made of it.
_SPARE_BYTES = 256 << 20
_ROWS_AT_ONCE = 256
_CHECKED_AT_ONCE = 1 << 20
_DOING = "unpacking into"
# As what a file's content is remembered: it was compared with its checksums.
_CHECKED = "crc"


def unpacked_images(
    images: Mapping[str, NpzMember], md5: str, memory: DigestMemory, progress: Progress
) -> Mapping[str, NpzMember]:
    """Return the images of an .npz where they were unpacked, or as they are where they were not.

    Parameters
    ----------
    images
        The array of each group.
    md5
        Digest of the file.
    memory
        Of the cache, which says where unpacked files are and which of them were compared with their checksums.
    progress
        Hears of a comparison, and of a file that does not stand it, which is removed.
    """
    place = _place(md5, memory)
    if place is None or not place.is_file():
        return images
    try:
        members = npz_members(place)
        found = {group: members[member.key] for group, member in images.items()}
        alike = all((found[group].shape, found[group].dtype) == (one.shape, one.dtype) for group, one in images.items())
        good = alike and (memory.recall(place, _CHECKED) is not None or _is_whole(place, memory, progress))
    except (DataError, KeyError, OSError):
        good = False
    if good:
        return found
    progress.say(f"{place} is damaged and is not used: unpack again with --unpack")
    with suppress(OSError):  # a cache that cannot be written
        place.unlink()
    return images


def unpack(images: Mapping[str, NpzMember], md5: str, stamp: Stamp, memory: DigestMemory, progress: Progress) -> None:
    """Inflate the images of an .npz into the cache, unless that was done, or there is nothing to inflate.

    Parameters
    ----------
    images, md5, memory
        As of `unpacked_images`.
    stamp
        Of the file whose digest was taken.
    progress
        Hears of each stretch of images.

    Raises
    ------
    UsageError
        When no cache keeps it, or its disk has no room.
    DataError
        When the file is damaged, or changes while it is read.
    """
    place, path = _place(md5, memory), next(iter(images.values())).path
    if place is None:
        raise UsageError("--unpack keeps images in the cache, and no cache was named")
    if all(member.stored for member in images.values()):
        progress.say(f"{path} is not compressed: it is read at the disk's speed as it is")
        return
    if place.is_file():
        return
    needed = sum(math.prod(member.shape) * member.dtype.itemsize for member in images.values())
    with saying(place, _DOING):
        make_folder(place.parent)
    free = shutil.disk_usage(place.parent).free
    if free < needed + _SPARE_BYTES:
        raise UsageError(
            f"--unpack needs {needed / 1e9:.2f} GB and {place.parent} has {free / 1e9:.2f} GB free: make room, name "
            "another disk with --cache-dir, or leave --unpack out"
        )
    progress.start(sum(member.shape[0] for member in images.values()), f"unpacking {path.name}")
    try:
        with replacing(place, _DOING) as temporary, zipfile.ZipFile(temporary, "x") as archive:
            for member in images.values():
                _write(archive, member, stamp, progress)
    finally:
        progress.finish()
    memory.remember(place, _CHECKED, md5)
    memory.save()
    how = command("cache", "gc", unpacked=True, cache_dir=elsewhere(place.parent.parent))
    progress.say(f"unpacked {needed / 1e9:.2f} GB into {place}, which every later command reads; {how} removes it")


def _place(md5: str, memory: DigestMemory) -> Path | None:
    return None if memory.path is None else unpacked_folder(memory.path.parent) / f"{md5}.npz"


def _write(archive: zipfile.ZipFile, member: NpzMember, stamp: Stamp, progress: Progress) -> None:
    with archive.open(f"{member.key}.npy", "w", force_zip64=True) as out:
        description = {"descr": npy.dtype_to_descr(member.dtype), "fortran_order": False, "shape": member.shape}
        npy.write_array_header_1_0(out, description)
        for rows, values in read_rows(member, _ROWS_AT_ONCE):
            if Stamp.of(member.path) != stamp:
                raise changed_meanwhile(member.path)
            out.write(values.reshape(-1).view("u1").data)
            progress.advance(len(rows))


def _is_whole(place: Path, memory: DigestMemory, progress: Progress) -> bool:
    """Compare a file with its checksums, and remember that it stood it."""
    before = Stamp.of(place)
    progress.start(before.size, f"checking {place.name}", "bytes")
    try:
        for count in _checked(place):
            progress.advance(count)
    except (zipfile.BadZipFile, EOFError):
        return False
    finally:
        progress.finish()
    if Stamp.of(place) == before:
        memory.remember(place, _CHECKED, place.stem)
        memory.save()
    return True


def _checked(place: Path) -> Iterator[int]:
    with zipfile.ZipFile(place) as archive:
        for entry in archive.infolist():
            with archive.open(entry) as stream:  # which compares the checksum at its end
                while piece := stream.read(_CHECKED_AT_ONCE):
                    yield len(piece)
