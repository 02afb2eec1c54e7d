"""Grey DICOM pixels mean what the file says: where bits lie, padding, rescaling, windows and tables."""

import numpy as np
import pytest

from medfeat.datasets import open_dataset
from medfeat.datasets.decoding.bad_file import BadFile
from medfeat.datasets.decoding.decode import read_stored
from medfeat.datasets.decoding.intensity import OutsideContract, parse_intensity

pydicom = pytest.importorskip("pydicom")

U16, I16 = np.uint16, np.int16


def row(*values, dtype=U16):
    return np.array([values], dtype)


def seen(path, contract):
    return parse_intensity(contract).apply(read_stored(path))[0].tolist()


def item(**facts):
    found = pydicom.Dataset()
    for name, value in facts.items():
        setattr(found, name, value)
    return found


@pytest.mark.parametrize(
    ("contract", "shown"),
    [
        ("range:0..4095", [68, 68, 224, 68]),
        ("uint16:0..4095", [68, 68, 224, 68]),
        ("minmax", [0, 0, 255, 0]),
        ("window:2000,4000", [64, 64, 223, 64]),
    ],
)
def test_padding_is_the_darkest_where_small_is_bright(tmp_path, dicom, contract, shown):
    path = dicom(tmp_path / "x.dcm", row(4095, 4095, 500, 3000), "MONOCHROME1", PixelPaddingValue=4095)
    assert seen(path, contract) == shown


def test_padding_is_dark_also_in_8_bits_without_contract(tmp_path, dicom):
    pixels = row(255, 255, 30, 180, dtype=np.uint8)
    assert seen(dicom(tmp_path / "1.dcm", pixels, "MONOCHROME1", PixelPaddingValue=255), "auto") == [75, 75, 225, 75]
    assert seen(dicom(tmp_path / "2.dcm", pixels, "MONOCHROME2", PixelPaddingValue=255), "auto") == [30, 30, 30, 180]


def test_a_range_of_padding_is_padding(tmp_path, dicom):
    for value, limit in ((4000, 4095), (4095, 4000)):
        path = dicom(
            tmp_path / "x.dcm", row(4000, 4050, 4095, 7, 9), "MONOCHROME1",
            PixelPaddingValue=value, PixelPaddingRangeLimit=limit,
        )  # fmt: skip
        assert read_stored(path).values[0].tolist() == [9, 9, 9, 7, 9]


@pytest.mark.parametrize(("vr", "written"), [("US", 63536), ("SS", -2000)])
def test_signed_padding_is_found_under_either_sign_it_is_written_with(tmp_path, dicom, vr, written):
    path = dicom(tmp_path / "x.dcm", row(-2000, -900, 100, dtype=I16), RescaleSlope=1, RescaleIntercept=-24)
    file = pydicom.dcmread(path)
    file.add_new("PixelPaddingValue", vr, written)
    file.save_as(path)
    assert read_stored(path).values[0].tolist() == [-924, -924, 76]


def test_unsigned_padding_written_as_a_negative_number_is_found(tmp_path, dicom):
    path = dicom(tmp_path / "x.dcm", row(63536, 5, 7))
    file = pydicom.dcmread(path)
    file.add_new("PixelPaddingValue", "SS", -2000)
    file.save_as(path)
    assert read_stored(path).values[0].tolist() == [5, 5, 7]


def test_nothing_but_padding_is_no_image(tmp_path, dicom):
    with pytest.raises(BadFile, match="all of its pixels are padding"):
        read_stored(dicom(tmp_path / "x.dcm", row(9, 9), PixelPaddingValue=9))


def test_overlays_in_unused_bits_are_masked_and_short_samples_keep_their_sign(tmp_path, dicom):
    values = row(100, 200, 300, 400)
    overlaid = dicom(tmp_path / "o.dcm", values | row(0, 0x1000, 0, 0x8000), BitsStored=12, HighBit=11)
    assert read_stored(overlaid).values.tolist() == values.tolist()
    short = np.array([[5, -5 & 0xFFF, 100, -100 & 0xFFF]], U16).view(I16)
    signed = dicom(tmp_path / "s.dcm", short, BitsStored=12, HighBit=11)
    assert read_stored(signed).values[0].tolist() == [5, -5, 100, -100]


def test_bits_that_do_not_start_at_the_lowest_are_shifted(tmp_path, dicom):
    values = row(1, 2, 3000, 4095)
    path = dicom(tmp_path / "x.dcm", (values << 4) | 9, BitsStored=12, HighBit=15)
    assert read_stored(path).values.tolist() == values.tolist()
    middle = dicom(tmp_path / "m.dcm", (values << 2) | 0xC003 & 0x8003, BitsStored=12, HighBit=13)
    assert read_stored(middle).values.tolist() == values.tolist()
    signed = (np.array([[5, -5, -2048]], I16) << 4).astype(I16)
    path = dicom(tmp_path / "s.dcm", signed, BitsStored=12, HighBit=15)
    assert read_stored(path).values[0].tolist() == [5, -5, -2048]


def test_a_high_bit_that_cannot_be_is_named(tmp_path, dicom):
    with pytest.raises(BadFile, match="HighBit 7 does not fit BitsStored 12"):
        read_stored(dicom(tmp_path / "x.dcm", row(1, 2), BitsStored=12, HighBit=7))


@pytest.mark.parametrize(
    ("facts", "values"),
    [
        ({}, [0, 1024, 1064]),
        ({"RescaleSlope": None, "RescaleIntercept": None}, [0, 1024, 1064]),
        ({"RescaleIntercept": -1024}, [-1024, 0, 40]),
        ({"RescaleIntercept": -1024, "RescaleSlope": None}, [-1024, 0, 40]),
        ({"RescaleSlope": 2}, [0, 2048, 2128]),
        ({"RescaleSlope": 2, "RescaleIntercept": None}, [0, 2048, 2128]),
        ({"RescaleSlope": -1, "RescaleIntercept": 10}, [10, -1014, -1054]),
    ],
)
def test_an_empty_or_absent_half_of_the_rescaling_has_a_rule(tmp_path, dicom, facts, values):
    stored = read_stored(dicom(tmp_path / "x.dcm", row(0, 1024, 1064), **facts))
    assert stored.values[0].tolist() == values
    assert stored.modality == any(value is not None for value in facts.values())


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"RescaleSlope": 0, "RescaleIntercept": 5}, "RescaleSlope is 0"),
        ({"RescaleSlope": [1, 2], "RescaleIntercept": 5}, "RescaleSlope holds no single number"),
        ({"RescaleSlope": 1, "Modality": "CT"}, "without RescaleIntercept"),
    ],
)
def test_a_rescaling_that_cannot_be_meant_is_named(tmp_path, dicom, facts, reason):
    with pytest.raises(BadFile, match=reason):
        read_stored(dicom(tmp_path / "x.dcm", row(1, 2, 3), **facts))


def test_a_ct_without_rescaling_takes_no_contract_of_hounsfield_units(tmp_path, dicom):
    path = dicom(tmp_path / "x.dcm", row(0, 1024, 1064), Modality="CT", WindowCenter=1064, WindowWidth=400)
    for contract in ("hu:-1024..100", "window:40,400"):
        with pytest.raises(OutsideContract, match="neither RescaleSlope nor RescaleIntercept"):
            seen(path, contract)
    assert seen(path, "range:0..1064")[2] == 255
    assert seen(path, "window")[2] in (127, 128)  # the file's own is of the values it stores
    assert seen(dicom(tmp_path / "m.dcm", row(0, 1064), Modality="MR"), "window:1064,400")[1] in (127, 128)


@pytest.mark.parametrize("units", ["US", "OD"])
def test_values_that_a_file_says_are_no_hounsfield_units_are_none(tmp_path, dicom, units):
    path = dicom(tmp_path / "x.dcm", row(0, 10), RescaleSlope=2, RescaleIntercept=1, RescaleType=units)
    with pytest.raises(OutsideContract, match=rf"its values are {units} \(RescaleType\)"):
        seen(path, "hu:0..30")
    assert seen(path, "range:1..21") == [0, 255]
    with pytest.raises(OutsideContract, match=r"values 1\.\.21 .*: range:LO\.\.HI of all images"):
        seen(path, "auto")


def test_the_first_window_that_can_be_used_is_used(tmp_path, dicom):
    path = dicom(tmp_path / "x.dcm", row(0, 9), WindowCenter=[1, 40, 50], WindowWidth=[0, 400, 350])
    assert read_stored(path).window == (40.0, 400.0)
    for facts in ({"WindowCenter": 40, "WindowWidth": None}, {"WindowCenter": 40, "WindowWidth": 0}, {}):
        with pytest.raises(OutsideContract, match="WindowWidth"):
            seen(dicom(tmp_path / "y.dcm", row(0, 9), **facts), "window")


@pytest.mark.parametrize("function", ["SIGMOID", "LINEAR_EXACT", "LINEAR"])
def test_a_window_of_every_function_is_the_one_pydicom_applies(tmp_path, dicom, function):
    from pydicom.pixels import apply_windowing

    values = np.arange(0, 4096, 7, dtype=U16)[None]
    path = dicom(
        tmp_path / "x.dcm", values, BitsStored=12, HighBit=11, WindowCenter=1800, WindowWidth=900,
        VOILUTFunction=function,
    )  # fmt: skip
    theirs = apply_windowing(values, pydicom.dcmread(path)) * (255 / 4095)
    assert np.abs(parse_intensity("window").apply(read_stored(path)) - theirs).max() <= 0.51


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_a_voi_table_is_applied_under_window_as_pydicom_does(tmp_path, dicom, bits):
    from pydicom.pixels import apply_voi_lut

    entries = (np.linspace(0, 1, 200) ** 2 * (2**bits - 1)).astype("<u2")
    table = item(LUTDescriptor=[200, 50, bits], LUTData=entries.tobytes())
    values = row(*range(0, 300, 3), dtype=U16)
    path = dicom(tmp_path / "x.dcm", values, VOILUTSequence=[table], WindowCenter=9, WindowWidth=9)
    # pydicom takes the difference in the type of the entries, and has no place for 250 in one of 8 bits
    theirs = apply_voi_lut(np.clip(values, 0, 249), pydicom.dcmread(path)) * (255 / (2**bits - 1))
    assert np.abs(parse_intensity("window").apply(read_stored(path)) - theirs).max() <= 0.51
    inverted = dicom(tmp_path / "i.dcm", values, "MONOCHROME1", VOILUTSequence=[table])
    assert (255 - np.array(seen(inverted, "window"))).tolist() == seen(path, "window")


def test_a_table_longer_than_its_entries_are_wide_is_not_cut(tmp_path, dicom):
    table = item(LUTDescriptor=[1024, 0, 8], LUTData=(np.arange(1024, dtype="<u2") // 4).tobytes())
    path = dicom(tmp_path / "x.dcm", row(0, 400, 1023, 5000), VOILUTSequence=[table])
    assert seen(path, "window") == [0, 100, 255, 255]


def test_a_table_of_the_modality_is_applied_as_pydicom_does(tmp_path, dicom):
    from pydicom.pixels import apply_modality_lut

    table = item(LUTDescriptor=[4, 10, 16], LUTData=np.array([7, 70, 700, 7000], "<u2").tobytes(), ModalityLUTType="OD")
    path = dicom(tmp_path / "x.dcm", row(0, 10, 11, 12, 13, 500), ModalityLUTSequence=[table])
    stored = read_stored(path)
    assert stored.values[0].tolist() == [7, 7, 70, 700, 7000, 7000]
    file = pydicom.dcmread(path)
    assert np.array_equal(stored.values, apply_modality_lut(file.pixel_array, file))
    assert stored.modality and stored.units == "OD"


def test_a_table_that_is_not_what_it_declares_is_named(tmp_path, dicom):
    table = item(LUTDescriptor=[5, 0, 16], LUTData=np.array([1, 2], "<u2").tobytes())
    for name in ("ModalityLUTSequence", "VOILUTSequence"):
        with pytest.raises(BadFile, match=f"{name} has 4 entries where 5"):
            read_stored(dicom(tmp_path / "x.dcm", row(0, 1), **{name: [table]}))


def palette(bits, colours, first=0, segmented=False):
    facts = {}
    for i, name in enumerate(("Red", "Green", "Blue")):
        data = np.array([colour[i] for colour in colours], np.uint8 if bits == 8 else "<u2")
        if segmented:
            data = np.concatenate([np.array([0, len(data)], data.dtype), data])
        facts[f"{name}PaletteColorLookupTableDescriptor"] = [len(colours), first, bits]
        facts[f"{'Segmented' * segmented}{name}PaletteColorLookupTableData"] = data.tobytes()
    return facts


COLOURS = [(0, 10, 250), (30, 140, 50), (255, 0, 128), (1, 2, 3)]


@pytest.mark.parametrize("segmented", [False, True])
@pytest.mark.parametrize("spread", [1, 256, 257])
def test_a_palette_becomes_colour(tmp_path, dicom, spread, segmented):
    from pydicom.pixels import apply_color_lut

    bits = 8 if spread == 1 else 16
    table = palette(bits, [tuple(level * spread for level in colour) for colour in COLOURS], 2, segmented)
    pixels = row(2, 3, 4, 5, 2, 5, 0, 9, dtype=np.uint8)
    path = dicom(tmp_path / "x.dcm", pixels, "PALETTE COLOR", **table)
    stored = read_stored(path)
    assert stored.colour and not stored.is_volume
    assert stored.values[0].tolist() == [list(COLOURS[i]) for i in (0, 1, 2, 3, 0, 3, 0, 3)]
    theirs = apply_color_lut(pydicom.dcmread(path).pixel_array[:, :6], pydicom.dcmread(path))
    assert np.array_equal(stored.values[:, :6], theirs >> (0 if bits == 8 else 8))


def test_a_palette_of_8_bit_levels_in_16_bit_words_is_not_black(tmp_path, dicom):
    path = dicom(tmp_path / "x.dcm", row(0, 1, 2, 3, dtype=np.uint8), "PALETTE COLOR", **palette(16, COLOURS))
    assert read_stored(path).values[0].tolist() == [list(colour) for colour in COLOURS]


def test_planes_and_ybr_come_out_as_rgb(tmp_path, dicom):
    from pydicom.pixels import convert_color_space

    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    planes = dicom(tmp_path / "p.dcm", pixels, "RGB")
    file = pydicom.dcmread(planes)
    file.PlanarConfiguration, file.PixelData = 1, pixels.transpose(2, 0, 1).tobytes()
    file.save_as(planes)
    assert np.array_equal(read_stored(planes).values, pixels)
    ybr = dicom(tmp_path / "y.dcm", pixels, "YBR_FULL")
    assert np.array_equal(read_stored(ybr).values, convert_color_space(pixels, "YBR_FULL", "RGB"))


def test_three_columns_are_no_colour(tmp_path, dicom, read_all):
    pixels = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
    for i in range(2):
        dicom(tmp_path / f"{i}.dcm", np.ascontiguousarray(pixels.reshape(8, 3)), Rows=4, NumberOfFrames=2)
    dataset = open_dataset(tmp_path)
    assert dataset.info.ndim == 3 and np.array_equal(read_all(dataset, "all")["0.dcm"], pixels)


def test_one_bit_is_black_and_white_and_a_segmentation_is_no_image(tmp_path, dicom):
    pixels, one = row(0b00010110, dtype=np.uint8), {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}
    bits = dicom(tmp_path / "x.dcm", pixels, Columns=8, **one)
    assert read_stored(bits).values[0].tolist() == [0, 255, 255, 0, 255, 0, 0, 0]
    with pytest.raises(BadFile, match="a mask, and no image"):
        read_stored(dicom(tmp_path / "s.dcm", row(0, 1, dtype=np.uint8), Modality="SEG"))


def test_a_range_of_padding_ends_at_its_ends(tmp_path, dicom):
    path = dicom(tmp_path / "x.dcm", row(99, 100, 150, 200, 201), PixelPaddingValue=100, PixelPaddingRangeLimit=200)
    assert read_stored(path).values[0].tolist() == [99, 99, 99, 99, 201]
    alone = dicom(tmp_path / "y.dcm", row(99, 100, 150, 200, 201), PixelPaddingValue=150)
    assert read_stored(alone).values[0].tolist() == [99, 100, 99, 200, 201]


@pytest.mark.parametrize(
    ("function", "width", "used"),
    [("LINEAR", 1, False), ("LINEAR", 1.5, True), ("LINEAR", 0, False), ("LINEAR", -400, False),
     ("LINEAR_EXACT", 1, True), ("LINEAR_EXACT", 0.5, True), ("LINEAR_EXACT", 0, False),
     ("SIGMOID", 1, True), ("SIGMOID", -5, False)],
)  # fmt: skip
def test_a_width_that_the_standard_forbids_is_no_window(tmp_path, dicom, function, width, used):
    """PS3.3 C.11.2.1.2: at least 1 where the function is linear, and of two levels nothing could be divided by 0."""
    path = dicom(tmp_path / "x.dcm", row(0, 9), WindowCenter=40, WindowWidth=width, VOILUTFunction=function)
    stored = read_stored(path)
    assert ((stored.window or stored.display) is not None) == used


def test_a_window_keeps_its_own_width(tmp_path, dicom):
    """By hand, PS3.3 C.11.2.1.2.1: center 100, width 51 is ((x - 99.5) / 50 + 0.5) of 255 between 74.5 and 124.5."""
    path = dicom(tmp_path / "x.dcm", row(74, 75, 100, 125, 126), WindowCenter=[100, 7], WindowWidth=[51, 9])
    assert seen(path, "window") == [0, 3, 130, 255, 255]
