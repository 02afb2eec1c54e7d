"""The header of a store from the bytes of its file, without HDF5: a tenth of the time, for lists of thousands.

Only what a store of ours holds is known here (`create` says which parts of the HDF5 file format that takes, version 3.0
of its specification gives the numbers below). Whatever else a file holds is None, and left to HDF5. Nothing is believed
for being read: the root digest covers every attribute, shape and type, and is compared by whoever asks. What it does
not cover, where the columns lie, is not looked up under a checksum here, so no column is read by it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np

from medfeat_cache.format import Column, GroupLayout, Layout

_SUPERBLOCK = b"\x89HDF\r\n\x1a\n\x03\x08\x08"  # version 3; addresses and lengths have 8 bytes
_AHEAD = 16 << 10
_LARGEST, _MOST_CHUNKS, _MOST_MESSAGES = 1 << 20, 64, 5_000
_NOWHERE = (1 << 64) - 1
_SPACE, _LINKS, _TYPE, _LINK, _EXTERNAL, _PLACE, _FILTERS = 0x01, 0x02, 0x03, 0x06, 0x07, 0x08, 0x0B
_ATTRIBUTE, _MORE, _ATTRIBUTES = 0x0C, 0x10, 0x15
_HUGE, _NAMES, _HUGE_ID = 1, 8, 0x10  # kinds of trees: of what no block has room for, of names of attributes
_SCALAR = b"\x02\x00\x00\x00"
_TEXT = 0x13
_TYPES = {
    bytes.fromhex(spelled): np.dtype(name)
    for spelled, name in (
        ("100000000100000000000800", "|u1"),
        ("100800000800000000004000", "<i8"),
        ("11200f0002000000000010000a05000a0f000000", "<f2"),
        ("11201f000400000000002000170800177f000000", "<f4"),
        ("11203f000800000000004000340b0034ff030000", "<f8"),
    )
}


class _UnknownPart(Exception):  # noqa: N818 - nothing is wrong: HDF5 reads on
    """Something that no store of ours holds, or that is damaged: HDF5 is to say which."""


def read_layout(file: BinaryIO) -> Layout | None:
    """Return the layout of an open store; None for what is not laid out as the stores that are written today.

    Parameters
    ----------
    file
        Open for reading, unbuffered.
    """
    try:
        source = _Source(file)
        if not source.ahead.startswith(_SUPERBLOCK):
            return None
        attributes, links, _ = _object(source, _number(source.ahead, 36))
        return Layout(attributes, {name: _group(source, place) for name, place in links.items()})
    except (_UnknownPart, struct.error, IndexError, KeyError, ValueError):
        return None


class _Source:
    """A file whose first bytes were read at once."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.messages = 0
        self.ahead = self._read(0, _AHEAD)

    def _read(self, start: int, size: int) -> bytes:
        self.file.seek(start)
        return self.file.read(size)

    def at(self, start: int, size: int) -> bytes:
        """Return bytes; fewer at the end of the file."""
        if size >= 0 and start + size <= len(self.ahead):
            return self.ahead[start : start + size]
        _expect(0 <= size <= _LARGEST and start < 1 << 62)
        return self._read(start, size)


def _number(data: bytes, at: int, size: int = 8) -> int:
    return int.from_bytes(data[at : at + size], "little")


def _expect(good: bool) -> None:
    if not good:
        raise _UnknownPart


def _group(source: _Source, place: int) -> GroupLayout:
    attributes, links, _ = _object(source, place)
    return GroupLayout(attributes, {name: _column(source, where) for name, where in links.items()})


def _column(source: _Source, place: int) -> Column:
    attributes, links, facts = _object(source, place)
    _expect(not attributes and not links and {_SPACE, _TYPE, _PLACE} <= facts.keys())
    space, where = facts[_SPACE], facts[_PLACE]
    rank = space[1]
    _expect(space[0] == 2 and space[2] in (0, 1) and space[3] == 1 and rank > 0)
    _expect(where[0] in (3, 4) and where[1] == 1)  # contiguous, in this very file
    offset = _number(where, 2)
    shape = struct.unpack_from(f"<{rank}Q", space, 4)
    _expect(offset != _NOWHERE or 0 in shape)
    return Column(0 if offset == _NOWHERE else offset, _type(facts[_TYPE]), shape)


def _type(spelled: bytes) -> np.dtype[Any]:
    if spelled[0] == _TEXT:
        return np.dtype(f"S{_number(spelled, 4, 4)}")
    return _TYPES[spelled]


def _object(source: _Source, place: int) -> tuple[dict[str, Any], dict[str, int], dict[int, bytes]]:
    """Return what an object's header says: attributes, links by name, and the messages of a dataset."""
    attributes: dict[str, Any] = {}
    links: dict[str, int] = {}
    facts: dict[int, bytes] = {}
    for kind, body in _messages(source, place):
        if kind == _ATTRIBUTE:
            attributes |= [_attribute(body)]
        elif kind == _LINK:
            links |= [_link(body)]
        elif kind == _ATTRIBUTES:
            attributes |= _dense(source, body)
        elif kind == _LINKS:
            _expect(_number(body, 2 + 8 * (body[1] & 1)) == _NOWHERE)  # many links are kept elsewhere
        elif kind in (_EXTERNAL, _FILTERS):
            raise _UnknownPart
        else:
            facts[kind] = body
    return attributes, links, facts


def _messages(source: _Source, place: int) -> Iterator[tuple[int, bytes]]:
    """Read the messages of an object's header, which lie in one piece, or in several."""
    start = source.at(place, 64)
    _expect(start[:5] == b"OHDR\x02")
    flags = start[5]
    at = 6 + 16 * bool(flags & 0x20) + 4 * bool(flags & 0x10)
    width = 1 << (flags & 3)
    pieces = [(place + at + width, _number(start, at, width))]
    head = 6 if flags & 4 else 4
    for count, (where, size) in enumerate(pieces):
        _expect(count < _MOST_CHUNKS)
        data, at = source.at(where, size), 0
        while at + head <= len(data):
            kind, length, shared = data[at], _number(data, at + 1, 2), data[at + 3]
            body = data[at + head : at + head + length]
            _expect(len(body) == length and not shared & 2)
            at += head + length
            source.messages += 1
            _expect(source.messages < _MOST_MESSAGES)
            if kind == _MORE:
                more, many = struct.unpack_from("<QQ", body)
                pieces.append((more + 4, many - 8))  # between a signature and a checksum
            else:
                yield kind, body


def _link(body: bytes) -> tuple[str, int]:
    flags = body[1]
    _expect(body[0] == 1 and not flags & 0x08)  # a hard link
    at = 2 + 8 * bool(flags & 4) + bool(flags & 0x10)
    width = 1 << (flags & 3)
    start, length = at + width, _number(body, at, width)
    return body[start : start + length].decode(), _number(body, start + length)


def _attribute(body: bytes) -> tuple[str, str | int]:
    version, flags, name, kind, space = struct.unpack_from("<BBHHH", body)
    _expect(version == 3 and not flags)
    at = 9 + name
    type_, space_, value = body[at : at + kind], body[at + kind : at + kind + space], body[at + kind + space :]
    _expect(space_ == _SCALAR)
    dtype = _type(type_)
    _expect(len(value) == dtype.itemsize and dtype.kind in "Si")
    said = value.rstrip(b"\0").decode() if dtype.kind == "S" else int.from_bytes(value, "little", signed=True)
    return body[9 : 8 + name].decode(), said


def _dense(source: _Source, body: bytes) -> Iterator[tuple[str, str | int]]:
    """Read more attributes than fit into an object's header: a list of them in one leaf, their bytes in a heap."""
    at = 2 + 2 * (body[1] & 1)
    heap, tree = struct.unpack_from("<QQ", body, at)
    if heap == _NOWHERE:
        return
    find = _heap(source, heap)
    for record in _leaf(source, tree, _NAMES, 17):
        yield _attribute(find(record[:8]))


def _leaf(source: _Source, tree: int, kind: int, width: int) -> list[bytes]:
    """Return the records of a tree that is a single leaf."""
    head = source.at(tree, 38)
    _expect(head[:6] == b"BTHD\0" + bytes([kind]))
    found, depth, leaf, count = (*struct.unpack_from("<HH", head, 10), *struct.unpack_from("<QH", head, 16))
    _expect(depth == 0 and found == width)
    data = source.at(leaf, 6 + width * count)
    _expect(data[:6] == b"BTLF\0" + bytes([kind]) and len(data) == 6 + width * count)
    return [data[at : at + width] for at in range(6, len(data), width)]


def _heap(source: _Source, place: int) -> Callable[[bytes], bytes]:
    """Return what finds an object of a heap by its id: its blocks double in size, two and two."""
    head = source.at(place, 144)
    _expect(head[:5] == b"FRHP\0" and not head[7])  # no filters
    checked = bool(head[9] & 2)
    width, first, largest, bits = struct.unpack_from("<HQQH", head, 110)
    root, rows = struct.unpack_from("<QH", head, 132)
    tree = _number(head, 22)
    leaf = [] if tree == _NOWHERE else _leaf(source, tree, _HUGE, 24)
    huge = {number: (where, size) for where, size, number in (struct.unpack("<QQQ", record) for record in leaf)}
    far = (bits + 7) // 8  # bytes of an offset inside the heap
    blocks = list(_blocks(source, root, rows, (width, first, largest, far)))

    def find(id_: bytes) -> bytes:
        if id_[0] == _HUGE_ID:
            where, size = huge[_number(id_, 1, 7)]
            return source.at(where, size)
        _expect(not id_[0])  # else it lies in a block
        offset, length = _number(id_, 1, far), _number(id_, 1 + far, 2)
        for start, size, where in blocks:
            if start <= offset and offset + length <= start + size:
                _expect(where != _NOWHERE and offset - start >= 13 + far + 4 * checked)
                return source.at(where + offset - start, length)
        raise _UnknownPart

    return find


def _blocks(source: _Source, root: int, rows: int, table: tuple[int, int, int, int]) -> Iterator[tuple[int, int, int]]:
    """Return where each block of a heap starts in it, its size, and its place in the file."""
    width, first, largest, far = table
    if rows == 0:
        yield 0, first, root
        return
    _expect(rows <= 16 and width <= 16 and first << (rows - 1) <= largest)  # blocks of blocks are no store's of ours
    data, start = source.at(root, 13 + far + 8 * rows * width), 0
    _expect(data[:5] == b"FHIB\0")
    for i, where in enumerate(struct.unpack_from(f"<{rows * width}Q", data, 13 + far)):
        size = first << max(i // width - 1, 0)
        yield start, size, where
        start += size
