"""Which layers a network has from its first to its last, and which lie at the quarters of its depth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import torch
from torch import nn

from medfeat.backbones.features.row_an_image import TRIAL_BATCHES, Shape, is_by_image
from medfeat.backbones.features.views_of import Anatomy
from medfeat.errors import UsageError
from medfeat.types import EVERY

_QUARTERS = 4
_FEWEST_STAGES = 3
# A side this much smaller than that of a stage's first layer begins a new stage; Inception loses a pixel or two inside.
_SMALLER, _LARGER = 0.75, 1.2
# Within a step from stage to stage a block widens at the old side; what shrinks by more holds several stages.
_STEP = 2.2


@dataclass(frozen=True)
class Depths:
    """The layers of a network by depth; the last is None, the network's own last features.

    Attributes
    ----------
    every
        The blocks of a network that keeps its side from end to end, as vision transformers do; else the last layer at
        each side that its maps have, which are the ends of the stages of convolutional networks.
    quarter
        Of these, the blocks at 1/4, 2/4, 3/4 and 4/4 of depth; of stages the last four.
    """

    every: tuple[str | None, ...]
    quarter: tuple[str | None, ...]

    def meant(self, word: str) -> tuple[str | None, ...]:
        """Return the layers that a word of `medfeat.types.LAYER_WORDS` stands for."""
        return self.every if word == EVERY else self.quarter

    def places(self) -> dict[str, dict[str, int | bool]]:
        """Return of each layer (the last is ``""``) its place from 1, of how many, and whether it is of the quarter."""
        count, quarter = len(self.every), set(self.quarter)
        numbered = enumerate(self.every, 1)
        return {layer or "": {"at": at, "of": count, "quarter": layer in quarter} for at, layer in numbered}


@dataclass
class _Trace:
    """What the modules of a network took and gave, each in the order in which it was done."""

    inputs: dict[str, Shape] = field(default_factory=dict)
    outputs: dict[str, list[Shape]] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)


def depths_of(network: nn.Module, anatomy: Anatomy, size: int, *, device: torch.device | str = "meta") -> Depths:
    """Find the layers of a network by depth, from the shapes that its modules give in a trial run.

    Parameters
    ----------
    network, anatomy, size, device
        As `medfeat.backbones.features.views_of.plan_views` takes them.

    Raises
    ------
    UsageError
        For a network whose layers cannot be told apart by depth.
    """
    trace = _traced(network, anatomy, size, device)
    ends = _ends(_units(network, "", trace, size), trace)
    if len(ends) >= _FEWEST_STAGES:
        stages = (*ends[:-1], None)
        return Depths(stages, stages[-_QUARTERS:])
    # the row that is most of the network: inside of a block there are rows too
    blocks = max(_rows(network, trace), key=lambda row: _parameters(network, row), default=[])
    row = blocks or ends
    if len(row) < 2:
        raise UsageError(
            f"the layers of {type(network).__name__} cannot be told apart by depth: name them, --layer NAME,NAME"
        )
    names, count = (*row[:-1], None), len(row)
    places = sorted({math.ceil(count * part / _QUARTERS) - 1 for part in range(1, _QUARTERS + 1)})
    return Depths(names, tuple(names[place] for place in places))


def _traced(network: nn.Module, anatomy: Anatomy, size: int, device: torch.device | str) -> _Trace:
    """Run the network over two numbers of images; keep the modules that run once and give one row an image."""
    runs = []
    for count in TRIAL_BATCHES:
        trace = _Trace()
        handles = [module.register_forward_hook(_Noting(trace, name)) for name, module in network.named_modules()]
        try:
            with torch.no_grad():
                anatomy.features(network, torch.zeros(count, 3, size, size, device=device))
        finally:
            for handle in handles:
                handle.remove()
        runs.append(trace)
    first, second = runs
    once = [name for name in first.order if len(first.outputs[name]) == len(second.outputs.get(name, ())) == 1]
    kept = [name for name in once if is_by_image([first.outputs[name][0], second.outputs[name][0]])]
    return _Trace(first.inputs, {name: first.outputs[name] for name in kept}, kept)


class _Noting:
    """A forward hook that writes down shapes."""

    def __init__(self, trace: _Trace, name: str) -> None:
        self._trace, self._name = trace, name

    def __call__(self, _module: nn.Module, inputs: object, output: object) -> None:
        trace, name = self._trace, self._name
        if name not in trace.outputs:
            trace.order.append(name)
            trace.inputs[name] = _shape(inputs)
        trace.outputs.setdefault(name, []).append(_shape(output))


def _shape(value: object) -> Shape:
    while isinstance(value, (tuple, list)) and value:
        value = value[0]
    return tuple(value.shape) if isinstance(value, torch.Tensor) else ()


def _side(shape: Shape) -> float | None:
    """Return the side of a square map, or of the square that tokens make; None for what is neither."""
    if len(shape) == 4 and shape[2] == shape[3]:
        return float(shape[2])
    if len(shape) == 4 and shape[1] == shape[2]:
        return float(shape[1])
    return math.sqrt(shape[1]) if len(shape) == 3 else None


def _units(network: nn.Module, name: str, trace: _Trace, size: float) -> list[str]:
    """Return the modules that follow each other, in order; what shrinks the side step by step is taken apart."""
    found: list[str] = []
    side = size
    for part in sorted(_parts(network, name, trace), key=trace.order.index):
        before, after = _side(trace.inputs[part]) or side, _side(trace.outputs[part][0])
        if after is None:
            continue
        inside = _units(network, part, trace, before) if before > _STEP * after else []
        # a stem of one layer shrinks at once
        found += inside if len(_ends(inside, trace)) > 1 else [part]
        side = after
    return found


def _parts(network: nn.Module, name: str, trace: _Trace) -> Iterator[str]:
    """Name the outermost modules inside of one that were kept; lists of modules, for example, never run themselves."""
    for child, _ in network.get_submodule(name).named_children():
        inner = f"{name}.{child}" if name else child
        if inner in trace.outputs:
            yield inner
        else:
            yield from _parts(network, inner, trace)


def _ends(units: Sequence[str], trace: _Trace) -> list[str]:
    """Return the last of the units at each side, from the largest side to the smallest."""
    ends: list[str] = []
    start = math.inf
    for unit in units:
        side = _side(trace.outputs[unit][0]) or math.inf
        if side <= _SMALLER * start:
            ends.append(unit)
            start = side
        elif side <= _LARGER * start:  # larger ones belong to a branch beside the network
            ends[-1] = unit
    return ends


def _rows(network: nn.Module, trace: _Trace) -> Iterator[list[str]]:
    """Yield the rows of like modules that give the same shape one after the other: blocks of a transformer are one."""
    for name, module in network.named_modules():
        inside = [(f"{name}.{child}" if name else child, type(one)) for child, one in module.named_children()]
        there = [(inner, kind, trace.outputs[inner][0]) for inner, kind in inside if inner in trace.outputs]
        for (_, shape), row in groupby(there, key=lambda one: one[1:]):
            names = [inner for inner, *_ in row]
            if _side(shape) and len(names) > 1:
                yield names


def _parameters(network: nn.Module, names: Sequence[str]) -> int:
    return sum(parameter.numel() for name in names for parameter in network.get_submodule(name).parameters())
