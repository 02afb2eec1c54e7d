"""How a result shows itself: in a line where Python prints it, as tables where a notebook does."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from medfeat.report.tables import Table

_LONGEST = 60


class Shown:
    """What a command gives back: short in a line, and in a notebook tables, and what failed.

    For frozen dataclasses that are declared with ``repr=False`` and have `tables`.
    """

    def tables(self) -> list[Table]:
        """Return what the command line prints."""
        raise NotImplementedError

    def __repr__(self) -> str:
        facts: Any = self
        parts = (_fact(one.name, getattr(self, one.name)) for one in fields(facts))
        return f"{type(self).__name__}({', '.join(part for part in parts if part)})"

    def _repr_html_(self) -> str:
        from medfeat.report.page.html import joined, table
        from medfeat.report.tables import fitted

        shown = joined(table(fitted(one, None)[0], sortable=False) for one in self.tables())
        failed = [*getattr(self, "failed", ()), *getattr(self, "failures", ())]
        lines = "".join(f"<li>failed: {html.escape(one.line())}</li>" for one in failed)
        return f'<div class="medfeat">{_STYLE}{shown}{f"<ul>{lines}</ul>" if lines else ""}</div>'


# Of a notebook: an interval is not broken, numbers stand below each other, a wide table scrolls. Three times the name
# count for more than the styles of notebooks, which set all cells to the right.
_OURS = ".medfeat.medfeat.medfeat"
_STYLE = (
    f"<style>{_OURS} td, {_OURS} th {{ white-space: nowrap; text-align: left; padding: 0.2em 0.6em; }} "
    f"{_OURS} caption {{ text-align: left; font-weight: bold; white-space: nowrap; }} "
    f"{_OURS} .number {{ text-align: right; }} {_OURS} div {{ overflow-x: auto; }}</style>"
)


def _fact(name: str, value: Any) -> str:
    """Return a field in a few words: how many of many, short things as they are, nothing for what has no short form."""
    if isinstance(value, str | Path):
        text = str(value)
        shown = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
        return f"{name}={shown!r}" if text else ""
    if isinstance(value, bool | int | float):
        return f"{name}={value}"
    if isinstance(value, tuple | list | Mapping | np.ndarray) and len(value):
        return f"{len(value)} {name.removesuffix('s') if len(value) == 1 else name}"
    return ""
