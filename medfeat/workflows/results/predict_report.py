"""What a saved probe said about images: labels, sets and abstentions, as a CSV, JSON or a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.counted import counted
from medfeat.evaluation.measures.conformal import Conformal
from medfeat.evaluation.measures.labelled_scores import predictions
from medfeat.evaluation.measures.novelty import LEVEL, more_than_usual, unlike
from medfeat.report.shown import Shown
from medfeat.report.spreadsheet import write_csv
from medfeat.report.tables import CAUTION, Table, number
from medfeat.types import BadImage, IdArray, TaskType
from medfeat.workflows.results.left_out import left_out

_SHOWN = 20
"""So many images are shown one by one."""
_NAMED = 3


@dataclass(frozen=True, repr=False)
class PredictReport(Shown):
    """What a probe said about each image: `labels` in words, where to `abstain`, what is `ood`.

    Attributes
    ----------
    run, task_type, classes
        Which probe, and what it answers.
    ids
        (n,) images.
    scores
        (n, c) the head's scores, on the scale of the run's own; numbers for a regression.
    calibrated
        (n, c) the same at the probe's temperature.
    conformal
        How sets and abstentions were decided.
    ood_p
        (n,) p-values of being like the images of training; None where that cannot be told, and `ood_unknown` says why.
    bad
        What could not be read.
    embedded
        How many images went through the network; 0 for stored ones.
    out
        The CSV that was written, None when none was asked for.
    attention
        (n, P) how much each vector (slice, token) of an image counted, where the head weighs them; else None.
    """

    run: str
    task_type: TaskType
    classes: tuple[str, ...]
    ids: IdArray
    scores: NDArray[np.float64]
    calibrated: NDArray[np.float64]
    conformal: Conformal
    ood_p: NDArray[np.float64] | None = None
    ood_unknown: str = ""
    bad: tuple[BadImage, ...] = ()
    embedded: int = 0
    out: Path | None = None
    attention: NDArray[np.float32] | None = None

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

    @property
    def ood(self) -> NDArray[np.bool_] | None:
        """(n,) whether an image lies farther from those of training than nearly all of val; None where unknown."""
        return None if self.ood_p is None else unlike(self.ood_p)

    @property
    def cautions(self) -> tuple[str, ...]:
        """What must be said loudly beside these answers."""
        strangers = 0 if self.ood is None else int(self.ood.sum())
        if not strangers or not more_than_usual(strangers, len(self.ids)):
            return self.conformal.cautions()
        return (
            *self.conformal.cautions(),
            f"{strangers} of {len(self.ids)} images are unlike those of training (ood), where {LEVEL:.0%} would be "
            "usual: no label, probability or set of these can be relied on",
        )

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
            "ood": None if self.ood is None else int(self.ood.sum()),
            "cautions": list(self.cautions),
            "bad": [asdict(one) for one in self.bad],
            "out": None if self.out is None else str(self.out),
            "images": [dict(zip(self.columns(), row, strict=True)) for row in self.rows()],
        }

    def columns(self) -> list[str]:
        """Return the header of the CSV."""
        extra = ["low", "high"] if self.task_type == "regression" else ["confidence", "set"]
        # Classes and targets are named by people, perhaps as a column is: the prefix keeps them apart.
        prefix = "y:" if self.task_type == "regression" else "p:"
        looked = [] if self.attention is None else ["looked_at"]
        flags = ["abstain", "ood", "ood p"]
        return ["id", "label", *extra, *flags, *looked, *(f"{prefix}{name}" for name in self.classes)]

    def rows(self) -> Iterator[list[str]]:
        """Yield one row an image; scores with all their digits, and nothing for what is not known."""
        looked = ([] for _ in self.ids) if self.attention is None else ([_looked_at(row)] for row in self.attention)
        said = zip(self._extra(), self.abstain.tolist(), self._ood(), looked, strict=True)
        parts = zip(self.ids.tolist(), self.labels, said, self.scores.tolist(), strict=True)
        for name, label, (extra, abstain, ood, where), scores in parts:
            yield [name, label, *extra, str(int(abstain)), *ood, *where, *map(repr, scores)]

    def write(self, out: Path) -> None:
        """Write the CSV, whole or not at all."""
        write_csv(out, chain([self.columns()], self.rows()), "writing the predictions", "choose another --out")

    def tables(self) -> list[Table]:
        """Return an answer a row, or of many images how often each answer was given."""
        title = f"{counted(len(self.ids), 'image')} by run {self.run[:12]}"
        columns, rows = self._each() if len(self.ids) <= _SHOWN else self._counted()
        less = tuple(name for name in ("set", "probability", "abstain") if name in columns)
        return [Table(title, columns, tuple(rows), tuple(self._notes()), less=less, prose=("label", "set"))]

    def _notes(self) -> Iterator[str]:
        yield from (f"{CAUTION} {line}" for line in self.cautions)
        of = f"{self.conformal.n} {self.conformal.split} samples"
        of += "" if self.conformal.patients is None else f" of {counted(self.conformal.patients, 'patient')}"
        of += ", each by a fold that left it out" if self.conformal.in_folds else ""
        yield f"error rate {self.conformal.error_rate:g}, calibrated on {of}"
        if self.ood is None:
            why = f": {self.ood_unknown}" if self.ood_unknown else ""
            yield f"whether these images are like those of training is not known{why}"
        else:
            yield f"ood: farther from the images of training than {1 - LEVEL:.0%} of val"

    def _each(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return an image a row."""
        extra = ("low", "high") if self.task_type == "regression" else ("probability", "set")
        known = self._where_known
        flags = zip(self.abstain.tolist(), self._ood(), strict=True)
        rows = [
            (name, label, *more, "yes" if abstain else "", known("yes" if ood[0] == "1" else ""))
            for name, label, more, (abstain, ood) in zip(
                self.ids.tolist(), self.labels, self._extra(), flags, strict=True
            )
        ]
        return ("image", "label", *extra, "abstain", "ood"), rows

    def _counted(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return an answer a row, or the mean of numbers."""
        ood = np.zeros(len(self.ids), np.bool_) if self.ood is None else self.ood
        known = self._where_known
        if self.task_type == "regression":
            mean = number(float(self.scores.mean()) if len(self.ids) else None)
            row = ("images", str(len(self.ids)), mean, known(str(ood.sum())))
            return ("", "images", "mean", "ood"), [row]
        labels, abstain = np.array(self.labels, dtype=np.str_), self.abstain
        rows: list[tuple[str, ...]] = []
        for name in np.unique(labels):
            here = labels == name
            rows.append((str(name), str(here.sum()), str((abstain & here).sum()), known(str((ood & here).sum()))))
        return ("label", "images", "of these abstained", "of these ood"), rows

    def _where_known(self, cell: str) -> str:
        """Return a cell that tells which images are familiar, or that nobody knows."""
        return "not known" if self.ood is None else cell

    def _ood(self) -> Iterator[tuple[str, str]]:
        """Yield flag and p-value an image, both empty where they are not known."""
        if self.ood_p is None:
            yield from [("", "")] * len(self.ids)
        else:
            yield from ((str(int(flag)), f"{p:.4f}") for flag, p in zip(unlike(self.ood_p), self.ood_p, strict=True))

    def problem_lines(self) -> list[str]:
        """Return a line for each image that could not be read."""
        return [f"{bad.id} was skipped: {bad.reason}" for bad in self.bad]

    def last_line(self, *, skip_bad: bool = False) -> list[str]:
        """Return how many images have no label and what to do; nothing where all have one."""
        return left_out(len(self.bad), len(self.ids) + len(self.bad), "label", skip_bad=skip_bad)

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


def _looked_at(weights: NDArray[np.float32]) -> str:
    """Name the vectors that counted most, counted from 0, with their weights: ``12:0.310|40:0.122|3:0.095``."""
    most = np.argsort(-weights, kind="stable")[:_NAMED]
    return "|".join(f"{at}:{weights[at]:.3f}" for at in most.tolist())
