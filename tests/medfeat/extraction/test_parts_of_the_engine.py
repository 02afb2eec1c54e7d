"""The engine's small parts: reading ahead, keeping images, remembering answers, deciding."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from medfeat.datasets import open_dataset
from medfeat.errors import UsageError
from medfeat.extraction.ask import remembered as lookup
from medfeat.extraction.ask.store_plan import Asked, Pace, decide
from medfeat.extraction.loop.in_memory import kept_in_memory
from medfeat.extraction.loop.read_ahead import ReadAhead
from medfeat.extraction.network.compiling import compile_problem
from medfeat.extraction.network.device import describe_machine, resolve_device
from medfeat.extraction.network.devices import resolve_devices
from medfeat.types import View


def test_reading_ahead_keeps_the_order_and_the_bound():
    ahead = []

    def source():
        for number in range(20):
            ahead.append(number)
            yield number

    with ReadAhead(source(), depth=2) as items:
        for number in items:
            assert ahead[-1] - number <= 4
    assert ahead == list(range(20))


def test_an_error_while_reading_surfaces_where_items_are_used():
    def source():
        yield 1
        raise OSError("the disk is gone")

    with ReadAhead(source()) as items, pytest.raises(OSError, match="the disk is gone"):
        list(items)


def test_leaving_early_stops_the_thread():
    with ReadAhead(iter(range(10_000)), depth=1) as items:
        next(iter(items))
    assert "medfeat-reader" not in [thread.name for thread in threading.enumerate()]


class CountingReads:
    def __init__(self, dataset):
        self.dataset, self.reads = dataset, 0
        self.info, self.ids, self.labels = dataset.info, dataset.ids, dataset.labels

    def batches(self, group, batch_size, rows=None):
        self.reads += 1
        return self.dataset.batches(group, batch_size, rows)


def test_images_are_read_once_for_several_backbones():
    source = CountingReads(open_dataset("synthetic-binary"))
    kept = kept_in_memory(source)
    rows = np.arange(source.info.counts["val"])
    passes = [list(kept.batches("val", size, rows)) for size in (16, 7, 64)]
    assert source.reads == 1
    whole = [np.concatenate([batch.images for batch in batches]) for batches in passes]
    assert len(whole[0]) == len(rows)
    for images, batches in zip(whole, passes, strict=True):
        np.testing.assert_array_equal(images, whole[0])
        np.testing.assert_array_equal(np.concatenate([batch.rows for batch in batches]), rows)


def test_bad_images_are_kept_in_their_place(tmp_path):
    from PIL import Image

    for number in range(11):
        Image.fromarray(np.full((6, 6), number, np.uint8)).save(tmp_path / f"{number:02d}.png")
    for number in (0, 5, 10):
        (tmp_path / f"{number:02d}.png").write_bytes(b"")
    kept = kept_in_memory(CountingReads(open_dataset(str(tmp_path))))
    first = list(kept.batches("all", 4))
    again = list(kept.batches("all", 3))
    for batches in (first, again):
        assert [bad.id for batch in batches for bad in batch.bad] == ["00.png", "05.png", "10.png"]
        assert np.concatenate([batch.rows for batch in batches]).tolist() == [1, 2, 3, 4, 6, 7, 8, 9]
    assert [len(batch.bad) for batch in again] == [1, 1, 0, 1]


def test_a_pass_that_was_left_early_is_not_taken_for_the_whole():
    source = CountingReads(open_dataset("synthetic-binary"))
    kept = kept_in_memory(source)
    next(iter(kept.batches("val", 16)))
    assert sum(len(batch.rows) for batch in kept.batches("val", 16)) == source.info.counts["val"]


def test_what_waits_is_bounded_in_bytes(monkeypatch):
    from medfeat.extraction.loop import read_ahead as reader

    monkeypatch.setattr(reader, "MOST_BYTES", 100)
    ahead = []

    def source():
        for number in range(10):
            ahead.append(number)
            yield number

    with ReadAhead(source(), depth=8, weigh=lambda _item: 60) as items:
        for number in items:
            assert ahead[-1] - number <= 3


def test_what_is_large_is_handed_over_when_it_is_asked_for_and_nothing_waits(monkeypatch):
    from medfeat.extraction.loop import read_ahead as reader

    monkeypatch.setattr(reader, "MOST_BYTES", 100)
    ahead = []

    def source():
        for number in range(10):
            ahead.append(number)
            yield number

    with ReadAhead(source(), depth=8, weigh=lambda _item: 190) as items:
        for number in items:
            time.sleep(0.01)  # the reader may go on as far as it likes
            assert ahead[-1] - number <= 1


def test_images_that_do_not_fit_are_read_again():
    source = CountingReads(open_dataset("synthetic-binary"))
    kept = kept_in_memory(source, limit_bytes=1000)
    for _ in range(2):
        assert sum(len(batch.rows) for batch in kept.batches("val", 16)) == source.info.counts["val"]
    assert source.reads == 2


def test_an_answer_is_remembered_until_its_store_is_gone(tmp_path):
    store = tmp_path / "data" / "net" / "abc.h5"
    store.parent.mkdir(parents=True)
    store.write_bytes(b"")
    lookup.remember_store(tmp_path, {"what": 1}, store)
    assert lookup.remembered_store(tmp_path, {"what": 1}) == store
    assert lookup.remembered_store(tmp_path, {"what": 2}) is None
    store.unlink()
    assert lookup.remembered_store(tmp_path, {"what": 1}) is None


def test_a_note_cannot_lead_out_of_the_cache(tmp_path):
    root = tmp_path / "cache"
    outside = tmp_path / "outside.h5"
    outside.write_bytes(b"")
    root.mkdir()
    lookup.remember_store(root, {"a": 1}, root / "x.h5")
    note = next((root / ".asked").iterdir())
    note.write_text('{"store": "../outside.h5"}')
    assert lookup.remembered_store(root, {"a": 1}) is None
    note.write_text("not json")
    assert lookup.remembered_store(root, {"a": 1}) is None


def test_other_weights_under_the_same_name_are_another_request(tmp_path):
    file = tmp_path / "weights.pth"
    file.write_bytes(b"one")
    first = lookup.file_identity(file)
    file.write_bytes(b"another")
    assert lookup.file_identity(file) != first


ASKED = Asked("d", 28, "f", "b", "timm", "x", {"origin": "pretrained"}, View(), "whole", "fp32")


@pytest.mark.parametrize(
    ("remembered", "unfinished", "action", "images"),
    [
        (Path("s.h5"), None, "reuse", 0),
        (Path("s.h5"), 9, "reuse", 0),
        (None, 40, "resume", 60),
        (None, None, "compute", 100),
    ],
)
def test_the_plan_is_a_pure_decision(remembered, unfinished, action, images):
    begun = {"remembered": remembered, "unfinished_rows": unfinished}
    plan = decide(ASKED, counts=100, **begun, known_dim=512, pace=Pace(10.0, 3.0))
    assert (plan.action, plan.images) == (action, images)
    assert plan.disk_bytes == 100 * 512 * 4
    assert plan.seconds == (3 + images / 10 if images else 0)
    assert decide(ASKED, counts=100, **begun, known_dim=512, pace=None).seconds == (None if images else 0)


def test_auto_is_a_device_that_is_here():
    import torch

    device = resolve_device("auto")
    assert float(torch.ones(2, device=device).sum()) == 2
    assert describe_machine(device).device == str(device)


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:99", "tpu"])
def test_a_device_that_is_not_here_is_refused(name):
    with pytest.raises(UsageError, match=name):
        resolve_device(name)


def test_compiling_without_a_compiler_says_so(monkeypatch):
    import torch

    monkeypatch.setenv("PATH", "")
    for name in ("CXX", "TORCH_COMPILE_DISABLE"):
        monkeypatch.delenv(name, raising=False)
    assert "no C++ compiler" in (compile_problem(torch.device("cpu")) or "")
    assert "mps" in (compile_problem(torch.device("mps")) or "")


@pytest.mark.parametrize("switch", ["TORCH_COMPILE_DISABLE", "TORCHDYNAMO_DISABLE"])
def test_compiling_that_torch_was_told_to_leave_is_not_tried(monkeypatch, switch):
    import torch

    monkeypatch.delenv("TORCH_COMPILE_DISABLE", raising=False)
    monkeypatch.setenv(switch, "0")
    assert switch not in (compile_problem(torch.device("cpu")) or "")
    monkeypatch.setenv(switch, "1")
    assert compile_problem(torch.device("cpu")) == f"{switch} is set: running eager"


@pytest.mark.parametrize("name", ["cpu,cuda:0", "cuda:0,cpu", "cuda:0,", "0,1", "cuda:0,1:2"])
def test_several_devices_must_be_gpus(name):
    with pytest.raises(UsageError, match="several devices must be GPUs, as in cuda:0,1 or"):
        resolve_devices(name)


def test_one_gpu_named_twice_is_no_two():
    with pytest.raises(UsageError, match="names cuda:1 more than once"):
        resolve_devices("cuda:0,1,1")
