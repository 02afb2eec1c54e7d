"""What `medfeat probe` does when it is asked for a curve, a fusion or a transfer: one library function each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from medfeat_cli import output
from medfeat_cli.progress import for_terminal


def few_shot(asked: dict[str, Any], *, shots: str, draws: int, figure: Path | None, json: bool) -> None:
    """Show how the score grows with the number of labels."""
    from medfeat.workflows.few_shot import few_shot as run

    report = run(**asked, shots=shots, draws=draws, figure=figure, progress=for_terminal())
    _show(report, json=json)
    if report.figure is not None:
        output.note(f"wrote {report.figure}")
    _stop(report.failed)


def fuse(asked: dict[str, Any], *, ways: str, json: bool) -> None:
    """Show each backbone alone, and several together."""
    from medfeat.workflows.fusion import fuse as run

    _show(run(**asked, ways=ways, progress=for_terminal()), json=json)


def transfer(asked: dict[str, Any], *, onto: str, json: bool, **there: Any) -> None:
    """Show how a head does on another dataset."""
    from medfeat.workflows.transfer import transfer as run

    wanted = {key: value for key, value in asked.items() if key not in ("name", "partial")}
    report = run(**wanted, onto=onto, **there, progress=for_terminal())
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
