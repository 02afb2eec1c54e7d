"""A frozen network and the views asked of it, as one module: images in, one tensor a view out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Self, TypeAlias

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from medfeat.backbones.features.pooling import OF_CLASS_TOKEN, PROJECTED, pooling, poolings_of
from medfeat.backbones.features.row_an_image import TRIAL_BATCHES, is_by_image, not_by_image, refuse_no_map
from medfeat.errors import UsageError, unknown_name
from medfeat.types import View

Read: TypeAlias = Callable[[nn.Module, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Anatomy:
    """How to read a network.

    Attributes
    ----------
    features
        From the network and normalised images to its last features: a map (B, C, H, W) or tokens (B, N, d).
    pool
        Its own pooling, the default.
    heads
        Poolings that need the network's own layers, from its last features to (B, d); they go before the general ones.
    prefix
        Tokens before the patch tokens.
    """

    features: Read
    pool: str
    heads: Mapping[str, Read] = field(default_factory=dict)
    prefix: int = 0


@dataclass(frozen=True)
class ViewPlan:
    """The views of a network, resolved by a trial run.

    Attributes
    ----------
    views
        With their poolings filled in.
    readers
        From the network and the features of a view's layer to its output.
    dims
        Length of each view's vectors.
    """

    views: tuple[View, ...]
    readers: tuple[Read, ...]
    dims: tuple[int, ...]


class FrozenViews(nn.Module):
    """One forward pass, one output a view.

    Default views call the network directly, without hooks, so that `torch.compile` sees one graph.

    Parameters
    ----------
    network
        The network; set to eval mode, gradients off.
    features
        From the network and images to its last features.
    plan
        What to read, from `plan_views`.
    """

    def __init__(self, network: nn.Module, features: Read, plan: ViewPlan) -> None:
        super().__init__()
        self.network = network
        self._features = features
        self._layers = tuple(view.layer for view in plan.views)
        self._readers = plan.readers
        self._caught: dict[str, torch.Tensor] = {}
        _catch_outputs(network, self._layers, self._caught)
        self.eval().requires_grad_(False)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Map normalised (B, 3, S, S) images to one (B, d) tensor a view, or (B, P, d) for ``tokens``."""
        last = self._features(self.network, images)
        return tuple(
            read(self.network, last if layer is None else self._caught[layer])
            for layer, read in zip(self._layers, self._readers, strict=True)
        )

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode whatever is asked: frozen means frozen."""
        del mode
        super().train(False)
        return self


def _find_layer(network: nn.Module, layer: str) -> nn.Module:
    """Return a module by its dotted name, or say which names are close."""
    names: dict[str, nn.Module] = dict(network.named_modules())
    if not layer or layer not in names:
        raise unknown_name("layer", layer, [name for name in names if name])
    return names[layer]


def _catch_outputs(
    network: nn.Module, layers: Iterable[str | None], caught: dict[str, torch.Tensor]
) -> list[RemovableHandle]:
    """Keep the output of each named layer in `caught` whenever the network runs."""
    named = sorted({layer for layer in layers if layer is not None})
    # A partial, not a closure: a deep copy of the network then keeps its outputs in its own copy of `caught`.
    return [_find_layer(network, layer).register_forward_hook(partial(_keep, caught, layer)) for layer in named]


def _keep(caught: dict[str, torch.Tensor], layer: str, _module: nn.Module, _inputs: object, output: object) -> None:
    # A copy: ReLU(inplace) and `out += identity` would overwrite what was kept, and another tensor be stored.
    caught[layer] = _first_tensor(output).clone()


def plan_views(
    network: nn.Module, anatomy: Anatomy, views: Sequence[View], size: int, *, device: torch.device | str = "meta"
) -> ViewPlan:
    """Resolve views by running the network, by default on the meta device, which computes nothing.

    It runs over two numbers of images, since an axis that follows both of them is that of the images.

    Parameters
    ----------
    network
        On `device`.
    anatomy
        How to read it.
    views
        What is asked; a pooling of None becomes the network's own, or the natural one of a named layer.
    size
        Side of the input in pixels.
    device
        Where to run it; networks of no library need not know the meta device.

    Returns
    -------
    ViewPlan
        For `FrozenViews`.

    Raises
    ------
    UsageError
        For a layer that is not there or takes no part, one whose output is not one row an image or no map
        (`NotByImageError`), and a pooling its features do not allow.
    """
    layers = tuple(view.layer for view in views)

    def run(count: int) -> dict[str | None, torch.Tensor]:
        return _trial(network, anatomy, layers, torch.zeros(count, 3, size, size, device=device))

    small, large = (run(count) for count in TRIAL_BATCHES)
    resolved, readers, dims = [], [], []
    for view in views:
        if view.layer not in small:
            raise UsageError(f"layer {view.layer!r} takes no part in the forward pass: name another one")
        features = small[view.layer]
        shapes = (tuple(features.shape), tuple(large[view.layer].shape))
        if not is_by_image(shapes):
            raise not_by_image(view.layer, shapes, run, network)
        prefix = _prefix_of(view.layer, features, small[None], anatomy.prefix)
        refuse_no_map(view.layer, shapes[0], small[None], anatomy.prefix)
        resolved.append(_resolved(view, anatomy, features.ndim, prefix))
        readers.append(_reader(resolved[-1], anatomy, features, prefix))
        dims.append(int(readers[-1](network, features).shape[-1]))
    return ViewPlan(tuple(resolved), tuple(readers), tuple(dims))


def _trial(
    network: nn.Module, anatomy: Anatomy, layers: Sequence[str | None], images: torch.Tensor
) -> dict[str | None, torch.Tensor]:
    """Return the output of each layer that takes part, and the last features under None."""
    caught: dict[str, torch.Tensor] = {}
    handles = _catch_outputs(network, layers, caught)
    try:
        with torch.no_grad():
            last = anatomy.features(network, images)
    finally:
        for handle in handles:
            handle.remove()
    found: dict[str | None, torch.Tensor] = {None: last}
    return found | caught


def _prefix_of(layer: str | None, features: torch.Tensor, last: torch.Tensor, prefix: int) -> int:
    """Count the tokens of a layer that are no patches: before they are joined to the patches it has none."""
    tokens, most = features.shape[1] if features.ndim == 3 else 0, last.shape[1]
    if layer is None or not prefix or not tokens or tokens == most:
        return prefix if features.ndim == 3 else 0
    # a single token, as of an attention that only the class token asks, is its own mean
    if tokens in (most - prefix, 1):
        return 0
    whole, without = is_square(tokens), is_square(tokens - prefix)
    if whole == without:
        what = f"layer {layer!r} gives {tokens} tokens, and which of them are patches is not known"
        raise UsageError(f"{what} (the last features are {most}, {prefix} of them no patches): name another layer")
    return 0 if whole else prefix


def is_square(tokens: int) -> bool:
    """Whether so many tokens can be the patches of a square image, and nothing else."""
    return tokens > 0 and math.isqrt(tokens) ** 2 == tokens


def channels_last(features: torch.Tensor) -> bool:
    """Whether a map of a square image keeps its channels last: its first two sides agree, the last two do not."""
    return features.ndim == 4 and features.shape[1] == features.shape[2] != features.shape[3]


def _resolved(view: View, anatomy: Anatomy, ndim: int, prefix: int) -> View:
    where = f"layer {view.layer!r}" if view.layer else "this backbone"
    if ndim not in (2, 3, 4):
        raise UsageError(f"the output of {where} has {ndim} axes, not 2, 3 or 4: name another layer")
    natural = poolings_of(ndim, prefix)
    allowed = natural if view.layer else tuple(dict.fromkeys([*anatomy.heads, *natural]))
    pool = view.pool or (anatomy.pool if anatomy.pool in allowed else natural[0])
    if pool not in allowed:
        why = ", which has no class token" if pool in OF_CLASS_TOKEN and "cls" not in natural else ""
        why = ", which has no projection to a space of texts" if pool == PROJECTED else why
        raise UsageError(f"pool must be one of {', '.join(allowed)} for {where}, got {pool!r}{why}")
    return replace(view, pool=pool)


def _reader(view: View, anatomy: Anatomy, features: torch.Tensor, prefix: int) -> Read:
    pool = view.pool or anatomy.pool
    if view.layer is None and pool in anatomy.heads:
        return anatomy.heads[pool]
    pooled = pooling(pool, features.ndim, prefix)
    if channels_last(features):
        return lambda _network, maps: pooled(maps.permute(0, 3, 1, 2))
    return lambda _network, maps: pooled(maps)


def _first_tensor(output: object) -> torch.Tensor:
    while isinstance(output, (tuple, list)) and output:
        output = output[0]
    if not isinstance(output, torch.Tensor):
        raise UsageError(f"a layer must return a tensor, got {type(output).__name__}: name another layer")
    return output
