"""Deflated members of a zip are inflated piece by piece, by whichever library is there, into the same bytes."""

import zipfile
import zlib

import numpy as np
import pytest

from medfeat.datasets.npz import inflating
from medfeat.datasets.npz.inflating import INFLATE_ERRORS, Inflating


def libraries():
    try:
        from zlib_ng import zlib_ng
    except ImportError:
        return [zlib]
    return [zlib, zlib_ng]


@pytest.fixture(params=libraries(), ids=lambda library: library.__name__)
def library(request, monkeypatch):
    monkeypatch.setattr(inflating, "_ZLIB", request.param)
    return request.param


CONTENTS = {
    "noise": np.random.default_rng(0).bytes(1_500_000),
    "nothing but zeros": bytes(3_000_000),
    "smooth": np.cumsum(np.random.default_rng(0).integers(-1, 2, 900_000)).astype(np.uint8).tobytes(),
    "one byte": b"x",
    "nothing": b"",
}


def opened(path):
    """The file at the compressed bytes of its only member, and what the directory says of it."""
    with zipfile.ZipFile(path) as archive:
        entry = archive.infolist()[0]
    file = path.open("rb")
    file.seek(entry.header_offset + 30 + len(entry.filename))
    return file, entry


def packed(path, content):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("member", content)
    return path


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
@pytest.mark.parametrize("step", [1 << 30, 524_288, 100_003])
def test_every_byte_comes_once_and_in_order(tmp_path, library, content, step):
    file, entry = opened(packed(tmp_path / "x.zip", content))
    found = bytearray(len(content))
    with file:
        stream = Inflating(file, entry)
        for start in range(0, len(content), step):
            part = memoryview(found)[start : start + step]
            assert stream.readinto(part) == len(part)
        assert stream.readinto(memoryview(bytearray(5))) == 0
        stream.finish()
    assert bytes(found) == content


def test_a_wrong_checksum_is_found_at_the_end(tmp_path, library):
    file, entry = opened(packed(tmp_path / "x.zip", CONTENTS["smooth"]))
    entry.CRC ^= 1
    with file:
        stream = Inflating(file, entry)
        assert stream.readinto(memoryview(bytearray(len(CONTENTS["smooth"])))) == len(CONTENTS["smooth"])
        with pytest.raises(zipfile.BadZipFile, match="CRC-32"):
            stream.finish()


def test_a_member_that_goes_on_is_refused(tmp_path, library):
    file, entry = opened(packed(tmp_path / "x.zip", CONTENTS["smooth"]))
    with file:
        stream = Inflating(file, entry)
        stream.readinto(memoryview(bytearray(1000)))
        with pytest.raises(zipfile.BadZipFile, match="more than the directory"):
            stream.finish()


def test_a_member_cut_short_is_refused(tmp_path, library):
    path = packed(tmp_path / "x.zip", CONTENTS["noise"])
    file, entry = opened(path)
    with file, path.open("r+b") as cut:
        cut.truncate(700_000)
        with pytest.raises(EOFError):
            Inflating(file, entry).readinto(memoryview(bytearray(len(CONTENTS["noise"]))))


def test_what_is_not_deflated_is_refused(tmp_path, library):
    file, entry = opened(packed(tmp_path / "x.zip", CONTENTS["noise"]))
    with file:
        file.seek(0)
        with pytest.raises((*INFLATE_ERRORS, library.error)):
            Inflating(file, entry).readinto(memoryview(bytearray(1000)))
