"""The shipped table of MedMNIST says what the medmnist package says."""

import importlib.util
import json
from pathlib import Path

import pytest

from medfeat.datasets import medmnist_table
from medfeat.datasets.medmnist_table import medmnist_sets, table_from
from medfeat.types import TASK_TYPES


@pytest.fixture
def official_info(monkeypatch, tmp_path):
    """`medmnist.INFO`, read without importing the package, which would import torch and write into the home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    package = importlib.util.find_spec("medmnist")
    spec = importlib.util.spec_from_file_location("medmnist_info_alone", Path(package.origin).with_name("info.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.INFO


def test_the_table_is_what_the_package_generates(official_info):
    shipped = json.loads(Path(medmnist_table.__file__).with_name(medmnist_table.TABLE).read_text(encoding="utf-8"))
    assert shipped == table_from(official_info)


def test_every_fact_equals_the_packages_own(official_info):
    assert list(medmnist_sets()) == list(official_info)
    for name, facts in medmnist_sets().items():
        official = official_info[name]
        assert facts.task == official["task"].replace("multi-label, binary-class", "multi-label")
        assert facts.classes == tuple(official["label"].values())
        assert facts.channels == official["n_channels"]
        assert dict(facts.counts) == official["n_samples"]
        assert facts.licence == official["license"]
        for size, file in facts.files.items():
            suffix = "" if size == 28 else f"_{size}"
            assert (file.url, file.md5) == (official[f"url{suffix}"], official[f"MD5{suffix}"])
            assert file.filename == f"{name}{suffix}.npz"
            assert file.filename in file.url


def test_18_sets_at_all_sizes():
    assert len(medmnist_sets()) == 18
    for facts in medmnist_sets().values():
        assert tuple(facts.files) == ((28, 64) if facts.ndim == 3 else (28, 64, 128, 224))
        assert facts.task in TASK_TYPES


def test_a_task_name_medfeat_does_not_know_is_refused(official_info):
    changed = {"breastmnist": {**official_info["breastmnist"], "task": "segmentation"}}
    with pytest.raises(ValueError, match="segmentation"):
        table_from(changed)
