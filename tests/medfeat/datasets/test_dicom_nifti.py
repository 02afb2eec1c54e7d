"""DICOM and NIfTI keep the units, polarity and orientation their files declare."""

import sys

import numpy as np
import pytest

from medfeat.datasets import open_dataset
from medfeat.datasets.decoding.bad_file import BadFile
from medfeat.datasets.decoding.decode import read_stored
from medfeat.datasets.decoding.intensity import parse_intensity
from medfeat.errors import DataError, MissingExtraError
from medfeat.types import SilentProgress

pydicom = pytest.importorskip("pydicom")
nibabel = pytest.importorskip("nibabel")

RAW = np.arange(24, dtype=np.uint16).reshape(4, 6) * 100


def write_dicom(path, pixels=RAW, *, photometric="MONOCHROME2", **facts):
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    colour = pixels.shape[-1] == 3
    file.Rows, file.Columns = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
    if pixels.ndim == 3 and not colour:
        file.NumberOfFrames = len(pixels)
    file.SamplesPerPixel = 3 if colour else 1
    if colour:
        file.PlanarConfiguration = 0
    file.PhotometricInterpretation = photometric
    file.BitsAllocated = file.BitsStored = 8 * pixels.itemsize
    file.HighBit = file.BitsStored - 1
    file.PixelRepresentation = int(pixels.dtype.kind == "i")
    for name, value in facts.items():
        setattr(file, name, value)
    file.PixelData = pixels.tobytes()
    file.save_as(path, enforce_file_format=True)
    return path


def test_values_come_in_the_units_of_the_modality(tmp_path):
    stored = read_stored(write_dicom(tmp_path / "x.dcm", RescaleSlope=2, RescaleIntercept=-1024))
    assert stored.modality and np.array_equal(stored.values, RAW * 2.0 - 1024)
    assert parse_intensity("hu:-1024..3576").apply(stored)[[0, -1], [0, -1]].tolist() == [0, 255]


def test_eight_bits_without_rescaling_need_no_contract(tmp_path):
    pixels = RAW.astype(np.uint8)
    for facts in ({}, {"RescaleSlope": 1, "RescaleIntercept": 0}):
        stored = read_stored(write_dicom(tmp_path / "x.dcm", pixels, **facts))
        assert np.array_equal(parse_intensity("auto").apply(stored), pixels)


def test_monochrome1_is_inverted(tmp_path):
    pixels = RAW.astype(np.uint8)
    stored = read_stored(write_dicom(tmp_path / "x.dcm", pixels, photometric="MONOCHROME1"))
    assert np.array_equal(parse_intensity("uint8").apply(stored), 255 - pixels)


def test_signed_values_and_the_files_own_window(tmp_path):
    pixels = np.array([[-500, -160], [40, 900]], np.int16)
    stored = read_stored(write_dicom(tmp_path / "x.dcm", pixels, WindowCenter=[40, 50], WindowWidth=[400, 350]))
    assert stored.window == (40.0, 400.0)
    assert parse_intensity("window").apply(stored).tolist() == [[0, 0], [128, 255]]


def test_a_window_that_is_not_linear_is_not_guessed(tmp_path):
    stored = read_stored(write_dicom(tmp_path / "x.dcm", WindowCenter=40, WindowWidth=400, VOILUTFunction="SIGMOID"))
    assert stored.window is None


def test_padding_takes_the_lowest_value_of_the_others(tmp_path):
    pixels = np.array([[-2000, -900], [100, -2000]], np.int16)
    path = write_dicom(tmp_path / "x.dcm", pixels, PixelPaddingValue=-2000, RescaleSlope=1, RescaleIntercept=-24)
    assert read_stored(path).values.tolist() == [[-924, -924], [76, -924]]


def test_several_frames_are_a_volume_and_colour_is_kept(tmp_path):
    frames = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    assert np.array_equal(read_stored(write_dicom(tmp_path / "v.dcm", frames)).values, frames)
    colour = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
    assert np.array_equal(read_stored(write_dicom(tmp_path / "c.dcm", colour, photometric="RGB")).values, colour)


def test_a_dicom_file_needs_no_suffix(tmp_path, read_all):
    for i in range(2):
        write_dicom(tmp_path / f"IM{i}", RAW.astype(np.uint8) + i)
    found = read_all(open_dataset(tmp_path), "all")
    assert list(found) == ["IM0", "IM1"] and np.array_equal(found["IM1"], RAW.astype(np.uint8) + 1)


@pytest.mark.parametrize(
    ("content", "reason"), [(b"no dicom at all" * 20, "no DICOM file"), (bytes(128) + b"DICM\0\1", "")]
)
def test_a_damaged_dicom_file_is_a_bad_image(tmp_path, content, reason, read_all):
    write_dicom(tmp_path / "a.dcm", RAW.astype(np.uint8))
    (tmp_path / "b.dcm").write_bytes(content)
    assert reason in read_all(open_dataset(tmp_path), "all")["b.dcm"]


def item(**facts):
    found = pydicom.Dataset()
    for name, value in facts.items():
        setattr(found, name, value)
    return found


def rescale(slope, intercept):
    return {
        "PixelValueTransformationSequence": [item(RescaleSlope=slope, RescaleIntercept=intercept, RescaleType="HU")]
    }


def window(center, width):
    return {"FrameVOILUTSequence": [item(WindowCenter=center, WindowWidth=width)]}


FRAMES = np.stack([RAW, RAW + 1])


def test_an_enhanced_file_is_rescaled_as_its_shared_groups_say(tmp_path):
    shared = [item(**rescale(2, -1024), **window(40, 400))]
    for pixels in (FRAMES, RAW):
        stored = read_stored(write_dicom(tmp_path / "x.dcm", pixels, SharedFunctionalGroupsSequence=shared))
        assert stored.modality and stored.window == (40.0, 400.0)
        assert np.array_equal(stored.values, pixels * 2.0 - 1024)


def test_an_enhanced_file_is_rescaled_frame_by_frame(tmp_path):
    groups = [item(**rescale(1, -1000), **window(40, 400)), item(**rescale(0.5, 3), **window(50, 400))]
    shared = [item(**rescale(9, 9))]
    path = write_dicom(tmp_path / "x.dcm", FRAMES, PerFrameFunctionalGroupsSequence=groups,
                       SharedFunctionalGroupsSequence=shared)  # fmt: skip
    stored = read_stored(path)
    assert np.array_equal(stored.values, np.stack([RAW - 1000.0, (RAW + 1) * 0.5 + 3]))
    assert stored.modality and stored.window is None  # two windows: none is guessed
    path = write_dicom(tmp_path / "y.dcm", FRAMES, SharedFunctionalGroupsSequence=[item(**rescale(1, 0))])
    assert read_stored(path).values.dtype == np.uint16 and read_stored(path).modality


@pytest.mark.parametrize(
    ("groups", "reason"),
    [
        ([item(**rescale(1, 0)), item()], "for some of its frames only"),
        ([item(**rescale(1, 0))], "describes 1 of its 2 frames"),
        ([item(PixelValueTransformationSequence=[item(RescaleIntercept=1)])] * 2, "for some of its frames only"),
    ],
)
def test_an_enhanced_file_that_contradicts_itself_is_bad(tmp_path, groups, reason):
    with pytest.raises(BadFile, match=reason):
        read_stored(write_dicom(tmp_path / "x.dcm", FRAMES, PerFrameFunctionalGroupsSequence=groups))


def test_files_named_after_their_uid_are_read_and_a_dicomdir_is_none(tmp_path, read_all):
    for i, label in enumerate("abab"):
        (tmp_path / label).mkdir(exist_ok=True)
        write_dicom(tmp_path / label / f"1.2.840.113619.2.{i}", RAW.astype(np.uint8) + i)
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    progress = SilentProgress()
    dataset = open_dataset(tmp_path, progress=progress)
    assert dataset.info.classes == ("a", "b") and np.array_equal(
        read_all(dataset, "all")["b/1.2.840.113619.2.3"], RAW.astype(np.uint8) + 3
    )
    assert progress.said == [f"{tmp_path}: 1 file is no image and is left out, such as DICOMDIR"]


@pytest.mark.parametrize("implicit", [True, False])
def test_a_file_without_preamble_is_read(tmp_path, implicit):
    file = pydicom.dcmread(write_dicom(tmp_path / "x.dcm", RescaleSlope=2, RescaleIntercept=-1024))
    file.file_meta, file.preamble = pydicom.dataset.FileMetaDataset(), None
    file.save_as(tmp_path / "bare.dcm", implicit_vr=implicit, little_endian=True, enforce_file_format=False)
    assert (tmp_path / "bare.dcm").read_bytes()[128:132] != b"DICM"
    assert np.array_equal(read_stored(tmp_path / "bare.dcm").values, RAW * 2.0 - 1024)


def test_a_compressed_file_names_what_to_install(tmp_path, monkeypatch):
    from pydicom.encaps import encapsulate
    from pydicom.pixels import get_decoder
    from pydicom.uid import JPEGLSLossless

    monkeypatch.setattr(get_decoder(JPEGLSLossless), "_available", {})  # as where no such package is installed
    file = pydicom.dcmread(write_dicom(tmp_path / "x.dcm", RAW))
    file.file_meta.TransferSyntaxUID = JPEGLSLossless
    file.PixelData = encapsulate([b"\0" * 10])
    file["PixelData"].is_undefined_length = True
    file.save_as(tmp_path / "x.dcm", enforce_file_format=True)
    with pytest.raises(BadFile) as error:
        read_stored(tmp_path / "x.dcm")
    message = str(error.value)
    assert "compressed as JPEG-LS Lossless" in message and "\n" not in message
    assert "pyjpegls or python-gdcm" in message and "pip install 'medfeat[dicom]'" in message


def test_undeclared_hounsfield_units_are_refused_with_the_range_and_the_files_window(tmp_path):
    for i in range(3):
        write_dicom(tmp_path / f"{i}.dcm", RAW + i, RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=40,
                    WindowWidth=400)  # fmt: skip
    with pytest.raises(DataError) as error:
        open_dataset(tmp_path)
    message = str(error.value)
    assert "hu:-1024..1278" in message and "window (the file's own, 40,400)" in message and "--intensity" in message


def test_a_value_outside_the_declared_range_is_reported_and_the_others_go_on(tmp_path, read_all):
    write_dicom(tmp_path / "a.dcm", RAW, RescaleSlope=1, RescaleIntercept=-1024)
    write_dicom(tmp_path / "b.dcm", RAW * 2, RescaleSlope=1, RescaleIntercept=-1024)
    found = read_all(open_dataset(tmp_path, intensity="hu:-1024..2000"), "all")
    assert isinstance(found["a.dcm"], np.ndarray)
    assert found["b.dcm"] == "values -1024..3576 lie outside the declared hu:-1024..2000"


def write_nifti(path, values, affine=None, **options):
    image = nibabel.Nifti1Image(values, np.eye(4) if affine is None else affine, **options)
    nibabel.save(image, path)
    return path


VOLUME = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)  # right, front, head


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
def test_a_volume_is_laid_out_as_a_viewer_shows_it(tmp_path, name):
    stored = read_stored(write_nifti(tmp_path / name, VOLUME))
    assert stored.values.shape == (4, 3, 2) and stored.modality
    for slice_, row, column in ((0, 0, 0), (3, 2, 1), (1, 2, 0)):
        assert stored.values[slice_, row, column] == VOLUME[1 - column, 2 - row, slice_]


def test_files_stored_along_other_axes_come_out_alike(tmp_path):
    straight = read_stored(write_nifti(tmp_path / "a.nii", VOLUME)).values
    swapped = np.array([[0, 0, 1, 0], [0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]], float)
    turned = read_stored(write_nifti(tmp_path / "b.nii", VOLUME.transpose(2, 1, 0)[:, ::-1], swapped)).values
    assert np.array_equal(turned, straight)


def test_nifti_scaling_is_applied_and_a_single_slice_is_an_image(tmp_path):
    content = bytearray(write_nifti(tmp_path / "s.nii", VOLUME).read_bytes())
    content[112:120] = np.array([0.5, -10], "<f4").tobytes()  # scl_slope, scl_inter
    (tmp_path / "s.nii").write_bytes(content)
    assert read_stored(tmp_path / "s.nii").values.max() == VOLUME.max() * 0.5 - 10
    assert read_stored(write_nifti(tmp_path / "one.nii", VOLUME[:, :, :1])).values.shape == (3, 2)
    assert read_stored(write_nifti(tmp_path / "four.nii", VOLUME[..., None])).values.shape == (4, 3, 2)


def test_a_series_of_volumes_and_garbage_are_refused(tmp_path):
    with pytest.raises(BadFile, match="one volume of three axes"):
        read_stored(write_nifti(tmp_path / "x.nii", np.zeros((2, 2, 2, 5), np.int16)))
    (tmp_path / "y.nii").write_bytes(b"garbage" * 100)
    with pytest.raises(BadFile, match="no NIfTI file"):
        read_stored(tmp_path / "y.nii")


def test_volumes_open_as_3d_and_a_picture_among_them_is_bad(tmp_path, write_png, read_all):
    for i in range(2):
        write_nifti(tmp_path / f"{i}.nii.gz", VOLUME + i)
    write_png(tmp_path / "z.png")
    dataset = open_dataset(tmp_path, intensity="range:0..100")
    assert dataset.info.ndim == 3
    found = read_all(dataset, "all")
    assert found["0.nii.gz"].shape == (4, 3, 2) and found["0.nii.gz"].dtype == np.uint8
    assert found["z.png"] == "an image of shape (10, 12) among volumes"


@pytest.mark.parametrize(("package", "name"), [("pydicom", "x.dcm"), ("nibabel", "x.nii")])
def test_a_missing_extra_is_named_with_the_command_that_installs_it(tmp_path, monkeypatch, package, name):
    (tmp_path / name).write_bytes(bytes(400))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'medfeat\[(dicom|nifti)\]'"):
        open_dataset(tmp_path)
