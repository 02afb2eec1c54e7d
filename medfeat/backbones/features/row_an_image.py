"""One row an image: which outputs of a network are that, and which mix images or cut them up."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn

from medfeat.errors import NotByImageError
from medfeat.types import View

TRIAL_BATCHES = (2, 3)
"""Numbers of images in the trial runs: an axis that follows both is that of the images."""

Shape = tuple[int, ...]

# Of the distance between two images' rows: what may be between two rows of one image, from another order of sums
_SAME_IMAGE = 0.02
_ROUNDING = 1e-5


def is_by_image(shapes: Sequence[Shape]) -> bool:
    """Whether the first axis of an output is that of the images; `shapes` are of runs over `TRIAL_BATCHES`."""
    return tuple(shape[:1] for shape in shapes) == tuple((count,) for count in TRIAL_BATCHES)


def not_by_image(
    layer: str | None, shapes: Sequence[Shape], run: Callable[[int], object], network: nn.Module
) -> NotByImageError:
    """Build the error for an output that is not one row an image, with a layer near it that is.

    Parameters
    ----------
    layer
        Its name; None is the network's last features.
    shapes
        Of its output, in runs over `TRIAL_BATCHES`.
    run
        Runs the network over so many images.
    network
        Whose layers are looked through.
    """
    images, shape = TRIAL_BATCHES[0], shapes[0]
    where = f"layer {layer!r}" if layer else "the last features of this backbone"
    what = f"{where} gives {shape} for {images} images, not one row an image"
    near = _nearest(layer, _layers_by_image(network, run)) if layer else ""
    return NotByImageError(f"{what}: name {near!r} instead" if near else f"{what}: name another layer")


def refuse_no_map(layer: str | None, shape: Shape, last: torch.Tensor, prefix: int) -> None:
    """Refuse an output of four axes that is no map: its mean over height and width would be one over something else.

    Inputs are square, and so are maps, but for those that were pooled along one side. Inside of attention, outputs are
    of heads, tokens and channels, or of tokens by tokens.

    Parameters
    ----------
    layer, shape
        Its name and the shape of its output; None, the network's last features, is what its library says.
    last
        The last features of the network.
    prefix
        How many of their tokens are no patches.

    Raises
    ------
    NotByImageError
        With the shape.
    """
    if layer is None or len(shape) != 4:
        return
    tokens = {last.shape[1], last.shape[1] - prefix} if last.ndim == 3 else set()
    _, first, second, third = shape
    sides = [(second, third)] if second == third or 1 in (second, third) else []
    sides += [(first, second)] if first == second else []
    if not sides or any(one == other and one in tokens - {1} for one, other in sides):
        raise NotByImageError(
            f"layer {layer!r} gives {shape}, which is no map of an image (inside of attention: heads, tokens by "
            "tokens): name another layer"
        )


def refuse_mixed_rows(module: nn.Module, views: Sequence[View], size: int) -> None:
    """Embed an image alone and beside another, and refuse a named layer whose row of it differs, or never does.

    Shapes cannot tell a layer that mixes images, or that orders them otherwise. Only named layers are looked at: a
    library's own last features are one row an image.

    Parameters
    ----------
    module
        From normalised images to one tensor a view.
    views
        What it returns.
    size
        Side of the input in pixels.

    Raises
    ------
    NotByImageError
        With the name of the layer.
    """
    if all(view.layer is None for view in views):
        return
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    # the second image brighter and flatter than the first: images of one noise look alike to a layer that averages
    images[1] = images[1] / 4 + 1
    with torch.inference_mode():
        together, alone = module(images), module(images[1:])
    for view, both, one in zip(views, together, alone, strict=True):
        if view.layer is not None and not _agree(both, one):
            raise NotByImageError(
                f"layer {view.layer!r} mixes images: its row of an image is another one beside other images: "
                "name another layer"
            )
        if view.layer is not None and _is_constant(both):
            raise NotByImageError(
                f"layer {view.layer!r} gives one and the same row for every image, as weights of attention do, whose "
                "sum is always 1: name another layer"
            )


def _is_constant(both: torch.Tensor) -> bool:
    """Whether two very different images have one row, which is not zero, as it may be before a network is trained."""
    largest = float(both.abs().max())
    return 0 < largest < math.inf and float((both[1] - both[0]).abs().max()) <= _ROUNDING * largest


def _agree(both: torch.Tensor, one: torch.Tensor) -> bool:
    """Whether the second row of two is the row of that image alone, but for rounding."""
    if not (both.isfinite().all() and one.isfinite().all()):
        return True  # which the extraction says
    error = float((both[1] - one[0]).abs().max())
    apart = float((both[1] - both[0]).abs().max())
    return error <= max(_SAME_IMAGE * apart, _ROUNDING * float(one.abs().max()))


def _layers_by_image(network: nn.Module, run: Callable[[int], object]) -> list[str]:
    """Name the layers whose output is a tensor of one row an image, in the order of the network."""
    seen: dict[str, list[Shape]] = {}
    named = [(name, module) for name, module in network.named_modules() if name]
    handles = [module.register_forward_hook(partial(_note, seen, name)) for name, module in named]
    try:
        for count in TRIAL_BATCHES:
            run(count)
    finally:
        for handle in handles:
            handle.remove()
    return [name for name, _ in named if is_by_image(seen.get(name, [])) and len(seen[name][0]) in (2, 3, 4)]


def _note(seen: dict[str, list[Shape]], name: str, _module: nn.Module, _inputs: object, output: object) -> None:
    seen.setdefault(name, []).append(tuple(output.shape) if isinstance(output, torch.Tensor) else ())


def _nearest(layer: str, layers: Sequence[str]) -> str:
    """Return the innermost layer around this one, else one that shares most of its name; empty when there is none."""
    around = [name for name in layers if layer.startswith(f"{name}.")]
    if around:
        return max(around, key=len)
    return max(layers, key=lambda name: _shared(name, layer), default="")


def _shared(one: str, other: str) -> int:
    pairs = list(zip(one.split("."), other.split("."), strict=False))
    return next((at for at, (a, b) in enumerate(pairs) if a != b), len(pairs))
