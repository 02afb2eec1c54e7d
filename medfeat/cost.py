"""An estimate of the energy a stretch of work used: power of the device times time, with the method stated.

Sparing computation is what embedding once is for, so the cost stands beside every score. A GPU reports its own power
draw; a processor's energy counter (RAPL) is used where the system lets us read it; otherwise a stated number of watts a
core is assumed, which is a rough figure and is called one.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_ASSUMED_WATTS_A_CORE = 10.0
_RAPL = Path("/sys/class/powercap/intel-rapl:0/energy_uj")


@dataclass(frozen=True)
class Energy:
    """Watt-hours used, and how that was found out."""

    watt_hours: float
    method: str


class EnergyMeter:
    """Measures from its creation until `read` is called."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._counter = _read_rapl()

    def read(self, device: str = "cpu") -> Energy:
        """Return the energy used so far, never negative, by the device: ``cpu``, ``mps``, ``cuda`` or ``cuda:N``."""
        seconds = time.perf_counter() - self._started
        if device.startswith("cuda"):
            watts = _cuda_watts(device)
            if watts is not None:
                return Energy(watts * seconds / 3600, f"GPU power draw at the end ({watts:.0f} W) x time")
        counter = _read_rapl()
        if self._counter is not None and counter is not None and counter >= self._counter:
            return Energy((counter - self._counter) / 3.6e9, "RAPL counter of the processor package")
        cores = usable_cores()
        watts = _ASSUMED_WATTS_A_CORE * cores
        return Energy(watts * seconds / 3600, f"assumed {_ASSUMED_WATTS_A_CORE:.0f} W a core x {cores} cores x time")


def usable_cores() -> int:
    """Count the processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _read_rapl() -> int | None:
    try:
        return int(_RAPL.read_text())
    except (OSError, ValueError):
        return None


def _cuda_watts(device: str) -> float | None:
    import torch

    try:
        return float(torch.cuda.power_draw(device)) / 1000
    except Exception:
        return None
