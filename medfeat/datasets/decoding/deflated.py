"""DICOM whose data set is deflated as a whole: how much it unpacks to is known before any of it is held."""

from __future__ import annotations

import zlib
from pathlib import Path

from medfeat.datasets.decoding.bad_file import BadFile, refuse_bomb

# A deflated data set is held whole, beside the values read from it.
MAX_DEFLATED, PIECE_BYTES = 256 << 20, 1 << 20


def refuse_deflated_bomb(path: Path) -> None:
    """Unpack a deflated data set piece by piece, holding none, before pydicom unpacks it at once and holds all.

    Raises
    ------
    BadFile
        It unpacks to more than an image can be.
    """
    from pydicom.filereader import read_file_meta_info
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    try:
        meta = read_file_meta_info(path)
        deflated = meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian
        # Preamble, mark and the group length element are 128, 4 and 12 bytes.
        start = 144 + int(meta.FileMetaInformationGroupLength) if deflated else 0
    except Exception:  # no mark, no meta information, or a damaged one: what reads the file says so
        return
    if not deflated:
        return
    unpacked, unpacker = 0, zlib.decompressobj(-zlib.MAX_WBITS)
    with path.open("rb") as file:
        file.seek(start)
        while piece := unpacker.unconsumed_tail or file.read(PIECE_BYTES):
            try:
                unpacked += len(unpacker.decompress(piece, PIECE_BYTES))
            except zlib.error:
                return
            refuse_bomb(path, unpacked)
            if unpacked > MAX_DEFLATED:
                raise BadFile(f"too large (more than {MAX_DEFLATED >> 20} MB once inflated); save it uncompressed")
