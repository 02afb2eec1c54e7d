"""The page of a dataset: every task type, with and without pictures, stores and labels; maps are kept and grow."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from medfeat.datasets.medmnist_table import medmnist_sets
from medfeat.errors import DataError, MissingFileError, UsageError
from medfeat.report.page.explore_figures import _figures
from medfeat.workflows.explore import explore
from medfeat.workflows.extract import extract
from medfeat.workflows.looking.listed import read_columns
from medfeat.workflows.looking.maps import FOLDER
from medfeat_cli.main import run

from .embedded import embed

SETS = ("synthetic", "synthetic-binary", "synthetic-multilabel", "synthetic-ordinal", "synthetic-3d")


@pytest.fixture(autouse=True)
def quick_maps(monkeypatch):
    """Lay maps out in few steps: what a map is worth is asked in tests of its own."""
    monkeypatch.setattr("medfeat.evaluation.looking.projection.EARLY", 25)
    monkeypatch.setattr("medfeat.evaluation.looking.projection.LATE", 25)


def data_of(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="map-data">(.*?)</script>', text, re.DOTALL)[1])


def where(data):
    """Return where the images lie on the first map, in two dimensions."""
    packed = data["spaces"][0]["maps"]["tsne2"]
    return np.frombuffer(base64.b64decode(packed), "<u2").reshape(-1, 2) / 65000


def own_images(folder, names, seed=0):
    rng = np.random.default_rng(seed)
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (12, 12), dtype=np.uint8)).save(path)
    return folder


PLOTS = {
    "class-counts", "montage", "mean-images", "spread-images", "pixel-histogram", "mean-pixel-values",
    *(f"{kind}-{dims}d-pixels" for kind in ("pca", "tsne") for dims in (2, 3)),
}  # fmt: skip


@pytest.fixture
def drawn(monkeypatch):
    """The figures that would be written, by name: writing them takes long, and is tested once."""
    found = {}
    monkeypatch.setattr(
        "medfeat.workflows.explore.write_figures", lambda shown, *_: found.update(_figures(shown)) or ()
    )
    return found


@pytest.mark.parametrize("name", SETS)
def test_every_task_type_has_every_plot_of_the_course(name, tmp_path, cache_root, drawn):
    out = tmp_path / "page.html"
    report = explore(name, out=out, figures=tmp_path, sample=40, cache_dir=cache_root)
    assert set(drawn) == PLOTS
    text = out.read_text(encoding="utf-8")
    assert text.count("<svg") == 3 and "This page contains pictures" in text
    data = data_of(out)
    assert data["n"] == report.looked_at == 40 and set(data["spaces"][0]["maps"]) == {"pca", "tsne2", "tsne3"}


def test_figures_are_files_for_papers(tmp_path, cache_root):
    report = explore(
        "synthetic-binary", out=tmp_path / "page.html", figures=tmp_path / "figures", sample=20, cache_dir=cache_root
    )
    assert {path.name for path in report.figures} == {f"{plot}.{form}" for plot in PLOTS for form in ("png", "svg")}
    for path in report.figures:
        assert path.read_bytes().startswith(b"\x89PNG" if path.suffix == ".png" else b"<?xml")


@pytest.mark.parametrize("name", sorted(medmnist_sets()))
def test_every_official_set_has_every_plot_of_the_course(name, tmp_path, cache_root, official_form, drawn):
    official_form(name)
    out = tmp_path / "page.html"
    explore(name, out=out, figures=tmp_path, data_root=tmp_path, offline=True, cache_dir=cache_root)
    assert set(drawn) == PLOTS
    data = data_of(out)
    assert data["n"] == 18 and len(data["thumbs"]["sheets"]) == 1
    assert data["thumbs"]["width"] == (3 if name.endswith("3d") else 1) * data["thumbs"]["height"]


@pytest.fixture
def official_form(monkeypatch, tmp_path):
    """Put a small file of the form of an official set in its place, known by its own MD5."""
    counts = {"train": 10, "val": 4, "test": 4}

    def put(name):
        facts, rng = medmnist_sets()[name], np.random.default_rng(0)
        shape = (28,) * facts.ndim + ((3,) if facts.channels == 3 else ())
        many = facts.task == "multi-label"
        arrays = {}
        for group, n in counts.items():
            arrays[f"{group}_images"] = rng.integers(0, 256, (n, *shape), np.uint8)
            arrays[f"{group}_labels"] = rng.integers(0, 2, (n, len(facts.classes) if many else 1)).astype(np.uint8)
        path = tmp_path / facts.files[28].filename
        np.savez(path, **arrays)
        files = {**facts.files, 28: replace(facts.files[28], md5=hashlib.md5(path.read_bytes()).hexdigest())}
        known = {name: replace(facts, files=files, counts=counts)}
        monkeypatch.setattr("medfeat.datasets.medmnist.medmnist_sets", lambda: known)

    return put


def test_without_pictures_none_is_in_the_page(tmp_path, cache_root):
    out = tmp_path / "page.html"
    explore("synthetic-binary", out=out, sample=30, images=False, cache_dir=cache_root)
    text = out.read_text(encoding="utf-8")
    assert "data:image" not in text and "This page contains pictures" not in text
    assert "thumbs" not in data_of(out)


def test_a_backbone_without_a_store_names_the_command(tmp_path, cache_root):
    with pytest.raises(UsageError, match="medfeat extract --data synthetic-binary --backbone resnet18"):
        explore("synthetic-binary", backbone="resnet18", out=tmp_path / "page.html", sample=30, cache_dir=cache_root)


def test_stores_stand_beside_the_pixels_and_the_map_is_kept(tmp_path, cache_root, counting, monkeypatch):
    embed(cache_root)
    out = tmp_path / "page.html"
    explore("synthetic-binary", out=out, sample=40, cache_dir=cache_root)
    first = data_of(out)
    assert [space["name"] for space in first["spaces"]] == ["pixels", "counting"]
    assert len(list((cache_root / "synthetic-binary" / FOLDER).glob("*.npz"))) == 2
    monkeypatch.setattr("medfeat.workflows.looking.maps.lay_out", None)  # nothing is laid out again
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
    assert (
        len(list((cache_root / "scans" / FOLDER).glob("*.npz"))) == 1
    )  # the larger map is kept in place of the smaller
    old, new = (dict(zip(found["ids"], where(found), strict=True)) for found in (one, two))
    shift = np.mean([np.subtract(new[name], at) for name, at in old.items()], axis=0)
    assert all(np.allclose(np.subtract(new[name], at), shift, atol=1e-3) for name, at in old.items())


def test_images_that_changed_since_they_were_embedded_are_told_of(tmp_path, cache_root):
    folder = own_images(tmp_path / "scans", [f"{kind}/{i}.png" for kind in "ab" for i in range(8)])
    extract(folder, "stats", cache_dir=cache_root, device="cpu")
    shutil.copy(folder / "a" / "0.png", folder / "b" / "0.png")
    explore(folder, backbone="stats", out=tmp_path / "page.html", cache_dir=cache_root)
    notes = data_of(tmp_path / "page.html")["spaces"][1]["notes"]
    assert "1 image had other pixels when it was embedded" in notes["pca"]


def test_patients_and_identifiers_are_replaced_unless_asked_for(tmp_path, cache_root):
    folder = own_images(tmp_path / "scans", [f"{i}.png" for i in range(12)])
    lines = ["path,label,patient", *(f"{i}.png,{'ab'[i % 2]},DOE^{'JANE' if i < 6 else 'JOHN'}" for i in range(12))]
    (folder / "labels.csv").write_text("\n".join(lines))
    options = {"patient_column": "patient", "cache_dir": cache_root}
    explore(folder / "labels.csv", out=tmp_path / "hidden.html", **options)
    explore(folder / "labels.csv", out=tmp_path / "shown.html", identifiers=True, **options)
    assert "DOE" not in (tmp_path / "hidden.html").read_text(encoding="utf-8")
    assert "DOE^JANE" in (tmp_path / "shown.html").read_text(encoding="utf-8")


def test_a_cache_that_cannot_be_written_is_no_hindrance(tmp_path, cache_root, monkeypatch):
    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr("medfeat.workflows.looking.maps.write_whole", full)
    report = explore("synthetic-binary", out=tmp_path / "page.html", sample=30, cache_dir=cache_root)
    assert report.out.is_file()


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
    (tmp_path / "other.csv").write_text("id,age\nTEST-7.png,20\n")
    with pytest.raises(DataError, match=r"other\.csv: none of its 1 ids is .* 'TEST-7.png': did you mean test/7"):
        read_columns(tmp_path / "other.csv", np.array(["test/7", "test/8"]))


def test_a_table_of_columns_that_is_not_there_is_told_before_anything_is_opened(tmp_path, cache_root, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clinic.csv").write_text("id,hospital\n")
    with pytest.raises(MissingFileError, match=r"no file hospital: --columns takes a CSV .*; here lie clinic\.csv"):
        explore("nothing that there is", columns="hospital", cache_dir=cache_root)


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
