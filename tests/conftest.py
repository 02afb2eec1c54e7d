"""What every test may ask for. Nothing here reaches the network or the user's own cache."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test finds weights, data or stores that happen to lie on this machine."""
    empty = tmp_path_factory.getbasetemp() / "empty-home"
    for name, folder in {
        "MEDFEAT_CACHE": "medfeat",
        "TORCH_HOME": "torch",
        "HF_HOME": "huggingface",
        "XDG_CACHE_HOME": "cache",
    }.items():
        monkeypatch.setenv(name, str(empty / folder))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(autouse=True)
def no_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test compiles a network by the clock: on a busy machine that takes minutes and tests nothing more."""
    monkeypatch.setenv("TORCH_COMPILE_DISABLE", "1")


@pytest.fixture
def real_data() -> Path:
    """The folder with official data and real weights that MEDFEAT_REAL_DATA names."""
    folder = os.environ.get("MEDFEAT_REAL_DATA")
    if not folder:
        pytest.skip("MEDFEAT_REAL_DATA is not set: no official data or real weights here")
    return Path(folder)


@pytest.fixture
def cache_root(tmp_path: Path) -> Path:
    """An empty place for stores."""
    return tmp_path / "cache"
