"""The cells of a study: one embedding, one head on it, one curve or one training each."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from medfeat.backbones import backbone_names
from medfeat.comma_lists import as_names
from medfeat.datasets import DATASETS, dataset_names
from medfeat.heads import HEADS, all_heads, takes_budget
from medfeat.types import TASK_TYPES
from medfeat.workflows.jobs.store_jobs import SETTLED_HEADS
from medfeat.workflows.studying.keys import (
    CURVE,
    EMBEDDING,
    KINDS,
    OPTIONS,
    PROBE,
    TRAINING,
    VIEWS,
    Value,
    kinds_of,
)
from medfeat.workflows.studying.study_file import Study
from medfeat_cache import canonical_json

Grid = Mapping[str, tuple[Value, ...]]
Options = dict[str, Value]
_DIGITS = 8


@dataclass(frozen=True)
class Cell:
    """One thing to do, in the words of a study.

    Attributes
    ----------
    kind
        ``embedding``, ``probe``, ``curve`` or ``training``.
    options
        Values by long option, those that have an effect on it alone.
    of
        The embedding whose stores it reads; None where it reads none.
    any_head
        Whether its head stands for ``all``, where one that cannot learn the task is left out.
    """

    kind: str
    options: Mapping[str, Value]
    of: Cell | None = None
    any_head: bool = False

    @cached_property
    def key(self) -> str:
        """Digest of all it says: two studies that say the same cell have it in common."""
        said = [self.kind, dict(self.options), "" if self.of is None else self.of.key]
        return hashlib.blake2b(canonical_json(said).encode(), digest_size=_DIGITS).hexdigest()

    @cached_property
    def name(self) -> str:
        """What it is, in a few words."""
        said = {**({} if self.of is None else self.of.options), **self.options}
        first = [_short(said.pop("data")), str(said.pop("backbone"))]
        first += [str(said.pop(key)) for key in ("head", "mode") if key in said]
        rest = [key if value is True else f"{key} {_short(value)}" for key, value in said.items()]
        return " / ".join((*first, ", ".join(rest))) if rest else " / ".join(first)

    @property
    def data(self) -> str:
        """The dataset, as the study names it."""
        return str((self.of or self).options["data"])


def cells_of(study: Study) -> tuple[Cell, ...]:
    """Return every cell of a study once: embeddings first, network by network, then heads and curves, then trainings.

    Whoever makes one embedding after another then loads a network once.

    Raises
    ------
    UsageError
        A name of a head or a backbone that is none.
    """
    found = {cell.key: cell for grid in study.grids for cell in _of_grid(grid)}
    order = {kind: place for place, kind in enumerate(KINDS)}
    networks: dict[str, int] = {}
    for cell in found.values():
        networks.setdefault(_network(cell), len(networks))
    return tuple(sorted(found.values(), key=lambda cell: (order[cell.kind], networks[_network(cell)])))


def _network(cell: Cell) -> str:
    """Spell which network an embedding loads; nothing for other cells."""
    said = cell.options if cell.kind == EMBEDDING else {}
    return canonical_json({name: said[name] for name in ("backbone", "weights", "seed", *VIEWS) if name in said})


def _of_grid(grid: Grid) -> Iterator[Cell]:
    named = {**grid, "data": _data(grid["data"]), "backbone": _names(grid["backbone"], backbone_names())}
    if "head" in grid:
        named["head"] = _names(grid["head"], all_heads())
        for head in named["head"]:
            HEADS[str(head)]  # a mistyped name is said before anything is done
    every = "all" in grid.get("head", ())
    asked = {str(name) for value in grid.get("head", ()) for name in as_names(str(value))}
    for kind in kinds_of(grid):
        if kind in (PROBE, CURVE):
            for embedding, options in _heads(named, kind):
                yield embedding
                yield Cell(kind, options, embedding, every and options["head"] not in asked)
        elif kind == TRAINING:
            yield from (Cell(kind, _trained(options)) for options in _product(named, OPTIONS[kind]))


def _heads(grid: Grid, kind: str) -> Iterator[tuple[Cell, Options]]:
    """Yield each embedding with what is asked of it; views of one pass, and shots of one curve, stay together."""
    together = {name: (_joined(grid[name]),) for name in (*VIEWS, "shots") if name in grid}
    for chosen in _product({**grid, **together}, {*OPTIONS[EMBEDDING], *OPTIONS[kind]}):
        embedded = {name: value for name, value in chosen.items() if name in OPTIONS[EMBEDDING]}
        if chosen.get("weights") != "random":
            embedded.pop("seed", None)
        own = "labels" not in chosen and chosen["data"] not in DATASETS
        if not own or chosen.get("task", "") not in (*TASK_TYPES, ""):
            embedded.pop("task", None)
        if not own:
            embedded.pop("classes", None)
        # What own labels mean was said when they were read.
        asked = {name: v for name, v in chosen.items() if name in OPTIONS[kind] and name not in _already(embedded)}
        if "budget" in asked and not takes_budget(str(asked.get("head", SETTLED_HEADS[0]))):
            del asked["budget"]
        yield Cell(EMBEDDING, embedded), asked


def _already(embedded: Options) -> set[str]:
    return {name for name in ("task", "classes") if name in embedded}


def _trained(options: Options) -> Options:
    """Leave out what says nothing of a training in its mode."""
    idle = {name for name, mode in (("blocks", "last-blocks"), ("rank", "lora")) if options["mode"] != mode}
    return {name: value for name, value in options.items() if name not in idle}


def _product(grid: Grid, names: Iterable[str]) -> Iterator[Options]:
    wanted = set(names)
    mine = {name: values for name, values in grid.items() if name in wanted}
    for values in itertools.product(*mine.values()):
        yield dict(zip(mine, values, strict=True))


def _names(values: tuple[Value, ...], every: Iterable[str]) -> tuple[Value, ...]:
    """Split comma lists, and put every name in the place of ``all``."""
    found = (name for value in values for name in (every if value == "all" else as_names(str(value))))
    return tuple(dict.fromkeys(found))


def _data(values: tuple[Value, ...]) -> tuple[Value, ...]:
    """Split comma lists of names; what is a path stays as it is."""
    apart = [(value,) if Path(str(value)).expanduser().exists() else as_names(str(value)) for value in values]
    return _names(tuple(itertools.chain.from_iterable(apart)), dataset_names())


def _joined(values: tuple[Value, ...]) -> str:
    return ",".join(map(str, values))


def _short(value: Value) -> str:
    """Return a value in a name; of a path its last part."""
    return Path(value).name if isinstance(value, str) and "/" in value else str(value)
