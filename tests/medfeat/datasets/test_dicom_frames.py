"""The frames of an enhanced DICOM file are the slices of a series: ordered, checked and laid out as one."""

import re
import warnings

import numpy as np
import pytest

from medfeat.datasets import open_dataset
from medfeat.datasets.decoding.bad_file import BadFile
from medfeat.datasets.decoding.decode import read_stored
from medfeat.types import SilentProgress

pydicom = pytest.importorskip("pydicom")
nibabel = pytest.importorskip("nibabel")

AXIAL = (1, 0, 0, 0, 1, 0)
CORONAL = (1, 0, 0, 0, 0, -1)
SAGITTAL = (0, 1, 0, 0, 0, -1)
OBLIQUE = (0.984808, 0.173648, 0, -0.173648, 0.984808, 0)
VOLUME = np.random.default_rng(0).integers(0, 3000, (5, 4, 6), np.uint16)
PLACES = [-40.0 + 2.5 * k for k in range(5)]
SHUFFLED = [3, 0, 4, 1, 2]


def item(**facts):
    found = pydicom.Dataset()
    for name, value in facts.items():
        setattr(found, name, value)
    return found


def position(place, orientation=AXIAL):
    cosines = np.array(orientation, float)
    normal = np.cross(cosines[:3], cosines[3:])
    return [round(float(x), 4) for x in normal * place + [-3, -4, 0]]


def frame(place, number=1, *, orientation=AXIAL, content=None, **groups):
    """Describe one frame by its functional groups."""
    told = {"StackID": "1", "InStackPositionNumber": number, "DimensionIndexValues": [1, number], **(content or {})}
    plane = (
        {} if place is None else {"PlanePositionSequence": [item(ImagePositionPatient=position(place, orientation))]}
    )
    return item(
        PlaneOrientationSequence=[item(ImageOrientationPatient=[float(c) for c in orientation])],
        FrameContentSequence=[item(**told)],
        **plane,
        **groups,
    )


@pytest.fixture
def enhanced(dicom):
    """Write frames, (n, rows, columns), with what is said of each, as one enhanced file."""

    def write(path, volume, groups, **facts):
        count, rows, columns = volume.shape
        stack, number = (pydicom.tag.Tag(pydicom.datadict.tag_for_keyword(name))
                         for name in ("StackID", "InStackPositionNumber"))  # fmt: skip
        known = {
            "SOPClassUID": pydicom.uid.EnhancedCTImageStorage, "Modality": "CT", "SeriesInstanceUID": "1.2.4",
            "StudyInstanceUID": "1.2", "PatientID": "p", "Rows": rows, "NumberOfFrames": count,
            "DimensionIndexSequence": [item(DimensionIndexPointer=stack), item(DimensionIndexPointer=number)],
            "SharedFunctionalGroupsSequence": [item(
                PixelMeasuresSequence=[item(PixelSpacing=[0.7, 0.9], SliceThickness=2.5)],
                PixelValueTransformationSequence=[item(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")],
            )],
            "PerFrameFunctionalGroupsSequence": groups,
        }  # fmt: skip
        return dicom(path, volume.reshape(count * rows, columns), **{**known, **facts})

    return write


def of_nibabel(path, nifti):
    """Let nibabel read an enhanced file and save it as NIfTI; its axes are turned from DICOM's to NIfTI's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that its reader of DICOM is young
        from nibabel.nicom.dicomwrappers import MultiframeWrapper

    wrapper = MultiframeWrapper(pydicom.dcmread(path))
    affine = np.diag([-1.0, -1, 1, 1]) @ wrapper.affine
    nibabel.save(nibabel.Nifti1Image(wrapper.get_data().astype(np.int16), affine), nifti)
    return read_stored(nifti).values


@pytest.mark.parametrize("orientation", [AXIAL, CORONAL, SAGITTAL, OBLIQUE])
@pytest.mark.parametrize("order", [range(5), range(4, -1, -1), SHUFFLED])
def test_frames_in_any_order_are_the_volume_that_nibabel_reads(tmp_path, enhanced, orientation, order):
    groups = [frame(place, k + 1, orientation=orientation) for k, place in enumerate(PLACES)]
    truth = of_nibabel(enhanced(tmp_path / "sorted.dcm", VOLUME, groups), tmp_path / "x.nii.gz")
    found = read_stored(enhanced(tmp_path / "x.dcm", VOLUME[list(order)], [groups[k] for k in order]))
    assert found.modality and found.units == "HU" and np.array_equal(found.values, truth)


def test_axial_frames_run_from_foot_to_head(tmp_path, enhanced):
    groups = [frame(PLACES[k], k + 1) for k in SHUFFLED]
    assert np.array_equal(read_stored(enhanced(tmp_path / "x.dcm", VOLUME[SHUFFLED], groups)).values, VOLUME - 1024.0)


@pytest.mark.parametrize("orientation", [AXIAL, CORONAL])
def test_an_enhanced_file_and_a_series_of_its_slices_are_the_same_array(
    tmp_path, enhanced, dicom, orientation, read_all
):
    groups = []
    for k in SHUFFLED:
        rescaled = {"RescaleSlope": 1 + k / 8, "RescaleIntercept": -1024}
        groups.append(frame(PLACES[k], orientation=orientation, PixelValueTransformationSequence=[item(**rescaled)]))
        dicom(tmp_path / "b" / "ct" / f"{k}.dcm", VOLUME[k], Modality="CT", SeriesInstanceUID="1.2.3",
              ImagePositionPatient=position(PLACES[k], orientation), ImageOrientationPatient=list(orientation),
              PixelSpacing=[0.7, 0.9], PixelPaddingValue=int(VOLUME.max()), **rescaled)  # fmt: skip
    enhanced(tmp_path / "a" / "x.dcm", VOLUME[SHUFFLED], groups, PixelPaddingValue=int(VOLUME.max()))
    found = read_all(open_dataset(tmp_path, volumes="series", intensity="hu:-1024..4000"), "all")
    assert list(found) == ["a/x.dcm", "b/ct"] and isinstance(found["b/ct"], np.ndarray)
    assert np.array_equal(found["a/x.dcm"], found["b/ct"])


def twice(**differing):
    """Two frames at each of the places, told apart by one value in a functional group."""
    ((group, (name, values)),) = differing.items()
    if group == "FrameContentSequence":
        return [frame(PLACES[k // 2], content={name: values[k % 2]}) for k in range(10)]
    return [frame(PLACES[k // 2], **{group: [item(**{name: values[k % 2]})]}) for k in range(10)]


FAULTS = {
    "about 1 of its slices are missing": [frame(PLACES[k]) for k in (0, 1, 3, 4)],
    "lie unevenly, 2.5 to 3.3 mm": [frame(z) for z in (0, 2.5, 5.8, 8.3, 10.8)],
    "2 orientations": [frame(z, orientation=AXIAL if z < -35 else CORONAL) for z in PLACES],
    "its 5 slices are of 2 stacks": [frame(z, content={"StackID": "1" if z < -35 else "2"}) for z in PLACES],
    "1 of its 5 slices have no place": [frame(z) for z in (None, *PLACES[1:])],
    "differ in TemporalPositionIndex": twice(FrameContentSequence=("TemporalPositionIndex", [1, 2])),
    "differ in DiffusionBValue": twice(MRDiffusionSequence=("DiffusionBValue", [0.0, 1000.0])),
    "differ in EffectiveEchoTime": twice(MREchoSequence=("EffectiveEchoTime", [10.0, 80.0])),
    "nothing in their headers tells them apart": [frame(PLACES[k // 2]) for k in range(4)],
    "several pixel sizes": [frame(z, PixelMeasuresSequence=[item(PixelSpacing=[1 - z / 80] * 2)]) for z in PLACES],
}


def test_a_file_that_describes_some_of_its_frames_is_bad_and_harms_no_series_beside_it(
    tmp_path, enhanced, dicom, read_all
):
    enhanced(tmp_path / "frames.dcm", VOLUME, [frame(z) for z in PLACES[:3]])
    for k, pixels in enumerate(VOLUME):
        dicom(tmp_path / f"{k}.dcm", pixels, Modality="CT", SeriesInstanceUID="1.2.3", RescaleIntercept=-1024,
              ImagePositionPatient=position(PLACES[k]), ImageOrientationPatient=list(AXIAL))  # fmt: skip
    found = read_all(open_dataset(tmp_path, volumes="series", intensity="hu:-1024..3000"), "all")
    assert "describes 3 of its 5 frames" in found.pop("frames.dcm")
    assert [image.shape for image in found.values()] == [VOLUME.shape]


@pytest.mark.parametrize("volumes", [None, "series"])
def test_frames_that_are_no_volume_are_a_bad_image_that_says_why(tmp_path, enhanced, read_all, volumes):
    enhanced(tmp_path / "good.dcm", VOLUME, [frame(z) for z in PLACES])
    for k, groups in enumerate(FAULTS.values()):
        frames = np.resize(VOLUME, (len(groups), 4, 6))
        enhanced(tmp_path / f"{k}.dcm", frames, groups, SeriesInstanceUID=f"1.5.{k}")
    found = read_all(open_dataset(tmp_path, volumes=volumes, intensity="hu:-1024..3000"), "all")
    assert isinstance(found["good.dcm"], np.ndarray)
    for k, reason in enumerate(FAULTS):
        assert re.search(reason, found[f"{k}.dcm"]), found[f"{k}.dcm"]


def test_frames_without_positions_stay_in_the_order_of_the_file(tmp_path, enhanced):
    described = enhanced(tmp_path / "a.dcm", VOLUME, [frame(None) for _ in PLACES])
    cine = enhanced(tmp_path / "b.dcm", VOLUME, None, SharedFunctionalGroupsSequence=None)
    for path in (described, cine):
        stored = read_stored(path)
        shift = 1024 if stored.modality else 0
        assert np.array_equal(stored.values + shift, pydicom.dcmread(path).pixel_array)


def test_a_part_of_a_larger_image_is_refused_and_the_only_part_is_not(tmp_path, enhanced):
    groups = [frame(z) for z in PLACES]
    facts = {"ConcatenationUID": "1.2.5", "InConcatenationNumber": 1}
    with pytest.raises(BadFile, match="one part of a larger image"):
        read_stored(enhanced(tmp_path / "x.dcm", VOLUME, groups, **facts, InConcatenationTotalNumber=2))
    whole = enhanced(tmp_path / "y.dcm", VOLUME, groups, **facts, InConcatenationTotalNumber=1)
    assert np.array_equal(read_stored(whole).values, VOLUME - 1024.0)


def test_enhanced_files_of_one_frame_are_slices_of_their_series(tmp_path, enhanced, read_all):
    for name, k in enumerate(SHUFFLED):
        enhanced(tmp_path / "ct" / f"{name}.dcm", VOLUME[k : k + 1], [frame(PLACES[k])])
    (found,) = read_all(open_dataset(tmp_path, volumes="series", intensity="hu:-1024..3000"), "all").values()
    assert np.array_equal(found, np.rint(VOLUME * (255.0 / 4024.0)))


def test_localizers_of_several_frames_are_left_out_of_volumes_and_no_file_of_frames_is_a_slice(
    tmp_path, enhanced, read_all
):
    for name in "ab":
        enhanced(tmp_path / f"{name}.dcm", VOLUME, [frame(z) for z in PLACES])
    enhanced(tmp_path / "scout.dcm", VOLUME, [frame(z) for z in PLACES], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    progress = SilentProgress()
    dataset = open_dataset(tmp_path, volumes="series", intensity="hu:-1024..3000", progress=progress)
    assert dataset.ids("all").tolist() == ["a.dcm", "b.dcm"]
    assert any("1 localizers are left out, such as scout.dcm" in line for line in progress.said)
    progress = SilentProgress()
    open_dataset(tmp_path, intensity="hu:-1024..3000", progress=progress)
    assert not any("--volumes series" in line for line in progress.said)
