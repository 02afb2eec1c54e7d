"""What `medfeat probe` does when it is asked for a curve, a fusion or a transfer: one library function each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from medfeat_cli import output
from medfeat_cli.progress import for_terminal

if TYPE_CHECKING:
    from medfeat.workflows.jobs.store_jobs import ProbeRequest
    from medfeat.workflows.transfer import Elsewhere


def few_shot(
    asked: ProbeRequest, *, shots: str, draws: int, figure: Path | None, resamples: int | None, json: bool
) -> None:
    """Show how the score grows with the number of labels."""
    from medfeat.workflows.few_shot import RESAMPLES, few_shot_of

    often = RESAMPLES if resamples is None else resamples
    report = few_shot_of(asked, shots=shots, draws=draws, resamples=often, figure=figure, progress=for_terminal())
    _show(report, json=json)
    if report.figure is not None:
        output.note(f"wrote {report.figure}")
    _stop(report.failed)


def fuse(asked: ProbeRequest, *, ways: str, resamples: int | None, json: bool) -> None:
    """Show each store alone, and several together."""
    from medfeat.evaluation.measures.bootstrap import RESAMPLES
    from medfeat.workflows.fusion import fuse_of

    often = RESAMPLES if resamples is None else resamples
    _show(fuse_of(asked, ways=ways, resamples=often, progress=for_terminal()), json=json)


def transfer(asked: ProbeRequest, there: Elsewhere, *, resamples: int | None, json: bool) -> None:
    """Show how a head does on another dataset."""
    from medfeat.evaluation.measures.bootstrap import RESAMPLES
    from medfeat.workflows.transfer import transfer_of

    often = RESAMPLES if resamples is None else resamples
    report = transfer_of(asked, there, resamples=often, progress=for_terminal())
    _show(report, json=json)
    _stop(report.failed)


def _show(report: Any, *, json: bool) -> None:
    if json:
        output.as_json(report.to_dict())
    else:
        output.tables(report.tables())


def _stop(failed: Any) -> None:
    output.errors([failure.line() for failure in failed])
    raise typer.Exit(int(bool(failed)))
