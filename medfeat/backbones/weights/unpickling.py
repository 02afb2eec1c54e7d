"""Reading what `torch.save` wrote without running anything in it.

torch's own `weights_only` reader makes tensors and plain containers, and refuses every other type by name. Training
scripts keep more beside the tensors: their arguments, numbers of numpy, paths. The types of `HARMLESS` are let through
by it, yet not even they are made: an inert object of ours stands for each, so nothing of a file's own choice is
imported, called or given a state.
"""

from __future__ import annotations

import inspect
import warnings
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from typing import IO, Any

import torch

HARMLESS: tuple[str, ...] = (
    *("argparse.Namespace", "types.SimpleNamespace", "functools.partial", "typing.Any"),
    *("pathlib.Path", "pathlib.PosixPath", "pathlib.WindowsPath"),
    *("pathlib._local.Path", "pathlib._local.PosixPath", "pathlib._local.WindowsPath"),  # Python 3.13
    *("datetime.datetime", "datetime.date", "datetime.timedelta", "datetime.timezone"),
    *("builtins.int", "builtins.float", "builtins.bool", "builtins.str", "builtins.list", "builtins.tuple"),
    *("builtins.dict", "builtins.frozenset", "builtins.range", "builtins.slice"),
    *("numpy.dtype", "numpy.ndarray", "numpy.bool", "numpy.bool_", "numpy.int32", "numpy.int64"),
    *("numpy.float16", "numpy.float32", "numpy.float64"),
    *("numpy.core.multiarray.scalar", "numpy.core.multiarray._reconstruct"),  # numpy 1
    *("numpy._core.multiarray.scalar", "numpy._core.multiarray._reconstruct"),  # numpy 2
    *("torch.nn.modules.normalization.LayerNorm", "torch.nn.modules.activation.GELU"),
    *("torchvision.transforms.functional.InterpolationMode", "PIL.Image.Resampling"),
    *("transformers.trainer_utils.IntervalStrategy", "transformers.trainer_utils.SchedulerType"),
    *("omegaconf.dictconfig.DictConfig", "omegaconf.listconfig.ListConfig"),
    *("omegaconf.base.ContainerMetadata", "omegaconf.base.Metadata"),
    *(f"omegaconf.nodes.{kind}Node" for kind in ("Any", "String", "Integer", "Float", "Boolean", "Enum", "Path")),
)
"""Types and functions that may stand beside the tensors of a file; of none of them anything is run."""

_DICTS: tuple[str, ...] = (
    "collections.defaultdict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning.pytorch.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
)
"""Dicts with something added; what is in them is kept, and read as a plain dict."""


class Inert:
    """Stands for a thing of one of the `HARMLESS` types: whatever is done to it does nothing."""

    def __new__(cls, *args: object, **kwargs: object) -> Inert:
        """Take whatever the thing would have been made of, and leave it."""
        del args, kwargs
        return super().__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        del args, kwargs

    def __setstate__(self, state: object) -> None:
        """Leave the state of the thing."""
        del state


class _PlainDict:
    """Makes a plain dict wherever a file asks for one of the `_DICTS`."""

    def __new__(cls, *args: object, **kwargs: object) -> dict[Any, Any]:  # type: ignore[misc]  # the point of it
        """Make an empty one, whatever it would have been made of."""
        del args, kwargs
        return {}


def load_tensors(file: IO[bytes]) -> object:
    """Read a file that `torch.save` wrote; what is neither a tensor nor a container nor harmless is refused.

    Parameters
    ----------
    file
        Open, and one that can be sought in.

    Raises
    ------
    pickle.UnpicklingError
        When the file asks for anything else; torch's message names it.
    """
    with warnings.catch_warnings():
        # a warning about the pickle protocol would stand where an error says more
        warnings.simplefilter("ignore")
        with torch.serialization.safe_globals(list(_stand_ins())):
            return torch.load(file, map_location="cpu", weights_only=True)


def foreign_archive(file: IO[bytes]) -> str:
    """Say what a zip archive is that `torch.save` did not write; empty for one that it did, or for no archive."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile, ValueError):
        return ""
    if any(name.endswith("/constants.pkl") for name in names):
        return "a TorchScript archive, which holds code"
    if any(name.rpartition("/")[2] == "data.pkl" for name in names):
        return ""
    if any(name.endswith(".npy") for name in names):
        return "an archive of NumPy arrays, as JAX and Flax models are published"
    return "a zip archive of other files"


def _stand_ins() -> Iterator[tuple[Callable[..., Any], str]]:
    yield from ((Inert, name) for name in (*HARMLESS, *_optimisers()))
    yield from ((_PlainDict, name) for name in _DICTS)


@cache
def _optimisers() -> tuple[str, ...]:
    """Name the optimisers and schedulers of torch, which training scripts keep inside of `functools.partial`."""
    import torch.optim as home
    from torch.optim import lr_scheduler

    kinds = [kind for place in (home, lr_scheduler) for kind in vars(place).values() if inspect.isclass(kind)]
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in kinds}
    return tuple(sorted(name for name in names if name.startswith("torch.optim.")))
