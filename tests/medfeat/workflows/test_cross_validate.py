"""Every sample left out once: by folds, and with its hospital."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from medfeat.errors import DataError, UsageError
from medfeat.evaluation.judging.rotation import folds_of
from medfeat.tasks import official
from medfeat.workflows.cross_validate import cross_validate
from medfeat_cache import FeatureStore

from .embedded import plant

QUICK = {"resamples": 20}
COUNTS = {"train": 120, "val": 40, "test": 80}


def write(path, header, rows):
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


@pytest.fixture
def planted(cache_root):
    """A store of 240 samples in three classes, and its ids."""
    with FeatureStore(plant(cache_root, counts=COUNTS, signal=2.0)) as store:
        return official(store)


def test_every_sample_is_tested_once_by_a_head_that_had_not_seen_it(planted, cache_root):
    (one,) = cross_validate("planted", folds=4, cache_dir=cache_root, **QUICK).found
    found = one.rotation
    assert [part.name for part in found.parts] == ["fold 1", "fold 2", "fold 3", "fold 4"]
    assert [part.test.n for part in found.parts] == [60] * 4 and found.together.n == 240
    assert [(part.n_train, part.n_val) for part in found.parts] == [(144, 36)] * 4
    right = sum(part.test.acc.value * part.test.n for part in found.parts)
    assert found.together.acc.value == pytest.approx(right / 240)
    mean, spread = found.over_parts("acc")
    accs = [part.test.acc.value for part in found.parts]
    assert mean == pytest.approx(np.mean(accs)) and spread == pytest.approx(np.std(accs, ddof=1))


def test_a_fold_equals_the_same_head_fitted_by_scikit_learn(planted, cache_root):
    """Fold, split and scores again with the plain library, at the setting that val chose."""
    from sklearn.linear_model import LogisticRegression

    (one,) = cross_validate("planted", folds=3, cache_dir=cache_root, **QUICK).found
    part = one.rotation.parts[0]
    out = folds_of(planted, 3) == "fold 1"
    from medfeat.tasks.folds import draw_folds

    val = draw_folds(planted.labels[~out], planted.ids[~out], None, folds=5, seed=0) == 0
    with FeatureStore(next(cache_root.glob("planted/fake/*.h5"))) as store:
        X, test = store.take(planted.ids[~out])[~val], store.take(planted.ids[out])
    y = planted.labels[~out][~val, 0]
    mean, scale = X.mean(axis=0), X.std(axis=0)
    model = LogisticRegression(C=part.settings["C"], max_iter=5000, tol=1e-10).fit((X - mean) / scale, y)
    acc = np.mean(model.predict((test - mean) / scale) == planted.labels[out, 0])
    assert part.test.acc.value == pytest.approx(acc)


def test_patients_stay_in_one_fold(planted):
    from dataclasses import replace

    patients = np.array([f"p{i // 6}" for i in range(len(planted.ids))])
    dealt = folds_of(replace(planted, group=patients), 5)
    assert all(len(set(dealt[patients == one])) == 1 for one in patients)


def test_a_group_is_left_out_and_shown_beside_a_head_that_knew_it(planted, cache_root, tmp_path):
    hospitals = {name: "abc"[i % 3] for i, name in enumerate(planted.ids.tolist())}
    path = write(tmp_path / "g.csv", "id,hospital", hospitals.items())
    report = cross_validate("planted", group_column="hospital", groups=path, cache_dir=cache_root, **QUICK)
    (one,) = report.found
    assert [part.name for part in one.rotation.parts] == ["a", "b", "c"]
    in_test = [hospitals[name] for name, split in zip(planted.ids, planted.split, strict=True) if split == "test"]
    assert {name: found.n for name, found in one.within.items()} == {x: in_test.count(x) for x in "abc"}
    text = report.tables()[0]
    assert text.columns[:5] == ("group", "n", "left out, AUC", "left out, ACC", "trained with, n")
    facts = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert facts["rotations"][0]["parts"][0]["name"] == "a"


def test_a_shift_of_one_hospital_is_seen_only_when_it_is_left_out(cache_root, tmp_path):
    """Hospital c has its classes the other way round: heads that know it learn it, heads that do not fail there."""
    names = {}

    def shift(group, X, y):
        third = np.arange(len(y)) % 3 == 2
        names.update({f"{group}/{i}": "c" if third[i] else "ab"[i // 2 % 2] for i in range(len(y))})
        X = X.copy()
        X[third] *= -1
        return np.hstack([X, X * third[:, None], third[:, None].astype(np.float32)]), y

    plant(cache_root, counts=COUNTS, classes=2, signal=3.0, rows=shift)
    path = write(tmp_path / "g.csv", "id,hospital", names.items())
    (one,) = cross_validate("planted", group_column="hospital", groups=path, cache_dir=cache_root, **QUICK).found
    left = {part.name: part.test.auc.value for part in one.rotation.parts}
    assert left["c"] < 0.3 < 0.8 < one.within["c"].auc.value
    assert left["a"] > 0.8


def test_the_column_of_the_labels_file_is_no_label(planted, cache_root, tmp_path):
    rows = [
        (name, int(y), "abc"[i % 3]) for i, (name, (y,)) in enumerate(zip(planted.ids, planted.labels, strict=True))
    ]
    path = write(tmp_path / "l.csv", "id,label,hospital", rows)
    (one,) = cross_validate("planted", group_column="hospital", labels=path, cache_dir=cache_root, **QUICK).found
    assert one.rotation.task == "l" and one.rotation.task_type == "multi-class"
    assert math.isfinite(one.rotation.together.auc.value)


def test_what_cannot_be_meant_is_one_line(planted, cache_root, tmp_path):
    def ask(**options):
        cross_validate("planted", cache_dir=cache_root, **QUICK, **options)

    with pytest.raises(UsageError, match="either --folds or --group-column"):
        ask()
    with pytest.raises(UsageError, match="from 2 to 240"):
        ask(folds=1)
    with pytest.raises(UsageError, match=r"--group-column site is a column of --groups FILE\.csv: .* came from no CSV"):
        ask(group_column="site")
    path = write(tmp_path / "g.csv", "id,site", [(planted.ids[0], "a"), (planted.ids[1], "b")])
    with pytest.raises(DataError, match="238 of 240 samples have no site"):
        ask(group_column="site", groups=path)
    with pytest.raises(DataError, match="no column 'hospital'; its header is id, site"):
        ask(group_column="hospital", groups=path)
    path = write(tmp_path / "one.csv", "id,site", [(name, "a") for name in planted.ids])
    with pytest.raises(DataError, match="of one group, 'a'"):
        ask(group_column="site", groups=path)


def test_a_patient_in_two_hospitals_is_refused(planted, cache_root, tmp_path):
    rows = [(name, int(y), f"p{i // 2}", "ab"[i % 2]) for i, (name, (y,)) in
            enumerate(zip(planted.ids, planted.labels, strict=True))]  # fmt: skip
    path = write(tmp_path / "l.csv", "id,label,patient,site", rows)
    with pytest.raises(DataError, match="120 patients are in several groups, the first, p0, in a, b"):
        cross_validate("planted", group_column="site", labels=path, cache_dir=cache_root, **QUICK)
