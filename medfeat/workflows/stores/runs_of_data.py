"""Runs by the names that a person gives to their images: ``name@2`` is a version, and each run says its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from medfeat.errors import UsageError, unknown_name
from medfeat.evaluation.runs.run import Run
from medfeat.workflows.stores.store_names import meant, versions_of
from medfeat_cache import Catalogue
from medfeat_cache.commands import command, elsewhere


def of_data(runs: Sequence[Run], data: str | Sequence[str] | None, root: Path) -> list[Run]:
    """Keep the runs on the datasets, of the versions, that are named; each says its version where it has several.

    Raises
    ------
    UsageError
        A dataset of several that has no run.
    """
    cache = Catalogue(root)
    named = meant(cache, data)
    if named is not None:
        of_each = [[run for run in runs if _is_of(cache, run, one.name, one.number)] for one in named]
        if any(of_each) and not all(of_each):  # of none at all the callers say more
            wrong = next(one.name for one, mine in zip(named, of_each, strict=True) if not mine)
            error = unknown_name("dataset of a run", wrong, {run.dataset for run in runs})
            raise UsageError(f"{error}; {command('probe', cache_dir=elsewhere(root))} makes runs")
        runs = [run for run in runs if any(run in mine for mine in of_each)]
    own = {run.dataset: versions_of(cache, run.dataset) for run in runs if run.task.get("images")}
    return [replace(run, data=own[run.dataset].name(run.task["images"])) if run.dataset in own else run for run in runs]


def _is_of(cache: Catalogue, run: Run, name: str, number: int | None) -> bool:
    if run.dataset != name:
        return False
    return number is None or run.task.get("images") in versions_of(cache, name).numbered(number).keys
