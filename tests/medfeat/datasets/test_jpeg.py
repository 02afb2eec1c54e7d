"""JPEG decoded by simplejpeg: Pillow's pixels bit for bit, or Pillow itself."""

import io
import sys

import numpy as np
import pytest
from PIL import Image, features

from medfeat.datasets import open_dataset
from medfeat.datasets.decoding import jpeg
from medfeat.datasets.decoding.bad_file import BadFile
from medfeat.datasets.decoding.jpeg import jpeg_pixels
from medfeat.datasets.decoding.picture import read_picture, stored_picture
from medfeat.types import SilentProgress

SIDES = ((1, 1), (7, 9), (33, 50), (200, 301), (1, 500))
SAMPLED = ("444", "422", "420", "440", "411", "Gray")


@pytest.fixture
def simplejpeg():
    return pytest.importorskip("simplejpeg", reason="the extra fast is not installed")


def coloured(height, width):
    """(height, width, 3) uint8 of smooth colours."""
    draw = np.random.default_rng(height)
    coarse = Image.fromarray(draw.integers(0, 256, (max(height // 8, 1), max(width // 8, 1), 3), np.uint8))
    return np.ascontiguousarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def packed(image, **options):
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


def by_pillow(content):
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image)


@pytest.mark.parametrize("sampled", SAMPLED)
def test_the_pixels_are_those_of_pillow_for_every_sampling_of_colours(simplejpeg, sampled):
    for side in SIDES:
        content = simplejpeg.encode_jpeg(coloured(*side), 85, "RGB", sampled)
        with Image.open(io.BytesIO(content)) as image:
            np.testing.assert_array_equal(jpeg_pixels(image)[0], by_pillow(content), strict=True)


@pytest.mark.parametrize("options", [{"progressive": True}, {"restart_marker_rows": 1}, {"keep_rgb": True}])
def test_the_pixels_are_those_of_pillow_for_every_way_to_pack(simplejpeg, options):
    content = packed(Image.fromarray(coloured(90, 70)), quality=80, **options)
    with Image.open(io.BytesIO(content)) as image:
        np.testing.assert_array_equal(jpeg_pixels(image)[0], by_pillow(content), strict=True)


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_picture_is_turned_upright_alike_with_and_without_it(simplejpeg, tmp_path, monkeypatch, turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    path = tmp_path / "a.jpg"
    path.write_bytes(packed(Image.fromarray(coloured(40, 30)), exif=exif))
    found = read_picture(path).values
    monkeypatch.setattr(jpeg, "_decoder", lambda: None)
    np.testing.assert_array_equal(found, read_picture(path).values, strict=True)
    assert found.flags.c_contiguous


def test_four_colours_other_forms_and_pictures_in_memory_are_left_to_pillow(simplejpeg):
    cmyk, png = packed(Image.fromarray(coloured(20, 20)).convert("CMYK")), io.BytesIO()
    Image.fromarray(coloured(20, 20)).save(png, "PNG")
    for content in (cmyk, png.getvalue()):
        with Image.open(io.BytesIO(content)) as image:
            assert jpeg_pixels(image) == (None, "")
    with Image.open(io.BytesIO(packed(Image.fromarray(coloured(20, 20))))) as loaded:
        loaded.load()
        loaded.putpixel((0, 0), (1, 2, 3))
        assert stored_picture(loaded).values[0, 0].tolist() == [1, 2, 3]


def test_a_smaller_draft_is_what_is_read(simplejpeg):
    content = packed(Image.fromarray(coloured(64, 64)))
    with Image.open(io.BytesIO(content)) as image, Image.open(io.BytesIO(content)) as other:
        image.draft("RGB", (32, 32))
        other.draft("RGB", (32, 32))
        np.testing.assert_array_equal(stored_picture(image).values, np.asarray(other), strict=True)
        assert image.size == (32, 32)


def test_damaged_files_say_and_give_what_pillow_says_and_gives(simplejpeg, tmp_path, capfd):
    draw, kept, refused = np.random.default_rng(0), 0, 0
    content = packed(Image.fromarray(coloured(120, 90)), quality=90)
    for number in range(60):
        damaged = bytearray(content)
        if number % 3 == 0:
            del damaged[draw.integers(200, len(damaged)) :]
        elif number % 3 == 1:
            damaged[draw.integers(700, len(damaged) - 2)] ^= 0x55
        else:
            damaged[draw.integers(700, len(damaged) - 2) :] = b"\xff\xd9"
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(damaged)
        try:
            expected = by_pillow(damaged)
        except OSError as error:
            with pytest.raises((OSError, BadFile), match=str(error).split("(")[0].strip()):
                read_picture(path)
            refused += 1
            continue
        np.testing.assert_array_equal(read_picture(path).values, expected, strict=True)
        kept += 1
    assert kept > 10 and refused > 10
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("why", [ImportError, ValueError])
def test_without_it_and_with_one_for_another_numpy_pillow_decodes(why, tmp_path, monkeypatch):
    class Refusing:
        def find_spec(self, name, path=None, target=None):
            if name == "simplejpeg":
                raise why("numpy.dtype size changed, may indicate binary incompatibility")

    path = tmp_path / "a.jpg"
    path.write_bytes(packed(Image.fromarray(coloured(40, 30))))
    monkeypatch.delitem(sys.modules, "simplejpeg", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Refusing(), *sys.meta_path])
    jpeg._decoder.cache_clear()
    np.testing.assert_array_equal(read_picture(path).values, by_pillow(path.read_bytes()), strict=True)
    assert jpeg._decoder() is None
    jpeg._decoder.cache_clear()


def test_it_is_used_and_only_where_pillow_decodes_as_it_does(simplejpeg, monkeypatch):
    jpeg._decoder.cache_clear()
    assert jpeg._decoder() is simplejpeg
    monkeypatch.setattr(features, "check_feature", lambda name: False)
    jpeg._decoder.cache_clear()
    assert jpeg._decoder() is None
    jpeg._decoder.cache_clear()


def test_damage_that_is_read_over_is_said_once_of_all_images(simplejpeg, tmp_path):
    """The end of the picture lies where half of its data should: the rest is grey, and Pillow says nothing."""
    whole = packed(Image.fromarray(coloured(64, 64)), quality=90)
    half = whole[: len(whole) * 2 // 3] + whole[-2:]
    assert by_pillow(half)[-1].std() < by_pillow(whole)[-1].std() / 4
    for number in range(6):
        (tmp_path / f"{number}.jpg").write_bytes(half if number in (2, 4) else whole + bytes(9))
    told = SilentProgress()
    dataset = open_dataset(tmp_path, progress=told)
    assert not any("damaged" in line for line in told.said)
    for _ in range(2):
        assert sum(len(batch.rows) for batch in dataset.batches("all", 4)) == 6
    assert [line for line in told.said if "damaged" in line] == [
        f"{tmp_path}: 2 images are damaged and used as far as the data goes, such as 2.jpg (premature end of data "
        "segment): look whether parts are grey or torn"
    ]
