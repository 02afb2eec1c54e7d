"""A full disk, a read-only folder, a vanished file, a second process: a clear line, and the same command goes on."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from medfeat.errors import MedfeatError
from medfeat.workflows.cache import repair, verify
from medfeat.workflows.extract import extract
from medfeat_cache import FeatureStore, StoreError, find_stores

ROOT = Path(__file__).parents[3]


def run(cache_root, data="synthetic-binary", backbone="counting", **options):
    options = {"precision": "fp32", "batch_size": 16, "device": "cpu", "cache_dir": cache_root} | options
    return extract(data, backbone, **options)


@contextmanager
def mounted(folder, *options):
    """A small file system in memory; skips where mounting is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_one_line_and_the_same_command_goes_on(tmp_path):
    with mounted(tmp_path / "small", "size=3m") as folder:
        with pytest.raises(StoreError, match=r"disk full .* make room and run the same command again") as caught:
            run(folder, backbone="pixels", data="synthetic")
        assert "\n" not in str(caught.value)
        assert not find_stores(folder)
        subprocess.run(["mount", "-o", "remount,size=200m", str(folder)], check=True)
        outcome = run(folder, backbone="pixels", data="synthetic").stores[0]
        with FeatureStore(outcome.path, verify=True) as store:
            assert sum(store.n(group) for group in store.groups) == outcome.images


def test_a_read_only_folder_is_one_line(tmp_path):
    with mounted(tmp_path / "fixed", "ro"), pytest.raises(StoreError, match="--cache-dir"):
        run(tmp_path / "fixed", backbone="stats")


def test_a_file_that_vanishes_while_it_is_read_is_one_line(counting, cache_root, tmp_path):
    data = np.random.default_rng(0).integers(0, 256, (64, 12, 12), dtype=np.uint8)
    labels = np.arange(64)[:, None] % 2
    file = tmp_path / "mine.npz"
    np.savez(
        file, **{f"{s}_{k}": v for s in ("train", "val", "test") for k, v in (("images", data), ("labels", labels))}
    )
    content = file.read_bytes()
    from medfeat.workflows import extract as workflow

    real = workflow.embed

    def embed_after_it_vanished(*args, **options):
        file.unlink()
        return real(*args, **options)

    workflow.embed = embed_after_it_vanished
    try:
        with pytest.raises((MedfeatError, StoreError, OSError)) as caught:
            run(cache_root, data=str(file))
    finally:
        workflow.embed = real
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
    file.write_bytes(content)
    assert run(cache_root, data=str(file)).stores[0].images == 192


def test_two_processes_end_with_one_good_store(tmp_path):
    command = [sys.executable, "-m", "medfeat", "extract", "-d", "synthetic-binary", "-b", "pixels"]
    command += ["--cache-dir", str(tmp_path)]
    both = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    ends = [(*process.communicate(timeout=120), process.returncode) for process in both]
    assert [code for _, _, code in ends] == [0, 0], ends
    [header] = find_stores(tmp_path)
    with FeatureStore(header.path, verify=True) as store:
        assert sum(store.n(group) for group in store.groups) == sum(header.counts.values())
    assert not list(tmp_path.glob("*/*/.*"))


def test_damaged_rows_are_found_and_mended_from_the_source(cache_root):
    outcome = run(cache_root, backbone="stats").stores[0]
    whole = outcome.path.read_bytes()
    with FeatureStore(outcome.path) as store:
        row = np.array(store.embeddings("val")[5]).tobytes()
    place = whole.index(row)
    damaged = bytearray(whole)
    damaged[place + 3] ^= 16
    outcome.path.write_bytes(damaged)
    [found] = verify([outcome.path])
    assert found.state == "damaged"
    assert "val" in str(found.report.problems[0])
    mended = repair(outcome.path)
    assert (mended.state, mended.exact, mended.device) == ("ok", True, "cpu")
    assert outcome.path.read_bytes() == whole


def test_the_canary_embeds_a_sample_again(cache_root):
    outcome = run(cache_root, backbone="squeezenet1_1", weights="random", data="synthetic-binary").stores[0]
    [found] = verify([outcome.path], canary=True)
    assert found.state == "ok"
    assert found.canary.rows == 16
    assert found.canary.max_deviation < 1e-4


def test_a_network_that_changes_while_it_embeds_is_refused(counting, cache_root, monkeypatch):
    import torch

    from medfeat.errors import NotFrozenError
    from medfeat.extraction.network.forward import Forward

    honest = Forward.submit

    def learning(self, images):
        with torch.no_grad():
            next(self.module.parameters()).add_(1e-3)
        return honest(self, images)

    monkeypatch.setattr(Forward, "submit", learning)
    with pytest.raises(NotFrozenError, match="nothing was published"):
        run(cache_root)
    assert not find_stores(cache_root)


def test_weights_replaced_under_the_same_name_make_another_store(cache_root, tmp_path):
    import torch
    from torchvision.models import squeezenet1_1

    paths = set()
    file = tmp_path / "weights.pth"
    for seed in (0, 1):
        torch.manual_seed(seed)
        torch.save(squeezenet1_1().state_dict(), file)
        paths.add(run(cache_root, backbone="squeezenet1_1", weights=str(file)).stores[0].path)
    assert len(paths) == 2
