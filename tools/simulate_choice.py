"""When is val too small to choose by? Real embeddings, split anew: val against cross-validation.

Usage: ``python tools/simulate_choice.py STORE... [--draws 20]``. Of each store only train and val are read: a fifth of
them, drawn anew each time, stands for test, and the rest is split into train and a val of several sizes. For each size
it prints the mean score on the fifth of what val chose and of what cross-validation chose, and the difference with its
standard error over draws. Test is never opened.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from medfeat.evaluation.judging.cross_validation import choose_by
from medfeat.evaluation.judging.protocol import refitted, val_scores
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.heads import HEADS
from medfeat.tasks import gather, official
from medfeat.tasks.check import subset
from medfeat_cache import FeatureStore

SIZES = (40, 80, 160, 320)


def draws_of(store: FeatureStore, head: str, size: int, draws: int) -> np.ndarray:
    """Return (draws, 3) AUC on the held-out fifth: val chose, val chose and refitted, cross-validation chose."""
    task = official(store)
    known = subset(task, task.split != "test")
    found = []
    for draw in range(draws):
        order = np.random.default_rng(draw).permutation(len(known.ids))
        held, rest = order[: len(order) // 5], order[len(order) // 5 :]
        if len(rest) < 3 * size:
            return np.empty((0, 3))
        split = np.full(len(order), "train", dtype="<U5")
        split[rest[:size]], split[held] = "val", "test"
        one = replace(known, split=split)
        samples = gather(store, one)
        X, y = samples.X("test"), one.labels[split == "test"]
        chosen = [choose_by(how, samples, HEADS[head](), seed=draw) for how in ("val", "cv")]
        models = [chosen[0].model, refitted(chosen[0], samples).model, chosen[1].model]
        found.append([val_scores(LabelledScores.of(y, model.scores(X), one.task_type))[0] for model in models])
    return np.array(found)


def main() -> None:
    """Print a table of sizes of val."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", nargs="+")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--head", default="linear")
    asked = parser.parse_args()
    print("| dataset | backbone | head | val | val chose | refitted | cv chose | cv - val | cv - refitted |")
    print("|---|---|---|---:|---:|---:|---:|---:|---:|")
    for path in asked.stores:
        with FeatureStore(path) as store:
            for size in SIZES:
                found = draws_of(store, asked.head, size, asked.draws)
                if not len(found):
                    continue
                gaps = [found[:, 2] - found[:, i] for i in (0, 1)]
                means = " | ".join(f"{x:.4f}" for x in found.mean(axis=0))
                more = " | ".join(f"{g.mean():+.4f} ± {g.std(ddof=1) / len(g) ** 0.5:.4f}" for g in gaps)
                recipe = store.recipe
                print(
                    f"| {recipe['dataset']} | {recipe['backbone']} | {asked.head} | {size} | {means} | {more} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
