"""Whatever lies in a cache in place of a note, a task, a lock or a manifest: one line or as if it were not there."""

from __future__ import annotations

import json
import os
import sys

import pytest

from medfeat.datasets.digests import MEMORY_NAME, DigestMemory
from medfeat.errors import DataError
from medfeat.extraction.ask.remembered import remember_store, remembered_store
from medfeat.tasks.file import load_task
from medfeat.tasks.versions import FILE, read_contents, read_versions
from medfeat_cache import StoreDamaged, StoreInputError
from medfeat_cache.lock import Lock, is_stale
from medfeat_cache.manifest import NAME, load_manifest
from medfeat_cache.reading import NoFile, look_at, read_json

DEEP = b"[" * 200_000
HOSTILE = {
    "empty": b"",
    "deep": DEEP,
    "deep objects": b'{"a":' * 100_000,
    "number": b"7",
    "text": b'"a"',
    "list": b"[]",
    "object": b"{}",
    "null bytes": b"\0" * 64,
    "not utf-8": b"\xff\xfe\xfd",
    "wide": b"[" + b"[]," * 4_000_001 + b"[]]",
}
each = pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)


@each
def test_a_note_that_is_none_is_not_there(tmp_path, content):
    (tmp_path / "store.h5").write_bytes(b"")
    remember_store(tmp_path, {"asked": 1}, tmp_path / "store.h5")
    [note] = (tmp_path / ".asked").iterdir()
    assert remembered_store(tmp_path, {"asked": 1}) is not None
    note.write_bytes(content)
    assert remembered_store(tmp_path, {"asked": 1}) is None
    note.write_text(json.dumps({"store": "a\0b"}))
    assert remembered_store(tmp_path, {"asked": 1}) is None


@each
def test_a_memory_of_digests_that_is_none_is_begun_anew(tmp_path, content):
    (tmp_path / MEMORY_NAME).write_bytes(content)
    file = tmp_path / "file"
    file.write_bytes(b"x")
    memory = DigestMemory.of_cache(tmp_path)
    assert len(memory.digest(file, "blake2b")) > 16
    memory.save()


@each
def test_a_task_that_is_none_is_one_line(tmp_path, content):
    (tmp_path / "mine.json").write_bytes(content)
    with pytest.raises(DataError, match=r"mine\.json"):
        load_task("mine", tmp_path)


@each
def test_versions_and_contents_that_are_none_are_empty(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    assert read_versions(tmp_path, "mine").known == ()
    (tmp_path / "contents").mkdir()
    assert read_contents(tmp_path, "key") == {}


@each
def test_a_manifest_that_is_none_is_one_line(tmp_path, content):
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(StoreDamaged, match="its parts cannot be used"):
        load_manifest(tmp_path)


@each
def test_a_lock_that_is_none_goes_stale_and_is_taken(tmp_path, content):
    path = tmp_path / "lock"
    path.write_bytes(content)
    assert not is_stale(path)
    os.utime(path, (1, 1))
    assert is_stale(path)
    Lock(path).acquire().release()


@pytest.mark.parametrize("pid", ["12", -1, 0, 2**70, 1.5, None, True, [1]])
def test_a_lock_with_no_number_for_its_process_is_none(tmp_path, pid):
    path = tmp_path / "lock"
    lock = Lock(path).acquire()
    facts = json.loads(path.read_text())
    lock.release()
    path.write_text(json.dumps({**facts, "pid": pid}))
    assert not is_stale(path)
    os.utime(path, (1, 1))
    assert is_stale(path)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes, devices and links of POSIX")
def test_what_is_no_file_is_named_and_never_opened(tmp_path):
    pipe, loop, zero = tmp_path / "pipe", tmp_path / "loop", tmp_path / "zero"
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    zero.symlink_to("/dev/zero")
    for path, said in ((pipe, "a pipe"), (loop, "leads back to itself"), (zero, "a device"), (tmp_path, "a folder")):
        with pytest.raises(NoFile, match=said):
            look_at(path)


def test_json_larger_than_it_may_be_is_not_read(tmp_path):
    path = tmp_path / "large.json"
    path.write_bytes(b" " * 1001)
    with pytest.raises(StoreInputError, match="larger than"):
        read_json(path, limit=1000)
