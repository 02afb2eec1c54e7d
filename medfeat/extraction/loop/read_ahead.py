"""Reading ahead: images are decoded and hashed while the network computes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")

DEPTH = 3
MOST_BYTES = 192 << 20


class ReadAhead(Generic[T]):
    """Iterate over `source` in a thread of its own, a bounded way ahead.

    An error in the source surfaces where the items are consumed; leaving the ``with`` block stops the thread and closes
    the source.

    Parameters
    ----------
    source
        What to iterate over; only the thread touches it.
    depth
        How many items may wait.
    weigh
        Bytes of an item; what waits stays below `most_bytes`. One of more than half of that waits for nobody: it is
        handed over when it is asked for.
    most_bytes
        None is `MOST_BYTES`.
    """

    def __init__(
        self,
        source: Iterable[T],
        depth: int = DEPTH,
        weigh: Callable[[T], int] = lambda _item: 0,
        *,
        most_bytes: int | None = None,
    ) -> None:
        self._source, self._depth, self._weigh = source, depth, weigh
        self._most = MOST_BYTES if most_bytes is None else most_bytes
        self._waiting: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._ended = self._stopped = self._asked = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._fill, name="medfeat-reader", daemon=True)

    def __enter__(self) -> ReadAhead[T]:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                self._asked = True
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting or self._ended)
                self._asked = False
                if not self._waiting:
                    break
                item, weight = self._waiting.popleft()
                self._bytes -= weight
                self._changed.notify_all()
            yield item
        if self._error is not None:
            raise self._error

    def _fill(self) -> None:
        try:
            for item in self._source:
                if not self._put(item):
                    return
        except BaseException as error:
            self._error = error
        finally:
            # Not left to whoever drops the last reference: threads of its own may wait for it to end.
            getattr(self._source, "close", lambda: None)()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _put(self, item: T) -> bool:
        weight = self._weigh(item)
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._has_room(weight))
            if self._stopped:
                return False
            self._waiting.append((item, weight))
            self._bytes += weight
            self._changed.notify_all()
            return True

    def _has_room(self, weight: int) -> bool:
        if not self._waiting:
            return self._asked or weight <= self._most // 2
        return len(self._waiting) < self._depth and self._bytes + weight <= self._most


def in_turn(sources: Mapping[str, Iterable[T]], totals: Mapping[str, int], count: Callable[[T], int]) -> Iterator[T]:
    """Iterate over several sources so that all of them end at the same time.

    Parameters
    ----------
    sources, totals
        What to iterate over, and how much each one has.
    count
        How much of that an item is.

    Yields
    ------
    T
        The next item of the source of which the largest share is left, the first of several: always the same order,
        however fast each one is.
    """
    iterators, left = {name: iter(source) for name, source in sources.items()}, dict(totals)
    while iterators:
        name = max(iterators, key=lambda one: left[one] / totals[one])
        for item in iterators[name]:
            left[name] -= count(item)
            yield item
            break
        else:
            del iterators[name]
