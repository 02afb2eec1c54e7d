"""How a head does on worse copies of its test images, severity by severity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from medfeat.errors import DataError
from medfeat.evaluation.measures.evaluate import Metrics, evaluate, without_nan
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.runs.run import Run, read_scores
from medfeat.evaluation.runs.saved_probe import load_probe, refuse_other_recipe
from medfeat_cache import FeatureStore


@dataclass(frozen=True)
class Robustness:
    """Scores of one run against severity.

    Attributes
    ----------
    run
        Whose head it is; its test scores are those of severity 0.
    scores
        By kind and severity, from 1.
    noise
        Which noise the images were given.
    """

    run: Run
    scores: Mapping[str, Mapping[int, Metrics]]
    noise: str

    def mean(self, kind: str, metric: str) -> float:
        """Return the mean of a metric over the severities of a kind."""
        return float(np.mean([found.values[metric].value for found in self.scores[kind].values()]))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        plain: dict[str, Any] = without_nan(
            {
                "run": self.run.key,
                "dataset": self.run.shown,
                "backbone": self.run.backbone,
                "head": self.run.head,
                "noise": self.noise,
                "clean": self.run.test.to_dict(),
                "scores": {
                    kind: {str(severity): found.to_dict() for severity, found in of.items()}
                    for kind, of in self.scores.items()
                },
            }
        )
        return plain


def judge_corrupted(run: Run, corrupted: FeatureStore, *, noise: str) -> Robustness:
    """Score worse copies of a run's test images by its own head, with intervals as the run's.

    Parameters
    ----------
    run
        Written, with its head.
    corrupted
        Groups ``<kind>-<severity>``, ids ``<group>/<id>``; embedded as the run's store was.
    noise
        Which noise the images were given.

    Raises
    ------
    DataError
        Copies of test images are missing.
    """
    if run.folder is None:
        raise DataError(f"run {run.key[:12]} was not written: its head cannot be tested")
    probe = load_probe(run.folder)
    refuse_other_recipe(run.store["recipe"], corrupted.recipe, corrupted.recipe["dataset"])
    stored = read_scores(run.folder)
    found: dict[str, dict[int, Metrics]] = {}
    for group in corrupted.groups:
        kind, _, severity = group.rpartition("-")
        ids = np.char.add(f"{group}/", stored["test_ids"])
        given = LabelledScores.of(stored["test_labels"], probe.scores(corrupted.take(ids)), probe.task_type)
        found.setdefault(kind, {})[int(severity)] = evaluate(
            given,
            probe.classes,
            groups=stored.get("test_groups"),
            seed=run.protocol["seed"],
            resamples=run.protocol["resamples"],
        )
    return Robustness(run, found, noise)
