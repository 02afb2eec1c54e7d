"""Large images are held once, and no longer than they are embedded."""

from __future__ import annotations

import weakref
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image

from medfeat.extraction import session
from medfeat.extraction.loop import one_pass, read_ahead
from medfeat.extraction.loop.embed_rows import extract_rows
from medfeat.extraction.network.forward import Finished
from medfeat.extraction.network.preprocess import preprocess_list
from medfeat.types import DatasetInfo, ImageBatch, SilentProgress
from medfeat.workflows.extract import extract

COUNT = 6


class OneByOne:
    """Images that each come as a batch, as large ones do; tells which are still held."""

    def __init__(self):
        self.info = DatasetInfo("large", 0, None, (), 1, 2, {"all": COUNT}, "blake2b:00")
        self.made = []

    def ids(self, _group):
        return np.array([str(row) for row in range(COUNT)])

    def labels(self, _group):
        return None

    def batches(self, _group, _batch_size, rows=None):
        for row in range(COUNT) if rows is None else rows.tolist():
            image = np.full((50, 50), row, np.uint8)
            self.made.append(weakref.ref(image))
            yield ImageBatch(np.array([row]), [image], ())
            del image


class Writer:
    manifest = SimpleNamespace(recipe={})

    def missing_rows(self, _group):
        return np.arange(COUNT)

    def write_rows(self, *_rest, **_options):
        """Keep nothing."""


class Forward:
    """A network that looks which images are held when it gets the next."""

    batch_size, backoff, device = 1, (), SimpleNamespace(type="cpu")

    def __init__(self, dataset):
        self.dataset, self.held = dataset, []

    def submit(self, images):
        number = int(images[0][0, 0])
        self.held.append([i for i, image in enumerate(self.dataset.made[:number]) if image() is not None])
        return Finished([np.ones((1, 2), np.float32)])


def test_an_image_is_gone_when_the_next_one_is_embedded(monkeypatch):
    monkeypatch.setattr(read_ahead, "MOST_BYTES", 1)  # each waits until it is asked for
    dataset = OneByOne()
    forward = Forward(dataset)
    extract_rows(dataset, forward, {0: Writer()}, part_batches=COUNT, progress=SilentProgress())
    assert forward.held == [[]] * COUNT


def test_what_was_measured_on_is_gone_when_the_pass_begins(tmp_path, cache_root, monkeypatch):
    """A sample of large images is as large as a batch, and would be held beside every one."""
    for row in range(3):
        pixels = np.random.default_rng(row).integers(0, 256, (40, 40), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{row}.png")
    samples, held, read, run = [], [], session.read_sample, one_pass.extract_rows

    def reading(dataset):
        sample = list(np.array(read(dataset)))
        samples.extend(map(weakref.ref, sample))
        return sample

    def running(*args, **options):
        held.append([sample() is not None for sample in samples])
        return run(*args, **options)

    monkeypatch.setattr(session, "read_sample", reading)
    monkeypatch.setattr(one_pass, "extract_rows", running)
    extract(str(tmp_path), "timm:test_resnet.r160_in1k", weights="random", cache_dir=cache_root, device="cpu")
    assert held == [[False] * 3]


def test_a_single_large_image_is_prepared_without_a_copy():
    seen = []

    class Preprocess:
        dtype, device, info = torch.float32, torch.device("cpu"), SimpleNamespace(input_size=4)

        def __call__(self, images, *, laid):
            seen.append(images.numpy())
            return torch.zeros(len(images), 3, 4, 4)

    large, small = np.zeros((6_000, 6_000), np.uint8), np.ones((2, 8, 8), np.uint8)
    read_only = np.zeros((5_000, 9_000), np.uint8)
    read_only.flags.writeable = False  # torch would warn of it
    preprocess_list(Preprocess(), [large, *small, read_only])
    assert [images.shape[0] for images in seen] == [1, 2, 1]
    assert np.shares_memory(seen[0], large)
    assert not np.shares_memory(seen[2], read_only)
