"""What a study may say: the long options of `extract`, `probe` and `finetune` that are no matter of a machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medfeat.errors import UsageError, unknown_name

EMBEDDING, PROBE, CURVE, TRAINING = "embedding", "probe", "curve", "training"
KINDS = (EMBEDDING, PROBE, CURVE, TRAINING)
COMMANDS = {EMBEDDING: "extract", PROBE: "probe", CURVE: "probe", TRAINING: "finetune"}

Value = str | int | float | bool
Types = tuple[type, ...]
_TEXT, _WHOLE, _NUMBER, _SWITCH, _SHOTS = (str,), (int,), (int, float), (bool,), (int, str)

# How data is opened, and which network it goes through: the same for an embedding and for a training.
_OPENED: Mapping[str, Types] = {
    "data": _TEXT, "size": _WHOLE, "name": _TEXT, "intensity": _TEXT, "classes": _TEXT, "path-column": _TEXT,
    "label-column": _TEXT, "split-column": _TEXT, "patient-column": _TEXT, "volumes": _TEXT, "task": _TEXT,
}  # fmt: skip
_NETWORK: Mapping[str, Types] = {
    "backbone": _TEXT, "weights": _TEXT, "pool": _TEXT, "slices": _TEXT, "fit": _TEXT, "precision": _TEXT,
    "seed": _WHOLE, "trust-remote-code": _SWITCH,
}  # fmt: skip
_QUESTION: Mapping[str, Types] = {
    "task": _TEXT, "classes": _TEXT, "labels": _TEXT, "relabel": _TEXT, "keep": _TEXT, "drop": _TEXT,
    "partial": _SWITCH, "seed": _WHOLE, "resamples": _WHOLE,
}  # fmt: skip
OPTIONS: Mapping[str, Mapping[str, Types]] = {
    EMBEDDING: {**_OPENED, **_NETWORK, "adapt": _SWITCH, "layer": _TEXT, "copies": _TEXT, "dtype": _TEXT},
    PROBE: {
        **_QUESTION, "head": _TEXT, "choose": _TEXT, "class-weight": _TEXT, "refit": _SWITCH, "budget": _NUMBER,
        "prompts": _TEXT,
    },
    CURVE: {**_QUESTION, "head": _TEXT, "shots": _SHOTS, "draws": _WHOLE, "prompts": _TEXT},
    TRAINING: {
        **_OPENED, **_NETWORK, **_QUESTION, "mode": _TEXT, "epochs": _WHOLE, "max-minutes": _NUMBER,
        "class-weight": _TEXT, "loss": _TEXT, "augment": _TEXT, "from-probe": _TEXT, "lr": _NUMBER,
        "batch-size": _WHOLE, "layer-decay": _NUMBER, "weight-decay": _NUMBER, "label-smoothing": _NUMBER,
        "patience": _WHOLE, "soup": _WHOLE, "sampler": _TEXT, "blocks": _WHOLE, "rank": _WHOLE,
        "train-batch-norm": _SWITCH, "shots": _SHOTS,
    },
}  # fmt: skip
"""The options of each kind of cell, by their long names, and what a value of each may be."""
VIEWS = ("layer", "pool", "slices")
"""Of which several of an embedding come from one pass."""
KEYS: Mapping[str, Types] = {name: types for kind in KINDS for name, types in OPTIONS[kind].items()}
_MACHINE = frozenset({"cache-dir", "data-root", "device", "offline", "workers", "out", "jobs", "max-hours", "max-disk"})
_WORDS: Mapping[type, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def checked_values(name: str, given: Any, where: str) -> tuple[Value, ...]:
    """Return the values of a key, one or a list, each once.

    Parameters
    ----------
    name, given
        Of the file.
    where
        The file, for messages.

    Raises
    ------
    UsageError
        A key that is none, with the nearest that is; or a value of another type.
    """
    if name in _MACHINE:
        raise UsageError(f"{where}: {name!r} belongs to a machine, not to a study: say --{name} on the command line")
    if name not in KEYS:
        raise UsageError(f"{where}: {unknown_name('key', name, KEYS)}")
    values = given if isinstance(given, list) else [given]
    if not values:
        raise UsageError(f"{where}: {name!r} is an empty list: give values, or leave the key out")
    types = KEYS[name]
    for value in values:
        if type(value) not in types:
            allowed = " or ".join(_WORDS[one] for one in types)
            raise UsageError(f"{where}: {name!r} must be {allowed}, or a list of these, got {value!r}")
    return tuple(dict.fromkeys(values))


def refuse_idle(grid: Mapping[str, tuple[Value, ...]], where: str) -> None:
    """Refuse keys that would have no effect beside the others, as the commands do."""
    kinds = kinds_of(grid)
    used = {name for kind in kinds for name in OPTIONS[kind]}
    for name in grid:
        if name not in used:
            needs = {TRAINING: "mode", CURVE: "shots"}
            able = [needs.get(kind, "head") for kind in KINDS if name in OPTIONS[kind]]
            raise UsageError(
                f"{where}: {name!r} has no effect here: add {' or '.join(dict.fromkeys(able))}, or {_LEAVE}"
            )
    for name, mode in (("blocks", "last-blocks"), ("rank", "lora")):
        if name in grid and mode not in grid.get("mode", ()):
            raise UsageError(f"{where}: {name!r} has no effect without mode {mode!r}: add it, or {_LEAVE}")
    for name, needed in (("data", "what is embedded"), ("backbone", "by which network")):
        if name not in grid:
            raise UsageError(f"{where}: {name!r} is missing: say {needed}")


_LEAVE = "leave the key out"


def kinds_of(grid: Mapping[str, tuple[Value, ...]]) -> tuple[str, ...]:
    """Return the kinds of cells of a grid: with `mode` trainings, and heads unless there are trainings alone."""
    training = (TRAINING,) if "mode" in grid else ()
    if training and "head" not in grid:
        return training
    # `shots` makes curves of heads, as it does for `probe`, and fewer samples for trainings
    return (EMBEDDING, CURVE if "shots" in grid else PROBE, *training)
