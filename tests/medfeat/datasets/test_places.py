"""Images go to their place in a batch as soon as they are there, and a batch is what stacking them would give."""

import numpy as np
import pytest

from medfeat.datasets import bounds, open_dataset
from medfeat.datasets.bounds import Places, stacked
from medfeat.datasets.hashing import image_hash


def image(number, shape=(4, 5)):
    return np.full(shape, number, np.uint8)


def test_images_of_one_shape_are_a_batch_without_another_copy():
    places = Places(3)
    images = {number: places.put(number, image(number)) for number in (2, 0, 4, 1, 3)}  # as threads happen to end
    first = places.batch(0, [images[number] for number in range(3)], passed=0)
    assert first.tolist() == [image(number).tolist() for number in range(3)]
    assert all(np.shares_memory(first[number], images[number]) for number in range(3))
    second = places.batch(3, [images[3], images[4]], passed=0)
    assert second.tolist() == [image(3).tolist(), image(4).tolist()]
    assert not np.shares_memory(first, second)
    assert not places._arrays or list(places._arrays) == [1]  # what was given is not kept


def test_images_that_could_not_be_read_leave_no_gap():
    places = Places(4)
    images = [places.put(number, image(number)) for number in (0, 1, 3)]
    assert places.batch(0, images, passed=1)[:, 0, 0].tolist() == [0, 1, 3]


def test_other_shapes_make_a_list():
    places = Places(3)
    shapes = [(4, 5), (4, 5), (2, 10)]
    images = [places.put(number, image(number, shape)) for number, shape in enumerate(shapes)]
    found = places.batch(0, images, passed=0)
    assert isinstance(found, list)
    assert [one.shape for one in found] == shapes


@pytest.mark.parametrize("room", ["_STACKED_BYTES", "BATCH_BYTES"])
def test_what_is_large_stays_where_it_is(monkeypatch, room):
    monkeypatch.setattr(bounds, room, 39 if room == "BATCH_BYTES" else 19)
    places, there = Places(2), [image(0), image(1)]
    images = [places.put(number, one) for number, one in enumerate(there)]
    assert all(one is other for one, other in zip(images, there, strict=True))
    assert isinstance(places.batch(0, images, passed=0), type(stacked(there)))


def test_a_batch_that_ends_early_moves_nothing():
    places = Places(4)
    images = [places.put(number, image(number)) for number in range(6)]
    parts = [places.batch(0, images[:3], passed=0), places.batch(3, images[3:6], passed=0)]
    assert [part[:, 0, 0].tolist() for part in parts] == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("workers", [1, 5])
def test_a_folder_gives_what_its_files_hold_in_order(tmp_path, write_png, workers):
    shapes = [(6, 6)] * 9 + [(6, 7), (6, 6)] * 3 + [(6, 6)] * 8
    for number, shape in enumerate(shapes):
        write_png(tmp_path / f"{number:02}.png", shape, value=number)
    for bad in (0, 3, 22):
        (tmp_path / f"{bad:02}.png").write_bytes(b"no image")
    rows, values, lost = [], [], []
    for batch in open_dataset(tmp_path, workers=workers).batches("all", 4):
        assert len(batch.images) == len(batch.rows) <= 4
        assert [one.shape for one in batch.images] == [shapes[row] for row in batch.rows]
        rows += batch.rows.tolist()
        values += [int(one[0, 0]) for one in batch.images]
        lost += [bad.id for bad in batch.bad]
    assert rows == values == [number for number in range(23) if number not in (0, 3, 22)]
    assert lost == ["00.png", "03.png", "22.png"]


def test_memory_of_a_batch_is_used_again_only_when_nobody_holds_it():
    places = Places(2)

    def batch(number):
        images = [places.put(2 * number + place, image(2 * number + place)) for place in range(2)]
        return places.batch(2 * number, images, passed=0)

    first = batch(0)
    kept = first[1]  # a part of it is enough
    address = first.__array_interface__["data"][0]
    del first
    second = batch(1)
    assert kept.tolist() == image(1).tolist()
    assert not np.shares_memory(kept, second)
    del kept
    third = batch(2)
    assert third.__array_interface__["data"][0] == address
    assert second[:, 0, 0].tolist() == [2, 3] and third[:, 0, 0].tolist() == [4, 5]


def test_memory_too_small_for_the_next_batch_is_not_used_for_it():
    places = Places(2)
    places.batch(0, [places.put(number, image(number)) for number in range(2)], passed=0)
    large = [places.put(number, image(number, (40, 50))) for number in (2, 3)]
    found = places.batch(2, large, passed=0)
    assert found.shape == (2, 40, 50) and found[:, 0, 0].tolist() == [2, 3]


def test_a_torch_tensor_of_a_batch_keeps_its_memory():
    torch = pytest.importorskip("torch")
    places = Places(1)
    tensor = torch.from_numpy(places.batch(0, [places.put(0, image(7))], passed=0))
    later = [places.batch(number, [places.put(number, image(number))], passed=0) for number in range(1, 4)]
    assert tensor.unique().tolist() == [7] and len(later) == 3


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_hashes_that_come_with_a_folder_are_those_of_its_images(tmp_path, write_png, batch_size):
    shapes = [(6, 6)] * 4 + [(6, 7), (6, 6)] * 2
    for number, shape in enumerate(shapes):
        write_png(tmp_path / f"{number}.png", (*shape, 3), value=number)
    (tmp_path / "3b.png").write_bytes(b"no picture")
    dataset = open_dataset(tmp_path, workers=3)
    wanted = np.array([0, 2, 3, 4, 5, 7])
    plain = list(dataset.batches("all", batch_size, wanted))
    hashed = list(dataset.hashed_batches("all", batch_size, wanted))
    assert len(plain) == len(hashed)
    for batch, (same, hashes) in zip(plain, hashed, strict=True):
        assert np.array_equal(batch.rows, same.rows) and batch.bad == same.bad
        assert all(np.array_equal(one, other) for one, other in zip(batch.images, same.images, strict=True))
        assert hashes.shape == (len(batch.rows), 16)
        assert [bytes(row) for row in hashes] == [image_hash(one) for one in batch.images]
