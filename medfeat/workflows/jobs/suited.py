"""Heads that do not suit a store or its task, where all were asked for: left out before any is named, and said once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from medfeat.errors import NoTextsError, OneVectorError, UnsuitedHeadError
from medfeat.evaluation.judging.reading import refuse_one_vector
from medfeat.heads import refuse_repetition, refuse_unsuited, weighted_head
from medfeat.heads.class_weights import NONE
from medfeat.tasks.readable import Probed
from medfeat.types import Progress, Task
from medfeat.workflows.jobs.store_jobs import ProbeRequest, StoreJob
from medfeat.workflows.stores.texts import source_for

_SEVERAL: dict[type[Exception], str] = {
    OneVectorError: "heads that weigh several vectors of a sample, where a store has one",
    NoTextsError: "heads that compare images with texts, where a store is not of --pool projected",
}


def suited(
    asked: ProbeRequest, jobs: Sequence[StoreJob], progress: Progress, *, class_weight: str = NONE
) -> tuple[list[StoreJob], list[Exception]]:
    """Return the jobs whose heads can learn what is asked of their stores, and why the others cannot.

    Parameters
    ----------
    asked
        Where heads were asked for by name, each of them stays: its error is said.
    jobs
        Those of one store beside each other.
    progress
        Is told how labels were read.
    class_weight
        As `medfeat.probe` takes it.
    """
    if not asked.of_all:
        return list(jobs), []
    how: dict[str, Any] = {"asked": asked, "progress": progress, "class_weight": class_weight}
    kept: list[StoreJob] = []
    unsuited: list[Exception] = []
    for _, of_store in groupby(jobs, key=lambda job: job.header.digest):
        mine = list(of_store)
        try:
            with mine[0].opened() as store:
                task = asked.question.of(store, progress)
                refused = [_refusal(job, store, task, **how) for job in mine]
        except Exception:  # what else is wrong is said when its turn comes, beside the others
            refused = [None] * len(mine)
        kept += [job for job, error in zip(mine, refused, strict=True) if error is None]
        unsuited += [error for error in refused if error is not None]
    return kept, unsuited


def only_suited(asked: ProbeRequest, jobs: Sequence[StoreJob], progress: Progress, **how: str) -> list[StoreJob]:
    """Return the jobs that `suited` keeps; of the others it is said what was left out.

    Raises
    ------
    UnsuitedHeadError
        None is left.
    """
    kept, unsuited = suited(asked, jobs, progress, **how)
    if unsuited and not kept:
        raise unsuited[0]
    for line in left_out(unsuited):
        progress.say(line)
    return kept


def left_out(errors: Iterable[Exception]) -> list[str]:
    """Return a line for each head that was left out of all, however many stores it was left out for."""
    said = (_SEVERAL.get(type(one), str(one).removesuffix(": choose another head")) for one in errors)
    return [f"left out: {line}" for line in dict.fromkeys(said)]


def _refusal(
    job: StoreJob, store: Probed, task: Task, *, asked: ProbeRequest, progress: Progress, class_weight: str
) -> Exception | None:
    head = job.head
    try:
        refuse_unsuited(head, task.task_type)
        refuse_repetition(head, task.task_type)
        if not job.bag:  # of a patient there are several
            refuse_one_vector(weighted_head(head, class_weight), store)
        source_for(head, store, task, asked.texts, progress)
    except UnsuitedHeadError as error:
        return error
    except Exception:  # likewise
        return None
    return None
