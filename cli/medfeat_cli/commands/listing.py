"""`medfeat list`: what there is."""

from __future__ import annotations

from typing import Annotated

import typer

from medfeat_cli import options, output


def _kinds(incomplete: str) -> list[str]:
    return [kind for kind in ("datasets", "backbones", "heads", "published") if kind.startswith(incomplete)]


def list_names(
    kind: Annotated[str, typer.Argument(help="datasets, backbones, heads or published.", autocompletion=_kinds)],
    data: options.Data = None,
    wide: options.Wide = False,
    json: options.Json = False,
) -> None:
    """List the datasets, backbones, heads or published results that medfeat knows.

    Example: medfeat list backbones
    """
    from medfeat.workflows.listing import listing

    found = listing(kind, data=data)
    if json:
        output.as_json(found.to_dict())
    else:
        output.tables(found.tables(), wide=wide)
    output.errors(found.problems)
