"""A folder of DICOM slices becomes one volume a series, in the patient's order, or says why it is none."""

import json
import re

import numpy as np
import pytest

from medfeat.datasets import open_dataset, source_task
from medfeat.datasets.decoding.decode import read_stored
from medfeat.errors import DataError, UsageError
from medfeat.types import SilentProgress

pydicom = pytest.importorskip("pydicom")
nibabel = pytest.importorskip("nibabel")

AXIAL = (1, 0, 0, 0, 1, 0)
CORONAL = (1, 0, 0, 0, 0, -1)
SAGITTAL = (0, 1, 0, 0, 0, -1)
OBLIQUE = (0.9848, 0.1736, 0, -0.1736, 0.9848, 0)
VOLUME = np.random.default_rng(0).integers(0, 3000, (5, 4, 6), np.uint16)


@pytest.fixture
def series(dicom):
    """Write the slices of one series, (n, rows, columns), in a shuffled order of names."""

    def write(folder, volume=VOLUME, *, uid="1.2.3", orientation=AXIAL, step=2.5, start=-40.0, names=None, **facts):
        cosines = np.array(orientation, float)
        normal = np.cross(cosines[:3], cosines[3:])
        order = np.random.default_rng(1).permutation(len(volume))
        for name, k in enumerate(order):
            change = {key: value[k] if isinstance(value, list) else value for key, value in facts.items()}
            known = {
                "Modality": "CT", "SeriesInstanceUID": uid, "StudyInstanceUID": "1.2", "PatientID": "p",
                "ImageOrientationPatient": [float(c) for c in cosines], "PixelSpacing": [0.7, 0.7],
                "ImagePositionPatient": [round(float(x), 4) for x in normal * (start + step * k) + [-3, -4, 0]],
                "RescaleSlope": 1, "RescaleIntercept": -1024,
            }  # fmt: skip
            dicom(folder / (names or "IM{:03}.dcm").format(name), volume[k], **{**known, **change})
        return folder

    return write


def opened(root, **options):
    return open_dataset(root, volumes="series", intensity="hu:-1024..3000", **options)


def volumes(root, read_all, **options):
    return read_all(opened(root, **options), "all")


def as_nifti(path, volume, orientation, step=2.5, start=-40.0):
    """Write the same slices as NIfTI, by an affine worked out from PS3.3 C.7.6.2.1.1, not by medfeat."""
    across, down = np.array(orientation[:3], float), np.array(orientation[3:], float)
    normal = np.cross(across, down)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([across * 0.7, down * 0.7, normal * step], axis=1)
    affine[:3, 3] = normal * start + [-3, -4, 0]
    affine = np.diag([-1.0, -1, 1, 1]) @ affine
    nibabel.save(nibabel.Nifti1Image(volume.transpose(2, 1, 0).astype(np.int16) - 1024, affine), path)
    return read_stored(path).values


@pytest.mark.parametrize("orientation", [AXIAL, CORONAL, SAGITTAL, OBLIQUE])
@pytest.mark.parametrize("step", [2.5, -2.5])
def test_a_series_and_a_nifti_file_of_it_are_the_same_array(tmp_path, series, orientation, step):
    series(tmp_path / "dicom", orientation=orientation, step=step)
    dataset = opened(tmp_path / "dicom")
    nifti = as_nifti(tmp_path / "x.nii.gz", VOLUME, orientation, step)
    assert dataset.info.ndim == 3
    (batch,) = dataset.batches("all", 4)
    assert np.array_equal(batch.images[0], np.rint((nifti + 1024.0) * (255.0 / 4024.0)))


def test_axial_slices_run_from_foot_to_head(tmp_path, series, read_all):
    (found,) = volumes(series(tmp_path / "a"), read_all).values()
    assert np.array_equal(found, np.rint(VOLUME * (255.0 / 4024.0)))


def test_few_slices_stay_a_volume(tmp_path, series):
    for n, orientation in ((3, SAGITTAL), (3, AXIAL), (2, CORONAL)):
        series(tmp_path / f"{n}{orientation}", VOLUME[:n], orientation=orientation, uid=f"1.{n}.{orientation[1]}")
    assert opened(tmp_path).info.ndim == 3


def test_class_patient_series_folders_give_labels_ids_and_patients(tmp_path, series):
    for i in range(8):
        folder = tmp_path / ("sick" if i % 2 else "well") / f"case{i // 2}" / "chest"
        series(folder, uid=f"1.{i}", PatientID=f"MRN{i // 2}", StudyInstanceUID=f"1.9.{i}")
    dataset = opened(tmp_path)
    assert dataset.info.classes == ("sick", "well")
    assert dataset.ids("all")[0] == "sick/case0/chest"
    task = source_task(dataset)
    assert sorted(set(task.group)) == ["patient-1", "patient-2", "patient-3", "patient-4"]
    for patient in set(task.group):
        assert len(set(task.split[task.group == patient])) == 1


def test_series_mixed_in_one_folder_are_told_apart_and_files_need_no_suffix(tmp_path, series, read_all):
    series(tmp_path / "all", uid="1.1", names="A{:03}")
    series(tmp_path / "all", VOLUME[::-1].copy(), uid="1.2", names="B{:03}")
    found = volumes(tmp_path / "all", read_all)
    assert len(found) == 2 and all(name.startswith("series-") and len(name) == 15 for name in found)
    one, other = found.values()
    assert np.array_equal(one, other[::-1])


def test_flat_classes_of_one_and_of_several_series_are_classes(tmp_path, series):
    series(tmp_path / "a", uid="1.1")
    for i in range(3):
        series(tmp_path / "b", uid=f"1.2.{i}", names=f"{i}-{{}}.dcm")
    dataset = opened(tmp_path)
    assert dataset.info.classes == ("a", "b") and dataset.labels("all")[:, 0].tolist() == [0, 1, 1, 1]


def test_split_folders_of_series_are_the_split(tmp_path, series):
    for i in range(8):
        series(tmp_path / ("train" if i < 6 else "test") / "ab"[i % 2] / f"v{i}", uid=f"1.{i}", PatientID=f"p{i}")
    dataset = opened(tmp_path)
    assert dataset.info.classes == ("a", "b") and dataset.split.tolist().count("test") == 2


def test_a_csv_names_folders_of_slices(tmp_path, series, read_all):
    for i in range(3):
        series(tmp_path / f"s{i}", uid=f"1.{i}", PatientID=f"MRN{i}")
    (tmp_path / "l.csv").write_text("path,label\n" + "".join(f"s{i},{i % 2}\n" for i in range(3)))
    dataset = opened(tmp_path / "l.csv")
    assert dataset.ids("all").tolist() == ["s0", "s1", "s2"] and dataset.patients.tolist()[0] == "patient-1"
    assert all(isinstance(image, np.ndarray) for image in read_all(dataset, "all").values())


def test_a_csv_names_one_of_several_series_in_a_folder(tmp_path, series, read_all):
    series(tmp_path / "s", uid="1.1", names="A{}.dcm")
    series(tmp_path / "s", uid="1.2", names="B{}.dcm")
    (tmp_path / "l.csv").write_text("path\ns\n")
    with pytest.raises(DataError, match=r"line 2 of l.csv: .*s holds 2 DICOM series; name one of them: s/series-"):
        opened(tmp_path / "l.csv")
    name = opened(tmp_path / "s").ids("all")[0]
    (tmp_path / "l.csv").write_text(f"path\ns/{name}\n")
    assert list(volumes(tmp_path / "l.csv", read_all)) == [f"s/{name}"]
    (tmp_path / "empty").mkdir()
    (tmp_path / "l.csv").write_text("path\nempty\n")
    with pytest.raises(DataError, match="holds no DICOM slices"):
        opened(tmp_path / "l.csv")


FAULTS = {
    "missing": "about 1 of its slices are missing: 1 gaps of up to 5 mm where slices lie 2.5 mm apart",
    "uneven": "lie unevenly",
    "twice": r"2 of its slices lie at one place .* differ in EchoTime",
    "same": "nothing in their headers tells them apart",
    "sizes": r"2 sizes \(3 x 6 and 4 x 6\)",
    "orientations": "2 orientations",
    "spacing": "several pixel sizes",
    "nowhere": "have no place in the patient",
    "tilt": "tilted by 15 degrees",
    "polarity": "differ in what their values mean",
}


def faulty(kind, folder, series, dicom):
    if kind == "twice":
        series(folder, EchoTime=10.0)
        return series(folder, EchoTime=20.0, names="second{}.dcm")
    if kind == "same":
        series(folder)
        return series(folder, VOLUME + np.uint16(1), names="second{}.dcm")
    if kind == "tilt":
        shift = np.tan(np.radians(15)) * 2.5
        return series(folder, ImagePositionPatient=[[0, shift * k, 2.5 * k] for k in range(5)])
    if kind == "uneven":
        return series(folder, ImagePositionPatient=[[0, 0, z] for z in (0, 2.5, 5, 8.3, 11)])
    if kind == "polarity":
        photometric = ["MONOCHROME1", *["MONOCHROME2"] * 4]
        return series(folder, PhotometricInterpretation=photometric)
    changed = {
        "spacing": ("PixelSpacing", [0.5, 0.5]),
        "orientations": ("ImageOrientationPatient", list(SAGITTAL)),
        "nowhere": ("ImagePositionPatient", None),
    }
    series(folder)
    one = next(path for path in sorted(folder.iterdir()) if pydicom.dcmread(path).ImagePositionPatient[2] == -35)
    if kind == "missing":
        one.unlink()
        return folder
    file = pydicom.dcmread(one)
    if kind == "sizes":
        file.Rows, file.PixelData = 3, file.PixelData[: 3 * 6 * 2]
    else:
        setattr(file, *changed[kind])
    file.save_as(one)
    return folder


@pytest.mark.parametrize("kind", FAULTS)
def test_slices_that_are_no_volume_are_a_bad_image_that_says_why(tmp_path, series, dicom, read_all, kind):
    faulty(kind, tmp_path / "bad", series, dicom)
    series(tmp_path / "good", uid="1.9", PatientID="other")
    found = volumes(tmp_path, read_all)
    assert isinstance(found["good"], np.ndarray)
    assert re.search(FAULTS[kind], found["bad"]), found["bad"]


def test_localizers_reports_and_copies_are_left_out_aloud(tmp_path, series, dicom, read_all):
    folder = series(tmp_path / "x" / "ct")
    series(tmp_path / "x" / "scout", VOLUME[:2], uid="1.7", ImageType="ORIGINAL\\PRIMARY\\LOCALIZER")
    dicom(folder / "scout.dcm", VOLUME[0], SeriesInstanceUID="1.2.3", StudyInstanceUID="1.2", PatientID="p",
          ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])  # fmt: skip
    first = sorted(folder.iterdir())[0]
    (folder / "copy.dcm").write_bytes(first.read_bytes())
    report = pydicom.dcmread(first)
    del report.PixelData, report.Rows, report.Columns
    report.SOPClassUID = pydicom.uid.BasicTextSRStorage
    report.save_as(folder / "report.dcm")
    progress = SilentProgress()
    found = volumes(tmp_path, read_all, progress=progress)
    assert list(found) == ["x/ct"] and found["x/ct"].shape == VOLUME.shape
    said = "\n".join(progress.said)
    assert "3 localizers are left out" in said and "1 second copies of a slice" in said
    assert "1 DICOM files without a picture are left out, such as x/ct/report.dcm" in said


def test_a_series_that_lies_in_two_top_folders_is_refused(tmp_path, series):
    series(tmp_path / "train" / "a", VOLUME[:3])
    series(tmp_path / "test" / "a", VOLUME[3:], start=-32.5)
    with pytest.raises(DataError, match="slices of one series lie in test/a and in train/a"):
        opened(tmp_path)


def test_a_series_in_two_folders_of_one_patient_is_one_volume(tmp_path, series, read_all):
    series(tmp_path / "p1" / "DIR1", VOLUME[:3])
    series(tmp_path / "p1" / "DIR2", VOLUME[3:], start=-32.5)
    found = volumes(tmp_path, read_all)
    assert list(found) == ["p1"] and found["p1"].shape == VOLUME.shape


def test_each_slice_is_rescaled_by_its_own_header_and_padding_is_the_volumes_darkest(tmp_path, series):
    volume = np.array([[[10, 20], [11, 21]], [[30, 63536], [31, 32]], [[40, 50], [41, 51]]], np.uint16)
    series(tmp_path, volume, RescaleSlope=[1, 2, 3], RescaleIntercept=0, PixelPaddingValue=63536)
    dataset = open_dataset(tmp_path, volumes="series", intensity="range:0..255")
    (batch,) = dataset.batches("all", 1)
    assert batch.images[0].tolist() == [[[10, 20], [11, 21]], [[60, 10], [62, 64]], [[120, 150], [123, 153]]]


def test_a_window_of_all_slices_is_kept_and_several_are_not_guessed(tmp_path, series, read_all):
    series(tmp_path / "same", uid="1.1", WindowCenter=40, WindowWidth=400)
    series(tmp_path / "other", uid="1.2", WindowCenter=[40, 41, 40, 40, 40], WindowWidth=400)
    found = read_all(open_dataset(tmp_path, volumes="series", intensity="window"), "all")
    assert isinstance(found["same"], np.ndarray) and "not one for all of it" in found["other"]


def test_patients_appear_nowhere_in_plain(tmp_path, series, monkeypatch):
    from medfeat.tasks import save_task

    for i in range(6):
        series(tmp_path / "d" / "ab"[i % 2] / f"v{i}", uid=f"1.{i}", PatientID=f"SECRET{i}", PatientName="SECRET^X")
    dataset = opened(tmp_path / "d")
    save_task(source_task(dataset), tmp_path / "tasks")
    written = "".join(path.read_text() for path in (tmp_path / "tasks").rglob("*") if path.is_file())
    assert "patient-1" in written and "SECRET" not in written
    assert "SECRET" not in repr(dataset.listing) + json.dumps(dataset.ids("all").tolist()) + repr(dataset.info)


@pytest.mark.parametrize(("patient", "word"), [("anonymous", "is the same"), ("", "is empty")])
def test_a_patient_id_that_tells_nobody_apart_is_no_patient(tmp_path, series, patient, word):
    for i in range(3):
        series(tmp_path / f"v{i}", uid=f"1.{i}", PatientID=patient)
    progress = SilentProgress()
    assert opened(tmp_path, progress=progress).patients is None
    assert any(f"PatientID {word} in all volumes" in line for line in progress.said)


def test_slices_opened_as_images_are_told_of_in_one_line(tmp_path, series, dicom):
    for i in range(2):
        series(tmp_path / f"v{i}", uid=f"1.{i}")
    progress = SilentProgress()
    dataset = open_dataset(tmp_path, intensity="hu:-1024..3000", progress=progress)
    assert dataset.info.ndim == 2 and dataset.info.counts == {"all": 10}
    (line,) = [line for line in progress.said if "--volumes series" in line]
    assert "10 of the images are slices of 2 DICOM series" in line


def test_a_changed_slice_is_another_fingerprint(tmp_path, series, dicom):
    folder = series(tmp_path / "x")
    before = opened(folder).info.fingerprint
    file = pydicom.dcmread(sorted(folder.iterdir())[2])
    file.PixelData = bytes(len(file.PixelData))
    file.save_as(sorted(folder.iterdir())[2])
    assert opened(folder).info.fingerprint != before


def test_nifti_files_beside_series_are_volumes_of_the_same_set(tmp_path, series, read_all):
    series(tmp_path / "a" / "ct")
    (tmp_path / "b").mkdir()
    as_nifti(tmp_path / "b" / "x.nii.gz", VOLUME, AXIAL)
    found = volumes(tmp_path, read_all)
    assert np.array_equal(found["a/ct"], found["b/x.nii.gz"])


def test_volumes_is_for_folders_and_csvs_and_has_one_word(tmp_path, series):
    folder = series(tmp_path / "x")
    with pytest.raises(UsageError, match="volumes must be series"):
        open_dataset(folder, volumes="slices")
    with pytest.raises(UsageError, match="name the folder"):
        open_dataset(folder / "IM000.dcm", volumes="series")
    with pytest.raises(UsageError, match="volumes is for own images"):
        open_dataset("bloodmnist", volumes="series")
