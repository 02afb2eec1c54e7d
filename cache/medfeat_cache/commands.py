"""Commands in messages: every one is spelled here, so that what is printed can be pasted, and a test can run it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

Value = str | int | float | bool | os.PathLike[str] | Sequence[str] | None


def command(*words: str | os.PathLike[str], **options: Value) -> str:
    """Return a command of medfeat as a message prints it, in backticks.

    Parameters
    ----------
    *words
        The command and what stands behind it; quoted as a shell needs it.
    **options
        Without their dashes, ``cache_dir`` for ``--cache-dir``. None and False leave an option out, True is a switch,
        several values are a comma list.

    Examples
    --------
    >>> command("probe", data="my scans", head=("linear", "knn"), json=True, size=None)
    "`medfeat probe --data 'my scans' --head linear,knn --json`"
    """
    return f"`{command_line(*words, **options)}`"


def command_line(*words: str | os.PathLike[str], **options: Value) -> str:
    """Return what `command` does, without the backticks."""
    spelled = [shlex.quote(os.fspath(word)) for word in words]
    for name, value in options.items():
        if value is None or value is False:
            continue
        spelled.append(f"--{name.replace('_', '-')}")
        if value is not True:
            several = isinstance(value, Sequence) and not isinstance(value, str)
            spelled.append(shlex.quote(",".join(map(str, value)) if several else str(value)))  # type: ignore[arg-type]
    return " ".join(("medfeat", *spelled))


def elsewhere(root: Path) -> str | None:
    """Return what `--cache-dir` must say for a command to look where this one did; None for the usual place."""
    from medfeat_cache.root import resolve_root

    try:
        usual = resolve_root(None)
    except Exception:  # no home folder is known: then every place has to be said
        return str(root)
    return None if usual == root else str(root)
