"""Runs become rows of pandas whose columns sort as what they are."""

import sys

import pytest

from medfeat.errors import MissingExtraError
from medfeat.workflows.probe import probe
from medfeat.workflows.runs import list_of_runs

QUICK = {"resamples": 20}


@pytest.fixture
def report(make_store, cache_root):
    make_store()
    return probe(head="linear,knn", cache_dir=cache_root, **QUICK)


def test_a_run_is_a_row_of_words_numbers_and_a_time(report, cache_root):
    pandas = pytest.importorskip("pandas")
    frame = report.frame()
    assert frame.index.tolist() == [run.key[:12] for run in report.runs] and frame.index.name == "run"
    for run, (_, row) in zip(report.runs, frame.iterrows(), strict=True):
        assert (row["head"], row["backbone"], row["data"]) == (run.head, "resnet18", "bloodmnist")
        assert (row["val_auc"], row["test_acc"]) == (run.val.auc.value, run.test.values["acc"].value)
        assert (row["test_auc_low"], row["test_auc_high"]) == (run.test.auc.low, run.test.auc.high)
        assert row["created"].isoformat() == run.created_utc
    assert frame["test_auc"].dtype == float and pandas.api.types.is_integer_dtype(frame["size"])
    assert str(frame["created"].dt.tz) == "UTC"
    best = frame.sort_values("val_auc", ascending=False).index[0]
    assert best == max(report.runs, key=lambda run: run.val.auc.value).key[:12]
    listed = list_of_runs(cache_dir=cache_root)
    assert sorted(listed.frame().index) == sorted(frame.index) and "2 runs" in repr(listed)


def test_no_runs_are_an_empty_table(cache_root):
    pytest.importorskip("pandas")
    assert list_of_runs(cache_dir=cache_root).frame().empty


def test_pandas_that_is_not_there_is_one_line(report, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match=r"frame\(\) needs the package pandas .*pip install pandas"):
        report.frame()
