"""What is said under the table of a probe: what was reused, left out, or is missing beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from medfeat.evaluation.judging.baselines import BASELINE_BACKBONES
from medfeat.evaluation.runs.run import Run
from medfeat.heads import HEADS
from medfeat.tasks.versions import split_name
from medfeat.workflows.asking.given_names import asked_names
from medfeat.workflows.jobs.store_jobs import ProbeRequest
from medfeat.workflows.stores.how_to_extract import can_be_extracted, extract_as
from medfeat.workflows.stores.store_names import other_versions, versions_of
from medfeat_cache import Catalogue, StoreHeader
from medfeat_cache.commands import command, elsewhere


def remarks(
    cache: Catalogue, asked: ProbeRequest, runs: Sequence[Run], stores: Sequence[StoreHeader], reused: int
) -> Iterator[str]:
    """Yield what belongs under the table, whatever the heads."""
    yield from _notes(runs, stores, reused, cache)
    yield from () if asked.store is not None else _left_out(cache, asked)
    yield from _unreadable(cache)
    yield from _broken(asked.head)


def _notes(runs: Sequence[Run], stores: Sequence[StoreHeader], reused: int, cache: Catalogue) -> list[str]:
    notes = [f"{reused} unchanged runs were reused, {len(runs) - reused} were made"] if reused else []
    for dataset, size in dict.fromkeys((run.shown, run.size) for run in runs):
        alike = [run for run in runs if (run.shown, run.size) == (dataset, size)]
        missing = [name for name in BASELINE_BACKBONES if name not in {run.backbone for run in alike}]
        digests = {run.store["digest"] for run in alike}
        one = next((one for one in stores if one.digest in digests and can_be_extracted(one)), None)
        if missing and one is not None and _is_current(dataset, cache):
            how = extract_as(one, missing, root=cache.root)
            notes.append(f"{dataset}: no baseline {' or '.join(missing)} in the cache; get it with {how}")
    return notes


def _is_current(dataset: str, cache: Catalogue) -> bool:
    """Whether the images at the place of a dataset are those of the version that is named."""
    name, number = split_name(dataset)
    return number is None or number == versions_of(cache, name).current


def _left_out(cache: Catalogue, asked: ProbeRequest) -> list[str]:
    others = other_versions(cache, asked.data, backbone=asked_names(asked.backbone), size=asked.size)
    return [f"left out, other versions of the images: {', '.join(others)}; say --data {others[0]}"] if others else []


def _unreadable(cache: Catalogue) -> list[str]:
    problems = cache.find().problems
    how = command("cache", "verify", cache_dir=elsewhere(cache.root))
    more = f" (and {len(problems) - 1} more: {how})" if len(problems) > 1 else ""
    return [f"left out: {problems[0][1]}{more}"] if problems else []


def _broken(head: str | Sequence[str] | None) -> list[str]:
    """Return a line for each head that an installed package brings broken, where all were asked for."""
    return [f"left out: {problem}" for problem in HEADS.problems().values()] if head == "all" else []
