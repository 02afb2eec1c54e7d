"""`medfeat demo`: the whole main job on made-up images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medfeat_cli import options, output
from medfeat_cli.progress import for_terminal


def demo(
    out: Annotated[Path, typer.Option("--out", help="Where stores, runs and the picture go.")] = Path("demo"),
    json: options.Json = False,
) -> None:
    """Extract, probe and compare on made-up images in under a minute, without a network.

    Example: medfeat demo
    """
    from medfeat.workflows.demo import demo as run

    report = run(out, progress=for_terminal())
    if json:
        output.as_json(report.to_dict())
        return
    for line in report.lines():
        output.line(line)
