"""Which machine a result was measured on, and where results go."""

from __future__ import annotations

import json
import os
import platform
from datetime import date
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
MEASURING = os.environ.get("MEDFEAT_BENCH") == "1"


def describe():
    """Describe processor, cores, memory and libraries."""
    from medfeat.cost import usable_cores
    from medfeat.extraction.network.device import processor_name

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return {
        "date": date.today().isoformat(),
        "processor": processor_name(),
        "cores": usable_cores(),
        "memory_gib": round(memory, 1),
        "avx512_bf16": "avx512_bf16" in flags,
        "amx_bf16": "amx_bf16" in flags,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in ("torch", "torchvision", "numpy", "h5py", "scikit-learn")},
    }


def keep(name, result):
    """Print a result, and commit it to the folder of results when measuring."""
    text = json.dumps({"machine": describe(), **result}, indent=1)
    print(text)
    if MEASURING:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(text + "\n")
