"""A series without a slice that a copy lost is no volume: the slice may be its last one, which nothing else tells."""

import numpy as np
import pytest
from PIL import Image

from medfeat.datasets import open_dataset
from medfeat.types import SilentProgress

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("nibabel")

VOLUME = np.random.default_rng(0).integers(0, 3000, (5, 4, 6), np.uint16)


@pytest.fixture
def series(dicom):
    def write(folder, names="{}.dcm", uid="1.2.3", **facts):
        for k, pixels in enumerate(VOLUME):
            dicom(folder / names.format(k), pixels, Modality="CT", SeriesInstanceUID=uid, StudyInstanceUID="1.2",
                  ImageOrientationPatient=[1, 0, 0, 0, 1, 0], ImagePositionPatient=[-3, -4, 2.5 * k],
                  PixelSpacing=[0.7, 0.7], RescaleSlope=1, RescaleIntercept=-1024, **facts)  # fmt: skip
        return folder

    return write


def volumes(root, read_all, **options):
    return read_all(open_dataset(root, volumes="series", intensity="hu:-1024..3000", **options), "all")


def up_to(keyword):
    """Return the number of bytes of a file before an element."""

    def cut(path):
        tag = pydicom.tag.Tag(pydicom.datadict.tag_for_keyword(keyword))
        return path.read_bytes().index(tag.group.to_bytes(2, "little") + tag.element.to_bytes(2, "little"), 132)

    return cut


CUTS = {
    "empty": lambda path: 0,
    "within the preamble": lambda path: 100,
    "behind the mark": lambda path: 132,
    "before the class": up_to("SOPClassUID"),
    "before the series": up_to("SeriesInstanceUID"),
    "before the size": up_to("Rows"),
}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("names", ["{}.dcm", "IM000{}", "1.2.840.{}"])
@pytest.mark.parametrize("slice_number", [0, 4])
def test_a_slice_that_is_empty_or_cut_makes_its_volume_bad(tmp_path, series, read_all, cut, names, slice_number):
    series(tmp_path / "good", uid="1.9")
    torn = series(tmp_path / "bad", names) / names.format(slice_number)
    torn.write_bytes(torn.read_bytes()[: CUTS[cut](torn)])
    found = volumes(tmp_path, read_all)
    assert set(found) == {"bad", "good"} and found["good"].shape == VOLUME.shape
    why = "empty file" if cut == "empty" else "damaged, or cut short"
    assert f"1 of its slices cannot be read, such as {torn.name} ({why})" in found["bad"]


def test_a_slice_cut_within_its_pixels_is_named_too(tmp_path, series, read_all):
    series(tmp_path / "good", uid="1.9")
    torn = series(tmp_path / "bad") / "4.dcm"
    torn.write_bytes(torn.read_bytes()[:-9])
    found = volumes(tmp_path, read_all)
    assert "its slice 4.dcm cannot be decoded" in found["bad"] and isinstance(found["good"], np.ndarray)


def test_a_slice_that_is_a_dead_link_or_another_file_makes_its_volume_bad(tmp_path, series, read_all):
    series(tmp_path / "good", uid="1.9")
    (series(tmp_path / "link", uid="1.4") / "5.dcm").symlink_to(tmp_path / "gone")
    (series(tmp_path / "page", "IM{}", uid="1.5") / "IM5").write_text("<html>404 not found</html>")
    found = volumes(tmp_path, read_all)
    assert "5.dcm (missing file)" in found["link"] and "IM5 (damaged" in found["page"]
    assert isinstance(found["good"], np.ndarray)


def test_a_slice_cut_behind_its_series_belongs_to_that_one_alone(tmp_path, series, read_all):
    folder = series(series(tmp_path / "x", "a{}", uid="1.1"), "b{}", uid="1.2")
    (folder / "b4").write_bytes((folder / "b4").read_bytes()[: CUTS["before the size"](folder / "b4")])
    assert sorted(isinstance(image, np.ndarray) for image in volumes(tmp_path, read_all).values()) == [False, True]


def test_files_beside_slices_that_are_none_harm_no_volume(tmp_path, series, read_all):
    folder = series(tmp_path)
    for name in ("README", "notes.txt", "0.json", "VERSION", "DICOMDIR"):
        (folder / name).write_bytes(b"")
    (folder / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    report = pydicom.dcmread(folder / "0.dcm")
    del report.PixelData, report.Rows, report.Columns
    report.SOPClassUID = pydicom.uid.BasicTextSRStorage
    report.save_as(folder / "report.dcm")
    progress = SilentProgress()
    (found,) = volumes(folder, read_all, progress=progress).values()
    assert found.shape == VOLUME.shape
    assert any("1 DICOM files without a picture" in line for line in progress.said)


def test_a_picture_that_is_called_dicom_is_a_picture(tmp_path, series):
    Image.new("L", (4, 4)).save(series(tmp_path) / "key.dcm", "PNG")
    listing = open_dataset(tmp_path, volumes="series", intensity="minmax").listing
    (volume,) = listing.series.values()
    assert "key.dcm" in listing.ids and not volume.fault and len(volume.files) == len(VOLUME)


def test_a_csv_that_names_the_folder_gets_the_same_bad_volume_and_a_mended_slice_another_fingerprint(
    tmp_path, series, read_all
):
    series(tmp_path / "a", uid="1.9")
    torn = series(tmp_path / "b") / "4.dcm"
    whole = torn.read_bytes()
    torn.write_bytes(b"")
    (tmp_path / "l.csv").write_text("path\na\nb\n")
    options = {"volumes": "series", "intensity": "hu:-1024..3000"}
    dataset = open_dataset(tmp_path / "l.csv", **options)
    assert "4.dcm (empty file)" in read_all(dataset, "all")["b"]
    for mend in (torn.unlink, lambda: torn.write_bytes(whole)):
        mend()
        again = open_dataset(tmp_path / "l.csv", **options)
        assert again.info.fingerprint != dataset.info.fingerprint
        assert isinstance(read_all(again, "all")["b"], np.ndarray)
