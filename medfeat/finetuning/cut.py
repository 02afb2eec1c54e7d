"""Cutting a network in two: a frozen trunk that runs once, and last blocks that learn from what it left behind.

Any network is cut the same way, without knowing its code: the input of the first learning block is caught on the way
and replaced later, while everything before it stands still and hands on empty tensors of the right form. Whether that
is the same network is not assumed but measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from medfeat.errors import UsageError

_SHARE = 0.25
"""Unless asked otherwise, the last blocks are those that hold this much of the parameters."""
SMALL = 0.01
"""A unit with less of the parameters (a norm, a pooling) belongs to the block before it."""
_WHOLE, _DOMINATES, _ROW = 0.9, 0.5, 4
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Unit:
    """A module that runs once in a forward pass, and the share of the parameters it holds."""

    name: str
    share: float


def units_of(network: nn.Module, run: Callable[[], object]) -> list[Unit]:
    """Return the units of a network in the order they run.

    A unit that holds nearly all parameters, or half of them in a row of four or more parts, is taken apart: the
    encoder of a transformer becomes its blocks, the last stage of a ResNet stays one.

    Parameters
    ----------
    network
        Anything.
    run
        Runs a forward pass of it.
    """
    order = _order(network, run)
    total = max(sum(parameter.numel() for parameter in network.parameters()), 1)

    def parts(name: str) -> list[str]:
        depth = name.count(".") + 1 if name else 0
        inside = [one for one in order if one != name and (not name or one.startswith(f"{name}."))]
        heads = [one if one.count(".") == depth else ".".join(one.split(".")[: depth + 1]) for one in inside]
        return list(dict.fromkeys(heads))

    def share(name: str) -> float:
        return sum(parameter.numel() for parameter in network.get_submodule(name).parameters()) / total

    def expand(name: str) -> Iterator[Unit]:
        below = parts(name)
        apart = share(name) >= _WHOLE or (share(name) >= _DOMINATES and len(below) >= _ROW)
        if name in order and not (below and apart):
            yield Unit(name, share(name))
            return
        for one in below:
            yield from expand(one)

    return list(expand(""))


def last_units(units: list[Unit], blocks: int) -> list[Unit]:
    """Return the last units that learn: `blocks` that hold parameters, or a quarter of the network when 0."""
    held, number = 0.0, 0
    for i in range(len(units) - 1, -1, -1):
        held += units[i].share
        number += units[i].share >= SMALL
        if (number >= blocks and units[i].share >= SMALL) if blocks else held >= _SHARE:
            return units[i:]
    raise UsageError(f"the network has {number} blocks, got --blocks {blocks}: give fewer, or --mode full")


class Cut:
    """A network cut before one of its modules.

    Parameters
    ----------
    network
        From images to features.
    place
        Dotted name of the first module that learns.
    sample
        Some prepared images, on which the cut is measured.

    Raises
    ------
    UsageError
        What comes after the cut depends on more than what was caught.
    """

    def __init__(self, network: nn.Module, place: str, sample: torch.Tensor) -> None:
        self.network, self.place = network, place
        with torch.no_grad():
            self._still, whole = self._learn(sample)
            caught = self.trunk(sample)
            self.tail = _Tail(network, place, self._still, sample.shape)
            again = self.tail(caught)
        scale = float(whole.abs().max()) or 1.0
        if float((again - whole).abs().max()) > TOLERANCE * scale:
            raise UsageError(
                f"{type(network).__name__} cannot be cut before {place}: what follows needs more than its input; use "
                "--mode full or lora, or another --blocks"
            )

    def trunk(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return what the module at the cut is given; nothing after it runs."""
        handle = self.network.get_submodule(self.place).register_forward_pre_hook(_caught, with_kwargs=True)
        try:
            self.network(inputs)
        except _Reached as reached:
            return reached.value
        finally:
            handle.remove()
        raise UsageError(f"{self.place} takes no part in the forward pass: name another one")

    def _learn(self, sample: torch.Tensor) -> tuple[dict[str, Any], torch.Tensor]:
        """Run whole once; remember what each module before the cut hands on, the outermost of them alone."""
        before: dict[str, Any] = {}
        again: set[str] = set()
        over = False

        def stop(*_: object) -> None:
            nonlocal over
            over = True

        def keep(name: str) -> Callable[..., None]:
            def hook(_module: nn.Module, _inputs: object, output: object) -> None:
                if over:
                    again.add(name)
                else:
                    before[name] = _form(output)

            return hook

        handles = [self.network.get_submodule(self.place).register_forward_pre_hook(stop)]
        for name, module in self.network.named_modules():
            if name and not f"{self.place}.".startswith(f"{name}."):
                handles.append(module.register_forward_hook(keep(name)))
        try:
            whole = self.network(sample)
        finally:
            for handle in handles:
                handle.remove()
        before = {name: form for name, form in before.items() if name not in again}
        outer = {n: form for n, form in before.items() if not any(n.startswith(f"{other}.") for other in before)}
        return outer, whole


class _Tail(nn.Module):
    """What follows a cut, as a network of its own: from caught activations to features.

    Parameters
    ----------
    network, place
        As of the cut.
    still
        What stands still, with the form of what it hands on.
    shape
        Of the images.
    """

    def __init__(self, network: nn.Module, place: str, still: dict[str, Any], shape: torch.Size) -> None:
        super().__init__()
        self.network = network
        self._place, self._still, self._shape = place, still, shape[1:]

    def forward(self, activations: torch.Tensor) -> torch.Tensor:
        """Map (m, ...) activations to (m, d) features."""
        with self._standing(activations):
            empty = activations.new_zeros(()).expand(len(activations), *self._shape)
            return self.network(empty)  # type: ignore[no-any-return]

    @contextmanager
    def _standing(self, activations: torch.Tensor) -> Iterator[None]:
        handles, plain = [], {}
        for name, form in self._still.items():
            module = self.network.get_submodule(name)
            plain[name] = module.__dict__.get("forward")
            module.forward = _empty(form, activations)
        module = self.network.get_submodule(self._place)
        handles.append(module.register_forward_pre_hook(_giving(activations), with_kwargs=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            for name, forward in plain.items():
                module = self.network.get_submodule(name)
                del module.forward
                if forward is not None:
                    module.forward = forward


class _Reached(Exception):  # noqa: N818 - no error: the cut was reached
    def __init__(self, value: torch.Tensor) -> None:
        self.value = value


def _caught(_module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
    first = inputs[0] if inputs else next(iter(named.values()), None)
    if not isinstance(first, torch.Tensor):
        raise UsageError(f"{type(_module).__name__} is not given one tensor: it cannot be cut there")
    raise _Reached(first)


def _giving(activations: torch.Tensor) -> Callable[..., tuple[tuple[Any, ...], dict[str, Any]]]:
    def hook(
        _module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if inputs:
            return (activations, *inputs[1:]), named
        return (), {name: activations if i == 0 else value for i, (name, value) in enumerate(named.items())}

    return hook


def _form(output: object) -> Any:
    """Describe tensors by their shapes without the batch, in whatever they are held."""
    if isinstance(output, torch.Tensor):
        return tuple(output.shape[1:])
    if isinstance(output, (tuple, list)):
        return [_form(one) for one in output]
    return None


def _empty(form: Any, like: torch.Tensor) -> Callable[..., Any]:
    """Return a forward that computes nothing and hands on zeros of a form, which take no memory."""

    def forward(*_inputs: object, **_named: object) -> Any:
        return _filled(form, like)

    return forward


def _filled(form: Any, like: torch.Tensor) -> Any:
    if isinstance(form, tuple):
        return like.new_zeros(()).expand(len(like), *form)
    return None if form is None else tuple(_filled(one, like) for one in form)


def _order(network: nn.Module, run: Callable[[], object]) -> list[str]:
    """Return the names of all modules in the order in which they begin to run."""
    seen: list[str] = []
    handles = [
        module.register_forward_pre_hook(lambda _m, _i, name=name: seen.append(name))
        for name, module in network.named_modules()
        if name
    ]
    try:
        with torch.no_grad():
            run()
    finally:
        for handle in handles:
            handle.remove()
    return list(dict.fromkeys(seen))
