"""Which device runs the network, and what is known of it."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medfeat.cost import usable_cores
from medfeat.errors import UsageError, is_lack_of_memory

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Machine:
    """The hardware an extraction ran on, as a store records it."""

    device: str
    name: str
    cores: int
    memory_bytes: int
    torch: str
    python: str


def resolve_device(name: str = "auto") -> torch.device:
    """Turn what a person typed into a device that exists.

    Parameters
    ----------
    name
        ``auto`` (cuda, then mps, then cpu), ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.

    Returns
    -------
    torch.device
        A device that is present.

    Raises
    ------
    UsageError
        When the name is not a device, or the device is not on this machine.
    """
    import torch

    mps = torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", name):
        raise UsageError(f"device must be auto, cpu, mps, cuda or cuda:N, got {name!r}")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name.startswith("cuda"):
        index = int(name.partition(":")[2] or 0)
        if index >= count:
            raise UsageError(f"device {name!r} is not here: {count} CUDA devices found; use --device auto or cpu")
    if name == "mps" and not mps:
        raise UsageError("device 'mps' is not here: no Apple GPU found; use --device auto or cpu")
    return torch.device(name)


def describe_machine(device: torch.device) -> Machine:
    """Describe the hardware behind `device`; `memory_bytes` is the device's own memory, 0 when unknown."""
    import torch

    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        name, memory = properties.name, properties.total_memory
    else:
        name, memory = processor_name(), _main_memory()
    return Machine(
        device=str(device),
        name=name,
        cores=usable_cores(),
        memory_bytes=memory,
        torch=str(torch.__version__),
        python=platform.python_version(),
    )


def processor_name() -> str:
    """Name the processor as its maker does, as far as the system tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 - a device file, read line by line
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def peak_memory(device: torch.device) -> int:
    """Return the most memory this process has held, in bytes: on a GPU the device's, otherwise resident memory."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # Windows has no such counter
        return 0
    scale = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def _main_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


def is_out_of_memory(error: BaseException) -> bool:
    """Tell running out of memory from every other failure, on any device."""
    import torch

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and is_lack_of_memory(error)
