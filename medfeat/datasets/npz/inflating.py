"""The bytes of a deflated member of a zip, inflated by the fastest library at hand."""

from __future__ import annotations

import zipfile
import zlib
from typing import Any, BinaryIO


def _fastest() -> Any:
    """Return zlib-ng, which gives the same bytes sooner, where it is there (pip install 'medfeat[fast]'); or zlib."""
    try:
        from zlib_ng import zlib_ng
    except ImportError:
        return zlib
    return zlib_ng


_ZLIB = _fastest()
INFLATE_ERRORS: tuple[type[Exception], ...] = (zlib.error, _ZLIB.error)
_RAW = -15
# Large enough that threads seldom meet between two pieces, small enough that a piece stays near the processor.
_PIECE_BYTES = 128 << 10
_INFLATED_BYTES = 512 << 10


class Inflating:
    """Reads a deflated member from its first byte to its last, whose checksum is compared.

    Parameters
    ----------
    file
        At the first compressed byte.
    entry
        What the zip's directory says of the member.
    """

    def __init__(self, file: BinaryIO, entry: zipfile.ZipInfo) -> None:
        self._file, self._entry = file, entry
        self._left = entry.compress_size
        self._inflate = _ZLIB.decompressobj(_RAW)
        self._ready = memoryview(b"")
        self._checksum = 0

    def readinto(self, view: memoryview) -> int:
        """Fill `view` and return its length, or less where the member ends.

        Raises
        ------
        zipfile.BadZipFile
            The member ends here and its checksum is another one.
        zlib.error
            Or its like, one of `INFLATE_ERRORS`: this is no deflated data.
        """
        filled = 0
        while filled < len(view):
            if not self._ready and not self._more():
                break
            part = self._ready[: len(view) - filled]
            view[filled : filled + len(part)] = part
            self._ready = self._ready[len(part) :]
            filled += len(part)
        return filled

    def finish(self) -> None:
        """Refuse a member that does not end here, or whose checksum is another one, with what `readinto` raises."""
        if self._ready or self._more():
            raise zipfile.BadZipFile(f"{self._entry.filename!r} holds more than the directory of the zip declares")

    def _more(self) -> bool:
        """Inflate the next piece; False at the end."""
        while not self._inflate.eof:
            piece = self._inflate.unconsumed_tail or self._read()
            if found := self._inflate.decompress(piece, _INFLATED_BYTES):
                self._checksum = _ZLIB.crc32(found, self._checksum)
                self._ready = memoryview(found)
                return True
            if not piece:  # nothing is left, and nothing was on its way
                break
        if self._checksum != self._entry.CRC:
            raise zipfile.BadZipFile(f"Bad CRC-32 for file {self._entry.filename!r}")
        return False

    def _read(self) -> bytes:
        piece = self._file.read(min(_PIECE_BYTES, self._left))
        if not piece and self._left:
            raise EOFError("the file ends too early")
        self._left -= len(piece)
        return piece
