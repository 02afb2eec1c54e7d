"""One network on one device at one precision: uint8 images in, float32 rows out, one array a view."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from medfeat.errors import DataError, OutOfMemoryError, first_line
from medfeat.extraction.network.compiling import CompiledNetwork
from medfeat.extraction.network.device import is_out_of_memory
from medfeat.extraction.network.fusing import fused_half
from medfeat.extraction.network.laying import Laid, Lay, LaysAhead
from medfeat.extraction.network.preprocess import Preprocess, preprocess_list
from medfeat.float32 import full_float32
from medfeat.types import Fit, Images, Precision

if TYPE_CHECKING:
    import torch

    from medfeat.backbones import Backbone

T = TypeVar("T")
Rows = NDArray[np.float32]


def torch_dtype(precision: Precision) -> torch.dtype:
    """Return the torch dtype of a precision."""
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


class Result(Protocol):
    """Rows that are there, or on their way."""

    def result(self) -> list[Rows]:
        """Wait, and return one float32 array a view."""
        ...


@dataclass(frozen=True)
class Finished:
    """Rows that are there."""

    rows: list[Rows]

    def result(self) -> list[Rows]:
        """Return one float32 array a view."""
        return self.rows


class RowEmbedder(Protocol):
    """What the loop asks of a network: batches of at most `batch_size` images (or volumes) in, rows out."""

    batch_size: int

    @property
    def pass_size(self) -> int:
        """Images (or slices) a forward pass."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        ...

    @property
    def module(self) -> torch.nn.Module:
        """The frozen network."""
        ...

    @property
    def backoff(self) -> list[int]:
        """Sizes the forward pass was halved to when memory ran out."""
        ...

    @property
    def fused(self) -> bool:
        """Whether its clipped convolutions are single kernels."""
        ...

    def submit(self, images: Images) -> Result:
        """Start embedding; on a GPU this returns before the work is done."""
        ...

    def __call__(self, images: Images) -> list[Rows]:
        """Embed and wait."""
        ...


class Forward:
    """Runs a frozen backbone on batches of one fixed size.

    Parameters
    ----------
    backbone
        The network; moved to `device` and cast to `precision` in place.
    fit
        How an image becomes the network's input.
    device, precision, batch_size
        As resolved; a shorter batch is padded, so that every forward pass has one shape and the same bits.
    compiled
        Compile the network with its weights frozen into the code.

    Attributes
    ----------
    backoff
        Sizes the forward pass was halved to when memory ran out, in order; empty when it never did.
    fused
        Whether clipped convolutions are single kernels: in half precision on CUDA, where the network allows it.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        fit: Fit,
        device: torch.device,
        precision: Precision,
        batch_size: int,
        compiled: bool = False,
    ) -> None:
        import torch

        self.batch_size = batch_size
        self.device = device
        self.backoff: list[int] = []
        self.pass_size = batch_size
        dtype = torch_dtype(precision)
        module = backbone.module.to(device)
        half = None if compiled else fused_half(module, dtype, backbone.info.input_size)
        self.fused = half is not None
        self.module = module.to(dtype=dtype) if half is None else half
        # channels_last is what convolution kernels want, on tensor cores and in oneDNN alike
        self.module = self.module.to(memory_format=torch.channels_last)
        self._preprocess = Preprocess(backbone.info, fit=fit, device=device, dtype=dtype)
        self._network: Callable[[torch.Tensor], tuple[torch.Tensor, ...]] = self.module
        if compiled:
            self._network = CompiledNetwork(self.module, device)

    def __call__(self, images: Images) -> list[Rows]:
        """Embed 1 to `batch_size` images and wait for the result: one (n, ...) float32 array a view."""
        return self.submit(images).result()

    def laying(self, images: Images) -> Lay | None:
        """Return what resizes each of some images in any thread; None where it is done sooner with all of them."""
        return self._preprocess.lay if self._preprocess.lays_ahead(images) else None

    def submit(self, images: Images, *, laid: bool = False) -> Pending:
        """Start embedding 1 to `batch_size` images, halving the pass when memory runs out; a GPU goes on alone.

        `laid` are what `laying` returned made of images.
        """
        import torch

        while True:
            passes, size = [], self.pass_size
            try:
                with torch.inference_mode(), _on(self.device), full_float32():
                    for start in range(0, len(images), size):
                        part = images[start : start + size]
                        outputs = self._network(self._inputs(_padded(part, size), laid=laid))
                        refuse_other_rows(outputs, size)
                        passes.append([output[: len(part)].float() for output in outputs])
                    whole = passes[0] if len(passes) == 1 else [torch.cat(v) for v in zip(*passes, strict=True)]
                    return Pending(whole)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if size == 1:
                    raise OutOfMemoryError(
                        f"one image does not fit into the memory of {self.device} ({first_line(error)}): "
                        "use a smaller backbone, or --device cpu"
                    ) from error
            passes.clear()  # what holds memory must go before less of it is asked for
            self.pass_size = max(1, size // 2)
            self.backoff.append(self.pass_size)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def _inputs(self, images: Images, *, laid: bool = False) -> torch.Tensor:
        import torch

        if isinstance(images, list):
            return preprocess_list(self._preprocess, images, laid=laid)
        host = torch.from_numpy(np.ascontiguousarray(images))
        # A copy that goes on alone needs memory that stays: CUDA's own pinned memory does, a freed array does not.
        pinned = self.device.type == "cuda"
        here = (host.pin_memory() if pinned else host).to(self.device, non_blocking=pinned)
        return self._preprocess(here, laid=laid)


class RawForward:
    """Runs a weights-free backbone on images or volumes as they are, in float32 on any device."""

    def __init__(self, backbone: Backbone, *, device: torch.device, batch_size: int, volumes: bool = False) -> None:
        import torch

        self.batch_size = self.pass_size = batch_size
        self.volumes = volumes
        # They compute in float64, which Apple's GPUs lack.
        self.device = device if device.type == "cuda" else torch.device("cpu")
        self.backoff: list[int] = []
        self.fused = False
        self.module = backbone.module.to(self.device)

    def __call__(self, images: Images) -> list[Rows]:
        """Describe 1 to `batch_size` images: one (n, d) float32 array a view."""
        return self.submit(images).result()

    def submit(self, images: Images) -> Pending:
        """Describe images; those of unequal shapes one by one."""
        import torch

        groups = [images] if isinstance(images, np.ndarray) else [image[None] for image in images]
        if self.volumes:  # three slices from right to left would pass for colour
            groups = [group[..., None] for group in groups]
        with torch.inference_mode():
            outputs = [self.module(torch.from_numpy(np.require(g, None, ["C", "W"])).to(self.device)) for g in groups]
        for group, views in zip(groups, outputs, strict=True):
            refuse_other_rows(views, len(group))
        for views in zip(*outputs, strict=True):
            lengths = sorted({view.shape[1] for view in views})
            if len(lengths) > 1:
                raise DataError(
                    f"grey and colour images give {' and '.join(map(str, lengths))} numbers here, which cannot stand "
                    "in one table: save all as one kind, or embed all of them anew"
                )
        return Pending([torch.cat(views).float() for views in zip(*outputs, strict=True)])


class Pending:
    """Rows that a device is still computing; `result` waits for them."""

    def __init__(self, outputs: Sequence[torch.Tensor]) -> None:
        import torch

        self._event: torch.cuda.Event | None = None
        if outputs and outputs[0].device.type == "cuda":
            self._host = [torch.empty_like(output, device="cpu", pin_memory=True) for output in outputs]
            for host, output in zip(self._host, outputs, strict=True):
                host.copy_(output, non_blocking=True)
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            # The stream of the device that computes, which need not be torch's current device.
            self._event.record(torch.cuda.current_stream(outputs[0].device))
        else:
            self._host = [output.cpu() for output in outputs]

    def result(self) -> list[Rows]:
        """Wait, and return one float32 array a view."""
        if self._event is None:
            return [host.numpy() for host in self._host]
        self._event.synchronize()
        return [host.numpy().copy() for host in self._host]  # pinned memory is scarce: give it back at once


@dataclass(frozen=True)
class Embedded(Generic[T]):
    """A batch that went through the network, with whatever came along with its images."""

    item: T
    rows: list[Rows]


def stream(embedder: RowEmbedder, batches: Iterable[tuple[T, Images | Laid]], depth: int = 2) -> Iterator[Embedded[T]]:
    """Embed batches in order, keeping `depth` of them in flight so that a GPU never waits for the host."""
    flying: deque[tuple[T, Result]] = deque()
    for item, images in batches:
        # A batch of which no image could be read has nothing to embed, and still has to be accounted for.
        started: Result = Finished([])
        if isinstance(images, Laid):
            assert isinstance(embedder, LaysAhead)
            started = embedder.submit(images.images, laid=True)
        elif len(images):
            started = embedder.submit(images)
        flying.append((item, started))
        if len(flying) >= depth or embedder.device.type != "cuda":
            first, pending = flying.popleft()
            yield Embedded(first, pending.result())
    while flying:
        first, pending = flying.popleft()
        yield Embedded(first, pending.result())


def refuse_other_rows(outputs: Iterable[torch.Tensor], images: int) -> None:
    """Refuse what a network gave for some images, unless it is one row an image: its shapes alone are looked at."""
    for output in outputs:
        if output.shape[:1] != (images,):
            what = f"the network gave {tuple(output.shape)} for {images} images"
            raise DataError(f"{what}, not one row an image: name another --layer")


def _on(device: torch.device) -> AbstractContextManager[object]:
    """Make a CUDA device the current one: streams and events then belong to it."""
    import torch

    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def _padded(images: Images, size: int) -> Images:
    missing = size - len(images)
    if missing < 0:
        raise ValueError(f"a batch holds at most {size} images, got {len(images)}")
    if missing == 0:
        return images
    if isinstance(images, list):
        return images + [images[-1]] * missing
    return np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])
