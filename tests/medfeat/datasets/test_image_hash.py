"""An image is known by its pixels and its shape."""

import hashlib

import numpy as np
import pytest

from medfeat.datasets import image_hash
from medfeat.datasets.digests import file_digest


def test_it_is_blake2b_over_shape_and_bytes():
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert image_hash(image) == hashlib.blake2b(b"3,4;" + image.tobytes(), digest_size=16).digest()


def test_shape_and_every_pixel_count():
    image = np.zeros((4, 6), np.uint8)
    other = image.copy()
    other[3, 5] = 1
    assert len({image_hash(image), image_hash(other), image_hash(image.T), image_hash(image.reshape(2, 12))}) == 4


def test_layout_in_memory_does_not_count():
    image = np.arange(24, dtype=np.uint8).reshape(4, 6)
    assert image_hash(image) == image_hash(np.asfortranarray(image)) == image_hash(np.repeat(image, 2, axis=1)[:, ::2])


def test_other_types_are_refused():
    with pytest.raises(TypeError, match="uint8"):
        image_hash(np.zeros((2, 2)))


@pytest.mark.parametrize("place", [0, 1 << 20, (1 << 20) + 1, 2_500_000 - 1])
def test_every_part_of_a_large_image_and_of_a_large_file_counts(tmp_path, place):
    content = np.random.default_rng(0).integers(0, 256, 2_500_000, dtype=np.uint8)
    changed = content.copy()
    changed[place] ^= 1
    assert image_hash(content.reshape(2500, 1000)) != image_hash(changed.reshape(2500, 1000))
    (tmp_path / "file").write_bytes(changed.tobytes())
    assert file_digest(tmp_path / "file", "md5") == hashlib.md5(changed.tobytes()).hexdigest()
    assert file_digest(tmp_path / "file", "blake2b") == hashlib.blake2b(changed.tobytes(), digest_size=32).hexdigest()
