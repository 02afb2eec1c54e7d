"""Images of files read by a few threads, in order, as many ahead as their bytes allow."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor

from medfeat.datasets.bounds import AHEAD_BYTES
from medfeat.datasets.decoding.room import Reserve
from medfeat.types import BadImage, UInt8Array

_Read = Callable[[int, Reserve], UInt8Array | BadImage]


class DecodedAhead:
    """Iterate over rows and their images in order.

    An image says what it will take before it is decoded, and waits until that fits beside what is there already: what
    other threads decode, what was decoded and not yet taken, and the one that was taken last. The next in order goes
    on alone, however large it is, and says so before others do.

    Parameters
    ----------
    read
        Reads one row.
    rows
        In the order they are wanted.
    threads
        That read at once.
    ahead
        Images at most that are read before they are wanted.
    most_bytes
        That they may take.
    put
        Takes the place of an image in `rows`, from 0, and the image, in the thread that read it; returns the image, or
        a copy that lies where it is wanted.
    """

    def __init__(
        self,
        read: _Read,
        rows: Iterable[int],
        *,
        threads: int,
        ahead: int,
        most_bytes: int = AHEAD_BYTES,
        put: Callable[[int, UInt8Array], UInt8Array] = lambda _place, image: image,
    ) -> None:
        self._read, self._rows, self._put = read, rows, put
        self._threads, self._ahead, self._most = threads, ahead, most_bytes
        self._changed = threading.Condition()
        self._taken: dict[int, int] = {}  # bytes of each place that is being read, or waits
        self._next = 0
        self._lent = 0
        self._stopped = False

    def __iter__(self) -> Iterator[tuple[int, UInt8Array | BadImage]]:
        waiting: deque[tuple[int, Future[UInt8Array | BadImage]]] = deque()
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="medfeat-decode")
        try:
            for place, row in enumerate(self._rows):
                waiting.append((row, pool.submit(self._one, place, row)))
                if len(waiting) >= self._ahead:
                    yield self._first(waiting)
                    self._give_back()
            while waiting:
                yield self._first(waiting)
                self._give_back()
        finally:
            with self._changed:
                self._stopped = True
                self._changed.notify_all()
            pool.shutdown(cancel_futures=True)

    def _one(self, place: int, row: int) -> UInt8Array | BadImage:
        read = self._read(row, lambda count: self._reserve(place, count))
        image = read if isinstance(read, BadImage) else self._put(place, read)
        with self._changed:  # decoding is over, and took more than is left of it
            self._taken[place] = 0 if isinstance(image, BadImage) else image.nbytes
            self._changed.notify_all()
        return image

    def _reserve(self, place: int, count: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._fits(place, count))
            if self._stopped:
                raise CancelledError  # all that wait would be decoded at once, for nobody
            self._taken[place] = count

    def _fits(self, place: int, count: int) -> bool:
        if place == self._next and not self._lent:
            return True  # whoever waits for it takes nothing else before
        if place != self._next and self._next not in self._taken:
            return False  # what the next one takes is not known yet, and it may be much
        return sum(self._taken.values()) + self._lent + count <= self._most

    def _first(self, waiting: deque[tuple[int, Future[UInt8Array | BadImage]]]) -> tuple[int, UInt8Array | BadImage]:
        row, future = waiting.popleft()
        image = future.result()
        with self._changed:
            self._lent = self._taken.pop(self._next, 0)
            self._next += 1
            self._changed.notify_all()
        return row, image

    def _give_back(self) -> None:
        with self._changed:
            self._lent = 0
            self._changed.notify_all()
