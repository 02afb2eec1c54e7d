"""Compiling a network: whether it can be done here, and where the compiler keeps its work for the next time."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from medfeat.extraction.network.device import machine_facts
from medfeat_cache import recipe_digest
from medfeat_cache.root import compiled_folder

if TYPE_CHECKING:
    import torch

# torch's own switches: with one of them set `torch.compile` returns the module as it is, timed for nothing.
_SWITCHES = ("TORCH_COMPILE_DISABLE", "TORCHDYNAMO_DISABLE")
_COMPILERS = ("g++", "clang++", "c++", "cl")
_PLACE = "TORCHINDUCTOR_CACHE_DIR"
_SINCE = "since"


def compile_problem(device: torch.device) -> str | None:
    """Return why compiling is out of the question on a device, None when it may be tried."""
    off = next((name for name in _SWITCHES if os.environ.get(name) == "1"), None)
    if off is not None:
        return f"{off} is set: running eager"
    if device.type == "mps":
        return "torch.compile is not used on mps: nothing was measured there"
    if device.type == "cuda":
        missing = importlib.util.find_spec("triton") is None
        return "triton is not installed: running eager" if missing else None
    wanted = os.environ.get("CXX")
    if wanted and shutil.which(wanted.split()[0]):
        return None
    if any(shutil.which(name) for name in _COMPILERS):
        return None
    return "no C++ compiler found (torch.compile needs g++ or clang++): running eager"


class CompiledNetwork:
    """A network compiled with its weights frozen into the code, at its first batch of each shape.

    Parameters
    ----------
    module
        Frozen, on its device.
    device
        Where that is.
    """

    def __init__(self, module: torch.nn.Module, device: torch.device) -> None:
        import torch

        # Every backbone shares one forward function, and torch stops compiling it after eight variants.
        torch._dynamo.reset()
        self._run: Callable[[torch.Tensor], tuple[torch.Tensor, ...]] = torch.compile(
            module, dynamic=False, options={"freezing": True}
        )
        self._device = device
        self._seen: set[torch.Size] = set()

    def __call__(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Run it; a shape that is new is compiled, or found where it was compiled before."""
        if pixels.shape in self._seen:
            return self._run(pixels)
        with _keeping(self._device):
            rows = self._run(pixels)
        self._seen.add(pixels.shape)
        return rows


def compiler_cache(device: torch.device) -> str:
    """Name the cache that a compiler leaves its work in on this machine; empty where it has none of ours yet.

    A cache that was taken away and begun again has another name.
    """
    folder = _folder(device)
    try:
        return (folder / _SINCE).read_text(encoding="ascii")[:32] if folder is not None and _is_ours(folder) else ""
    except (OSError, ValueError):
        return ""


@contextmanager
def _keeping(device: torch.device) -> Iterator[None]:
    """Let the compiler keep its work in our cache; a program that named a place of its own keeps that."""
    before, folder = os.environ.get(_PLACE), _folder(device)
    if folder is None or not (before is None or _is_usual(before)) or not _begun(folder):
        yield
        return
    os.environ[_PLACE] = str(folder)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_PLACE, None)
        else:
            os.environ[_PLACE] = before


def _folder(device: torch.device) -> Path | None:
    root = compiled_folder()
    return None if root is None else root / recipe_digest(machine_facts(device))[:12]


def _begun(folder: Path) -> bool:
    """Make the folder, for its owner alone; say whether it may be used."""
    with suppress(OSError):
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.parent.chmod(stat.S_IRWXU)
        folder.mkdir(mode=stat.S_IRWXU, exist_ok=True)
        since = folder / _SINCE
        if not since.exists():
            since.write_text(secrets.token_hex(8), encoding="ascii")
        since.touch()  # when it was used last, for whoever looks what may go
        return _is_ours(folder)
    return False


def _is_ours(folder: Path) -> bool:
    """Tell whether nobody else can have written what is run from here, and the system lets it run."""
    if not hasattr(os, "getuid"):
        return folder.is_dir()  # Windows: what lies in a user's own folder is the user's
    for place in (folder.parent, folder):
        found = place.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
            return False
    return not os.statvfs(folder).f_flag & getattr(os, "ST_NOEXEC", 0)


def _is_usual(place: str) -> bool:
    """Tell whether this is where torch itself puts it, which it also writes into the environment."""
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    return Path(place) == Path(default_cache_dir())
