"""Compressed DICOM: the same pixels as uncompressed, decoded by one package whatever else is installed."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medfeat.datasets.decoding.bad_file import BadFile
from medfeat.datasets.decoding.decode import read_stored
from medfeat.datasets.decoding.dicom_decoders import ORDERS

pydicom = pytest.importorskip("pydicom")

FILES = Path(pydicom.__file__).parent / "data" / "test_files"  # they come with pydicom
MR = "MR_small.dcm"


def stored(name):
    return read_stored(FILES / name)


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("MR_small_RLE.dcm", "pydicom"),
        ("MR_small_jp2klossless.dcm", "PIL"),
        ("MR_small_jpeg_ls_lossless.dcm", "jpeg_ls"),
        ("MR_small_bigendian.dcm", "pydicom"),
        ("MR_small_implicit.dcm", "pydicom"),
    ],
)
def test_lossless_files_hold_the_pixels_of_the_plain_one(name, package):
    pytest.importorskip(package)
    assert np.array_equal(stored(name).values, stored(MR).values)


@pytest.mark.parametrize("syntax", ["JPEGLossless", "JPEGLosslessSV1"])
def test_lossless_jpeg_holds_the_pixels_of_the_plain_file(tmp_path, syntax):
    gdcm = pytest.importorskip("gdcm")
    kinds = {"JPEGLossless": "JPEGLosslessProcess14", "JPEGLosslessSV1": "JPEGLosslessProcess14_1"}
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(FILES / MR))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, kinds[syntax])))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(tmp_path / "x.dcm"))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    assert pydicom.dcmread(tmp_path / "x.dcm").file_meta.TransferSyntaxUID == getattr(pydicom.uid, syntax)
    assert np.array_equal(read_stored(tmp_path / "x.dcm").values, stored(MR).values)


def test_jpeg_2000_of_16_bits_in_colour_falls_to_the_second_decoder_and_is_refused_as_colour():
    assert ORDERS[pydicom.uid.JPEG2000Lossless][0] == "pillow"
    with pytest.raises(BadFile, match="8 bits a channel"):
        stored("SC_rgb_rle_16bit.dcm")


@pytest.mark.parametrize("name", ["SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_small_odd_jpeg.dcm", "SC_rgb_dcmtk_+eb+cy+s4.dcm"])
def test_lossy_jpeg_is_decoded_by_pillow_and_comes_out_as_rgb(name):
    from pydicom.encaps import get_frame

    file = pydicom.dcmread(FILES / name)
    theirs = np.asarray(Image.open(io.BytesIO(get_frame(file.PixelData, 0, number_of_frames=1))).convert("RGB"))
    found = stored(name)
    assert found.colour and np.abs(found.values.astype(int) - theirs).max() <= 2


@pytest.mark.parametrize(("name", "plain"), [("SC_rgb_rle.dcm", "ExplVR_BigEnd.dcm"), ("image_dfl.dcm", None)])
def test_run_lengths_and_deflated_files_are_read(name, plain):
    found = stored(name)
    assert found.colour == (plain is not None)
    assert np.array_equal(found.values, pydicom.dcmread(FILES / name).pixel_array)


def test_palette_files_of_scanners_are_read_as_pydicom_reads_them():
    from pydicom.pixels import apply_color_lut

    file = pydicom.dcmread(FILES / "examples_palette.dcm")
    theirs = apply_color_lut(file.pixel_array, file)
    assert np.array_equal(stored("examples_palette.dcm").values, theirs >> 8 if theirs.dtype == np.uint16 else theirs)


def test_a_package_that_is_installed_later_changes_no_pixels(monkeypatch):
    """pydicom prefers other decoders where they are installed; medfeat does not."""
    from pydicom.pixels import get_decoder

    name = "SC_rgb_jpeg_dcmtk.dcm"
    before = stored(name).values
    decoder = get_decoder(pydicom.uid.JPEGBaseline8Bit)

    def other(*args):
        raise AssertionError("another decoder was asked")

    monkeypatch.setattr(decoder, "_available", {"gdcm": other, "pylibjpeg": other, **decoder._available})
    assert np.array_equal(stored(name).values, before)


def test_jpeg_of_12_bits_names_the_only_package_that_reads_it(monkeypatch):
    from pydicom.pixels import get_decoder

    decoder = get_decoder(pydicom.uid.JPEGExtended12Bit)
    kept = {name: found for name, found in decoder._available.items() if name != "pylibjpeg"}
    monkeypatch.setattr(decoder, "_available", kept)
    with pytest.raises(BadFile, match="pylibjpeg-libjpeg alone, which is under the GPL"):
        stored("JPGExtended.dcm")
