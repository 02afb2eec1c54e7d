"""How long many images take on many GPUs: workers, a file system that they share, kills and merges.

Each worker is one process with one GPU, as a task of `medfeat study --slurm` is. It begins when the queue lets it,
takes a part of the images by its lock, embeds it chunk by chunk and merges the chunks into a store. One that is killed
loses the chunk it was at, and whoever takes its part goes on from there. The file system gives everybody what they ask
for, or else equal shares. `bench_scale.py` checks this against real processes, `tools/make_scale.py` plans with it.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

AWAY, STARTING, OPENING, CHECKING, EMBEDDING, MERGING, WAITING = range(7)
NEVER = math.inf
# A merge reads the parts, writes the store, reads it to seal it and again to compare it with the parts.
MOVES_OF_A_MERGE = 4


@dataclass(frozen=True)
class Work:
    """What there is to do.

    Attributes
    ----------
    parts
        Images of each part; a part becomes one store.
    image_bytes, row_bytes
        That an image is read as, and that its embedding is written as.
    opened_bytes
        Of an image that are read before any of its part is embedded: files are digested when they are opened.
    chunk
        Images that become durable together.
    """

    parts: tuple[int, ...]
    image_bytes: float = 0.0
    row_bytes: float = 0.0
    opened_bytes: float = 0.0
    chunk: int = 8192


@dataclass(frozen=True)
class Pace:
    """How fast one worker is alone, where nothing is slow.

    Attributes
    ----------
    images_per_second
        Reading, network and writing together.
    start_s, part_s
        Before its first part, and before the first image of every part.
    merge_bytes_per_second, check_bytes_per_second
        Bytes of embeddings that are merged into a store; and bytes that are digested, of files when a part is opened,
        and of embeddings where it goes on.
    """

    images_per_second: float
    start_s: float = 0.0
    part_s: float = 0.0
    merge_bytes_per_second: float = 1e30
    check_bytes_per_second: float = 1e30


@dataclass(frozen=True)
class Cluster:
    """What the workers run on.

    Attributes
    ----------
    arrivals
        When each worker begins, in seconds.
    bandwidth
        Of the file system, in bytes a second, of all workers together.
    slow
        (from, to, share): the file system gives a share of its bandwidth for a while.
    kills
        (moment, worker).
    back_s, stale_s
        Until a killed worker begins again, and until others may take the part it held.
    """

    arrivals: tuple[float, ...]
    bandwidth: float = NEVER
    slow: tuple[tuple[float, float, float], ...] = ()
    kills: tuple[tuple[float, int], ...] = ()
    back_s: float = NEVER
    stale_s: float = 0.0


SPENT = ("starting", "opening", "computing", "file system", "merging", "lost", "waiting")


@dataclass
class Outcome:
    """What came of it.

    Attributes
    ----------
    seconds
        From the first moment to the last store.
    spent
        Worker seconds by what they went for; their sum is what is paid.
    images_lost, kills
        Images that were embedded again, and workers that were killed while they worked.
    read_bytes, written_bytes
        Through the file system.
    """

    seconds: float = 0.0
    spent: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SPENT, 0.0))
    images_lost: float = 0.0
    kills: int = 0
    read_bytes: float = 0.0
    written_bytes: float = 0.0

    @property
    def worker_seconds(self) -> float:
        """All that is paid."""
        return sum(self.spent.values())

    @property
    def efficiency(self) -> float:
        """Share of it in which images were embedded that did not have to be embedded again."""
        return self.spent["computing"] / self.worker_seconds

    @property
    def bound_by(self) -> str:
        """What most of the time went for."""
        return max(self.spent, key=lambda name: self.spent[name])


def simulate(work: Work, pace: Pace, cluster: Cluster) -> Outcome:
    """Let the workers of a cluster do the work.

    Raises
    ------
    ValueError
        All of them were killed, and none comes back.
    """
    return _Run(work, pace, cluster).run()


def fair_shares(demands: np.ndarray, bandwidth: float) -> np.ndarray:
    """Return what each of some demands is given: all of it, or an equal share of what the smaller ones leave."""
    if not len(demands) or demands.sum() <= bandwidth:
        return demands
    order = np.sort(demands)
    before = np.cumsum(order) - order
    level = (bandwidth - before) / np.arange(len(order), 0, -1)  # where all smaller ones have what they ask for
    return np.minimum(demands, level[np.flatnonzero(order > level)[0]])


class _Run:
    """The state of everything, moved from one event to the next."""

    def __init__(self, work: Work, pace: Pace, cluster: Cluster) -> None:
        self.work, self.pace, self.cluster = work, pace, cluster
        workers, parts = len(cluster.arrivals), len(work.parts)
        self.stage = np.full(workers, AWAY)
        self.left = np.zeros(workers)  # of the stage, in seconds at full speed
        self.part = np.full(workers, -1)
        self.durable = np.zeros(parts)  # images
        self.digested = np.zeros(parts, bool)  # its files, which is remembered
        self.free = list(range(parts))  # a heap: the first that nobody holds is taken next
        self.done = 0
        self.now, self.bandwidth, self.out = 0.0, cluster.bandwidth, Outcome()
        self.events: list[tuple[float, int, str, float]] = []
        self.count = itertools.count()
        for worker, moment in enumerate(cluster.arrivals):
            self.plan(moment, "begin", worker)
        for moment, worker in cluster.kills:
            self.plan(moment, "kill", worker)
        for start, end, share in cluster.slow:
            self.plan(start, "bandwidth", cluster.bandwidth * share)
            self.plan(end, "bandwidth", cluster.bandwidth)

    def plan(self, moment: float, what: str, which: float) -> None:
        if moment < NEVER:
            heapq.heappush(self.events, (moment, next(self.count), what, which))

    def run(self) -> Outcome:
        while self.done < len(self.work.parts):
            speed = self.speeds()
            moving = np.flatnonzero(speed > 0)
            ends = self.left[moving] / speed[moving]
            soonest = float(ends.min()) if len(moving) else NEVER
            event = self.events[0][0] - self.now if self.events else NEVER
            step = min(soonest, event)
            if step == NEVER:
                raise ValueError(f"no worker is left for {len(self.work.parts) - self.done} parts")
            self.spend(step, speed)
            self.now += step
            self.left[moving] -= step * speed[moving]
            if event <= soonest:
                self.happen()
            else:
                for worker in moving[ends <= soonest]:
                    self.advance(int(worker))
        self.out.seconds = self.now
        return self.out

    def demands(self) -> np.ndarray:
        """Return the bytes a second that each worker moves at full speed."""
        work, pace = self.work, self.pace
        table = np.zeros(7)
        table[CHECKING] = pace.check_bytes_per_second
        table[EMBEDDING] = pace.images_per_second * (work.image_bytes + work.row_bytes)
        table[MERGING] = MOVES_OF_A_MERGE * pace.merge_bytes_per_second
        return table[self.stage]

    def speeds(self) -> np.ndarray:
        """Return the share of its full speed that each worker has now; 0 where it has nothing to do."""
        demands = self.demands()
        given = fair_shares(demands, self.bandwidth)
        speed = np.divide(given, demands, out=np.ones(len(demands)), where=demands > 0)
        speed[(self.stage == AWAY) | (self.stage == WAITING)] = 0.0
        return speed

    def spend(self, step: float, speed: np.ndarray) -> None:
        """Count the time of every worker by what it goes for."""
        spent, busy = self.out.spent, step * speed
        for name, stages in (("starting", [STARTING]), ("opening", [OPENING, CHECKING]), ("computing", [EMBEDDING]),
                             ("merging", [MERGING])):  # fmt: skip
            here = np.isin(self.stage, stages)
            spent[name] += float(busy[here].sum())
            spent["file system"] += float((step - busy[here]).sum())
        spent["waiting"] += step * int((self.stage == WAITING).sum())

    def happen(self) -> None:
        """Let the next event happen."""
        _, _, what, which = heapq.heappop(self.events)
        if what == "bandwidth":
            self.bandwidth = which
        elif what == "begin":
            self.enter(int(which), STARTING, self.pace.start_s)
        elif what == "kill" and self.stage[int(which)] != AWAY:
            self.kill(int(which))
        elif what == "free":
            heapq.heappush(self.free, int(which))
            self.employ()

    def enter(self, worker: int, stage: int, seconds: float) -> None:
        self.stage[worker], self.left[worker] = stage, seconds

    def advance(self, worker: int) -> None:
        """Begin what comes after a stage."""
        part, work, pace = int(self.part[worker]), self.work, self.pace
        match int(self.stage[worker]):
            case stage if stage == STARTING:
                self.take(worker)
            case stage if stage == OPENING:
                checked = self.durable[part] * work.row_bytes
                checked += 0.0 if self.digested[part] else work.parts[part] * work.opened_bytes
                self.out.read_bytes += checked
                self.enter(worker, CHECKING, checked / pace.check_bytes_per_second)
            case stage if stage == CHECKING:
                self.digested[part] = True
                self.enter(worker, EMBEDDING, (work.parts[part] - self.durable[part]) / pace.images_per_second)
            case stage if stage == EMBEDDING:
                self.embedded(work.parts[part] - self.durable[part])
                self.durable[part] = work.parts[part]
                self.enter(worker, MERGING, work.parts[part] * work.row_bytes / pace.merge_bytes_per_second)
            case _:
                self.merged(work.parts[part] * work.row_bytes)
                self.done += 1
                self.take(worker)

    def embedded(self, images: float) -> None:
        self.out.read_bytes += images * self.work.image_bytes
        self.out.written_bytes += images * self.work.row_bytes

    def merged(self, whole: float) -> None:
        self.out.read_bytes += (MOVES_OF_A_MERGE - 1) * whole
        self.out.written_bytes += whole

    def take(self, worker: int) -> None:
        """Give a worker the next part; one for whom there is none waits, as whoever holds one may die."""
        if not self.free:
            self.part[worker] = -1
            self.enter(worker, WAITING, NEVER)
            return
        self.part[worker] = heapq.heappop(self.free)
        self.enter(worker, OPENING, self.pace.part_s)

    def employ(self) -> None:
        for worker in np.flatnonzero(self.stage == WAITING):
            if self.free:
                self.take(int(worker))

    def kill(self, worker: int) -> None:
        """Lose a worker, and what of its part is not durable."""
        part, stage, spent = int(self.part[worker]), int(self.stage[worker]), self.out.spent
        if stage == EMBEDDING:
            made = self.work.parts[part] - self.left[worker] * self.pace.images_per_second - self.durable[part]
            kept = made // self.work.chunk * self.work.chunk
            self.durable[part] += kept
            self.embedded(made)
            self.out.images_lost += made - kept
            self.lose("computing", (made - kept) / self.pace.images_per_second)
        if stage == MERGING:
            whole = self.work.parts[part] * self.work.row_bytes / self.pace.merge_bytes_per_second
            self.lose("merging", whole - self.left[worker])
        if part >= 0 and stage not in (STARTING, WAITING):
            self.plan(self.now + self.cluster.stale_s, "free", part)
        self.part[worker], self.out.kills = -1, self.out.kills + 1
        self.enter(worker, AWAY, 0.0)
        self.plan(self.now + self.cluster.back_s, "begin", worker)
        assert min(spent.values()) > -1e-6

    def lose(self, name: str, seconds: float) -> None:
        self.out.spent[name] -= seconds
        self.out.spent["lost"] += seconds


def _gaps(seed: int, mean: float) -> Iterator[float]:
    """Draw gaps between events that come by chance, for ever the same ones of a seed."""
    rng = np.random.default_rng(seed)
    while True:
        yield -mean * math.log1p(-rng.random())


def _moments(seed: int, mean: float, until: float) -> list[float]:
    return list(itertools.takewhile(lambda moment: moment < until, itertools.accumulate(_gaps(seed, mean))))


def arrivals(seed: int, workers: int, mean_gap_s: float) -> tuple[float, ...]:
    """Draw when a queue lets each worker begin: the first at once, the others one after another."""
    gaps = itertools.islice(_gaps(seed, mean_gap_s), workers - 1)
    return tuple(itertools.accumulate(gaps, initial=0.0))


def kills(seed: int, workers: int, mean_hours: float, until_s: float) -> tuple[tuple[float, int], ...]:
    """Draw when each worker is killed, once in so many hours."""
    found = [
        (moment, worker)
        for worker in range(workers)
        for moment in _moments(1000 * (seed + 1) + worker, 3600 * mean_hours, until_s)
    ]
    return tuple(sorted(found))


def slow_spells(
    seed: int, *, every_s: float, last_s: float, share: float, until_s: float
) -> tuple[tuple[float, float, float], ...]:
    """Draw when the file system is slow, for how long, and which share of its bandwidth it then gives."""
    starts = [moment + number * last_s for number, moment in enumerate(_moments(seed, every_s, until_s))]
    return tuple((start, start + last_s, share) for start in starts)
