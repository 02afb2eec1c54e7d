"""What was measured of a network on this machine, kept in the cache so that the next dataset starts at once.

Measurements are kept, no decisions: a longer run decides otherwise by the same numbers, and measures what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args

from medfeat.extraction.measure.half_precision import Agreement
from medfeat.types import Precision
from medfeat_cache import make_folder, recipe_digest, write_whole
from medfeat_cache.reading import read_json
from medfeat_cache.root import measured_folder

_Kind = TypeVar("_Kind", bool, str)
RUNS_AS = 1
"""Raised whenever medfeat runs networks in another way: what was measured before then says nothing any more."""

_NOTE_BYTES = 1 << 20
_SHORTEST, _MOST_SECONDS, _MOST_IMAGES = 1e-9, 1e6, 1 << 20
# Networks whose costs of compiling say what another one will cost.
_MOST_NOTES = 200
# What comes of reading a note that is damaged, or that somebody made up.
_UNBELIEVABLE = (OSError, ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True)
class Way:
    """One precision, eager or compiled, as fast as this machine runs it.

    Attributes
    ----------
    precision, compiled, batch
        What was measured; for volumes the batch is one of slices.
    seconds
        Of work an image (or volume).
    cost, again
        Seconds of compiling, the first time and with the compiler's cache; 0 where that was not measured.
    kept
        Which cache the compiler left its work in, see `medfeat.extraction.network.compiling.compiler_cache`.
    usable
        False where compiling failed, or gave other rows.
    """

    precision: Precision
    compiled: bool
    batch: int
    seconds: float
    cost: float = 0.0
    again: float = 0.0
    kept: str = ""
    usable: bool = True


@dataclass
class Memory:
    """What is known of one network on one machine; nothing at first.

    Attributes
    ----------
    path, facts
        Where it is kept (None: nowhere), and what it is true of: machine, network, form of the images.
    layers
        Of the network, that hold weights; 0 as long as nothing was compiled.
    batch
        That a search found, None where nothing was searched.
    looks
        Seconds of work of one image alone.
    ways
        By precision, and whether it is compiled.
    agreements
        Of half precisions with float32, one a view.
    compared
        On how many images they were to be compared; where so many were not at hand, on fewer.
    """

    path: Path | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    layers: int = 0
    batch: int | None = None
    looks: dict[Precision, float] = field(default_factory=dict)
    ways: dict[tuple[Precision, bool], Way] = field(default_factory=dict)
    agreements: dict[Precision, tuple[Agreement, ...]] = field(default_factory=dict)
    compared: dict[Precision, int] = field(default_factory=dict)

    def way(self, precision: Precision, *, compiled: bool, batch: int) -> Way | None:
        """Return what is known of a way to run, at this batch size."""
        known = self.ways.get((precision, compiled))
        return known if known is not None and known.batch == batch else None

    def keep(self, way: Way) -> Way:
        """Take in what was measured, in place of what was known; return it."""
        self.ways[way.precision, way.compiled] = way
        return way

    def forgotten(self) -> Memory:
        """Return a memory of the same facts that knows nothing."""
        return Memory(self.path, self.facts)

    def save(self) -> None:
        """Write it down; losing it only costs time, so a folder that cannot be written is passed over."""
        if self.path is None:
            return
        values = {
            "facts": dict(self.facts),
            "layers": self.layers,
            "batch": self.batch,
            "looks": self.looks,
            "ways": [asdict(way) for way in self.ways.values()],
            "agreements": {half: [asdict(one) for one in views] for half, views in self.agreements.items()},
            "compared": self.compared,
        }
        try:
            make_folder(self.path.parent)
            write_whole(self.path, [json.dumps(values, indent=1).encode()], "remembering what was measured in")
        except OSError:
            return

    def costs_here(self) -> Iterator[tuple[int, float]]:
        """Yield layers and seconds of every network that was compiled for the first time on this machine."""
        if self.path is None:
            return
        for path in sorted(self.path.parent.glob("*.json"))[:_MOST_NOTES]:
            try:
                other = _parsed(path)
            except _UNBELIEVABLE:
                continue
            if other.facts.get("machine") == self.facts.get("machine") and other.layers:
                yield from ((other.layers, way.cost) for way in other.ways.values() if way.cost)


def remembered(root: Path, facts: Mapping[str, Any]) -> tuple[Memory, str]:
    """Return what was measured under these very facts, and what is wrong with the note in words.

    Parameters
    ----------
    root
        Of the cache.
    facts
        Plain JSON values: whatever changes the speed of a network, or the agreement of its precisions.

    Returns
    -------
    memory
        Empty where nothing is known; a note of other facts under the same name is nothing.
    problem
        Empty, or one line that says why a note was not believed.
    """
    path = measured_folder(root) / f"{recipe_digest(dict(facts))[:24]}.json"
    try:
        memory = _parsed(path)
    except FileNotFoundError:
        return Memory(path, facts), ""
    except _UNBELIEVABLE as error:
        reason = type(error).__name__ if isinstance(error, KeyError | TypeError | AttributeError) else str(error)
        return Memory(path, facts), f"{path} is not as medfeat wrote it ({reason.splitlines()[0]}): measured anew"
    return (memory if memory.facts == facts else Memory(path, facts)), ""


def _parsed(path: Path) -> Memory:
    """Read a note, believing nothing of it: what is no number of its kind is a ValueError, KeyError or TypeError."""
    values = read_json(path, limit=_NOTE_BYTES)
    ways = [_way(one) for one in values["ways"]]
    facts = dict(values["facts"])
    agreements = {_precision(half): tuple(map(_agreement, views)) for half, views in values["agreements"].items()}
    if any(len(views) != len(facts.get("views", views)) for views in agreements.values()):
        raise ValueError("agreement of other views")
    return Memory(
        path,
        facts,
        _whole(values["layers"], least=0),
        None if values["batch"] is None else _whole(values["batch"]),
        {_precision(name): _number(seconds, least=_SHORTEST) for name, seconds in values["looks"].items()},
        {(way.precision, way.compiled): way for way in ways},
        agreements,
        {_precision(half): _whole(number) for half, number in values["compared"].items()},
    )


def _way(values: Mapping[str, Any]) -> Way:
    return Way(
        _precision(values["precision"]),
        _of(bool, values["compiled"]),
        _whole(values["batch"]),
        _number(values["seconds"], least=_SHORTEST),
        _number(values["cost"]),
        _number(values["again"]),
        _of(str, values["kept"]),
        _of(bool, values["usable"]),
    )


def _agreement(values: Mapping[str, Any]) -> Agreement:
    cosine, sample = _number(values["cosine_p01"], least=-1.01), _whole(values["sample"])
    return Agreement.of(_precision(values["precision"]), cosine, sample, _of(str, values["measured_on"]))


def _precision(value: Any) -> Precision:
    if value not in get_args(Precision):
        raise ValueError(f"no precision is called {str(value)[:20]!r}")
    return value  # type: ignore[no-any-return]  # one of them


def _of(kind: type[_Kind], value: Any) -> _Kind:
    if not isinstance(value, kind):
        raise ValueError(f"no {kind.__name__}: {str(value)[:20]!r}")
    return value


def _number(value: Any, least: float = 0.0) -> float:
    if type(value) not in (int, float) or not least <= value <= _MOST_SECONDS:
        raise ValueError(f"no number of its kind: {str(value)[:20]!r}")
    return float(value)


def _whole(value: Any, least: int = 1) -> int:
    if type(value) is not int or not least <= value <= _MOST_IMAGES:
        raise ValueError(f"no count of its kind: {str(value)[:20]!r}")
    return value
