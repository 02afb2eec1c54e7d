"""What Pillow does not tell of a JPEG 2000 file: how many bits its samples have."""

from __future__ import annotations

from pathlib import Path

from medfeat.datasets.decoding.bad_file import BadFile

# Start of codestream and of its SIZ segment (ITU-T T.800, A.4.2 and A.5.1).
_CODESTREAM = b"\xff\x4f\xff\x51"
_LOOKED_THROUGH = 1 << 22
TILE_SIZE, COMPONENTS, FIRST_COMPONENT, COMPONENT_BYTES = 24, 40, 42, 3
SIGNED = 0x80


def bits_of(path: Path) -> int:
    """Return the bits of a sample of a JPEG 2000 file that can be read: 8, or 9 to 16 in grey.

    Raises
    ------
    BadFile
        For signed samples, more than 8 bits in colour, and fewer than 8 or more than 16.
    """
    head, start = _head(path)
    found = head[start + FIRST_COMPONENT :] if start >= 0 else b""
    count = int.from_bytes(head[start + COMPONENTS : start + FIRST_COMPONENT], "big") if start >= 0 else 0
    if not count or len(found) < COMPONENT_BYTES * count:
        raise BadFile("a JPEG 2000 file whose head is damaged")
    depths = [found[COMPONENT_BYTES * i] for i in range(count)]
    bits = {(depth & ~SIGNED) + 1 for depth in depths}
    if any(depth & SIGNED for depth in depths):
        raise BadFile("a JPEG 2000 file of signed samples; save unsigned ones, or TIFF or NIfTI")
    if count > 1 and max(bits) > 8:
        raise BadFile(f"{max(bits)} bits a channel in colour; save 8 bits a channel, or one grey channel of 16")
    if not 8 <= min(bits) <= max(bits) <= 16:
        raise BadFile(f"a JPEG 2000 file of {min(bits)}-bit samples; save 8 to 16 bits")
    return max(bits)


def tile_of(path: Path) -> tuple[int, int]:
    """Return width and height of a tile of a JPEG 2000 file, which are decoded one by one.

    Raises
    ------
    BadFile
        For a file whose head is damaged.
    """
    head, start = _head(path)
    found = head[start + TILE_SIZE : start + TILE_SIZE + 8]
    if start < 0 or len(found) < 8:
        raise BadFile("a JPEG 2000 file whose head is damaged")
    return int.from_bytes(found[:4], "big"), int.from_bytes(found[4:], "big")


def _head(path: Path) -> tuple[bytes, int]:
    """Return the first bytes of a file, and where in them its codestream starts; -1 where it does not."""
    with path.open("rb") as file:
        head = file.read(_LOOKED_THROUGH)
    return head, head.find(_CODESTREAM)
