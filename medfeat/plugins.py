"""What other packages bring: the entry points of one group, found without importing any of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from medfeat.errors import PluginError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


PREFIX = "medfeat."


@dataclass(frozen=True, eq=False)  # two environments may hold packages of one name and version
class Plugin:
    """An entry point and the package it belongs to.

    Attributes
    ----------
    name
        By which people ask for it.
    package
        Name and version of the package that brings it.
    point
        Where it is, not imported yet.
    """

    name: str
    package: str
    point: EntryPoint

    def load(self) -> object:
        """Import what the entry point names.

        Raises
        ------
        PluginError
            When it cannot be imported, for whatever reason.
        """
        try:
            found: object = self.point.load()
        except (Exception, SystemExit) as error:  # the code of others fails in any way
            raise self.problem(error) from error
        return found

    def problem(self, error: BaseException | str) -> PluginError:
        """Build the one line that says what is wrong with it and whose it is."""
        reason = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
        where = f"{self.point.group} {self.name!r} of the package {self.package} ({self.point.value})"
        return PluginError(f"{where} cannot be used: {' '.join(reason.split())}; update or uninstall {self.package}")


def plugins(group: str) -> Mapping[str, tuple[Plugin, ...]]:
    """Return the entry points of a group by name; several packages may claim one name.

    Parameters
    ----------
    group
        ``medfeat.heads``, ``medfeat.backbones`` or ``medfeat.datasets``.
    """
    return _scanned(tuple(sys.path)).get(group, {})


@lru_cache(maxsize=4)
def _scanned(path: tuple[str, ...]) -> dict[str, dict[str, tuple[Plugin, ...]]]:
    """Look once at every package on a path."""
    from importlib.metadata import distributions  # reading it costs more than most commands that need no plugin

    found: dict[str, dict[str, tuple[Plugin, ...]]] = {}
    seen: set[str] = set()
    for package in distributions(path=list(path)):
        try:
            text = package.read_text("entry_points.txt") or ""
            if PREFIX not in text:  # the names of packages are slower to read, and of most nobody has to know
                continue
            name, points = package.name, [one for one in package.entry_points if one.group.startswith(PREFIX)]
            first = next(iter(distributions(name=name, path=list(path))))
            if name.lower() in seen or first.read_text("entry_points.txt") != text:
                continue  # the first of a name on the path is the one that is imported
            label = " ".join(filter(None, (name, package.version)))
        except Exception:  # metadata that cannot be read says nothing of medfeat
            continue
        seen.add(name.lower())
        for point in points:
            named = found.setdefault(point.group, {})
            named[point.name] = (*named.get(point.name, ()), Plugin(point.name, label, point))
    return found
