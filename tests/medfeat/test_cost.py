"""Energy is what a counter says, a stated assumption, or not known; cores are those that may be used."""

from __future__ import annotations

import builtins
import os
import sys
from types import SimpleNamespace

import pytest
import torch

from medfeat import cost
from medfeat.cost import EnergyMeter, total_energy, usable_cores


@pytest.fixture
def card(monkeypatch):
    """Stand in for a GPU whose counter of millijoules a test sets; its number is not the one NVML gives it."""
    there = SimpleNamespace(millijoules=5_000_000, asked=[])

    def by_uuid(uuid):
        there.asked.append(uuid)
        return uuid

    nvml = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=by_uuid,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: there.millijoules,
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid=f"uuid-of-{device}"))
    return there


def test_a_gpus_energy_is_the_difference_of_its_own_counter(card):
    meter = EnergyMeter("cuda:1")
    card.millijoules += 7_200_000  # 7,200 J are 2 Wh
    found = meter.read("cuda:1")
    assert found.watt_hours == pytest.approx(2.0)
    assert "NVML" in found.method
    assert card.asked == ["GPU-uuid-of-cuda:1"] * 2


def test_a_counter_that_was_set_back_is_not_believed(card):
    meter = EnergyMeter("cuda")
    card.millijoules = 0
    assert meter.read("cuda").watt_hours is None


def test_without_nvml_a_gpus_energy_is_not_known_and_the_processors_is_not_taken_for_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    found = EnergyMeter("cuda").read("cuda")
    assert found.watt_hours is None
    assert "medfeat[gpu]" in found.method


def test_a_processor_has_its_counter_or_an_assumption_that_is_named(monkeypatch, tmp_path):
    counter = tmp_path / "energy_uj"
    monkeypatch.setattr(cost, "_RAPL", counter)
    assert "assumed 10 W a core" in EnergyMeter("cpu").read("cpu").method
    counter.write_text("1000000\n")
    meter = EnergyMeter("cpu")
    counter.write_text("3601000000\n")
    assert meter.read("cpu").watt_hours == pytest.approx(1.0)


def test_a_sum_with_an_unknown_part_is_not_known():
    assert total_energy([{"energy_wh": 1.0}, {"energy_wh": 2.5}]) == 3.5
    assert total_energy([{"energy_wh": 1.0}, {}]) == 1.0  # vectors from elsewhere cost nothing here
    assert total_energy([{"energy_wh": 1.0}, {"energy_wh": None}]) is None
    assert total_energy([{}]) is None


def test_cores_are_those_that_the_process_may_use():
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("cores cannot be set aside here")
    mine = os.sched_getaffinity(0)
    assert usable_cores() <= len(mine)
    try:
        os.sched_setaffinity(0, sorted(mine)[:1])
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, mine)


def test_a_container_that_may_use_one_core_has_one(monkeypatch, tmp_path):
    """As Docker's --cpus 1 says it: the affinity is still that of the whole machine."""
    limit = tmp_path / "cpu.max"
    limit.write_text("100000 100000\n")
    real = builtins.open

    def opened(path, *args, **options):
        return real(limit if path == "/sys/fs/cgroup/cpu.max" else path, *args, **options)

    monkeypatch.setattr(builtins, "open", opened)
    exists = os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda path: path == "/sys/fs/cgroup/cpu.max" or exists(path))
    assert usable_cores() == 1
