"""From short measurements to settings: batch size, precision and compile for one extraction."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from medfeat.datasets.bounds import images_a_batch
from medfeat.errors import first_line
from medfeat.extraction.ask.run_settings import RunSettings
from medfeat.extraction.measure.batch_size import choose_batch_size, seconds_per_batch
from medfeat.extraction.measure.half_precision import (
    HOPELESS_SPEEDUP,
    WORTHWHILE_SPEEDUP,
    Agreement,
    agreement,
    candidates,
)
from medfeat.extraction.measure.when_to_compile import guess_compile_seconds, worth_compiling
from medfeat.extraction.network.device import is_out_of_memory, settings_here
from medfeat.types import Precision, Progress

if TYPE_CHECKING:
    import torch

    from medfeat.extraction.network.forward import Images, RowEmbedder, Rows

_DEFAULT_BATCH = {"cpu": 8, "cuda": 256, "mps": 32}
_PART_SECONDS = 10.0
_MAX_PART_ROWS = 8192
# How far compiled rows may lie from eager ones, of their length: sums in another order, and no more.
_MAX_APART = {"fp32": 1e-3, "bf16": 5e-2, "fp16": 5e-2}
# Trying batch sizes costs about this many images; a run shorter than twenty times that would not earn it back.
_TRIAL_IMAGES = 224


class Make(Protocol):
    """Builds a network ready to run; `copied` leaves the original as it is, so that float32 stays at hand."""

    def __call__(self, precision: Precision, batch_size: int, *, compiled: bool, copied: bool) -> RowEmbedder:
        """Return a network at this precision and batch size."""
        ...


@dataclass(frozen=True)
class Decision:
    """How to run.

    Attributes
    ----------
    settings
        For the manifest.
    embedder
        The network, already built with them.
    agreements
        One a view, where a half precision was measured against float32; empty otherwise.
    """

    settings: RunSettings
    embedder: RowEmbedder
    agreements: tuple[Agreement, ...] = ()


@dataclass
class _Trial:
    """One precision, as fast as this machine runs it."""

    precision: Precision
    embedder: RowEmbedder
    seconds: float  # an image (or volume)
    compiled: bool = False
    final: bool = False  # compiling was tried, or does not pay


@dataclass(frozen=True, kw_only=True)
class Chooser:
    """What decides how to run, by short measurements before the first part.

    Attributes
    ----------
    make
        Builds the network.
    sample
        Up to 256 images (or a few volumes), always the same ones.
    total
        Images the run will embed.
    batch_size
        None means to find it.
    problem
        Why compiling is out of the question; None when it may be tried.
    device
        Where the network runs.
    progress
        Told what was decided and why.
    volumes
        Whether these are volumes: a batch is then one of slices.
    """

    make: Make
    sample: Images
    total: int
    batch_size: int | None
    problem: str | None
    device: torch.device
    progress: Progress
    volumes: bool = False

    def choose(self, precision: str) -> Decision:
        """Measure, and return what is ready to run; `precision` is ``auto``, or what was asked for."""
        tried: tuple[Precision, ...] = candidates(self.device) if precision == "auto" else ()
        first: Precision = "fp32" if precision == "auto" else precision  # type: ignore[assignment]  # checked before
        batch = self._within_bounds(self.batch_size or self._find_batch(tried[0] if tried else first, first))
        base = self._trial(first, batch)
        for candidate in tried:
            try:
                half = self._trial(candidate, batch)
                base, decision = self._compared(base, half, batch)
            except Exception as error:
                # A library can lack a kernel for it in more ways than can be looked for; float32 has just run.
                self.progress.say(f"precision {candidate} does not run here ({first_line(error)}): left out")
                continue
            if decision is not None:
                return decision
        return self._decided(self._compiled(base, batch))

    def _compared(self, base: _Trial, half: _Trial, batch: int) -> tuple[_Trial, Decision | None]:
        """Return float32 as it was measured last, and what to run if the half precision is worth it."""
        gain = base.seconds / half.seconds
        if HOPELESS_SPEEDUP < gain < WORTHWHILE_SPEEDUP:
            # Compiling often gains half precision more than float32: compare them as they would run.
            base, half = self._compiled(base, batch), self._compiled(half, batch)
            gain = base.seconds / half.seconds
        if gain < WORTHWHILE_SPEEDUP:
            self.progress.say(
                f"precision {half.precision}: {gain:.2f} x the speed of fp32 here, not worth its rounding"
            )
            return base, None
        half = self._compiled(half, batch)
        agreements = self._agreements(self._views(base.embedder), self._views(half.embedder), half.precision)
        return base, self._decided(half, agreements) if all(found.passed for found in agreements) else None

    def _decided(self, trial: _Trial, agreements: tuple[Agreement, ...] = ()) -> Decision:
        embedder = trial.embedder
        if not trial.compiled and self.problem is not None and self._pays(trial):
            self.progress.say(self.problem)
        batch = embedder.backoff[-1] if embedder.backoff else embedder.pass_size
        embedder.backoff.clear()  # what was halved while measuring is where the run begins
        seconds = max(trial.seconds * embedder.batch_size, 1e-6)
        parts = max(1, min(round(_PART_SECONDS / seconds), _MAX_PART_ROWS // embedder.batch_size))
        return Decision(settings_here(self.device, trial.precision, batch, trial.compiled, parts), embedder, agreements)

    def _trial(self, precision: Precision, batch: int) -> _Trial:
        embedder = self.make(precision, batch, compiled=False, copied=True)
        some = self._some(embedder)
        return _Trial(precision, embedder, seconds_per_batch(embedder, some) / len(some))

    def _some(self, embedder: RowEmbedder) -> Images:
        """Return a batch to measure on; one volume has slices enough."""
        return self.sample[: 1 if self.volumes else embedder.batch_size]

    def _pays(self, eager: _Trial) -> bool:
        """Decide whether the run is long enough to repay compiling."""
        return worth_compiling(eager.seconds * self.total, guess_compile_seconds(eager.embedder.module))

    def _compiled(self, eager: _Trial, batch: int) -> _Trial:
        """Compile when it repays itself, once, and keep the result only if it works and is faster."""
        if eager.final or self.problem is not None or not self._pays(eager):
            return replace(eager, final=True)
        started = time.perf_counter()
        try:
            embedder = self.make(eager.precision, batch, compiled=True, copied=True)
            some = self._some(embedder)
            seconds = seconds_per_batch(embedder, some) / len(some)
            compiled = _Trial(eager.precision, embedder, seconds, compiled=True, final=True)
            apart = _apart(eager.embedder(some), embedder(some))
        except Exception as error:
            if is_out_of_memory(error):
                raise
            # A compiler can fail in more ways than can be looked for beforehand; eager always works.
            self.progress.say(f"torch.compile failed ({first_line(error)}): running eager")
            return replace(eager, final=True)
        cost, name = time.perf_counter() - started, eager.precision
        if apart > _MAX_APART[name]:
            self.progress.say(f"compiled {name} is {apart:.1%} off what eager gives: running eager")
            return replace(eager, final=True)
        if compiled.seconds >= eager.seconds:
            self.progress.say(f"compiled {name} in {cost:.0f} s, not faster than eager here: running eager")
            return replace(eager, final=True)
        self.progress.say(
            f"compiled {name} in {cost:.0f} s, {eager.seconds / compiled.seconds:.2f} x the speed of eager"
        )
        return compiled

    def _agreements(self, reference: list[Rows], rounded: list[Rows], half: Precision) -> tuple[Agreement, ...]:
        """Compare every view by itself: a long one must not hide what a short one lost."""
        found = tuple(agreement(*views, half) for views in zip(reference, rounded, strict=True))
        worst = min(found, key=lambda one: one.cosine_p01 if math.isfinite(one.cosine_p01) else -math.inf)
        cosine = f"1st percentile of cosine {worst.cosine_p01:.5f}"
        agrees = all(one.passed for one in found)
        self.progress.say(
            f"{half} agrees with fp32: {cosine}"
            if agrees
            else f"{half} does not agree with fp32, which is used: {cosine}"
        )
        return found

    def _views(self, embedder: RowEmbedder) -> list[Rows]:
        """Embed the sample: one (n, d) array a view."""
        size = embedder.batch_size
        batches = map(embedder, (self.sample[start : start + size] for start in range(0, len(self.sample), size)))
        views = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
        return [view.reshape(len(view), -1) for view in views]

    def _find_batch(self, *precisions: Precision) -> int:
        """Find the batch for the first of some precisions that runs here."""
        default: int = _DEFAULT_BATCH.get(self.device.type, 8)
        if self.volumes:
            return default  # a batch is one of slices, and there are always enough of those
        if self.total < 20 * _TRIAL_IMAGES:
            return min(default, 1 << math.ceil(math.log2(max(self.total, 1))))
        if self.device.type == "cuda":
            return default  # full for every network; where its memory is not enough, the first trial halves it

        def build(size: int) -> RowEmbedder:
            return self.make(precisions[0], size, compiled=False, copied=True)

        try:
            return choose_batch_size(build, self.sample, self.device, most=self._most())
        except Exception:
            if len(precisions) == 1:
                raise
            return self._find_batch(*precisions[1:])

    def _within_bounds(self, batch: int) -> int:
        """Return a batch whose images may be held at once; one that was asked for is not cut without a word."""
        most = batch if self.volumes else min(batch, self._most())
        if most < batch and self.batch_size is not None:
            self.progress.say(f"batch size {most}, not {batch}: so many of these large images may be held at once")
        return most

    def _most(self) -> int:
        return images_a_batch(sum(image.nbytes for image in self.sample) / len(self.sample))


def _apart(eager: list[Rows], compiled: list[Rows]) -> float:
    """Return how far the worst row lies from what eager gives, as a share of its length."""
    worst = 0.0
    for a, b in zip(eager, compiled, strict=True):
        one, other = (rows.reshape(len(rows), -1).astype(np.float64) for rows in (a, b))
        length = np.linalg.norm(one, axis=1)
        gap = np.linalg.norm(one - other, axis=1)
        worst = max(worst, float(np.max(np.where(gap > 0, gap / np.where(length > 0, length, 1.0), 0.0), initial=0.0)))
    return worst
