"""Frozen batch norm as part of the convolution before it: one pass over the maps less, forwards and backwards.

With frozen statistics a batch norm is a factor and a shift for each channel. The convolution computes both when its
weight is multiplied by the factor first: a pass over the weight instead of two over every map, and one map less is kept
for the gradients. Weight, factor and shift stay parameters of their own and learn as before, by the chain rule.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import nn

from medfeat.float32 import full_float32

# Of the length of a row: what another order of sums may change in float32.
_MAX_APART = 1e-3


def fold_norms(network: nn.Module, size: int) -> int:
    """Let each convolution of a network compute the batch norm that follows it, while that norm is in eval mode.

    Parameters
    ----------
    network
        From (m, 3, S, S) images to (m, d) features; in eval mode. Its modules, parameters and their names stay.
    size
        Side S of its input in pixels.

    Returns
    -------
    int
        How many were folded: 0 where the network does not then give the same features, and is left as it was.
    """
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    sample = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0)).to(device)
    with torch.no_grad(), full_float32():  # rounded to TF32, the same features would pass for others
        pairs, before = _pairs(network, sample)
        for convolution, norm in pairs:
            _fold(convolution, norm)
        if pairs and not _is_close(before, network(sample)):  # what a convolution gives goes elsewhere too
            for pair in pairs:
                _unfold(*pair)
            return 0
    return len(pairs)


def _pairs(network: nn.Module, sample: torch.Tensor) -> tuple[list[tuple[nn.Conv2d, nn.BatchNorm2d]], torch.Tensor]:
    """Run a network; return convolutions with the norms that took what they gave, each run once, and the features."""
    given: dict[int, tuple[nn.Conv2d, torch.Tensor, int]] = {}
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []
    ran: list[nn.Module] = []

    def after(module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        ran.append(module)
        if _is_plain(module):
            given[id(output)] = module, output, output._version  # type: ignore[assignment]

    def ahead(module: nn.Module, inputs: Any) -> None:
        convolution, output, version = given.get(id(inputs[0]), (None, None, 0))
        if convolution is not None and output is inputs[0] and output._version == version:
            pairs.append((convolution, module))  # type: ignore[arg-type]

    hooks = [
        hook
        for module in network.modules()
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d)
        for hook in (module.register_forward_hook(after), *_ahead(module, ahead))
    ]
    try:
        features = network(sample)
    finally:
        for hook in hooks:
            hook.remove()
    once = [pair for pair in pairs if all(ran.count(module) == 1 for module in pair)]
    return once, features


def _ahead(module: nn.Module, hook: Any) -> list[Any]:
    return [module.register_forward_pre_hook(hook)] if _is_frozen_norm(module) else []


def _is_plain(module: nn.Module) -> bool:
    """Tell whether a module is torch's own convolution, and not folded already."""
    methods = (getattr(type(module), name, None) for name in ("forward", "_conv_forward"))
    own = nn.Conv2d.forward, nn.Conv2d._conv_forward
    return tuple(methods) == own and "forward" not in vars(module)


def _is_frozen_norm(module: nn.Module) -> bool:
    """Tell whether a module is a batch norm of torch, or timm's that also activates, in eval mode with statistics."""
    known = type(module).forward is nn.BatchNorm2d.forward or type(module).__name__ == "BatchNormAct2d"
    return isinstance(module, nn.BatchNorm2d) and known and not module.training and module.running_var is not None


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    # In a list, so that neither becomes a part of the other; bound to its module, so that a copy of it is whole.
    vars(convolution)["_norm_after"] = [norm]
    vars(convolution)["forward"] = MethodType(_convolve_and_norm, convolution)
    vars(norm)["forward"] = MethodType(_pass_on, norm)


def _unfold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    for module, names in ((convolution, ("_norm_after", "forward")), (norm, ("forward",))):
        for name in names:
            del vars(module)[name]


def _convolve_and_norm(self: Any, inputs: torch.Tensor) -> torch.Tensor:
    [norm] = self._norm_after
    if norm.training:
        return self._conv_forward(inputs, self.weight, self.bias)  # type: ignore[no-any-return]
    factor = torch.rsqrt(norm.running_var + norm.eps)
    if norm.weight is not None:
        factor = factor * norm.weight
    shift = -norm.running_mean if self.bias is None else self.bias - norm.running_mean
    shift = shift * factor if norm.bias is None else shift * factor + norm.bias
    return self._conv_forward(inputs, self.weight * factor.reshape(-1, 1, 1, 1), shift)  # type: ignore[no-any-return]


def _pass_on(self: Any, inputs: torch.Tensor) -> torch.Tensor:
    if self.training:
        return type(self).forward(self, inputs)  # type: ignore[no-any-return]
    # timm's norm drops and activates what it normed.
    return self.act(self.drop(inputs)) if hasattr(self, "act") else inputs


def _is_close(one: torch.Tensor, other: torch.Tensor) -> bool:
    apart = (one - other).norm(dim=1) / one.norm(dim=1).clamp_min(1e-12)
    return bool((apart <= _MAX_APART).all())
