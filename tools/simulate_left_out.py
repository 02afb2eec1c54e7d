"""How often sets miss the truth, and how good probabilities are, calibrated on val or on all that folds left out.

    python tools/simulate_left_out.py --draws 100

Two Gaussian classes in 16 dimensions, 48 samples of train and 12 of val, and 4,000 of test that are drawn anew each
time; the head is chosen by folds and fitted on train and val. Its figures stand in docs/decisions/0031.
"""

from __future__ import annotations

import argparse
from types import SimpleNamespace
from typing import Any

import numpy as np

from medfeat.evaluation.judging.cross_validation import cross_validate
from medfeat.evaluation.measures.calibration import fit_temperature, scale
from medfeat.evaluation.measures.conformal import calibrate
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.heads import HEADS

SIZES = {"train": 48, "val": 12, "test": 4000}
RATE, KIND = 0.1, "binary-class"


def drawn(seed: int) -> Any:
    """Return samples as a head takes them."""
    rng, centres = np.random.default_rng(seed), np.random.default_rng(9).normal(size=(2, 16))
    parts = {}
    for name, n in SIZES.items():
        y = np.arange(n) % 2
        X = (0.45 * centres[y] + rng.normal(size=(n, 16))).astype(np.float32)
        ids = np.array([f"{name}/{i}" for i in range(n)])
        parts[name] = SimpleNamespace(X=X, y=y[:, None], ids=ids, group=None)
    return SimpleNamespace(**parts, task=SimpleNamespace(task_type=KIND, classes=("a", "b")))


def log_loss(test: LabelledScores, temperature: float) -> float:
    """Return the mean log loss of test at a temperature."""
    p = scale(test.scores, temperature, KIND)[:, -1]
    return float(-np.log(np.clip(np.where(test.labels == 1, p, 1 - p), 1e-12, 1)).mean())


def once(head: str, seed: int) -> list[float]:
    """Return by val and by folds the share that sets miss and the log loss, and the log loss without a temperature."""
    samples = drawn(seed)
    choice = cross_validate(samples, HEADS[head](), seed=0)
    left = choice.left_out
    assert left is not None
    labels = np.concatenate([samples.val.y, left.labels])
    told = [
        LabelledScores.of(samples.val.y, choice.val_scores, KIND),
        LabelledScores.of(labels, np.concatenate([choice.val_scores, left.scores]), KIND),
    ]
    test = LabelledScores.of(samples.test.y, np.asarray(choice.model.scores(samples.test.X)), KIND)
    found = [(1 - calibrate(one, RATE).covers(test).mean(), log_loss(test, fit_temperature(one))) for one in told]
    return [*found[0], *found[1], log_loss(test, 1.0)]


def main() -> None:
    """Print a line a head."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--draws", type=int, default=100)
    draws = asked.parse_args().draws
    for head in ("linear", "knn"):
        found = np.array([once(head, seed) for seed in range(draws)])
        mean, spread = found.mean(axis=0), found.std(axis=0, ddof=1)
        for i, name in ((0, "val"), (2, "folds")):
            print(f"{head}, {name}: misses {mean[i]:.3f} (over draws {spread[i]:.3f}), log loss {mean[i + 1]:.3f}")
        print(f"{head}: log loss without a temperature {mean[4]:.3f}")


if __name__ == "__main__":
    main()
