"""The synthetic sets are drawn alike everywhere, look varied, and cannot be solved by averages alone."""

import numpy as np
import pytest

from medfeat.datasets import DATASETS, open_dataset, source_task, write_synthetic
from medfeat.datasets.made_up.synthetic import SYNTHETIC, draw_synthetic
from medfeat.errors import DataError, UsageError
from medfeat.types import OFFICIAL_GROUPS

# Drawn once; another machine, numpy or Python must give the same bytes, or every demo store is made anew.
FINGERPRINTS = {
    "synthetic": "blake2b:c1658adde7b3b3141041e8e9e3366448",
    "synthetic-binary": "blake2b:ef83b8c05ea2994a1778b57ddf1438e4",
    "synthetic-multilabel": "blake2b:18690bc0b74f10a6ae256ac7dd770e2a",
    "synthetic-ordinal": "blake2b:74f1bd07faf561ea73955e3bccf4c1ef",
    "synthetic-3d": "blake2b:84bfdc1b62d13cb993692d9ea7478cd0",
}


@pytest.mark.parametrize("name", SYNTHETIC)
def test_the_bytes_never_change(name):
    assert open_dataset(name).info.fingerprint == FINGERPRINTS[name]


@pytest.mark.parametrize("name", SYNTHETIC)
def test_images_and_labels_are_what_the_facts_say(name):
    dataset, entry = open_dataset(name), DATASETS[name]
    info = dataset.info
    assert (info.task, info.classes, dict(info.counts)) == (entry.task, entry.classes, dict(entry.counts))
    for group in OFFICIAL_GROUPS:
        labels = dataset.labels(group)
        batches = list(dataset.batches(group, 64))
        images = np.concatenate([batch.images for batch in batches])
        expected = (28, 28, 28) if info.ndim == 3 else (28, 28, 3) if info.channels == 3 else (28, 28)
        assert images.shape == (info.counts[group], *expected) and images.dtype == np.uint8
        assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images)
        if info.task == "multi-label":
            assert labels.shape[1] == len(info.classes) and set(np.unique(labels)) == {0, 1}
        else:
            assert np.array_equal(np.unique(labels), np.arange(len(info.classes)))


def test_the_sets_cover_every_official_kind_of_task_and_3d():
    assert {entry.task for entry in SYNTHETIC.values()} == {
        "multi-class", "binary-class", "multi-label", "ordinal-regression",
    }  # fmt: skip
    assert {entry.ndim for entry in SYNTHETIC.values()} == {2, 3}


def test_another_seed_draws_other_images():
    first, second = (draw_synthetic("synthetic-3d", seed=seed)["test_images"] for seed in (0, 1))
    assert not np.array_equal(first, second)


def test_a_larger_size_shows_the_same_things():
    small, large = (draw_synthetic("synthetic-ordinal", size=size) for size in (28, 56))
    assert np.array_equal(small["test_labels"], large["test_labels"])
    shrunk = large["test_images"].reshape(-1, 28, 2, 28, 2, 3).mean(axis=(2, 4))
    assert abs(shrunk - small["test_images"]).mean() < 8


def test_rows_are_picked():
    dataset = open_dataset("synthetic-binary")
    (batch,) = dataset.batches("val", 10, np.array([3, 5, 79]))
    everything = next(dataset.batches("val", 1000)).images
    assert batch.rows.tolist() == [3, 5, 79] and np.array_equal(batch.images, everything[[3, 5, 79]])
    assert dataset.ids("val")[[0, 79]].tolist() == ["val/0", "val/79"]


def test_a_written_set_opens_as_the_users_own_npz_with_the_same_images(tmp_path):
    path = write_synthetic(tmp_path / "mine.npz", "synthetic-3d", seed=0)
    assert [found.name for found in tmp_path.iterdir()] == ["mine.npz"]
    own, drawn = open_dataset(path), open_dataset("synthetic-3d")
    assert own.info.ndim == 3 and own.info.name == "mine"
    for group in OFFICIAL_GROUPS:
        assert np.array_equal(next(own.batches(group, 500)).images, next(drawn.batches(group, 500)).images)
        assert np.array_equal(own.labels(group), drawn.labels(group))


def test_writing_an_unknown_set_names_the_known_ones(tmp_path):
    with pytest.raises(UsageError, match="synthetic-3d"):
        write_synthetic(tmp_path / "x.npz", "synthetic3d")
    assert not list(tmp_path.iterdir())


def test_an_unknown_group_is_refused():
    with pytest.raises(DataError, match="train, val, test"):
        open_dataset("synthetic-3d").ids("all")


def test_averages_help_and_do_not_solve_it():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    arrays = draw_synthetic("synthetic")

    def averages(images):
        values = images.reshape(len(images), -1, 3).astype(float)
        return np.concatenate([values.mean(axis=1), values.std(axis=1)], axis=1)

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    model.fit(averages(arrays["train_images"]), arrays["train_labels"][:, 0])
    accuracy = model.score(averages(arrays["test_images"]), arrays["test_labels"][:, 0])
    assert 0.3 < accuracy < 0.85


def test_its_task_is_official():
    task = source_task(open_dataset("synthetic-multilabel"))
    assert (task.name, task.task_type, task.labels.shape) == ("official", "multi-label", (960, 4))
    assert (np.char.partition(task.ids, "/")[:, 0] == task.split).all()
