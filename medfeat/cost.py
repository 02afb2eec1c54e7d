"""An estimate of the energy a stretch of work used: power of the device times time, with the method stated.

Sparing computation is what embedding once is for, so the cost stands beside every score. A GPU's own counter of energy
is read before and after, or its energy is not known: what it drew at the end says nothing of the run, and the processor
beside it is not it. A processor's counter (RAPL) is used where the system lets us read it; otherwise a stated number of
watts a core is assumed, which is a rough figure and is called one.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ASSUMED_WATTS_A_CORE = 10.0
_RAPL = Path("/sys/class/powercap/intel-rapl:0/energy_uj")


@dataclass(frozen=True)
class Energy:
    """Watt-hours used, None where nothing can tell, and how that was found out."""

    watt_hours: float | None
    method: str


class EnergyMeter:
    """Measures from its creation until `read` is called.

    Parameters
    ----------
    devices
        Whose energy may be asked for: ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
    """

    def __init__(self, *devices: str) -> None:
        self._started = time.perf_counter()
        self._counters = {device: _joules(device) for device in devices}

    def read(self, device: str) -> Energy:
        """Return the energy that one of the devices used so far, never negative."""
        seconds, before, now = time.perf_counter() - self._started, self._counters[device], _joules(device)
        counted = None
        if before is not None and now is not None and now >= before:
            counted = (now - before) / 3600
        if device.startswith("cuda"):
            if counted is None:
                return Energy(None, "not known: pip install 'medfeat[gpu]' reads the counter of NVIDIA's GPUs")
            return Energy(counted, "energy counter of the GPU (NVML)")
        if counted is not None:
            return Energy(counted, "RAPL counter of the processor package")
        cores = usable_cores()
        watts = _ASSUMED_WATTS_A_CORE * cores
        return Energy(watts * seconds / 3600, f"assumed {_ASSUMED_WATTS_A_CORE:.0f} W a core x {cores} cores x time")


def together(costs: Sequence[Energy]) -> Energy:
    """Add up what several devices used; not known where one of them could not tell."""
    parts = [cost.watt_hours for cost in costs if cost.watt_hours is not None]
    method = "; ".join(dict.fromkeys(cost.method for cost in costs))
    return Energy(sum(parts) if len(parts) == len(costs) else None, method)


def total_energy(costs: Iterable[Mapping[str, Any]]) -> float | None:
    """Add up the ``energy_wh`` of several costs; None where one of them could not tell, or none says anything."""
    found = [cost["energy_wh"] for cost in costs if "energy_wh" in cost]
    return sum(found) if found and None not in found else None


def usable_cores() -> int:
    """Count the processor cores this process may use: its affinity, and what a container or a queue allows it."""
    from joblib import cpu_count

    return int(cpu_count())


def _joules(device: str) -> float | None:
    return _gpu_joules(device) if device.startswith("cuda") else _rapl_joules()


def _rapl_joules() -> float | None:
    try:
        return int(_RAPL.read_text()) / 1e6
    except (OSError, ValueError):
        return None


def _gpu_joules(device: str) -> float | None:
    """Return what a GPU has used since its driver was loaded; None where NVML is missing or the card has no counter."""
    import torch

    try:
        import pynvml

        pynvml.nvmlInit()
        # By its own name: the numbers that torch gives to devices are not those of NVML where some are hidden.
        card = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(card)) / 1e3
    except Exception:
        return None
