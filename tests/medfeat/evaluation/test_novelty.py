"""Images unlike those of training are told from others, at the rate that was promised."""

from __future__ import annotations

import numpy as np
import pytest

from medfeat.evaluation.measures.novelty import LEVEL, Familiar, more_than_usual, some_rows, unlike


def test_p_values_count_the_images_of_val_that_are_as_far():
    rng = np.random.default_rng(0)
    train, val, new = rng.normal(size=(40, 6)), rng.normal(size=(30, 6)), rng.normal(size=(20, 6)) * 1.5 + 1
    found = Familiar.of(train, val).p_values(new)
    # The same by scikit-learn, whose neighbours are not ours.
    from sklearn.neighbors import NearestNeighbors

    z = [(part - train.mean(axis=0)) / train.std(axis=0) for part in (train, val, new)]
    near = NearestNeighbors(n_neighbors=5).fit(z[0])
    far, asked = (near.kneighbors(part)[0][:, -1] for part in z[1:])
    expected = [(1 + (far >= one).sum()) / 31 for one in asked]
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_images_like_those_of_val_are_called_unlike_as_rarely_as_promised():
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(3, 20)) * 3
    draw = lambda n: centres[rng.integers(0, 3, n)] + rng.normal(size=(n, 20))  # noqa: E731
    rates = []
    for _ in range(20):
        familiar = Familiar.of(draw(200), draw(99))
        rates.append(unlike(familiar.p_values(draw(500))).mean())
    assert np.mean(rates) == pytest.approx(LEVEL, abs=0.015)
    assert unlike(familiar.p_values(rng.normal(size=(50, 20)) * 3)).mean() > 0.8


def test_the_images_of_one_patient_of_val_count_as_one():
    rng = np.random.default_rng(2)
    train, val, new = rng.normal(size=(60, 5)), rng.normal(size=(25, 5)), rng.normal(size=(9, 5))
    once = Familiar.of(train, val)
    thrice = Familiar.of(train, np.repeat(val, 3, axis=0), np.repeat(np.arange(25), 3).astype(str))
    np.testing.assert_allclose(thrice.p_values(new), once.p_values(new), atol=1e-9)
    assert thrice.counted == 25


def test_a_val_of_fewer_than_nineteen_cannot_call_anything_unlike():
    X = np.random.default_rng(3).normal(size=(40, 4))
    assert not Familiar.of(X, X[:18]).can_tell
    assert Familiar.of(X, X[:19]).can_tell


def test_of_many_training_images_as_many_are_looked_at_always_the_same():
    rows = some_rows(20_000)
    assert len(rows) == 5000 and (np.diff(rows) > 0).all() and rows[-1] < 20_000
    np.testing.assert_array_equal(rows, some_rows(20_000))
    np.testing.assert_array_equal(some_rows(7), np.arange(7))


def test_a_share_of_strangers_is_remarked_upon_when_chance_does_not_explain_it():
    assert not more_than_usual(1, 3) and not more_than_usual(5, 100)
    assert more_than_usual(3, 3) and more_than_usual(20, 100)
