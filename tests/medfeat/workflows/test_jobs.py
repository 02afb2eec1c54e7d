"""The one loop over jobs, the one look at the cache, and how few calls lie between a command and its network."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import medfeat
import medfeat_cache
import medfeat_cli
from medfeat.backbones.backbone_table import BACKBONES
from medfeat.extend import registered
from medfeat.extraction.measure import choose
from medfeat.workflows.jobs.each import each
from medfeat.workflows.probe import probe
from medfeat_cache import Catalogue, find_stores, header_index
from medfeat_cache import find as finding
from medfeat_cli.main import run


@dataclass(frozen=True)
class Number:
    value: int

    @property
    def name(self) -> str:
        return f"number {self.value}"


def halved(job: Number) -> int:
    if job.value % 2:
        raise ValueError(f"{job.value} is odd") if job.value > 1 else KeyError("nobody misses one")
    return job.value // 2


def test_one_failure_stops_nobody_and_is_said_in_one_line():
    done = each(map(Number, (2, 3, 4, 1)), halved, passed_over=(KeyError,))
    assert done.results == (1, 2)
    [failure] = done.failures
    assert failure.job == Number(3) and failure.line() == f"number 3: {failure.error}"
    assert "3 is odd" in failure.error
    done.raise_if_alone()


@pytest.mark.parametrize(("values", "raised"), [((3,), True), ((3, 3), True), ((3, 5), False), ((3, 2), False)])
def test_an_error_that_is_all_there_is_gets_raised(values, raised):
    done = each(map(Number, values), halved)
    if raised:
        with pytest.raises(ValueError, match="3 is odd"):
            done.raise_if_alone()
    else:
        done.raise_if_alone()


@pytest.fixture
def looks(monkeypatch):
    """What is looked at while stores are found: listings of the cache, and stores whose headers are read."""
    listed, read = [], []
    files, header = finding.store_files, header_index.listed_header

    def listing(*args, **query):
        listed.append(query)
        return files(*args, **query)

    def reading(path):
        read.append(path.stem)
        return header(path)

    monkeypatch.setattr(finding, "store_files", listing)
    monkeypatch.setattr(header_index, "listed_header", reading)
    return listed, read


@pytest.mark.parametrize("options", [{}, {"select": True}, {"data": "bloodmnist", "backbone": "resnet18,vgg16"}])
def test_a_probe_looks_at_the_cache_once(make_store, cache_root, looks, options):
    stores = [make_store(backbone=name) for name in ("resnet18", "vgg16", "stats")]
    stores.append(make_store(dataset="breastmnist", task="binary-class"))
    listed, read = looks
    report = probe(cache_dir=cache_root, resamples=0, **options)
    assert report.runs and not report.failed
    assert len(listed) == 1
    assert sorted(read) == sorted(path.stem for path in stores)


def test_a_catalogue_finds_what_a_look_at_the_cache_finds(make_store, cache_root):
    for dataset in ("bloodmnist", "breastmnist"):
        for backbone in ("resnet18", "vgg16"):
            make_store(dataset=dataset, backbone=backbone)
    (cache_root / "bloodmnist" / "vgg16" / f"{'0' * 12}.h5").write_bytes(b"no store")
    known = Catalogue(cache_root)
    known.find()
    for query in (
        {},
        {"dataset": "bloodmnist"},
        {"backbone": ("vgg16", "none"), "dataset": None},
        {"dataset": ("breastmnist",), "backbone": "vgg16"},
        {"size": 28},
        {"dataset": "a/b"},
    ):
        asked, expected = known.find(**query), find_stores(cache_root, **query)
        assert (list(asked), asked.problems) == (list(expected), expected.problems)
        fresh = Catalogue(cache_root).find(**query)
        assert (list(fresh), fresh.problems) == (list(expected), expected.problems)


OURS = tuple(str(Path(package.__file__).parent) for package in (medfeat, medfeat_cli, medfeat_cache))
EMBEDS, NETWORK = "extraction/network/forward.py", f"{OURS[0]}/backbones/features/views_of.py:forward"
MOST = 14


class Deep(nn.Module):
    """Notes the calls of ours that lead to it."""

    def __init__(self, seen: list[list[str]]) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.seen = [seen]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        frames = [f"{one.filename}:{one.name}" for one in traceback.extract_stack() if one.filename.startswith(OURS)]
        self.seen[0].append(frames)
        return images.mean(dim=(2, 3)) * self.scale

    def __deepcopy__(self, memo: object) -> Deep:
        return Deep(self.seen[0]).eval().requires_grad_(False)


@pytest.fixture
def calls():
    """The calls that lead to a network called ``deep``, from the command on."""
    seen: list[list[str]] = []
    registered(medfeat.backbone_from(Deep(seen), input_size=16, mean=0.5, std=0.5, name="deep"))
    yield seen
    BACKBONES.remove("deep")


def test_few_calls_lie_between_a_command_and_its_network(calls, cache_root, tmp_path, monkeypatch):
    monkeypatch.setattr(choose, "_TRIAL_IMAGES", 1)  # long enough a run to try batch sizes
    monkeypatch.setattr(
        choose, "WORTHWHILE_SPEEDUP", 0.0
    )  # half precision is compared with float32, however fast it is
    rng, labels = np.random.default_rng(0), np.arange(12)[:, None] % 2
    for name, shape in (("images", (12, 16, 16)), ("volumes", (12, 8, 8, 8))):
        arrays = {f"{split}_images": rng.integers(0, 256, shape, np.uint8) for split in ("train", "val", "test")}
        np.savez(
            tmp_path / f"{name}.npz", **arrays, **{f"{split}_labels": labels for split in ("train", "val", "test")}
        )
    where = ["--cache-dir", str(cache_root), "--device", "cpu"]
    for command in (
        ["extract", "--data", str(tmp_path / "images.npz"), "--backbone", "deep", *where],
        ["extract", "--data", str(tmp_path / "volumes.npz"), "--backbone", "deep", *where],
        ["cache", "verify", "--canary", *where],
    ):
        calls.clear()
        assert run(command) == 0
        between = [stack[1 : stack.index(NETWORK)] for stack in calls if any(EMBEDS in one for one in stack)]
        assert between, command
        assert all(stack[0].startswith(f"{OURS[1]}/commands/") for stack in between)
        assert max(map(len, between)) <= MOST, "\n".join(max(between, key=len))
