"""SciPy is loaded only where it fits, if a limit says how much memory there may be (`ulimit -v`, a queue's).

The OpenBLAS that it brings asks for memory while it is loaded, and where it gets none asks again, for ever.
"""

from __future__ import annotations

import importlib.abc
import mmap
import sys
from contextlib import closing
from types import ModuleType

try:
    import resource
except ImportError:  # Windows knows no such limits
    resource = None  # type: ignore[assignment]

SCIPY_BYTES = 192 << 20
"""Address space that loading takes at most, with its threads: 77 MiB with one and 117 with two were measured."""


class _RoomForScipy(importlib.abc.MetaPathFinder):
    """Finds nothing, and is asked first."""

    def find_spec(self, name: str, path: object = None, target: ModuleType | None = None) -> None:
        """Refuse SciPy where too little memory is left.

        Raises
        ------
        MemoryError
            As if it had been asked for and not given.
        """
        del path, target
        if name == "scipy":
            try:
                with closing(mmap.mmap(-1, SCIPY_BYTES)):
                    pass
            except OSError as error:
                raise MemoryError from error


def ask_for_room_first() -> None:
    """Have SciPy refused where it does not fit, from now on, if this process is limited at all."""
    if resource is None or "scipy" in sys.modules or any(isinstance(one, _RoomForScipy) for one in sys.meta_path):
        return
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        sys.meta_path.insert(0, _RoomForScipy())
