"""What installed packages bring is found by its name, from both doors, and a broken one harms nobody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from installing import forget, install
from medfeat.backbones import BACKBONES, backbone_names, load_backbone
from medfeat.datasets import DATASETS, dataset_names, open_dataset
from medfeat.errors import DataError, PluginError, UsageError
from medfeat.evaluation.runs.saved_probe import load_probe
from medfeat.heads import HEADS, all_heads
from medfeat.registry import Registry
from medfeat.workflows import cache
from medfeat.workflows.doctor import doctor
from medfeat.workflows.extract import extract
from medfeat.workflows.listing import listing
from medfeat.workflows.predict import predict
from medfeat.workflows.probe import probe
from medfeat_cache import FeatureStore
from medfeat_cli.main import run

QUICK = {"resamples": 20}
BROKEN = {
    "medfeat.heads": {"torn": "brokenpkg.missing:Head", "empty": "brokenpkg:NOTHING", "headless": "brokenpkg:Headless"},
    "medfeat.backbones": {"torn": "brokenpkg.missing:build", "number": "brokenpkg:NOTHING"},
    "medfeat.datasets": {"torn": "brokenpkg.missing:open", "leaves": "brokenpkg:leave"},
}
CODE = "import sys\nNOTHING = 3\nclass Headless: pass\ndef leave(): sys.exit('left\\nfor good')\n"


@pytest.fixture
def clinic(clinic_site, monkeypatch):
    monkeypatch.syspath_prepend(str(clinic_site))
    yield clinic_site
    forget("clinic")


@pytest.fixture
def broken(tmp_path, monkeypatch):
    folder = install(tmp_path / "broken", "brokenpkg", {"brokenpkg/__init__.py": CODE}, BROKEN)
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    forget("brokenpkg")


@pytest.fixture
def embedded(clinic, cache_root):
    return extract("rings", "edges", device="cpu", cache_dir=cache_root).stores[0].path


def test_all_three_are_listed_and_found(clinic):
    assert "centroid" in HEADS and "edges" in BACKBONES and "rings" in DATASETS
    assert "edges" in backbone_names() and "rings" in dataset_names() and "centroid" in all_heads()
    assert ("centroid", "The mean embedding of each class, three temperatures.") in listing("heads").rows
    assert any(row[0] == "edges" for row in listing("backbones").rows)
    assert any(row[0] == "rings" and row[4] == "60/30/30" for row in listing("datasets").rows)


def test_names_are_completed_without_importing_the_package(clinic):
    from medfeat_cli.commands.probe import _heads
    from medfeat_cli.options import _backbones, _datasets

    assert (_heads("cen"), _backbones("edg"), _datasets("rin")) == (["centroid"], ["edges"], ["rings"])
    assert not any(name.startswith("clinic") for name in sys.modules)


def test_a_built_in_name_is_found_without_looking_at_packages(monkeypatch):
    monkeypatch.setattr("medfeat.registry.plugins", lambda group: pytest.fail(f"{group} was looked at"))
    assert HEADS["linear"] and BACKBONES["resnet18"] and DATASETS["bloodmnist"]
    assert open_dataset("synthetic").info.name == "synthetic"


def test_the_pooling_that_is_declared_is_applied(embedded):
    network = load_backbone("edges").module.network
    with FeatureStore(embedded) as store:
        assert (store.dim, store.recipe["pool"]) == (8, "avg")
        stored = np.asarray(store.embeddings("test"))
    import torch

    from medfeat.backbones import describe
    from medfeat.extraction.network.preprocess import Preprocess

    images = next(open_dataset("rings").batches("test", 30)).images
    with torch.no_grad():
        maps = network(Preprocess(describe("edges"))(torch.from_numpy(images)))
    np.testing.assert_allclose(stored, maps.mean((2, 3)).numpy(), rtol=1e-5, atol=1e-6)


def test_probe_predict_and_refit_work_and_the_head_loads_again(embedded, cache_root):
    options = {"head": "centroid", "cache_dir": cache_root, **QUICK}
    made = probe("rings", "edges", **options).runs[0]
    assert made.test.auc.value > 0.8
    assert load_probe(made.folder).model.__class__.__name__ == "Centroids"
    labelled = predict(made.key, "rings", cache_dir=cache_root)
    cached = predict(made.key, data="rings", cache_dir=cache_root)
    np.testing.assert_array_equal(labelled.scores, cached.scores)
    again = probe("rings", "edges", refit=True, **options).runs[0]
    assert "refitted on train+val" in again.choice["rule"]


def damage(path):
    """Change one row of val; returns the rows as they were."""
    import h5py

    with FeatureStore(path) as store:
        whole = np.array(store.embeddings("val"))
    with h5py.File(path, "r+") as file:
        name = next(n for n in _datasets_of(file) if "val" in n and "embed" in n)
        rows = file[name][...]
        rows[3] += 1
        file[name][...] = rows
    return whole


def test_a_damaged_store_of_a_package_is_repaired_byte_for_byte(embedded):
    whole = damage(embedded)
    assert cache.verify([embedded])[0].state == "damaged"
    repaired = cache.repair(embedded)
    assert repaired.ok and repaired.exact
    with FeatureStore(embedded) as store:
        np.testing.assert_array_equal(np.array(store.embeddings("val")), whole)


def _datasets_of(file):
    import h5py

    names = []
    file.visititems(lambda name, kind: names.append(name) if isinstance(kind, h5py.Dataset) else None)
    return names


def test_commands_take_them_from_extract_to_repair(clinic, cache_root, tmp_path, capsys):
    at = ["--cache-dir", str(cache_root)]
    pair = ["--data", "rings", "--backbone", "edges"]
    assert run(["extract", *pair, "--device", "cpu", *at]) == 0
    assert run(["probe", *pair, "--head", "centroid", "--refit", *at, "--json"]) == 0
    shown = capsys.readouterr().out
    [made] = json.loads(shown[shown.index("{") :])["runs"]
    assert (made["head"], made["backbone"], made["dataset"]) == ("centroid", "edges", "rings")
    csv = tmp_path / "labels.csv"
    assert run(["predict", "--run", made["key"], "--images", "rings", "--out", str(csv), *at]) == 0
    assert len(csv.read_text().splitlines()) == 1 + 120
    [path] = [header.path for header in cache.list_stores(data="rings", cache_dir=cache_root)]
    whole = damage(path)
    assert run(["cache", "verify", *at]) == 1
    assert run(["cache", "repair", path.stem, *at]) == 0
    assert run(["cache", "verify", "--canary", *at]) == 0
    with FeatureStore(path) as store:
        np.testing.assert_array_equal(np.array(store.embeddings("val")), whole)


def test_the_command_line_finds_them_in_a_process_of_its_own(clinic):
    paths = os.pathsep.join([str(clinic), *sys.path])
    command = [sys.executable, "-m", "medfeat", "list", "heads", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": paths})
    assert "centroid" in [row["name"] for row in json.loads(done.stdout)["rows"]]


def test_a_run_whose_package_is_gone_says_so(embedded, cache_root, monkeypatch, clinic):
    made = probe("rings", "edges", head="centroid", cache_dir=cache_root, **QUICK).runs[0]
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(clinic)])
    with pytest.raises(DataError, match="made by the head 'centroid': install the package"):
        load_probe(made.folder)


@pytest.mark.parametrize(
    ("registry", "name", "said"),
    [
        (HEADS, "torn", "No module named"),
        (HEADS, "empty", "names a int"),
        (HEADS, "headless", "no method candidates"),
        (BACKBONES, "number", "not an Entry"),
        (DATASETS, "leaves", "SystemExit: left for good"),
    ],
)
def test_a_broken_plugin_is_one_line_that_names_its_package(broken, registry, name, said):
    with pytest.raises(PluginError, match=f"brokenpkg 1.0.*{said}") as caught:
        registry[name]
    assert "\n" not in str(caught.value)


def test_broken_plugins_do_not_harm_what_is_built_in(broken, capsys, make_store, cache_root):
    make_store(n=(40, 20, 20))
    assert run(["list", "heads"]) == 0
    shown = capsys.readouterr()
    assert "linear" in shown.out and "Traceback" not in shown.err
    assert sum("brokenpkg" in line for line in shown.err.splitlines()) == 3
    report = probe(head="all", cache_dir=cache_root, **QUICK)
    assert {"linear", "knn"} <= {one.head for one in report.runs}
    assert sum("left out" in note and "brokenpkg" in note for note in report.notes) == 3
    assert not report.failed


def test_asking_for_a_broken_plugin_is_one_line(broken, capsys, make_store, cache_root):
    make_store(n=(40, 20, 20))
    assert run(["probe", "--head", "torn", "--cache-dir", str(cache_root)]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_doctor_says_whose_plugins_are_whole_and_whose_are_not(clinic, broken):
    checks = {check.name: check for check in doctor(offline=True).checks}
    assert (checks["head centroid"].state, checks["head centroid"].found) == ("ok", "brought by clinic 1.0")
    assert checks["head torn"].state == "problem" and "uninstall brokenpkg" in checks["head torn"].advice
    assert checks["backbone edges"].state == "ok"


def test_a_name_two_packages_claim_is_refused_and_one_that_is_built_in_stays_so(tmp_path, monkeypatch, clinic):
    code = {"other/__init__.py": "def made(): raise RuntimeError\n"}
    points = {"medfeat.heads": {"centroid": "other:made", "linear": "other:made"}}
    monkeypatch.syspath_prepend(str(install(tmp_path / "other", "other", code, points)))
    with pytest.raises(PluginError, match=r"brought by (other 1.0 and clinic|clinic 1.0 and other) 1.0: uninstall one"):
        HEADS["centroid"]
    assert type(HEADS["linear"]()).__module__ == "medfeat.heads.linear"
    assert HEADS.hidden() == {"linear": "other 1.0"}


def test_metadata_that_cannot_be_read_is_passed_over(tmp_path, monkeypatch, clinic):
    odd = tmp_path / "odd"
    (odd / "odd-1.0.dist-info").mkdir(parents=True)
    (odd / "odd-1.0.dist-info" / "entry_points.txt").write_text("[medfeat.heads]\nno equals sign\n")
    monkeypatch.syspath_prepend(str(odd))
    assert "centroid" in HEADS


def test_a_lazy_head_of_a_package_is_imported_when_it_is_asked_for(tmp_path, monkeypatch):
    code = {
        "lazypkg/__init__.py": "from medfeat.extend import LazyHead\n"
        "HEAD = LazyHead('medfeat.heads.majority:MajorityHead', 'the most frequent class')\n"
    }
    monkeypatch.syspath_prepend(
        str(install(tmp_path / "lazy", "lazypkg", code, {"medfeat.heads": {"frequent": "lazypkg:HEAD"}}))
    )
    try:
        assert HEADS["frequent"]().name == "majority"
        assert ("frequent", "the most frequent class") in listing("heads").rows
    finally:
        forget("lazypkg")


def test_a_dataset_class_is_taken_as_it_is(tmp_path, monkeypatch, clinic):
    code = {
        "setpkg/__init__.py": "from clinic.datasets import Rings\n"
        "class Named(Rings):\n    def __init__(self):\n        super().__init__(28, None)\n"
    }
    points = {"medfeat.datasets": {"rings2": "setpkg:Named"}}
    monkeypatch.syspath_prepend(str(install(tmp_path / "set", "setpkg", code, points)))
    try:
        assert DATASETS["rings2"].counts == {"train": 60, "val": 30, "test": 30}
        with pytest.raises(DataError, match="rings2 calls itself rings"):
            open_dataset("rings2")
    finally:
        forget("setpkg")


def test_a_dataset_that_says_nothing_of_its_source_has_versions_like_any_of_ones_own(clinic, monkeypatch, cache_root):
    from clinic import datasets as brought

    said = brought.DatasetInfo
    monkeypatch.setattr(brought, "DatasetInfo", lambda source, **facts: said(**facts))
    extract("rings", "stats", cache_dir=cache_root)
    monkeypatch.setattr(brought, "draw", lambda size, row: np.full((size, size), row, np.uint8))
    extract("rings", "stats", cache_dir=cache_root)
    assert len({header.digest for header in cache.list_stores(data="rings@1", cache_dir=cache_root)}) == 1
    assert len(cache.list_stores(data="rings@2", cache_dir=cache_root)) == 1
    monkeypatch.setattr(brought, "DatasetInfo", lambda source, **facts: said(source="medmnist", **facts))
    with pytest.raises(DataError, match="rings calls its source medmnist, which it is not"):
        open_dataset("rings")


def test_an_unknown_name_still_names_what_is_close(clinic):
    with pytest.raises(UsageError, match="did you mean centroid"):
        HEADS["centroids"]


def test_a_registry_without_a_group_knows_its_own_alone():
    registry: Registry[int] = Registry("number")
    registry.add("one", 1)
    assert list(registry) == ["one"] and len(registry) == 1 and registry.problems() == {}


def test_the_contract_is_in_one_light_file():
    code = "import sys, medfeat.extend as e\nprint(sorted(set(e.__all__) - set(dir(e)) - {'backbone_from'}))\n"
    code += "print([n for n in ('torch', 'sklearn', 'PIL', 'medmnist') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "[]"]
    assert Path(__file__).parents[2].joinpath("docs", "extend.md").read_text().count("from medfeat.extend import") == 4


def test_of_two_packages_of_one_name_the_first_on_the_path_counts(tmp_path, monkeypatch):
    old = install(tmp_path / "old", "twicepkg", {}, {"medfeat.heads": {"ancient": "twicepkg:made"}})
    new = install(tmp_path / "new", "twicepkg", {}, {"medfeat.heads": {"modern": "twicepkg:made"}})
    monkeypatch.syspath_prepend(str(old))
    assert "ancient" in HEADS
    monkeypatch.syspath_prepend(str(new))
    assert "modern" in HEADS and "ancient" not in HEADS
