"""How sure may a temperature be of few samples? Real embeddings, split anew: log loss on held-out images.

Usage: ``python tools/simulate_temperature.py STORE... [--draws 12] [--head linear]``. Half of the samples train, a
val of several sizes chooses and calibrates, and the rest is held out. It prints the mean log loss there without a
temperature, with the likeliest one, and with the likeliest a posteriori under several spreads of its logarithm.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from medfeat.evaluation.judging.cross_validation import choose_by
from medfeat.evaluation.measures import calibration
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.measures.statistics import statistics, value
from medfeat.heads import HEADS
from medfeat.tasks import gather, official
from medfeat_cache import FeatureStore

SIZES = (13, 25, 50, 100, 200)
SPREADS = (1e6, 1.0, 0.5, 0.35, 0.25)


def losses(store: FeatureStore, head: str, size: int, seed: int) -> list[float]:
    """Return the log loss on held-out samples: without a temperature, then for each spread."""
    task = official(store)
    order = np.random.default_rng(seed).permutation(len(task.ids))
    train = len(order) // 2
    split = np.full(len(order), "test", dtype="<U5")
    split[order[:train]], split[order[train : train + size]] = "train", "val"
    one = replace(task, split=split)
    samples = gather(store, one)
    choice = choose_by("val", samples, HEADS[head](), seed=seed)
    val = LabelledScores.of(samples.val.y, choice.val_scores, task.task_type)
    held = LabelledScores.of(one.labels[split == "test"], choice.model.scores(samples.X("test")), task.task_type)
    found = [value(statistics(held)["log_loss"], len(held))]
    for spread in SPREADS:
        calibration._LOG_SPREAD = spread
        scaled = calibration.scale(held.scores, calibration.fit_temperature(val), task.task_type)
        found.append(value(statistics(replace(held, scores=scaled))["log_loss"], len(held)))
    return found


def main() -> None:
    """Print a table of sizes of val."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", nargs="+")
    parser.add_argument("--draws", type=int, default=12)
    parser.add_argument("--head", default="linear")
    asked = parser.parse_args()
    print(f"| dataset | head | val | none | likeliest | {' | '.join(f'spread {s:g}' for s in SPREADS[1:])} |")
    print("|---|---|---:|" + "---:|" * (len(SPREADS) + 1))
    for path in asked.stores:
        with FeatureStore(path) as store:
            for size in SIZES:
                found = np.mean([losses(store, asked.head, size, seed) for seed in range(asked.draws)], axis=0)
                cells = " | ".join(f"{one:.3f}" for one in found)
                print(f"| {store.recipe['dataset']} | {asked.head} | {size} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
