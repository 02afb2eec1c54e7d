"""From uint8 images of any size to the network's input, in batches, on the device that runs the network."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, get_args

from medfeat.backbones.features.pillow_resize import LEAST_PIXELS, PillowResizer, may_resize, resized
from medfeat.backbones.features.resize import Resizer, piece_bytes
from medfeat.errors import UsageError
from medfeat.types import BackboneInfo, Fit, UInt8Array

if TYPE_CHECKING:
    import torch

# Shapes whose filters are kept: every image of a user's own may have another one
_SHAPES_KEPT = 16
# Images of one shape that are copied into one array
_COPIED_BYTES = 32 << 20


@dataclass(frozen=True)
class Geometry:
    """How an image of one shape becomes the network's input.

    Attributes
    ----------
    target
        (height, width) the whole image is resized to.
    window
        (top, left, height, width) kept of it.
    offset
        (top, left) of the window in the network's input; the rest is filled with the mean colour.
    """

    target: tuple[int, int]
    window: tuple[int, int, int, int]
    offset: tuple[int, int] = (0, 0)


def geometry(info: BackboneInfo, fit: Fit, shape: tuple[int, int]) -> Geometry:
    """Decide how an image of `shape` is laid into the network's input.

    Parameters
    ----------
    info
        The backbone's input size, and its library's own resize and crop.
    fit
        ``whole``: the whole image to S x S. ``reference``: resize and centre crop as the library does.
        ``pad``: unscaled in the middle of S x S, as in the MedMNIST+ study (Doerrich et al., 2025), which pads after
        normalising, so that the frame is the mean colour; an image larger than S is first shrunk to fit.
    shape
        (height, width) of the image in pixels.

    Returns
    -------
    Geometry
        What to resize to, what to keep of it and where it goes.

    Raises
    ------
    UsageError
        When `fit` is none of the three.
    """
    size = info.input_size
    if fit == "whole":
        return Geometry((size, size), (0, 0, size, size))
    if fit == "reference":
        height, width = _reference_target(info, shape)
        # an odd rest: transformers rounds down, torchvision and timm to the even number
        half = math.floor if info.source == "hf" else round
        top, left = half((height - size) / 2), half((width - size) / 2)
        return Geometry((height, width), (top, left, size, size))
    if fit == "pad":
        ratio = min(1.0, size / max(shape))
        height, width = (max(1, round(side * ratio)) for side in shape)
        return Geometry((height, width), (0, 0, height, width), ((size - height) // 2, (size - width) // 2))
    raise UsageError(f"fit must be one of {', '.join(get_args(Fit))}, got {fit!r}")


def _reference_target(info: BackboneInfo, shape: tuple[int, int]) -> tuple[int, int]:
    side = max(info.resize, info.input_size)
    if info.squash:
        return side, side
    height, width = shape
    if height <= width:
        return side, int(side * width / height)
    return int(side * height / width), side


class Preprocess:
    """Turns uint8 images of one shape into the network's normalised input.

    Resizing equals Pillow's, level by level, on every device. Grey images are resized as one channel and become
    three afterwards.

    Parameters
    ----------
    info
        Input size, filter, mean and standard deviation of the backbone.
    fit
        How an image is laid into the network's square input; see `geometry`.
    device
        Where the images are, and the result will be; None means the CPU.
    dtype
        Of the result; None means float32.

    Examples
    --------
    >>> from medfeat.backbones import describe
    >>> preprocess = Preprocess(describe("resnet18"))
    >>> preprocess(torch.zeros(2, 28, 28, dtype=torch.uint8)).shape
    torch.Size([2, 3, 224, 224])
    """

    def __init__(
        self,
        info: BackboneInfo,
        *,
        fit: Fit = "whole",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        import torch

        geometry(info, fit, (1, 1))
        self.info = info
        self.fit = fit
        self.device = torch.device(device or "cpu")
        self.dtype = dtype or torch.float32
        # (level / 255 - mean) / std, as one multiplication and one addition
        std = torch.tensor(info.std, dtype=torch.float64)
        self._scale = (1.0 / (255.0 * std)).to(torch.float32).to(self.device)
        self._shift = (-torch.tensor(info.mean, dtype=torch.float64) / std).to(torch.float32).to(self.device)
        # What each of the 256 levels of a grey image becomes: looking it up makes no large intermediate.
        every = torch.arange(256, dtype=torch.float32, device=self.device).unsqueeze(1)
        self._table = torch.addcmul(self._shift, every, self._scale).to(self.dtype)
        # Apple's GPUs have no float64: there the CPU filters, and the levels travel
        self._filters_on = torch.device("cpu") if self.device.type == "mps" else self.device
        self._resizers: dict[tuple[int, int], tuple[Geometry, Resizer | PillowResizer]] = {}

    def __call__(self, images: torch.Tensor, *, laid: bool = False) -> torch.Tensor:
        """Preprocess (B, H, W) or (B, H, W, 3) uint8 images into (B, 3, S, S), in channels_last memory order.

        `laid` are what `lay` returned of images: nothing is left to resize.
        """
        if images.ndim == 3:
            images = images.unsqueeze(-1)
        shape = (images.shape[1], images.shape[2])
        layout, resizer = self._as_it_is(shape) if laid else self._resizer(shape)
        return self._normalised(images, layout, resizer)

    def lays_ahead(self, images: UInt8Array | Sequence[UInt8Array]) -> bool:
        """Whether each of some images had better be resized by `lay`, in any thread, than with the others.

        Parameters
        ----------
        images
            (n, H, W[, 3]) array, or images of unequal shapes; these would reach a GPU one by one.
        """
        several = not hasattr(images, "shape")
        if self.device.type == "cuda" and not several:
            return False
        shapes = {image.shape[:2] for image in images[: None if several else 1]}
        layouts = {shape: geometry(self.info, self.fit, shape) for shape in shapes}
        return all(self._by_pillow(shape, layout) for shape, layout in layouts.items()) and any(
            (several or shape[0] * shape[1] >= LEAST_PIXELS) and layout.window != (0, 0, *shape)
            for shape, layout in layouts.items()
        )

    def lay(self, image: UInt8Array) -> UInt8Array:
        """Resize an image and keep what the network will see: (h, w) or (h, w, 3) levels, smaller than S with ``pad``.

        Parameters
        ----------
        image
            (H, W) or (H, W, 3) uint8, one of those that `lays_ahead` was asked about.
        """
        layout = geometry(self.info, self.fit, image.shape[:2])
        return resized(image, layout.target, self.info.interpolation, layout.window)

    def _by_pillow(self, shape: tuple[int, int], layout: Geometry) -> bool:
        return may_resize(shape, layout.target, self.info.interpolation, layout.window)

    def _normalised(
        self, images: torch.Tensor, layout: Geometry, resizer: Callable[[torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        import torch

        size = self.info.input_size
        shape = (len(images), size, size, 3)
        whole = layout.window[2:] == (size, size)
        output = (torch.empty if whole else torch.zeros)(shape, dtype=self.dtype, device=self.device)
        top, left = layout.offset
        inner = output[:, top : top + layout.window[2], left : left + layout.window[3]]
        step = self._step(images, layout)
        for start in range(0, len(images), step):
            levels = resizer(images[start : start + step].to(self._filters_on)).to(self.device)
            place = inner[start : start + step]
            if levels.shape[-1] == 1 and place.is_contiguous():
                self._look_up(levels.reshape(-1).contiguous(), place)
            elif levels.shape[-1] == 1:
                place[:] = self._table[levels[..., 0].to(torch.int32)]
            else:
                # A row of pixels as one long line of colours: adding along an axis of three is eight times slower.
                scale, shift = (values.repeat(layout.window[3]) for values in (self._scale, self._shift))
                place[:] = torch.addcmul(shift, levels.to(torch.float32).flatten(2), scale).reshape(place.shape)
        return output.permute(0, 3, 1, 2)

    def _look_up(self, levels: torch.Tensor, place: torch.Tensor) -> None:
        """Write the three values of each of (n,) grey levels, on a processor of two at a time: half the moves."""
        import torch

        table = self._table
        if self.device.type == "cpu" and not (len(levels) | levels.storage_offset() | levels.data_ptr()) & 1:
            table, levels = self._pairs, levels.view(torch.uint16)
        torch.index_select(table, 0, levels.to(torch.int32), out=place.view(-1, table.shape[1]))

    @cached_property
    def _pairs(self) -> torch.Tensor:
        """(65536, 6) what each pair of grey levels becomes, by the number that its two bytes are."""
        import torch

        both = torch.arange(1 << 16, dtype=torch.int32).to(torch.uint16).view(torch.uint8)
        return self._table[both.to(torch.int32)].reshape(1 << 16, 6)

    def _as_it_is(self, shape: tuple[int, int]) -> tuple[Geometry, Callable[[torch.Tensor], torch.Tensor]]:
        top, left = ((self.info.input_size - side) // 2 for side in shape)
        return Geometry(shape, (0, 0, *shape), (top, left)), lambda images: images

    def _resizer(self, shape: tuple[int, int]) -> tuple[Geometry, Resizer | PillowResizer]:
        found = self._resizers.pop(shape, None)
        if found is None:
            layout = geometry(self.info, self.fit, shape)
            target, filters = layout.target, self.info.interpolation
            large = shape[0] * shape[1] >= LEAST_PIXELS and target != shape
            if large and self._filters_on.type == "cpu" and self._by_pillow(shape, layout):
                found = layout, PillowResizer(target, filters, layout.window)
            else:
                found = layout, Resizer(shape, target, filters, self._filters_on, layout.window)
        # the latest goes last, and the one not asked for the longest goes away
        self._resizers[shape] = found
        if len(self._resizers) > _SHAPES_KEPT:
            del self._resizers[next(iter(self._resizers))]
        return found

    def _step(self, images: torch.Tensor, layout: Geometry) -> int:
        """Choose how many images are filtered at once: by what one takes in float64 before, between or after."""
        height, width = (max(pair) for pair in zip(images.shape[1:3], layout.window[2:], strict=True))
        return max(1, piece_bytes(self._filters_on) // (8 * height * width * images.shape[-1]))


def preprocess_list(preprocess: Preprocess, images: Sequence[UInt8Array], *, laid: bool = False) -> torch.Tensor:
    """Preprocess images of different shapes, those of one shape together, in the order given.

    Parameters
    ----------
    preprocess
        What to do with them.
    images
        (H, W) or (H, W, 3) uint8 arrays.
    laid
        They are what `Preprocess.lay` returned.

    Returns
    -------
    Tensor
        (n, 3, S, S).
    """
    import torch

    alike: dict[tuple[int, ...], list[int]] = {}
    for position, image in enumerate(images):
        alike.setdefault(image.shape, []).append(position)
    size = preprocess.info.input_size
    output = torch.empty((len(images), size, size, 3), dtype=preprocess.dtype, device=preprocess.device)
    for positions in alike.values():
        step = max(1, _COPIED_BYTES // images[positions[0]].nbytes)
        for start in range(0, len(positions), step):
            some = positions[start : start + step]
            batch = _together([images[position] for position in some])
            found = preprocess(torch.from_numpy(batch).to(preprocess.device), laid=laid)
            output[some] = found.permute(0, 2, 3, 1)
    return output.permute(0, 3, 1, 2)


def _together(images: Sequence[UInt8Array]) -> UInt8Array:
    """Return images of one shape as one array that torch may take; a single one is not copied."""
    import numpy as np

    return np.stack(images) if len(images) > 1 else np.require(images[0][None], None, ["C", "W"])
