"""Which package decodes a compressed DICOM file: one order for each way of compressing, whatever else is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.datasets.decoding.bad_file import BadFile

_LOSSLESS = ("gdcm", "pylibjpeg")
# The first that can decode a file decodes it. pydicom's own order would let a package that is installed later change
# the pixels of lossy files; where an order names several that could differ, the first is always there.
ORDERS = {
    "1.2.840.10008.1.2.4.50": ("pillow",),  # JPEG baseline
    "1.2.840.10008.1.2.4.51": ("pylibjpeg",),  # JPEG extended, of 12 bits
    "1.2.840.10008.1.2.4.57": _LOSSLESS,  # JPEG lossless
    "1.2.840.10008.1.2.4.70": _LOSSLESS,  # JPEG lossless, first-order prediction
    "1.2.840.10008.1.2.4.80": ("pyjpegls", *_LOSSLESS),  # JPEG-LS
    "1.2.840.10008.1.2.4.81": ("pyjpegls", *_LOSSLESS),  # JPEG-LS near-lossless, whose decoding is exact
    "1.2.840.10008.1.2.4.90": ("pillow", "pylibjpeg"),  # JPEG 2000, lossless
    "1.2.840.10008.1.2.4.91": ("pillow", "pylibjpeg"),  # JPEG 2000
    "1.2.840.10008.1.2.4.201": ("pylibjpeg",),  # high-throughput JPEG 2000
    "1.2.840.10008.1.2.4.202": ("pylibjpeg",),
    "1.2.840.10008.1.2.4.203": ("pylibjpeg",),
    "1.2.840.10008.1.2.5": ("pydicom",),  # run lengths
}
PACKAGES = {
    "gdcm": "python-gdcm",
    "pillow": "pillow with this codec",
    "pydicom": "pydicom",
    "pyjpegls": "pyjpegls",
    "pylibjpeg": "pylibjpeg with pylibjpeg-openjpeg",
}
_EXTENDED = "1.2.840.10008.1.2.4.51"
# Its licence is not one that a package under Apache-2.0 can ask for.
_GPL_ALONE = "12 bits of it are read by pylibjpeg-libjpeg alone, which is under the GPL and not installed with medfeat"


def stored_pixels(file: Any) -> NDArray[Any]:
    """Return the pixels a DICOM file stores: decompressed, signed as declared, colour as RGB.

    Raises
    ------
    BadFile
        When no installed package can decode it; the message names what to install.
    """
    syntax = file.file_meta.TransferSyntaxUID
    if syntax not in ORDERS:
        return _native(file) if not syntax.is_compressed or syntax.is_deflated else _by_pydicom(file)
    order = ORDERS[syntax]
    if syntax == _EXTENDED and int(file.BitsStored) == 8:
        order = ("pillow",)  # which reads the 8-bit files of this kind without more
    return _decoded(file, order)


def _decoded(file: Any, order: tuple[str, ...]) -> NDArray[Any]:
    from pydicom.pixels.decoders.base import get_decoder

    syntax = file.file_meta.TransferSyntaxUID
    decoder = get_decoder(syntax)
    there = [plugin for plugin in order if plugin in decoder.available_plugins]
    if not there:
        if syntax == _EXTENDED:
            raise BadFile(f"compressed as {syntax.name}: {_GPL_ALONE}; install it, or save the file uncompressed")
        raise BadFile(
            f"compressed as {syntax.name}, which needs another package "
            f"({' or '.join(PACKAGES[name] for name in order)}): pip install 'medfeat[dicom]'"
        )
    reasons = []
    for plugin in there:
        try:
            return _of_plugin(file, plugin)
        except Exception as error:  # a damaged stream can fail anywhere in a decoder
            reasons.append(" ".join(str(error).split()) or type(error).__name__)
    raise BadFile(f"compressed as {syntax.name}: {'; '.join(reasons)}")


def _of_plugin(file: Any, plugin: str) -> NDArray[Any]:
    file.pixel_array_options(decoding_plugin=plugin)
    values: NDArray[Any] = file.pixel_array
    return values


def _by_pydicom(file: Any) -> NDArray[Any]:
    values: NDArray[Any] = file.pixel_array
    return values


def _native(file: Any) -> NDArray[Any]:
    """Return uncompressed pixels, also those whose bits do not start at the lowest."""
    stored, high = file.get("BitsStored"), file.get("HighBit")
    if stored is None or high is None or int(high) == int(stored) - 1:
        return _by_pydicom(file)
    unused = int(high) + 1 - int(stored)
    if unused < 0 or int(high) >= int(file.BitsAllocated):
        raise BadFile(
            f"HighBit {high} does not fit BitsStored {stored} and BitsAllocated {file.BitsAllocated}: where its pixels "
            "lie cannot be told"
        )
    # pydicom masks what lies above the stored bits, and extends the sign, once it is told where they end
    file.BitsStored = int(high) + 1
    try:
        values: NDArray[Any] = _by_pydicom(file) >> unused
    finally:
        file.BitsStored = int(stored)
    return values if values.dtype.kind in "iu" else np.asarray(values)
