"""What `medfeat probe` does when it is asked for another question than a plain probe: one library function each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from medfeat_cli import output
from medfeat_cli.progress import for_terminal

if TYPE_CHECKING:
    from medfeat.workflows.jobs.store_jobs import ProbeRequest


def few_shot(
    asked: ProbeRequest, *, shots: str, draws: int, figure: Path | None, resamples: int | None, wide: bool, json: bool
) -> None:
    """Show how the score grows with the number of labels."""
    from medfeat.workflows.few_shot import RESAMPLES, few_shot_of

    often = RESAMPLES if resamples is None else resamples
    report = few_shot_of(asked, shots=shots, draws=draws, resamples=often, figure=figure, progress=for_terminal())
    _show(report, wide=wide, json=json)
    if report.figure is not None:
        output.note(f"wrote {report.figure}")
    _stop(report.failed)


def fuse(asked: ProbeRequest, *, ways: str, resamples: int | None, wide: bool, json: bool) -> None:
    """Show each store alone, and several together."""
    from medfeat.evaluation.measures.bootstrap import RESAMPLES
    from medfeat.workflows.fusion import fuse_of

    often = RESAMPLES if resamples is None else resamples
    _show(fuse_of(asked, ways=ways, resamples=often, progress=for_terminal()), wide=wide, json=json)


def corrupt(
    asked: ProbeRequest,
    embedding: tuple[Path | None, str | None, str, bool, bool],
    *,
    figure: Path | None,
    resamples: int | None,
    wide: bool,
    json: bool,
) -> None:
    """Show how heads do on worse copies of their test images, embedded from a data root, by weights, on a device."""
    from medfeat.evaluation.measures.bootstrap import RESAMPLES
    from medfeat.extraction.ask.made_from import RemakeOptions
    from medfeat.workflows.robustness import robustness_of

    often = RESAMPLES if resamples is None else resamples
    data_root, weights, device, offline, trusted = embedding
    remake = RemakeOptions(
        data_root=data_root, weights=weights, device=device, offline=offline, trust_remote_code=trusted
    )
    report = robustness_of(asked, remake, resamples=often, figure=figure, progress=for_terminal())
    _show(report, wide=wide, json=json)
    if report.figure is not None:
        output.note(f"wrote {report.figure}")
    _stop(report.failed)


def leave_out(
    asked: ProbeRequest,
    parts: tuple[int | None, str | None, Path | None],
    how: dict[str, str],
    *,
    resamples: int | None,
    wide: bool,
    json: bool,
) -> None:
    """Leave every sample out once, by `parts`."""
    from medfeat.evaluation.judging.rotation import RotationOptions
    from medfeat.evaluation.measures.bootstrap import RESAMPLES
    from medfeat.workflows.cross_validate import Parts, cross_validate_of

    often = RESAMPLES if resamples is None else resamples
    options = RotationOptions(seed=asked.seed, resamples=often, **how)
    report = cross_validate_of(asked, options, Parts(*parts), progress=for_terminal())
    _show(report, wide=wide, json=json)
    _stop(report.failed)


def transfer(
    asked: ProbeRequest, data: str, there: dict[str, Any], *, resamples: int | None, wide: bool, json: bool
) -> None:
    """Show how a head does on another dataset, of which `there` says what is meant."""
    from medfeat.evaluation.measures.bootstrap import RESAMPLES
    from medfeat.workflows.transfer import Elsewhere, transfer_of

    often = RESAMPLES if resamples is None else resamples
    report = transfer_of(asked, Elsewhere(data, **there), resamples=often, progress=for_terminal())
    _show(report, wide=wide, json=json)
    _stop(report.failed)


def _show(report: Any, *, wide: bool, json: bool) -> None:
    if json:
        output.as_json(report.to_dict())
    else:
        output.tables(report.tables(), wide=wide)


def _stop(failed: Any) -> None:
    output.errors([failure.line() for failure in failed])
    raise typer.Exit(int(bool(failed)))
