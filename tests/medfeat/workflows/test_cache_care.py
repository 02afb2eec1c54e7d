"""Damaged, suspect, unfinished: each store is called what it is, and mended or removed by the command that is named."""

from __future__ import annotations

import json

import numpy as np
import pytest

from medfeat.errors import MedfeatError, UsageError
from medfeat.workflows import cache
from medfeat.workflows.stores.cache_report import Verified
from medfeat.workflows.stores.canary import Canary
from medfeat_cache import FeatureStore
from medfeat_cache.root import parts_folder
from medfeat_cli.main import run
from tests.medfeat.workflows.embedded import embed, plant

COUNTS = {"train": 12, "val": 6, "test": 6}


@pytest.fixture
def damaged(cache_root):
    """A whole store, and one whose header cannot be read."""
    plant(cache_root, counts=COUNTS)
    path = plant(cache_root, counts=COUNTS, dataset="hurt")
    path.write_bytes(path.read_bytes()[:3000])
    return path


def cli(capsys, *arguments):
    """Run a command; return its code, and what it said on both streams."""
    code = run(list(map(str, arguments)))
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return code, said.out, said.err


@pytest.mark.parametrize("named", [str, lambda path: path.name, lambda path: path.stem[:5]])
def test_a_damaged_store_is_removed_by_any_of_its_names(damaged, cache_root, named, capsys):
    code, _, err = cli(capsys, "cache", "info", named(damaged), "--cache-dir", cache_root)
    assert (code, err.count("\n")) == (1, 1)
    assert "medfeat cache rm" in err
    code, out, _ = cli(capsys, "cache", "rm", named(damaged), named(damaged), "--yes", "--cache-dir", cache_root)
    assert code == 0
    assert out.startswith(f"{damaged}  not readable\nfreed 0.0 MB")
    assert not damaged.exists()
    assert len(cache.all_paths(cache_dir=cache_root)) == 1


def test_an_unfinished_store_is_removed_like_any_other(cache_root, capsys):
    path = plant(cache_root, counts=COUNTS)
    parts_folder(path).mkdir()
    path.unlink()
    code, out, _ = cli(capsys, "cache", "rm", path.stem, "--yes", "--cache-dir", cache_root)
    assert code == 0
    assert "unfinished" in out
    assert not parts_folder(path).exists()


def test_what_could_be_two_stores_is_none_that_is_removed(cache_root, capsys):
    paths = [plant(cache_root, counts=COUNTS, seed=seed) for seed in range(17)]
    first = [path.stem[0] for path in paths]
    twice = next(digit for digit in first if first.count(digit) > 1)
    code, _, err = cli(capsys, "cache", "rm", twice, "--yes", "--cache-dir", cache_root)
    assert code == 2
    assert "add digits" in err
    assert cli(capsys, "cache", "rm", "nothing", "--yes", "--cache-dir", cache_root)[0] == 2
    assert all(path.exists() for path in paths)


@pytest.mark.parametrize("by_path", [True, False])
def test_verify_reports_a_file_it_cannot_read(damaged, cache_root, by_path, capsys):
    which = [damaged] if by_path else []
    code, out, err = cli(capsys, "cache", "verify", *which, "--cache-dir", cache_root)
    assert code == 1
    assert f"DAMAGED  {damaged}" in out
    assert "cannot be read as a store" in err
    code, out, _ = cli(capsys, "cache", "verify", *which, "--json", "--canary", "--cache-dir", cache_root)
    assert code == 1
    found = {one["path"]: one for one in json.loads(out)["stores"]}
    assert (found[str(damaged)]["state"], found[str(damaged)]["ok"]) == ("damaged", False)
    assert len(found) == (1 if by_path else 2)


def test_what_is_suspect_is_said_and_is_no_failure(cache_root, capsys):
    def zero(_group, X, y):
        X[1] = 0
        return X, y

    path = plant(cache_root, counts=COUNTS, rows=zero)
    code, out, err = cli(capsys, "cache", "verify", "--cache-dir", cache_root)
    assert (code, out) == (0, f"SUSPECT  {path}  24 rows\n")
    assert err.count("embeddings are all zero (row 1)") == 3
    assert cache.verify([path])[0].to_dict()["state"] == "suspect"


def test_black_images_do_no_harm_to_a_weights_free_store(cache_root, tmp_path, capsys):
    images = np.random.default_rng(0).integers(0, 256, (8, 12, 12), dtype=np.uint8)
    images[[2, 5]] = 0
    arrays = {f"{split}_images": images for split in ("train", "val", "test")}
    arrays |= {f"{split}_labels": np.arange(8)[:, None] % 2 for split in ("train", "val", "test")}
    np.savez(tmp_path / "mine.npz", **arrays)
    path = embed(cache_root, data=str(tmp_path / "mine.npz"), backbone="pixels")
    code, out, err = cli(capsys, "cache", "verify", "--cache-dir", cache_root)
    assert (code, out) == (0, f"ok  {path}  24 rows\n")
    assert "all zero" in err
    assert cli(capsys, "cache", "repair", path)[1] == f"ok  {path}\n"


def test_repair_says_whether_the_rows_are_the_first_ones_and_where_they_were_made(cache_root, monkeypatch, capsys):
    path = embed(cache_root, backbone="stats")
    with FeatureStore(path) as store:
        row = np.array(store.embeddings("val")[5]).tobytes()
    data = bytearray(path.read_bytes())
    data[data.index(row) + 3] ^= 16
    path.write_bytes(data)
    from medfeat.extraction import remake

    honest = remake.embed_rows

    def rounded(*args, **options):
        return (found := honest(*args, **options))._replace(embeddings=found.embeddings * np.float32(1 + 1e-6))

    monkeypatch.setattr(remake, "embed_rows", rounded)
    code, out, _ = cli(capsys, "cache", "repair", path, "--offline", "--device", "cpu")
    assert (code, out.splitlines()[0]) == (0, f"ok  {path}")
    assert "embedded again on cpu, not byte for byte" in out


def test_offline_reaches_the_weights_and_the_data(cache_root, monkeypatch):
    from medfeat.extraction import remake
    from medfeat.workflows.asking.data_options import DataOptions

    path = embed(cache_root, backbone="stats", offline=True)
    asked, load, opened = [], remake.load_backbone, DataOptions.open

    def loading(*args, offline, **options):
        asked.append(offline)
        return load(*args, offline=offline, **options)

    def opening(self, *args, **options):
        asked.append(self.offline)
        return opened(self, *args, **options)

    monkeypatch.setattr(remake, "load_backbone", loading)
    monkeypatch.setattr(DataOptions, "open", opening)
    for offline in (True, False):
        [found] = cache.verify([path], canary=True, device="cpu", offline=offline)
        assert found.state == "ok"
    assert asked == [True, True, False, False]


def test_a_canary_that_sings_otherwise_is_a_failure(cache_root):
    path = embed(cache_root, backbone="stats")
    whole = cache.verify([path], canary=True)[0]
    assert (whole.state, whole.canary.min_cosine) == ("ok", 1.0)
    for cosine in (0.99, float("nan")):
        other = Verified(path, whole.report, Canary(16, 0.1, cosine))
        assert (other.state, other.failed) == ("differs", True)


def test_a_canary_that_cannot_be_embedded_says_so_beside_those_that_can(cache_root, tmp_path, capsys):
    rng = np.random.default_rng(0)
    for name in ("here", "gone"):
        np.savez(tmp_path / f"{name}.npz", images=rng.integers(0, 256, (12, 8, 8), np.uint8))
    here, gone = (embed(cache_root, tmp_path / f"{name}.npz", "stats") for name in ("here", "gone"))
    (tmp_path / "gone.npz").unlink()
    first, second = cache.verify([gone, here], canary=True)
    assert (first.state, first.canary) == ("ok", None) and "gone.npz" in first.silent
    assert second.canary is not None and second.silent == ""
    code, out, _ = cli(capsys, "cache", "verify", "--canary", "--cache-dir", cache_root)
    assert code == 0
    [line] = [line for line in out.splitlines() if "not embedded" in line]
    assert out.splitlines()[out.splitlines().index(line) - 1].startswith(f"ok  {gone}")
    with pytest.raises(MedfeatError, match=r"gone\.npz"):
        cache.verify([gone], canary=True)


def test_the_canary_leaves_imported_stores_out(cache_root):
    path = plant(cache_root, counts=COUNTS)
    [found] = cache.verify([path], canary=True)
    assert (found.state, found.canary) == ("ok", None)
    assert "imported" in found.silent
    with pytest.raises(UsageError, match="import it anew"):
        broken = bytearray(path.read_bytes())
        with FeatureStore(path) as store:
            broken[broken.index(store.read("train").tobytes())] ^= 1
        path.write_bytes(broken)
        cache.repair(path)


@pytest.mark.parametrize(
    ("data", "backbone", "count"),
    [
        ("all", "all", 3),
        ("one,two", None, 2),
        (None, "fake,other", 3),
        ("three", "other", 1),
        ("folder/three", None, 1),
        ("four", None, 0),
    ],
)
def test_stores_are_listed_by_comma_lists_and_all(cache_root, data, backbone, count, capsys):
    for dataset, network in (("one", "fake"), ("two", "fake"), ("three", "other")):
        plant(cache_root, counts=COUNTS, dataset=dataset, backbone=network)
    options = [*(["--data", data] if data else []), *(["--backbone", backbone] if backbone else [])]
    code, out, _ = cli(capsys, "cache", "ls", "--json", *options, "--cache-dir", cache_root)
    assert code == 0
    assert len(json.loads(out)["stores"]) == count
