"""The linear head's whole path against scikit-learn's LogisticRegression fitted anew for each C.

As an ordinary test it compares small problems. ``MEDFEAT_BENCH=1`` measures 12,000 x 2,048 features of 8 classes and
15 values of C, the other heads' seconds beside it, and writes ``benchmarks/results/heads.json``. Both sides get the
same standardised float32 features and all cores; scikit-learn is also timed on float64, and the faster one counts.
"""

from __future__ import annotations

import json
import os
import platform
import time
from pathlib import Path

import numpy as np
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from medfeat.heads import HEADS, logistic
from medfeat.heads.linear import GRID
from medfeat.heads.standardise import Standardiser
from medfeat.types import SilentProgress

FULL = os.environ.get("MEDFEAT_BENCH") == "1"
RESULTS = Path(__file__).parent / "results" / "heads.json"
N, D, CLASSES = (12_000, 2_048, 8) if FULL else (700, 96, 4)
OTHERS = ("knn", "xgboost", "mlp") if FULL else ()


def embeddings(n, d, n_classes, seed=0):
    """Non-negative, correlated features with a decaying spectrum, as pooled activations of a CNN are."""
    rng = np.random.default_rng(seed)
    latent = min(128, d // 2)
    y = rng.integers(0, n_classes, n)
    hidden = rng.normal(size=(n_classes, latent))[y] * 0.28 + rng.normal(size=(n, latent))
    mixing = rng.normal(size=(latent, d)) * np.arange(1, latent + 1)[:, None] ** -0.3
    return np.maximum(hidden @ mixing + rng.normal(size=(n, d)) + 0.5, 0).astype(np.float32), y


def macro_auc(y, scores):
    return float(np.mean([roc_auc_score(y == k, scores[:, k]) for k in range(scores.shape[1])]))


def timed_path(X, y, val_X, val_y):
    """Seconds and val AUC a value of C, for ours."""
    start = time.perf_counter()
    path = list(logistic.solve_path(X, np.eye(CLASSES)[y], GRID, link="softmax"))
    seconds = time.perf_counter() - start
    scores = [softmax(val_X @ found.coef.T + found.intercept, axis=1) for found in path]
    return seconds, [macro_auc(val_y, each) for each in scores]


def timed_anew(X, y, val_X, val_y):
    """The same for scikit-learn, one fit a value of C, at its own default tolerance."""
    seconds, aucs = 0.0, []
    for C in GRID:
        start = time.perf_counter()
        model = LogisticRegression(C=C, max_iter=5000).fit(X, y)
        seconds += time.perf_counter() - start
        aucs.append(macro_auc(val_y, model.predict_proba(val_X)))
    return seconds, aucs


def head_seconds(name, train, val):
    """Seconds of a head's whole grid, scoring val included."""
    start = time.perf_counter()
    best = 0.0
    for candidate in HEADS[name]().candidates(train, val, "multi-class", CLASSES, seed=0, progress=SilentProgress()):
        best = max(best, macro_auc(val[1][:, 0], candidate.model.scores(val[0])))
    return {"seconds": round(time.perf_counter() - start, 1), "val_auc": round(best, 4)}


def test_the_whole_path_is_three_times_faster_than_fitting_anew_at_the_same_val_auc():
    load = round(os.getloadavg()[0], 1)
    X, y = embeddings(N + N // 6, D, CLASSES)
    statistics = Standardiser.fit(X[:N])
    train, val = statistics.transform(X[:N], np.float32), statistics.transform(X[N:], np.float32)
    ours, our_auc = timed_path(train, y[:N], val, y[N:])
    rounds = [(np.float32, *timed_anew(train, y[:N], val, y[N:]))]
    if FULL:
        rounds.append((np.float64, *timed_anew(train.astype(np.float64), y[:N], val, y[N:])))
        again = timed_path(train, y[:N], val, y[N:])[0]
        ours = (ours + again) / 2
    theirs = min(seconds for _, seconds, _ in rounds)
    by_C = max(abs(a - b) for _, _, aucs in rounds for a, b in zip(our_auc, aucs, strict=True))
    best = max(abs(max(our_auc) - max(aucs)) for _, _, aucs in rounds)
    assert best <= 0.002
    assert by_C <= 0.002
    if not FULL:
        return
    pairs = (X[:N], y[:N, None]), (X[N:], y[N:, None])
    result = {
        "what": "linear head: 15 values of C, 12,000 x 2,048 float32 features, 8 classes; seconds",
        "path_seconds": round(ours, 2),
        "anew_seconds": {kind.__name__: round(seconds, 2) for kind, seconds, _ in rounds},
        "times_faster": round(theirs / ours, 2),
        "val_auc": {"ours": round(max(our_auc), 5), "scikit-learn": round(max(rounds[0][2]), 5)},
        "largest_val_auc_difference_at_one_C": round(by_C, 6),
        "whole_heads": {name: head_seconds(name, *pairs) for name in ("linear", *OTHERS)},
        "machine": {
            "cores": os.cpu_count(),
            "load_before": load,
            "python": platform.python_version(),
            "processor": processor(),
        },
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    assert theirs / ours >= 3


def processor():
    """Name the processor, where the system tells."""
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
