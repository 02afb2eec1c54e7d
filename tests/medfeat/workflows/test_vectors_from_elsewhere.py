"""Vectors made elsewhere come in with their labels, splits and patients, and what goes out comes back bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import medfeat
from medfeat.errors import DataError, UsageError
from medfeat.tasks import official
from medfeat.workflows import cache
from medfeat.workflows.probe import probe
from medfeat.workflows.search import search
from medfeat.workflows.stores.importing import import_store
from medfeat_cache import FeatureStore, StoreInputError

COUNT = 60
CLASSES = np.array(["none", "mild", "severe"])
NAMES = {"data": "study", "backbone": "theirs"}


def columns(dtype="f4"):
    """Vectors of three classes that can be told apart, two images a patient."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(3), COUNT // 3)
    X = np.eye(3)[y] @ rng.normal(size=(3, 8)) * 3 + rng.normal(size=(COUNT, 8))
    return {
        "ids": np.array([f"img_{row:02d}.png" for row in range(COUNT)]),
        "embeddings": X.astype(dtype),
        "labels": y,
        "split": np.array(["training", "training", "valid", "test"] * (COUNT // 4)),
        "patient": np.array([f"p{row // 4}-{row % 4}" for row in range(COUNT)]),
    }


def as_npz(folder, given):
    np.savez(folder / "f.npz", **given)
    return folder / "f.npz", None


def as_torch(folder, given):
    tensors = {"embeddings": torch.from_numpy(given["embeddings"]), "labels": torch.from_numpy(given["labels"])}
    torch.save(tensors | {name: given[name].tolist() for name in ("ids", "split", "patient")}, folder / "f.pt")
    return folder / "f.pt", None


def as_hdf5(folder, given):
    import h5py

    with h5py.File(folder / "f.h5", "w") as file:
        for name, values in given.items():
            text = values.dtype.kind == "U"
            file.create_dataset(
                name, data=values.tolist() if text else values, dtype=h5py.string_dtype() if text else None
            )
    return folder / "f.h5", None


def as_parquet(folder, given):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({name: list(values) for name, values in given.items()}), folder / "f.parquet")
    return folder / "f.parquet", None


def as_wide_csv(folder, given):
    names = ["id", "label", "split", "patient", *(f"f{i}" for i in range(8))]
    rows = zip(given["ids"], given["labels"], given["split"], given["patient"], given["embeddings"], strict=True)
    lines = [",".join(map(str, [*row[:4], *row[4].astype(float).tolist()])) for row in rows]
    (folder / "f.csv").write_text("\n".join([",".join(names), *lines]))
    return folder / "f.csv", None


def as_npy_and_csv(folder, given):
    np.save(folder / "f.npy", given["embeddings"])
    rows = zip(given["ids"], given["labels"], given["split"], given["patient"], strict=True)
    (folder / "rows.csv").write_text("\n".join(["id,label,split,patient", *(",".join(map(str, row)) for row in rows)]))
    return folder / "f.npy", folder / "rows.csv"


FORMS = [as_npz, as_torch, as_hdf5, as_parquet, as_wide_csv, as_npy_and_csv]


@pytest.mark.parametrize("form", FORMS)
def test_labels_splits_and_patients_come_with_the_vectors(form, tmp_path, cache_root):
    given = columns()
    file, ids = form(tmp_path, given)
    with FeatureStore(import_store(file, ids=ids, cache_dir=cache_root, **NAMES), verify=True) as store:
        np.testing.assert_array_equal(store.take(given["ids"]), given["embeddings"])
        task = official(store)
    order = np.argsort(task.ids)
    assert task.ids[order].tolist() == given["ids"].tolist()
    assert task.task_type == "multi-class"
    np.testing.assert_array_equal(task.labels[order, 0], given["labels"])
    assert task.split[order].tolist() == ["train", "train", "val", "test"] * (COUNT // 4)
    assert task.group[order].tolist() == given["patient"].tolist()


def test_words_are_classes_and_a_split_is_drawn_by_patient(tmp_path, cache_root):
    given = columns() | {"labels": CLASSES[columns()["labels"]]}
    given["patient"] = np.array([f"p{row // 2}" for row in range(COUNT)])
    del given["split"]
    file, _ = as_npz(tmp_path, given)
    path = import_store(file, task="ordinal-regression", classes="none,mild,severe", cache_dir=cache_root, **NAMES)
    with FeatureStore(path) as store:
        task = official(store)
    assert (task.task_type, task.classes) == ("ordinal-regression", tuple(CLASSES))
    split_of = {}
    for name, patient, split in zip(task.ids, task.group, task.split, strict=True):
        assert split_of.setdefault(patient, split) == split, name
    assert set(task.split) == {"train", "val", "test"}


def test_an_imported_store_is_probed_and_searched_like_any_other(tmp_path, cache_root):
    file, _ = as_npz(tmp_path, columns())
    import_store(file, cache_dir=cache_root, **NAMES)
    [run] = probe(data="study", head="linear", cache_dir=cache_root, resamples=20).runs
    assert run.test.acc.value > 0.8
    found = search("study", "theirs", id="img_00.png", cache_dir=cache_root)
    assert found.hits
    X, y, ids = medfeat.load("study", "theirs", split="test", cache_dir=cache_root)
    assert len(X) == len(y) == len(ids) == COUNT // 4


def test_a_second_network_of_the_same_images_takes_their_question(tmp_path, cache_root):
    given = columns()
    import_store(as_npz(tmp_path, given)[0], cache_dir=cache_root, **NAMES)
    np.savez(tmp_path / "other.npz", ids=given["ids"][::-1], features=given["embeddings"][::-1, :4])
    path = import_store(tmp_path / "other.npz", data="study", backbone="other", cache_dir=cache_root)
    with FeatureStore(path) as store:
        task = official(store)
    assert sorted(task.ids.tolist()) == sorted(given["ids"].tolist())
    runs = probe(data="study", head="linear", cache_dir=cache_root, resamples=20).runs
    assert {run.backbone for run in runs} == {"theirs", "other"}


def test_a_file_without_labels_says_what_is_missing(tmp_path, cache_root):
    given = columns()
    np.savez(tmp_path / "f.npz", ids=given["ids"], features=given["embeddings"])
    import_store(tmp_path / "f.npz", cache_dir=cache_root, **NAMES)
    with pytest.raises(DataError, match="no labels of its own: give some with --labels"):
        probe(data="study", head="linear", cache_dir=cache_root)
    (tmp_path / "l.csv").write_text(
        "id,label\n" + "\n".join(f"{n},{y}" for n, y in zip(given["ids"], given["labels"], strict=True))
    )
    assert probe(data="study", head="linear", labels=tmp_path / "l.csv", cache_dir=cache_root, resamples=20).runs


@pytest.mark.parametrize("asked", [{"data": "runs"}, {"data": "Tuned"}, {"data": "all"}, {"backbone": "tasks"}])
def test_names_the_cache_keeps_for_itself_are_refused(tmp_path, cache_root, asked):
    file, _ = as_npz(tmp_path, columns())
    with pytest.raises(UsageError, match="keeps for itself"):
        import_store(file, cache_dir=cache_root, **(NAMES | asked))
    assert not list(cache_root.rglob("*.h5"))


def test_an_official_set_brings_its_own_labels(tmp_path, cache_root):
    given = {"features": np.zeros((2, 3), "f4"), "ids": np.array(["test/0", "train/3"])}
    np.savez(tmp_path / "f.npz", **given)
    with pytest.raises(UsageError, match="medfeat extract --data synthetic-binary --backbone stats"):
        import_store(tmp_path / "f.npz", data="synthetic-binary", backbone="theirs", cache_dir=cache_root)
    medfeat.extract("synthetic-binary", "stats", cache_dir=cache_root)
    path = import_store(tmp_path / "f.npz", data="synthetic-binary", backbone="theirs", cache_dir=cache_root)
    with (
        FeatureStore(path) as store,
        FeatureStore(*[h.path for h in cache.list_stores(backbone="stats", cache_dir=cache_root)]) as whole,
    ):
        assert store.ids("train").tolist() == ["train/3"]
        assert store.labels("train")[0] == whole.labels("train")[3]


@pytest.mark.parametrize("dtype", ["f4", "f2"])
@pytest.mark.parametrize("name", ["out", "out.npz", "out.h5", "out.parquet", "out.csv"])
def test_what_is_exported_comes_back_bit_for_bit(tmp_path, cache_root, name, dtype):
    if name == "out.parquet":
        pytest.importorskip("pyarrow")
    given = columns(dtype) | {"classes": CLASSES}
    first = import_store(as_npz(tmp_path, given)[0], cache_dir=cache_root, **NAMES)
    out = cache.export(cache.find_store(str(first)), tmp_path / name)
    again = import_store(out, cache_dir=tmp_path / "elsewhere", **NAMES)
    with FeatureStore(first) as one, FeatureStore(again, verify=True) as two:
        assert two.groups == one.groups
        assert two.dtype == (one.dtype if name != "out.csv" else np.float32)
        for group in one.groups:
            assert two.ids(group).tolist() == one.ids(group).tolist()
            assert two.embeddings(group).astype(one.dtype).tobytes() == one.embeddings(group).tobytes()
            assert two.labels(group).tobytes() == one.labels(group).tobytes()
            np.testing.assert_array_equal(two.image_hash(group), one.image_hash(group))
        before, after = official(one), official(two)
    assert (before.task_type, before.classes) == (after.task_type, after.classes) == ("multi-class", tuple(CLASSES))
    for field in ("ids", "labels", "split", "group"):
        np.testing.assert_array_equal(getattr(before, field), getattr(after, field))


@pytest.mark.parametrize("name", ["out", "out.npz", "out.h5", "out.parquet", "out.csv"])
def test_a_store_of_several_groups_and_hashes_comes_back_too(make_store, tmp_path, cache_root, name):
    if name == "out.parquet":
        pytest.importorskip("pyarrow")
    first = make_store()
    out = cache.export(cache.find_store(str(first)), tmp_path / name)
    again = import_store(out, data="copy", backbone="theirs", cache_dir=tmp_path / "elsewhere")
    with FeatureStore(first) as one, FeatureStore(again) as two:
        assert two.groups == one.groups == ("train", "val", "test")
        for group in one.groups:
            assert two.ids(group).tolist() == one.ids(group).tolist()
            assert two.embeddings(group).tobytes() == one.embeddings(group).tobytes()
            assert two.labels(group).tobytes() == one.labels(group).tobytes()
            np.testing.assert_array_equal(two.image_hash(group), one.image_hash(group))


def test_another_suffix_is_refused_with_those_there_are(make_store, tmp_path):
    with pytest.raises(StoreInputError, match=r"suffix '.xlsx'.*\.npz, \.h5"):
        cache.export(cache.find_store(str(make_store())), tmp_path / "out.xlsx")


def test_every_command_takes_an_imported_store_or_says_in_one_line_why_not(tmp_path, cache_root, capsys, monkeypatch):
    from medfeat_cli.main import run

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDFEAT_CACHE", str(cache_root))
    (tmp_path / "images").mkdir()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "images" / "one.png")
    file, _ = as_npz(tmp_path, columns())
    import_store(file, **NAMES)
    key = probe(data="study", head="linear", resamples=20).runs[0].key
    store = cache.list_stores(data="study")
    digest = next(iter(store)).digest[:12]
    good = [
        "probe --data study --resamples 20",
        "probe --data study --shots 2 --head linear --resamples 20",
        "search --data study --backbone theirs --id img_00.png",
        "audit --data study --backbone theirs",
        f"predict --run {key[:12]} --data study",
        "explore --data study --out page.html",
        "report --out runs.html",
        "cache ls",
        f"cache info {digest}",
        f"cache verify {digest}",
        f"cache verify --canary {digest}",
        f"cache repair {digest}",
        f"cache export {digest} out.npz",
    ]
    refused = [
        f"predict --run {key[:12]} --images images",
        "search --data study --backbone theirs --image images/one.png",
        "extract --data study --backbone stats",
        "finetune --data study --backbone theirs",
    ]
    for command in good:
        assert run(command.split()) == 0, (command, capsys.readouterr().err)
    capsys.readouterr()
    for command in refused:
        assert run(command.split()) not in (0, None), command
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("medfeat: ")]
        assert len(said) == 1 and "unforeseen" not in said[0], command


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("embeddings", np.zeros((COUNT, 8), np.int64)),
        ("ids", np.array(["one.png"] * COUNT)),
        ("patient", np.array(["p0"] * COUNT)),
        ("split", np.array(["x"] * COUNT)),
    ],
)
def test_a_file_that_cannot_be_meant_leaves_nothing_behind(tmp_path, cache_root, column, values):
    file, _ = as_npz(tmp_path, columns() | {column: values})
    with pytest.raises((DataError, StoreInputError)):
        import_store(file, cache_dir=cache_root, **NAMES)
    assert not [path for path in cache_root.rglob("*") if path.is_file()]
