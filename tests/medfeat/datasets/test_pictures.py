"""Pictures are read as they are meant to be seen; what cannot be read is told in a few words."""

import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from medfeat.datasets.decoding.bad_file import BadFile
from medfeat.datasets.decoding.decode import read_stored
from medfeat.datasets.decoding.file_kinds import is_image_name
from medfeat.datasets.decoding.intensity import OutsideContract, parse_intensity

GREY = np.random.default_rng(0).integers(0, 256, (9, 13), np.uint8)
RGB = np.random.default_rng(1).integers(0, 256, (9, 13, 3), np.uint8)


def read(path):
    return read_stored(path).values


@pytest.mark.parametrize("name", ["x.png", "x.tif", "x.tiff", "x.bmp", "X.PNG", "x.jp2", "x.j2k"])
@pytest.mark.parametrize("pixels", [GREY, RGB], ids=["grey", "rgb"])
def test_lossless_formats_give_the_pixels_that_were_saved(tmp_path, name, pixels):
    Image.fromarray(pixels).save(tmp_path / name)
    assert np.array_equal(read(tmp_path / name), pixels)


def test_jpeg_equals_pillow_and_the_suffix_does_not_decide(tmp_path):
    path = tmp_path / "really_a_jpeg.png"
    Image.fromarray(RGB).save(path, format="JPEG")
    with Image.open(path) as image:
        assert np.array_equal(read(path), np.asarray(image))


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_photograph_is_turned_upright(tmp_path, turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(GREY).save(tmp_path / "x.png", exif=exif)
    steps = {1: GREY, 2: GREY[:, ::-1], 3: GREY[::-1, ::-1], 4: GREY[::-1], 5: GREY.T, 6: np.rot90(GREY, -1),
             7: GREY[::-1, ::-1].T, 8: np.rot90(GREY)}  # fmt: skip
    assert np.array_equal(read(tmp_path / "x.png"), steps[turn])


def test_sixteen_bits_keep_their_values(tmp_path):
    deep = np.random.default_rng(0).integers(0, 65536, (7, 5), np.uint16)
    for name in ("x.tif", "x.png"):
        Image.fromarray(deep).save(tmp_path / name)
        found = read(tmp_path / name)
        assert found.dtype == np.uint16 and np.array_equal(found, deep)


def test_a_big_endian_tiff_is_read_alike(tmp_path):
    deep = np.array([[1, 256], [4095, 65535]], np.uint16)
    Image.fromarray(deep.astype(">u2")).save(tmp_path / "x.tif")
    found = read(tmp_path / "x.tif")
    assert np.array_equal(found, deep) and found.dtype.isnative


def test_floating_point_and_signed_tiff_keep_their_values(tmp_path):
    for values in (np.array([[-1.5, 0.25]], np.float32), np.array([[-70000, 70000]], np.int32)):
        Image.fromarray(values).save(tmp_path / "x.tif")
        assert np.array_equal(read(tmp_path / "x.tif"), values)


def test_a_tiff_in_which_white_is_zero_is_inverted_at_16_bits_too(tmp_path):
    Image.fromarray(np.array([[0, 1000]], np.uint16)).save(tmp_path / "x.tif", tiffinfo={262: 0})
    with Image.open(tmp_path / "x.tif") as image:
        assert image.tag_v2[262] == 0
    assert read_stored(tmp_path / "x.tif").inverted


def test_palette_one_bit_and_cmyk_become_what_they_show(tmp_path):
    Image.fromarray(RGB).quantize(16).save(tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as image:
        assert image.mode == "P" and np.array_equal(read(tmp_path / "p.png"), np.asarray(image.convert("RGB")))
    Image.fromarray(GREY > 127).save(tmp_path / "1.png")
    assert np.array_equal(read(tmp_path / "1.png"), np.where(GREY > 127, 255, 0))
    Image.fromarray(RGB).convert("CMYK").save(tmp_path / "c.tif")
    assert np.array_equal(read(tmp_path / "c.tif"), RGB)


def test_an_opaque_alpha_is_dropped_and_a_transparent_one_laid_on_black(tmp_path):
    opaque = np.dstack([RGB, np.full(GREY.shape, 255, np.uint8)])
    half = np.dstack([RGB, np.full(GREY.shape, 128, np.uint8)])
    for pixels, expected in ((opaque, RGB), (half, np.rint(RGB * (128 / 255)))):
        Image.fromarray(pixels).save(tmp_path / "x.png")
        assert np.array_equal(read(tmp_path / "x.png"), expected)
    Image.fromarray(np.dstack([GREY, 255 - GREY])).save(tmp_path / "la.png")
    assert np.array_equal(read(tmp_path / "la.png"), np.rint(GREY * ((255 - GREY) / 255.0)))


def tiff(path, values, *, photometric=1, order="<"):
    """Write a grey TIFF of one strip by hand: Pillow writes few kinds of samples."""
    rows, columns = values.shape
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    kind = {"u": 1, "i": 2, "f": 3, "c": 6}[values.dtype.kind]
    tags = [(256, columns), (257, rows), (258, 8 * values.itemsize), (259, 1), (262, photometric), (273, 8), (277, 1),
            (278, rows), (279, len(data)), (339, kind)]  # fmt: skip
    entries = b"".join(struct.pack(order + "HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    mark = b"II*\0" if order == "<" else b"MM\0*"
    directory = struct.pack(order + "H", len(tags)) + entries + struct.pack(order + "I", 0)
    path.write_bytes(mark + struct.pack(order + "I", 8 + len(data)) + data + directory)
    return path


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "values",
    [
        np.array([[0, 1, 2**31], [2**32 - 1, 5, 2**31 - 1]], np.uint32),
        np.array([[-(2**31), -1, 0], [1, 2, 2**31 - 1]], np.int32),
        np.array([[-128, -1, 0], [1, 2, 127]], np.int8),
        np.array([[0, 128, 255]], np.uint8),
        np.array([[-32768, 0, 32767]], np.int16),
    ],
    ids=["uint32", "int32", "int8", "uint8", "int16"],
)
def test_samples_of_a_tiff_are_what_the_file_says(tmp_path, values, order):
    if values.dtype == np.uint32 and order == ">":
        with pytest.raises(BadFile, match="big-endian unsigned samples of 32 bits"):
            read(tiff(tmp_path / "x.tif", values, order=order))
        return
    found = read(tiff(tmp_path / "x.tif", values, order=order))
    assert np.array_equal(found, values)
    assert found.dtype in (values.dtype, np.int32)  # Pillow widens signed 16 bits


def test_signed_eight_bits_need_a_declared_intensity(tmp_path):
    stored = read_stored(tiff(tmp_path / "x.tif", np.array([[-128, 127]], np.int8)))
    with pytest.raises(OutsideContract, match=r"int8 values -128\.\.127"):
        parse_intensity("auto").apply(stored)
    assert parse_intensity("range:-128..127").apply(stored).tolist() == [[0, 255]]


@pytest.mark.parametrize(
    ("dtype", "reason"),
    [(np.float64, "floating-point samples of 64 bits"), (np.float16, "floating-point samples of 16 bits"),
     (np.complex64, "complex samples of 64 bits"), (np.uint64, "unsigned samples of 64 bits")],
)  # fmt: skip
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_of_rare_samples_is_told_as_one(tmp_path, dtype, reason, order):
    with pytest.raises(BadFile, match=f"a TIFF of a kind that cannot be read .(big-endian )?{reason}, 1 a pixel"):
        read_stored(tiff(tmp_path / "x.tif", np.zeros((3, 4), dtype), order=order))


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's own, of the same garbage
def test_a_tiff_of_garbage_is_told_as_damaged(tmp_path):
    for content in (b"II*\0", b"MM\0*" + b"\xff" * 40):
        (tmp_path / "x.tif").write_bytes(content)
        with pytest.raises(BadFile, match="a TIFF "):
            read_stored(tmp_path / "x.tif")


def test_an_image_above_the_limit_is_told_without_a_warning_of_pillow(tmp_path):
    (tmp_path / "x.png").write_bytes(png(10_000, 10_000))
    code = (
        "from pathlib import Path\nfrom medfeat.datasets.decoding.bad_file import BadFile\n"
        "from medfeat.datasets.decoding.decode import read_stored\n"
        "try:\n    read_stored(Path('x.png'))\nexcept BadFile as error:\n    print(error)\n"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "too large (10000 x 10000 pixels" in told.stdout and told.stderr == ""


def png(width, height, *, depth=8, colour=0, data=b""):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def truncated(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)).save(tmp_path / "whole.png")
    return (tmp_path / "whole.png").read_bytes()[:5000]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"this is a text file called .png\n", "no image of PNG, JPEG, TIFF, BMP, WEBP, JPEG2000"),
        (png(30_000, 30_000), "too large"),
        (png(10_000, 10_000), "too large"),
        (png(2, 1, depth=16, colour=2, data=b"\0" + bytes(12)), "16 bits a channel in colour"),
        (png(2, 1, depth=16, colour=6, data=b"\0" + bytes(16)), "16 bits a channel in colour"),
    ],
    ids=["zero-byte", "text", "bomb", "large", "rgb48", "rgba64"],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_bad_picture_is_told_in_a_few_words(tmp_path, content, reason):
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(BadFile, match=reason):
        read_stored(tmp_path / "x.png")


def test_several_pages_are_not_taken_for_one_picture(tmp_path):
    first, second = Image.fromarray(GREY), Image.fromarray(255 - GREY)
    first.save(tmp_path / "x.tif", save_all=True, append_images=[second])
    with pytest.raises(BadFile, match="holds 2 pictures"):
        read_stored(tmp_path / "x.tif")


def test_what_is_missing_or_a_folder_is_told(tmp_path):
    (tmp_path / "x.png").mkdir()
    for path, reason in ((tmp_path / "x.png", "not a file"), (tmp_path / "y.png", "missing file")):
        with pytest.raises(BadFile, match=reason):
            read_stored(path)


def test_names_that_are_taken_for_images(tmp_path):
    (tmp_path / "IM0001").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "README").write_bytes(b"words")
    (tmp_path / "1.2.840.3").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "1.folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    Image.fromarray(RGB).save(tmp_path / "IMG_1.HEIC", format="JPEG")
    Image.fromarray(RGB).save(tmp_path / "b.gif", format="WEBP")
    Image.fromarray(GREY).save(tmp_path / "c.gif")
    (tmp_path / "IMG_2.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(20))
    Image.fromarray(RGB).save(tmp_path / "camera.dng", format="TIFF")
    names = ["a.png", "a.JPG", "a.dcm", "a.nii.gz", "IM0001", "1.2.840.3", "IMG_1.HEIC", "b.gif"]
    others = ["README", "a.csv", "a.gz", "missing", "DICOMDIR", "1.folder", "pipe", "IMG_2.HEIC", "c.gif", "camera.dng"]
    assert [name for name in names + others if is_image_name(tmp_path / name)] == names


@pytest.mark.filterwarnings("ignore:The image decoding")
@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("pixels", [GREY, RGB], ids=["grey", "rgb"])
def test_webp_equals_the_decoder_of_torchvision(tmp_path, pixels, lossless):
    Image.fromarray(pixels).save(tmp_path / "x.webp", lossless=lossless, quality=80)
    found = read(tmp_path / "x.webp")
    if lossless:
        assert np.array_equal(found, pixels if pixels.ndim == 3 else np.dstack([pixels] * 3))
    io = pytest.importorskip("torchvision.io")
    decoded = io.decode_webp(io.read_file(str(tmp_path / "x.webp")), mode=io.ImageReadMode.RGB)
    assert np.abs(found.astype(int) - decoded.numpy().transpose(1, 2, 0)).max() <= (0 if lossless else 2)


def test_a_moving_webp_is_no_one_picture(tmp_path):
    first, second = Image.fromarray(RGB), Image.fromarray(255 - RGB)
    first.save(tmp_path / "x.webp", save_all=True, append_images=[second])
    with pytest.raises(BadFile, match="holds 2 pictures"):
        read_stored(tmp_path / "x.webp")


def test_sixteen_bit_jpeg_2000_keeps_its_values_whatever_its_name(tmp_path):
    deep = np.random.default_rng(0).integers(0, 65536, (32, 40), np.uint16)
    Image.fromarray(deep).save(tmp_path / "x.jp2", irreversible=False)
    (tmp_path / "x.png").write_bytes((tmp_path / "x.jp2").read_bytes())
    for name in ("x.jp2", "x.png"):
        found = read(tmp_path / name)
        assert found.dtype == np.uint16 and np.array_equal(found, deep)
    with pytest.raises(OutsideContract, match="uint16 values"):
        parse_intensity("auto").apply(read_stored(tmp_path / "x.jp2"))


def with_depth(path, byte):
    """Declare another depth of samples in the SIZ segment; lossless coding codes the distance from the middle."""
    content = bytearray(path.read_bytes())
    start = content.index(b"\xff\x4f\xff\x51")
    content[start + 42] = byte
    path.write_bytes(bytes(content))


def test_twelve_bit_jpeg_2000_keeps_its_values(tmp_path):
    values = np.random.default_rng(0).integers(0, 4096, (32, 40)).astype(np.uint16)
    Image.fromarray(values + np.uint16(32768 - 2048)).save(tmp_path / "x.j2k", irreversible=False)
    with_depth(tmp_path / "x.j2k", 11)
    assert np.array_equal(read(tmp_path / "x.j2k"), values)


@pytest.mark.parametrize(
    ("pixels", "byte", "reason"),
    [(RGB, 15, "16 bits a channel in colour"), (GREY, 0x87, "signed samples"), (GREY, 3, "4-bit samples"),
     (GREY, 23, "24-bit samples")],
)  # fmt: skip
def test_jpeg_2000_of_other_samples_is_told(tmp_path, pixels, byte, reason):
    Image.fromarray(pixels).save(tmp_path / "x.j2k", irreversible=False)
    with_depth(tmp_path / "x.j2k", byte)
    with pytest.raises(BadFile, match=reason):
        read_stored(tmp_path / "x.j2k")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"GIF89a" + bytes(20), "a GIF"),
        (b"8BPS" + bytes(20), "a Photoshop file"),
        (b"\0\0\0\x1cftypavif" + bytes(20), "an AVIF picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"PK\x03\x04" + bytes(20), "a ZIP archive"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"<!DOCTYPE html><html>not found</html>", "a web page"),
    ],
)
def test_pictures_of_kinds_that_are_not_read_are_named(tmp_path, content, kind):
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(BadFile, match=f"^{kind}.*which is not read; save it as PNG$"):
        read_stored(tmp_path / "x.png")


def test_a_heic_is_refused_with_the_command_that_makes_a_png_of_it(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(20))
    with pytest.raises(BadFile, match=r"^a HEIC picture, which is not read; save it as PNG \(`heif-convert .*sips"):
        read_stored(tmp_path / "x.jpg")
