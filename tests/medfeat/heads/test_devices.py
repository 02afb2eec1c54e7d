"""Where heads work: asked of the driver, so that no library is loaded for nothing."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from medfeat.heads import devices
from medfeat.heads.boosting import BoostingProbe


def driver(count, answer=0):
    """Make a CUDA driver that sees so many GPUs."""

    def tell(place):
        place._obj.value = count
        return 0

    return lambda _: SimpleNamespace(cuInit=lambda _: answer, cuDeviceGetCount=tell)


def without_driver(name):
    raise OSError(name)


@pytest.mark.parametrize(
    ("library", "there"),
    [
        (driver(2), True),
        (driver(0), False),
        (driver(1, answer=999), False),
        (without_driver, False),
    ],
    ids=["two GPUs", "none visible", "driver fails", "no driver"],
)
def test_a_gpu_is_there_when_the_driver_counts_one(monkeypatch, library, there):
    monkeypatch.setattr(devices.ctypes, "CDLL", library)
    assert devices.has_gpu() is there


def test_without_a_gpu_features_stay_as_they_are(monkeypatch):
    monkeypatch.setattr(devices.ctypes, "CDLL", without_driver)
    X = np.zeros((3, 2), np.float32)
    assert devices.on_gpu(X) is X
    assert devices.device_of(X) == "cpu"
    assert devices.device_of(torch.zeros(2)) == "cpu"
    assert devices.device_of(torch.zeros(2, device="meta")) == "meta"


def test_features_that_a_gpu_has_no_room_for_stay_as_they_are(monkeypatch):
    X = np.zeros((1000, 10), np.float32)
    monkeypatch.setattr(devices, "has_gpu", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (3 * X.nbytes, 3 * X.nbytes))
    assert devices.on_gpu(X) is X


def test_boosting_runs_on_the_processor_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(devices.ctypes, "CDLL", without_driver)
    X = np.random.default_rng(0).normal(size=(40, 3))
    probe = BoostingProbe(rounds=2, task_type="binary-class").fit(X, (X[:, :1] > 0).astype(int))
    assert probe.device_ == "cpu"


def test_asking_for_a_gpu_loads_no_torch():
    code = "import sys; from medfeat.heads import devices; devices.has_gpu(); print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
