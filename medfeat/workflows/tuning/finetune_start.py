"""What a training starts from, and what val says of it: the bridge between a linear probe and a network that learns."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.errors import UsageError
from medfeat.evaluation.judging.probe_store import Options, probe_store
from medfeat.evaluation.judging.protocol import val_scores
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.runs.choice import Tried
from medfeat.evaluation.runs.run import Run, load_run_model, read_run
from medfeat.evaluation.runs.saved_probe import find_run
from medfeat.finetuning.checkpoint import Epoch
from medfeat.finetuning.head import HeadStart
from medfeat.heads.linear import varying_targets
from medfeat.types import Fitted, FloatArray, LabelArray, Progress, Task, TaskType
from medfeat_cache import FeatureStore
from medfeat_cache.commands import command


@dataclass(frozen=True)
class Start:
    """A frozen run and its head.

    Attributes
    ----------
    run
        The linear probe (for numbers, the ridge regression) on the frozen features.
    model
        Its head.
    """

    run: Run
    model: Any

    @classmethod
    def of(cls, store: FeatureStore, task: Task, root: Path, *, seed: int, resamples: int, progress: Progress) -> Start:
        """Probe the frozen features, or find the run that did."""
        options = Options("ridge" if task.task_type == "regression" else "linear", seed, False, resamples)
        run = probe_store(store, task, root, options, progress=progress)
        return cls(run, load_run_model(run))

    def from_run(self, root: Path, named: str) -> Start:
        """Return another run's head as the start.

        Raises
        ------
        UsageError
            It was trained on other features, on another question, or is no linear head.
        """
        run = read_run(find_run(root, named))
        for what, mine, theirs in (
            ("other features", self.run.store["digest"], run.store["digest"]),
            ("another question", self.run.task["digest"], run.task["digest"]),
            ("another head", self.run.head, run.head),
        ):
            if mine != theirs:
                raise UsageError(
                    f"--from-probe: run {run.key[:12]} has {what} than this training: name a run of {command('probe')} "
                    f"on the same features and question, such as {self.run.key[:12]}"
                )
        return Start(run, load_run_model(run))

    def head(self, task_type: TaskType) -> HeadStart:
        """Return the head's values, for a network to learn on from."""
        model = self.model
        link = "identity" if task_type == "regression" else self._link(task_type)
        return HeadStart(model.mean_, model.scale_, model.coef_, np.atleast_1d(model.intercept_), link)  # type: ignore[arg-type]

    def targets(self, labels: LabelArray, task: Task) -> NDArray[np.float64]:
        """Return (n, c) targets of the head's outputs."""
        if task.task_type == "regression":
            return labels.astype(np.float64)
        return varying_targets(labels, task.task_type, len(task.classes))[0]

    def tuned(self, values: HeadStart) -> Fitted:
        """Return the same kind of head with other values: it is saved and used as any probe's is."""
        model = copy.deepcopy(self.model)
        model.coef_, model.intercept_ = values.coef, values.intercept
        model.mean_, model.scale_ = values.mean, values.scale
        return model  # type: ignore[no-any-return]

    def _link(self, task_type: TaskType) -> str:
        return "sigmoid" if task_type == "multi-label" or len(self.model.coef_) == 1 else "softmax"


class ValJudge:
    """Scores outputs on val by the official metrics, and compares epochs as the protocol compares candidates.

    Parameters
    ----------
    start
        Whose head turns outputs into scores.
    labels
        (n, k) of val.
    task_type
        Of the question.
    """

    def __init__(self, start: Start, labels: LabelArray, task_type: TaskType) -> None:
        self._model, self._labels, self._task_type = start.model, labels, task_type

    def score(self, outputs: NDArray[np.float32]) -> tuple[float, float]:
        """Return AUC and ACC, or R2 and minus MAE, of (n, c) outputs."""
        wide: FloatArray = outputs.astype(np.float64)
        scores = wide if self._task_type == "regression" else self._model.scores_of(wide)
        return val_scores(LabelledScores.of(self._labels, scores, self._task_type))

    def beats(self, new: Epoch, old: Epoch) -> bool:
        """Tell whether `new` is chosen before `old`; ties go to the earlier epoch."""
        one, other = (Tried({}, e.first, e.second, float(e.number)) for e in (new, old))
        return one.beats(other)
