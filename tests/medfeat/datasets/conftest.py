"""Helpers of the dataset tests: small files, a loopback mirror."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medfeat.types import Dataset

from .folders import spelled


@pytest.fixture
def write_png() -> Callable[..., Path]:
    """Write a small picture whose pixels follow from its path, and return the path."""

    def write(path: Path, shape: tuple[int, ...] = (10, 12), value: int | None = None) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(list(str(path.name).encode()))
        pixels = rng.integers(0, 256, shape, np.uint8) if value is None else np.full(shape, value, np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture
def read_all() -> Callable[..., dict[str, Any]]:
    """Read a whole group: the image of each id, or the reason when it is bad."""

    def read(dataset: Dataset, group: str, batch_size: int = 7, rows: Any = None) -> dict[str, Any]:
        ids, found = dataset.ids(group), {}
        for batch in dataset.batches(group, batch_size, rows):
            found.update({str(ids[row]): image for row, image in zip(batch.rows, batch.images, strict=True)})
            found.update({bad.id: bad.reason for bad in batch.bad})
        return found

    return read


@pytest.fixture
def dicom() -> Callable[..., Path]:
    """Write a DICOM file of given stored pixels and elements; `None` leaves an element empty."""
    pydicom = pytest.importorskip("pydicom")

    def write(path: Path, pixels: np.ndarray, photometric: str = "MONOCHROME2", **facts: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = pydicom.Dataset()
        file.file_meta = pydicom.dataset.FileMetaDataset()
        file.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        file.SOPClassUID = file.file_meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
        file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        colour = pixels.ndim == 3
        file.Rows, file.Columns = pixels.shape[:2]
        file.SamplesPerPixel = 3 if colour else 1
        if colour:
            file.PlanarConfiguration = 0
        file.PhotometricInterpretation = photometric
        file.BitsAllocated = file.BitsStored = 8 * pixels.itemsize
        file.HighBit = file.BitsStored - 1
        file.PixelRepresentation = int(pixels.dtype.kind == "i")
        for name, value in facts.items():
            setattr(file, name, value)
        content = pixels.tobytes()
        file.add_new("PixelData", "OW" if pixels.itemsize > 1 else "OB", content + b"\0" * (len(content) % 2))
        file.save_as(path, enforce_file_format=True)
        return path

    return write


@pytest.fixture
def tree(tmp_path):
    """Write a folder of files without content, and links in it."""
    root = tmp_path / "set"

    def write(*patterns, links=()):
        for name in spelled(*patterns):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(b"x")
        for link, target in dict(links).items():
            (root / link).symlink_to(root / target)
        return root

    return write
