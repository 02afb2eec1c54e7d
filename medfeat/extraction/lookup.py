"""Finding a store again without reading the network: what was asked, beside what it was resolved to.

A recipe names the digest of the weights and the precision that `auto` came to, both of which cost seconds to minutes
to work out. So each finished extraction leaves a small note under the cache root, named by the digest of what was
asked in cheap terms (names, and path, size and modification time of files), that says which store answered it.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medfeat_cache import recipe_digest

_FOLDER = ".asked"


def file_identity(path: Path) -> dict[str, Any]:
    """Identify a file or folder cheaply: resolved path, size in bytes, newest modification time in ns."""
    resolved = path.resolve()
    files = sorted(p for p in resolved.rglob("*") if p.is_file()) if resolved.is_dir() else [resolved]
    stats = [p.stat() for p in files]
    return {
        "path": str(resolved),
        "size": sum(s.st_size for s in stats),
        "mtime_ns": max((s.st_mtime_ns for s in stats), default=0),
    }


def remembered_store(root: Path, asked: Mapping[str, Any]) -> Path | None:
    """Return the store that answered this request before, or None when there is none or it is gone."""
    try:
        note = json.loads(_note(root, asked).read_text(encoding="utf-8"))
        relative = str(note["store"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    store = (root / relative).resolve()
    return store if store.is_relative_to(root.resolve()) and store.is_file() else None


def remember_store(root: Path, asked: Mapping[str, Any], store: Path) -> None:
    """Leave the note; losing it only costs time, so a folder that cannot be written is passed over."""
    note = _note(root, asked)
    text = json.dumps({"store": store.resolve().relative_to(root.resolve()).as_posix(), "asked": dict(asked)})
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=note.parent, suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(text)
        Path(temporary).replace(note)
    except OSError:
        return


def _note(root: Path, asked: Mapping[str, Any]) -> Path:
    return root / _FOLDER / f"{recipe_digest(dict(asked))[:24]}.json"
