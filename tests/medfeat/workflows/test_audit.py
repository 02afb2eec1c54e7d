"""`audit`: planted duplicates and planted label errors are found, and how well is stated as numbers."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest

from medfeat.datasets.made_up.synthetic import draw_synthetic
from medfeat.errors import DataError, UsageError
from medfeat.evaluation.audit import nearest
from medfeat.evaluation.audit.duplicates import Calibration, Pair
from medfeat.evaluation.audit.label_errors import LabelError
from medfeat.tasks.folds import draw_folds
from medfeat.types import Task
from medfeat.workflows import audit as audit_workflow
from medfeat.workflows.audit import audit
from medfeat.workflows.auditing.audit_report import AuditReport
from medfeat.workflows.auditing.copies import COPIES
from medfeat.workflows.probe import probe
from medfeat_cache import FeatureStore

from .embedded import QUICK, embed, export_images, plant

SIZES = {"train": 200, "val": 60, "test": 100}
EACH = 6


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """Images of which 30 of test are also in train: as they are, shifted, brighter, darker, compressed again."""
    folder = tmp_path_factory.mktemp("copied")
    drawn = draw_synthetic("synthetic-binary")
    arrays = {f"{g}_{what}": drawn[f"{g}_{what}"][:n].copy() for g, n in SIZES.items() for what in ("images", "labels")}
    planted = []
    for number, (kind, change) in enumerate({"exact": lambda image: image, **COPIES}.items()):
        for i in range(EACH):
            source, place = 7 * (EACH * number + i) % 200, EACH * number + i
            arrays["test_images"][place] = change(arrays["train_images"][source])
            arrays["test_labels"][place] = arrays["train_labels"][source]
            planted.append((f"train/{source}", f"test/{place}", kind))
    np.savez(folder / "copied.npz", **arrays)
    embed(folder, data=str(folder / "copied.npz"), backbone="pixels")
    return (
        folder,
        planted,
        audit("copied", "pixels", cache_dir=folder, out=folder / "audit", device="cpu", resamples=20),
    )


def test_planted_duplicates_across_splits_are_found(copied):
    _, planted, report = copied
    found = {(pair.first, pair.second): pair for pair in report.pairs}
    hits = {kind: sum((a, b) in found for a, b, other in planted if other == kind) for *_, kind in planted}
    recall, precision = sum(hits.values()) / len(planted), sum(hits.values()) / len(found)
    assert recall >= 0.95, hits
    assert precision >= 0.95
    assert hits["exact"] == EACH
    assert all(
        found[a, b].kind == ("exact" if kind == "exact" else "near") for a, b, kind in planted if (a, b) in found
    )
    assert all(pair.across and pair.same_label for pair in found.values())


def test_the_threshold_and_what_it_finds_of_each_kind_of_copy_is_stated(copied):
    _, _, report = copied
    assert report.embedded == report.calibration.copies == 4 * 64
    assert set(report.calibration.found) == set(COPIES)
    assert min(report.calibration.found.values()) > 0.9
    notes = " ".join(report.tables()[0].notes)
    assert f"at least {report.calibration.threshold:.4f}" in notes and "augmented copies" in notes


def test_the_score_is_told_without_the_duplicates(copied):
    folder, planted, report = copied
    run = probe("copied", head="linear", cache_dir=folder, **QUICK).runs[0]
    assert report.before == run.test
    assert report.removed == len({b for _, b, _ in planted} & {p.second for p in report.pairs}) > 25
    assert report.after.n == SIZES["test"] - report.removed


def test_everything_is_in_csv_files_in_the_json_and_in_the_tables(copied):
    folder, _, report = copied
    rows = list(csv.DictReader((folder / "audit" / "duplicates.csv").read_text().splitlines()))
    assert len(rows) == len(report.pairs) and rows[0]["across"] == "True"
    errors = list(csv.DictReader((folder / "audit" / "label_errors.csv").read_text().splitlines()))
    assert [row["id"] for row in errors] == [error.id for error in report.label_errors]
    facts = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert len(facts["duplicates"]) == len(report.pairs)
    assert len(report.tables()) == 3
    assert list(folder.glob("runs/copied/audit-*.json"))


def test_a_given_threshold_needs_no_image_and_no_network(counting, cache_root):
    embed(cache_root)
    before = counting.images
    report = audit("synthetic-binary", "counting", threshold=0.999999, cache_dir=cache_root, resamples=20)
    assert counting.images == before and report.embedded == 0
    assert report.calibration.detail is None
    assert "not looked at" in report.tables()[0].notes[0]


def test_only_copies_go_through_the_network(counting, cache_root):
    embed(cache_root)
    before = counting.images
    report = audit("synthetic-binary", "counting", sample=8, cache_dir=cache_root, device="cpu", resamples=20)
    assert report.embedded == 32
    assert counting.images - before == 4 * 16, "four kinds of copy, a padded batch each"


def test_planted_label_errors_are_found(cache_root):
    flipped = []

    def flip(group, X, y):
        wrong = np.random.default_rng(len(group)).choice(len(y), len(y) // 20, replace=False)
        y = y.copy()
        y[wrong] = (y[wrong] + 1) % 3
        flipped.extend(f"{group}/{i}" for i in wrong)
        return X, y

    plant(cache_root, counts={"train": 600, "val": 200, "test": 400}, signal=3.0, rows=flip)
    report = audit("planted", "fake", threshold=1.0, cache_dir=cache_root, resamples=20)
    found = [error.id for error in report.label_errors]
    assert len(set(found) & set(flipped)) / len(flipped) >= 0.75, "recall"
    assert len(set(found) & set(flipped)) / len(found) >= 0.95, "precision"
    first = report.label_errors[0]
    assert first.label != first.suggested and first.margin > 0.5
    assert "left out, 9" in " ".join(report.tables()[0].notes)
    (table,) = (one for one in report.tables() if "label errors" in one.title)
    assert "by cross-validated scores: look at each before changing a label" in table.notes


@pytest.mark.parametrize(("doubted", "said"), [(20, []), (21, ["1 more in label_errors.csv and --json"])])
def test_doubted_labels_that_are_not_shown_are_counted(doubted, said):
    errors = tuple(LabelError(f"i{n}", "train", "a", "b", 0.1, 0.8) for n in range(doubted))
    report = AuditReport(
        "set", "net", (), Calibration(1.0, None), 0, task="official", task_type="multi-class", label_errors=errors
    )
    (table,) = (one for one in report.tables() if "label errors" in one.title)
    assert len(table.rows) == 20 and [line for line in table.notes if "more in" in line] == said


def test_what_is_not_known_of_a_pair_is_an_empty_cell(tmp_path):
    pair = Pair("a", "b", "train", "test", "near", 0.75, math.nan, None)
    AuditReport("set", "net", (pair,), Calibration(1.0, None), 0).write(tmp_path)
    head, row = csv.reader((tmp_path / "duplicates.csv").read_text().splitlines())
    assert dict(zip(head, row, strict=True)) == {
        "first": "a", "second": "b", "split_first": "train", "split_second": "test", "kind": "near", "cosine": "0.75",
        "detail": "", "same_label": "", "across": "True",
    }  # fmt: skip


def test_what_belongs_together_is_in_one_fold():
    ids = np.array([f"i{i}" for i in range(60)])
    labels = (np.arange(60) % 3)[:, None]
    task = Task("t", "multi-class", ("a", "b", "c"), ids, labels, np.full(60, "train"))
    together = np.array([f"p{i // 6}" for i in range(60)])
    folds = draw_folds(task.labels, task.ids, together, folds=5, seed=0)
    assert all(len(set(folds[together == name])) == 1 for name in together)
    alone = draw_folds(task.labels, task.ids, None, folds=5, seed=0)
    assert (np.array([[((labels[:, 0] == c) & (alone == f)).sum() for c in range(3)] for f in range(5)]) == 4).all()


def test_images_that_are_gone_leave_exact_duplicates_and_a_word(counting, cache_root, tmp_path):
    folder = export_images(tmp_path / "mine")
    (folder / "copy.png").write_bytes((folder / "00000.png").read_bytes())
    embed(cache_root, data=str(folder))
    for image in folder.iterdir():
        image.unlink()
    report = audit("mine", "counting", cache_dir=cache_root)
    assert [(pair.first, pair.second, pair.kind) for pair in report.pairs] == [("00000.png", "copy.png", "exact")]
    assert "cannot be opened" in report.notes[0] and report.before is None
    assert not any("at least 1.0000" in note for note in report.tables()[0].notes)
    assert report.to_dict()["test"] is None and report.to_dict()["removed"] == 0


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"threshold": 2}, UsageError, "cosine between -1 and 1, got 2"),
        ({"labels": "nonesuch.csv"}, Exception, "there is no file"),
        ({"size": 64}, UsageError, "no store of planted x fake"),
        ({"head": "ridge"}, DataError, "the ridge head learns regression"),
    ],
)
def test_audits_that_cannot_be_meant_are_one_line(cache_root, options, error, said):
    plant(cache_root, counts=SIZES)
    with pytest.raises(error, match=said):
        audit("planted", "fake", cache_dir=cache_root, **options)


def test_offline_reaches_the_images_that_are_opened_again(cache_root, monkeypatch):
    from medfeat.workflows.asking.data_options import DataOptions

    embed(cache_root, backbone="stats")
    asked, opened = [], DataOptions.open

    def opening(self, *args, **options):
        asked.append(self.offline)
        return opened(self, *args, **options)

    monkeypatch.setattr(DataOptions, "open", opening)
    for offline in (True, False):
        audit("synthetic-binary", "stats", sample=2, offline=offline, cache_dir=cache_root, **QUICK)
    assert asked == [True, False]


@pytest.mark.parametrize("side", [5, 4096])
@pytest.mark.parametrize("threshold", [-1.0, 0.3])
def test_near_pairs_are_those_of_every_two_rows(tmp_path, monkeypatch, side, threshold):
    """Tiles are multiplied once and serve the rows of both sides."""
    monkeypatch.setattr(nearest, "SIDE", side)
    with FeatureStore(plant(tmp_path, counts={"train": 23, "val": 4, "test": 9})) as store:
        X = np.concatenate([store.read(group) for group in store.groups]).astype(np.float64)
        cosine = X @ X.T / np.outer(*[np.linalg.norm(X, axis=1)] * 2)
        np.fill_diagonal(cosine, -2)
        expected = set()
        for row, order in enumerate(np.argsort(-cosine, axis=1)[:, :3]):
            expected |= {(min(row, int(c)), max(row, int(c))) for c in order if cosine[row, c] >= threshold}
        found = nearest.near_pairs(store, threshold, most=3)
    assert set(zip(found.first.tolist(), found.second.tolist(), strict=True)) == expected
    assert np.allclose(found.cosine, cosine[found.first, found.second], atol=1e-6)


def test_more_pairs_than_are_looked_at_are_said(tmp_path, monkeypatch):
    plant(tmp_path, counts={"train": 30, "val": 10, "test": 10})
    asked = {"threshold": 0.8, "head": "linear", "resamples": 20, "cache_dir": tmp_path}
    whole = audit("planted", "fake", **asked)
    cosines = sorted((pair.cosine for pair in whole.pairs), reverse=True)
    assert len(cosines) > 4 and not any("were not looked at" in line for line in whole.notes)
    monkeypatch.setattr(audit_workflow, "MOST_PAIRS", 4)
    report = audit("planted", "fake", **asked)
    assert sorted((pair.cosine for pair in report.pairs), reverse=True) == cosines[:4]
    (said,) = (line for line in report.notes if "were not looked at" in line)
    assert said.startswith(f"{len(cosines) - 4} more pairs") and said.endswith(f"{cosines[3]:.4f}")
