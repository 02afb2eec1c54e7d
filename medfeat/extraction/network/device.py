"""Which device runs the network, and what is known of it."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medfeat.cost import usable_cores
from medfeat.errors import UsageError
from medfeat.extraction.ask.run_settings import RunSettings
from medfeat.types import Precision

if TYPE_CHECKING:
    import torch

# What holds a processor back from what it can do.
_HOLD_BACK = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "TORCHINDUCTOR_CPP_MARCH")


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


def settings_here(
    device: torch.device,
    precision: Precision,
    batch_size: int,
    compiled: bool,
    part_batches: int,
    *,
    fused: bool = False,
) -> RunSettings:
    """Return settings of a run on this machine, with what else decides on the last bits: torch and the hardware.

    That is a card with its driver and cuDNN, or a processor with the vectors that torch uses on it.
    """
    import torch

    hardware, version = hardware_of(device), str(torch.__version__)
    return RunSettings(str(device), precision, batch_size, compiled, part_batches, version, hardware, fused)


def hardware_of(device: torch.device) -> str:
    """Name a card with its driver and cuDNN, or a processor with the vectors that torch uses on it."""
    import torch

    if device.type != "cuda":
        return f"{processor_name()}, {torch.backends.cpu.get_cpu_capability()}"
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    card = torch.cuda.get_device_properties(device).name
    return f"{card}, CUDA {torch.version.cuda}, cuDNN {cudnn}, driver {_driver()}"


def machine_facts(device: torch.device) -> dict[str, Any]:
    """Return whatever of this machine changes how fast a network runs, and which code a compiler makes for it."""
    import torch

    flags = hashlib.blake2b(" ".join(sorted(processor_flags())).encode(), digest_size=8).hexdigest()
    held = {name: os.environ[name] for name in _HOLD_BACK if name in os.environ}
    return {
        "device": device.type,
        "hardware": hardware_of(device),
        "processor": processor_name(),
        "flags": flags,
        "threads": torch.get_num_threads(),
        "held_back": held,
        "torch": str(torch.__version__),
    }


def _driver() -> str:
    """Name the version of NVIDIA's driver as its kernel module tells it; ``?`` where it does not."""
    try:
        return Path("/sys/module/nvidia/version").read_text(encoding="utf-8").strip()
    except OSError:
        return "?"


def processor_name() -> str:
    """Name the processor as its maker does, as far as the system tells."""
    return _of_the_processor("model name") or platform.processor() or platform.machine()


def processor_flags() -> frozenset[str]:
    """Return what the processor can do in the words of Linux (``avx512_bf16``); nothing where the system is another."""
    return frozenset((_of_the_processor("flags") or _of_the_processor("Features")).split())


def _of_the_processor(name: str) -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 - a device file, read line by line
            return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
    except OSError:
        return ""


def forget_peak(device: torch.device) -> None:
    """Let `peak_memory` count from here on, where a device can: not what was tried before the run."""
    import torch

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


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


# What libraries below torch say when there is no room: of the processor, CUDA, cuBLAS, pinned memory, and cuDNN, which
# for want of a workspace finds no engine.
_NO_ROOM = re.compile(
    r"out of memory|not enough memory|(can't|cannot|unable to) allocate memory|alloc_failed|memoryallocation"
    r"|unable to find an engine",
    re.IGNORECASE,
)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell running out of memory from every other failure, on any device."""
    import torch

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and _NO_ROOM.search(str(error)) is not None
