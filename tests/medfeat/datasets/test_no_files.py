"""What is called an image and is none of a file's kind hangs nothing, and bombs are refused before they are held."""

from __future__ import annotations

import functools
import gzip
import os
import resource
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medfeat.datasets import open_dataset
from medfeat.datasets.decoding.bad_file import BadFile
from medfeat.datasets.decoding.decode import read_stored
from medfeat.datasets.decoding.file_kinds import has_dicom_mark, has_picture_mark
from medfeat.datasets.npz.npz_arrays import npz_members
from medfeat.errors import DataError
from medfeat_cache import StoreInputError, find_stores
from medfeat_cache.coverage import as_ids
from medfeat_cli.main import run

from ..workflows.embedded import plant

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes, devices and links of POSIX")


def odd_files(folder, suffix):
    """Put a pipe, a link to a device, a link to itself and a link to nothing into a folder; return their names."""
    import socket

    os.mkfifo(folder / f"pipe{suffix}")
    (folder / f"zero{suffix}").symlink_to("/dev/zero")
    (folder / f"loop{suffix}").symlink_to(folder / f"loop{suffix}")
    (folder / f"lost{suffix}").symlink_to(folder / "nowhere")
    ear = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(folder)  # a socket's name has at most 107 bytes
    ear.bind(f"ear{suffix}")
    os.chdir(here)
    ear.close()
    return {f"{name}{suffix}" for name in ("pipe", "zero", "loop", "lost", "ear")}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("suffix", [".png", ".dcm", ".nii.gz"])
def test_what_is_no_file_is_a_bad_image_and_hangs_nothing(tmp_path, suffix):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png")
    names = odd_files(tmp_path, suffix)
    dataset = open_dataset(str(tmp_path))
    [batch] = dataset.batches("all", 64)
    assert batch.rows.tolist() == [dataset.ids("all").tolist().index("a.png")]
    assert {bad.id for bad in batch.bad} == names & set(dataset.ids("all").tolist())
    assert all("file" in bad.reason for bad in batch.bad)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "words", ["probe --labels {pipe}.csv", "explore --data planted --columns {pipe}.csv", "cache import {pipe}.npz",
              "cache import {pipe}.pt", "cache import {pipe}.h5", "cache import {features} --ids {pipe}.csv",
              "extract --data {pipe}.csv --backbone stats", "extract --data {pipe}.npz --backbone stats",
              "extract --data synthetic-binary --backbone squeezenet1_1 --weights {pipe}.pt"]
)  # fmt: skip
def test_a_pipe_in_place_of_a_file_is_one_line(cache_root, tmp_path, capsys, words):
    plant(cache_root, counts={"train": 20, "val": 10, "test": 10})
    for suffix in ("csv", "npz", "pt", "h5"):
        os.mkfifo(tmp_path / f"pipe.{suffix}")
    np.savez(tmp_path / "features.npz", embeddings=np.zeros((3, 2), "f4"))
    named = words.format(pipe=tmp_path / "pipe", features=tmp_path / "features.npz").split()
    named += ["--data", "theirs", "--backbone", "other"] if "import" in words else []
    assert run([*named, "--cache-dir", str(cache_root)]) != 0
    said = capsys.readouterr().err.splitlines()
    assert sum(line.startswith("medfeat: ") for line in said) == 1, said
    assert "file" in said[-1] and "unforeseen" not in said[-1]


@pytest.mark.timeout(60)
def test_a_pipe_in_place_of_a_store_is_named_and_hides_no_other(cache_root):
    path = plant(cache_root, counts={"train": 20, "val": 10, "test": 10})
    os.mkfifo(path.with_name("0123456789ab.h5"))
    found = find_stores(cache_root)
    assert len(found) == 1 and len(found.problems) == 1 and "a pipe" in str(found.problems[0][1])


PEAK = r"""
import resource, sys
from pathlib import Path
import numpy, PIL.Image, pydicom, nibabel
from medfeat.datasets.decoding.decode import read_stored
import medfeat.datasets.decoding.dicom, medfeat.datasets.decoding.nifti

def peak_kib():
    # Of this program: what the system tells of the whole process counts the one that started it, before the exec.
    status = Path("/proc/self/status")
    told = status.read_text().partition("VmHWM:")[2].split() if status.exists() else []
    return int(told[0]) if told else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

bare = peak_kib()
"""


def peak_of(code, *words):
    """Run code in a process of its own; return what it prints, and how many MiB it took above its start."""
    script = f"{PEAK}\n{code}\nprint((peak_kib() - bare) >> 10)"
    done = subprocess.run([sys.executable, "-c", script, *map(str, words)], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


READ = "from pathlib import Path\ntry: read_stored(Path(sys.argv[1]))\nexcept ValueError as e: print(e)"


def deflated_dicom(path, megabytes):
    """Write a DICOM file that declares 8 x 8 pixels and deflates so many megabytes of zeros behind them."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.filereader import read_file_meta_info
    from pydicom.uid import DeflatedExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    file.SOPClassUID, file.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    file.Rows = file.Columns = 8
    file.BitsAllocated = file.BitsStored = 8
    file.HighBit, file.PixelRepresentation, file.SamplesPerPixel = 7, 0, 1
    file.PhotometricInterpretation = "MONOCHROME2"
    file.PixelData = b"\0" * 64
    file.save_as(path, enforce_file_format=True)
    content = path.read_bytes()
    start = 144 + int(read_file_meta_info(path).FileMetaInformationGroupLength)
    elements = zlib.decompress(content[start:], -zlib.MAX_WBITS)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(elements)
    packed += packer.compress(struct.pack("<HH2sHI", 0x7FE1, 0x1010, b"OB", 0, megabytes << 20))
    for _ in range(megabytes):
        packed += packer.compress(b"\0" * (1 << 20))
    path.write_bytes(content[:start] + packed + packer.flush())


@pytest.mark.timeout(120)
def test_a_deflated_bomb_in_dicom_is_refused_in_bounded_memory(tmp_path):
    deflated_dicom(tmp_path / "small.dcm", 1)
    assert read_stored(tmp_path / "small.dcm").values.shape == (8, 8)
    deflated_dicom(tmp_path / "bomb.dcm", 1200)
    said, peak = peak_of(READ, tmp_path / "bomb.dcm")
    assert ("unpack to" in said or "too large" in said) and int(peak) < 200


@pytest.mark.timeout(120)
def test_a_bomb_of_voxels_is_refused_before_it_is_held(tmp_path):
    import nibabel as nib

    header = nib.Nifti1Image(np.zeros((1, 1, 1), np.float64), np.eye(4)).header
    header.set_data_shape((500, 500, 500))
    with gzip.open(tmp_path / "bomb.nii.gz", "wb") as file:
        file.write(header.binaryblock + b"\0" * 4)
        for _ in range(500 * 500 * 500 * 8 >> 20):
            file.write(b"\0" * (1 << 20))
    said, peak = peak_of(READ, tmp_path / "bomb.nii.gz")
    assert ("unpack to" in said or "too large" in said) and int(peak) < 200


def test_a_picture_of_one_colour_that_is_far_too_large_is_refused(tmp_path):
    Image.new("L", (9000, 9000)).save(tmp_path / "bomb.png")
    with pytest.raises(BadFile, match="unpack to"):
        read_stored(tmp_path / "bomb.png")


def test_a_row_larger_than_any_image_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "bomb.npz", train_images=np.zeros((1, 20_000, 20_000), np.uint8))
    with pytest.raises(DataError, match="one row of 'train_images'"):
        npz_members(tmp_path / "bomb.npz")


def test_an_id_longer_than_any_path_is_refused_before_all_take_its_room():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(StoreInputError, match="at most 1000 characters, got one of 3000000"):
        as_ids(["a", "b" * 3_000_000, *map(str, range(200))], "all")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
    with pytest.raises(StoreInputError, match="at most 1000"):
        as_ids(np.array(["a", "b" * 1001]), "all")
    assert as_ids(["b" * 1000], "all").tolist() == ["b" * 1000]


@pytest.mark.parametrize("letter", ["x", b"x"])
def test_ids_are_measured_by_their_letters_whatever_their_width(letter):
    with pytest.raises(StoreInputError, match="at most 1000 characters, got one of 1001"):
        as_ids(np.array([letter, letter * 1001]), "all")
    assert as_ids(np.array(["x" * 1000]), "all").tolist() == ["x" * 1000]


def test_large_images_wait_their_turn(tmp_path, monkeypatch):
    """From the first on, no more images are decoded and wait than fit into the bytes that may."""
    from medfeat.datasets.folders import files_dataset, read_ahead

    bytes_each = 300 * 300
    for i in range(24):
        Image.fromarray(np.zeros((300, 300), np.uint8)).save(tmp_path / f"{i:02}.png")
    dataset = open_dataset(str(tmp_path))
    # Room for two that are decoded: as Pillow holds it, and as it is returned.
    ahead = functools.partial(read_ahead.DecodedAhead, most_bytes=2 * 2 * bytes_each)
    monkeypatch.setattr(files_dataset, "DecodedAhead", ahead)
    read, done, most = type(dataset)._read, [], 0

    def counted(self, row, *rest):
        image = read(self, row, *rest)
        done.append(row)
        return image

    monkeypatch.setattr(type(dataset), "_read", counted)
    for number, batch in enumerate(dataset.batches("all", 1)):
        assert batch.rows.tolist() == [number]
        time.sleep(0.01)  # the threads may go on as far as they like
        most = max(most, len(done) - number - 1)
    assert number == 23
    # What was decoded and waits takes half of what it took while it was: four fit, and one that is the next.
    assert 0 < most <= 5


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a file that opens and cannot be read, on Linux")
def test_a_file_that_cannot_be_read_has_no_mark():
    assert not has_picture_mark(Path("/proc/self/mem")) and not has_dicom_mark(Path("/proc/self/mem"))
