"""Reading weights from a file without running anything in it, and fitting them strictly to a network."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import warnings
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from medfeat.backbones.download import first_line
from medfeat.backbones.network import Adapt, State
from medfeat.errors import MissingFileError, WeightsError

WRAPPERS = (
    *("teacher", "state_dict", "model_state_dict", "model_state", "model", "net", "weights"),
    *("state_dict_ema", "model_ema"),
)
"""Keys under which training scripts keep the tensors inside a checkpoint; the first that is there is read.

Averages over the training (``_ema``) come last: they are read where a checkpoint has nothing else, so that one that has
both gives the weights it names first, as plain training does. To embed with the averages, save them alone.
"""

_PREFIXES = {"module", "model", "backbone", "network", "_orig_mod"}
FOLDER_FILES = ("model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors", "open_clip_pytorch_model.bin")

INDEX_FILES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
"""What Hugging Face puts beside a checkpoint that is cut into several files."""
_PIECES = (".safetensors", ".bin")


def read_state(path: str | Path) -> dict[str, torch.Tensor]:
    """Read named tensors from a .pth, .pt, .bin or .safetensors file, or from a folder that holds one.

    Parameters
    ----------
    path
        File or folder; an index (see `INDEX_FILES`) stands for the files it names.

    Returns
    -------
    dict
        Tensors by name, on the CPU, unwrapped (see `WRAPPERS`), in the precision of the file.

    Raises
    ------
    MissingFileError
        When there is nothing at `path`.
    WeightsError
        When the file is damaged, holds anything but tensors (nothing in it is run), or no tensors at all.
    """
    file = _file_at(Path(path).expanduser())
    if file.name not in INDEX_FILES:
        return _read_file(file)
    pieces = [_read_file(_file_at(file.parent / name)) for name in files_of_index(file)]
    return {name: tensor for piece in pieces for name, tensor in piece.items()}


def files_of_index(index: Path) -> list[str]:
    """Name the files, beside an index, that a checkpoint is cut into.

    Raises
    ------
    WeightsError
        When it is no such index, or names files that are elsewhere.
    """
    try:
        names = sorted({str(name) for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{index} is not a readable index of weights ({first_line(error)}): get it again") from error
    strange = next((name for name in names if Path(name).name != name or not name.endswith(_PIECES)), None)
    if strange is not None or not names:
        raise WeightsError(f"{index} names {strange!r}, which is no file beside it: get it again")
    return names


def _read_file(file: Path) -> dict[str, torch.Tensor]:
    if file.suffix == ".safetensors":
        return _read_safetensors(file)
    try:
        with warnings.catch_warnings():
            # a warning about the pickle protocol would stand where the error below says more
            warnings.simplefilter("ignore")
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(f"{file} {_reason(error)}; medfeat loads tensors only: save its state_dict()") from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise WeightsError(f"{file} is not a readable weights file ({first_line(error)}): get it again") from error
    return _unwrap(content, file)


def _file_at(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.exists():
        raise MissingFileError(f"weights file {path} is not there: check the path given to --weights")
    for name in (*FOLDER_FILES, *INDEX_FILES):
        if (path / name).is_file():
            return path / name
    raise MissingFileError(f"folder {path} holds no weights: expected one of {', '.join(FOLDER_FILES)}")


def _read_safetensors(file: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(file))
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{file} is not a readable safetensors file ({first_line(error)}): get it again") from error


def _reason(error: Exception) -> str:
    found = re.search(r"GLOBAL ([\w.]+)|class (?:'|`)?([\w.]+)|global ([\w.]+)", str(error))
    named = next((name for name in found.groups() if name), "") if found else ""
    what = f"asks for {named}, which is code" if named else "is a pickle of something else than tensors"
    return f"{what}, and nothing in it was run"


def _unwrap(content: object, file: Path) -> dict[str, torch.Tensor]:
    while isinstance(content, Mapping):
        inner = next((content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            tensors = {str(key): value for key, value in content.items() if isinstance(value, torch.Tensor)}
            if tensors:
                return tensors
            break
        content = inner
    raise WeightsError(f"{file} holds no named tensors: save the network's state_dict()")


def load_strictly(
    module: nn.Module, state: State, *, heads: Iterable[str], adapt: Adapt | None, origin: str
) -> list[str]:
    """Give a network its weights, all of them and no others; a network on the meta device becomes real by it.

    Parameters
    ----------
    module
        The network, changed in place.
    state
        Tensors by name; a prefix common to all that fit (``module.``, ``backbone.`` ...) is taken off.
    heads
        Name prefixes of classifier parameters, ignored whatever their class count.
    adapt
        The library's own conversion, tried when names or shapes do not fit as they are: without the prefix first,
        then with it. One that fails leaves the tensors unconverted.
    origin
        Where the weights come from, for messages.

    Returns
    -------
    list of str
        What was ignored, in words.

    Raises
    ------
    WeightsError
        When anything is missing, unexpected or of another shape.
    """
    wanted = module.state_dict()
    fitting, ignored = _converted(state, module, tuple(heads), adapt)
    misfits = _misfits(fitting, wanted)
    if any(misfits):
        raise misfit_error(origin, module, *misfits)
    # filled in place: it also says of which version of the network its names are, and MNASNet insists on that
    wanted.update(
        {name: _as_float32(fitting[name]) if name in fitting else torch.zeros((), dtype=torch.long) for name in wanted}
    )
    module.load_state_dict(wanted, strict=True, assign=True)
    return ignored


def _converted(
    state: State, module: nn.Module, heads: tuple[str, ...], adapt: Adapt | None
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Return the tensors in the form that fits best, without heads, and what was ignored for it."""
    wanted = module.state_dict()
    bare = _without_prefix(state, wanted)
    best = _without_heads(bare, heads)
    if adapt is None or not any(_misfits(best[0], wanted)):
        return best
    # most conversions know names without a prefix; some look for one of their own, and need the names as they are
    for names in {tuple(names): names for names in (bare, without_wrapper_prefix(state), state)}.values():
        try:
            found = _without_heads(adapt(dict(names), module), heads)
        except Exception:
            # other architectures break it in all ways; what does not fit is then said of their names as they are
            continue
        # of two forms that do not fit, the one that comes nearer tells more of what is wrong
        best = min(best, found, key=lambda form: sum(map(len, _misfits(form[0], wanted))))
        if not any(_misfits(best[0], wanted)):
            break
    return best


def _as_float32(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _without_prefix(state: State, wanted: State) -> dict[str, torch.Tensor]:
    """Take off the prefix under which most of the wanted names are found; what is outside of it belongs to others."""
    probe = next(iter(wanted), "")
    prefixes = {name.removesuffix(probe) for name in state if name == probe or name.endswith(f".{probe}")}
    best = max(sorted(prefixes, key=len), key=lambda prefix: sum(prefix + name in state for name in wanted), default="")
    return {name.removeprefix(best): tensor for name, tensor in state.items() if name.startswith(best)}


def without_wrapper_prefix(state: State) -> dict[str, torch.Tensor]:
    """Take off what training scripts put before every name: ``module.`` and the like."""
    names = dict(state)
    while names and len(first := {name.partition(".")[0] for name in names}) == 1 and first <= _PREFIXES:
        names = {name.partition(".")[2]: tensor for name, tensor in names.items()}
    return names


def _without_heads(state: State, heads: Iterable[str]) -> tuple[dict[str, torch.Tensor], list[str]]:
    dropped = [name for name in state if name.startswith(tuple(heads))]
    ignored = [f"classifier {name} {tuple(state[name].shape)} was ignored" for name in dropped]
    return {name: tensor for name, tensor in state.items() if name not in dropped}, ignored


def _misfits(state: State, wanted: State) -> tuple[list[str], list[str], list[str]]:
    """Return what is missing, what is unexpected, and what has another shape."""
    # checkpoints older than torch 0.4 do not count batches, and no embedding depends on the count
    missing = [name for name in wanted if name not in state and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in state if name not in wanted]
    shapes = [
        f"{name} is {tuple(tensor.shape)} instead of {tuple(wanted[name].shape)}"
        for name, tensor in state.items()
        if name in wanted and tensor.shape != wanted[name].shape
    ]
    return missing, unexpected, shapes


def misfit_error(
    origin: str, module: nn.Module, missing: list[str], unexpected: list[str], shapes: list[str]
) -> WeightsError:
    """Build the error for weights of another architecture, with the first few names of each kind."""
    parts = [_some(missing, "missing"), _some(unexpected, "unexpected"), _some(shapes, "of another shape")]
    told = ", ".join(part for part in parts if part)
    return WeightsError(f"{origin} does not fit {type(module).__name__}: {told}; name the backbone it was made for")


def _some(names: list[str], kind: str) -> str:
    if not names:
        return ""
    more = " ..." if len(names) > 3 else ""
    return f"{len(names)} {kind} ({'; '.join(names[:3])}{more})"


def weights_digest(module: nn.Module) -> str:
    """Digest every parameter and buffer by name, dtype, shape and bytes, whatever their order or memory layout.

    Parameters
    ----------
    module
        Any network; tensors that its state dict leaves out are constants of the architecture and not counted.

    Returns
    -------
    str
        ``blake2b:`` and 32 hexadecimal digits.
    """
    state = module.state_dict()
    # hashing lets go of Python's lock, so threads help
    with ThreadPoolExecutor() as pool:
        digests = list(pool.map(lambda item: _tensor_digest(*item), sorted(state.items())))
    return f"blake2b:{hashlib.blake2b(b''.join(digests), digest_size=16).hexdigest()}"


def _tensor_digest(name: str, tensor: torch.Tensor) -> bytes:
    head = f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode()
    flat: NDArray[np.uint8] = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    digest = hashlib.blake2b(head, digest_size=16)
    digest.update(flat.data)
    return digest.digest()
