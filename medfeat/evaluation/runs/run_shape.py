"""What `run.json` must look like: which fields there are, and of which type; what differs is named."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

_TEXT, _NUMBER, _OBJECT, _LIST = (str,), (int,), (dict,), (list, tuple)
_WORDS = {_TEXT: "text", _NUMBER: "a whole number", _OBJECT: "an object", _LIST: "a list"}
# Fields by their place, as far as a command relies on them.
_SHAPE: Mapping[str, tuple[type, ...]] = {
    "key": _TEXT,
    "dataset": _TEXT,
    "size": _NUMBER,
    "backbone": _TEXT,
    "head": _TEXT,
    "created_utc": _TEXT,
    "store": _OBJECT,
    "store.digest": _TEXT,
    "store.dim": _NUMBER,
    "store.recipe": _OBJECT,
    "task": _OBJECT,
    "task.name": _TEXT,
    "task.type": _TEXT,
    "task.classes": _LIST,
    "protocol": _OBJECT,
    "protocol.seed": _NUMBER,
    "protocol.resamples": _NUMBER,
    "choice": _OBJECT,
    "val": _OBJECT,
    "test": _OBJECT,
    "baselines": _OBJECT,
    "costs": _OBJECT,
    "versions": _OBJECT,
    "cautions": _LIST,
    "notes": _LIST,
}


def check_shape(stored: Any, known: Collection[str]) -> None:
    """Refuse what is no run: a field that is missing or that nobody knows, or a value of another type.

    Parameters
    ----------
    stored
        As JSON gave it.
    known
        Names of the fields that a run has.

    Raises
    ------
    ValueError
        Naming the field, what was found and what is allowed.
    """
    if not isinstance(stored, Mapping):
        raise ValueError(f"it must be an object, got {type(stored).__name__}")
    missing, strange = sorted(set(known) - set(stored)), sorted(set(stored) - set(known))
    if missing:
        raise ValueError(f"no field {missing[0]!r}")
    if strange:
        raise ValueError(f"unknown field {strange[0]!r}: written by a newer medfeat, or not by medfeat")
    for place, types in _SHAPE.items():
        value: Any = stored
        for name in place.split("."):
            if name not in value:
                raise ValueError(f"no field {place!r}")
            value = value[name]
        if not isinstance(value, types) or isinstance(value, bool):
            raise ValueError(f"{place!r} must be {_WORDS[types]}, got {type(value).__name__}")
    if not all(isinstance(one, str) for name in ("cautions", "notes") for one in stored[name]):
        raise ValueError("'cautions' and 'notes' must be lists of text")
    if not all(isinstance(one, str) for one in stored["task"]["classes"]):
        raise ValueError("'task.classes' must be a list of text")
