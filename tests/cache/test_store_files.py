"""Files that appear whole or not at all, with the rights their folder says, through links and into pipes."""

from __future__ import annotations

import os
import stat
import sys
import threading

import pytest

from medfeat_cache import StoreError, StoreWriteError, write_whole
from medfeat_cache.files import make_folder, replacing
from medfeat_cache.parts import read_part

posix = pytest.mark.skipif(sys.platform == "win32", reason="modes, links and pipes of POSIX")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_what_fails_half_way_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("earlier")
    with (
        pytest.raises(StoreWriteError, match="choose another --out"),
        replacing(path, "writing", "choose another --out") as new,
    ):
        new.write_text("half")
        raise OSError("no")
    assert path.read_text() == "earlier" and list(tmp_path.iterdir()) == [path]


@posix
def test_a_link_is_followed_and_the_mode_kept(tmp_path):
    path, link = tmp_path / "table.csv", tmp_path / "link.csv"
    path.write_text("earlier")
    path.chmod(0o640)
    link.symlink_to(path.name)
    write_whole(link, [b"new"], "writing")
    assert link.is_symlink() and path.read_text() == "new" and mode(path) == 0o640


@posix
def test_a_new_file_has_the_rights_of_its_folder_whatever_the_writer_gave_it(tmp_path):
    with replacing(tmp_path / "weights", "writing") as new:
        new.touch(mode=0o600)
    (tmp_path / "other").touch()
    assert mode(tmp_path / "weights") == mode(tmp_path / "other")


def test_a_name_as_long_as_names_can_be_is_written(tmp_path):
    path = tmp_path / ("n" * 251 + ".csv")
    write_whole(path, [b"new"], "writing")
    assert path.read_bytes() == b"new"


def test_a_folder_in_the_place_is_said_in_one_line(tmp_path):
    with pytest.raises(StoreWriteError, match="directory while writing"):
        write_whole(tmp_path, [b"new"], "writing")


@posix
def test_a_pipe_is_written_into_and_stays_a_pipe(tmp_path):
    path, got = tmp_path / "pipe", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: got.append(path.read_bytes()))
    reader.start()
    for _ in range(1000):  # until the reader has opened it
        try:
            write_whole(path, [b"a,b\n"], "writing")
            break
        except StoreWriteError:
            threading.Event().wait(0.01)
    reader.join(10)
    assert got == [b"a,b\n"] and stat.S_ISFIFO(path.stat().st_mode)


@posix
def test_a_pipe_that_nobody_reads_is_an_error_and_no_wait(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(StoreWriteError):
        write_whole(path, [b"new"], "writing")


@posix
@pytest.mark.parametrize(("umask", "around", "file", "folder"), [
    (0o022, 0o775, 0o664, 0o775), (0o022, 0o755, 0o644, 0o755),
    (0o077, 0o700, 0o600, 0o700), (0o027, 0o770, 0o660, 0o770),
])  # fmt: skip
def test_a_group_may_write_where_its_folder_lets_it_and_others_as_the_umask_says(tmp_path, umask, around, file, folder):
    root = tmp_path / "shared"
    root.mkdir()
    root.chmod(around)
    before = os.umask(umask)
    try:
        make_folder(root / "a" / "b")
        write_whole(root / "a" / "b" / "note.json", [b"{}"], "writing")
    finally:
        os.umask(before)
    assert (mode(root / "a" / "b" / "note.json"), mode(root / "a" / "b")) == (file, folder)


@posix
@pytest.mark.timeout(60)
def test_a_pipe_called_a_part_is_named_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "train-0.part")
    with pytest.raises(StoreError, match="a pipe, not a file"):
        read_part(tmp_path / "train-0.part")
