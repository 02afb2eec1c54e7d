"""Mixed folders work with every backbone, and what nobody foresaw in one pair is one line that stops no other."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from medfeat.backbones.backbone_table import BACKBONES, Entry
from medfeat.heads.knn import NeighboursHead
from medfeat.workflows.extract import extract
from medfeat.workflows.probe import probe
from medfeat_cache import FeatureStore
from medfeat_cli.main import run as command

from .embedded import embed

MODES = ("RGB", "L", "RGBA", "LA", "P", "CMYK", "1")


@pytest.fixture
def mixed(tmp_path):
    """A folder of every kind of 8-bit picture, in several sizes."""
    for i in range(28):
        mode, side = MODES[i % 7], (9, 28, 40)[i % 3]
        pixels = np.random.default_rng(i).integers(0, 256, (side, side + i % 2, 3), np.uint8)
        image = Image.fromarray(pixels)
        suffix = "tif" if mode == "CMYK" else "png"
        path = tmp_path / "mixed" / "ab"[i % 2] / f"{i:02}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.convert(mode).save(path)
    return tmp_path / "mixed"


@pytest.mark.parametrize(("backbone", "dim"), [("pixels", 2352), ("stats", 10), ("counting", 6)])
def test_grey_and_colour_of_several_sizes_lie_in_one_folder(counting, cache_root, mixed, backbone, dim):
    with FeatureStore(embed(cache_root, mixed, backbone)) as store:
        assert store.embeddings("all").shape == (28, dim)
        if backbone == "pixels":
            grey = store.take(["b/01.png"]).reshape(28, 28, 3)  # mode L, 28 x 29
            assert np.array_equal(grey[..., 0], grey[..., 2])
            assert store.recipe["pool"] == "rgb"
    assert probe("mixed", backbone, head="linear", cache_dir=cache_root, resamples=0).runs


@pytest.mark.parametrize(("mode", "dim"), [("L", 784), ("RGB", 2352)])
def test_folders_of_one_kind_keep_their_length(cache_root, tmp_path, mode, dim):
    (tmp_path / "one").mkdir()
    for i in range(6):
        pixels = np.random.default_rng(i).integers(0, 256, (9, 9, 3), np.uint8)
        Image.fromarray(pixels).convert(mode).save(tmp_path / "one" / f"{i}.png")
    with FeatureStore(embed(cache_root, tmp_path / "one", "pixels")) as store:
        assert (store.dim, store.recipe["pool"]) == (dim, "none")
    before = {path: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    Image.new("L" if mode == "RGB" else "RGB", (9, 9), 7).save(tmp_path / "one" / "other.png")
    with FeatureStore(embed(cache_root, tmp_path / "one", "pixels")) as store:
        assert store.embeddings("all").shape == (len(before) + 1, 2352)


def test_declared_sixteen_bit_pictures_lie_beside_colour_ones(counting, cache_root, tmp_path):
    (tmp_path / "deep").mkdir()
    for i in range(4):
        pixels = np.random.default_rng(i).integers(0, 4000, (9, 9), np.uint16)
        Image.fromarray(pixels).save(tmp_path / "deep" / f"{i}.png")
        Image.fromarray(np.full((9, 9, 3), 40 * i, np.uint8)).save(tmp_path / "deep" / f"c{i}.png")
    for backbone in ("pixels", "stats", "counting"):
        report = extract(
            tmp_path / "deep", backbone, intensity="range:0..4095", cache_dir=cache_root, precision="fp32",
            batch_size=8, device="cpu",
        )  # fmt: skip
        assert report.stores[0].images + len(report.stores[0].bad) == 8


@pytest.fixture
def broken():
    """Register a backbone whose module cannot even be built."""

    def build():
        raise ZeroDivisionError("nobody\nforesaw this")

    BACKBONES.add("broken", Entry(_info(), build=build, takes_raw=True))
    yield
    BACKBONES.remove("broken")


def _info():
    from dataclasses import replace

    return replace(BACKBONES["stats"].info, name="broken")


def test_an_unforeseen_error_in_one_pair_of_extract_is_one_line(broken, cache_root, capsys, monkeypatch):
    arguments = ["extract", "--data", "synthetic-binary", "--backbone", "broken,stats", "--cache-dir", str(cache_root)]
    assert command(arguments) == 1
    out, err = capsys.readouterr()
    assert "synthetic-binary/stats/" in out
    [line] = [line for line in err.splitlines() if "ZeroDivisionError" in line]
    assert "nobody foresaw this" in line
    assert "MEDFEAT_DEBUG=1" in line
    assert "Traceback" not in err
    monkeypatch.setenv("MEDFEAT_DEBUG", "1")
    assert command(arguments) == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_unforeseen_error_in_one_pair_of_probe_is_one_line(cache_root, capsys, monkeypatch):
    def fail(self, *_args, **_options):
        raise KeyError("lost")

    monkeypatch.setattr(NeighboursHead, "candidates", fail)
    embed(cache_root, "synthetic-binary", "stats")
    arguments = ["probe", "--head", "knn,linear", "--resamples", "0", "--cache-dir", str(cache_root)]
    assert command(arguments) == 1
    out, err = capsys.readouterr()
    assert "linear" in out
    assert len([line for line in err.splitlines() if "unforeseen KeyError" in line]) == 1
    assert "Traceback" not in err


def test_a_single_pair_is_one_line_too_and_raises_the_real_error_in_python(broken, cache_root, capsys, monkeypatch):
    arguments = ["extract", "--data", "synthetic-binary", "--backbone", "broken", "--cache-dir", str(cache_root)]
    assert command(arguments) == 1
    assert capsys.readouterr().err.count("ZeroDivisionError") == 1
    with pytest.raises(ZeroDivisionError):
        extract("synthetic-binary", "broken", cache_dir=cache_root)
    monkeypatch.setenv("MEDFEAT_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        command(arguments)
