"""A drawn split keeps the shares it prints: sizes first, then classes as evenly as can be, patients whole."""

import itertools

import numpy as np
import pytest

from medfeat.datasets.splits.drawing import draw_split
from medfeat.datasets.splits.official_or_drawn import FRACTIONS, drawn_task_split
from medfeat.datasets.splits.split_sizes import apportion, split_sizes

SHARES = np.array(list(FRACTIONS.values()))
RNG = np.random.default_rng(0)


def draw(counts, **options):
    strata = np.repeat(np.arange(len(counts)), counts)
    ids = np.array([f"{i:05}" for i in range(len(strata))])
    split = draw_split(ids, strata, FRACTIONS, **options)
    table = np.array([[((split == part) & (strata == k)).sum() for part in FRACTIONS] for k in range(len(counts))])
    return split, table


@pytest.mark.parametrize(
    ("counts", "sizes"),
    [
        ([2] * 100, [140, 20, 40]),
        ([3] * 100, [210, 30, 60]),
        ([4] * 100, [280, 40, 80]),
        ([5], [3, 1, 1]),  # 3.5, 0.5, 1: the larger remainder, and no split is empty
        ([3, 2], [3, 1, 1]),
        ([1, 1, 1], [1, 1, 1]),
        ([1, 1], [1, 0, 1]),
        ([990, 10], [700, 100, 200]),
        ([1] * 50 + [50], [70, 10, 20]),
    ],
)
def test_sizes_are_the_shares_of_all_samples(counts, sizes):
    assert draw(counts)[1].sum(axis=0).tolist() == sizes


@pytest.mark.parametrize("seed", range(20))
def test_every_size_is_within_one_sample_and_so_is_every_class_that_is_large_enough(seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, rng.integers(4, 120), rng.integers(1, 40))
    table = apportion(counts, SHARES)
    assert (table.sum(axis=1) == counts).all() and (table >= 0).all()
    assert (np.abs(table.sum(axis=0) - counts.sum() * SHARES) < 1 + 1e-9).all() or counts.sum() < 10
    large = counts >= 10  # one sample or more is due in each split
    assert (np.abs(table - counts[:, None] * SHARES)[large] <= 1 + 1e-9).all() or (counts == 1).any()


def test_small_classes_are_spread_and_none_is_kept_from_train():
    _, table = draw([2] * 100)
    assert (table[:, 0] >= 1).all()
    assert sorted(map(tuple, table.tolist())) == sorted([(2, 0, 0)] * 40 + [(1, 1, 0)] * 20 + [(1, 0, 1)] * 40)
    _, table = draw([3] * 100)
    assert (table[:, 2] > 0).sum() == 60 and (table[:, 1] > 0).sum() == 30 and (table[:, 0] >= 2).all()


def test_the_table_is_the_best_of_all_tables_of_its_sizes():
    """Every table of three classes and these sizes is tried; the order of what counts is that of the docstring."""
    counts = np.array([7, 5, 3])
    sizes, due = split_sizes(15, SHARES), counts[:, None] * SHARES

    def worth(table):
        return ((table == 0)[:, 0].sum(), (table == 0)[:, 2].sum(), (table == 0)[:, 1].sum(),
                np.maximum(np.abs(table - due) - 1, 0).sum().round(9), ((table - due) ** 2 / due).sum())  # fmt: skip

    rows = [[r for r in itertools.product(range(n + 1), repeat=3) if sum(r) == n] for n in counts]
    tables = [t for t in map(np.array, itertools.product(*rows)) if (t.sum(axis=0) == sizes).all()]
    assert worth(apportion(counts, SHARES)) == min(map(worth, tables))


def test_a_class_of_one_is_learnt_from():
    _, table = draw([97, 1, 1, 1])
    assert table[1:].tolist() == [[1, 0, 0]] * 3


def test_the_seed_draws_which_classes_reach_test():
    reached = {tuple(np.flatnonzero(draw([2] * 100, seed=seed)[1][:, 2])) for seed in range(3)}
    assert len(reached) == 3


def of_patients(sizes, strata, **options):
    patients = np.repeat([f"p{i:04}" for i in range(len(sizes))], sizes)
    ids = np.array([f"{i:05}" for i in range(len(patients))])
    split = draw_split(ids, np.asarray(strata), FRACTIONS, patients=patients, **options)
    assert all(len(set(split[patients == patient])) == 1 for patient in set(patients))
    return np.array([(split == part).sum() for part in FRACTIONS]), split


def test_single_images_make_up_for_a_large_patient():
    sizes, _ = of_patients([100] + [1] * 100, [0, 1] * 100)
    assert sizes.tolist() == [140, 20, 40]


def test_a_patient_larger_than_train_leaves_the_rest_to_the_others_by_their_shares():
    sizes, _ = of_patients([180] + [1] * 20, [0, 1] * 100)
    assert sizes[0] == 180 and sizes[1] in (6, 7) and sizes[2] == 20 - sizes[1]


@pytest.mark.parametrize("seed", range(10))
def test_patients_of_mixed_classes_keep_sizes_within_half_the_smallest_patient_that_could_move(seed):
    rng = np.random.default_rng(seed)
    of = rng.integers(1, 8, 80)
    strata = rng.integers(0, 4, of.sum())
    sizes, split = of_patients(of, strata)
    assert (np.abs(sizes - of.sum() * SHARES) <= 1).all()
    for stratum in range(4):
        held = np.array([((split == part) & (strata == stratum)).sum() for part in FRACTIONS])
        assert (np.abs(held - (strata == stratum).sum() * SHARES) <= 7).all()  # the largest patient


@pytest.mark.parametrize("count", [3, 4, 5, 6])
def test_no_split_is_empty_while_there_are_patients_enough(count):
    sizes, _ = of_patients([20] * count, np.arange(20 * count) % 2)
    assert (sizes > 0).all()


def test_patients_of_one_image_each_are_images():
    counts = [3] * 100
    strata = np.repeat(np.arange(100), counts)
    ids = np.array([f"{i:05}" for i in range(300)])
    assert np.array_equal(draw_split(ids, strata, FRACTIONS, patients=ids), draw_split(ids, strata, FRACTIONS))


@pytest.mark.parametrize("kind", ["classes", "patients", "labels"])
def test_the_order_of_rows_changes_nothing(kind):
    rng = np.random.default_rng(1)
    ids = np.array([f"{i}" for i in range(200)])
    strata = rng.integers(0, 2, (200, 5)) if kind == "labels" else rng.integers(0, 60, 200)
    patients = np.array([f"p{i}" for i in rng.integers(0, 50, 200)]) if kind == "patients" else None
    order = rng.permutation(200)
    one = draw_split(ids, strata, FRACTIONS, patients=patients)
    two = draw_split(ids[order], strata[order], FRACTIONS, patients=None if patients is None else patients[order])
    assert np.array_equal(one[order], two)


def test_labels_that_go_together_are_split_label_by_label():
    labels = (np.random.default_rng(0).random((400, 14)) < np.linspace(0.01, 0.5, 14)).astype(np.int64)
    ids = np.array([f"{i:05}" for i in range(400)])
    split = draw_split(ids, labels, FRACTIONS)
    assert [(split == part).sum() for part in FRACTIONS] == [280, 40, 80]
    for column in labels.T:
        held = np.array([((split == part) & (column == 1)).sum() for part in FRACTIONS])
        assert (np.abs(held - column.sum() * SHARES) <= 2).all()
        assert (held > 0).all() or column.sum() < 3


def test_numbers_are_split_by_fifths():
    numbers = np.arange(100.0)[:, None]
    ids = np.array([f"{i:05}" for i in range(100)])
    split, how = drawn_task_split(ids, numbers, "regression", ("age",))
    for fifth in range(5):
        part = split[20 * fifth : 20 * (fifth + 1)]
        assert [(part == name).sum() for name in FRACTIONS] == [14, 2, 4]
    assert how == "split stratified 70/10/20 from seed 0: 70 train (70.0 %), 10 val (10.0 %), 20 test (20.0 %)"


def test_the_words_tell_the_shares_drawn_and_the_classes_left_out():
    ids = np.array([f"{i:05}" for i in range(14)])
    labels = np.array([0] * 12 + [1, 2])[:, None]
    _, how = drawn_task_split(ids, labels, "multi-class", ("often", "once", "seldom"), seed=3)
    assert how.startswith("split stratified 70/10/20 from seed 3: 10 train (71.4 %), 1 val (7.1 %), 3 test (21.4 %)")
    assert how.endswith("; too few samples of once, seldom for test to have any")
    ids = np.array([f"{i:05}" for i in range(200)])
    _, how = drawn_task_split(ids, np.arange(200)[:, None] % 100, "multi-class", [f"c{i}" for i in range(100)])
    assert "and 55 more for test to have any" in how and "for train" not in how
    _, how = drawn_task_split(
        ids, np.eye(200, 2, dtype=np.int64), "multi-label", ("a", "b"), patients=np.repeat(ids[::2], 2)
    )
    assert "by patient from seed 0: " in how and "too few samples of a, b for t" in how


@pytest.mark.parametrize(
    ("sizes", "train", "test"),
    [((7, 25), [25], [7]), ((4, 4, 9, 26, 26, 29), [4, 4, 26, 29], [26])],
    ids=["two patients", "six patients"],
)
def test_the_largest_patient_is_placed_first(sizes, train, test):
    """Placed last, it would go to what the others left: train would hold 7 of 32 images, or 81 of 98."""
    patients = np.repeat([f"p{i}" for i in range(len(sizes))], sizes)
    ids = np.array([f"{i:03}" for i in range(sum(sizes))])
    split = draw_split(ids, np.zeros(sum(sizes), int), FRACTIONS, patients=patients)
    found = {part: sorted(np.unique(patients[split == part], return_counts=True)[1].tolist()) for part in FRACTIONS}
    assert (found["train"], found["test"]) == (train, test)
