"""A name and the thing it stands for; nothing cleverer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from medfeat.errors import unknown_name

T = TypeVar("T")


class Registry(Generic[T]):
    """Named entries of one kind, in the order they were added; a name can be given only once.

    Parameters
    ----------
    kind
        What the entries are, as messages call it (``"backbone"``).
    hint
        What a person who mistyped a name should do, appended to the message.

    Examples
    --------
    >>> heads = Registry("head")
    >>> @heads.register("linear")
    ... def linear(): return "a linear head"
    >>> heads["linear"]()
    'a linear head'
    """

    def __init__(self, kind: str, hint: str = "") -> None:
        self.kind = kind
        self.hint = hint
        self._entries: dict[str, T] = {}

    def add(self, name: str, entry: T) -> None:
        """Add an entry; a name that is taken is refused with a `ValueError`."""
        if name in self._entries:
            raise ValueError(f"{self.kind} {name!r} is already registered")
        self._entries[name] = entry

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that adds what it decorates under `name`."""

        def decorator(entry: T) -> T:
            self.add(name, entry)
            return entry

        return decorator

    def remove(self, name: str) -> None:
        """Take an entry out again; tests that register fakes use it."""
        del self._entries[name]

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            raise unknown_name(self.kind, name, self._entries, self.hint)
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
