"""One file a command; each is registered here, in the order the help shows them."""

from __future__ import annotations

import typer

from medfeat_cli.commands import (
    audit,
    cache,
    compare,
    demo,
    doctor,
    explore,
    export,
    extract,
    finetune,
    listing,
    predict,
    probe,
    report,
    runs,
    search,
    study,
)


def register(app: typer.Typer) -> None:
    """Add every command to the application."""
    app.command("extract")(extract.extract)
    app.command("probe")(probe.probe)
    app.command("finetune")(finetune.finetune)
    app.command("study")(study.study)
    app.command("predict")(predict.predict)
    app.command("export")(export.export)
    app.command("search")(search.search)
    app.command("audit")(audit.audit)
    app.command("compare")(compare.compare)
    app.command("explore")(explore.explore)
    app.command("report")(report.report)
    app.command("list")(listing.list_names)
    app.add_typer(cache.app, name="cache")
    app.add_typer(runs.app, name="runs")
    app.command("doctor")(doctor.doctor)
    app.command("demo")(demo.demo)
