"""A run belongs to what its head does: another head under the same name, or another grid, is another run."""

from __future__ import annotations

import functools
import os
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from medfeat.errors import DataError
from medfeat.evaluation.runs.saved_probe import load_probe
from medfeat.heads import HEADS, head_identity, linear
from medfeat.heads.linear import LinearHead, LinearProbe
from medfeat.identity import identity
from medfeat.types import Candidate
from medfeat.workflows.probe import probe

QUICK = {"resamples": 20}


class Fixed(LinearHead):
    """One value of C."""

    def __init__(self, C):
        self.C = C

    def candidates(self, train, val, task_type, n_classes, *, seed, progress):
        probe = LinearProbe(self.C, task_type=task_type, n_classes=n_classes).fit(*train)
        yield Candidate({"C": self.C}, probe, 0.0)


def in_a_closure(C):
    class Closed:
        name = "closed"

        def candidates(self, train, val, task_type, n_classes, *, seed, progress):
            yield Candidate({"C": C}, LinearProbe(C, task_type=task_type, n_classes=n_classes).fit(*train), 0.0)

    return Closed


@pytest.fixture
def named():
    """Register a head as `mine` for one probe after another."""
    yield lambda factory: HEADS.replace("mine", factory)
    if "mine" in HEADS:
        HEADS.remove("mine")


def run_of(cache_root, head="mine"):
    return probe(head=head, cache_dir=cache_root, **QUICK).runs[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (functools.partial(Fixed, 1e-4), functools.partial(Fixed, 1.0)),
        (in_a_closure(1e-4), in_a_closure(1.0)),
        (functools.partial(Fixed, 1e-4), in_a_closure(1e-4)),
    ],
    ids=["another setting", "another closure", "another class"],
)
def test_another_head_under_the_same_name_is_another_run(named, make_store, cache_root, one, other):
    make_store(n=(60, 40, 40))
    named(one)
    first = run_of(cache_root)
    named(other)
    second = run_of(cache_root)
    assert not second.reused and second.key != first.key
    named(one)
    assert run_of(cache_root).reused


def test_another_grid_of_a_built_in_head_is_another_run(make_store, cache_root, monkeypatch):
    make_store(n=(60, 40, 40))
    first = run_of(cache_root, "linear")
    assert run_of(cache_root, "linear").reused
    monkeypatch.setattr(linear, "GRID", (0.1, 1.0))
    second = run_of(cache_root, "linear")
    assert not second.reused and second.key != first.key
    assert len(second.choice["tried"]) == 2


def test_what_a_head_calls_is_part_of_it_and_what_stands_beside_it_is_not(monkeypatch):
    before = head_identity("linear")
    assert head_identity("linear") == before
    monkeypatch.setattr(linear, "UNUSED", 3, raising=False)
    assert head_identity("linear") == before
    monkeypatch.setattr(linear, "working_dtype", lambda size: np.float32)
    assert head_identity("linear") != before


def test_identities_are_the_same_in_every_process_and_after_a_fit(make_store, cache_root):
    code = "from medfeat.heads import HEADS, head_identity\nprint(*map(head_identity, HEADS))"
    said = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("0", "7")
    }  # fmt: skip
    make_store(n=(60, 40, 40))
    probe(head="all", cache_dir=cache_root, **QUICK)
    assert said == {" ".join(map(head_identity, HEADS)) + "\n"}


def test_every_built_in_head_has_an_identity_of_its_own():
    assert len({head_identity(name) for name in HEADS}) == len(HEADS)


def test_docstrings_and_comments_do_not_count():
    def made(text):
        scope = {"__name__": "somewhere"}
        exec(text, scope)
        return scope["Head"]

    plain = 'class Head:\n    def candidates(self):\n        "A word."\n        return 1\n'
    told = 'class Head:\n    "Words."\n    def candidates(self):\n        "More words."  # why\n        return 1\n'
    other = plain.replace("return 1", "return 2")
    assert identity(made(plain)) == identity(made(told)) != identity(made(other))


def test_a_head_may_name_types_of_arrays_in_its_code():
    text = (
        "from typing import cast\nimport numpy as np\nfrom numpy.typing import NDArray\nWide = NDArray[np.float64]\n"
        "Maybe = Wide | None\nclass Head:\n    def candidates(self):\n        return cast(Wide, cast(Maybe, 1))\n"
    )
    found = []
    for code in (text, text, text.replace("float64", "float32")):
        scope = {"__name__": "somewhere"}
        exec(code, scope)
        found.append(identity(scope["Head"]))
    assert found[0] == found[1] != found[2]


class Unsaved:
    """Has scores, and is no estimator."""

    def scores(self, X):
        return np.tile([0.25] * 4, (len(X), 1))


class UnsavedHead:
    """Yields what cannot be saved."""

    name = "mine"

    def candidates(self, train, val, task_type, n_classes, *, seed, progress):
        yield Candidate({}, Unsaved(), 0.0)


class Tabled(BaseEstimator):
    """Scores from a table, kept in an estimator."""

    def fit(self, X, y):
        self.prior_ = np.bincount(y[:, 0], minlength=4) / len(y)
        return self

    def scores(self, X):
        return np.tile(self.prior_, (len(X), 1))


class TabledHead:
    """Declares what its model is made of."""

    name = "mine"
    trusted = (f"{Tabled.__module__}.Tabled",)

    def candidates(self, train, val, task_type, n_classes, *, seed, progress):
        yield Candidate({}, Tabled().fit(*train), 0.0)


def test_a_head_that_cannot_be_saved_says_so_in_its_run_and_when_it_is_asked_for(named, make_store, cache_root):
    make_store(n=(40, 20, 20))
    named(UnsavedHead)
    run = run_of(cache_root)
    assert any("the head was not saved" in note and "Unsaved" in note for note in run.notes)
    assert not (run.folder / "model").exists()
    with pytest.raises(DataError, match="the head was not saved, so it cannot predict"):
        load_probe(run.folder)


def test_types_that_an_installed_head_declares_are_honoured_by_name(named, make_store, cache_root, monkeypatch):
    make_store(n=(40, 20, 20))
    named(TabledHead)
    run = run_of(cache_root)
    assert not any("not saved" in note for note in run.notes)
    assert isinstance(load_probe(run.folder).model, Tabled)
    monkeypatch.setattr(TabledHead, "trusted", ())
    with pytest.raises(DataError, match="Tabled, which no head is made of"):
        load_probe(run.folder)
