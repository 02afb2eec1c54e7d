"""Whatever bytes are flipped in a file, it is an image, a bad image or one clear error, and never anything else."""

import numpy as np
import pytest
from PIL import Image

from medfeat.datasets import open_dataset
from medfeat.errors import MedfeatError

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
PER_FILE = 60


def damaged(content, rng):
    """Flip up to three bytes, in half the files within the header; cut every fifth file."""
    changed = bytearray(content)
    reach = len(changed) if rng.random() < 0.5 else min(len(changed), 200)
    for _ in range(rng.integers(1, 4)):
        changed[rng.integers(0, reach)] = rng.integers(0, 256)
    return bytes(changed[: rng.integers(1, len(changed))] if rng.random() < 0.2 else changed)


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.tif", "x.bmp"])
@pytest.mark.filterwarnings("ignore")  # what the decoders warn of is not ours
def test_pictures(tmp_path, name):
    rng, sound = np.random.default_rng(0), tmp_path / name
    Image.fromarray(PIXELS).save(sound)
    for i in range(PER_FILE):
        (tmp_path / f"{i:03}{name}").write_bytes(damaged(sound.read_bytes(), rng))
    dataset = open_dataset(tmp_path)
    batches = list(dataset.batches("all", 16))
    assert sum(len(batch.rows) + len(batch.bad) for batch in batches) == PER_FILE + 1
    for batch in batches:
        assert len(batch.rows) == len(batch.images)
        assert all("\n" not in bad.reason and bad.reason for bad in batch.bad)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.filterwarnings("ignore")
def test_npz(tmp_path, save):
    rng, path = np.random.default_rng(0), tmp_path / "x.npz"
    save(path, images=PIXELS, labels=np.arange(12))
    sound, refused = path.read_bytes(), 0
    for _ in range(PER_FILE):
        path.write_bytes(damaged(sound, rng))
        try:
            dataset = open_dataset(path)
            for group in dataset.info.counts:
                dataset.labels(group)
                list(dataset.batches(group, 5))
        except MedfeatError as error:
            refused += 1
            assert str(path) in str(error) and "\n" not in str(error)
    assert refused > PER_FILE / 4
