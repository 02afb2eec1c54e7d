"""Several processes on one device, standing in for several devices: the bits of one process, and the same refusals."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

import medfeat
from medfeat.errors import UsageError
from medfeat.extraction.ask.request import Request
from medfeat.extraction.loop.several import several_devices
from medfeat.extraction.network.devices import resolve_devices
from medfeat.extraction.session import embed
from medfeat.types import SilentProgress, View
from medfeat_cache import FeatureStore

ON_GPU = os.environ.get("MEDFEAT_GPU") == "1"
NAME, BATCH = ("resnet18", 64) if ON_GPU else ("timm:test_resnet", 4)
VIEWS = (View(), View("layer1"))


def test_two_processes_on_one_device_make_the_store_of_one(tmp_path, device, monkeypatch, measured):
    rng = np.random.default_rng(0)
    counts = {"train": 8000, "val": 900, "test": 1100} if ON_GPU else {"train": 37, "val": 5, "test": 8}
    arrays = {f"{group}_images": rng.integers(0, 256, (n, 28, 28), dtype=np.uint8) for group, n in counts.items()}
    np.savez(tmp_path / "pictures.npz", **arrays)
    data = medfeat.open_dataset(str(tmp_path / "pictures.npz"))
    monkeypatch.setattr(several_devices, "_LEAST_PARTS", 0)
    request = Request(weights="random", precision="fp32", batch_size=BATCH, compile=False, views=VIEWS)
    stores = {}
    for processes in (1, 2):
        outcomes = embed(
            data,
            NAME,
            request,
            root=tmp_path / str(processes),
            device=device,
            beside=(device,) * (processes - 1),
            progress=SilentProgress(),
        )
        measured(processes=processes, images_per_second=outcomes[0].images_per_second)
        stores[processes] = [FeatureStore(outcome.path, verify=True) for outcome in outcomes]
    for one, two in zip(stores[1], stores[2], strict=True):
        for group in counts:
            assert np.array_equal(one.embeddings(group), two.embeddings(group))
        assert two.info["environment"]["device"] == f"{device},{device}"
        assert two.info["environment"]["peak_memory_bytes"] > 0
        one.close(), two.close()


@pytest.mark.parametrize(
    ("name", "said"),
    [("cuda:0,0", "names cuda:0 more than once"), ("cpu,cuda:0", "several devices must be GPUs"),
     ("cuda:0,99", "device 'cuda:99' is not here: 2 CUDA devices"), ("cuda:0;1", "device must be auto")],
)  # fmt: skip
def test_a_list_that_cannot_be_meant_is_one_line(monkeypatch, name, said):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UsageError, match=said):
        resolve_devices(name)
    assert resolve_devices("cuda:all") == resolve_devices("cuda:0,1") == resolve_devices("cuda:0,cuda:1")


def test_all_of_no_gpus_is_one_line(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="device 'cuda:all' is not here: 0 CUDA devices found"):
        resolve_devices("cuda:all")
