"""What looking at a store gave: whole, damaged, or with rows that its network gives otherwise today."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from medfeat.workflows.stores.canary import Canary
from medfeat_cache import Report

State = Literal["ok", "suspect", "differs", "damaged"]


@dataclass(frozen=True)
class Verified:
    """What looking at one store gave.

    Attributes
    ----------
    path
        Of the store.
    report
        What its digests say.
    canary
        A sample embedded again; None where none was.
    refused
        Why its recipe gives no row an image, by what is known today; empty where it does, or nobody looked.
    silent
        Why the canary that was asked for could not be embedded; empty where it was, or nobody asked.
    """

    path: Path
    report: Report
    canary: Canary | None = None
    refused: str = ""
    silent: str = ""

    @property
    def state(self) -> State:
        """Say the worst that was found.

        ``damaged``: not the bytes that were written, so repair it or remove it. ``differs``: as written, but the
        canary's rows come out otherwise today, or its layer gives no row an image. ``suspect``: as written, yet no
        network should give it; no failure, since only a person can tell. ``ok``: nothing but notes.
        """
        if self.report.damaged:
            return "damaged"
        if self.refused:
            return "differs"
        if self.canary is not None and not self.canary.agrees:
            return "differs"
        return "ok" if self.report.ok else "suspect"

    @property
    def ok(self) -> bool:
        """Whether there is nothing but notes."""
        return self.state == "ok"

    @property
    def failed(self) -> bool:
        """Whether the store, as it is, should not be used."""
        return self.state in ("damaged", "differs")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        problems = [
            {"group": p.group, "rows": list(p.rows), "what": p.what, "level": p.level} for p in self.report.problems
        ]
        return {
            "path": str(self.path),
            "ok": self.ok,
            "state": self.state,
            "rows": self.report.rows,
            "problems": problems,
            "canary": None if self.canary is None else asdict(self.canary),
            "refused": self.refused,
            "silent": self.silent,
        }


@dataclass(frozen=True)
class Repaired(Verified):
    """What looking at a store gave after it was repaired.

    Attributes
    ----------
    rows
        How many were embedded again.
    exact
        Whether they are, byte for byte, the ones that were first written.
    device
        Where they were embedded; empty when none was.
    """

    rows: int = 0
    exact: bool = True
    device: str = ""
