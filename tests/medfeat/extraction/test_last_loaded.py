"""A worker keeps the network that it loaded last, for as long as the same one is asked for."""

from __future__ import annotations

import os
from functools import partial

import pytest

from medfeat.extraction import session
from medfeat.extraction.network import loaded
from medfeat.extraction.network.loaded import LastLoaded
from medfeat.types import SilentProgress
from medfeat.workflows.study import study


@pytest.fixture
def loads():
    """What was loaded, in order; a loading gives a fresh object."""
    return []


@pytest.fixture
def ask(loads):
    kept = LastLoaded()

    def ask(name, **options):
        def load(name, *, progress, **options):
            loads.append(name)
            return object()

        return kept.load(name, partial(load, name, **options), SilentProgress())

    return ask


def test_the_same_is_loaded_once_and_another_makes_room(ask, loads):
    first = ask("resnet18", seed=0, weights="random")
    assert ask("resnet18", seed=0, weights="random") is first
    ask("resnet18", seed=1, weights="random")
    ask("vgg16", seed=1, weights="random")
    ask("resnet18", seed=1, weights="random")
    assert loads == ["resnet18", "resnet18", "vgg16", "resnet18"]


def test_a_file_of_weights_that_changed_is_read_again(ask, loads, tmp_path):
    file = tmp_path / "weights.pt"
    file.write_bytes(b"one")
    os.utime(file, ns=(10**18, 10**18))
    ask("resnet18", weights=str(file))
    ask("resnet18", weights=str(file))
    file.write_bytes(b"two!")
    ask("resnet18", weights=str(file))
    assert len(loads) == 2


def test_a_network_that_a_program_made_is_built_each_time(ask, loads, monkeypatch):
    monkeypatch.setattr(loaded, "brings_weights", lambda name: name == "mine")
    ask("mine")
    ask("mine")
    assert loads == ["mine", "mine"]


def test_a_study_loads_a_network_once_for_all_its_datasets(tmp_path, monkeypatch):
    loads, load = [], session.load_backbone
    monkeypatch.setattr(session, "load_backbone", lambda name, **more: loads.append(name) or load(name, **more))
    (tmp_path / "two.toml").write_text(
        'data = ["synthetic-binary", "synthetic-ordinal"]\nbackbone = ["stats", "pixels"]\nhead = "majority"\n'
    )
    report = study(tmp_path / "two.toml", out=tmp_path / "out", cache_dir=tmp_path / "cache")
    assert report.made == 8 and not report.failed
    assert loads == ["stats", "pixels"]
