"""Convolution, batch norm, addition and ReLU in one kernel of cuDNN: a third of the ways through a GPU's memory.

A ResNet's convolutions keep a GPU busy for little more than half of its time; the rest goes to reading and writing maps
for a scale, a sum or a ReLU. Batch norm of a frozen network is part of its convolution, and cuDNN adds and clips before
it writes. Finding these places takes seconds, where a compiler takes half a minute for the same gain.
"""

from __future__ import annotations

import copy
import operator
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import torch
    from torch import fx, nn

# Of the length of a row: what another order of sums may change in half precision.
_MAX_APART = 0.05


@dataclass(frozen=True)
class Kernels:
    """What computes the places that were found.

    Attributes
    ----------
    relu
        From input, weight, bias, stride, padding, dilation and groups to the clipped convolution.
    add_relu
        From input, weight, what is added, its factor, bias, stride, padding, dilation and groups.
    """

    relu: Callable[..., torch.Tensor]
    add_relu: Callable[..., torch.Tensor]


def cudnn_kernels() -> Kernels:
    """Return those of cuDNN."""
    import torch

    return Kernels(torch.cudnn_convolution_relu, torch.cudnn_convolution_add_relu)


def fused_half(module: nn.Module, dtype: torch.dtype, size: int) -> nn.Module | None:
    """Rewrite a network for half precision on a CUDA device, where that is possible and gives the same rows.

    Parameters
    ----------
    module
        On its device, in float32; left as it is.
    dtype
        To run in.
    size
        Side of the input in pixels.

    Returns
    -------
    Module or None
        The network in `dtype`; None on other devices, in float32, and where it is to run as it is.
    """
    import torch

    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    if device.type != "cuda" or dtype == torch.float32:
        return None
    # Two different images, of the size of normalised ones; the same ones every time.
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    # Traced on the processor: on CUDA a trace holds for some numbers of images only, as its kernels are chosen by them.
    found = fused(copy.deepcopy(module).cpu(), images, cudnn_kernels())
    if found is None:
        return None
    half = found.to(device, dtype).to(memory_format=torch.channels_last)
    return half if _is_close(module, half, images.to(device), dtype) else None


def fused(module: nn.Module, images: torch.Tensor, kernels: Kernels) -> nn.Module | None:
    """Rewrite a frozen network so that each of its clipped convolutions is one kernel.

    Parameters
    ----------
    module
        In eval mode; from (B, 3, S, S) images to a tuple of tensors. It is left as it is.
    images
        Of the shape that it will run with, but for their number.
    kernels
        What computes the places that are found.

    Returns
    -------
    Module or None
        The same network; None where it cannot be traced for any number of images, or has no such place.
    """
    import torch

    count = torch.export.Dim("count", min=1, max=1 << 16)
    try:
        # What tracing warns of (a hook that keeps a map) is no concern of who embeds: rows are compared below.
        with torch.no_grad(), warnings.catch_warnings(action="ignore"):
            traced: Any = torch.export.export(module, (images,), dynamic_shapes=({0: count},), strict=False).module()
        return traced if _Rewriting(traced, kernels).run() else None
    except Exception:
        # A network can be untraceable in more ways than can be looked for; it always runs as it is.
        return None


def _is_close(module: nn.Module, half: nn.Module, images: torch.Tensor, dtype: torch.dtype) -> bool:
    """Whether the rewritten network runs here at all, and gives the rows of the original but for rounding."""
    import torch

    try:
        with torch.inference_mode():
            pairs = zip(module(images), half(images.to(dtype)), strict=True)
            return all(_apart(one.float(), two.float()) <= _MAX_APART for one, two in pairs)
    except Exception:
        return False


def _apart(one: torch.Tensor, other: torch.Tensor) -> float:
    one, other = one.reshape(len(one), -1), other.reshape(len(other), -1)
    return float(((one - other).norm(dim=1) / one.norm(dim=1).clamp_min(1e-12)).max())


Node: TypeAlias = "fx.Node"


class _Rewriting:
    """One pass over a traced network."""

    def __init__(self, traced: Any, kernels: Kernels) -> None:
        import torch

        aten = torch.ops.aten
        self.traced, self.graph, self.kernels = traced, traced.graph, kernels
        self.convolution = aten.conv2d.default
        self.norm = aten.batch_norm.default
        self.relus = {aten.relu.default, aten.relu_.default}
        self.adds = {aten.add.Tensor, aten.add_.Tensor}

    def run(self) -> int:
        """Fold and fuse; return how many places were fused."""
        for node in list(self.graph.nodes):
            if node.target == self.norm:
                self._fold(node)
        count = sum(self._fuse(node) for node in list(self.graph.nodes) if node.target in self.relus)
        self.graph.eliminate_dead_code()
        self.traced.delete_all_unused_submodules()
        self.graph.lint()
        self.traced.recompile()
        return count

    def _value(self, node: object) -> torch.Tensor | None:
        """Return the parameter or buffer that a node names."""
        if getattr(node, "op", "") != "get_attr":
            return None
        value: torch.Tensor = operator.attrgetter(node.target)(self.traced)  # type: ignore[attr-defined]
        return value

    def _fold(self, norm: Node) -> None:
        """Make a batch norm part of the convolution before it, computed in float64."""
        import torch

        before: Any = norm.args[0]
        scale, shift, mean, variance = (self._value(argument) for argument in norm.args[1:5])
        weight = self._value(before.args[1]) if before.target == self.convolution else None
        if weight is None or mean is None or variance is None or norm.args[5] or len(before.users) > 1:
            return
        stride, padding, dilation, groups = _geometry(before)
        bias = self._value(before.args[2]) if len(before.args) > 2 else None
        factor = (variance.double() + norm.args[7]).rsqrt() * (1.0 if scale is None else scale.double())  # type: ignore[operator]
        centred = (0.0 if bias is None else bias.double()) - mean.double()
        moved = centred * factor + (0.0 if shift is None else shift.double())
        folded = weight.double() * factor.reshape(-1, 1, 1, 1)
        names = [f"_folded_{norm.name}_{part}" for part in ("weight", "bias")]
        for name, value in zip(names, (folded, moved), strict=True):
            self.traced.register_parameter(name, torch.nn.Parameter(value.to(weight.dtype), requires_grad=False))
        with self.graph.inserting_before(norm):
            there = [self.graph.get_attr(name) for name in names]
            convolution = self.graph.call_function(
                self.convolution, (before.args[0], *there, stride, padding, dilation, groups)
            )
        norm.replace_all_uses_with(convolution)
        self.graph.erase_node(norm)
        self.graph.erase_node(before)

    def _fuse(self, relu: Node) -> bool:
        """Make a ReLU one kernel with what is before it: a convolution, or the sum of one and something else."""
        before: Any = relu.args[0]
        if self._fits(before):
            return self._replace(relu, before, self.kernels.relu, ())
        if before.target not in self.adds or before.kwargs or len(before.users) > 1:
            return False
        order = {node: place for place, node in enumerate(self.graph.nodes)}
        # The later of two convolutions: what is added must be there when it runs.
        operands = [one for one in before.args if getattr(one, "op", "") == "call_function"]
        for convolution in sorted(filter(self._fits, operands), key=order.__getitem__, reverse=True):
            other = before.args[1] if before.args[0] is convolution else before.args[0]
            if other is not convolution and hasattr(other, "op"):
                return self._replace(relu, convolution, self.kernels.add_relu, (other, 1.0))
        return False

    def _fits(self, node: Any) -> bool:
        if node.target != self.convolution or len(node.users) > 1 or self._value(node.args[1]) is None:
            return False
        padding, groups = _geometry(node)[1::2]
        # Grouped convolutions have kernels of torch's own, which are faster.
        return groups == 1 and not isinstance(padding, str)

    def _replace(
        self, relu: Node, convolution: Any, kernel: Callable[..., torch.Tensor], added: tuple[Any, ...]
    ) -> bool:
        bias = convolution.args[2] if len(convolution.args) > 2 else None
        before: Any = relu.args[0]
        with self.graph.inserting_before(before):
            one = self.graph.call_function(kernel, (*convolution.args[:2], *added, bias, *_geometry(convolution)))
        relu.replace_all_uses_with(one)
        # A sum in place would go on changing what is added, were it left there.
        for done in dict.fromkeys((relu, before, convolution)):
            self.graph.erase_node(done)
        return True


def _geometry(convolution: Any) -> tuple[Any, Any, Any, int]:
    """Return stride, padding, dilation and groups, where they are left out too."""
    given = (*convolution.args[3:], *((1, 1), (0, 0), (1, 1), 1)[max(0, len(convolution.args) - 3) :])
    return given[0], given[1], given[2], given[3]
