"""From short measurements to settings: batch size, precision and compile for one extraction."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from medfeat.extraction.settings import Settings
from medfeat.extraction.tuning import (
    WORTHWHILE_SPEEDUP,
    Agreement,
    agreement,
    candidates,
    choose_batch_size,
    guess_compile_seconds,
    seconds_per_batch,
    worth_compiling,
)
from medfeat.types import Precision, Progress

if TYPE_CHECKING:
    import torch

    from medfeat.extraction.forward import Embedder, Images, Rows

_DEFAULT_BATCH = {"cpu": 32, "cuda": 256, "mps": 32}
_PART_SECONDS = 10.0
_MAX_PART_ROWS = 8192
# Trying batch sizes costs about this many images; a run shorter than twenty times that would not earn it back.
_TRIAL_IMAGES = 224


class Make(Protocol):
    """Builds a network ready to run; `copied` leaves the original as it is, so that float32 stays at hand."""

    def __call__(self, precision: Precision, batch_size: int, *, compiled: bool, copied: bool) -> Embedder:
        """Return a network at this precision and batch size."""
        ...


@dataclass(frozen=True)
class Choice:
    """Settings, the network already built with them, and how its embeddings agree with float32."""

    settings: Settings
    embedder: Embedder
    agreement: Agreement | None


def choose_settings(
    make: Make,
    sample: Images,
    *,
    total: int,
    precision: str,
    batch_size: int | None,
    compile_problem: str | None,
    device: torch.device,
    progress: Progress,
) -> Choice:
    """Decide how to run, before the first part.

    Parameters
    ----------
    make
        Builds the network.
    sample
        Up to 256 images (or a few volumes), always the same ones.
    total
        Images the run will embed.
    precision
        ``auto``, or what was asked for.
    batch_size
        None means to find it.
    compile_problem
        Why compiling is out of the question; None when it may be tried.
    device
        Where the network runs.
    progress
        Told what was decided and why.

    Returns
    -------
    Choice
        Ready to run.
    """
    tried: list[Precision] = list(candidates(device)) if precision == "auto" else []
    first: Precision = "fp32" if precision == "auto" else precision  # type: ignore[assignment]  # checked by the caller
    batch = batch_size or _find_batch(make, sample, tried[0] if tried else first, total, device)
    compiling = partial(
        _maybe_compile, make, batch=batch, sample=sample, total=total, problem=compile_problem, progress=progress
    )
    base = make(first, batch, compiled=False, copied=bool(tried))
    fastest = seconds_per_batch(base, sample[: base.batch_size])
    reference: Rows | None = None
    for candidate in tried:
        half = make(candidate, batch, compiled=False, copied=True)
        seconds = seconds_per_batch(half, sample[: half.batch_size])
        if fastest / seconds < WORTHWHILE_SPEEDUP:
            progress.say(
                f"precision {candidate}: {fastest / seconds:.2f} x the speed of fp32 here, not worth its rounding"
            )
            continue
        half, seconds, compiled = compiling(half, seconds, precision=candidate)
        reference = _embed_all(base, sample) if reference is None else reference
        found = agreement(reference, _embed_all(half, sample), candidate)
        verdict = "agrees with" if found.passed else "does not agree with"
        progress.say(f"precision {candidate} {verdict} fp32: 1st percentile of cosine {found.cosine_p01:.5f}")
        if found.passed:
            return Choice(_settings(device, candidate, batch, compiled, seconds), half, found)
    if tried:
        base = make(first, batch, compiled=False, copied=False)
    base, fastest, compiled = compiling(base, fastest, precision=first)
    return Choice(_settings(device, first, batch, compiled, fastest), base, None)


def _find_batch(make: Make, sample: Images, precision: Precision, total: int, device: torch.device) -> int:
    default: int = _DEFAULT_BATCH.get(device.type, 32)
    if sample[0].ndim == 3 and sample[0].shape[-1] != 3:
        return default  # volumes: a batch is one of slices, and there are always enough of those
    if total < 20 * _TRIAL_IMAGES:
        return min(default, 1 << math.ceil(math.log2(max(total, 1))))
    build: Callable[[int], Embedder] = lambda size: make(precision, size, compiled=False, copied=True)  # noqa: E731
    return choose_batch_size(build, sample, device)


def _maybe_compile(
    make: Make,
    eager: Embedder,
    seconds: float,
    *,
    precision: Precision,
    batch: int,
    sample: Images,
    total: int,
    problem: str | None,
    progress: Progress,
) -> tuple[Embedder, float, bool]:
    """Compile when the run is long enough to repay it, and keep the result only if it is faster."""
    expected = seconds * total / eager.batch_size
    if not worth_compiling(expected, guess_compile_seconds(eager.module)):
        return eager, seconds, False
    if problem is not None:
        progress.say(problem)
        return eager, seconds, False
    started = time.perf_counter()
    compiled = make(precision, batch, compiled=True, copied=True)
    faster = seconds_per_batch(compiled, sample[: compiled.batch_size])
    cost = time.perf_counter() - started
    if faster >= seconds:
        progress.say(f"compiled in {cost:.0f} s, not faster than eager here: running eager")
        return eager, seconds, False
    progress.say(f"compiled in {cost:.0f} s, {seconds / faster:.2f} x the speed of eager")
    return compiled, faster, True


def _embed_all(embedder: Embedder, sample: Images) -> Rows:
    """Embed the sample, all views side by side."""
    size = embedder.batch_size
    batches = [embedder(sample[start : start + size]) for start in range(0, len(sample), size)]
    views = [np.concatenate([batch[view] for batch in batches]) for view in range(len(batches[0]))]
    return np.concatenate([view.reshape(len(view), -1) for view in views], axis=1)


def _settings(device: torch.device, precision: Precision, batch: int, compiled: bool, seconds: float) -> Settings:
    batches = max(1, min(round(_PART_SECONDS / max(seconds, 1e-6)), _MAX_PART_ROWS // batch))
    return Settings(str(device), precision, batch, compiled, batches)
