"""Every new question from the command line: results on stdout, files where asked, one line for a mistake."""

from __future__ import annotations

import csv
import json

import pytest

from medfeat_cache import GroupSpec, StoreWriter, recipe_digest, store_path
from medfeat_cli.main import run

np = pytest.importorskip("numpy")
COUNTS = {"train": 90, "val": 45, "test": 60}


@pytest.fixture
def cache(cache_root):
    """Two backbones of one dataset, and one of another."""
    for dataset, backbone in (("blobs", "one"), ("blobs", "two"), ("spots", "one")):
        rng = np.random.default_rng(len(dataset + backbone))
        centres = np.random.default_rng(9).normal(size=(3, 8))
        recipe = {"dataset": dataset, "backbone": backbone, "size": 28, "pool": "avg", "precision": "fp32"}
        facts = {"name": dataset, "task": "multi-class", "classes": ["a", "b", "c"], "counts": COUNTS}
        path = store_path(cache_root, dataset, backbone, recipe_digest(recipe))
        with StoreWriter.open(path, recipe=recipe, info={"dataset": facts}, settings={}) as writer:
            ids = {group: [f"{group}/{i}" for i in range(n)] for group, n in COUNTS.items()}
            writer.groups({g: GroupSpec(names, np.arange(len(names))[:, None] % 3) for g, names in ids.items()})
            for group, n in COUNTS.items():
                X = (1.5 * centres[np.arange(n) % 3] + rng.normal(size=(n, 8))).astype(np.float32)
                hashes = rng.integers(0, 256, (n, 16), dtype=np.uint8)
                writer.write_rows(group, np.arange(n), X, hashes)
            writer.publish({})
    return cache_root


def call(capsys, cache, *words, code=0):
    assert run([*map(str, words), "--cache-dir", str(cache)]) == code
    return capsys.readouterr()


def as_json(capsys, cache, *words):
    return json.loads(call(capsys, cache, *words, "--json").out)


PROBE = ("probe", "-d", "blobs", "-b", "one")


def test_relabelled_classes_are_saved_by_name_and_found_again(capsys, cache):
    first = as_json(capsys, cache, *PROBE, "--relabel", "a,b=ill;c=well", "--name", "ill", "--resamples", 20)
    again = as_json(capsys, cache, *PROBE, "--task", "ill", "--resamples", 20)
    assert first["runs"][0]["task"]["classes"] == ["ill", "well"]
    assert again["reused"] == 1 and again["runs"][0]["key"] == first["runs"][0]["key"]


@pytest.mark.parametrize(("option", "classes"), [("--keep", "a,c"), ("--drop", "b")])
def test_classes_are_kept_or_dropped(capsys, cache, option, classes):
    report = as_json(capsys, cache, *PROBE, option, classes, "--resamples", 20)
    assert report["runs"][0]["task"]["classes"] == ["a", "c"]


def test_numbers_from_a_file_are_a_regression(capsys, cache, tmp_path):
    rows = [f"{group}/{i},{i % 3 + 0.25}" for group, n in COUNTS.items() for i in range(n)]
    (tmp_path / "ages.csv").write_text("\n".join(["id,age", *rows]))
    report = as_json(
        capsys, cache, *PROBE, "--labels", tmp_path / "ages.csv", "--task", "regression", "--resamples", 20
    )
    assert {one["head"] for one in report["runs"]} == {"ridge", "xgboost"}
    assert set(report["runs"][0]["test"]) >= {"r2", "mae", "rmse", "spearman"}


def test_few_shots_give_a_table_and_a_figure(capsys, cache, tmp_path):
    shots = ("--shots", "1,5,all", "--draws", 2, "--resamples", 20)
    shown = call(capsys, cache, *PROBE, *shots, "--figure", tmp_path / "curve.png")
    assert shown.out.count("\n") >= 4 and "over draws" in shown.out
    assert (tmp_path / "curve.png").stat().st_size > 5000 and "wrote" in shown.err


def test_backbones_are_fused(capsys, cache):
    report = as_json(capsys, cache, "probe", "-d", "blobs", "--fuse", "concat,average", "--resamples", 20)
    assert [way["name"] for way in report["ways"]] == ["one", "two", "concat of 2", "average of 2"]
    assert report["test"]["auc"]["value"] > 0.8


def test_a_head_is_tested_elsewhere(capsys, cache):
    words = (*PROBE, "--test-on", "spots", "--test-relabel", "c=well;a,b=ill", "--relabel", "a,b=ill;c=well")
    report = as_json(capsys, cache, *words, "--resamples", 20)
    assert report["transfers"][0]["elsewhere"]["auc"]["value"] > 0.8


def test_stored_images_are_labelled_into_a_csv(capsys, cache, tmp_path):
    made = as_json(capsys, cache, *PROBE, "--resamples", 20)["runs"][0]
    words = ("predict", "--run", made["key"][:12], "--data", "spots", "--error-rate", 0.2, "--out", tmp_path / "s.csv")
    shown = call(capsys, cache, *words)
    rows = list(csv.DictReader((tmp_path / "s.csv").read_text().splitlines()))
    assert len(rows) == sum(COUNTS.values()) and {row["abstain"] for row in rows} <= {"0", "1"}
    assert "calibrated on 135 train and val samples, each by a fold that left it out" in shown.out


def test_the_nearest_stored_images_are_shown(capsys, cache):
    report = as_json(capsys, cache, "search", "-d", "blobs", "-b", "one", "--id", "test/3", "-k", 4)
    assert len(report["hits"]) == 4 and report["hits"][0]["label"] in "abc"


def test_an_audit_writes_its_files(capsys, cache, tmp_path):
    shown = call(capsys, cache, "audit", "-d", "blobs", "-b", "one", "--threshold", 0.9999, "--out", tmp_path / "audit")
    assert {path.name for path in (tmp_path / "audit").iterdir()} == {"duplicates.csv", "label_errors.csv"}
    assert "images that are there twice" in shown.out


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        ((*PROBE, "--relabel", "a=x"), "must be like", 2),
        ((*PROBE, "--task", "nonesuch"), "there is no task 'nonesuch'", 1),
        ((*PROBE, "--labels", "nonesuch.csv"), "there is no file nonesuch.csv", 1),
        ((*PROBE, "--shots", "1", "--fuse", "concat"), "exclude each other", 2),
        ((*PROBE, "--shots", "none"), "--shots must be whole numbers", 2),
        ((*PROBE, "--test-on", "nowhere"), "no store of nowhere x one", 2),
        (("predict", "--run", "abc", "--data", "blobs"), "no run begins with 'abc'", 2),
        (("search", "-d", "blobs", "-b", "one"), "either --image FILE or --id ID", 2),
        (("audit", "-d", "blobs", "-b", "one", "--threshold", "3"), "between -1 and 1", 2),
    ],
)
def test_a_mistake_is_one_line_on_stderr(capsys, cache, words, said, code):
    shown = call(capsys, cache, *words, code=code)
    assert said in shown.err and shown.out == ""
    assert len([line for line in shown.err.splitlines() if line.startswith("medfeat:")]) == 1
