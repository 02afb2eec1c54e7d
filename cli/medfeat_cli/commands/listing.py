"""`medfeat list`: what there is."""

from __future__ import annotations

from typing import Annotated

import typer

from medfeat_cli import options, output
from medfeat_cli.given import refuse_without


def _kinds(incomplete: str) -> list[str]:
    return [kind for kind in ("datasets", "backbones", "heads", "published") if kind.startswith(incomplete)]


def list_names(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(help="datasets, backbones, heads or published.", autocompletion=_kinds)],
    data: Annotated[
        str | None, typer.Option("--data", "-d", help="With published: of which datasets (comma list), or `all`.")
    ] = None,
    wide: options.Wide = False,
    json: options.Json = False,
) -> None:
    """List the datasets, backbones, heads or published results that medfeat knows.

    Example: medfeat list backbones
    """
    from medfeat.workflows.listing import listing

    refuse_without(context, "data", needs="published", there=kind == "published")
    found = listing(kind, data=data)
    if json:
        output.as_json(found.to_dict())
    else:
        output.tables(found.tables(), wide=wide)
    output.errors(found.problems)
