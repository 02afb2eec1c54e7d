"""NIfTI and MGH volumes, turned to one orientation so that an axis means the same in every file."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from medfeat.datasets.decoding.bad_file import BadFile, refuse_bomb
from medfeat.datasets.decoding.file_kinds import GZIP_MARK
from medfeat.datasets.decoding.intensity import Stored
from medfeat.datasets.decoding.orientation import laid_out, turned
from medfeat.datasets.decoding.room import Reserve, no_bound
from medfeat.datasets.decoding.slabs import Slabs
from medfeat.errors import MissingExtraError

MAX_VALUES = 1 << 27
_HEADER_BYTES = 544
# Compressed volumes are a tenth of their voxels; masked ones, mostly zeros, a fiftieth.
_VOXEL_RATIO = 100
MAX_BYTES_BEHIND = 1 << 28
CHUNK_BYTES = 1 << 20
# A volume of more bytes than this is read in slabs of so many: twice, for its range must be known first.
HELD_BYTES, SLAB_BYTES = 64 << 20, 16 << 20
COLOURS = ("R", "G", "B")
# Byte of scl_slope, and type, in a header of each version.
_SLOPES = {348: (112, "f4"), 540: (176, "f8")}
_PAIR = "the header of a pair (.hdr and .img, Analyze or NIfTI); save it as one .nii file"


def read_nifti(path: Path, reserve: Reserve = no_bound) -> Stored:
    """Read a NIfTI or MGH file as (D, H, W), or (H, W) when it has a single slice; RGB24 of one slice as (H, W, 3).

    Volumes are turned to the closest of the patient's axes and laid out as a DICOM viewer shows them: slices run from
    foot to head, the front of the patient is at the top and the patient's right at the left. Whether the file is
    compressed tell its first bytes. A file whose orientation has no code is taken as nibabel takes it.
    """
    try:
        import nibabel  # noqa: F401 - only seen to be there
    except ImportError as error:
        raise MissingExtraError.of("NIfTI files need", "nibabel", "nifti", error) from error
    with _damage_named(), _plain(path) as file:
        volume = _opened(path, file)
        _check_shape(volume.shape)
        stored = volume.dataobj
        count = math.prod(volume.shape)
        refuse_bomb(path, count * stored.dtype.itemsize, _VOXEL_RATIO)
        _check_place(path, stored.offset)
        # A fourth axis has length 1, and a picture has no third.
        shape = (*volume.shape[:2], math.prod(volume.shape[2:]))
        colour = _is_colour(stored)
        if colour and min(shape) > 1:
            raise BadFile(
                f"a volume in colour of shape {volume.shape}; one slice in colour, or a grey volume, can be read"
            )
        if not colour and count * max(stored.dtype.itemsize, 4) > HELD_BYTES:
            reserve(2 * count + SLAB_BYTES)  # its levels, once in the order of the file
            return Stored(_slabs(path, shape, volume), modality=True)
        reserve(3 * count * max(stored.dtype.itemsize, 4))
        values = _voxels(stored)
        _read_to_the_end(file)
    ordered = laid_out(values.reshape(shape), volume.affine)
    if not colour:
        return Stored(ordered, modality=True)
    return Stored(np.stack([ordered[name] for name in COLOURS], axis=-1), colour=True)


def _slabs(path: Path, shape: tuple[int, int, int], volume: Any) -> Slabs:
    """Return a volume that is read from its file a piece at a time."""
    stored, affine, lines = volume.dataobj, volume.affine, shape[1] * shape[2]
    step = max(1, SLAB_BYTES // (shape[0] * max(stored.dtype.itemsize, 4)))

    def read() -> Iterator[NDArray[Any]]:
        with _damage_named(), _plain(path) as file:
            for first in range(0, lines, step):
                yield _voxels(_stretch(file, stored, shape[0], first, min(first + step, lines)))
            _read_to_the_end(file)

    dtype = stored.dtype if _is_plain(stored) else np.dtype(np.float32)
    return Slabs(shape, dtype, read, lambda values: turned(values, affine))


def _stretch(file: IO[bytes], stored: Any, length: int, first: int, last: int) -> Any:
    """Return the lines from `first` to `last` of an open file as nibabel has a whole volume."""
    from nibabel.arrayproxy import ArrayProxy

    place = stored.offset + first * length * stored.dtype.itemsize
    proxy: Any = ArrayProxy  # which has no types
    return proxy(file, ((length, last - first), stored.dtype, place, stored.slope, stored.inter), mmap=False)


@contextmanager
def _damage_named() -> Iterator[None]:
    try:
        yield
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise BadFile(f"damaged, or cut short ({error})") from error


def _plain(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        compressed = file.read(len(GZIP_MARK)) == GZIP_MARK
    return cast("IO[bytes]", gzip.open(path, "rb")) if compressed else path.open("rb")


def _opened(path: Path, file: IO[bytes]) -> Any:
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.fileholders import FileHolder
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    header = file.read(_HEADER_BYTES)
    file.seek(0)
    library: Any = nibabel  # which has no types
    kind = {348: library.Nifti1Image, 540: library.Nifti2Image}.get(_header_length(header))
    mark = header[344:347] if kind is library.Nifti1Image else header[4:7]
    if kind is not None and mark not in (b"n+1", b"n+2"):
        raise BadFile(_PAIR)
    if kind is None and path.name.lower().endswith((".mgz", ".mgh")):
        kind = library.MGHImage
    if kind is None:
        raise BadFile("no NIfTI file")
    _check_slope(header)
    try:
        return kind.from_file_map({"image": FileHolder(filename=str(path), fileobj=cast(Any, file))})
    except (ImageFileError, HeaderDataError, WrapStructError) as error:
        raise BadFile(f"a NIfTI file whose header cannot be read ({' '.join(str(error).split())})") from error


def _read_to_the_end(file: IO[bytes]) -> None:
    """Read what follows the voxels, for gzip compares its checksum and length at the end alone."""
    if not isinstance(file, gzip.GzipFile):
        return
    for _ in range(MAX_BYTES_BEHIND // CHUNK_BYTES):
        if not file.read(CHUNK_BYTES):
            return
    raise BadFile(f"more than {MAX_BYTES_BEHIND} bytes lie behind its voxels; save it again")


def _header_length(header: bytes) -> int:
    lengths = [int.from_bytes(header[:4], order) for order in ("little", "big")]
    return next((length for length in lengths if length in _SLOPES), 0)


def _check_slope(header: bytes) -> None:
    """Refuse an infinite slope; 0 and NaN are how files say that values are as stored."""
    found = _SLOPES.get(_header_length(header))
    if found is not None:
        order = "<" if int.from_bytes(header[:4], "little") in _SLOPES else ">"
        slope, inter = np.frombuffer(header, f"{order}{found[1]}", 2, found[0])
        if np.isinf(slope) or (np.isfinite(slope) and slope != 0 and not np.isfinite(inter)):
            raise BadFile(f"scl_slope {slope:g} and scl_inter {inter:g} scale to nothing; write those that are meant")


def _check_place(path: Path, offset: int) -> None:
    """Refuse voxels that begin inside the header, as files say that were written without an offset."""
    with _plain(path) as file:
        length = _header_length(file.read(4))
    if offset < length:
        raise BadFile(f"its voxels begin at byte {offset}, inside its header of {length} (vox_offset); write it again")


def _voxels(stored: Any) -> NDArray[Any]:
    """Return the values as the header scales them, never wider than they need to be: volumes are large."""
    if _is_colour(stored) or _is_plain(stored):
        return np.asarray(stored.get_unscaled())
    return np.asarray(stored, dtype=np.float32)


def _is_colour(stored: Any) -> bool:
    if stored.dtype.names == COLOURS:
        return True
    if stored.dtype.names is not None or stored.dtype.kind not in "uif":
        kind = "colours with alpha" if stored.dtype.names is not None else stored.dtype
        raise BadFile(f"voxels of {kind}; real numbers, or RGB24, are needed")
    return False


def _is_plain(stored: Any) -> bool:
    return (stored.slope, stored.inter) == (1.0, 0.0)


def _check_shape(shape: tuple[int, ...]) -> None:
    if len(shape) < 2 or 0 in shape or math.prod(shape[3:]) != 1:
        raise BadFile(f"shape {shape}; one volume of three axes is needed, save each as a file of its own")
    if math.prod(shape) > MAX_VALUES:
        raise BadFile(f"too large (shape {shape}; the limit is {MAX_VALUES} voxels)")
