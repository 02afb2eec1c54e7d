"""Killed at any moment, the same command goes on; no reader ever sees anything but a whole store."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medfeat_cache import FeatureStore, StoreNotFoundError, find_stores, unfinished

WRITER = Path(__file__).with_name("killed_writer.py")
COUNTS = {"train": 48, "val": 10, "test": 13}
KILLS = int(os.environ.get("MEDFEAT_KILLS", "8"))


def start(root: Path, pause_s: float = 0.0, kind: str = "vectors") -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(WRITER), str(root), str(pause_s), kind], stdout=subprocess.PIPE)


def begin(root: Path, kind: str) -> subprocess.Popen[bytes]:
    """Start a writer and return when its imports are over, so that a kill hits its work."""
    process = start(root, 0.01, kind)
    assert process.stdout is not None
    assert process.stdout.readline() == b"started\n"
    return process


def wait(process: subprocess.Popen[bytes]) -> int:
    process.communicate(timeout=120)
    return process.returncode


def contents(path: Path) -> dict[str, Any]:
    with FeatureStore(path, verify=True) as store:
        columns = ("ids", "labels", "rows", "image_hash", "read")
        return {
            f"{group}/{name}": np.asarray(getattr(store, name)(group)).tobytes()
            for group in store.groups
            for name in columns
        } | {"bad": store.info["bad_images"]}


@pytest.fixture(scope="module", params=["vectors", "bags"])
def kind(request: pytest.FixtureRequest) -> str:
    """One vector an image, or several."""
    return str(request.param)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, kind: str) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("uninterrupted")
    assert wait(start(root, kind=kind)) == 0
    found = find_stores(root)
    assert found[0].counts == {group: count - 1 for group, count in COUNTS.items()}
    assert found[0].shape == ((8, 64) if kind == "bags" else (512,))
    return contents(found[0].path)


class Watcher(threading.Thread):
    """Reads the store over and over, and keeps whatever it saw that was not the whole of it."""

    def __init__(self, path: Path, expected: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self.path, self.expected = path, expected
        self.wrong: list[str] = []
        self.seen = 0
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.002):
            try:
                whole = contents(self.path) == self.expected
            except StoreNotFoundError:
                continue
            except Exception as error:
                self.wrong.append(repr(error))
                continue
            self.seen += 1
            if not whole:
                self.wrong.append("other contents")


def test_killed_again_and_again_it_ends_with_the_uninterrupted_store(
    uninterrupted: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    rng, kills, published = random.Random(7), 0, 0
    while kills < KILLS:
        root = tmp_path / f"round{published}"
        process = begin(root, kind)
        watcher = Watcher(_path(root), uninterrupted)
        watcher.start()
        while kills < KILLS and not _path(root).exists():
            done = _done(root)
            time.sleep(rng.uniform(0.0, 0.5))
            process.send_signal(signal.SIGKILL)
            wait(process)
            kills += 1
            assert _done(root) >= done, "no finished part is ever lost"
            process = begin(root, kind)
        assert wait(process) == 0
        for _ in range(2):
            assert contents(_path(root)) == uninterrupted
            assert wait(start(root, kind=kind)) == 0
        time.sleep(0.05)
        watcher.over.set()
        watcher.join()
        assert watcher.wrong == []
        left = [entry.name for entry in _path(root).parent.iterdir()]
        assert left == [_path(root).name], "nothing is left but the store"
        published += 1


def _path(root: Path) -> Path:
    from medfeat_cache import recipe_digest, store_path

    recipe = {"dataset": "toy", "backbone": "projection", "size": 16}
    return store_path(root, "toy", "projection", recipe_digest(recipe))


def _done(root: Path) -> int:
    if _path(root).exists():
        return sum(COUNTS.values())
    found = unfinished(_path(root))
    if found is None:
        return sum(COUNTS.values()) if _path(root).exists() else 0
    return sum(found.done.values())


@pytest.mark.parametrize("where", ["merge", "seal", "rename", "tidy"])
def test_killed_while_publishing_it_ends_with_the_uninterrupted_store(
    uninterrupted: dict[str, Any], kind: str, tmp_path: Path, where: str
) -> None:
    hooks = {
        "merge": "import medfeat_cache.merge as m; m._fill = die",
        "seal": "import medfeat_cache.merge as m; m.seal = die",
        "rename": "import pathlib; old = pathlib.Path.replace\n"
        "pathlib.Path.replace = lambda self, to: die() if str(to).endswith('.h5') else old(self, to)",
        "tidy": "import shutil; shutil.rmtree = die",
    }
    code = (
        "import os, runpy, signal, sys\n"
        "def die(*a, **k): os.kill(os.getpid(), signal.SIGKILL)\n"
        f"{hooks[where]}\nrunpy.run_path(sys.argv[1], run_name='__main__')"
    )
    code = code.replace("runpy.run_path", "sys.argv = sys.argv[1:]; runpy.run_path").replace(
        "sys.argv[1],", "sys.argv[0],"
    )
    command = [sys.executable, "-c", code, str(WRITER), str(tmp_path), "0", kind]
    killed = subprocess.run(command, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert _path(tmp_path).exists() is (where == "tidy")
    assert wait(start(tmp_path, kind=kind)) == 0
    assert contents(_path(tmp_path)) == uninterrupted
    assert [entry.name for entry in _path(tmp_path).parent.iterdir()] == [_path(tmp_path).name]


def test_two_processes_end_with_one_good_store(uninterrupted: dict[str, Any], kind: str, tmp_path: Path) -> None:
    both = [start(tmp_path, 0.01, kind) for _ in range(2)]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert contents(_path(tmp_path)) == uninterrupted
    assert sum(b"waiting for process" in line for line in said) == 1
    assert [entry.name for entry in _path(tmp_path).parent.iterdir()] == [_path(tmp_path).name]
