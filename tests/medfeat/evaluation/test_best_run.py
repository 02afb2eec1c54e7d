"""The best run is told by what chose it: by val where it is large, by folds where it is small, never by test."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from medfeat.evaluation.judging.best_run import best_run
from medfeat.evaluation.judging.cross_validation import SMALL_VAL


def run(key, *, val, n=12, folds=None, asked="q", made="2026-01-01"):
    choice = {"val": {"first": val if folds is None else folds, "second": 0.5}}
    return SimpleNamespace(
        key=key, network="stats", head="linear", headline=("auc", "acc"), created_utc=made,
        protocol={"choose": "val" if folds is None else "cv"}, choice=choice, task={"digest": asked},
        val=SimpleNamespace(n=n, values={"auc": SimpleNamespace(value=val)}),
    )  # fmt: skip


def test_a_few_samples_of_val_do_not_beat_folds_over_all_of_them():
    lucky, folds = run("lucky", val=1.0), [run("worse", val=0.9, folds=0.80), run("better", val=0.7, folds=0.85)]
    found = best_run([lucky, *folds])
    assert found.run.key == "better"
    assert found.line() == (
        "best in 5 folds of train and val: run better, stats, linear; "
        "1 run chosen on the 12 samples of val alone left out"
    )


@pytest.mark.parametrize(("n", "best"), [(SMALL_VAL - 1, "folds"), (SMALL_VAL, "val")])
def test_val_tells_where_it_is_large_enough_to_choose_by(n, best):
    found = best_run([run("folds", val=0.8, n=n, folds=0.9), run("val", val=0.85, n=n)])
    assert found.run.key == best


def test_where_val_alone_chose_it_is_said_how_small_it_is():
    found = best_run([run("a", val=0.8), run("b", val=0.9), run("undefined", val=float("nan"))])
    assert found.line() == "best on val (12 samples): run b, stats, linear"


def test_runs_on_other_labels_or_older_images_are_not_compared():
    older = [run("old", val=1.0, asked="before"), run("older", val=1.0, asked="long before")]
    found = best_run([*older, run("new", val=0.6, made="2026-02-01"), run("same", val=0.7)])
    assert found.run.key == "same"
    assert found.line().endswith("; 2 runs on other labels, splits or older images left out")
