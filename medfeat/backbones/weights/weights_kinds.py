"""What a file of weights is, told by its first bytes: its name says what somebody wished it to be."""

from __future__ import annotations

from typing import Literal, TypeAlias

from medfeat.errors import WeightsError

Kind: TypeAlias = Literal["safetensors", "gzip", "torch"]
"""A kind that is read; ``torch`` is what `torch.save` writes, today as a zip archive and formerly as a pickle."""

HEAD_BYTES = 512
"""How many bytes at the start of a file tell its kind."""

_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"
_TAR_AT = 257
_OTHERS = (".pb", ".index", ".tflite", ".msgpack", ".data-00000-of-00001")
_HTML = (b"<!doctype html", b"<html", b"<?xml", b"<head")

# Where a file begins like this, what it is, and what to do about it
_FOREIGN: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer that stands for the file", "run `git lfs pull` where it came from"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras and TensorFlow write", "give the weights of the PyTorch version"),
    (b"\x93NUMPY", "a NumPy array", "save the network's state_dict() with torch"),
    (b"GGUF", "a GGUF file", "give the weights of the PyTorch version"),
    (b"BZh", "compressed by bzip2", "unpack it first"),
    (b"\xfd7zXZ\x00", "compressed by xz", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed by Zstandard", "unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first"),
    (b"Rar!", "a RAR archive", "unpack it first"),
    (b"%PDF", "a PDF document", "get the weights again"),
)


def kind_of(head: bytes, *, suffix: str = "") -> Kind:
    """Tell what a file is that should hold weights.

    Parameters
    ----------
    head
        Its first `HEAD_BYTES` bytes, or all of them.
    suffix
        Of its name; it only helps to name what is refused anyway.

    Returns
    -------
    str
        How to read it.

    Raises
    ------
    WeightsError
        When no weights can be read from such a file: what it is, and what to do. The caller names the file.

    Examples
    --------
    >>> kind_of(b"PK" + bytes([3, 4]))
    'torch'
    """
    if not head:
        raise WeightsError("is empty: get it again")
    if head.startswith(_GZIP):
        return "gzip"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        return "safetensors"
    what = _foreign(head, suffix.lower())
    if what is not None:
        raise WeightsError("is {}, which is not read: {}".format(*what))
    if head.startswith((_ZIP, _PICKLE)):
        return "torch"
    raise WeightsError(
        "is not a readable weights file (it begins like none that medfeat reads: "
        "torch.save's, safetensors): get it again, or save the network's state_dict()"
    )


def _foreign(head: bytes, suffix: str) -> tuple[str, str] | None:
    for start, what, advice in _FOREIGN:
        if head.startswith(start):
            return what, advice
    text = head.lstrip().lower()
    tests = (
        (text.startswith(_HTML), "a page of the web, probably of an error", "download the file itself"),
        (text.startswith((b"{", b"[")), "a text in JSON", "give the file of weights, or the folder it is in"),
        (
            head[_TAR_AT : _TAR_AT + 5] == b"ustar",
            "a tar archive",
            "unpack it; if torch before 0.2 wrote it, save it anew",
        ),
        (_is_onnx(head, suffix), "an ONNX model", "give the PyTorch weights it was exported from"),
        (suffix in _OTHERS, "a file of TensorFlow or Flax", "give the weights of the PyTorch version"),
    )
    return next(((what, advice) for is_it, what, advice in tests if is_it), None)


def _is_onnx(head: bytes, suffix: str) -> bool:
    # a message of protobuf: the version of the format first, then the name of the program that wrote it
    return suffix == ".onnx" or (head[:1] == b"\x08" and head[2:3] == b"\x12")
