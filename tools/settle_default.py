"""Which layers, which head, and who chooses: re-splits of train and val of the real sets, before test is read.

    python tools/settle_default.py KIND RAW.jsonl CACHE [--draws 20] [--until HH:MM]

CACHE holds `extract --layer every` of the sets and networks; volumes with ``--slices keep:N``, whose slices are read by
the mean of each axis, one axis after the other. In each draw a fifth of train and val, drawn anew, stands for test, and
of the rest a part of the official share stands for val; the official test is never opened. KIND is one of

- ``quick``: that head, which is ``auto`` without what trains in rounds and is most of its work, on the last layer, on
  those at each quarter of depth and, on the smallest set, on all; ``fused`` is the mean of what a rule chose on each;
- ``narrow``: the same on the last layer alone, where there is no time for the others;
- ``whole``: every head of ``auto``, on the last layer;
- ``attention``: over the layers of an image, or over the slices of a volume.

One line is appended to RAW for each draw of a set and a network, and what stands there is not measured again.
`tools/settle_tables.py` makes the tables.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from simulate_choice import AUTO, DRAWS_AT_ONCE, records, resplit

from medfeat.evaluation.judging.averages import Stood, best_of
from medfeat.evaluation.judging.cross_validation import Setting, contenders_in_folds
from medfeat.evaluation.judging.protocol import contenders, val_scores
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.heads.attention import AttentionHead
from medfeat.heads.auto import AutoHead, QuickHead
from medfeat.heads.inputs import mean_scores
from medfeat.tasks import Split, official
from medfeat.tasks.check import subset
from medfeat.types import Fitted, FloatArray, Head, SilentProgress, Task
from medfeat_cache import FeatureStore

SETS = ("breastmnist", "retinamnist", "adrenalmnist3d")
NETWORKS = ("squeezenet1_1", "mobilenetv2_100", "efficientnet_lite0")
LAST, QUARTER, ALL, FUSED = VIEWS = ("last", "quarter", "all", "fused")
RULES = ("linear", "svm", "knn", "prototypes", AUTO)
QUICK, NARROW, WHOLE, ATTENTION = KINDS = ("quick", "narrow", "whole", "attention")
WAYS = ("val", "cv")
AXES = 3
# Held-out samples of a set from which on all layers are left out: they are the quarters and one layer more.
SMALL_SET = 200


@dataclass(frozen=True)
class Held:
    """A task and its features, in memory: what `Samples` is of a store.

    Attributes
    ----------
    task
        A re-split, whose test is a held-out part of train and val; or the official one.
    features
        (n, d) of its ids, or (n, P, d).
    """

    task: Task
    features: FloatArray

    def X(self, split: str) -> FloatArray:  # noqa: N802 - as `Samples` calls it
        """Return the features of a split."""
        return self.features[self.task.split == split]

    def ids(self, split: str) -> NDArray[np.str_]:
        """Return the ids of a split."""
        return self.task.ids[self.task.split == split]

    @cached_property
    def train(self) -> Split:
        """What heads learn from."""
        return self.split("train")

    @cached_property
    def val(self) -> Split:
        """What chooses."""
        return self.split("val")

    @cached_property
    def test(self) -> Split:
        """What is read last."""
        return self.split("test")

    def split(self, name: str) -> Split:
        """Return a split with its labels."""
        here = self.task.split == name
        return Split(name, self.X(name), self.task.labels[here], self.task.ids[here], None)


def places(cache: Path, dataset: str, network: str) -> list[Path]:
    """Return the stores of a set and a network, from the first layer to the last."""

    def depth(path: Path) -> tuple[float, ...]:
        with FeatureStore(path) as store:
            layer = store.recipe["layer"]
        return (float("inf"),) if layer is None else tuple(map(float, re.findall(r"\d+", layer)))

    return sorted((cache / dataset / network).glob("*.h5"), key=depth)


def views(layers: Sequence[FloatArray], whole: bool) -> dict[str, FloatArray]:
    """Return (n, d) features of the last layer, of the four quarters and, if asked for and more, of all layers."""
    found = {LAST: layers[-1], QUARTER: np.hstack(layers[-4:])}
    return {**found, ALL: np.hstack(layers)} if whole and len(layers) > 4 else found


def by_axis(kept: FloatArray) -> FloatArray:
    """Return (n, 3 d) means over the slices of each axis of (n, P, d) volumes; (n, d) of images as they are."""
    if kept.ndim == 2:
        return kept
    n, slices, d = kept.shape
    return kept.reshape(n, AXES, slices // AXES, d).mean(axis=2).reshape(n, -1)


def layers_of(cache: Path, dataset: str, network: str, task: Task) -> list[FloatArray]:
    """Return the (n, d) or (n, P, d) float32 features of a task's ids, a layer each."""
    found = []
    for place in places(cache, dataset, network):
        with FeatureStore(place) as store:
            found.append(store.take(task.ids).astype(np.float32))
    return found


def official_of(cache: Path, dataset: str, network: str) -> Task:
    """Return the official task of a set."""
    with ExitStack() as stack:
        return official(stack.enter_context(FeatureStore(places(cache, dataset, network)[-1])))


def chosen(samples: Held, head: Head, way: str, draw: int) -> tuple[list[Stood[Any]], list[FloatArray]]:
    """Fit a head's candidates; return the best of each head and their means, and what they say of the held-out part."""
    train, val, task = samples.train, samples.val, samples.task
    X = samples.X("test")
    if way == "cv":
        stood, _ = contenders_in_folds(samples, head, seed=draw)  # type: ignore[arg-type]  # it reads no store
        both = np.concatenate([train.X, val.X]), np.concatenate([train.y, val.y])
        settings: list[Setting] = [one.parts[0] for one in stood if len(one.parts) == 1]
        models: dict[int, Fitted] = {id(part): part.fitted(*both) for part in settings}
    else:
        offered = head.candidates(
            (train.X, train.y), (val.X, val.y), task.task_type, len(task.classes), seed=draw, progress=SilentProgress()
        )
        stood, _ = contenders(offered, val.X, val.y, task.task_type)
        models = {id(part): part for one in stood for part in one.parts}
    said = {part: np.asarray(model.scores(X), np.float64) for part, model in models.items()}
    return stood, [mean_scores([said[id(part)] for part in one.parts]) for one in stood]


def by_rule(stood: Sequence[Stood[Any]], said: Sequence[FloatArray]) -> dict[str, tuple[Stood[Any], FloatArray]]:
    """Return of each rule what it chooses: a head by its name, or ``auto`` among all and their means."""
    found = {one.head: (one, scores) for one, scores in zip(stood, said, strict=True) if one.head in RULES}
    best = best_of(stood)
    return {**found, AUTO: (best, next(s for one, s in zip(stood, said, strict=True) if one is best))}


def weighed(layers: Sequence[FloatArray]) -> tuple[str, FloatArray, AttentionHead]:
    """Return what attention weighs, by the name of its view: slices of the last layer, or layers at each quarter."""
    head = AttentionHead()
    if layers[-1].ndim > 2:
        return LAST, layers[-1], head
    head.widths = tuple(layer.shape[1] for layer in layers[-4:])
    return QUARTER, np.hstack(layers[-4:]), head


def measure(kind: str, task: Task, layers: Sequence[FloatArray], draw: int) -> dict[str, Any]:
    """Return of each way and view what each rule chose, what it was said to be worth and what it is."""
    y = task.labels[task.split == "test"]
    read = views([by_axis(layer) for layer in layers], whole=len(y) < SMALL_SET)
    head: Head = AutoHead() if kind == WHOLE else QuickHead()
    if kind == ATTENTION:
        name, features, head = weighed(layers)
        read = {name: features}
    elif kind in (NARROW, WHOLE):
        read = {LAST: read[LAST]}

    def judged(scores: FloatArray) -> list[float]:
        return [round(x, 5) for x in val_scores(LabelledScores.of(y, scores, task.task_type))]

    found: dict[str, Any] = {}
    for way in WAYS:
        kept: dict[str, list[FloatArray]] = {}
        found[way] = {}
        for view, X in read.items():
            started = time.process_time()
            here: dict[str, Any] = {}
            for rule, (one, scores) in by_rule(*chosen(Held(task, X), head, way, draw)).items():
                kept.setdefault(rule, []).append(scores)
                here[rule] = {"said": round(one.tried.first, 5), "held": judged(scores), "head": one.head}
            found[way][view] = {"rules": here, "seconds": round(time.process_time() - started, 2)}
        if len(read) > 1:
            fused = {rule: {"held": judged(mean_scores(scores))} for rule, scores in kept.items()}
            found[way][FUSED] = {"rules": fused}
    return found


def work(cache: Path, draws: int, there: set[tuple[str, str, int]]) -> Iterator[tuple[str, str, int]]:
    """Yield what is missing, a few draws of every pair in turn, so that a run that is cut off is an even one."""
    for start in range(0, draws, DRAWS_AT_ONCE):
        for dataset in SETS:
            for network in NETWORKS:
                if not places(cache, dataset, network):
                    continue
                for draw in range(start, min(start + DRAWS_AT_ONCE, draws)):
                    if (dataset, network, draw) not in there:
                        yield dataset, network, draw


def measure_all(kind: str, raw: Path, cache: Path, draws: int, until: str | None) -> None:
    """Measure what is missing and append a line a draw."""
    enough = (NARROW, QUICK) if kind == NARROW else (kind,)
    there = {(one["dataset"], one["network"], one["draw"]) for one in records(raw) if one["kind"] in enough}
    for dataset, network, draw in work(cache, draws, there):
        if until and f"{datetime.datetime.now():%H:%M}" >= until:
            return
        whole = official_of(cache, dataset, network)
        task = resplit(whole, draw)
        assert task is not None
        assert not np.isin(task.ids, subset(whole, whole.split == "test").ids).any()
        started = time.process_time()
        found = measure(kind, task, layers_of(cache, dataset, network, task), draw)
        line = {
            "kind": kind, "dataset": dataset, "network": network, "draw": draw,
            "val": int((task.split == "val").sum()), "seconds": round(time.process_time() - started, 1), "ways": found,
        }  # fmt: skip
        with raw.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(f"{datetime.datetime.now():%H:%M:%S}", kind, dataset, network, draw, line["seconds"], flush=True)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("raw", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--until", help="begin no draw after this time of day")
    asked = parser.parse_args()
    measure_all(asked.kind, asked.raw, asked.cache, asked.draws, asked.until)


if __name__ == "__main__":
    main()
