"""Threads of the command line that wait for one another sleep soon: GNU OpenMP itself says how it was told to wait."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="torch brings another OpenMP")
@pytest.mark.parametrize(
    ("given", "spins"),
    [
        ({}, "3000"),
        ({"GOMP_SPINCOUNT": "77"}, "77"),
        ({"OMP_WAIT_POLICY": "passive"}, "0"),  # what GNU's OpenMP makes of it
    ],
)
def test_waiting_threads_sleep_soon_unless_somebody_said_how_they_should_wait(given, spins):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_WAIT", "GOMP_"))}
    done = subprocess.run(
        [sys.executable, "-m", "medfeat", "doctor"],
        env=kept | {"OMP_DISPLAY_ENV": "verbose"} | given, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert set(re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)) == {spins}
