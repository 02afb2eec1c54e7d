"""A file can pretend to be a saved head; nothing in it is ever run."""

import json
import pickle
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LinearRegression

from medfeat.errors import DataError, MissingFileError
from medfeat.heads.boosting import BoostingProbe
from medfeat.heads.linear import LinearProbe
from medfeat.heads.saving import load_model, save_model

X = np.random.default_rng(0).normal(size=(30, 3))
Y = (X[:, :1] > 0).astype(np.int64)


class Hostile:
    """Creates a file when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


class Foreign:
    """Has scores, and is no head of medfeat's."""

    def scores(self, X):
        return X


@pytest.fixture
def folder(tmp_path):
    save_model(LinearProbe(1.0, task_type="binary-class").fit(X, Y), tmp_path / "head")
    return tmp_path / "head"


def refused(folder, said):
    with pytest.raises(DataError, match=said) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_a_pickle_named_skops_is_not_opened(folder, tmp_path):
    (folder / "head.skops").write_bytes(pickle.dumps(Hostile(tmp_path / "ran")))
    refused(folder, "not a skops file")
    assert not (tmp_path / "ran").exists()


def test_the_hostile_pickle_would_have_run(tmp_path):
    pickle.loads(pickle.dumps(Hostile(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("make", [Foreign, lambda: partial(print, "ran")], ids=["a class", "a function call"])
def test_a_skops_file_with_an_unexpected_type_is_refused_by_its_name(folder, make):
    skops.io.dump(make(), folder / "head.skops")
    refused(folder, "holds .*(Foreign|print).*, which no head is made of")


def test_an_unexpected_type_hidden_inside_a_head_is_refused(folder):
    probe = LinearProbe(1.0, task_type="binary-class").fit(X, Y)
    probe.coef_ = Foreign()
    skops.io.dump(probe, folder / "head.skops")
    refused(folder, "Foreign")


def test_a_trusted_object_that_is_no_head_is_not_used(folder):
    skops.io.dump(LinearRegression(), folder / "head.skops")
    refused(folder, "LinearRegression, which is not a head")


def test_a_schema_that_names_a_callable_is_refused(folder, tmp_path):
    source = zipfile.ZipFile(folder / "head.skops")
    schema = json.loads(source.read("schema.json"))
    source.close()
    schema["__class__"], schema["__module__"] = "system", "os"
    with zipfile.ZipFile(folder / "head.skops", "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))
    refused(folder, "head.skops")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and then nothing", b"x" * 100])
def test_a_damaged_file_is_refused(folder, content):
    (folder / "head.skops").write_bytes(content)
    refused(folder, "not a skops file|damaged")


def test_a_truncated_file_is_refused(folder):
    whole = (folder / "head.skops").read_bytes()
    (folder / "head.skops").write_bytes(whole[: len(whole) // 2])
    refused(folder, "damaged")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "cannot be read"),
        ("[]", "is not a saved head"),
        ('{"format": "medfeat-head", "version": 9}', "version 9, this medfeat reads 1"),
    ],
)
def test_a_header_that_is_not_one_is_refused(folder, content, said):
    (folder / "head.json").write_text(content)
    refused(folder, said)


def test_a_damaged_booster_is_refused(tmp_path):
    save_model(BoostingProbe(rounds=2, task_type="binary-class").fit(X, Y), tmp_path)
    (tmp_path / "head.ubj").write_bytes(b"garbage")
    refused(tmp_path, "head.ubj is damaged")


@pytest.mark.parametrize("name", ["head.json", "head.skops"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(MissingFileError, match=r"head\b"):
        load_model(folder)


def test_only_medfeats_own_heads_are_saved(tmp_path):
    with pytest.raises(DataError, match="Foreign cannot be saved"):
        save_model(Foreign(), tmp_path)
