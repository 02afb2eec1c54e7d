"""A machine that others use decides as a quiet one: seconds of work, and no reading of it is taken at its word."""

from __future__ import annotations

import pytest
import torch

from laboratory import CPU, FAST_HALF, Lab
from medfeat.extraction.measure import choose
from medfeat.extraction.measure import clock as clock_module
from medfeat.extraction.measure.memory import Memory


@pytest.mark.parametrize("load", [1.0, 3.0, 20.0])
def test_a_busy_machine_decides_as_a_quiet_one(clock, load):
    """780 images of a small network: 25 seconds of work, which time itself would call 500."""
    clock.load = load
    lab = Lab(clock, FAST_HALF, cost=21.0)
    choice = lab.choose("fp32", total=800)
    assert not choice.settings.compiled
    assert not any(compiled for _, _, compiled in lab.built)


@pytest.mark.parametrize("load", [1.0, 20.0])
def test_what_compiling_costs_is_remembered_as_work(clock, load):
    clock.load, memory = load, Memory()
    Lab(clock, FAST_HALF, cost=21.0).choose("fp32", memory=memory)
    assert memory.ways["fp32", True].cost == pytest.approx(21.0 + 0.7)


def test_a_stopwatch_counts_work_and_not_what_others_took(monkeypatch):
    readings = {"wall": 0.0, "own": 0.0, "all": 0.0, "helpers": 0.0}
    monkeypatch.setattr(clock_module.time, "perf_counter", lambda: readings["wall"])
    monkeypatch.setattr(clock_module.time, "thread_time", lambda: readings["own"])
    monkeypatch.setattr(clock_module.time, "process_time", lambda: readings["all"])

    class Spent:
        children_system = 0.0

        @property
        def children_user(self):
            return readings["helpers"]

    monkeypatch.setattr(clock_module.os, "times", Spent)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    seconds = clock_module.stopwatch(CPU)
    for found, wanted in (
        ({"wall": 10.0, "own": 2.0, "all": 4.0, "helpers": 0.0}, 2.0),  # eight seconds went to others
        ({"wall": 10.0, "own": 1.0, "all": 12.0, "helpers": 0.0}, 3.0),  # the leading thread slept, four shared 12
        ({"wall": 10.0, "own": 2.0, "all": 2.0, "helpers": 5.0}, 7.0),  # a compiler it waited for
        ({"wall": 3.0, "own": 2.0, "all": 2.0, "helpers": 5.0}, 3.0),  # several at a time, on a quiet machine
    ):
        readings.update(found)
        assert seconds() == pytest.approx(wanted)
    readings.update({"wall": 0.0})
    device = clock_module.stopwatch(torch.device("cuda"))
    readings.update({"wall": 5.0})
    assert device() == pytest.approx(5.0)


# One reading


@pytest.fixture
def disturb(monkeypatch):
    """Make the first readings of each network ten times too slow, as threads that wait for one another are."""
    measure, readings = choose.seconds_an_image, dict[int, int]()
    before = torch.get_num_threads()

    def start(number, threads):
        torch.set_num_threads(threads)

        def slower_at_first(embedder, images):
            alone = threads > 1 and torch.get_num_threads() == 1
            readings[id(embedder)] = readings.get(id(embedder), 0) + 1
            return measure(embedder, images) * (1.5 if alone else 10 if readings[id(embedder)] <= number else 1)

        monkeypatch.setattr(choose, "seconds_an_image", slower_at_first)

    yield start
    torch.set_num_threads(before)


# Readings that are disturbed, threads, and whether the run is taken for a long one. One thread alone waits for nobody.
DISTURBED = [(0, 1, False), (1, 1, False), (2, 1, True), (9, 2, False)]


@pytest.mark.parametrize(("disturbed", "threads", "compiled"), DISTURBED)
def test_one_reading_of_a_disturbed_machine_does_not_compile(clock, disturb, disturbed, threads, compiled):
    disturb(disturbed, threads)
    lab = Lab(clock, FAST_HALF)
    lab.choose("fp32", total=600, batch_size=8)
    assert any("compiling fp32" in line for line in lab.said) is compiled
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(("disturbed", "threads", "measured"), DISTURBED)
def test_one_reading_of_a_disturbed_machine_does_not_make_a_run_long(clock, disturb, disturbed, threads, measured):
    """300 images take ten seconds, which are not worth measuring; by one thread 14."""
    disturb(disturbed, threads)
    lab = Lab(clock, FAST_HALF)
    lab.choose(total=300)
    assert any("measuring bf16" in line for line in lab.said) is measured


def test_a_compiled_network_is_read_again_before_it_is_called_slow(clock, disturb):
    lab = Lab(clock, FAST_HALF)
    disturb(1, 1)
    assert lab.choose("fp32").settings.compiled


def test_few_large_volumes_are_not_read_again_and_again(clock, disturb):
    """Of 15 batches, one reading is two of them already."""
    disturb(1, 2)
    lab = Lab(clock, FAST_HALF | {("fp32", False): 64.0}, problem="no compiler")
    before = clock.work
    lab.choose("fp32", total=15, batch_size=1)
    assert clock.work - before == pytest.approx(2 * 64 / 32)


def test_one_thread_computes_and_as_many_as_before_afterwards(disturb):
    disturb(0, 2)
    with pytest.raises(RuntimeError, match="on the way"), clock_module.one_thread():
        assert torch.get_num_threads() == 1
        raise RuntimeError("on the way")
    assert torch.get_num_threads() == 2
    assert clock_module.threads_of(CPU) == 2
    assert clock_module.threads_of(torch.device("cuda")) == 1
