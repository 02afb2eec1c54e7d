"""A name and the thing it stands for: built in, registered by a program, or brought by an installed package."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from medfeat.errors import PluginError, unknown_name
from medfeat.plugins import Plugin, plugins

T = TypeVar("T")


class Registry(Generic[T]):
    """Named entries of one kind, in the order they were added; a name can be given only once.

    Entry points of other packages come after these, by name, and are imported when they are asked for.

    Parameters
    ----------
    kind
        What the entries are, as messages call it (``"backbone"``).
    hint
        What a person who mistyped a name should do, appended to the message.
    group
        Of the entry points that add to it; empty when none do.
    accept
        From a name and what its entry point names to an entry; raises a `TypeError` or `ValueError` that says why not.

    Examples
    --------
    >>> heads = Registry("head")
    >>> @heads.register("linear")
    ... def linear(): return "a linear head"
    >>> heads["linear"]()
    'a linear head'
    """

    def __init__(
        self, kind: str, hint: str = "", *, group: str = "", accept: Callable[[str, object], T] | None = None
    ) -> None:
        self.kind = kind
        self.hint = hint
        self.group = group
        self._accept = accept
        self._entries: dict[str, T] = {}
        self._brought: dict[Plugin, T] = {}

    def add(self, name: str, entry: T) -> None:
        """Add an entry; a name that is taken is refused with a `ValueError`."""
        if name in self._entries:
            raise ValueError(f"{self.kind} {name!r} is already registered")
        self._entries[name] = entry

    def replace(self, name: str, entry: T) -> None:
        """Add an entry in place of the one of that name, if there is one."""
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

    def packages(self) -> dict[str, str]:
        """Return the names that other packages bring, with the packages; one that hides behind another is left out."""
        found = plugins(self.group) if self.group else {}
        return {
            name: " and ".join(plugin.package for plugin in found[name])
            for name in sorted(found)
            if name not in self._entries
        }

    def hidden(self) -> dict[str, str]:
        """Return the names that other packages bring in vain, for they are taken here."""
        found = plugins(self.group) if self.group else {}
        return {name: found[name][0].package for name in sorted(found) if name in self._entries}

    def problems(self) -> dict[str, str]:
        """Import what other packages bring; return the names that cannot be used, each with one line that says why."""
        found = {}
        for name in self.packages():
            try:
                self[name]
            except PluginError as error:
                found[name] = str(error)
        return found

    def __getitem__(self, name: str) -> T:
        if name in self._entries:
            return self._entries[name]
        claims = plugins(self.group).get(name, ()) if self.group else ()
        if not claims:
            raise unknown_name(self.kind, name, self, self.hint)
        if len(claims) > 1:
            raise PluginError(f"{self.kind} {name!r} is brought by {self.packages()[name]}: uninstall one of them")
        return self._loaded(claims[0])

    def _loaded(self, plugin: Plugin) -> T:
        if plugin not in self._brought:
            named = plugin.load()
            try:
                entry = self._accept(plugin.name, named) if self._accept is not None else named
            except (Exception, SystemExit) as error:  # a factory is the code of others too
                raise plugin.problem(error) from error
            self._brought[plugin] = entry  # type: ignore[assignment]  # without `accept` anything is an entry
        return self._brought[plugin]

    def __contains__(self, name: object) -> bool:
        return name in self._entries or (bool(self.group) and name in plugins(self.group))

    def __iter__(self) -> Iterator[str]:
        yield from self._entries
        yield from self.packages()

    def __len__(self) -> int:
        return len(self._entries) + len(self.packages())
