"""Does attention over slices beat their mean? Cross-validation over train and val of a store whose slices were kept.

Usage: ``python tools/compare_slices.py STORE [--draws 4] [--out FILE]``. Test is never opened: each of five folds of
train and val stands for it once, and a sixth of the rest, drawn anew, is the val that stops training and chooses. The
same slices are read three ways: their mean by a linear head, the mean of each axis one after the other
(``mean-concat``) by a linear head, and all of them by attention. It prints the mean AUC of each over folds and draws,
and the paired gain over mean-concat with its standard error over draws.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from medfeat.evaluation.judging.protocol import select, val_scores
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.heads import HEADS
from medfeat.tasks import official
from medfeat.tasks.check import subset
from medfeat.tasks.folds import draw_folds
from medfeat.types import SilentProgress, Task
from medfeat_cache import FeatureStore

FOLDS, AXES, INNER = 5, 3, 6


def ways(bags: np.ndarray) -> dict[str, tuple[str, np.ndarray]]:
    """Return for each way to read (n, P, d) slices its head and its features."""
    n, slices, dim = bags.shape
    planes = bags.reshape(n, AXES, slices // AXES, dim).mean(axis=2)
    return {
        "mean, linear": ("linear", bags.mean(axis=1)),
        "mean-concat, linear": ("linear", planes.reshape(n, -1)),
        "attention": ("attention", bags),
    }


def one_draw(task: Task, read: dict[str, tuple[str, np.ndarray]], draw: int) -> dict[str, list[float]]:
    """Return the AUC of each way on each fold."""
    fold = draw_folds(task.labels, task.ids, task.group, folds=FOLDS, seed=draw)
    found: dict[str, list[float]] = {name: [] for name in read}
    for number in range(FOLDS):
        rest = np.flatnonzero(fold != number)
        inner = draw_folds(task.labels[rest], task.ids[rest], None, folds=INNER, seed=100 * draw + number)
        train, val, out = rest[inner > 0], rest[inner == 0], np.flatnonzero(fold == number)
        for name, (head, X) in read.items():
            parts = ((X[some], task.labels[some]) for some in (train, val))
            offered = HEADS[head]().candidates(
                *parts, task.task_type, len(task.classes), seed=draw, progress=SilentProgress()
            )
            model = select(offered, X[val], task.labels[val], task.task_type).model
            scored = LabelledScores.of(task.labels[out], model.scores(X[out]), task.task_type)
            found[name].append(val_scores(scored)[0])
    return found


def main() -> None:
    """Print a line for each way, and write them as JSON where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with FeatureStore(asked.store) as store:
        whole, recipe, shape = official(store), store.recipe, store.shape
        task = subset(whole, whole.split != "test")
        read = ways(store.take(task.ids).astype(np.float32))
    drawn = [one_draw(task, read, draw) for draw in range(asked.draws)]
    means = {name: np.array([np.mean(one[name]) for one in drawn]) for name in read}
    facts = {"dataset": recipe["dataset"], "backbone": recipe["backbone"], "slices": recipe["slices"], "shape": shape}
    result = {**facts, "samples": len(task.ids), "draws": asked.draws, "folds": FOLDS, "ways": {}}
    for name, auc in means.items():
        gain = auc - means["mean-concat, linear"]
        error = float(gain.std(ddof=1) / len(gain) ** 0.5) if len(gain) > 1 else None
        result["ways"][name] = {
            "auc": round(float(auc.mean()), 4),
            "gain": round(float(gain.mean()), 4),
            "error": None if error is None else round(error, 4),
        }
        print(f"{name}: AUC {auc.mean():.4f}, gain {gain.mean():+.4f} ± {error or 0:.4f}", flush=True)
    if asked.out is not None:
        asked.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
