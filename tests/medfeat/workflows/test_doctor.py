"""The doctor speaks when torch does not."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from medfeat.workflows import doctor


@pytest.mark.parametrize("failure", ["ImportError('libcudart.so.12')", "OSError('no\\nsuch library')", "KeyError('x')"])
def test_a_torch_that_does_not_import_is_a_red_line_and_no_traceback(tmp_path, failure):
    (tmp_path / "torch.py").write_text(f"raise {failure}")
    command = [sys.executable, "-m", "medfeat", "doctor", "--offline", "--cache-dir", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    line = done.stderr.splitlines()[-1]
    assert line.startswith(f"medfeat: torch does not import: {failure.partition('(')[0]}")
    assert "install torch and torchvision together" in line
    checked = [row.partition("\t")[0] for row in done.stdout.splitlines()]
    assert "cache" in checked
    assert not [name for name in checked if name.startswith(("backbone", "device", "compiler"))]


def test_memory_of_which_the_system_says_nothing_is_not_known(monkeypatch):
    from medfeat.extraction.network import device

    told = os.sysconf
    monkeypatch.setattr(os, "sysconf", lambda name: told("no such name" if name == "SC_PHYS_PAGES" else name))
    monkeypatch.setattr(device, "resolve_device", lambda name: torch.device("cpu"))
    assert next(iter(doctor._device())).found.endswith("cores, memory not known")


def test_every_extra_is_looked_for_and_one_of_which_a_part_is_missing_says_which(monkeypatch):
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(doctor._EXTRAS) == set(project["optional-dependencies"]) - {"docs", "dev"}
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "simplejpeg" else found(name))
    (fast,) = [one for one in doctor._extras() if one.name == "extra fast"]
    assert (fast.state, fast.found) == ("note", "simplejpeg not installed") and "medfeat[fast]" in fast.advice
