"""One split, evaluated: headline scores with intervals, the table of classes, calibration and operating points."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.counted import counted
from medfeat.evaluation.measures import official_scores as metrics
from medfeat.evaluation.measures.bootstrap import LEVEL, RESAMPLES, bootstrap, interval
from medfeat.evaluation.measures.calibration import ReliabilityBin, fit_temperature, reliability, scale
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.measures.operating import OperatingPoint, choose_thresholds, operating_points
from medfeat.evaluation.measures.score_intervals import score_intervals
from medfeat.evaluation.measures.statistics import Statistic, statistics, value
from medfeat.types import IdArray, Interval, Progress

_UNDEFINED = Interval(math.nan, math.nan, math.nan)
# Below this many clusters the percentiles of a cluster bootstrap are known to be too narrow.
_FEW_CLUSTERS = 10


@dataclass(frozen=True, slots=True)
class ClassRow:
    """How one class (multi-label: one label) fared; NaN where there is nothing to divide by."""

    name: str
    support: int
    precision: float
    recall: float
    f1: float
    auc: float


@dataclass(frozen=True)
class Metrics:
    """Everything known of one split.

    Attributes
    ----------
    n
        Number of samples.
    values
        Metric name to value and interval; ``auc`` and ``acc`` are the official ones.
    per_class
        One row a class; empty for regression.
    confusion
        Rows are true classes, columns predicted ones; empty for multi-label and regression.
    reliability
        The bins behind the ECE; those of all labels together for multi-label, whose ECE is the mean of the labels'.
    operating_points
        For binary tasks, thresholds chosen on val.
    temperature
        Fitted on val; ``ece_scaled``, ``brier_scaled`` and ``log_loss_scaled`` in `values` are after scaling with it.
    notes
        Lines that must stand beside these numbers.
    """

    n: int
    values: Mapping[str, Interval]
    per_class: tuple[ClassRow, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    reliability: tuple[ReliabilityBin, ...] = ()
    operating_points: tuple[OperatingPoint, ...] = ()
    temperature: float | None = None
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Return the count and every value."""
        values = ", ".join(f"{name} {one.value:.4g}" for name, one in self.values.items())
        return f"Metrics(n={self.n}, {values})"

    @property
    def auc(self) -> Interval:
        """The official AUC; NaN for regression."""
        return self.values.get("auc", _UNDEFINED)

    @property
    def acc(self) -> Interval:
        """The official ACC; NaN for regression."""
        return self.values.get("acc", _UNDEFINED)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values: each metric by its name, then the tables; NaN becomes None."""
        whole = asdict(self)
        plain: dict[str, Any] = without_nan({"n": whole.pop("n"), **whole.pop("values"), **whole})
        return plain

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Metrics:
        """Read back what `to_dict` wrote."""
        values = {key: _interval(part) for key, part in stored.items() if isinstance(part, dict) and "low" in part}
        points = [
            {**p, "sensitivity": _interval(p["sensitivity"]), "specificity": _interval(p["specificity"])}
            for p in stored["operating_points"]
        ]
        return cls(
            n=stored["n"],
            values=values,
            per_class=tuple(ClassRow(**_with_nan(row)) for row in stored["per_class"]),
            confusion=tuple(tuple(row) for row in stored["confusion"]),
            reliability=tuple(ReliabilityBin(**row) for row in stored["reliability"]),
            operating_points=tuple(OperatingPoint(**point) for point in points),
            temperature=stored["temperature"],
            notes=tuple(stored["notes"]),
        )


def evaluate(
    given: LabelledScores,
    classes: tuple[str, ...],
    *,
    val: LabelledScores | None = None,
    val_groups: IdArray | None = None,
    groups: IdArray | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    progress: Progress | None = None,
) -> Metrics:
    """Evaluate the scores of one split.

    Parameters
    ----------
    given
        Labels and scores of the split.
    classes
        Names in label order.
    val
        Labels and scores of val, on which temperature and thresholds are chosen; None leaves both out.
    val_groups
        Patients of val, one a sample.
    groups
        (n,) cluster (patient) a sample: whole clusters then count, and are drawn.
    seed, resamples, level
        Of the intervals; those without a closed form are drawn, and no resamples means no intervals.
    progress
        Told how far the bootstrap is.

    Returns
    -------
    Metrics
        The point estimates are the metrics themselves, never bootstrap means.
    """
    task_type, found = given.task_type, dict(statistics(given))
    temperature = fit_temperature(val, val_groups) if val is not None and task_type != "regression" else None
    if temperature is not None:
        scaled = statistics(replace(given, scores=scale(given.scores, temperature, task_type)))
        found |= {f"{name}_scaled": scaled[name] for name in ("ece", "brier", "log_loss")}
    points = _points(found, given)
    # No resamples is no intervals, whichever way they would be made.
    known = score_intervals(given, groups=groups, level=level) if resamples else {}
    drawn = {name: statistic for name, statistic in found.items() if name not in known}
    # All samples in one stratum: another test set would not have the same class counts.
    draws = bootstrap(
        drawn, np.zeros(len(given), np.int64), seed=seed, resamples=resamples, groups=groups, progress=progress
    )
    values = {
        name: replace(known[name], value=point) if name in known else interval(point, draws[name], level)
        for name, point in points
    }
    notes = (*_cluster_notes(groups), *_undefined(given, classes))
    if task_type == "regression":
        return Metrics(n=len(given), values=values, notes=notes)
    binary = task_type == "binary-class"
    return Metrics(
        n=len(given),
        values=values,
        per_class=class_table(given, classes),
        confusion=() if task_type == "multi-label" else confusion(given, len(classes)),
        reliability=reliability(given),
        operating_points=operating_points(given, choose_thresholds(val)) if binary and val is not None else (),
        temperature=temperature,
        notes=notes,
    )


def _cluster_notes(groups: IdArray | None) -> Iterator[str]:
    """Say where there are too few clusters for percentiles to mean much."""
    clusters = _FEW_CLUSTERS if groups is None else len(np.unique(groups))
    if clusters == 1:
        yield "all samples are of one patient: no interval can be given"
    elif clusters < _FEW_CLUSTERS:
        yield f"only {counted(clusters, 'patient')}: intervals other than those of AUC and ACC are likely too narrow"


def _undefined(given: LabelledScores, classes: tuple[str, ...]) -> Iterator[str]:
    """Say which headline metric is undefined, and why."""
    if given.task_type != "regression":
        note = metrics.undefined_auc(given, classes)
        yield from [note] if note else []
        return
    constant = np.flatnonzero((given.labels == given.labels[:1]).all(axis=0))
    if len(constant):
        names = ", ".join(classes[i] for i in constant[:3])
        yield f"R2 is undefined: {names} has one value only in these samples"


def _points(found: Mapping[str, Statistic], given: LabelledScores) -> list[tuple[str, float]]:
    """Each metric on the samples as they are; the official two by their official formulas."""
    points = {name: value(statistic, len(given)) for name, statistic in found.items()}
    if given.task_type != "regression":
        points["auc"] = metrics.auc(given)
        points["acc"] = metrics.acc(given)
    return list(points.items())


def class_table(given: LabelledScores, classes: tuple[str, ...]) -> tuple[ClassRow, ...]:
    """Return precision, recall, F1, one-vs-rest AUC and support of each class, or of each label."""
    y, predicted = given.labels, given.predicted
    if given.task_type == "multi-label":
        truth, called = y == 1, predicted == 1
    else:
        numbers = np.arange(max(len(classes), 2))
        truth, called = y[:, None] == numbers, predicted[:, None] == numbers
    aucs = metrics.class_aucs(given)
    aucs = np.repeat(aucs, truth.shape[1]) if given.task_type == "binary-class" else aucs
    return tuple(
        _class_row(classes[i] if i < len(classes) else str(i), truth[:, i], called[:, i], float(aucs[i]))
        for i in range(truth.shape[1])
    )


def _class_row(name: str, truth: NDArray[np.bool_], called: NDArray[np.bool_], auc: float) -> ClassRow:
    hits, support, calls = (int(np.count_nonzero(part)) for part in (truth & called, truth, called))
    return ClassRow(
        name=name,
        support=support,
        precision=hits / calls if calls else math.nan,
        recall=hits / support if support else math.nan,
        f1=2 * hits / (support + calls) if support + calls else math.nan,
        auc=auc,
    )


def confusion(given: LabelledScores, size: int) -> tuple[tuple[int, ...], ...]:
    """Return counts with true classes as rows and predicted classes as columns."""
    table = np.zeros((max(size, 2), max(size, 2)), np.int64)
    np.add.at(table, (given.labels, given.predicted), 1)
    return tuple(tuple(int(cell) for cell in row) for row in table)


def without_nan(part: Any) -> Any:
    """Return the same JSON values with None for NaN, which JSON does not have."""
    if isinstance(part, Mapping):
        return {key: without_nan(inner) for key, inner in part.items()}
    if isinstance(part, list | tuple):
        return [without_nan(inner) for inner in part]
    return None if isinstance(part, float) and not math.isfinite(part) else part


def _interval(stored: Mapping[str, Any]) -> Interval:
    return Interval(**_with_nan(stored))


def _with_nan(stored: Mapping[str, Any]) -> dict[str, Any]:
    return {key: math.nan if part is None else part for key, part in stored.items()}
