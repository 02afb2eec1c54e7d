"""The page of the runs: every task type, groups, mistakes with their neighbours, tables; what users wrote is text."""

from __future__ import annotations

import re

import numpy as np
import pytest

from medfeat.errors import UsageError
from medfeat.evaluation.runs.run import list_runs, read_scores
from medfeat.workflows.looking.mistakes import wrong
from medfeat.workflows.probe import probe
from medfeat.workflows.report import write_report
from medfeat.workflows.search import search
from medfeat_cli.main import run

from .embedded import QUICK, embed

SETS = ("synthetic", "synthetic-binary", "synthetic-multilabel", "synthetic-ordinal", "synthetic-3d")


def text_of(path):
    return path.read_text(encoding="utf-8")


@pytest.fixture
def probed(cache_root, counting):
    """Two runs of a binary set."""
    embed(cache_root)
    probe("synthetic-binary", head="linear,knn", cache_dir=cache_root, **QUICK)
    return cache_root


def test_a_cache_without_runs_is_one_line(cache_root, tmp_path):
    with pytest.raises(UsageError, match=r"no runs in .*: run `medfeat probe` first"):
        write_report(out=tmp_path / "r.html", cache_dir=cache_root)


def test_a_dataset_without_runs_is_named(probed, tmp_path):
    with pytest.raises(UsageError, match="no runs of synthetic in"):
        write_report("synthetic", out=tmp_path / "r.html", cache_dir=probed)


@pytest.mark.parametrize("name", SETS)
def test_every_task_type_has_a_page(name, cache_root, tmp_path):
    embed(cache_root, name, "stats")
    probe(name, cache_dir=cache_root, **QUICK)
    made = write_report(out=tmp_path / "r.html", cache_dir=cache_root)
    text = text_of(made.out)
    assert made.runs == 1 and made.notes == ()
    assert "Its most confident mistakes" in text and "This page contains pictures" in text
    assert ("Net benefit" in text) == (name in ("synthetic-binary", "synthetic-3d"))
    assert ("Confusion matrix" in text) == (name != "synthetic-multilabel")
    for word in ("ROC on test", "Precision and recall", "how sure", "Where each number comes from"):
        assert word in text


def test_numbers_are_those_of_the_runs_and_every_run_has_a_group(probed, tmp_path):
    made = write_report(out=tmp_path / "r.html", tables=tmp_path / "tables", cache_dir=probed)
    runs, _ = list_runs(probed)
    text = text_of(made.out)
    for one in runs:
        assert f"{one.test.auc.value:.3f} [{one.test.auc.low:.3f}, {one.test.auc.high:.3f}]" in text
        assert one.key[:12] in text and f"--head {one.head}" in text
    assert len(re.findall(r'class="group-letter">[A-Z]<', text)) == len(runs) == 2
    names = {path.name for path in made.tables}
    assert {"overview.md", "overview.csv", "overview.tex", "synthetic-binary.csv"} <= names
    assert f"{runs[0].test.auc.value:.3f}" in text_of(tmp_path / "tables" / "synthetic-binary.tex")


def test_mistakes_are_the_surest_and_their_neighbours_those_of_search(probed, tmp_path):
    made = write_report(out=tmp_path / "r.html", head="linear", cache_dir=probed)
    (one,) = (found for found in list_runs(probed)[0] if found.head == "linear")
    stored = read_scores(one.folder)
    labels, called = stored["test_labels"][:, 0], stored["test_scores"][:, -1] > 0.5
    sure = np.where(called != labels, np.maximum(stored["test_scores"][:, -1], 1 - stored["test_scores"][:, -1]), 0)
    surest = str(stored["test_ids"][np.argmax(sure)])
    cards = re.findall(r'<article class="mistake">(.*?)</article>', text_of(made.out), re.DOTALL)
    assert f"<strong>{surest}</strong>" in cards[0] and f"({sure.max():.2f})" in cards[0]
    hits = search("synthetic-binary", "counting", id=surest, k=200, cache_dir=probed).hits
    nearest = max(hit.cosine for hit in hits if hit.split == "train")
    near = re.search(r"<figcaption>(train/\d+) ", cards[0])[1]
    assert next(hit.cosine for hit in hits if hit.id == near) == pytest.approx(nearest, abs=1e-5)
    assert "data:image/png" in cards[0]


def test_mistakes_of_labels_and_of_numbers_by_hand():
    y, s = np.array([[1, 0], [0, 1]]), np.array([[0.1, 0.6], [0.2, 0.9]])
    assert wrong(y, s, "multi-label", ("a", "b")) == [(0, "labelled a, predicted b (0.90)")]
    assert wrong(np.array([[1.0], [5.0]]), np.array([[1.5], [2.0]]), "regression", ("age",))[0] == (
        1,
        "is 5, predicted 2",
    )


def test_without_pictures_none_is_in_the_page(probed, tmp_path):
    text = text_of(write_report(out=tmp_path / "r.html", images=False, cache_dir=probed).out)
    assert "data:image" not in text and "This page contains pictures" not in text
    assert "Its most confident mistakes" in text


def test_what_users_wrote_is_text(make_store, cache_root, tmp_path):
    evil = "<script>alert(1)</script>"
    path = make_store(dataset="own", backbone="fake", task="binary-class")
    assert path.is_file()
    lines = ["id,label", *(f"{split}/{i},{evil if i % 2 else 'x & y'}" for split, n in
                           (("train", 240), ("val", 80), ("test", 80)) for i in range(n))]  # fmt: skip
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    probe("own", labels=tmp_path / "labels.csv", name="evil", partial=True, cache_dir=cache_root, **QUICK)
    made = write_report(out=tmp_path / "r.html", cache_dir=cache_root)
    text = text_of(made.out)
    assert "<script>alert" not in text and "&lt;script&gt;alert(1)" in text


def test_published_results_stand_beside_ours(make_store, cache_root, tmp_path):
    make_store("bloodmnist")
    probe("bloodmnist", cache_dir=cache_root, **QUICK)
    text = text_of(write_report(out=tmp_path / "r.html", cache_dir=cache_root).out)
    assert "published results</summary>" in text and "beside published results" in text


def test_from_the_command_line(probed, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["report", "--cache-dir", str(probed)]) == 0
    assert "wrote report.html: 2 runs" in capsys.readouterr().out
    assert run(["report", "--head", "nonsense", "--cache-dir", str(probed)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
