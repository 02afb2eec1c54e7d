"""Names as a person gives them: a comma list, `all`, or a path whose name a dataset goes by."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from medfeat.datasets import dataset_names, own_name
from medfeat.errors import UsageError
from medfeat.types import as_names


def asked_names(names: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the names of a comma list or a sequence, None for all of them.

    Raises
    ------
    UsageError
        A list of nothing, such as an unset variable of a shell leaves behind.
    """
    if names is None or names == "all":
        return None
    found = as_names(names)
    if not found:
        raise UsageError(f"{names!r} names nothing: give names, `all`, or leave the option out")
    return found


def asked_datasets(data: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the names that datasets have in the cache, None for all of them."""
    names = asked_names(data)
    return None if names is None else tuple(map(_dataset_name, names))


def _dataset_name(data: str) -> str:
    """Own images are named by their folder or file, as extraction names them; an official file by its set."""
    path = Path(data).expanduser()
    known = dataset_names()
    if data in known or not ("/" in data or "\\" in data or path.is_file()):
        return data
    name = own_name(path, ())
    official = re.sub(r"_(64|128|224)$", "", name)
    return official if official in known else name
