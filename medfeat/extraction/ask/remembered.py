"""Finding a store again without reading the network: what was asked, beside what it was resolved to.

A recipe names the digest of the weights and the precision that `auto` came to, both of which cost seconds to minutes
to work out. So each finished extraction leaves a small note under the cache root, named by the digest of what was
asked in cheap terms (names, and the path and stamp of files), that says which store answered it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from medfeat.datasets.digests import file_digest
from medfeat.errors import MissingFileError
from medfeat_cache import Stamp, make_folder, recipe_digest, write_whole
from medfeat_cache.reading import read_json

_FOLDER = ".asked"


def file_identity(path: Path) -> dict[str, Any]:
    """Identify weights cheaply, without reading them.

    Parameters
    ----------
    path
        Of a file or folder.

    Returns
    -------
    dict
        The resolved path and the stamp of a file, or a digest over the relative names and stamps of all files of a
        folder. A file written just now may be written again under the same stamp: its content stands for it.

    Raises
    ------
    MissingFileError
        When there is nothing at `path`, or it cannot be looked at.
    """
    try:
        resolved = path.expanduser().resolve(strict=True)
        if resolved.is_dir():
            files = sorted(file for file in resolved.rglob("*") if file.is_file())
            listing = [[file.relative_to(resolved).as_posix(), _identity(file)] for file in files]
            return {"path": str(resolved), "files": recipe_digest({"files": listing})}
        return {"path": str(resolved), **_identity(resolved)}
    except FileNotFoundError as error:
        raise MissingFileError(f"weights file {path} is not there: check the path given to --weights") from error
    except (OSError, RuntimeError) as error:  # a RuntimeError is a home or a link that leads nowhere
        reason = getattr(error, "strerror", None) or error
        raise MissingFileError(f"weights file {path} cannot be read ({reason}): check its path and rights") from error


def _identity(file: Path) -> dict[str, Any]:
    now, stamp = time.time_ns(), Stamp.of(file)
    return asdict(stamp) if stamp.settled(now) else {"blake2b": file_digest(file, "blake2b")}


def remembered_store(root: Path, asked: Mapping[str, Any]) -> Path | None:
    """Return the store that answered this request before, or None when there is none or it is gone."""
    try:
        store = (root / str(read_json(_note(root, asked))["store"])).resolve()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return store if store.is_relative_to(root.resolve()) and store.is_file() else None


def remember_store(root: Path, asked: Mapping[str, Any], store: Path) -> None:
    """Leave the note; losing it only costs time, so a folder that cannot be written is passed over."""
    note = _note(root, asked)
    text = json.dumps({"store": store.resolve().relative_to(root.resolve()).as_posix(), "asked": dict(asked)})
    try:
        make_folder(note.parent)
        write_whole(note, [text.encode()], "remembering what was asked in")
    except OSError:
        return


def _note(root: Path, asked: Mapping[str, Any]) -> Path:
    return root / _FOLDER / f"{recipe_digest(dict(asked))[:24]}.json"
