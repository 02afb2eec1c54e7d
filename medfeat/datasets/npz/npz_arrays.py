"""Arrays inside .npz files, read row by row: no member is ever held in memory whole, and none can run code."""

from __future__ import annotations

import itertools
import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from medfeat.datasets.bounds import images_a_batch
from medfeat.datasets.npz.inflating import INFLATE_ERRORS, Inflating
from medfeat.errors import DataError
from medfeat_cache.reading import NoFile, look_at

# Deflate cannot do better than 1032:1; a member that declares more lies about its size.
_DEFLATE_LIMIT = 1032
# Rows are read in batches, so one row is the least that is held: no image is larger.
_ROW_LIMIT = 256 << 20
_LOCAL_HEADER_BYTES = 30
SKIP_BYTES = 1 << 20
# What reading a damaged or strange file raises: zipfile says NotImplementedError for a method of compression it does
# not know, and RuntimeError for an encrypted member.
_DAMAGE: tuple[type[Exception], ...] = (
    *(zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError),
    *INFLATE_ERRORS,
)
_Stream = IO[bytes] | BinaryIO | Inflating


@dataclass(frozen=True)
class NpzMember:
    """One array of an .npz file, known by its header alone.

    Attributes
    ----------
    path, key
        The file, and the array's name in it (``train_images``).
    shape, dtype
        As declared, and checked against the size the zip directory gives.
    fortran
        True when the array was saved column by column.
    header_bytes
        Length of the .npy header in front of the values.
    stored
        True when the member is not compressed, so that any row can be read without those before it.
    """

    path: Path
    key: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    header_bytes: int
    stored: bool

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize


def npz_members(path: Path) -> dict[str, NpzMember]:
    """Read the headers of every array in an .npz file, and refuse what cannot be trusted.

    Raises
    ------
    DataError
        When the file is no zip, a member is no .npy array, holds objects, or is not of the size it declares.
    """
    try:
        look_at(path)
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            names = [entry.filename.removesuffix(".npy") for entry in entries]
            if len(set(names)) != len(names):
                raise DataError(f"{path}: two arrays have one name; write the file again with numpy.savez")
            return {name: _read_member(path, archive, name, entry) for name, entry in zip(names, entries, strict=True)}
    except NoFile:
        raise
    except _DAMAGE as error:
        raise damaged(path, error) from error


def _read_member(path: Path, archive: zipfile.ZipFile, key: str, entry: zipfile.ZipInfo) -> NpzMember:
    if entry.file_size > _DEFLATE_LIMIT * entry.compress_size + 1024:
        raise DataError(
            f"{path}: {key!r} declares {entry.file_size} bytes in {entry.compress_size} compressed ones, "
            "which no compression reaches; do not trust this file"
        )
    with archive.open(entry) as stream:
        shape, fortran, dtype = _read_header(path, key, stream)
        header_bytes = stream.tell()
    declared = math.prod(shape) * dtype.itemsize
    if declared != entry.file_size - header_bytes:
        raise DataError(
            f"{path}: {key!r} declares shape {shape} of {dtype} ({declared} bytes) and holds "
            f"{entry.file_size - header_bytes}; write the file again with numpy.savez"
        )
    if len(shape) > 1 and math.prod(shape[1:]) * dtype.itemsize > _ROW_LIMIT:
        raise DataError(f"{path}: one row of {key!r} has shape {shape[1:]} of {dtype}, more than {_ROW_LIMIT >> 20} MB")
    stored = entry.compress_type == zipfile.ZIP_STORED
    return NpzMember(path, key, shape, dtype, fortran, header_bytes, stored)


def _read_header(path: Path, key: str, stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    try:
        version = npy.read_magic(stream)
        if version not in readers:
            raise ValueError(f"format version {version}")
        shape, fortran, dtype = readers[version](stream)
        if min(shape, default=0) < 0:
            raise ValueError(f"shape {shape}")
    except _DAMAGE:
        raise
    except Exception as error:  # numpy tokenizes the header, which on garbage raises more than it documents
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: {key!r} is no plain .npy array ({reason}); save plain arrays") from error
    if dtype.hasobject:
        raise DataError(f"{path}: {key!r} holds Python objects, which could run code; save it as a plain array")
    if dtype.fields is not None or dtype.itemsize == 0:
        raise DataError(f"{path}: {key!r} has dtype {dtype}; numbers are needed")
    return shape, fortran, dtype


def read_array(member: NpzMember) -> NDArray[Any]:
    """Read a small array whole, such as labels."""
    with _opened(member) as stream:
        array = np.empty(math.prod(member.shape), member.dtype)
        _fill(member, stream, array, row=0)
    return array.reshape(member.shape, order="F" if member.fortran else "C")


def read_rows(
    member: NpzMember, batch_size: int, rows: NDArray[np.int64] | None = None
) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
    """Read an array in order, a batch of rows at a time.

    Parameters
    ----------
    member
        What to read; not in Fortran order.
    batch_size
        Rows a batch; the last may be shorter, and those of large rows are (`medfeat.datasets.bounds`).
    rows
        (m,) ascending row numbers to pick in the same single pass; None means all.

    Yields
    ------
    tuple
        The (b,) row numbers and the (b, ...) array of these rows, which the caller may keep and change.
    """
    if member.fortran and len(member.shape) > 1:
        raise DataError(
            f"{member.path}: {member.key!r} is saved column by column and cannot be streamed; "
            "save numpy.ascontiguousarray of it"
        )
    wanted = np.arange(member.shape[0], dtype=np.int64) if rows is None else np.asarray(rows, np.int64)
    source = _plain_rows if member.stored else _inflated_rows
    step = min(batch_size, images_a_batch(member.row_bytes))
    yield from source(member, [wanted[i : i + step] for i in range(0, len(wanted), step)])


def _plain_rows(
    member: NpzMember, batches: list[NDArray[np.int64]]
) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
    # Reads, not a mapping: a file that is cut while it is mapped ends the process without a word.
    if not math.prod(member.shape):
        return
    offset = _values_offset(member)
    with member.path.open("rb") as file:
        for rows in batches:
            images = np.empty((len(rows), *member.shape[1:]), member.dtype)
            for start, stop in _runs(rows):
                file.seek(offset + int(rows[start]) * member.row_bytes)
                _fill(member, file, images[start:stop], row=int(rows[start]))
            yield rows, images


def _values_offset(member: NpzMember) -> int:
    with _place(member, 0), zipfile.ZipFile(member.path) as archive, member.path.open("rb") as file:
        entry = archive.getinfo(_filename(archive, member.key))
        return _content_offset(file, entry) + member.header_bytes


def _content_offset(file: BinaryIO, entry: zipfile.ZipInfo) -> int:
    # The local header repeats the name and has its own extra field, so its length is not in the directory.
    file.seek(entry.header_offset)
    header = file.read(_LOCAL_HEADER_BYTES)
    name_bytes = int.from_bytes(header[26:28], "little")
    extra_bytes = int.from_bytes(header[28:30], "little")
    return entry.header_offset + _LOCAL_HEADER_BYTES + name_bytes + extra_bytes


def _inflated_rows(
    member: NpzMember, batches: list[NDArray[np.int64]]
) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
    position = 0
    with _opened(member) as stream:
        for rows in batches:
            images = np.empty((len(rows), *member.shape[1:]), member.dtype)
            for start, stop in _runs(rows):
                first = int(rows[start])
                _skip(member, stream, (first - position) * member.row_bytes, row=position)
                _fill(member, stream, images[start:stop], row=first)
                position = first + (stop - start)
            if position == member.shape[0]:
                with _place(member, position):
                    _finish(stream)
            yield rows, images


def _runs(rows: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield the (start, stop) of each stretch of consecutive row numbers."""
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    edges = [0, *breaks.tolist(), len(rows)]
    yield from itertools.pairwise(edges)


@contextmanager
def _opened(member: NpzMember) -> Iterator[_Stream]:
    """Open a member at its first value."""
    try:
        with zipfile.ZipFile(member.path) as archive, archive.open(_filename(archive, member.key)) as checked:
            entry = archive.getinfo(_filename(archive, member.key))
            if entry.compress_type != zipfile.ZIP_DEFLATED:
                checked.read(member.header_bytes)
                yield checked
                return
            with member.path.open("rb") as file:
                file.seek(_content_offset(file, entry))
                stream = Inflating(file, entry)
                stream.readinto(memoryview(bytearray(member.header_bytes)))
                yield stream
    except _DAMAGE as error:
        raise damaged(member.path, error) from error


def _filename(archive: zipfile.ZipFile, key: str) -> str:
    return f"{key}.npy" if f"{key}.npy" in archive.namelist() else key


def _skip(member: NpzMember, stream: _Stream, count: int, *, row: int) -> None:
    passed = np.empty(min(max(count, 0), SKIP_BYTES), np.uint8)
    while count > 0:
        _fill(member, stream, passed[:count], row=row)
        count -= min(count, len(passed))


def _fill(member: NpzMember, stream: _Stream, values: NDArray[Any], *, row: int) -> None:
    """Read what fills `values`, which lie one behind the other in memory."""
    view = values.reshape(-1).view(np.uint8).data
    with _place(member, row):
        while len(view):
            count = stream.readinto(view)  # type: ignore[union-attr]  # every file of bytes has it
            if not count:
                raise EOFError("it ends too early")
            view = view[count:]


def _finish(stream: _Stream) -> None:
    if isinstance(stream, Inflating):
        stream.finish()
    else:
        stream.read(1)  # only a read beyond the last byte makes zipfile compare the checksum


@contextmanager
def _place(member: NpzMember, row: int) -> Iterator[None]:
    """Say of a damaged file where it is damaged."""
    try:
        yield
    except _DAMAGE as error:
        raise damaged(member.path, error, f"{member.key!r} near row {row}") from error


def damaged(path: Path, error: Exception, where: str = "") -> DataError:
    """Build the error for a file that cannot be read, with the first line of the cause."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    place = f"{path}, {where}" if where else str(path)
    return DataError(f"{place} is damaged or no .npz file ({reason}); get or write it again")
