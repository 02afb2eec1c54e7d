"""What an axis of a NIfTI file means is told by its header; what kind of file it is, by its first bytes."""

import gzip

import numpy as np
import pytest

from medfeat.datasets import open_dataset
from medfeat.datasets.decoding.bad_file import BadFile
from medfeat.datasets.decoding.decode import read_stored

nibabel = pytest.importorskip("nibabel")

VOLUME = np.random.default_rng(0).integers(0, 200, (3, 20, 24), np.uint8)  # right, front, head
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def write(path, values, affine=None, kind=nibabel.Nifti1Image):
    path.parent.mkdir(parents=True, exist_ok=True)
    wide = {"dtype": values.dtype} if values.dtype.kind in "iu" and values.itemsize == 8 else {}
    nibabel.save(kind(values, np.eye(4) if affine is None else affine, **wide), path)
    return path


def patched(path, offset, content):
    changed = bytearray(path.read_bytes())
    changed[offset : offset + len(content)] = content
    path.write_bytes(changed)
    return path


@pytest.mark.parametrize("shape", [(3, 20, 24), (20, 3, 24), (20, 24, 3), (3, 3, 3), (2, 20, 24)])
def test_few_slices_of_any_orientation_are_a_volume(tmp_path, shape, read_all):
    values = np.random.default_rng(1).integers(0, 200, shape, np.uint8)
    for i in range(2):
        write(tmp_path / f"{i}.nii.gz", values + np.uint8(i))
    dataset = open_dataset(tmp_path)
    assert dataset.info.ndim == 3
    assert read_all(dataset, "all")["1.nii.gz"].shape == shape[::-1]


def test_one_slice_is_its_picture_with_the_head_or_the_front_at_the_top(tmp_path):
    axial = read_stored(write(tmp_path / "a.nii", VOLUME[:, :, :1])).values
    coronal = read_stored(write(tmp_path / "c.nii", VOLUME[:, :1])).values
    sagittal = read_stored(write(tmp_path / "s.nii", VOLUME[:1])).values
    assert np.array_equal(axial, VOLUME[::-1, ::-1, 0].T)  # right at the left, front at the top
    assert np.array_equal(coronal, VOLUME[::-1, 0, ::-1].T)  # right at the left, head at the top
    assert np.array_equal(sagittal, VOLUME[0, ::-1, ::-1].T)  # front at the left, head at the top


def test_one_slice_stored_along_any_axis_is_one_picture(tmp_path):
    sagittal = read_stored(write(tmp_path / "s.nii", VOLUME[:1])).values
    affine = np.eye(4)[:, [1, 2, 0, 3]]  # as scanners store it: the slice last
    turned = write(tmp_path / "t.nii", VOLUME[:1].transpose(1, 2, 0), affine)
    assert np.array_equal(read_stored(turned).values, sagittal)


@pytest.mark.parametrize("values", [VOLUME[..., 0], VOLUME[..., :1], VOLUME[..., :1, None]])
def test_two_axes_are_a_picture_however_many_of_length_one_follow(tmp_path, values):
    assert read_stored(write(tmp_path / "x.nii", values)).values.shape == (20, 3)


@pytest.mark.parametrize("shape", [(4, 5, 6, 2), (4, 5, 1, 3), (4, 5, 6, 1, 3)])
def test_several_volumes_or_vectors_are_refused(tmp_path, shape):
    with pytest.raises(BadFile, match="one volume of three axes"):
        read_stored(write(tmp_path / "x.nii", np.zeros(shape, np.uint8)))


def test_rgb24_is_colour_and_a_volume_of_it_is_refused_by_name(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (4, 5, 1, 3), np.uint8)
    typed = np.ascontiguousarray(colours).view([(name, "u1") for name in "RGB"])[..., 0]
    stored = read_stored(write(tmp_path / "x.nii", typed))
    assert stored.colour and np.array_equal(stored.values, colours[::-1, ::-1, 0].transpose(1, 0, 2))
    with pytest.raises(BadFile, match="a volume in colour"):
        read_stored(write(tmp_path / "v.nii", np.repeat(typed, 3, axis=2)))


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz", "X.NII.GZ", "x.NII", "x.mgz", "x.mgh"])
@pytest.mark.parametrize("compressed", [False, True])
def test_the_first_bytes_say_whether_a_file_is_compressed(tmp_path, name, compressed):
    kind, suffix = (nibabel.MGHImage, ".mgh") if ".mg" in name else (nibabel.Nifti1Image, ".nii")
    raw = write(tmp_path / f"plain{suffix}", VOLUME, LPS, kind).read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(raw) if compressed else raw)
    assert np.array_equal(read_stored(tmp_path / name).values, VOLUME.transpose(2, 1, 0))


def test_nifti_2_and_big_endian_are_read(tmp_path):
    straight = read_stored(write(tmp_path / "1.nii", VOLUME)).values
    assert np.array_equal(read_stored(write(tmp_path / "2.nii", VOLUME, kind=nibabel.Nifti2Image)).values, straight)
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    nibabel.save(nibabel.Nifti1Image(VOLUME.astype(">i2"), np.eye(4), header), tmp_path / "b.nii")
    assert np.array_equal(read_stored(tmp_path / "b.nii").values, straight)


def test_a_picture_or_a_dicom_file_called_nii_is_what_it_is(tmp_path, write_png, dicom):
    write_png(tmp_path / "x.png")
    (tmp_path / "x.png").rename(tmp_path / "x.nii")
    assert read_stored(tmp_path / "x.nii").values.shape[:2] == (10, 12)
    assert read_stored(dicom(tmp_path / "y.nii", VOLUME[0])).values.shape == (20, 24)


def test_a_pair_of_header_and_voxels_is_refused_by_name(tmp_path, read_all):
    for kind, name in ((nibabel.Nifti1Pair, "n"), (nibabel.AnalyzeImage, "a")):
        write(tmp_path / f"{name}.img", VOLUME.astype(np.int16), kind=kind)
    write(tmp_path / "v.nii", VOLUME)
    (tmp_path / "spectrum.hdr").write_text("ENVI")
    found = read_all(open_dataset(tmp_path), "all")
    assert sorted(found) == ["a.hdr", "n.hdr", "v.nii"]
    assert all("pair (.hdr and .img" in found[name] for name in ("a.hdr", "n.hdr"))


@pytest.mark.parametrize("dtype", ["i1", "u2", "i4", "f4", "f8", "u8"])
def test_numbers_of_every_type_keep_their_values(tmp_path, dtype):
    values = (VOLUME.astype(float) - 100 * (dtype[0] != "u")).astype(dtype)
    stored = read_stored(write(tmp_path / "x.nii", values)).values
    assert np.array_equal(stored, values[::-1, ::-1].transpose(2, 1, 0))


def test_complex_numbers_are_refused(tmp_path):
    with pytest.raises(BadFile, match="voxels of complex64; real numbers"):
        read_stored(write(tmp_path / "x.nii", VOLUME.astype(np.complex64)))


@pytest.mark.parametrize("slope", [0.0, np.nan])
def test_a_slope_of_0_or_none_means_values_as_stored(tmp_path, slope):
    path = patched(write(tmp_path / "x.nii", VOLUME), 112, np.array([slope, 7], "<f4").tobytes())
    assert np.array_equal(read_stored(path).values, VOLUME[::-1, ::-1].transpose(2, 1, 0))


@pytest.mark.parametrize("scaling", [(np.inf, 0), (2, np.nan), (2, np.inf)])
def test_an_infinite_scaling_is_named(tmp_path, scaling):
    path = patched(write(tmp_path / "x.nii", VOLUME), 112, np.array(scaling, "<f4").tobytes())
    with pytest.raises(BadFile, match="scl_slope"):
        read_stored(path)


def test_the_display_range_of_a_header_changes_nothing(tmp_path):
    path = patched(write(tmp_path / "x.nii", VOLUME), 124, np.array([50, 10], "<f4").tobytes())
    assert np.array_equal(read_stored(path).values, VOLUME[::-1, ::-1].transpose(2, 1, 0))


def test_flipped_and_oblique_volumes_are_turned_as_nibabel_turns_them(tmp_path):
    values = np.random.default_rng(2).integers(0, 99, (5, 6, 7), np.int16)
    from nibabel.eulerangles import euler2mat

    turn = euler2mat(z=0.3, y=-0.2, x=0.25)
    for affine in (LPS, np.eye(4)[:, [2, 0, 1, 3]] @ LPS):
        oblique = np.eye(4)
        oblique[:3, :3] = turn @ affine[:3, :3]
        path = write(tmp_path / "x.nii", values, oblique)
        canonical = np.asarray(nibabel.as_closest_canonical(nibabel.load(path)).dataobj)
        assert np.array_equal(read_stored(path).values, canonical[::-1, ::-1].transpose(2, 1, 0))


def test_a_file_that_codes_no_orientation_is_taken_as_nibabel_takes_it(tmp_path):
    image = nibabel.Nifti1Image(VOLUME, np.eye(4))
    image.set_sform(None, code=0)
    image.set_qform(None, code=0)
    nibabel.save(image, tmp_path / "x.nii")
    canonical = np.asarray(nibabel.as_closest_canonical(nibabel.load(tmp_path / "x.nii")).dataobj)
    assert np.array_equal(read_stored(tmp_path / "x.nii").values, canonical[::-1, ::-1].transpose(2, 1, 0))


def test_an_affine_that_tells_no_axes_is_named(tmp_path):
    flat = np.diag([1.0, 1.0, 0.0, 1.0])
    picture = patched(write(tmp_path / "p.nii", VOLUME[:, :, :1]), 280, flat[:3].astype("<f4").tobytes())
    assert read_stored(picture).values.shape == (20, 3)
    for bad, reason in ((flat, "without length"), (np.eye(4)[:, [0, 0, 2, 3]], "along one line")):
        path = write(tmp_path / "x.nii", VOLUME)
        path = patched(path, 280, bad[:3].astype("<f4").tobytes())
        with pytest.raises(BadFile, match=reason):
            read_stored(path)


def test_a_file_cut_short_is_damaged(tmp_path):
    content = write(tmp_path / "x.nii.gz", VOLUME).read_bytes()
    (tmp_path / "x.nii.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(BadFile, match="cut short"):
        read_stored(tmp_path / "x.nii.gz")


@pytest.mark.parametrize("name", ["x.nii.gz", "x.mgz"])
@pytest.mark.parametrize("place", ["voxels", "checksum", "length"])
def test_one_byte_changed_in_a_compressed_file_is_damage(tmp_path, name, place):
    kind = nibabel.Nifti1Image if name.endswith(".nii.gz") else nibabel.MGHImage
    raw = gzip.decompress(write(tmp_path / name, VOLUME, kind=kind).read_bytes())
    content = gzip.compress(raw, compresslevel=0)  # as it is, so that any byte can change and be decompressed
    (tmp_path / name).write_bytes(content)
    assert np.array_equal(np.sort(read_stored(tmp_path / name).values, axis=None), np.sort(VOLUME, axis=None))
    places = {"voxels": len(content) // 2, "checksum": len(content) - 8, "length": len(content) - 1}
    changed = bytearray(content)
    changed[places[place]] ^= 1
    with pytest.raises(gzip.BadGzipFile):
        gzip.decompress(changed)
    (tmp_path / name).write_bytes(changed)
    with pytest.raises(BadFile, match="damaged"):
        read_stored(tmp_path / name)


def test_what_follows_the_voxels_is_read_to_its_end_and_not_for_ever(tmp_path, monkeypatch):
    raw = gzip.decompress(write(tmp_path / "x.nii.gz", VOLUME).read_bytes())
    (tmp_path / "x.nii.gz").write_bytes(gzip.compress(raw + bytes(1 << 22)) + bytes(512))  # zeros pad tapes
    assert read_stored(tmp_path / "x.nii.gz").values.shape == (24, 20, 3)
    monkeypatch.setattr("medfeat.datasets.decoding.nifti.MAX_BYTES_BEHIND", 1 << 21)
    with pytest.raises(BadFile, match="more than 2097152 bytes lie behind its voxels"):
        read_stored(tmp_path / "x.nii.gz")
