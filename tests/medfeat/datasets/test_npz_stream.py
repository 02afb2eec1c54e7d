"""Arrays in .npz files are read row by row, and files that cannot be trusted are refused."""

import io
import struct
import zipfile

import numpy as np
import pytest

from medfeat.datasets.npz import npz_arrays as npz
from medfeat.datasets.npz.npz_arrays import npz_members, read_array, read_rows
from medfeat.errors import DataError


def save(path, *, compressed=True, **arrays):
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    return path


def raw_npz(path, content, name="images.npy", compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(name, content)
    return path


def npy_header(shape, dtype="|u1", order=False):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": order, "shape": shape})
    return stream.getvalue()


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (23, 5, 6), np.uint8)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("batch_size", [1, 4, 23, 100])
def test_all_rows_come_in_order(tmp_path, images, compressed, batch_size):
    member = npz_members(save(tmp_path / "x.npz", compressed=compressed, images=images))["images"]
    assert member.stored is not compressed
    batches = list(read_rows(member, batch_size))
    assert np.array_equal(np.concatenate([rows for rows, _ in batches]), np.arange(23))
    assert np.array_equal(np.concatenate([part for _, part in batches]), images)
    assert [len(rows) for rows, _ in batches[:-1]] == [batch_size] * (len(batches) - 1)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("rows", [[], [0], [22], [0, 1, 2, 7, 8, 20, 22], list(range(5, 23))])
def test_some_rows_are_picked_in_one_pass(tmp_path, images, compressed, rows):
    member = npz_members(save(tmp_path / "x.npz", compressed=compressed, images=images))["images"]
    picked = np.array(rows, np.int64)
    found = list(read_rows(member, 3, picked))
    assert np.array_equal(np.concatenate([r for r, _ in found]) if found else [], picked)
    for numbers, part in found:
        assert np.array_equal(part, images[numbers])


def test_what_is_yielded_belongs_to_the_caller(tmp_path, images):
    for compressed in (True, False):
        member = npz_members(save(tmp_path / "x.npz", compressed=compressed, images=images))["images"]
        _, first = next(read_rows(member, 4))
        first[:] = 0  # neither the file nor a later batch changes
        assert np.array_equal(next(read_rows(member, 4))[1], images[:4])


def test_small_arrays_are_read_whole_in_either_order(tmp_path, images):
    saved = save(tmp_path / "x.npz", c=images, f=np.asfortranarray(images), scalar=np.float64(3))
    members = npz_members(saved)
    assert np.array_equal(read_array(members["c"]), images)
    assert np.array_equal(read_array(members["f"]), images)
    assert read_array(members["scalar"]) == 3


def test_an_empty_array_has_no_batches(tmp_path):
    for compressed in (True, False):
        member = npz_members(save(tmp_path / "x.npz", compressed=compressed, images=np.empty((0, 4, 4), np.uint8)))
        assert not list(read_rows(member["images"], 3))


def test_python_objects_are_refused_by_name_and_never_unpickled(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, labels=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="'labels' holds Python objects, which could run code"):
        npz_members(path)


def test_a_column_by_column_array_is_refused_for_streaming(tmp_path, images):
    member = npz_members(save(tmp_path / "x.npz", images=np.asfortranarray(images)))["images"]
    with pytest.raises(DataError, match="ascontiguousarray"):
        list(read_rows(member, 4))


def test_a_header_that_declares_more_than_the_member_holds_is_refused_before_memory_is_taken(tmp_path):
    path = raw_npz(tmp_path / "bomb.npz", npy_header((10**12, 224, 224)) + bytes(100))
    with pytest.raises(DataError, match=r"declares shape \(1000000000000, 224, 224\).*holds 100"):
        npz_members(path)


def test_a_directory_that_declares_more_than_deflate_can_hold_is_refused(tmp_path):
    path = raw_npz(tmp_path / "bomb.npz", npy_header((100,)) + bytes(100))
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02") + 24  # the uncompressed size in the zip directory
    content[at : at + 4] = struct.pack("<I", 2**31)
    path.write_bytes(content)
    with pytest.raises(DataError, match="which no compression reaches"):
        npz_members(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (npy_header((-2, -3)) + bytes(6), "no plain .npy array"),
        (b"no header at all", "no plain .npy array"),
        (b"\x93NUMPY\x07\x00" + bytes(50), "format version"),
        (b"\x93NUMPY\x01\x00\x10\x00{'descr': __imp ", "no plain .npy array"),
        (npy_header((2,), [("a", "|u1"), ("b", "|u1")]) + bytes(4), "numbers are needed"),
    ],
)
def test_members_that_are_no_plain_arrays_are_refused(tmp_path, content, reason):
    with pytest.raises(DataError, match=reason):
        npz_members(raw_npz(tmp_path / "x.npz", content))


@pytest.mark.parametrize("keep", [0, 10, 500, -10])
def test_a_file_cut_short_is_refused(tmp_path, images, keep):
    path = save(tmp_path / "x.npz", images=images)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match="is damaged"):
        npz_members(path)


@pytest.mark.parametrize("compressed", [True, False])
def test_a_flipped_bit_in_a_compressed_member_is_found_while_reading(tmp_path, compressed):
    images = np.random.default_rng(0).integers(0, 256, (200, 50), np.uint8)
    path = save(tmp_path / "x.npz", compressed=compressed, images=images)
    member = npz_members(path)["images"]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)
    if compressed:
        with pytest.raises(DataError, match="'images' near row"):
            list(read_rows(member, 16))
    else:  # a mapped array is covered by the digest of the file, not by the zip's checksum
        assert len(list(read_rows(member, 16))) == 13


def test_two_members_of_one_name_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("a.npy", npy_header((1,)) + b"1")
        archive.writestr("a.npy", npy_header((1,)) + b"2")
    with pytest.raises(DataError, match="two arrays have one name"):
        npz_members(path)


def test_a_long_name_and_extra_fields_do_not_move_the_mapped_values(tmp_path, images):
    path = tmp_path / "x.npz"
    entry = zipfile.ZipInfo("a_rather_long_name_of_an_array.npy")
    entry.extra = struct.pack("<HH8s", 0xCAFE, 8, b"12345678")
    stream = io.BytesIO()
    np.save(stream, images)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, stream.getvalue())
    member = npz_members(path)["a_rather_long_name_of_an_array"]
    assert np.array_equal(np.concatenate([part for _, part in read_rows(member, 5)]), images)


def test_skipping_never_holds_what_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "SKIP_BYTES", 64)
    images = np.arange(1000, dtype=np.uint8).reshape(100, 10)
    member = npz_members(save(tmp_path / "x.npz", images=images))["images"]
    ((rows, part),) = read_rows(member, 4, np.array([99]))
    assert rows.tolist() == [99] and np.array_equal(part, images[[99]])
