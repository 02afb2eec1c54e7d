"""Do intervals hold, and do paired tests err as often as they say? Simulated test sets whose truth is known.

Every cell draws test sets from a population and counts how often the 95 % interval holds the population's score, or how
often the paired test says that two equally good models differ. As an ordinary test a few cells are drawn few times;
`make soak` draws every cell 2,000 times, holds it to its bar and writes ``benchmarks/results/coverage.json``;
``python benchmarks/bench_coverage.py`` draws the cells that the file names as not drawn, and adds them; with
``paired`` behind it the paired tests are drawn anew, one after the other.
"""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import pytest
from scipy.stats import norm

from machine import RESULTS, describe
from medfeat.evaluation.compare.paired import judged
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.measures.score_intervals import estimates, score_intervals

WORKERS = int(os.environ.get("MEDFEAT_COVERAGE_WORKERS", "2"))
SETS = int(os.environ.get("MEDFEAT_COVERAGE_SETS", "2000"))
LEAST = {"auc": 0.93, "acc": 0.935, "balanced_accuracy": 0.93}
# What falls short of its bar, as docs/protocol.md says: the rarest class has about eight samples there, and is in doubt
# by more than they show; too few positives are ever mistaken for a paired test to reach its level. One bar holds for
# all: a cell that joins these, or leaves them, fails the test.
SHORT = {
    ("400 images, 5 uneven classes, shift 1", "balanced_accuracy"),
    ("156 images, 16 positive, AUC 0.99", "paired"),
}
MOST_WRONG, LEAST_WRONG = 0.065, 0.035
SKEWED = (0.44, 0.19, 0.20, 0.15, 0.02)


def two_classes(rng, n, *, auc, positives=None, share=0.5, spread=1.0, cut=0.5):
    """Normal scores, the positives' `spread` times as wide; `positives` fixes their number, `share` draws it anew."""
    y = np.arange(n) < positives if positives else rng.random(n) < share
    score = rng.normal(size=n)
    gap = norm.ppf(auc) * np.hypot(1, spread)
    score = np.where(y, gap + spread * score, score)
    p = norm.cdf(score - cut * gap)
    return y[:, None].astype(np.int64), np.column_stack([1 - p, p]), "binary-class", None


def classes(rng, n, *, shift, shares):
    """One normal score a class, the true class's `shift` higher, less so for the first classes than for the last."""
    k = len(shares)
    y = rng.choice(k, n, p=shares)
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), y] += shift * np.linspace(0.7, 1.3, k)[y]
    odds = np.exp(logits)
    return y[:, None], odds / odds.sum(axis=1, keepdims=True), "multi-class", None


def several_labels(rng, n, *, shift, k, share):
    """Labels whose scores move together."""
    y = (rng.random((n, k)) < share).astype(np.int64)
    noise = np.sqrt(0.5) * (rng.normal(size=(n, 1)) + rng.normal(size=(n, k)))
    return y, norm.cdf(noise + shift * y - shift / 2 - 0.5), "multi-label", None


def patients(rng, n, *, shift, share, most):
    """`n` patients of 1 to `most` images each, whose labels mostly and whose scores partly are the patient's."""
    patient = np.repeat(np.arange(n), rng.integers(1, most + 1, n))
    y = (rng.random(n) < share)[patient] ^ (rng.random(len(patient)) < 0.1)
    noise = np.sqrt(0.6) * rng.normal(size=n)[patient] + np.sqrt(0.4) * rng.normal(size=len(patient))
    p = norm.cdf(noise + shift * y - shift / 2)
    return y[:, None].astype(np.int64), np.column_stack([1 - p, p]), "binary-class", patient.astype(str)


TABLE = {  # the cells in which a percentile bootstrap was seen to fail
    f"{n} images, {positives} positive, AUC {auc}": (partial(two_classes, positives=positives, auc=auc), n)
    for n, positives in ((156, 114), (156, 16), (400, 20))
    for auc in (0.7, 0.9, 0.99)
}
WIDER = {
    f"{n} images, {positives} positive, AUC {auc}, spread {spread}": (
        partial(two_classes, positives=positives, auc=auc, spread=spread),
        n,
    )
    for n, positives, auc, spread in (
        (156, 16, 0.9, 2.0), (156, 16, 0.99, 2.0), (400, 20, 0.9, 2.0), (156, 114, 0.9, 0.5), (156, 114, 0.99, 0.5),
        (400, 6, 0.9, 1.0), (400, 6, 0.99, 1.0), (2000, 200, 0.97, 2.0),
    )
}  # fmt: skip
DRAWN = {
    f"{n} images, {share:.0%} positive drawn anew, AUC {auc}, threshold at {cut}": (
        partial(two_classes, share=share, auc=auc, cut=cut), n,
    )
    for n, share, auc, cut in (
        (156, 0.73, 0.7, 0.5), (156, 0.73, 0.9, 0.2), (400, 0.1, 0.9, 0.9), (156, 0.73, 0.99, 0.3)
    )
}  # fmt: skip
OTHERS = {
    "400 images, 5 uneven classes, shift 1": (partial(classes, shift=1.0, shares=SKEWED), 400),
    "400 images, 5 uneven classes, shift 2": (partial(classes, shift=2.0, shares=SKEWED), 400),
    "400 images, 5 uneven classes, shift 3.5": (partial(classes, shift=3.5, shares=SKEWED), 400),
    "600 images, 8 even classes, shift 2.5": (partial(classes, shift=2.5, shares=(0.125,) * 8), 600),
    "400 images, 14 rare labels, shift 1": (partial(several_labels, shift=1.0, k=14, share=0.05), 400),
    "400 images, 5 rare labels, shift 3.3": (partial(several_labels, shift=3.3, k=5, share=0.05), 400),
    "40 patients, shift 1": (partial(patients, shift=1.0, share=0.5, most=10), 40),
    "40 patients, shift 2": (partial(patients, shift=2.0, share=0.5, most=10), 40),
    "40 patients, shift 3.3": (partial(patients, shift=3.3, share=0.5, most=10), 40),
    "100 patients, a tenth ill, shift 2": (partial(patients, shift=2.0, share=0.1, most=6), 100),
    "12 patients, shift 2": (partial(patients, shift=2.0, share=0.5, most=10), 12),
}
METRICS = {**dict.fromkeys(TABLE, ("auc",)), **dict.fromkeys(WIDER, ("auc",))}
METRICS |= {**dict.fromkeys(DRAWN, ("auc", "acc", "balanced_accuracy"))}
METRICS |= {**dict.fromkeys(OTHERS, ("auc", "acc", "balanced_accuracy"))}
CELLS = {**TABLE, **WIDER, **DRAWN, **OTHERS}

# Two models with the same truth, whose noise is half shared.
EQUAL = {
    f"{n} images, {positives} positive, AUC {auc}": (n, positives, auc, "auc")
    for n, positives in ((156, 114), (156, 16), (400, 20))
    for auc in (0.7, 0.9, 0.99)
} | {"156 images, 114 positive, ACC of AUC 0.9": (156, 114, 0.9, "acc")}
APART = (
    ("156 images, 114 positive, AUC 0.99", 0.97),
    ("156 images, 16 positive, AUC 0.9", 0.8),
    ("400 images, 20 positive, AUC 0.99", 0.95),
)


def whole(y):
    """Tell whether each class (or label, and its opposite) occurs twice, without which there is no score to cover."""
    columns = y if y.shape[1] > 1 else y == np.arange(int(y.max()) + 1)
    return (columns.sum(axis=0) > 1).all() and (columns.sum(axis=0) < len(y) - 1).all()


def coverage(name, sets, seed=0):
    """Return metric to (truth, share of sets whose interval holds it, mean width)."""
    make, n = CELLS[name]
    rng = np.random.default_rng([seed, *name.encode()])
    many = make.keywords | (
        {"positives": None, "share": make.keywords["positives"] / n} if "positives" in make.keywords else {}
    )
    y, scores, task_type, _ = make.func(rng, 200_000, **many)
    truth = {metric: found.value for metric, found in estimates(LabelledScores.of(y, scores, task_type)).items()}
    if make.func is two_classes:
        truth["auc"] = make.keywords["auc"]
    held = {metric: [] for metric in METRICS[name]}
    while min(map(len, held.values())) < sets:
        y, scores, task_type, groups = make(rng, n)
        if not whole(y):
            continue
        for metric, found in score_intervals(LabelledScores.of(y, scores, task_type), groups=groups).items():
            if metric in held:
                held[metric].append((found.low <= truth[metric] <= found.high, found.high - found.low))
    return {
        metric: (float(truth[metric]), *(float(x) for x in np.mean(all_of, axis=0))) for metric, all_of in held.items()
    }


def wrong(name, sets, *, second=None, seed=0):
    """Return how often two models are said to differ at 5 %, and how often the gap's interval holds the true gap.

    `second` is the AUC of the second model; None makes both alike.
    """
    n, positives, auc, metric = EQUAL[name]
    rng = np.random.default_rng([seed, *name.encode()])
    y = (np.arange(n) < positives).astype(np.int64)
    aucs = auc, second or auc
    differ = held = 0
    for i in range(sets):
        shared, *own = np.sqrt(0.5) * rng.normal(size=(3, n))
        both = []
        for noise, one in zip(own, aucs, strict=True):
            gap = norm.ppf(one) * np.sqrt(2)
            p = norm.cdf(shared + noise + gap * y - gap / 2)
            both.append(np.column_stack([1 - p, p]))
        found = judged([LabelledScores.of(y, one, "binary-class") for one in both], metric, seed=i, resamples=1000)
        gap = found.gap(0, 1)
        differ += found.p_values(0, [1])[0] < 0.05
        held += gap.low <= aucs[0] - aucs[1] <= gap.high
    return differ / sets, held / sets


def _wrong_of(pair, sets):
    return wrong(pair[0], sets, second=pair[1])


def _rounded(held):
    """Return what is written of cells."""
    return {
        name: {
            m: dict(zip(("truth", "coverage", "width"), (round(x, 4) if x == x else None for x in of), strict=True))
            for m, of in found.items()
        }
        for name, found in held.items()
    }


def add_missing():
    """Draw the cells that the results name as not drawn, and write each when it is done."""
    for name in json.loads((RESULTS / "coverage.json").read_text())["not_drawn"]:
        found = _rounded({name: coverage(name, SETS)})
        facts = json.loads((RESULTS / "coverage.json").read_text())
        facts["intervals"] |= found
        facts["intervals"] = {one: facts["intervals"][one] for one in CELLS if one in facts["intervals"]}
        facts["not_drawn"] = [one for one in CELLS if one not in facts["intervals"]]
        (RESULTS / "coverage.json").write_text(json.dumps(facts, indent=1) + "\n")
        print(json.dumps(found), flush=True)


def draw_paired():
    """Draw the paired tests anew, and write each when it is done."""
    apart = [(f"{name}, the second {second}", name, second) for name, second in APART]
    for shown, name, second in [*((name, name, None) for name in reversed(EQUAL)), *apart]:
        p, held = wrong(name, SETS, second=second)
        facts = json.loads((RESULTS / "coverage.json").read_text())
        facts["paired"][shown] = _of_pair(p, held)
        (RESULTS / "coverage.json").write_text(json.dumps(facts, indent=1) + "\n")
        print(shown, facts["paired"][shown], flush=True)


def _of_pair(p, held):
    return {"said_to_differ": round(p, 4), "gap_coverage": round(held, 4)}


def write(held, tests, sets=SETS):
    """Write what was found; cells of which there is nothing are named as not drawn.

    A width is None where some set had no interval, which counts as one that does not hold.
    """
    facts = {
        "machine": describe(), "sets_a_cell": sets, "intervals": _rounded(held),
        "paired": {name: _of_pair(*found) for name, found in tests.items()},
        "not_drawn": [name for name in CELLS if name not in held],
    }  # fmt: skip
    (RESULTS / "coverage.json").write_text(json.dumps(facts, indent=1) + "\n")


@pytest.mark.parametrize("name", ["400 images, 20 positive, AUC 0.99", "156 images, 114 positive, AUC 0.99"])
def test_the_interval_of_a_high_auc_holds_the_truth(name):
    assert coverage(name, 200)["auc"][1] > 0.92


def test_intervals_of_classes_and_of_patients_hold_the_truth():
    for name in ("400 images, 5 uneven classes, shift 2", "40 patients, shift 2"):
        for metric, (_, held, _) in coverage(name, 120).items():
            assert held > 0.88, (name, metric)


def test_the_paired_test_of_two_equal_models_errs_as_often_as_it_says():
    assert 0.01 < wrong("156 images, 114 positive, AUC 0.9", 200)[0] < 0.11
    assert wrong("156 images, 114 positive, AUC 0.99", 200)[0] < 0.09


@pytest.mark.slow
def test_every_cell_holds_and_the_results_are_written():
    with ProcessPoolExecutor(WORKERS) as pool:
        held = dict(zip(CELLS, pool.map(partial(coverage, sets=SETS), CELLS), strict=True))
        differ = dict(zip(EQUAL, pool.map(partial(wrong, sets=SETS), EQUAL), strict=True))
        gaps = list(pool.map(partial(_wrong_of, sets=SETS), APART))
        apart = {f"{name}, the second {second}": of for (name, second), of in zip(APART, gaps, strict=True)}
    write(held, differ | apart)
    short = {(name, m) for name, found in held.items() for m, of in found.items() if of[1] < LEAST[m]}
    short |= {(name, "paired") for name, (p, _) in differ.items() if not LEAST_WRONG <= p <= MOST_WRONG}
    assert short == SHORT
    assert all(c >= 0.93 for _, c in (differ | apart).values()), apart


if __name__ == "__main__":
    draw_paired() if sys.argv[1:] == ["paired"] else add_missing()
