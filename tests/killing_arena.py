"""A cache with stores and runs, in which commands are started in children and killed."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path

import numpy as np

from medfeat_cache import find_stores

DATA = "synthetic-binary"
NETWORK = "--backbone timm:test_resnet.r160_in1k --weights random --device cpu --precision fp32"


class Arena:
    """A cache with a store and a run, and everything a command's words name.

    Parameters
    ----------
    folder
        Where all of it is made.
    network
        Whether to embed with a network too, and probe and train it.
    """

    def __init__(self, folder: Path, *, network: bool = False) -> None:
        self.folder, self.cache = folder, folder / "cache"
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        np.savez(folder / "features.npz", embeddings=rng.normal(size=(200, 8)).astype("f4"))
        (folder / "ids.txt").write_text("\n".join(f"image-{i}" for i in range(200)))
        arrays = {}
        for group, count in {"train": 24, "val": 12, "test": 12}.items():
            arrays[f"{group}_images"] = rng.integers(0, 256, (count, 28, 28)).astype(np.uint8)
            arrays[f"{group}_labels"] = (np.arange(count) % 2)[:, None]
        np.savez(folder / "noise.npz", **arrays)
        grid = f'data = "{DATA}"\nbackbone = "stats"\nhead = ["knn", "prototypes"]\nresamples = 20\n'
        (folder / "grid.toml").write_text(grid)
        self._run(
            f"extract --data {DATA} --backbone stats,pixels", f"probe --data {DATA} --backbone stats --resamples 20"
        )
        if network:
            tuning = f"--data {{noise}} --epochs 1 --batch-size 12 --resamples 20 {NETWORK}"
            self._run(f"extract --data {{noise}} {NETWORK}", "probe --data noise --resamples 20", f"finetune {tuning}")

    def _run(self, *commands: str) -> None:
        for words in commands:
            code = self.wait(self.start(words, self.cache, self.folder))
            assert code == 0, f"{words}: {(self.folder / 'err.txt').read_text()}"

    def start(self, words: str, cache: Path, here: Path, *, limit: int = 0, dies: bool = True) -> int:
        """Fork a child that runs a command; past `limit` bytes of a file it dies, or its write fails."""
        arguments = [word.format(**self._names(cache, here)) for word in words.split()]
        arguments += [] if words.startswith("demo") else ["--cache-dir", str(cache)]
        pid = os.fork()
        if pid:
            return pid
        code = 1
        with suppress(BaseException):
            sys.stdout, sys.stderr = (here / "out.txt").open("a"), (here / "err.txt").open("w")
            try:
                os.chdir(here)
                if limit:
                    signal.signal(signal.SIGXFSZ, signal.SIG_DFL if dies else signal.SIG_IGN)
                    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
                    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
                from medfeat_cli.main import run

                code = run(arguments)
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)

    def _names(self, cache: Path, here: Path) -> dict[str, Path]:
        stores = [one.path for one in find_stores(cache, dataset=DATA, backbone="stats")]
        runs = sorted(cache.glob(f"runs/{DATA}/[0-9a-f]*/run.json"))
        tuned = [path for path in cache.glob("runs/noise/[0-9a-f]*/run.json") if b'"finetune' in path.read_bytes()]
        return {
            "here": here,
            "cache": cache,
            "features": self.folder / "features.npz",
            "ids": self.folder / "ids.txt",
            "noise": self.folder / "noise.npz",
            "grid": self.folder / "grid.toml",
            "store": stores[0] if stores else Path("none"),
            "run": runs[0].parent if runs else Path("none"),
            "tuned": tuned[0].parent if tuned else Path("none"),
        }

    @staticmethod
    def wait(pid: int) -> int:
        """Wait for a child; its exit code, or minus the signal it died of."""
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def collected(self, cache: Path, here: Path) -> list[Path]:
        """Let `cache gc` collect what is days old; return the hidden files and folders that stay all the same."""
        age(cache)
        code = self.wait(self.start("cache gc --yes", cache, here))
        assert code == 0, (here / "err.txt").read_text()
        kept = {".asked", ".measured", ".study"}  # notes that stay until somebody asks for their room
        return [path for path in cache.rglob(".*") if path.name not in kept]


def age(cache: Path) -> None:
    """Make everything in a cache two days old."""
    then = time.time() - 2 * 86_400
    for path in cache.rglob("*"):
        os.utime(path, (then, then), follow_symlinks=False)


def damage(cache: Path) -> None:
    """Change one byte amid the embeddings of a store."""
    import h5py

    path = find_stores(cache, dataset=DATA, backbone="stats")[0].path
    with h5py.File(path) as file:
        place = file["train/embeddings"].id.get_offset() + 5
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1]))


def litter(cache: Path) -> None:
    """Leave what killed commands leave: halves of a store, of a run, of a note, days old."""
    store = find_stores(cache, dataset=DATA, backbone="stats")[0].path
    store.with_name(f".{store.name}.1-0123abcd.tmp").write_bytes(b"half" * 4000)
    half = next(cache.glob(f"runs/{DATA}/[0-9a-f]*"))
    (half.parent / f".{half.name}.1-0123abcd.tmp").mkdir()
    (half.parent / f".{half.name}.1-0123abcd.tmp" / "run.json").write_bytes(b"{")
    (cache / ".digests.json.1-0123abcd.tmp").write_bytes(b"{")
    age(cache)
