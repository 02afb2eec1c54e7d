"""The loop: epochs of train, val after each, the best one kept, whatever a kill, NaN or full memory does to it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from medfeat.counted import counted
from medfeat.errors import DivergedError, OutOfMemoryError
from medfeat.extraction.network.device import is_out_of_memory
from medfeat.finetuning.batches import batches, epoch_order, frequencies
from medfeat.finetuning.checkpoint import Epoch, Keeper, State, put
from medfeat.finetuning.losses import Loss
from medfeat.finetuning.rates import parameter_groups, rate_at
from medfeat.finetuning.soup import Soup, Values, mean_of
from medfeat.finetuning.training_settings import TrainingSettings
from medfeat.finetuning.tunable import Batch, Change, Tunable, computing
from medfeat.float32 import full_float32
from medfeat.types import Progress

Outputs = NDArray[np.float32]


class Feed(Protocol):
    """Gives the network samples by position."""

    def __call__(self, positions: NDArray[np.int64], change: Change | None = None) -> Batch:
        """Return some samples, ready for the network, changed by an augmentation."""
        ...


class Judge(Protocol):
    """What val thinks of outputs; evaluation knows, training does not."""

    def score(self, outputs: Outputs) -> tuple[float, float]:
        """Return two numbers of (n, c) outputs on val, larger is better."""
        ...

    def beats(self, new: Epoch, old: Epoch) -> bool:
        """Tell whether a later epoch is chosen before an earlier one."""
        ...


@dataclass(frozen=True)
class TrainingSplit:
    """A split as training sees it: a feed of its samples and, for train, their (n, c) targets."""

    feed: Feed
    count: int
    targets: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Trained:
    """What became of a training.

    Attributes
    ----------
    best
        Number of the epoch whose values the model now has, unless it has an average of several.
    epochs
        All of them, the start first.
    stopped
        Why it ended before its last epoch; empty when it did not.
    out_of_time
        Whether it was minutes that ended it: it can then be gone on with.
    state
        Seconds, and samples a pass.
    earlier
        Seconds of the epochs that earlier runs of the command finished.
    soup
        The average of epochs that the model now has; None where the best epoch alone was kept.
    """

    best: int
    epochs: tuple[Epoch, ...]
    stopped: str
    out_of_time: bool
    state: State
    earlier: float = 0.0
    soup: Soup | None = None


class Training:
    """Trains a model on train and chooses its best epoch on val.

    Parameters
    ----------
    model
        Its parameters that need gradients are trained, in place.
    settings
        How.
    train, val
        What from, and what chooses.
    judge
        Scores val.
    keeper
        Where checkpoints go.
    device
        Where the model is.
    progress
        Hears of every batch, and a line an epoch.
    augment
        Makes the augmentation of an epoch from a generator; None for none.
    max_seconds
        After which no further epoch is begun and the one running is dropped.
    clock
        Tells the time in seconds.

    Attributes
    ----------
    told
        Hears of every epoch that is done, before its checkpoint is written.
    """

    def __init__(
        self,
        model: Tunable,
        settings: TrainingSettings,
        *,
        train: TrainingSplit,
        val: TrainingSplit,
        judge: Judge,
        keeper: Keeper,
        device: torch.device,
        progress: Progress,
        augment: Callable[[torch.Generator], Change] | None = None,
        max_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model, self.settings, self.train, self.val, self.judge = model, settings, train, val, judge
        self.keeper, self.device, self.progress, self.augment = keeper, device, progress, augment
        self.max_seconds, self.clock = max_seconds, clock
        self.told: Callable[[Epoch], None] = lambda _epoch: None
        targets = np.zeros((train.count, 1)) if train.targets is None else train.targets
        self.loss = Loss(model.head.link, targets, settings)
        self.targets = torch.tensor(targets, dtype=torch.float32, device=device)
        balanced = settings.sampler == "balanced"
        self.frequency = frequencies(targets) if balanced else np.ones(train.count)
        self.optimizer = torch.optim.AdamW(parameter_groups(model.network, model.head, settings), fused=True)
        self.steps_an_epoch = math.ceil(train.count / settings.batch_size)

    @full_float32()
    def run(self) -> Trained:
        """Train to the end, from wherever an earlier run of it was killed, and leave the best epoch in the model."""
        state = self.keeper.load(self.model, self.optimizer)
        earlier = 0.0
        if state is None:
            state = State([], 0.0, self.settings.batch_size, str(self.device), str(torch.__version__))
            self._begin(state)
        else:
            earlier = state.elapsed
            self._resumed(state)
        stopped, self._out_of_time = "", False
        while not stopped and state.epochs[-1].number < self.settings.epochs:
            stopped = self._one_more(state)
        best = self._best(state.epochs)
        soup = self._choose(best[: self.settings.soup], state)
        self.model.eval()
        return Trained(best[0], tuple(state.epochs), stopped, self._out_of_time, state, earlier, soup)

    def outputs(self, split: TrainingSplit, state: State) -> Outputs:
        """Return (n, c) outputs of a split by the model as it is, halving the pass when memory runs out."""
        self.model.eval()
        while True:
            try:
                with torch.no_grad():
                    parts = [self._forward(rows).float().cpu() for rows in self._passes(split, state)]
                return torch.cat(parts).numpy()
            except Exception as error:
                self._halve(state, error)

    def _passes(self, split: TrainingSplit, state: State) -> Iterator[Batch]:
        for rows in batches(np.arange(split.count), state.micro):
            yield split.feed(rows)

    def _forward(self, batch: Batch) -> torch.Tensor:
        with computing(self.device, self.settings.precision):
            return self.model(batch)  # type: ignore[no-any-return]

    def _begin(self, state: State) -> None:
        started = self.clock()
        first, second = self.judge.score(self.outputs(self.val, state))
        state.epochs.append(Epoch(0, None, first, second, 0.0, 0.0, 0.0))
        self.told(state.epochs[0])
        state.elapsed += self.clock() - started
        self.keeper.save(self.model, self.optimizer, state, [0])
        self.progress.say(f"start: val {first:.4f}")

    def _resumed(self, state: State) -> None:
        number = state.epochs[-1].number
        self.progress.say(f"resuming at epoch {min(number + 1, self.settings.epochs)}")
        here = str(self.device), str(torch.__version__)
        if (state.device, state.torch_version) != here:
            was = f"{state.device}, torch {state.torch_version}"
            self.progress.say(f"this training was begun on {was}: it will not end bit for bit as it would have there")

    def _one_more(self, state: State) -> str:
        """Train one epoch and keep it; return why training should stop, if it should."""
        epochs, best = state.epochs, self._best(state.epochs)[0]
        if epochs[-1].number - best >= self.settings.patience:
            return f"no better on val for {counted(self.settings.patience, 'epoch')}"
        if self.max_seconds is not None and state.elapsed >= self.max_seconds:
            self._out_of_time = True
            return f"{self.max_seconds:.0f} seconds were over"
        started, spent = self.clock(), state.elapsed
        try:
            with _reproducible(self.device, self.settings.seed, epochs[-1].number + 1):
                epoch = self._epoch(epochs[-1].number + 1, state, started)
        except _OutOfTime:
            self._out_of_time = True
            return f"{self.max_seconds or 0:.0f} seconds were over in epoch {epochs[-1].number + 1}, which was dropped"
        first, second = self.judge.score(self.outputs(self.val, state))
        epochs.append(replace(epoch, first=first, second=second))
        self.told(epochs[-1])
        state.elapsed = spent + self.clock() - started
        self.keeper.save(self.model, self.optimizer, state, self._best(epochs)[: self.settings.soup])
        self._say(epochs[-1])
        return ""

    def _choose(self, numbers: list[int], state: State) -> Soup | None:
        """Give the model the best epoch's values, averaged with those of others as long as val gains by each."""
        taken, chosen = numbers[:1], next(epoch for epoch in state.epochs if epoch.number == numbers[0])
        kept: Values = self.keeper.values(numbers[0])
        for number in numbers[1:]:
            tried = mean_of([self.keeper.values(one) for one in (*taken, number)])
            put(self.model, tried)
            first, second = self.judge.score(self.outputs(self.val, state))
            new = replace(chosen, first=first, second=second)
            if self.judge.beats(new, chosen):  # of the same number, so never on a tie
                taken, chosen, kept = [*taken, number], new, tried
        put(self.model, kept)
        return Soup(tuple(taken), chosen.first, chosen.second) if len(taken) > 1 else None

    def _epoch(self, number: int, state: State, started: float) -> Epoch:
        order = epoch_order(self.train.count, self.settings, number, self.frequency)
        generator = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + number)
        change = self.augment(generator) if self.augment is not None else None
        total, rate = 0.0, 0.0
        self.model.learning()
        self.progress.start(len(order), f"epoch {number} of {self.settings.epochs}")
        for i, rows in enumerate(batches(order, self.settings.batch_size)):
            rate = self._set_rate((number - 1) * self.steps_an_epoch + i)
            loss = self._gradients(rows, state, change)
            self._refuse_nan(loss, number, rate, state)
            self.optimizer.step()
            total += loss * len(rows)
            self.progress.advance(len(rows))
            if self.max_seconds is not None and state.elapsed + self.clock() - started > self.max_seconds:
                self.progress.finish()
                raise _OutOfTime
        self.progress.finish()
        seconds = self.clock() - started
        return Epoch(number, total / len(order), 0.0, 0.0, rate, seconds, len(order) / max(seconds, 1e-9))

    def _set_rate(self, step: int) -> float:
        share = rate_at(step, self.settings.epochs * self.steps_an_epoch, self.settings.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.lr * group["scale"] * share
        return self.settings.lr * share

    def _gradients(self, rows: NDArray[np.int64], state: State, change: Change | None) -> float:
        """Collect the gradients of one batch, in as many pieces as memory asks for; return its mean loss."""
        while True:
            try:
                self.optimizer.zero_grad(set_to_none=True)
                total = 0.0
                for piece in batches(rows, state.micro):
                    outputs = self._forward(self.train.feed(piece, change)).float()
                    targets = self.targets[torch.from_numpy(piece).to(self.device)]
                    loss = self.loss(outputs, targets).sum() / len(rows)
                    loss.backward()  # type: ignore[no-untyped-call]
                    total += float(loss.detach())
                return total
            except Exception as error:
                self._halve(state, error)

    def _refuse_nan(self, loss: float, number: int, rate: float, state: State) -> None:
        learning = [parameter for parameter in self.model.parameters() if parameter.grad is not None]
        norm = float(torch.nn.utils.clip_grad_norm_(learning, self.settings.clip))
        if math.isfinite(loss) and math.isfinite(norm):
            return
        self.progress.finish()
        best = self._best(state.epochs)[0]
        raise DivergedError(
            f"the loss became {loss} in epoch {number} at a learning rate of {rate:.2g} (of --lr "
            f"{self.settings.lr:g}): the best epoch, {best}, is kept in {self.keeper.folder}; "
            "begin again with a smaller --lr and --restart"
        )

    def _halve(self, state: State, error: Exception) -> None:
        if not is_out_of_memory(error):
            raise error
        if state.micro == 1:
            raise OutOfMemoryError(
                f"not even one sample fits into the memory of {self.device} while training: use a smaller backbone, "
                "--mode last-blocks, --mode head or another --device"
            ) from error
        state.micro = max(1, state.micro // 2)
        self.progress.say(
            f"memory ran out: {counted(state.micro, 'sample')} a pass from here on, gradients are added up"
        )
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _best(self, epochs: list[Epoch]) -> list[int]:
        """Return the numbers of all epochs, the best on val first."""
        order: list[Epoch] = []
        for epoch in epochs:
            at = next((i for i, other in enumerate(order) if self.judge.beats(epoch, other)), len(order))
            order.insert(at, epoch)
        return [epoch.number for epoch in order]

    def _say(self, epoch: Epoch) -> None:
        self.progress.say(
            f"epoch {epoch.number} of {self.settings.epochs}: loss {epoch.loss:.4f}, val {epoch.first:.4f}, "
            f"{epoch.images_per_second:.1f} images/s"
        )


class _OutOfTime(Exception):  # noqa: N818 - no error: the minutes a person gave are over
    pass


@contextmanager
def _reproducible(device: torch.device, seed: int, epoch: int) -> Iterator[None]:
    """Draw dropout of an epoch from seed and epoch alone, and leave the caller's random numbers as they were."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed * 1_000_003 + epoch)
        yield
