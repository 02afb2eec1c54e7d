"""A process that may have little memory is told so: it does not wait for what SciPy's OpenBLAS is never given."""

from __future__ import annotations

import subprocess
import sys

import pytest

LIMITED = """
import resource
from pathlib import Path
import numpy
from medfeat_cli.main import run
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + (96 << 20),) * 2)
run(["-V"])
import scipy.special
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_scipy_is_refused_where_it_would_ask_for_ever():
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1 and done.stderr.strip().endswith("MemoryError")
