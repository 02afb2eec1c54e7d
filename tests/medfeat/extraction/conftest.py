"""Fixtures of the laboratory: a clock that a test moves, and a processor that has what is tried."""

from __future__ import annotations

import pytest
import torch

from laboratory import Clock
from medfeat.extraction.measure import choose
from medfeat.extraction.measure import clock as clock_module


@pytest.fixture
def a_processor_with_bf16(monkeypatch):
    monkeypatch.setattr(choose, "missing_instructions", lambda half, device: "")


@pytest.fixture
def clock(monkeypatch, a_processor_with_bf16):
    now = Clock()
    threads = torch.get_num_threads()
    monkeypatch.setattr(clock_module.time, "perf_counter", lambda: now.wall)
    monkeypatch.setattr(clock_module.time, "thread_time", lambda: now.work)
    monkeypatch.setattr(clock_module.time, "process_time", lambda: now.work * threads)
    return now
