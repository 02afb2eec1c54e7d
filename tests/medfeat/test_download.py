"""A download is resumed, checked, and published whole or not at all."""

import hashlib
import os
import subprocess
import sys
import threading

import pytest

from medfeat.download import Expected, download
from medfeat.errors import DataError, MissingFileError
from medfeat.types import SilentProgress
from mirror import CountedBytes


def fetch(mirror, target, **options):
    asked = {"expected": Expected("md5", mirror.md5), "otherwise": "name another with --data-root", "pause": 0.0}
    download(mirror.url, target, **(asked | options))


def test_a_file_arrives_whole_and_nothing_else_is_left(mirror, tmp_path):
    progress = CountedBytes()
    fetch(mirror, tmp_path / "deep" / "file.npz", progress=progress)
    assert (tmp_path / "deep" / "file.npz").read_bytes() == mirror.content
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file.npz"]
    assert progress.seen == {"total": 1_000_000, "done": 1_000_000, "unit": "bytes"}


def test_a_cut_connection_is_resumed_where_it_stopped(mirror, tmp_path):
    mirror.cut_after = [300_000]
    fetch(mirror, tmp_path / "file.npz")
    assert mirror.requests == [None, "bytes=300000-"]
    assert (tmp_path / "file.npz").read_bytes() == mirror.content


def test_a_connection_that_keeps_breaking_leaves_the_part_for_next_time(mirror, tmp_path):
    mirror.cut_after = [200_000, 200_000, 200_000]
    with pytest.raises(MissingFileError, match=r"600000 of 1000000 bytes.*go on where it stopped"):
        fetch(mirror, tmp_path / "file.npz")
    assert not (tmp_path / "file.npz").exists()
    assert (tmp_path / "file.npz.part").stat().st_size == 600_000
    fetch(mirror, tmp_path / "file.npz")
    assert mirror.requests[-1] == "bytes=600000-"
    assert (tmp_path / "file.npz").read_bytes() == mirror.content


def test_a_server_without_resume_is_read_from_the_start(mirror, tmp_path):
    (tmp_path / "file.npz.part").write_bytes(mirror.content[:1000])
    mirror.resumes = False
    fetch(mirror, tmp_path / "file.npz")
    assert (tmp_path / "file.npz").read_bytes() == mirror.content


def test_a_part_that_is_complete_is_only_checked(mirror, tmp_path):
    (tmp_path / "file.npz.part").write_bytes(mirror.content)
    fetch(mirror, tmp_path / "file.npz")
    assert mirror.requests == ["bytes=1000000-"]
    assert (tmp_path / "file.npz").read_bytes() == mirror.content


def test_a_part_of_another_file_is_fetched_anew(mirror, tmp_path):
    (tmp_path / "file.npz.part").write_bytes(b"x" * 1000)
    progress = SilentProgress()
    fetch(mirror, tmp_path / "file.npz", progress=progress)
    assert (tmp_path / "file.npz").read_bytes() == mirror.content
    assert "from the start" in progress.said[0]


def test_a_damaged_mirror_is_refused_with_both_md5_and_leaves_nothing(mirror, tmp_path):
    wrong = bytes(1_000_000)
    mirror.served = [wrong]
    with pytest.raises(DataError) as error:
        fetch(mirror, tmp_path / "file.npz")
    assert mirror.md5 in str(error.value) and hashlib.md5(wrong).hexdigest() in str(error.value)
    assert str(tmp_path / "file.npz") in str(error.value)
    assert not list(tmp_path.iterdir())


def test_an_answer_of_the_server_is_told_and_not_asked_twice(mirror, tmp_path):
    mirror.status = 404
    with pytest.raises(MissingFileError, match="Not Found") as error:
        fetch(mirror, tmp_path / "file.npz")
    assert mirror.url in str(error.value) and str(tmp_path / "file.npz") in str(error.value)
    assert "\n" not in str(error.value)
    assert len(mirror.requests) == 1
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(mirror, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(DataError, match=r"cannot write .*--data-root"):
        fetch(mirror, blocked / "file.npz")


def test_a_file_nobody_knows_the_digest_of_goes_on_within_a_call_and_starts_anew_in_the_next(mirror, tmp_path):
    (tmp_path / "file.pth.part").write_bytes(b"of another file")
    mirror.cut_after = [300_000]
    fetch(mirror, tmp_path / "file.pth", expected=None)
    assert mirror.requests == [None, "bytes=300000-"]
    assert (tmp_path / "file.pth").read_bytes() == mirror.content


def test_two_processes_share_one_fetch(mirror, tmp_path):
    mirror.open.clear()
    code = f"""
from pathlib import Path
from medfeat.download import Expected, download
from medfeat.types import SilentProgress
from mirror import CountedBytes
class Aloud(SilentProgress):
    def say(self, message):
        print(message, flush=True)
expected = Expected("sha256", "{mirror.sha256[:8]}")
download({mirror.url!r}, Path({str(tmp_path / "net.pth")!r}), expected=expected, otherwise="", progress=Aloud())
"""
    paths = os.pathsep.join(path for path in sys.path if path)
    both = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True,
                         env={**os.environ, "PYTHONPATH": paths})
        for _ in range(2)
    ]  # fmt: skip
    lines = []
    readers = [threading.Thread(target=lambda out=one.stdout: lines.append(out.readline())) for one in both]
    for reader in readers:
        reader.start()
    while not any(lines) and any(reader.is_alive() for reader in readers):
        readers[0].join(0.05)
    mirror.open.set()
    assert [one.wait(60) for one in both] == [0, 0]
    for one, reader in zip(both, readers, strict=True):
        reader.join()
        one.stdout.close()
    assert sorted(lines) == ["", "waiting for another process that downloads net.pth\n"]
    assert len(mirror.requests) == 1
    assert (tmp_path / "net.pth").read_bytes() == mirror.content
    assert [path.name for path in tmp_path.iterdir()] == ["net.pth"]


def test_two_downloads_of_one_file_share_one_fetch(mirror, tmp_path):
    target, errors = tmp_path / "file.npz", []

    def one():
        try:
            fetch(mirror, target)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert target.read_bytes() == mirror.content
    assert len(mirror.requests) == 1
