"""A digest is remembered for as long as the file is the same, and no longer."""

import json
import os
import time
from dataclasses import replace

import pytest

from medfeat.datasets import digests
from medfeat.datasets.digests import DigestMemory, file_digest
from medfeat_cache import Stamp, stamp


@pytest.fixture
def file(tmp_path, monkeypatch):
    # Nobody can set the time of a file's last change: the tests take it for long ago.
    monkeypatch.setattr(stamp, "SETTLED_SECONDS", -1.0)
    path = tmp_path / "data.npz"
    path.write_bytes(b"first")
    _age(path, 100)
    return path


def _age(path, seconds):
    then = time.time() - seconds
    os.utime(path, (then, then))


@pytest.fixture
def reads(monkeypatch):
    """Count how often a file is read."""
    seen = []

    def counting(path, algorithm, **options):
        seen.append(path)
        return file_digest(path, algorithm, **options)

    monkeypatch.setattr(digests, "file_digest", counting)
    return seen


def test_a_file_is_read_once_and_remembered_across_processes(file, tmp_path, reads):
    store = tmp_path / "cache" / "digests.json"
    first = DigestMemory(store)
    found = [first.digest(file, "md5") for _ in range(3)]
    first.save()
    assert [*found, DigestMemory(store).digest(file, "md5")] == ["8b04d5e3775d298e78455efc5ca404d5"] * 4
    assert len(reads) == 1


@pytest.mark.parametrize("change", ["content", "time"])
def test_a_changed_file_is_read_again(file, tmp_path, change):
    memory = DigestMemory(tmp_path / "digests.json")
    before = memory.digest(file, "md5")
    file.write_bytes(b"second" if change == "content" else b"other")
    _age(file, 50)
    assert memory.digest(file, "md5") != before


@pytest.mark.parametrize("dated", [False, True])
def test_a_file_written_just_now_is_not_trusted_to_stay(file, reads, monkeypatch, dated):
    monkeypatch.setattr(stamp, "SETTLED_SECONDS", 2.0)
    file.write_bytes(b"fresh")
    if dated:
        _age(file, 100)  # tar, unzip and rsync set the time of modification; that of the change stays
    memory = DigestMemory()
    memory.digest(file, "md5")
    memory.digest(file, "md5")
    assert len(reads) == 2


@pytest.mark.parametrize("in_place", [True, False])
def test_other_bytes_of_the_same_size_and_time_are_read(file, in_place):
    memory, then = DigestMemory(), file.stat()
    memory.digest(file, "md5")
    if not in_place:
        file.rename(file.with_name("before"))
    file.write_bytes(b"other")
    os.utime(file, ns=(then.st_atime_ns, then.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (then.st_size, then.st_mtime_ns)
    assert memory.digest(file, "md5") == file_digest(file, "md5")


def test_a_file_that_changes_while_it_is_read_is_not_remembered(file, monkeypatch):
    def slow(path, algorithm, **options):
        found = file_digest(path, algorithm, **options)
        path.write_bytes(b"other")
        return found

    monkeypatch.setattr(digests, "file_digest", slow)
    memory = DigestMemory()
    memory.digest(file, "md5")
    assert memory.recall(file, "md5") is None


@pytest.mark.parametrize("lacking", ["ctime_ns", "inode", "both"])
def test_a_file_system_without_inode_or_time_of_change_still_remembers(file, reads, monkeypatch, lacking):
    def bare(path):
        stamp = taken(path)
        gone = ("ctime_ns", "inode") if lacking == "both" else (lacking,)
        return replace(stamp, **dict.fromkeys(gone, 0))

    taken = Stamp.of
    monkeypatch.setattr(Stamp, "of", bare)
    memory = DigestMemory()
    assert memory.digest(file, "md5") == memory.digest(file, "md5")
    assert len(reads) == 1


def test_a_date_that_lies_ahead_keeps_no_file_young_and_no_old_one_safe():
    now, day = 10**18, 86_400 * 10**9
    assert Stamp(5, now + day, now - day, 1).settled(now)
    assert not Stamp(5, now - day, now - 10**9, 1).settled(now)
    assert not Stamp(5, now + day, now + day, 1).settled(now)


def test_what_an_older_medfeat_remembered_is_read_once_more(file, tmp_path, reads):
    status = file.stat()
    old = {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "md5": "8b04d5e3775d298e78455efc5ca404d5"}
    (tmp_path / "digests.json").write_text(json.dumps({str(file.resolve()): old}))
    memory = DigestMemory(tmp_path / "digests.json")
    memory.digest(file, "md5")
    memory.digest(file, "md5")
    assert len(reads) == 1


def test_algorithms_are_kept_apart(file):
    memory = DigestMemory()
    assert memory.digest(file, "md5") != memory.digest(file, "blake2b")
    assert memory.recall(file, "md5") == file_digest(file, "md5")


def test_forgetting_reads_the_file_again(file, tmp_path, reads):
    memory = DigestMemory.of_cache(tmp_path)
    memory.digest(file, "md5")
    memory.save()
    memory.forget()
    assert not (tmp_path / "digests.json").exists()
    memory.digest(file, "md5")
    assert len(reads) == 2


@pytest.mark.parametrize("content", ["", "not json", "[1]", '{"path": 3}', '{"path": {"size": "x"}}'])
def test_a_damaged_memory_is_an_empty_one(file, tmp_path, content):
    store = tmp_path / "digests.json"
    store.write_text(content.replace('"path"', json.dumps(str(file))))
    assert DigestMemory(store).digest(file, "md5") == file_digest(file, "md5")


def test_what_another_process_saved_meanwhile_is_kept(file, tmp_path):
    store, other = tmp_path / "digests.json", tmp_path / "other"
    other.write_bytes(b"other")
    _age(other, 100)
    ours, theirs = DigestMemory(store), DigestMemory(store)
    ours.digest(file, "md5")
    theirs.digest(other, "md5")
    theirs.save()
    ours.save()
    assert DigestMemory(store).recall(file, "md5") and DigestMemory(store).recall(other, "md5")


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(file, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    memory = DigestMemory(blocked / "digests.json")
    assert memory.digest(file, "md5") == file_digest(file, "md5")
    memory.save()
