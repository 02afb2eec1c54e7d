"""A contract maps values to uint8, or says why an image does not keep to it."""

import numpy as np
import pytest

from medfeat.datasets.decoding.intensity import OutsideContract, Stored, needs_contract, parse_intensity
from medfeat.errors import UsageError


def apply(text, values, **facts):
    return parse_intensity(text).apply(Stored(np.asarray(values), **facts)).tolist()


@pytest.mark.parametrize(
    "text",
    ["auto", "uint8", "uint16:0..4095", "range:-1.5..2.5", "hu:-1024..3071", "window", "window:40,400", "minmax"],
)
def test_a_contract_is_written_as_it_is_read(text):
    assert str(parse_intensity(text)) == text
    assert parse_intensity(str(parse_intensity(text.upper()))) == parse_intensity(text)


@pytest.mark.parametrize(
    "text",
    ["", "uint32", "hu", "hu:1..", "range:5..5", "range:9..1", "window:1", "window:40,1", "uint16:-1..9",
     "uint16:0..70000", "range:nan..1", "percent"],
)  # fmt: skip
def test_a_contract_that_cannot_be_meant_is_refused(text):
    with pytest.raises(UsageError):
        parse_intensity(text or " x ")


def test_eight_bits_pass_as_they_are():
    values = np.array([[0, 7], [200, 255]], np.uint8)
    assert apply("auto", values) == apply("uint8", values) == apply(None, values) == values.tolist()


def test_a_range_maps_its_ends_to_0_and_255_and_rounds_between():
    assert apply("uint16:0..4095", np.array([0, 1024, 2048, 4095], np.uint16)) == [0, 64, 128, 255]
    assert apply("range:-1..1", np.array([-1.0, 0.0, 1.0])) == [0, 128, 255]
    assert apply("hu:-1000..400", np.array([-1000.0, -300.0, 400.0]), modality=True) == [0, 128, 255]
    assert apply("uint16", np.array([0, 65535], np.uint16)) == [0, 255]


@pytest.mark.parametrize(
    ("text", "values", "reason"),
    [
        ("uint16:0..4095", np.array([0, 4096], np.uint16), "0..4096 lie outside the declared uint16:0..4095"),
        ("range:0..1", np.array([-0.5, 1.0]), "-0.5..1 lie outside"),
        ("range:0..1", np.array([0.5, np.nan]), "no numbers"),
        ("window:40,400", np.array([0.5, np.inf]), "no numbers"),
        ("uint16:0..4095", np.array([1, 2], np.uint8), "8 bits"),
        ("uint16", np.array([0.5]), "takes integers"),
        ("hu:0..10", np.array([1, 2], np.uint16), "needs a DICOM or NIfTI file"),
        ("window", np.array([1, 2], np.uint16), "declares no window"),
        ("uint8", np.array([1, 2], np.uint16), "no intensity is declared"),
    ],
)
def test_an_image_outside_its_contract_is_reported_and_never_clipped(text, values, reason):
    with pytest.raises(OutsideContract, match=reason):
        apply(text, values)


def test_undeclared_values_are_refused_with_their_range_and_the_ways_out():
    with pytest.raises(OutsideContract) as error:
        apply("auto", np.array([12, 3071], np.uint16))
    assert str(error.value) == (
        "it holds uint16 values 12..3071 and no intensity is declared: uint16:0..4095, uint16 (0..65535), "
        "minmax (each image on its own)"
    )
    with pytest.raises(OutsideContract, match=r"hu:LO..HI of all images, window \(the file's own, 40,400\)"):
        apply("auto", np.array([-1000.0, 500.0]), modality=True, window=(40.0, 400.0))


@pytest.mark.parametrize(
    ("values", "first"),
    [
        (np.array([0.08, 0.79]), "range:0..1, minmax"),
        (np.array([-1.0, 0.79]), "range:LO..HI of all images, minmax"),
        (np.array([0.0, 254.5], np.float32), "range:0..255, minmax"),
        (np.array([3, 200], np.int64), "range:0..255, minmax"),
        (np.array([3, 200], np.uint16), "range:0..255, minmax"),
        (np.array([3, 5000], np.uint16), "range:LO..HI of all images, uint16 (0..65535), minmax"),
        (np.array([0.0, 1.0]), "range:0..1, minmax"),
        (np.array([0.0, 1.01]), "range:0..255, minmax"),
        (np.array([3, 255], np.uint16), "range:0..255, minmax"),
        (np.array([3, 256], np.uint16), "uint16:0..4095, uint16 (0..65535), minmax"),
        (np.array([3, 4095], np.uint16), "uint16:0..4095, uint16 (0..65535), minmax"),
        (np.array([3, 4096], np.uint16), "range:LO..HI of all images, uint16 (0..65535), minmax"),
    ],
)
def test_what_is_proposed_takes_the_other_images_too(values, first):
    with pytest.raises(OutsideContract) as error:
        apply("auto", values)
    assert f"declared: {first} (each image" in str(error.value)


def test_ends_that_are_of_several_images_are_proposed_as_they_are():
    assert "uint16:0..4095, range:3..4000, uint16 (0..65535)" in needs_contract(
        Stored(np.array([[3, 4000]], np.uint16)), several=True
    )


def test_a_window_saturates_by_definition():
    assert apply("window:50,101", np.array([-500, 0, 50, 99, 900])) == [0, 1, 129, 254, 255]
    assert apply("window", np.array([-500, 900]), window=(50.0, 101.0)) == [0, 255]


def test_the_window_is_the_one_pydicom_applies():
    pydicom = pytest.importorskip("pydicom")
    from pydicom.pixels.processing import apply_windowing

    file = pydicom.Dataset()
    file.WindowCenter, file.WindowWidth, file.BitsStored, file.PixelRepresentation = 40, 400, 8, 0
    file.PhotometricInterpretation = "MONOCHROME2"
    values = np.arange(-400, 500, dtype=np.int16)
    file.RescaleSlope, file.RescaleIntercept = 1, 0  # pydicom then scales to the output range of the values
    theirs = apply_windowing(values, file)
    ours = np.array(apply("window:40,400", values))
    assert abs((theirs - theirs.min()) / np.ptp(theirs) * 255 - ours).max() <= 0.51


def test_minmax_stretches_each_image_and_leaves_a_flat_one_black():
    assert apply("minmax", np.array([10.0, 20.0, 30.0])) == [0, 128, 255]
    assert apply("minmax", np.array([7, 7])) == [0, 0]


def test_a_file_in_which_small_is_bright_is_inverted():
    assert apply("range:0..10", np.array([0, 10]), inverted=True) == [255, 0]
    assert apply("auto", np.array([0, 200], np.uint8), inverted=True) == [255, 55]
