"""In which settings runs differ that a table would show alike."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

from medfeat.evaluation.runs.run import Run
from medfeat.evaluation.runs.wording import USUAL

# Of a protocol, what follows from the rest and from what every table shows.
_FOLLOWS = ("training", "head_digest", "pixels", "intervals")


def told_apart(runs: Sequence[Run], shown: Sequence[Hashable], *, besides: Collection[str] = ()) -> list[str]:
    """Return for each run the settings that tell it apart from those shown alike; empty where none is or none differs.

    Parameters
    ----------
    runs
        As a table lists them.
    shown
        One a run: what the table says of it. Runs of which it says the same are told apart.
    besides
        Names of settings that the table says in a place of its own.

    Examples
    --------
    >>> told_apart([plain, weighted, other], ["resnet18 linear", "resnet18 linear", "vgg16 linear"])  # doctest: +SKIP
    ['class weight none', 'class weight balanced', '']
    """
    groups: dict[Hashable, list[int]] = {}
    for i, said in enumerate(shown):
        groups.setdefault(said, []).append(i)
    words = [""] * len(runs)
    for places in groups.values():
        found = [_settings(runs[i]) for i in places] if len(places) > 1 else []
        names = dict.fromkeys(name for one in found for name in one if name not in besides)
        differ = [name for name in names if len({one.get(name, "none") for one in found}) > 1]
        for i, one in zip(places, found, strict=bool(found)):
            words[i] = ", ".join(f"{name.replace('_', ' ')} {one.get(name, 'none')}" for name in differ)
    return words


def class_weight_of(run: Run) -> str:
    """Return how a run weighed its classes: ``none``, ``balanced`` or ``auto``; of a training, what it came to."""
    return _settings(run)["class_weight"]


def _settings(run: Run) -> dict[str, str]:
    """Return everything that was asked for a run, by name, in words."""
    asked: Mapping[str, Any] = {**USUAL, **run.protocol}
    found = {name: value for name, value in asked.items() if name not in (*_FOLLOWS, "fine_tuning")}
    found |= asked.get("fine_tuning") or {}
    words = {name: _word(value) for name, value in found.items()}
    words |= {"texts": words["texts"][:6]} if "texts" in words else {}
    labels, store = str(run.task.get("digest", ""))[:6], str(run.store.get("digest", ""))[:12]
    return words | {"labels": labels, "store": store}


def _word(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
