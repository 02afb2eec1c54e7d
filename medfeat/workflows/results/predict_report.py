"""What a saved probe said about images: labels, sets and abstentions, as a CSV, JSON or a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.evaluation.measures.conformal import Conformal
from medfeat.evaluation.measures.labelled_scores import predictions
from medfeat.report.spreadsheet import write_csv
from medfeat.report.tables import Table, number
from medfeat.types import BadImage, IdArray, TaskType


@dataclass(frozen=True)
class PredictReport:
    """What a probe said about each image.

    Attributes
    ----------
    run, task_type, classes
        Which probe, and what it answers.
    ids
        (n,) images.
    scores
        (n, c) the head's scores, on the scale of the run's own; numbers for a regression.
    calibrated
        (n, c) the same at the temperature that val chose.
    conformal
        How sets and abstentions were decided.
    bad
        What could not be read.
    embedded
        How many images went through the network; 0 for stored ones.
    out
        The CSV that was written, None when none was asked for.
    """

    run: str
    task_type: TaskType
    classes: tuple[str, ...]
    ids: IdArray
    scores: NDArray[np.float64]
    calibrated: NDArray[np.float64]
    conformal: Conformal
    bad: tuple[BadImage, ...] = ()
    embedded: int = 0
    out: Path | None = None

    @property
    def labels(self) -> list[str]:
        """(n,) the answer in words: a class, labels joined by ``|``, or numbers joined by ``|``."""
        if self.task_type == "regression":
            return ["|".join(f"{value:.6g}" for value in row) for row in self.scores]
        decided = predictions(self.scores, self.task_type)
        if self.task_type == "multi-label":
            return [self._joined(row.astype(bool)) for row in decided]
        return [self.classes[i] for i in decided]

    @property
    def abstain(self) -> NDArray[np.bool_]:
        """(n,) whether the error rate cannot be kept by giving one answer."""
        return self.conformal.abstains(self.scores)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values: a summary, and one entry an image."""
        conformal = asdict(self.conformal)
        conformal["limit"] = self.conformal.limit if np.isfinite(self.conformal.limit) else None
        return {
            "run": self.run,
            "task_type": self.task_type,
            "classes": list(self.classes),
            "n": len(self.ids),
            "abstained": int(self.abstain.sum()),
            "embedded": self.embedded,
            "conformal": conformal,
            "bad": [asdict(one) for one in self.bad],
            "out": None if self.out is None else str(self.out),
            "images": [dict(zip(self.columns(), row, strict=True)) for row in self.rows()],
        }

    def columns(self) -> list[str]:
        """Return the header of the CSV."""
        extra = ["low", "high"] if self.task_type == "regression" else ["confidence", "set"]
        # Classes and targets are named by people, perhaps as a column is: the prefix keeps them apart.
        prefix = "y:" if self.task_type == "regression" else "p:"
        return ["id", "label", *extra, "abstain", *(f"{prefix}{name}" for name in self.classes)]

    def rows(self) -> Iterator[list[str]]:
        """Yield one row an image; scores with all their digits."""
        parts = (self.ids.tolist(), self.labels, self._extra(), self.abstain.tolist(), self.scores.tolist())
        for name, label, extra, abstain, scores in zip(*parts, strict=True):
            yield [name, label, *extra, str(int(abstain)), *map(repr, scores)]

    def write(self, out: Path) -> None:
        """Write the CSV, whole or not at all."""
        write_csv(out, chain([self.columns()], self.rows()), "writing the predictions", "choose another --out")

    def tables(self) -> list[Table]:
        """Return how often each answer was given."""
        notes = [f"error rate {self.conformal.error_rate:g}, calibrated on {self.conformal.n} val samples"]
        if np.isinf(self.conformal.limit):
            notes.append("val is too small for this error rate: every image is left undecided")
        title = f"{len(self.ids)} images by run {self.run[:12]}"
        if self.task_type == "regression":
            rows = [("images", str(len(self.ids)), number(float(self.scores.mean()) if len(self.ids) else None))]
            return [Table(title, ("", "images", "mean"), tuple(rows), tuple(notes))]
        labels, abstain = np.array(self.labels, dtype=np.str_), self.abstain
        counted = [
            (str(name), str(int((labels == name).sum())), str(int((abstain & (labels == name)).sum())))
            for name in np.unique(labels)
        ]
        return [Table(title, ("label", "images", "of these abstained"), tuple(counted), tuple(notes), prose=("label",))]

    def problem_lines(self) -> list[str]:
        """Return a line for each image that could not be read."""
        return [f"{bad.id} was skipped: {bad.reason}" for bad in self.bad]

    def _joined(self, chosen: NDArray[np.bool_]) -> str:
        return "|".join(name for name, here in zip(self.classes, chosen, strict=True) if here)

    def _extra(self) -> Iterator[list[str]]:
        if self.task_type == "regression":
            for row in self.conformal.bounds(self.scores):
                yield ["|".join(f"{value:.6g}" for value in row[:, side]) for side in (0, 1)]
            return
        sets = self.conformal.sets(self.scores)
        multi = self.task_type == "multi-label"
        top = np.maximum(self.calibrated, 1 - self.calibrated).min(axis=1) if multi else self.calibrated.max(axis=1)
        for confidence, one in zip(top, sets, strict=True):
            yield [f"{confidence:.4f}", self._joined(one[:, 1] if multi else one)]
