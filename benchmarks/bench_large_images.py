"""Anonymous memory while the largest images that are accepted are embedded: it does not grow with their number.

As a slow test it takes smaller ones. ``MEDFEAT_BENCH=1`` takes sixteen pictures in colour of 8,000 x 8,000 pixels,
four of each other form, and volumes of 2^27 voxels, and writes ``benchmarks/results/large_images.json``.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import machine
from bench_memory import STATUS, watched

FULL = os.environ.get("MEDFEAT_BENCH") == "1"
RESULTS = Path(__file__).parent / "results" / "large_images.json"
SIDE, PICTURES, OF_A_FORM = (8_000, 16, 4) if FULL else (1_500, 16, 4)
VOXELS = (512, 512, 512) if FULL else (128, 128, 96)
LIMIT_BYTES = 1 << 30


def pictures(folder: Path, form: str = "RGB", suffix: str = ".png", count: int = PICTURES, **options: Any) -> None:
    """Write the same picture under many names."""
    from PIL import Image

    folder.mkdir()
    tile = np.random.default_rng(0).integers(0, 256, (500, 500, 4), np.uint8)
    first, pixels = folder / f"00{suffix}", np.tile(tile, (SIDE // 500, SIDE // 500, 1))
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0]))
    if form == "P":
        image = image.convert("P")
        image.putpalette([*range(256)] * 3)
    elif form == "I;16":
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 200)
    elif form != "L":
        image = Image.fromarray(pixels, "RGBA").convert(form)
    image.save(first, **({"compress_level": 1} if suffix == ".png" else {}), **options)
    for number in range(1, count):
        os.link(first, folder / f"{number:02}{suffix}")


def others(form: str, suffix: str = ".png", **options: Any) -> Callable[[Path], None]:
    """Return what writes a few pictures of another form."""
    return lambda folder: pictures(folder, form, suffix, OF_A_FORM, **options)


def turned() -> Any:
    """Return what says that a picture lies on its side."""
    from PIL import Image

    found = Image.Exif()
    found[274] = 6
    return found


def scans(folder: Path) -> None:
    """Write pictures of 16 bits, rescaled, as DICOM."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    folder.mkdir()
    tile = np.random.default_rng(0).integers(0, 4096, (500, 500), np.uint16)
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.SOPClassUID = file.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    file.Rows = file.Columns = SIDE
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 12, 11, 0
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.RescaleSlope, file.RescaleIntercept = "0.5", "-1024"
    file.PixelData = np.tile(tile, (SIDE // 500, SIDE // 500)).tobytes()
    file.save_as(folder / "00.dcm", enforce_file_format=True)
    for number in range(1, OF_A_FORM):
        os.link(folder / "00.dcm", folder / f"{number:02}.dcm")


def volumes(folder: Path, dtype: type[np.generic], slope: float = 1.0) -> None:
    """Write a compressed volume under two names, piece by piece."""
    import nibabel

    folder.mkdir()
    header = nibabel.Nifti1Image(np.zeros((1, 1, 1), dtype), np.eye(4)).header
    header.set_data_shape(VOXELS)
    header.set_slope_inter(slope, 0.0)
    header["vox_offset"] = 352
    piece = np.random.default_rng(0).integers(0, 1_000, (VOXELS[0], VOXELS[1], 1)).astype(dtype).tobytes()
    with gzip.open(folder / "00.nii.gz", "wb", compresslevel=1) as file:
        file.write(header.binaryblock + b"\0" * 4)
        for _ in range(VOXELS[2]):
            file.write(piece)
    os.link(folder / "00.nii.gz", folder / "01.nii.gz")


NETWORK = {"weights": "random"}
CASES: dict[str, tuple[Callable[[Path], None], str, dict[str, str]]] = {
    "pictures, stats": (pictures, "stats", {}),
    "pictures, a network": (pictures, "squeezenet1_1", NETWORK),
    "grey": (others("L"), "squeezenet1_1", NETWORK),
    "grey of 16 bits": (others("I;16"), "squeezenet1_1", {"intensity": "minmax", **NETWORK}),
    "palettes with transparency": (others("P", transparency=bytes(range(256))), "squeezenet1_1", NETWORK),
    "with an alpha channel": (others("RGBA"), "squeezenet1_1", NETWORK),
    "JPEG on its side": (others("RGB", ".jpg", quality=50, exif=turned()), "squeezenet1_1", NETWORK),
    "TIFF by LZW": (others("RGB", ".tif", compression="tiff_lzw"), "squeezenet1_1", NETWORK),
    "DICOM rescaled": (scans, "squeezenet1_1", {"intensity": "minmax", **NETWORK}),
    "volumes of int16, stats": (lambda folder: volumes(folder, np.int16), "stats", {"intensity": "range:0..1000"}),
    "volumes of int16 scaled, stats": (
        lambda folder: volumes(folder, np.int16, 0.5), "stats", {"intensity": "minmax"}
    ),
    "volumes of float64, stats": (lambda folder: volumes(folder, np.float64), "stats", {"intensity": "minmax"}),
}  # fmt: skip


def embed(name: str, folder: Path) -> dict[str, float]:
    """Embed the images of a case, the network loaded before memory is noted."""
    from medfeat.workflows.extract import extract

    _, backbone, options = CASES[name]
    extract("synthetic-binary", backbone, weights=options.get("weights"), cache_dir=folder / "warm", device="cpu")
    with watched() as found:
        report = extract(str(folder / "images"), backbone, cache_dir=folder / "cache", device="cpu", **options)
        found["images"] = report.stores[0].images
    return found


@pytest.mark.slow
@pytest.mark.skipif(not STATUS.exists(), reason="RssAnon is told by Linux alone")
@pytest.mark.timeout(3600)
def test_large_images_stay_within_a_gibibyte(tmp_path: Path) -> None:
    found = {}
    for number, (name, (make, _, _)) in enumerate(CASES.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        make(folder / "images")
        command = [sys.executable, str(Path(__file__).resolve()), name, str(folder)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        one = found[name] = json.loads(run.stdout.splitlines()[-1])
        assert one["images"] == len(list((folder / "images").iterdir()))
        if FULL:  # after each, and whatever it took: what is too much is to be seen
            facts = {
                "what": f"{PICTURES} PNGs of {SIDE} x {SIDE} in colour, {OF_A_FORM} of each other form, two .nii.gz "
                f"of {VOXELS}, embedded",
                "machine": machine.describe(),
                **found,
            }
            RESULTS.write_text(json.dumps(facts, indent=1) + "\n")
    peaks = {name: one["rss_anon_peak_above_mib"] for name, one in found.items()}
    assert max(peaks.values()) * 2**20 < LIMIT_BYTES, peaks


if __name__ == "__main__":
    print(json.dumps(embed(sys.argv[1], Path(sys.argv[2]))))
