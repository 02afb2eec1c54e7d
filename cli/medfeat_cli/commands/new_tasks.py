"""What `medfeat probe` does when it is asked for another question than a plain probe: one library function each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from medfeat_cli import output
from medfeat_cli.progress import for_terminal

if TYPE_CHECKING:
    from medfeat.extraction.ask.made_from import RemakeOptions
    from medfeat.workflows.cross_validate import Parts
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
    """Show each backbone alone, and several together."""
    from medfeat.evaluation.measures.bootstrap import RESAMPLES
    from medfeat.workflows.fusion import fuse_of

    often = RESAMPLES if resamples is None else resamples
    _show(fuse_of(asked, ways=ways, resamples=often, progress=for_terminal()), json=json)


def corrupt(
    asked: ProbeRequest, remake: RemakeOptions, *, figure: Path | None, resamples: int | None, json: bool
) -> None:
    """Show how heads do on worse copies of their test images."""
    from medfeat.evaluation.measures.bootstrap import RESAMPLES
    from medfeat.workflows.robustness import robustness_of

    often = RESAMPLES if resamples is None else resamples
    report = robustness_of(asked, remake, resamples=often, figure=figure, progress=for_terminal())
    _show(report, json=json)
    if report.figure is not None:
        output.note(f"wrote {report.figure}")
    _stop(report.failed)


def leave_out(
    asked: ProbeRequest,
    parts: Parts,
    *,
    choose: str | None,
    class_weight: str | None,
    resamples: int | None,
    json: bool,
) -> None:
    """Leave every sample out once."""
    from medfeat.evaluation.judging.rotation import RotationOptions
    from medfeat.evaluation.measures.bootstrap import RESAMPLES
    from medfeat.workflows.cross_validate import cross_validate_of

    often = RESAMPLES if resamples is None else resamples
    options = RotationOptions("", asked.seed, choose or "val", class_weight or "none", often)
    report = cross_validate_of(asked, options, parts, progress=for_terminal())
    _show(report, json=json)
    _stop(report.failed)


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
