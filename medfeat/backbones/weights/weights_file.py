"""Reading weights from a file without running anything in it."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import pickle
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from medfeat.backbones.weights.network_in_file import Named, flatten, only_part, unwrapped
from medfeat.backbones.weights.part_spelling import join_part
from medfeat.backbones.weights.unpickling import foreign_archive, load_tensors
from medfeat.backbones.weights.weights_kinds import HEAD_BYTES, kind_of
from medfeat.errors import MissingFileError, UsageError, WeightsError, first_line
from medfeat_cache.reading import NoFile, look_at, read_json

FOLDER_FILES = ("model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors", "open_clip_pytorch_model.bin")

INDEX_FILES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
"""What Hugging Face puts beside a checkpoint that is cut into several files."""
TUNING = "medfeat"
"""Under which medfeat writes what it knows of weights, and how it tuned them, into the header of their file."""
_PIECES = (".safetensors", ".bin")


def read_state(path: str | Path) -> Named:
    """Read the named tensors of a file, without the wrapper that a training script put around them.

    Parameters
    ----------
    path
        As for `_read_named`.

    Returns
    -------
    dict
        Tensors by name, unwrapped (see `medfeat.backbones.weights.network_in_file.WRAPPERS`).

    Raises
    ------
    MissingFileError, WeightsError
        As `_read_named`.
    """
    return unwrapped(_read_named(path))


def refuse_list(path: Path) -> None:
    """Refuse the list of a checkpoint's files where somebody names weights: its identity would not be theirs.

    Raises
    ------
    UsageError
        With what to give instead.
    """
    if path.name in INDEX_FILES:
        raise UsageError(f"{path} only lists the files of a checkpoint: give --weights the folder they are in")


def read_part(path: Path, part: str = "") -> tuple[Named, str]:
    """Read the named tensors of a file, or of one of several networks in it, and spell where they come from.

    Parameters
    ----------
    path
        As for `_read_named`.
    part
        Prefix of the network's names, from `medfeat.backbones.weights.part_spelling`; empty for the whole file.

    Raises
    ------
    MissingFileError, WeightsError
        As `_read_named`, and where the file has no such part.
    """
    state = _read_named(path)
    return (only_part(state, part, str(path)) if part else state), join_part(path, part)


def _read_named(path: str | Path) -> Named:
    """Read all tensors of a file of weights, or of a folder that holds one.

    Parameters
    ----------
    path
        File or folder; an index (see `INDEX_FILES`) stands for the files it names. What a file is, its first bytes
        tell: torch's and safetensors files are read, both also compressed by gzip.

    Returns
    -------
    dict
        Tensors by name, those of nested dicts with a dot between the names; on the CPU, in the precision of the file.

    Raises
    ------
    MissingFileError
        When there is nothing at `path`.
    WeightsError
        When the file is damaged or of another kind, holds anything but tensors and harmless things beside them
        (nothing in it is run), or no tensors at all.
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
        names = sorted({str(name) for name in read_json(index)["weight_map"].values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{index} is not a readable index of weights ({first_line(error)}): get it again") from error
    strange = next((name for name in names if Path(name).name != name or not name.endswith(_PIECES)), None)
    if strange is not None or not names:
        raise WeightsError(f"{index} names {strange!r}, which is no file beside it: get it again")
    return names


def _read_file(file: Path) -> Named:
    try:
        with file.open("rb") as opened:
            return _read_open(opened, file)
    except OSError as error:
        raise WeightsError(f"{file} is not readable ({first_line(error)}): get it again") from error


def _read_open(opened: IO[bytes], file: Path) -> Named:
    """Read a file by what it is; the path is for its name, and lets safetensors map it into memory."""
    head = opened.read(HEAD_BYTES)
    opened.seek(0)
    plain = not isinstance(opened, io.BytesIO)
    try:
        kind = kind_of(head, suffix=file.suffix)
    except WeightsError as error:
        raise WeightsError(f"{file} {error}") from None
    if kind == "gzip" and plain:
        return _read_open(io.BytesIO(_inflated(opened, file)), file)
    if kind == "safetensors":
        return _read_safetensors(file if plain else opened.read(), file)
    return _read_torch(opened, file)  # as an open file: of a path, torch goes by its suffix


def _inflated(opened: IO[bytes], file: Path) -> bytes:
    try:
        return gzip.decompress(opened.read())
    except (OSError, EOFError, ValueError) as error:
        raise WeightsError(f"{file} is not a whole gzip file ({first_line(error)}): get it again") from error


def _read_torch(opened: IO[bytes], file: Path) -> Named:
    foreign = foreign_archive(opened)
    opened.seek(0)
    if foreign:
        raise WeightsError(f"{file} is {foreign}, which is not read: save the network's state_dict() with torch.save")
    try:
        content = load_tensors(opened)
    except pickle.UnpicklingError as error:
        raise WeightsError(f"{file} {_reason(error)}; medfeat loads tensors only: save its state_dict()") from error
    except MemoryError:
        raise
    except Exception as error:  # a damaged or hostile file can fail in any way at all
        raise WeightsError(f"{file} is not a readable weights file ({first_line(error)}): get it again") from error
    tensors = flatten(content) if isinstance(content, Mapping) else {}
    if not tensors:
        raise WeightsError(f"{file} holds no named tensors: save the network's state_dict()")
    return tensors


def _file_at(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.exists():
        raise MissingFileError(f"weights file {path} is not there: check the path given to --weights")
    if not path.is_dir():
        try:
            look_at(path)
        except NoFile as error:
            raise WeightsError(f"{error}: name a file of weights") from error
    for name in (*FOLDER_FILES, *INDEX_FILES):
        if (path / name).is_file():
            return path / name
    raise MissingFileError(f"folder {path} holds no weights: expected one of {', '.join(FOLDER_FILES)}")


def _read_safetensors(source: Path | bytes, file: Path) -> Named:
    from safetensors import SafetensorError
    from safetensors.torch import load, load_file

    try:
        return dict(load(source) if isinstance(source, bytes) else load_file(source))
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise WeightsError(f"{file} is not a readable safetensors file ({first_line(error)}): get it again") from error


def tuning_of(path: str | Path) -> dict[str, Any] | None:
    """Return what `medfeat finetune` says of weights in the header of their file; None for any others.

    Parameters
    ----------
    path
        As for `_read_named`; what cannot be read has nothing to say.
    """
    found = header_of(path)
    return found if is_tuning(found) else None


def is_tuning(found: object) -> TypeGuard[dict[str, Any]]:
    """Whether this is what `medfeat finetune` says of weights."""
    return isinstance(found, dict) and "dataset" in found and isinstance(found.get("started_from"), dict)


def header_of(path: str | Path) -> dict[str, Any]:
    """Return what medfeat wrote into the header of a file of weights; nothing for any other file.

    Parameters
    ----------
    path
        As for `_read_named`; what cannot be read has nothing to say.
    """
    from safetensors import SafetensorError, safe_open

    try:
        file = _file_at(Path(path).expanduser())
    except (MissingFileError, WeightsError):
        return {}
    if file.suffix != ".safetensors":
        return {}
    try:
        with safe_open(file, "pt") as opened:
            found = json.loads((opened.metadata() or {}).get(TUNING, "{}"))
    except (SafetensorError, OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _reason(error: Exception) -> str:
    found = re.search(r"GLOBAL ([\w.]+)|class (?:'|`)?([\w.]+)|global ([\w.]+)", str(error))
    named = next((name for name in found.groups() if name), "") if found else ""
    what = f"asks for {named}, which is code" if named else "is a pickle of something else than tensors"
    return f"{what}, and nothing in it was run"


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
