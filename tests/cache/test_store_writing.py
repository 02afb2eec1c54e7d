"""What a writer promises: nothing half-written, nothing mixed, nothing shifted, nothing lost but the last part."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medfeat_cache import (
    FeatureStore,
    GroupSpec,
    StoreBusy,
    StoreConflictError,
    StoreDamaged,
    StoreError,
    StoreInputError,
    StoreWriteError,
    StoreWriter,
    UnknownIdsError,
    merge,
    verify_store,
)
from medfeat_cache.parts import read_part
from medfeat_cache.root import lock_file, parts_folder

Source = Any


def same(first: Path, second: Path) -> bool:
    """Tell whether two stores hold the same features, ids, labels, hashes and rows."""
    one, two = FeatureStore(first, verify=True), FeatureStore(second, verify=True)
    columns = ("embeddings", "ids", "labels", "image_hash", "rows")
    return one.groups == two.groups and all(
        np.array_equal(getattr(one, name)(group), getattr(two, name)(group)) for group in one.groups for name in columns
    )


def done(source: Source, writer: StoreWriter, group: str) -> list[int]:
    """Return the rows that durable parts cover."""
    return np.setdiff1d(np.arange(source.counts[group]), writer.missing_rows(group)).tolist()


def test_a_published_store_holds_what_was_written(source: Source, store: Path) -> None:
    opened = FeatureStore(store, verify=True)
    assert opened.groups == ("train", "val")
    for group in opened.groups:
        assert np.array_equal(opened.embeddings(group), source.embeddings(group))
        assert opened.ids(group).tolist() == source.ids(group).tolist()
        assert np.array_equal(opened.labels(group), source.labels(group))
        assert np.array_equal(opened.image_hash(group), source.hashes(group))
        assert opened.rows(group).tolist() == list(range(source.counts[group]))
    assert opened.recipe == source.recipe
    assert opened.info["settings"] == {"batch_size": 4}
    assert [entry.name for entry in store.parent.iterdir()] == [store.name], "no part, lock or temporary file is left"


def test_parts_may_come_in_any_order_and_any_rows(source: Source, store: Path, tmp_path: Path) -> None:
    with source.open(tmp_path) as writer:
        source.part(writer, "val", 0, 7)
        known = np.array([1, 8, 9, 29])
        writer.write_rows("train", known, source.embeddings("train")[known], source.hashes("train")[known])
        for start, stop in ((20, 30), (0, 12), (12, 20)):
            rows = writer.missing_rows("train")
            rows = rows[(rows >= start) & (rows < stop)]
            embeddings, hashes = source.embeddings("train")[rows], source.hashes("train")[rows]
            writer.write_rows("train", rows, embeddings, hashes)
        path = writer.publish()
    assert same(path, store)


def test_an_interrupted_writer_goes_on_where_it_was_and_keeps_its_settings(
    source: Source, store: Path, tmp_path: Path
) -> None:
    with source.open(tmp_path) as writer:
        source.part(writer, "train", 0, 8)
        source.part(writer, "train", 16, 24)
    with source.open(tmp_path, settings={"batch_size": 512}) as writer:
        assert writer.resumed
        assert writer.settings == {"batch_size": 4}
        assert done(source, writer, "train") == [*range(8), *range(16, 24)]
        assert writer.missing_rows("train").tolist() == [*range(8, 16), *range(24, 30)]
        source.part(writer, "train", 8, 16)
        source.part(writer, "train", 24, 30)
        source.part(writer, "val", 0, 7)
        path = writer.publish({"images_per_s": 5})
    assert same(path, store)
    assert FeatureStore(path).info["images_per_s"] == 5


def test_a_writer_without_a_part_leaves_no_decision_behind(source: Source, tmp_path: Path) -> None:
    with source.open(tmp_path):
        pass
    with source.open(tmp_path, settings={"batch_size": 512}) as writer:
        assert not writer.resumed
        assert writer.settings == {"batch_size": 512}


def test_settings_that_had_to_change_are_remembered_and_told(source: Source, tmp_path: Path) -> None:
    with source.open(tmp_path) as writer:
        source.part(writer, "train", 0, 8)
        writer.change_settings("out of memory", batch_size=2)
    with source.open(tmp_path) as writer:
        assert writer.settings == {"batch_size": 2}
        source.part(writer, "train", 8, 30)
        source.part(writer, "val", 0, 7)
        info = FeatureStore(writer.publish()).info
    assert info["settings"] == {"batch_size": 2}
    assert [(change["was"], change["reason"]) for change in info["settings_changes"]] == [
        ({"batch_size": 4}, "out of memory")
    ]


@pytest.mark.parametrize("position", [3, 40, 200, -5])
def test_a_damaged_part_is_dropped_and_made_again(source: Source, tmp_path: Path, position: int) -> None:
    with source.open(tmp_path) as writer:
        source.part(writer, "train", 0, 8)
        source.part(writer, "train", 8, 16)
    part = next(parts_folder(source.path(tmp_path)).glob("train-000000000008.part"))
    data = bytearray(part.read_bytes())
    data[position] ^= 4
    part.write_bytes(data)
    with source.open(tmp_path) as writer:
        assert done(source, writer, "train") == [*range(8)]
        assert len(writer.dropped) == 1
        assert "is damaged" in writer.dropped[0]


def test_a_truncated_part_is_dropped(source: Source, tmp_path: Path) -> None:
    with source.open(tmp_path) as writer:
        source.part(writer, "train", 0, 8)
    part = next(parts_folder(source.path(tmp_path)).glob("*.part"))
    os.truncate(part, part.stat().st_size // 2)
    with source.open(tmp_path) as writer:
        assert done(source, writer, "train") == []


def test_a_damaged_manifest_takes_its_parts_along(source: Source, tmp_path: Path) -> None:
    with source.open(tmp_path) as writer:
        source.part(writer, "train", 0, 8)
    manifest = parts_folder(source.path(tmp_path)) / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"batch_size": 4', '"batch_size": 8'))
    with source.open(tmp_path) as writer:
        assert done(source, writer, "train") == []
        assert "manifest" in writer.dropped[0]


def test_parts_of_another_recipe_are_never_mixed_in(
    source: Source, new_source: Callable[..., Source], tmp_path: Path
) -> None:
    other = new_source(recipe={**source.recipe, "pool": "max"})
    with other.open(tmp_path) as writer:
        other.part(writer, "train", 0, 8)
    parts_folder(other.path(tmp_path)).rename(parts_folder(source.path(tmp_path)))
    with pytest.raises(StoreConflictError, match="differs in pool"):
        source.open(tmp_path)


def test_a_single_part_of_another_recipe_is_dropped(
    source: Source, new_source: Callable[..., Source], tmp_path: Path
) -> None:
    other = new_source(recipe={**source.recipe, "pool": "max"})
    for one in (source, other):
        with one.open(tmp_path) as writer:
            one.part(writer, "train", 0, 8)
    theirs, ours = (next(parts_folder(one.path(tmp_path)).glob("*.part")) for one in (other, source))
    theirs.replace(ours.with_name("train-000000000099.part"))
    with source.open(tmp_path) as writer:
        assert done(source, writer, "train") == [*range(8)]
        assert "another recipe" in writer.dropped[0]


def test_other_ids_do_not_inherit_the_parts(source: Source, new_source: Callable[..., Source], tmp_path: Path) -> None:
    with source.open(tmp_path) as writer:
        source.part(writer, "train", 0, 8)
        source.part(writer, "val", 0, 7)
    grown = new_source(counts={"train": 31, "val": 7})
    with grown.open(tmp_path) as writer:
        assert done(grown, writer, "train") == []
        assert done(grown, writer, "val") == [*range(7)]
        assert "its ids are not" in writer.dropped[0]


def test_bad_images_are_absent_named_and_shift_nobody(source: Source, tmp_path: Path) -> None:
    with source.open(tmp_path) as writer:
        rows = np.array([0, 1, 3, 4, 5])
        embeddings, hashes = source.embeddings("val")[rows], source.hashes("val")[rows]
        bad = [("val/6é", "empty file"), ("val/2é", "not an image")]
        writer.write_rows("val", rows, embeddings, hashes, bad)
        source.part(writer, "train", 0, 30)
        opened = FeatureStore(writer.publish(), verify=True)
    assert opened.n("val") == 5
    assert opened.source_rows("val") == 7
    assert opened.rows("val").tolist() == rows.tolist()
    assert opened.ids("val").tolist() == [f"val/{row}é" for row in rows]
    assert opened.labels("val")[:, 0].tolist() == [0, 1, 0, 1, 2]
    assert np.array_equal(opened.take(["val/5é", "val/3é"]), source.embeddings("val")[[5, 3]])
    assert opened.info["bad_images"] == [
        {"group": "val", "id": "val/2é", "reason": "not an image"},
        {"group": "val", "id": "val/6é", "reason": "empty file"},
    ]


def test_bad_images_outlive_an_interruption(source: Source, tmp_path: Path) -> None:
    none = np.empty((0, 8), np.float32)
    with source.open(tmp_path) as writer:
        writer.write_rows("val", [], none, np.empty((0, 16), np.uint8), [("val/0é", "gone")])
    with source.open(tmp_path) as writer:
        assert done(source, writer, "val") == [*range(1)]
        assert writer.bad_images() == [{"group": "val", "id": "val/0é", "reason": "gone"}]


def test_a_store_without_labels_and_in_half_precision(new_source: Callable[..., Source], tmp_path: Path) -> None:
    half = new_source(dtype="float16")
    with StoreWriter.open(half.path(tmp_path), recipe=half.recipe, info={}, settings={}) as writer:
        writer.groups({group: GroupSpec(half.ids(group).tolist()) for group in half.counts})
        half.fill(writer)
        opened = FeatureStore(writer.publish(), verify=True)
    assert opened.dtype == np.float16
    assert opened.labels("train") is None
    assert np.array_equal(opened.embeddings("train"), half.embeddings("train"))


def test_float_labels_stay_floats(source: Source, tmp_path: Path) -> None:
    with StoreWriter.open(source.path(tmp_path), recipe=source.recipe, info={}, settings={}) as writer:
        writer.groups({group: GroupSpec(source.ids(group), source.labels(group) / 2) for group in source.counts})
        source.fill(writer)
        labels = FeatureStore(writer.publish()).labels("val")
    assert labels is not None
    assert labels.dtype == np.float64
    assert np.array_equal(labels, source.labels("val") / 2)


def test_discarded_parts_are_gone_for_good(source: Source, store: Path, tmp_path: Path) -> None:
    with source.open(tmp_path) as writer:
        source.part(writer, "train", 0, 8)
        source.part(writer, "val", 0, 7)
        writer.discard()
        assert not list(writer.folder.glob("*.part"))
        assert writer.missing_rows("train").tolist() == list(range(30))
        source.fill(writer)
        assert same(writer.publish(), store)
    with source.open(tmp_path / "again") as writer:
        source.part(writer, "train", 0, 8)
        writer.discard()
    assert not parts_folder(writer.path).exists()


def test_an_unfinished_store_cannot_be_published(source: Source, tmp_path: Path) -> None:
    with source.open(tmp_path) as writer:
        source.part(writer, "train", 0, 30)
        source.part(writer, "val", 0, 4)
        with pytest.raises(StoreConflictError, match="3 images of 'val' are still missing, first row 4"):
            writer.publish()
    assert not source.path(tmp_path).exists()


def test_infinite_embeddings_are_refused_by_id_unless_allowed(source: Source, tmp_path: Path) -> None:
    broken = source.embeddings("val")
    broken[3, 2] = np.nan
    with source.open(tmp_path) as writer:
        with pytest.raises(StoreInputError, match="1 embeddings of 'val' hold NaN or infinity, first 'val/3é'"):
            writer.write_rows("val", range(7), broken, source.hashes("val"))
        assert done(source, writer, "val") == []
        writer.write_rows("val", range(7), broken, source.hashes("val"), allow_nonfinite=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rows": [0, 2, 1, 3]}, "must ascend"),
        ({"rows": [0, 1, 1, 3]}, "must ascend"),
        ({"rows": [0, 1, 2, 9]}, "must lie in"),
        ({"bad": [("val/3é", "both")]}, "none both stored and bad"),
        ({"bad": [("elsewhere", "?")]}, "is not an id"),
        ({"embeddings": np.zeros((4, 8))}, "float32 or float16"),
        ({"embeddings": np.zeros((3, 8), np.float32)}, "must have shape"),
        ({"image_hash": np.zeros((4, 8), np.uint8)}, "image_hash must be"),
    ],
)
def test_a_part_that_could_shift_rows_is_refused(
    source: Source, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    arguments = {
        "rows": range(4),
        "embeddings": source.embeddings("val")[:4],
        "image_hash": source.hashes("val")[:4],
        **change,
    }
    if len(arguments["rows"]) == 3:
        arguments |= {"embeddings": arguments["embeddings"][:3], "image_hash": arguments["image_hash"][:3]}
    with source.open(tmp_path) as writer:
        with pytest.raises(StoreInputError, match=words):
            writer.write_rows("val", **arguments)
        assert done(source, writer, "val") == []


def test_rows_are_written_once_and_groups_declared_once(source: Source, tmp_path: Path) -> None:
    with source.open(tmp_path) as writer:
        source.part(writer, "train", 0, 8)
        with pytest.raises(StoreConflictError, match="already written: 3 of them, first 5"):
            source.part(writer, "train", 5, 12)
        with pytest.raises(StoreConflictError, match="already declared"):
            writer.groups(source.spec())
        with pytest.raises(UnknownIdsError, match="must be one of train, val, got 'test'"):
            writer.missing_rows("test")


def test_all_embeddings_have_one_length(source: Source, tmp_path: Path) -> None:
    with source.open(tmp_path) as writer:
        source.part(writer, "train", 0, 30)
        writer.write_rows("val", range(7), np.ones((7, 5), np.float32), source.hashes("val"))
        with pytest.raises(StoreInputError, match="one shape and type, found 5 <f4, 8 <f4"):
            writer.publish()


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (["a", "a"], "must be unique"),
        (["a", ""], "non-empty"),
        (["a", "b\0c"], "without NUL"),
        (["a", "\udce9"], "UTF-8"),
        ([1, 2], "list of strings"),
        (["a", None], "list of strings"),
    ],
)
def test_ids_that_cannot_join_are_refused(source: Source, tmp_path: Path, ids: list[Any], words: str) -> None:
    with StoreWriter.open(source.path(tmp_path), recipe=source.recipe, info={}, settings={}) as writer:
        with pytest.raises(StoreInputError, match=words):
            writer.groups({"all": GroupSpec(np.array(ids) if None not in ids else np.array(ids, object))})
        with pytest.raises(StoreInputError, match="must be unique"):
            writer.groups({"train": GroupSpec(["x"]), "val": GroupSpec(["x"])})
        with pytest.raises(StoreInputError, match="group name"):
            writer.groups({"../x": GroupSpec(["x"])})
        with pytest.raises(StoreInputError, match="labels of 'all' must be numbers"):
            writer.groups({"all": GroupSpec(["x"], ["cat"])})


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(
    source: Source, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from medfeat_cache import files

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with source.open(tmp_path) as writer:
        source.part(writer, "train", 0, 30)
        monkeypatch.setattr(files.os, "fsync", full)
        with pytest.raises(StoreWriteError, match=r"disk full while writing the part .*: make room and run"):
            source.part(writer, "val", 0, 7)
        assert not list(writer.folder.glob(".*")), "temporary files are removed"
        monkeypatch.undo()
        source.part(writer, "val", 0, 7)
        monkeypatch.setattr(files.os, "fsync", full)
        with pytest.raises(StoreWriteError, match="disk full while writing the store"):
            writer.publish()
        assert not writer.path.exists()
        assert not list(writer.path.parent.glob("*.tmp"))
        monkeypatch.undo()
        assert same(writer.publish(), store)


def test_a_folder_that_cannot_be_written_is_one_line(source: Source, tmp_path: Path) -> None:
    (tmp_path / "toy").write_text("a file where a folder should be")
    with pytest.raises(StoreError, match="while creating the folder"):
        source.open(tmp_path)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_one_line(source: Source, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StoreWriteError, match=r"no permission .* choose a writable folder"):
            source.open(tmp_path)
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("column", ["rows", "image_hash", "embeddings"])
def test_no_part_is_lost_or_believed_when_it_changes_before_the_merge(
    source: Source, tmp_path: Path, column: str
) -> None:
    with source.open(tmp_path) as writer:
        source.fill(writer)
        part = read_part(next(writer.folder.glob("val-*.part")))
        data = bytearray(part.path.read_bytes())
        data[part.columns[column].offset + part.columns[column].nbytes - 1] ^= 1
        part.path.write_bytes(data)
        with pytest.raises(StoreError, match="changed since it was written"):
            writer.publish()
        assert not writer.path.exists()


def test_ids_of_more_rows_than_are_encoded_at_a_time_stand_each_in_its_place(
    new_source: Callable[..., Source], tmp_path: Path
) -> None:
    """Beyond 8,192 rows a digest over ids that were written over each other would still be that of the file."""
    large = new_source(counts={"all": 20_000}, dim=1)
    path = large.make(tmp_path)
    with FeatureStore(path) as store:
        assert store.ids("all").tolist() == large.ids("all").tolist()
        at = [0, 8191, 8192, 16_383, 16_384, 19_999]
        assert np.array_equal(store.take(large.ids("all")[at]), large.embeddings("all")[at])


def test_a_merge_that_loses_rows_on_the_way_is_not_published(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file's own digests are made of what stands in it: only the parts know better."""
    write = merge.write_at

    def forgetful(file: Any, offset: int, values: Any) -> None:
        write(file, offset, np.zeros_like(values) if values.dtype == np.float32 and len(values) == 2 else values)

    with source.open(tmp_path) as writer:
        source.part(writer, "train", 0, 28)
        source.part(writer, "train", 28, 30)
        source.part(writer, "val", 0, 7)
        monkeypatch.setattr(merge, "write_at", forgetful)
        with pytest.raises(StoreDamaged, match="run the same command again"):
            writer.publish()
        assert not source.path(tmp_path).exists()
        monkeypatch.undo()
        writer.publish()
    assert verify_store(source.path(tmp_path)).ok


def test_a_writer_whose_lock_was_taken_over_does_not_publish(source: Source, tmp_path: Path) -> None:
    with source.open(tmp_path) as writer:
        source.fill(writer)
        lock = lock_file(source.path(tmp_path))
        theirs = json.loads(lock.read_text()) | {"token": "another", "host": "elsewhere"}
        lock.write_text(json.dumps(theirs))
        with pytest.raises(StoreBusy, match="taken over by process"):
            writer.publish()
        assert not source.path(tmp_path).exists()
    assert json.loads(lock.read_text()) == theirs, "the lock of the other is left alone"


def test_a_published_store_and_every_part_are_durable_in_their_folders(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rename is durable once its folder is synced: after the file, and after the rename."""
    events: list[tuple[str, str]] = []
    sync, rename = os.fsync, Path.replace

    def synced(handle: int) -> None:
        events.append(("sync", str(Path(f"/proc/self/fd/{handle}").readlink())))
        sync(handle)

    def renamed(self: Path, target: Path) -> Path:
        events.append(("rename", str(target)))
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    path = source.make(tmp_path)
    renames = [i for i, (what, where) in enumerate(events) if what == "rename" and not where.endswith(".json")]
    assert [events[i][1] for i in renames][-1] == str(path) and len(renames) > 2
    for i in renames:
        folder = str(Path(events[i][1]).parent)
        assert events[i - 1][0] == "sync" and events[i - 1][1] != folder, "the file before it is renamed"
        assert events[i + 1] == ("sync", folder), "the folder after it"
