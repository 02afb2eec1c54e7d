"""The page of a dataset: every task type, with and without pictures, stores and labels; maps are kept and grow."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from PIL import Image

from medfeat.errors import MissingFileError, UsageError
from medfeat.workflows.explore import explore
from medfeat.workflows.maps import FOLDER
from medfeat_cli.main import run

from .embedded import embed

SETS = ("synthetic", "synthetic-binary", "synthetic-multilabel", "synthetic-ordinal", "synthetic-3d")


def data_of(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="map-data">(.*?)</script>', text, re.DOTALL)[1])


def own_images(folder, names, seed=0):
    rng = np.random.default_rng(seed)
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (12, 12), dtype=np.uint8)).save(path)
    return folder


@pytest.mark.parametrize("name", SETS)
def test_every_task_type_has_every_plot_of_the_course(name, tmp_path, cache_root):
    out, figures = tmp_path / "page.html", tmp_path / "figures"
    report = explore(name, out=out, figures=figures, sample=40, cache_dir=cache_root)
    made = {path.name for path in report.figures}
    plots = ["class-counts", "montage", "mean-images", "spread-images", "pixel-histogram", "mean-pixel-values"]
    plots += [f"{kind}-{dims}d-pixels" for kind in ("pca", "tsne") for dims in (2, 3)]
    assert made == {f"{plot}.{form}" for plot in plots for form in ("png", "svg")}
    text = out.read_text(encoding="utf-8")
    assert text.count("<svg") == 3 and "This page contains pictures" in text
    data = data_of(out)
    assert data["n"] == report.looked_at == 40 and set(data["spaces"][0]["maps"]) == {"pca", "tsne2", "tsne3"}


def test_without_pictures_none_is_in_the_page(tmp_path, cache_root):
    out = tmp_path / "page.html"
    explore("synthetic-binary", out=out, sample=30, images=False, cache_dir=cache_root)
    text = out.read_text(encoding="utf-8")
    assert "data:image" not in text and "This page contains pictures" not in text
    assert "thumbs" not in data_of(out)


def test_a_backbone_without_a_store_names_the_command(tmp_path, cache_root):
    with pytest.raises(UsageError, match="medfeat extract --backbone resnet18 --data synthetic-binary"):
        explore("synthetic-binary", backbone="resnet18", out=tmp_path / "page.html", sample=30, cache_dir=cache_root)


def test_stores_stand_beside_the_pixels_and_the_map_is_kept(tmp_path, cache_root, counting, monkeypatch):
    embed(cache_root)
    out = tmp_path / "page.html"
    explore("synthetic-binary", out=out, sample=40, cache_dir=cache_root)
    first = data_of(out)
    assert [space["name"] for space in first["spaces"]] == ["pixels", "counting"]
    assert len(list((cache_root / "synthetic-binary" / FOLDER).glob("*.npz"))) == 2
    monkeypatch.setattr("medfeat.workflows.maps.lay_out", None)  # nothing is laid out again
    explore("synthetic-binary", out=out, sample=40, cache_dir=cache_root)
    assert data_of(out)["spaces"] == first["spaces"]


def test_new_images_are_placed_and_old_ones_stay(tmp_path, cache_root):
    folder = own_images(tmp_path / "scans", [f"{kind}/{i}.png" for kind in "ab" for i in range(12)])
    explore(folder, out=tmp_path / "one.html", cache_dir=cache_root)
    own_images(folder, ["b/new.png"], seed=9)
    explore(folder, out=tmp_path / "two.html", cache_dir=cache_root)
    one, two = data_of(tmp_path / "one.html"), data_of(tmp_path / "two.html")
    assert two["n"] == one["n"] + 1
    assert "1 new image is placed" in two["spaces"][0]["notes"]["tsne2"]


def test_own_images_with_evil_names_and_a_bad_file(tmp_path, cache_root):
    kind = "<script>alert(1)<"
    names = [f"{kind}/it's {i}.png" for i in range(6)] + [f"$\\frac$/_{i}.png" for i in range(6)]
    folder = own_images(tmp_path / "scans", names)
    (folder / kind / "broken.png").write_bytes(b"no image")
    out = tmp_path / "page.html"
    explore(folder, out=out, cache_dir=cache_root)
    text = out.read_text(encoding="utf-8")
    assert "<script>alert" not in text and "broken.png" in text
    assert kind in data_of(out)["columns"][0]["values"]


def test_a_folder_without_labels_is_shown(tmp_path, cache_root):
    folder = own_images(tmp_path / "scans", [f"{i}.png" for i in range(9)])
    explore(folder, out=tmp_path / "page.html", cache_dir=cache_root)
    assert "all images" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_columns_of_the_user_colour_the_points(tmp_path, cache_root):
    lines = ["id,age,site", *(f"test/{i},{20 + i},{'north' if i % 2 else 'south'}" for i in range(160))]
    (tmp_path / "more.csv").write_text("\n".join(lines))
    out = tmp_path / "page.html"
    explore("synthetic-binary", out=out, columns=tmp_path / "more.csv", sample=200, cache_dir=cache_root)
    found = {column["name"]: column for column in data_of(out)["columns"]}
    assert found["age"]["kind"] == "number" and {"north", "south", "not known"} == set(found["site"]["values"])
    with pytest.raises(MissingFileError, match=r"nowhere\.csv"):
        explore("synthetic-binary", out=out, columns=tmp_path / "nowhere.csv", sample=30, cache_dir=cache_root)


def test_identical_images_across_splits_are_counted(tmp_path, cache_root):
    folder = own_images(tmp_path / "scans", [f"{part}/{kind}/{i}.png" for part in ("train", "val", "test")
                                             for kind in "ab" for i in range(4)])  # fmt: skip
    (folder / "test" / "a" / "copy.png").write_bytes((folder / "train" / "a" / "0.png").read_bytes())
    out = tmp_path / "page.html"
    explore(folder, out=out, cache_dir=cache_root)
    assert "1 image is in two splits" in out.read_text(encoding="utf-8")


def test_from_the_command_line(tmp_path, cache_root, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["explore", "-d", "synthetic-binary", "--sample", "30", "--cache-dir", str(cache_root)]) == 0
    assert "explore-synthetic-binary.html" in capsys.readouterr().out
    assert (tmp_path / "explore-synthetic-binary.html").is_file()
