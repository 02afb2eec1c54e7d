"""A run is vouched for as a store is: digests over all its files, written last. What disagrees is named, never used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from medfeat.errors import DataError
from medfeat_cache import canonical_json, write_whole
from medfeat_cache.commands import command
from medfeat_cache.reading import look_at, read_json

DIGESTS_FILE = "digests.json"
FORMAT = "medfeat-run-digests"
VERSION = 1
AGAIN = f"it is not used; {command('runs', 'verify')} says more, and probing again makes it anew"
_PIECE = 1 << 20


def _digest_of(content: bytes) -> str:
    """Return the digest of a file's bytes, as `digests.json` holds it."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def vouch(folder: Path) -> None:
    """Write down the digests of every file of a run's folder; the last thing that is written into it."""
    files = {name: _digest(path) for name, path in sorted(_files(folder).items())}
    facts = {"format": FORMAT, "version": VERSION, "files": files, "digest": _over(files)}
    write_whole(folder / DIGESTS_FILE, [json.dumps(facts, indent=1).encode()], "vouching for the run")


def vouched(folder: Path) -> Mapping[str, str] | None:
    """Return the digest of each file of a run; None for a run of before there were digests.

    Raises
    ------
    DataError
        The digests themselves are damaged.
    """
    path = folder / DIGESTS_FILE
    try:
        found = read_json(path)
        if found["format"] != FORMAT or found["version"] != VERSION:
            raise DataError(f"{path} is {found['format']} {found['version']}, this medfeat reads {FORMAT} {VERSION}")
        files: dict[str, str] = dict(found["files"])
        if found["digest"] != _over(files):
            raise ValueError("its own digest differs")
    except FileNotFoundError:
        return None
    except DataError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged ({str(error).splitlines()[0]}): nothing vouches for the run") from error
    return files


def refuse_changed(folder: Path, name: str, content: bytes | None = None) -> bool:
    """Refuse a file of a run that is not the one that was written; return whether anything vouches for it.

    Parameters
    ----------
    folder
        Of the run.
    name
        Of the file below it.
    content
        Its bytes, where they have been read already.

    Raises
    ------
    DataError
        It was changed, or was not there when the run was written.
    """
    files = vouched(folder)
    if files is None:
        return False
    try:
        found = _digest(folder / name) if content is None else _digest_of(content)
    except OSError as error:
        raise DataError(f"{folder / name} cannot be read ({error}): {AGAIN}") from error
    if files.get(name) != found:
        raise DataError(f"{folder / name} was changed after the run was written: {AGAIN}")
    return True


def disagreements(folder: Path) -> list[str] | None:
    """Return a line for each file that was changed, is missing or came later; None for a run without digests."""
    try:
        files = vouched(folder)
    except DataError as error:
        return [str(error)]
    if files is None:
        return None
    there = _files(folder)
    lines = [f"{name} is missing" for name in files if name not in there]
    lines += [f"{name} was not written with the run" for name in sorted(there) if name not in files]
    for name in files:
        if name in there:
            try:
                if _digest(there[name]) != files[name]:
                    lines.append(f"{name} was changed")
            except (OSError, ValueError) as error:
                lines.append(str(error))
    return lines


def _files(folder: Path) -> dict[str, Path]:
    """Return every file of a run by its name below the folder; hidden ones and the digests are not of it."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    return {name: path for name, path in found.items() if name != DIGESTS_FILE and not name.startswith(".")}


def _digest(path: Path) -> str:
    look_at(path)
    found = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            found.update(piece)
    return found.hexdigest()


def _over(files: Mapping[str, str]) -> str:
    return _digest_of(canonical_json(dict(files)).encode())
