"""Runs as a table of pandas: what was asked and what came of it, with types that sort."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from medfeat.errors import MissingExtraError
from medfeat.evaluation.runs import wording
from medfeat.evaluation.runs.run import Run


def runs_frame(runs: Sequence[Run]) -> Any:
    """Return a row a run: text as text, scores and sizes as numbers, the time as a time.

    Parameters
    ----------
    runs
        In the order of the rows.

    Returns
    -------
    pandas.DataFrame
        Its index is the beginning of each run's key. ``val_NAME`` and ``test_NAME`` are the scores by the names that
        JSON has (``auc``, ``acc``, ``r2`` ...), ``test_NAME_low`` and ``test_NAME_high`` the ends of the interval; NaN
        where a run has no such score.

    Raises
    ------
    MissingExtraError
        pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise MissingExtraError(f"frame() needs the package pandas ({error}): pip install pandas") from error
    index = pandas.Index([run.key[:12] for run in runs], name="run")
    frame: Any = pandas.DataFrame([_facts(run) | _scores(run) for run in runs], index=index)
    if len(frame):
        frame["created"] = pandas.to_datetime(frame["created"], utc=True)
    return frame


def _facts(run: Run) -> dict[str, Any]:
    return {
        "data": run.shown,
        "size": run.size,
        "backbone": run.backbone,
        "weights": run.weights,
        "embedding": str(run.store.get("embedding") or ""),
        "task": str(run.task["name"]),
        "task_type": str(run.task["type"]),
        "head": run.head,
        "settings": wording.chosen(run.choice["settings"]),
        "seed": int(run.protocol["seed"]),
        "created": run.created_utc,
        "folder": "" if run.folder is None else str(run.folder),
    }


def _scores(run: Run) -> dict[str, float]:
    found = {f"val_{name}": one.value for name, one in run.val.values.items()}
    for name, one in run.test.values.items():
        found |= {f"test_{name}": one.value, f"test_{name}_low": one.low, f"test_{name}_high": one.high}
    return found
