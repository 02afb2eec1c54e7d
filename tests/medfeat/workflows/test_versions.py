"""A name stands for images: others under it are a version or are refused, and no label meets another's vectors."""

from __future__ import annotations

import json

import numpy as np
import pytest

import medfeat
from medfeat.errors import DataError, UsageError
from medfeat.tasks import OFFICIAL, find_task, official, tasks_folder
from medfeat.types import SilentProgress
from medfeat.workflows.asking.question import Question
from medfeat.workflows.fusion import fuse
from medfeat.workflows.predict import matching_store
from medfeat.workflows.probe import probe
from medfeat.workflows.stores.importing import import_store
from medfeat.workflows.transfer import transfer
from medfeat_cache import Catalogue, FeatureStore, find_stores
from medfeat_cli.main import run as command

from .embedded import embed, extracted
from .versioned import (
    ALTERNATING,
    BRIGHT,
    DARK,
    HALVES,
    features,
    load_values,
    official_of,
    picture,
    table,
    write,
)

QUICK = {"resamples": 0}


def test_other_images_of_one_name_are_refused_and_both_paths_are_named(counting, cache_root, tmp_path):
    one = table(tmp_path / "a" / "pics", DARK, HALVES)
    other = table(tmp_path / "b" / "pics", BRIGHT, ALTERNATING)
    first = embed(cache_root, one)
    with pytest.raises(UsageError) as caught:
        embed(cache_root, other)
    assert all(word in str(caught.value) for word in (str(one), str(other), "--name"))
    assert "\n" not in str(caught.value)
    assert official_of(first).labels[:, 0].tolist() == [i // 8 for i in range(16)]  # untouched
    second = embed(cache_root, other, name="others")
    assert second.parts[-3] == "others"
    assert official_of(second).labels[:, 0].tolist() == [i % 2 for i in range(16)]


def test_a_path_means_what_was_extracted_there_whatever_its_name(counting, cache_root, tmp_path, monkeypatch):
    one = table(tmp_path / "a", DARK, HALVES)
    other = table(tmp_path / "b", BRIGHT, ALTERNATING)
    third = table(tmp_path / "c", BRIGHT[::-1], HALVES)
    embed(cache_root, one)
    embed(cache_root, other, name="others")
    asked = {"cache_dir": cache_root, **QUICK}
    assert [run.dataset for run in probe(str(one), "counting", **asked).runs] == ["l"]
    assert [run.dataset for run in probe(str(other), "counting", **asked).runs] == ["others"]
    with pytest.raises(UsageError, match=r"was not extracted.*" + "a/l.csv"):
        probe(str(third), "counting", **asked)


@pytest.mark.parametrize("source", ["csv", "folder", "npz"])
def test_an_image_in_common_makes_a_numbered_version_and_the_last_one_is_meant(counting, cache_root, tmp_path, source):
    first = write(tmp_path / "first", DARK, source)
    said = SilentProgress()
    embed(cache_root, first, name="study")
    second = write(tmp_path / "second", [*DARK[1:], 200, 210], source)
    assert extracted(cache_root, second, name="study", progress=said).embedded == 2
    [line] = [line for line in said.said if "new version" in line]
    assert "study@2" in line
    assert "2 images added" in line
    assert "1 removed" in line
    newest, oldest = (load_values(cache_root, name) for name in ("study", "study@1"))
    assert max(newest) > 0.7
    assert max(oldest) < 0.4
    assert load_values(cache_root, "study@2") == newest


def test_the_last_extracted_version_is_meant_again_when_its_images_come_back(counting, cache_root, tmp_path):
    folder = write(tmp_path / "study", DARK, "folder")
    embed(cache_root, folder)
    picture(folder / "a" / "200.png", 200)
    embed(cache_root, folder)
    (folder / "a" / "200.png").unlink()
    said, before = SilentProgress(), counting.images
    embed(cache_root, folder, progress=said)
    assert counting.images == before
    assert any("study@1" in line and "means again" in line for line in said.said)
    assert max(load_values(cache_root, "study")) < 0.4


def test_all_images_replaced_at_one_path_are_a_version_of_it(counting, cache_root, tmp_path):
    embed(cache_root, write(tmp_path / "study", DARK, "folder"))
    for path in (tmp_path / "study").rglob("*.png"):
        picture(path, 255 - int(path.stem))
    said = SilentProgress()
    embed(cache_root, tmp_path / "study", progress=said)
    assert any("16 images added" in line and "16 removed" in line for line in said.said)
    assert min(load_values(cache_root, "study")) > 0.5


def test_a_moved_folder_and_a_copied_one_embed_nothing(counting, cache_root, tmp_path):
    folder = write(tmp_path / "study", DARK, "folder")
    first = embed(cache_root, folder)
    (tmp_path / "elsewhere").mkdir()
    moved = folder.rename(tmp_path / "elsewhere" / "study")
    before, said = counting.images, SilentProgress()
    assert embed(cache_root, moved, progress=said) == first
    assert counting.images == before
    assert not any("version" in line for line in said.said)
    assert probe(str(moved), "counting", head="linear", cache_dir=cache_root, **QUICK).runs


def test_renamed_files_are_a_version_without_one_new_image(counting, cache_root, tmp_path):
    folder = write(tmp_path / "study", DARK, "folder")
    embed(cache_root, folder)
    for path in list(folder.rglob("*.png")):
        path.rename(path.with_name(f"x{path.name}"))
    said = SilentProgress()
    assert extracted(cache_root, folder, progress=said).embedded == 0
    assert any("0 images added, 0 removed, 16 under other ids" in line for line in said.said)


@pytest.mark.parametrize("source", ["csv", "npz"])
def test_labels_alone_changed_are_said_and_the_newer_are_used(counting, cache_root, tmp_path, source):
    file = write(tmp_path / "study", DARK, source)
    embed(cache_root, file)
    if source == "csv":
        file.write_text(file.read_text().replace("00.png,a", "00.png,b"))
    else:
        images = np.load(file)["images"]
        np.savez(file, images=images, labels=np.array([1, *(np.arange(1, 16) % 2)]))
    said = SilentProgress()
    made = extracted(cache_root, file, progress=said)
    assert made.embedded == 0
    assert any("1 of 16 labels" in line and "--task official-1" in line for line in said.said)
    assert not any("new version" in line for line in said.said)
    with FeatureStore(made.path) as store:
        newer, older = official(store), find_task("official-1", store)
    assert newer.labels.sum() == older.labels.sum() + 1
    embed(cache_root, file, progress=(again := SilentProgress()))
    assert not any("official-1" in line for line in again.said)


def test_another_contract_is_the_same_version_in_a_store_of_its_own(counting, cache_root, tmp_path):
    file = write(tmp_path / "study", DARK, "csv")
    said = SilentProgress()
    paths = {embed(cache_root, file, intensity=one, progress=said) for one in (None, "range:0..255", "minmax")}
    assert len(paths) == 3
    assert not any("version" in line for line in said.said)
    assert {official_of(path).name for path in paths} == {OFFICIAL}
    assert len(probe("study", "counting", head="linear", cache_dir=cache_root, **QUICK).runs) == 3


def grown(cache_root, tmp_path):
    """Extract a folder twice: as it was, and with two images more."""
    folder = write(tmp_path / "study", DARK, "folder")
    first = embed(cache_root, folder)
    picture(folder / "a" / "200.png", 200)
    picture(folder / "b" / "210.png", 210)
    return first, embed(cache_root, folder)


def test_a_task_is_asked_of_another_version_only_where_its_images_are_unchanged(counting, cache_root, tmp_path):
    first, second = grown(cache_root, tmp_path)
    with FeatureStore(first) as store:
        asked = Question(name="mine").of(store)
    with FeatureStore(second) as store:
        found = find_task("mine", store)
        assert "unchanged in study@2" in found.origin
        assert found.ids.tolist() == asked.ids.tolist()
    picture(tmp_path / "study" / "a" / "020.png", 99)
    third = embed(cache_root, tmp_path / "study")
    with FeatureStore(third) as store:
        for task in ("mine", asked):
            with pytest.raises(DataError, match=r"made for study@1: 1 of its 16 images.*a/020\.png"):
                Question(task=task).of(store)


def test_predictions_transfers_and_tables_keep_versions_apart(counting, cache_root, tmp_path):
    first, second = grown(cache_root, tmp_path)
    with FeatureStore(first) as store:
        recipe = store.recipe
    assert matching_store(Catalogue(cache_root), "study", recipe) == second
    assert matching_store(Catalogue(cache_root), "study@1", recipe) == first
    report = probe("study@1,study@2", "counting", head="linear", cache_dir=cache_root, **QUICK)
    assert {table.title for table in report.tables()} == {"study@1", "study@2"}
    moved = transfer("study", "study@1", "counting", cache_dir=cache_root, **QUICK).transfers[0]
    assert (moved.run.shown, moved.onto) == ("study@2", "study@1")


def test_a_version_that_is_not_there_is_refused_by_name(counting, cache_root, tmp_path):
    grown(cache_root, tmp_path)
    with pytest.raises(UsageError, match=r"no version 3 of study.*study@1, study@2"):
        medfeat.load("study@3", "counting", cache_dir=cache_root)
    embed(cache_root, "synthetic-binary")
    with pytest.raises(UsageError, match="synthetic-binary has no versions"):
        medfeat.load("synthetic-binary@1", "counting", cache_dir=cache_root)


def test_a_backbone_that_only_an_earlier_version_has_is_not_given_for_the_newest(counting, cache_root, tmp_path):
    folder = write(tmp_path / "study", DARK, "folder")
    embed(cache_root, folder, backbone="stats")
    picture(folder / "a" / "200.png", 200)
    embed(cache_root, folder)
    for ask in (
        lambda: medfeat.load("study", "stats", cache_dir=cache_root),
        lambda: probe("study", "stats", head="linear", cache_dir=cache_root),
    ):
        with pytest.raises(UsageError, match="study@1"):
            ask()


def test_all_versions_are_listed_and_one_can_be_named(counting, cache_root, tmp_path, capsys):
    grown(cache_root, tmp_path)
    for asked, shown in (((), {"study@1", "study@2"}), (("--data", "study@1"), {"study@1"})):
        assert command(["cache", "ls", "--json", "--cache-dir", str(cache_root), *asked]) == 0
        assert {store["data"] for store in json.loads(capsys.readouterr().out)["stores"]} == shown


def test_imported_features_are_of_one_version(counting, cache_root, tmp_path):
    first, _ = grown(cache_root, tmp_path)
    with FeatureStore(first) as store:
        ids = store.ids("all").tolist()
        Question(name="mine").of(store)
    file = features(tmp_path, ids)
    old = import_store(file, data="study@1", backbone="theirs", cache_dir=cache_root)
    new = import_store(file, data="study", backbone="theirs", cache_dir=cache_root)
    assert old != new
    assert medfeat.load("study@1", "theirs", task="mine", cache_dir=cache_root).X.shape[1] == 5
    with FeatureStore(new) as store:
        assert "unchanged" in find_task("mine", store).origin
    with pytest.raises(DataError, match=r"1 ids are no images of study@2, such as nobody\.png"):
        import_store(features(tmp_path, [*ids[1:], "nobody.png"]), data="study", backbone="x", cache_dir=cache_root)


def test_labels_by_path_must_lead_to_the_images_that_were_embedded(counting, cache_root, tmp_path):
    path = embed(cache_root, table(tmp_path / "a", DARK, HALVES))
    other = table(tmp_path / "b", BRIGHT, ALTERNATING)
    copied = table(tmp_path / "c", DARK, ALTERNATING, "reader.csv")
    with FeatureStore(path) as store:
        with pytest.raises(DataError, match="16 of 16 paths lead to other images"):
            Question(labels=other).of(store)
        assert Question(labels=copied).of(store).labels[:, 0].tolist() == [i % 2 for i in range(16)]


def test_labels_in_a_file_called_official_are_not_the_official_ones(counting, cache_root, tmp_path):
    path = embed(cache_root, table(tmp_path / "a", DARK, HALVES))
    with FeatureStore(path) as store:
        theirs = table(tmp_path / "c", DARK, ALTERNATING, "official.csv")
        assert Question(labels=theirs).of(store).name == "official-labels"
        from dataclasses import replace

        own = official(store)
        assert Question(task=own).of(store).name == OFFICIAL
        assert Question(task=replace(own, labels=1 - own.labels)).of(store).name == "given"


def test_stores_are_fused_only_over_the_same_images(counting, cache_root, tmp_path):
    first = table(tmp_path / "a", DARK, HALVES)
    embed(cache_root, first)
    picture(tmp_path / "a" / "03.png", 250)
    embed(cache_root, first, backbone="stats")
    paths = {header.recipe["backbone"]: header.path for header in find_stores(cache_root)}
    from medfeat.tasks import fuse as side_by_side

    with (
        FeatureStore(paths["counting"]) as one,
        FeatureStore(paths["stats"]) as other,
        pytest.raises(DataError, match=r"under 1 ids, such as 03\.png"),
    ):
        side_by_side([one, other])
    with pytest.raises(UsageError, match="two stores or more"):
        fuse("l", cache_dir=cache_root, **QUICK)


def test_official_sets_have_no_versions_and_their_tasks_lie_where_they_lay(counting, cache_root):
    paths = [embed(cache_root, "synthetic-binary", size=size) for size in (28, 64)]
    with FeatureStore(paths[0]) as store:
        Question(name="mine").of(store)
        assert (tasks_folder(store) / "mine.json").is_file()
    with FeatureStore(paths[1]) as store:
        assert find_task("mine", store).images == ""
    assert not (cache_root / "synthetic-binary" / "versions.json").exists()
    assert len(probe("synthetic-binary", "counting", head="linear", cache_dir=cache_root, **QUICK).runs) == 2


def test_a_changed_image_is_never_taken_for_a_changed_network(counting, cache_root, tmp_path):
    from medfeat.workflows.cache import verify

    path = embed(cache_root, table(tmp_path / "a", DARK, HALVES))
    assert verify([path], canary=True, device="cpu")[0].ok
    picture(tmp_path / "a" / "03.png", 250)
    with pytest.raises(DataError, match="not those that were embedded"):
        verify([path], canary=True, device="cpu")
