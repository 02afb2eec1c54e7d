"""Reading ahead: images are decoded and hashed while the network computes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class ReadAhead(Generic[T]):
    """Iterate over `source` in a thread of its own, at most `depth` items ahead.

    An error in the source surfaces where the items are consumed; leaving the ``with`` block stops the thread.

    Parameters
    ----------
    source
        What to iterate over; only the thread touches it.
    depth
        How many items may wait; bounds memory.
    """

    _END = object()

    def __init__(self, source: Iterable[T], depth: int = 3) -> None:
        self._source = source
        self._queue: queue.Queue[object] = queue.Queue(maxsize=depth)
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._fill, name="medfeat-reader", daemon=True)

    def __enter__(self) -> ReadAhead[T]:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        while self._thread.is_alive():
            self._drain()
            self._thread.join(timeout=0.05)

    def __iter__(self) -> Iterator[T]:
        while (item := self._queue.get()) is not self._END:
            yield item  # type: ignore[misc]
        if self._error is not None:
            raise self._error

    def _fill(self) -> None:
        try:
            for item in self._source:
                if not self._put(item):
                    return
        except BaseException as error:
            self._error = error
        self._put(self._END)

    def _put(self, item: object) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def _drain(self) -> None:
        while True:
            try:
                self._queue.get_nowait()
            except queue.Empty:
                return
