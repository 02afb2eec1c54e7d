"""Decoding a picture takes what it said that it takes, in every form; turning or converting it takes no more."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from medfeat.datasets.decoding import picture, picture_room
from medfeat.datasets.decoding.bad_file import BadFile
from medfeat.datasets.decoding.decode import read_stored
from medfeat.datasets.folders.read_ahead import DecodedAhead

SIDE = 3_000
ORIENTATION = 274
# What is not counted: strips on their way, and what libraries hold of their own.
AROUND = 26 << 20
MEASURE = """
import ctypes, json, sys
from pathlib import Path
from PIL import Image
from medfeat.datasets.decoding.decode import read_stored
def told(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])
Image.init()
found = {}
for path in map(Path, sys.argv[1:]):
    said = []
    ctypes.CDLL(None).malloc_trim(0)  # what the one before left
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = told("VmRSS")
    read_stored(path, said.append)
    found[path.name] = [sum(said), told("VmHWM") - before]
print(json.dumps(found))
"""


def exif(turn):
    found = Image.Exif()
    found[ORIENTATION] = turn
    return found


def write_forms(folder, side=SIDE):
    """Write a picture in every form that takes its own way through the reader."""
    tile = np.random.default_rng(0).integers(0, 256, (100, 100, 4), np.uint8)
    four = np.tile(tile, (side // 100, side // 100, 1))
    grey, colour = np.ascontiguousarray(four[..., 0]), np.ascontiguousarray(four[..., :3])
    palette = Image.fromarray(grey).convert("P")
    palette.putpalette([*range(256)] * 3)
    made, packed = Image.fromarray, {"compress_level": 1}
    made(grey).save(folder / "grey.png", **packed)
    made(grey.astype(np.uint16) * 200).save(folder / "sixteen.png", **packed)
    made(colour).save(folder / "colour.png", **packed)
    made(colour).save(folder / "one-is-clear.png", transparency=(1, 2, 3), **packed)
    made(four).save(folder / "alpha.png", **packed)
    made(np.ascontiguousarray(four[..., :2]), "LA").save(folder / "grey-alpha.png", **packed)
    palette.save(folder / "palette.png", **packed)
    palette.save(folder / "clear-palette.png", transparency=bytes(range(256)), **packed)
    made(colour).save(folder / "turned.jpg", quality=50, exif=exif(6))
    made(colour).save(folder / "progressive.jpg", quality=50, progressive=True, subsampling=0)
    made(four, "CMYK").save(folder / "cmyk.jpg", quality=50)
    made(grey.astype(np.float32)).save(folder / "float.tif")
    made(grey.astype(np.int32) * 1000).save(folder / "integers.tif")
    made(colour).save(folder / "strips.tif", compression="tiff_lzw")
    made(colour).save(folder / "colour.webp", quality=50)
    made(colour).save(folder / "whole.jp2", quality_mode="rates", quality_layers=[20])
    made(colour).save(folder / "tiles.jp2", quality_mode="rates", quality_layers=[20], tile_size=(500, 500))


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of memory is told by Linux alone")
def test_every_form_takes_what_it_says(tmp_path):
    write_forms(tmp_path)
    command = [sys.executable, "-c", MEASURE, *map(str, sorted(tmp_path.iterdir()))]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert len(found) == 17
    more = {name: (said >> 20, took >> 20) for name, (said, took) in found.items() if took > said + AROUND}
    assert more == {}
    # and nobody says much more than that: what waits would wait for nothing
    assert {name: (said, took) for name, (said, took) in found.items() if said > 1.5 * took} == {}


def picture_of(mode):
    drawn = np.random.default_rng(0).integers(0, 256, (13, 7, 4), np.uint8)
    if mode == "P":
        image = Image.fromarray(drawn[..., 0]).convert("P")
        image.putpalette([*range(256)] * 3)
        return image
    if mode == "I;16":
        return Image.fromarray(drawn[..., 0].astype(np.uint16) * 200)
    if mode == "F":
        return Image.fromarray(drawn[..., 0].astype(np.float32) / 3)
    return Image.fromarray(drawn).convert(mode)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "F"])
def test_a_large_picture_in_strips_has_the_values_of_a_small_one(tmp_path, monkeypatch, mode, turn):
    path = tmp_path / ("a.tif" if mode == "F" else "a.png")
    picture_of(mode).save(path, exif=exif(turn))
    whole = read_stored(path)
    monkeypatch.setattr(picture, "_COPIED_BYTES", 60)  # two rows
    strips = read_stored(path)
    assert (strips.values.dtype, strips.colour) == (whole.values.dtype, whole.colour)
    assert strips.values.flags.c_contiguous
    assert np.array_equal(strips.values, whole.values)
    with Image.open(path) as opened:
        upright = ImageOps.exif_transpose(opened)
    assert whole.values.shape[:2] == (upright.height, upright.width)
    if mode in ("L", "RGB", "I;16", "F"):
        assert np.array_equal(whole.values, np.asarray(upright))


@pytest.mark.parametrize("name", ["whole.jp2", "colour.webp", "progressive.jpg", "colour.png"])
def test_what_takes_too_much_is_refused_before_it_is_taken(tmp_path, monkeypatch, name):
    write_forms(tmp_path, side=100)
    monkeypatch.setattr(picture_room, "MOST_BYTES", 60_000)
    reserved = []
    with pytest.raises(BadFile, match=r"too large \(decoding takes 0 MB.*cut it into tiles"):
        read_stored(tmp_path / name, reserved.append)
    assert reserved == []


def test_pictures_at_the_limit_of_pixels_are_read_unless_their_decoders_take_far_more():
    """A colour PNG, JPEG or TIFF of as many pixels as any may have; beside the one before it stays below a GiB."""
    side = int(picture._MAX_PIXELS**0.5)
    image = Image.new("RGB", (1, 1))
    image._size = (side, side)
    for form in ("PNG", "JPEG", "TIFF", "BMP"):
        image.format = form
        picture_room.refuse_too_much(picture_room.taken_bytes(image, Path(__file__)))
    image.format = "WEBP"
    with pytest.raises(BadFile, match="save it as PNG"):
        picture_room.refuse_too_much(picture_room.taken_bytes(image, Path(__file__)))
    assert picture_room.MOST_BYTES + 3 * picture._MAX_PIXELS < 1 << 30


def test_nobody_takes_room_before_the_next_in_order_said_what_it_takes():
    """The next one may be large, and always goes on: others would already hold what it needs beside it."""
    said, go_on, others = threading.Event(), threading.Event(), []

    def read(row, reserve):
        if row == 0:
            said.wait(10)
        if row:
            threading.Timer(0.2, said.set).start()
        reserve(900 if row == 0 else 400)
        others.append(row)
        go_on.wait(10) if row == 0 else None
        return np.zeros(10, np.uint8)

    threading.Timer(0.6, go_on.set).start()
    ahead = DecodedAhead(read, range(3), threads=3, ahead=3, most_bytes=1000)
    assert [row for row, _ in ahead] == [0, 1, 2]
    assert others[0] == 0


def test_who_waits_for_room_when_reading_stops_decodes_nothing():
    """All that waited would be decoded at once: a sample of large pictures took three in place of one."""
    decoded = []

    def read(row, reserve):
        reserve(900)
        decoded.append(row)
        return np.zeros(900, np.uint8)

    ahead = iter(DecodedAhead(read, range(8), threads=4, ahead=8, most_bytes=1000))
    assert next(ahead)[0] == 0
    ahead.close()
    assert decoded == [0]
