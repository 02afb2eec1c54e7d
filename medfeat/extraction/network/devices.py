"""Several devices at once: which ones a person means, and how a store names them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from medfeat.errors import UsageError
from medfeat.extraction.ask.run_settings import RunSettings
from medfeat.extraction.network.device import Machine, describe_machine, resolve_device, settings_here

if TYPE_CHECKING:
    import torch

_ALL = "cuda:all"
_LIST = r"cuda:\d+(,(cuda:)?\d+)+"


def resolve_devices(name: str = "auto") -> tuple[torch.device, ...]:
    """Turn what a person typed into devices that exist.

    Parameters
    ----------
    name
        As `medfeat.extraction.network.device.resolve_device` takes it, or several GPUs: ``cuda:0,1``,
        ``cuda:0,cuda:1``, or ``cuda:all``.

    Returns
    -------
    tuple[torch.device, ...]
        At least one, none twice.

    Raises
    ------
    UsageError
        When the name is no device, names one twice, or one that is not on this machine.
    """
    import torch

    if name == _ALL:
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if not count:
            raise UsageError(f"device {name!r} is not here: 0 CUDA devices found; use --device auto or cpu")
        return tuple(resolve_device(f"cuda:{index}") for index in range(count))
    if "," not in name:
        return (resolve_device(name),)
    if not re.fullmatch(_LIST, name):
        raise UsageError(f"several devices must be GPUs, as in cuda:0,1 or {_ALL}, got {name!r}")
    numbers = [int(one.removeprefix("cuda:")) for one in name.split(",")]
    twice = next((number for number in numbers if numbers.count(number) > 1), None)
    if twice is not None:
        raise UsageError(f"device {name!r} names cuda:{twice} more than once: name each GPU once, or {_ALL}")
    return tuple(resolve_device(f"cuda:{number}") for number in numbers)


def settings_on(settings: RunSettings, devices: Sequence[torch.device]) -> RunSettings:
    """Return the settings of a run on several devices: it names all of them, and every kind of hardware once."""
    if len(devices) == 1:
        return settings
    each = [
        settings_here(one, settings.precision, settings.batch_size, settings.compiled, settings.part_batches)
        for one in devices
    ]
    return replace(settings, device=",".join(map(str, devices)), hardware=_once(each, lambda one: one.hardware))


def describe_machines(devices: Sequence[torch.device]) -> Machine:
    """Describe the hardware behind devices as one machine; `memory_bytes` is that of each."""
    each = [describe_machine(device) for device in devices]
    return replace(each[0], device=",".join(map(str, devices)), name=_once(each, lambda one: one.name))


def _once(each: Sequence[object], read: Callable[..., str]) -> str:
    return " + ".join(dict.fromkeys(map(read, each)))
