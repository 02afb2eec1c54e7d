"""What was decided before part 1 and must not change until the store is published; it outlives a killed writer."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from medfeat_cache.create import now_utc
from medfeat_cache.errors import StoreDamaged, saying
from medfeat_cache.files import write_whole
from medfeat_cache.key import canonical_json, digest, recipe_digest
from medfeat_cache.reading import JSON_BYTES, parse_json, read_bounded

NAME = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """The plan of an unfinished store.

    Attributes
    ----------
    recipe
        Everything that changes the bytes.
    settings
        Everything else that a resumed run must keep: batch size, compile, precision.
    info
        What is to be kept beside the features.
    changes
        Settings that had to change on the way, oldest first, each with its reason and time.
    ids
        Digest of the ids of each group, in order; parts of other ids are not taken over.
    created_utc
        When the work began.
    """

    recipe: dict[str, Any]
    settings: dict[str, Any]
    info: dict[str, Any]
    changes: tuple[dict[str, Any], ...] = ()
    ids: dict[str, str] = field(default_factory=dict)
    created_utc: str = field(default_factory=now_utc)

    @property
    def recipe_digest(self) -> str:
        """Key of the recipe."""
        return recipe_digest(self.recipe)

    def changed(self, settings: dict[str, Any], reason: str) -> Manifest:
        """Return the manifest with other settings, and a note of what they were."""
        note = {"was": self.settings, "reason": reason, "utc": now_utc()}
        return replace(self, settings=settings, changes=(*self.changes, note))

    def save(self, folder: Path) -> None:
        """Write it durably into the folder of the parts."""
        body = canonical_json(asdict(self))
        text = json.dumps({"digest": digest(body.encode()), "manifest": json.loads(body)}, indent=1)
        write_whole(folder / NAME, [text.encode()], "writing the manifest")


def _check(facts: Any) -> None:
    names = {entry.name for entry in fields(Manifest)}
    if not isinstance(facts, dict) or set(facts) != names:
        odd = sorted(set(facts) ^ names) if isinstance(facts, dict) else [type(facts).__name__]
        raise ValueError(f"fields {', '.join(odd[:3])} are missing or unknown")
    for name in ("recipe", "settings", "info", "ids"):
        if not isinstance(facts[name], dict):
            raise ValueError(f"{name!r} must be an object, got {type(facts[name]).__name__}")


def load_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of a folder of parts; None when there is none.

    Raises
    ------
    StoreDamaged
        It is not what was written, so what its parts were made with is unknown.
    """
    path = folder / NAME
    with saying(path, "reading"):
        if not path.exists():
            return None
        raw = read_bounded(path, JSON_BYTES)
    try:
        found = parse_json(raw, path)
        facts = found["manifest"]
        if digest(canonical_json(facts).encode()) != found["digest"]:
            raise ValueError("digest differs")
        _check(facts)
        return Manifest(
            **{entry.name: facts[entry.name] for entry in fields(Manifest)} | {"changes": tuple(facts["changes"])}
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StoreDamaged(f"{path} is damaged ({error}): its parts cannot be used") from error
