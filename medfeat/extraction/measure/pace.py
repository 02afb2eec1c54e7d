"""How fast the next extraction will be: as fast as the same network was on this machine and device, or not known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from medfeat.backbones import takes_raw
from medfeat.backbones.features.pooling import PROJECTED
from medfeat.extraction.ask.copies import number_of_copies
from medfeat.extraction.ask.store_plan import Asked, Pace
from medfeat.extraction.network.devices import describe_machines, resolve_devices
from medfeat.extraction.network.slice_pooling import AXES, DEFAULT_POLICY, keeps, number_kept
from medfeat.types import DatasetInfo
from medfeat_cache import StoreHeader

# Where a processor runs the network, it hardly matters whether an image that small was read with 28 or 224 pixels.
_READ_AT_ONCE = 224
# Of fewer images, or a shorter run, the rate is that of a start.
_LEAST_IMAGES, _LEAST_SECONDS, _MOST = 16, 0.5, 1e12


class Paces:
    """Looks up earlier extractions for those that tell how fast the next one will be.

    Parameters
    ----------
    device
        As typed; torch is asked what it stands for only when there is something to compare.
    """

    def __init__(self, device: str) -> None:
        self._device = device

    def __call__(self, info: DatasetInfo, asked: Asked, earlier: Iterable[StoreHeader]) -> Pace | None:
        """Return the pace of the best of the earlier extractions that compare, None where none does."""
        mine = passes_an_image(info.ndim, info.size, asked.view.slices, asked.copies, takes_raw(asked.backbone))
        if mine is None:
            return None
        paces = []
        for header in earlier:
            theirs = self._passes_a_second(header, info, asked)
            if theirs is not None:
                paces.append(Pace(theirs / mine, _number(_values(header, "environment"), "start_seconds")))
        # Whatever else ran beside the others made them slower.
        return max(paces, key=lambda pace: pace.images_per_second, default=None)

    def _passes_a_second(self, header: StoreHeader, info: DatasetInfo, asked: Asked) -> float | None:
        """Return passes of the network a second of an earlier extraction; None where it says nothing of this one."""
        then, environment, data = (_values(header, name) for name in ("asked", "environment", "dataset"))
        rate, images, seconds = (_number(environment, name) for name in ("images_per_second", "images", "seconds"))
        if not (rate > 0 and images >= _LEAST_IMAGES and seconds >= _LEAST_SECONDS):
            return None
        if not _is_the_same_network(then, asked) or not self._reads_alike(data, info, asked):
            return None
        if not self._is_here(environment):
            return None
        slices, raw = str(then.get("slices") or ""), takes_raw(asked.backbone)
        if number_kept(slices) and environment.get("views") != 1:
            return None  # another view of the same pass may have needed every slice
        passes = passes_an_image(_number(data, "ndim"), _number(data, "size"), slices, str(then.get("copies", "")), raw)
        return None if passes is None else rate * passes

    def _reads_alike(self, data: Mapping[str, Any], info: DatasetInfo, asked: Asked) -> bool:
        """Tell whether reading an image takes as long; own images of any size are like themselves alone."""
        size, ndim = _number(data, "size"), _number(data, "ndim")
        if (size, ndim) == (info.size, info.ndim):
            return size > 0 or data.get("name") == info.name
        small = all(0 < side <= _READ_AT_ONCE for side in (size, info.size))
        return small and not takes_raw(asked.backbone) and bool(self._here["device"] == "cpu")

    def _is_here(self, environment: Mapping[str, Any]) -> bool:
        return all(environment.get(name) == value for name, value in self._here.items())

    @cached_property
    def _here(self) -> dict[str, Any]:
        machine = describe_machines(resolve_devices(self._device))
        return {"device": machine.device, "name": machine.name, "cores": machine.cores}


def _values(header: StoreHeader, name: str) -> Mapping[str, Any]:
    """Return part of what a store says of itself; whatever somebody else wrote there is nothing."""
    found = header.info.get(name)
    return found if isinstance(found, Mapping) else {}


def _number(values: Mapping[str, Any], name: str) -> float:
    found = values.get(name)
    return float(found) if isinstance(found, int | float) and 0 <= found < _MOST else 0.0


def _is_the_same_network(then: Mapping[str, Any], asked: Asked) -> bool:
    """Compare what decides how much is computed an image; how its features are pooled does not."""
    now = asked.to_dict()
    same = ("backbone", "source", "source_id", "weights", "precision", "layer", "fit")
    projected = [one.get("pool") == PROJECTED for one in (then, now)]
    return all(then.get(name) == now[name] for name in same) and projected[0] == projected[1]


def passes_an_image(ndim: float, side: float, slices: str | None, copies: str, raw: bool) -> float | None:
    """Count the images of a network's input that an image or volume becomes; None where its size is not known.

    Parameters
    ----------
    ndim, side
        2 for images, 3 for volumes, and the side of these in pixels.
    slices, copies
        As a request spells them.
    raw
        Whether the network takes images as they are.
    """
    if raw or ndim == 2:
        return float(number_of_copies(copies))
    policy = slices or DEFAULT_POLICY
    number = (number_kept(policy) if keeps(policy) else None) or side
    return float(len(AXES) * number) if number else None
