"""Threads of the command line that wait for one another sleep soon: GNU OpenMP itself says how it was told to wait."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from medfeat_cli import main


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="torch brings another OpenMP")
def test_every_openmp_that_a_command_loads_has_its_threads_sleep_soon():
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_WAIT", "GOMP_"))}
    done = subprocess.run(
        [sys.executable, "-m", "medfeat", "doctor"],
        env=kept | {"OMP_DISPLAY_ENV": "verbose"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert set(re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)) == {"3000"}


@pytest.mark.parametrize("name", ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY"])
def test_who_said_how_threads_wait_is_heard(name, monkeypatch):
    for known in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(known, "")  # so that it is put back as it was
        monkeypatch.delenv(known)
    monkeypatch.setenv(name, "77")
    main._let_waiting_threads_sleep()
    assert os.environ.get("GOMP_SPINCOUNT") == ("77" if name == "GOMP_SPINCOUNT" else None)
