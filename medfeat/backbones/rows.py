"""One row an image: which outputs of a network are that, and which mix images or cut them up."""

from __future__ import annotations

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


def refuse_mixed_rows(module: nn.Module, views: Sequence[View], size: int) -> None:
    """Embed an image alone and beside another, and refuse a named layer whose row of it differs.

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
