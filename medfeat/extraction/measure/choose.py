"""From short measurements to settings: batch size, precision and compile for one extraction."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from medfeat.datasets.bounds import images_a_batch
from medfeat.errors import first_line
from medfeat.extraction.measure.batch_size import choose_batch_size, filled, seconds_an_image
from medfeat.extraction.measure.clock import one_thread, stopwatch, threads_of
from medfeat.extraction.measure.half_precision import (
    HOPELESS_SPEEDUP,
    WORTHWHILE_SPEEDUP,
    Agreement,
    agreement,
    candidates,
    images_to_compare,
    missing_instructions,
)
from medfeat.extraction.measure.memory import Memory, Way
from medfeat.extraction.measure.sample import spread
from medfeat.extraction.measure.trial import Decision, Make, Trial
from medfeat.extraction.measure.when_to_compile import (
    AGAIN,
    EXPECTED_GAIN,
    MAX_APART,
    count_layers,
    expected_compile_seconds,
    rows_apart,
    worth_compiling,
)
from medfeat.extraction.network.compiling import compiler_cache
from medfeat.extraction.network.device import is_out_of_memory, settings_here
from medfeat.types import Images, Precision, Progress

if TYPE_CHECKING:
    import torch

    from medfeat.extraction.network.forward import RowEmbedder, Rows

_DEFAULT_BATCH = {"cpu": 8, "cuda": 256, "mps": 32}
_PART_SECONDS, _MAX_PART_ROWS = 10.0, 8192
# A run that takes less as it is would only be held up by measuring how to make it faster; on a GPU that takes a moment.
_WORTH_MEASURING = {"cpu": 15.0, "cuda": 2.0, "mps": 2.0}
# Trying batch sizes costs about this many images; a run shorter than twenty times that would not earn it back.
_TRIAL_IMAGES = 224
# Reading again costs two batches, by a single thread up to as many times that as there are threads: a run of so many
# batches loses an eighth to it at most.
_BATCHES_A_READING = 16


@dataclass(frozen=True, kw_only=True)
class Chooser:
    """What decides how to run, by short measurements before the first part and what is remembered of earlier ones.

    Attributes
    ----------
    make
        Builds the network.
    read
        Gives up to 256 images (or a few volumes), always the same ones; asked only when something is measured.
    total
        Images the run will embed.
    batch_size
        None means to find it.
    problem
        Why compiling is out of the question; None when it may be tried.
    device
        Where the network runs.
    progress
        Told what is measured, what was decided and why.
    volumes
        Whether these are volumes: a batch is then one of slices.
    data
        Name of the dataset, which stands beside what was measured on it.
    memory
        What was measured before; takes in what is measured now.
    image_bytes
        Of each image; 0 where they differ, and the sample tells.
    """

    make: Make
    read: Callable[[], Images]
    total: int
    batch_size: int | None
    problem: str | None
    device: torch.device
    progress: Progress
    volumes: bool = False
    data: str = ""
    memory: Memory = field(default_factory=Memory)
    image_bytes: int = 0

    def choose(self, precision: str) -> Decision:
        """Measure what is not known, and return what is ready to run; `precision` is ``auto``, or as asked for."""
        first: Precision = "fp32" if precision == "auto" else precision  # type: ignore[assignment]  # checked before
        try:
            brief = self._is_brief(self._look(first))
            halves = self._halves(first, brief) if precision == "auto" else ()
            batch = self._within_bounds(self.batch_size or self._batch(brief, *halves, first))
            return self._chosen(self._eager(first, batch, brief), halves, brief)
        finally:
            self._looked.clear()
            self.memory.save()

    def _chosen(self, base: Trial, halves: tuple[Precision, ...], brief: bool) -> Decision:
        """Return the first half precision that is worth it, else what is asked for or exact."""
        for candidate in halves:
            try:
                half = self._eager(candidate, base.batch, brief)
                base, decision = self._compared(base, half)
            except Exception as error:
                # A library can lack a kernel for it in more ways than can be looked for; float32 has just run.
                self._left_out(candidate, error)
                continue
            if decision is not None:
                return decision
        return self._decided(self._compiled(base))

    def _compared(self, base: Trial, half: Trial) -> tuple[Trial, Decision | None]:
        """Return float32 as it was measured last, and what to run if the half precision is worth it."""
        gain = base.seconds / half.seconds
        if HOPELESS_SPEEDUP < gain < WORTHWHILE_SPEEDUP:
            # Compiling often gains half precision more than float32: compare them as they would run.
            base, half = self._compiled(base), self._compiled(half)
            gain = base.seconds / half.seconds
        if gain < WORTHWHILE_SPEEDUP:
            self._not_worth(half.precision, gain)
            return base, None
        half = self._compiled(half)
        agreements = self._agreements(base, half)
        return base, self._decided(half, agreements) if all(found.passed for found in agreements) else None

    def _decided(self, trial: Trial, agreements: tuple[Agreement, ...] = ()) -> Decision:
        embedder = self._built(trial)
        if not trial.compiled and self.problem is not None and self._pays(trial):
            self.progress.say(self.problem)
        batch = embedder.backoff[-1] if embedder.backoff else embedder.pass_size
        embedder.backoff.clear()  # what was halved while measuring is where the run begins
        seconds = max(trial.seconds * embedder.batch_size, 1e-6)
        parts = max(1, min(round(_PART_SECONDS / seconds), _MAX_PART_ROWS // embedder.batch_size))
        here = settings_here(self.device, trial.precision, batch, trial.compiled, parts, fused=embedder.fused)
        return Decision(here, embedder, agreements)

    def _halves(self, first: Precision, brief: bool) -> tuple[Precision, ...]:
        """Return the half precisions that a run of this length may try: a run of seconds only takes what is known."""
        halves = candidates(self.device)
        if brief:
            return tuple(half for half in halves if self._is_known(half))
        return tuple(half for half in halves if self._is_hopeful(half, first))

    def _look(self, precision: Precision) -> float:
        """Return seconds of work an image (or volume), by the least that tells."""
        if precision not in self.memory.looks:
            embedder = self.make(precision, self._look_batch, compiled=False, copied=True)
            seconds = seconds_an_image(embedder, self._some(embedder))
            # A run that takes long is measured for seconds: not on the word of one reading of a disturbed machine.
            self.memory.looks[precision] = seconds if self._is_brief(seconds) else self._read_again(embedder, seconds)
            self._looked[precision] = embedder
        return self.memory.looks[precision]

    def _is_brief(self, seconds: float) -> bool:
        return seconds * self.total < _WORTH_MEASURING.get(self.device.type, 2.0)

    @property
    def _look_batch(self) -> int:
        """One image tells enough of a processor; other devices, and volumes, are only busy with a whole batch."""
        whole = self.batch_size or self._default()
        return whole if self.volumes else 1 if self.device.type == "cpu" else min(whole, self._most())

    @cached_property
    def _looked(self) -> dict[Precision, RowEmbedder]:
        return {}

    def _is_known(self, half: Precision) -> bool:
        return all(one.passed for one in self.memory.agreements.get(half, ())) and half in self.memory.agreements

    def _is_hopeful(self, half: Precision, first: Precision) -> bool:
        """Look at what the processor has, then at one image."""
        missing = missing_instructions(half, self.device)
        if missing:
            self.progress.say(f"precision {half} is left out: {missing}")
            return False
        if half in self.memory.agreements and not self._is_known(half):
            self._said(self.memory.agreements[half])
            return False
        if half not in self.memory.looks:
            self.progress.say(f"measuring {half} ...")
        try:
            gain = self._look(first) / self._look(half)
        except Exception as error:
            self._left_out(half, error)
            return False
        if gain <= HOPELESS_SPEEDUP:
            self._not_worth(half, gain)
        return gain > HOPELESS_SPEEDUP

    def _eager(self, precision: Precision, batch: int, brief: bool) -> Trial:
        """Measure a precision as it is; a run of seconds takes the word of one image."""
        if (known := self.memory.way(precision, compiled=False, batch=batch)) is not None:
            return Trial(precision, batch, known.seconds)
        if brief:
            return Trial(precision, batch, self._look(precision), final=True)
        seconds, embedder = self._look(precision), self._looked.get(precision)
        if batch != self._look_batch or embedder is None:
            embedder = self.make(precision, batch, compiled=False, copied=True)
            seconds = seconds_an_image(embedder, self._some(embedder))
        if not embedder.backoff:  # what memory was too small for is no measure of another day
            self.memory.keep(Way(precision, False, batch, seconds))
        return Trial(precision, batch, seconds, embedder)

    def _read_again(self, embedder: RowEmbedder, seconds: float) -> float:
        """Return the least of a reading and two more, one by a single thread: it has no other to wait for."""
        some, threads = self._some(embedder), threads_of(self.device)
        batches = self.total / len(some)
        if batches >= _BATCHES_A_READING:
            seconds = min(seconds, seconds_an_image(embedder, some))
        if batches >= _BATCHES_A_READING * threads > _BATCHES_A_READING:
            with one_thread():
                seconds = min(seconds, seconds_an_image(embedder, some))
        return seconds

    @cached_property
    def _sample(self) -> Images:
        return self.read()

    def _some(self, embedder: RowEmbedder) -> Images:
        """Return a batch to measure on; one volume has slices enough."""
        return self._sample[: 1 if self.volumes else embedder.batch_size]

    def _built(self, trial: Trial) -> RowEmbedder:
        if trial.embedder is None and trial.compiled and trial.eager is not None:
            self._compile(trial, trial.eager)
        if trial.embedder is None:
            trial.embedder = self.make(trial.precision, trial.batch, compiled=False, copied=True)
        return trial.embedder

    def _pays(self, eager: Trial) -> bool:
        """Decide whether the run is long enough to repay compiling."""
        known = self.memory.way(eager.precision, compiled=True, batch=eager.batch)
        gain = EXPECTED_GAIN if known is None else eager.seconds / known.seconds if known.usable else 1.0
        return worth_compiling(eager.seconds * self.total, self._compile_cost(eager), gain)

    def _compile_cost(self, eager: Trial) -> float:
        """Return what compiling will cost: as it did, with the compiler's cache where that is there, or a guess."""
        known = self.memory.way(eager.precision, compiled=True, batch=eager.batch)
        if known is not None and known.kept and known.kept == compiler_cache(self.device):
            return known.again or known.cost * AGAIN
        if known is not None and known.cost:
            return known.cost
        self.memory.layers = self.memory.layers or count_layers(self._built(eager).module)
        return expected_compile_seconds(self.memory.layers, self.memory.costs_here())

    def _compiled(self, eager: Trial) -> Trial:
        """Compile when it repays itself, once; what is known of it is believed, and compiled when it is to run."""
        if eager.final or self.problem is not None or not self._pays(eager):
            return replace(eager, final=True)
        if (known := self.memory.way(eager.precision, compiled=True, batch=eager.batch)) is not None:
            return Trial(eager.precision, eager.batch, known.seconds, compiled=True, final=True, eager=eager)
        # Before minutes are spent on the word of one measurement, others are asked.
        eager.seconds = self._read_again(self._built(eager), eager.seconds)
        return self._compile(replace(eager, final=True), eager) if self._pays(eager) else replace(eager, final=True)

    def _compile(self, trial: Trial, eager: Trial) -> Trial:
        """Build a trial compiled, and as it was eager where compiling fails, gives other rows or gains nothing."""
        name, kept = eager.precision, compiler_cache(self.device)
        self.progress.say(f"compiling {name}, about {self._compile_cost(eager):.0f} s ...")
        work = stopwatch(self.device)
        try:
            embedder = self.make(name, eager.batch, compiled=True, copied=True)
            some = self._some(embedder)
            rows = embedder(some)
            cost = work()
            apart = rows_apart(self._built(eager)(some), rows)
            way = self._measured_compiled(embedder, eager, cost, kept, usable=apart <= MAX_APART[name])
        except Exception as error:
            if is_out_of_memory(error):
                raise
            # A compiler can fail in more ways than can be looked for beforehand; eager always works.
            way = self.memory.keep(Way(name, True, eager.batch, eager.seconds, work(), usable=False))
            line = f"torch.compile failed ({first_line(error)}): running eager"
        else:
            line = f"compiled {name} in {cost:.0f} s, {eager.seconds / way.seconds:.2f} x the speed of eager"
            if not way.usable:
                line = f"compiled {name} is {apart:.1%} off what eager gives: running eager"
            elif way.seconds >= eager.seconds:
                line = f"compiled {name} in {cost:.0f} s, not faster than eager here: running eager"
        self.progress.say(line)
        trial.compiled = way.usable and way.seconds < eager.seconds
        trial.seconds, trial.embedder = (way.seconds, embedder) if trial.compiled else (eager.seconds, eager.embedder)
        return trial

    def _measured_compiled(self, embedder: RowEmbedder, eager: Trial, cost: float, kept: str, *, usable: bool) -> Way:
        """Keep what compiling cost: the first time, or again, with what the compiler had kept of the same network."""
        known = self.memory.way(eager.precision, compiled=True, batch=eager.batch)
        again = known is not None and known.kept != "" and known.kept == kept
        seconds = known.seconds if known is not None and again else math.inf
        if seconds >= eager.seconds:  # by as many readings as it is compared with
            seconds = self._read_again(embedder, min(seconds, seconds_an_image(embedder, self._some(embedder))))
        way = Way(eager.precision, True, eager.batch, seconds, cost, kept=compiler_cache(self.device), usable=usable)
        if known is not None and again:
            way = replace(way, cost=known.cost, again=min(cost, known.again or cost))
        return self.memory.keep(way)

    def _not_worth(self, half: Precision, gain: float) -> None:
        self.progress.say(f"precision {half}: {gain:.2f} x the speed of fp32 here, not worth its rounding")

    def _left_out(self, half: Precision, error: Exception) -> None:
        self.progress.say(f"precision {half} does not run here ({first_line(error)}): left out")

    def _agreements(self, base: Trial, half: Trial) -> tuple[Agreement, ...]:
        """Compare every view by itself: a long one must not hide what a short one lost."""
        number = images_to_compare(self.total)
        found = self.memory.agreements.get(half.precision, ())
        if not found or self.memory.compared.get(half.precision, 0) < number:
            exact, rounded = (self._views(self._built(one), number) for one in (base, half))
            found = tuple(agreement(*two, half.precision, self.data) for two in zip(exact, rounded, strict=True))
            if all(math.isfinite(one.cosine_p01) for one in found):
                self.memory.agreements[half.precision], self.memory.compared[half.precision] = found, number
        self._said(found)
        return found

    def _said(self, found: tuple[Agreement, ...]) -> None:
        worst = min(found, key=lambda one: one.cosine_p01 if math.isfinite(one.cosine_p01) else -math.inf)
        verdict = "agrees with fp32" if all(one.passed for one in found) else "does not agree with fp32, which is used"
        where = f", measured on {worst.measured_on}" if worst.measured_on != self.data else ""
        text = f"1st percentile of cosine {worst.cosine_p01:.5f}{where}"
        self.progress.say(f"precision {worst.precision} {verdict}: {text}")

    def _views(self, embedder: RowEmbedder, number: int) -> list[Rows]:
        """Embed evenly spread images of the sample, or all volumes of it: one (n, d) array a view."""
        some, size = self._sample if self.volumes else spread(self._sample, number), embedder.batch_size
        batches = [embedder(some[start : start + size]) for start in range(0, len(some), size)]
        views = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
        return [view.reshape(len(view), -1) for view in views]

    def _default(self) -> int:
        default: int = _DEFAULT_BATCH.get(self.device.type, 8)
        return default if self.volumes else filled(default, self.total)

    def _batch(self, brief: bool, *precisions: Precision) -> int:
        """Find the batch for the first of some precisions that runs here."""
        if self.memory.batch is not None and not self.volumes:
            return filled(self.memory.batch, self.total)
        # On CUDA it is full for every network; where its memory is not enough, the first trial halves it.
        if brief or self.volumes or self.device.type == "cuda" or self.total < 20 * _TRIAL_IMAGES:
            return self._default()
        self.progress.say("measuring batch sizes ...")
        self.memory.batch = self._searched(*precisions)
        return self.memory.batch

    def _searched(self, *precisions: Precision) -> int:
        def build(size: int) -> RowEmbedder:
            return self.make(precisions[0], size, compiled=False, copied=True)

        try:
            return choose_batch_size(build, self._sample, self.device, most=self._most())
        except Exception:
            if len(precisions) == 1:
                raise
            return self._searched(*precisions[1:])

    def _within_bounds(self, batch: int) -> int:
        """Return a batch whose images may be held at once; one that was asked for is not cut without a word."""
        most = batch if self.volumes else min(batch, self._most())
        if most < batch and self.batch_size is not None:
            self.progress.say(f"batch size {most}, not {batch}: so many of these large images may be held at once")
        return most

    def _most(self) -> int:
        return images_a_batch(self.image_bytes or sum(image.nbytes for image in self._sample) / len(self._sample))
