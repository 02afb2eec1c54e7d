"""Where all heads are asked for, those that do not suit are left out before they are named, whatever is asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from medfeat.errors import UnsuitedHeadError
from medfeat.heads import HEADS, all_heads, refuse_unsuited
from medfeat.types import TASK_TYPES, SilentProgress, TaskType
from medfeat.workflows.cross_validate import cross_validate
from medfeat.workflows.few_shot import few_shot
from medfeat.workflows.probe import probe

SUITED = {"linear", "knn", "svm", "prototypes", "xgboost", "mlp", "lp++"}  # of several classes without an order
LEFT_OUT = ("left out: the ridge head", "left out: the ordinal head", "left out: heads that weigh several vectors",
            "left out: heads that compare images with texts")  # fmt: skip


@pytest.fixture
def heard(make_store):
    """A store of two classes without an order, and what is said of it."""
    make_store(n=(40, 24, 24), task="multi-class")
    return SilentProgress()


def named(progress: SilentProgress) -> list[str]:
    return [line.rpartition(" / ")[2] for line in progress.said if " / " in line and not line.startswith("left out")]


def test_no_head_is_named_that_is_then_left_out(heard, cache_root):
    report = probe(head="all", cache_dir=cache_root, resamples=20, progress=heard)
    assert set(named(heard)) == {run.head for run in report.runs} == SUITED
    assert [next(line for line in report.notes if line.startswith(start)) for start in LEFT_OUT]


@pytest.mark.parametrize("ask", ["few_shot", "cross_validate"])
def test_heads_that_do_not_suit_are_no_failures_of_other_questions(ask, heard, cache_root):
    options: dict[str, Any] = {"head": "all", "cache_dir": cache_root, "resamples": 20, "progress": heard}
    if ask == "few_shot":
        report: Any = few_shot(shots="1", draws=2, **options)
        heads = {one.head for one in report.curves}
    else:
        report = cross_validate(folds=2, **options)
        heads = {one.rotation.head for one in report.found}
    assert not report.failed and heads == SUITED == set(named(heard))
    for start in LEFT_OUT:
        assert sum(line.startswith(start) for line in heard.said) == 1


def test_where_no_head_suits_the_first_says_why(make_store, cache_root):
    make_store(n=(40, 24, 24))
    with pytest.raises(UnsuitedHeadError, match="the ridge head learns regression"):
        few_shot(head="ridge", shots="1", draws=2, cache_dir=cache_root, resamples=20)


@pytest.mark.parametrize("task_type", TASK_TYPES)
@pytest.mark.parametrize("name", [*all_heads(), "majority", "auto"])
def test_what_is_left_out_is_what_a_head_refuses(name: str, task_type: TaskType):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(24, 3, 4) if name == "attention" else (24, 4))
    y = rng.integers(0, 2, (24, 2 if task_type == "multi-label" else 1))
    offered = HEADS[name]().candidates((X, y), (X, y), task_type, 2, seed=0, progress=SilentProgress())
    try:
        refuse_unsuited(name, task_type)
    except UnsuitedHeadError as error:
        with pytest.raises(UnsuitedHeadError) as own:
            next(iter(offered))
        assert str(own.value) == str(error)
    else:
        try:
            next(iter(offered))
        except UnsuitedHeadError as error:
            assert "texts" in str(error)  # these want a network, whatever the task
