"""Large images and volumes: what is held at once is bounded, and the values are those of small ones read whole."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from PIL import Image

from medfeat.datasets import bounds, open_dataset
from medfeat.datasets.decoding import nifti
from medfeat.datasets.decoding.decode import read_stored
from medfeat.datasets.decoding.intensity import OutsideContract, parse_intensity
from medfeat.datasets.decoding.slabs import Slabs
from medfeat.datasets.folders import files_dataset
from medfeat.extraction.measure import sample
from medfeat.workflows.extract import extract

from .test_no_files import peak_of

nib = pytest.importorskip("nibabel")
SHAPE = (5, 7, 11)
AXES = {"as it is": "RAS", "turned": "PIL", "from the side": "SLA"}


def volume(path, dtype, slope=1.0, inter=0.0, axes="RAS", values=None):
    """Write a volume whose stored values are drawn."""
    drawn = np.random.default_rng(0).integers(0, 200, SHAPE) if values is None else values
    turns = nib.orientations.axcodes2ornt(axes)
    affine = nib.orientations.inv_ornt_aff(turns, SHAPE)
    image = nib.Nifti1Image(drawn.astype(dtype), affine)
    image.header.set_slope_inter(slope, inter)
    image.header.set_data_dtype(dtype)
    image.header["vox_offset"] = 352
    with gzip.open(path, "wb") as file:
        file.write(image.header.binaryblock + b"\0" * 4)
        file.write(np.asarray(drawn, dtype).tobytes(order="F"))
    return path


@pytest.fixture
def in_slabs(monkeypatch):
    """Read every volume a few lines at a time."""

    def begin():
        monkeypatch.setattr(nifti, "HELD_BYTES", 0)
        monkeypatch.setattr(nifti, "SLAB_BYTES", 100)

    return begin


@pytest.mark.parametrize("axes", AXES.values(), ids=AXES)
@pytest.mark.parametrize(
    ("dtype", "slope", "inter", "contract"),
    [
        (np.uint8, 1.0, 0.0, "auto"),
        (np.int16, 1.0, 0.0, "minmax"),
        (np.int16, 1.0, 0.0, "range:0..255"),
        (np.int16, 0.5, -20.0, "minmax"),
        (np.int16, 0.5, -20.0, "hu:-100..100"),
        (np.uint8, 2.0, 0.0, "window:100,50"),
        (np.float64, 1.0, 0.0, "minmax"),
        (np.float32, 1.0, 0.0, "window:100,50"),
    ],
)
def test_a_volume_in_slabs_has_the_levels_of_the_whole(tmp_path, in_slabs, axes, dtype, slope, inter, contract):
    path = volume(tmp_path / "v.nii.gz", dtype, slope, inter, axes)
    whole = read_stored(path)
    assert isinstance(whole.values, np.ndarray)
    in_slabs()
    found = read_stored(path)
    assert isinstance(found.values, Slabs)
    assert (found.values.dtype, found.values.shape) == (whole.values.dtype, whole.values.shape)
    assert found.is_volume == whole.is_volume
    asked = parse_intensity(contract)
    levels = asked.apply(found)
    assert np.array_equal(levels, asked.apply(whole)) and len(np.unique(levels)) > 5
    assert levels.flags.c_contiguous and levels.dtype == np.uint8


@pytest.mark.parametrize(
    ("place", "value", "contract"),
    [((4, 6, 10), np.nan, "minmax"), ((0, 0, 0), np.inf, "window:1,5"), ((2, 3, 5), 300, "range:0..255")],
)
def test_what_a_volume_in_slabs_may_not_hold_is_said_as_of_the_whole(tmp_path, in_slabs, place, value, contract):
    values = np.random.default_rng(0).integers(0, 200, SHAPE).astype(np.float32)
    values[place] = value
    path, asked, said = volume(tmp_path / "v.nii.gz", np.float32, values=values), parse_intensity(contract), []
    for begin in (lambda: None, in_slabs):
        begin()
        with pytest.raises(OutsideContract) as caught:
            asked.apply(read_stored(path))
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_a_volume_in_slabs_that_is_damaged_at_its_end_is_a_bad_image(tmp_path, in_slabs):
    (tmp_path / "images").mkdir()
    for name in ("a", "b"):
        volume(tmp_path / "images" / f"{name}.nii.gz", np.int16)
    path = tmp_path / "images" / "b.nii.gz"
    content = bytearray(path.read_bytes())
    content[-6] ^= 1  # of the checksum
    path.write_bytes(bytes(content))
    in_slabs()
    dataset = open_dataset(str(tmp_path / "images"), intensity="minmax")
    found = list(dataset.batches("all", 2))
    assert [row for batch in found for row in batch.rows.tolist()] == [0]
    [bad] = [bad for batch in found for bad in batch.bad]
    assert bad.id == "b.nii.gz" and "damaged, or cut short" in bad.reason


def test_the_range_of_undeclared_volumes_is_found_in_slabs(tmp_path, in_slabs):
    from medfeat.errors import DataError

    (tmp_path / "images").mkdir()
    volume(tmp_path / "images" / "a.nii.gz", np.int16, values=np.full(SHAPE, 7))
    volume(tmp_path / "images" / "b.nii.gz", np.int16, values=np.full(SHAPE, 900))
    in_slabs()
    with pytest.raises(DataError, match=r"hu:7\.\.900.*range over 2 images"):
        open_dataset(str(tmp_path / "images"))


READ = (
    "from pathlib import Path\n"
    "from medfeat.datasets.decoding.intensity import parse_intensity\n"
    "print(parse_intensity('minmax').apply(read_stored(Path(sys.argv[1]))).shape)"
)


def test_a_large_volume_takes_a_part_of_what_it_unpacks_to(tmp_path):
    path, shape = tmp_path / "large.nii.gz", (256, 256, 256)
    header = nib.Nifti1Image(np.zeros((1, 1, 1), np.float64), np.eye(4)).header
    header.set_data_shape(shape)
    header["vox_offset"] = 352
    piece = np.random.default_rng(0).normal(size=shape[:2]).tobytes()
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(header.binaryblock + b"\0" * 4)
        for _ in range(shape[2]):
            file.write(piece)
    said, peak = peak_of(READ, path)
    assert said == str(shape)
    assert int(peak) < 128  # MB, which it unpacks to; two arrays of its levels take 32


@pytest.fixture
def pictures(tmp_path):
    """Ten pictures of 1,000 bytes."""
    for i in range(10):
        pixels = np.random.default_rng(i).integers(0, 256, (20, 50), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    return tmp_path


def test_a_batch_of_large_images_comes_in_several(pictures, monkeypatch):
    dataset = open_dataset(str(pictures))
    monkeypatch.setattr(files_dataset, "BATCH_BYTES", 2_500)
    found = list(dataset.batches("all", 8))
    assert [batch.rows.tolist() for batch in found] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]


def test_rows_of_an_npz_that_are_large_come_in_several(tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (10, 20, 50), dtype=np.uint8)
    for write in (np.savez, np.savez_compressed):
        write(tmp_path / "a.npz", images=images)
        dataset = open_dataset(str(tmp_path / "a.npz"))
        monkeypatch.setattr(bounds, "BATCH_BYTES", 3_500)
        found = list(dataset.batches("all", 8))
        assert [len(batch.rows) for batch in found] == [3, 3, 3, 1]
        assert np.array_equal(np.concatenate([batch.images for batch in found]), images)
        monkeypatch.undo()


def test_a_sample_of_large_images_is_as_large_as_a_batch(pictures, monkeypatch):
    dataset = open_dataset(str(pictures))
    assert len(sample.read_sample(dataset)) == 10
    monkeypatch.setattr(files_dataset, "BATCH_BYTES", 1_000)
    monkeypatch.setattr(sample, "BATCH_BYTES", 4_000)
    assert len(sample.read_sample(dataset)) == 4


def test_a_batch_size_that_would_hold_too_much_is_cut_aloud_and_the_rows_are_the_same(
    pictures, tmp_path_factory, monkeypatch
):
    from medfeat.types import SilentProgress
    from medfeat_cache import FeatureStore

    said = []

    class Heard(SilentProgress):
        def say(self, message):
            said.append(message)

    rows = []
    options = {"weights": "random", "device": "cpu", "precision": "fp32", "batch_size": 8, "progress": Heard()}
    for most in (None, 3_000):
        if most:
            monkeypatch.setattr(bounds, "BATCH_BYTES", most)
        cache = tmp_path_factory.mktemp("cache")
        report = extract(str(pictures), "timm:test_resnet.r160_in1k", cache_dir=cache, **options)
        with FeatureStore(report.stores[0].path) as store:
            rows.append(np.array(store.embeddings("all")))
            batch = store.info["environment"]["batch_size"]
        assert batch == (3 if most else 8)
    assert [line for line in said if "batch size 3, not 8" in line]
    assert np.allclose(rows[0], rows[1], atol=1e-5)
