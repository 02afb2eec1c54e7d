"""Each door for objects of a program makes the vectors that the same images make as files, bit for bit."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset

import medfeat
from medfeat.backbones import BACKBONES, backbone_from, registered
from medfeat.datasets.medmnist_table import medmnist_sets
from medfeat.errors import DataError, MedfeatError, UsageError
from medfeat.workflows import cache
from medfeat.workflows.probe import probe
from medfeat_cache import FeatureStore

pytestmark = pytest.mark.usefixtures("own_home")
RNG = np.random.default_rng(0)
COUNTS = {"train": 24, "val": 9, "test": 12}
PARTS = {split: RNG.integers(0, 256, (count, 20, 20, 3), np.uint8) for split, count in COUNTS.items()}
LABELS = {split: np.arange(count) % 3 for split, count in COUNTS.items()}
CLASSES = ("basal", "clear", "other")
OPTIONS = {"device": "cpu", "precision": "fp32", "batch_size": 8}


@pytest.fixture
def own_home(cache_root, monkeypatch):
    """A cache that no option has to name, and a network small enough to run all day."""
    monkeypatch.setenv("MEDFEAT_CACHE", str(cache_root))
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 12, 5, stride=2), torch.nn.GELU())
    registered(backbone_from(net, input_size=32, mean=0.5, std=0.25, name="tiny"))
    yield
    BACKBONES.remove("tiny")


@pytest.fixture
def npz(tmp_path):
    """The images as one .npz in MedMNIST's form."""
    arrays = {f"{split}_images": images for split, images in PARTS.items()}
    np.savez(tmp_path / "parts.npz", **arrays, **{f"{split}_labels": y for split, y in LABELS.items()})
    return tmp_path / "parts.npz"


@pytest.fixture
def folder(tmp_path):
    """The images as PNG files: split/class/number."""
    for split, images in PARTS.items():
        for row, image in enumerate(images):
            path = tmp_path / "skin" / split / CLASSES[LABELS[split][row]] / f"{row:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    return tmp_path / "skin"


def extracted(data, name, backbone="tiny", **options):
    return medfeat.extract(data, backbone, name=name, **{**OPTIONS, **options}).stores[0]


def vectors(store):
    with FeatureStore(store.path) as opened:
        return {group: np.asarray(opened.embeddings(group)) for group in opened.groups}


def by_id(store):
    with FeatureStore(store.path) as opened:
        pairs = [(opened.ids(group), np.asarray(opened.embeddings(group))) for group in opened.groups]
    return {name: vector for ids, rows in pairs for name, vector in zip(ids.tolist(), rows, strict=True)}


def equal(one, other):
    assert list(one) == list(other)
    for group in one:
        np.testing.assert_array_equal(one[group], other[group])


@pytest.mark.parametrize(
    "made",
    [
        lambda images, y: TensorDataset(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), torch.from_numpy(y)),
        lambda images, y: list(zip(map(Image.fromarray, images), y.tolist(), strict=True)),
        lambda images, y: list(zip(images, y, strict=True)),
    ],
    ids=["torch", "pictures", "arrays"],
)
def test_a_dict_of_splits_is_the_npz_of_these_splits(npz, made):
    filed = extracted(npz, "filed")
    held = extracted({split: made(PARTS[split], LABELS[split]) for split in PARTS}, "held")
    equal(vectors(held), vectors(filed))
    for split in PARTS:
        one, other = (medfeat.load(name, "tiny", split=split) for name in ("held", "filed"))
        np.testing.assert_array_equal(one.y, other.y)
        np.testing.assert_array_equal(one.ids, other.ids)


def test_probing_both_gives_the_same_scores(npz):
    extracted(npz, "filed", "stats")
    held = {split: list(zip(PARTS[split], LABELS[split], strict=True)) for split in PARTS}
    extracted(held, "held", "stats")
    one, other = (probe(name, "stats", head="linear", resamples=20).runs[0] for name in ("filed", "held"))
    assert one.test.auc == other.test.auc and one.val.acc == other.val.acc


def test_torchvision_folders_make_the_store_of_the_folder(folder):
    from torchvision.datasets import ImageFolder

    filed = extracted(folder, "skin")
    held = {split: ImageFolder(folder / split) for split in COUNTS}
    again = extracted(held, "skin")
    assert again.path == filed.path and again.action == "reuse"
    alone = extracted(ImageFolder(folder / "train"), "alone")
    expected = {name.removeprefix("train/"): v for name, v in by_id(filed).items() if name.startswith("train/")}
    equal(by_id(alone), expected)
    assert medfeat.load("alone", "tiny", split="all").X.shape[0] == 24


def test_an_image_folder_with_a_transform_is_read_through_it(folder):
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    half = transforms.Resize((10, 10))
    store = extracted(ImageFolder(folder / "train", transform=half), "half")
    files = sorted((folder / "train").rglob("*.png"), key=lambda path: (path.parent.name, path.name))
    expected = extracted([half(Image.open(path)) for path in files], "by-hand")
    equal(vectors(store), vectors(expected))
    with pytest.raises(DataError, match=r"imagefolder: it holds float32 values .* without the transform"):
        medfeat.extract(ImageFolder(folder / "train", transform=transforms.ToTensor()), "stats")


def test_hugging_face_tables_make_the_vectors_of_the_files(folder, npz):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(CLASSES))})
    names = {"train": "train", "val": "validation", "test": "test"}
    tables = datasets.DatasetDict(
        {
            names[split]: datasets.Dataset.from_dict(
                {"image": [Image.fromarray(one) for one in PARTS[split]], "label": LABELS[split].tolist()}, features
            )
            for split in PARTS
        }
    )
    held = extracted(tables, "hub")
    equal(vectors(held), vectors(extracted(npz, "filed")))
    with FeatureStore(held.path) as store:
        assert tuple(store.info["dataset"]["classes"]) == CLASSES
    equal(vectors(extracted(tables.with_format("torch"), "formatted")), vectors(held))
    with pytest.raises(UsageError, match="has a transform"):
        extracted(tables["train"].with_transform(lambda row: row), "changed")
    with pytest.raises(UsageError, match="label_column must be one of image, label"):
        extracted(tables, "wrong", label_column="nonesuch")


def test_hugging_face_patients_stay_together():
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict(
        {"image": [Image.fromarray(one) for one in PARTS["train"]], "label": LABELS["train"].tolist(),
         "who": [f"p{row // 2}" for row in range(24)]}
    ).cast_column("image", datasets.Image())  # fmt: skip
    extracted(table, "clinic", "stats", patient_column="who")
    ids = {split: medfeat.load("clinic", "stats", split=split).ids for split in ("train", "val", "test")}
    patients = {split: {int(name.partition("/")[2]) // 2 for name in names} for split, names in ids.items()}
    assert not patients["train"] & patients["test"] and not patients["train"] & patients["val"]


def test_paths_and_pictures_are_the_images_of_their_files(folder):
    paths = sorted((folder / "train").rglob("*.png"))
    filed = by_id(extracted(folder, "skin"))
    expected = np.stack([filed[path.relative_to(folder).as_posix()] for path in paths])
    for images in (paths, [str(path) for path in paths], [Image.open(path) for path in paths]):
        found = medfeat.embed(images, "tiny", **OPTIONS)
        np.testing.assert_array_equal(found, expected)


def test_ids_that_are_given_are_the_ids_of_the_store():
    store = extracted(PARTS["val"], "named", "stats", ids=[f"case-{row}" for row in range(9)])
    assert extracted_ids(store) == [f"case-{row}" for row in range(9)]
    with pytest.raises(UsageError, match="ids are for images that a program holds"):
        medfeat.extract("synthetic", "stats", ids=["a"])


def extracted_ids(store):
    with FeatureStore(store.path) as opened:
        return opened.ids("all").tolist()


def test_nothing_is_embedded_twice_and_what_is_new_alone_goes_through_the_network():
    first = extracted(PARTS["train"], "grown", "stats")
    assert (first.action, first.embedded) == ("compute", 24)
    assert extracted(PARTS["train"].copy(), "grown", "stats").action == "reuse"
    more = extracted(np.concatenate([PARTS["train"], PARTS["val"]]), "grown", "stats")
    assert (more.embedded, more.copied) == (9, 24)


def test_a_store_of_an_object_says_that_it_cannot_be_read_again(cache_root):
    import h5py

    store = extracted(PARTS["train"], "held", "stats")
    with h5py.File(store.path, "r+") as file:
        found = []
        file.visititems(lambda name, kind: found.append(name) if isinstance(kind, h5py.Dataset) else None)
        name = next(one for one in found if "embed" in one)
        rows = file[name][...]
        rows[0] += 1
        file[name][...] = rows
    with pytest.raises(UsageError, match="held was made from images held in Python, and nothing"):
        cache.repair(store.path)


@pytest.mark.parametrize(
    ("backbone", "said"), [(torch.nn.ReLU(), "medfeat.backbone_from"), (3, "got a int"), ([], "is empty")]
)
def test_what_is_no_backbone_is_one_line(backbone, said):
    with pytest.raises(UsageError, match=said):
        medfeat.extract(PARTS["val"], backbone)


def test_options_that_do_not_belong_to_objects_are_refused_by_name():
    with pytest.raises(UsageError, match="size is for data that is named"):
        medfeat.extract(PARTS["val"], "stats", size=28)


def test_an_image_that_cannot_be_read_has_no_row_so_embed_refuses_it(tmp_path):
    (tmp_path / "torn.png").write_bytes(b"no picture")
    Image.fromarray(PARTS["val"][0]).save(tmp_path / "whole.png")
    with pytest.raises(DataError, match="all/1 cannot be embedded: no image of PNG"):
        medfeat.embed([tmp_path / "whole.png", tmp_path / "torn.png"], "stats")
    with pytest.raises(MedfeatError, match="one array"):
        medfeat.embed(PARTS["val"], "tiny", pool="avg,max", **OPTIONS)


def test_all_splits_load_as_arrays_and_as_frames(npz):
    pandas = pytest.importorskip("pandas")
    extracted(npz, "filed", "stats")
    whole = medfeat.load("filed", "stats", split="all")
    parts = [medfeat.load("filed", "stats", split=split) for split in COUNTS]
    np.testing.assert_array_equal(whole.X, np.concatenate([part.X for part in parts]))
    np.testing.assert_array_equal(whole.y, np.concatenate([part.y for part in parts]))
    X, y, ids = medfeat.load("filed", "stats", split="all", as_frame=True)
    assert isinstance(X, pandas.DataFrame) and list(X.columns[:2]) == ["stats_0", "stats_1"]
    np.testing.assert_array_equal(X.loc["val"].to_numpy(), parts[1].X)
    assert y.loc[("test", "test/3")] == 0 and y.name == "label" and ids.tolist() == whole.ids.tolist()
    one = medfeat.load("filed", "stats", split="val", as_frame=True)
    assert one.X.index.name == "id" and one.X.index.equals(one.y.index)
    with pytest.raises(UsageError, match="split must be one of train, val, test, all"):
        medfeat.load("filed", "stats", split="dev")


def test_other_images_under_the_name_of_an_object_are_refused_and_grown_ones_are_a_version():
    first = medfeat.extract(list(PARTS["train"]), "stats").stores[0]
    assert first.dataset == "list"
    with pytest.raises(UsageError, match=r"'list' is the name of other images in the cache, 24 others.*with --name"):
        medfeat.extract(list(PARTS["val"]), "stats")
    medfeat.extract([*PARTS["train"], *PARTS["val"]], "stats")
    assert [len(one) for one in map(versions, ("list", "list@1"))] == [33, 24]


def test_the_same_values_under_another_contract_are_no_other_version():
    values = PARTS["train"].astype(np.float32) / 255
    labelled = list(zip(values, LABELS["train"], strict=True))
    first, second = (extracted(labelled, "floats", "stats", intensity=f"range:0..{top}") for top in (1, 2))
    assert first.path != second.path
    with pytest.raises(UsageError, match=r"no versions|no version 2"):
        cache.list_stores(data="floats@2")
    assert len(cache.list_stores(data="floats")) == 2


def versions(name):
    return medfeat.FeatureStore(next(iter(cache.list_stores(data=name))).path).ids("all")


def test_arrays_that_are_only_embedded_go_by_what_they_hold(cache_root):
    for part in PARTS.values():
        medfeat.embed(part, "stats")
    names = {header.recipe["dataset"] for header in cache.list_stores()}
    assert len(names) == 3 and all(name.startswith("ndarray-") for name in names)
    medfeat.embed(PARTS["val"], "stats", name="mine")
    assert [header.recipe["dataset"] for header in cache.list_stores(data="mine")] == ["mine"]


def test_rows_of_a_torchvision_folder_come_in_its_order(tmp_path):
    from torchvision.datasets import ImageFolder

    for row, name in enumerate(("a/0.png", "a-b/0.png", "a/1.png")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(PARTS["val"][row]).save(tmp_path / name)
    held = ImageFolder(tmp_path)
    rows = {Path(path).relative_to(tmp_path).as_posix(): row for row, (path, _) in enumerate(held.samples)}
    assert list(rows) != sorted(rows)
    expected = medfeat.embed(PARTS["val"][[0, 2, 1]], "stats")
    np.testing.assert_array_equal(medfeat.embed(held, "stats"), expected)


@pytest.fixture
def made_up_breast(tmp_path, monkeypatch):
    """A file in the place of BreastMNIST's, of as many images, taken for the official one."""
    facts = medmnist_sets()["breastmnist"]
    arrays = {}
    for split, count in facts.counts.items():
        arrays[f"{split}_images"] = RNG.integers(0, 256, (count, 28, 28), np.uint8)
        arrays[f"{split}_labels"] = (np.arange(count) % 2)[:, None].astype(np.uint8)
    np.savez(tmp_path / "breastmnist.npz", **arrays)
    md5 = hashlib.md5((tmp_path / "breastmnist.npz").read_bytes()).hexdigest()
    files = {28: dataclasses.replace(facts.files[28], md5=md5)}
    monkeypatch.setitem(medmnist_sets(), "breastmnist", dataclasses.replace(facts, files=files))
    return tmp_path


def splits_of(kind, root):
    return {split: kind(split=split, root=root, size=28) for split in COUNTS}


def same_as_the_file(flag, splits, root):
    filed = medfeat.extract(flag, "stats", data_root=root, device="cpu").stores[0]
    for held in (splits, splits["train"], {"train": splits["train"], "test": splits["test"]}):
        store = medfeat.extract(held, "stats", device="cpu").stores[0]
        assert store.path == filed.path and store.action == "reuse"
    for split in ("val", "test"):
        np.testing.assert_array_equal(medfeat.embed(splits[split], "stats", device="cpu"), vectors(filed)[split])
    assert cache.verify([filed.path], canary=True)[0].ok


def test_splits_of_the_medmnist_package_make_the_store_of_the_file(made_up_breast):
    import medmnist

    same_as_the_file("breastmnist", splits_of(medmnist.BreastMNIST, made_up_breast), made_up_breast)


@pytest.mark.realdata
@pytest.mark.parametrize("flag", ["breastmnist", "retinamnist", "adrenalmnist3d"])
def test_splits_of_the_official_files_make_their_stores(real_data, tmp_path, flag):
    import medmnist

    shutil.copy(real_data / f"{flag}.npz", tmp_path)
    same_as_the_file(flag, splits_of(getattr(medmnist, medmnist.INFO[flag]["python_class"]), tmp_path), tmp_path)


def test_what_is_not_the_official_file_any_more_has_a_name_of_its_own(made_up_breast):
    import medmnist

    tmp_path = made_up_breast
    splits = splits_of(medmnist.BreastMNIST, tmp_path)
    filed = medfeat.extract("breastmnist", "stats", data_root=tmp_path, device="cpu").stores[0]
    splits["train"].imgs = splits["train"].imgs ^ 1
    changed = medmnist.BreastMNIST(split="val", transform=np.asarray, root=tmp_path, size=28)
    crossed = {"train": splits["test"], "test": splits["val"]}
    for name, held in {"flipped": splits["train"], "changed": changed, "crossed": crossed}.items():
        assert medfeat.dataset_from(held).info.name == "breastmnist-own"
        assert extracted(held, name, "stats").path.parent.parent.name == name
    np.testing.assert_array_equal(vectors(extracted(changed, "changed", "stats"))["all"], vectors(filed)["val"])
    half = torch.utils.data.Subset(splits["test"], range(50))
    assert medfeat.dataset_from(half).info.counts == {"all": 50}
    splits["test"].imgs = splits["test"].imgs[:50]
    with pytest.raises(UsageError, match="cannot say its length"):
        medfeat.dataset_from(splits["test"])


def test_images_that_a_program_held_leave_pages_without_pictures(cache_root, tmp_path):
    rng, labels = np.random.default_rng(0), torch.arange(40) % 2
    splits = {
        split: torch.from_numpy(rng.integers(0, 256, (40, 16, 16), np.uint8)) for split in ("train", "val", "test")
    }
    held = {split: TensorDataset(images, labels) for split, images in splits.items()}
    [store] = medfeat.extract(held, "stats", name="held", cache_dir=cache_root, device="cpu").stores
    [found] = cache.verify([store.path], canary=True)
    assert found.state == "ok" and "images held in Python" in found.silent
    probe(head="linear", cache_dir=cache_root, resamples=0)
    report = medfeat.write_report(out=tmp_path / "results.html", cache_dir=cache_root)
    assert any("held by a program" in line for line in report.notes)
    shown = medfeat.explore("held", out=tmp_path / "held.html", cache_dir=cache_root)
    assert any("held by a program" in line for line in shown.notes)
